// SPDX-License-Identifier: MIT

//go:build desktop

package desktop

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"glick.org/glick/tests/desktop/atspi"
	"glick.org/glick/tests/desktop/desk"
)

const guiName = "org.glick.Glick"

// owner is the process that has the windows' name on the session bus; 0 for none.
func (s *session) owner() uint32 {
	var pid uint32
	if err := s.Bus.BusObject().Call("org.freedesktop.DBus.GetConnectionUnixProcessID", 0, guiName).Store(&pid); err != nil {
		return 0
	}
	return pid
}

// titled are the windows on the screen with a title.
func (s *session) titled(title string) []desk.Window {
	s.t.Helper()
	windows, err := s.Windows()
	s.must(err)
	return slices.DeleteFunc(windows, func(w desk.Window) bool { return w.Title != title })
}

// windowOf waits for the one window with a title.
func (s *session) windowOf(title string) desk.Window {
	s.t.Helper()
	var windows []desk.Window
	s.until(patience, "there is one window "+title, func() bool {
		windows = s.titled(title)
		return len(windows) == 1
	})
	return windows[0]
}

// application calls a method of the interface by which desktops start applications.
func (s *session) application(method string, args ...string) {
	s.t.Helper()
	s.run("gdbus", append([]string{"call", "--session", "--dest", guiName, "--object-path", "/org/glick/Glick",
		"--method", "org.freedesktop.Application." + method}, args...)...)
}

// TestActivation starts the windows as desktops do: by their name on the session bus. There is one process, and one window for each file.
func TestActivation(t *testing.T) {
	s := start(t, desk.X11)
	one, two := s.meadow("one", "org.example.One", "1", "maker"), s.meadow("two", "org.example.Two", "1", "")
	desktopFile := "/usr/local/share/applications/" + guiName + ".desktop"
	s.application("Activate", "{}")
	s.wait(window, atspi.Match{Name: "No Applications Yet"})
	first := s.owner()
	if first == 0 {
		t.Fatal("nobody has the name")
	}
	library := s.windowOf("Applications")

	s.run("gio", "launch", desktopFile, one)
	s.windowOf("Meadow one")
	s.application("Open", "['file://"+two+"']", "{}")
	s.windowOf("Meadow two")
	s.run("xdotool", "windowactivate", "--sync", library.ID)
	s.application("Open", "['file://"+one+"']", "{}")
	s.until(patience, "the window of the file that is opened again is in front", func() bool {
		return s.run("xdotool", "getactivewindow", "getwindowname") == "Meadow one"
	})
	s.run(gui(), two) // a second start hands it over, and ends
	s.until(patience, "the window of the other file is in front", func() bool {
		return s.run("xdotool", "getactivewindow", "getwindowname") == "Meadow two"
	})
	for _, title := range []string{"Meadow one", "Meadow two", "Applications"} {
		if n := len(s.titled(title)); n != 1 {
			t.Errorf("there are %d windows %q", n, title)
		}
	}
	s.application("Open", "['file://"+one+"', 'file://"+two+"']", "{}")
	s.windowOf("2 Bundles")
	s.application("Open", "['https://example.org/x.bundle']", "{}")
	s.wait(window, atspi.Match{Part: "This Is Not on This Computer"})
	s.application("ActivateAction", "preferences", "[]", "{}")
	s.windowOf("Preferences")
	if again := s.owner(); again != first {
		t.Errorf("the windows are of process %d, and were of %d", again, first)
	}
	s.close("Preferences")
	s.run("xdotool", "windowactivate", "--sync", library.ID)
	s.key("ctrl+q")
	s.until(patience, "it has ended, with all windows", func() bool { return s.owner() == 0 })
}

// beside puts the windows of Files and of ours side by side, so that one can drag from one to the other.
func (s *session) beside(folder, title string) {
	s.t.Helper()
	const half = 620
	s.must(s.Arrange(s.windowOf(folder), 0, 0, half, 700))
	s.must(s.Arrange(s.windowOf(title), half+20, 0, half, 780))
}

