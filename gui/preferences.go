// SPDX-License-Identifier: MIT

package gui

import (
	_ "embed" // ui
	"slices"

	"github.com/diamondburned/gotk4-adwaita/pkg/adw"
	"github.com/diamondburned/gotk4/pkg/gio/v2"

	"glick.org/glick/gui/state"
)

//go:embed ui/preferences.ui
var preferencesUI string

func (a *application) showPreferences() {
	b := build(preferencesUI)
	w := object[*adw.PreferencesWindow](b, "preferences")
	s := settings()
	bindChoice(s, object[*adw.ComboRow](b, "double_click"), "double-click", state.DoubleClicks)
	bindChoice(s, object[*adw.ComboRow](b, "install_mode"), "install-mode", state.InstallModes)
	newFolderRows(a, w, object[*adw.PreferencesGroup](b, "folders"))
	a.addExportSwitches(w, object[*adw.PreferencesGroup](b, "exports"))
	if parent := a.ActiveWindow(); parent != nil {
		w.SetTransientFor(parent)
		w.SetModal(true)
	}
	w.Present()
}

// bindChoice makes a row change a setting whose values are those of its lines, in order. Without the schema the row shows the default
// and cannot be changed.
func bindChoice(s *gio.Settings, row *adw.ComboRow, key string, values []string) {
	if s == nil {
		row.SetSensitive(false)
		return
	}
	if i := slices.Index(values, s.String(key)); i >= 0 {
		row.SetSelected(uint(i))
	}
	row.SetSensitive(s.IsWritable(key))
	row.NotifyProperty("selected", func() {
		if i := int(row.Selected()); i < len(values) {
			s.SetString(key, values[i])
		}
	})
}
