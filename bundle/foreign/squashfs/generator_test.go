// SPDX-License-Identifier: MIT

package squashfs

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// thing is a file, folder, link or something else in the tree of an image that a test makes.
type thing struct {
	name     string
	mode     uint32
	data     []byte   // of a file
	hole     int64    // of a file: this many bytes of zeros in front of data, a multiple of the block size, without blocks
	target   string   // of a link
	children []*thing // of a folder, in the order in which they are listed
	same     *thing   // it is a hard link to that one, which comes before

	ref uint64 // of the inode, when it is written
}

func folder(name string, children ...*thing) *thing {
	return &thing{name: name, mode: modeDir | 0o755, children: children}
}

func regular(name string, data []byte) *thing {
	return &thing{name: name, mode: modeFile | 0o644, data: data}
}

func symlink(name, target string) *thing {
	return &thing{name: name, mode: modeLink | 0o777, target: target}
}

// maker writes images. Its zero value with a compression and a blockLog makes a sound one; the functions can break any part of it.
type maker struct {
	compression string // of compressions, or "none"
	blockLog    uint
	fragments   bool
	extended    bool // inodes are all of the larger types

	super   func(raw []byte)
	inode   func(t *thing, raw []byte) []byte
	listing func(t *thing, raw []byte) []byte
	block   func(raw, packed []byte) []byte     // of data and fragments
	meta    func(table string, p []byte) []byte // a metadata block with its size
	entry   func(raw []byte)                    // record of the fragment table
	image   func(raw []byte) []byte

	out    []byte
	tables map[string]*table
	tail   []byte // of the fragment block that is being filled
	frags  []byte // records of the fragment table
	count  uint32 // of inodes
}

// table is a metadata table.
type table struct {
	maker    *maker
	name     string
	out, raw []byte
	starts   []int
}

var le = binary.LittleEndian

func (t *table) ref() uint64 { return uint64(len(t.out))<<16 | uint64(len(t.raw)) }

func (t *table) write(p []byte) {
	for len(p) > 0 {
		n := min(len(p), metadataSize-len(t.raw))
		t.raw, p = append(t.raw, p[:n]...), p[n:]
		if len(t.raw) == metadataSize {
			t.flush()
		}
	}
}

func (t *table) flush() {
	raw, n := t.raw, len(t.raw)
	packed := t.maker.pack(raw)
	word := uint16(len(packed))
	if packed == nil {
		packed, word = raw, uint16(n)|plainBit
	}
	block := append(le.AppendUint16(nil, word), packed...)
	if t.maker.meta != nil {
		block = t.maker.meta(t.name, block)
	}
	t.starts = append(t.starts, len(t.out))
	t.out = append(t.out, block...)
	t.raw = nil
}

func (t *table) end() {
	if len(t.raw) > 0 {
		t.flush()
	}
}

var encoder = sync.OnceValue(func() *zstd.Encoder {
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<maxLog), zstd.WithLowerEncoderMem(true))
	if err != nil {
		panic(err)
	}
	return w
})

// pack returns the packed bytes, or nil when they are not shorter.
func (m *maker) pack(raw []byte) []byte {
	if len(raw) < 32 {
		return nil
	}
	var out bytes.Buffer
	switch m.compression {
	case "gzip":
		w := zlib.NewWriter(&out)
		w.Write(raw)
		w.Close()
	case "xz":
		w, err := xz.WriterConfig{CheckSum: xz.CRC32, DictCap: max(metadataSize, len(raw))}.NewWriter(&out)
		if err != nil {
			return nil
		}
		w.Write(raw)
		w.Close()
	case "zstd":
		out.Write(encoder().EncodeAll(raw, nil))
	}
	if out.Len() == 0 || out.Len() >= len(raw) {
		return nil
	}
	return out.Bytes()
}

