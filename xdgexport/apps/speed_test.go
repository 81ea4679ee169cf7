// SPDX-License-Identifier: MIT

package apps

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
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

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

// A start with a thousand applications that are known costs a thousand stats, and writes nothing.
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
	var took []time.Duration
	for range 5 {
		fresh()
		begin := cpuTime(t)
		if all, problems, err := List(); len(all) != 1000 || len(problems) > 0 || err != nil {
			t.Fatalf("listed %d, %v, %v", len(all), problems, err)
		}
		took = append(took, cpuTime(t)-begin)
		if n := current().looker.looks; n > 0 {
			t.Errorf("%d files were read", n)
		}
	}
	stop()
	t.Logf("a start with a thousand: %v", median(took))
	if m := median(took); m > 500*time.Millisecond {
		t.Errorf("it takes %v", m)
	}
	for f, info := range before {
		now, err := os.Stat(f)
		if err != nil || !os.SameFile(info, now) || !info.ModTime().Equal(now.ModTime()) {
			t.Errorf("%s was written", f)
		}
	}

}

// fewAndMany are libraries of a small and of a large folder, both watched.
func fewAndMany(t testing.TB, setenv func(string, string)) (libs [2]*library, homes [2]string) {
	t.Helper()
	for i, n := range []int{10, 1000} {
		homes[i] = homeIn(t, setenv)
		fill(t, homes[i], n)
		l := newLibrary(settingsNow())
		l.openEyes(false)
		t.Cleanup(l.closeEyes)
		if all, problems, err := l.List(); len(all) != n || len(problems) > 0 || err != nil {
			t.Fatalf("listed %d, %v, %v", len(all), problems, err)
		}
		libs[i] = l
	}
	time.Sleep(2 * settled)
	return libs, homes
}

// While the folders are watched, one more costs among a thousand what it costs among ten. That is the work of noticing a bundle that nobody has seen
// before, remembering it, and listing all, without the time that is waited on purpose.
func TestOneMore(t *testing.T) {
	if testing.Short() {
		t.Skip("a thousand bundles take a while to make")
	}
	inMemory(t)
	libs, homes := fewAndMany(t, t.Setenv)
	dir := t.TempDir()
	var took [2][]time.Duration
	for round := range 21 {
		file := sample.Build(t, dir, fmt.Sprintf("org.example.More%d", round), "1", sample.App("org.example.More"))
		data := readFile(t, file)
		time.Sleep(settled)
		for k := range libs {
			i := (k + round) % 2 // who reads the file first pays for it
			l := libs[i]
			there := filepath.Join(homes[i], "more.bundle")
			mustDo(t, os.WriteFile(there+"x", data, 0o755), os.Rename(there+"x", filepath.Join(homes[i], ".more")))
			_, _, _ = l.List()
			begin := time.Now()
			mustDo(t, os.Rename(filepath.Join(homes[i], ".more"), there))
			all, problems, err := l.List()
			took[i] = append(took[i], time.Since(begin))
			if len(all) != []int{11, 1001}[i] || len(problems) > 0 || err != nil {
				t.Fatalf("listed %d, %v, %v", len(all), problems, err)
			}
			mustDo(t, os.Remove(there))
			if all, _, _ := l.List(); len(all) != []int{10, 1000}[i] {
				t.Fatalf("listed %d", len(all))
			}
		}
	}
	few, many := median(took[0]), median(took[1])
	t.Logf("one more: among ten %v, among a thousand %v, %.2f times", few, many, float64(many)/float64(few))
	if many > 3*few {
		t.Errorf("one more takes %v among a thousand, %v among ten", many, few)
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
