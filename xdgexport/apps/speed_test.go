// SPDX-License-Identifier: MIT

package apps

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"glick.org/glick/internal/sample"
)

// many is a folder with a thousand small applications, made once.
var many struct {
	sync.Once
	dir string
}

// fill puts n small applications into the folder, and returns one more that is beside it.
func fill(t testing.TB, home string, n int) (more string) {
	t.Helper()
	mustDo(t, os.MkdirAll(home, 0o755))
	tree := sample.Tree{"bin/app": "#!/bin/sh\n"}
	many.Do(func() {
		dir, err := os.MkdirTemp("", "glick-many")
		mustDo(t, err)
		many.dir = dir
		var g errgroup.Group
		g.SetLimit(2)
		for i := range 1000 {
			g.Go(func() error {
				sample.Build(t, dir, fmt.Sprintf("org.example.App%d", i), "1", tree)
				return nil
			})
		}
		_ = g.Wait()
	})
	for i, name := range names(t, many.dir) {
		if i < n {
			mustDo(t, os.WriteFile(filepath.Join(home, name), readFile(t, filepath.Join(many.dir, name)), 0o755))
		}
	}
	return sample.Build(t, filepath.Dir(home), id, "1", tree)
}

// cpuTime is what this process has used until now; other than the time of the day, it does not depend on who else uses the processor.
func cpuTime(t testing.TB) time.Duration {
	t.Helper()
	var u unix.Rusage
	mustDo(t, unix.Getrusage(unix.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// A start with a thousand applications that are known reads none of them, and writes nothing. BenchmarkStart says how long it takes.
func TestThousandKnown(t *testing.T) {
	if testing.Short() {
		t.Skip("a thousand bundles take a while to make")
	}
	inMemory(t)
	home := newHome(t)
	fill(t, home, 1000)
	time.Sleep(2 * settled)
	list(t)
	before := map[string]os.FileInfo{}
	for _, f := range []string{cacheFile(), knownFile()} {
		info, err := os.Stat(f)
		mustDo(t, err)
		before[f] = info
	}
	stop := failing(t, func(op string) error {
		t.Errorf("%s is called", op)
		return nil
	})
	fresh()
	if all, problems, err := List(); len(all) != 1000 || len(problems) > 0 || err != nil {
		t.Fatalf("listed %d, %v, %v", len(all), problems, err)
	}
	if n := current().looker.looks; n > 0 {
		t.Errorf("%d files were read", n)
	}
	stop()
	for f, info := range before {
		now, err := os.Stat(f)
		if err != nil || !os.SameFile(info, now) || !info.ModTime().Equal(now.ModTime()) {
			t.Errorf("%s was written", f)
		}
	}
}

// watched is a library of a folder with n small applications, which is watched.
func watched(t testing.TB, setenv func(string, string), n int) (l *library, home string) {
	t.Helper()
	home = homeIn(t, setenv)
	fill(t, home, n)
	l = newLibrary(settingsNow())
	l.openEyes(false)
	t.Cleanup(l.closeEyes)
	if all, problems, err := l.List(); len(all) != n || len(problems) > 0 || err != nil {
		t.Fatalf("listed %d, %v, %v", len(all), problems, err)
	}
	time.Sleep(2 * settled)
	return l, home
}

// While the folders are watched, one more asks the disk for as much among a thousand as among ten. BenchmarkOneMore says how long it takes.
func TestOneMore(t *testing.T) {
	if testing.Short() {
		t.Skip("a thousand bundles take a while to make")
	}
	inMemory(t)
	var asked [2]map[string]int
	for i, n := range []int{10, 1000} {
		l, home := watched(t, t.Setenv, n)
		more := sample.Build(t, t.TempDir(), id, "1", sample.App(id))
		time.Sleep(settled)
		there := filepath.Join(home, "more.bundle")
		asked[i] = map[string]int{}
		stop := failing(t, func(op string) error {
			asked[i][op]++
			return nil
		})
		looks, size := l.looker.looks, fileSize(cacheFile())
		mustDo(t, os.Rename(more, there))
		if all, problems, err := l.List(); len(all) != n+1 || len(problems) > 0 || err != nil {
			t.Fatalf("listed %d, %v, %v", len(all), problems, err)
		}
		asked[i]["look"] = l.looker.looks - looks
		asked[i]["KiB"] = int(fileSize(cacheFile())-size) >> 10
		mustDo(t, os.Remove(there))
		if all, _, _ := l.List(); len(all) != n {
			t.Fatalf("listed %d", len(all))
		}
		stop()
	}
	if !maps.Equal(asked[0], asked[1]) || asked[0]["look"] != 1 {
		t.Errorf("one more among ten: %v, among a thousand: %v", asked[0], asked[1])
	}
	t.Log(asked[0])
}

func fileSize(name string) int64 {
	info, err := os.Stat(name)
	if err != nil {
		return 0
	}
	return info.Size()
}

// BenchmarkOneMore is the work of noticing a bundle that nobody has seen before, remembering it and listing all, and the same for its going, without
// the time that is waited on purpose.
func BenchmarkOneMore(b *testing.B) {
	for _, n := range []int{10, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			l, home := watched(b, func(k, v string) { b.Setenv(k, v) }, n)
			there, beside := filepath.Join(home, "more.bundle"), filepath.Join(home, ".more")
			dir := b.TempDir()
			for i := 0; b.Loop(); i++ {
				b.StopTimer()
				mustDo(b, os.Rename(sample.Build(b, dir, fmt.Sprintf("org.example.More%d", i), "1", sample.App(id)), beside))
				time.Sleep(settled)
				_, _, _ = l.List()
				b.StartTimer()
				mustDo(b, os.Rename(beside, there))
				if all, _, _ := l.List(); len(all) != n+1 {
					b.Fatal(len(all))
				}
				mustDo(b, os.Remove(there))
				if all, _, _ := l.List(); len(all) != n {
					b.Fatal(len(all))
				}
			}
		})
	}
}

func BenchmarkStart(b *testing.B) {
	for _, n := range []int{10, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			home := benchHome(b)
			fill(b, home, n)
			time.Sleep(2 * settled)
			_, _, _ = List()
			for b.Loop() {
				fresh()
				if all, _, _ := List(); len(all) != n {
					b.Fatal(len(all))
				}
			}
		})
	}
}

