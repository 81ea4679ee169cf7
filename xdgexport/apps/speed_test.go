// SPDX-License-Identifier: MIT

package apps

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"glick.org/glick/internal/sample"
)

// fill puts n small applications into the folder, and one more, that is none of them, beside it.
func fill(t testing.TB, home string, n int) (more string) {
	t.Helper()
	mustDo(t, os.MkdirAll(home, 0o755))
	tree := sample.Tree{"bin/app": "#!/bin/sh\n"}
	for i := range n {
		file := sample.Build(t, home, fmt.Sprintf("org.example.App%d", i), "1", tree)
		mustDo(t, os.Chmod(file, 0o755))
	}
	return sample.Build(t, filepath.Dir(home), id, "1", tree)
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
		begin := time.Now()
		if all, problems, err := List(); len(all) != 1000 || len(problems) > 0 || err != nil {
			t.Fatalf("listed %d, %v, %v", len(all), problems, err)
		}
		took = append(took, time.Since(begin))
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

	// While the folder is watched, one more costs what it costs among ten.
	many := oneMore(t, 1000, home, nil)
	for _, f := range names(t, home)[10:] {
		mustDo(t, os.Remove(filepath.Join(home, f)))
	}
	fresh()
	list(t)
	few := oneMore(t, 10, home, nil)
	t.Logf("one more: among ten %v, among a thousand %v", few, many)
	if many > 3*few+5*time.Millisecond {
		t.Errorf("one more takes %v among a thousand, %v among ten", many, few)
	}
}

// oneMore measures what it costs to notice a bundle and to list all: the work, without the time that is waited on purpose.
func oneMore(t testing.TB, n int, home string, each func()) time.Duration {
	t.Helper()
	source := filepath.Join(filepath.Dir(home), id+"-1.bundle")
	data := readFile(t, source)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	changed := make(chan struct{}, 1000)
	go func() {
		defer close(done)
		_ = Follow(ctx, WatchOptions{Changed: func() { changed <- struct{}{} }})
	}()
	<-changed
	var took []time.Duration
	for i := range 21 {
		file := filepath.Join(home, fmt.Sprintf("more%d.bundle", i))
		mustDo(t, os.WriteFile(file+".part", data, 0o755), os.Rename(file+".part", filepath.Join(home, ".hidden")))
		time.Sleep(2 * settled)
		mustDo(t, os.Rename(filepath.Join(home, ".hidden"), file))
		begin := time.Now()
		all, _, err := List()
		took = append(took, time.Since(begin))
		if err != nil || len(all) != n+1 {
			t.Fatalf("listed %d, %v", len(all), err)
		}
		mustDo(t, os.Remove(file))
		if all, _, _ := List(); len(all) != n {
			t.Fatalf("listed %d", len(all))
		}
		if each != nil {
			each()
		}
	}
	cancel()
	<-done
	return median(took)
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
