// SPDX-License-Identifier: MIT

package state

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"syscall"
	"testing"

	"glick.org/glick/xdgexport/apps"
)

func TestExportSwitches(t *testing.T) {
	var s ExportSwitches
	shows := func(what string, off ...apps.Export) {
		t.Helper()
		for _, r := range s.Rows() {
			if r.On == slices.Contains(off, r.Kind) {
				t.Errorf("%s: %s is on: %t", what, r.Kind, r.On)
			}
		}
	}
	does := func(what string, got, want map[apps.Export]bool) {
		t.Helper()
		if !maps.Equal(got, want) || (got == nil) != (want == nil) {
			t.Errorf("%s: carried out is %v, want %v", what, got, want)
		}
	}
	const fonts, links, commands = apps.ExportFonts, apps.ExportLinks, apps.ExportCommands
	shows("in the beginning")
	s.Heard([]apps.Export{links})
	shows("as heard", links)

	// One is switched while another is being carried out, and that one back.
	does("first", s.Switch(fonts, false), map[apps.Export]bool{fonts: false})
	shows("first", links, fonts)
	does("second", s.Switch(commands, false), nil)
	does("back", s.Switch(fonts, true), nil)
	shows("before the first is done", links, commands)
	s.Heard([]apps.Export{links, fonts}) // of the first
	shows("what is heard meanwhile", links, commands)
	does("first done", s.Done(nil, []apps.Export{links, fonts}), map[apps.Export]bool{commands: false, fonts: true})
	shows("first done", links, commands)
	does("all done", s.Done(nil, []apps.Export{links, commands}), nil)
	shows("all done", links, commands)

	// What cannot be done is not shown as done, nor is what was to come after it.
	does("failing", s.Switch(links, true), map[apps.Export]bool{links: true})
	does("after it", s.Switch(fonts, false), nil)
	does("failed", s.Done(errors.New("no"), []apps.Export{links, commands}), nil)
	shows("failed", links, commands)
	does("again", s.Switch(links, true), map[apps.Export]bool{links: true})
	does("again", s.Done(nil, []apps.Export{commands}), nil)
	shows("again", commands)

	for _, r := range s.Rows() {
		if r.Title == "" || r.Text == "" || r.Title == string(r.Kind) {
			t.Errorf("no words for %s", r.Kind)
		}
		if r.Enabled == (r.Kind == apps.ExportCommandHelp) {
			t.Errorf("with commands off %s can be switched: %t", r.Kind, r.Enabled)
		}
	}
	s.Switch(apps.ExportServices, false)
	if i := slices.IndexFunc(s.Rows(), func(r ExportRow) bool { return r.Kind == apps.ExportSearch }); s.Rows()[i].Enabled {
		t.Error("without services search can be switched")
	}
}

func TestSwitchCause(t *testing.T) {
	for _, err := range []error{errors.New("no"), syscall.EROFS, syscall.ENOSPC} {
		c := SwitchCause(err)
		if c.Title == "" || c.Advice == "" || strings.Contains(c.Advice, "“") || c.Detail != err.Error() {
			t.Errorf("%v: %+v", err, c)
		}
	}
	if c := SwitchCause(syscall.ENOSPC); !strings.Contains(c.Advice, "Make room") {
		t.Errorf("%+v", c)
	}
}

// What is left out because it is switched off is said of an application.
func TestAddsSwitchedOff(t *testing.T) {
	rows := Model{Adds: &Adds{Entries: []string{"A"}, Off: []apps.Export{apps.ExportCommands, apps.ExportFonts}}}.addsRows()
	last := rows[len(rows)-1]
	if len(rows) != 2 || last.ID != "off" || last.Title != "Switched off in the preferences" || last.Text != "Commands, Fonts" {
		t.Errorf("%+v", rows)
	}
	// On the page of an application that can be used it is a switch.
	l := shelf()
	a, _ := l.App("org.example.Meadow")
	facts := AppFacts{File: a.Current().File, Loaded: true, Adds: &Adds{Off: []apps.Export{apps.ExportCommands}}, Excepted: true}
	v := l.Details(a, facts)
	last = v.Adds[len(v.Adds)-1]
	if !v.CanExcept || !v.Excepted || last.ID != "off" || last.Title != "Show What Is Switched Off" || last.Text != "Off in the preferences: Commands" {
		t.Errorf("%+v", v)
	}
	facts.Adds.Off = nil
	if v := l.Details(a, facts); v.CanExcept || v.Excepted {
		t.Errorf("%+v", v)
	}
	for i := range a.Files {
		a.Files[i].Err, facts.Adds.Off = errors.New("no"), []apps.Export{apps.ExportCommands}
	}
	if v := l.Details(a, facts); v.CanExcept {
		t.Errorf("what cannot be used can be an exception: %+v", v)
	}
}
