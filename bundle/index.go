// SPDX-License-Identifier: MIT

package bundle

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// The index of a slice, as doc/format.md describes it: a header, then entries, contents, chunks, extended attributes and strings without
// gaps. All numbers are little endian.
const (
	indexMagic      = "GlickIdx"
	indexVersion    = 1
	indexHeaderSize = 64
	entrySize       = 24
	contentSize     = 56
	chunkSize       = 48

	maxName  = 255     // bytes of a name, as in Linux
	maxPath  = 4095    // bytes of a path or of a link's target, as in Linux
	maxChunk = 4 << 20 // uncompressed bytes of a chunk
	minShift = 12      // smallest chunk of a content that has several: 4 KiB
	maxShift = 22      // largest: maxChunk

	noXattrs  = math.MaxUint32
	maxXattrs = 64 // of one entry
)

// File types and permissions of entries, as in stat(2).
const (
	modeType = 0o170000
	modeDir  = 0o040000
	modeFile = 0o100000
	modeLink = 0o120000
	modePerm = 0o777
)

// index is a slice's index that parseIndex has found to be sound. Numbers are taken from its bytes when they are needed, so that an index
// costs little more memory than its size.
type index struct {
	entries, contents, chunks, xattrs, strings []byte

	dataSize int64 // stored bytes of the slice
	size     int64 // uncompressed bytes of its contents
}

// entry is a name in the tree.
type entry struct {
	nameOff uint32
	nameLen uint16
	mode    uint16
	parent  uint32
	a, b    uint32 // folder: first child and count; file: content; link: place and length of the target
	xattr   uint32
}

func (x *index) entryCount() int   { return len(x.entries) / entrySize }
func (x *index) contentCount() int { return len(x.contents) / contentSize }
func (x *index) chunkCount() int   { return len(x.chunks) / chunkSize }

func (x *index) entry(i int) entry {
	p, le := x.entries[i*entrySize:][:entrySize], binary.LittleEndian
	return entry{le.Uint32(p), le.Uint16(p[4:]), le.Uint16(p[6:]), le.Uint32(p[8:]), le.Uint32(p[12:]), le.Uint32(p[16:]), le.Uint32(p[20:])}
}

func (e entry) isDir() bool { return e.mode&modeType == modeDir }

// content is the content of files.
type content struct {
	digest Digest
	size   uint64
	chunk  uint32 // the first one
	skip   uint32 // bytes of that chunk that belong to others; only when shift is 0
	shift  uint32 // 0: all is in one chunk; else chunks of 1<<shift bytes, the last one shorter
}

func (x *index) content(i int) content {
	p, le := x.contents[i*contentSize:][:contentSize], binary.LittleEndian
	return content{Digest(p[:32]), le.Uint64(p[32:]), le.Uint32(p[40:]), le.Uint32(p[44:]), le.Uint32(p[48:])}
}

// chunk returns a chunk without its slice.
func (x *index) chunk(i int) Chunk {
	p, le := x.chunks[i*chunkSize:][:chunkSize], binary.LittleEndian
	size := le.Uint32(p[44:])
	return Chunk{Digest: Digest(p[:32]), Offset: int64(le.Uint64(p[32:])), Stored: le.Uint32(p[40:]), Raw: size & 0xffffff, Filter: uint8(size >> 24)}
}

// text returns a name or target that was checked to be inside of the strings.
func (x *index) text(off, n uint32) []byte { return x.strings[off:][:n] }

func (x *index) name(e entry) []byte { return x.text(e.nameOff, uint32(e.nameLen)) }

