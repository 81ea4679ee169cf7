// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"glick.org/glick/bundle"
	"glick.org/glick/xdgexport/apps"
	"glick.org/glick/xdgexport/apps/trust"
	"glick.org/glick/xdgexport/sessionbus"
)

const appsFolder = "/home/u/Apps"

func sampleApp(id, version string) apps.App {
	return apps.App{
		ID: id, Version: version, Name: "Sample", File: appsFolder + "/" + id + "-" + version + ".bundle", Default: true, State: trust.Unsigned,
		Digest: bundle.Digest{id[len(id)-1], version[0]},
	}
}

// looker is a noticer and what it is shown.
type looker struct {
	t *testing.T
	*noticer
	now time.Time
}

func newLooker(t *testing.T) *looker {
	t.Helper()
	n := newNoticer(&own{}, &reported{path: filepath.Join(t.TempDir(), "reported")})
	n.home = appsFolder
	return &looker{t, n, time.Unix(1000, 0)}
}

// sees says what the user is told when the folders hold this.
func (l *looker) sees(list []apps.App, problems ...apps.Problem) (said, over []string, wait time.Duration) {
	l.t.Helper()
	show, over, wait := l.look(l.now, list, problems)
	for _, n := range show {
		said = append(said, n.summary)
		if n.remember != "" {
			n.others = append(n.others, n.remember)
		}
		if err := l.reported.add(n.others...); err != nil {
			l.t.Fatal(err)
		}
	}
	return said, over, wait
}

func (l *looker) want(what string, got []string, want ...string) {
	l.t.Helper()
	if !slices.Equal(got, want) {
		l.t.Errorf("%s: told %q, want %q", what, got, want)
	}
}

func TestNewApplicationsAreTold(t *testing.T) {
	l := newLooker(t)
	a, b := sampleApp("a.b.C", "1"), sampleApp("a.b.D", "1")
	said, _, wait := l.sees([]apps.App{a})
	l.want("what was there", said)
	if wait != 0 {
		t.Error("it wakes up for nothing")
	}
	said, _, _ = l.sees([]apps.App{a, b})
	l.want("a new one", said, "Sample Installed")
	said, _, _ = l.sees([]apps.App{a, b})
	l.want("the same again", said)
	renamed := b
	renamed.File = appsFolder + "/other.bundle"
	said, _, _ = l.sees([]apps.App{a, renamed})
	l.want("another file name", said)
	newer, older := sampleApp("a.b.C", "2"), a
	older.Default = false
	said, _, _ = l.sees([]apps.App{newer, older, renamed})
	l.want("a new version", said, "Sample Updated")
	third := sampleApp("a.b.C", "0")
	third.Default = false
	said, _, _ = l.sees([]apps.App{newer, older, third, renamed})
	l.want("an old version", said, "Sample 0 Installed")
	system := sampleApp("a.b.E", "1")
	system.System = true
	said, _, _ = l.sees([]apps.App{newer, older, third, renamed, system})
	l.want("one for all users", said)
	said, _, _ = l.sees([]apps.App{newer, older, third, system})
	l.want("one less", said)
	l.now = l.now.Add(backTime)
	said, _, _ = l.sees([]apps.App{newer, older, third, renamed, system})
	l.want("undone", said)
	l.sees([]apps.App{newer, older, third, system})
	l.now = l.now.Add(backTime + 1)
	l.sees([]apps.App{newer, older, third, system})
	said, _, _ = l.sees([]apps.App{newer, older, third, renamed, system})
	l.want("back after a long time", said, "Sample Installed")
	var many []apps.App
	for n := range manyNotices + 2 {
		many = append(many, sampleApp(fmt.Sprint("x.y.z", n), "1"))
	}
	said, _, _ = l.sees(many)
	l.want("many", said, "Several Applications Installed")
}

