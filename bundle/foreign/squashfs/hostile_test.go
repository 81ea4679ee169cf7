// SPDX-License-Identifier: MIT

package squashfs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"runtime"
	"strings"
	"testing"

	"glick.org/glick/bundle"
)

// mostMemory is what reading a hostile image may take, in bytes.
const mostMemory = 64 << 20

// hostileTree is small; everything that a case breaks is in it once. Its large file has two blocks and a tail.
func hostileTree() *thing {
	return folder("", regular("aa", []byte("x")), regular("file", prose(10_000)), symlink("link", "target"), folder("sub", regular("y", []byte("y"))))
}

// hostile is an image that is wrong in one place.
type hostile struct {
	name  string
	maker maker
	want  error  // nil: what is wrong does not matter
	text  string // is in the error
}

// hostileMade keeps the images by name, because making them takes longer than reading them.
var hostileMade = map[string][]byte{}

func (h *hostile) image(t testing.TB) []byte {
	t.Helper()
	p, ok := hostileMade[h.name]
	if !ok {
		p = h.maker.make(t, hostileTree())
		hostileMade[h.name] = p
	}
	return bytes.Clone(p)
}

// at returns a change of a number of 16, 32 or 64 bits.
func at[T uint16 | uint32 | uint64](off int, v T) func([]byte) {
	return func(p []byte) {
		if _, err := binary.Encode(p[off:], le, v); err != nil {
			panic(err)
		}
	}
}

