// SPDX-License-Identifier: MIT

package bundle

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// Node is a file, folder or symbolic link of a tree. 0 is the root folder.
type Node int

// Info is what a tree knows of a node. Owner and times are the same for all: the user who runs it, and ModTime.
type Info struct {
	Name    string // not necessarily UTF-8; empty for the root
	Mode    uint32 // type and permissions as in stat(2)
	Size    int64  // of a file's content, or of a link's target, in bytes
	Target  string // of a link
	Digest  Digest // of a file's content
	Parent  Node   // the root is its own
	Slice   int    // to which slice it belongs
	Xattrs  map[string]string
	content int
}

// IsDir says whether the node is a folder.
func (i Info) IsDir() bool { return i.Mode&modeType == modeDir }

// IsFile says whether the node is a regular file.
func (i Info) IsFile() bool { return i.Mode&modeType == modeFile }

// IsLink says whether the node is a symbolic link.
func (i Info) IsLink() bool { return i.Mode&modeType == modeLink }

// Chunk is a piece of content, the unit of reading and checking. It comes from ChunkAt.
type Chunk struct {
	Digest Digest // of the uncompressed bytes
	Offset int64  // in the slice's data, in bytes
	Stored uint32 // bytes in the file; equal to Raw: not compressed; 0: all zeros
	Raw    uint32 // uncompressed bytes
	Filter uint8  // what was done to the bytes before they were compressed
	Slice  int
}

// Tree is the union of a bundle's slices: a later slice lies over the earlier ones. Folders unite, of all else the last one counts.
// Nodes are numbered in breadth-first order, and the children of a folder have consecutive numbers.
type Tree struct {
	bundle  *Bundle
	data    int64 // place of .glick.data in the file
	slices  []*index
	nodes   []node // nil when there is one slice only: node n is its entry n
	decoder *zstd.Decoder
	buffers sync.Pool // of *[]byte, for ReadChunk

	files  FileSystem // of a foreign file, which has no chunks: the single index was made from it
	inodes []Inode    // by content, in files
}

// node is where a node's entry is, and where its children are.
type node struct {
	slice, entry, parent, first, count int32
}

// Tree reads the slices' indexes, compares their digests to the manifest's and checks them completely. Nothing is read from their data.
// Optional slices that are not in the file are left out. The reader given to Read must stay open while the tree is used.
func (b *Bundle) Tree() (*Tree, error) {
	if b.foreign != nil {
		return b.foreignTree()
	}
	data, _ := b.section(sectionData)
	t := &Tree{bundle: b, data: data.Offset}
	for i, info := range b.manifest.Slices {
		if info.Missing {
			t.slices = append(t.slices, emptyIndex)
			continue
		}
		raw, err := b.read(sectionSlice+strconv.Itoa(i), maxIndex)
		if err != nil {
			return nil, err
		}
		if sha256.Sum256(raw) != info.Digest {
			return nil, fmt.Errorf("the index of slice %d (%s) differs from its digest: %w", i, info.Name, ErrDamaged)
		}
		x, err := parseIndex(raw)
		if err != nil {
			return nil, fmt.Errorf("the index of slice %d (%s) is wrong: %w", i, info.Name, err)
		}
		if x.dataSize != info.DataSize || x.size != info.Size {
			return nil, fmt.Errorf("the sizes of slice %d (%s) differ from the manifest's: %w", i, info.Name, ErrDamaged)
		}
		t.slices = append(t.slices, x)
	}
	if len(t.slices) > 1 {
		if err := t.unite(); err != nil {
			return nil, err
		}
	}
	var err error
	if t.decoder, err = newDecoder(); err != nil {
		return nil, err
	}
	return t, nil
}

// emptyIndex is that of a slice which holds nothing but its root folder.
var emptyIndex = func() *index {
	e := make([]byte, entrySize)
	le := binary.LittleEndian
	le.PutUint16(e[6:], modeDir|0o755)
	le.PutUint32(e[12:], 1)
	le.PutUint32(e[20:], noXattrs)
	return &index{entries: e}
}()

