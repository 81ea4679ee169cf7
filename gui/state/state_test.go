// SPDX-License-Identifier: MIT

package state

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"

	"glick.org/glick/bundle"
)

const file = "/home/ann/Downloads/Meadow.bundle"

func ready(installed ...Installed) Model {
	m, _ := New(file).Update(Loaded{
		Identity:  Identity{ID: "org.example.Meadow", Name: "Meadow Notes", Version: "2.4", Developer: "Ann", Arch: "x86_64", Size: 35_200_000},
		Installed: installed,
	})
	return m
}

// labels are the buttons as a person reads them, the default one marked by a star, those that cannot be pressed in brackets.
func labels(v View) string {
	var out []string
	for _, b := range v.Buttons {
		l := strings.ReplaceAll(b.Label, "_", "")
		if b.Default {
			l += "*"
		}
		if !b.Enabled {
			l = "(" + l + ")"
		}
		out = append(out, l)
	}
	return strings.Join(out, " ")
}

func row(v View, id string) Row {
	for _, r := range v.Rows {
		if r.ID == id {
			return r
		}
	}
	return Row{}
}

func TestButtons(t *testing.T) {
	same := Installed{Version: "2.4", File: "/home/ann/Apps/Meadow.bundle", Same: true}
	older := Installed{Version: "2.3", File: "/home/ann/Apps/old.bundle"}
	for _, c := range []struct {
		name      string
		installed []Installed
		lacks     []Lack
		check     error
		want      string
		drag      bool
	}{
		{name: "new", want: "Open Install*", drag: true},
		{name: "same", installed: []Installed{same}, want: "Uninstall Open*"},
		{name: "same beside older", installed: []Installed{older, same}, want: "Uninstall Open*"},
		{name: "for all users", installed: []Installed{{Version: "2.4", Same: true, System: true}}, want: "(Uninstall) Open*"},
		{name: "older installed", installed: []Installed{older}, want: "Open Keep Both Update*", drag: true},
		{name: "newer installed", installed: []Installed{{Version: "2.10"}}, want: "Open Downgrade Keep Both*", drag: true},
		{name: "newest counts", installed: []Installed{{Version: "1"}, {Version: "3"}}, want: "Open Downgrade Keep Both*", drag: true},
		{name: "another build", installed: []Installed{{Version: "2.4"}}, want: "Open Keep Both Update*", drag: true},
		{name: "other processor", lacks: []Lack{LackArchitecture}, want: "(Open) (Install*)"},
		{name: "no fuse", lacks: []Lack{LackFUSE}, want: "Open Install*", drag: true},
		{name: "damaged", check: bundle.ErrDamaged, want: "(Open) (Install*)"},
		{name: "damaged and installed", installed: []Installed{same}, check: bundle.ErrDamaged, want: "Uninstall (Open*)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := ready(c.installed...)
			m.Lacks = c.lacks
			m, _ = m.Update(CheckEnded{c.check})
			v := m.View()
			if got := labels(v); got != c.want {
				t.Errorf("buttons are %q, want %q", got, c.want)
			}
			if v.CanDrag != c.drag {
				t.Errorf("the icon can be dragged: %v, want %v", v.CanDrag, c.drag)
			}
		})
	}
}

