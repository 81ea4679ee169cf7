// SPDX-License-Identifier: MIT

// Package glick2 reads the bundles of Glick 2 (Alexander Larsson, 2011), whose layout doc/foreign.md describes.
//
//	┌────────────────────┐ 0
//	│ header             │ magic, places of id, version, program
//	│ slice references   │ 40 bytes each
//	│ id, version, exec  │ text
//	├────────────────────┤ multiple of 4096, for each slice
//	│ slice header       │ hash table, inodes, folder entries, strings
//	├────────────────────┤
//	│ content            │ the files of all slices one behind the other
//	└────────────────────┘
//
// An *Image holds the names and inodes of all slices, checked; contents are read from the reader when they are asked for.
package glick2

import (
	"encoding/binary"
	"fmt"
	"io"
	"unicode"
	"unicode/utf8"

	"glick.org/glick/bundle"
)

// Magic is at the beginning of every file of this format.
const Magic = "\x8cGLK\r\n\x1a\n"

// Prefix is where the original shows a bundle's tree to its programs.
const Prefix = "/opt/bundle"

const (
	headerSize = 52
	sliceSize  = 32 // of a slice's own header

	flagExport = 1

	// The original's only writer makes one or two slices. The other limits keep an image's tables below 32 MiB.
	maxSlices  = 64
	maxInodes  = 1 << 18
	maxStrings = 8 << 20
	maxText    = 255
	maxPath    = 4095
	maxName    = 255
)

// layout is what differs between the processors for which the original was compiled: it writes C structures as they are in memory, and
// 32-bit x86 pads them to 4 bytes, all others to 8.
type layout struct{ ref, inode int64 }

var layouts = []layout{{40, 64}, {36, 60}}

// Image is an open bundle. It can be used by many goroutines at once when its reader can.
type Image struct {
	r                 io.ReaderAt
	id, version, exec string
	slices            []slice
	nodes             []node
}

var _ bundle.FileSystem = (*Image)(nil)

// Slice describes one of the trees that an image unites. Offsets and sizes are in bytes, offsets from the beginning of the file.
type Slice struct {
	HeaderOffset, HeaderSize int64 // names and inodes
	DataOffset, DataSize     int64 // contents
	Exported                 bool  // its files were shown to the desktop
}

// Open reads and checks all but the contents of the bundle in the first size bytes of r. The caller keeps r open while the Image is used.
//
// Errors are bundle.ErrTruncated, ErrDamaged, ErrUnsupported, or those of r.
func Open(r io.ReaderAt, size int64) (*Image, error) {
	m := &Image{r: r}
	refs, l, err := m.readHeader(size)
	if err != nil {
		return nil, err
	}
	budget := budget{headers: size, inodes: maxInodes, strings: maxStrings}
	for i, ref := range refs {
		s, err := readSlice(r, size, ref, l, &budget)
		if err != nil {
			return nil, fmt.Errorf("slice %d: %w", i, err)
		}
		if err := s.check(); err != nil {
			return nil, fmt.Errorf("slice %d: %w", i, err)
		}
		m.slices = append(m.slices, *s)
	}
	if err := m.unite(); err != nil {
		return nil, err
	}
	return m, nil
}

// ID returns the bundle's id: at most 255 bytes of UTF-8 without control characters, by convention in reverse-DNS form. Nothing vouches for it.
func (m *Image) ID() string { return m.id }

// Version returns the bundle's version, text like the id.
func (m *Image) Version() string { return m.version }

// Exec returns the path of the main program, relative to the root of the tree unless it begins with "/"; "" when the bundle names none.
func (m *Image) Exec() string { return m.exec }

// Slices returns the trees of which the image is the union, lowest first.
func (m *Image) Slices() []Slice {
	list := make([]Slice, len(m.slices))
	for i := range m.slices {
		list[i] = m.slices[i].Slice
	}
	return list
}

