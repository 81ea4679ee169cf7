// SPDX-License-Identifier: MIT

package apps

import (
	"context"
	"fmt"
	"slices"
	"time"
)

const (
	// quiet is how long a file must be left alone before it is looked at; a move or the end of a copy is several events.
	quiet = 40 * time.Millisecond
	// patience is how long a look is put off at most while events keep coming.
	patience = 150 * time.Millisecond
	// writingTime is the time between two looks at a file that somebody writes. The end of it is seen at once.
	writingTime = 500 * time.Millisecond
	// pollTime is the time between two looks at folders whose changes the kernel does not tell. It is longer where looking takes long.
	pollTime = 3 * time.Second
)

// WatchOptions tell how to watch.
type WatchOptions struct {
	// Changed is called in one goroutine and one call at a time: once at the beginning, and then soon after what List answers has become another.
	Changed func()
	// Warn, when not nil, is told once when changes are seen late only, because a limit of the kernel is reached. It is called like Changed.
	Warn func(error)
	// Poll is the time between two looks at folders whose changes the kernel does not tell; three seconds when zero.
	Poll time.Duration
	// PollAll looks at all folders so, whatever they are on.
	PollAll bool
}

// Watch is Follow with onChange only.
func Watch(ctx context.Context, onChange func()) error {
	return Follow(ctx, WatchOptions{Changed: onChange})
}

// Follow calls o.Changed soon after what List answers has changed: files that came, went or were replaced, and folders that appear or go away, with
// parents that are not there yet, also by mounting. It returns nil when ctx ends. A file that somebody is writing is not judged until it is closed, or has been left
// alone for two seconds.
//
// Folders on network file systems, FUSE and removable media are looked at every few seconds as well, because others can change them; so are all
// folders when the kernel has no watches left.
//
// While it runs, List costs this process next to nothing.
func Follow(ctx context.Context, o WatchOptions) error {
	l := current()
	if !l.openEyes(o.PollAll) {
		// Somebody watches with this one already.
		l = newLibrary(settingsNow())
		l.openEyes(o.PollAll)
	}
	defer l.closeEyes()
	ctx, end := context.WithCancel(ctx)
	defer end()
	go l.eyes.wait(l)
	go l.eyes.mounts(ctx)
	if o.Poll <= 0 {
		o.Poll = pollTime
	}
	if o.Warn == nil {
		o.Warn = func(error) {}
	}
	w := watcher{library: l, o: o, last: -1}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-l.eyes.wake:
		case <-timer.C:
		}
		next := w.work()
		if ctx.Err() != nil {
			return nil
		}
		timer.Reset(next)
	}
}

// watcher is one Follow.
type watcher struct {
	*library
	o      WatchOptions
	last   int // version of the library that was told
	polled time.Time
	took   time.Duration
	warned bool
}

// work looks at what is due, tells of it, and says in what time there is more to do.
func (w *watcher) work() time.Duration {
	w.mu.Lock()
	now := time.Now()
	w.readBook()
	if !w.eyes.see(w.library) {
		w.scan()
		w.polled = now
	} else if next, polls := w.nextPoll(); polls && !now.Before(next) {
		looks := w.looker.looks
		for _, f := range w.folders {
			if w.polls(f) {
				w.scanFolder(f)
			}
		}
		w.polled = now
		if w.looker.looks == looks { // reading files that are new says nothing of the next time
			w.took = time.Since(now)
		}
	}
	for path, p := range w.dirty {
		if !p.due.After(now) {
			w.update(path)
		}
	}
	w.settle()
	next := time.Hour
	for _, p := range w.dirty {
		next = min(next, time.Until(p.due))
	}
	if poll, polls := w.nextPoll(); polls {
		next = min(next, time.Until(poll))
	}
	version, limit := w.version, w.eyes.limit
	w.mu.Unlock()

	if limit != nil && !w.warned {
		w.warned = true
		w.o.Warn(fmt.Errorf("changes of the bundle folders are seen within %v only, because the kernel gives no more watches "+
			"(fs.inotify.max_user_watches and max_user_instances): %w", w.o.Poll, limit))
	}
	if version != w.last {
		w.last = version
		w.o.Changed()
	}
	return max(next, 0)
}

// polls tells whether changes of a folder may not be seen otherwise.
func (w *watcher) polls(f *folder) bool { return w.eyes.blind || f.remote || f.unseen }

// nextPoll says when folders must be looked at, if any must be.
func (w *watcher) nextPoll() (time.Time, bool) {
	return w.polled.Add(max(w.o.Poll, 10*w.took)), slices.ContainsFunc(w.folders, w.polls)
}
