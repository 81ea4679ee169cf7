// SPDX-License-Identifier: MIT

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// screen is a connection to an X server that is told of each window that appears. The protocol is that of the X Window System
// Protocol, version 11, in little-endian.
type screen struct {
	conn   net.Conn
	mapped chan mapping
}

type mapping struct {
	window uint32
	at     time.Time
}

const (
	eventMapNotify       = 19
	genericEvent         = 35
	requestAttributes    = 2       // ChangeWindowAttributes
	attributeEventMask   = 1 << 11 // in its value mask
	substructureNotify   = 1 << 19 // in an event mask
	setupReplyHeader     = 8
	setupVendorLength    = 16 // offsets in what follows that header
	setupFormats         = 21
	setupFixed           = 32
	formatSize           = 8
	largestSetup         = 1 << 18
	mapNotifyWindow      = 8 // offsets in the event
	mapNotifyOverride    = 12
	eventSize            = 32
	genericLengthOffset  = 4
	largestGenericEvent  = 1 << 20
	mappingsNobodyWanted = 64
)

// openScreen connects to an X server that asks for no authorization.
func openScreen(socket string) (*screen, error) {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return nil, err
	}
	root, err := setup(conn)
	if err == nil {
		request := []byte{requestAttributes, 0, 4, 0}
		request = binary.LittleEndian.AppendUint32(request, root)
		request = binary.LittleEndian.AppendUint32(request, attributeEventMask)
		request = binary.LittleEndian.AppendUint32(request, substructureNotify)
		_, err = conn.Write(request)
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("cannot watch the X server: %w", err)
	}
	s := &screen{conn, make(chan mapping, mappingsNobodyWanted)}
	go s.read()
	return s, nil
}

// setup does the handshake and returns the root window of the first screen.
func setup(conn io.ReadWriter) (uint32, error) {
	if _, err := conn.Write([]byte{'l', 0, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0}); err != nil {
		return 0, err
	}
	head := make([]byte, setupReplyHeader)
	if _, err := io.ReadFull(conn, head); err != nil {
		return 0, err
	}
	size := 4 * int(binary.LittleEndian.Uint16(head[6:]))
	body := make([]byte, size)
	if _, err := io.ReadFull(conn, body); err != nil {
		return 0, err
	}
	if head[0] != 1 || size < setupFixed || size > largestSetup {
		return 0, errors.New("the X server refuses the connection")
	}
	vendor := int(binary.LittleEndian.Uint16(body[setupVendorLength:]))
	at := setupFixed + (vendor+3)/4*4 + int(body[setupFormats])*formatSize
	if at+4 > size {
		return 0, errors.New("the X server's answer is too short")
	}
	return binary.LittleEndian.Uint32(body[at:]), nil
}

func (s *screen) read() {
	defer close(s.mapped)
	event := make([]byte, eventSize)
	for {
		if _, err := io.ReadFull(s.conn, event); err != nil {
			return
		}
		now := time.Now()
		switch event[0] & 0x7f {
		case genericEvent:
			more := 4 * int64(binary.LittleEndian.Uint32(event[genericLengthOffset:]))
			if more > largestGenericEvent {
				return
			}
			if _, err := io.CopyN(io.Discard, s.conn, more); err != nil {
				return
			}
		case eventMapNotify:
			if event[mapNotifyOverride] != 0 {
				continue // a menu or a hint
			}
			select {
			case s.mapped <- mapping{binary.LittleEndian.Uint32(event[mapNotifyWindow:]), now}:
			default:
			}
		}
	}
}

// drain forgets the windows that have appeared so far.
func (s *screen) drain() {
	for {
		select {
		case _, ok := <-s.mapped:
			if !ok {
				return
			}
		default:
			return
		}
	}
}

func (s *screen) close() { s.conn.Close() }
