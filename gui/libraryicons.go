// SPDX-License-Identifier: MIT

package gui

import (
	"context"
	"image"
	"sync"

	"github.com/diamondburned/gotk4/pkg/gdk/v4"

	"glick.org/glick/gui/work"
)

// maxIcons is how many icons are kept: some windows full. At 96 pixels a side one takes 36 kB.
const maxIcons = 400

// nearView is how many rows from the middle of the view are drawn and their icons read. A list view keeps two hundred rows.
const nearView = 16

// iconReader reads icons of bundles in the background, those nearest to the middle of the view first, and those far from it not at all.
type iconReader struct {
	side  int // in pixels
	ready func(key string)

	// Of the main loop.
	icons map[string]gdk.Paintabler // nil for a bundle without one
	order []string                  // of icons, the oldest first

	mu     sync.Mutex
	wake   *sync.Cond
	wanted []iconWish // guarded by mu
	middle int        // guarded by mu; the row in the middle of the view
	asked  map[string]bool
	ended  bool
}

type iconWish struct {
	key, file string
	row       int
}

// newIconReader makes one that ends with ctx. ready is called in the main loop.
func newIconReader(ctx context.Context, side int, ready func(key string)) *iconReader {
	r := &iconReader{side: side, ready: ready, icons: map[string]gdk.Paintabler{}, asked: map[string]bool{}}
	r.wake = sync.NewCond(&r.mu)
	const readers = 2
	for range readers {
		go r.read()
	}
	context.AfterFunc(ctx, func() {
		r.mu.Lock()
		r.ended = true
		r.mu.Unlock()
		r.wake.Broadcast()
	})
	return r
}

// want gives the icon of a bundle if it is known, and otherwise has it read. key says which icon it is, and stays the same as long as
// the bundle does; row is where in the list it is.
func (r *iconReader) want(key, file string, row int) (icon gdk.Paintabler, known bool) {
	if icon, known = r.icons[key]; known {
		return icon, true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.asked[key] {
		r.asked[key] = true
		r.wanted = append(r.wanted, iconWish{key, file, row})
		r.wake.Signal()
	}
	return nil, false
}

// forget takes back a wish, for a row that has gone out of view.
func (r *iconReader) forget(key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, w := range r.wanted {
		if w.key == key {
			r.wanted = append(r.wanted[:i], r.wanted[i+1:]...)
			delete(r.asked, key)
			return
		}
	}
}

// look says which row is in the middle of the view.
func (r *iconReader) look(row int) {
	r.mu.Lock()
	r.middle = row
	r.mu.Unlock()
	r.wake.Broadcast()
}

// next takes the wish that is nearest to the middle of the view, if one is near. r.mu is held.
func (r *iconReader) next() (iconWish, bool) {
	best, nearest := -1, nearView+1
	for i, w := range r.wanted {
		if d := max(w.row-r.middle, r.middle-w.row); d < nearest {
			best, nearest = i, d
		}
	}
	if best < 0 {
		return iconWish{}, false
	}
	w := r.wanted[best]
	r.wanted = append(r.wanted[:best], r.wanted[best+1:]...)
	return w, true
}

func (r *iconReader) read() {
	for {
		r.mu.Lock()
		w, ok := r.next()
		for !ok && !r.ended {
			r.wake.Wait()
			w, ok = r.next()
		}
		ended := r.ended
		r.mu.Unlock()
		if ended {
			return
		}
		img := work.Icon(w.file, r.side)
		inMain(func() { r.take(w.key, img) })
	}
}

func (r *iconReader) take(key string, img *image.NRGBA) {
	r.mu.Lock()
	delete(r.asked, key)
	r.mu.Unlock()
	if _, known := r.icons[key]; !known {
		r.order = append(r.order, key)
	}
	r.icons[key] = nil
	if img != nil {
		r.icons[key] = texture(img)
	}
	if len(r.order) > maxIcons {
		delete(r.icons, r.order[0])
		r.order = r.order[1:]
	}
	r.ready(key)
}
