// SPDX-License-Identifier: MIT

package state

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"glick.org/glick/bundle"
	"glick.org/glick/xdgexport/apps"
	"glick.org/glick/xdgexport/apps/trust"
)

const file = "/home/ann/Downloads/Meadow.bundle"

// signed is what is known of a bundle that nothing speaks against.
var signed = Trust{State: trust.FirstSeen, Key: trust.Key{Fingerprint: "SHA256:new", Type: "ed25519"}}

func ready(installed ...Installed) Model {
	m, _ := New(file, false).Update(Loaded{
		Identity:  Identity{ID: "org.example.Meadow", Name: "Meadow Notes", Version: "2.4", Developer: "Ann", Arch: "x86_64", Size: 35_200_000, CanMove: true},
		Related:   true,
		Installed: installed,
		Trust:     signed,
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
		from      *Trust
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
		{name: "other processor", lacks: []Lack{{Kind: LackArchitecture}}, want: "(Open) (Install*)"},
		{name: "no fuse", lacks: []Lack{{Kind: LackFUSE}}, want: "Open Install*", drag: true},
		{name: "another format", lacks: []Lack{{Kind: LackFormat, Detail: bundle.FormatAppImage2}}, want: "Close*"},
		{name: "unsigned", from: &Trust{State: trust.Unsigned}, want: "Open Install*", drag: true},
		{name: "signed by somebody else", from: &Trust{State: trust.Changed}, want: "Open Install", drag: true},
		{name: "update by somebody else", from: &Trust{State: trust.Changed}, installed: []Installed{older}, want: "Open Keep Both Update", drag: true},
		{name: "signature wrong", from: &Trust{State: trust.Damaged}, want: "Open (Install)"},
		{name: "damaged", check: bundle.ErrDamaged, want: "Open (Install)"},
		{name: "damaged and installed", installed: []Installed{same}, check: bundle.ErrDamaged, want: "Uninstall Open"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := ready(c.installed...)
			m.Lacks = c.lacks
			if c.from != nil {
				m.Trust = *c.from
			}
			m, _ = m.Update(CheckEnded{c.check})
			v := m.View()
			if got := labels(v); got != c.want {
				t.Errorf("buttons are %q, want %q", got, c.want)
			}
			if foreign := m.lacks(LackFormat) || m.lacks(LackArchitecture); v.Scene == foreign {
				t.Errorf("the folder is shown: %v", v.Scene)
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
	m, _ = m.Update(TaskProgress{Done: 0, Total: 35_200_000})
	m, _ = m.Update(TaskProgress{Done: 8_800_000, Total: 35_200_000, At: time.Second})
	if p := m.View().Progress; p == nil || p.Fraction != 0.25 || p.Amount != "Copying: 17.6 MB of 35.2 MB · 17.6 MB/s" {
		t.Fatalf("half of the copy is shown as %+v", p)
	}
	m, _ = m.Update(TaskProgress{Done: 17_600_000, Total: 35_200_000, At: 2 * time.Second})
	v := m.View()
	if v.Progress.Amount != "Checking: 0 bytes of 35.2 MB" {
		t.Errorf("when checking begins it says %q", v.Progress.Amount)
	}
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
	_, effects = m.Update(Dropped{Files: []string{file, "/x.bundle"}, OnTarget: true})
	wantEffects(t, effects, OpenFiles{[]string{file, "/x.bundle"}}) // none of them is installed before the person has seen the list
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

// TestTrustWords has every state of trust said in its own words, and asked about where it must be.
func TestTrustWords(t *testing.T) {
	old := trust.Key{Fingerprint: "SHA256:old", Type: "ed25519"}
	since := time.Date(2026, 5, 3, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name    string
		from    Trust
		check   error
		title   string
		tone    Tone
		open    string // what is asked before it is opened; "" for nothing
		install string
	}{
		{"verified", Trust{State: trust.Verified, Key: old, Since: since}, nil, "From the publisher that you know", Good, "", ""},
		{"named", Trust{State: trust.Verified, Key: trust.Key{Fingerprint: "SHA256:old", Comment: "Ann"}}, nil, "Signed by Ann", Good, "", ""},
		{"first seen", signed, nil, "Signed by a publisher seen for the first time", Plain, "", ""},
		{"unsigned", Trust{State: trust.Unsigned}, nil, "Not signed", Warning, "Open Meadow Notes?", ""},
		{"unsigned, accepted", Trust{State: trust.Unsigned, Accepted: true}, nil, "Not signed", Warning, "", ""},
		{"changed", Trust{State: trust.Changed, Key: signed.Key, Expected: []trust.Key{old}}, nil, "Signed by somebody else than before", Bad,
			"Open Meadow Notes From Somebody Else?", "Trust the New Signature of Meadow Notes?"},
		{"lost", Trust{State: trust.Changed, Expected: []trust.Key{old}}, nil, "The signature is missing", Bad,
			"Open Meadow Notes From Somebody Else?", "Install Meadow Notes Without Its Signature?"},
		{"wrong", Trust{State: trust.Damaged, Damage: "no"}, nil, "The signature is wrong", Bad, "Open Damaged Meadow Notes?", "-"},
		{"damaged", signed, bundle.ErrDamaged, "Signed by a publisher seen for the first time", Plain, "Open Damaged Meadow Notes?", "-"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := ready()
			m.Trust = c.from
			m, _ = m.Update(CheckEnded{c.check})
			if r := row(m.View(), "signature"); r.Title != c.title || r.Tone != c.tone {
				t.Errorf("it says %q (%d), want %q (%d)", r.Title, r.Tone, c.title, c.tone)
			}
			asked := func(a Action) string {
				_, effects := m.Update(Pressed{a})
				if len(effects) == 0 {
					return "-"
				}
				if q, ok := effects[0].(Ask); ok {
					return q.Question.Title
				}
				return ""
			}
			if got := asked(Open); got != c.open {
				t.Errorf("before opening it asks %q, want %q", got, c.open)
			}
			if got := asked(Install); got != c.install {
				t.Errorf("before installing it asks %q, want %q", got, c.install)
			}
		})
	}
}

// TestAnswers: what is asked about happens after yes only, once, and is remembered where it should be.
func TestAnswers(t *testing.T) {
	m := ready()
	m.Trust = Trust{State: trust.Unsigned}
	m.Identity.Digest = "d"
	asked, _ := m.Update(Pressed{Open})
	if _, effects := asked.Update(Pressed{Open}); effects != nil {
		t.Errorf("pressing again while it is asked does %v", effects)
	}
	no, effects := asked.Update(Answered{false})
	if effects != nil || no.Task != Idle {
		t.Errorf("after no it does %v", effects)
	}
	if _, effects := no.Update(Pressed{Open}); len(effects) != 1 {
		t.Errorf("after no, pressing again does %v, want to be asked again", effects)
	}
	yes, effects := asked.Update(Answered{true})
	wantEffects(t, effects, DoRemember{"org.example.Meadow", "d"}, DoStart{file})
	yes, _ = yes.Update(Started{})
	_, effects = yes.Update(Pressed{Open})
	wantEffects(t, effects, DoStart{file})

	m.Trust = Trust{State: trust.Changed}
	asked, _ = m.Update(Pressed{Install})
	_, effects = asked.Update(Answered{true})
	wantEffects(t, effects, DoInstall{Accept: true})
	// What was asked about may have become impossible meanwhile.
	asked, _ = asked.Update(CheckEnded{bundle.ErrDamaged})
	if _, effects := asked.Update(Answered{true}); effects != nil {
		t.Errorf("after it turned out damaged, yes does %v", effects)
	}
	if _, effects := m.Update(Answered{true}); effects != nil {
		t.Errorf("an answer without a question does %v", effects)
	}
}

// TestMove: the choice is remembered, used, and the window follows the file.
func TestMove(t *testing.T) {
	m := ready()
	if s := m.View().Source; s == nil || !s.Keep || !s.CanChoose {
		t.Fatalf("the file is shown as %+v", s)
	}
	m, effects := m.Update(MoveChosen{true})
	wantEffects(t, effects, DoRememberMove{true})
	if s := m.View().Source; s.Keep || !strings.Contains(s.Text, "moves “Meadow.bundle”") {
		t.Errorf("when it is moved it says %+v", s)
	}
	m, effects = m.Update(Pressed{Install})
	wantEffects(t, effects, DoInstall{Move: true})
	const there = "/home/ann/Apps/Meadow.bundle"
	m, _ = m.Update(InstallEnded{Installed: []Installed{{Version: "2.4", File: there, Same: true}}, Trust: signed, File: there})
	if m.File != there || m.View().Source != nil {
		t.Errorf("after moving the window is about %s", m.File)
	}
	gone, _ := m.Update(Pressed{Uninstall})
	gone, _ = gone.Update(UninstallEnded{})
	if got := labels(gone.View()); got != "Close*" {
		t.Errorf("after its file was uninstalled the buttons are %q", got)
	}
	gone, effects = gone.Update(Pressed{Undo})
	wantEffects(t, effects, DoUndo{})
	back, _ := gone.Update(UndoEnded{Installed: m.Installed})
	if got := labels(back.View()); got != "Uninstall Open*" {
		t.Errorf("after undoing that the buttons are %q", got)
	}
	m, _ = m.Update(Pressed{Undo})
	m, _ = m.Update(UndoEnded{File: file})
	if m.File != file {
		t.Errorf("after undoing the window is about %s", m.File)
	}
	m.Identity.CanMove = false
	if s := m.View().Source; s.CanChoose || !strings.Contains(s.Text, "stays there") {
		t.Errorf("a file that cannot be moved is shown as %+v", s)
	}
	_, effects = m.Update(Pressed{Install})
	wantEffects(t, effects, DoInstall{})
	m, _ = m.Update(Pressed{Install})
	_, effects = m.Update(InstallEnded{Err: fmt.Errorf("x: %w", apps.ErrSourceLeft)})
	wantEffects(t, effects, Toast{Text: "Meadow Notes installed. The downloaded file could not be removed.", Undo: true})
}

// TestIdentityFirst: the window shows what the bundle is before it knows how it relates to what is installed.
func TestIdentityFirst(t *testing.T) {
	m, _ := New(file, false).Update(Loaded{Identity: Identity{ID: "org.example.Meadow", Name: "Meadow", Version: "2"}})
	v := m.View()
	if v.Name != "Meadow" || labels(v) != "(Open) (Install*)" || !row(v, "signature").Busy {
		t.Errorf("at first it shows %q, %q", v.Name, labels(v))
	}
	m, _ = m.Update(Refreshed{Installed: []Installed{{Version: "1"}}, Trust: signed})
	if got := labels(m.View()); got != "Open Keep Both Update*" {
		t.Errorf("then the buttons are %q", got)
	}
}

func TestLinks(t *testing.T) {
	m := ready()
	m.Identity.Links = []Link{{"homepage", "https://example.org/x"}, {"homepage", "https://b.example"}, {"help", "javascript:alert(1)"},
		{"bugtracker", "file:///etc/passwd"}, {"faq", "https://user:secret@example.org"}, {"odd", "https://c.example"}, {"donation", "http://d.example"}}
	var got []string
	for _, l := range m.View().Links {
		got = append(got, l.Title+" "+l.URL)
	}
	if want := []string{"Website https://example.org/x", "Donate http://d.example"}; !reflect.DeepEqual(got, want) {
		t.Errorf("links are %q, want %q", got, want)
	}
}

func TestAddsWords(t *testing.T) {
	m := ready()
	if m.View().Adds != nil {
		t.Error("it says what it adds before that is known")
	}
	m, _ = m.Update(Examined{Adds: &Adds{}})
	if rows := m.View().Adds; len(rows) != 1 || rows[0].ID != "nothing" {
		t.Errorf("adding nothing is said as %+v", rows)
	}
	m, _ = m.Update(Examined{Adds: &Adds{Entries: []string{"A", "B"}, Types: []string{"a", "b", "c", "d", "e", "f"}, Commands: []string{"x"}}})
	var got []string
	for _, r := range m.View().Adds {
		got = append(got, r.Title+": "+r.Text)
	}
	want := []string{"2 entries in the menu of applications: A, B", "Opens files: a, b, c, d and 2 more", "A command for the terminal: x"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("it adds %q, want %q", got, want)
	}
}

func TestStartHints(t *testing.T) {
	ended := func(script string) error { return fmt.Errorf("it ended: %w", exec.Command("sh", "-c", script).Run()) }
	for _, c := range []struct {
		err         error
		words, want string
	}{
		{ended("exit 3"), "", "without a message"},
		{ended("exit 3"), "odd", "Its last words"},
		{ended("exit 1"), "x: error while loading shared libraries: libx.so.1: cannot open", "A library that it needs"},
		{ended("exit 1"), "x: /lib/libc.so.6: version `GLIBC_2.99' not found", "newer system"},
		{ended("kill -SEGV $$"), "", "It crashed"},
		{ended("kill -ILL $$"), "", "newer processor"},
		{ended("kill -KILL $$"), "", "Memory may have run out"},
		{ended("exit 125"), "cannot start x: no", "It could not be started"},
		{errors.New("cannot start x: no stub"), "", "It could not be started"},
	} {
		if got := StartCause("Meadow", c.err, c.words).Advice; !strings.Contains(got, c.want) {
			t.Errorf("%v with %q: %q, want %q", c.err, c.words, got, c.want)
		}
	}
}

func TestCauses(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{bundle.ErrTruncated, "The Download Is Incomplete"},
		{bundle.ErrDamaged, "The File Is Damaged"},
		{bundle.ErrNotSlice, "This Is a Part of Applications"},
		{bundle.ErrUnsupported, "This Bundle Cannot Be Read"},
		{ErrRemote, "This Is Not on This Computer"},
		{apps.ErrChanged, "Its Signature Is Not the Expected One"},
		{bundle.ErrNotBundle, "This Is Not an Application Bundle"},
		{bundle.ErrVersion, "This Bundle Needs a Newer Glick"},
		{bundle.ErrArch, "Made for Another Kind of Computer"},
		{fs.ErrNotExist, "The File Is Not There"},
		{syscall.EACCES, "No Permission"},
		{&FolderError{Folder: "~/Apps", Err: syscall.EACCES}, "No Permission"},
		{syscall.ENOSPC, "The Disk Is Full"},
		{syscall.EISDIR, "This Is a Folder"},
		{errors.New("odd"), "Something Went Wrong"},
	} {
		m, _ := New(file, false).Update(LoadFailed{fmt.Errorf("cannot read: %w", c.err)})
		v := m.View()
		if v.Page != ProblemPage || v.Problem.Title != c.want || v.Problem.Advice == "" {
			t.Errorf("%v shows %+v, want %q", c.err, v.Problem, c.want)
		}
		if folder := "~/Apps"; strings.Contains(c.err.Error(), folder) && !strings.Contains(v.Problem.Advice, folder) {
			t.Errorf("%v does not name the folder: %q", c.err, v.Problem.Advice)
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
		"signature": "Signed by a publisher seen for the first time",
		"size":      "Takes 35.2 MB on disk",
		"origin":    "Downloaded from example.org",
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
	m, _ = m.Update(SharedKnown{20})
	if got := row(m.View(), "size").Text; got != "It holds 90.0 MB of files, compressed." {
		t.Errorf("next to nothing that is shared is told as %q", got)
	}
	m, _ = m.Update(SharedKnown{12_000_000})
	if got := row(m.View(), "size").Text; got != "Of 90.0 MB of files in it, 12.0 MB are already on this computer, and take no more memory." {
		t.Errorf("sharing is told as %q", got)
	}
	m, _ = m.Update(CheckEnded{})
	if r := row(m.View(), "check"); r.Title != "The file is whole" || r.Tone != Good {
		t.Errorf("a whole file shows %+v", r)
	}
	if v.Byline != "Version 2.4 · Ann" {
		t.Errorf("byline %q", v.Byline)
	}
}

// TestHostileText has everything that a bundle says made of what must not reach the screen.
func TestHostileText(t *testing.T) {
	evil := "a\x00b\u202ec\xff\n\x1b[2J" + strings.Repeat("W", 5000) + "\u200b\u2066"
	m, _ := New("/tmp/"+evil, false).Update(Loaded{Identity: Identity{ID: evil, Name: evil, Version: evil, Summary: evil, Developer: evil,
		License: evil, Arch: evil, Origin: evil, Digest: evil, Description: []Block{{Text: evil}}, Links: []Link{{"homepage", "https://" + evil}, {"help", evil}}}, Installed: []Installed{{Version: evil, File: "/" + evil}}, Trust: Trust{State: trust.Changed, Key: trust.Key{Comment: evil},
		Expected: []trust.Key{{Fingerprint: evil, Comment: evil, Type: evil}}, Damage: evil}, Related: true, Lacks: []Lack{{Kind: LackArchitecture, Mend: evil}}})
	m, _ = m.Update(CheckEnded{errors.New(evil)})
	m, _ = m.Update(Examined{Adds: &Adds{Entries: []string{evil}, Types: []string{evil}, Commands: []string{evil}, Services: []string{evil}, Left: []string{evil}}})
	v := m.View()
	q, ok := m.question(Open)
	if !ok {
		t.Error("nothing is asked before it is opened")
	}
	texts := []string{v.Title, v.Name, v.Summary, v.Byline, v.Hint, v.Source.Title, v.Source.Text, v.License, q.Title, q.Body, strings.ReplaceAll(q.Detail, "\n", "")}
	for _, b := range v.About {
		texts = append(texts, string([]rune(b.Text)[:min(300, utf8.RuneCountInString(b.Text))]))
	}
	for _, l := range v.Links {
		texts = append(texts, l.Host, l.Title)
	}
	v.Rows = append(v.Rows, v.Adds...)
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
	m, _ = New("/tmp/x", false).Update(Loaded{})
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

func wantEffects(t *testing.T, got []Effect, want ...Effect) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("effects are %#v, want %#v", got, want)
	}
}
