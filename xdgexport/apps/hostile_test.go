// SPDX-License-Identifier: MIT

package apps

import (
	"bytes"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"glick.org/glick/bundle"
	"glick.org/glick/internal/sample"
	"glick.org/glick/xdgexport/apps/trust"
)

// attack is a folder of applications in which something is wrong.
type attack struct {
	*testing.T
	home, system string
	data         []byte // of a good bundle
}

// put writes a file among the applications.
func (a *attack) put(name string, data []byte) string {
	a.Helper()
	file := filepath.Join(a.home, name)
	mustDo(a, os.WriteFile(file, data, 0o755))
	return file
}

// want looks what is listed, and which files are problems of a kind.
func (a *attack) want(listed []string, problem error, files ...string) {
	a.Helper()
	for range 2 { // once anew, once from the cache
		fresh()
		all, problems, err := List()
		mustDo(a, err)
		var got, bad []string
		for _, app := range all {
			got = append(got, filepath.Base(app.File))
		}
		for _, p := range problems {
			bad = append(bad, filepath.Base(p.File))
			if !errors.Is(p, problem) {
				a.Errorf("%v, want %v", p, problem)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, listed) || !slices.Equal(bad, files) {
			a.Errorf("listed %q, problems %q; want %q, %q", got, bad, listed, files)
		}
		time.Sleep(settled)
	}
}

func TestHostile(t *testing.T) {
	good := readFile(t, sample.Build(t, t.TempDir(), id, "1", sample.App(id)))
	for name, run := range map[string]func(a *attack){
		"a name with a line end": func(a *attack) {
			a.put("a\nb.bundle", good)
			a.want([]string{"a\nb.bundle"}, nil)
		},
		"a name that is not UTF-8": func(a *attack) {
			a.put("\xff\xfe.bundle", good)
			a.want(nil, ErrName, "\xff\xfe.bundle")
		},
		"a name as long as can be": func(a *attack) {
			long := strings.Repeat("x", 248) + ".bundle"
			file := a.put(long, good)
			a.want([]string{long}, nil)
			undo, err := Uninstall(a.Context(), file)
			mustDo(a, err, undo())
			a.want([]string{long}, nil)
			mustDo(a, Remove(a.Context(), file))
			wantNames(a.T, a.home)
		},
		"a name that begins with a dash": func(a *attack) {
			a.put("-rf", good)
			a.want([]string{"-rf"}, nil)
		},
		"a hidden name": func(a *attack) {
			a.put(".x.bundle", good)
			a.want(nil, nil)
		},
		"a link out of the folder": func(a *attack) {
			target := filepath.Join(a.TempDir(), "evil.bundle")
			mustDo(a, os.WriteFile(target, good, 0o755), os.Symlink(target, filepath.Join(a.home, "x.bundle")))
			a.want(nil, ErrOutside, "x.bundle")
			mustDo(a, Remove(a.Context(), filepath.Join(a.home, "x.bundle")))
			if _, err := os.Stat(target); err != nil {
				a.Error("removing the link removed its target")
			}
		},
		"a link out of the folder by a folder": func(a *attack) {
			dir := a.TempDir()
			mustDo(a, os.WriteFile(filepath.Join(dir, "evil.bundle"), good, 0o755), os.Symlink(dir, filepath.Join(a.home, "x.bundle")))
			mustDo(a, os.Symlink("x.bundle/evil.bundle", filepath.Join(a.home, "y.bundle")))
			a.want(nil, ErrOutside, "y.bundle")
		},
		"a link to another file of the folder": func(a *attack) {
			a.put("x.bundle", good)
			mustDo(a, os.Symlink("x.bundle", filepath.Join(a.home, "y.bundle")))
			a.want([]string{"x.bundle"}, nil)
		},
		"links in a circle": func(a *attack) {
			mustDo(a, os.Symlink("y.bundle", filepath.Join(a.home, "x.bundle")), os.Symlink("x.bundle", filepath.Join(a.home, "y.bundle")))
			a.want(nil, nil)
		},
		"a link to a device": func(a *attack) {
			mustDo(a, os.Symlink("/dev/zero", filepath.Join(a.home, "x.bundle")))
			a.want(nil, nil)
		},
		"a pipe, which nobody writes to": func(a *attack) {
			mustDo(a, unix.Mkfifo(filepath.Join(a.home, "x.bundle"), 0o644))
			a.want(nil, nil)
		},
		"a socket": func(a *attack) {
			dir, err := os.MkdirTemp("", "s")
			mustDo(a, err)
			defer os.RemoveAll(dir)
			l, err := net.Listen("unix", filepath.Join(dir, "s"))
			mustDo(a, err)
			defer l.Close()
			mustDo(a, os.Rename(filepath.Join(dir, "s"), filepath.Join(a.home, "x.bundle")))
			a.want(nil, nil)
		},
		"a device": func(a *attack) {
			if err := unix.Mknod(filepath.Join(a.home, "x.bundle"), unix.S_IFCHR|0o666, 1<<8|5); err != nil {
				a.Skip("needs root: ", err)
			}
			a.want(nil, nil)
		},
		"a folder": func(a *attack) {
			mustDo(a, os.Mkdir(filepath.Join(a.home, "x.bundle"), 0o755), os.WriteFile(filepath.Join(a.home, "x.bundle", "y.bundle"), good, 0o755))
			a.want(nil, nil)
		},
		"hard links": func(a *attack) {
			mustDo(a, os.Link(a.put("x.bundle", good), filepath.Join(a.home, "y.bundle")))
			a.want([]string{"x.bundle", "y.bundle"}, nil)
			if !of(a.T, "x.bundle").Default || of(a.T, "y.bundle").Default {
				a.Error("the default is not the first name")
			}
			mustDo(a, Remove(a.Context(), filepath.Join(a.home, "x.bundle")))
			a.want([]string{"y.bundle"}, nil)
		},
		"a file that cannot be read": func(a *attack) {
			if os.Geteuid() == 0 {
				a.Skip("root reads everything")
			}
			file := a.put("x.bundle", good)
			mustDo(a, os.Chmod(file, 0))
			a.want(nil, fs.ErrPermission, "x.bundle")
			mustDo(a, os.Chmod(file, 0o644))
			a.want([]string{"x.bundle"}, nil)
		},
		"a folder that cannot be read": func(a *attack) {
			if os.Geteuid() == 0 {
				a.Skip("root reads everything")
			}
			a.put("x.bundle", good)
			mustDo(a, os.Chmod(a.home, 0o100))
			defer os.Chmod(a.home, 0o755)
			a.want(nil, fs.ErrPermission, "Apps")
		},
		"a stranger's file in a folder for all users": func(a *attack) {
			// Root, who may own files there, is somebody else than this test's user.
			systemOwner = os.Geteuid() + 1
			mustDo(a, os.Mkdir(a.system, 0o777), os.WriteFile(filepath.Join(a.system, "x.bundle"), good, 0o755))
			a.want(nil, ErrOwner, "x.bundle")
		},
		"a file in a folder for all users that others can write": func(a *attack) {
			systemOwner = os.Geteuid()
			file := filepath.Join(a.system, "x.bundle")
			mustDo(a, os.Mkdir(a.system, 0o777), os.WriteFile(file, good, 0o755), os.Chmod(file, 0o775))
			a.want(nil, ErrOwner, "x.bundle")
			mustDo(a, os.Chmod(file, 0o757))
			a.want(nil, ErrOwner, "x.bundle")
			mustDo(a, os.Chmod(file, 0o755))
			a.want([]string{"x.bundle"}, nil)
		},
		"the id of an application of all users": func(a *attack) {
			systemOwner = os.Geteuid()
			mustDo(a, os.Mkdir(a.system, 0o755), os.Rename(build(a, a.TempDir(), id, "1", newKey(a)), filepath.Join(a.system, "x.bundle")))
			// It is older, and still does not come first.
			a.put("y.bundle", readFile(a, build(a, a.TempDir(), id, "9", newKey(a))))
			mustDo(a, os.Chmod(filepath.Join(a.system, "x.bundle"), 0o755))
			a.want([]string{"x.bundle", "y.bundle"}, nil)
			wantState(a.T, "x.bundle", trust.FirstSeen, true)
			wantState(a.T, "y.bundle", trust.Changed, false)
		},
		"the id of an application by a stranger": func(a *attack) {
			a.put("x.bundle", readFile(a, build(a, a.TempDir(), id, "1", newKey(a))))
			a.want([]string{"x.bundle"}, nil)
			a.put("a.bundle", readFile(a, build(a, a.TempDir(), id, "1", newKey(a))))
			a.put("b.bundle", readFile(a, build(a, a.TempDir(), id, "99", nil)))
			a.want([]string{"a.bundle", "b.bundle", "x.bundle"}, nil)
			wantState(a.T, "x.bundle", trust.FirstSeen, true)
			wantState(a.T, "a.bundle", trust.Changed, false)
			wantState(a.T, "b.bundle", trust.Changed, false)
		},
		"the same id and version twice": func(a *attack) {
			a.put("b.bundle", good)
			time.Sleep(2 * time.Millisecond)
			a.put("a.bundle", readFile(a, sample.Build(a, a.TempDir(), id, "1", sample.Tree{"bin/app": "#!/bin/sh\nexit 3\n"})))
			a.want([]string{"a.bundle", "b.bundle"}, nil)
			if !of(a.T, "a.bundle").Default || of(a.T, "b.bundle").Default {
				a.Error("it is not one of them, always the same")
			}
			// A signed one comes before those that anybody can make.
			key := newKey(a)
			a.put("c.bundle", readFile(a, build(a, a.TempDir(), id, "1", key)))
			wantState(a.T, "c.bundle", trust.FirstSeen, true)
		},
		"replaced while it is read": func(a *attack) {
			other := readFile(a, sample.Build(a, a.TempDir(), id, "2", sample.App(id)))
			file := a.put("x.bundle", good)
			var stop atomic.Bool
			done := make(chan struct{})
			go func() {
				defer close(done)
				for i := 0; !stop.Load(); i++ {
					next := filepath.Join(a.home, ".next")
					_ = os.WriteFile(next, [][]byte{good, other}[i%2], 0o755)
					_ = os.Rename(next, file)
				}
			}()
			for range 100 {
				fresh()
				all, problems, err := List()
				mustDo(a, err)
				for _, p := range problems {
					if !p.Incomplete() {
						a.Error(p)
					}
				}
				for _, app := range all {
					if v := map[string]int{"1": len(good), "2": len(other)}[app.Version]; int64(v) != app.Size || app.State != trust.Unsigned {
						a.Errorf("a mixture is listed: %+v", app)
					}
				}
			}
			stop.Store(true)
			<-done
			a.want([]string{"x.bundle"}, nil)
		},
		"shortened while it is read": func(a *attack) {
			// A reader that maps the file would die of SIGBUS.
			file := a.put("x.bundle", good)
			mustDo(a, os.Truncate(file, int64(len(good)/2)))
			var stop atomic.Bool
			done := make(chan struct{})
			go func() {
				defer close(done)
				for i := 0; !stop.Load(); i++ {
					_ = os.Truncate(file, int64(len(good)*(i%7)/7))
				}
			}()
			for range 100 {
				fresh()
				if all, _, err := List(); err != nil || len(all) > 0 && all[0].State.Usable() {
					a.Errorf("listed %+v, %v", all, err)
				}
				if _, err := Install(a.Context(), file, InstallOptions{}); err == nil {
					a.Error("installed")
				}
			}
			stop.Store(true)
			<-done
		},
		"cut anywhere": func(a *attack) {
			for n := len(good) - 1; n >= 0; n -= 997 {
				a.put("x.bundle", good[:n])
				if all, problems, err := List(); err != nil || len(all) > 0 && all[0].State.Usable() || len(problems) != 1 {
					a.Errorf("cut after %d: %+v, %v, %v", n, all, problems, err)
				}
			}
		},
		"for another processor": func(a *attack) {
			bad := bytes.Clone(good)
			// Only the ELF header says so; the manifest does not.
			bad[18] ^= 0xff
			a.put("x.bundle", bad)
			all, problems, err := List()
			if err != nil || len(all) > 0 || len(problems) != 1 {
				a.Errorf("listed %+v, %v, %v", all, problems, err)
			}
		},
		"an endless file": func(a *attack) {
			file := a.put("x.bundle", good)
			mustDo(a, os.Truncate(file, 1<<40))
			begin := time.Now()
			all, problems, err := List()
			if err != nil || len(all)+len(problems) == 0 || time.Since(begin) > 5*time.Second {
				a.Errorf("after %v: listed %+v, %v, %v", time.Since(begin), all, problems, err)
			}
			if _, err := Install(a.Context(), filepath.Join(a.home, "x.bundle"), InstallOptions{}); err != nil {
				a.Error(err)
			}
			elsewhere := filepath.Join(a.TempDir(), "x.bundle")
			mustDo(a, os.Rename(file, elsewhere))
			if _, err := Install(a.Context(), elsewhere, InstallOptions{}); !errors.Is(err, unix.ENOSPC) && !errors.Is(err, unix.EFBIG) {
				a.Errorf("installing a terabyte: %v", err)
			}
			wantNames(a.T, a.home)
		},
		"origins that are no text": func(a *attack) {
			file := a.put("x.bundle", good)
			if err := unix.Setxattr(file, originURL, []byte("https://example.org/\xff"), 0); err != nil {
				a.Skip("no extended attributes here: ", err)
			}
			mustDo(a, unix.Setxattr(file, originReferrer, []byte("https://example.org/x"), 0))
			a.want([]string{"x.bundle"}, nil)
			if o := of(a.T, "x.bundle").Origin; o != (Origin{Referrer: "https://example.org/x"}) {
				a.Errorf("the origin is %+v", o)
			}
		},
		"leftovers that are links": func(a *attack) {
			target := filepath.Join(a.TempDir(), "precious")
			mustDo(a, os.WriteFile(target, good, 0o644), os.Symlink(target, filepath.Join(a.home, installPrefix+"1")))
			mustDo(a, os.Symlink(target, filepath.Join(a.home, removedPrefix+"1")))
			Clean()
			if _, err := os.Stat(target); err != nil {
				a.Error("what a link names was deleted")
			}
		},
		"leftovers that are folders": func(a *attack) {
			dir := filepath.Join(a.home, installPrefix+"1")
			mustDo(a, os.Mkdir(dir, 0o755), os.WriteFile(filepath.Join(dir, "x"), good, 0o644))
			Clean()
			if _, err := os.Stat(filepath.Join(dir, "x")); err != nil {
				a.Error("a folder was deleted")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			home := newHome(t)
			t.Cleanup(func() { systemOwner = 0 })
			mustDo(t, os.Mkdir(home, 0o755))
			run(&attack{t, home, systemFolders[0], good})
		})
	}
}

// A cache can say anything; what it says of files it must not.
func TestHostileCache(t *testing.T) {
	home := newHome(t)
	drop(t, home, "x.bundle", id, "1", nil)
	time.Sleep(2 * settled)
	list(t)
	lines := readFile(t, cacheFile())
	check := func(what string, read bool) {
		t.Helper()
		fresh()
		a := of(t, "x.bundle")
		if a.ID != id || a.State != trust.Unsigned || a.Version != "1" {
			t.Errorf("%s: listed %+v", what, a)
		}
		if got := current().looker.looks > 0; got != read {
			t.Errorf("%s: read again: %v", what, got)
		}
		fresh()
		of(t, "x.bundle")
		if current().looker.looks > 0 {
			t.Errorf("%s: the cache is not mended", what)
		}
	}
	write := func(data string) { mustDo(t, os.WriteFile(cacheFile(), []byte(data), 0o600)) }
	check("as it was", false)
	for what, data := range map[string]string{
		"empty": "", "garbage": "\x00\xff{[", "another format": strings.ReplaceAll(string(lines), `"format":2`, `"format":1`),
		"cut": string(lines[:len(lines)/2]), "one long line": strings.Repeat("x", 2*maxLine) + "\n",
		"no id":            strings.ReplaceAll(string(lines), id, ""),
		"a path as id":     strings.ReplaceAll(string(lines), id, "../../etc/passwd"),
		"half a digest":    strings.ReplaceAll(string(lines), `"digest":"`, `"digest":"x`),
		"an unknown fault": strings.ReplaceAll(string(lines), `"id"`, `"fault":"x","kind":99,"id"`),
		"a negative kind":  strings.ReplaceAll(string(lines), `"id"`, `"fault":"x","kind":-1,"id"`),
		"a nest":           strings.Repeat("[", 100_000) + "\n",
	} {
		write(data)
		check(what, true)
	}
	// What others can write is not believed, whatever it says.
	write(string(lines))
	mustDo(t, os.Chmod(cacheFile(), 0o622))
	check("writable by others", true)
	elsewhere := filepath.Join(t.TempDir(), "cache")
	mustDo(t, os.WriteFile(elsewhere, lines, 0o600), os.Remove(cacheFile()), os.Symlink(elsewhere, cacheFile()))
	check("a link", true)
	if got := readFile(t, elsewhere); !bytes.Equal(got, lines) {
		t.Error("it was written through a link")
	}
	mustDo(t, os.Remove(cacheFile()), unix.Mkfifo(cacheFile(), 0o600))
	check("a pipe", true)
	mustDo(t, os.Remove(cacheFile()), os.WriteFile(cacheFile(), nil, 0o600), os.Truncate(cacheFile(), maxJournal+1))
	check("endless", true)
}

// The cache knows a file by all that changes with it.
func TestCacheIsNotFooled(t *testing.T) {
	home := newHome(t)
	file := drop(t, home, "x.bundle", id, "1", nil)
	time.Sleep(2 * settled)
	list(t)
	info, err := os.Stat(file)
	mustDo(t, err)
	// The same size and modification time, other content.
	data := readFile(t, file)
	data[len(data)/2] ^= 1
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	mustDo(t, err)
	_, err = f.WriteAt(data, 0)
	mustDo(t, err, f.Close(), os.Chtimes(file, info.ModTime(), info.ModTime()))
	fresh()
	all, problems, err := List()
	if err != nil || len(problems) != 1 || !errors.Is(problems[0], bundle.ErrDamaged) {
		t.Errorf("listed %+v, %v, %v", all, problems, err)
	}
}

// A wrong clock does not make a file one that is always being written, or never known.
func TestTimeToCome(t *testing.T) {
	home := newHome(t)
	file := drop(t, home, "x.bundle", id, "1", nil)
	future := time.Now().Add(1000 * time.Hour)
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	mustDo(t, err)
	defer f.Close()
	mustDo(t, os.Chtimes(file, future, future))
	time.Sleep(2 * settled)
	wantState(t, "x.bundle", trust.Unsigned, true)
	fresh()
	wantState(t, "x.bundle", trust.Unsigned, true)
	if n := current().looker.looks; n > 0 {
		t.Errorf("it was read %d times more", n)
	}
}