// newDecoder returns what unpacks chunks. The capacity limit makes a chunk that would unpack to more than it says an error before it takes
// the memory.
func newDecoder() (*zstd.Decoder, error) {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecodeAllCapLimit(true),
		zstd.WithDecoderMaxMemory(maxChunk+1), zstd.WithDecoderMaxWindow(maxChunk))
	if err != nil {
		return nil, fmt.Errorf("cannot prepare unpacking: %w", err)
	}
	return d, nil
}

// layer is a slice's part of a folder.
type layer struct{ slice, entry int32 }

// unite numbers the nodes of all slices. It takes memory in proportion to the indexes, whatever they hold.
func (t *Tree) unite() error {
	total := 0
	for _, x := range t.slices {
		total += x.entryCount()
	}
	if total > math.MaxInt32 {
		return damaged("its slices have %d entries together", total)
	}
	t.nodes = make([]node, 0, total)
	name := func(l layer) []byte { x := t.slices[l.slice]; return x.name(x.entry(int(l.entry))) }
	// Folders of which several slices have a part, in the order of their numbers; those of one slice need no list.
	type folder struct {
		node   int
		layers []layer
	}
	var united []folder
	root := folder{}
	for s := range t.slices {
		root.layers = append(root.layers, layer{int32(s), 0})
	}
	united = append(united, root)
	t.nodes = append(t.nodes, node{slice: int32(len(t.slices) - 1)})
	var children []layer
	for n := 0; n < len(t.nodes); n++ {
		nd := t.nodes[n]
		e := t.slices[nd.slice].entry(int(nd.entry))
		if !e.isDir() {
			continue
		}
		first := len(t.nodes)
		if len(united) == 0 || united[0].node != n {
			for i := range e.b {
				t.nodes = append(t.nodes, node{slice: nd.slice, entry: int32(e.a + i), parent: int32(n)})
			}
			t.nodes[n].first, t.nodes[n].count = int32(first), int32(e.b)
			continue
		}
		children = children[:0]
		for _, l := range united[0].layers {
			e := t.slices[l.slice].entry(int(l.entry))
			for i := range e.b {
				children = append(children, layer{l.slice, int32(e.a + i)})
			}
		}
		united[0].layers, united = nil, united[1:]
		slices.SortStableFunc(children, func(a, b layer) int { return bytes.Compare(name(a), name(b)) })
		for rest := children; len(rest) > 0; {
			same := 1
			for same < len(rest) && bytes.Equal(name(rest[same]), name(rest[0])) {
				same++
			}
			// What lies under a file is hidden: the folders above the last entry that is none unite.
			from := same
			for from > 0 && t.slices[rest[from-1].slice].entry(int(rest[from-1].entry)).isDir() {
				from--
			}
			if same-from > 1 {
				united = append(united, folder{len(t.nodes), slices.Clone(rest[from:same])})
			}
			top := rest[same-1]
			t.nodes = append(t.nodes, node{slice: top.slice, entry: top.entry, parent: int32(n)})
			rest = rest[same:]
		}
		t.nodes[n].first, t.nodes[n].count = int32(first), int32(len(t.nodes)-first)
	}
	return nil
}

// at returns where the node is.
func (t *Tree) at(n Node) node {
	if t.nodes != nil {
		return t.nodes[n]
	}
	e := t.slices[0].entry(int(n))
	at := node{entry: int32(n), parent: int32(e.parent)}
	if e.isDir() {
		at.first, at.count = int32(e.a), int32(e.b)
	}
	return at
}

// Bundle returns the bundle of which this is the tree.
func (t *Tree) Bundle() *Bundle { return t.bundle }

// Len returns the number of nodes. Every n with 0 <= n < Len is a node; others must not be asked for.
func (t *Tree) Len() int {
	if t.nodes != nil {
		return len(t.nodes)
	}
	return t.slices[0].entryCount()
}

func (t *Tree) entry(n Node) (*index, entry) {
	at := t.at(n)
	x := t.slices[at.slice]
	return x, x.entry(int(at.entry))
}

func (t *Tree) parent(n Node) Node { return Node(t.at(n).parent) }

