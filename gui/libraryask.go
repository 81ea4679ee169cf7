// SPDX-License-Identifier: MIT

package gui

import (
	"context"
	_ "embed" // ui
	"strings"

	"github.com/diamondburned/gotk4/pkg/glib/v2"
	"github.com/diamondburned/gotk4/pkg/gtk/v4"

	"glick.org/glick/gui/state"
	"glick.org/glick/gui/tr"
	"glick.org/glick/gui/work"
)

//go:embed ui/question.ui
var questionUI string

// askUninstall asks whether to uninstall an application, or one version of it if file is not empty, and does it.
func (w *libraryWindow) askUninstall(key, file string) {
	a, ok := w.model.App(key)
	if !ok || len(a.Own()) == 0 {
		return
	}
	if !a.Usable() && a.Current().ID == "" {
		return // there is nothing but a file, which its page moves to the Trash
	}
	// What data there is must be known before it can be asked about.
	f := a.Current()
	w.app.work(func() func() {
		facts := work.Facts(w.ctx, f)
		return func() {
			if !w.closed {
				w.showUninstall(a, w.model.AskUninstall(a, file, facts))
			}
		}
	})
}

func (w *libraryWindow) showUninstall(a state.App, q state.UninstallQuestion) {
	b := build(questionUI)
	dialog := object[*gtk.Window](b, "uninstall")
	dialog.SetObjectProperty("heading", q.Heading)
	dialog.SetObjectProperty("body", q.Body)
	withData := object[*gtk.CheckButton](b, "with_data")
	label, folders, warning := object[*gtk.Label](b, "with_data_label"), object[*gtk.Label](b, "folders"), object[*gtk.Label](b, "warning")
	label.SetTextWithMnemonic(q.DataLabel)
	folders.SetText(q.DataText)
	warning.SetText(q.DataWarning)
	warning.SetVisible(q.DataWarning != "")
	withData.SetSensitive(q.CanDelete)
	describe(&withData.Widget, withoutMnemonic(q.DataLabel))
	object[*gtk.Box](b, "extra").SetVisible(q.DataLabel != "")
	dialog.Connect("response", func(response string) {
		if response == "uninstall" {
			var data []state.DataFolder
			if withData.Active() && q.CanDelete {
				data = q.Data
			}
			w.uninstall(a, q, data)
		}
	})
	nameButtons(&dialog.Widget)
	dialog.SetTransientFor(&w.window.Window)
	dialog.Present()
}

func (w *libraryWindow) uninstall(a state.App, q state.UninstallQuestion, data []state.DataFolder) {
	w.app.work(func() func() {
		removal, err := work.Remove(context.Background(), a.Key, q.Files, data)
		w.reload()
		return func() {
			switch {
			case w.closed:
			case err != nil:
				showCause(&w.window.Window, state.FailedCause(tr.F("Could Not Uninstall {name}", "name", a.Title()), err, a.Current().File))
			default:
				w.offerUndo(removal, q.Done(len(data) > 0))
			}
		}
	})
}

// askTrust asks whether to accept a changed signature, and does it.
func (w *libraryWindow) askTrust(f state.AppFile) {
	q := state.AskTrust(f)
	b := build(strings.ReplaceAll(questionUI, "@yes@", glib.MarkupEscapeText(q.Accept, -1)))
	dialog := object[*gtk.Window](b, "trust")
	dialog.SetObjectProperty("heading", q.Heading)
	dialog.SetObjectProperty("body", q.Body)
	key := object[*gtk.Label](b, "key")
	key.SetText(q.Detail)
	key.SetVisible(q.Detail != "")
	dialog.Connect("response", func(response string) {
		if response != "trust" {
			return
		}
		w.app.work(func() func() {
			err := work.Trust(context.Background(), f)
			w.reload()
			return func() {
				if err != nil && !w.closed {
					showCause(&w.window.Window, state.FailedCause(tr.T("Could Not Accept the Signature"), err, f.File))
				}
			}
		})
	})
	dialog.SetTransientFor(&w.window.Window)
	guardFocus(dialog, tr.T("_Cancel"))
	presentDialog(dialog)
}

// withoutMnemonic is a label as it is read aloud.
func withoutMnemonic(label string) string {
	out := make([]rune, 0, len(label))
	for _, r := range label {
		if r != '_' {
			out = append(out, r)
		}
	}
	return string(out)
}
