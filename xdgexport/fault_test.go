// SPDX-License-Identifier: MIT

package xdgexport

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"glick.org/glick/internal/sample"
	"glick.org/glick/xdgexport/apps"
)

// childVariable makes the test program do one sync, or more, that a test wants to have in a process of its own.
const childVariable = "XDGEXPORT_TEST_CHILD"

// childTask is what the process is to do.
type childTask struct {
	List []apps.App
	Home string
	Kill int    // end before this change, counted from 1
	Half string // what of an entry is at the end of a log then
	Full string // folder to mount small file systems on
	Next []apps.App
}

func TestMain(m *testing.M) {
	if text := os.Getenv(childVariable); text != "" {
		var task childTask
		err := json.Unmarshal([]byte(text), &task)
		switch {
		case err != nil:
		case task.Full != "":
			err = task.fillDisks()
		default:
			err = task.sync()
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func (c childTask) start(t *testing.T, attr *syscall.SysProcAttr) (string, error) {
	t.Helper()
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), childVariable+"="+string(text))
	cmd.SysProcAttr = attr
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (c childTask) sync() error {
	o := faultOptions(c.Home)
	n := 0
	o.before = func(call, path string) error {
		if call == "fsync" {
			return nil // to be killed there is to be killed before the next change
		}
		if n++; n == c.Kill {
			// It may well have been in the middle of it.
			if call == "write" {
				if err := os.WriteFile(path, []byte("half"), 0o600); err != nil {
					return err
				}
			}
			if call == "append" {
				if err := appendTo(path, c.Half); err != nil {
					return err
				}
			}
			return syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
		return nil
	}
	list := c.List
	_, err := Sync(context.Background(), list, o)
	return err
}

func appendTo(file, text string) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(text)
	return err
}

// halves are what a crash may leave of an entry.
var halves = []string{"", "do", "done\t100\t12345678\nhost\t\n", "begun\t5\t0\nhost\n", strings.Repeat("\x00", 300), strings.Repeat("\x00", 30) + "\nfile\t"}

// faultOptions are for a data folder with the usual folders around it.
func faultOptions(home string) Options {
	return Options{
		DataHome: filepath.Join(home, ".local/share"), ConfigHome: filepath.Join(home, ".config"), Glick: glick, Autostart: []string{id},
		DataDirs: []string{}, CommandDirs: []string{},
	}
}

// full is an application with one file of every kind.
func full(t testing.TB) sample.Tree {
	t.Helper()
	tree := sample.App(id)
	delete(tree, "share/icons/hicolor/256x256/apps/"+id+".png")
	delete(tree, "share/icons/hicolor/symbolic/apps/"+id+"-symbolic.svg")
	tree["bin/own"] = "#!/bin/sh\n"
	tree["share/man/man1/own.1"] = ".TH own 1\n.SH NAME\nown \\- sample\n"
	tree["share/bash-completion/completions/own"] = "complete -W x own\n"
	tree["share/zsh/site-functions/_own"] = "#compdef own\n"
	tree["share/fish/vendor_completions.d/own.fish"] = "complete -c own\n"
	tree["share/fonts/own.ttf"] = "\x00\x01\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00" +
		"cmap\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" + "head\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" + "name\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	tree["share/gnome-shell/search-providers/"+id+".ini"] = "[Shell Search Provider]\nDesktopId=" + id + ".desktop\nBusName=" + id + "\nObjectPath=/org/example/Sample\nVersion=2\n"
	tree["share/metainfo/"+id+".metainfo.xml"] = `<?xml version="1.0" encoding="UTF-8"?>
<component type="desktop-application"><id>` + id + `</id><name>Sample</name><summary>A sample of an application</summary>
<metadata_license>CC0-1.0</metadata_license><project_license>MIT</project_license><developer_name>Example</developer_name>
<description><p>Shows what applications have, for the sake of tests.</p></description>
<launchable type="desktop-id">` + id + `.desktop</launchable><url type="homepage">https://example.org/</url>
<content_rating type="oars-1.1"/><releases><release version="1.0" date="2026-01-01"/></releases></component>
`
	return tree
}

var fullFiles = []string{
	"applications/" + id + ".desktop", "autostart/" + id + ".desktop", "bash-completion/completions/own", "bin/own", "dbus-1/services/" + id + ".service",
	"fish/vendor_completions.d/own.fish", "fonts/" + id + "/own.ttf", "gnome-shell/search-providers/" + id + ".ini",
	"icons/hicolor/48x48/apps/" + id + ".png", "man/man1/own.1", "metainfo/" + id + ".metainfo.xml", "mime/packages/" + id + ".xml", "zsh/site-functions/_own",
}

func appOf(t testing.TB, id, version string, tree sample.Tree, commands ...string) apps.App {
	t.Helper()
	a, err := apps.Find(sample.BuildCommands(t, t.TempDir(), id, version, tree, commands...))
	if err != nil {
		t.Fatal(err)
	}
	a.Default = true
	return a
}

// noTools keeps the desktop's tools away, which are not what a test is about.
func noTools(t *testing.T) {
	noBus(t)
	t.Setenv("PATH", "/does/not/exist")
}

// memory is a temporary folder in memory, if there is such a place: thousands of files are written to it.
func memory(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "xdgexport")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// state is what a sync has made below a folder, without the record, which is never the same twice.
func state(t testing.TB, top string) map[string]string {
	t.Helper()
	all := find(t, top)
	for p := range all {
		if strings.HasSuffix(p, "glick/exports") {
			all[p] = "record"
		}
	}
	return all
}

// faultCase is a change of what is shown, during which something goes wrong.
type faultCase struct {
	name     string
	from, to []apps.App
	edit     bool                     // the user has edited an entry
	record   func(*testing.T, string) // what becomes of the record before
	want     map[string]string
}

func faultCases(t *testing.T) []faultCase {
	t.Helper()
	a := appOf(t, id, "1", full(t), "own")
	tree := full(t)
	tree["share/applications/"+id+".desktop"] += "Comment=New\n"
	delete(tree, "share/man/man1/own.1")
	delete(tree, "share/fish/vendor_completions.d/own.fish")
	tree["share/man/de/man1/own.1"] = "neu"
	b := appOf(t, id, "2", tree, "own")
	cases := []faultCase{
		{name: "install", to: []apps.App{a}}, {name: "update", from: []apps.App{a}, to: []apps.App{b}}, {name: "uninstall", from: []apps.App{a}},
		{name: "uninstall edited", from: []apps.App{a}, edit: true},
		{name: "update with an old record", from: []apps.App{a}, to: []apps.App{b}, record: makeOld},
		{name: "update with a long log", from: []apps.App{a}, to: []apps.App{b}, record: makeLong},
	}
	for i := range cases {
		c := &cases[i]
		top := memory(t)
		c.prepare(t, top)
		if _, err := Sync(t.Context(), c.to, faultOptions(top)); err != nil {
			t.Fatal(err)
		}
		c.want = state(t, top)
	}
	return cases
}

func (c *faultCase) prepare(t *testing.T, top string) {
	t.Helper()
	// Until its record is written a sync has made at most the folders down to it; that these stay is no harm.
	if err := os.MkdirAll(filepath.Join(top, ".local/share"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Sync(t.Context(), c.from, faultOptions(top)); err != nil {
		t.Fatal(err)
	}
	if c.record != nil {
		c.record(t, filepath.Join(top, ".local/share/glick/exports"))
	}
	if c.edit {
		if err := appendTo(filepath.Join(top, ".local/share/applications", id+".desktop"), "NoDisplay=true\n"); err != nil {
			t.Fatal(err)
		}
	}
}

// makeOld puts a record as it was before the log in the place of a log.
func makeOld(t *testing.T, file string) {
	t.Helper()
	r, _, err := parseRecord([]byte(read(t, file)), false)
	if err != nil {
		t.Fatal(err)
	}
	write(t, file, oldRecord(r))
}

func oldRecord(r *record) string {
	text := oldHead + "\n" + string(r.body(sortedKeys(r.Apps), nil))
	return text + fmt.Sprintf("end\t%x\n", crc32.ChecksumIEEE([]byte(text)))
}

// makeLong makes a log so long that it is time to write it anew.
func makeLong(t *testing.T, file string) {
	t.Helper()
	log := read(t, file)
	_, again, _ := strings.Cut(log, "\n")
	for len(log) < 2*slack {
		log += again
	}
	write(t, file, log)
}

// mends lets the next sync do its work and looks at the result, and at what the removal leaves.
func (c *faultCase) mends(t *testing.T, top string, now faultCase) {
	t.Helper()
	if _, err := Sync(t.Context(), c.to, faultOptions(top)); err != nil {
		t.Fatal(err)
	}
	same(t, state(t, top), now.want)
	if res, err := Sync(t.Context(), c.to, faultOptions(top)); err != nil || res.Changed() {
		t.Errorf("it left work: %+v, %v", res, err)
	}
	if _, err := Sync(t.Context(), nil, faultOptions(top)); err != nil {
		t.Fatal(err)
	}
	for p, what := range find(t, top) {
		if what != fs.ModeDir.String() && !c.edit || strings.HasSuffix(p, ".tmp") {
			t.Errorf("left behind: %s", p)
		}
		if !slices.Contains([]string{".", ".local", ".local/share"}, p) && !(c.edit && strings.HasPrefix(p, ".local/share/glick")) {
			t.Errorf("left behind: %s", p)
		}
	}
}

// A sync that is killed at any change that it makes is completed, or undone, by the next one.
func TestKilled(t *testing.T) {
	noTools(t)
	for _, c := range faultCases(t) {
		t.Run(c.name, func(t *testing.T) {
			n := 0
			step := 1
			if testing.Short() {
				step = 7
			}
			for at := 1; ; at += step {
				top := memory(t)
				c.prepare(t, top)
				out, err := childTask{List: c.to, Home: top, Kill: at, Half: halves[at%len(halves)]}.start(t, nil)
				var exit *exec.ExitError
				if err == nil {
					break // it has made all its changes
				}
				if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
					t.Fatalf("change %d: %v: %s", at, err, out)
				}
				n++
				c.mends(t, top, c)
				if t.Failed() {
					t.Fatalf("killed before change %d", at)
				}
				os.RemoveAll(top)
			}
			t.Logf("killed at %d changes", n)
			if n*step < 10 {
				t.Errorf("only %d changes", n)
			}
		})
	}
}

// The same for a disk that is full from some change on, and for one that fails once. The error says so, and what was
// there stays.
func TestFailingDisk(t *testing.T) {
	noTools(t)
	takes := []string{"mkdir", "create", "write", "append", "fsync", "rename"} // what a full disk does not let through
	for _, c := range faultCases(t) {
		for name, fails := range map[string]func(n, at int, call string) bool{
			"full":  func(n, at int, call string) bool { return n >= at && slices.Contains(takes, call) },
			"fails": func(n, at int, _ string) bool { return n == at },
			"stops": func(n, at int, _ string) bool { return n >= at },
		} {
			t.Run(c.name+" "+name, func(t *testing.T) {
				failed := 0
				for at := 1; ; at++ {
					top := memory(t)
					c.prepare(t, top)
					o := faultOptions(top)
					n, hit := 0, false
					o.before = func(call, _ string) error {
						if n++; fails(n, at, call) {
							hit = true
							return unix.ENOSPC
						}
						return nil
					}
					_, err := Sync(t.Context(), c.to, o)
					if err != nil {
						failed++
						if !errors.Is(err, unix.ENOSPC) {
							t.Fatalf("change %d: %v", at, err)
						}
					}
					c.mends(t, top, c)
					if t.Failed() {
						t.Fatalf("failed at change %d (%v)", at, err)
					}
					os.RemoveAll(top)
					if n < at || !hit && name == "full" {
						break
					}
				}
				t.Logf("%d syncs failed", failed)
				switch {
				case name == "full" && c.to == nil && !c.edit:
					if failed > 0 {
						t.Error("a full disk keeps an application from being removed")
					}
				case failed < 3:
					t.Errorf("only %d syncs failed", failed)
				}
			})
		}
	}
}

// After an interrupted sync the next may be about other applications, and be interrupted as well.
func TestInterruptedTwice(t *testing.T) {
	noTools(t)
	a := appOf(t, id, "1", full(t), "own")
	other := appOf(t, "org.example.Other", "1", sample.App("org.example.Other"))
	errStop := errors.New("stopped")
	stopAt := func(at int, n *int) func(string, string) error {
		return func(string, string) error {
			if *n++; *n >= at {
				return errStop
			}
			return nil
		}
	}
	for first := 1; ; first += 3 {
		done := false
		for _, second := range []int{0, 5, 6, 12, 30} { // 0: not at all; 6 is just after its own record
			top := memory(t)
			if err := os.MkdirAll(filepath.Join(top, ".local/share"), 0o755); err != nil {
				t.Fatal(err)
			}
			o := faultOptions(top)
			n := 0
			o.before = stopAt(first, &n)
			if _, err := Sync(t.Context(), []apps.App{a}, o); err == nil {
				done = true
			} else if !errors.Is(err, errStop) {
				t.Fatal(err)
			}
			if second > 0 {
				n = 0
				o.before = stopAt(second, &n)
				if _, err := Sync(t.Context(), []apps.App{other}, o); err != nil && !errors.Is(err, errStop) {
					t.Fatal(err)
				}
			}
			o.before = nil
			if _, err := Sync(t.Context(), nil, o); err != nil {
				t.Fatal(err)
			}
			for p := range find(t, top) {
				if !slices.Contains([]string{".", ".local", ".local/share"}, p) {
					t.Errorf("stopped at %d and %d: left behind: %s", first, second, p)
				}
			}
			os.RemoveAll(top)
		}
		if done || t.Failed() {
			return
		}
	}
}

// Real file systems that are full: the kernel's own errors, at places of its choice.
func TestFullFileSystem(t *testing.T) {
	noTools(t)
	a := appOf(t, id, "1", full(t), "own")
	task := childTask{List: []apps.App{a}, Full: t.TempDir()}
	out, err := task.start(t, &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	})
	if errors.Is(err, unix.EPERM) || strings.Contains(out, noMount) {
		t.Skip("user namespaces cannot be had here: ", err, out)
	}
	if err != nil || !strings.Contains(out, "full file systems") {
		t.Fatal(err, out)
	}
	t.Log(out)
}

const noMount = "cannot mount"

// fillDisks syncs to file systems of all sizes until one is large enough.
func (c childTask) fillDisks() error {
	failed := 0
	for pages := 1; ; pages++ {
		if err := unix.Mount("none", c.Full, "tmpfs", 0, fmt.Sprintf("nr_blocks=%d,nr_inodes=1000", pages)); err != nil {
			return fmt.Errorf("%s: %w", noMount, err)
		}
		o := faultOptions(c.Full)
		_, err := Sync(context.Background(), c.List, o)
		synced := err == nil
		if err != nil {
			if !errors.Is(err, unix.ENOSPC) {
				return err
			}
			failed++
			// A full disk does not keep an application from being removed.
			if pages%2 == 0 {
				if _, err := Sync(context.Background(), nil, o); err != nil {
					return fmt.Errorf("cannot remove with %d pages: %w", pages, err)
				}
			}
			if err := unix.Mount("none", c.Full, "tmpfs", unix.MS_REMOUNT, "nr_blocks=1000"); err != nil {
				return err
			}
			if _, err := Sync(context.Background(), c.List, o); err != nil {
				return fmt.Errorf("with room again: %w", err)
			}
		}
		for _, p := range fullFiles {
			if info, err := os.Stat(o.mustComplete().file(p)); err != nil || info.Size() == 0 {
				return fmt.Errorf("after %d pages: %s is not there: %w", pages, p, err)
			}
		}
		if res, err := Sync(context.Background(), c.List, o); err != nil || res.Changed() {
			return fmt.Errorf("after %d pages: it left work: %+v, %w", pages, res, err)
		}
		if _, err := Sync(context.Background(), nil, o); err != nil {
			return err
		}
		if rest, err := os.ReadDir(c.Full); err != nil || len(rest) > 0 {
			return fmt.Errorf("after %d pages: left behind: %v, %w", pages, rest, err)
		}
		if err := unix.Unmount(c.Full, 0); err != nil {
			return err
		}
		if synced {
			fmt.Printf("%d full file systems", failed)
			return nil
		}
	}
}

func (o Options) mustComplete() Options {
	o, err := o.complete()
	if err != nil {
		panic(err)
	}
	return o
}
