// SPDX-License-Identifier: MIT

//go:build desktop

package desktop

import (
	"os"
	"path/filepath"
	"testing"

	"glick.org/glick/tests/desktop/atspi"
	"glick.org/glick/tests/desktop/desk"
)

// openBundle double-clicks a downloaded bundle in Files and waits for its window.
func (s *session) openBundle() (file string) {
	s.t.Helper()
	file = s.download(demo(s.t), "TextEditor.bundle")
	cell := s.openFiles(filepath.Dir(file), filepath.Base(file))
	x, y := s.still(cell)
	s.must(s.Click(x, y, 2))
	s.wait(window, atspi.Match{Role: "button", Name: "Open"})
	return file
}

func (s *session) waitInstalled() {
	s.t.Helper()
	s.until(patience, "the bundle is in ~/Apps", func() bool {
		_, err := os.Stat(filepath.Join(s.Home, "Apps/TextEditor.bundle"))
		return err == nil
	})
	same(s.t, filepath.Join(s.Home, "Apps/TextEditor.bundle"), demo(s.t))
	s.wait(window, atspi.Match{Role: "button", Name: "Uninstall"})
	s.until(patience, "the application has a desktop entry", func() bool {
		_, err := os.Stat(filepath.Join(s.Home, ".local/share/applications/"+demoID+".desktop"))
		return err == nil
	})
}

func TestOpen(t *testing.T) {
	s := start(t, desk.X11)
	s.openBundle()
	s.press(window, "Open")
	s.wait(editor, atspi.Match{Role: "text box"})
	if _, err := os.Stat(filepath.Join(s.Home, "Apps/TextEditor.bundle")); err == nil {
		t.Error("opening has installed it")
	}
}

func TestInstall(t *testing.T) {
	for _, kind := range []struct {
		name string
		desk.Kind
	}{{"X11", desk.X11}, {"Wayland", desk.GNOME}} {
		t.Run(kind.name+", button", func(t *testing.T) {
			s := start(t, kind.Kind)
			file := s.openBundle()
			s.press(window, "Install")
			s.waitInstalled()
			same(t, file, demo(t))
			s.press(window, "Uninstall")
			s.until(patience, "it is gone from ~/Apps", func() bool {
				_, err := os.Stat(filepath.Join(s.Home, "Apps/TextEditor.bundle"))
				return os.IsNotExist(err)
			})
		})
		t.Run(kind.name+", drag", func(t *testing.T) {
			s := start(t, kind.Kind)
			s.openBundle()
			icon := s.wait(window, atspi.Match{Role: "image", Part: "Icon of " + demoName})
			folder := s.wait(window, atspi.Match{Name: "Applications"})
			x0, y0 := s.still(icon)
			x1, y1 := s.still(folder)
			s.must(s.Drag(x0, y0, x1, y1))
			s.waitInstalled()
		})
	}
}
