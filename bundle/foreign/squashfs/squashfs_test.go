// SPDX-License-Identifier: MIT

package squashfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/iotest"

	"glick.org/glick/bundle"
)

func open(t testing.TB, p []byte) *Image {
	t.Helper()
	m, err := Open(bytes.NewReader(p), int64(len(p)))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// child finds a name in a folder.
func child(t testing.TB, m *Image, dir bundle.Inode, name string) bundle.Inode {
	t.Helper()
	entries, err := m.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name == name {
			return e.Inode
		}
	}
	t.Fatalf("no %q", name)
	return 0
}

// content reads a file in pieces of n bytes.
func content(m *Image, i bundle.Inode, n int) ([]byte, error) {
	var out []byte
	buf := make([]byte, n)
	for {
		k, err := m.ReadAt(i, buf, int64(len(out)))
		out = append(out, buf[:k]...)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, err
		}
	}
}

// compare checks that an inode is what a thing says, and all that is in it.
func compare(t *testing.T, m *Image, i bundle.Inode, want *thing, path string) {
	t.Helper()
	st, err := m.Stat(i)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	size := int64(0)
	if want.same != nil {
		want = want.same
	}
	if want.mode&modeType == modeFile {
		size = want.hole + int64(len(want.data))
	}
	if st != (bundle.Stat{Mode: want.mode, Size: size, Target: want.target}) {
		t.Errorf("%s: %o %d %q", path, st.Mode, st.Size, st.Target)
	}
	switch want.mode & modeType {
	case modeDir:
		entries, err := m.ReadDir(i)
		if err != nil || len(entries) != len(want.children) {
			t.Fatalf("%s: %d entries, %v", path, len(entries), err)
		}
		for k, e := range entries {
			if e.Name != want.children[k].name {
				t.Fatalf("%s: %q instead of %q", path, e.Name, want.children[k].name)
			}
			compare(t, m, e.Inode, want.children[k], path+"/"+e.Name)
		}
	case modeFile:
		if want.hole > 0 {
			return
		}
		if got, err := content(m, i, 3000); err != nil || !bytes.Equal(got, want.data) {
			t.Errorf("%s: %d bytes, %v", path, len(got), err)
		}
		if _, err := m.ReadDir(i); err == nil {
			t.Errorf("%s: listed", path)
		}
	default:
		if _, err := m.ReadAt(i, make([]byte, 1), 0); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("%s: read: %v", path, err)
		}
	}
}

func TestGenerated(t *testing.T) {
	for _, compression := range []string{"none", "gzip", "xz", "zstd"} {
		for _, k := range []struct {
			log                 uint
			fragments, extended bool
		}{{12, true, false}, {12, false, true}, {17, true, true}, {17, false, false}} {
			t.Run(fmt.Sprintf("%s/%+v", compression, k), func(t *testing.T) {
				t.Parallel()
				tree := smallTree(1 << k.log)
				mk := maker{compression: compression, blockLog: k.log, fragments: k.fragments, extended: k.extended}
				p := append(mk.make(t, tree), "what follows the image"...)
				m := open(t, p)
				compare(t, m, m.Root(), tree, "")
				if child(t, m, m.Root(), "b-file") != child(t, m, m.Root(), "d-same") {
					t.Error("hard links are different inodes")
				}
			})
		}
	}
}

func TestReadAt(t *testing.T) {
	data := append(prose(20000), append(make([]byte, 9000), noise(9001)...)...)
	mk := maker{compression: "gzip", blockLog: 12, fragments: true}
	m := open(t, mk.make(t, folder("", regular("f", data))))
	i := child(t, m, m.Root(), "f")
	r := bytes.NewReader(data)
	for _, off := range []int64{0, 1, 4095, 4096, 4097, 24575, 28672, int64(len(data)) - 1, int64(len(data)), int64(len(data)) + 1, 1 << 62} {
		for _, n := range []int{0, 1, 4095, 4096, 4097, 12288, 50000} {
			got, want := make([]byte, n), make([]byte, n)
			gotN, gotErr := m.ReadAt(i, got, off)
			wantN, wantErr := r.ReadAt(want, off)
			if n == 0 {
				wantErr = nil // bytes.Reader differs from what io.ReaderAt allows at the end
			}
			if gotN != wantN || !errors.Is(gotErr, wantErr) || !bytes.Equal(got[:gotN], want[:wantN]) {
				t.Errorf("%d bytes at %d: %d, %v instead of %d, %v", n, off, gotN, gotErr, wantN, wantErr)
			}
		}
	}
	if _, err := m.ReadAt(i, make([]byte, 1), -1); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("negative offset: %v", err)
	}
	if err := iotest.TestReader(io.NewSectionReader(readerAt{m, i}, 0, int64(len(data))), data); err != nil {
		t.Error(err)
	}
}

type readerAt struct {
	m *Image
	i bundle.Inode
}

