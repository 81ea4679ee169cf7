// SPDX-License-Identifier: MIT

package state

import "time"

// speed measures how fast a task reads and writes. The zero value is right for a task that begins.
type speed struct {
	checking bool
	from, at time.Duration // since the task began: where measuring began, and the last look
	base     int64         // bytes done at from
	rate     float64       // bytes a second; 0 when not known yet
}

// settle is how long is measured before a figure is worth showing.
const settle = 500 * time.Millisecond

// look takes over how far the task is. Installing copies the file in the first half of its progress and checks it in the second, so that
// each half stands for all bytes.
func (s speed) look(done, total int64, at time.Duration) speed {
	if checking := copied(done, total); checking != s.checking {
		return speed{checking: checking, from: at, at: at, base: done}
	}
	s.at = at
	if span := at - s.from; span >= settle && done > s.base {
		s.rate = 2 * float64(done-s.base) / span.Seconds()
	}
	return s
}

// copied says whether the first half is over.
func copied(done, total int64) bool { return total > 0 && done >= total/2 }
