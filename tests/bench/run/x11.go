// SPDX-License-Identifier: MIT

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"
)

// screen is a connection to an X server that is told of each window that appears, and can ask for what it shows. The protocol is that of the X Window System
// Protocol, version 11, in little-endian.
type screen struct {
	conn    net.Conn
	mapped  chan mapping
	answers chan []byte // nil when the server says that it cannot be done
}

type mapping struct {
	window uint32
	at     time.Time
}

const (
	eventError           = 0
	eventReply           = 1
	eventMapNotify       = 19
	genericEvent         = 35
	requestAttributes    = 2       // ChangeWindowAttributes
	requestGeometry      = 14      // GetGeometry
	requestImage         = 73      // GetImage
	pixmapZ              = 2       // its format
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
	moreOffset           = 4 // in a reply or a generic event, how many times four bytes follow it
	mostMore             = 1 << 24
	geometryWidth        = 16 // offsets in its reply
	geometryHeight       = 18
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
	s := &screen{conn, make(chan mapping, mappingsNobodyWanted), make(chan []byte, 1)}
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
	defer close(s.answers)
	event := make([]byte, eventSize)
	for {
		if _, err := io.ReadFull(s.conn, event); err != nil {
			return
		}
		now := time.Now()
		switch event[0] & 0x7f {
		case eventError:
			s.answers <- nil
		case eventReply, genericEvent:
			more := 4 * int64(binary.LittleEndian.Uint32(event[moreOffset:]))
			if more > mostMore {
				return
			}
			whole := append(slices.Clone(event), make([]byte, more)...)
			if _, err := io.ReadFull(s.conn, whole[eventSize:]); err != nil {
				return
			}
			if event[0] == eventReply {
				s.answers <- whole
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

// ask sends a request and returns the reply, which is nil when the server cannot do it.
func (s *screen) ask(request []byte) ([]byte, error) {
	if _, err := s.conn.Write(request); err != nil {
		return nil, err
	}
	answer, ok := <-s.answers
	if !ok {
		return nil, errors.New("the X server has ended")
	}
	return answer, nil
}

// lines is some of the window's lines, of the same distance from each other, as they are seen now; nil when it cannot be seen.
func (s *screen) lines(window uint32, count int) ([]byte, error) {
	head := func(opcode, data byte, length uint16) []byte {
		return binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint16([]byte{opcode, data}, length), window)
	}
	g, err := s.ask(head(requestGeometry, 0, 2))
	if g == nil {
		return nil, err
	}
	width, height := binary.LittleEndian.Uint16(g[geometryWidth:]), binary.LittleEndian.Uint16(g[geometryHeight:])
	var all []byte
	for i := range count {
		r := head(requestImage, pixmapZ, 5)
		for _, v := range []uint16{0, uint16((2*i + 1) * int(height) / (2 * count)), width, 1} { // x, y, and the size
			r = binary.LittleEndian.AppendUint16(r, v)
		}
		line, err := s.ask(binary.LittleEndian.AppendUint32(r, ^uint32(0)))
		if line == nil {
			return nil, err
		}
		all = append(all, line[eventSize:]...)
	}
	return all, nil
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