// parseIndex checks every number and every rule of an index, so that nothing that uses it needs to. It keeps data.
// The error is ErrDamaged or ErrVersion. The time it takes grows no faster than the size of data.
func parseIndex(data []byte) (*index, error) {
	le := binary.LittleEndian
	switch {
	case len(data) < indexHeaderSize || string(data[:8]) != indexMagic:
		return nil, damaged("it does not begin like an index")
	case le.Uint32(data[8:]) != indexVersion || le.Uint32(data[12:]) != 0:
		return nil, fmt.Errorf("index version %d, flags %#x: %w", le.Uint32(data[8:]), le.Uint32(data[12:]), ErrVersion)
	case le.Uint32(data[36:]) != 0 || le.Uint64(data[56:]) != 0:
		return nil, damaged("reserved bytes are used")
	}
	x := &index{}
	rest := data[indexHeaderSize:]
	for _, part := range []struct {
		at, size int
		to       *[]byte
	}{{16, entrySize, &x.entries}, {20, contentSize, &x.contents}, {24, chunkSize, &x.chunks}, {28, 1, &x.xattrs}, {32, 1, &x.strings}} {
		// Four bytes times at most 56 cannot overflow 64 bits.
		n := uint64(le.Uint32(data[part.at:])) * uint64(part.size)
		if n > uint64(len(rest)) {
			return nil, damaged("a table is longer than the index")
		}
		*part.to, rest = rest[:n:n], rest[n:]
	}
	if len(rest) != 0 {
		return nil, damaged("%d bytes follow the index", len(rest))
	}
	dataSize, size := le.Uint64(data[40:]), le.Uint64(data[48:])
	if dataSize > maxContent || size > maxContent {
		return nil, damaged("impossible sizes")
	}
	x.dataSize, x.size = int64(dataSize), int64(size)
	if err := x.checkChunks(); err != nil {
		return nil, err
	}
	if err := x.checkContents(); err != nil {
		return nil, err
	}
	if err := x.checkEntries(); err != nil {
		return nil, err
	}
	return x, nil
}

func damaged(format string, a ...any) error {
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, a...), ErrDamaged)
}

// checkChunks proves that the chunks lie in the slice's data one after another, without gaps: so there is one layout only, nothing is hidden
// between chunks, and none overlap.
func (x *index) checkChunks() error {
	var end int64
	for i := range x.chunkCount() {
		switch c := x.chunk(i); {
		case c.Raw == 0 || c.Raw > maxChunk || c.Stored > c.Raw:
			return damaged("chunk %d has impossible sizes", i)
		case c.Filter > lastFilter:
			return fmt.Errorf("chunk %d has filter %d: %w", i, c.Filter, ErrVersion)
		case c.Filter != filterNone && (c.Stored == 0 || c.Stored == c.Raw):
			return damaged("chunk %d is not compressed, and has a filter", i)
		case c.Offset != end:
			return damaged("chunk %d is not behind the one before it", i)
		default:
			end += int64(c.Stored) // 2^32 chunks of 2^22 bytes cannot overflow
		}
	}
	if end != x.dataSize {
		return damaged("the chunks have %d bytes of data, the index says %d", end, x.dataSize)
	}
	return nil
}

// checkContents proves that the contents share out the bytes of the chunks among them. That bounds the work of who reads all contents, and leaves
// no bytes that belong to nothing.
func (x *index) checkContents() error {
	var last Digest
	var total uint64
	chunks := uint64(x.chunkCount())
	var parts []uint32             // contents that share their chunks
	left := make([]uint32, chunks) // bytes of each chunk that are not yet a content's
	for i := range left {
		left[i] = x.chunk(i).Raw
	}
	for i := range x.contentCount() {
		c := x.content(i)
		if i > 0 && bytes.Compare(last[:], c.digest[:]) >= 0 {
			return damaged("the contents are not in order")
		}
		last = c.digest
		if c.size > maxContent || binary.LittleEndian.Uint32(x.contents[i*contentSize+52:]) != 0 {
			return damaged("content %d has an impossible size", i)
		}
		if total += c.size; total > maxContent {
			return damaged("the contents have an impossible size together")
		}
		switch {
		case c.size == 0:
			if c.chunk != 0 || c.skip != 0 || c.shift != 0 {
				return damaged("content %d is empty and has chunks", i)
			}
		case c.shift == 0:
			switch {
			case uint64(c.chunk) >= chunks || uint64(c.skip)+c.size > uint64(x.chunk(int(c.chunk)).Raw):
				return damaged("content %d is outside of its chunk", i)
			case uint64(left[c.chunk]) < c.size:
				return damaged("content %d overlaps another", i)
			}
			left[c.chunk] -= uint32(c.size)
			parts = append(parts, uint32(i))
		case c.shift < minShift || c.shift > maxShift || c.skip != 0:
			return damaged("content %d has an impossible chunk size", i)
		default:
			n := (c.size + 1<<c.shift - 1) >> c.shift
			if n > chunks || uint64(c.chunk) > chunks-n {
				return damaged("content %d has chunks that are not there", i)
			}
			for k := range n {
				at := int(uint64(c.chunk) + k)
				switch want := min(uint64(1)<<c.shift, c.size-k<<c.shift); {
				case uint64(x.chunk(at).Raw) != want:
					return damaged("content %d has a chunk of a wrong size", i)
				case left[at] != uint32(want):
					return damaged("content %d overlaps another", i)
				}
				left[at] = 0
			}
		}
	}
	for i, n := range left {
		if n != 0 {
			return damaged("chunk %d has bytes that belong to no content", i)
		}
	}
	// The sum is right: now the parts of a chunk must follow each other.
	slices.SortFunc(parts, func(i, k uint32) int {
		a, b := x.content(int(i)), x.content(int(k))
		return cmp.Or(cmp.Compare(a.chunk, b.chunk), cmp.Compare(a.skip, b.skip))
	})
	for i, n := range parts {
		c, end := x.content(int(n)), uint64(0)
		if i > 0 {
			if before := x.content(int(parts[i-1])); before.chunk == c.chunk {
				end = uint64(before.skip) + before.size
			}
		}
		if uint64(c.skip) != end {
			return damaged("content %d does not follow the one before it in its chunk", n)
		}
	}
	if total != uint64(x.size) {
		return damaged("the contents have %d bytes together, the index says %d", total, x.size)
	}
	return nil
}