// make returns an image of the tree.
func (m *maker) make(t testing.TB, root *thing) []byte {
	t.Helper()
	number := slices.Index(compressions[:], m.compression)
	if number < 0 {
		number = 1 // nothing is packed
	}
	m.out, m.tables, m.tail, m.frags, m.count = make([]byte, superblockSize), map[string]*table{}, nil, nil, 0
	for _, name := range []string{"inodes", "folders", "fragments", "ids"} {
		m.tables[name] = &table{maker: m, name: name}
	}
	m.add(root)
	if len(m.tail) > 0 {
		m.flushTail()
	}
	m.tables["fragments"].write(m.frags)
	m.tables["ids"].write(make([]byte, 4))
	none := uint64(math.MaxUint64)
	start := map[string]uint64{"fragments": none, "ids": none}
	for _, name := range []string{"inodes", "folders", "fragments", "ids"} {
		x := m.tables[name]
		x.end()
		start[name] = uint64(len(m.out))
		m.out = append(m.out, x.out...)
		if name == "fragments" || name == "ids" {
			at := start[name]
			start[name] = uint64(len(m.out))
			for _, s := range x.starts {
				m.out = le.AppendUint64(m.out, at+uint64(s))
			}
			if len(x.starts) == 0 {
				start[name] = none
			}
		}
	}
	sb := m.out
	le.PutUint32(sb, magic)
	le.PutUint32(sb[4:], m.count)
	le.PutUint32(sb[12:], 1<<m.blockLog)
	le.PutUint32(sb[16:], uint32(len(m.frags)/fragmentSize))
	le.PutUint16(sb[20:], uint16(number))
	le.PutUint16(sb[22:], uint16(m.blockLog))
	le.PutUint16(sb[26:], 1)
	le.PutUint16(sb[28:], 4)
	le.PutUint64(sb[32:], root.ref)
	le.PutUint64(sb[40:], uint64(len(m.out)))
	le.PutUint64(sb[48:], start["ids"])
	le.PutUint64(sb[56:], none)
	le.PutUint64(sb[64:], start["inodes"])
	le.PutUint64(sb[72:], start["folders"])
	le.PutUint64(sb[80:], start["fragments"])
	le.PutUint64(sb[88:], none)
	if m.super != nil {
		m.super(sb[:superblockSize])
	}
	if m.image != nil {
		return m.image(m.out)
	}
	return m.out
}

// putBlock writes a block of data and returns its size with plainBlock.
func (m *maker) putBlock(raw []byte) uint32 {
	packed := m.pack(raw)
	word := uint32(0)
	if packed == nil {
		packed, word = raw, plainBlock
	}
	if m.block != nil {
		packed = m.block(raw, packed)
	}
	m.out = append(m.out, packed...)
	return word | uint32(len(packed))
}

func (m *maker) flushTail() {
	rec := le.AppendUint64(nil, uint64(len(m.out)))
	rec = le.AppendUint32(rec, m.putBlock(m.tail))
	rec = le.AppendUint32(rec, 0)
	if m.entry != nil {
		m.entry(rec)
	}
	m.frags, m.tail = append(m.frags, rec...), nil
}

// add writes a thing after all that is in it, and its data.
func (m *maker) add(t *thing) {
	if t.same != nil {
		t.ref = t.same.ref
		return
	}
	for _, c := range t.children {
		m.add(c)
	}
	kind := slices.Index(inodeTypes[:], t.mode&modeType)
	var p []byte
	switch kind {
	case 1:
		p = m.folderInode(t)
	case 2:
		p = m.fileInode(t)
	case 3:
		p = le.AppendUint32(nil, 1)
		p = le.AppendUint32(p, uint32(len(t.target)))
		p = append(p, t.target...)
		if m.extended {
			p = le.AppendUint32(p, math.MaxUint32)
		}
	default: // devices have a number, the others not; the larger types an xattr
		p = make([]byte, 12)
	}
	if m.extended {
		kind += extended
	}
	m.count++
	head := le.AppendUint16(nil, uint16(kind))
	head = le.AppendUint16(head, uint16(t.mode&modePerm))
	head = append(head, make([]byte, 8)...)
	head = le.AppendUint32(head, m.count)
	p = append(head, p...)
	if m.inode != nil {
		p = m.inode(t, p)
	}
	t.ref = m.tables["inodes"].ref()
	m.tables["inodes"].write(p)
}

