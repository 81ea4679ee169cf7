// SPDX-License-Identifier: MIT

package gui

import (
	_ "embed" // ui
	"strings"
	"unicode/utf8"

	"github.com/diamondburned/gotk4-adwaita/pkg/adw"
	"github.com/diamondburned/gotk4/pkg/gdk/v4"
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
	scroller := object[*gtk.ScrolledWindow](b, "scroller")
	scroller.SetVisible(c.Detail != "")
	scroller.SetMinContentHeight(min(scroller.MaxContentHeight(), heightOf(detail, c.Detail)))
	dialog.SetTransientFor(parent)
	presentDialog(dialog)
}

// heightOf is how much room a label of a dialog needs for a text, in pixels. The dialog asks for it before it knows how wide it will be.
func heightOf(l *gtk.Label, text string) int {
	const letters, margins = 24, 24 // in a line of the narrowest dialog; above and below
	lines := 0
	for line := range strings.Lines(text) {
		lines += 1 + utf8.RuneCountInString(line)/letters
	}
	_, height := l.CreatePangoLayout("X").PixelSize()
	return margins + lines*height
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
	guardFocus(dialog, q.No)
	presentDialog(dialog)
}

// guardFocus keeps the focus on the safe answer until the person moves it: a dialog has its answers twice, side by side and one below the other, and when it
// changes from one to the other the focus goes to the first, which is the other answer.
func guardFocus(dialog *gtk.Window, safe string) {
	moved := false
	keys := gtk.NewEventControllerKey()
	keys.SetPropagationPhase(gtk.PhaseCapture)
	keys.ConnectKeyPressed(func(uint, uint, gdk.ModifierType) bool {
		moved = true
		return false
	})
	dialog.AddController(keys)
	click := gtk.NewGestureClick()
	click.SetPropagationPhase(gtk.PhaseCapture)
	click.ConnectPressed(func(int, float64, float64) { moved = true })
	dialog.AddController(click)
	back := func() {
		if moved || !dialog.Mapped() {
			return
		}
		if b := mappedButton(&dialog.Widget, safe); b != nil && !b.HasFocus() {
			b.GrabFocus()
		}
	}
	dialog.NotifyProperty("focus-widget", func() { inMain(back) })
}

// shown says whether a widget has a place in what is seen: of the two rows of answers, the other one is on its way out or has no size.
func shown(w *gtk.Widget) bool {
	for p := gtk.BaseWidget(w.Parent()); p != nil; {
		squeezer, ok := p.Cast().(*adw.Squeezer)
		if ok {
			child := squeezer.VisibleChild()
			return child == nil || w.IsAncestor(child) || gtk.BaseWidget(child).Eq(w)
		}
		parent := p.Parent()
		if parent == nil {
			return true
		}
		p = gtk.BaseWidget(parent)
	}
	return true
}

// mappedButton is the button with a label that can be seen; nil for none.
func mappedButton(w *gtk.Widget, label string) *gtk.Button {
	for child := w.FirstChild(); child != nil; {
		base := gtk.BaseWidget(child)
		if button, ok := child.(*gtk.Button); ok && button.Label() == label && button.Mapped() && shown(base) {
			return button
		}
		if b := mappedButton(base, label); b != nil {
			return b
		}
		child = base.NextSibling()
	}
	return nil
}
