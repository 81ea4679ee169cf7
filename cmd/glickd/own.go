// SPDX-License-Identifier: MIT

package main

import (
	"sync"
	"time"

	"glick.org/glick/bundle"
	"glick.org/glick/xdgexport/apps"
)

// ownTime is how long a bundle that a caller has installed may take to be seen in its folder.
const ownTime = 10 * time.Minute

// identity is what makes a bundle the same wherever its file lies.
type identity struct {
	id     string
	digest bundle.Digest
}

func identityOf(a apps.App) identity { return identity{a.ID, a.Digest} }

// own knows which bundles are in the folders because a caller has asked for it. That caller says so; nobody else must.
type own struct {
	mu    sync.Mutex
	busy  int                    // guarded by mu: calls that may add bundles at any moment
	marks map[identity]time.Time // guarded by mu: bundles that were added and have not been seen yet
}

// begin is for a call that may add a bundle.
func (o *own) begin() (end func(*apps.App)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.busy++
	return func(a *apps.App) {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.busy--
		if a != nil {
			if o.marks == nil {
				o.marks = map[identity]time.Time{}
			}
			o.marks[identityOf(*a)] = time.Now()
		}
	}
}

// judge says of a bundle that has just been seen whether a caller has added it, if that is known yet.
func (o *own) judge(i identity) (ours, known bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, ours := o.marks[i]; ours {
		delete(o.marks, i)
		return true, true
	}
	return false, o.busy == 0
}

// forget lets go of marks that nothing has come of.
func (o *own) forget() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i, t := range o.marks {
		if time.Since(t) > ownTime {
			delete(o.marks, i)
		}
	}
}
