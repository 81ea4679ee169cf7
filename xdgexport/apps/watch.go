// SPDX-License-Identifier: MIT

package apps

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// quiet is how long a folder must be still before it is looked at; a move or the end of a copy is several events.
	quiet = 60 * time.Millisecond
	// patience is how long a look is put off at most while something large is being copied all the time.
	patience = time.Second
)

// Watch calls onChange, in one goroutine and one call at a time, soon after something in the bundle folders has
// changed: also when a folder appears or goes away. It returns when ctx ends, with nil, or when nothing can be watched.
// Whether a file is complete is not judged here: its content says so (see List), and every write to it is a change.
func Watch(ctx context.Context, onChange func()) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("cannot watch the bundle folders: %w", err)
	}
	defer w.Close()
	folders := watched{w: w, folders: Folders()}
	if folders.arm(); len(w.WatchList()) == 0 {
		return fmt.Errorf("cannot watch the bundle folders: %w", folders.err)
	}
	var (
		timer   = time.NewTimer(0) // one look at the beginning: something may have changed before the watch was there
		pending = true
		since   = time.Now()
	)
	defer timer.Stop()
	note := func() {
		if !pending {
			pending, since = true, time.Now()
		}
		timer.Reset(max(0, min(quiet, patience-time.Since(since))))
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case e, ok := <-w.Events:
			if !ok {
				return nil
			}
			rearm, relevant := folders.judge(e)
			if rearm {
				folders.arm()
			}
			if relevant {
				note()
			}
		case err, ok := <-w.Errors:
			if !ok {
				return nil
			}
			// Mostly an overflow: events were lost, so look at everything.
			if errors.Is(err, fsnotify.ErrEventOverflow) {
				folders.arm()
			}
			note()
		case <-timer.C:
			pending = false
			onChange()
		}
	}
}

// watched keeps a watch on each folder or, while it does not exist, on the nearest parent that does.
type watched struct {
	w       *fsnotify.Watcher
	folders []string
	on      map[string]bool
	err     error
}

func (f *watched) arm() {
	need := map[string]bool{}
	for _, dir := range f.folders {
		for {
			if info, err := os.Stat(dir); err == nil && info.IsDir() {
				need[dir] = true
				break
			}
			parent := filepath.Dir(dir)
			if parent == dir {
				break
			}
			dir = parent
		}
	}
	for dir := range f.on {
		if !need[dir] {
			_ = f.w.Remove(dir)
		}
	}
	f.on = map[string]bool{}
	for dir := range need {
		// Adding what is watched already costs nothing, and mends a watch on a folder that was replaced.
		if err := f.w.Add(dir); err != nil {
			f.err = err
			continue
		}
		f.on[dir] = true
	}
}

// judge tells whether an event may change what is watched, and what is installed.
func (f *watched) judge(e fsnotify.Event) (rearm, relevant bool) {
	dir, base := filepath.Split(e.Name)
	dir = filepath.Clean(dir)
	for _, folder := range f.folders {
		switch {
		case e.Name == folder, strings.HasPrefix(folder, strings.TrimSuffix(e.Name, "/")+"/"):
			// The folder itself, or a parent of it, came or went.
			if !e.Has(fsnotify.Write) && !(e.Op == fsnotify.Chmod) {
				return true, true
			}
		case dir == folder && !strings.HasPrefix(base, "."):
			relevant = true
		}
	}
	return false, relevant
}
