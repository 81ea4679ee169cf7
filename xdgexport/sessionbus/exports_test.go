// SPDX-License-Identifier: MIT

package sessionbus

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/adrg/xdg"
	"github.com/godbus/dbus/v5"

	"glick.org/glick/xdgexport/apps"
)

// What is switched off is said and heard over the bus, and the desktop shows it before the call is answered.
func TestExports(t *testing.T) {
	p := newPlace(t)
	p.serve()
	want := map[string]bool{}
	for _, e := range apps.Exports() {
		want[string(e)] = true
	}
	is := func(what string) {
		t.Helper()
		var got map[string]bool
		if err := p.object().Call(Interface+".Exports", 0).Store(&got); err != nil || !maps.Equal(got, want) {
			t.Errorf("%s: shown are %v, want %v: %v", what, got, want, err)
		}
		if off := apps.SwitchedOff(); slices.ContainsFunc(apps.Exports(), func(e apps.Export) bool { return want[string(e)] == slices.Contains(off, e) }) {
			t.Errorf("%s: this process knows %q", what, off)
		}
	}
	is("in the beginning")
	want["fonts"], want["links"] = false, false
	if err := p.object().Call(Interface+".SetExports", 0, map[string]bool{"fonts": false, "links": false}).Err; err != nil || !slices.Equal(p.asked(), []string{"sync"}) {
		t.Error(err)
	}
	is("two switched off")
	want["fonts"] = true
	if err := SetExports(map[apps.Export]bool{apps.ExportFonts: true}); err != nil || !slices.Equal(p.asked(), []string{"sync"}) {
		t.Error(err)
	}
	is("one switched on")
	// Another process has done it.
	want["links"] = true
	if err := apps.SetExports(map[apps.Export]bool{apps.ExportLinks: true}); err != nil {
		t.Error(err)
	}
	is("all on")

	var remote dbus.Error
	err := p.object().Call(Interface+".SetExports", 0, map[string]bool{"fonts": false, "nonsense": false}).Err
	if !errors.As(err, &remote) || remote.Name != errorInvalidArgs {
		t.Errorf("a kind that is none: %v", err)
	}
	is("nothing changed")
	// It cannot be remembered.
	file := filepath.Join(xdg.DataHome, "glick", "apps.exports")
	if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Chmod(file, 0o666)); err != nil {
		t.Fatal(err)
	}
	err = p.object().Call(Interface+".SetExports", 0, map[string]bool{"fonts": false}).Err
	if !errors.As(err, &remote) || remote.Name != errorFailed || remote.Error() != "cannot remember what is switched off: it does not belong to you alone" {
		t.Errorf("a file of others: %v", err)
	}
}
