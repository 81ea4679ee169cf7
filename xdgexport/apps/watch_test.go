// SPDX-License-Identifier: MIT

package apps

import (
	"context"
	"errors"
	"fmt"
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
	"golang.org/x/sys/unix"

	"glick.org/glick/bundle"
	"glick.org/glick/xdgexport/apps/trust"
)

// eye follows the folders until the test ends.
type eye struct {
	t     *testing.T
	seen  chan report
	calls atomic.Int64
	warns atomic.Int64
	end   func()
}

type report struct {
	apps     []App
	problems []Problem
}

func follow(t *testing.T, o WatchOptions) *eye {
	t.Helper()
	e := &eye{t: t, seen: make(chan report, 1000)}
	ctx, cancel := context.WithCancel(context.Background())
	o.Changed = func() {
		e.calls.Add(1)
		all, problems, _ := List()
		e.seen <- report{all, problems}
	}
	o.Warn = func(error) { e.warns.Add(1) }
	done := make(chan error, 1)
	go func() { done <- Follow(ctx, o) }()
	e.end = func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(func() { e.end() })
	e.wait("the beginning", func(report) bool { return true })
	return e
}

// wait waits until a report is as it should be, and tells how long that took.
func (e *eye) wait(what string, ok func(report) bool) time.Duration {
	e.t.Helper()
	begin := time.Now()
	var last report
	for {
		select {
		case last = <-e.seen:
			if ok(last) {
				d := time.Since(begin)
				e.t.Logf("%s: seen after %v", what, d.Round(time.Millisecond))
				return d
			}
		case <-time.After(10 * time.Second):
			e.t.Fatalf("%s was not seen; the last was %+v", what, last)
		}
	}
}

// versions is for wait: these versions of the sample are there, in this order.
func versions(want ...string) func(report) bool {
	return func(r report) bool {
		var got []string
		for _, a := range r.apps {
			got = append(got, a.Version)
		}
		return slices.Equal(got, want)
	}
}

// still makes sure that nothing is reported for a while.
func (e *eye) still(what string, d time.Duration) {
	e.t.Helper()
	select {
	case r := <-e.seen:
		e.t.Errorf("%s was reported: %+v", what, r)
	case <-time.After(d):
	}
}

// drained passes over what was reported until now.
func (e *eye) drained() {
	time.Sleep(2 * patience)
	for {
		select {
		case <-e.seen:
		default:
			return
		}
	}
}

func mustDo(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	mustDo(t, err)
	return data
}

func TestWatchWaysIn(t *testing.T) {
	home := newHome(t)
	mustDo(t, os.MkdirAll(home, 0o755))
	dir := t.TempDir()
	one, two := build(t, dir, id, "1", nil), build(t, dir, id, "2", nil)
	data, data2 := readFile(t, one), readFile(t, two)
	e := follow(t, WatchOptions{})
	file := filepath.Join(home, "a.bundle")
	gone := func() {
		t.Helper()
		mustDo(t, os.Remove(file))
		e.wait("deleted", versions())
	}

	mustDo(t, os.Rename(one, file))
	e.wait("moved in", versions("1"))
	mustDo(t, os.Chmod(file, 0o644), os.Chmod(file, 0o755), os.Chtimes(file, time.Now(), time.Now()))
	e.still("touching", 3*quiet)
	mustDo(t, os.Rename(file, file+"2"), os.Rename(file+"2", filepath.Join(home, "b")))
	e.wait("another name", func(r report) bool { return len(r.apps) == 1 && filepath.Base(r.apps[0].File) == "b" })
	mustDo(t, os.Rename(filepath.Join(home, "b"), file))
	e.wait("the name again", func(r report) bool { return len(r.apps) == 1 && r.apps[0].File == file })

	mustDo(t, os.WriteFile(filepath.Join(home, ".part"), data2, 0o755), os.Rename(filepath.Join(home, ".part"), file))
	e.wait("replaced by a name", versions("2"))
	mustDo(t, os.WriteFile(file, data, 0o755))
	e.wait("replaced in place", versions("1"))
	gone()
	mustDo(t, os.WriteFile(file, data, 0o644), os.Chmod(file, 0o755))
	e.wait("copied", versions("1"))
	gone()
	mustDo(t, os.Link(two, file))
	e.wait("linked", versions("2"))
	gone()

	// Written slowly, with a pause in which half of it lies there.
	f, err := os.Create(file)
	mustDo(t, err)
	for i := range 4 {
		_, err := f.Write(data[len(data)*i/4 : len(data)*(i+1)/4])
		mustDo(t, err)
		time.Sleep(2 * quiet)
	}
	e.still("half a copy", 0)
	mustDo(t, f.Close())
	e.wait("copied slowly", versions("1"))
	gone()

	// Downloaded in place: the room is there first, then the pieces come, last ones first.
	f, err = os.Create(file)
	mustDo(t, err, f.Truncate(int64(len(data))))
	const step = 4096
	for off := len(data) / step * step; off >= 0; off -= step {
		_, err := f.WriteAt(data[off:min(off+step, len(data))], int64(off))
		mustDo(t, err)
	}
	time.Sleep(3 * quiet)
	e.still("a download", 0)
	mustDo(t, f.Close())
	e.wait("downloaded", versions("1"))
	gone()

	mustDo(t, os.WriteFile(filepath.Join(home, "notes.txt"), []byte("x"), 0o644), os.Mkdir(filepath.Join(home, "folder"), 0o755))
	e.still("what is no bundle", 3*quiet)
}

