// SPDX-License-Identifier: MIT

package glick2

import (
	"bytes"
	"crypto/sha1"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"strings"
	"testing"

	"glick.org/glick/bundle"
)

func good(k knobs) []byte { return generate("org.example.Hello", "1.2-3", "bin/hello", sample, k) }

func open(b []byte) (*Image, error) { return Open(bytes.NewReader(b), int64(len(b))) }

// list returns the whole tree as text, a line for each node.
func list(t testing.TB, m *Image) string {
	t.Helper()
	var out strings.Builder
	var walk func(i bundle.Inode, path string)
	walk = func(i bundle.Inode, path string) {
		st, err := m.Stat(i)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "%o %s", st.Mode, path)
		switch st.Mode & modeType {
		case modeFile:
			data, err := io.ReadAll(io.NewSectionReader(inodeReader{m, i}, 0, st.Size))
			if err != nil || int64(len(data)) != st.Size {
				t.Fatalf("%s: %d bytes of %d: %v", path, len(data), st.Size, err)
			}
			fmt.Fprintf(&out, " %q", data)
		case modeLink:
			fmt.Fprintf(&out, " -> %s", st.Target)
		}
		out.WriteByte('\n')
		if st.Mode&modeType != modeDir {
			return
		}
		entries, err := m.ReadDir(i)
		if err != nil {
			t.Fatal(err)
		}
		for k, e := range entries {
			if k > 0 && entries[k-1].Name >= e.Name || !validName([]byte(e.Name)) || len(e.Name) > 255 {
				t.Fatalf("%s: the entry %q must not be there", path, e.Name)
			}
			walk(e.Inode, path+"/"+e.Name)
		}
	}
	walk(m.Root(), "")
	return out.String()
}

type inodeReader struct {
	m *Image
	i bundle.Inode
}

func (r inodeReader) ReadAt(p []byte, off int64) (int, error) { return r.m.ReadAt(r.i, p, off) }

func TestOpen(t *testing.T) {
	const want = `40755 
40755 /bin
100755 /bin/hello "#!/bin/sh\necho hello\n"
120777 /bin/hi -> hello
10644 /pipe
40755 /share
40755 /share/applications
100644 /share/applications/org.example.Hello.desktop "[Desktop Entry]\n"
40755 /share/doc
100600 /share/doc/a "second"
100644 /share/doc/b ""
100644 /share/over "a file"
`
	for _, l := range layouts {
		b := good(knobs{layout: l})
		m, err := open(b)
		if err != nil {
			t.Fatal(err)
		}
		if m.ID() != "org.example.Hello" || m.Version() != "1.2-3" || m.Exec() != "bin/hello" {
			t.Errorf("it says %q %q %q", m.ID(), m.Version(), m.Exec())
		}
		if got := list(t, m); got != want {
			t.Errorf("layout %v: the tree is\n%s", l, got)
		}
		s := m.Slices()
		if len(s) != 2 || s[0].Exported || !s[1].Exported || s[0].HeaderOffset != 4096 || s[1].HeaderOffset != 8192 ||
			s[1].DataOffset+s[1].DataSize != int64(len(b)) {
			t.Errorf("the slices are %+v", s)
		}
	}
}

