// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"slices"
	"sync"
	"time"

	"glick.org/glick/runtime/session"
	"glick.org/glick/xdgexport/apps"
	"glick.org/glick/xdgexport/sessionbus"
)

// change is what has become of the bundles of an id.
type change struct {
	signal string // of package sessionbus
	id     string
	app    apps.App // the one in use, or the first; none when it is uninstalled
}

// changes compares two lists, each sorted by id as apps.List sorts them.
func changes(before, after []apps.App) []change {
	var all []change
	group := func(list []apps.App) (first, rest []apps.App) {
		n := 1
		for n < len(list) && list[n].ID == list[0].ID {
			n++
		}
		return list[:n], list[n:]
	}
	for len(before) > 0 || len(after) > 0 {
		var old, now []apps.App
		switch {
		case len(after) == 0 || len(before) > 0 && before[0].ID < after[0].ID:
			old, before = group(before)
			all = append(all, change{signal: sessionbus.SignalUninstalled, id: old[0].ID})
		case len(before) == 0 || after[0].ID < before[0].ID:
			now, after = group(after)
			all = append(all, change{sessionbus.SignalInstalled, now[0].ID, now[0]})
		default:
			old, before = group(before)
			now, after = group(after)
			if !slices.Equal(old, now) {
				all = append(all, change{sessionbus.SignalChangedApp, now[0].ID, now[0]})
			}
		}
	}
	return all
}

// emit tells whoever listens what has become of applications.
func (b *bus) emit(all []change) {
	for _, c := range all {
		if c.signal == sessionbus.SignalUninstalled {
			b.server.Emit(c.signal, c.id)
		} else {
			b.server.Emit(c.signal, c.id, sessionbus.EncodeApp(c.app))
		}
	}
}

// running knows which instances have been told of, so that their ends can be.
type running struct {
	bus    *bus
	list   func(context.Context) ([]session.Instance, error)
	look   chan struct{} // that one may have ended
	mu     sync.Mutex
	prefix map[string]session.Instance // guarded by mu
}

func newRunning(b *bus) *running {
	return &running{bus: b, list: session.Instances, look: make(chan struct{}, 1), prefix: map[string]session.Instance{}}
}

// started tells of an instance. The signals are sent with the lock held, so that an instance does not end before it has started.
func (r *running) started(i session.Instance) {
	r.mu.Lock()
	defer r.mu.Unlock()
	// The one that had the folder before has ended, and nobody has looked since.
	if old, ok := r.prefix[i.Prefix]; ok && !same(old, i) {
		r.emitEnd(old)
	}
	r.prefix[i.Prefix] = i
	r.bus.server.Emit(sessionbus.SignalStarted, i.ID, uint32(i.PID), sessionbus.EncodeInstance(i))
	r.bus.server.Emit(sessionbus.SignalChanged)
}

// same tells two instances apart that have had the same folder.
func same(a, b session.Instance) bool { return a.PID == b.PID && a.Started.Equal(b.Started) }

func (r *running) emitEnd(i session.Instance) {
	r.bus.server.Emit(sessionbus.SignalEnded, i.ID, uint32(i.PID))
}

// ended tells that an instance has ended.
func (r *running) ended(i session.Instance) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if old, ok := r.prefix[i.Prefix]; ok && same(old, i) {
		delete(r.prefix, i.Prefix)
	}
	r.emitEnd(i)
	r.bus.server.Emit(sessionbus.SignalChanged)
}

// changed asks for a look at what still runs. It does not wait for it.
func (r *running) changed() {
	select {
	case r.look <- struct{}{}:
	default:
	}
}

// follow tells of instances that have ended, until ctx ends.
func (r *running) follow(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.look:
		}
		r.mu.Lock()
		known := make([]session.Instance, 0, len(r.prefix))
		for _, i := range r.prefix {
			known = append(known, i)
		}
		r.mu.Unlock()
		list, err := r.list(ctx)
		if err != nil {
			continue // the service ends, or never served files
		}
		live := make(map[string]session.Instance, len(list))
		for _, i := range list {
			live[i.Prefix] = i
		}
		ended := false
		r.mu.Lock()
		for _, i := range known {
			// Who has started since then is not in the list.
			if now, ok := live[i.Prefix]; (!ok || !same(now, i)) && same(r.prefix[i.Prefix], i) {
				delete(r.prefix, i.Prefix)
				r.emitEnd(i)
				ended = true
			}
		}
		// Those of an earlier service are not told of, but their ends are.
		for _, i := range list {
			if _, ok := r.prefix[i.Prefix]; !ok {
				r.prefix[i.Prefix] = i
			}
		}
		r.mu.Unlock()
		if ended {
			r.bus.server.Emit(sessionbus.SignalChanged)
		}
		// Where instances come and go by the hundred, one look serves many of them: each asks for all that run.
		select {
		case <-ctx.Done():
			return
		case <-time.After(lookPause):
		}
	}
}

// lookPause is the time between two looks at what runs.
const lookPause = 200 * time.Millisecond
