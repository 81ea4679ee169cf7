// SPDX-License-Identifier: MIT

package gui

import (
	"github.com/diamondburned/gotk4/pkg/gdk/v4"
	"github.com/diamondburned/gotk4/pkg/gio/v2"
	"github.com/diamondburned/gotk4/pkg/glib/v2"
	"github.com/diamondburned/gotk4/pkg/gtk/v4"

	"glick.org/glick/gui/state"
)

// How long the animations of style.css take, in milliseconds.
const (
	flight  = 420
	landing = 600
)

// animated says whether the person wants animations.
func (w *bundleWindow) animated() bool {
	on, _ := w.window.Settings().ObjectProperty("gtk-enable-animations").(bool)
	return on
}

// land shows that the application arrives in the folder: its icon flies there, unless it was carried there by hand.
func (w *bundleWindow) land() {
	if !w.flying {
		w.landed()
		return
	}
	w.source.AddCSSClass("flying")
	glib.TimeoutAdd(flight, func() bool {
		w.flying = false
		if !w.closed {
			w.source.RemoveCSSClass("flying")
			w.render()
			w.landed()
		}
		return false
	})
}

func (w *bundleWindow) landed() {
	w.target.AddCSSClass("landed")
	glib.TimeoutAdd(landing, func() bool {
		if !w.closed {
			w.target.RemoveCSSClass("landed")
		}
		return false
	})
}

// connectDrag makes the icon something to be dragged, and the folder and the window something to drop on.
func (w *bundleWindow) connectDrag() {
	drag := gtk.NewDragSource()
	drag.SetActions(gdk.ActionCopy)
	drag.ConnectPrepare(func(x, y float64) *gdk.ContentProvider {
		if !w.shown.CanDrag {
			return nil
		}
		drag.SetIcon(gtk.NewWidgetPaintable(w.icon).CurrentImage(), int(x), int(y))
		// The same as the file manager gives, so the icon can be dragged into a folder or a letter as well.
		uri := gio.NewFileForPath(w.model.File).URI()
		return gdk.NewContentProviderForBytes("text/uri-list", glib.NewBytesWithGo([]byte(uri+"\r\n")))
	})
	drag.ConnectDragBegin(func(gdk.Dragger) {
		w.source.AddCSSClass("dragging")
		w.target.AddCSSClass("waiting")
	})
	drag.ConnectDragEnd(func(gdk.Dragger, bool) {
		w.source.RemoveCSSClass("dragging")
		w.target.RemoveCSSClass("waiting")
	})
	w.icon.AddController(drag)

	target := onDropFiles(&w.target.Widget, func(paths []string) bool {
		w.target.RemoveCSSClass("over") // not every drop is followed by a leave
		w.carried = true
		w.send(state.Dropped{Files: paths, OnTarget: true})
		w.carried = w.carried && w.model.Task != state.Idle
		return true
	})
	target.ConnectEnter(func(_, _ float64) gdk.DragAction {
		w.target.AddCSSClass("over")
		return gdk.ActionCopy
	})
	target.ConnectLeave(func() { w.target.RemoveCSSClass("over") })
	onDropFiles(&w.window.Widget, func(paths []string) bool {
		w.send(state.Dropped{Files: paths})
		return true
	})
}
