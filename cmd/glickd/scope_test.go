// SPDX-License-Identifier: MIT

package main

import (
	"os"
	"testing"

	"github.com/godbus/dbus/v5"

	"glick.org/glick/runtime/session"
)

func TestScopeName(t *testing.T) {
	for folder, want := range map[string]string{
		"org.example.App-1":         "app-glick-org.example.App-1.scope",
		"org.example.Two-Words-12":  `app-glick-org.example.Two\x2dWords-12.scope`,
		"org.example.Under_score-3": "app-glick-org.example.Under_score-3.scope",
		".hidden-1":                 `app-glick-\x2ehidden-1.scope`,
	} {
		if got := scopeName(folder); got != want {
			t.Errorf("%s: %s, want %s", folder, got, want)
		}
	}
}

// manager stands in for systemd, which is not there where tests run: this is its side of one call, on a real bus.
type manager struct{ calls chan []any }

func (m manager) StartTransientUnit(name, mode string, properties []unitProperty, aux []unitAux) (dbus.ObjectPath, *dbus.Error) {
	m.calls <- []any{name, mode, properties}
	return "/org/freedesktop/systemd1/job/1", nil
}

func TestPlace(t *testing.T) {
	h := newHome(t, true)
	b := &bus{conn: h.conn}
	if b.managed() {
		t.Fatal("there is a systemd on the bus")
	}
	i := session.Instance{ID: "org.example.App", Version: "1", File: "/home/u/Apps/x.bundle", PID: os.Getpid()}
	if err := b.place("org.example.App-1", i); err == nil {
		t.Error("placed without systemd")
	}
	systemd, err := dbus.Connect(h.env[3][len("DBUS_SESSION_BUS_ADDRESS="):])
	if err != nil {
		t.Fatal(err)
	}
	defer systemd.Close()
	m := manager{make(chan []any, 1)}
	if err := systemd.Export(m, systemdPath, systemdName+".Manager"); err != nil {
		t.Fatal(err)
	}
	if reply, err := systemd.RequestName(systemdName, dbus.NameFlagDoNotQueue); err != nil || reply != dbus.RequestNameReplyPrimaryOwner {
		t.Fatal(reply, err)
	}
	if !b.managed() {
		t.Fatal("systemd is not seen")
	}
	if err := b.place("org.example.App-1", i); err != nil {
		t.Fatal(err)
	}
	call := <-m.calls
	if call[0] != "app-glick-org.example.App-1.scope" || call[1] != "replace" {
		t.Errorf("%v", call)
	}
	for _, p := range call[2].([]unitProperty) {
		if p.Name == "PIDs" {
			if pids, ok := p.Value.Value().([]uint32); !ok || len(pids) != 1 || pids[0] != uint32(os.Getpid()) {
				t.Errorf("%v", p.Value)
			}
			return
		}
	}
	t.Error("no process is named")
}
