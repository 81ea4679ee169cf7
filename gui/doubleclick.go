// SPDX-License-Identifier: MIT

package gui

import (
	"context"

	"glick.org/glick/gui/state"
	"glick.org/glick/gui/tr"
	"glick.org/glick/gui/work"
	"glick.org/glick/xdgexport/apps"
)

// opened does what the setting "double-click" says with a bundle that was opened from outside.
func (a *application) opened(path string) {
	s := settings()
	if s == nil || s.String("double-click") == "window" {
		a.openBundle(path)
		return
	}
	wish := s.String("double-click")
	a.work(func() func() {
		action := state.Opened(wish, work.Standing(path))
		return func() {
			switch action {
			case state.OpenRun:
				a.run(path)
			case state.OpenInstall:
				a.install(path)
			default:
				a.openBundle(path)
			}
		}
	})
}

// run runs a bundle without a window. When that fails there is one, with the reason.
func (a *application) run(path string) {
	a.work(func() func() {
		words, err := work.Start(path)
		return func() {
			if err != nil {
				w := a.bundleWindow(path)
				w.present()
				w.whenLoaded(func() { w.send(state.StartFailed{Err: err, Words: words}) })
			}
		}
	})
}

// install installs a bundle and shows it among the others, with a way back. When that fails the bundle's window shows, with the reason.
func (a *application) install(path string) {
	a.showLibrary()
	w := a.library
	t := toast(w.toasts, tr.F("Installing {name}…", "name", fileName(path)), "")
	t.SetTimeout(0)
	a.work(func() func() {
		undo, _, err := work.Install(context.Background(), path, apps.InstallOptions{Move: installMoves()})
		return func() {
			t.Dismiss()
			if err != nil {
				w := a.bundleWindow(path)
				w.present()
				w.whenLoaded(func() {
					showCause(&w.window.Window, state.FailedCause(tr.F("Could Not Install {name}", "name", w.shown.Title), err, path))
				})
				return
			}
			if a.library == w {
				w.reloadLater()
				w.offerUndo(undo, tr.F("{name} installed", "name", fileName(path)))
			}
		}
	})
}