// A file that stays open for writing is judged when it has been left alone.
func TestWatchLeftOpen(t *testing.T) {
	home := newHome(t)
	data := readFile(t, build(t, t.TempDir(), id, "1", nil))
	mustDo(t, os.MkdirAll(home, 0o755))
	e := follow(t, WatchOptions{})
	f, err := os.Create(filepath.Join(home, "a.bundle"))
	mustDo(t, err)
	defer f.Close()
	_, err = f.Write(data)
	mustDo(t, err)
	if all, problems, _ := List(); len(all) > 0 || len(problems) != 1 || !problems[0].Incomplete() {
		t.Errorf("listed %+v, %v", all, problems)
	}
	if d := e.wait("left alone", versions("1")); d < stillWriting/2 {
		t.Errorf("judged after %v", d)
	}
}

func TestWatchFoldersComeAndGo(t *testing.T) {
	home := newHome(t)
	top := filepath.Join(filepath.Dir(home), "x")
	t.Setenv("HOME", filepath.Join(top, "y", "z"))
	home = filepath.Join(top, "y", "z", "Apps")
	systemFolders[0] = filepath.Join(top, "local", "lib", "bundles")
	systemOwner = os.Geteuid()
	t.Cleanup(func() { systemOwner = 0 })
	data := readFile(t, build(t, t.TempDir(), id, "1", nil))
	e := follow(t, WatchOptions{})
	put := func(dir string) { mustDo(t, os.WriteFile(filepath.Join(dir, "a.bundle"), data, 0o755)) }

	mustDo(t, os.Mkdir(top, 0o755))
	time.Sleep(2 * quiet)
	mustDo(t, os.MkdirAll(home, 0o755))
	put(home)
	e.wait("the folder with its parents", versions("1"))
	mustDo(t, os.MkdirAll(systemFolders[0], 0o755))
	put(systemFolders[0])
	e.wait("the other folder", versions("1", "1"))
	mustDo(t, os.RemoveAll(filepath.Join(top, "local")))
	e.wait("the other folder's end", versions("1"))
	mustDo(t, os.Rename(filepath.Join(top, "y"), filepath.Join(top, "away")))
	e.wait("a parent's new name", versions())
	mustDo(t, os.Rename(filepath.Join(top, "away"), filepath.Join(top, "y")))
	e.wait("a parent that is back", versions("1"))
	mustDo(t, os.RemoveAll(top))
	e.wait("the end of all", versions())
	mustDo(t, os.MkdirAll(home, 0o755))
	put(home)
	e.wait("all over again", versions("1"))
	// The folder is a link to another place, and then to yet another.
	places := t.TempDir()
	for _, p := range []string{"p", "q"} {
		mustDo(t, os.Mkdir(filepath.Join(places, p), 0o755))
	}
	put(filepath.Join(places, "p"))
	mustDo(t, os.RemoveAll(home), os.Symlink(filepath.Join(places, "q"), home))
	e.wait("an empty folder by a link", versions())
	mustDo(t, os.Symlink(filepath.Join(places, "p"), home+"2"), os.Rename(home+"2", home))
	e.wait("the link's other target", versions("1"))
	mustDo(t, os.Remove(filepath.Join(places, "p", "a.bundle")))
	e.wait("the end behind the link", versions())
}