// drag drags from one place to another until it has come true what should come of it. A busy machine now and then loses a drag: the target has not yet
// answered when the button is let go.
func (s *session) drag(from, to atspi.Node, so func() bool) {
	s.t.Helper()
	const attempts = 3
	for attempt := 1; ; attempt++ {
		x0, y0 := s.still(from)
		x1, y1 := s.still(to)
		s.must(s.Drag(x0, y0, x1, y1))
		err := desk.Until(patience/attempts, "the drop has done what it should", func() (bool, error) { return so(), nil })
		if err == nil {
			return
		}
		if attempt == attempts {
			s.t.Fatal(err)
		}
		s.t.Logf("drag %d was lost", attempt)
	}
}

// opened is for drag: there is one window with a title.
func (s *session) opened(title string) func() bool {
	return func() bool { return len(s.titled(title)) == 1 }
}

// TestDrop drags bundles from Files onto the windows.
func TestDrop(t *testing.T) {
	// begin starts a session in which Files shows two bundles.
	begin := func(t *testing.T, kind desk.Kind) (s *session, one string, cells [2]atspi.Node) {
		s = start(t, kind)
		one = s.meadow("one", "org.example.One", "1", "maker")
		two := s.meadow("two", "org.example.Two", "1", "")
		s.launch("glickd")
		cells[0] = s.openFiles(filepath.Dir(one), filepath.Base(one))
		cells[1] = s.wait(files, atspi.Match{Role: "grid cell", Name: filepath.Base(two)})
		return s, one, cells
	}
	target := atspi.Match{Role: "group", Name: "Applications"}

	t.Run("X11", func(t *testing.T) {
		s, one, cells := begin(t, desk.X11)
		// Onto the library: the file is offered, and nothing is installed.
		s.launch(gui())
		empty := s.wait(window, atspi.Match{Name: "No Applications Yet"})
		s.beside("Downloads", "Applications")
		s.drag(cells[0], empty, s.opened("Meadow one"))
		s.wait(window, atspi.Match{Role: "button", Name: "Install"})
		if v := s.installedVersion("org.example.One"); v != "" {
			t.Errorf("it is installed, version %q", v)
		}

		// Its own file onto Applications is the same as its icon.
		s.beside("Downloads", "Meadow one")
		folder := s.wait(window, target)
		s.drag(cells[0], folder, func() bool { return s.installedVersion("org.example.One") == "1" })
		s.there(one, true)
		s.wait(window, atspi.Match{Role: "button", Name: "Uninstall"})
		s.press(window, "Undo")
		s.waitGone("one.bundle")

		// Several: one list.
		s.run("xdotool", "windowactivate", "--sync", s.windowOf("Downloads").ID)
		x, y := s.still(cells[0])
		s.must(s.Click(x, y, 1))
		s.key("ctrl+a")
		s.drag(cells[0], folder, s.opened("2 Bundles"))
		s.close("2 Bundles")
		s.close("Meadow one")
		s.beside("Downloads", "Applications")
		s.drag(cells[0], s.wait(window, atspi.Match{Name: "No Applications Yet"}), s.opened("2 Bundles"))
		s.press(window, "Install All")
		s.there(filepath.Join(s.Home, "Apps/one.bundle"), true)
		s.there(filepath.Join(s.Home, "Apps/two.bundle"), true)
	})

	// Onto the window of another one: that file gets its own.
	t.Run("Wayland", func(t *testing.T) {
		s, one, cells := begin(t, desk.GNOME)
		s.launch(gui(), one)
		folder := s.wait(window, target)
		s.beside("Downloads", "Meadow one")
		s.drag(cells[1], folder, s.opened("Meadow two"))
		if v := s.installedVersion("org.example.Two"); v != "" {
			t.Errorf("the other is installed, version %q", v)
		}
	})
}

// close closes a window by the window manager's key for it.
func (s *session) close(title string) {
	s.t.Helper()
	w := s.windowOf(title)
	s.run("xdotool", "windowactivate", "--sync", w.ID)
	s.key("alt+F4")
	s.until(patience, title+" is closed", func() bool { return len(s.titled(title)) == 0 })
}

