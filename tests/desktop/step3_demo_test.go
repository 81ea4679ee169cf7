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

// TestRealApplication starts GNOME Text Editor, which this machine does not have, from its bundle: its unmodified binary finds
// its files below /usr.
func TestRealApplication(t *testing.T) {
	s := start(t, desk.X11)
	file := s.download(demo(t), "TextEditor.bundle")
	letter := filepath.Join(s.Home, "letter.txt")
	s.must(os.WriteFile(letter, []byte("Dear reader\n"), 0o644))
	s.launch(file, letter)
	s.wait(editor, atspi.Match{Part: "letter.txt"})
	s.wait(editor, atspi.Match{Role: "text box", Text: "Dear reader"})
	// Without its own files it shows a window as well, and complains about style schemes and settings.
	log := s.Log("TextEditor.bundle")
	for _, complaint := range []string{"GtkSourceView-", "scheme", "Settings", "cannot open", "No such file"} {
		if strings.Contains(log, complaint) {
			t.Errorf("it did not find its files: %s", log)
			break
		}
	}
	if err := s.Screenshot(filepath.Join(pictures(), "real-application.png")); err != nil {
		t.Error(err)
	}
}