// The sample was written by the original's own glick-mkbundle of October 2011, on x86-64.
func TestOriginal(t *testing.T) {
	b, err := os.ReadFile("testdata/mkbundle.bundle")
	if err != nil {
		t.Fatal(err)
	}
	m, err := open(b)
	if err != nil {
		t.Fatal(err)
	}
	if m.ID() != "org.example.Hello" || m.Version() != "1.0-1" || m.Exec() != "bin/hello" {
		t.Errorf("it says %q %q %q", m.ID(), m.Version(), m.Exec())
	}
	const want = `40755 
40755 /bin
100755 /bin/hello "#!/bin/sh\necho hello\n"
120777 /bin/hi -> hello
40755 /share
40755 /share/applications
100644 /share/applications/org.example.Hello.desktop "[Desktop Entry]\nType=Application\nName=Hello\nExec=/opt/bundle/bin/hello\n"
40755 /share/icons
100644 /share/icons/empty ""
100644 /share/readme "text\n"
`
	if got := list(t, m); got != want {
		t.Errorf("the tree is\n%s", got)
	}
	sums := 0
	for i := range m.nodes {
		st, err := m.Stat(bundle.Inode(i))
		if err != nil {
			t.Fatal(err)
		}
		sum, ok := m.SHA1(bundle.Inode(i))
		if !ok {
			continue
		}
		data := make([]byte, st.Size)
		if _, err := m.ReadAt(bundle.Inode(i), data, 0); st.Size > 0 && err != nil {
			t.Fatal(err)
		}
		if sha1.Sum(data) != sum {
			t.Errorf("inode %d has another SHA-1", i)
		}
		sums++
	}
	if sums != 4 {
		t.Errorf("%d files have a SHA-1", sums)
	}
	if s := m.Slices(); len(s) != 2 || s[0].Exported || !s[1].Exported {
		t.Errorf("the slices are %+v", s)
	}
}

// A folder of the last slice unites with a folder below it even when a file lies between the two.
func TestUnite(t *testing.T) {
	dir := func(name string) genSlice {
		return genSlice{files: []file{{"/d", "", 0o040755}, {"/d/" + name, name, 0o100644}}}
	}
	b := generate("a.b", "", "", []genSlice{dir("one"), {files: []file{{"/d", "f", 0o100644}}}, dir("three")}, knobs{})
	m, err := open(b)
	if err != nil {
		t.Fatal(err)
	}
	if got := list(t, m); got != "40755 \n40755 /d\n100644 /d/one \"one\"\n100644 /d/three \"three\"\n" {
		t.Errorf("the tree is\n%s", got)
	}
	if m.Version() != "" || m.Exec() != "" {
		t.Errorf("it says %q %q", m.Version(), m.Exec())
	}
}

func TestRead(t *testing.T) {
	m, err := open(generate("a.b", "1", "", []genSlice{{files: []file{{"/f", "0123456789", 0o100644}}}}, knobs{}))
	if err != nil {
		t.Fatal(err)
	}
	const f = 1
	for _, c := range []struct {
		off  int64
		n    int
		want string
		err  error
	}{
		{0, 4, "0123", nil}, {4, 6, "456789", nil}, {4, 7, "456789", io.EOF}, {10, 1, "", io.EOF}, {11, 1, "", io.EOF},
		{math.MaxInt64, 1, "", io.EOF}, {-1, 1, "", bundle.ErrDamaged},
	} {
		p := make([]byte, c.n)
		n, err := m.ReadAt(f, p, c.off)
		if string(p[:n]) != c.want || !errors.Is(err, c.err) {
			t.Errorf("%d bytes at %d are %q, %v", c.n, c.off, p[:n], err)
		}
	}
	if sum, ok := m.SHA1(f); !ok || fmt.Sprintf("%x", sum) != "87acec17cd9dcd20a716cc2cf67417b71c8a7016" {
		t.Errorf("the SHA-1 is %x, %v", sum, ok)
	}
	if _, ok := m.SHA1(0); ok {
		t.Error("a folder has a SHA-1")
	}
	if _, err := m.ReadAt(0, make([]byte, 1), 0); err == nil {
		t.Error("a folder was read")
	}
	if _, err := m.ReadDir(f); err == nil {
		t.Error("a file was listed")
	}
	if _, err := m.Stat(math.MaxUint64); !errors.Is(err, bundle.ErrDamaged) {
		t.Errorf("an inode that is not there: %v", err)
	}
}

// put32 and put64 return knobs that write a number at a place.
func put32(at int, v uint32) func([]byte) { return func(b []byte) { le.PutUint32(b[at:], v) } }