// What a caller has installed is the caller's to tell of, whichever comes first: the file or the end of the call.
func TestCallersTellThemselves(t *testing.T) {
	l := newLooker(t)
	l.sees(nil)
	a := sampleApp("a.b.C", "1")
	end := l.own.begin()
	said, _, _ := l.sees([]apps.App{a})
	l.want("while it is installed", said)
	end(&a)
	said, _, _ = l.sees([]apps.App{a})
	l.want("after that", said)
	b := sampleApp("a.b.D", "1")
	end = l.own.begin()
	said, _, _ = l.sees([]apps.App{a, b})
	l.want("while something is installed", said)
	end(nil)
	said, _, _ = l.sees([]apps.App{a, b})
	l.want("when it was something else", said, "Sample Installed")
	end = l.own.begin()
	c := sampleApp("a.b.E", "1")
	end(&c)
	said, _, _ = l.sees([]apps.App{a, b})
	l.want("not seen yet", said)
	said, _, _ = l.sees([]apps.App{a, b, c})
	l.want("seen late", said)
	if len(l.own.marks) != 0 {
		t.Errorf("left: %v", l.own.marks)
	}
}

func TestBrokenFilesAreToldOnce(t *testing.T) {
	l := newLooker(t)
	file := appsFolder + "/x.bundle"
	broken := func(content string) apps.Problem {
		return apps.Problem{File: file, Err: fmt.Errorf("no: %w", bundle.ErrNotBundle), Content: content}
	}
	said, _, _ := l.sees(nil, broken("1"))
	l.want("broken", said, "x.bundle Cannot Be Used")
	for range 3 {
		said, over, _ := l.sees(nil, broken("1"))
		l.want("the same", said)
		l.want("is over", over)
	}
	moved := broken("1")
	moved.File = appsFolder + "/y.bundle"
	said, over, _ := l.sees(nil, moved)
	l.want("another name", said)
	l.want("is over", over, file)
	said, _, _ = l.sees(nil, broken("2"))
	l.want("another content", said, "x.bundle Cannot Be Used")
	said, over, _ = l.sees(nil)
	l.want("gone", said)
	l.want("is over", over, file)

	// The next service does not tell it again.
	next := newNoticer(&own{}, &reported{path: l.reported.path})
	next.home = l.home
	l.noticer = next
	said, _, _ = l.sees(nil, broken("1"))
	l.want("after a restart", said)
	said, _, _ = l.sees(nil, broken("3"))
	l.want("after a restart, new", said, "x.bundle Cannot Be Used")

	// Many are one, and each of them is remembered.
	var many []apps.Problem
	for n := range manyNotices + 1 {
		many = append(many, apps.Problem{File: fmt.Sprint(appsFolder, "/", n, ".bundle"), Err: bundle.ErrNotBundle, Content: fmt.Sprint("many", n)})
	}
	said, _, _ = l.sees(nil, many...)
	l.want("many", said, "Several Files Cannot Be Used")
	many[0].File = appsFolder + "/other.bundle"
	said, _, _ = l.sees(nil, many...)
	l.want("one of many", said)

	// What is not a file in the user's folder is not the user's to mend.
	said, _, _ = l.sees(nil, apps.Problem{File: "/usr/lib/bundles/x.bundle", Err: bundle.ErrDamaged, Content: "8"})
	l.want("a file of all users", said)
	said, _, _ = l.sees(nil, apps.Problem{File: appsFolder, Err: os.ErrPermission}, apps.Problem{File: "/home/u/.local/share/glick/apps.known", Err: os.ErrInvalid})
	l.want("a folder", said)
}

func TestFilesOnTheirWay(t *testing.T) {
	l := newLooker(t)
	half := func(content string) apps.Problem {
		return apps.Problem{File: appsFolder + "/x.bundle", Err: fmt.Errorf("no: %w", bundle.ErrTruncated), Content: content}
	}
	said, _, wait := l.sees(nil, half("1"))
	l.want("half a file", said)
	if wait != incompleteTime {
		t.Errorf("waits %v", wait)
	}
	l.now = l.now.Add(incompleteTime / 2)
	said, _, wait = l.sees(nil, half("2"))
	l.want("grown", said)
	if wait != incompleteTime {
		t.Errorf("waits %v", wait)
	}
	l.now = l.now.Add(incompleteTime / 2)
	if _, _, wait = l.sees(nil, half("2")); wait != incompleteTime/2 {
		t.Errorf("waits %v", wait)
	}
	l.now = l.now.Add(incompleteTime / 2)
	said, _, wait = l.sees(nil, half("2"))
	l.want("left alone", said, "x.bundle Cannot Be Used")
	if wait != 0 {
		t.Errorf("waits %v", wait)
	}
	said, over, wait := l.sees([]apps.App{sampleApp("a.b.C", "1")})
	l.want("completed", said, "Sample Installed")
	l.want("is over", over, appsFolder+"/x.bundle")
	if wait != 0 {
		t.Errorf("waits %v", wait)
	}
}

