// SPDX-License-Identifier: MIT

package state

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"

	"glick.org/glick/bundle"
	"glick.org/glick/xdgexport/apps/trust"
)

// batch has a new bundle, an update, one that is installed, a damaged file and one whose signature has changed.
func batch() Batch {
	b := NewBatch([]string{"/d/new", "/d/update", "/d/same", "/d/bad", "/d/changed", "/d/new"}, false)
	load := func(n int, installed []Installed, s trust.State) {
		b, _ = b.Update(ItemEvent{n, Loaded{Identity: Identity{ID: "org.example.A", Name: "A", Version: "2", Size: 1000}, Related: true,
			Installed: installed, Trust: Trust{State: s}}})
	}
	load(0, nil, trust.Verified)
	load(1, []Installed{{Version: "1"}}, trust.Unsigned)
	load(2, []Installed{{Version: "2", Same: true}}, trust.Verified)
	b, _ = b.Update(ItemEvent{3, LoadFailed{Err: bundle.ErrTruncated}})
	load(4, nil, trust.Changed)
	return b
}

func batchTexts(b Batch) []string {
	var out []string
	for _, r := range b.View().Rows {
		out = append(out, r.Title+": "+r.Text)
	}
	return out
}

func TestBatch(t *testing.T) {
	b := batch()
	want := []string{"A: Version 2 · 1.0 kB", "A: Updates 1 to 2 · 1.0 kB · not signed", "A: Installed, version 2", "bad: The Download Is Incomplete",
		"A: Signed differently than before: open it to decide"}
	if got := batchTexts(b); !reflect.DeepEqual(got, want) {
		t.Errorf("it shows\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	v := b.View()
	if !strings.HasPrefix(v.Hint, "2 of them") || len(v.Buttons) != 2 || !v.Buttons[1].Enabled {
		t.Errorf("hint %q, buttons %+v", v.Hint, v.Buttons)
	}
	b, effects := b.Update(BatchPressed{Install})
	wantEffects(t, effects, ItemInstall{Item: 0})
	if r := b.View().Rows[1]; r.Text != "Waiting" {
		t.Errorf("the second one shows %q", r.Text)
	}
	b, _ = b.Update(ItemEvent{0, TaskProgress{Done: 250, Total: 1000}})
	if r := b.View().Rows[0]; r.Fraction != 0.25 || r.Text != "Copying: 500 bytes of 1.0 kB" {
		t.Errorf("the first one shows %+v", r)
	}
	b, effects = b.Update(ItemEvent{0, InstallEnded{Installed: []Installed{{Version: "2", Same: true}}, Trust: Trust{State: trust.Verified}}})
	wantEffects(t, effects, ItemInstall{Item: 1})
	b, effects = b.Update(ItemEvent{1, InstallEnded{Err: errors.New("no"), Installed: []Installed{{Version: "1"}}, Trust: Trust{State: trust.Unsigned}}})
	wantEffects(t, effects, Toast{Text: "1 application installed, 1 could not be installed", Undo: true})
	if r := b.View().Rows[1]; r.Tone != Bad || r.Text != "Something Went Wrong" {
		t.Errorf("the one that failed shows %+v", r)
	}
	b, effects = b.Update(BatchPressed{Undo})
	wantEffects(t, effects, DoUndo{})
	b, _ = b.Update(BatchUndone{})
	if _, effects := b.Update(BatchPressed{Undo}); effects != nil {
		t.Errorf("undoing twice does %v", effects)
	}
}

func TestBatchCancel(t *testing.T) {
	b := batch()
	before := b
	b, _ = b.Update(BatchPressed{Install})
	b, effects := b.Update(BatchPressed{Cancel})
	wantEffects(t, effects, DoCancel{})
	b, effects = b.Update(ItemEvent{0, InstallEnded{Err: context.Canceled}})
	wantEffects(t, effects, Toast{Text: "Cancelled. Nothing was changed."})
	if b.Running || b.View().Rows[0].Tone == Bad {
		t.Error("cancelling is shown as a failure")
	}
	if before.Running || before.Items[1].Waiting {
		t.Error("a batch that was kept has changed")
	}
	if _, effects := before.Update(BatchPressed{Cancel}); !reflect.DeepEqual(effects, []Effect{DoClose{}}) {
		t.Errorf("with nothing to cancel it does %v", effects)
	}
}
