// SPDX-License-Identifier: MIT

package apps

import (
	"context"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"glick.org/glick/bundle"
)

// Check compares everything in the listed bundles that were not compared yet to its digests, one after the other, and remembers the result: List does
// so with small ones only, as reading a large one takes seconds. A bundle that turns out damaged is trust.Damaged from then on, until its file changes.
// It tells whether it found such. The error is ctx's.
//
// The session service calls it when there is nothing else to do.
func Check(ctx context.Context) (damaged bool, err error) {
	l := current()
	done := map[stamp]bool{}
	for {
		path, s := l.unchecked(done)
		if path == "" || ctx.Err() != nil {
			return damaged, ctx.Err()
		}
		done[s] = true
		bad, err := l.checkContents(ctx, path, s)
		if err != nil && ctx.Err() != nil {
			return damaged, ctx.Err()
		}
		damaged = damaged || bad
	}
}

// unchecked finds a bundle that Check has not done yet.
func (l *library) unchecked(done map[stamp]bool) (string, stamp) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refresh()
	for path, f := range l.files {
		if f.sound() && !f.facts.Whole && !done[f.stamp] && f.stamp.age() > f.folder.settled() {
			return path, f.stamp
		}
	}
	return "", stamp{}
}

func (l *library) checkContents(ctx context.Context, path string, s stamp) (bad bool, err error) {
	in, st, err := open(path, unix.O_NOFOLLOW)
	if err != nil {
		return false, err
	}
	defer in.Close()
	if stampOf(st) != s {
		return false, nil
	}
	b, err := bundle.Read(in, st.Size)
	if err == nil {
		_, err = b.Verify(ctx, nil)
	}
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	kind := kindOf(err)
	if err != nil && kind == 0 {
		return false, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.files[path]
	var after unix.Stat_t
	if f == nil || f.stamp != s || f.facts == nil || unix.Fstat(int(in.Fd()), &after) != nil || stampOf(&after) != s {
		return false, nil
	}
	found := *f.facts
	if err == nil {
		found.Whole = true
	} else {
		found.Fault, found.Kind, found.Content = err.Error(), kind, contentOf(in, st.Size)
	}
	l.looker.cache.remember(s, &found, f.folder.settled())
	l.take(path, f.folder, seen{stamp: s, facts: &found})
	l.settle()
	return err != nil, nil
}

// installed remembers of a bundle that was just installed that all of it was checked, and says what List will say of it.
func (l *library) installed(app *App, f *os.File) {
	var st unix.Stat_t
	if unix.Fstat(int(f.Fd()), &st) != nil {
		return
	}
	if st.Size > small/2 {
		// Only what has not changed for a moment can be remembered. It took longer to copy.
		time.Sleep(settled + 10*time.Millisecond)
	}
	all, _, err := l.List()
	if err != nil {
		return
	}
	for _, a := range all {
		if a.File == app.File && a.Digest == app.Digest {
			*app = a
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.files[app.File]
	if now == nil || !now.sound() || now.facts.Whole || now.stamp != stampOf(&st) {
		return
	}
	found := *now.facts
	found.Whole = true
	now.facts = &found
	l.looker.cache.remember(now.stamp, &found, now.folder.settled())
	l.settle()
}