func (r readerAt) ReadAt(p []byte, off int64) (int, error) { return r.m.ReadAt(r.i, p, off) }

// TestLargeFile reads a file of more than 4 GiB, of which most is a hole, here and there.
func TestLargeFile(t *testing.T) {
	const hole = 5 << 30
	end := prose(100_000)
	mk := maker{compression: "zstd", blockLog: 12, extended: true}
	m := open(t, mk.make(t, folder("", &thing{name: "f", mode: modeFile | 0o644, hole: hole, data: end})))
	i := child(t, m, m.Root(), "f")
	if st, err := m.Stat(i); err != nil || st.Size != hole+int64(len(end)) {
		t.Fatal(st, err)
	}
	buf := make([]byte, 1000)
	for range 50 {
		off := rand.Int64N(hole + int64(len(end)) - int64(len(buf)))
		want := make([]byte, len(buf))
		if over := off + int64(len(buf)) - hole; over > 0 {
			copy(want[max(0, int64(len(buf))-over):], end[max(0, over-int64(len(buf))):])
		}
		if n, err := m.ReadAt(i, buf, off); n != len(buf) || err != nil || !bytes.Equal(buf, want) {
			t.Fatalf("at %d: %d, %v", off, n, err)
		}
	}
	got := make([]byte, len(end)+1)
	if n, err := m.ReadAt(i, got, hole); n != len(end) || !errors.Is(err, io.EOF) || !bytes.Equal(got[:n], end) {
		t.Fatalf("the end: %d, %v", n, err)
	}
}

func TestManyReaders(t *testing.T) {
	tree := smallTree(1 << 12)
	for _, compression := range []string{"gzip", "xz", "zstd"} {
		mk := maker{compression: compression, blockLog: 12, fragments: true}
		m := open(t, mk.make(t, tree))
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() { compare(t, m, m.Root(), tree, "") })
		}
		wg.Wait()
	}
}

// TestUnpackOnce reads a file in small pieces and counts what is read of the image.
func TestUnpackOnce(t *testing.T) {
	mk := maker{compression: "gzip", blockLog: 17, fragments: true}
	p := mk.make(t, folder("", regular("f", prose(1<<20+5000))))
	r := &countingReader{ReaderAt: bytes.NewReader(p)}
	m, err := Open(r, int64(len(p)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := content(m, child(t, m, m.Root(), "f"), 100); err != nil {
		t.Fatal(err)
	}
	if r.n > int64(len(p)+1000) {
		t.Errorf("%d bytes read of an image of %d", r.n, len(p))
	}
}

type countingReader struct {
	io.ReaderAt
	n int64
}

func (r *countingReader) ReadAt(p []byte, off int64) (int, error) {
	r.n += int64(len(p))
	return r.ReaderAt.ReadAt(p, off)
}

// TestReaderError checks that the reader's own error comes through, and that an end too early is not taken for the end of a file.
func TestReaderError(t *testing.T) {
	mk := maker{compression: "gzip", blockLog: 12, fragments: true}
	p := mk.make(t, smallTree(1<<12))
	mine := errors.New("mine")
	for _, want := range []error{mine, bundle.ErrTruncated} {
		for n := range 40 {
			err := walk(&failingReader{bytes.NewReader(p), n, want}, int64(len(p)), 1000, 10000)
			if err != nil && !errors.Is(err, want) {
				t.Fatalf("failure at read %d: %v", n, err)
			}
		}
	}
}

// failingReader fails with err, or like a file that has become shorter, after some reads.
type failingReader struct {
	io.ReaderAt
	left int
	err  error
}

func (r *failingReader) ReadAt(p []byte, off int64) (int, error) {
	if r.left--; r.left >= 0 {
		return r.ReaderAt.ReadAt(p, off)
	}
	if r.err == bundle.ErrTruncated {
		return 0, io.EOF
	}
	return 0, r.err
}

// walk opens an image and looks at up to things of it, and at up to some bytes of each file. It returns the first error.
func walk(r io.ReaderAt, size int64, things, most int) error {
	m, err := Open(r, size)
	if err != nil {
		return err
	}
	var first error
	note := func(err error) {
		if first == nil && err != nil && !errors.Is(err, io.EOF) {
			first = err
		}
	}
	todo, buf := []bundle.Inode{m.Root()}, make([]byte, most)
	for len(todo) > 0 && things > 0 {
		i := todo[0]
		todo = todo[1:]
		things--
		st, err := m.Stat(i)
		note(err)
		switch {
		case err != nil:
		case st.Mode&modeType == modeDir:
			entries, err := m.ReadDir(i)
			note(err)
			for _, e := range entries[:min(len(entries), things)] {
				todo = append(todo, e.Inode)
			}
		case st.Mode&modeType == modeFile:
			for _, off := range []int64{0, st.Size / 2, max(0, st.Size-int64(len(buf)))} {
				_, err := m.ReadAt(i, buf, off)
				note(err)
			}
		}
	}
	return first
}
