// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"path"
	"path/filepath"
	"strings"
	"time"

	"glick.org/glick/bundle"
	"glick.org/glick/xdgexport"
	"glick.org/glick/xdgexport/apps"
	"glick.org/glick/xdgexport/apps/trust"
)

// trustFacts say how a bundle's signature compares to what is remembered of its id.
type trustFacts struct {
	State string      `json:"state"`           // as in list
	Since *time.Time  `json:"since,omitempty"` // when something of the id was remembered first; missing when nothing is
	Keys  []trust.Key `json:"keys,omitempty"`  // that are remembered
	Why   string      `json:"why,omitempty"`   // it is damaged

	state trust.State
	key   trust.Key
}

// desktopFacts say what a bundle adds to the desktop.
type desktopFacts struct {
	Installed bool   `json:"installed"`
	Shown     bool   `json:"shown"`             // it is what the desktop shows of its id
	Instead   string `json:"instead,omitempty"` // the version that is shown
	AllUsers  bool   `json:"all-users"`         // it is installed for all users
	Autostart bool   `json:"autostart"`         // the user wants it to be started with the session
	Excepted  bool   `json:"excepted"`          // the user wants everything of it shown, whatever is switched off

	Adds  xdgexport.Summary   `json:"adds"`
	Files []string            `json:"files,omitempty"` // below the data folder; "bin/…" and "autostart/…" in the ones for these
	Left  []xdgexport.LeftOut `json:"left-out,omitempty"`
}

// addDesktop finds out what this computer makes of a bundle. What cannot be found out is missing, and the error says why.
func (f *bundleFacts) addDesktop(b *bundle.Bundle) error {
	if f.Format != bundle.FormatBundle {
		return nil
	}
	file, err := filepath.Abs(f.File)
	if err != nil {
		return err
	}
	list, _, err := apps.List()
	if err != nil {
		return err
	}
	var app *apps.App
	for i := range list {
		if list[i].File == file && list[i].Digest == b.Digest() {
			app = &list[i]
		}
	}
	d := &desktopFacts{Installed: app != nil}
	if app == nil {
		found, err := apps.Find(file)
		if err != nil {
			return err
		}
		app = &found
	}
	t := &trustFacts{State: app.State.String(), state: app.State, key: app.Key, Why: app.Damage}
	if known := apps.Known(app.ID); known != nil && known.Known {
		t.Keys, t.Since = known.Keys, &known.Since
	}
	f.Trust = t
	if app.Origin != (apps.Origin{}) {
		f.Origin = &app.Origin
	}
	d.AllUsers, d.Autostart, d.Shown, d.Excepted = app.System, app.Autostart, app.Default, app.Excepted
	for _, a := range list {
		if a.ID != app.ID {
			continue
		}
		d.Autostart = a.Autostart
		if a.Default && a.File != app.File {
			d.Instead = a.Version
		}
	}
	preview := *app
	preview.Autostart = d.Autostart
	plan, err := xdgexport.Preview(preview, list, xdgexport.Options{})
	if err != nil {
		return err
	}
	d.Adds, d.Left = plan.Summary(), plan.Left
	for _, file := range plan.Files {
		d.Files = append(d.Files, file.Path)
	}
	f.Desktop = d
	return nil
}

// words says it to a person.
func (t *trustFacts) words(id string) string {
	var keys []string
	for _, k := range t.Keys {
		name := k.Fingerprint
		if k.Comment != "" {
			name = k.Comment + " (" + name + ")"
		}
		keys = append(keys, name)
	}
	switch {
	case t.state == trust.Damaged:
		return "damaged: " + t.Why
	case t.state == trust.Changed:
		return "changed: it is not signed by the key of " + id + ", which is " + strings.Join(keys, " or ")
	case t.Since == nil && t.key.None():
		return "unsigned, and the first of " + id + " here"
	case t.Since == nil:
		return "the first of " + id + " here; its key is remembered once it is installed"
	case t.state == trust.Unsigned && len(t.Keys) > 0:
		return "unsigned, and accepted by you; the key of " + id + " is " + strings.Join(keys, " or ")
	case t.state == trust.Unsigned:
		return "unsigned, as " + id + " has been here"
	case len(t.Keys) == 0:
		return "the first of " + id + " that is signed; its key is remembered once it is installed"
	case t.state == trust.FirstSeen:
		return "first seen: its key is remembered as that of " + id
	}
	who := ""
	if t.key.Comment != "" {
		who = ", " + t.key.Comment
	}
	return "verified: signed by the key of " + id + who
}

// print shows it to a person, by a function that prints a line unless it is empty.
func (d *desktopFacts) print(id string, line func(string, any)) {
	where := "in your desktop"
	if d.AllUsers {
		where = "in the desktops of all users"
	}
	switch {
	case d.Shown:
		line("Shown", "yes, "+where)
	case d.Instead != "" && d.Installed:
		line("Shown", "no, version "+d.Instead+" is in use")
	case d.Instead != "":
		line("Shown", "no, version "+d.Instead+" is installed")
	case d.Installed:
		line("Shown", "no, it cannot be used as it is")
	default:
		line("Shown", "no, it is not installed")
	}
	if d.Autostart {
		line("Autostart", "yes")
	}
	if d.Excepted {
		line("Excepted", "yes, everything is shown whatever is switched off")
	}
	count := func(n int) string {
		if n == 0 {
			return ""
		}
		return fmt.Sprint(n)
	}
	const most = 12
	some := func(all []string) string {
		if len(all) > most {
			return strings.Join(all[:most], ", ") + fmt.Sprintf(" and %d more", len(all)-most)
		}
		return strings.Join(all, ", ")
	}
	line("Menu entries", some(d.Adds.Entries))
	line("Opens", some(d.Adds.Opens))
	line("Opens links", some(d.Adds.Schemes))
	line("New file types", some(d.Adds.Types))
	line("D-Bus services", some(d.Adds.Services))
	line("Search providers", some(d.Adds.Search))
	line("Starts", some(d.Adds.Autostart))
	line("Adds commands", some(d.Adds.Commands))
	line("Adds fonts", some(d.Adds.Fonts))
	line("Adds icons", count(d.Adds.Icons))
	line("Adds manual pages", count(d.Adds.Pages))
	left := leftWords(d.Left)
	for i, words := range left {
		if i == most {
			line("Left out", fmt.Sprintf("%d more; --json has them all", len(left)-most))
			break
		}
		line("Left out", words)
	}
}

// leftWords says what is left out and why, files of one folder that are for the same reason together.
func leftWords(left []xdgexport.LeftOut) []string {
	type group struct{ folder, reason string }
	var order []group
	members := map[group][]string{}
	for _, l := range left {
		g := group{path.Dir(l.Origin), l.Reason}
		if members[g] == nil {
			order = append(order, g)
		}
		members[g] = append(members[g], l.Origin)
	}
	words := make([]string, 0, len(order))
	for _, g := range order {
		what := members[g][0]
		if n := len(members[g]); n > 1 {
			what = fmt.Sprintf("%d of %s", n, g.folder)
		}
		words = append(words, what+": "+g.reason)
	}
	return words
}
