// SPDX-License-Identifier: MIT

package work

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"glick.org/glick/gui/state"
	"glick.org/glick/internal/sample"
	"glick.org/glick/xdgexport/apps"
)

func TestAddedFolders(t *testing.T) {
	home := newHome(t)
	dir := filepath.Join(home, "Disk", "Games")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	file := sample.Build(t, dir, sampleID, "1", sample.App(sampleID))
	broken := filepath.Join(dir, "broken.bundle")
	put(t, broken, "no")
	if err := AddFolder(""); !errors.Is(err, state.ErrRemote) {
		t.Errorf("a place elsewhere: %v", err)
	}
	if err := AddFolder(home); !errors.Is(err, apps.ErrUnsuitable) {
		t.Errorf("the home: %v", err)
	}
	if err := AddFolder(dir); err != nil {
		t.Fatal(err)
	}
	want := state.BundleFolder{Path: dir, Shown: "~/Disk/Games", There: true, Added: true, Count: 1}
	if got := Folders(); len(got) != 4 || got[1] != want || got[0].Added || got[0].System || !got[2].System || got[2].Added {
		t.Errorf("%+v", got)
	}
	list, err := Apps()
	if err != nil || len(list) != 2 {
		t.Fatalf("%+v, %v", list, err)
	}
	for _, a := range list {
		if f := a.Current(); f.System || f.Folder != "~/Disk/Games" || f.Whole {
			t.Errorf("%+v", f)
		}
	}
	removal, err := Discard(t.Context(), broken)
	if err != nil {
		t.Fatal(err)
	}
	if err := removal.Back(t.Context()); err != nil {
		t.Error(err)
	}
	removal, err = Remove(t.Context(), sampleID, []string{file}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(file); err == nil {
		t.Error("the file is still there")
	}
	if err := removal.Back(t.Context()); err != nil {
		t.Error(err)
	}

	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	list, err = Apps()
	if err != nil || len(list) != 1 || !list[0].Current().Whole || !errors.Is(list[0].Current().Err, apps.ErrStrangers) {
		t.Errorf("%+v, %v", list, err)
	}
	if got := FoldersUncounted()[1]; !errors.Is(got.Problem, apps.ErrStrangers) || got.Count >= 0 {
		t.Errorf("%+v", got)
	}
	if err := RemoveFolder(dir); err != nil {
		t.Error(err)
	}
	if list, err := Apps(); err != nil || len(list) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
}
