// SPDX-License-Identifier: MIT

//go:build desktop

package desktop

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"glick.org/glick/tests/desktop/atspi"
	"glick.org/glick/tests/desktop/desk"
)

// known asks the running GNOME Shell whether it knows the application.
func (s *session) known() bool {
	out, err := s.Eval("imports.gi.Shell.AppSystem.get_default().lookup_app('" + demoID + ".desktop') != null")
	return err == nil && out == "true"
}

func (s *session) closeEditor() {
	s.t.Helper()
	_, err := s.Eval(`global.get_window_actors().map(a => a.meta_window).filter(w => /` + demoID + `|gnome-text-editor/.test(w.get_wm_class() + w.get_gtk_application_id())).forEach(w => w.delete(global.get_current_time()))`)
	s.must(err)
	s.until(patience, "the editor has ended", func() bool {
		return !slices.ContainsFunc(s.Processes(), func(p string) bool { return strings.Contains(p, "gnome-text-editor") })
	})
}

// TestCitizen: a bundle that is copied into ~/Apps by hand becomes an application of the running desktop; deleted, it leaves
// nothing, and nothing is started again for either.
func TestCitizen(t *testing.T) {
	s := start(t, desk.GNOME)
	// Sessions start it by themselves; GNOME Shell alone, without a session manager, starts what is asked for.
	s.run("gdbus", "call", "--session", "--dest", "org.freedesktop.DBus", "--object-path", "/org/freedesktop/DBus",
		"--method", "org.freedesktop.DBus.StartServiceByName", "org.glick.Session", "0")
	apps := filepath.Join(s.Home, "Apps")
	s.until(patience, "glickd has made ~/Apps", func() bool {
		_, err := os.Stat(apps)
		return err == nil
	})
	letter := filepath.Join(s.Home, "letter.txt")
	s.must(os.WriteFile(letter, []byte("Dear reader\n"), 0o644))
	// What the desktop writes when it is first used is there before the comparison.
	s.run("xdg-mime", "query", "default", "text/plain")
	time.Sleep(2 * time.Second)
	before := snapshot(t, s.Home)
	if s.known() {
		t.Fatal("GNOME Shell knows the application before it is installed")
	}

	bundle := filepath.Join(apps, "TextEditor.bundle")
	copyFile(t, demo(t), bundle)
	s.until(15*time.Second, "GNOME Shell knows the application", s.known)

	name, err := s.Eval("imports.gi.Shell.AppSystem.get_default().lookup_app('" + demoID + ".desktop').get_name()")
	if s.must(err); name != `"`+demoName+`"` {
		t.Errorf("its name is %s", name)
	}
	_, err = s.Eval("imports.gi.Shell.AppSystem.get_default().lookup_app('" + demoID + ".desktop').activate(); true")
	s.must(err)
	s.wait(editor, atspi.Match{Role: "text box"})
	s.closeEditor()

	s.until(15*time.Second, "it opens text files", func() bool {
		out, _ := s.Run("xdg-mime", "query", "default", "text/plain")
		return strings.TrimSpace(out) == demoID+".desktop"
	})
	s.run("gio", "open", letter)
	s.wait(editor, atspi.Match{Role: "text box", Text: "Dear reader"})
	s.closeEditor()

	s.must(os.Remove(bundle))
	s.until(15*time.Second, "GNOME Shell has forgotten the application", func() bool { return !s.known() })
	var left []string
	err = desk.Until(15*time.Second, "all is as before", func() (bool, error) {
		left = differences(before, snapshot(t, s.Home))
		return len(left) == 0, nil
	})
	if err != nil {
		t.Errorf("not as before: %q", left)
	}
	s.until(15*time.Second, "it opens no text files", func() bool {
		out, _ := s.Run("xdg-mime", "query", "default", "text/plain")
		return strings.TrimSpace(out) != demoID+".desktop"
	})
}
