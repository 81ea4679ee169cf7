// SPDX-License-Identifier: MIT

package work

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"glick.org/glick/bundle"
	"glick.org/glick/gui/state"
	"glick.org/glick/internal/sample"
	"glick.org/glick/xdgexport/apps"
	"glick.org/glick/xdgexport/apps/trust"
)

const sampleID = "org.example.Sample"

// install puts a bundle of the id into the test's folder of applications.
func install(t *testing.T, home, id, version string, tree sample.Tree) string {
	t.Helper()
	dir := filepath.Join(home, "Apps")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return sample.Build(t, dir, id, version, tree)
}

func put(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestApps(t *testing.T) {
	home := newHome(t)
	install(t, home, sampleID, "1.0", sample.App(sampleID))
	good := install(t, home, sampleID, "2.0", sample.App(sampleID))
	broken := install(t, home, "org.example.Broken", "1", sample.App("org.example.Broken"))
	if err := os.Truncate(broken, 3000); err != nil {
		t.Fatal(err)
	}
	list, err := Apps()
	if err != nil || len(list) != 2 {
		t.Fatalf("%d applications, %v", len(list), err)
	}
	for _, a := range list {
		switch a.Key {
		case sampleID:
			if len(a.Files) != 2 || a.Current().File != good || !a.Usable() || a.Current().Trust != trust.Unsigned {
				t.Errorf("the application is %+v", a)
			}
		case broken:
			if a.Usable() || a.Current().Err == nil || a.Current().Size != 3000 || a.Current().System {
				t.Errorf("the broken file is %+v", a)
			}
		default:
			t.Errorf("unexpected: %+v", a)
		}
	}
}

func TestFacts(t *testing.T) {
	home := newHome(t)
	file := install(t, home, sampleID, "1.0", sample.App(sampleID))
	Refresh(t.Context()) // what is shown already must not count as taken
	list, err := Apps()
	if err != nil {
		t.Fatal(err)
	}
	facts := Facts(t.Context(), list[0].Current())
	if facts.File != file || !facts.Loaded || facts.Elsewhere {
		t.Errorf("facts are %+v", facts)
	}
	if a := facts.Adds; a == nil || !slices.Equal(a.Entries, []string{"Sample"}) || !slices.Equal(a.Types, []string{"Sample"}) ||
		!slices.Equal(a.Services, []string{sampleID}) {
		t.Errorf("it adds %+v", a)
	}
}

func TestDataFolders(t *testing.T) {
	home := newHome(t)
	outside := filepath.Join(home, "precious")
	put(t, filepath.Join(outside, "file"), "precious")
	put(t, filepath.Join(home, ".config", sampleID, "a"), "12345")
	put(t, filepath.Join(home, ".config", sampleID, "sub/b"), "12345")
	put(t, filepath.Join(home, ".config", sampleID+".Other", "a"), "not its own")
	put(t, filepath.Join(home, ".cache", sampleID), "a file, no folder")
	put(t, filepath.Join(home, ".var/app", sampleID, "a"), "Flatpak's")
	if err := os.Symlink(outside, filepath.Join(home, ".config", sampleID, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(home, ".local/share"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(home, ".local/share", sampleID)); err != nil {
		t.Fatal(err)
	}
	found := DataFolders(t.Context(), sampleID)
	if len(found) != 1 || found[0].Kind != state.DataSettings || found[0].Size != 10 || found[0].Shown != "~/.config/"+sampleID {
		t.Errorf("found %+v", found)
	}
	for _, id := range []string{"", ".", "..", "../precious", "a/b", "org"} {
		if found := DataFolders(t.Context(), id); found != nil {
			t.Errorf("of %q found %+v", id, found)
		}
	}
}

func TestRemove(t *testing.T) {
	home := newHome(t)
	files := []string{install(t, home, sampleID, "1.0", sample.App(sampleID)), install(t, home, sampleID, "2.0", sample.App(sampleID))}
	config := filepath.Join(home, ".config", sampleID)
	put(t, filepath.Join(config, "a"), "settings")
	put(t, filepath.Join(home, ".local/share/Trash/files", sampleID), "something else of that name")
	data := DataFolders(t.Context(), sampleID)
	removal, err := Remove(t.Context(), sampleID, files, data)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range append(files, config) {
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", path, err)
		}
	}
	note, err := os.ReadFile(filepath.Join(home, ".local/share/Trash/info", sampleID+".2.trashinfo"))
	if err != nil || !strings.Contains(string(note), "\nPath="+config+"\n") {
		t.Errorf("the Trash says %q, %v", note, err)
	}
	if err := removal.Back(context.Background()); err != nil {
		t.Fatal(err)
	}
	for _, path := range append(files, filepath.Join(config, "a")) {
		if _, err := os.Lstat(path); err != nil {
			t.Errorf("undo does not bring back %s: %v", path, err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(home, ".local/share/Trash/info/*")); len(left) != 0 {
		t.Errorf("undo leaves %v", left)
	}
}

// What has a folder's name when it is removed may be something else than when it was asked about.
func TestRemoveRefuses(t *testing.T) {
	home := newHome(t)
	file := install(t, home, sampleID, "1.0", sample.App(sampleID))
	outside := filepath.Join(home, "precious")
	put(t, filepath.Join(outside, "file"), "precious")
	config := filepath.Join(home, ".config", sampleID)
	put(t, filepath.Join(config, "a"), "settings")
	data := DataFolders(t.Context(), sampleID)
	if err := os.RemoveAll(config); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, config); err != nil {
		t.Fatal(err)
	}
	if _, err := Remove(t.Context(), sampleID, []string{file}, data); err == nil {
		t.Error("a link was moved to the Trash")
	}
	for _, path := range []string{file, config, filepath.Join(outside, "file")} {
		if _, err := os.Lstat(path); err != nil {
			t.Errorf("after a failure: %v", err)
		}
	}
	// The path of what is asked for does not matter, only its kind and the id.
	wrong := []state.DataFolder{{Kind: state.DataFiles, Path: outside}}
	if _, err := Remove(t.Context(), sampleID, nil, wrong); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(outside); err != nil {
		t.Errorf("another folder was removed: %v", err)
	}
}

func TestRemoveTakesBackWhatItDid(t *testing.T) {
	home := newHome(t)
	file := install(t, home, sampleID, "1.0", sample.App(sampleID))
	if _, err := Remove(t.Context(), sampleID, []string{file, filepath.Join(home, "Apps/none.bundle")}, nil); err == nil {
		t.Fatal("removing what is not there succeeds")
	}
	if _, err := os.Lstat(file); err != nil {
		t.Errorf("half of it is done: %v", err)
	}
}

func TestDiscard(t *testing.T) {
	home := newHome(t)
	file := install(t, home, sampleID, "1.0", sample.App(sampleID))
	if err := os.Truncate(file, 3000); err != nil {
		t.Fatal(err)
	}
	removal, err := Discard(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(filepath.Join(home, ".local/share/Trash/files", filepath.Base(file))); err != nil {
		t.Errorf("it is not in the Trash: %v", err)
	}
	if err := removal.Back(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(file); err != nil {
		t.Error(err)
	}
	other := filepath.Join(home, "Documents/letter")
	put(t, other, "letter")
	for _, path := range []string{other, filepath.Join(home, "Apps/../Documents/letter"), filepath.Join(home, "Apps")} {
		if _, err := Discard(t.Context(), path); err == nil {
			t.Errorf("%s was moved to the Trash", path)
		}
	}
}

func TestChoose(t *testing.T) {
	home := newHome(t)
	old := install(t, home, sampleID, "1.0", sample.App(sampleID))
	latest := install(t, home, sampleID, "2.0", sample.App(sampleID))
	for version, want := range map[string]string{"1.0": old, "": latest} {
		_ = Choose(t.Context(), sampleID, version) // the desktop's side needs programs that may not be here
		if list, err := Apps(); err != nil || list[0].Current().File != want {
			t.Errorf("after choosing %q: %v, %v", version, list, err)
		}
	}
}

func TestReadUsed(t *testing.T) {
	used := readUsed(strings.NewReader(`<?xml version="1.0"?><application-state>
<application id="org.example.A.desktop" score="1.5" last-seen="1000"/><application id="org.example.A.desktop" last-seen="900"/>
<application id="future.desktop" last-seen="99999999999999"/><application id="bad.desktop" last-seen="x"/><application last-seen="5"/>
<application id="org.example.B.desktop" last-seen="2000"/><broken`))
	if len(used) != 2 || used["org.example.A"].Unix() != 1000 || used["org.example.B"].Unix() != 2000 {
		t.Errorf("it knows %v", used)
	}
}

func TestStorage(t *testing.T) {
	home := newHome(t)
	library := strings.Repeat("library", 10000)
	for _, id := range []string{"org.example.One", "org.example.Two"} {
		tree := sample.Tree{"bin/app": "#!/bin/sh\n", "lib/libshared.so": library, "lib/own": strings.Repeat(id, 1000)}
		install(t, home, id, "1.0", tree)
	}
	install(t, home, "org.example.One", "2.0", sample.Tree{"bin/app": "#!/bin/sh\n", "lib/own": strings.Repeat("org.example.One", 1000)})
	list, err := Apps()
	if err != nil {
		t.Fatal(err)
	}
	var last int64
	facts, err := Storage(t.Context(), list, func(done, _ int64) { last = done })
	if err != nil || last != 2 || len(facts.Apps) != 2 || facts.Free <= 0 {
		t.Fatalf("facts %+v, %v", facts, err)
	}
	both := int64(len(library) + len("#!/bin/sh\n"))
	for _, a := range facts.Apps {
		if a.Shared != both || a.Content != both+15000 || a.Unread {
			t.Errorf("%+v, want %d shared", a, both)
		}
	}
	if len(facts.Groups) != 1 || facts.Groups[0].Size != both || facts.Groups[0].Example != "libshared.so" || facts.Groups[0].Files != 2 {
		t.Errorf("groups %+v", facts.Groups)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Storage(ctx, list, func(_, _ int64) {}); err == nil {
		t.Error("it goes on when nobody waits")
	}
}

func TestStanding(t *testing.T) {
	home := newHome(t)
	install(t, home, sampleID, "2.0", sample.App(sampleID))
	downloads := filepath.Join(home, "Downloads")
	if err := os.MkdirAll(downloads, 0o755); err != nil {
		t.Fatal(err)
	}
	same := Standing(sample.Build(t, downloads, sampleID, "2.0", sample.App(sampleID)))
	if !same.Readable || !same.Same || same.Newest != "2.0" || same.Trust != trust.Unsigned {
		t.Errorf("the same bundle: %+v", same)
	}
	update := Standing(sample.Build(t, downloads, sampleID, "3.0", sample.App(sampleID)))
	if update.Same || bundle.CompareVersions(update.Version, update.Newest) <= 0 {
		t.Errorf("an update: %+v", update)
	}
	if s := Standing(filepath.Join(downloads, "none")); s.Readable {
		t.Errorf("nothing: %+v", s)
	}
}

// The latest of what is known counts, whoever knows it.
func TestLastUsed(t *testing.T) {
	home := newHome(t)
	noon := time.Now().Add(-24 * time.Hour).Truncate(time.Second)
	put(t, filepath.Join(home, ".local/share/gnome-shell/application_state"), fmt.Sprintf(
		`<application-state><context id=""><application id="a.b.Both.desktop" last-seen="%d"/><application id="a.b.Shell.desktop" last-seen="%d"/>`+
			`<application id="a.b.Later.desktop" last-seen="%d"/></context></application-state>`, noon.Unix(), noon.Unix(), noon.Unix()+9))
	for id, when := range map[string]time.Time{"a.b.Both": noon.Add(time.Hour), "a.b.Later": noon, "a.b.Service": noon} {
		if err := apps.NoteUse(id, when); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]time.Time{"a.b.Both": noon.Add(time.Hour), "a.b.Shell": noon, "a.b.Later": noon.Add(9 * time.Second), "a.b.Service": noon}
	if got := LastUsed(); !maps.EqualFunc(got, want, time.Time.Equal) {
		t.Errorf("used: %v, want %v", got, want)
	}
}