// checkEntries proves that the entries are one tree: in breadth-first order each folder's children are the next entries that nothing had yet.
func (x *index) checkEntries() error {
	count := x.entryCount()
	if count == 0 || count > math.MaxInt32 {
		return damaged("it has no root folder")
	}
	records, err := x.xattrRecords()
	if err != nil {
		return err
	}
	pathLen := make([]uint16, count)
	used := make([]uint64, (x.contentCount()+63)/64) // one bit for each content that a file has
	next := 1
	var before []byte
	for i := range count {
		e := x.entry(i)
		if uint64(e.nameOff)+uint64(e.nameLen) > uint64(len(x.strings)) {
			return damaged("the name of entry %d is outside of the strings", i)
		}
		name := x.name(e)
		if i == 0 {
			if len(name) != 0 || e.parent != 0 || !e.isDir() {
				return damaged("the first entry is not a root folder")
			}
		} else {
			switch {
			case i >= next:
				return damaged("entry %d is in no folder", i)
			case int(e.parent) >= i:
				return damaged("entry %d is before its folder", i)
			case !validName(name):
				return damaged("entry %d has an impossible name", i)
			}
			parent := x.entry(int(e.parent))
			if !parent.isDir() || uint64(i) < uint64(parent.a) || uint64(i) >= uint64(parent.a)+uint64(parent.b) {
				return damaged("entry %d is not in its folder", i)
			}
			if uint32(i) > parent.a && bytes.Compare(before, name) >= 0 {
				return damaged("entry %d is not in order, or twice", i)
			}
			n := int(pathLen[e.parent]) + 1 + len(name)
			if n > maxPath {
				return damaged("the path of entry %d is longer than %d bytes", i, maxPath)
			}
			pathLen[i] = uint16(n)
		}
		before = name
		if e.mode&^(modeType|modePerm) != 0 {
			return damaged("entry %d has an impossible mode", i)
		}
		if e.xattr != noXattrs {
			if e.mode&modeType == modeLink {
				return damaged("link %d has extended attributes", i)
			}
			if uint64(e.xattr) >= uint64(len(x.xattrs)) || records[e.xattr/64]&(1<<(e.xattr%64)) == 0 {
				return damaged("entry %d has extended attributes that are not there", i)
			}
		}
		switch e.mode & modeType {
		case modeDir:
			if uint64(e.a) != uint64(next) || uint64(e.b) > uint64(count-next) {
				return damaged("the content of folder %d is not where it must be", i)
			}
			next += int(e.b)
		case modeFile:
			if uint64(e.a) >= uint64(x.contentCount()) || e.b != 0 {
				return damaged("file %d has no content", i)
			}
			used[e.a/64] |= 1 << (e.a % 64)
		case modeLink:
			if e.b == 0 || e.b > maxPath || uint64(e.a)+uint64(e.b) > uint64(len(x.strings)) || bytes.IndexByte(x.text(e.a, e.b), 0) >= 0 {
				return damaged("link %d has an impossible target", i)
			}
		default:
			return damaged("entry %d is of an unknown type", i)
		}
	}
	if next != count {
		return damaged("entries are missing")
	}
	for i := range x.contentCount() {
		if used[i/64]&(1<<(i%64)) == 0 {
			return damaged("content %d is in no file", i)
		}
	}
	return nil
}