// TestInstall goes the whole way: press, progress, end, undo.
func TestInstall(t *testing.T) {
	m := ready()
	m, effects := m.Update(Pressed{Install})
	wantEffects(t, effects, DoInstall{})
	m, _ = m.Update(TaskProgress{Done: 17_600_000, Total: 35_200_000})
	v := m.View()
	if v.Progress == nil || v.Progress.Fraction != 0.5 || !v.Progress.Cancel {
		t.Fatalf("half way it shows %+v", v.Progress)
	}
	if got := labels(v); got != "(Open) (Install*)" {
		t.Errorf("while installing the buttons are %q", got)
	}
	if _, effects := m.Update(Pressed{Install}); effects != nil {
		t.Errorf("pressing twice does %v", effects)
	}
	m, effects = m.Update(InstallEnded{Installed: []Installed{{Version: "2.4", File: "/a", Same: true}}})
	wantEffects(t, effects, Toast{Text: "Meadow Notes installed", Undo: true})
	if v := m.View(); labels(v) != "Uninstall Open*" || v.Progress != nil || !v.InPlace {
		t.Errorf("after installing it shows %q, progress %v", labels(v), v.Progress)
	}
	m, effects = m.Update(Pressed{Undo})
	wantEffects(t, effects, DoUndo{})
	m, _ = m.Update(UndoEnded{})
	if v := m.View(); labels(v) != "Open Install*" {
		t.Errorf("after undoing the buttons are %q", labels(v))
	}
	if _, effects := m.Update(Pressed{Undo}); effects != nil {
		t.Errorf("undoing twice does %v", effects)
	}
}

func TestCancel(t *testing.T) {
	m := ready()
	if _, effects := m.Update(Pressed{Cancel}); !reflect.DeepEqual(effects, []Effect{DoClose{}}) {
		t.Errorf("with nothing to cancel it does %v, want to close", effects)
	}
	m, _ = m.Update(Pressed{Install})
	m, effects := m.Update(Pressed{Cancel})
	wantEffects(t, effects, DoCancel{})
	if p := m.View().Progress; p == nil || p.Enabled {
		t.Errorf("while cancelling it shows %+v", p)
	}
	if _, effects := m.Update(Pressed{Cancel}); effects != nil {
		t.Errorf("cancelling twice does %v", effects)
	}
	m, effects = m.Update(InstallEnded{Err: fmt.Errorf("cannot install: %w", context.Canceled)})
	wantEffects(t, effects, Toast{Text: "Cancelled. Nothing was changed."})
	if got := labels(m.View()); got != "Open Install*" {
		t.Errorf("after cancelling the buttons are %q", got)
	}
}

func TestKeepBothAndUninstall(t *testing.T) {
	m := ready(Installed{Version: "2.3", File: "/old"})
	_, effects := m.Update(Pressed{KeepBoth})
	wantEffects(t, effects, DoInstall{KeepBoth: true})
	_, effects = m.Update(Pressed{Install})
	if effects != nil {
		t.Errorf("a button that is not there does %v", effects)
	}
	m = ready(Installed{Version: "2.3", File: "/old"}, Installed{Version: "2.4", File: "/same", Same: true})
	m, effects = m.Update(Pressed{Uninstall})
	wantEffects(t, effects, DoUninstall{"/same"})
	_, effects = m.Update(UninstallEnded{Err: fs.ErrPermission, Installed: m.Installed})
	if d, ok := effects[0].(Dialog); !ok || d.Cause.Title != "Could Not Uninstall Meadow Notes" || !strings.Contains(d.Cause.Advice, "not allowed") {
		t.Errorf("a failure says %+v", effects)
	}
}

func TestDrop(t *testing.T) {
	m := ready()
	if _, effects := m.Update(Dropped{Files: []string{file}}); effects != nil {
		t.Errorf("the own icon beside the folder does %v", effects)
	}
	_, effects := m.Update(Dropped{Files: []string{file}, OnTarget: true})
	wantEffects(t, effects, DoInstall{})
	_, effects = m.Update(Dropped{Files: []string{"/x.bundle"}, OnTarget: true})
	wantEffects(t, effects, OpenFiles{[]string{"/x.bundle"}})
	busy, _ := m.Update(Pressed{Install})
	if _, effects := busy.Update(Dropped{Files: []string{file}, OnTarget: true}); effects != nil {
		t.Errorf("a drop while installing does %v", effects)
	}
}

