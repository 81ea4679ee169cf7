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
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"glick.org/glick/bundle"
)

// parseChunks takes a chunk table apart; what is less than a chunk is left out.
func parseChunks(table []byte) []draftChunk {
	le := binary.LittleEndian
	var list []draftChunk
	for p := range slices.Chunk(table, 48) {
		if len(p) == 48 {
			list = append(list, draftChunk{[32]byte(p), le.Uint64(p[32:]), le.Uint32(p[40:]), le.Uint32(p[44:])})
		}
	}
	return list
}

// repairChunks makes places and digests of chunks right, so that only what they unpack to can be wrong.
func repairChunks(unpack *zstd.Decoder, chunks []draftChunk, data []byte) {
	var off uint64
	for i := range chunks {
		c := &chunks[i]
		c.off = off
		stored := data[min(off, uint64(len(data))):min(off+uint64(c.stored), uint64(len(data)))]
		off += uint64(c.stored)
		switch {
		case c.stored == 0 && c.raw <= 4<<20:
			c.digest = sha256.Sum256(make([]byte, c.raw))
		case c.stored == c.raw:
			c.digest = sha256.Sum256(stored)
		default:
			if raw, err := unpack.DecodeAll(stored, nil); err == nil {
				c.digest = sha256.Sum256(raw)
			}
		}
	}
}

// FuzzChunks puts chunks and data behind a sound tree. Whatever is read must be what the digests say.
func FuzzChunks(f *testing.F) {
	d := soundBundle(f)
	sound := *d.slices[0]
	index := sound.bytes()
	table := index[sound.chunkField(0, 0):sound.chunkField(len(sound.chunks), 0)]
	f.Add(table, sound.data, false)
	f.Add(table, sound.data, true)
	broken := chunkRecipes()
	for _, name := range slices.Sorted(maps.Keys(broken)) {
		d := soundBundle(f)
		broken[name](d)
		s := d.slices[0]
		index := s.bytes()
		if d.index != nil {
			index = d.index(index)
		}
		f.Add(index[s.chunkField(0, 0):s.chunkField(len(s.chunks), 0)], s.data, true)
	}
	unpack, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(8<<20))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, table, data []byte, repair bool) {
		s := sound
		s.chunks, s.data = parseChunks(table), data
		if repair {
			repairChunks(unpack, s.chunks, data)
		}
		d := *d
		d.slices = []*draftSlice{&s}
		p := d.bytes()
		b, err := bundle.Read(bytes.NewReader(p), int64(len(p)))
		if err != nil {
			t.Fatalf("what is not in the chunks is sound: %v", err)
		}
		tr, err := b.Tree()
		if err != nil {
			if classOf(err) != "damaged" {
				t.Fatalf("error %v is not of one class", err)
			}
			return
		}
		_, damage := b.Verify(context.Background(), nil)
		if damage != nil && classOf(damage) != "damaged" {
			t.Fatalf("error %v is not of one class", damage)
		}
		for n := range bundle.Node(tr.Len()) {
			if tr.Info(n).IsFile() {
				checkFile(t, tr, n, damage == nil)
			}
		}
	})
}

// checkFile reads a file in several ways. When all of the bundle has been found to be sound, they must give what the digest says.
func checkFile(t *testing.T, tr *bundle.Tree, n bundle.Node, sound bool) {
	t.Helper()
	info := tr.Info(n)
	text, err := io.ReadAll(tr.Open(n))
	switch {
	case err != nil && (sound || classOf(err) != "damaged"):
		t.Fatalf("%s: %v", tr.Path(n), err)
	case err == nil && int64(len(text)) != info.Size:
		t.Fatalf("%s has %d bytes, not %d", tr.Path(n), len(text), info.Size)
	case sound && sha256.Sum256(text) != info.Digest:
		t.Fatalf("%s differs from its digest", tr.Path(n))
	}
	var out bytes.Buffer
	again := tr.ExtractFile(context.Background(), n, &out, bundle.ExtractOptions{})
	if (again == nil) != (err == nil) || !bytes.Equal(out.Bytes(), text) {
		t.Fatalf("%s: extracted it is another: %v, %v", tr.Path(n), err, again)
	}
	p := make([]byte, info.Size+1)
	if k, again := tr.ReadAt(n, p, 0); err == nil && (!errors.Is(again, io.EOF) || !bytes.Equal(p[:k], text)) {
		t.Fatalf("%s: read at once it is another: %v", tr.Path(n), again)
	}
	for off := int64(0); off < info.Size; {
		c, at, err := tr.ChunkAt(n, off)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := tr.ReadChunk(c, nil)
		if err == nil {
			if sha256.Sum256(raw) != c.Digest || len(raw) != int(c.Raw) {
				t.Fatalf("%s at %d: a chunk differs from its digest", tr.Path(n), off)
			}
			// Who has the whole file in one chunk can know, and must be told.
			if own := raw[at:]; tr.CheckPart(n, raw) == nil && off == 0 && int64(len(own)) >= info.Size && tr.Identity(n) == info.Digest &&
				sha256.Sum256(own[:info.Size]) != info.Digest {
				t.Fatalf("%s differs from its digest", tr.Path(n))
			}
		}
		off += int64(c.Raw) - at
	}
}

