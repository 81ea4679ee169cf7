// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/godbus/dbus/v5"

	"glick.org/glick/runtime/session"
)

// Desktops know an application by the systemd unit that its processes are in. Where systemd manages the session, each instance gets a
// scope with the name that they expect: https://systemd.io/DESKTOP_ENVIRONMENTS

const (
	systemdName = "org.freedesktop.systemd1"
	systemdPath = "/org/freedesktop/systemd1"
)

// scopeName is the name of the scope of an instance whose folder has this name: its id, and its number behind the last dash.
func scopeName(folder string) string {
	id, number := folder, "0"
	if i := strings.LastIndexByte(folder, '-'); i >= 0 {
		id, number = folder[:i], folder[i+1:]
	}
	return "app-glick-" + escapeUnit(id) + "-" + number + ".scope"
}

// escapeUnit writes what may not be in a part of a unit's name as systemd-escape(1) does.
func escapeUnit(s string) string {
	var b strings.Builder
	for i, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == ':', c == '.' && i > 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, `\x%02x`, c)
		}
	}
	return b.String()
}

type unitProperty struct {
	Name  string
	Value dbus.Variant
}

type unitAux struct {
	Name       string
	Properties []unitProperty
}

// managed says whether a systemd manages the session.
func (b *bus) managed() bool {
	var owned bool
	err := b.conn.BusObject().Call("org.freedesktop.DBus.NameHasOwner", 0, systemdName).Store(&owned)
	return err == nil && owned
}

// place moves an instance's process into a scope of its own. It returns when systemd has taken the request.
func (b *bus) place(folder string, i session.Instance) error {
	properties := []unitProperty{
		{"Description", dbus.MakeVariant(i.ID + " " + i.Version)},
		{"PIDs", dbus.MakeVariant([]uint32{uint32(i.PID)})},
		{"SourcePath", dbus.MakeVariant(i.File)},
		{"CollectMode", dbus.MakeVariant("inactive-or-failed")},
		{"Slice", dbus.MakeVariant("app.slice")},
	}
	// A failed scope of the same name may still be there.
	err := b.conn.Object(systemdName, systemdPath).Call(systemdName+".Manager.StartTransientUnit", dbus.FlagNoAutoStart,
		scopeName(folder), "replace", properties, []unitAux{}).Err
	if err != nil {
		return fmt.Errorf("cannot give process %s a scope of its own: %w", strconv.Itoa(i.PID), err)
	}
	return nil
}
