// SPDX-License-Identifier: MIT

package bundle_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"glick.org/glick/bundle"
)

// corpusDir holds the files, which -update makes anew, and outcomes.txt, which people write.
const corpusDir = "testdata/corpus"

// classes are those of doc/format.md, and that of what is given as a slice and is none.
var classes = map[string]error{
	"not a bundle": bundle.ErrNotBundle, "not a slice": bundle.ErrNotSlice, "incomplete": bundle.ErrTruncated,
	"damaged": bundle.ErrDamaged, "newer format": bundle.ErrVersion,
}

// outcome is a line of the table.
type outcome struct{ name, class, words string }

// outcomes reads the table of what must become of each file.
func outcomes(t testing.TB) []outcome {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(corpusDir, "outcomes.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var list []outcome
	for line := range strings.Lines(string(text)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) != 3 || classes[f[1]] == nil && f[1] != "ok" || (f[1] == "ok") != (f[2] == "") {
			t.Fatalf("wrong line in outcomes.txt: %q", line)
		}
		list = append(list, outcome{f[0], f[1], f[2]})
	}
	return list
}

// corpus returns the files by their names.
func corpus(t testing.TB) map[string][]byte {
	t.Helper()
	list, err := os.ReadDir(corpusDir)
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string][]byte)
	for _, f := range list {
		if ext := path.Ext(f.Name()); ext != ".bundle" && ext != ".slice" {
			continue
		}
		if files[f.Name()], err = os.ReadFile(filepath.Join(corpusDir, f.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// TestCorpus reads every file of the corpus as whoever opens a bundle does, and compares the first error to the table.
func TestCorpus(t *testing.T) {
	if *update {
		for name, data := range recipes(t) {
			if err := os.WriteFile(filepath.Join(corpusDir, name), data, 0o666); err != nil {
				t.Fatal(err)
			}
		}
	}
	files := corpus(t)
	for _, o := range outcomes(t) {
		data, ok := files[o.name]
		if !ok {
			t.Errorf("%s has a line, and is not there, or has two", o.name)
			continue
		}
		delete(files, o.name)
		t.Run(o.name, func(t *testing.T) {
			err := examine(data, path.Ext(o.name) == ".slice", filepath.Join(t.TempDir(), "out"))
			if o.class == "ok" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if got := classOf(err); got != o.class || !strings.Contains(err.Error(), o.words) {
				t.Errorf("%s: %v; want %s with %q", got, err, o.class, o.words)
			}
		})
	}
	for name := range files {
		t.Errorf("%s has no line in outcomes.txt", name)
	}
}

// TestCorpusIsMade makes sure that the files are what the recipes say.
func TestCorpusIsMade(t *testing.T) {
	files := corpus(t)
	for name, data := range recipes(t) {
		if !bytes.Equal(files[name], data) {
			t.Errorf("%s is not what its recipe makes", name)
		}
		delete(files, name)
	}
	for name := range files {
		t.Errorf("%s has no recipe", name)
	}
}

// classOf names the class of an error, or all when it is of several.
func classOf(err error) string {
	if err == nil {
		return "ok"
	}
	var found []string
	for name, class := range classes {
		if errors.Is(err, class) {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	return strings.Join(found, " and ")
}

// examine does all with a file that can be done, and returns the first error. Out is a folder to be made.
func examine(data []byte, slice bool, out string) error {
	b, err := identify(bytes.NewReader(data), int64(len(data)), slice)
	if err != nil {
		return err
	}
	tr, err := b.Tree()
	if err != nil {
		return err
	}
	if _, err := b.Verify(context.Background(), nil); err != nil {
		return err
	}
	return tr.Extract(context.Background(), 0, out, bundle.ExtractOptions{})
}

// identify reads what a desktop wants to know of a file.
func identify(r io.ReaderAt, size int64, slice bool) (*bundle.Bundle, error) {
	open := bundle.Read
	if slice {
		open = bundle.ReadSlice
	}
	b, err := open(r, size)
	if err != nil {
		return nil, err
	}
	for _, get := range []func() ([]byte, error){b.DesktopFile, b.Metainfo, b.SVGIcon} {
		if _, err := get(); err != nil {
			return nil, err
		}
	}
	for _, n := range b.IconSizes() {
		if _, err := b.Icon(n); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// draft is a bundle or slice file in parts. Its bytes are sound: all places, sizes and digests are made when it is put together. A fault is
// either in a part, or made by one of the functions, each of which gets something that has just been made.
type draft struct {
	tb     testing.TB
	head   []byte // up to .glick.data
	lines  string // of the manifest's group [Bundle]; empty in a slice file
	small  []draftPart
	slices []*draftSlice
	last   []draftPart // behind the manifest
	early  bool        // the section names and the table come behind the data instead of the end

	data     func(p []byte) []byte
	index    func(p []byte) []byte // of the first slice
	manifest func(text string) string
	ended    func(text string) string // the manifest with its own digest
	parts    func(list []draftPart) []draftPart
	file     func(p []byte) []byte
}

type draftPart struct {
	name string
	data []byte
}

// draftNote is where the mark is in a bundle's head, behind two program headers.
const draftNote = 176

// mark is the note of a bundle (1) or slice (2).
func mark(kind byte) []byte {
	return []byte("\x06\x00\x00\x00\x08\x00\x00\x00" + string(rune(kind)) + "\x00\x00\x00Glick\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00")
}

// noteHeader is the program header that leads to the mark.
func noteHeader(off uint64) []byte {
	p, le := make([]byte, 56), binary.LittleEndian
	le.PutUint32(p, 4) // PT_NOTE
	le.PutUint32(p[4:], 4)
	le.PutUint64(p[8:], off)
	le.PutUint64(p[32:], 28)
	le.PutUint64(p[40:], 28)
	le.PutUint64(p[48:], 4)
	return p
}

// soundBundle has one of everything.
func soundBundle(t testing.TB) *draft {
	head := fakeStub()[:4096]
	put(head[64+32:], 8, 4096) // what is loaded is not more
	put(head[64+40:], 8, 4096)
	head[56] = 2
	copy(head[120:], noteHeader(draftNote))
	copy(head[draftNote:], mark(1))
	main := newDraftSlice("org.example.Hello", map[string]string{
		"bin/hello":   "#!/bin/sh\necho hello\n",
		"bin/hi":      "-> hello",
		"share/big":   strings.Repeat("x", 4096) + strings.Repeat("\x00", 4096) + strings.Repeat("The quick brown fox.\n", 10),
		"share/empty": "",
		"share/text":  "all work and no play\n",
	})
	main.xattrs = xattrRecord("user.comment", "what is said of it", "user.rating", "5")
	main.entries[entryText].xattr = 0
	return &draft{
		tb: t, head: head,
		lines: "Id=org.example.Hello\nVersion=1.0\nName=Hello\nExec=bin/hello\nPrefix=/opt/bundle\nArchitecture=x86_64\n" +
			"Commands=hello;\nExport=share/text;\n",
		small: []draftPart{
			{".xdg.desktop", []byte(desktop)}, {".xdg.icon.48", picture(t, 48)},
			{".xdg.icon.svg", []byte(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"/>`)}, {".xdg.metainfo", []byte(metainfo)},
		},
		slices: []*draftSlice{main},
	}
}

// Numbers of the entries of soundBundle's slice.
const (
	entryRoot = iota
	entryBin
	entryShare
	entryHello
	entryHi
	entryBig
	entryEmpty
	entryText
)

// soundSlice is a slice in a file of its own.
func soundSlice(t testing.TB) *draft {
	head, le := make([]byte, 4096), binary.LittleEndian
	copy(head, "\x7fELF\x02\x01\x01")
	le.PutUint16(head[16:], 1) // ET_REL
	le.PutUint32(head[20:], 1)
	le.PutUint64(head[32:], 64)
	le.PutUint16(head[52:], 64)
	le.PutUint16(head[54:], 56)
	le.PutUint16(head[56:], 1)
	copy(head[64:], noteHeader(120))
	copy(head[120:], mark(2))
	return &draft{tb: t, head: head, slices: []*draftSlice{soundLibrary()}}
}

func soundLibrary() *draftSlice {
	return newDraftSlice("libhello 1", map[string]string{"lib/libhello.so": strings.Repeat("code", 1000), "share/text": "hidden by the application\n"})
}

// bytes puts the draft together.
func (d *draft) bytes() []byte {
	var data []byte
	list := slices.Clone(d.small)
	var groups strings.Builder
	for _, s := range d.slices { // what may be missing lies last
		if s.off = len(data); !s.optional {
			data = append(data, s.data...)
		}
	}
	for _, s := range d.slices {
		if s.optional {
			if s.off = len(data); !s.missing {
				data = append(data, s.data...)
			}
		}
	}
	if d.data != nil {
		data = d.data(data)
	}
	for i, s := range d.slices {
		index := s.bytes()
		if i == 0 && d.index != nil {
			index = d.index(index)
		}
		fmt.Fprintf(&groups, "[Slice %d]\nName=%s\nDigest=%x\nData-Offset=%d\nData-Size=%d\nSize=%d\n",
			i, s.name, sha256.Sum256(index), s.off, len(s.data), s.size())
		if s.optional {
			groups.WriteString("Optional=true\n")
		} else if d.lines != "" {
			groups.WriteString("Exported=true\n")
		}
		if !s.missing {
			list = append(list, draftPart{fmt.Sprint(".glick.slice.", i), index})
		}
	}
	text := groups.String()
	if d.lines != "" {
		stub := bytes.Clone(d.head)
		clear(stub[40:48])
		clear(stub[58:64])
		digests := fmt.Sprintf("[Digests]\nstub=%x\n", sha256.Sum256(stub))
		for _, p := range d.small {
			digests += fmt.Sprintf("%s=%x\n", p.name, sha256.Sum256(p.data))
		}
		text = "[Bundle]\n" + d.lines + digests + text
	}
	if d.manifest != nil {
		text = d.manifest(text)
	}
	text += fmt.Sprintf("[Manifest]\nDigest=%x\n", sha256.Sum256([]byte(text)))
	if d.ended != nil {
		text = d.ended(text)
	}
	list = append(append(list, draftPart{".glick.manifest", []byte(text)}), d.last...)
	list = append([]draftPart{{".glick.data", data}}, list...)
	if d.parts != nil {
		list = d.parts(list)
	}
	p := d.layout(list)
	if d.file != nil {
		p = d.file(p)
	}
	return p
}

// layout writes the head, the parts and the section table.
func (d *draft) layout(list []draftPart) []byte {
	le := binary.LittleEndian
	names := []byte("\x00.note.glick\x00.shstrtab\x00")
	table := make([]byte, 64) // the first header is empty
	add := func(at, kind, off, size int) {
		h := make([]byte, 64)
		le.PutUint32(h, uint32(at))
		le.PutUint32(h[4:], uint32(kind))
		le.PutUint64(h[24:], uint64(off))
		le.PutUint64(h[32:], uint64(size))
		le.PutUint64(h[48:], 1)
		table = append(table, h...)
	}
	add(1, 7, int(le.Uint64(d.head[d.noteField():])), 28)
	nameAt := make([]int, len(list))
	for i, part := range list {
		nameAt[i] = len(names)
		names = append(append(names, part.name...), 0)
	}
	count := len(list) + 3
	p := bytes.Clone(d.head)
	end := func(rest int) { // writes the names and, when all sections are in it, the table
		at := len(p)
		p = pad(append(p, names...), 16)
		le.PutUint64(p[40:], uint64(len(p)))
		le.PutUint16(p[58:], 64)
		le.PutUint16(p[60:], uint16(count))
		le.PutUint16(p[62:], uint16(count-1))
		off := len(p) + 64*count
		for i, part := range list[len(list)-rest:] {
			off = (off + 15) &^ 15
			add(nameAt[len(list)-rest+i], 1, off, len(part.data))
			off += len(part.data)
		}
		add(13, 3, at, len(names))
		p = append(p, table...)
	}
	for i, part := range list {
		if d.early && i == 1 {
			end(len(list) - 1)
		}
		p = pad(p, 16)
		if !d.early || i == 0 {
			add(nameAt[i], 1, len(p), len(part.data))
		}
		p = append(p, part.data...)
	}
	if !d.early {
		end(0)
	}
	return p
}

// noteField is where the place of the mark is in the head: in the last program header.
func (d *draft) noteField() int {
	return 64 + 56*(int(binary.LittleEndian.Uint16(d.head[56:]))-1) + 8
}

func pad(p []byte, align int) []byte {
	return append(p, make([]byte, (align-len(p)%align)%align)...)
}

// draftSlice is a slice in parts.
type draftSlice struct {
	name              string
	optional, missing bool
	entries           []draftEntry
	contents          []draftContent
	chunks            []draftChunk
	xattrs, data      []byte
	off               int // in .glick.data
}

type draftEntry struct {
	name, target        string
	mode                uint16
	parent, a, b, xattr uint32 // a and b of a link are made of its target
}

type draftContent struct {
	digest             [32]byte
	size               uint64
	chunk, skip, shift uint32
}

type draftChunk struct {
	digest      [32]byte
	off         uint64
	stored, raw uint32
}

// newDraftSlice makes a slice of files by their paths. A text that begins with "-> " is a link's target. Small files share a chunk, those of more
// than 4096 bytes have chunks of 4096.
func newDraftSlice(name string, files map[string]string) *draftSlice {
	s := &draftSlice{name: name, entries: []draftEntry{{mode: 0o040755, a: 1, xattr: 0xffffffff}}}
	children := map[string][]string{}
	known := map[string]bool{".": true}
	for p := range files {
		for ; !known[p]; p = path.Dir(p) {
			known[p] = true
			children[path.Dir(p)] = append(children[path.Dir(p)], path.Base(p))
		}
	}
	var packed []byte
	var waiting []int
	flush := func() {
		for _, i := range waiting {
			s.contents[i].chunk = uint32(len(s.chunks))
		}
		if len(packed) > 0 {
			s.store(packed)
		}
		packed, waiting = nil, nil
	}
	numbers := make(map[[32]byte]int)
	paths := []string{"."}
	for i := 0; i < len(s.entries); i++ {
		if s.entries[i].mode&0o170000 != 0o040000 {
			continue
		}
		slices.Sort(children[paths[i]])
		s.entries[i].a, s.entries[i].b = uint32(len(s.entries)), uint32(len(children[paths[i]]))
		for _, base := range children[paths[i]] {
			p := path.Join(paths[i], base)
			text, isFile := files[p]
			e := draftEntry{name: base, mode: 0o100644, parent: uint32(i), xattr: 0xffffffff}
			target, isLink := strings.CutPrefix(text, "-> ")
			switch {
			case !isFile:
				e.mode = 0o040755
			case isLink:
				e.mode, e.target = 0o120777, target
			default:
				if strings.HasPrefix(p, "bin/") {
					e.mode = 0o100755
				}
				c := draftContent{digest: sha256.Sum256([]byte(text)), size: uint64(len(text))}
				n, twice := numbers[c.digest]
				switch {
				case twice:
				case len(text) > 4096:
					c.chunk, c.shift = uint32(len(s.chunks)), 12
					for part := range slices.Chunk([]byte(text), 4096) {
						s.store(part)
					}
				case len(text) > 0:
					if len(packed)+len(text) > 128<<10 {
						flush()
					}
					c.skip = uint32(len(packed))
					packed = append(packed, text...)
					waiting = append(waiting, len(s.contents))
				}
				if !twice {
					n = len(s.contents)
					numbers[c.digest] = n
					s.contents = append(s.contents, c)
				}
				e.a = uint32(n)
			}
			s.entries = append(s.entries, e)
			paths = append(paths, p)
		}
	}
	flush()
	s.sort()
	return s
}

// sort brings the contents into order.
func (s *draftSlice) sort() {
	was := slices.Clone(s.contents)
	slices.SortFunc(s.contents, func(a, b draftContent) int { return bytes.Compare(a.digest[:], b.digest[:]) })
	for i := range s.entries {
		if e := &s.entries[i]; e.mode&0o170000 == 0o100000 {
			digest := was[e.a].digest
			n, _ := slices.BinarySearchFunc(s.contents, digest, func(c draftContent, d [32]byte) int { return bytes.Compare(c.digest[:], d[:]) })
			e.a = uint32(n)
		}
	}
}

// store adds a chunk: nothing for zeros, a frame of a few bytes for one byte again and again, all else as it is.
func (s *draftSlice) store(raw []byte) {
	stored := raw
	switch {
	case len(raw) < 16 || bytes.Count(raw, raw[:1]) < len(raw):
	case raw[0] == 0:
		stored = nil
	default:
		stored = frame(len(raw), rle(len(raw), raw[0]))
	}
	s.chunks = append(s.chunks, draftChunk{sha256.Sum256(raw), uint64(len(s.data)), uint32(len(stored)), uint32(len(raw))})
	s.data = append(s.data, stored...)
}

func (s *draftSlice) size() (n uint64) {
	for _, c := range s.contents {
		n += c.size
	}
	return n
}

// bytes returns the index.
func (s *draftSlice) bytes() []byte {
	le := binary.LittleEndian
	p := make([]byte, 64)
	var text []byte
	known := make(map[string]uint32)
	place := func(s string) uint32 {
		at, ok := known[s]
		if !ok {
			at = uint32(len(text))
			known[s], text = at, append(text, s...)
		}
		return at
	}
	for _, e := range s.entries {
		if e.mode&0o170000 == 0o120000 {
			e.a, e.b = place(e.target), uint32(len(e.target))
		}
		p = le.AppendUint32(p, place(e.name))
		p = le.AppendUint16(p, uint16(len(e.name)))
		p = le.AppendUint16(p, e.mode)
		for _, n := range []uint32{e.parent, e.a, e.b, e.xattr} {
			p = le.AppendUint32(p, n)
		}
	}
	for _, c := range s.contents {
		p = le.AppendUint64(append(p, c.digest[:]...), c.size)
		for _, n := range []uint32{c.chunk, c.skip, c.shift, 0} {
			p = le.AppendUint32(p, n)
		}
	}
	for _, c := range s.chunks {
		p = le.AppendUint64(append(p, c.digest[:]...), c.off)
		p = le.AppendUint32(le.AppendUint32(p, c.stored), c.raw)
	}
	p = append(append(p, s.xattrs...), text...)
	copy(p, "GlickIdx\x01")
	for i, n := range []int{len(s.entries), len(s.contents), len(s.chunks), len(s.xattrs), len(text)} {
		le.PutUint32(p[16+4*i:], uint32(n))
	}
	le.PutUint64(p[40:], uint64(len(s.data)))
	le.PutUint64(p[48:], s.size())
	return p
}

// content returns the content of a file.
func (s *draftSlice) content(entry int) *draftContent { return &s.contents[s.entries[entry].a] }

// Places of fields in an index.
func entryField(i, field int) int                   { return 64 + 24*i + field }
func (s *draftSlice) contentField(i, field int) int { return 64 + 24*len(s.entries) + 56*i + field }
func (s *draftSlice) chunkField(i, field int) int {
	return s.contentField(len(s.contents), 0) + 48*i + field
}
func (s *draftSlice) fileContent(entry, field int) int {
	return s.contentField(int(s.entries[entry].a), field)
}

// xattrRecord makes a record of names and values.
func xattrRecord(pairs ...string) []byte {
	le := binary.LittleEndian
	p := le.AppendUint16(nil, uint16(len(pairs)/2))
	for pair := range slices.Chunk(pairs, 2) {
		p = le.AppendUint16(p, uint16(len(pair[0])))
		p = le.AppendUint16(p, uint16(len(pair[1])))
		p = append(append(p, pair[0]...), pair[1]...)
	}
	return p
}

// frame makes a zstd frame (RFC 8878) of one segment that says how many bytes it has.
func frame(size int, blocks ...[]byte) []byte {
	return frameOf(binary.LittleEndian.AppendUint32([]byte{0xa0}, uint32(size)), blocks...)
}

// frameOf makes a zstd frame of a header and blocks.
func frameOf(header []byte, blocks ...[]byte) []byte {
	p := append([]byte("\x28\xb5\x2f\xfd"), header...)
	for i, b := range blocks {
		first := b[0]
		if i == len(blocks)-1 {
			first |= 1
		}
		p = append(append(p, first), b[1:]...)
	}
	return p
}

// rle is a block of one byte n times, n up to 128 KiB; plain a block of bytes as they are.
func rle(n int, b byte) []byte { return []byte{byte(n<<3) | 1<<1, byte(n >> 5), byte(n >> 13), b} }

func plain(text string) []byte {
	n := len(text)
	return append([]byte{byte(n << 3), byte(n >> 5), byte(n >> 13)}, text...)
}

// sectionHeader returns the header of a section in a file that a draft has made.
func sectionHeader(t testing.TB, p []byte, name string) []byte {
	le := binary.LittleEndian
	table := p[le.Uint64(p[40:]):][:64*int(le.Uint16(p[60:]))]
	names := p[le.Uint64(table[len(table)-64+24:]):]
	for h := range slices.Chunk(table, 64) {
		if text, _, _ := bytes.Cut(names[le.Uint32(h):], []byte{0}); string(text) == name {
			return h
		}
	}
	t.Fatalf("no section %s", name)
	return nil
}

// sectionPlace returns where a section is.
func sectionPlace(t testing.TB, p []byte, name string) (off, size int) {
	h := sectionHeader(t, p, name)
	return int(binary.LittleEndian.Uint64(h[24:])), int(binary.LittleEndian.Uint64(h[32:]))
}

// What follows makes recipes: functions that put one fault into a sound draft.

type recipe func(d *draft)

// cut ends the file in the middle of a section.
func cut(section string) recipe {
	return func(d *draft) {
		d.file = func(p []byte) []byte {
			off, size := sectionPlace(d.tb, p, section)
			return p[:off+size/2]
		}
	}
}

// cutAt ends the file at a place; a negative one counts from its end.
func cutAt(n int) recipe {
	return func(d *draft) {
		d.file = func(p []byte) []byte {
			if n < 0 {
				return p[:len(p)+n]
			}
			return p[:n]
		}
	}
}

// put writes a little-endian number of 1, 2, 4 or 8 bytes.
func put(p []byte, size int, v uint64) {
	for i := range size {
		p[i] = byte(v >> (8 * i))
	}
}

// file changes a number of the file's beginning, without making digests right.
func file(at, size int, v uint64) recipe {
	return func(d *draft) {
		d.file = func(p []byte) []byte { put(p[at:], size, v); return p }
	}
}

// head changes a number of the file's beginning.
func head(at, size int, v uint64) recipe { return func(d *draft) { put(d.head[at:], size, v) } }

// header changes a number in the header of a section.
func header(section string, at, size int, v uint64) recipe {
	return func(d *draft) {
		d.file = func(p []byte) []byte { put(sectionHeader(d.tb, p, section)[at:], size, v); return p }
	}
}

// swap replaces a text of the manifest.
func swap(old, text string) recipe {
	return func(d *draft) { d.manifest = swapped(d.tb, old, text) }
}

// swapEnd replaces a text of the manifest after its own digest has been made.
func swapEnd(old, text string) recipe {
	return func(d *draft) { d.ended = swapped(d.tb, old, text) }
}

func swapped(t testing.TB, old, text string) func(string) string {
	return func(m string) string {
		if strings.Count(m, old) != 1 {
			t.Fatalf("%q is in the manifest %d times", old, strings.Count(m, old))
		}
		return strings.Replace(m, old, text, 1)
	}
}

// swapLine replaces the first line of the manifest that begins so.
func swapLine(begin, text string) recipe {
	return func(d *draft) {
		d.manifest = func(m string) string {
			before, rest, ok := strings.Cut(m, "\n"+begin)
			_, after, _ := strings.Cut(rest, "\n")
			if !ok {
				d.tb.Fatalf("no line %q", begin)
			}
			return before + "\n" + text + after
		}
	}
}

// index changes a number of the index whose place does not depend on its content.
func index(at, size int, v uint64) recipe {
	return func(d *draft) {
		d.index = func(p []byte) []byte { put(p[at:], size, v); return p }
	}
}

// table changes a number of the index whose place does.
func table(at func(s *draftSlice) int, size int, v uint64) recipe {
	return func(d *draft) {
		d.index = func(p []byte) []byte { put(p[at(d.slices[0]):], size, v); return p }
	}
}

func content(entry, field, size int, v uint64) recipe {
	return table(func(s *draftSlice) int { return s.fileContent(entry, field) }, size, v)
}

func chunk(i, field, size int, v uint64) recipe {
	return table(func(s *draftSlice) int { return s.chunkField(i, field) }, size, v)
}

// within changes the slice before its index is made.
func within(change func(s *draftSlice)) recipe { return func(d *draft) { change(d.slices[0]) } }

func rename(entry int, name string) recipe {
	return within(func(s *draftSlice) { s.entries[entry].name = name })
}

func xattrs(entry int, pairs ...string) recipe {
	return within(func(s *draftSlice) { s.xattrs, s.entries[entry].xattr = xattrRecord(pairs...), 0 })
}

// packed replaces what is stored of the first chunk, which has 4096 times the letter x, when it is right.
func packed(stored ...[]byte) recipe {
	return within(func(s *draftSlice) {
		p := slices.Concat(stored...)
		by := len(p) - int(s.chunks[0].stored)
		s.data = append(p, s.data[s.chunks[0].stored:]...)
		s.chunks[0].stored = uint32(len(p))
		for i := range s.chunks[1:] {
			s.chunks[1+i].off += uint64(by)
		}
	})
}

// section replaces the content of a small section.
func section(name string, data []byte) recipe {
	return func(d *draft) {
		i := slices.IndexFunc(d.small, func(p draftPart) bool { return p.name == name })
		d.small[i].data = data
	}
}

// without takes a section out of the file.
func without(name string) recipe {
	return func(d *draft) {
		d.parts = func(list []draftPart) []draftPart {
			return slices.DeleteFunc(list, func(p draftPart) bool { return p.name == name })
		}
	}
}

// union puts a library below the application, and changes it.
func union(change func(library *draftSlice)) recipe {
	return func(d *draft) {
		library := soundLibrary()
		change(library)
		d.slices = append([]*draftSlice{library}, d.slices...)
	}
}

// all does several things.
func all(list ...recipe) recipe {
	return func(d *draft) {
		for _, r := range list {
			r(d)
		}
	}
}

// recipes makes all files of the corpus.
func recipes(t testing.TB) map[string][]byte {
	t.Helper()
	files := make(map[string][]byte)
	for name, r := range bundleRecipes() {
		d := soundBundle(t)
		r(d)
		files[name+".bundle"] = d.bytes()
	}
	for name, r := range sliceRecipes() {
		d := soundSlice(t)
		r(d)
		files[name+".slice"] = d.bytes()
	}
	files["bundle-given-as-slice.slice"] = soundBundle(t).bytes()
	files["slice-given-as-bundle.bundle"] = soundSlice(t).bytes()
	return files
}

const (
	zeros64 = "0000000000000000000000000000000000000000000000000000000000000000"
	huge    = uint64(math.MaxUint64)
)

// bundleRecipes are the changes to soundBundle. What the files' names say is the fault.
func bundleRecipes() map[string]recipe {
	list := make(map[string]recipe)
	for _, part := range []map[string]recipe{
		goodRecipes(), cutRecipes(), elfRecipes(), smallRecipes(), manifestRecipes(), indexRecipes(), contentRecipes(), chunkRecipes(),
	} {
		maps.Copy(list, part)
	}
	return list
}

func goodRecipes() map[string]recipe {
	deep := make(map[string]string)
	deep[strings.Repeat(strings.Repeat("d", 255)+"/", 15)+strings.Repeat("f", 254)] = "the longest path\n"
	return map[string]recipe{
		"good":                           func(*draft) {},
		"good-aarch64":                   all(head(18, 2, 183), swap("=x86_64", "=aarch64")),
		"good-minimal":                   all(func(d *draft) { d.small, d.lines = nil, "Id=a.b\nExec=bin/hello\nArchitecture=x86_64\n" }),
		"good-names-of-other-type":       header(".shstrtab", 4, 4, 1),
		"good-no-data":                   func(d *draft) { d.slices[0] = newDraftSlice("empty", map[string]string{"bin/hello": ""}) },
		"good-signature":                 func(d *draft) { d.last = []draftPart{{".glick.signature", []byte("not looked at")}} },
		"good-longest-path":              func(d *draft) { d.slices[0] = newDraftSlice("deep", deep) },
		"good-unknown-keys":              swap("[Digests]", "# a comment\n\nX-Key=?\n[X-Group]\nX-Key=?\n[Digests]"),
		"good-other-section":             func(d *draft) { d.last = []draftPart{{".not.ours", []byte("not looked at")}} },
		"good-table-not-last":            func(d *draft) { d.early = true },
		"good-data-not-aligned":          func(d *draft) { d.head = append(d.head, make([]byte, 912)...) },
		"good-two-frames":                packed(frame(2048, rle(2048, 'x')), frame(2048, rle(2048, 'x'))),
		"good-window-of-4-mib":           packed(frameOf([]byte{0x00, 12 << 3}, rle(4096, 'x'))),
		"good-two-slices":                union(func(*draftSlice) {}),
		"good-optional-slice":            union(func(s *draftSlice) { s.optional = true }),
		"good-optional-slice-missing":    union(func(s *draftSlice) { s.optional, s.missing = true, true }),
		"slice-missing-and-not-optional": union(func(s *draftSlice) { s.missing = true }),
	}
}

func cutRecipes() map[string]recipe {
	return map[string]recipe{
		"empty-file":                      cutAt(0),
		"truncated-in-elf-header":         cutAt(50),
		"truncated-in-program-headers":    cutAt(100),
		"truncated-in-mark":               cutAt(draftNote + 10),
		"truncated-behind-mark":           cutAt(draftNote + 28),
		"truncated-in-stub":               cutAt(3000),
		"truncated-in-data":               cut(".glick.data"),
		"truncated-in-desktop-file":       cut(".xdg.desktop"),
		"truncated-in-icon":               cut(".xdg.icon.48"),
		"truncated-in-metainfo":           cut(".xdg.metainfo"),
		"truncated-in-index":              cut(".glick.slice.0"),
		"truncated-in-manifest":           cut(".glick.manifest"),
		"truncated-in-section-names":      cut(".shstrtab"),
		"truncated-in-section-table":      cutAt(-100),
		"truncated-by-one-byte":           cutAt(-1),
		"table-not-last-and-truncated":    all(func(d *draft) { d.early = true }, cutAt(-100)),
		"table-not-last-and-nothing-else": all(func(d *draft) { d.early = true }, cut(".xdg.desktop")),
	}
}

func elfRecipes() map[string]recipe {
	far := func(d *draft) { // the mark behind the first page
		d.head = append(d.head, make([]byte, 4096)...)
		copy(d.head[120:], noteHeader(4096))
		copy(d.head[4096:], mark(1))
		clear(d.head[draftNote : draftNote+28])
	}
	return map[string]recipe{
		"elf-magic":                              file(0, 1, 'E'),
		"elf-of-32-bit":                          file(4, 1, 1),
		"elf-big-endian":                         file(5, 1, 2),
		"elf-of-other-machine":                   head(18, 2, 243),
		"elf-of-other-machine-than-the-manifest": head(18, 2, 183),

		"mark-missing":           func(d *draft) { clear(d.head[draftNote : draftNote+28]) },
		"mark-behind-first-page": far,
		"mark-across-end-of-first-page": func(d *draft) {
			copy(d.head[120:], noteHeader(4080))
			copy(d.head[4080:], mark(1))
			clear(d.head[draftNote:][:28])
		},
		"mark-not-aligned":            func(d *draft) { copy(d.head[120:], noteHeader(draftNote+2)); copy(d.head[draftNote+2:], mark(1)) },
		"mark-of-type-3":              head(draftNote+8, 1, 3),
		"mark-of-other-owner":         head(draftNote+12, 1, 'g'),
		"mark-of-newer-version":       head(draftNote+20, 4, 2),
		"mark-of-version-0":           head(draftNote+20, 4, 0),
		"mark-with-unknown-flag":      head(draftNote+24, 4, 0x80000000),
		"mark-without-program-header": head(120, 4, 6),
		"mark-place-overflows":        func(d *draft) { put(d.head[120+8:], 8, huge-7) },
		"mark-too-short":              head(120+32, 8, 27),
		"mark-section-too-large":      header(".note.glick", 32, 8, 29),
		"program-headers-overflow":    file(32, 8, huge-63),
		"program-headers-behind-first-page": func(d *draft) {
			d.head = append(d.head, make([]byte, 4096)...)
			copy(d.head[4104:], d.head[64:176])
			put(d.head[32:], 8, 4104)
		},
		"program-headers-of-other-size":      file(54, 2, 57),
		"program-headers-65535":              file(56, 2, 65535),
		"section-table-of-no-headers":        file(60, 2, 0),
		"section-table-of-65535-headers":     file(60, 2, 65535),
		"section-table-of-4096-headers":      file(60, 2, 4096),
		"section-table-of-other-header-size": file(58, 2, 63),
		"section-table-at-end-of-file":       func(d *draft) { d.file = func(p []byte) []byte { put(p[40:], 8, uint64(len(p))); return p } },
		"section-table-overflows":            file(40, 8, huge-63),
		"section-table-negative":             file(40, 8, 1<<63),
		"section-names-number-not-there":     func(d *draft) { d.file = func(p []byte) []byte { put(p[62:], 2, uint64(p[60])); return p } },
		"section-names-outside":              header(".shstrtab", 24, 8, 1<<40),
		"section-names-size-overflows":       header(".shstrtab", 32, 8, huge-4096),
		"section-names-empty":                header(".shstrtab", 32, 8, 0),
		"section-name-outside":               header(".xdg.metainfo", 0, 4, 0xfffffff0),
		"section-name-without-end": func(d *draft) {
			d.file = func(p []byte) []byte {
				h := sectionHeader(d.tb, p, ".shstrtab")
				size := binary.LittleEndian.Uint64(h[32:])
				put(h[32:], 8, size-1)
				return p
			}
		},
		"section-name-of-256-bytes":  func(d *draft) { d.last = []draftPart{{"." + strings.Repeat("x", 255), nil}} },
		"section-twice":              func(d *draft) { d.last = []draftPart{{".xdg.desktop", []byte(desktop)}} },
		"section-manifest-twice":     func(d *draft) { d.parts = func(l []draftPart) []draftPart { return append(l, l[len(l)-1]) } },
		"section-offset-overflows":   header(".xdg.desktop", 24, 8, huge-15),
		"section-offset-negative":    header(".xdg.desktop", 24, 8, 1<<63),
		"section-offset-behind-file": header(".xdg.desktop", 24, 8, 1<<20),
		"section-size-overflows":     header(".xdg.desktop", 32, 8, huge-8191),
		"section-size-negative":      header(".xdg.desktop", 32, 8, 1<<63),
		"section-icon-of-5-mib":      header(".xdg.icon.48", 32, 8, 5<<20),
		"section-desktop-of-2-mib":   header(".xdg.desktop", 32, 8, 2<<20),
		"section-metainfo-of-5-mib":  header(".xdg.metainfo", 32, 8, 5<<20),
		"section-desktop-nobits":     header(".xdg.desktop", 4, 4, 8),
		"section-manifest-nobits":    header(".glick.manifest", 4, 4, 8),
		"section-data-nobits":        header(".glick.data", 4, 4, 8),
		"section-data-missing":       without(".glick.data"),
		"section-manifest-missing":   without(".glick.manifest"),
		"section-index-missing":      without(".glick.slice.0"),
		"section-data-in-first-page": func(d *draft) {
			d.slices[0] = newDraftSlice("s", map[string]string{"bin/hello": ""})
			header(".glick.data", 24, 8, 204)(d)
		},
		"section-manifest-size-1-less": func(d *draft) {
			d.file = func(p []byte) []byte { sectionHeader(d.tb, p, ".glick.manifest")[32]--; return p }
		},
	}
}

// iconHeader is the beginning of a PNG picture.
func iconHeader(width, height uint32) []byte {
	be := binary.BigEndian
	p := append([]byte("\x89PNG\r\n\x1a\n"), 0, 0, 0, 13, 'I', 'H', 'D', 'R')
	p = be.AppendUint32(be.AppendUint32(p, width), height)
	return append(p, 8, 6, 0, 0, 0, 0, 0, 0, 0)
}

func smallRecipes() map[string]recipe {
	return map[string]recipe{
		"icon-of-65535-pixels":   section(".xdg.icon.48", iconHeader(65535, 65535)),
		"icon-of-2-to-31-pixels": section(".xdg.icon.48", iconHeader(1<<31, 1<<31)),
		"icon-not-square":        section(".xdg.icon.48", iconHeader(48, 65535)),
		"icon-of-other-size":     section(".xdg.icon.48", iconHeader(64, 64)),
		"icon-not-png":           section(".xdg.icon.48", []byte("GIF89a, and enough bytes that it could be one")),
		"icon-header-too-short":  section(".xdg.icon.48", iconHeader(48, 48)[:30]),
		"icon-empty":             section(".xdg.icon.48", nil),
		"stub-digest":            swapLine("stub=", "stub="+zeros64+"\n"),
		"stub-changed":           file(3000, 1, 0xcc),
		"stub-entry-changed":     file(24, 8, 0x401001),
		"desktop-file-changed": func(d *draft) {
			d.file = func(p []byte) []byte { off, _ := sectionPlace(d.tb, p, ".xdg.desktop"); p[off+20] ^= 1; return p }
		},
		"icon-changed": func(d *draft) {
			d.file = func(p []byte) []byte { off, n := sectionPlace(d.tb, p, ".xdg.icon.48"); p[off+n-1] ^= 1; return p }
		},
		"metainfo-digest":         swapLine(".xdg.metainfo=", ".xdg.metainfo="+zeros64+"\n"),
		"svg-digest":              swapLine(".xdg.icon.svg=", ".xdg.icon.svg="+zeros64+"\n"),
		"desktop-file-not-digest": swapLine(".xdg.desktop=", ".xdg.desktop=none\n"),
		"digest-in-capitals":      swap("stub=", "stub=ABCDEF"+zeros64[6:]+"\nx="),
		"digest-missing":          swapLine(".xdg.desktop=", ""),
		"digest-of-stub-missing":  swapLine("stub=", ""),
		"digest-without-section":  without(".xdg.metainfo"),
		"digest-of-other-section": func(d *draft) {
			d.small = append(d.small, draftPart{".xdg.other", []byte("x")})
			swapLine(".xdg.other=", ".xdg.other="+zeros64+"\n")(d)
		},
		"index-digest": func(d *draft) {
			d.manifest = func(m string) string { return strings.Replace(m, "\nDigest=", "\nDigest="+zeros64+"\nX-Was=", 1) }
		},
		"index-changed": func(d *draft) {
			d.file = func(p []byte) []byte { off, n := sectionPlace(d.tb, p, ".glick.slice.0"); p[off+n-1] ^= 1; return p }
		},
		"index-of-no-bytes": func(d *draft) { d.index = func([]byte) []byte { return nil } },
	}
}

func manifestRecipes() map[string]recipe {
	add := func(text string) recipe {
		return func(d *draft) { d.manifest = func(m string) string { return m + text } }
	}
	overlap := func(d *draft) {
		union(func(*draftSlice) {})(d)
		d.manifest = func(m string) string {
			before, after, _ := strings.Cut(m, "[Slice 1]")
			name, rest, _ := strings.Cut(after, "Data-Offset=")
			_, rest, _ = strings.Cut(rest, "\n")
			return before + "[Slice 1]" + name + "Data-Offset=1\n" + rest
		}
	}
	return map[string]recipe{
		"manifest-empty":                func(d *draft) { d.ended = func(string) string { return "" } },
		"manifest-without-end":          func(d *draft) { d.ended = func(m string) string { m, _, _ = strings.Cut(m, "[Manifest]"); return m } },
		"manifest-differs-from-digest":  swapEnd("Version=1.0", "Version=1.1"),
		"manifest-digest-cut":           func(d *draft) { d.ended = func(m string) string { return m[:len(m)-10] } },
		"manifest-text-behind-end":      func(d *draft) { d.ended = func(m string) string { return m + "Name=x\n" } },
		"manifest-end-twice":            swap("[Digests]", "[Manifest]\nDigest="+zeros64+"\n[Digests]"),
		"manifest-group-twice":          add("[Bundle]\nX=1\n"),
		"manifest-key-twice":            swap("Name=Hello", "Name=Hello\nName=Other"),
		"manifest-with-nul":             swap("Name=Hello", "Name=Hel\x00lo"),
		"manifest-not-utf8":             swap("Name=Hello", "Name=Hel\xfflo"),
		"manifest-line-without-meaning": swap("Name=Hello", "Name=Hello\nno key"),
		"manifest-key-before-group":     func(d *draft) { d.manifest = func(m string) string { return "X-Key=1\n" + m } },
		"manifest-no-bundle":            swap("[Bundle]", "[Other]"),
		"manifest-no-digests":           swap("[Digests]", "[Other]"),
		"manifest-no-slice":             swap("[Slice 0]", "[Other]"),

		"id-missing":               swap("Id=org.example.Hello\n", ""),
		"id-without-dot":           swap("Id=org.example.Hello", "Id=hello"),
		"id-with-path":             swap("Id=org.example.Hello", "Id=../../org.example.Hello"),
		"id-with-digit":            swap("Id=org.example.Hello", "Id=org.7zip"),
		"id-with-empty-part":       swap("Id=org.example.Hello", "Id=org..Hello"),
		"id-too-long":              swap("Id=org.example.Hello", "Id=org."+strings.Repeat("a", 252)),
		"id-with-space":            swap("Id=org.example.Hello", `Id=org.example.Hel\slo`),
		"version-with-space":       swap("Version=1.0", "Version=1 0"),
		"version-with-slash":       swap("Version=1.0", "Version=../1"),
		"version-too-long":         swap("Version=1.0", "Version="+strings.Repeat("1", 256)),
		"name-with-control":        swap("Name=Hello", `Name=Hello\nBye`),
		"name-too-long":            swap("Name=Hello", "Name="+strings.Repeat("x", 1025)),
		"exec-missing":             swap("Exec=bin/hello\n", ""),
		"exec-leads-out":           swap("Exec=bin/hello", "Exec=../../bin/sh"),
		"exec-dots-inside":         swap("Exec=bin/hello", "Exec=bin/../../sh"),
		"exec-absolute":            swap("Exec=bin/hello", "Exec=/bin/sh"),
		"exec-not-shortest":        swap("Exec=bin/hello", "Exec=bin//hello"),
		"prefix-proc":              swap("Prefix=/opt/bundle", "Prefix=/proc/self"),
		"prefix-dev":               swap("Prefix=/opt/bundle", "Prefix=/dev"),
		"prefix-root":              swap("Prefix=/opt/bundle", "Prefix=/"),
		"prefix-home":              swap("Prefix=/opt/bundle", "Prefix=/home"),
		"prefix-relative":          swap("Prefix=/opt/bundle", "Prefix=../x"),
		"prefix-not-shortest":      swap("Prefix=/opt/bundle", "Prefix=/opt/../proc"),
		"prefix-too-long":          swap("Prefix=/opt/bundle", "Prefix=/"+strings.Repeat("x", 1024)),
		"architecture-unknown":     swap("Architecture=x86_64", "Architecture=riscv64"),
		"architecture-missing":     swap("Architecture=x86_64\n", ""),
		"commands-with-path":       swap("Commands=hello;", "Commands=../hello;"),
		"export-leads-out":         swap("Export=share/text;", "Export=share/text;../../etc/passwd;"),
		"slice-numbers-with-gap":   add("[Slice 2]\nName=x\nDigest=" + zeros64 + "\nData-Offset=0\nData-Size=0\nSize=0\n"),
		"slice-without-section":    add("[Slice 1]\nName=x\nDigest=" + zeros64 + "\nData-Offset=0\nData-Size=0\nSize=0\n"),
		"slice-without-digest":     add("[Slice 1]\nName=x\nData-Offset=0\nData-Size=0\nSize=0\n"),
		"slice-name-missing":       swap("Name=org.example.Hello\n", ""),
		"slice-name-with-control":  swap("Name=org.example.Hello", `Name=a\tb`),
		"slice-flag-not-true":      swap("Exported=true", "Exported=yes"),
		"slice-version-with-space": swap("Exported=true", "Exported=true\nVersion=1 0"),
		"slice-architecture":       swap("Exported=true", "Exported=true\nArchitecture=i386"),
		"slice-size-leading-zero":  swapLine("Size=", "Size=01\n"),
		"slice-size-negative":      swapLine("Size=", "Size=-1\n"),
		"slice-size-with-plus":     swapLine("Size=", "Size=+1\n"),
		"slice-size-2-to-63":       swapLine("Size=", "Size=9223372036854775808\n"),
		"slice-size-2-to-50-and-1": swapLine("Size=", "Size=1125899906842625\n"),
		"slice-size-missing":       swapLine("Size=", ""),
		"slice-size-differs":       swapLine("Size=", "Size=1\n"),
		"slice-data-size-differs":  swapLine("Data-Size=", "Data-Size=1\n"),
		"slice-data-outside":       swapLine("Data-Offset=", "Data-Offset=1\n"),
		"slice-data-far-outside":   swapLine("Data-Offset=", "Data-Offset=1125899906842624\n"),
		"slice-data-overlaps":      overlap,
	}
}

func indexRecipes() map[string]recipe {
	e := func(entry, field, size int, v uint64) recipe { return index(entryField(entry, field), size, v) }
	deep := newDraftSlice("deep", map[string]string{strings.Repeat(strings.Repeat("d", 255)+"/", 15) + strings.Repeat("f", 255): "x"})
	many := func(n int) []string {
		var pairs []string
		for i := range n {
			pairs = append(pairs, fmt.Sprintf("user.%03d", i), "")
		}
		return pairs
	}
	return map[string]recipe{
		"index-magic":                  index(0, 1, 'g'),
		"index-header-half":            func(d *draft) { d.index = func(p []byte) []byte { return p[:40] } },
		"index-newer-version":          index(8, 4, 2),
		"index-unknown-flag":           index(12, 4, 1),
		"index-reserved-word":          index(36, 4, 1),
		"index-reserved-end":           index(56, 8, 1),
		"index-of-ten-million-entries": index(16, 4, 10_000_000),
		"index-entry-count-overflows":  index(16, 4, 0xffffffff),
		"index-no-entries":             func(d *draft) { d.slices[0] = &draftSlice{name: "none"} },
		"index-content-count":          index(20, 4, 0xffffffff),
		"index-chunk-count":            index(24, 4, 0xffffffff),
		"index-xattr-size":             index(28, 4, 0xffffffff),
		"index-string-size":            index(32, 4, 0xffffffff),
		"index-bytes-behind-end":       func(d *draft) { d.index = func(p []byte) []byte { return append(p, 0) } },
		"index-data-size":              index(40, 8, 1),
		"index-data-size-negative":     index(40, 8, 1<<63),
		"index-content-sum":            index(48, 8, 12345),

		"root-is-a-file":         e(entryRoot, 6, 2, 0o100644),
		"root-has-a-name":        e(entryRoot, 4, 2, 1),
		"root-in-another-folder": e(entryRoot, 8, 4, 1),
		"folder-contains-itself": e(entryBin, 12, 4, entryBin),
		"folder-contains-root":   e(entryBin, 12, 4, entryRoot),
		"folders-contain-each-other": all(within(func(s *draftSlice) {
			s.entries[entryBin].a, s.entries[entryBin].b = entryShare, 1
			s.entries[entryShare].a = entryBin
		})),
		"folders-share-children":       e(entryShare, 12, 4, entryHello),
		"folder-of-four-billion":       e(entryShare, 16, 4, 0xffffffff),
		"folder-too-few-children":      e(entryShare, 16, 4, 2),
		"entry-of-wrong-folder":        e(entryHello, 8, 4, entryShare),
		"entry-of-file":                e(entryHello, 8, 4, entryHi),
		"entry-before-its-folder":      e(entryHello, 8, 4, entryText),
		"name-empty":                   e(entryText, 4, 2, 0),
		"name-of-256-bytes":            rename(entryText, strings.Repeat("t", 256)),
		"name-dot":                     rename(entryBin, "."),
		"name-dot-dot":                 rename(entryBin, ".."),
		"name-absolute":                rename(entryText, "/etc/passwd"),
		"name-with-slash":              rename(entryText, "t/../../text"),
		"name-with-nul":                rename(entryText, "te\x00xt"),
		"name-twice":                   rename(entryText, "empty"),
		"names-not-in-order":           rename(entryText, "Text"),
		"name-outside-of-strings":      e(entryText, 0, 4, 0xfffffff0),
		"path-of-4096-bytes":           func(d *draft) { d.slices[0] = deep },
		"entry-set-user-id":            e(entryHello, 6, 2, 0o104755),
		"entry-sticky-folder":          e(entryBin, 6, 2, 0o041777),
		"entry-is-a-device":            e(entryText, 6, 2, 0o020644),
		"entry-is-a-block-device":      e(entryText, 6, 2, 0o060644),
		"entry-is-a-socket":            e(entryText, 6, 2, 0o140644),
		"entry-is-a-pipe":              e(entryText, 6, 2, 0o010644),
		"entry-without-type":           e(entryText, 6, 2, 0o644),
		"file-without-content":         e(entryText, 12, 4, 4),
		"file-with-second-number":      e(entryText, 16, 4, 1),
		"target-empty":                 e(entryHi, 16, 4, 0),
		"target-of-4096-bytes":         within(func(s *draftSlice) { s.entries[entryHi].target = strings.Repeat("t", 4096) }),
		"target-with-nul":              within(func(s *draftSlice) { s.entries[entryHi].target = "hel\x00lo" }),
		"target-outside-of-strings":    e(entryHi, 12, 4, 0xfffffff0),
		"xattr-of-security":            xattrs(entryText, "security.capability", "\x01\x00\x00\x02\x00\x20\x00\x00"),
		"xattr-of-trusted-overlay":     xattrs(entryText, "trusted.overlay.redirect", "/etc"),
		"xattr-of-user-overlay":        xattrs(entryText, "user.overlay.redirect", "/etc"),
		"xattr-of-acl":                 xattrs(entryText, "system.posix_acl_access", "x"),
		"xattr-user-without-name":      xattrs(entryText, "user.", "x"),
		"xattr-not-in-order":           xattrs(entryText, "user.b", "1", "user.a", "2"),
		"xattr-twice":                  xattrs(entryText, "user.a", "1", "user.a", "2"),
		"xattr-without-name":           xattrs(entryText, "", "1"),
		"xattr-with-nul":               xattrs(entryText, "user.a\x00b", "1"),
		"xattr-name-of-256-bytes":      xattrs(entryText, "user."+strings.Repeat("x", 251), "1"),
		"xattr-on-link":                xattrs(entryHi, "user.a", "1"),
		"xattr-count-0":                xattrs(entryText),
		"xattr-count-65":               xattrs(entryText, many(65)...),
		"xattr-outside-of-table":       e(entryText, 20, 4, 0xfffffff0),
		"xattr-at-end-of-table":        within(func(s *draftSlice) { s.entries[entryText].xattr = uint32(len(s.xattrs)) }),
		"xattr-record-ends-in-count":   within(func(s *draftSlice) { s.xattrs = s.xattrs[:1] }),
		"xattr-value-outside-of-table": within(func(s *draftSlice) { s.xattrs = s.xattrs[:len(s.xattrs)-1] }),
		"xattr-value-size-overflows":   within(func(s *draftSlice) { put(s.xattrs[4:], 2, 0xffff) }),
	}
}

func contentRecipes() map[string]recipe {
	const big, text = entryBig, entryText
	return map[string]recipe{
		"content-not-in-order":            within(func(s *draftSlice) { s.contents[0], s.contents[1] = s.contents[1], s.contents[0] }),
		"content-twice":                   within(func(s *draftSlice) { s.contents[1].digest = s.contents[0].digest }),
		"content-size-2-to-62":            content(big, 32, 8, 1<<62),
		"content-byte-longer":             content(big, 32, 8, 4096*2+211),
		"content-byte-shorter":            content(big, 32, 8, 4096*2+209),
		"content-chunk-not-there":         content(big, 40, 4, 2),
		"content-chunk-overflows":         content(big, 40, 4, 0xffffffff),
		"content-skip-in-several-chunks":  content(big, 44, 4, 1),
		"content-shift-11":                content(big, 48, 4, 11),
		"content-shift-23":                content(big, 48, 4, 23),
		"content-shift-2-to-32":           content(big, 48, 4, 0xffffffff),
		"content-reserved-word":           content(big, 52, 4, 1),
		"content-in-chunk-not-there":      content(text, 40, 4, 4),
		"content-outside-of-chunk":        content(text, 44, 4, 22),
		"content-skip-overflows":          content(text, 44, 4, 0xffffffff),
		"content-empty-with-chunk":        content(entryEmpty, 40, 4, 1),
		"content-empty-with-skip":         content(entryEmpty, 44, 4, 1),
		"content-empty-with-wrong-digest": content(entryEmpty, 31, 1, 0),
		// One byte of the chunk is in no file.
		"content-leaves-byte": within(func(s *draftSlice) {
			c := s.content(text)
			c.size--
			c.digest = sha256.Sum256([]byte("all work and no play"))
			s.sort()
		}),
		// Both files have honest digests and together as many bytes as the chunk, whose last byte is in none.
		"content-overlaps-and-leaves-byte": within(func(s *draftSlice) {
			c := s.content(text)
			c.skip--
			c.digest = sha256.Sum256([]byte("\nall work and no play"))
			s.sort()
		}),
		"content-overlaps": within(func(s *draftSlice) {
			c := s.content(text)
			c.skip, c.size = 0, 42
			c.digest = sha256.Sum256([]byte("#!/bin/sh\necho hello\nall work and no play\n"))
			s.sort()
		}),
		"content-takes-chunk-of-another": within(func(s *draftSlice) {
			c := s.content(text)
			c.chunk, c.skip, c.size = 2, 0, 20
			c.digest = sha256.Sum256([]byte("The quick brown fox."))
			s.sort()
		}),
		"content-in-no-file":               within(func(s *draftSlice) { s.entries[text].a = s.entries[entryHello].a }),
		"content-digest":                   content(text, 31, 1, 0xee),
		"content-digest-of-several-chunks": content(big, 31, 1, 0xee),
	}
}

func chunkRecipes() map[string]recipe {
	bomb := make([][]byte, 512)
	for i := range bomb {
		bomb[i] = rle(128<<10, 'x')
	}
	return map[string]recipe{
		"chunk-digest":            within(func(s *draftSlice) { s.chunks[3].digest[31] ^= 1 }),
		"chunk-digest-compressed": within(func(s *draftSlice) { s.chunks[0].digest[31] ^= 1 }),
		"chunk-digest-of-zeros":   within(func(s *draftSlice) { s.chunks[1].digest[31] ^= 1 }),
		"chunk-changed":           within(func(s *draftSlice) { s.data[len(s.data)-1] ^= 1 }),
		"chunk-of-no-bytes":       chunk(0, 44, 4, 0),
		"chunk-of-four-gigabytes": chunk(0, 44, 4, 0xffffffff),
		"chunk-of-4-mib-and-1":    chunk(0, 44, 4, 4<<20+1),
		"chunk-of-wrong-size":     chunk(0, 44, 4, 4095),
		"chunk-stored-too-large":  chunk(3, 40, 4, 43),
		"chunk-stored-overflows":  chunk(0, 40, 4, 0xffffffff),
		"chunk-offset-far":        chunk(0, 32, 8, 1<<40),
		"chunk-offset-negative":   chunk(0, 32, 8, 1<<63),
		"chunk-offset-overflows":  chunk(0, 32, 8, huge),
		"chunk-offset-one-less":   within(func(s *draftSlice) { s.chunks[3].off-- }),
		"chunk-overlaps":          within(func(s *draftSlice) { s.chunks[2].off = 0 }),
		"chunk-gap": within(func(s *draftSlice) {
			s.data = append(append(bytes.Clone(s.data[:s.chunks[2].off]), 0), s.data[s.chunks[2].off:]...)
			s.chunks[2].off++
			s.chunks[3].off++
		}),
		"chunk-not-in-order":          within(func(s *draftSlice) { s.chunks[2].off, s.chunks[3].off = s.chunks[3].off, s.chunks[2].off }),
		"chunk-in-no-content":         within(func(s *draftSlice) { s.store([]byte("nobody's")) }),
		"data-behind-last-chunk":      within(func(s *draftSlice) { s.data = append(s.data, "hidden"...) }),
		"zstd-not-a-frame":            packed([]byte("no frame at all")),
		"zstd-frame-cut":              packed(frame(4096, rle(4096, 'x'))[:10]),
		"zstd-unpacks-to-less":        packed(frame(4095, rle(4095, 'x'))),
		"zstd-unpacks-to-more":        packed(frame(4097, rle(4097, 'x'))),
		"zstd-says-less-than-it-is":   packed(frame(4095, rle(4096, 'x'))),
		"zstd-two-frames-too-long":    packed(frame(4096, rle(4096, 'x')), frame(1, rle(1, 'x'))),
		"zstd-two-frames-too-short":   packed(frame(2048, rle(2048, 'x')), frame(2047, rle(2047, 'x'))),
		"zstd-bytes-behind-frame":     packed(frame(4096, rle(4096, 'x')), []byte("behind")),
		"zstd-empty-frame":            packed(frame(0, plain(""))),
		"zstd-bomb":                   packed(frame(64<<20, bomb...)),
		"zstd-bomb-that-lies":         packed(frame(4096, bomb...)),
		"zstd-bomb-that-says-nothing": packed(frameOf([]byte{0x00, 12 << 3}, bomb...)),
		"zstd-size-2-to-60":           packed(frameOf(binary.LittleEndian.AppendUint64([]byte{0xe0}, 1<<60), rle(4096, 'x'))),
		"zstd-window-of-8-mib":        packed(frameOf([]byte{0x00, 13 << 3}, rle(4096, 'x'))),
		"zstd-window-of-2-tib":        packed(frameOf([]byte{0x00, 0xff}, rle(4096, 'x'))),
		"zstd-needs-dictionary":       packed(frameOf([]byte{0x21, 7, 0xff}, rle(255, 'x'))),
	}
}

func sliceRecipes() map[string]recipe {
	return map[string]recipe{
		"good-slice":                 func(*draft) {},
		"good-slice-optional":        within(func(s *draftSlice) { s.optional = true }),
		"slice-file-truncated":       cut(".glick.slice.0"),
		"slice-file-newer-version":   head(120+20, 4, 2),
		"slice-file-with-bundle":     func(d *draft) { d.manifest = func(m string) string { return "[Bundle]\nId=org.example.Hello\n" + m } },
		"slice-file-with-two-slices": func(d *draft) { d.slices = append(d.slices, newDraftSlice("other", map[string]string{"x": "x"})) },
		"slice-file-without-slice":   swap("[Slice 0]", "[Other]"),
		"slice-file-without-index":   all(within(func(s *draftSlice) { s.optional = true }), without(".glick.slice.0")),
		"slice-file-index-digest": func(d *draft) {
			d.manifest = func(m string) string { return strings.Replace(m, "\nDigest=", "\nDigest="+zeros64+"\nX-Was=", 1) }
		},
		"slice-file-content-digest": table(func(s *draftSlice) int { return s.contentField(0, 31) }, 1, 0xee),
	}
}