// Info returns what is known of a node.
func (t *Tree) Info(n Node) Info {
	at := t.at(n)
	x := t.slices[at.slice]
	e := x.entry(int(at.entry))
	info := Info{Name: string(x.name(e)), Mode: uint32(e.mode), Parent: Node(at.parent), Slice: int(at.slice), content: -1}
	switch e.mode & modeType {
	case modeFile:
		c := x.content(int(e.a))
		info.Size, info.Digest, info.content = int64(c.size), c.digest, int(e.a)
	case modeLink:
		info.Size, info.Target = int64(e.b), string(x.text(e.a, e.b))
	}
	if e.xattr != noXattrs {
		info.Xattrs, _ = x.xattr(e.xattr) // was checked
	}
	return info
}

// ChildCount returns the number of nodes in a folder; 0 when it is none.
func (t *Tree) ChildCount(dir Node) int { return int(t.at(dir).count) }

// Child returns node i of a folder, with 0 <= i < ChildCount(dir), in bytewise order of the names.
func (t *Tree) Child(dir Node, i int) Node { return Node(t.at(dir).first) + Node(i) }

// Children returns the nodes in a folder in bytewise order of the names; none when it is not a folder.
func (t *Tree) Children(dir Node) iter.Seq[Node] {
	at := t.at(dir)
	return func(yield func(Node) bool) {
		for n := at.first; n < at.first+at.count; n++ {
			if !yield(Node(n)) {
				return
			}
		}
	}
}

// Lookup finds a name in a folder.
func (t *Tree) Lookup(dir Node, name string) (Node, bool) {
	count := t.ChildCount(dir)
	at := func(i int) string { x, e := t.entry(t.Child(dir, i)); return string(x.name(e)) }
	i := sort.Search(count, func(i int) bool { return at(i) >= name })
	if i < count && at(i) == name {
		return t.Child(dir, i), true
	}
	return 0, false
}

// Find finds a node by its slash path relative to the prefix. Links are not followed. "" and "." are the root.
func (t *Tree) Find(path string) (Node, bool) {
	var n Node
	for part := range strings.SplitSeq(path, "/") {
		if part == "" || part == "." {
			continue
		}
		var ok bool
		if n, ok = t.Lookup(n, part); !ok {
			return 0, false
		}
	}
	return n, true
}

// Path returns the slash path of a node relative to the prefix; "." for the root.
func (t *Tree) Path(n Node) string {
	var parts []string
	for ; n != 0; n = t.parent(n) {
		x, e := t.entry(n)
		parts = append(parts, string(x.name(e)))
	}
	if len(parts) == 0 {
		return "."
	}
	for i, j := 0, len(parts)-1; i < j; i, j = i+1, j-1 {
		parts[i], parts[j] = parts[j], parts[i]
	}
	return strings.Join(parts, "/")
}

// ChunkAt returns the chunk that holds the byte at off of file n, and where in the uncompressed chunk that byte is. It returns io.EOF when
// off is at or behind the end. The bytes up to the end of the chunk may belong to another file: at most Info(n).Size-off are n's.
func (t *Tree) ChunkAt(n Node, off int64) (c Chunk, inChunk int64, err error) {
	x, e := t.entry(n)
	if e.mode&modeType != modeFile || off < 0 || t.files != nil {
		return Chunk{}, 0, fmt.Errorf("cannot read %q at %d: not a place in a file", t.Path(n), off)
	}
	f := x.content(int(e.a))
	if uint64(off) >= f.size {
		return Chunk{}, 0, io.EOF
	}
	k := int64(0)
	inChunk = int64(f.skip) + off
	if f.shift != 0 {
		k, inChunk = off>>f.shift, off&(1<<f.shift-1)
	}
	c = x.chunk(int(int64(f.chunk) + k))
	c.Slice = int(t.at(n).slice)
	return c, inChunk, nil
}