// answer presses Enter when a dialog has the keyboard and the button in it the focus, and waits until the dialog is gone.
func (s *session) answer(button string) {
	s.t.Helper()
	s.until(patience, button+" has the focus", func() bool { return s.focused(window) == button })
	dialog := ""
	s.until(patience, "a dialog has the keyboard", func() bool {
		active, err := s.Run("xdotool", "getactivewindow")
		if err != nil {
			return false
		}
		dialog = strings.TrimSpace(active)
		parent, err := s.Run("xprop", "-id", dialog, "WM_TRANSIENT_FOR")
		return err == nil && strings.Contains(parent, "window id")
	})
	s.key("Return")
	s.until(patience, "the dialog is gone", func() bool {
		active, err := s.Run("xdotool", "getactivewindow")
		return err == nil && strings.TrimSpace(active) != dialog
	})
}

// toggle presses a switch.
func (s *session) toggle(name string) {
	s.t.Helper()
	s.must(s.wait(window, atspi.Match{Role: "switch", Name: name}).Press())
}

// TestMove: with the switch for it the file is moved away, and Undo puts it back.
func TestMove(t *testing.T) {
	s := start(t, desk.X11)
	one, two := s.meadow("one", "org.example.One", "1", "maker"), s.meadow("two", "org.example.Two", "1", "maker")
	there, there2 := filepath.Join(s.Home, "Apps/one.bundle"), filepath.Join(s.Home, "Apps/two.bundle")
	before, err := os.Stat(one)
	s.must(err)
	s.launch(gui(), one)
	s.wait(window, atspi.Match{Part: "makes a copy"})
	s.toggle("Keep the file in Downloads")
	s.wait(window, atspi.Match{Part: "moves “one.bundle” to Applications"})
	s.press(window, "Install")
	s.wait(window, atspi.Match{Role: "button", Name: "Uninstall"})
	s.there(there, true)
	s.there(one, false)
	s.press(window, "Undo")
	s.there(there, false)
	s.there(one, true)
	if after, err := os.Stat(one); err != nil || !os.SameFile(before, after) {
		t.Errorf("it is another file now: %v", err)
	}
	s.wait(window, atspi.Match{Role: "button", Name: "Install"})

	// The same window again: the file is where it was.
	s.press(window, "Install")
	s.there(one, false)
	s.press(window, "Uninstall")
	s.there(there, false)
	s.wait(window, atspi.Match{Part: "is uninstalled. Undo brings it back."})
	s.press(window, "Undo")
	s.there(there, true)
	s.wait(window, atspi.Match{Role: "button", Name: "Uninstall"})
	s.run("glick", "uninstall", "org.example.One")
	s.until(patience, "its window knows", func() bool {
		_, ok := s.A11y.Find(window, atspi.Match{Role: "button", Name: "Uninstall"})
		return !ok
	})
	s.must(os.Rename(s.meadow("one", "org.example.One", "1", "maker"), one))

	// Several: the setting is the same, and a row is the file where it is now.
	s.run(gui(), one, two)
	s.press(window, "Install All")
	s.there(there2, true)
	s.there(two, false)
	x, y := s.still(s.wait(window, atspi.Match{Role: "list item", Name: "Meadow two"}))
	s.must(s.Click(x, y, 1))
	s.windowOf("Meadow two")
	s.wait(window, atspi.Match{Role: "button", Name: "Uninstall"})
	s.close("Meadow two")
	s.press(window, "Undo")
	for _, file := range []string{one, two} {
		s.there(file, true)
	}
	s.waitGone("one.bundle")
	s.waitGone("two.bundle")
}

// disk is a folder on a file system that is full when the test wants it.
type disk struct {
	*fs.LoopbackNode
	full *atomic.Bool
}

func (d *disk) WrapChild(_ context.Context, child fs.InodeEmbedder) fs.InodeEmbedder {
	return &disk{child.(*fs.LoopbackNode), d.full}
}

func (d *disk) Write(ctx context.Context, f fs.FileHandle, data []byte, off int64) (uint32, syscall.Errno) {
	if d.full.Load() {
		return 0, syscall.ENOSPC
	}
	return f.(fs.FileWriter).Write(ctx, data, off)
}

