// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"fmt"

	"github.com/godbus/dbus/v5"
	"github.com/godbus/dbus/v5/introspect"

	"glick.org/glick/xdgexport"
	"glick.org/glick/xdgexport/apps"
)

// description is what introspection answers.
const description = `<node name="` + xdgexport.BusPath + `">
  <interface name="` + xdgexport.BusInterface + `">
    <!-- Looks into the bundle folders and returns when the desktop shows what is there. -->
    <method name="Sync"/>
    <!-- The installed applications: id, version, name, file, size in bytes, installed for all users, in use of its id. -->
    <method name="List">
      <arg name="applications" type="a(ssssxbb)" direction="out"/>
    </method>
    <!-- Installed or running applications have changed. -->
    <signal name="Changed"/>
  </interface>` + introspect.IntrospectDataString + `</node>`

// bus is the service's place on the session bus.
type bus struct {
	conn *dbus.Conn
}

// connectBus takes the service's name on the session bus that is there; it starts none. errRunning says that the name
// is taken.
func connectBus(ctx context.Context, sync func(context.Context) error) (*bus, error) {
	conn, err := dbus.SessionBusPrivateNoAutoStartup()
	if err != nil {
		return nil, err
	}
	b := &bus{conn}
	if err := b.take(ctx, sync); err != nil {
		conn.Close()
		return nil, err
	}
	return b, nil
}

func (b *bus) take(ctx context.Context, sync func(context.Context) error) error {
	if err := b.conn.Auth(nil); err != nil {
		return err
	}
	if err := b.conn.Hello(); err != nil {
		return err
	}
	// Everything is in place before the name is: whoever waits for the name calls at once.
	if err := b.conn.Export(&methods{ctx, sync}, xdgexport.BusPath, xdgexport.BusInterface); err != nil {
		return err
	}
	if err := b.conn.Export(introspect.Introspectable(description), xdgexport.BusPath, "org.freedesktop.DBus.Introspectable"); err != nil {
		return err
	}
	reply, err := b.conn.RequestName(xdgexport.BusName, dbus.NameFlagDoNotQueue)
	if err != nil {
		return fmt.Errorf("cannot take the name %s: %w", xdgexport.BusName, err)
	}
	if reply != dbus.RequestNameReplyPrimaryOwner {
		return errRunning
	}
	return nil
}

// gone ends when the bus does.
func (b *bus) gone() context.Context { return b.conn.Context() }

func (b *bus) emitChanged() {
	_ = b.conn.Emit(xdgexport.BusPath, xdgexport.BusInterface+".Changed") // fails only when the bus is gone
}

func (b *bus) close() { b.conn.Close() }

// methods are what others can call.
type methods struct {
	ctx  context.Context
	sync func(context.Context) error
}

// Sync returns when the desktop shows what the bundle folders hold.
func (m *methods) Sync() *dbus.Error {
	if err := m.sync(m.ctx); err != nil {
		return failed(err)
	}
	return nil
}

// listed is an application as List sends it.
type listed struct {
	ID, Version, Name, File string
	Size                    int64
	System, Default         bool
}

// List answers with the installed applications, the default of each id first.
func (m *methods) List() ([]listed, *dbus.Error) {
	list, _, err := apps.List()
	if err != nil {
		return nil, failed(err)
	}
	out := make([]listed, 0, len(list))
	for _, a := range list {
		out = append(out, listed{a.ID, a.Version, a.Name, a.File, a.Size, a.System, a.Default})
	}
	return out, nil
}

func failed(err error) *dbus.Error {
	return dbus.NewError(xdgexport.BusInterface+".Error.Failed", []any{err.Error()})
}