// A broken file is reported once, whatever is done to it but writing.
func TestWatchReportsBrokenOnce(t *testing.T) {
	home := newHome(t)
	mustDo(t, os.MkdirAll(home, 0o755))
	e := follow(t, WatchOptions{})
	file := filepath.Join(home, "a.bundle")
	broken := func(r report) bool { return len(r.problems) == 1 && errors.Is(r.problems[0], bundle.ErrNotBundle) }
	mustDo(t, os.WriteFile(file, []byte("not a bundle"), 0o644))
	e.wait("the broken file", broken)
	_, before, _ := List()
	for range 3 {
		mustDo(t, os.Chmod(file, 0o600), os.Chmod(file, 0o644), os.Chtimes(file, time.Now(), time.Now()))
		f, err := os.OpenFile(file, os.O_WRONLY, 0)
		mustDo(t, err, f.Close())
		time.Sleep(quiet)
	}
	mustDo(t, os.WriteFile(file, []byte("not a bundle"), 0o644))
	e.still("the same again", 4*quiet)
	mustDo(t, os.WriteFile(file, []byte("not the bundle"), 0o644))
	e.wait("other content", broken)
	if _, after, _ := List(); len(before) != 1 || len(after) != 1 || before[0].Content == "" || before[0].Content == after[0].Content {
		t.Errorf("contents are not told apart: %+v, %+v", before, after)
	}
}

// Who asks while the folders are watched is told what is there now, not what was noticed.
func TestListIsNeverLate(t *testing.T) {
	home := newHome(t)
	data := readFile(t, build(t, t.TempDir(), id, "1", nil))
	mustDo(t, os.MkdirAll(home, 0o755))
	e := follow(t, WatchOptions{})
	for i := range 100 {
		file := filepath.Join(home, fmt.Sprintf("%d.bundle", i%3))
		mustDo(t, os.WriteFile(file, data, 0o755))
		if all, _, _ := List(); len(all) != 1 {
			t.Fatalf("round %d: not there", i)
		}
		mustDo(t, os.Remove(file))
		if all, _, _ := List(); len(all) != 0 {
			t.Fatalf("round %d: still there", i)
		}
	}
	// What somebody who asks has noticed first is told to the one who watches all the same.
	e.drained()
	for range 10 {
		mustDo(t, os.WriteFile(filepath.Join(home, "x.bundle"), data, 0o755))
		_, _, _ = List()
		e.wait("a file", versions("1"))
		mustDo(t, os.Remove(filepath.Join(home, "x.bundle")))
		_, _, _ = List()
		e.wait("its end", versions())
	}
}

// Two can watch in one process.
func TestWatchTwice(t *testing.T) {
	home := newHome(t)
	data := readFile(t, build(t, t.TempDir(), id, "1", nil))
	mustDo(t, os.MkdirAll(home, 0o755))
	one, two := follow(t, WatchOptions{}), follow(t, WatchOptions{})
	mustDo(t, os.WriteFile(filepath.Join(home, "a.bundle"), data, 0o755))
	one.wait("the first", versions("1"))
	two.wait("the second", versions("1"))
}

// Events are lost when too many come; nothing else is.
func TestWatchOverflow(t *testing.T) {
	home := newHome(t)
	data := readFile(t, build(t, t.TempDir(), id, "1", nil))
	mustDo(t, os.MkdirAll(home, 0o755))
	e := follow(t, WatchOptions{})
	l := current()
	l.mu.Lock() // nobody reads meanwhile
	note := filepath.Join(home, "note")
	for range 20_000 {
		mustDo(t, os.WriteFile(note, nil, 0o644), os.Remove(note))
	}
	mustDo(t, os.WriteFile(filepath.Join(home, "a.bundle"), data, 0o755))
	l.mu.Unlock()
	e.wait("the file after the flood", versions("1"))
}

