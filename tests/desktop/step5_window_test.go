// SPDX-License-Identifier: MIT

//go:build desktop

package desktop

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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

// TestOpen: a bundle that nobody has signed is asked about once, and is not installed by opening it.
func TestOpen(t *testing.T) {
	s := start(t, desk.X11)
	s.openBundle()
	s.press(window, "Open")
	s.wait(window, atspi.Match{Role: "button", Name: "Open Anyway"})
	time.Sleep(time.Second)
	if _, ok := s.A11y.Find(editor, atspi.Match{Role: "text box"}); ok {
		t.Error("it was opened before the question was answered")
	}
	s.press(window, "Open Anyway")
	s.wait(editor, atspi.Match{Role: "text box"})
	if _, err := os.Stat(filepath.Join(s.Home, "Apps/TextEditor.bundle")); err == nil {
		t.Error("opening has installed it")
	}
	s.must(s.End("gnome-text-editor"))
	s.press(window, "Open")
	s.wait(editor, atspi.Match{Role: "text box"})
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
			s.named(window)
			s.press(window, "Uninstall")
			s.waitGone("TextEditor.bundle")
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
			s.click("Uninstall")
			s.waitGone("TextEditor.bundle")
			s.wait(window, atspi.Match{Role: "button", Name: "Undo"})
			s.click("Undo")
			s.waitInstalled()
		})
	}
}

// click clicks a button of the windows as a hand does.
func (s *session) click(name string) {
	s.t.Helper()
	x, y := s.still(s.wait(window, atspi.Match{Role: "button", Name: name}))
	s.must(s.Click(x, y, 1))
}

func (s *session) waitGone(name string) {
	s.t.Helper()
	s.until(patience, name+" is gone from ~/Apps", func() bool {
		_, err := os.Stat(filepath.Join(s.Home, "Apps", name))
		return os.IsNotExist(err)
	})
}

// named makes sure that everything of a program that can be pressed has a name, which is not read twice and has no underscore of a mnemonic.
func (s *session) named(program string) {
	s.t.Helper()
	programs, err := s.A11y.Programs()
	s.must(err)
	for _, p := range programs {
		if p.Name() != program {
			continue
		}
		p.Walk(func(n atspi.Node, depth int) bool {
			if depth > 0 && !n.Is(atspi.StateVisible) {
				return false
			}
			switch role := n.Role(); role {
			case "button", "toggle button", "check box", "switch", "entry", "text box", "menu item", "image":
				name := n.Name()
				half := len(name) / 2
				twice := len(name)%2 == 1 && name[:half] == name[half+1:] && name[half] == ' '
				if strings.TrimSpace(name) == "" || strings.Contains(name, "_") || twice {
					s.t.Errorf("a %s has the name %q", role, name)
				}
			}
			return true
		})
	}
}

// focused is the name of what has the focus in a program; "" when that cannot be seen.
func (s *session) focused(program string) string {
	name := ""
	programs, err := s.A11y.Programs()
	s.must(err)
	for _, p := range programs {
		if p.Name() != program {
			continue
		}
		p.Walk(func(n atspi.Node, depth int) bool {
			if depth > 0 && !n.Is(atspi.StateVisible) {
				return false
			}
			if n.Is(atspi.StateFocused) && n.Name() != "" {
				name = n.Name()
			}
			return true
		})
	}
	return name
}

// meadow makes a small bundle in Downloads. key is the name of an ssh key in the home folder, made when it is missing; "" for no signature.
func (s *session) meadow(name, id, version, key string) string {
	s.t.Helper()
	tree := filepath.Join(s.Home, "tree-"+name)
	for file, text := range map[string]string{
		"bin/meadow":                            "#!/bin/sh\nexec sleep 60\n",
		"share/applications/" + id + ".desktop": "[Desktop Entry]\nType=Application\nName=Meadow " + name + "\nExec=meadow\nIcon=" + id + "\n",
		"share/note":                            version,
	} {
		path := filepath.Join(tree, file)
		s.must(os.MkdirAll(filepath.Dir(path), 0o755))
		s.must(os.WriteFile(path, []byte(text), 0o755))
	}
	args := []string{"build", tree, filepath.Join(s.Home, "Downloads", name+".bundle"), "--id", id, "--exec", "bin/meadow", "--bundle-version", version}
	if key != "" {
		path := filepath.Join(s.Home, key)
		if _, err := os.Stat(path); err != nil {
			s.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path)
		}
		args = append(args, "--sign", path)
	}
	s.must(os.MkdirAll(filepath.Join(s.Home, "Downloads"), 0o755))
	s.run("glick", args...)
	return filepath.Join(s.Home, "Downloads", name+".bundle")
}

func (s *session) key(keys ...string) {
	s.t.Helper()
	s.run("xdotool", append([]string{"key", "--clearmodifiers"}, keys...)...)
}

