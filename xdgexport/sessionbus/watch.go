// SPDX-License-Identifier: MIT

package sessionbus

import (
	"context"
	"errors"

	"github.com/godbus/dbus/v5"

	"glick.org/glick/xdgexport/apps"
)

// Watch is [apps.Watch] that also tells of instances that have started or ended, as long as there is a service that says so; it starts none. onChange
// is called in one goroutine and one call at a time: at the beginning, and soon after List or Instances answer something else.
func Watch(ctx context.Context, onChange func()) error {
	changed := make(chan struct{}, 1)
	poke := func() {
		select {
		case changed <- struct{}{}:
		default: // who looks sees this as well
		}
	}
	ctx, end := context.WithCancel(ctx)
	ended := make(chan error, 2)
	go func() { ended <- apps.Watch(ctx, poke) }()
	go func() {
		listen(ctx, poke)
		ended <- nil
	}()
	var err error
	for running := 2; running > 0; {
		select {
		case <-changed:
			if ctx.Err() == nil {
				onChange()
			}
		case e := <-ended:
			running--
			if err = errors.Join(err, e); e != nil {
				end()
			}
		}
	}
	end()
	return err
}

// listen tells of the service's signals, and of its coming and going, until ctx or the bus ends.
func listen(ctx context.Context, changed func()) {
	conn, err := Connect(ctx)
	if err != nil {
		return
	}
	defer conn.Close()
	signals := make(chan *dbus.Signal, 16)
	conn.Signal(signals)
	err = conn.AddMatchSignalContext(ctx, dbus.WithMatchSender(Name), dbus.WithMatchInterface(Interface), dbus.WithMatchMember(SignalChanged))
	if err == nil {
		err = conn.AddMatchSignalContext(ctx, dbus.WithMatchSender("org.freedesktop.DBus"), dbus.WithMatchInterface("org.freedesktop.DBus"),
			dbus.WithMatchMember("NameOwnerChanged"), dbus.WithMatchArg(0, Name))
	}
	if err != nil {
		return
	}
	changed() // something may have been before
	for {
		select {
		case <-ctx.Done():
			return
		case s, ok := <-signals:
			if !ok {
				return
			}
			if s.Name == Interface+"."+SignalChanged || s.Name == "org.freedesktop.DBus.NameOwnerChanged" {
				changed()
			}
		}
	}
}