func (m *maker) folderInode(t *thing) []byte {
	var p []byte
	for c := t.children; len(c) > 0; {
		n := 1
		for n < len(c) && n < maxRun && c[n].ref>>16 == c[0].ref>>16 {
			n++
		}
		p = le.AppendUint32(p, uint32(n-1))
		p = le.AppendUint32(p, uint32(c[0].ref>>16))
		p = le.AppendUint32(p, 1)
		for _, c := range c[:n] {
			p = le.AppendUint16(p, uint16(c.ref))
			p = le.AppendUint16(p, 0)
			p = le.AppendUint16(p, uint16(slices.Index(inodeTypes[:], c.mode&modeType)))
			p = le.AppendUint16(p, uint16(len(c.name)-1))
			p = append(p, c.name...)
		}
		c = c[n:]
	}
	if m.listing != nil {
		p = m.listing(t, p)
	}
	ref, size := m.tables["folders"].ref(), len(p)+3
	m.tables["folders"].write(p)
	if m.extended {
		p = le.AppendUint32(nil, 2)
		p = le.AppendUint32(p, uint32(size))
		p = le.AppendUint32(p, uint32(ref>>16))
		p = le.AppendUint32(p, 0)
		p = le.AppendUint16(p, 0)
		p = le.AppendUint16(p, uint16(ref))
		return le.AppendUint32(p, math.MaxUint32)
	}
	p = le.AppendUint32(nil, uint32(ref>>16))
	p = le.AppendUint32(p, 2)
	p = le.AppendUint16(p, uint16(size))
	p = le.AppendUint16(p, uint16(ref))
	return le.AppendUint32(p, 0)
}

func (m *maker) fileInode(t *thing) []byte {
	start := uint64(len(m.out))
	list := make([]byte, t.hole>>m.blockLog*4)
	size := uint64(t.hole) + uint64(len(t.data))
	frag, offset := uint32(noFragment), uint32(0)
	for rest := t.data; len(rest) > 0; {
		n := min(len(rest), 1<<m.blockLog)
		if n < 1<<m.blockLog && m.fragments {
			if len(m.tail)+n > 1<<m.blockLog {
				m.flushTail()
			}
			frag, offset = uint32(len(m.frags)/fragmentSize), uint32(len(m.tail))
			m.tail = append(m.tail, rest...)
			break
		}
		word := uint32(0)
		if len(bytes.Trim(rest[:n], "\x00")) > 0 {
			word = m.putBlock(rest[:n])
		}
		list = le.AppendUint32(list, word)
		rest = rest[n:]
	}
	var p []byte
	if m.extended {
		p = le.AppendUint64(p, start)
		p = le.AppendUint64(p, size)
		p = le.AppendUint64(p, uint64(t.hole))
		p = le.AppendUint32(p, 1)
		p = le.AppendUint32(p, frag)
		p = le.AppendUint32(p, offset)
		p = le.AppendUint32(p, math.MaxUint32)
	} else {
		p = le.AppendUint32(p, uint32(start))
		p = le.AppendUint32(p, frag)
		p = le.AppendUint32(p, offset)
		p = le.AppendUint32(p, uint32(size))
	}
	return append(p, list...)
}

// noise returns n bytes that cannot be packed.
func noise(n int) []byte {
	p := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(p)
	return p
}

// prose returns n bytes that can be packed.
func prose(n int) []byte {
	var p []byte
	for i := 0; len(p) < n; i++ {
		p = fmt.Appendf(p, "sentence %d of a text that goes on and on; ", i*i)
	}
	return p[:n]
}

// smallTree has one of each.
func smallTree(block int) *thing {
	first := regular("b-file", prose(2*block+100))
	many := folder("many")
	for i := range 600 {
		many.children = append(many.children, regular(fmt.Sprintf("name-%04d", i), fmt.Appendf(nil, "%d", i)))
	}
	zeros := append(append(noise(block), make([]byte, 2*block)...), 7)
	return folder("",
		folder("a-empty"),
		first,
		regular("c-empty", nil),
		&thing{name: "d-same", mode: first.mode, same: first},
		symlink("e-link", "b-file"),
		regular("f-noise", noise(block+5)),
		regular("g-whole", prose(block)),
		regular("h-zeros", zeros),
		many,
		folder("n", folder("o", folder("p", regular("q", []byte("deep"))))),
		&thing{name: "pipe", mode: modePipe | 0o600},
		&thing{name: "socket", mode: modeSocket | 0o700},
		&thing{name: "tty", mode: modeChar | 0o620},
		&thing{name: "x-\xff\xfe", mode: modeFile | 0o4755, data: []byte("not UTF-8")},
		&thing{name: "z-disk", mode: modeBlock | 0o660},
	)
}