func refKnob(slice, at int, v uint64) func(int, []byte) {
	return func(i int, b []byte) {
		if i == slice {
			le.PutUint64(b[at:], v)
		}
	}
}

func sliceKnob(at int, v uint32) func(int, []byte) {
	return func(i int, b []byte) {
		if i == 0 {
			le.PutUint32(b[at:], v)
		}
	}
}

func inodeKnob(path string, change func(b []byte)) func(int, string, []byte) {
	return func(i int, p string, b []byte) {
		if i == 0 && p == path {
			change(b)
		}
	}
}

func put64(at int, v uint64) func([]byte) { return func(b []byte) { le.PutUint64(b[at:], v) } }

func rename(from, to string) func(int, string) string {
	return func(_ int, name string) string {
		if name == from {
			return to
		}
		return name
	}
}

func TestHostile(t *testing.T) {
	inodes := uint32(32 + 4*32) // the inodes of the sample's first slice: 11 of them, 32 hash buckets
	for _, c := range []struct {
		name string
		k    knobs
		want error
	}{
		{"magic", knobs{header: func(b []byte) { b[0] = 'x' }}, bundle.ErrDamaged},
		{"version", knobs{header: put32(8, 2)}, bundle.ErrUnsupported},
		{"first layout", knobs{header: put32(36, 44)}, bundle.ErrUnsupported},
		{"second layout", knobs{layout: layout{56, 64}}, bundle.ErrUnsupported},
		{"third layout", knobs{layout: layout{40, 72}}, bundle.ErrUnsupported},
		{"other layout", knobs{layout: layout{44, 64}}, bundle.ErrDamaged},
		{"other inodes", knobs{layout: layout{40, 68}}, bundle.ErrDamaged},
		{"header size 0", knobs{header: put32(16, 0)}, bundle.ErrDamaged},
		{"header size within references", knobs{header: put32(16, 60)}, bundle.ErrDamaged},
		{"header beyond the file", knobs{header: put32(16, 1<<31)}, bundle.ErrTruncated},
		{"slices elsewhere", knobs{header: put32(44, math.MaxUint32)}, bundle.ErrDamaged},
		{"no slice", knobs{header: put32(48, 0)}, bundle.ErrDamaged},
		{"many slices", knobs{header: put32(48, math.MaxUint32)}, bundle.ErrDamaged},
		{"id beyond the header", knobs{header: put32(24, 400)}, bundle.ErrDamaged},
		{"id of 4 GiB", knobs{header: put32(24, math.MaxUint32)}, bundle.ErrDamaged},
		{"version beyond the header", knobs{header: put32(28, math.MaxUint32)}, bundle.ErrDamaged},
		{"program beyond the header", knobs{header: put32(40, 10000)}, bundle.ErrDamaged},
		{"cut in content", knobs{cut: 1}, bundle.ErrTruncated},
		{"cut in header", knobs{cut: len(good(knobs{})) - 30}, bundle.ErrTruncated},
		{"cut in slice", knobs{cut: len(good(knobs{})) - 4100}, bundle.ErrTruncated},
		{"slice beyond the file", knobs{ref: refKnob(0, 0, 1<<40)}, bundle.ErrTruncated},
		{"slice offset overflows", knobs{ref: refKnob(0, 0, math.MaxUint64)}, bundle.ErrTruncated},
		{"slice size overflows", knobs{ref: refKnob(0, 8, math.MaxUint64-4095)}, bundle.ErrTruncated},
		{"slice without header", knobs{ref: refKnob(0, 8, 31)}, bundle.ErrDamaged},
		{"slices in one another", knobs{ref: func(_ int, b []byte) {
			le.PutUint64(b[0:], 4096)
			le.PutUint64(b[8:], uint64(len(good(knobs{})))-4096)
		}}, bundle.ErrDamaged},
		{"data offset overflows", knobs{ref: refKnob(1, 16, 1<<63)}, bundle.ErrTruncated},
		{"data size overflows", knobs{ref: refKnob(1, 24, math.MaxUint64)}, bundle.ErrTruncated},
		{"hash offset", knobs{slice: sliceKnob(0, math.MaxUint32)}, bundle.ErrDamaged},
		{"hash size", knobs{slice: sliceKnob(4, 31)}, bundle.ErrDamaged},
		{"hash shift", knobs{slice: sliceKnob(4, 64)}, bundle.ErrDamaged},
		{"strings offset", knobs{slice: sliceKnob(8, 1<<20)}, bundle.ErrDamaged},
		{"strings size", knobs{slice: sliceKnob(12, math.MaxUint32)}, bundle.ErrDamaged},
		{"inodes offset", knobs{slice: sliceKnob(16, inodes+64)}, bundle.ErrDamaged},
		{"no inodes", knobs{slice: sliceKnob(20, 0)}, bundle.ErrDamaged},
		{"2^32 inodes", knobs{slice: sliceKnob(20, math.MaxUint32)}, bundle.ErrDamaged},
		{"2^32 inodes that seem to fit", knobs{slice: func(_ int, b []byte) {
			le.PutUint32(b[16:], 32)
			le.PutUint32(b[20:], 1<<26)
			le.PutUint32(b[24:], 32) // 32 + 64 * 2^26 in 32 bits
		}}, bundle.ErrDamaged},
		{"2^32 folder entries", knobs{slice: sliceKnob(28, math.MaxUint32)}, bundle.ErrDamaged},
		{"more entries than inodes", knobs{slice: sliceKnob(28, 11)}, bundle.ErrDamaged},
		{"root is a file", knobs{inode: inodeKnob("/", func(b []byte) { le.PutUint16(b[12:], 0o100644) })}, bundle.ErrDamaged},
		{"root has a parent", knobs{inode: inodeKnob("/", put32(8, 1))}, bundle.ErrDamaged},
		{"no type", knobs{inode: inodeKnob("/pipe", func(b []byte) { le.PutUint16(b[12:], 0o644) })}, bundle.ErrDamaged},
		{"own parent", knobs{inode: inodeKnob("/share", put32(8, 5))}, bundle.ErrDamaged},
		{"circle of parents", knobs{inode: func(i int, p string, b []byte) {
			if i == 0 && p == "/share" {
				le.PutUint32(b[8:], 6)
			}
		}}, bundle.ErrDamaged},
		{"parent beyond the table", knobs{inode: inodeKnob("/pipe", put32(8, math.MaxUint32))}, bundle.ErrDamaged},
		{"other parent", knobs{inode: inodeKnob("/share/doc/a", put32(8, 1))}, bundle.ErrDamaged},
		{"folder lists the root", knobs{dirs: func(_ int, b []byte) { le.PutUint32(b, 0) }}, bundle.ErrDamaged},
		{"folder lists itself", knobs{inode: inodeKnob("/bin", put64(24, 0))}, bundle.ErrDamaged},
		{"entry beyond the table", knobs{dirs: func(_ int, b []byte) { le.PutUint32(b, math.MaxUint32) }}, bundle.ErrDamaged},
		{"entry twice", knobs{dirs: func(_ int, b []byte) { copy(b, b[4:8]) }}, bundle.ErrDamaged},
		{"orphan", knobs{inode: inodeKnob("/", put64(32, 2))}, bundle.ErrDamaged},
		{"folder size", knobs{inode: inodeKnob("/share", put64(32, math.MaxUint64))}, bundle.ErrDamaged},
		{"folder offset", knobs{inode: inodeKnob("/share", put64(24, math.MaxUint64))}, bundle.ErrDamaged},
		{"folder sum overflows", knobs{inode: inodeKnob("/share", func(b []byte) {
			le.PutUint64(b[24:], 2)
			le.PutUint64(b[32:], math.MaxUint64-1)
		})}, bundle.ErrDamaged},
		{"file size", knobs{inode: inodeKnob("/bin/hello", put64(32, math.MaxUint64))}, bundle.ErrDamaged},
		{"file offset", knobs{inode: inodeKnob("/bin/hello", put64(24, math.MaxUint64))}, bundle.ErrDamaged},
		{"file in the next slice", knobs{inode: inodeKnob("/share/doc/a", put64(32, 7))}, bundle.ErrDamaged},
		{"target beyond the strings", knobs{inode: inodeKnob("/bin/hi", put64(24, math.MaxUint64))}, bundle.ErrDamaged},
		{"empty target", knobs{inode: inodeKnob("/bin/hi", put64(24, 1))}, bundle.ErrDamaged}, // the end of the root's name
		{"name beyond the strings", knobs{inode: inodeKnob("/bin/hi", put32(4, math.MaxUint32))}, bundle.ErrDamaged},
		{"name without end", knobs{noStrings: true}, bundle.ErrDamaged},
		{"empty name", knobs{name: rename("hello", "")}, bundle.ErrDamaged},
		{"name with slash", knobs{name: rename("hello", "a/b")}, bundle.ErrDamaged},
		{"name dot", knobs{name: rename("hello", ".")}, bundle.ErrDamaged},
		{"name dot dot", knobs{name: rename("hello", "..")}, bundle.ErrDamaged},
		{"long name", knobs{name: rename("hello", strings.Repeat("n", 256))}, bundle.ErrDamaged},
		{"name twice", knobs{name: rename("hello", "hi")}, bundle.ErrDamaged},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := open(good(c.k)); !errors.Is(err, c.want) {
				t.Errorf("the error is %v, not %v", err, c.want)
			}
		})
	}
	for _, text := range []string{"a\x00b", "a\nb", "a\x1b[31m", "\xff", "\u0085", strings.Repeat("n", 256)} {
		if _, err := open(generate(text, "1", "", sample, knobs{})); !errors.Is(err, bundle.ErrDamaged) {
			t.Errorf("the id %q: %v", text, err)
		}
		if _, err := open(generate("a.b", text, "", sample, knobs{})); !errors.Is(err, bundle.ErrDamaged) {
			t.Errorf("the version %q: %v", text, err)
		}
	}
	var deep []file
	for p := ""; len(p) < 4096; deep = append(deep, file{p, "", 0o040755}) {
		p += "/" + strings.Repeat("d", 200)
	}
	if _, err := open(generate("a.b", "1", "", []genSlice{{files: deep}}, knobs{})); !errors.Is(err, bundle.ErrDamaged) {
		t.Errorf("a path that is too long: %v", err)
	}
}

