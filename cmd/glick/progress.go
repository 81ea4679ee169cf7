// SPDX-License-Identifier: MIT

package main

import (
	"io"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// progressDelay is how long something takes before its bar appears.
const progressDelay = time.Second

// progress shows on a terminal how far something is that takes over a second. Elsewhere it does nothing.
type progress struct {
	label string
	out   io.Writer // nil: shows nothing
	start time.Time
	group *mpb.Progress
	bar   *mpb.Bar
}

func newProgress(out io.Writer, label string) *progress {
	if !isTerminal(out) {
		out = nil
	}
	return &progress{label: label, out: out, start: time.Now()}
}

// update is called with bytes done and in total, from one goroutine at a time.
func (p *progress) update(done, total int64) {
	if p.out == nil || time.Since(p.start) < progressDelay {
		return
	}
	if p.bar == nil {
		p.group = mpb.New(mpb.WithOutput(p.out), mpb.WithWidth(64))
		p.bar = p.group.AddBar(total, mpb.BarRemoveOnComplete(),
			mpb.PrependDecorators(decor.Name(p.label+" ")),
			mpb.AppendDecorators(decor.CountersKibiByte("% .1f / % .1f")))
	}
	p.bar.SetCurrent(done)
}

// end takes the bar away.
func (p *progress) end() {
	if p.bar != nil {
		p.bar.Abort(true)
		p.group.Wait()
	}
}