// hostiles returns the table of all of them.
func hostiles() []hostile {
	d, u, c := bundle.ErrDamaged, bundle.ErrUnsupported, bundle.ErrTruncated
	var all []hostile
	add := func(want error, name string, mk maker) { all = append(all, hostile{name, mk, want, ""}) }
	image := func(want error, name string, change func(p []byte) []byte) { add(want, name, maker{image: change}) }
	super := func(want error, name string, change func([]byte)) { add(want, name, maker{super: change}) }
	// inode changes the inode of one name; the fields begin at 16.
	inode := func(want error, name, of string, large bool, change func([]byte)) {
		add(want, name, maker{extended: large, inode: func(t *thing, raw []byte) []byte {
			if t.name == of {
				change(raw)
			}
			return raw
		}})
	}
	listing := func(want error, name string, change func([]byte) []byte) {
		add(want, name, maker{listing: func(t *thing, raw []byte) []byte {
			if t.name == "" {
				return change(raw)
			}
			return raw
		}})
	}
	rename := func(want error, name, to string) {
		listing(want, name, func(p []byte) []byte {
			return bytes.Replace(p, []byte("\x01\x00aa"), append([]byte{byte(len(to) - 1), 0}, to...), 1)
		})
	}
	table := func(want error, name, of string, change func([]byte) []byte) {
		add(want, name, maker{compression: "gzip", meta: func(table string, p []byte) []byte {
			if table == of {
				return change(p)
			}
			return p
		}})
	}
	pack := func(want error, compression, name string, change func(raw, packed []byte) []byte) {
		add(want, compression+": "+name, maker{compression: compression, block: change})
	}

	image(c, "empty file", func([]byte) []byte { return nil })
	image(c, "half a superblock", func(p []byte) []byte { return p[:50] })
	image(c, "only a superblock", func(p []byte) []byte { return p[:superblockSize] })
	image(c, "tables are missing", func(p []byte) []byte { return p[:len(p)-100] })
	image(c, "the last byte is missing", func(p []byte) []byte { return p[:len(p)-1] })

	super(d, "magic", at(0, uint32(0x68737173)))
	super(u, "version 3", at(28, uint16(3)))
	super(u, "version 4.1", at(30, uint16(1)))
	super(d, "block size and its logarithm differ", at(12, uint32(8192)))
	super(d, "block size 2 KiB", func(p []byte) { at(12, uint32(2048))(p); at(22, uint16(11))(p) })
	super(d, "block size 2 GiB", func(p []byte) { at(12, uint32(1<<31))(p); at(22, uint16(31))(p) })
	super(d, "block size 1 by overflow", func(p []byte) { at(12, uint32(1))(p); at(22, uint16(64))(p) })
	super(d, "compression 0", at(20, uint16(0)))
	super(d, "compression 7", at(20, uint16(7)))
	super(u, "lzma", at(20, uint16(2)))
	super(u, "lzo", at(20, uint16(3)))
	super(u, "lz4", at(20, uint16(5)))
	super(d, "size 0", at(40, uint64(0)))
	super(d, "size 2^63", at(40, uint64(1<<63)))
	super(c, "size 2^62", at(40, uint64(1<<62)))
	super(d, "the tables are behind the end", at(40, uint64(200)))
	super(d, "inode table in the superblock", at(64, uint64(0)))
	super(d, "inode table behind the folders", at(64, uint64(1<<40)))
	super(d, "inode table at 2^64-1", at(64, uint64(math.MaxUint64)))
	super(d, "folder table at 2^64-1", at(72, uint64(math.MaxUint64)))
	super(d, "folder table at the end", func(p []byte) { copy(p[72:80], p[40:48]) })
	super(d, "4 billion fragments", at(16, uint32(math.MaxUint32)))
	super(d, "fragment table at 2^64-8", at(80, uint64(math.MaxUint64-7)))
	super(d, "fragment table at the end", func(p []byte) { copy(p[80:88], p[40:48]) })
	super(d, "fragment table in the superblock", at(80, uint64(8)))
	super(d, "root outside of the inodes", at(32, uint64(1<<40)))
	super(d, "root at the highest place", at(32, uint64(math.MaxUint64)))
	super(d, "root behind its block", at(32, uint64(8000)))
	super(d, "root behind every block", at(32, uint64(0xffff)))
	super(d, "root is a file", at(32, uint64(0)))
	super(nil, "4 billion inodes", at(4, uint32(math.MaxUint32)))
	super(nil, "export, id and xattr tables anywhere", func(p []byte) {
		at(48, uint64(math.MaxInt64))(p)
		at(56, uint64(math.MaxInt64))(p)
		at(88, uint64(1))(p)
	})

	inode(d, "inode type 0", "aa", false, at(0, uint16(0)))
	inode(d, "inode type 15", "aa", false, at(0, uint16(15)))
	inode(d, "inode type 65535", "aa", false, at(0, uint16(math.MaxUint16)))
	inode(d, "file of 4 GiB without blocks", "file", false, at(28, uint32(math.MaxUint32)))
	inode(d, "file of 2^63 bytes", "file", true, at(24, uint64(1<<63)))
	inode(d, "file of 2^63-1 bytes", "file", true, at(24, uint64(1<<63-1)))
	inode(d, "file of 2^40 bytes", "file", true, at(24, uint64(1<<40)))
	inode(d, "first block at 2^64-1", "file", true, at(16, uint64(math.MaxUint64)))
	inode(d, "first block at 2^63-1", "file", true, at(16, uint64(math.MaxInt64)))
	inode(d, "first block at 4 GiB", "file", false, at(16, uint32(math.MaxUint32)))
	inode(d, "fragment that is not there", "file", false, at(20, uint32(1)))
	inode(d, "fragment 4294967294", "file", false, at(20, uint32(math.MaxUint32-1)))
	inode(d, "behind the fragment", "file", false, at(24, uint32(5000)))
	inode(d, "4 GiB into the fragment", "file", false, at(24, uint32(math.MaxUint32)))
	inode(d, "block of more than the block size", "file", false, at(32, uint32(4097|plainBlock)))
	inode(d, "packed block of more than the block size", "file", false, at(32, uint32(4097)))
	inode(d, "block with unknown flags", "file", false, at(32, uint32(1<<25|100)))
	inode(d, "block of 4 GiB", "file", false, at(32, uint32(math.MaxUint32)))
	inode(d, "block that is too short", "file", false, at(32, uint32(4000|plainBlock)))
	inode(nil, "block that is a hole", "file", false, at(32, uint32(0)))
	inode(d, "packed block that is not packed", "file", false, at(32, uint32(4096)))
	inode(d, "target of 4 GiB", "link", false, at(20, uint32(math.MaxUint32)))
	inode(d, "target of 4096 bytes", "link", false, at(20, uint32(4096)))
	inode(d, "target of 0 bytes", "link", false, at(20, uint32(0)))
	inode(d, "target with zero", "link", false, func(p []byte) { p[26] = 0 })
	inode(d, "listing of 4 GiB", "sub", true, at(20, uint32(math.MaxUint32)))
	inode(d, "listing of 64 KiB", "sub", false, at(24, uint16(math.MaxUint16)))
	inode(d, "listing that is longer than it is", "sub", false, func(p []byte) { p[24]++ })
	inode(d, "listing that is shorter than it is", "sub", false, func(p []byte) { p[24]-- })
	inode(nil, "listing of 0 bytes", "sub", false, at(24, uint16(0)))
	inode(d, "listing outside of the table", "sub", false, at(16, uint32(math.MaxUint32)))
	inode(d, "listing behind its block", "sub", false, at(26, uint16(8000)))
	inode(d, "listing behind every block", "sub", false, at(26, uint16(math.MaxUint16)))

	rename(d, "name with a slash", "a/b")
	rename(d, "name with zero", "a\x00")
	rename(d, "name ..", "..")
	rename(d, "name .", ".")
	rename(d, "name twice", "file")
	rename(d, "names not in order", "zz")
	rename(d, "name of 256 bytes", strings.Repeat("a", 256))
	rename(nil, "name of 255 bytes", strings.Repeat("a", 255))
	listing(d, "name that is longer than the listing", func(p []byte) []byte { at(18, uint16(200))(p); return p })
	listing(d, "name of 64 KiB", func(p []byte) []byte { at(18, uint16(math.MaxUint16))(p); return p })
	listing(d, "more entries than there are", func(p []byte) []byte { at(0, uint32(200))(p); return p })
	listing(d, "257 entries", func(p []byte) []byte { at(0, uint32(256))(p); return p })
	listing(d, "0 entries by overflow", func(p []byte) []byte { at(0, uint32(math.MaxUint32))(p); return p })
	listing(d, "half a header", func(p []byte) []byte { return append(p, 0, 0, 0, 0) })
	listing(d, "inodes outside of their table", func(p []byte) []byte { at(4, uint32(1<<20))(p); return p })
	listing(d, "inode outside of its block", func(p []byte) []byte { at(12, uint16(8192))(p); return p })
	listing(d, "inode behind its block", func(p []byte) []byte { at(12, uint16(8191))(p); return p })
	listing(nil, "another type than the inode's", func(p []byte) []byte { at(16, uint16(99))(p); return p })

	block := func(p []byte) []byte { return append(le.AppendUint16(nil, uint16(len(p))), p...) }
	gz := maker{compression: "gzip"}
	for _, name := range []string{"inodes", "folders", "fragments"} {
		table(d, name+": metadata block of 0 bytes", name, func(p []byte) []byte { p[0], p[1] = 0, 0; return p })
		table(d, name+": metadata block of 32 KiB", name, func(p []byte) []byte { p[0], p[1] = 0xff, 0x7f; return p })
		table(d, name+": metadata block behind its table", name, func(p []byte) []byte { p[0], p[1] = 0, 0x9f; return p })
		table(d, name+": no metadata block", name, func([]byte) []byte { return []byte{1} })
		table(d, name+": metadata block that is not packed", name, func([]byte) []byte { return block(noise(100)) })
		table(d, name+": metadata block that unpacks to 1 MiB", name, func([]byte) []byte { return block(gz.pack(make([]byte, 1<<20))) })
		table(d, name+": metadata block that unpacks to 8193 bytes", name, func([]byte) []byte { return block(gz.pack(make([]byte, 8193))) })
		table(d, name+": metadata block that unpacks to nothing", name, func([]byte) []byte {
			return block([]byte{0x78, 0x9c, 0x03, 0x00, 0x00, 0x00, 0x00, 0x01})
		})
	}
	// fragments changes the list of the fragment table's blocks, which has one entry.
	fragments := func(want error, name string, to func(list uint64) uint64) {
		image(want, name, func(p []byte) []byte {
			list := le.Uint64(p[80:])
			le.PutUint64(p[list:], to(list))
			return p
		})
	}
	fragments(d, "fragment table that is its own list", func(list uint64) uint64 { return list })
	fragments(d, "fragment table's block in the superblock", func(uint64) uint64 { return 0 })
	fragments(d, "fragment table behind the end", func(uint64) uint64 { return 1 << 40 })
	fragments(d, "fragment table at 2^64-1", func(uint64) uint64 { return math.MaxUint64 })
	fragments(d, "fragment table at its end", func(list uint64) uint64 { return list - 1 })
	add(d, "fragment at 2^64-1", maker{entry: at(0, uint64(math.MaxUint64))})
	add(d, "fragment at 2^63-1", maker{entry: at(0, uint64(math.MaxInt64))})
	add(d, "fragment of 0 bytes", maker{entry: at(8, uint32(0))})
	add(d, "fragment of 8 KiB", maker{entry: at(8, uint32(8192|plainBlock))})
	add(d, "fragment of 4 GiB", maker{entry: at(8, uint32(math.MaxUint32))})

	for _, k := range []string{"gzip", "xz", "zstd"} {
		mk := maker{compression: k, blockLog: maxLog}
		pack(d, k, "block that unpacks to one byte more", func(raw, _ []byte) []byte { return mk.pack(append(bytes.Clone(raw), 0)) })
		pack(d, k, "block that unpacks to one byte less", func(raw, _ []byte) []byte { return mk.pack(raw[1:]) })
		pack(d, k, "block that unpacks to 256 KiB", func([]byte, []byte) []byte {
			p := mk.pack(make([]byte, 1<<18))
			return p[:min(len(p), 4096)] // as much as fits
		})
		pack(d, k, "block without its end", func(_, packed []byte) []byte { return packed[:len(packed)-1] })
		pack(d, k, "block of noise", func([]byte, []byte) []byte { return noise(1000) })
		pack(d, k, "block with a changed byte", func(_, packed []byte) []byte {
			p := bytes.Clone(packed)
			p[len(p)/2] ^= 1
			return p
		})
	}
	// An LZMA chunk whose range coder begins with zeros and which says it unpacks to n bytes.
	lz := func(control, props byte, n, packed int) []byte {
		return append([]byte{control | byte((n-1)>>16), byte((n - 1) >> 8), byte(n - 1), byte((packed - 1) >> 8), byte(packed - 1), props},
			make([]byte, packed)...)
	}
	xzs := func(want error, name string, stream func(raw []byte) []byte) {
		add(want, "xz: "+name, maker{compression: "xz", blockLog: 17, block: func(raw, _ []byte) []byte { return stream(raw) }})
	}
	xzs(nil, "sound stream of one plain chunk", func(raw []byte) []byte { return xzStream(12, plainChunk(raw), raw) })
	xzs(d, "dictionary of 1.5 GiB", func(raw []byte) []byte { return xzStream(37, plainChunk(raw), raw) })
	xzs(d, "dictionary of 4 GiB", func(raw []byte) []byte { return xzStream(40, plainChunk(raw), raw) })
	xzs(d, "dictionary of impossible size", func(raw []byte) []byte { return xzStream(41, plainChunk(raw), raw) })
	xzs(d, "wrong checksum", func(raw []byte) []byte { return xzStream(12, plainChunk(raw), raw[1:]) })
	xzs(d, "no chunks", func([]byte) []byte { return xzStream(12, []byte{0}, nil) })
	xzs(d, "no end of the chunks", func(raw []byte) []byte { p := plainChunk(raw); return xzStream(12, p[:len(p)-1], raw) })
	xzs(d, "chunk of 2 MiB", func(raw []byte) []byte { return xzStream(12, append(lz(0xe0, 93, 2<<20, 100), 0), raw) })
	xzs(d, "table of 6 MiB", func(raw []byte) []byte { return xzStream(12, append(lz(0xe0, 4*9+8, 4096, 100), 0), raw) })
	xzs(d, "a thousand chunks", func(raw []byte) []byte {
		return xzStream(12, append(bytes.Repeat([]byte{1, 0, 0, 'x'}, 1000), 0), raw)
	})
	xzs(d, "chunk in a chunk", func(raw []byte) []byte {
		// Six zeros are all that the range coder needs for one byte.
		p := lz(0xe0, 93, 1, 600)
		copy(p[12:], bytes.Repeat(lz(0xc0, 4*9+8, 1, 5), 50))
		return xzStream(12, append(p, 0), raw)
	})
	all[len(all)-1].text = errChunk.Error()
	xzs(d, "first chunk without properties", func(raw []byte) []byte { return xzStream(12, append(lz(0xa0, 93, 4096, 100), 0), raw) })
	xzs(d, "unknown chunk", func(raw []byte) []byte { return xzStream(12, []byte{3, 0, 0, 0, 0}, raw) })
	xzs(u, "filter", func(raw []byte) []byte {
		p := xzStream(12, plainChunk(raw), raw)
		copy(p[13:], []byte{1, 4, 0, filterLZMA2, 1, 12, 0})
		le.PutUint32(p[20:], crc32.ChecksumIEEE(p[12:20]))
		return p
	})

	frame := func(header ...byte) []byte { return append([]byte{0x28, 0xb5, 0x2f, 0xfd}, header...) }
	zs := func(want error, name string, p []byte) {
		pack(want, "zstd", name, func(_, _ []byte) []byte { return p })
	}
	zs(d, "window of 128 MiB", append(frame(0, 17<<3), 0x02|1, 0x80, 0, 'x')) // a block of 4096 times x
	zs(d, "window of 2 TiB", append(frame(0, 31<<3), 0x02|1, 0x80, 0, 'x'))
	zs(d, "content of 2^60 bytes", append(frame(0xe0, 0, 0, 0, 0, 0, 0, 0, 0x10), 0x02|1, 0x80, 0, 'x'))
	zs(d, "block of 128 KiB in a frame without size", append(frame(0, 7<<3), 0x02|1, 0, 0x10, 'x'))
	zs(nil, "sound frame", append(frame(0, 2<<3), 0x02|1, 0x80, 0, 'x'))
	zs(d, "frames one after the other", bytes.Repeat(append(frame(0, 2<<3), 0x02|1, 0x80, 0, 'x'), 100))

	for i := range all {
		mk := &all[i].maker
		if mk.compression == "" {
			mk.compression = "none"
		}
		if mk.blockLog == 0 {
			mk.blockLog = 12
		}
		mk.fragments = true
	}
	return all
}

