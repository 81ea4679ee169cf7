// SPDX-License-Identifier: MIT

package gui

import (
	"image"
	"log/slog"

	"github.com/diamondburned/gotk4-adwaita/pkg/adw"
	coreglib "github.com/diamondburned/gotk4/pkg/core/glib"
	"github.com/diamondburned/gotk4/pkg/gdk/v4"
	"github.com/diamondburned/gotk4/pkg/glib/v2"
	"github.com/diamondburned/gotk4/pkg/gtk/v4"
	"github.com/diamondburned/gotk4/pkg/pango"

	"glick.org/glick/gui/state"
	"glick.org/glick/gui/tr"
)

// fallbackIcon stands for an application without a usable icon.
const fallbackIcon = "application-x-executable"

// build makes the objects of a .ui file.
func build(ui string) *gtk.Builder {
	b := gtk.NewBuilder()
	b.SetTranslationDomain(tr.Domain)
	if err := b.AddFromString(ui, len(ui)); err != nil {
		// The text is part of the program: an error in it is seen by whoever changes it, at once.
		slog.Error("a window description is wrong", "err", err)
	}
	return b
}

// object gives an object of a .ui file as what it is there.
func object[T coreglib.Objector](b *gtk.Builder, id string) T {
	return b.GetObject(id).Cast().(T)
}

// texture makes a picture for the screen. img must not be changed afterwards.
func texture(img *image.NRGBA) gdk.Paintabler {
	size := img.Bounds().Size()
	return gdk.NewMemoryTexture(size.X, size.Y, gdk.MemoryR8G8B8A8, glib.NewBytesWithGo(img.Pix), uint(img.Stride))
}

// setIcon shows img, or what stands for an application without an icon.
func setIcon(widget *gtk.Image, img *image.NRGBA) {
	if img == nil {
		widget.SetFromIconName(fallbackIcon)
		return
	}
	widget.SetFromPaintable(texture(img))
}

// describe gives a widget the name that assistive technology reads.
func describe(w *gtk.Widget, label string) {
	w.UpdateProperty([]gtk.AccessibleProperty{gtk.AccessiblePropertyLabel}, []coreglib.Value{*coreglib.NewValue(label)})
}

// newButton is a button whose name for assistive technology is label without its underscore: that of its text. GTK 4.8 would add
// its own, with the underscore, for a button that it labels itself.
func newButton(label string) *gtk.Button {
	text := gtk.NewLabelWithMnemonic(label)
	text.SetEllipsize(pango.EllipsizeEnd)
	button := gtk.NewButton()
	button.SetChild(text)
	button.AddCSSClass("text-button")
	text.SetMnemonicWidget(button)
	return button
}

// newNamedButton shows label, and its name for assistive technology is name.
func newNamedButton(label, name string) *gtk.Button {
	button := gtk.NewButton()
	button.SetChild(gtk.NewLabel(label))
	button.AddCSSClass("text-button")
	describe(&button.Widget, name)
	return button
}

// decorate hides a widget that only repeats what a text says from assistive technology.
func decorate(w *gtk.Widget) {
	w.UpdateState([]gtk.AccessibleState{gtk.AccessibleStateHidden}, []coreglib.Value{*coreglib.NewValue(true)})
}

// plainRow is a row whose texts are shown as they are: text from a file must never be markup.
func plainRow() *adw.ActionRow {
	row := adw.NewActionRow()
	row.SetObjectProperty("use-markup", false)
	row.SetActivatable(false)
	return row
}

// factRow shows one fact and changes with it.
type factRow struct {
	*adw.ActionRow
	icon *gtk.Image
	busy *gtk.Spinner
	tone state.Tone
}

func newFactRow() *factRow {
	r := &factRow{ActionRow: plainRow(), icon: gtk.NewImage(), busy: gtk.NewSpinner()}
	r.icon.AddCSSClass("fact")
	r.AddPrefix(r.icon)
	r.busy.SetVisible(false)
	r.AddPrefix(r.busy)
	return r
}

var toneClass = map[state.Tone]string{state.Good: "tone-good", state.Warning: "tone-warning", state.Bad: "tone-bad"}

func (r *factRow) show(v state.Row) {
	r.SetTitle(v.Title)
	r.SetSubtitle(v.Text)
	r.icon.SetFromIconName(v.Icon)
	r.icon.SetVisible(!v.Busy)
	r.busy.SetVisible(v.Busy)
	decorate(&r.icon.Widget) // being shown makes it known again
	decorate(&r.busy.Widget)
	r.busy.SetSpinning(v.Busy)
	if r.tone != v.Tone {
		if c := toneClass[r.tone]; c != "" {
			r.RemoveCSSClass(c)
		}
		if c := toneClass[v.Tone]; c != "" {
			r.AddCSSClass(c)
		}
		r.tone = v.Tone
	}
}

// onEscape calls f when Escape is pressed and nothing inside the window wanted it, such as an open menu.
func onEscape(w *gtk.Widget, f func()) {
	keys := gtk.NewEventControllerKey()
	keys.SetPropagationPhase(gtk.PhaseBubble)
	keys.ConnectKeyPressed(func(keyval, _ uint, mods gdk.ModifierType) bool {
		if keyval != gdk.KEY_Escape || mods&gtk.AcceleratorGetDefaultModMask() != 0 {
			return false
		}
		f()
		return true
	})
	w.AddController(keys)
}

// toast says text in passing. action is what its button Undo does, "" for no button.
func toast(overlay *adw.ToastOverlay, text, action string) *adw.Toast {
	t := adw.NewToast(glib.MarkupEscapeText(text, -1))
	if action != "" {
		t.SetButtonLabel(tr.T("U_ndo")) // not the mnemonic of Uninstall and Update, which are there at the same time
		t.SetActionName(action)
		t.SetTimeout(10)
	}
	overlay.AddToast(t)
	whileShown(t, func() { nameToastButtons(&overlay.Widget) })
	return t
}

// whileShown calls f soon and then again and again until the toast has gone: its widgets come when the toasts before it have gone, and nothing tells
// when that is.
func whileShown(t *adw.Toast, f func()) {
	const every, most = 200, 150 // milliseconds; times
	times := 0
	t.ConnectDismissed(func() { times = most })
	again := func() bool {
		if times < most {
			f()
		}
		times++
		return times < most
	}
	inMain(func() { again() })
	glib.TimeoutAdd(every, again)
}

// nameToastButtons mends what assistive technology reads for the buttons of the toasts that are shown: libadwaita gives the one that
// closes a toast no name, and GTK 4.8 reads the other's twice, once with the underscore.
func nameToastButtons(w *gtk.Widget) {
	for child := w.FirstChild(); child != nil; {
		base := gtk.BaseWidget(child)
		button, isButton := child.(*gtk.Button)
		switch {
		case base.CSSName() == "stack" || base.CSSName() == "scrolledwindow":
			// the window's content, not a toast
		case isButton && button.Label() != "":
			button.ResetProperty(gtk.AccessiblePropertyLabel)
		case isButton:
			describe(base, tr.T("Dismiss"))
		default:
			nameToastButtons(base)
		}
		child = base.NextSibling()
	}
}