// FuzzXattrs makes a table of extended attributes of any bytes.
func FuzzXattrs(f *testing.F) {
	d := soundBundle(f)
	sound := *d.slices[0]
	f.Add(sound.xattrs, uint32(0))
	f.Add(append(xattrRecord("user.a", "1"), xattrRecord("user.b", "2", "user.c", "")...), uint32(13))
	broken := indexRecipes()
	for _, name := range slices.Sorted(maps.Keys(broken)) {
		if strings.HasPrefix(name, "xattr-") {
			d := soundBundle(f)
			broken[name](d)
			f.Add(d.slices[0].xattrs, uint32(0))
		}
	}
	f.Fuzz(func(t *testing.T, table []byte, at uint32) {
		s := sound
		s.xattrs, s.entries = table, slices.Clone(sound.entries)
		s.entries[entryText].xattr = at
		d := *d
		d.slices = []*draftSlice{&s}
		p := d.bytes()
		b, err := bundle.Read(bytes.NewReader(p), int64(len(p)))
		if err != nil {
			t.Fatal(err)
		}
		tr, err := b.Tree()
		if err != nil {
			if classOf(err) != "damaged" {
				t.Fatalf("error %v is not of one class", err)
			}
			return
		}
		if at == 0xffffffff {
			return
		}
		n, _ := tr.Find("share/text")
		got := tr.Info(n).Xattrs
		var pairs []string
		for _, name := range slices.Sorted(maps.Keys(got)) {
			if !strings.HasPrefix(name, "user.") || strings.HasPrefix(name, "user.overlay.") || len(name) > 255 || strings.Contains(name, "\x00") {
				t.Fatalf("name %q", name)
			}
			pairs = append(pairs, name, got[name])
		}
		if len(got) == 0 || len(got) > 64 || !bytes.HasPrefix(table[at:], xattrRecord(pairs...)) {
			t.Fatalf("%q is not what is at %d of %q", got, at, table)
		}
	})
}

// memoryFile is a file in memory that is written.
type memoryFile struct {
	data []byte
	at   int64
}

func (m *memoryFile) Write(p []byte) (int, error) {
	if need := m.at + int64(len(p)) - int64(len(m.data)); need > 0 {
		m.data = append(m.data, make([]byte, need)...)
	}
	m.at += int64(copy(m.data[m.at:], p))
	return len(p), nil
}

func (m *memoryFile) Seek(off int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		off += m.at
	case io.SeekEnd:
		off += int64(len(m.data))
	}
	if off < 0 {
		return 0, errors.New("before the beginning")
	}
	m.at = off
	return off, nil
}

var _ io.WriteSeeker = (*memoryFile)(nil)

// FuzzRewrite copies whatever can be read: the copy must be the same bundle.
func FuzzRewrite(f *testing.F) {
	files := corpus(f)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		f.Add(files[name], path.Ext(name) == ".slice")
	}
	loaded := soundBundle(f)
	header(".xdg.desktop", 8, 8, 2)(loaded) // as objcopy --set-section-flags makes it
	f.Add(loaded.bytes(), false)
	f.Fuzz(func(t *testing.T, data []byte, slice bool) {
		open := bundle.Read
		if slice {
			open = bundle.ReadSlice
		}
		b, err := open(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		again := func(o bundle.RewriteOptions) *bundle.Bundle {
			var out memoryFile
			if err := b.Rewrite(context.Background(), &out, o); err != nil {
				if class := classOf(err); class != "damaged" && class != "incomplete" {
					t.Fatalf("error %v is not of one class", err)
				}
				if _, damage := b.Verify(context.Background(), nil); damage == nil {
					t.Fatalf("it is sound, and cannot be copied: %v", err)
				}
				return nil
			}
			c, err := open(bytes.NewReader(out.data), int64(len(out.data)))
			if err != nil {
				t.Fatalf("the copy cannot be read: %v", err)
			}
			if c.Digest() != b.Digest() || !bytes.Equal(c.ManifestText(), b.ManifestText()) {
				t.Fatal("the copy has another manifest")
			}
			if _, err := b.Verify(context.Background(), nil); err == nil {
				if _, err := c.Verify(context.Background(), nil); err != nil {
					t.Fatalf("the copy of what is sound is not: %v", err)
				}
			}
			return c
		}
		if c := again(bundle.RewriteOptions{}); c != nil {
			if was, is := fmt.Sprint(b.Manifest().Slices), fmt.Sprint(c.Manifest().Slices); was != is {
				t.Fatalf("the slices are %s, not %s", is, was)
			}
		}
		var optional []string
		needed := make(map[string]bool)
		for _, s := range b.Manifest().Slices {
			if s.Optional {
				optional = append(optional, s.Name)
			} else {
				needed[s.Name] = true
			}
		}
		// The only slice of a slice file cannot be taken out.
		if slice || len(optional) == 0 || slices.ContainsFunc(optional, func(name string) bool { return needed[name] }) {
			return
		}
		if c := again(bundle.RewriteOptions{Without: optional}); c != nil {
			for _, s := range c.Manifest().Slices {
				if s.Missing != s.Optional {
					t.Fatalf("slice %s is missing: %v", s.Name, s.Missing)
				}
			}
		}
	})
}
