// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"glick.org/glick/runtime/session"
	"glick.org/glick/xdgexport/apps"
)

// uses notes when installed applications were used last: when they were started, and until when they ran. Of bundles that are only started no trace is
// kept. It writes in a goroutine of its own: a start never
// waits for the disk, nor for a home that does not answer, and of many starts at once each application is noted once.
type uses struct {
	log  *slog.Logger
	wake chan struct{}
	mu   sync.Mutex
	news map[string]use  // guarded by mu: what is not noted yet, by id
	all  map[string]bool // guarded by mu: the ids that are installed; nil when it is not known yet

	failed bool // that it was said; of the goroutine that notes
}

type use struct {
	when    time.Time
	started bool // and has not only ended
}

func newUses(log *slog.Logger) *uses {
	return &uses{log: log, wake: make(chan struct{}, 1), news: map[string]use{}}
}

// started is told of each instance, and ended of its end. They do not wait.
func (u *uses) started(i session.Instance) { u.add(i.ID, use{i.Started, true}) }

func (u *uses) ended(i session.Instance) { u.add(i.ID, use{time.Now(), false}) }

func (u *uses) add(id string, now use) {
	u.mu.Lock()
	if old := u.news[id]; old.started {
		now.started = true
	}
	u.news[id] = now
	u.mu.Unlock()
	u.rouse()
}

// installed says what is.
func (u *uses) installed(list []apps.App) {
	all := map[string]bool{}
	for _, a := range list {
		all[a.ID] = true
	}
	u.mu.Lock()
	u.all = all
	u.mu.Unlock()
	u.rouse()
}

func (u *uses) rouse() {
	select {
	case u.wake <- struct{}{}:
	default:
	}
}

// run notes what it was told of until ctx ends, and what is left then.
func (u *uses) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			u.note()
			return
		case <-u.wake:
			u.note()
		}
	}
}

func (u *uses) note() {
	u.mu.Lock()
	news, all := u.news, u.all
	if all != nil {
		u.news = map[string]use{}
	}
	u.mu.Unlock()
	if all == nil {
		return
	}
	for id, n := range news {
		if !all[id] || !n.started && apps.Used(id).IsZero() {
			continue // it is not installed, or was uninstalled while it ran
		}
		if err := apps.NoteUse(id, n.when); err != nil && !u.failed {
			// A disk that is full stays so for a while.
			u.failed = true
			u.log.Warn("when applications were used last is not remembered", "error", err)
		}
	}
}
