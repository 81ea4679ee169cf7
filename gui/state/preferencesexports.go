// SPDX-License-Identifier: MIT

package state

import (
	"errors"
	"maps"
	"slices"
	"syscall"

	"glick.org/glick/gui/tr"
	"glick.org/glick/xdgexport/apps"
)

// ExportSwitches are the switches of what applications may add to the desktop. Each shows at once what the user wants; what is wanted is carried out
// one change after the other. The zero value has everything on.
type ExportSwitches struct {
	off    []apps.Export        // as last heard
	wanted map[apps.Export]bool // by the user, and not yet so
	sent   map[apps.Export]bool // of that, what is being carried out; nil for nothing
}

// ExportRow is one of the switches.
type ExportRow struct {
	Kind        apps.Export
	Title, Text string
	On          bool
	Enabled     bool // false where it changes nothing, because another one is off
}

// Heard takes over which kinds are switched off.
func (s *ExportSwitches) Heard(off []apps.Export) { s.off = off }

// Switch is for a switch that the user has moved. It returns what is to be carried out now, nil for nothing.
func (s *ExportSwitches) Switch(kind apps.Export, on bool) (do map[apps.Export]bool) {
	if s.wanted == nil {
		s.wanted = map[apps.Export]bool{}
	}
	s.wanted[kind] = on
	return s.next()
}

// Done is for the end of what was to be carried out; off is what is switched off then. After an error the switches show that. It returns what is to
// be carried out now, nil for nothing.
func (s *ExportSwitches) Done(err error, off []apps.Export) (do map[apps.Export]bool) {
	for kind, on := range s.sent {
		if s.wanted[kind] == on {
			delete(s.wanted, kind)
		}
	}
	if err != nil {
		s.wanted = nil
	}
	s.sent = nil
	s.Heard(off)
	return s.next()
}

func (s *ExportSwitches) next() map[apps.Export]bool {
	if s.sent != nil || len(s.wanted) == 0 {
		return nil
	}
	s.sent = maps.Clone(s.wanted)
	return s.sent
}

func (s *ExportSwitches) on(kind apps.Export) bool {
	if on, ok := s.wanted[kind]; ok {
		return on
	}
	return !slices.Contains(s.off, kind)
}

// SwitchCause says why something could not be switched.
func SwitchCause(err error) Cause {
	c := causeOf(err, "")
	c.Title = tr.T("Could Not Change What Applications Add")
	if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
		c.Advice = tr.T("The switches show what is set now.")
	}
	return c
}

// exportNeeds says which kinds are shown only together with another one.
var exportNeeds = map[apps.Export]apps.Export{apps.ExportCommandHelp: apps.ExportCommands, apps.ExportSearch: apps.ExportServices}

// Rows are the switches, in their order.
func (s *ExportSwitches) Rows() []ExportRow {
	var rows []ExportRow
	for _, kind := range apps.Exports() {
		title, text := exportWords(kind)
		needs, has := exportNeeds[kind]
		rows = append(rows, ExportRow{Kind: kind, Title: title, Text: text, On: s.on(kind), Enabled: !has || s.on(needs)})
	}
	return rows
}

// exportWords say to people what a kind is.
func exportWords(kind apps.Export) (title, text string) {
	switch kind {
	case apps.ExportFileTypes:
		return tr.T("File Types"), tr.T("Files can be opened in applications")
	case apps.ExportLinks:
		return tr.T("Links"), tr.T("Links can be opened in applications")
	case apps.ExportCommands:
		return tr.T("Commands"), tr.T("Programs can be started in a terminal")
	case apps.ExportCommandHelp:
		return tr.T("Help for Commands"), tr.T("Manual pages, and completion in the terminal")
	case apps.ExportServices:
		return tr.T("Background Services"), tr.T("Other programs can start applications")
	case apps.ExportSearch:
		return tr.T("Search"), tr.T("Applications can answer searches in the overview")
	case apps.ExportFonts:
		return tr.T("Fonts"), tr.T("All programs can use the fonts of applications")
	}
	return string(kind), ""
}

// offerException makes the row that says what is switched off a switch, by which it is shown of this application all the same.
func (v *DetailsView) offerException(facts AppFacts) {
	i := slices.IndexFunc(v.Adds, func(r Row) bool { return r.ID == "off" })
	if i < 0 {
		return
	}
	v.CanExcept, v.Excepted = true, facts.Excepted
	v.Adds[i].Icon = "emblem-system-symbolic"
	v.Adds[i].Text = tr.F("Off in the preferences: {kinds}", "kinds", v.Adds[i].Text)
	v.Adds[i].Title = tr.T("Show What Is Switched Off")
}