func BenchmarkListWhileWatching(b *testing.B) {
	home := benchHome(b)
	fill(b, home, 1000)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	changed := make(chan struct{}, 10)
	go func() {
		defer close(done)
		_ = Watch(ctx, func() { changed <- struct{}{} })
	}()
	<-changed
	for b.Loop() {
		if all, _, _ := List(); len(all) != 1000 {
			b.Fatal(len(all))
		}
	}
	cancel()
	<-done
}

// BenchmarkNotice is the way from a file in the folder to the call, with all the waiting.
func BenchmarkNotice(b *testing.B) {
	for _, n := range []int{10, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			home := benchHome(b)
			data := readFile(b, fill(b, home, n))
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan struct{})
			changed := make(chan struct{}, 10)
			go func() {
				defer close(done)
				_ = Watch(ctx, func() { changed <- struct{}{} })
			}()
			<-changed
			file := filepath.Join(home, "more.bundle")
			for b.Loop() {
				mustDo(b, os.WriteFile(file, data, 0o755))
				<-changed
				mustDo(b, os.Remove(file))
				<-changed
			}
			cancel()
			<-done
		})
	}
}

func BenchmarkInstall(b *testing.B) {
	home := benchHome(b)
	source := fill(b, home, 10)
	for b.Loop() {
		app, err := Install(b.Context(), source, InstallOptions{})
		mustDo(b, err, Remove(b.Context(), app.File))
	}
}
