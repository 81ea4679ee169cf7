// SPDX-License-Identifier: MIT

package xdgexport

import (
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"glick.org/glick/internal/sample"
	"glick.org/glick/xdgexport/apps"
)

// A preview says what a sync then does.
func TestPreview(t *testing.T) {
	noTools(t)
	top := t.TempDir()
	o := faultOptions(top)
	o.Autostart = nil
	tree := full(t)
	desktop := "share/applications/" + id + ".desktop"
	tree[desktop] = strings.Replace(tree[desktop], "MimeType=", "MimeType=text/plain;x-scheme-handler/sample;", 1)
	a := appOf(t, id, "1", tree, "own")
	a.Autostart = true
	other := sample.App("org.aaa.Sample")
	other["bin/own"] = "y"
	b := appOf(t, "org.aaa.Sample", "1", other, "own")

	preview := func(a apps.App, list ...apps.App) Wanted {
		t.Helper()
		before := find(t, top)
		a.Default = false
		w, err := Preview(a, list, o)
		if err != nil {
			t.Fatal(err)
		}
		same(t, find(t, top), before)
		return w
	}
	w := preview(a)
	if len(w.Files) != len(fullFiles) || len(w.Left) > 0 {
		t.Errorf("to be shown:\n%s", w)
	}
	want := Summary{
		Entries: []string{id}, Opens: []string{"application/x-sample", "text/plain"}, Schemes: []string{"sample"}, Types: []string{"application/x-sample"},
		Services: []string{id}, Search: []string{id}, Commands: []string{"own"}, Fonts: []string{"own.ttf"}, Autostart: []string{id},
		Icons: 1, Pages: 1, Complete: 3, Metainfo: true,
	}
	if got := w.Summary(); !reflect.DeepEqual(got, want) {
		t.Errorf("in short: %+v, want %+v", got, want)
	}

	// What is installed has its command and its type, whatever comes later.
	entry := o.mustComplete().file("applications/" + b.ID + ".desktop")
	write(t, entry, "mine")
	if _, err := Sync(t.Context(), []apps.App{a}, o); err != nil {
		t.Fatal(err)
	}
	w = preview(b, a)
	res, err := Sync(t.Context(), []apps.App{a, b}, o)
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, f := range w.Files {
		paths = append(paths, f.Path)
	}
	if !slices.Equal(paths, res.Written) || !slices.Equal(w.Left, res.Left) || len(w.Left) < 3 {
		t.Errorf("it would write %q and leave out %v; the sync has written %q and left out %v", paths, w.Left, res.Written, res.Left)
	}
	// The same when it is there.
	w = preview(b, a, b)
	if !slices.Equal(w.Left, res.Left) {
		t.Errorf("when it is installed %v is left out", w.Left)
	}
	write(t, filepath.Join(top, ".local/share/applications", id+".desktop"), "edited")
	if w = preview(a, a, b); len(w.Left) != 1 || !strings.Contains(w.Left[0].Reason, "edited") {
		t.Errorf("of an edited entry it is said: %v", w.Left)
	}
}

// What the user has chosen to start with the session is done to nobody else.
func TestAutostartIsTheUsers(t *testing.T) {
	noTools(t)
	a := appOf(t, id, "1", full(t), "own")
	a.Autostart = true
	user := faultOptions(t.TempDir())
	user.Autostart = nil
	if _, err := Sync(t.Context(), []apps.App{a}, user); err != nil || !exists(user.mustComplete().file("autostart/"+id+".desktop")) {
		t.Errorf("it does not start with the session: %v", err)
	}
	a.Autostart = false
	if res, err := Sync(t.Context(), []apps.App{a}, user); err != nil || !slices.Equal(res.Removed, []string{"autostart/" + id + ".desktop"}) {
		t.Errorf("it still does: %+v, %v", res, err)
	}
	a.Autostart, a.System = true, true
	all := faultOptions(t.TempDir())
	all.System, all.Autostart, all.Glick = true, nil, "/bin/true"
	w, err := Plan([]apps.App{a}, all)
	if err != nil || slices.ContainsFunc(w.Files, File.Autostart) {
		t.Errorf("it starts with the session of all users: %v\n%s", err, w)
	}
}