func (d *disk) CopyFileRange(context.Context, fs.FileHandle, uint64, *fs.Inode, fs.FileHandle, uint64, uint64, uint64) (uint32, syscall.Errno) {
	return 0, syscall.ENOSYS
}

// mountDisk mounts one on a folder until the test ends.
func mountDisk(t *testing.T, dir string) *atomic.Bool {
	t.Helper()
	full := new(atomic.Bool)
	back := t.TempDir()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	root, err := fs.NewLoopbackRoot(back)
	if err != nil {
		t.Fatal(err)
	}
	server, err := fs.Mount(dir, &disk{root.(*fs.LoopbackNode), full}, &fs.Options{MountOptions: fuse.MountOptions{FsName: "glick-test", DisableXAttrs: true}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if server.Unmount() != nil {
			_ = exec.Command("fusermount3", "-u", "-z", dir).Run()
		}
	})
	return full
}

// TestFailedInstall: what fails loses nothing, and the reason is said so that a person can do something about it.
func TestFailedInstall(t *testing.T) {
	s := start(t, desk.X11)
	const id = "org.example.One"
	one := s.meadow("one", id, "1", "maker")
	data, err := os.ReadFile(one)
	s.must(err)
	unharmed := func() {
		t.Helper()
		if now, err := os.ReadFile(one); err != nil || string(now) != string(data) {
			t.Errorf("the file is not as it was: %v", err)
		}
	}
	apps := filepath.Join(s.Home, "Apps")
	s.must(os.MkdirAll(apps, 0o755))

	// The folder cannot be written.
	s.must(os.Chmod(apps, 0o555))
	s.launch(gui(), one)
	s.press(window, "Install")
	s.wait(window, atspi.Match{Part: "Could Not Install Meadow one"})
	s.wait(window, atspi.Match{Part: "You are not allowed to change the folder “~/Apps”"})
	s.answer("Close")
	unharmed()
	s.must(os.Chmod(apps, 0o755))
	s.press(window, "Install")
	s.wait(window, atspi.Match{Role: "button", Name: "Uninstall"})
	s.press(window, "Uninstall")
	s.waitGone("one.bundle")
	s.must(s.End("glick-gui", "glickd"))

	// The disk is full, with an older version there; also when the file would be moved.
	full := mountDisk(t, apps)
	s.run("glick", "install", one)
	two := s.meadow("two", id, "2", "maker")
	data, err = os.ReadFile(two)
	s.must(err)
	one = two
	full.Store(true)
	s.launch(gui(), two)
	for _, toggle := range []bool{false, true} {
		s.wait(window, atspi.Match{Role: "button", Name: "Update"})
		if toggle {
			s.toggle("Keep the file in Downloads")
		}
		s.press(window, "Update")
		s.wait(window, atspi.Match{Part: "Could Not Update Meadow two"})
		s.wait(window, atspi.Match{Part: "The Disk Is Full. Nothing was changed."})
		s.answer("Close")
		unharmed()
		if v := s.installedVersion(id); v != "1" {
			t.Errorf("version %q is installed", v)
		}
	}
	if names, err := os.ReadDir(apps); err != nil || len(names) != 1 {
		t.Errorf("in the folder there is %v, %v", names, err)
	}
	full.Store(false)
	s.press(window, "Update")
	s.wait(window, atspi.Match{Role: "button", Name: "Uninstall"})
	s.there(two, false)
	if v := s.installedVersion(id); v != "2" {
		t.Errorf("version %q is installed", v)
	}
	s.must(s.End("glick-gui", "glickd"))
}

// dying makes a bundle whose program ends as the script says.
func (s *session) dying(name, script string) string {
	s.t.Helper()
	file := filepath.Join(s.Home, "Downloads", name+".bundle")
	s.must(os.MkdirAll(filepath.Dir(file), 0o755))
	s.run("glick", "build", tree(s.t, script), file, "--id", "org.example.Report", "--exec", "bin/report", "--bundle-version", "1")
	return file
}

