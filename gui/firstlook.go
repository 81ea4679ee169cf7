// SPDX-License-Identifier: MIT

package gui

import (
	"time"

	"github.com/diamondburned/gotk4/pkg/gdk/v4"
	"github.com/diamondburned/gotk4/pkg/glib/v2"
	"github.com/diamondburned/gotk4/pkg/gtk/v4"

	"glick.org/glick/gui/state"
	"glick.org/glick/gui/work"
)

const (
	// relateLook is how long what is known of a bundle by itself waits for how it relates to what is installed. That is mostly known at once, but
	// may take long when nobody has looked before.
	relateLook = 100 * time.Millisecond
	// paintTime is how long a window has to paint for the first time before what waits for that goes on: it may never be seen.
	paintTime = time.Second
)

// firstLook is what a bundle is, as soon as its first kilobytes are read.
type firstLook struct {
	file string
	done chan struct{} // closed when what follows is there

	look    work.Look
	err     error
	related chan state.Refreshed // how it relates to what is installed, if that comes later; otherwise nil
}

// lookAt begins to look at a file, given by its absolute path.
func lookAt(file string) *firstLook {
	l := &firstLook{file: file, done: make(chan struct{})}
	go func() {
		defer close(l.done)
		if l.look, l.err = work.Load(file, iconPixels); l.err != nil || l.look.Loaded.Related {
			return
		}
		related := make(chan state.Refreshed, 1)
		id := l.look.Loaded.Identity
		go func() {
			installed, from := work.Relate(file, id)
			related <- state.Refreshed{Installed: installed, Trust: from}
		}()
		select {
		case r := <-related:
			l.look.Loaded.Related, l.look.Loaded.Installed, l.look.Loaded.Trust = true, r.Installed, r.Trust
		case <-time.After(relateLook):
			l.related = related
		}
	}()
	return l
}

// whenPainted calls f once the widget has been painted, or a second later. What takes the processor would delay that.
func whenPainted(w *gtk.Widget, f func()) {
	done := false
	once := func() {
		if !done {
			done = true
			f()
		}
	}
	glib.TimeoutAdd(uint(paintTime.Milliseconds()), func() bool {
		once()
		return false
	})
	painted := func() {
		clock := gdk.BaseFrameClock(w.FrameClock())
		var handle glib.SignalHandle
		handle = clock.ConnectAfterPaint(func() {
			clock.HandlerDisconnect(handle)
			once()
		})
	}
	if w.Realized() {
		painted()
	} else {
		w.ConnectRealize(painted)
	}
}
