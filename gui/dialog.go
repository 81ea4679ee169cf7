// SPDX-License-Identifier: MIT

package gui

import (
	_ "embed" // ui
	"strings"

	"github.com/diamondburned/gotk4/pkg/glib/v2"
	"github.com/diamondburned/gotk4/pkg/gtk/v4"

	"glick.org/glick/gui/state"
)

//go:embed ui/dialog.ui
var dialogUI string

// buildDialog makes the dialogs of dialog.ui, of which one is shown. Labels are those of a question.
func buildDialog(no, yes string) *gtk.Builder {
	return build(strings.NewReplacer("@no@", glib.MarkupEscapeText(no, -1), "@yes@", glib.MarkupEscapeText(yes, -1)).Replace(dialogUI))
}

// showCause says what went wrong and waits for the person.
func showCause(parent *gtk.Window, c state.Cause) {
	b := buildDialog("", "")
	// The bindings do not know this class; to them it is a window.
	dialog := object[*gtk.Window](b, "dialog")
	dialog.SetObjectProperty("heading", c.Title)
	dialog.SetObjectProperty("body", c.Advice)
	detail := object[*gtk.Label](b, "detail")
	detail.SetText(c.Detail)
	object[*gtk.ScrolledWindow](b, "scroller").SetVisible(c.Detail != "")
	dialog.SetTransientFor(parent)
	presentDialog(dialog)
}

// presentDialog shows a dialog. The focus is on its default answer and not on what comes first: Enter and a look at the focus say the same.
func presentDialog(dialog *gtk.Window) {
	nameButtons(&dialog.Widget)
	dialog.Present()
	if def := dialog.DefaultWidget(); def != nil {
		gtk.BaseWidget(def).GrabFocus()
	}
}

// nameButtons mends what assistive technology reads for the buttons that a dialog makes of its answers: GTK 4.8 has their names twice, once with the
// underscore.
func nameButtons(w *gtk.Widget) {
	for child := w.FirstChild(); child != nil; {
		base := gtk.BaseWidget(child)
		if button, ok := child.(*gtk.Button); ok && button.Label() != "" {
			button.ResetProperty(gtk.AccessiblePropertyLabel)
		} else {
			nameButtons(base)
		}
		child = base.NextSibling()
	}
}

// ask asks a question, and calls answered when there is an answer. Closing the dialog is no.
func ask(parent *gtk.Window, q state.Question, answered func(yes bool)) {
	b := buildDialog(q.No, q.Yes)
	dialog := object[*gtk.Window](b, "question")
	dialog.SetObjectProperty("heading", q.Title)
	dialog.SetObjectProperty("body", q.Body)
	object[*gtk.Label](b, "question_detail").SetText(q.Detail)
	object[*gtk.Expander](b, "question_expander").SetVisible(q.Detail != "")
	dialog.Connect("response", func(response string) { answered(response == "yes") })
	dialog.SetTransientFor(parent)
	presentDialog(dialog)
}
