// SPDX-License-Identifier: MIT

package xdgexport

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"glick.org/glick/internal/sample"
	"glick.org/glick/xdgexport/apps"
)

const (
	id    = "org.example.Sample"
	glick = "/opt/some where/glick"
)

// app builds a bundle and looks at it as an installed one.
func app(t testing.TB, id, version string, tree sample.Tree) apps.App {
	t.Helper()
	a, err := apps.Find(sample.Build(t, t.TempDir(), id, version, tree))
	if err != nil {
		t.Fatal(err)
	}
	a.Default = true
	return a
}

// shown is a list of one application.
func shown(t testing.TB, tree sample.Tree) []apps.App { return []apps.App{app(t, id, "1", tree)} }

// find lists all that is below a folder, with contents.
func find(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		all[rel] = d.Type().String()
		if d.Type().IsRegular() {
			data, err := os.ReadFile(path)
			all[rel] = string(data)
			return err
		}
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return all
}

func same(t *testing.T, got, want map[string]string) {
	t.Helper()
	for p := range got {
		if _, ok := want[p]; !ok {
			t.Errorf("left behind: %s", p)
		}
	}
	for p, content := range want {
		if g, ok := got[p]; !ok {
			t.Errorf("gone: %s", p)
		} else if g != content {
			t.Errorf("changed: %s: %q, was %q", p, g, content)
		}
	}
}