// installedVersion is the version of an id that is used; "" for none.
func (s *session) installedVersion(id string) string {
	out, err := s.Run("glick", "list", "--json")
	if err != nil {
		return ""
	}
	_, rest, ok := strings.Cut(out, `"id": "`+id+`"`)
	if !ok {
		return ""
	}
	_, rest, _ = strings.Cut(rest, `"version": "`)
	version, _, _ := strings.Cut(rest, `"`)
	return version
}

// TestKeyboard installs, undoes and uninstalls without a pointer.
func TestKeyboard(t *testing.T) {
	s := start(t, desk.X11)
	const id = "org.example.Meadow"
	s.launch(gui(), s.meadow("one", id, "1", "maker"))
	s.wait(window, atspi.Match{Role: "button", Name: "Install"})
	s.until(patience, "Install has the focus", func() bool { return s.focused(window) == "Install" })
	s.key("Return")
	s.wait(window, atspi.Match{Role: "button", Name: "Uninstall"})
	if v := s.installedVersion(id); v != "1" {
		t.Fatalf("after Enter version %q is installed", v)
	}
	s.key("ctrl+z")
	s.waitGone("one.bundle")
	s.wait(window, atspi.Match{Role: "button", Name: "Install"})
	s.until(patience, "Install has the focus again", func() bool { return s.focused(window) == "Install" })
	s.key("alt+i")
	s.wait(window, atspi.Match{Role: "button", Name: "Uninstall"})
	s.key("alt+u")
	s.waitGone("one.bundle")
	s.wait(window, atspi.Match{Role: "button", Name: "Install"})
}

// TestDistrust: a signature that has changed is refused by Enter, accepted by a deliberate press; and a damaged file is called so.
func TestDistrust(t *testing.T) {
	s := start(t, desk.X11)
	const id = "org.example.Meadow"
	s.run("glick", "install", s.meadow("one", id, "1", "maker"))
	s.launch(gui(), s.meadow("two", id, "2", "stranger"))
	s.wait(window, atspi.Match{Part: "Signed by somebody else than before"})
	s.press(window, "Update")
	s.wait(window, atspi.Match{Role: "button", Name: "Accept and Install"})
	s.until(patience, "Cancel has the focus", func() bool { return s.focused(window) == "Cancel" })
	s.key("Return")
	time.Sleep(time.Second)
	if v := s.installedVersion(id); v != "1" {
		t.Fatalf("Enter has installed version %q", v)
	}
	// In a narrow window the answers are one below the other, the other one first.
	s.run("xdotool", "search", "--onlyvisible", "--name", "Meadow two", "windowsize", "360", "640")
	s.press(window, "Update")
	s.wait(window, atspi.Match{Role: "button", Name: "Accept and Install"})
	s.until(patience, "Cancel has the focus in a narrow window", func() bool { return s.focused(window) == "Cancel" })
	s.key("Return")
	time.Sleep(time.Second)
	if v := s.installedVersion(id); v != "1" {
		t.Fatalf("Enter has installed version %q in a narrow window", v)
	}
	s.press(window, "Update")
	s.press(window, "Accept and Install")
	s.wait(window, atspi.Match{Role: "button", Name: "Uninstall"})
	if v := s.installedVersion(id); v != "2" {
		t.Errorf("after accepting, version %q is installed", v)
	}

	damaged := s.meadow("three", "org.example.Other", "1", "")
	data, err := os.ReadFile(damaged)
	s.must(err)
	at := strings.Index(string(data), "exec sleep 60")
	if at < 0 {
		t.Fatal("the content is compressed: nothing to damage was found")
	}
	data[at]++
	s.must(os.WriteFile(damaged, data, 0o755))
	s.launch(gui(), damaged)
	s.wait(window, atspi.Match{Part: "The file is damaged"})
}

// TestSeveral: several files at once are one list, installed by one press and undone by another.
func TestSeveral(t *testing.T) {
	s := start(t, desk.X11)
	one, two := s.meadow("one", "org.example.One", "1", "maker"), s.meadow("two", "org.example.Two", "1", "")
	bad := filepath.Join(s.Home, "Downloads/bad.bundle")
	s.must(os.WriteFile(bad, []byte("no bundle"), 0o644))
	s.launch(gui(), one, two, bad)
	s.wait(window, atspi.Match{Part: "This Is Not an Application Bundle"})
	s.press(window, "Install All")
	s.wait(window, atspi.Match{Role: "button", Name: "Undo"})
	if a, b := s.installedVersion("org.example.One"), s.installedVersion("org.example.Two"); a != "1" || b != "1" {
		t.Errorf("installed are %q and %q", a, b)
	}
	s.named(window)
	s.press(window, "Undo")
	s.waitGone("one.bundle")
	s.waitGone("two.bundle")
}