// plainChunk returns LZMA2 that is not packed.
func plainChunk(raw []byte) []byte {
	p := append([]byte{1, byte((len(raw) - 1) >> 8), byte(len(raw) - 1)}, raw...)
	return append(p, 0)
}

// xzStream returns a stream of one block.
func xzStream(dict byte, lzma2, raw []byte) []byte {
	p := append(bytes.Clone(xzMagic), 0, 1)
	p = le.AppendUint32(p, crc32.ChecksumIEEE(p[6:8]))
	head := []byte{2, 0, filterLZMA2, 1, dict, 0, 0, 0}
	p = le.AppendUint32(append(p, head...), crc32.ChecksumIEEE(head))
	p = append(p, lzma2...)
	p = append(p, make([]byte, -len(lzma2)&3)...)
	p = le.AppendUint32(p, crc32.ChecksumIEEE(raw))
	return append(p, xzTail(uint64(12+len(lzma2)+4), uint64(len(raw)), 1)...)
}

func TestHostile(t *testing.T) {
	seen := map[string]bool{}
	for _, h := range hostiles() {
		if seen[h.name] {
			t.Errorf("%s: two of this name", h.name)
		}
		seen[h.name] = true
		t.Run(h.name, func(t *testing.T) {
			p := h.image(t)
			var err error
			took := allocated(func() { err = walk(bytes.NewReader(p), int64(len(p)), 100, 5000) })
			if !errors.Is(err, h.want) || h.text != "" && !strings.Contains(err.Error(), h.text) {
				t.Errorf("got %v", err)
			}
			if took > mostMemory {
				t.Errorf("it took %d bytes of memory", took)
			}
		})
	}
}