func TestOpen(t *testing.T) {
	m, effects := ready().Update(Pressed{Open})
	wantEffects(t, effects, DoStart{file})
	if p := m.View().Progress; p == nil || p.Text != "Starting Meadow Notes…" || p.Cancel {
		t.Errorf("while starting it shows %+v", p)
	}
	if _, effects := m.Update(Pressed{Open}); effects != nil {
		t.Errorf("a second press while it starts does %v", effects)
	}
	installing, effects := m.Update(Pressed{Install})
	wantEffects(t, effects, DoInstall{})
	if after, _ := installing.Update(Started{}); after.Task != Installing {
		t.Error("that it has started ends the installation")
	}
	failed, effects := m.Update(StartFailed{Err: errors.New("exit status 3"), Words: "one\ntwo\x1b[31m\n\n"})
	d, ok := effects[0].(Dialog)
	if !ok || d.Cause.Detail != "one\ntwo[31m" || d.Cause.Title != "Meadow Notes Could Not Be Opened" {
		t.Errorf("a failed start says %+v", effects)
	}
	if failed.View().Progress != nil {
		t.Error("it still says that it starts")
	}
	started, _ := m.Update(Started{})
	if started.View().Progress != nil {
		t.Error("it still says that it starts")
	}
}

func TestCauses(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{bundle.ErrTruncated, "The Download Is Incomplete"},
		{bundle.ErrDamaged, "The File Is Damaged"},
		{bundle.ErrNotBundle, "This Is Not an Application Bundle"},
		{bundle.ErrVersion, "This Bundle Needs a Newer Glick"},
		{bundle.ErrArch, "Made for Another Kind of Computer"},
		{fs.ErrNotExist, "The File Is Not There"},
		{syscall.EACCES, "No Permission"},
		{syscall.ENOSPC, "The Disk Is Full"},
		{syscall.EISDIR, "This Is a Folder"},
		{errors.New("odd"), "Something Went Wrong"},
	} {
		m, _ := New(file).Update(LoadFailed{fmt.Errorf("cannot read: %w", c.err)})
		v := m.View()
		if v.Page != ProblemPage || v.Problem.Title != c.want || v.Problem.Advice == "" {
			t.Errorf("%v shows %+v, want %q", c.err, v.Problem, c.want)
		}
		if got := labels(v); got != "Close*" {
			t.Errorf("%v: buttons are %q", c.err, got)
		}
	}
}

func TestFacts(t *testing.T) {
	m := ready(Installed{Version: "2.3", File: "/home/ann/Apps/old.bundle"})
	m.Identity.Origin = "http://user:secret@example.org/x"
	m.Identity.Unpacked = 90_000_000
	m, _ = m.Update(CheckProgress{1000, 2000})
	v := m.View()
	for id, want := range map[string]string{
		"installed": "Installed is 2.3, this file is 2.4",
		"check":     "Checking the file…",
		"signature": "Not signed",
		"size":      "Takes 35.2 MB on disk",
		"origin":    "Downloaded from example.org",
		"file":      "Meadow.bundle",
	} {
		if got := row(v, id).Title; got != want {
			t.Errorf("%s: %q, want %q", id, got, want)
		}
	}
	if r := row(v, "origin"); r.Tone != Warning {
		t.Error("an unprotected download is not marked")
	} else if strings.Contains(r.Text, "secret") {
		t.Errorf("a password is shown: %q", r.Text)
	}
	m, _ = m.Update(SharedKnown{12_000_000})
	if got := row(m.View(), "size").Text; got != "Of its 90.0 MB of files, 12.0 MB are already on this computer." {
		t.Errorf("sharing is told as %q", got)
	}
	m, _ = m.Update(CheckEnded{})
	if r := row(m.View(), "check"); r.Title != "The file is whole" || r.Tone != Good {
		t.Errorf("a whole file shows %+v", r)
	}
	if v.Byline != "Version 2.4 · by Ann" {
		t.Errorf("byline %q", v.Byline)
	}
}