// TestDies: a program that ends at once has its last words shown, and what they mean.
func TestDies(t *testing.T) {
	s := start(t, desk.X11)
	for _, c := range []struct{ name, script, hint, words string }{
		{"words", "echo 'meadow: cannot find the grass' >&2; exit 3", "It ended at once. Its last words tell why; its maker may want to know them.",
			"meadow: cannot find the grass"},
		{"library", "echo 'report: error while loading shared libraries: libgrass.so.1' >&2; exit 127",
			"A library that it needs is neither in the bundle nor on this computer. Ask its maker for a bundle that has it.", "libgrass.so.1"},
	} {
		s.launch(gui(), s.dying(c.name, c.script))
		s.press(window, "Open")
		s.press(window, "Open Anyway")
		s.wait(window, atspi.Match{Part: "Report Could Not Be Opened"})
		s.wait(window, atspi.Match{Part: c.hint})
		s.wait(window, atspi.Match{Part: c.words})
		s.answer("Close")
		// It can be tried again.
		s.until(patience, "Open can be pressed", func() bool {
			n, ok := s.A11y.Find(window, atspi.Match{Role: "button", Name: "Open"})
			return ok && n.Is(atspi.StateSensitive)
		})
		s.must(s.End("glick-gui"))
	}
}

// appImage makes a real one, of type 2: a program with the mark, and an image of a tree behind it.
func (s *session) appImage(name string) string {
	s.t.Helper()
	dir := filepath.Join(s.t.TempDir(), "tree")
	for file, text := range map[string]string{
		"AppRun":         "#!/bin/sh\nexit 0\n",
		"sample.desktop": "[Desktop Entry]\nType=Application\nName=Sample\nComment=Shows something\nExec=sample\nIcon=sample\nX-AppImage-Version=1.2\n",
		"usr/bin/sample": "#!/bin/sh\nexit 0\n",
	} {
		path := filepath.Join(dir, file)
		s.must(os.MkdirAll(filepath.Dir(path), 0o755))
		s.must(os.WriteFile(path, []byte(text), 0o755))
	}
	image := filepath.Join(s.t.TempDir(), "image")
	command(s.t, "mksquashfs", dir, image, "-all-root", "-no-progress", "-quiet")
	program, err := os.ReadFile("/bin/true")
	s.must(err)
	copy(program[8:], "AI\x02")
	content, err := os.ReadFile(image)
	s.must(err)
	file := filepath.Join(s.Home, "Downloads", name)
	s.must(os.MkdirAll(filepath.Dir(file), 0o755))
	s.must(os.WriteFile(file, append(program, content...), 0o755))
	return file
}

// TestAppImage: the file of another program is shown for what it is, and nothing is offered that would not work.
func TestAppImage(t *testing.T) {
	s := start(t, desk.X11)
	s.launch(gui(), s.appImage("Sample.AppImage"))
	s.wait(window, atspi.Match{Part: "This is an AppImage"})
	s.wait(window, atspi.Match{Name: "Sample"})
	s.wait(window, atspi.Match{Part: "Version 1.2"})
	for _, name := range []string{"Open", "Install", "Uninstall"} {
		if _, ok := s.A11y.Find(window, atspi.Match{Role: "button", Name: name}); ok {
			t.Errorf("it offers %s", name)
		}
	}
	s.named(window)
	s.until(patience, "Close has the focus", func() bool { return s.focused(window) == "Close" })
	s.key("Return")
	s.until(patience, "the window is closed", func() bool { return s.owner() == 0 })
}