func TestWatchByPolling(t *testing.T) {
	home := newHome(t)
	data := readFile(t, build(t, t.TempDir(), id, "1", nil))
	e := follow(t, WatchOptions{PollAll: true, Poll: 20 * time.Millisecond})
	mustDo(t, os.MkdirAll(home, 0o755), os.WriteFile(filepath.Join(home, "a.bundle"), data, 0o755))
	e.wait("the file", versions("1"))
	mustDo(t, os.RemoveAll(home))
	e.wait("the end", versions())
	if e.warns.Load() != 0 {
		t.Error("warned of what was asked for")
	}
}

// Behind FUSE others can change files without the kernel's knowledge.
func TestWatchFUSE(t *testing.T) {
	home := newHome(t)
	behind := t.TempDir()
	data := readFile(t, build(t, t.TempDir(), id, "1", nil))
	mustDo(t, os.MkdirAll(home, 0o755))
	root, err := fs.NewLoopbackRoot(behind)
	mustDo(t, err)
	second := time.Duration(0)
	server, err := fs.Mount(home, root, &fs.Options{EntryTimeout: &second, AttrTimeout: &second})
	if err != nil {
		t.Skip("no FUSE here: ", err)
	}
	t.Cleanup(func() {
		if err := server.Unmount(); err != nil {
			t.Error(err)
		}
	})
	e := follow(t, WatchOptions{Poll: 50 * time.Millisecond})
	mustDo(t, os.WriteFile(filepath.Join(behind, "a.bundle"), data, 0o755))
	e.wait("a file from elsewhere", versions("1"))
	mustDo(t, os.Remove(filepath.Join(behind, "a.bundle")))
	e.wait("its end", versions())
	f, err := os.Create(filepath.Join(behind, "a.bundle"))
	mustDo(t, err)
	_, err = f.Write(data[:len(data)/2])
	mustDo(t, err)
	e.still("half a file from elsewhere", 300*time.Millisecond)
	_, err = f.Write(data[len(data)/2:])
	mustDo(t, err, f.Close())
	e.wait("the whole file", versions("1"))
	mustDo(t, os.Remove(filepath.Join(behind, "a.bundle")))
	e.wait("its end", versions())
	mustDo(t, os.WriteFile(filepath.Join(home, "a.bundle"), data, 0o755))
	e.wait("a file from here", versions("1"))
	e.end()
	e.end = func() {}
	app, err := Install(t.Context(), build(t, t.TempDir(), id, "2", nil), InstallOptions{})
	if err != nil || app.Version != "2" {
		t.Errorf("installing to FUSE: %+v, %v", app, err)
	}
	mustDo(t, Remove(t.Context(), app.File))
}

func TestFileSystems(t *testing.T) {
	for magic, remote := range map[int64]bool{
		unix.EXT4_SUPER_MAGIC: false, unix.BTRFS_SUPER_MAGIC: false, unix.TMPFS_MAGIC: false, unix.XFS_SUPER_MAGIC: false, unix.OVERLAYFS_SUPER_MAGIC: false,
		unix.NFS_SUPER_MAGIC: true, 0xff534d42 /* CIFS */ : true, 0xfe534d42 /* SMB2 */ : true, unix.FUSE_SUPER_MAGIC: true, unix.MSDOS_SUPER_MAGIC: true,
		-0xacb2be /* CIFS, where the number has a sign */ : true,
	} {
		if got, _ := judgeFileSystem(magic); got != remote {
			t.Errorf("%x: %v", magic, got)
		}
	}
}