// allocated returns how many bytes of memory were taken, given back or not.
func allocated(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestCut opens an image that ends early, and one whose superblock says so, at every length.
func TestCut(t *testing.T) {
	mk := maker{compression: "gzip", blockLog: 12, fragments: true}
	p := mk.make(t, hostileTree())
	for n := range p {
		if err := walk(bytes.NewReader(p), int64(n), 100, 5000); !errors.Is(err, bundle.ErrTruncated) {
			t.Fatalf("%d bytes: %v", n, err)
		}
		q := bytes.Clone(p)
		le.PutUint64(q[40:], uint64(n))
		if err := walk(bytes.NewReader(q), int64(n), 100, 5000); err != nil && !errors.Is(err, bundle.ErrDamaged) && !errors.Is(err, bundle.ErrTruncated) {
			t.Fatalf("%d bytes are all: %v", n, err)
		}
	}
}

// TestMemory finds a name in images that are as expensive as can be.
func TestMemory(t *testing.T) {
	many := func(n, size int) *thing {
		root := folder("", regular(" ", nil))
		for i := range n {
			name := fmt.Sprintf("%0*x", size, i)
			root.children = append(root.children, &thing{name: name, mode: root.children[0].mode, same: root.children[0]})
		}
		return root
	}
	// Files of one block each unpack from little to 1 MiB.
	bombs := folder("")
	for i := range 60 {
		bombs.children = append(bombs.children, regular(fmt.Sprintf("%02d", i), append(make([]byte, 1<<20-1), byte(i+1))))
	}
	for _, c := range []struct {
		name  string
		maker maker
		tree  *thing
		want  error
	}{
		{"folder of as many names as may be", maker{compression: "zstd", blockLog: 12, extended: true}, many(320_000, 5), nil},
		{"folder of more", maker{compression: "zstd", blockLog: 12, extended: true}, many(20_000, 210), bundle.ErrUnsupported},
		{"bombs", maker{compression: "zstd", blockLog: 20}, bombs, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := c.maker.make(t, c.tree)
			var err error
			took := allocated(func() {
				var m *Image
				var entries []bundle.DirEntry
				if m, err = Open(bytes.NewReader(p), int64(len(p))); err == nil {
					if entries, err = m.ReadDir(m.Root()); err == nil {
						_, err = m.ReadAt(entries[len(entries)-1].Inode, make([]byte, 1), 0)
					}
				}
			})
			if err != nil && err.Error() == "EOF" {
				err = nil // the files are empty
			}
			if !errors.Is(err, c.want) {
				t.Fatal(err)
			}
			if took > mostMemory {
				t.Errorf("%d bytes of memory for an image of %d", took, len(p))
			}
		})
	}
	t.Run("kept", func(t *testing.T) {
		mk := maker{compression: "zstd", blockLog: 20}
		p := mk.make(t, bombs)
		m := open(t, p)
		entries, err := m.ReadDir(m.Root())
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if _, err := m.ReadAt(e.Inode, make([]byte, 1), 1<<20-1); err != nil {
				t.Fatal(err)
			}
		}
		if m.data.used > dataCache || len(m.data.byKey) != m.data.order.Len() || len(m.data.byKey) > 8 {
			t.Errorf("%d bytes of %d blocks are kept", m.data.used, len(m.data.byKey))
		}
	})
}

