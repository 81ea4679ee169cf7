// SPDX-License-Identifier: MIT

package xdgexport

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"glick.org/glick/internal/sample"
	"glick.org/glick/xdgexport/apps"
)

// many makes different applications, each with a type of its own.
func many(t testing.TB, n int) []apps.App {
	t.Helper()
	dir := t.TempDir()
	list := make([]apps.App, n)
	for i := range list {
		id := fmt.Sprintf("org.example.Many%04d", i)
		tree := sample.Tree{}
		for name, content := range sample.App(id) {
			tree[name] = strings.ReplaceAll(content, "x-sample", fmt.Sprint("x-sample-", i))
		}
		xml := "share/mime/packages/" + id + ".xml"
		tree[xml] = strings.ReplaceAll(tree[xml], "*.sample", fmt.Sprint("*.sample", i))
		a, err := apps.Find(sample.Build(t, dir, id, "1", tree))
		if err != nil {
			t.Fatal(err)
		}
		a.Default = true
		list[i] = a
	}
	return list
}

// counting counts the changes that a sync makes, by kind.
func counting(o Options) (Options, map[string]int) {
	n := map[string]int{}
	o.before = func(call, path string) error {
		if info, err := os.Stat(path); call != "remove" || err == nil && !info.IsDir() { // a folder goes only if it is empty
			n[call]++
		}
		return nil
	}
	return o, n
}

// A sync does what there is to do, however many applications are shown.
func TestChangesAreFew(t *testing.T) {
	noBus(t)
	all := many(t, 40)
	o := Options{DataHome: t.TempDir(), Glick: glick}
	if _, err := Sync(t.Context(), all[:39], o); err != nil {
		t.Fatal(err)
	}
	o, n := counting(o)
	if res, err := Sync(t.Context(), all[:39], o); err != nil || res.Changed() || len(n) > 0 {
		t.Errorf("nothing was to be done, but there were %v (%+v, %v)", n, res, err)
	}
	if res, err := Sync(t.Context(), all, o); err != nil || len(res.Written) != 6 {
		t.Errorf("wrote %v, %v", res.Written, err)
	}
	// Six files, and the record before and after.
	if n["create"] != 6 || n["rename"] != 6 || n["append"] != 2 || n["remove"]+n["mkdir"] > 0 {
		t.Errorf("one more application took %v", n)
	}
	clear(n)
	if res, err := Sync(t.Context(), all[:39], o); err != nil || len(res.Removed) != 6 {
		t.Errorf("removed %v, %v", res.Removed, err)
	}
	if n["append"] != 1 || n["remove"] != 6 || n["create"] > 0 {
		t.Errorf("its removal took %v", n)
	}
}

// Only readers of what has changed are told.
func TestTold(t *testing.T) {
	noBus(t)
	o := Options{DataHome: t.TempDir(), Glick: glick}
	plain := sample.Tree{"bin/app": "x", "bin/own": "x", "share/man/man1/own.1": "x"}
	if _, err := Sync(t.Context(), []apps.App{appOf(t, id, "1", plain, "own")}, o); err != nil {
		t.Fatal(err)
	}
	plain["share/man/man1/own.1"] = "y"
	told := map[string]bool{}
	o.before = func(call, path string) error {
		if call == "run" || call == "touch" || call == "reload" {
			told[path[strings.LastIndexByte(path, '/')+1:]] = true
		}
		return nil
	}
	sync := func(tree sample.Tree, want ...string) {
		t.Helper()
		clear(told)
		if _, err := Sync(t.Context(), []apps.App{appOf(t, id, "1", tree, "own")}, o); err != nil {
			t.Fatal(err)
		}
		if got := sortedKeys(told); strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("told %q, want %q", got, want)
		}
	}
	sync(plain)
	plain["share/dbus-1/services/"+id+".service"] = "[D-BUS Service]\nName=" + id + "\nExec=app\n"
	sync(plain, "dbus-1")
	plain["share/icons/hicolor/48x48/apps/"+id+".png"] = sample.Icon(40)
	sync(plain, "hicolor")
}

func benchOptions(b *testing.B, tools bool) Options {
	b.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/does/not/exist")
	if !tools {
		b.Setenv("PATH", "/does/not/exist")
	}
	return Options{DataHome: b.TempDir(), Glick: glick}
}

// processTime is the processor time that this process has used, which other programs on the machine do not change much.
func processTime() time.Duration {
	var r unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

var manyApps []apps.App

// BenchmarkSync measures a sync at which nothing has changed, in a process that has synced before and in a new one, and what
// one more application costs, among few and among many. The desktop's own tools read all that is shown; "tools" has their time as well.
func BenchmarkSync(b *testing.B) {
	if manyApps == nil {
		manyApps = many(b, 1001)
	}
	for _, n := range []int{10, 1000} {
		list := manyApps[:n+1]
		b.Run(fmt.Sprintf("idle/%d", n), func(b *testing.B) {
			o := benchOptions(b, false)
			if _, err := Sync(b.Context(), list[:n], o); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if res, err := Sync(b.Context(), list[:n], o); err != nil || res.Changed() {
					b.Fatal(res, err)
				}
			}
		})
		b.Run(fmt.Sprintf("start/%d", n), func(b *testing.B) { // the first sync of a process
			o := benchOptions(b, false)
			if _, err := Sync(b.Context(), list[:n], o); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				last.r = nil
				if res, err := Sync(b.Context(), list[:n], o); err != nil || res.Changed() {
					b.Fatal(res, err)
				}
			}
		})
		for _, tools := range []bool{false, true} {
			name := "one-more"
			if tools {
				name = "one-more-tools"
			}
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				o := benchOptions(b, tools)
				if _, err := Sync(b.Context(), list[:n], o); err != nil {
					b.Fatal(err)
				}
				var used time.Duration
				for b.Loop() {
					before := processTime()
					if _, err := Sync(b.Context(), list, o); err != nil {
						b.Fatal(err)
					}
					b.StopTimer()
					used += processTime() - before
					if _, err := Sync(b.Context(), list[:n], o); err != nil {
						b.Fatal(err)
					}
					b.StartTimer()
				}
				b.ReportMetric(float64(used.Microseconds())/1000/float64(b.N), "cpu-ms/op")
			})
		}
	}
}
