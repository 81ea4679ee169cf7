// SPDX-License-Identifier: MIT

package main

import (
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"glick.org/glick/xdgexport"
	"glick.org/glick/xdgexport/sessionbus"
)

// What is switched off has gone from the desktop when the call is answered, all who listen hear of it, and other
// processes do the same.
func TestExportsSwitched(t *testing.T) {
	h := newHome(t, true)
	h.copy(build(t, "1"), h.dir+"/Apps/x.bundle")
	_, log := h.start()
	h.looked(log)
	service := ".local/share/dbus-1/services/" + id + ".service"
	if !h.exists(entry) || !h.exists(service) {
		t.Fatalf("it is not shown: %q", h.find())
	}
	signals := make(chan *dbus.Signal, 100)
	h.conn.Signal(signals)
	if err := h.conn.AddMatchSignal(dbus.WithMatchInterface(sessionbus.Interface), dbus.WithMatchMember(sessionbus.SignalChanged)); err != nil {
		t.Fatal(err)
	}
	set := func(kind string, on bool) {
		t.Helper()
		object := h.conn.Object(sessionbus.Name, sessionbus.Path)
		if err := object.Call(sessionbus.Interface+".SetExports", 0, map[string]bool{kind: on}).Err; err != nil {
			t.Fatal(err)
		}
		for {
			select {
			case s := <-signals:
				if s.Name == sessionbus.Interface+"."+sessionbus.SignalChanged {
					return
				}
			case <-time.After(20 * time.Second):
				t.Fatalf("nobody hears that %s was switched", kind)
			}
		}
	}
	set("services", false)
	if !h.exists(entry) || h.exists(service) {
		t.Errorf("with services switched off there are %q", h.find())
	}
	h.eventually("the log", func() bool { return strings.Contains(log.String(), "switched off in the preferences (services)") })
	set("fonts", false) // of which there are none
	h.enter()
	if _, _, err := xdgexport.SyncFolders(t.Context(), xdgexport.Options{}); err != nil || h.exists(service) {
		t.Errorf("another process shows it: %t, %v", h.exists(service), err)
	}
	set("services", true)
	if !h.exists(service) {
		t.Errorf("with services switched on there are %q", h.find())
	}
}
