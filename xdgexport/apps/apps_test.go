// SPDX-License-Identifier: MIT

package apps

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/adrg/xdg"
	"golang.org/x/sys/unix"

	"glick.org/glick/bundle"
	"glick.org/glick/internal/sample"
)

const id = "org.example.Sample"

// newHome gives the test a home of its own and returns the folder of applications in it, which does not exist yet.
func newHome(t *testing.T) string { return homeIn(t, t.Setenv) }

// benchHome is newHome for a benchmark.
func benchHome(b *testing.B) string { return homeIn(b, b.Setenv) }

func homeIn(t testing.TB, setenv func(name, value string)) string {
	t.Helper()
	home := t.TempDir()
	setenv("HOME", home)
	for _, name := range []string{"XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR"} {
		setenv(name, "")
	}
	xdg.Reload()
	old := systemFolders
	systemFolders = []string{filepath.Join(home, "system")}
	t.Cleanup(func() { systemFolders = old; xdg.Reload() })
	fresh()
	return filepath.Join(home, "Apps")
}

func names(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

func wantNames(t *testing.T, dir string, want ...string) {
	t.Helper()
	if got := names(t, dir); !slices.Equal(got, want) {
		t.Errorf("%s holds %q, want %q", dir, got, want)
	}
}

func list(t *testing.T) []App {
	t.Helper()
	all, problems, err := List()
	if err != nil || len(problems) > 0 {
		t.Fatal(problems, err)
	}
	return all
}

func mustInstall(t *testing.T, file string, o InstallOptions) App {
	t.Helper()
	app, err := Install(t.Context(), file, o)
	if err != nil {
		t.Fatal(err)
	}
	return app
}

func TestInstallListFindUninstall(t *testing.T) {
	home := newHome(t)
	src := sample.Build(t, t.TempDir(), id, "1.0", sample.App(id))
	if err := unix.Setxattr(src, "user.xdg.origin.url", []byte("https://example.org/x"), 0); err != nil {
		t.Log("no extended attributes here:", err)
	}
	fail := filepath.Join(xdg.CacheHome, "thumbnails", "fail", "gnome-thumbnail-factory")
	if err := os.MkdirAll(fail, 0o700); err != nil {
		t.Fatal(err)
	}
	sum := md5.Sum([]byte("file://" + home + "/" + id + "-1.0.bundle"))
	failed := filepath.Join(fail, hex.EncodeToString(sum[:])+".png")
	if err := os.WriteFile(failed, nil, 0o600); err != nil {
		t.Fatal(err)
	}

	var last, total int64
	app := mustInstall(t, src, InstallOptions{Progress: func(d, n int64) { last, total = d, n }})
	if app.ID != id || app.Version != "1.0" || app.File != filepath.Join(home, id+"-1.0.bundle") || app.Size != total || last != total {
		t.Errorf("installed %+v, progress %d of %d", app, last, total)
	}
	if info, err := os.Stat(app.File); err != nil || info.Mode()&0o100 == 0 {
		t.Errorf("not executable: %v %v", info, err)
	}
	buf := make([]byte, 100)
	if n, err := unix.Getxattr(src, "user.xdg.origin.url", buf); err == nil {
		if want := (Origin{URL: "https://example.org/x"}); app.Origin != want || list(t)[0].Origin != want {
			t.Errorf("the origin is %+v", app.Origin)
		}
		if m, err := unix.Getxattr(app.File, "user.xdg.origin.url", make([]byte, 100)); err != nil || m != n {
			t.Errorf("the origin is lost: %v", err)
		}
	}
	if _, err := os.Stat(failed); err == nil {
		t.Error("the failed thumbnail is still remembered")
	}
	wantNames(t, home, id+"-1.0.bundle")

	for range 2 { // the second time from the cache
		all := list(t)
		if len(all) != 1 || all[0].File != app.File || all[0].Digest != app.Digest || !all[0].Default || all[0].System {
			t.Errorf("listed %+v", all)
		}
		time.Sleep(2 * settled)
	}
	if _, err := os.Stat(cacheFile()); err != nil {
		t.Errorf("no cache: %v", err)
	}
	for _, arg := range []string{id, app.File, src} {
		if a, err := Find(arg); err != nil || a.Digest != app.Digest {
			t.Errorf("Find(%s) = %+v, %v", arg, a, err)
		}
	}
	for _, arg := range []string{"org.example.None", "/does/not/exist"} {
		if _, err := Find(arg); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Find(%s): %v", arg, err)
		}
	}

	undo, err := Uninstall(t.Context(), app.File)
	if err != nil {
		t.Fatal(err)
	}
	if len(list(t)) != 0 {
		t.Error("still listed")
	}
	if Clean() != 1 {
		t.Error("what can be undone was not held")
	}
	if err := undo(); err != nil {
		t.Fatal(err)
	}
	wantNames(t, home, id+"-1.0.bundle")
	if err := Remove(t.Context(), app.File); err != nil {
		t.Fatal(err)
	}
	wantNames(t, home)
	list(t)
	if _, err := os.Stat(cacheFile()); err == nil {
		t.Error("the cache stays though nothing is installed")
	}
}

