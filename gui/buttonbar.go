// SPDX-License-Identifier: MIT

package gui

import (
	"slices"

	"github.com/diamondburned/gotk4/pkg/gtk/v4"
	"github.com/diamondburned/gotk4/pkg/pango"

	"glick.org/glick/gui/state"
)

// buttonBar is the buttons at the bottom of a window.
type buttonBar struct {
	window  *gtk.Window
	box     *gtk.Box
	pressed func(state.Action)
	shown   []state.Button
	of      map[state.Action]*gtk.Button
}

func newButtonBar(window *gtk.Window, box *gtk.Box, pressed func(state.Action)) buttonBar {
	return buttonBar{window: window, box: box, pressed: pressed, of: map[state.Action]*gtk.Button{}}
}

// show keeps the buttons that stay, so that the focus does, and puts new ones in the place of others.
func (bar *buttonBar) show(bs []state.Button) {
	same := slices.EqualFunc(bs, bar.shown, func(a, b state.Button) bool {
		return a.Action == b.Action && a.Label == b.Label && a.Style == b.Style && a.Default == b.Default
	})
	if !same {
		bar.rebuild(bs)
	}
	for _, b := range bs {
		bar.of[b.Action].SetSensitive(b.Enabled)
	}
	// Focus and default button are the same one; a button that cannot be pressed keeps neither.
	for i, b := range bs {
		wasEnabled := same && bar.shown[i].Enabled
		if b.Default && b.Enabled && !wasEnabled {
			bar.window.SetDefaultWidget(bar.of[b.Action])
			bar.of[b.Action].GrabFocus()
		}
	}
	bar.shown = bs
}

func (bar *buttonBar) rebuild(bs []state.Button) {
	bar.window.SetDefaultWidget(nil)
	for child := bar.box.FirstChild(); child != nil; child = bar.box.FirstChild() {
		bar.box.Remove(child)
	}
	clear(bar.of)
	row := func() *gtk.Box {
		box := gtk.NewBox(gtk.OrientationHorizontal, 6)
		box.SetHomogeneous(true)
		bar.box.Append(box)
		return box
	}
	line := row()
	for i, b := range bs {
		if len(bs) > 2 && i == len(bs)-1 {
			line = row() // three in one line do not fit a narrow window in every language
		}
		button := newButton(b.Label)
		switch b.Style {
		case state.Suggested:
			button.AddCSSClass("suggested-action")
		case state.Destructive:
			button.AddCSSClass("uninstall") // quieter than the theme's: it can be undone
		}
		wrapLabel(button)
		button.AddCSSClass("pill")
		button.SetHExpand(true)
		button.ConnectClicked(func() { bar.pressed(b.Action) })
		line.Append(button)
		bar.of[b.Action] = button
	}
}

// wrapLabel breaks the text of a button into lines where there is not enough room: a verb that is cut off tells nothing.
func wrapLabel(button *gtk.Button) {
	if text, ok := button.Child().(*gtk.Label); ok {
		text.SetEllipsize(pango.EllipsizeNone)
		text.SetWrap(true)
		text.SetJustify(gtk.JustifyCenter)
	}
}