func mustSync(t *testing.T, home string, list ...apps.App) Result {
	t.Helper()
	res, err := Sync(t.Context(), list, Options{DataHome: home, Glick: glick})
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// noBus keeps a test from the bus of the session that it runs in.
func noBus(t *testing.T) {
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/does/not/exist")
}

var sampleFiles = []string{
	"applications/" + id + ".desktop",
	"dbus-1/services/" + id + ".service",
	"icons/hicolor/256x256/apps/" + id + ".png",
	"icons/hicolor/48x48/apps/" + id + ".png",
	"icons/hicolor/symbolic/apps/" + id + "-symbolic.svg",
	"mime/packages/" + id + ".xml",
}

func TestPlan(t *testing.T) {
	w, err := Plan([]apps.App{app(t, id, "1", sample.App(id))}, Options{DataHome: "/nowhere", Glick: glick})
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, f := range w.Files {
		paths = append(paths, f.Path)
	}
	if !slices.Equal(paths, sampleFiles) || len(w.Left) > 0 {
		t.Errorf("planned\n%s", w)
	}
	const wantEntry = `[Desktop Entry]
Type=Application
Name=Sample
Name[de]=Muster
Exec="/opt/some where/glick" run org.example.Sample -- %U
TryExec=/opt/some where/glick
Icon=org.example.Sample
MimeType=application/x-sample;
Actions=new;
X-Glick-Id=org.example.Sample
[Desktop Action new]
Name=New Window
Exec="/opt/some where/glick" run org.example.Sample -- --new
`
	if got := string(w.Files[0].Content); got != wantEntry {
		t.Errorf("entry:\n%s", got)
	}
	const wantService = `[D-BUS Service]
Name=org.example.Sample
Exec='/opt/some where/glick' run org.example.Sample -- --gapplication-service
X-Glick-Id=org.example.Sample
`
	if got := string(w.Files[1].Content); got != wantService {
		t.Errorf("service:\n%s", got)
	}
}

func TestSyncAndBack(t *testing.T) {
	noBus(t)
	for name, before := range map[string][]string{
		"empty":        nil,
		"some folders": {"applications/mine.desktop", "icons/hicolor/48x48/apps/mine.png"},
	} {
		t.Run(name, func(t *testing.T) {
			top := t.TempDir()
			home := filepath.Join(top, ".local/share")
			for _, p := range before {
				p = filepath.Join(home, p)
				if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(p, []byte("mine"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			was := find(t, top)
			a := app(t, id, "1", sample.App(id))
			res := mustSync(t, home, a)
			if !slices.Equal(res.Written, sampleFiles) || len(res.Removed) > 0 {
				t.Errorf("wrote %q, removed %q", res.Written, res.Removed)
			}
			for p := range find(t, top) {
				if strings.HasSuffix(p, ".tmp") {
					t.Errorf("left behind: %s", p)
				}
			}
			if res := mustSync(t, home, a); res.Changed() {
				t.Errorf("the second sync changed %+v", res)
			}
			// A new version with one icon less.
			tree := sample.App(id)
			delete(tree, "share/icons/hicolor/256x256/apps/"+id+".png")
			tree["share/applications/"+id+".desktop"] += "X-Unknown=1\nComment=New\n"
			res = mustSync(t, home, app(t, id, "2", tree))
			if !slices.Equal(res.Removed, []string{"icons/hicolor/256x256/apps/" + id + ".png"}) {
				t.Errorf("the update wrote %q, removed %q", res.Written, res.Removed)
			}
			// A file that the user deletes is there again after the next sync, one that the user changes is the user's.
			entry := filepath.Join(home, sampleFiles[0])
			if err := os.Remove(entry); err != nil {
				t.Fatal(err)
			}
			if res = mustSync(t, home, app(t, id, "2", tree)); !slices.Equal(res.Written, sampleFiles[:1]) {
				t.Errorf("mending wrote %q", res.Written)
			}
			mustSync(t, home)
			same(t, find(t, top), was)
		})
	}
}

func TestSyncLeavesOthersAlone(t *testing.T) {
	noBus(t)
	home := t.TempDir()
	entry := filepath.Join(home, sampleFiles[0])
	if err := os.MkdirAll(filepath.Dir(entry), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(entry, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	// A link of that name, and where it points to, are not ours either.
	outside := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(outside, []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	service := filepath.Join(home, sampleFiles[1])
	if err := os.MkdirAll(filepath.Dir(service), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, service); err != nil {
		t.Fatal(err)
	}
	was := find(t, home)
	a := app(t, id, "1", sample.App(id))
	res := mustSync(t, home, a)
	if !slices.Equal(res.Written, sampleFiles[2:]) || len(res.Left) != 2 {
		t.Errorf("wrote %q, left out %v", res.Written, res.Left)
	}
	// As soon as the name is free it is used.
	if err := os.Remove(entry); err != nil {
		t.Fatal(err)
	}
	if res = mustSync(t, home, a); !slices.Equal(res.Written, sampleFiles[:1]) {
		t.Errorf("wrote %q", res.Written)
	}
	// What the user has made of ours is the user's, and stays.
	if err := os.WriteFile(entry, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	mustSync(t, home, a)
	mustSync(t, home)
	got := find(t, home)
	delete(got, "applications/mimeinfo.cache") // the folder was the user's; so is what the desktop makes in it
	same(t, got, was)
	if data, err := os.ReadFile(outside); err != nil || string(data) != "precious" {
		t.Errorf("the file outside: %q %v", data, err)
	}
}

func TestSyncsAtOnce(t *testing.T) {
	noBus(t)
	top := t.TempDir()
	home := filepath.Join(top, "share")
	a := app(t, id, "1", sample.App(id))
	was := find(t, top)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			var list []apps.App
			if i%2 == 0 {
				list = append(list, a)
			}
			for range 5 {
				if _, err := Sync(context.Background(), list, Options{DataHome: home, Glick: glick}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	mustSync(t, home)
	same(t, find(t, top), was)
}

// A name that begins with the ids of two bundles belongs to the one with the longer id.
func TestNamesOfTwo(t *testing.T) {
	noBus(t)
	home := t.TempDir()
	tree := sample.App(id)
	extra := "share/applications/" + id + ".Extra.desktop"
	tree[extra] = "[Desktop Entry]\nType=Application\nName=From Sample\nExec=app\n"
	first := app(t, id, "1", tree)
	second := app(t, id+".Extra", "1", sample.Tree{
		"bin/app": "", extra: "[Desktop Entry]\nType=Application\nName=From Extra\nExec=app\n",
	})
	check := func(want string) {
		t.Helper()
		data, err := os.ReadFile(filepath.Join(home, "applications", id+".Extra.desktop"))
		if err != nil || !strings.Contains(string(data), want) {
			t.Errorf("not %s: %s %v", want, data, err)
		}
	}
	mustSync(t, home, first)
	check("From Sample")
	mustSync(t, home, first, second)
	check("From Extra")
	mustSync(t, home, first, second)
	check("From Extra")
	mustSync(t, home, first)
	check("From Sample")
}
