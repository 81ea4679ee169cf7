// SPDX-License-Identifier: MIT

package session

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// BusName is the name that the service has on the session bus, and by which the bus starts it.
const BusName = "org.glick.Session"

const (
	activatePeriod = 5 * time.Second // for the bus to start the service; starting a large desktop can take that long
	appearPeriod   = 3 * time.Second // for the service that was started to listen
)

// Activate has the session bus start the service, and returns when it can be asked. It is for when the service does not run: the error says
// why it still does not.
//
// This speaks just enough of the D-Bus protocol for two method calls (https://dbus.freedesktop.org/doc/dbus-specification.html): it is in every
// bundle, where a whole client would take as much room as all the rest of this package.
func Activate() error {
	if _, err := Dir(); err != nil {
		return err // it would have nowhere to listen
	}
	started, err := startByBus(BusName, time.Now().Add(activatePeriod))
	if err != nil {
		return fmt.Errorf("the session bus cannot start the service: %w", err)
	}
	// One that has been running and does not listen serves no files: waiting would not help.
	for limit := time.Now().Add(appearPeriod); ; {
		c, err := dial()
		if err == nil {
			c.close()
			return nil
		}
		if !started || time.Now().After(limit) {
			return err
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// startByBus asks the session bus to start a service; started is false when it ran already.
func startByBus(name string, limit time.Time) (started bool, err error) {
	bus, err := dialBus(limit)
	if err != nil {
		return false, err
	}
	defer bus.file.Close()
	if err := bus.call(1, "Hello", "", nil); err != nil {
		return false, err
	}
	if _, err := bus.reply(1); err != nil {
		return false, err
	}
	body := appendString(nil, name)
	for len(body)%4 != 0 {
		body = append(body, 0)
	}
	body = binary.LittleEndian.AppendUint32(body, 0) // flags: there are none
	if err := bus.call(2, "StartServiceByName", "su", body); err != nil {
		return false, err
	}
	answer, err := bus.reply(2)
	if err != nil {
		return false, err
	}
	const startedNow = 1
	return len(answer) == 4 && bus.order.Uint32(answer) == startedNow, nil
}

// bus is a connection to a message bus.
type bus struct {
	file  *os.File
	in    *bufio.Reader
	order binary.ByteOrder // of the last message that came
}

// dialBus connects to the session bus, and proves who we are.
func dialBus(limit time.Time) (*bus, error) {
	addresses := os.Getenv("DBUS_SESSION_BUS_ADDRESS")
	if addresses == "" {
		addresses = "unix:path=" + filepath.Join(os.Getenv("XDG_RUNTIME_DIR"), "bus")
	}
	err := errors.New("there is none")
	for _, address := range strings.Split(addresses, ";") {
		path := busPath(address)
		if path == "" {
			continue
		}
		var b *bus
		if b, err = connectBus(path); err != nil {
			continue
		}
		_ = b.file.SetDeadline(limit)
		if err = b.authenticate(); err == nil {
			return b, nil
		}
		b.file.Close()
	}
	return nil, err
}

// busPath is the path of a Unix socket that an address names, as unix.SockaddrUnix wants it; empty for other kinds of addresses.
func busPath(address string) string {
	rest, ok := strings.CutPrefix(address, "unix:")
	if !ok {
		return ""
	}
	for _, pair := range strings.Split(rest, ",") {
		key, value, _ := strings.Cut(pair, "=")
		value, ok := unescape(value)
		if !ok || value == "" || strings.ContainsRune(value, 0) {
			continue
		}
		switch key {
		case "path":
			return value
		case "abstract":
			return "@" + value
		}
	}
	return ""
}

// unescape undoes the escapes of addresses: a percent sign with two hexadecimal digits is a byte.
func unescape(s string) (string, bool) {
	var out []byte
	for {
		before, after, more := strings.Cut(s, "%")
		out = append(out, before...)
		if !more {
			return string(out), true
		}
		if len(after) < 2 {
			return "", false
		}
		c, err := hex.DecodeString(after[:2])
		if err != nil {
			return "", false
		}
		out, s = append(out, c...), after[2:]
	}
}

func connectBus(path string) (*bus, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	err = unix.Connect(fd, &unix.SockaddrUnix{Name: path})
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("connect", err)
	}
	f := os.NewFile(uintptr(fd), "bus")
	return &bus{file: f, in: bufio.NewReader(f)}, nil
}

func (b *bus) authenticate() error {
	uid := hex.EncodeToString([]byte(strconv.Itoa(os.Geteuid())))
	if _, err := b.file.WriteString("\x00AUTH EXTERNAL " + uid + "\r\n"); err != nil {
		return err
	}
	line, err := b.in.ReadSlice('\n') // at most as long as the reader's buffer
	if err != nil {
		return err
	}
	if !strings.HasPrefix(string(line), "OK ") {
		return errors.New("it does not let this user in")
	}
	_, err = b.file.WriteString("BEGIN\r\n")
	return err
}

// What a message consists of, in the order of the specification.
const (
	methodReturn = 2
	methodError  = 3

	fieldPath        = 1
	fieldInterface   = 2
	fieldMember      = 3
	fieldReplySerial = 5
	fieldDestination = 6
	fieldSignature   = 8

	maxBusMessage = 64 << 10 // far more than the answers to our calls
)

// call sends a method call to the bus itself.
func (b *bus) call(serial uint32, member, signature string, body []byte) error {
	const driver = "org.freedesktop.DBus"
	var fields []byte
	field := func(code byte, kind, value string) {
		for len(fields)%8 != 0 {
			fields = append(fields, 0)
		}
		fields = append(fields, code, 1, kind[0], 0)
		if kind == "g" {
			fields = append(append(append(fields, byte(len(value))), value...), 0)
			return
		}
		fields = appendString(fields, value)
	}
	field(fieldPath, "o", "/org/freedesktop/DBus")
	field(fieldInterface, "s", driver)
	field(fieldMember, "s", member)
	field(fieldDestination, "s", driver)
	if signature != "" {
		field(fieldSignature, "g", signature)
	}
	const methodCall, noFlags, protocol = 1, 0, 1
	m := []byte{'l', methodCall, noFlags, protocol}
	m = binary.LittleEndian.AppendUint32(m, uint32(len(body)))
	m = binary.LittleEndian.AppendUint32(m, serial)
	m = binary.LittleEndian.AppendUint32(m, uint32(len(fields)))
	m = append(m, fields...)
	for len(m)%8 != 0 {
		m = append(m, 0)
	}
	_, err := b.file.Write(append(m, body...))
	return err
}

// appendString appends a string; what is before it must end at a multiple of four bytes.
func appendString(to []byte, s string) []byte {
	to = binary.LittleEndian.AppendUint32(to, uint32(len(s)))
	return append(append(to, s...), 0)
}

// reply waits for the answer to a call, and returns its body. What else the bus says is passed over.
func (b *bus) reply(serial uint32) ([]byte, error) {
	errStrange := errors.New("the session bus's answer makes no sense")
	for {
		var head [16]byte
		if _, err := io.ReadFull(b.in, head[:]); err != nil {
			return nil, err
		}
		switch head[0] {
		case 'l':
			b.order = binary.LittleEndian
		case 'B':
			b.order = binary.BigEndian
		default:
			return nil, errStrange
		}
		bodySize, fieldsSize := b.order.Uint32(head[4:]), b.order.Uint32(head[12:])
		if bodySize > maxBusMessage || fieldsSize > maxBusMessage {
			return nil, errStrange
		}
		fields := make([]byte, (fieldsSize+7)&^7)
		body := make([]byte, bodySize)
		if _, err := io.ReadFull(b.in, fields); err != nil {
			return nil, err
		}
		if _, err := io.ReadFull(b.in, body); err != nil {
			return nil, err
		}
		kind := head[1]
		if kind != methodReturn && kind != methodError || !b.answers(fields[:fieldsSize], serial) {
			continue
		}
		if kind == methodError {
			// Its first argument is a text for people, if there is one.
			if len(body) > 4 && uint64(b.order.Uint32(body)) <= uint64(len(body)-5) {
				return nil, errors.New(oneLine(string(body[4 : 4+b.order.Uint32(body)])))
			}
			return nil, errors.New("it has refused")
		}
		return body, nil
	}
}

// answers says whether a message's fields say that it is the reply to a call. All fields of messages to us have one of few types.
func (b *bus) answers(fields []byte, serial uint32) bool {
	for at := 0; at+4 < len(fields); {
		code, kind := fields[at], string(fields[at+1:at+4])
		at += 4
		switch kind {
		case "\x01u\x00":
			if at+4 > len(fields) {
				return false
			}
			if code == fieldReplySerial {
				return b.order.Uint32(fields[at:]) == serial
			}
			at += 4
		case "\x01s\x00", "\x01o\x00":
			if at+4 > len(fields) {
				return false
			}
			size := b.order.Uint32(fields[at:])
			if uint64(size) > uint64(len(fields)) {
				return false
			}
			at += 4 + int(size) + 1
		case "\x01g\x00":
			at += 1 + int(fields[at]) + 1
		default:
			return false
		}
		at = (at + 7) &^ 7
	}
	return false
}