// ReadChunk returns the uncompressed bytes of a chunk after comparing them to its digest. They are in buf when its capacity suffices. The
// error is ErrDamaged, and names the slice, when they are not what they must be.
func (t *Tree) ReadChunk(c Chunk, buf []byte) ([]byte, error) {
	if c.Slice < 0 || c.Slice >= len(t.slices) {
		return nil, fmt.Errorf("cannot read a chunk of slice %d: no such slice", c.Slice)
	}
	x, info := t.slices[c.Slice], t.bundle.manifest.Slices[c.Slice]
	fail := func(err error) ([]byte, error) {
		return nil, fmt.Errorf("cannot read the chunk at %d of slice %d (%s): %w", c.Offset, c.Slice, info.Name, err)
	}
	if c.Raw > maxChunk || c.Stored > c.Raw || c.Offset < 0 || c.Offset > x.dataSize || int64(c.Stored) > x.dataSize-c.Offset {
		return fail(ErrDamaged)
	}
	raw := buf[:0]
	if cap(raw) < int(c.Raw) {
		raw = make([]byte, 0, c.Raw)
	}
	raw = raw[:c.Raw:c.Raw]
	at := t.data + info.DataOffset + c.Offset
	switch c.Stored {
	case 0:
		clear(raw)
		if c.Digest != zerosDigest(len(raw)) {
			return fail(ErrDamaged)
		}
		return raw, nil
	case c.Raw:
		if err := ReadFull(t.bundle.r, raw, at); err != nil {
			return fail(err)
		}
	default:
		stored := t.buffer(int(c.Stored))
		defer t.buffers.Put(stored)
		if err := ReadFull(t.bundle.r, *stored, at); err != nil {
			return fail(err)
		}
		var err error
		if raw, err = t.decoder.DecodeAll(*stored, raw[:0]); err != nil || len(raw) != int(c.Raw) {
			return fail(ErrDamaged)
		}
	}
	switch c.Filter {
	case filterNone:
	case filterX86:
		unfilterX86Code(raw)
	default:
		return fail(ErrVersion)
	}
	if sha256.Sum256(raw) != c.Digest {
		return fail(ErrDamaged)
	}
	return raw, nil
}

// zeros keeps the digests of chunks of zeros by their size: sparse files have many of the same.
var zeros sync.Map // of int to Digest

func zerosDigest(size int) Digest {
	if d, ok := zeros.Load(size); ok {
		return d.(Digest)
	}
	d := Digest(sha256.Sum256(make([]byte, size)))
	// Of any size that a file may have there could be many; those of whole chunks are few.
	if size&(size-1) == 0 {
		zeros.Store(size, d)
	}
	return d
}

// buffer returns a buffer of n bytes from the pool.
func (t *Tree) buffer(n int) *[]byte {
	if b, _ := t.buffers.Get().(*[]byte); b != nil && cap(*b) >= n {
		*b = (*b)[:n]
		return b
	}
	b := make([]byte, n)
	return &b
}

// ReadAt reads the content of file n from off, as io.ReaderAt does. Every chunk that it touches is checked.
func (t *Tree) ReadAt(n Node, p []byte, off int64) (int, error) {
	if t.files != nil {
		return t.readForeign(n, p, off)
	}
	size := t.Info(n).Size
	done := 0
	var buf []byte
	for done < len(p) {
		c, in, err := t.ChunkAt(n, off+int64(done))
		if err != nil {
			return done, err
		}
		if buf, err = t.ReadChunk(c, buf); err != nil {
			return done, err
		}
		rest := min(int64(len(buf))-in, size-off-int64(done))
		done += copy(p[done:], buf[in:in+rest])
	}
	return done, nil
}

// Open returns a reader over the content of file n from its beginning.
func (t *Tree) Open(n Node) io.Reader { return &fileReader{tree: t, node: n} }

type fileReader struct {
	tree *Tree
	node Node
	off  int64
	last Chunk
	buf  []byte
}

// Read keeps the last chunk, because readers ask for less than a chunk at a time.
func (r *fileReader) Read(p []byte) (int, error) {
	if r.tree.files != nil {
		n, err := r.tree.readForeign(r.node, p, r.off)
		r.off += int64(n)
		if n > 0 && errors.Is(err, io.EOF) {
			err = nil
		}
		return n, err
	}
	c, in, err := r.tree.ChunkAt(r.node, r.off)
	if err != nil {
		return 0, err
	}
	if c != r.last {
		r.last = Chunk{}
		if r.buf, err = r.tree.ReadChunk(c, r.buf); err != nil {
			return 0, err
		}
		r.last = c
	}
	n := copy(p, r.buf[in:])
	if left := r.tree.Info(r.node).Size - r.off; int64(n) > left {
		n = int(left)
	}
	r.off += int64(n)
	return n, nil
}
