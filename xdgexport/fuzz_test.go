// SPDX-License-Identifier: MIT

package xdgexport

import (
	"os"
	"strings"
	"testing"

	"glick.org/glick/bundle/keyfile"
	"glick.org/glick/internal/sample"
	"glick.org/glick/xdgexport/apps"
)

// openPlanner is a planner of a sample, for what needs one.
func openPlanner(t testing.TB) *planner {
	t.Helper()
	a, err := apps.Find(sample.Build(t, t.TempDir(), id, "1", sample.App(id)))
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(a.File)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	p := &planner{id: id, o: hostWorld(t), icons: map[string]bool{id: true}, names: map[string]bool{id: true}}
	p.o.Glick = "/usr/bin/glick"
	p.s = newSurroundings(p.o)
	if err := p.open(f, a); err != nil {
		t.Fatal(err)
	}
	return p
}

// What comes of an entry starts the bundle and nothing else, and is stable.
func FuzzEntry(f *testing.F) {
	seed(f, "share/applications/", ".desktop")
	f.Add([]byte(sample.App(id)["share/applications/"+id+".desktop"]))
	p := openPlanner(f)
	f.Fuzz(func(t *testing.T, in []byte) {
		p.asked = nil
		out, _, err := p.rewriteEntry(id, in)
		if err != nil {
			return
		}
		checkShown(t, Wanted{Files: []File{{Path: "applications/" + id + ".desktop", Content: out, Mode: 0o644, App: id}}})
		e, err := keyfile.Parse(out)
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		for _, g := range e.Groups() {
			if line, ok := g.Get("Exec"); ok {
				words, err := splitExec(keyfile.Unescape(line))
				if len(line) < maxExec && (err != nil || len(words) < 4 || words[0] != "/usr/bin/glick" || words[1] != "run" || words[2] != id) {
					t.Errorf("it starts %q (%v)", words, err)
				}
			}
			if g.Name() != entryGroup && !strings.HasPrefix(g.Name(), actionPrefix) {
				t.Errorf("group %s", g.Name())
			}
		}
		if _, _, err := p.rewriteAutostart(in, id); err != nil && len(in) < maxExec {
			t.Errorf("as an entry it is %s, but for autostart: %v", out, err)
		}
	})
}

func FuzzService(f *testing.F) {
	seed(f, "share/dbus-1/services/", ".service")
	f.Fuzz(func(t *testing.T, in []byte) {
		name, words, err := parseService(in, id)
		if err != nil {
			return
		}
		if !allowedName(name, id) || len(words) == 0 || words[0] == "" {
			t.Errorf("%q starts %q", name, words)
		}
		again, err := splitShell(joinShell(words))
		if err == nil && strings.Join(again, "\n") != strings.Join(words, "\n") || err != nil && len(joinShell(words)) <= maxExec {
			t.Errorf("%q became %q (%v)", words, again, err)
		}
	})
}

func FuzzSearchProvider(f *testing.F) {
	seed(f, "share/gnome-shell/search-providers/", ".ini")
	f.Fuzz(func(t *testing.T, in []byte) {
		v, err := parseProvider(in)
		if err == nil && (!objectPath.MatchString(v.path) || v.version != "1" && v.version != "2") {
			t.Errorf("%+v", v)
		}
	})
}

func FuzzMetainfo(f *testing.F) {
	seed(f, "share/metainfo/", ".xml")
	f.Add([]byte(full(f)["share/metainfo/"+id+".metainfo.xml"]))
	entry := func(stem string) bool { return stem == id }
	f.Fuzz(func(t *testing.T, in []byte) {
		out, _, err := rewriteMetainfo(in, id, entry, []string{"own"})
		if err != nil {
			return
		}
		again, notes, err := rewriteMetainfo(out, id, entry, []string{"own"})
		if err != nil || len(notes) > 0 || string(again) != string(out) {
			t.Errorf("not stable: %v %v\n%s\n%s", err, notes, out, again)
		}
	})
}

func FuzzFont(f *testing.F) {
	f.Add([]byte(full(f)["share/fonts/own.ttf"]))
	f.Add([]byte("ttcf\x00\x01\x00\x00\x00\x00\x00\x01\x00\x00\x00\x10" + full(f)["share/fonts/own.ttf"]))
	f.Fuzz(func(_ *testing.T, in []byte) { _ = checkFont(in) })
}
