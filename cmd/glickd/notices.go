// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"glick.org/glick/xdgexport/apps"
	"glick.org/glick/xdgexport/apps/trust"
)

const (
	// incompleteTime is how long a file that may be on its way must stay as it is before that is told of.
	incompleteTime = time.Minute
	// backTime is how soon a bundle that comes back is no news: somebody has undone something.
	backTime = 10 * time.Minute
	// manyNotices is how many things of a kind are told of one by one.
	manyNotices = 3
)

// notice is something that the user is to be told.
type notice struct {
	file          string // that it is about, whose window a click opens; empty for several
	id            string // of the application, empty when it is not known
	summary, body string
	warning       bool
	remember      string   // tells states of the file apart, each of which is told once; empty for what is told whenever it is so
	others        []string // more of these, where several are told of at once
}

// noticer finds out what the user is to be told. It is for one goroutine.
type noticer struct {
	own      *own
	reported *reported
	home     string // the user's folder: what is broken in those of all users is for others to mend
	places   places // where bundles lay at the last look

	started bool
	seen    map[identity]bool      // bundles that were there
	gone    map[identity]time.Time // that were there until then
	told    map[string]string      // files that were told of as having something wrong, by what
	waiting map[string]unready     // files that may be on their way
}

type unready struct {
	what string // tells its states apart
	due  time.Time
}

func newNoticer(o *own, r *reported) *noticer {
	home, _ := apps.Home() // without one there is nothing in it
	return &noticer{own: o, reported: r, home: home, gone: map[identity]time.Time{}, told: map[string]string{}, waiting: map[string]unready{}}
}

// look compares what is in the folders to what was. over are files whose notices say no more what is so; wait is the time after which to look again
// though nothing has changed, zero for none.
func (n *noticer) look(now time.Time, list []apps.App, problems []apps.Problem) (show []notice, over []string, wait time.Duration) {
	show = n.newApps(now, list)
	faults, wait := n.faults(now, list, problems)
	for file, what := range n.told {
		if f, ok := faults[file]; !ok || f.remember != what {
			delete(n.told, file)
			over = append(over, file)
		}
	}
	var bad []notice
	for _, file := range slices.Sorted(maps.Keys(faults)) {
		f := faults[file]
		if n.told[file] == f.remember {
			continue
		}
		n.told[file] = f.remember
		if !n.reported.has(f.remember) {
			bad = append(bad, f)
		}
	}
	if len(bad) > manyNotices {
		all := notice{warning: true}
		var names []string
		for _, f := range bad {
			all.others = append(all.others, f.remember)
			names = append(names, plainText(filepath.Base(f.file)))
		}
		all.summary, all.body = severalBadText(shorten(names))
		bad = []notice{all}
	}
	return append(show, bad...), over, wait
}

// newApps tells of applications that somebody has put into a folder while the service ran.
func (n *noticer) newApps(now time.Time, list []apps.App) (show []notice) {
	first := !n.started
	n.started = true
	had := map[string]bool{}
	for i := range n.seen {
		had[i.id] = true
	}
	seen := map[identity]bool{}
	before := n.places
	n.places = placesOf(list)
	var names []string
	for _, a := range list {
		i := identityOf(a)
		_, back := n.gone[i]
		if first || back || n.seen[i] || !a.State.Usable() {
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
		if dir := filepath.Dir(a.File); dir != n.home && n.places.came(dir, before) {
			continue // as does who has added a folder, or plugged in its disk
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
	for i := range n.seen {
		if _, ok := seen[i]; !ok {
			n.gone[i] = now
		}
	}
	for i, t := range n.gone {
		if _, ok := seen[i]; ok || now.Sub(t) > backTime {
			delete(n.gone, i)
		}
	}
	n.seen = seen
	n.own.forget()
	if len(show) > manyNotices {
		all := notice{}
		all.summary, all.body = severalText(shorten(names))
		return []notice{all}
	}
	return show
}

// shorten makes a list of names one that can be shown.
func shorten(names []string) []string {
	const most = 6
	if len(names) > most {
		return append(names[:most:most], "…")
	}
	return names
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
	waiting, added := map[string]unready{}, apps.AddedFolders()
	for _, p := range problems {
		if dir := filepath.Dir(p.File); dir != n.home && !slices.Contains(added, dir) {
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