// Each beginning of a file is refused, and never with another error.
func TestTruncated(t *testing.T) {
	b := good(knobs{})
	for n := range len(b) {
		want := bundle.ErrTruncated
		if n < len(Magic) {
			want = bundle.ErrDamaged
		}
		if _, err := open(b[:n]); !errors.Is(err, want) {
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
}

type failing struct{ error }

func (f failing) ReadAt([]byte, int64) (int, error) { return 0, f.error }

func TestReaderError(t *testing.T) {
	want := errors.New("no such disk")
	if _, err := Open(failing{want}, 1000); !errors.Is(err, want) {
		t.Errorf("the error is %v", err)
	}
}

// endless is a file of 1 TiB: zeros behind what it begins with.
type endless []byte

func (e endless) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	if off < int64(len(e)) {
		copy(p, e[off:])
	}
	return len(p), nil
}

func TestMemory(t *testing.T) {
	// All files have the same name, in tables that are as large as they may be, or larger.
	tables := func(inodes, strings uint32) []byte {
		b := generate("a.b", "1", "", []genSlice{{}}, knobs{ref: func(_ int, b []byte) { le.PutUint64(b[8:], 1<<39) }})
		head := b[4096:]
		le.PutUint32(head[20:], inodes)
		le.PutUint32(head[24:], le.Uint32(head[16:])+inodes*64)
		le.PutUint32(head[28:], inodes-1)
		le.PutUint32(head[8:], 1<<30)
		le.PutUint32(head[12:], strings)
		return b
	}
	for _, c := range []struct {
		name string
		file io.ReaderAt
		want error
	}{
		{"1 KB", bytes.NewReader(tables(1<<25, 1<<31)), bundle.ErrTruncated},
		{"all inodes", endless(tables(maxInodes, maxStrings)), bundle.ErrDamaged},
		{"more inodes", endless(tables(1<<25, 1)), bundle.ErrUnsupported},
		{"more strings", endless(tables(1, math.MaxUint32)), bundle.ErrUnsupported},
	} {
		var before, after runtime.MemStats
		size := int64(1 << 40)
		if b, ok := c.file.(*bytes.Reader); ok {
			size = b.Size()
		}
		runtime.ReadMemStats(&before)
		_, err := Open(c.file, size)
		runtime.ReadMemStats(&after)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: the error is %v, not %v", c.name, err, c.want)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 64<<20 {
			t.Errorf("%s: took %d bytes", c.name, n)
		}
	}
}

