// SPDX-License-Identifier: MIT

package apps

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"glick.org/glick/internal/sample"
)

// newState gives the test a home, and says where uses are noted in it.
func newState(t *testing.T) (home, used string) {
	t.Helper()
	home = newHome(t)
	return home, filepath.Join(filepath.Dir(home), ".local/share/glick/used")
}

func TestUses(t *testing.T) {
	_, used := newState(t)
	if got := AllUsed(); len(got) != 0 || !Used(id).IsZero() {
		t.Errorf("at first: %v", got)
	}
	earlier := time.Now().Add(-time.Hour).Truncate(time.Second)
	for _, when := range []time.Time{earlier, earlier.Add(-time.Hour)} { // the second is no news
		if err := NoteUse(id, when); err != nil {
			t.Fatal(err)
		}
	}
	if got := Used(id); !got.Equal(earlier) {
		t.Errorf("noted %v, want %v", got, earlier)
	}
	if info, err := os.Stat(used); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder is %v, %v", info, err)
	}
	if info, err := os.Lstat(filepath.Join(used, id)); err != nil || info.Size() != 0 || info.Mode() != 0o600 {
		t.Errorf("the note is %v, %v", info, err)
	}
	// A clock that was wrong once must not hide what was used since.
	if err := NoteUse("org.example.Future", time.Now().Add(1000*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if got := AllUsed(); len(got) != 1 || !got[id].Equal(earlier) {
		t.Errorf("used: %v", got)
	}
	if err := NoteUse("org.example.Future", earlier); err != nil || !Used("org.example.Future").Equal(earlier) {
		t.Errorf("%v, %v", Used("org.example.Future"), err)
	}
}

func TestUsesOfStrangeNames(t *testing.T) {
	_, used := newState(t)
	outside := filepath.Join(t.TempDir(), "precious")
	mustDo(t, os.WriteFile(outside, nil, 0o600))
	old := time.Unix(1000, 0)
	mustDo(t, os.Chtimes(outside, old, old))
	for _, name := range []string{"", ".", "..", "../x", "a", "a/b.c", "/etc/passwd", "a..b", "a.b\x00c"} {
		if err := NoteUse(name, time.Now()); err == nil {
			t.Errorf("%q was noted", name)
		}
	}
	mustDo(t, os.MkdirAll(filepath.Join(used, "org.example.Folder"), 0o700))
	mustDo(t, os.Symlink(outside, filepath.Join(used, id)))
	mustDo(t, unix.Mkfifo(filepath.Join(used, "org.example.Pipe"), 0o600))
	mustDo(t, os.WriteFile(filepath.Join(used, "no id"), nil, 0o600))
	for _, name := range []string{id, "org.example.Folder", "org.example.Pipe"} {
		if err := NoteUse(name, time.Now()); err == nil {
			t.Errorf("%s was noted", name)
		}
	}
	if got := AllUsed(); len(got) != 0 {
		t.Errorf("used: %v", got)
	}
	if info, err := os.Stat(outside); err != nil || !info.ModTime().Equal(old) {
		t.Errorf("a link was followed: %v, %v", info, err)
	}
	// Nor are links on the way.
	mustDo(t, os.RemoveAll(filepath.Dir(used)))
	mustDo(t, os.Symlink(filepath.Dir(outside), filepath.Dir(used)))
	if err := NoteUse(id, time.Now()); !errors.Is(err, unix.ENOTDIR) && !errors.Is(err, unix.ELOOP) {
		t.Errorf("noted behind a link: %v", err)
	}
	if names := names(t, filepath.Dir(outside)); len(names) != 1 {
		t.Errorf("made %q", names)
	}
}

// Uninstalling the last bundle of an application forgets when it was used. Undo brings that back.
func TestUninstallingForgetsTheUse(t *testing.T) {
	newState(t)
	dir := t.TempDir()
	first := mustInstall(t, sample.Build(t, dir, id, "1", sample.App(id)), InstallOptions{})
	second := mustInstall(t, sample.Build(t, dir, id, "2", sample.App(id)), InstallOptions{KeepBoth: true})
	when := time.Now().Add(-time.Minute).Truncate(time.Second)
	mustDo(t, NoteUse(id, when))
	mustDo(t, Remove(t.Context(), second.File))
	if got := Used(id); !got.Equal(when) {
		t.Errorf("while a version is there: %v", got)
	}
	undo, err := Uninstall(t.Context(), first.File)
	mustDo(t, err)
	if got := Used(id); !got.IsZero() {
		t.Errorf("uninstalled, and used %v", got)
	}
	mustDo(t, undo())
	if got := Used(id); !got.Equal(when) {
		t.Errorf("brought back: %v, want %v", got, when)
	}
}

// What is deleted by hand is forgotten as well, unless it may come back with its disk.
func TestCleanUsed(t *testing.T) {
	_, used := newState(t)
	added := mkdir(t, t.TempDir(), "disk")
	mustAdd(t, added)
	for _, name := range []string{id, "org.example.Gone"} {
		mustDo(t, NoteUse(name, time.Now()))
	}
	mustDo(t, os.Rename(added, added+"2"))
	if CleanUsed([]App{{ID: id}}) || len(AllUsed()) != 2 {
		t.Errorf("with a folder that is not there: left %v", AllUsed())
	}
	mustDo(t, os.Rename(added+"2", added))
	if got := AllUsed(); !CleanUsed([]App{{ID: id}}) || len(AllUsed()) != 1 || AllUsed()[id].IsZero() {
		t.Errorf("of %v left: %v", got, AllUsed())
	}
	if !CleanUsed(nil) {
		t.Error("not cleaned")
	}
	if _, err := os.Stat(used); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is left: %v", err)
	}
}
