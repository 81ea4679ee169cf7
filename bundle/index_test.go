// SPDX-License-Identifier: MIT

package bundle

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
)

// soundIndex returns the index and data of a small slice: entries 0 root, 1 folder "a", 2 link "b", 3 file "c" (packed), 4 file "d" (several
// chunks), 5 file "a/e" (empty), 6 file "a/f" (content of c).
func soundIndex(t testing.TB) (index, data []byte) {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "a"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"c": "content", "d": strings.Repeat("many chunks ", 250000), "a/e": "", "a/f": "content"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("c", filepath.Join(dir, "b")); err != nil {
		t.Fatal(err)
	}
	src, err := scan(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w := &counter{w: bufio.NewWriter(&out)}
	s, err := pack(context.Background(), src, w, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.w.Flush(); err != nil {
		t.Fatal(err)
	}
	return s.index, out.Bytes()
}

// Places of fields, as in doc/format.md.
func atEntry(i, field int) int   { return indexHeaderSize + i*entrySize + field }
func atContent(i, field int) int { return indexHeaderSize + 7*entrySize + i*contentSize + field }
func atChunk(i, field int) int {
	return indexHeaderSize + 7*entrySize + 3*contentSize + i*chunkSize + field
}

func TestHostileIndex(t *testing.T) {
	good, _ := soundIndex(t)
	x, err := parseIndex(good)
	if err != nil {
		t.Fatal(err)
	}
	if x.entryCount() != 7 || x.contentCount() != 3 || x.chunkCount() != 4 {
		t.Fatalf("%d entries, %d contents, %d chunks", x.entryCount(), x.contentCount(), x.chunkCount())
	}
	// Which content is which depends on digests; find them.
	var packed, large, empty int
	for i := range 3 {
		switch c := x.content(i); {
		case c.size == 0:
			empty = i
		case c.shift == 0:
			packed = i
		default:
			large = i
		}
	}
	le := binary.LittleEndian
	put16 := func(at int, v uint16) func([]byte) { return func(p []byte) { le.PutUint16(p[at:], v) } }
	put32 := func(at int, v uint32) func([]byte) { return func(p []byte) { le.PutUint32(p[at:], v) } }
	put64 := func(at int, v uint64) func([]byte) { return func(p []byte) { le.PutUint64(p[at:], v) } }
	// rename gives an entry a name that is appended to the strings.
	rename := func(entry int, name string) func([]byte) []byte {
		return func(p []byte) []byte {
			n := le.Uint32(p[32:])
			le.PutUint32(p[atEntry(entry, 0):], n)
			le.PutUint16(p[atEntry(entry, 4):], uint16(len(name)))
			le.PutUint32(p[32:], n+uint32(len(name)))
			return append(p, name...)
		}
	}
	for _, c := range []struct {
		name   string
		change func([]byte)
		make   func([]byte) []byte
		want   error
		text   string
	}{
		{name: "empty", make: func([]byte) []byte { return nil }},
		{name: "header only half", make: func(p []byte) []byte { return p[:40] }},
		{name: "magic", change: put32(0, 0)},
		{name: "newer version", change: put32(8, 2), want: ErrVersion},
		{name: "unknown flag", change: put32(12, 1), want: ErrVersion},
		{name: "reserved header bytes", change: put64(56, 1)},
		{name: "ten million entries in a kilobyte", change: put32(16, 10_000_000)},
		{name: "entry count overflows", change: put32(16, 0xffffffff)},
		{name: "no entries", change: put32(16, 0)},
		{name: "content count overflows", change: put32(20, 0xffffffff)},
		{name: "chunk count overflows", change: put32(24, 0xffffffff)},
		{name: "xattr size overflows", change: put32(28, 0xffffffff)},
		{name: "string size overflows", change: put32(32, 0xffffffff)},
		{name: "bytes after the end", make: func(p []byte) []byte { return append(p, 0) }},
		{name: "data size", change: put64(40, 1<<63)},
		{name: "sum of sizes", change: put64(48, 12345)},
		{name: "root is a file", change: put16(atEntry(0, 6), modeFile|0o644)},
		{name: "root has a name", change: put16(atEntry(0, 4), 1)},
		{name: "root in another folder", change: put32(atEntry(0, 8), 1)},
		{name: "folder contains itself", change: put32(atEntry(1, 12), 1)},
		{name: "folder contains the root", change: put32(atEntry(1, 12), 0)},
		{name: "two folders share children", change: put32(atEntry(1, 12), 2)},
		{name: "more children than entries", change: put32(atEntry(1, 16), 0xffffffff)},
		{name: "entry in no folder", change: put32(atEntry(1, 16), 1)},
		{name: "wrong parent", change: put32(atEntry(5, 8), 0)},
		{name: "parent is a file", change: put32(atEntry(5, 8), 3)},
		{name: "parent comes later", change: put32(atEntry(2, 8), 6)},
		{name: "name outside of the strings", change: put32(atEntry(2, 0), 0xfffffff0)},
		{name: "name too long", make: rename(6, strings.Repeat("x", 256))},
		{name: "name ..", make: rename(1, "..")},
		{name: "name .", make: rename(1, ".")},
		{name: "empty name", change: put16(atEntry(1, 4), 0)},
		{name: "name with a slash", make: rename(6, "f/g")},
		{name: "absolute name", make: rename(6, "/etc/passwd")},
		{name: "name with a zero byte", make: rename(6, "f\x00g")},
		{name: "name twice", make: rename(6, "e")},
		{name: "names not in order", make: rename(6, "A")},
		{name: "unknown mode bits", change: put16(atEntry(3, 6), modeFile|0o4755)},
		{name: "device", change: put16(atEntry(3, 6), 0o020000|0o644)},
		{name: "socket", change: put16(atEntry(3, 6), 0o140000|0o644)},
		{name: "file without content", change: put32(atEntry(3, 12), 3)},
		{name: "file with second number", change: put32(atEntry(3, 16), 1)},
		{name: "target outside of the strings", change: put32(atEntry(2, 12), 0xfffffff0)},
		{name: "empty target", change: put32(atEntry(2, 16), 0)},
		{name: "target too long", change: put32(atEntry(2, 16), 5000)},
		{name: "xattr outside of the table", change: put32(atEntry(2, 20), 0)},
		{name: "contents not in order", change: func(p []byte) { p[atContent(0, 0)] = 0xff; p[atContent(1, 0)] = 0 }},
		{name: "content twice", change: func(p []byte) { copy(p[atContent(1, 0):][:32], p[atContent(0, 0):]) }},
		{name: "content size", change: put64(atContent(large, 32), 1<<62)},
		{name: "content a byte longer", change: put64(atContent(large, 32), 3000001)},
		{name: "content a byte shorter", change: put64(atContent(large, 32), 2999999)},
		{name: "content chunk", change: put32(atContent(large, 40), 2)},
		{name: "content chunk overflows", change: put32(atContent(large, 40), 0xffffffff)},
		{name: "skip in a large content", change: put32(atContent(large, 44), 1)},
		{name: "packed chunk", change: put32(atContent(packed, 40), 4)},
		{name: "packed skip", change: put32(atContent(packed, 44), 1)},
		{name: "packed skip overflows", change: put32(atContent(packed, 44), 0xffffffff)},
		{name: "shift too small", change: put32(atContent(large, 48), 3)},
		{name: "shift too large", change: put32(atContent(large, 48), 23)},
		{name: "shift enormous", change: put32(atContent(large, 48), 0xffffffff)},
		{name: "reserved content bytes", change: put32(atContent(large, 52), 1)},
		{name: "empty content with a chunk", change: put32(atContent(empty, 40), 1)},
		{name: "chunk outside of the data", change: put64(atChunk(0, 32), 1<<40)},
		{name: "chunk offset negative", change: put64(atChunk(0, 32), 1<<63)},
		{name: "chunk offset overflows", change: put64(atChunk(0, 32), 0xffffffffffffffff)},
		{name: "chunk stored larger than raw", change: put32(atChunk(0, 40), 0x7fffffff)},
		{name: "chunk of no bytes", change: put32(atChunk(0, 44), 0)},
		{name: "chunk of four gigabytes", change: put32(atChunk(0, 44), 0xffffffff)},
		{name: "unknown filter", change: func(p []byte) { p[atChunk(0, 47)] = lastFilter + 1 }, want: ErrVersion},
		{name: "filter of what is not compressed", change: func(p []byte) { p[atChunk(int(x.content(packed).chunk), 47)] = filterX86 }},
		{name: "chunk of a wrong size", change: put32(atChunk(0, 44), 1<<20+1)},
	} {
		t.Run(c.name, func(t *testing.T) {
			data := bytes.Clone(good)
			if c.change != nil {
				c.change(data)
			}
			if c.make != nil {
				data = c.make(data)
			}
			if c.want == nil {
				c.want = ErrDamaged
			}
			start := time.Now()
			if _, err := parseIndex(data); !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
			if d := time.Since(start); d > time.Second {
				t.Errorf("it took %v", d)
			}
		})
	}
}

// TestHostileChunk gives chunks that do not unpack to what they say.
func TestHostileChunk(t *testing.T) {
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer enc.Close()
	bomb := enc.EncodeAll(make([]byte, 64<<20), nil)
	short := enc.EncodeAll([]byte("short"), nil)
	long := enc.EncodeAll([]byte(strings.Repeat("long", 2000)), nil)
	for name, data := range map[string][]byte{
		"bomb": bomb, "shorter": short, "longer": long, "not zstd": []byte("no frame at all"), "two frames": append(bytes.Clone(short), short...),
	} {
		t.Run(name, func(t *testing.T) {
			tr := &Tree{
				bundle: &Bundle{r: bytes.NewReader(data), size: int64(len(data)), manifest: &Manifest{Slices: []SliceInfo{{Name: "s"}}}},
				slices: []*index{{dataSize: int64(len(data))}},
			}
			if tr.decoder, err = newDecoder(); err != nil {
				t.Fatal(err)
			}
			c := Chunk{Stored: uint32(len(data)), Raw: max(4096, uint32(len(data))+1), Digest: sha256.Sum256(nil)}
			if _, err := tr.ReadChunk(c, nil); !errors.Is(err, ErrDamaged) {
				t.Errorf("error %v", err)
			}
		})
	}
	tr := &Tree{bundle: &Bundle{r: bytes.NewReader(nil), manifest: &Manifest{Slices: []SliceInfo{{}}}}, slices: []*index{{dataSize: 100}}}
	for _, c := range []Chunk{{Raw: 1 << 31}, {Raw: 4, Stored: 5}, {Raw: 4, Stored: 4, Offset: 97}, {Raw: 4, Stored: 4, Offset: -1}, {Slice: 1}, {Slice: -1}} {
		if _, err := tr.ReadChunk(c, nil); err == nil {
			t.Errorf("chunk %+v was read", c)
		}
	}
}

// TestUnion lays slices over each other.
func TestUnion(t *testing.T) {
	one, data := soundIndex(t)
	lower, err := parseIndex(one)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"a/f": "newer", "a/g": "added", "b": "a file over a link", "z": "last"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	src, err := scan(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w := &counter{w: bufio.NewWriter(&out)}
	s, err := pack(context.Background(), src, w, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.w.Flush(); err != nil {
		t.Fatal(err)
	}
	upper, err := parseIndex(s.index)
	if err != nil {
		t.Fatal(err)
	}
	data = append(data, out.Bytes()...)
	tr := &Tree{
		bundle: &Bundle{r: bytes.NewReader(data), manifest: &Manifest{Slices: []SliceInfo{{}, {DataOffset: lower.dataSize}}}},
		slices: []*index{lower, upper},
	}
	if tr.decoder, err = newDecoder(); err != nil {
		t.Fatal(err)
	}
	if err := tr.unite(); err != nil {
		t.Fatal(err)
	}
	var got []string
	for n := range Node(tr.Len()) {
		got = append(got, tr.Path(n))
	}
	if want := ". a b c d z a/e a/f a/g"; strings.Join(got, " ") != want {
		t.Errorf("nodes %v, want %s", got, want)
	}
	for name, want := range map[string]string{"a/f": "newer", "a/g": "added", "b": "a file over a link", "c": "content", "z": "last", "a/e": ""} {
		n, ok := tr.Find(name)
		text, err := io.ReadAll(tr.Open(n))
		if !ok || string(text) != want || err != nil {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
}

func FuzzIndex(f *testing.F) {
	good, _ := soundIndex(f)
	f.Add(good)
	f.Add(good[:indexHeaderSize])
	f.Add([]byte(indexMagic))
	f.Fuzz(func(t *testing.T, data []byte) {
		x, err := parseIndex(data)
		if err != nil {
			if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrVersion) {
				t.Fatalf("error %v is of no class", err)
			}
			return
		}
		tr := &Tree{bundle: &Bundle{r: bytes.NewReader(nil), manifest: &Manifest{Slices: []SliceInfo{{}}}}, slices: []*index{x}}
		if err := tr.unite(); err != nil {
			t.Fatal(err)
		}
		if tr.Len() != x.entryCount() {
			t.Fatalf("%d nodes of %d entries", tr.Len(), x.entryCount())
		}
		for n := range Node(tr.Len()) {
			info := tr.Info(n)
			if m, ok := tr.Find(tr.Path(n)); !ok || m != n {
				t.Fatalf("node %d is not at its path %q", n, tr.Path(n))
			}
			if info.IsFile() {
				for _, off := range []int64{0, info.Size / 2, info.Size - 1, info.Size} {
					if c, in, err := tr.ChunkAt(n, off); err == nil && (in < 0 || in >= int64(c.Raw) || int64(c.Raw)-in < 1) {
						t.Fatalf("byte %d of node %d is at %d of %+v", off, n, in, c)
					}
				}
				tr.Identity(n)
			}
		}
	})
}

func FuzzManifest(f *testing.F) {
	m := &Manifest{
		ID: "org.example.App", Version: "1.0", Name: "App", Exec: "bin/app", Prefix: "/usr", Arch: "x86_64", Commands: []string{"app"},
		digests: map[string]Digest{"stub": {}}, Slices: []SliceInfo{{Name: "s", DataSize: 5, Size: 7, Exported: true}},
	}
	f.Add(m.bytes([]string{"stub"}))
	f.Add([]byte("[Bundle]\nId=org.example.App\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		// Half of the time the digest is made right, or nothing would get past it.
		if len(data)%2 == 0 {
			if end := bytes.LastIndex(data, []byte(manifestEnd)); end >= 0 {
				data = data[:end]
			}
			data = append(bytes.Clone(data), manifestEnd+Digest(sha256.Sum256(data)).String()+"\n"...)
		}
		m, err := parseManifest(data, kindBundle)
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Fatalf("error %v is of no class", err)
			}
			return
		}
		var order []string
		for name := range m.digests {
			order = append(order, name)
		}
		again, err := parseManifest(m.bytes(order), kindBundle)
		if err != nil || again.ID != m.ID || again.Exec != m.Exec || again.Prefix != m.Prefix || len(again.Slices) != len(m.Slices) {
			t.Fatalf("written again it is %+v, %v, not %+v", again, err, m)
		}
	})
}

// TestLyingDigest gives files digests that are not theirs: only who reads all of them can know, and everybody who shares files must.
func TestLyingDigest(t *testing.T) {
	raw, data := soundIndex(t)
	honest, err := parseIndex(raw)
	if err != nil {
		t.Fatal(err)
	}
	lie := bytes.Clone(raw)
	for i := range 3 {
		lie[atContent(i, 31)] ^= 1 // the last byte keeps the order
	}
	x, err := parseIndex(lie)
	if err != nil {
		t.Fatal(err)
	}
	trees := make([]*Tree, 2)
	for i, x := range []*index{honest, x} {
		trees[i] = &Tree{
			bundle: &Bundle{r: bytes.NewReader(data), manifest: &Manifest{Slices: []SliceInfo{{Name: "s"}}}}, slices: []*index{x},
		}
		if trees[i].decoder, err = newDecoder(); err != nil {
			t.Fatal(err)
		}
		trees[i].unite()
	}
	small, _ := trees[0].Find("c")
	large, _ := trees[0].Find("d")
	if a, b := trees[0].Identity(large), trees[1].Identity(large); a != b {
		t.Error("the identity of a large file comes from its claim, not from its chunks")
	}
	c, _, err := trees[1].ChunkAt(small, 0)
	if err != nil {
		t.Fatal(err)
	}
	chunk, err := trees[1].ReadChunk(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := trees[0].CheckPart(small, chunk); err != nil {
		t.Errorf("an honest file: %v", err)
	}
	if err := trees[1].CheckPart(small, chunk); !errors.Is(err, ErrDamaged) {
		t.Errorf("a lying file: %v", err)
	}
	out := filepath.Join(t.TempDir(), "out")
	if err := trees[1].Extract(context.Background(), 0, out, ExtractOptions{}); !errors.Is(err, ErrDamaged) {
		t.Errorf("extracting: %v", err)
	}
	v := &Verification{}
	if err := trees[1].verify(context.Background(), v, nil); err != nil || len(v.Problems) != 3 {
		t.Errorf("%v, %+v", err, v.Problems)
	}
}