// validName accepts what Linux accepts as the name of a folder's entry.
func validName(name []byte) bool {
	return len(name) > 0 && len(name) <= maxName && !bytes.ContainsAny(name, "/\x00") && string(name) != "." && string(name) != ".."
}

// keepsXattr says whether an extended attribute can be in a slice: only what belongs to users, and not what tells an overlay file system to show
// other files.
func keepsXattr(name string) bool {
	return len(name) > len("user.") && strings.HasPrefix(name, "user.") && !strings.HasPrefix(name, "user.overlay.")
}

// xattr reads one record of the table of extended attributes.
func (x *index) xattr(off uint32) (map[string]string, error) {
	m := make(map[string]string)
	_, err := x.eachXattr(off, func(name, value []byte) { m[string(name)] = string(value) })
	return m, err
}

// xattrRecords proves that the table of extended attributes is one record after another, and returns where they begin, a bit for each byte. Entries
// share records, even all of them one: so each record is looked at once here, not with each entry.
func (x *index) xattrRecords() ([]uint64, error) {
	starts := make([]uint64, (len(x.xattrs)+63)/64)
	for off := 0; off < len(x.xattrs); {
		starts[off/64] |= 1 << (off % 64)
		n, err := x.eachXattr(uint32(off), func(_, _ []byte) {})
		if err != nil {
			return nil, damaged("the extended attributes at %d are wrong", off)
		}
		off += n
	}
	return starts, nil
}

// eachXattr walks through a record: u16 count, then for each u16 length of the name, u16 length of the value, name, value. Names ascend. It
// returns the record's size.
func (x *index) eachXattr(off uint32, do func(name, value []byte)) (int, error) {
	bad := errors.New("its extended attributes are wrong")
	if uint64(off) > uint64(len(x.xattrs)) || len(x.xattrs)-int(off) < 2 {
		return 0, bad
	}
	p, le := x.xattrs[off:], binary.LittleEndian
	count := int(le.Uint16(p))
	if p = p[2:]; count == 0 || count > maxXattrs {
		return 0, bad
	}
	var before []byte
	for range count {
		if len(p) < 4 {
			return 0, bad
		}
		n, v := int(le.Uint16(p)), int(le.Uint16(p[2:]))
		if p = p[4:]; n == 0 || n > maxName || n+v > len(p) {
			return 0, bad
		}
		name := p[:n]
		if bytes.Compare(name, before) <= 0 || bytes.IndexByte(name, 0) >= 0 || !keepsXattr(string(name)) {
			return 0, bad
		}
		do(name, p[n:n+v])
		before, p = name, p[n+v:]
	}
	return len(x.xattrs) - int(off) - len(p), nil
}

// indexWriter makes the entries and strings of an index.
type indexWriter struct {
	entries, strings []byte
	known            map[string]uint32
}

// text returns the place of a string in the strings, where each different one is once.
func (w *indexWriter) text(s string) uint32 {
	at, ok := w.known[s]
	if !ok {
		if w.known == nil {
			w.known = make(map[string]uint32)
		}
		at = uint32(len(w.strings))
		w.known[s] = at
		w.strings = append(w.strings, s...)
	}
	return at
}

func (w *indexWriter) add(e entry) {
	le := binary.LittleEndian
	w.entries = le.AppendUint32(w.entries, e.nameOff)
	w.entries = le.AppendUint16(w.entries, e.nameLen)
	w.entries = le.AppendUint16(w.entries, e.mode)
	w.entries = le.AppendUint32(w.entries, e.parent)
	w.entries = le.AppendUint32(w.entries, e.a)
	w.entries = le.AppendUint32(w.entries, e.b)
	w.entries = le.AppendUint32(w.entries, e.xattr)
}

// children says where the children of a folder are that was added before them.
func (w *indexWriter) children(folder int, first, count uint32) {
	p, le := w.entries[folder*entrySize:], binary.LittleEndian
	le.PutUint32(p[12:], first)
	le.PutUint32(p[16:], count)
}

func (c content) append(to []byte) []byte {
	le := binary.LittleEndian
	to = append(to, c.digest[:]...)
	to = le.AppendUint64(to, c.size)
	to = le.AppendUint32(to, c.chunk)
	to = le.AppendUint32(to, c.skip)
	to = le.AppendUint32(to, c.shift)
	return le.AppendUint32(to, 0)
}