// A good file with a quarter of the inodes that there may be takes a quarter of the memory.
func TestLarge(t *testing.T) {
	step := layouts[0].inode
	const head = 4096
	n := int64(maxInodes / 4)
	names := []byte("/\x00")
	inodes, dirs := make([]byte, n*step), make([]byte, 4*(n-1))
	le.PutUint16(inodes[12:], 0o040755)
	le.PutUint64(inodes[32:], uint64(n-1))
	for i := int64(1); i < n; i++ {
		le.PutUint32(inodes[i*step+4:], uint32(len(names)))
		le.PutUint16(inodes[i*step+12:], 0o100644)
		le.PutUint32(dirs[4*(i-1):], uint32(i))
		names = fmt.Appendf(names, "%d\x00", i)
	}
	b := generate("a.b", "1", "", []genSlice{{}}, knobs{})[:head+32]
	for i, v := range []int64{32, 0, 36 + n*step + 4*(n-1), int64(len(names)), 36, n, 36 + n*step, n - 1} {
		le.PutUint32(b[head+4*i:], uint32(v))
	}
	b = append(b, 0, 0, 0, 0)
	b = append(append(append(b, inodes...), dirs...), names...)
	le.PutUint64(b[52+8:], uint64(len(b)-head))
	le.PutUint64(b[52+16:], uint64(len(b)))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	m, err := open(b)
	runtime.ReadMemStats(&after)
	if err != nil {
		t.Fatal(err)
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 16<<20 {
		t.Errorf("took %d bytes in all", n)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if n := int64(after.HeapAlloc) - int64(before.HeapAlloc); n > 12<<20 {
		t.Errorf("keeps %d bytes", n)
	}
	if entries, err := m.ReadDir(m.Root()); err != nil || int64(len(entries)) != n-1 {
		t.Errorf("%d entries, %v", len(entries), err)
	}
}

func FuzzOpen(f *testing.F) {
	f.Add(good(knobs{align: 4}))
	f.Add(good(knobs{align: 4, layout: layouts[1]}))
	f.Add(generate("a.b", "", "", []genSlice{{files: []file{{"/d", "", 0o040755}, {"/d/l", "../x", 0o120777}}}}, knobs{align: 4}))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := open(b)
		if err != nil {
			if !errors.Is(err, bundle.ErrDamaged) && !errors.Is(err, bundle.ErrTruncated) && !errors.Is(err, bundle.ErrUnsupported) {
				t.Fatalf("an error of no class: %v", err)
			}
			return
		}
		list(t, m)
	})
}
