// SPDX-License-Identifier: MIT

package bundle

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
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
	Slice  int
}

// Tree is the union of a bundle's slices: a later slice lies over the earlier ones. Folders unite, of all else the last one counts.
// Nodes are numbered in breadth-first order, and the children of a folder have consecutive numbers.
type Tree struct {
	bundle  *Bundle
	data    int64 // place of .glick.data in the file
	slices  []*index
	nodes   []node
	ids     []Node // ids[n] == n, so that Children can return a part of it
	decoder *zstd.Decoder
	buffers sync.Pool // of *[]byte, for ReadAt
}

// node is where a node's entry is, and where its children are.
type node struct {
	slice, entry int32
	parent       Node
	first, count int32
}

// Tree reads the slices' indexes, compares their digests to the manifest's and checks them completely. Nothing is read from their data.
// The reader given to Read must stay open while the tree is used.
func (b *Bundle) Tree() (*Tree, error) {
	data, _ := b.section(sectionData)
	t := &Tree{bundle: b, data: data.Offset}
	for i, info := range b.manifest.Slices {
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
	t.unite()
	var err error
	if t.decoder, err = newDecoder(); err != nil {
		return nil, err
	}
	return t, nil
}

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

// unite numbers the nodes of all slices.
func (t *Tree) unite() {
	total := 0
	for _, x := range t.slices {
		total += x.entryCount()
	}
	t.nodes = make([]node, 0, total)
	// layers[n] are the entries, lowest slice first, of which folder n is made; only kept while it is needed.
	type layer struct{ slice, entry int32 }
	layers := [][]layer{nil}
	for s := range t.slices {
		layers[0] = append(layers[0], layer{int32(s), 0})
	}
	top := int32(len(t.slices) - 1)
	t.nodes = append(t.nodes, node{slice: top})
	for n := 0; n < len(t.nodes); n++ {
		mine := layers[n]
		layers[n] = nil
		first := len(t.nodes)
		if len(mine) > 0 {
			var children []layer
			for _, l := range mine {
				e := t.slices[l.slice].entry(int(l.entry))
				for i := range e.b {
					children = append(children, layer{l.slice, int32(e.a + i)})
				}
			}
			name := func(l layer) []byte { x := t.slices[l.slice]; return x.name(x.entry(int(l.entry))) }
			if len(mine) > 1 {
				sort.SliceStable(children, func(i, j int) bool { return bytes.Compare(name(children[i]), name(children[j])) < 0 })
			}
			for len(children) > 0 {
				same := 1
				for same < len(children) && bytes.Equal(name(children[same]), name(children[0])) {
					same++
				}
				winner := children[same-1]
				var dirs []layer
				for k := same - 1; k >= 0; k-- {
					if l := children[k]; t.slices[l.slice].entry(int(l.entry)).isDir() {
						dirs = append([]layer{l}, dirs...)
						continue
					}
					break // what lies under a file is hidden
				}
				t.nodes = append(t.nodes, node{slice: winner.slice, entry: winner.entry, parent: Node(n)})
				layers = append(layers, dirs)
				children = children[same:]
			}
		}
		t.nodes[n].first, t.nodes[n].count = int32(first), int32(len(t.nodes)-first)
	}
	t.ids = make([]Node, len(t.nodes))
	for i := range t.ids {
		t.ids[i] = Node(i)
	}
}

// Bundle returns the bundle of which this is the tree.
func (t *Tree) Bundle() *Bundle { return t.bundle }

// Len returns the number of nodes. Every n with 0 <= n < Len is a node; others must not be asked for.
func (t *Tree) Len() int { return len(t.nodes) }

func (t *Tree) entry(n Node) (*index, entry) {
	x := t.slices[t.nodes[n].slice]
	return x, x.entry(int(t.nodes[n].entry))
}

// Info returns what is known of a node.
func (t *Tree) Info(n Node) Info {
	x, e := t.entry(n)
	info := Info{Name: string(x.name(e)), Mode: uint32(e.mode), Parent: t.nodes[n].parent, Slice: int(t.nodes[n].slice), content: -1}
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

// Children returns the nodes in a folder by name in bytewise order; none when it is not a folder. The caller must not change the slice.
func (t *Tree) Children(dir Node) []Node {
	d := t.nodes[dir]
	return t.ids[d.first : d.first+d.count : d.first+d.count]
}

// Lookup finds a name in a folder.
func (t *Tree) Lookup(dir Node, name string) (Node, bool) {
	children := t.Children(dir)
	at := func(i int) string { x, e := t.entry(children[i]); return string(x.name(e)) }
	i := sort.Search(len(children), func(i int) bool { return at(i) >= name })
	if i < len(children) && at(i) == name {
		return children[i], true
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
	for ; n != 0; n = t.nodes[n].parent {
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
	if e.mode&modeType != modeFile || off < 0 {
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
	c.Slice = int(t.nodes[n].slice)
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
	case c.Raw:
		if err := readFull(t.bundle.r, raw, at); err != nil {
			return fail(err)
		}
	default:
		stored := t.buffer(int(c.Stored))
		defer t.buffers.Put(stored)
		if err := readFull(t.bundle.r, *stored, at); err != nil {
			return fail(err)
		}
		var err error
		if raw, err = t.decoder.DecodeAll(*stored, raw[:0]); err != nil || len(raw) != int(c.Raw) {
			return fail(ErrDamaged)
		}
	}
	if sha256.Sum256(raw) != c.Digest {
		return fail(ErrDamaged)
	}
	return raw, nil
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