// readHeader reads the references to the slices and the texts.
func (m *Image) readHeader(size int64) ([]Slice, layout, error) {
	fail := func(err error, format string, a ...any) ([]Slice, layout, error) {
		return nil, layout{}, fmt.Errorf(format+": %w", append(a, err)...)
	}
	le := binary.LittleEndian
	head := make([]byte, max(0, min(size, headerSize)))
	if err := bundle.ReadFull(m.r, head, 0); err != nil {
		return fail(err, "cannot read the header")
	}
	switch {
	case len(head) < len(Magic) || string(head[:len(Magic)]) != Magic:
		return fail(bundle.ErrDamaged, "not a bundle of Glick 2")
	case len(head) < headerSize:
		return fail(bundle.ErrTruncated, "the header ends early")
	case le.Uint32(head[8:]) != 1:
		return fail(bundle.ErrUnsupported, "format version %d", le.Uint32(head[8:]))
	case le.Uint32(head[36:]) == 44:
		return fail(bundle.ErrUnsupported, "a layout from before the first release")
	}
	whole, refsAt, count := int64(le.Uint32(head[16:])), int64(le.Uint32(head[44:])), int64(le.Uint32(head[48:]))
	idAt := int64(le.Uint32(head[20:]))
	switch {
	case whole < headerSize || refsAt != headerSize || count < 1:
		return fail(bundle.ErrDamaged, "the header is impossible")
	case whole > size:
		return fail(bundle.ErrTruncated, "the header ends early")
	case count > (whole-headerSize)/layouts[1].ref:
		return fail(bundle.ErrDamaged, "%d slices do not fit in the header", count)
	case count > maxSlices:
		return fail(bundle.ErrUnsupported, "%d slices", count)
	}
	// The id stands right behind the references, which tells how large these are.
	l, err := findLayout(func(l layout) bool { return idAt == refsAt+count*l.ref })
	if err != nil {
		if idAt == refsAt+count*56 {
			err = fmt.Errorf("a layout from before the first release: %w", bundle.ErrUnsupported)
		}
		return fail(err, "the references to the slices")
	}
	if idAt > whole {
		return fail(bundle.ErrDamaged, "the header ends within the references to the slices")
	}

	raw := make([]byte, count*l.ref)
	if err := bundle.ReadFull(m.r, raw, refsAt); err != nil {
		return fail(err, "cannot read the references to the slices")
	}
	refs := make([]Slice, 0, count)
	for ; len(raw) > 0; raw = raw[l.ref:] {
		var s Slice
		for i, n := range []*int64{&s.HeaderOffset, &s.HeaderSize, &s.DataOffset, &s.DataSize} {
			v := le.Uint64(raw[8*i:])
			if v > uint64(size) {
				return fail(bundle.ErrTruncated, "slice %d lies outside of the file", len(refs))
			}
			*n = int64(v)
		}
		if s.HeaderSize > size-s.HeaderOffset || s.DataSize > size-s.DataOffset {
			return fail(bundle.ErrTruncated, "slice %d lies outside of the file", len(refs))
		}
		s.Exported = le.Uint32(raw[32:])&flagExport != 0
		refs = append(refs, s)
	}

	for _, t := range []struct {
		to    *string
		field int
		limit int64
		what  string
	}{{&m.id, 20, maxText, "id"}, {&m.version, 28, maxText, "version"}, {&m.exec, 36, maxPath, "program"}} {
		off, n := int64(le.Uint32(head[t.field:])), int64(le.Uint32(head[t.field+4:]))
		switch {
		case n == 0:
			continue
		case off > whole || n > whole-off || n > t.limit:
			return fail(bundle.ErrDamaged, "the %s is in an impossible place", t.what)
		}
		text := make([]byte, n)
		if err := bundle.ReadFull(m.r, text, off); err != nil {
			return fail(err, "cannot read the %s", t.what)
		}
		if *t.to = string(text); !printable(*t.to) {
			return fail(bundle.ErrDamaged, "the %s is not text", t.what)
		}
	}
	return refs, l, nil
}

// findLayout returns the layout that fits.
func findLayout(fits func(layout) bool) (layout, error) {
	for _, l := range layouts {
		if fits(l) {
			return l, nil
		}
	}
	return layout{}, bundle.ErrDamaged
}

// printable says whether s can be shown to people.
func printable(s string) bool {
	for _, r := range s {
		if unicode.IsControl(r) {
			return false
		}
	}
	return utf8.ValidString(s)
}
