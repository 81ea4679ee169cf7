// SPDX-License-Identifier: MIT

//go:build desktop

// Package desktop follows the whole way of a bundle, in real desktop sessions without a screen: made from a distribution's
// packages, seen in Files, opened, installed, started from GNOME Shell, deleted. It tests what is installed on this machine.
package desktop

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"glick.org/glick/tests/desktop/atspi"
	"glick.org/glick/tests/desktop/desk"
)

const (
	demoID   = "org.gnome.TextEditor"
	demoName = "Text Editor"
	// Names as assistive technology gives them: GTK programs go by their program's name or application id.
	files  = "org.gnome.Nautilus"
	window = "glick-gui"
	editor = "gnome-text-editor"
	// Generous, since two cores have to draw everything in software; a test ends as soon as it sees what it waits for.
	patience = 90 * time.Second
)

// TestMain refuses to test nothing: every test here needs Glick installed, and a user without privileges.
func TestMain(m *testing.M) {
	if os.Getuid() == 0 {
		fmt.Println("these tests are for an unprivileged user, as desktop sessions are; ./dev test makes one")
		os.Exit(1)
	}
	for _, p := range []string{"glick", "glickd", "glick-gui", "glick-thumbnailer", "nautilus", "gnome-shell", "Xvfb"} {
		if _, err := exec.LookPath(p); err != nil {
			fmt.Printf("%s is not installed: run ./dev test\n", p)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// demo is the bundle that ./dev made of GNOME Text Editor, which must not be on this machine otherwise.
func demo(t *testing.T) string {
	t.Helper()
	file := os.Getenv("GLICK_DEMO")
	if file == "" {
		file = "../../build/demo/TextEditor.bundle"
	}
	file, err := filepath.Abs(file)
	if err == nil {
		_, err = os.Stat(file)
	}
	if err != nil {
		t.Fatalf("no bundle to test with: %v; ./dev demo makes it", err)
	}
	for _, p := range []string{"/usr/bin/gnome-text-editor", "/usr/local/bin/gnome-text-editor"} {
		if _, err := os.Stat(p); err == nil {
			t.Skipf("%s is installed on this machine: that the bundle runs would show nothing", p)
		}
	}
	return file
}

// start starts a session that ends with the test, which fails when the session leaves something. When a test fails there is a
// picture of its screen.
func start(t *testing.T, kind desk.Kind) *session {
	t.Helper()
	s, err := desk.Start(kind)
	if err != nil {
		t.Fatal(err)
	}
	if path := os.Getenv("GLICK_TEST_GUI"); path != "" {
		activate(t, s, path)
	}
	t.Cleanup(func() {
		for _, w := range s.Warnings("glick-gui") {
			t.Errorf("glick-gui warns: %s", w)
		}
		if t.Failed() {
			picture := filepath.Join(pictures(), strings.ReplaceAll(t.Name(), "/", "-")+".png")
			if err := s.Screenshot(picture); err == nil {
				t.Logf("the screen when it failed: %s", picture)
			}
			for _, p := range []string{"glickd", "glick-gui", "nautilus", "TextEditor.bundle"} {
				t.Log(s.Log(p))
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return &session{s, t}
}

// gui is the program with the windows. GLICK_TEST_GUI names another than the installed one.
func gui() string { return cmp.Or(os.Getenv("GLICK_TEST_GUI"), "glick-gui") }

// activate has the session bus start another program for the windows than the installed one: Files and the shell start it that way.
func activate(t *testing.T, s *desk.Session, path string) {
	t.Helper()
	dir := filepath.Join(s.Home, ".local/share/dbus-1/services")
	err := os.MkdirAll(dir, 0o755)
	if err == nil {
		text := "[D-BUS Service]\nName=org.glick.Glick\nExec=" + path + " --gapplication-service\n"
		err = os.WriteFile(filepath.Join(dir, "org.glick.Glick.service"), []byte(text), 0o644)
	}
	if err == nil {
		err = s.Bus.BusObject().Call("org.freedesktop.DBus.ReloadConfig", 0).Err
	}
	if err != nil {
		t.Fatal(err)
	}
}

func pictures() string {
	dir := os.Getenv("GLICK_TEST_PICTURES")
	if dir == "" {
		dir = "../../build/test-pictures"
	}
	dir, _ = filepath.Abs(dir)
	_ = os.MkdirAll(dir, 0o755)
	return dir
}

// session is a desk.Session whose failures end the test.
type session struct {
	*desk.Session
	t *testing.T
}

func (s *session) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *session) run(name string, args ...string) string {
	s.t.Helper()
	out, err := s.Run(name, args...)
	s.must(err)
	return strings.TrimSpace(out)
}

func (s *session) launch(name string, args ...string) {
	s.t.Helper()
	_, err := s.Launch(name, args...)
	s.must(err)
}

func (s *session) wait(program string, m atspi.Match) atspi.Node {
	s.t.Helper()
	n, err := s.A11y.Wait(program, m, patience)
	s.must(err)
	return n
}

func (s *session) until(timeout time.Duration, what string, ask func() bool) {
	s.t.Helper()
	s.must(desk.Until(timeout, what, func() (bool, error) { return ask(), nil }))
}

// press presses a control as a screen reader does.
func (s *session) press(program, name string) {
	s.t.Helper()
	s.must(s.A11y.Press(program, name, patience))
}

// still waits until an object has stopped moving and returns its middle.
func (s *session) still(n atspi.Node) (x, y int) {
	s.t.Helper()
	var lastX, lastY int
	s.until(10*time.Second, "the window has come to rest", func() bool {
		x, y, err := s.Place(n)
		same := err == nil && x == lastX && y == lastY
		lastX, lastY = x, y
		if !same {
			time.Sleep(300 * time.Millisecond)
		}
		return same
	})
	return lastX, lastY
}

// openFiles opens Files on a folder and returns the cell of a file in it. Now and then Files shows "Loading" for ever, long
// before anything of ours has to do with it: it is started again then, and what it waited for is in the log.
func (s *session) openFiles(folder, file string) atspi.Node {
	s.t.Helper()
	const attempts = 3
	for attempt := 1; ; attempt++ {
		s.launch("nautilus", "--new-window", folder)
		n, err := s.A11y.Wait(files, atspi.Match{Role: "grid cell", Name: file}, patience/2)
		if err == nil {
			return n
		}
		waits := s.Waits()
		if attempt == attempts {
			s.t.Fatalf("%v\n%s", err, waits)
		}
		s.t.Logf("Files does not show the folder, attempt %d:\n%s", attempt, waits)
		s.must(s.End("nautilus", "gvfs"))
	}
}

// download puts a copy of a file into the session's Downloads folder.
func (s *session) download(src, name string) string {
	s.t.Helper()
	folder := filepath.Join(s.Home, "Downloads")
	s.must(os.MkdirAll(folder, 0o755))
	dst := filepath.Join(folder, name)
	copyFile(s.t, src, dst)
	return dst
}

func copyFile(t *testing.T, src, dst string) {
	t.Helper()
	if out, err := exec.Command("cp", "--reflink=auto", src, dst).CombinedOutput(); err != nil {
		t.Fatalf("cannot copy: %v: %s", err, out)
	}
}

// snapshot describes every file below a folder, but what programs that are not ours write whenever they like, and the keys of
// applications, which are remembered beyond their end.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, p)
		switch first, _, _ := strings.Cut(rel, "/"); {
		case first == ".cache", first == ".config":
			return fs.SkipDir
		case strings.HasPrefix(rel, ".local/share/gvfs-metadata"), strings.HasPrefix(rel, ".local/share/gnome-shell"),
			strings.HasPrefix(rel, ".local/share/nautilus"), strings.HasPrefix(rel, ".local/share/tracker"),
			strings.HasPrefix(rel, ".local/share/recently-used"), strings.HasPrefix(rel, ".local/share/sounds"),
			strings.HasPrefix(rel, ".local/share/evolution"), strings.HasPrefix(rel, ".local/share/"+demoID),
			strings.HasPrefix(rel, ".local/share/icc"), rel == ".local/share/glick", rel == ".local/share/glick/apps.known", strings.HasPrefix(rel, ".local/share/org.gnome.TextEditor"):
			if d.IsDir() && rel != ".local/share/glick" {
				return fs.SkipDir
			}
			return nil
		}
		what := d.Type().String()
		if d.Type().IsRegular() {
			data, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			what = fmt.Sprintf("%x", sha256.Sum256(data))
		}
		files[rel] = what
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// differences lists what is not the same in two snapshots.
func differences(before, after map[string]string) []string {
	var d []string
	for p, w := range after {
		switch old, ok := before[p]; {
		case !ok:
			d = append(d, "new: "+p)
		case old != w:
			d = append(d, "changed: "+p)
		}
	}
	for p := range before {
		if _, ok := after[p]; !ok {
			d = append(d, "gone: "+p)
		}
	}
	return d
}
