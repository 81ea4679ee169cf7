// SPDX-License-Identifier: MIT

package bundle_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path"
	"runtime"
	"strings"
	"testing"

	"glick.org/glick/bundle"
)

// Limits of what reading may cost, in bytes.
const (
	identityMemory = 64 << 20 // to know any file, however hostile
	identityReads  = 64 << 10 // to know a sound one, however large
)

// sparseFile is a file of which only parts are there; all else is zeros. It notes what is read.
type sparseFile struct {
	size  int64
	parts []sparsePart
	reads []span
}

type sparsePart struct {
	off  int64
	data []byte
}

type span struct{ from, to int64 }

func (f *sparseFile) ReadAt(p []byte, off int64) (int, error) {
	n := int(max(0, min(int64(len(p)), f.size-off)))
	f.reads = append(f.reads, span{off, off + int64(n)})
	clear(p[:n])
	for _, part := range f.parts {
		from, to := max(off, part.off), min(off+int64(n), part.off+int64(len(part.data)))
		if from < to {
			copy(p[from-off:to-off], part.data[from-part.off:])
		}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// total returns how many bytes were read.
func (f *sparseFile) total() (n int64) {
	for _, s := range f.reads {
		n += s.to - s.from
	}
	return n
}

// inside returns how many bytes were read of a range.
func (f *sparseFile) inside(from, to int64) (n int64) {
	for _, s := range f.reads {
		n += max(0, min(to, s.to)-max(from, s.from))
	}
	return n
}

// allocated returns how many bytes were allocated by a function, all in all.
func allocated(do func()) int64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc - before.TotalAlloc)
}

// live returns how many bytes are in use, without garbage.
func live() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what had a finalizer is gone after the second time
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestIdentityMemory reads what a desktop wants to know of every file of the corpus.
func TestIdentityMemory(t *testing.T) {
	most, name := int64(0), ""
	for file, data := range corpus(t) {
		n := allocated(func() { _, _ = identify(bytes.NewReader(data), int64(len(data)), path.Ext(file) == ".slice") })
		if n > identityMemory {
			t.Errorf("%s takes %d bytes", file, n)
		}
		if n > most {
			most, name = n, file
		}
	}
	t.Logf("at most %d bytes, for %s", most, name)
}

// TestTooLarge gives sections more bytes than they may have. That must be seen before they are read.
func TestTooLarge(t *testing.T) {
	for section, limit := range map[string]int64{
		".xdg.desktop": 1 << 20, ".xdg.icon.48": 4 << 20, ".xdg.icon.svg": 4 << 20, ".xdg.metainfo": 4 << 20,
		".glick.slice.0": 256 << 20, ".glick.manifest": 1 << 20, ".shstrtab": 1 << 20, ".glick.signature": 64 << 10,
	} {
		t.Run(section, func(t *testing.T) {
			d := soundBundle(t)
			d.last = []draftPart{{".glick.signature", []byte("not looked at")}}
			p := d.bytes()
			end := int64(len(p))
			h := sectionHeader(t, p, section)
			put(h[24:], 8, uint64(end))
			put(h[32:], 8, uint64(limit+1))
			f := &sparseFile{size: end + limit + 1, parts: []sparsePart{{0, p}}}
			var err error
			n := allocated(func() {
				var b *bundle.Bundle
				if b, err = identify(f, f.size, false); err == nil && section == ".glick.signature" {
					_, err = b.Signature()
				}
				if err == nil {
					_, err = b.Tree()
				}
			})
			if !errors.Is(err, bundle.ErrDamaged) {
				t.Errorf("error %v", err)
			}
			if f.inside(end, f.size) != 0 || n > 1<<20 {
				t.Errorf("%d bytes of it were read, %d allocated", f.inside(end, f.size), n)
			}
		})
	}
}

// TestSliceCount makes manifests of many slices, of which only one is in the file.
func TestSliceCount(t *testing.T) {
	for _, c := range []struct {
		count int
		words string
	}{{4096, ""}, {4097, "more than 4096 slices"}} {
		d := soundBundle(t)
		for i := 1; i < c.count; i++ {
			d.slices = append(d.slices, &draftSlice{name: fmt.Sprint(i), optional: true, missing: true})
		}
		p := d.bytes()
		b, err := bundle.Read(bytes.NewReader(p), int64(len(p)))
		if c.words == "" {
			if err != nil {
				t.Errorf("%d slices: %v", c.count, err)
			} else if tr, err := b.Tree(); err != nil || tr.Len() != 8 {
				t.Errorf("the tree of %d slices: %v", c.count, err)
			}
		} else if !errors.Is(err, bundle.ErrDamaged) || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%d slices: %v, want %q", c.count, err, c.words)
		}
	}
}

// manyFiles makes a slice of small files in folders of 100.
func manyFiles(name string, count int) *draftSlice {
	files := make(map[string]string)
	for i := range count {
		files[fmt.Sprintf("share/data-%03d/%s-%05d.txt", i/100, name, i)] = fmt.Sprintf("This is file %d of %s.\n", i, name)
	}
	return newDraftSlice(name, files)
}

