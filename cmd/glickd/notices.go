// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"glick.org/glick/xdgexport/apps"
	"glick.org/glick/xdgexport/apps/trust"
)

const (
	// incompleteTime is how long a file that may be on its way must stay as it is before that is told of.
	incompleteTime = time.Minute
	// manyNotices is how many new applications are told of one by one.
	manyNotices = 3
)

// notice is something that the user is to be told.
type notice struct {
	file          string // that it is about, whose window a click opens; empty for several
	id            string // of the application, empty when it is not known
	summary, body string
	warning       bool
	remember      string // told once and never again under this key; empty otherwise
}

// noticer finds out what the user is to be told. It is for one goroutine.
type noticer struct {
	own      *own
	reported *reported
	folders  []string // the bundle folders

	started bool
	seen    map[identity]bool  // bundles that were there
	told    map[string]string  // files that were told of as having something wrong, by what
	waiting map[string]unready // files that may be on their way
}

type unready struct {
	what string // tells its states apart
	due  time.Time
}

func newNoticer(o *own, r *reported) *noticer {
	return &noticer{own: o, reported: r, folders: apps.Folders(), told: map[string]string{}, waiting: map[string]unready{}}
}

// look compares what is in the folders to what was. over are files whose notices say no more what is so; wait is the time after which to look again
// though nothing has changed, zero for none.
func (n *noticer) look(now time.Time, list []apps.App, problems []apps.Problem) (show []notice, over []string, wait time.Duration) {
	show = n.newApps(list)
	faults, wait := n.faults(now, list, problems)
	for file, what := range n.told {
		if f, ok := faults[file]; !ok || f.remember != what {
			delete(n.told, file)
			over = append(over, file)
		}
	}
	for file, f := range faults {
		if n.told[file] == f.remember {
			continue
		}
		n.told[file] = f.remember
		if !n.reported.has(f.remember) {
			show = append(show, f)
		}
	}
	return show, over, wait
}

// newApps tells of applications that somebody has put into a folder while the service ran.
func (n *noticer) newApps(list []apps.App) (show []notice) {
	first := !n.started
	n.started = true
	had := map[string]bool{}
	for i := range n.seen {
		had[i.id] = true
	}
	seen := map[identity]bool{}
	var names []string
	for _, a := range list {
		i := identityOf(a)
		if first || n.seen[i] || !a.State.Usable() {
			// A damaged one is new when it has been repaired. One whose signature was accepted is not: that was the user.
			seen[i] = a.State != trust.Damaged
			continue
		}
		ours, known := n.own.judge(i)
		if !known {
			continue // it is still new when the call has ended
		}
		seen[i] = true
		if ours || a.System {
			continue // who has changed the folders of all users knows
		}
		one := notice{file: a.File, id: a.ID}
		if had[a.ID] {
			one.summary, one.body = addedText(a)
		} else {
			one.summary, one.body = installedText(a)
		}
		show = append(show, one)
		names = append(names, nameOf(a))
	}
	n.seen = seen
	n.own.forget()
	if len(show) > manyNotices {
		if len(names) > 6 {
			names = append(names[:6:6], "…")
		}
		all := notice{}
		all.summary, all.body = severalText(names)
		return []notice{all}
	}
	return show
}

// faults are the files that have something wrong, by path.
func (n *noticer) faults(now time.Time, list []apps.App, problems []apps.Problem) (faults map[string]notice, wait time.Duration) {
	faults = map[string]notice{}
	byFile := map[string]apps.App{}
	for _, a := range list {
		byFile[a.File] = a
		if a.State == trust.Changed {
			one := notice{file: a.File, id: a.ID, warning: true, remember: "changed " + a.ID + " " + a.Digest.String()}
			one.summary, one.body = changedText(a)
			faults[a.File] = one
		}
	}
	waiting := map[string]unready{}
	for _, p := range problems {
		if !slices.Contains(n.folders, filepath.Dir(p.File)) {
			continue // a folder, or what is remembered: nothing that a click could show
		}
		what := "broken " + p.Content
		if p.Content == "" {
			what = "unusable " + p.File + " " + p.Err.Error()
		}
		if p.Incomplete() {
			w, ok := n.waiting[p.File]
			if !ok || w.what != what {
				w = unready{what, now.Add(incompleteTime)}
			}
			waiting[p.File] = w
			if left := w.due.Sub(now); left > 0 {
				if wait == 0 || left < wait {
					wait = left
				}
				continue
			}
		}
		if errors.Is(p.Err, fs.ErrNotExist) {
			continue
		}
		app, ok := byFile[p.File]
		if !ok {
			app = apps.App{File: p.File}
		}
		one := notice{file: p.File, id: app.ID, warning: true, remember: what}
		one.summary, one.body = brokenText(app, p.Err)
		faults[p.File] = one
	}
	n.waiting = waiting
	return faults, wait
}
