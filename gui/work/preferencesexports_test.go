// SPDX-License-Identifier: MIT

package work

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"glick.org/glick/internal/sample"
	"glick.org/glick/xdgexport/apps"
)

func TestSwitchExports(t *testing.T) {
	home := newHome(t)
	tree := sample.App(sampleID)
	tree["bin/own"] = "#!/bin/sh\n"
	dir := filepath.Join(home, "Apps")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	file := sample.BuildCommands(t, dir, sampleID, "1", tree, "own")
	Refresh(t.Context())
	service, command := filepath.Join(home, ".local/share/dbus-1/services", sampleID+".service"), filepath.Join(home, ".local/bin/own")
	if !There(service) || !There(command) {
		t.Fatal("it is not shown")
	}
	off, err := SwitchExports(t.Context(), map[apps.Export]bool{apps.ExportServices: false, apps.ExportCommands: false})
	if err != nil || !slices.Equal(off, []apps.Export{apps.ExportCommands, apps.ExportServices}) || There(service) || There(command) {
		t.Errorf("off are %q, %v; the service is there: %t, the command: %t", off, err, There(service), There(command))
	}
	// Of an application, and of a file that is to be one, it is said.
	list, err := Apps()
	if err != nil {
		t.Fatal(err)
	}
	if a := Facts(t.Context(), list[0].Current()).Adds; a == nil || !slices.Equal(a.Off, off) || len(a.Services)+len(a.Commands) > 0 || len(a.Left) != 2 {
		t.Errorf("it adds %+v", a)
	}
	for _, f := range []string{file, sample.BuildCommands(t, t.TempDir(), "org.example.Other", "1", sample.Tree{"bin/app": "x", "bin/own": "x"}, "own")} {
		if a, err := adds(f); err != nil || !slices.Contains(a.Off, apps.ExportCommands) || len(a.Commands) > 0 {
			t.Errorf("%s adds %+v, %v", f, a, err)
		}
	}
	// One is an exception.
	for _, on := range []bool{true, false} {
		if err := Except(t.Context(), sampleID, on); err != nil || There(command) != on {
			t.Errorf("excepted: %t: %v; the command is there: %t", on, err, There(command))
		}
		facts := Facts(t.Context(), list[0].Current())
		if a := facts.Adds; facts.Excepted != on || a == nil || !slices.Equal(a.Off, off) || (len(a.Commands) > 0) != on || (len(a.Left) == 0) != on {
			t.Errorf("excepted: %t: %+v adds %+v", on, facts, a)
		}
	}
	if off, err := SwitchExports(t.Context(), map[apps.Export]bool{apps.ExportServices: true}); err != nil || len(off) != 1 || !There(service) || There(command) {
		t.Errorf("off are %q, %v; the service is there: %t, the command: %t", off, err, There(service), There(command))
	}
	heard := make(chan []apps.Export, 1)
	go WatchExports(t.Context(), func(off []apps.Export) { heard <- off })
	select {
	case off := <-heard:
		if !slices.Equal(off, []apps.Export{apps.ExportCommands}) {
			t.Errorf("heard is %q", off)
		}
	case <-time.After(20 * time.Second):
		t.Error("nothing is heard")
	}
}