// TestTreeMemory makes trees of many files: that must cost no more reading than the indexes, and memory in proportion to them.
func TestTreeMemory(t *testing.T) {
	for _, c := range []struct {
		name          string
		slices, files int
	}{{"one slice", 1, 20_000}, {"union", 8, 5_000}} {
		t.Run(c.name, func(t *testing.T) {
			p := func() []byte { // what it is made of must be gone when memory is measured
				d := soundBundle(t)
				d.slices = nil
				for i := range c.slices {
					d.slices = append(d.slices, manyFiles(fmt.Sprint("slice-", i), c.files))
				}
				return d.bytes()
			}()
			f := &sparseFile{size: int64(len(p)), parts: []sparsePart{{0, p}}}
			var indexes int64
			for i := range c.slices {
				_, n := sectionPlace(t, p, fmt.Sprint(".glick.slice.", i))
				indexes += int64(n)
			}
			data, dataSize := sectionPlace(t, p, ".glick.data")

			before := live()
			var tr *bundle.Tree
			total := allocated(func() {
				b, err := bundle.Read(f, f.size)
				if err != nil {
					t.Fatal(err)
				}
				if tr, err = b.Tree(); err != nil {
					t.Fatal(err)
				}
			})
			grown := live() - before
			if n := tr.Len(); n < c.slices*c.files {
				t.Errorf("%d nodes", n)
			}
			if f.inside(int64(data), int64(data+dataSize)) != 0 {
				t.Errorf("%d bytes of the content were read", f.inside(int64(data), int64(data+dataSize)))
			}
			if n := f.total(); n > indexes+identityReads {
				t.Errorf("%d bytes were read for indexes of %d", n, indexes)
			}
			if grown > 3*indexes {
				t.Errorf("the tree has %d bytes for indexes of %d", grown, indexes)
			}
			t.Logf("indexes %d, read %d, kept %d (%.2f), allocated in all %d (%.2f)", indexes, f.total(),
				grown, float64(grown)/float64(indexes), total, float64(total)/float64(indexes))
			runtime.KeepAlive(p)
		})
	}
}

// TestSharedXattrs lets many entries share a large record of extended attributes: it must not cost more for each of them.
func TestSharedXattrs(t *testing.T) {
	var pairs []string
	for i := range 64 {
		pairs = append(pairs, fmt.Sprintf("user.%s%02d", strings.Repeat("x", 240), i), "")
	}
	d := soundBundle(t)
	s := manyFiles("shared", 10_000)
	s.xattrs = xattrRecord(pairs...)
	for i := range s.entries {
		s.entries[i].xattr = 0
	}
	d.slices[0] = s
	p := d.bytes()
	_, size := sectionPlace(t, p, ".glick.slice.0")
	b := read(t, p)
	n := allocated(func() {
		if tr, err := b.Tree(); err != nil || len(tr.Info(0).Xattrs) != 64 {
			t.Errorf("the root has not its attributes, %v", err)
		}
	})
	if n > 3*int64(size) {
		t.Errorf("%d bytes were allocated for an index of %d", n, size)
	}
}

// enlarge moves all behind the content of a file that a draft has made by that many bytes, and makes the content so much larger.
func enlarge(t testing.TB, p []byte, by int64) *sparseFile {
	le := binary.LittleEndian
	off, size := sectionPlace(t, p, ".glick.data")
	end := off + size
	table := le.Uint64(p[40:])
	count := int(le.Uint16(p[60:]))
	for i := range count {
		h := p[table+uint64(64*i):]
		if at := le.Uint64(h[24:]); at >= uint64(end) {
			le.PutUint64(h[24:], at+uint64(by))
		} else if at == uint64(off) {
			le.PutUint64(h[32:], le.Uint64(h[32:])+uint64(by))
		}
	}
	le.PutUint64(p[40:], table+uint64(by))
	return &sparseFile{size: int64(len(p)) + by, parts: []sparsePart{{0, p[:end]}, {int64(end) + by, p[end:]}}}
}

// TestHugeIdentity reads what a desktop wants to know of a file of more than 4 GiB, where offsets need more than 32 bits.
func TestHugeIdentity(t *testing.T) {
	for _, c := range []struct {
		name   string
		slices int
	}{{"one slice", 1}, {"100 slices", 100}} {
		t.Run(c.name, func(t *testing.T) {
			d := soundBundle(t)
			for i := 1; i < c.slices; i++ {
				d.slices = append(d.slices, newDraftSlice(fmt.Sprintf("org.example.Library%d 1.0.%d", i, i), map[string]string{
					fmt.Sprintf("lib/libexample%d.so", i): fmt.Sprint("the code of library ", i),
				}))
			}
			f := enlarge(t, d.bytes(), 5<<30)
			b, err := bundle.Read(f, f.size)
			if err != nil {
				t.Fatal(err)
			}
			m := b.Manifest()
			if m.ID != "org.example.Hello" || m.Version != "1.0" || len(m.Slices) != c.slices {
				t.Errorf("%s %s of %d slices", m.ID, m.Version, len(m.Slices))
			}
			if icon, err := b.Icon(48); err != nil || !bytes.Equal(icon, picture(t, 48)) {
				t.Errorf("icon of %d bytes, %v", len(icon), err)
			}
			if entry, err := b.DesktopFile(); err != nil || string(entry) != desktop {
				t.Errorf("desktop entry %q, %v", entry, err)
			}
			if n := f.total(); n > identityReads {
				t.Errorf("%d bytes were read", n)
			}
			t.Logf("%d bytes read of %d", f.total(), f.size)
			tr, err := b.Tree()
			if err != nil {
				t.Fatal(err)
			}
			n, ok := tr.Find("share/text")
			if text, err := io.ReadAll(tr.Open(n)); !ok || err != nil || string(text) != "all work and no play\n" {
				t.Errorf("share/text has %q, %v", text, err)
			}
		})
	}
}