// TestHostileText has everything that a bundle says made of what must not reach the screen.
func TestHostileText(t *testing.T) {
	evil := "a\x00b\u202ec\xff\n\x1b[2J" + strings.Repeat("W", 5000) + "\u200b\u2066"
	m, _ := New("/tmp/" + evil).Update(Loaded{Identity: Identity{ID: evil, Name: evil, Version: evil, Summary: evil, Developer: evil,
		License: evil, Arch: evil, Origin: evil, Digest: evil}, Installed: []Installed{{Version: evil, File: "/" + evil}}, Lacks: []Lack{LackArchitecture}})
	m, _ = m.Update(CheckEnded{errors.New(evil)})
	v := m.View()
	texts := []string{v.Title, v.Name, v.Summary, v.Byline, v.Hint}
	for _, r := range v.Rows {
		texts = append(texts, r.Title, r.Text)
	}
	for _, d := range v.Details {
		texts = append(texts, d.Name, d.Value)
	}
	for _, s := range texts {
		if !utf8.ValidString(s) || strings.ContainsAny(s, "\x00\x1b\n\u202e\u2066\u200b") || utf8.RuneCountInString(s) > 600 {
			t.Errorf("%.40q… (%d characters) is shown", s, utf8.RuneCountInString(s))
		}
	}
	m, _ = New("/tmp/x").Update(Loaded{})
	if v := m.View(); v.Name != "x" || v.Byline != "" {
		t.Errorf("a bundle that says nothing is shown as %q, %q", v.Name, v.Byline)
	}
}

func TestClean(t *testing.T) {
	for _, c := range []struct {
		in    string
		limit int
		want  string
	}{
		{"  a \t\n b  ", 10, "a b"},
		{"abcdef", 6, "abcdef"},
		{"abcdefg", 6, "abcde…"},
		{"ما\u200cهی", 10, "ما\u200cهی"}, // the zero-width non-joiner is part of the word
		{"\xff\xfe", 10, ""},
		{"", 10, ""},
	} {
		if got := Clean(c.in, c.limit); got != c.want {
			t.Errorf("Clean(%q, %d) = %q, want %q", c.in, c.limit, got, c.want)
		}
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{0: "0 bytes", 1: "1 byte", 999: "999 bytes", 1000: "1.0 kB", 35_200_000: "35.2 MB",
		999_949: "999.9 kB", 999_950: "1.0 MB", 4_000_000_000: "4.0 GB", 1<<63 - 1: "9.2 EB"} {
		if got := Size(n); got != want {
			t.Errorf("Size(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestLibrary(t *testing.T) {
	if v := (Library{}).View(); v.Page != LibraryLoading {
		t.Errorf("before anything is known the page is %v", v.Page)
	}
	if v := (Library{Loaded: true}).View(); v.Page != LibraryEmpty || v.Title == "" || v.Text == "" || v.Search {
		t.Errorf("without applications it shows %+v", v)
	}
	l := Library{Loaded: true, Entries: []Entry{
		{ID: "org.b", Name: "Beta", Version: "1.9", Size: 1000},
		{ID: "org.b", Name: "Beta", Version: "1.10", Size: 1000},
		{ID: "org.a", Name: "alpha", Version: "1", Size: 2000, System: true},
	}}
	var got []string
	for _, r := range l.View().Rows {
		got = append(got, r.Title+" "+r.Text)
	}
	want := []string{"alpha 1 · 2.0 kB · for all users", "Beta 1.10 · 1.0 kB", "Beta 1.9 · 1.0 kB"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("rows are %q, want %q", got, want)
	}
	if l.View().Rows[0].CanUninstall || !l.View().Rows[1].CanUninstall {
		t.Error("the wrong ones can be uninstalled")
	}
	l.Query = "  ORG ta "
	if v := l.View(); len(v.Rows) != 2 {
		t.Errorf("searching finds %d", len(v.Rows))
	}
	l.Query = "zzz"
	if v := l.View(); v.Page != LibraryNothingFound || v.Title == "" || !v.Search {
		t.Errorf("finding nothing shows %+v", v)
	}
}

func wantEffects(t *testing.T, got []Effect, want ...Effect) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("effects are %#v, want %#v", got, want)
	}
}
