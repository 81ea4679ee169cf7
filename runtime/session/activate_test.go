// SPDX-License-Identifier: MIT

package session

import (
	"encoding/binary"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestBusPath(t *testing.T) {
	for address, want := range map[string]string{
		"unix:path=/run/user/1000/bus":                 "/run/user/1000/bus",
		"unix:path=/run/user/1000/bus,guid=0123456789": "/run/user/1000/bus",
		"unix:guid=01,abstract=/tmp/dbus-x":            "@/tmp/dbus-x",
		"unix:path=/tmp/a%20b%2cc":                     "/tmp/a b,c",
		"unix:path=/tmp/a%2":                           "",
		"unix:path=/tmp/a%zz":                          "",
		"unix:path=/tmp/%00":                           "",
		"unix:path=":                                   "",
		"unix:runtime=yes":                             "",
		"tcp:host=localhost,port=1":                    "",
		"":                                             "",
	} {
		if got := busPath(address); got != want {
			t.Errorf("%q: %q, want %q", address, got, want)
		}
	}
}

// TestStrangeBus talks to buses that do not keep to the protocol: that ends soon, in an error. The real bus is in the tests of glickd.
func TestStrangeBus(t *testing.T) {
	message := func(kind byte, fields, body string) string {
		m := []byte{'l', kind, 0, 1}
		m = binary.LittleEndian.AppendUint32(m, uint32(len(body)))
		m = binary.LittleEndian.AppendUint32(m, 1)
		m = binary.LittleEndian.AppendUint32(m, uint32(len(fields)))
		return string(m) + fields + strings.Repeat("\x00", -len(fields)&7) + body
	}
	replyTo := func(serial string) string { return "\x05\x01u\x00" + serial + "\x00\x00\x00" }
	const ok = "OK 0123456789abcdef\r\n"
	cases := map[string]string{
		"closes":              "",
		"refuses":             "REJECTED EXTERNAL\r\n",
		"a line without end":  strings.Repeat("x", 10000),
		"no message":          ok + "what is this? something else",
		"a huge body":         ok + "l\x02\x00\x01\xff\xff\xff\xff\x01\x00\x00\x00\x00\x00\x00\x00",
		"huge fields":         ok + "l\x02\x00\x01\x00\x00\x00\x00\x01\x00\x00\x00\xff\xff\xff\xff",
		"a long string":       ok + message(2, "\x06\x01s\x00\xff\xff\xff\xff", ""),
		"a cut string":        ok + message(2, "\x06\x01s\x00\xff\x00", ""),
		"a cut signature":     ok + message(2, "\x08\x01g\x00\xff", ""),
		"an unknown field":    ok + message(2, "\x09\x01v\x00\x00\x00\x00\x00", ""),
		"an error":            ok + message(3, replyTo("\x01"), "\x02\x00\x00\x00no\x00"),
		"an error, cut":       ok + message(3, replyTo("\x01"), "\xff\xff\xff\xffno\x00"),
		"an empty error":      ok + message(3, replyTo("\x01"), ""),
		"then nothing":        ok + message(2, replyTo("\x01"), ""),
		"an answer to others": ok + strings.Repeat(message(2, replyTo("\x09"), ""), 100),
		"silence":             ok,
	}
	for name, says := range cases {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "bus")
			l, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				c, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = c.Write([]byte(says))
				if name == "silence" {
					return // and leave it open
				}
				// What the other side has sent is read, or closing would take our words back.
				_ = c.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
				for buf := make([]byte, 4096); err == nil; {
					_, err = c.Read(buf)
				}
				c.Close()
			}()
			t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path="+path)
			begin := time.Now()
			started, err := startByBus(BusName, begin.Add(time.Second))
			if err == nil || started {
				t.Errorf("started %v, error %v", started, err)
			}
			if took := time.Since(begin); took > 3*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}
