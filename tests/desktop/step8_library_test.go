// SPDX-License-Identifier: MIT

//go:build desktop

package desktop

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"glick.org/glick/bundle"
	"glick.org/glick/tests/desktop/atspi"
	"glick.org/glick/tests/desktop/desk"
)

const meadowID = "org.example.Meadow"

// makeApp makes a bundle that runs until it is ended.
func makeApp(t *testing.T, dir, id, name, version string) string {
	t.Helper()
	arch := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]
	stub, err := os.ReadFile("/usr/local/libexec/glick/stub-" + arch)
	if err != nil {
		t.Fatal(err)
	}
	tree := t.TempDir()
	for path, content := range map[string]string{
		"bin/app":                               "#!/bin/sh\nexec sleep 600\n",
		"share/applications/" + id + ".desktop": "[Desktop Entry]\nType=Application\nName=" + name + "\nComment=Notes\nExec=app\nIcon=" + id + "\nMimeType=text/plain;\n",
	} {
		path = filepath.Join(tree, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, name+"-"+version+".bundle")
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := bundle.Build(t.Context(), f, tree, bundle.BuildOptions{ID: id, Version: version, Name: name, Exec: "bin/app", Stub: stub}); err != nil {
		t.Fatal(err)
	}
	return file
}

func (s *session) keys(keys ...string) {
	s.t.Helper()
	s.run("xdotool", append([]string{"key", "--delay", "80"}, keys...)...)
}

// quiet fails the test when the windows have complained.
func (s *session) quiet() {
	s.t.Helper()
	log := s.Log("glick-gui")
	for _, word := range []string{"WARN", "CRITICAL", "panic"} {
		if strings.Contains(log, word) {
			s.t.Errorf("a complaint: %s", log)
			return
		}
	}
}

func (s *session) row(part string) atspi.Node {
	s.t.Helper()
	return s.wait(window, atspi.Match{Role: "list item", Part: part})
}

func (s *session) there(path string, want bool) {
	s.t.Helper()
	s.until(patience, path+" is there or gone, as wanted", func() bool {
		_, err := os.Lstat(path)
		return (err == nil) == want
	})
}

// TestLibrary goes through the window of installed applications: what is listed, searching, running, going back to an earlier version, uninstalling with
// data, and undoing that.
func TestLibrary(t *testing.T) {
	s := start(t, desk.X11)
	dir := filepath.Join(s.Home, "Apps")
	old := makeApp(t, dir, meadowID, "Meadow", "1.0")
	latest := makeApp(t, dir, meadowID, "Meadow", "2.0")
	makeApp(t, dir, "org.example.Tidepool", "Tidepool", "0.9")
	half := filepath.Join(dir, "half.bundle")
	copyFile(t, latest, half)
	s.must(os.Truncate(half, 1<<20))
	data := filepath.Join(s.Home, ".config", meadowID)
	s.must(os.MkdirAll(data, 0o700))
	s.must(os.WriteFile(filepath.Join(data, "settings"), []byte("mine"), 0o600))
	s.launch("glickd")
	s.launch(gui())
	t.Cleanup(s.quiet)

	s.row("Tidepool, 0.9")
	s.row("half.bundle")
	s.wait(window, atspi.Match{Role: "button", Name: "Open Tidepool"})
	s.press(window, "Open Meadow")
	s.row("Meadow, 2.0")
	s.until(patience, "the row says that it runs", func() bool {
		_, ok := s.A11y.Find(window, atspi.Match{Role: "list item", Part: "Running"})
		return ok
	})

	// Typing searches, Enter opens the first one found.
	s.run("xdotool", "type", "--delay", "80", "mead")
	s.until(patience, "only what was searched for is listed", func() bool {
		_, tidepool := s.A11y.Find(window, atspi.Match{Role: "list item", Part: "Tidepool"})
		_, meadow := s.A11y.Find(window, atspi.Match{Role: "list item", Part: "Meadow"})
		return !tidepool && meadow
	})
	s.keys("Return")
	s.wait(window, atspi.Match{Role: "button", Name: "Show in Files"})
	s.wait(window, atspi.Match{Name: "Opens files"})

	// An earlier version.
	x, y := s.still(s.wait(window, atspi.Match{Role: "list item", Name: "1.0"}))
	s.must(s.Click(x, y, 1))
	s.until(patience, "the earlier version is the one in use", func() bool {
		first, _, _ := strings.Cut(s.run("glick", "list", "--json"), "2.0")
		return strings.Contains(first, `"version": "1.0"`)
	})

	// While it runs its data stays; the safe answer is the default.
	s.keys("Delete")
	s.wait(window, atspi.Match{Part: "It is running"})
	s.keys("Escape")
	s.must(s.End("sleep 600"))
	s.wait(window, atspi.Match{Part: "Version\u00a01.0"})
	s.until(patience, "it no longer runs", func() bool {
		_, running := s.A11y.Find(window, atspi.Match{Part: "It is open now"})
		return !running
	})
	s.press(window, "Uninstall…")
	s.wait(window, atspi.Match{Part: "Also move its data"})
	s.wait(window, atspi.Match{Part: "~/.config/" + meadowID})
	s.keys("space") // it has the focus
	s.press(window, "Uninstall")
	for _, path := range []string{old, latest, data} {
		s.there(path, false)
	}
	s.there(filepath.Join(s.Home, ".local/share/Trash/files", meadowID, "settings"), true)
	s.press(window, "Undo")
	for _, path := range []string{old, latest, filepath.Join(data, "settings")} {
		s.there(path, true)
	}

	// The picture of what takes the space can be read as a table.
	s.until(patience, "Escape ends the search", func() bool {
		s.keys("Escape") // a window that has just lost its dialog may miss it
		time.Sleep(time.Second)
		_, ok := s.A11y.Find(window, atspi.Match{Role: "list item", Part: "Tidepool"})
		return ok
	})
	s.row("Meadow, 1.0")
	s.until(patience, "the storage page shows", func() bool {
		s.keys("alt+2") // likewise
		time.Sleep(time.Second)
		_, ok := s.A11y.Find(window, atspi.Match{Part: "in 3 applications"})
		return ok
	})
	s.wait(window, atspi.Match{Role: "image", Part: "Meadow"})
	s.wait(window, atspi.Match{Role: "list item", Part: "Tidepool, "})
}