// addImages adds seeds for fuzzing: an image of each compression, and all that are wrong.
func addImages(f *testing.F) {
	for _, k := range []string{"none", "gzip", "xz", "zstd"} {
		for _, large := range []bool{false, true} {
			mk := maker{compression: k, blockLog: 12, fragments: !large, extended: large}
			f.Add(mk.make(f, hostileTree()))
		}
	}
	for _, h := range hostiles() {
		f.Add(h.image(f))
	}
}

func FuzzOpen(f *testing.F) {
	addImages(f)
	f.Fuzz(func(t *testing.T, p []byte) {
		checkClass(t, walk(bytes.NewReader(p), int64(len(p)), 200, 10_000))
	})
}

// FuzzUnpack gives packed blocks to each compression without what is around them, since checksums keep most of a mutated image from being
// unpacked.
func FuzzUnpack(f *testing.F) {
	for _, k := range []string{"gzip", "xz", "zstd"} {
		mk := maker{compression: k, blockLog: 12}
		f.Add(mk.pack(prose(5000)))
	}
	xz := maker{compression: "xz"}
	p := xz.pack(prose(5000))
	f.Add(p[24:])
	f.Add(plainChunk([]byte("plain")))
	zstdDecoder, err := newUnzstd()
	if err != nil {
		f.Fatal(err)
	}
	inflate := newInflater()
	lzma2 := func(dst, src []byte) (int, error) {
		chunks, packed, err := lzma2Chunks(src, len(dst))
		if err != nil {
			return 0, badBlock("xz", err)
		}
		size := 0
		for _, c := range chunks {
			size += c.size
		}
		if err := unLZMA2(dst[:size], src[:packed], chunks); err != nil {
			return 0, badBlock("xz", err)
		}
		return size, nil
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		if len(p) > 1<<16 {
			return
		}
		for _, unpack := range []unpacker{inflate, unxz, zstdDecoder, lzma2} {
			out, err := unpackAtMost(unpack, p, metadataSize)
			if len(out) > metadataSize {
				t.Fatalf("%d bytes", len(out))
			}
			checkClass(t, err)
		}
	})
}

func checkClass(t *testing.T, err error) {
	t.Helper()
	if err != nil && !errors.Is(err, bundle.ErrDamaged) && !errors.Is(err, bundle.ErrTruncated) && !errors.Is(err, bundle.ErrUnsupported) {
		t.Fatal(err)
	}
}
