// SPDX-License-Identifier: MIT

package sessionbus

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/adrg/xdg"
	"github.com/godbus/dbus/v5"
)

func dataFolder() string { return xdg.DataHome }

// Connect connects to the session bus that is there; it never starts one. ctx is for connecting only; the caller closes the connection.
//
// It takes no descriptors: the library has no way to close those that come with a message that nobody has asked for, so that anybody on the bus could
// fill this process's table.
func Connect(ctx context.Context) (*dbus.Conn, error) {
	conn, err := open(ctx)
	if err != nil {
		return nil, err
	}
	// A bus that does not answer must not hold up the caller.
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	if err = conn.Auth(nil); err == nil {
		err = conn.Hello()
	}
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

func open(ctx context.Context) (*dbus.Conn, error) {
	address := os.Getenv("DBUS_SESSION_BUS_ADDRESS")
	if address == "" {
		// https://dbus.freedesktop.org/doc/dbus-specification.html#message-bus-types-login
		if dir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
			if info, err := os.Stat(filepath.Join(dir, "bus")); err == nil && info.Mode()&os.ModeSocket != 0 {
				address = "unix:path=" + url.PathEscape(filepath.Join(dir, "bus"))
			}
		}
	}
	var lastErr error
	for one := range strings.SplitSeq(address, ";") {
		name, ok := socketOf(one)
		if !ok {
			continue
		}
		var d net.Dialer
		socket, err := d.DialContext(ctx, "unix", name)
		if err != nil {
			lastErr = err
			continue
		}
		return dbus.NewConn(&buffered{socket, bufio.NewReader(socket)})
	}
	if lastErr != nil {
		return nil, lastErr
	}
	if address == "" || address == "autolaunch:" {
		return nil, errors.New("there is no session bus")
	}
	return dbus.SessionBusPrivateNoAutoStartup() // another kind of transport
}

// socketOf reads one server address of the D-Bus specification, if it is a socket of the file system or an abstract one.
func socketOf(address string) (name string, ok bool) {
	pairs, ok := strings.CutPrefix(strings.TrimSpace(address), "unix:")
	if !ok {
		return "", false
	}
	for pair := range strings.SplitSeq(pairs, ",") {
		key, value, _ := strings.Cut(pair, "=")
		value, err := url.PathUnescape(value)
		switch {
		case err != nil:
			return "", false
		case key == "path":
			return value, true
		case key == "abstract":
			return "@" + value, true
		}
	}
	return "", false
}

// buffered reads ahead: messages are decoded in small pieces.
type buffered struct {
	net.Conn
	r *bufio.Reader
}

func (b *buffered) Read(p []byte) (int, error) { return b.r.Read(p) }
