// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	librarySize = 50 << 20
	libraryName = "lib/library.so"
)

// libraryBundle makes one of two bundles that have nothing in common but a library, and the program that maps it.
func (b *bench) libraryBundle(ctx context.Context, name string) (string, error) {
	return b.once(name+".bundle", func(at string) error {
		tree := filepath.Join(b.dir, name+".tree")
		defer os.RemoveAll(tree)
		err := errors.Join(
			b.addInside(tree),
			os.MkdirAll(filepath.Join(tree, "lib"), 0o755),
			os.WriteFile(filepath.Join(tree, libraryName), noise(50, librarySize), 0o644),
			os.WriteFile(filepath.Join(tree, "own"), text(uint64(len(name)), 100<<10), 0o644))
		if err != nil {
			return err
		}
		return b.build(ctx, "org.example."+name, "bin/"+insideName, tree, at)
	})
}

// sharedLibrary lets two bundles map the same library. What the second one adds to the page cache is what the two together
// have of it more than once, and what of its own file is in memory: that is forgotten before. They are started as the desktop
// starts installed ones, by glick, so that the stub too is one file.
func sharedLibrary(b *bench, ctx context.Context, r *result) error {
	s, err := b.startService(ctx)
	if err != nil {
		return err
	}
	defer s.stop()
	var mappers []*program
	defer func() {
		for _, m := range mappers {
			m.kill()
		}
	}()
	var own int64
	for _, name := range []string{"First", "Second"} {
		file, err := b.libraryBundle(ctx, name)
		if err != nil {
			return err
		}
		if err := forget(file); err != nil {
			return err
		}
		left, err := resident(file)
		if err != nil {
			return err
		}
		m, err := b.begin(b.command(ctx, programOf(b.Work, "glick"), "run", file, "--", "map", filepath.Join(b.prefix, libraryName)))
		if err != nil {
			return err
		}
		mappers = append(mappers, m)
		if _, err := m.line(); err != nil {
			return err
		}
		if own, err = resident(file); err != nil {
			return err
		}
		if left > 0 {
			r.note("%.0f kB of %s were in memory before its start", float64(left)/1e3, filepath.Base(file))
		}
		own -= min(left, own)
	}
	var shares float64
	for _, m := range mappers {
		answer, err := m.ask("share")
		if err != nil {
			return err
		}
		n, err := strconv.ParseFloat(answer, 64)
		if err != nil {
			return err
		}
		shares += n
	}
	if ahead, err := readAhead(b.dir); err == nil && ahead > 128<<10 {
		r.note("the disk reads %.0f kB ahead, which counts too; usual are 131", float64(ahead)/1e3)
	}
	twice := shares - librarySize
	r.note("%.0f kB of the library are in memory twice; %.0f kB of the second bundle's file are in memory", twice/1e3, float64(own)/1e3)
	r.claim(atMost("grown by the second", "% of the library", 100*(twice+float64(own))/librarySize, 1))
	return nil
}

// forget takes a file out of the page cache.
func forget(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Fdatasync(int(f.Fd())); err != nil {
		return err
	}
	return unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
}

// resident returns how many bytes of a file are in the page cache.
func resident(file string) (int64, error) {
	f, err := os.Open(file)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	data, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return 0, err
	}
	defer unix.Munmap(data)
	page := os.Getpagesize()
	in := make([]byte, (len(data)+page-1)/page)
	if err := mincore(data, in); err != nil {
		return 0, err
	}
	n := 0
	for _, p := range in {
		n += int(p & 1)
	}
	return int64(n * page), nil
}

// readAhead returns how many bytes the kernel reads ahead on the disk of a folder.
func readAhead(dir string) (int64, error) {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return 0, err
	}
	device := fmt.Sprintf("/sys/dev/block/%d:%d/", unix.Major(st.Dev), unix.Minor(st.Dev))
	data, err := os.ReadFile(device + "queue/read_ahead_kb")
	if err != nil {
		if data, err = os.ReadFile(device + "../queue/read_ahead_kb"); err != nil { // a partition
			return 0, err
		}
	}
	kb, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
	return kb << 10, err
}