func TestChangedSignaturesAndDamage(t *testing.T) {
	l := newLooker(t)
	good, bad := sampleApp("a.b.C", "1"), sampleApp("a.b.C", "2")
	bad.Default, bad.State, bad.Key = false, trust.Changed, trust.Key{Fingerprint: "SHA256:x"}
	l.sees([]apps.App{good})
	said, _, _ := l.sees([]apps.App{good, bad})
	l.want("another signature", said, "Sample Is Not Used")
	said, _, _ = l.sees([]apps.App{good, bad})
	l.want("the same", said)
	accepted := bad
	accepted.State, accepted.Default = trust.Verified, true
	said, over, _ := l.sees([]apps.App{accepted, good})
	l.want("accepted by the user", said)
	l.want("is over", over, bad.File)

	damaged := good
	damaged.State, damaged.Default = trust.Damaged, false
	said, _, _ = l.sees([]apps.App{accepted, damaged}, apps.Problem{File: good.File, Err: bundle.ErrDamaged, Content: "9"})
	l.want("damaged", said, "Sample Cannot Be Used")
	said, over, _ = l.sees([]apps.App{accepted, good})
	l.want("repaired", said, "Sample Updated")
	l.want("is over", over, good.File)
}

func TestReportedForgetsTheOldest(t *testing.T) {
	r := &reported{path: filepath.Join(t.TempDir(), "glick", "reported")}
	for n := range maxReported + 10 {
		if err := r.add(fmt.Sprint(n)); err != nil {
			t.Fatal(err)
		}
	}
	again := &reported{path: r.path}
	if again.has("9") || !again.has("10") || !again.has(fmt.Sprint(maxReported+9)) {
		t.Error("the wrong ones are remembered")
	}
	for _, bad := range []string{"", "\n\n", strings.Repeat("x", 1<<20), "short\n" + strings.Repeat("\x00", 100)} {
		if err := os.WriteFile(r.path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		again := &reported{path: r.path}
		if again.has("1") || again.add("1") != nil || !again.has("1") {
			t.Errorf("with %.20q", bad)
		}
	}
}

func TestPlainText(t *testing.T) {
	for in, want := range map[string]string{
		"Text Editor": "Text Editor", " a\n\tb ": "a b", "a\u202Eb\u0000c\x1b[1m": "a b c [1m", "<b>x</b>": "<b>x</b>", "": "",
		strings.Repeat("é", 100): strings.Repeat("é", maxName-1) + "…",
	} {
		if got := plainText(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestChanges(t *testing.T) {
	app := sampleApp
	other := app("a.b", "1")
	other.Default = false
	for n, c := range []struct {
		before, after []apps.App
		want          string
	}{
		{nil, nil, ""},
		{nil, []apps.App{app("a.b", "1")}, "ApplicationInstalled a.b"},
		{[]apps.App{app("a.b", "1")}, nil, "ApplicationUninstalled a.b"},
		{[]apps.App{app("a.b", "1")}, []apps.App{app("a.b", "1")}, ""},
		{[]apps.App{app("a.b", "1")}, []apps.App{other}, "ApplicationChanged a.b"},
		{[]apps.App{app("a.b", "1")}, []apps.App{app("a.b", "2"), other}, "ApplicationChanged a.b"},
		{[]apps.App{app("a.b", "1"), app("a.d", "1"), app("a.e", "1")}, []apps.App{app("a.a", "1"), app("a.b", "1"), app("a.c", "1"), app("a.e", "2")},
			"ApplicationInstalled a.a, ApplicationInstalled a.c, ApplicationUninstalled a.d, ApplicationChanged a.e"},
	} {
		var got []string
		for _, x := range changes(c.before, c.after) {
			got = append(got, x.signal+" "+x.id)
			if (x.signal == sessionbus.SignalUninstalled) != (x.app.ID == "") {
				t.Errorf("%d: %+v", n, x)
			}
		}
		if strings.Join(got, ", ") != c.want {
			t.Errorf("%d: %q, want %q", n, got, c.want)
		}
	}
}
