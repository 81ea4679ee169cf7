// SPDX-License-Identifier: MIT

package gui

import (
	_ "embed" // ui

	"github.com/diamondburned/gotk4-adwaita/pkg/adw"
)

//go:embed ui/about.ui
var aboutUI string

func (a *application) showAbout() {
	// The bindings do not know this class; to them it is a plain window of libadwaita.
	about := object[*adw.Window](build(aboutUI), "about")
	about.SetObjectProperty("version", a.version)
	if w := a.ActiveWindow(); w != nil {
		about.SetTransientFor(w)
		about.SetModal(true)
	}
	about.Present()
}
