// SPDX-License-Identifier: MIT

package state

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"glick.org/glick/xdgexport/apps"
)

func TestBundleFolders(t *testing.T) {
	own := BundleFolder{Path: "/home/ann/Apps", Shown: "~/Apps", There: true, Count: 3}
	added := BundleFolder{Path: "/media/disk/Games", Shown: "/media/disk/Games", There: true, Added: true, Count: 1}
	for _, c := range []struct {
		change      func(*BundleFolder)
		title, text string
	}{
		{func(f *BundleFolder) { *f = own }, "Your applications", "~/Apps · 3 bundles"},
		{func(f *BundleFolder) { *f = own; f.There = false }, "Your applications", "~/Apps · not there yet"},
		{func(f *BundleFolder) { *f = own; f.System = true; f.Count = 0 }, "Applications of all users", "~/Apps · 0 bundles"},
		{func(*BundleFolder) {}, "Games", "/media/disk/Games · 1 bundle"},
		{func(f *BundleFolder) { f.Count = -1 }, "Games", "/media/disk/Games"},
		{func(f *BundleFolder) { f.There = false }, "Games", "/media/disk/Games · not there at the moment"},
		{func(f *BundleFolder) { f.Problem = fmt.Errorf("x: %w", apps.ErrStrangers) }, "Games", "/media/disk/Games · not used, as others can change it"},
		{func(f *BundleFolder) { f.Problem = fs.ErrPermission }, "Games", "/media/disk/Games · cannot be read"},
	} {
		f := added
		c.change(&f)
		title, text := f.Words()
		if title != c.title || text != c.text {
			t.Errorf("%+v: %q, %q, want %q, %q", f, title, text, c.title, c.text)
		}
	}
	hostile := BundleFolder{Path: "/media/\x1b[1m\u202e", Shown: "/media/\x1b[1m\u202e", There: true, Added: true}
	title, text := hostile.Words()
	if all := title + text + hostile.RemovedWords(); strings.ContainsAny(all, "\x1b\u202e") {
		t.Errorf("shown as it is: %q", all)
	}
	if got := added.RemovedWords(); !strings.Contains(got, "“Games”") {
		t.Errorf("removed: %q", got)
	}
}

// Each reason is told apart, and names the folder.
func TestFolderCause(t *testing.T) {
	told := map[string]bool{}
	for _, err := range []error{
		apps.ErrStrangers, apps.ErrUnsuitable, apps.ErrTooMany, fs.ErrExist, fs.ErrNotExist, ErrRemote, errors.New("something else"),
	} {
		c := FolderCause(fmt.Errorf("cannot add the folder: %w", err), "/media/disk/Games")
		if c.Title != "Could Not Add the Folder" || c.Advice == "" || c.Detail == "" || told[c.Advice] {
			t.Errorf("%v: %+v", err, c)
		}
		if !strings.Contains(c.Advice, "“Games”") && !errors.Is(err, ErrRemote) && !errors.Is(err, apps.ErrTooMany) {
			t.Errorf("%v: of which folder? %s", err, c.Advice)
		}
		told[c.Advice] = true
	}
	if c := causeOf(apps.ErrStrangers, "/x/a.bundle"); c.Title == causeOf(fs.ErrPermission, "/x/a.bundle").Title {
		t.Errorf("what others can change is told of as %+v", c)
	}
}

func TestAddedFolderInDetails(t *testing.T) {
	f := appFile("org.example.Meadow", "Meadow", "1", 1)
	f.Folder = "/media/disk/Games"
	bad := AppFile{File: "/media/disk/Games", Err: apps.ErrStrangers, Whole: true, System: true}
	l := Library{Loaded: true, Now: noon, Apps: GroupApps([]AppFile{f, bad})}
	a, _ := l.App("org.example.Meadow")
	rows := l.facts(a, AppFacts{})
	if last := rows[len(rows)-1]; last.Text != "In /media/disk/Games" {
		t.Errorf("the file is said to be %+v", last)
	}
	row, buttons := bad.faultRow()
	if len(buttons) > 0 || row.Title != "Others can change it" || !strings.Contains(row.Text, "None of the applications in this folder") ||
		strings.Contains(row.Text, "all users") {
		t.Errorf("the folder: %+v, %+v", row, buttons)
	}
}
