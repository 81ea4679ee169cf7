// SPDX-License-Identifier: MIT

package gui

import (
	"context"

	"github.com/diamondburned/gotk4-adwaita/pkg/adw"
	coreglib "github.com/diamondburned/gotk4/pkg/core/glib"
	"github.com/diamondburned/gotk4/pkg/gtk/v4"

	"glick.org/glick/gui/state"
	"glick.org/glick/gui/work"
	"glick.org/glick/xdgexport/apps"
)

// exportSwitches are the rows of the preferences that say what applications may add to the desktop.
type exportSwitches struct {
	a         *application
	window    *gtk.Window
	model     state.ExportSwitches
	rows      map[apps.Export]*adw.ActionRow
	switches  map[apps.Export]*gtk.Switch
	rendering bool // the switches move by what is known, not by the user
	closed    bool
}

// addExportSwitches fills a group of the preferences. They follow what others switch as long as the window is open.
func (a *application) addExportSwitches(w *adw.PreferencesWindow, group *adw.PreferencesGroup) {
	s := &exportSwitches{a: a, window: &w.Window.Window, rows: map[apps.Export]*adw.ActionRow{}, switches: map[apps.Export]*gtk.Switch{}}
	for _, r := range s.model.Rows() {
		row := plainRow()
		row.SetTitle(r.Title)
		row.SetSubtitle(r.Text)
		toggle := gtk.NewSwitch()
		toggle.SetVAlign(gtk.AlignCenter)
		// Its name for assistive technology is the row's title.
		toggle.UpdateProperty([]gtk.AccessibleProperty{gtk.AccessiblePropertyDescription}, []coreglib.Value{*coreglib.NewValue(r.Text)})
		toggle.NotifyProperty("active", func() {
			if !s.rendering {
				s.do(s.model.Switch(r.Kind, toggle.Active()))
				s.render()
			}
		})
		row.AddSuffix(toggle)
		row.SetActivatableWidget(toggle)
		group.Add(row)
		s.rows[r.Kind], s.switches[r.Kind] = row, toggle
	}
	s.model.Heard(apps.SwitchedOff()) // so that no switch moves when the window opens
	s.render()
	ctx, cancel := context.WithCancel(context.Background())
	w.ConnectCloseRequest(func() bool {
		s.closed = true
		cancel()
		return false
	})
	go work.WatchExports(ctx, func(off []apps.Export) {
		inMain(func() {
			if !s.closed {
				s.model.Heard(off)
				s.render()
			}
		})
	})
}

func (s *exportSwitches) render() {
	s.rendering = true
	for _, r := range s.model.Rows() {
		s.switches[r.Kind].SetActive(r.On)
		s.rows[r.Kind].SetSensitive(r.Enabled)
		s.switches[r.Kind].SetSensitive(r.Enabled) // for assistive technology, which the row's state does not tell
	}
	s.rendering = false
}

// do carries out what the user has switched.
func (s *exportSwitches) do(shown map[apps.Export]bool) {
	if shown == nil {
		return
	}
	s.a.work(func() func() {
		off, err := work.SwitchExports(context.Background(), shown)
		return func() {
			s.do(s.model.Done(err, off))
			if l := s.a.library; l != nil && l.details.page != nil {
				l.details.read()
			}
			if s.closed {
				return
			}
			s.render()
			if err != nil {
				showCause(s.window, state.SwitchCause(err))
			}
		}
	})
}

// addException gives a row of the details the switch that shows everything of the application.
func (p *detailsPage) addException(row *adw.ActionRow) {
	toggle := gtk.NewSwitch()
	toggle.SetVAlign(gtk.AlignCenter)
	toggle.SetActive(p.shown.Excepted)
	id := p.app.Key
	toggle.NotifyProperty("active", func() { p.except(id, toggle.Active()) })
	row.AddSuffix(toggle)
	row.SetActivatableWidget(toggle)
	p.exception = row
}

// except carries out what the user has switched; of several wishes in a row the last one counts.
func (p *detailsPage) except(id string, on bool) {
	_, busy := p.wishes[id]
	p.wishes[id] = on
	if busy {
		return
	}
	p.w.app.work(func() func() {
		err := work.Except(context.Background(), id, on)
		return func() {
			last := p.wishes[id]
			delete(p.wishes, id)
			switch {
			case err == nil && last != on:
				p.except(id, last)
			case p.w.closed || p.page == nil || p.app.Key != id:
			case err != nil:
				p.shown.Adds = nil // the switch is shown as it was, and then as it is
				p.render()
				p.read()
				showCause(&p.w.window.Window, state.SwitchCause(err))
			default:
				p.read()
			}
		}
	})
}
