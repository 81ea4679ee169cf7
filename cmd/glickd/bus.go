// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"errors"

	"github.com/godbus/dbus/v5"

	"glick.org/glick/xdgexport/sessionbus"
)

// bus is the service's place on the session bus.
type bus struct {
	conn   *dbus.Conn
	server *sessionbus.Server
}

// connectBus takes the service's name on the session bus that is there; it starts none. errRunning says that the name
// is taken. What the options name is called from then on.
func connectBus(ctx context.Context, o sessionbus.ServerOptions) (*bus, error) {
	conn, err := sessionbus.Connect(ctx)
	if err != nil {
		return nil, err
	}
	server, err := sessionbus.Serve(ctx, conn, o)
	if err != nil {
		conn.Close()
		if errors.Is(err, sessionbus.ErrTaken) {
			return nil, errRunning
		}
		return nil, err
	}
	return &bus{conn, server}, nil
}

// gone ends when the bus does.
func (b *bus) gone() context.Context { return b.conn.Context() }

func (b *bus) close() { b.conn.Close() }
