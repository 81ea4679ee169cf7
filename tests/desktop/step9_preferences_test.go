// SPDX-License-Identifier: MIT

//go:build desktop

package desktop

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"glick.org/glick/tests/desktop/atspi"
	"glick.org/glick/tests/desktop/desk"
)

// TestPreferencesOfExports switches in the preferences what applications may add to the desktop, and makes one an exception.
func TestPreferencesOfExports(t *testing.T) {
	s := start(t, desk.X11)
	makeApp(t, filepath.Join(s.Home, "Apps"), meadowID, "Meadow", "1.0")
	s.launch("glickd")
	s.launch(gui())
	t.Cleanup(s.quiet)
	opens := func(want bool) {
		t.Helper()
		s.until(patience, "the entry says which files it opens, or not, as wanted", func() bool {
			entry, err := os.ReadFile(filepath.Join(s.Home, ".local/share/applications", meadowID+".desktop"))
			return err == nil && strings.Contains(string(entry), "MimeType=") == want
		})
	}
	toggle := func(name string) atspi.Node {
		t.Helper()
		return s.wait(window, atspi.Match{Role: "switch", Name: name})
	}
	on := func(name string, want bool) {
		t.Helper()
		s.until(patience, name+" is on, or not, as wanted", func() bool {
			n, ok := s.A11y.Find(window, atspi.Match{Role: "switch", Name: name})
			return ok && n.Is(atspi.StateChecked) == want
		})
	}
	opens(true)
	s.row("Meadow, 1.0")
	s.keys("Return") // the list has the focus
	s.wait(window, atspi.Match{Name: "Opens files"})
	s.keys("ctrl+comma")
	on("File Types", true)
	s.must(toggle("File Types").Press())
	opens(false)
	s.must(toggle("Commands").Press())
	s.until(patience, "help for commands that are off cannot be switched", func() bool {
		n, ok := s.A11y.Find(window, atspi.Match{Role: "switch", Name: "Help for Commands"})
		return ok && !n.Is(atspi.StateSensitive)
	})
	// What others switch is seen.
	s.run("glick", "exports", "--on", "commands", "--off", "fonts")
	on("Commands", true)
	on("Fonts", false)
	on("File Types", false)

	s.keys("Escape")
	s.wait(window, atspi.Match{Part: "Off in the preferences: File Types"})
	on("Show What Is Switched Off", false)
	s.must(toggle("Show What Is Switched Off").Press())
	opens(true)
	s.wait(window, atspi.Match{Name: "Opens files"})
	on("Show What Is Switched Off", true)
	s.must(toggle("Show What Is Switched Off").Press())
	opens(false)
	s.run("glick", "exports", "--on", "file-types,fonts")
	opens(true)
}
