// SPDX-License-Identifier: MIT

package state

import (
	"context"
	"errors"
	"path/filepath"
	"strconv"

	"glick.org/glick/gui/tr"
	"glick.org/glick/xdgexport/apps/trust"
)

// Batch is several bundles that were opened at once, in one window. They are installed one after the other; what must be decided is left to a
// bundle's own window.
type Batch struct {
	Items      []Item
	Move       bool
	Running    bool
	Cancelling bool

	undo bool
}

// Item is one of the files of a Batch. Model is what its own window would know.
type Item struct {
	Model
	Waiting bool   // to be installed
	Done    bool   // was installed by this window
	From    string // where it was before it was installed by moving it; "" when it was not
	Err     error  // of installing it
}

// NewBatch is the model of a window for files, absolute paths; each is listed once.
func NewBatch(files []string, move bool) Batch {
	b := Batch{Move: move}
	seen := map[string]bool{}
	for _, f := range files {
		if !seen[f] {
			seen[f] = true
			b.Items = append(b.Items, Item{Model: New(f, move)})
		}
	}
	return b
}

type (
	// ItemEvent is an event of a single file.
	ItemEvent struct {
		Item  int
		Event Event
	}
	// BatchPressed: the person wants Install (all), Cancel, Undo or Close.
	BatchPressed struct{ Action Action }
	// BatchUndone: what Undo took back is back.
	BatchUndone struct {
		Err   error
		Files []string // where each of them is now
	}
	// ItemInstall is the effect to install a file.
	ItemInstall struct {
		Item int
		Move bool
	}
)

func (ItemEvent) event()    {}
func (BatchPressed) event() {}
func (BatchUndone) event()  {}
func (ItemInstall) effect() {}

// Update is the batch after ev, and what has to be done because of it.
func (b Batch) Update(ev Event) (Batch, []Effect) {
	b.Items = append([]Item(nil), b.Items...) // a batch that somebody kept does not change
	switch ev := ev.(type) {
	case ItemEvent:
		if ev.Item < 0 || ev.Item >= len(b.Items) {
			return b, nil
		}
		i := &b.Items[ev.Item]
		end, ended := ev.Event.(InstallEnded)
		if !ended {
			i.Model, _ = i.Model.Update(ev.Event)
			return b, nil
		}
		if end.File != "" && end.File != i.File {
			i.From = i.File
		}
		i.Model, _ = i.Model.Update(end)
		if i.Err = end.Err; i.Err == nil {
			i.Done, b.undo = true, true
		} else if errors.Is(i.Err, context.Canceled) {
			i.Err = nil
		}
		return b.next()
	case BatchPressed:
		return b.pressed(ev.Action)
	case BatchUndone:
		b.Running, b.undo = false, false
		for i := range b.Items {
			b.Items[i].Done = false
			if i < len(ev.Files) && ev.Files[i] != b.Items[i].File {
				b.Items[i].File, b.Items[i].From = ev.Files[i], ""
			}
		}
		if ev.Err != nil {
			return b, []Effect{Dialog{FailedCause(tr.T("Could Not Undo"), ev.Err, "")}}
		}
	}
	return b, nil
}

func (b Batch) pressed(a Action) (Batch, []Effect) {
	switch a {
	case Install:
		if b.Running || b.count() == 0 {
			return b, nil
		}
		b.Running, b.Cancelling, b.undo = true, false, false
		for i := range b.Items {
			b.Items[i].Waiting, b.Items[i].Err = b.Items[i].wanted(), nil
			b.Items[i].Done = false
		}
		return b.next()
	case Cancel:
		if !b.Running {
			return b, []Effect{DoClose{}}
		}
		if b.Cancelling {
			return b, nil
		}
		b.Cancelling = true
		return b, []Effect{DoCancel{}}
	case Undo:
		if b.Running || !b.undo {
			return b, nil
		}
		b.Running = true
		return b, []Effect{DoUndo{}}
	case Close:
		return b, []Effect{DoClose{}}
	}
	return b, nil
}

// next begins with the next file that waits, or ends.
func (b Batch) next() (Batch, []Effect) {
	for n := range b.Items {
		i := &b.Items[n]
		if !i.Waiting {
			continue
		}
		i.Waiting = false
		// What came before may have changed what is installed.
		if b.Cancelling || !i.wanted() {
			continue
		}
		i.Model, _ = i.Model.begin(i.mainInstall(), false)
		return b, []Effect{ItemInstall{Item: n, Move: b.Move && i.Identity.CanMove}}
	}
	b.Running = false
	done, failed := 0, 0
	for _, i := range b.Items {
		if i.Done {
			done++
		}
		if i.Err != nil {
			failed++
		}
	}
	text := tr.N("{n} application installed", "{n} applications installed", done, "n", strconv.Itoa(done))
	switch {
	case b.Cancelling && done == 0:
		text = tr.T("Cancelled. Nothing was changed.")
	case failed > 0:
		text = tr.F("{done}, {failed}", "done", text, "failed", tr.N("{n} could not be installed", "{n} could not be installed", failed, "n", strconv.Itoa(failed)))
	}
	b.Cancelling = false
	return b, []Effect{Toast{Text: text, Undo: done > 0}}
}