// inNamespace runs a test again as the root of a user namespace of its own, where limits can be set and file systems mounted without harm to others.
// It tells whether this is that run.
func inNamespace(t *testing.T) bool {
	t.Helper()
	const env = "GLICK_TEST_NAMESPACE"
	if os.Getenv(env) == t.Name() {
		return true
	}
	self, err := os.Executable()
	mustDo(t, err)
	cmd := exec.Command(self, "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), env+"="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		t.Errorf("%v:\n%s", err, out)
	case err != nil:
		t.Skip("no user namespaces here: ", err)
	case strings.Contains(string(out), "--- SKIP"):
		t.Skipf("%s", out)
	}
	return false
}

func TestWatchWithoutWatches(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	for name, value := range map[string]string{"/proc/sys/user/max_inotify_instances": "0", "/proc/sys/user/max_inotify_watches": "1"} {
		old := readFile(t, name)
		if err := os.WriteFile(name, []byte(value), 0); err != nil {
			t.Skip("the limit cannot be set: ", err)
		}
		home := newHome(t)
		data := readFile(t, build(t, t.TempDir(), id, "1", nil))
		e := follow(t, WatchOptions{Poll: 20 * time.Millisecond})
		mustDo(t, os.MkdirAll(home, 0o755), os.WriteFile(filepath.Join(home, "a.bundle"), data, 0o755))
		e.wait("the file, with "+name+"="+value, versions("1"))
		mustDo(t, os.Remove(filepath.Join(home, "a.bundle")))
		e.wait("its end", versions())
		mustDo(t, os.Remove(home), os.Mkdir(home, 0o755))
		if n := e.warns.Load(); n != 1 {
			t.Errorf("%s: warned %d times", name, n)
		}
		e.end()
		e.end = func() {}
		mustDo(t, os.WriteFile(name, old, 0))
	}
}

// What is mounted over the folder is in it.
func TestWatchMounts(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	home := newHome(t)
	data := readFile(t, build(t, t.TempDir(), id, "1", nil))
	data2 := readFile(t, build(t, t.TempDir(), id, "2", nil))
	mustDo(t, os.MkdirAll(home, 0o755), os.WriteFile(filepath.Join(home, "a.bundle"), data, 0o755))
	stick := t.TempDir()
	mustDo(t, os.WriteFile(filepath.Join(stick, "a.bundle"), data2, 0o755))
	e := follow(t, WatchOptions{})
	if err := unix.Mount(stick, home, "", unix.MS_BIND, ""); err != nil {
		t.Skip("nothing can be mounted: ", err)
	}
	e.wait("what is mounted", versions("2"))
	mustDo(t, os.Remove(filepath.Join(home, "a.bundle")))
	e.wait("a change in it", versions())
	mustDo(t, unix.Unmount(home, unix.MNT_DETACH))
	e.wait("what was there before", versions("1"))
}

// A real file system that is full: whatever does not fit leaves nothing.
func TestFullDisk(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	smallSteps(t)
	home := newHome(t)
	source := build(t, t.TempDir(), id, "1", nil)
	size := len(readFile(t, source))
	mustDo(t, os.MkdirAll(home, 0o755))
	for kb := 4; ; kb += 4 {
		if err := unix.Mount("none", home, "tmpfs", 0, fmt.Sprintf("size=%dk", kb)); err != nil {
			t.Skip("nothing can be mounted: ", err)
		}
		fresh()
		app, err := Install(t.Context(), source, InstallOptions{})
		switch {
		case err == nil:
			if app.State != trust.Unsigned || kb<<10 < size {
				t.Errorf("installed %+v", app)
			}
		case !errors.Is(err, unix.ENOSPC):
			t.Errorf("with %d kB: %v", kb, err)
		default:
			wantNames(t, home)
		}
		mustDo(t, unix.Unmount(home, unix.MNT_DETACH))
		if err == nil {
			return
		}
	}
}

// Who watches sleeps while nothing happens.
func TestWatchSleeps(t *testing.T) {
	home := newHome(t)
	drop(t, home, "a.bundle", id, "1", nil)
	e := follow(t, WatchOptions{})
	e.drained()
	begin := cpuTime(t)
	e.still("nothing", time.Second)
	if d := cpuTime(t) - begin; d > 200*time.Millisecond {
		t.Errorf("a second of nothing costs %v", d)
	}
}
