// SPDX-License-Identifier: MIT

package hold

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	maxName  = 200
	maxData  = 64 << 10
	maxFiles = 4

	flagLive = 1

	maxGrace = time.Hour
)

// Item is what the holder keeps under a name.
type Item struct {
	Name string // 1 to 200 bytes
	// Live says that somebody runs because of this item: as long as one is held, the holder goes on trying to start the
	// service again when it has gone.
	Live  bool
	Data  []byte     // at most 64 KiB
	Files []*os.File // at most four
}

// Close closes the item's files.
func (i *Item) Close() {
	for _, f := range i.Files {
		f.Close()
	}
	i.Files = nil
}

func (i *Item) encode() ([]byte, error) {
	switch {
	case i.Name == "" || len(i.Name) > maxName:
		return nil, fmt.Errorf("cannot hold an item with a name of %d bytes: %w", len(i.Name), unix.EMSGSIZE)
	case len(i.Data) > maxData:
		return nil, fmt.Errorf("cannot hold %q with %d bytes of data: %w", i.Name, len(i.Data), unix.EMSGSIZE)
	case len(i.Files) > maxFiles:
		return nil, fmt.Errorf("cannot hold %q with %d files: %w", i.Name, len(i.Files), unix.EMSGSIZE)
	}
	var flags byte
	if i.Live {
		flags = flagLive
	}
	return appendItem(nil, messagePut, flags, i.Name, i.Data), nil
}

func appendItem(packet []byte, kind, flags byte, name string, data []byte) []byte {
	packet = append(packet, kind, flags, byte(len(name)))
	packet = append(packet, name...)
	return append(packet, data...)
}

// decodeItem takes an item's message apart; the results are parts of the body. It says false when that makes no sense.
func decodeItem(body []byte) (flags byte, name, data []byte, ok bool) {
	if len(body) < 2 {
		return 0, nil, nil, false
	}
	name, data, ok = cutName(body[1:])
	return body[0], name, data, ok && len(data) <= maxData
}

func cutName(b []byte) (name, rest []byte, ok bool) {
	if len(b) == 0 {
		return nil, nil, false
	}
	n := int(b[0])
	if n == 0 || n > maxName || n > len(b)-1 {
		return nil, nil, false
	}
	return b[1 : 1+n], b[1+n:], true
}

// order says how the holder is to start the service.
type order struct {
	grace     time.Duration
	args, env []string
}

func (o order) encode() ([]byte, error) {
	switch {
	case o.grace < 0 || o.grace > maxGrace:
		return nil, fmt.Errorf("cannot wait %s for a service to come back", o.grace)
	case len(o.args) > 0 && !filepath.IsAbs(o.args[0]):
		return nil, fmt.Errorf("cannot start the service again as %q, which is not an absolute path", o.args[0])
	case len(o.args) > math.MaxUint16 || len(o.env) > math.MaxUint16:
		return nil, fmt.Errorf("cannot keep how to start the service again: %w", unix.E2BIG)
	}
	packet := binary.LittleEndian.AppendUint32([]byte{messageOrder}, uint32(o.grace.Milliseconds()))
	packet = binary.LittleEndian.AppendUint16(packet, uint16(len(o.args)))
	packet = binary.LittleEndian.AppendUint16(packet, uint16(len(o.env)))
	for _, list := range [][]string{o.args, o.env} {
		for _, s := range list {
			if strings.ContainsRune(s, 0) {
				return nil, fmt.Errorf("cannot start the service again with %q: %w", s, unix.EINVAL)
			}
			packet = append(append(packet, s...), 0)
		}
	}
	if len(packet) > maxPacket {
		return nil, fmt.Errorf("cannot keep how to start the service again, its arguments and environment are too large: %w", unix.E2BIG)
	}
	return packet, nil
}

func decodeOrder(body []byte) (order, bool) {
	if len(body) < 8 {
		return order{}, false
	}
	grace := time.Duration(binary.LittleEndian.Uint32(body)) * time.Millisecond
	args, env := int(binary.LittleEndian.Uint16(body[4:])), int(binary.LittleEndian.Uint16(body[6:]))
	texts := body[8:]
	if grace > maxGrace || bytes.Count(texts, []byte{0}) < args+env {
		return order{}, false
	}
	all := make([]string, args+env)
	for i := range all {
		text, rest, _ := bytes.Cut(texts, []byte{0})
		all[i], texts = string(text), rest
	}
	if args > 0 && !filepath.IsAbs(all[0]) {
		return order{}, false
	}
	return order{grace, all[:args:args], all[args:]}, true
}

func encodeError(e syscall.Errno) []byte {
	return binary.LittleEndian.AppendUint32([]byte{replyError}, uint32(e))
}

// decodeError says what a holder has answered.
func decodeError(body []byte) syscall.Errno {
	if len(body) < 4 {
		return unix.EPROTO
	}
	// See IS_ERR in the kernel's linux/err.h: no greater numbers are errors.
	if n := binary.LittleEndian.Uint32(body); n > 0 && n < 4096 {
		return syscall.Errno(n)
	}
	return unix.EPROTO
}