// wanted says whether installing all installs it: it is trusted, and not older than what there is.
func (i Item) wanted() bool {
	rel, _ := i.Relation()
	return i.Phase == Ready && i.installable() && i.trusted() && (rel == NotInstalled || rel == OlderInstalled || rel == OtherInstalled)
}

// count is how many files installing all would install.
func (b Batch) count() int {
	n := 0
	for _, i := range b.Items {
		if i.wanted() {
			n++
		}
	}
	return n
}

// BatchView is what the window of several bundles shows.
type BatchView struct {
	Title, Hint string
	Rows        []BatchRow
	Buttons     []Button
}

// BatchRow is one file.
type BatchRow struct {
	Title, Text string
	Tone        Tone
	Busy        bool
	Fraction    float64 // of installing it, 0 … 1; negative when it is not being installed
}

// View is what to show for b.
func (b Batch) View() BatchView {
	v := BatchView{Title: tr.N("{n} Bundle", "{n} Bundles", len(b.Items), "n", strconv.Itoa(len(b.Items)))}
	loading := false
	for _, i := range b.Items {
		v.Rows = append(v.Rows, i.row())
		loading = loading || i.Phase == Loading || i.Phase == Ready && !i.Related
	}
	n := b.count()
	switch {
	case b.Running, loading:
	case n == 0:
		v.Hint = tr.T("There is nothing to install. Open one to see more about it.")
	case n < len(b.Items):
		v.Hint = tr.N("{n} of them will be installed. Open the others to see why not.", "{n} of them will be installed. Open the others to see why not.", n, "n", strconv.Itoa(n))
	}
	if b.Running {
		v.Buttons = []Button{{Action: Cancel, Label: tr.T("_Cancel"), Enabled: !b.Cancelling, Default: true}}
		return v
	}
	v.Buttons = []Button{{Action: Close, Label: tr.T("_Close"), Enabled: true, Default: n == 0 && !loading},
		{Action: Install, Label: tr.T("_Install All"), Enabled: n > 0 && !loading, Style: Suggested, Default: n > 0 && !loading}}
	return v
}

func (i Item) row() BatchRow {
	r := BatchRow{Fraction: -1, Title: i.name()}
	rel, installed := i.Relation()
	version, old := Clean(i.Identity.Version, maxSmall), Clean(installed.Version, maxSmall)
	switch {
	case i.Phase == Loading:
		r.Title, r.Busy = Clean(filepath.Base(i.File), maxName), true
		r.Text = tr.T("Reading…")
	case i.Phase == Refused:
		r.Title, r.Tone, r.Text = Clean(filepath.Base(i.File), maxName), Bad, i.Cause.Title
	case i.Task == Installing || i.Task == Updating:
		r.Busy = true
		r.Text = amount(i.Model.Done, i.Total, i.speed)
		if i.Total > 0 {
			r.Fraction = min(1, max(0, float64(i.Model.Done)/float64(i.Total)))
		}
		if r.Text == "" {
			r.Text = tr.T("Installing…")
		}
	case i.Waiting:
		r.Text = tr.T("Waiting")
	case i.Err != nil:
		c := causeOf(i.Err, i.File)
		r.Tone, r.Text = Bad, c.Title
	case i.lacks(LackArchitecture):
		r.Tone, r.Text = Bad, tr.T("Made for another kind of computer")
	case i.lacks(LackFormat):
		r.Tone = Bad
		r.Text, _ = foreignText(i.Identity.Format)
	case !i.Related:
		r.Busy = true
	case i.damaged():
		r.Tone, r.Text = Bad, tr.T("The file is damaged")
	case i.Trust.State == trust.Changed:
		r.Tone, r.Text = Bad, tr.T("Signed differently than before: open it to decide")
	case rel == SameInstalled:
		r.Tone, r.Text = Good, tr.F("Installed, version {version}", "version", version)
	case rel == NewerInstalled:
		r.Text = tr.F("Version {version}; newer is installed: {old}", "version", version, "old", old)
	case rel == OlderInstalled:
		r.Text = tr.F("Updates {old} to {version} · {size}", "old", old, "version", version, "size", Size(i.Identity.Size))
	case rel == OtherInstalled:
		r.Text = tr.F("Replaces another build of {version} · {size}", "version", version, "size", Size(i.Identity.Size))
	default:
		r.Text = tr.F("Version {version} · {size}", "version", version, "size", Size(i.Identity.Size))
	}
	if i.Phase == Ready && i.Related && i.Trust.State == trust.Unsigned && r.Tone == Plain && i.Task == Idle && !i.Waiting {
		r.Tone = Warning
		r.Text = tr.F("{text} · not signed", "text", r.Text)
	}
	return r
}