// TestDoubleClick opens bundles as Files does, with the setting that says what this does.
func TestDoubleClick(t *testing.T) {
	s := start(t, desk.X11)
	env := []string{"GSETTINGS_BACKEND=keyfile"} // kept from one program to the next
	if dir := os.Getenv("GSETTINGS_SCHEMA_DIR"); dir != "" {
		env = append(env, "GSETTINGS_SCHEMA_DIR="+dir)
	}
	with := func(args ...string) []string { return append(append([]string{}, env...), args...) }
	wish := func(what string) { s.run("env", with("gsettings", "set", "org.glick.Glick", "double-click", what)...) }
	running := func() bool {
		return strings.Contains(s.run("glick", "ps"), meadowID)
	}
	s.launch("glickd")
	file := makeApp(t, filepath.Join(s.Home, "Downloads"), meadowID, "Meadow", "1.0")
	installed := filepath.Join(s.Home, "Apps", filepath.Base(file))

	// Nobody has vouched for it: it is not run at once, whatever the setting says.
	wish("run")
	s.launch("env", with(gui(), file)...)
	s.wait(window, atspi.Match{Role: "button", Name: "Install"})
	if running() {
		t.Fatal("an unknown bundle was run without asking")
	}
	s.must(s.End("glick-gui"))

	wish("install")
	s.launch("env", with(gui(), file)...)
	s.there(installed, true)
	s.there(file, true)
	s.row("Meadow, 1.0")
	s.press(window, "Undo")
	s.there(installed, false)

	s.must(s.End("glick-gui"))
	s.run("glick", "install", file)
	wish("run")
	s.launch("env", with(gui(), file)...)
	s.until(patience, "it runs", running)
	s.must(s.End("sleep 600", "glick-gui"))

	// What the window writes is what is read.
	s.launch("env", with(gui())...)
	s.row("Meadow, 1.0")
	s.keys("ctrl+comma")
	s.wait(window, atspi.Match{Part: "~/Apps"})
	s.wait(window, atspi.Match{Role: "button", Name: "Open ~/Apps"})
	s.keys("space", "Up", "Return") // the first choice has the focus
	s.until(patience, "the setting is what was chosen", func() bool {
		return s.run("env", with("gsettings", "get", "org.glick.Glick", "double-click")...) == "'window'"
	})
	if log := s.Log("env"); strings.Contains(log, "WARN") || strings.Contains(log, "CRITICAL") || strings.Contains(log, "panic") {
		t.Errorf("the windows complained: %s", log)
	}
}