// TestLibraryFaults: an update that somebody else has signed, or nobody, and a file that is no bundle; what the library offers for them.
func TestLibraryFaults(t *testing.T) {
	s := start(t, desk.X11)
	apps := filepath.Join(s.Home, "Apps")
	s.launch("glickd")
	s.run("glick", "install", s.meadow("one", "org.example.One", "1", "maker"))
	s.run("glick", "install", s.meadow("two", "org.example.Two", "1", "maker"))
	s.must(os.Remove(filepath.Join(apps, "one.bundle")))
	s.must(os.Remove(filepath.Join(apps, "two.bundle")))
	// As by a copy in the file manager.
	copyFile(t, s.meadow("one", "org.example.One", "2", "stranger"), filepath.Join(apps, "one.bundle"))
	copyFile(t, s.meadow("two", "org.example.Two", "2", ""), filepath.Join(apps, "two.bundle"))
	bad := filepath.Join(apps, "bad.bundle")
	s.must(os.WriteFile(bad, []byte("just text"), 0o644))
	s.launch(gui())
	s.row("Meadow one")
	s.row("Meadow two")

	s.row("bad.bundle")
	s.openRow("bad.bundle")
	s.wait(window, atspi.Match{Role: "button", Name: "Open Its Window"})
	s.named(window)
	s.press(window, "Move to Trash")
	s.there(bad, false)
	s.there(filepath.Join(s.Home, ".local/share/Trash/files/bad.bundle"), true)
	s.press(window, "Undo")
	s.there(bad, true)
	s.there(filepath.Join(s.Home, ".local/share/Trash/files/bad.bundle"), false)

	for _, c := range []struct{ row, id, ask, yes string }{
		{"Meadow one", "org.example.One", "Trust New Signature…", "Trust"},
		{"Meadow two", "org.example.Two", "Use Anyway…", "Use Anyway"},
	} {
		s.openRow(c.row)
		s.press(window, c.ask)
		s.wait(window, atspi.Match{Role: "button", Name: c.yes})
		s.named(window)
		s.answer("Cancel")
		s.wait(window, atspi.Match{Role: "button", Name: c.ask}) // and nothing has changed
		s.press(window, c.ask)
		s.press(window, c.yes)
		s.until(patience, "it can be opened", func() bool {
			n, ok := s.A11y.Find(window, atspi.Match{Role: "button", Name: "Open"})
			return ok && n.Is(atspi.StateSensitive)
		})
		if v := s.installedVersion(c.id); v != "2" {
			t.Errorf("version %q of %s is used", v, c.row)
		}
		s.key("Escape")
	}

	// One version of two.
	makeApp(t, apps, meadowID, "Meadow", "1.0")
	newer := makeApp(t, apps, meadowID, "Meadow", "2.0")
	s.openRow("Meadow, 2.0")
	s.press(window, "Uninstall version 2.0")
	s.wait(window, atspi.Match{Part: "Uninstall Meadow 2.0?"})
	s.until(patience, "Cancel has the focus", func() bool { return s.focused(window) == "Cancel" })
	s.press(window, "Uninstall")
	s.there(newer, false)
	s.wait(window, atspi.Match{Part: "Version\u00a01.0"})
	s.press(window, "Undo")
	s.there(newer, true)
}

// openRow opens the details of an application by a click. One that a window misses in its first moment is done again.
func (s *session) openRow(part string) {
	s.t.Helper()
	const attempts = 4
	for attempt := 1; ; attempt++ {
		x, y := s.still(s.row(part))
		s.must(s.Click(x, y, 1))
		_, err := s.A11y.Wait(window, atspi.Match{Role: "button", Name: "Show in Files"}, patience/attempts) // made when the page is
		if err == nil {
			return
		}
		if attempt == attempts {
			s.t.Fatal(err)
		}
		s.t.Logf("click %d on %q was missed", attempt, part)
	}
}

// TestRunAtOnce: with the setting to run bundles at once, one that dies has its window, with the reason.
func TestRunAtOnce(t *testing.T) {
	s := start(t, desk.X11)
	env := []string{"GSETTINGS_BACKEND=keyfile"}
	s.run("env", append(env, "gsettings", "set", guiName, "double-click", "run")...)
	s.run("glick", "install", s.dying("dies", "echo 'no grass here' >&2; exit 3"))
	begin := time.Now()
	s.launch("env", append(env, gui(), filepath.Join(s.Home, "Apps/dies.bundle"))...)
	s.wait(window, atspi.Match{Part: "Report Could Not Be Opened"})
	s.wait(window, atspi.Match{Part: "no grass here"})
	t.Logf("after %v", time.Since(begin))
	s.answer("Close")
	s.wait(window, atspi.Match{Role: "button", Name: "Uninstall"})
}