// When the window that could undo is gone, the file goes too.
func TestUninstallIsFinishedByClean(t *testing.T) {
	home := newHome(t)
	app := mustInstall(t, sample.Build(t, t.TempDir(), id, "1", sample.App(id)), InstallOptions{})
	undo, err := Uninstall(t.Context(), app.File)
	if err != nil {
		t.Fatal(err)
	}
	runtime.KeepAlive(undo)
	undo = nil
	for range 100 {
		runtime.GC()
		if Clean() == 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	wantNames(t, home)
	_ = undo
}

func TestVersions(t *testing.T) {
	home := newHome(t)
	dir := t.TempDir()
	v9 := sample.Build(t, dir, id, "1.9", sample.App(id))
	v10 := sample.Build(t, dir, id, "1.10", sample.App(id))
	mustInstall(t, v9, InstallOptions{})
	mustInstall(t, v10, InstallOptions{})
	wantNames(t, home, id+"-1.10.bundle") // replaced
	mustInstall(t, v9, InstallOptions{KeepBoth: true})
	wantNames(t, home, id+"-1.10.bundle", id+"-1.9.bundle")
	all := list(t)
	if len(all) != 2 || all[0].Version != "1.10" || !all[0].Default || all[1].Default {
		t.Errorf("listed %+v", all)
	}
	if a, err := Find(id); err != nil || a.Version != "1.10" {
		t.Errorf("found %+v, %v", a, err)
	}
	mustInstall(t, v9, InstallOptions{}) // the same version again replaces itself only
	wantNames(t, home, id+"-1.10.bundle", id+"-1.9.bundle")
}

func TestNames(t *testing.T) {
	home := newHome(t)
	dir := t.TempDir()
	rename := func(from, to string) string {
		to = filepath.Join(dir, to)
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
		return to
	}
	one := rename(sample.Build(t, dir, id, "1", sample.App(id)), "Name")
	mustInstall(t, one, InstallOptions{})
	wantNames(t, home, "Name.bundle")
	// Another application of the same file name does not replace it.
	const other = "org.example.Other"
	two := rename(sample.Build(t, dir, other, "2", sample.App(other)), "Name.bundle")
	mustInstall(t, two, InstallOptions{})
	wantNames(t, home, "Name-2.bundle", "Name.bundle")
	// Nor does one replace what is no bundle.
	if err := os.WriteFile(filepath.Join(home, "notes.bundle"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	three := rename(sample.Build(t, dir, "org.example.Three", "3", sample.App(id)), "notes.bundle")
	if _, err := Install(t.Context(), three, InstallOptions{}); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(filepath.Join(home, "notes.bundle")); err != nil || string(data) != "mine" {
		t.Errorf("a file of the user's was replaced: %q %v", data, err)
	}
	wantNames(t, home, "Name-2.bundle", "Name.bundle", "notes-3.bundle", "notes.bundle")

	for in, want := range map[string]string{
		"/x/a.bundle": "a.bundle", "/x/..hidden": "hidden.bundle", "/x/a\nb\x1b[1m": "a_b_[1m.bundle", "/x/" + strings.Repeat("ä", 200): strings.Repeat("ä", 100) + ".bundle",
		"/x/\xff": "_.bundle", "/x/.bundle": "application.bundle", "/x/a\u202eb": "a_b.bundle",
	} {
		if got := baseName(in); got != want {
			t.Errorf("baseName(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestInstallFailures(t *testing.T) {
	home := newHome(t)
	dir := t.TempDir()
	good := sample.Build(t, dir, id, "1", sample.App(id))
	data, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	file := func(name string, content []byte) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, content, 0o644); err != nil {
			t.Fatal(err)
		}
		return name
	}
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	unreadable := file("unreadable", data)
	if err := os.Chmod(unreadable, 0); err != nil {
		t.Fatal(err)
	}
	// One bit of a file's content: identity and indexes are sound, so only reading everything finds it.
	flipped := bytes.Clone(data)
	b, err := bundle.Read(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range b.Sections() {
		if s.Name == ".glick.data" {
			flipped[s.Offset+s.Size/2] ^= 1
		}
	}
	for name, c := range map[string]struct {
		file string
		want error
	}{
		"content":   {file("content.bundle", flipped), bundle.ErrDamaged},
		"missing":   {filepath.Join(dir, "none"), fs.ErrNotExist},
		"empty":     {file("empty", nil), nil},
		"text":      {file("text", []byte("hello, this is no bundle")), bundle.ErrNotBundle},
		"truncated": {file("truncated", data[:len(data)-100]), nil},
		"half":      {file("half", data[:len(data)/2]), nil},
		"folder":    {dir, bundle.ErrNotBundle},
		"pipe":      {fifo, bundle.ErrNotBundle},
	} {
		_, err := Install(t.Context(), c.file, InstallOptions{})
		if err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if c.want == nil && !errors.Is(err, bundle.ErrTruncated) && !errors.Is(err, bundle.ErrNotBundle) && !errors.Is(err, bundle.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && strings.Count(err.Error(), c.file) != 1 {
			t.Errorf("%s: the message does not name the file once: %v", name, err)
		}
		wantNames(t, home)
	}
	if os.Getuid() != 0 {
		if _, err := Install(t.Context(), unreadable, InstallOptions{}); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("unreadable: %v", err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Install(ctx, good, InstallOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	wantNames(t, home)
	// What another version was stays when its update fails.
	app := mustInstall(t, good, InstallOptions{})
	if _, err := Install(t.Context(), filepath.Join(dir, "truncated"), InstallOptions{}); err == nil {
		t.Error("installed a truncated file")
	}
	wantNames(t, home, filepath.Base(app.File))
	// Nobody else's applications are taken away.
	if err := os.MkdirAll(systemFolders[0], 0o755); err != nil {
		t.Fatal(err)
	}
	system := filepath.Join(systemFolders[0], "x.bundle")
	if err := os.WriteFile(system, data, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{system, good, filepath.Join(home, "none.bundle"), filepath.Join(home, "..", "x")} {
		if _, err := Uninstall(t.Context(), f); err == nil {
			t.Errorf("uninstalled %s", f)
		}
	}
}

// A file-size limit stands in for a full disk: the kernel refuses to write on.
func TestInstallWithoutSpace(t *testing.T) {
	home := newHome(t)
	tree := sample.App(id)
	var noise strings.Builder
	for i := range 300_000 {
		noise.WriteByte(byte(i * i >> 3 * (i % 251)))
	}
	tree["share/data"] = noise.String()
	good := sample.Build(t, t.TempDir(), id, "1", tree)
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 100_000, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	_, err := Install(t.Context(), good, InstallOptions{})
	if rerr := unix.Setrlimit(unix.RLIMIT_FSIZE, &old); rerr != nil {
		t.Fatal(rerr)
	}
	if !errors.Is(err, unix.EFBIG) {
		t.Errorf("got %v", err)
	}
	wantNames(t, home)
}

func TestCleanLeavesWhatIsHeld(t *testing.T) {
	home := newHome(t)
	if err := os.MkdirAll(home, 0o755); err != nil {
		t.Fatal(err)
	}
	stale := filepath.Join(home, installPrefix+"stale")
	if err := os.WriteFile(stale, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	held, err := hidden(home, installPrefix, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if n := Clean(); n != 1 {
		t.Errorf("%d held", n)
	}
	wantNames(t, home, filepath.Base(held.Name()))
	held.Close()
}

func TestListProblems(t *testing.T) {
	home := newHome(t)
	if err := os.MkdirAll(filepath.Join(home, "folder.bundle"), 0o755); err != nil {
		t.Fatal(err)
	}
	good := sample.Build(t, t.TempDir(), id, "1", sample.App(id))
	data, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"readme.txt": []byte("hello"), "broken.bundle": []byte("hello"), ".hidden.bundle": data, "half.bundle": data[:len(data)/2], "Whole": data,
	} {
		if err := os.WriteFile(filepath.Join(home, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("nowhere", filepath.Join(home, "dangling.bundle")); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(home, "pipe.bundle"), 0o600); err != nil {
		t.Fatal(err)
	}
	all, problems, err := List()
	if err != nil || len(all) != 1 || filepath.Base(all[0].File) != "Whole" {
		t.Errorf("listed %+v, %v", all, err)
	}
	var bad []string
	for _, p := range problems {
		bad = append(bad, filepath.Base(p.File))
		if p.Incomplete() != (filepath.Base(p.File) == "half.bundle") {
			t.Errorf("%v: incomplete is %v", p, p.Incomplete())
		}
	}
	if !slices.Equal(bad, []string{"broken.bundle", "half.bundle"}) {
		t.Errorf("problems: %v", problems)
	}
}

func TestWatch(t *testing.T) {
	home := newHome(t)
	good := sample.Build(t, t.TempDir(), id, "1", sample.App(id))
	data, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan int, 100)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- Watch(ctx, func() {
			all, _, _ := List()
			seen <- len(all)
		})
	}()
	wait := func(what string, n int) {
		t.Helper()
		begin := time.Now()
		for {
			select {
			case got := <-seen:
				if got == n {
					if d := time.Since(begin); d > 250*time.Millisecond {
						t.Logf("%s was seen after %v", what, d)
					}
					return
				}
			case <-time.After(5 * time.Second):
				t.Fatalf("%s was not seen", what)
			}
		}
	}
	wait("the beginning", 0)
	// The folder comes later than the watch.
	if err := os.Mkdir(home, 0o755); err != nil {
		t.Fatal(err)
	}
	wait("the folder", 0)
	file := filepath.Join(home, "a.bundle")
	// A slow copy under the final name.
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		if _, err := f.Write(data[len(data)*i/4 : len(data)*(i+1)/4]); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * quiet)
	}
	f.Close()
	wait("the copy", 1)
	moved := filepath.Join(filepath.Dir(home), "b")
	if err := os.Rename(file, moved); err != nil {
		t.Fatal(err)
	}
	wait("the move away", 0)
	if err := os.Rename(moved, file); err != nil {
		t.Fatal(err)
	}
	wait("the move back", 1)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	wait("the deletion", 0)
	// The folder itself is replaced.
	if err := os.Rename(home, home+"2"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(home, 0o755); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * quiet)
	if err := os.WriteFile(file, data, 0o755); err != nil {
		t.Fatal(err)
	}
	wait("a file in the new folder", 1)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
