// SPDX-License-Identifier: MIT

package bundle

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"path"
	"runtime"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/errgroup"

	"glick.org/glick/bundle/zstdpack"
)

// How contents are cut into chunks. This is the writer's choice, and a function of the content alone; readers take any.
const (
	codeShift  = 16      // 64 KiB: programs and libraries are mapped, and read here and there
	tableShift = 18      // 256 KiB: libraries that hold no code to speak of, but data
	dataShift  = 20      // 1 MiB: other files are mostly read from one end to the other
	packSize   = 1 << 20 // of a chunk that several files share
	hopeless   = 40      // a chunk that loses one part in so many without looking for matches is looked at closely
	hardly     = 20      // so is one that loses one part in so many at a quick look
	worthwhile = 32      // a chunk is stored compressed when that saves at least one part in so many

	smallCode = 32 << 10  // programs up to this size share a chunk
	smallData = 256 << 10 // so do other files up to this one
)

// packedSlice is a slice whose data has been written.
type packedSlice struct {
	index    []byte
	stored   int64  // bytes of its data
	size     int64  // uncompressed bytes of all contents
	arch     string // of the programs in it, when all are for the same one that we know
	contents int
}

// job is a chunk on its way from the reader of files through a compressor to the writer.
type job struct {
	raw   []byte
	code  bool             // for x86-64
	done  chan packedChunk // holds one
	bytes int64            // progress that it makes
}

type packedChunk struct {
	digest Digest
	stored []byte // nil: all zeros
	filter uint8
}

// packKind is what a shared chunk is for.
type packKind int

const (
	packData packKind = iota
	packPrograms
	packX86 // programs with code for x86-64
)

// limit is the largest size of a shared chunk.
func (k packKind) limit() int {
	if k == packData {
		return packSize
	}
	return 1 << codeShift
}

// packer reads the files of a source in the order of the index and cuts them into chunks.
type packer struct {
	src      *source
	contents []content // chunk is a number of a job until the end
	byDigest map[Digest]int
	byFile   map[fileID]int
	jobs     int
	sizes    map[int64]bool  // of the large files so far
	arches   map[string]bool // of the programs so far

	emit    func(context.Context, *job) error
	pending []byte // small files that wait for their chunk
	waiting []int  // their contents
	kind    packKind
	spare   chan []byte
}

// pack writes the data of a slice to w and returns its index. Progress is as in BuildOptions; it may be nil.
func pack(ctx context.Context, src *source, w *counter, progress func(done, total int64)) (*packedSlice, error) {
	workers := runtime.GOMAXPROCS(0)
	todo := make(chan *job, workers)
	order := make(chan *job, 4*workers) // bounds the memory
	g, ctx := errgroup.WithContext(ctx)

	pk := &packer{
		src: src, byDigest: make(map[Digest]int), byFile: make(map[fileID]int), sizes: make(map[int64]bool), arches: make(map[string]bool),
		spare: make(chan []byte, 6*workers),
	}
	pk.emit = func(ctx context.Context, j *job) error {
		j.done = make(chan packedChunk, 1)
		for _, c := range []chan *job{order, todo} {
			select {
			case c <- j:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		return nil
	}
	g.Go(func() error {
		defer close(order)
		defer close(todo)
		return pk.run(ctx)
	})
	for range workers {
		g.Go(func() error {
			c, err := newCompressor()
			if err != nil {
				return err
			}
			for j := range todo {
				j.done <- c.compress(j.raw, j.code)
			}
			return nil
		})
	}
	var chunks []Chunk
	base := w.n
	g.Go(func() error {
		var done int64
		for j := range order {
			var c packedChunk
			select {
			case c = <-j.done:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			chunk := Chunk{Digest: c.digest, Offset: w.n - base, Stored: uint32(len(c.stored)), Raw: uint32(len(j.raw)), Filter: c.filter}
			if _, err := w.Write(c.stored); err != nil {
				return fmt.Errorf("cannot write: %w", err)
			}
			chunks = append(chunks, chunk)
			done += j.bytes
			select {
			case pk.spare <- j.raw:
			default:
			}
			if progress != nil {
				progress(min(done, src.size), src.size)
			}
		}
		return ctx.Err()
	})
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return pk.finish(chunks, w.n-base)
}

// compressor packs chunks, one after the other.
type compressor struct {
	quick *zstd.Encoder
	best  zstdpack.Encoder
	code  []byte
	room  []byte
}

func newCompressor() (*compressor, error) {
	quick, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault),
		zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true), zstd.WithWindowSize(maxChunk))
	if err != nil {
		return nil, fmt.Errorf("cannot prepare packing: %w", err)
	}
	return &compressor{quick: quick}, nil
}

// compress makes a chunk: nothing for zeros, the bytes themselves when they do not shrink.
func (c *compressor) compress(raw []byte, code bool) packedChunk {
	if allZero(raw) {
		return packedChunk{digest: zerosDigest(len(raw))}
	}
	p := packedChunk{digest: sha256.Sum256(raw)}
	most := len(raw) - len(raw)/worthwhile - 1
	// What hardly shrinks is mostly pictures and sound: to look closely would cost much and gain next to nothing over the quick look.
	closely := zstdpack.Shrinks(raw, hopeless)
	if !closely {
		c.room = c.quick.EncodeAll(raw, c.room[:0])
		closely = len(c.room) <= len(raw)-len(raw)/hardly
	}
	if closely {
		from := raw
		if code {
			c.code = append(c.code[:0], raw...)
			filterX86Code(c.code)
			from, p.filter = c.code, filterX86
		}
		c.room = c.best.Encode(c.room[:0], from)
	}
	if len(c.room) > most {
		p.stored, p.filter = bytes.Clone(raw), filterNone // raw is used again
		return p
	}
	p.stored = bytes.Clone(c.room)
	return p
}

func (pk *packer) buffer() []byte {
	select {
	case b := <-pk.spare:
		return b[:0]
	default:
		return make([]byte, 0, 1<<dataShift)
	}
}

func (pk *packer) run(ctx context.Context) error {
	var files []*sourceEntry
	for _, e := range pk.src.entries {
		if e.mode&modeType == modeFile {
			files = append(files, e)
		}
	}
	sortByKind(files)
	for _, e := range files {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if n, ok := pk.byFile[e.id]; ok {
			e.content = n
			continue
		}
		n, err := pk.file(ctx, e)
		if err != nil {
			return err
		}
		e.content = n
		pk.byFile[e.id] = n
	}
	return pk.flush(ctx)
}

// sortByKind puts files beside those with which they compress best: first by the suffix of the name, then those together whose name many have, as
// translations of a program into all languages and icons in all sizes have, then by path.
func sortByKind(files []*sourceEntry) {
	names := make(map[string]int)
	for _, e := range files {
		names[e.name]++
	}
	common := func(e *sourceEntry) string {
		if names[e.name] >= 12 {
			return e.name
		}
		return ""
	}
	slices.SortStableFunc(files, func(a, b *sourceEntry) int {
		return cmp.Or(strings.Compare(suffix(a.name), suffix(b.name)), strings.Compare(common(a), common(b)), strings.Compare(a.path, b.path))
	})
}

// suffix returns the end of a file's name that tells its kind.
func suffix(name string) string {
	if strings.Contains(name, ".so.") {
		return ".so"
	}
	return path.Ext(strings.TrimSuffix(name, ".gz"))
}

// headSize is what is looked at of a file to find out how to pack it.
const headSize = 4096

func (pk *packer) file(ctx context.Context, e *sourceEntry) (int, error) {
	f, err := pk.src.open(e)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	changed := fmt.Errorf("%s changed while it was read", e.path)
	fill := func(p []byte) error {
		switch _, err := io.ReadFull(f, p); {
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			return changed
		case err != nil:
			return fmt.Errorf("cannot read %s: %w", e.path, err)
		}
		return nil
	}
	head := make([]byte, min(e.size, headSize))
	if err := fill(head); err != nil {
		return 0, err
	}
	small, shift := int64(smallData), uint32(dataShift)
	if bytes.HasPrefix(head, []byte(elf.ELFMAG)) {
		small, shift = smallCode, codeShift
		if len(head) >= elfHeaderSize {
			arch, _ := elfArch(head)
			pk.arches[arch] = true
		}
	}
	code := codeRanges(head)
	if code != nil && e.size > small {
		var size uint64
		for _, r := range code {
			size += r[1] - r[0]
		}
		if size < uint64(e.size)/16 {
			shift = tableShift
		}
	}
	if e.size <= small {
		data := append(make([]byte, 0, e.size), head...)[:e.size]
		if err := fill(data[len(head):]); err != nil {
			return 0, err
		}
		if n, _ := f.Read(make([]byte, 1)); n != 0 {
			return 0, changed
		}
		kind := packData
		switch {
		case code != nil:
			kind = packX86
		case small == smallCode:
			kind = packPrograms
		}
		return pk.small(ctx, data, kind)
	}
	hash := sha256.New()
	if pk.sizes[e.size] {
		// Its chunks are written while it is read: whether it is one that is there already must be known before.
		hash.Write(head)
		switch n, err := io.Copy(hash, contextReader{ctx, f}); {
		case err != nil:
			return 0, fmt.Errorf("cannot read %s: %w", e.path, err)
		case n != e.size-int64(len(head)):
			return 0, changed
		}
		if n, ok := pk.byDigest[Digest(hash.Sum(nil))]; ok {
			return n, nil
		}
		if _, err := f.Seek(int64(len(head)), io.SeekStart); err != nil {
			return 0, fmt.Errorf("cannot read %s: %w", e.path, err)
		}
		hash.Reset()
	}
	pk.sizes[e.size] = true
	c := content{size: uint64(e.size), chunk: uint32(pk.jobs), shift: shift}
	for off := int64(0); off < e.size; {
		n := int(min(e.size-off, 1<<shift))
		raw := slices.Grow(pk.buffer(), n)[:n]
		if err := fill(raw[copy(raw, head):]); err != nil {
			return 0, err
		}
		head = nil
		hash.Write(raw)
		isCode := slices.ContainsFunc(code, func(r [2]uint64) bool { return r[0] < uint64(off)+uint64(n) && uint64(off) < r[1] })
		off += int64(n)
		if err := pk.send(ctx, raw, isCode); err != nil {
			return 0, err
		}
	}
	if n, _ := f.Read(make([]byte, 1)); n != 0 {
		return 0, changed
	}
	hash.Sum(c.digest[:0])
	return pk.add(c), nil
}

// contextReader ends when its context does.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.r.Read(p)
}

func (pk *packer) add(c content) int {
	n := len(pk.contents)
	pk.contents = append(pk.contents, c)
	pk.byDigest[c.digest] = n
	return n
}

// send gives a chunk to the compressors. It takes raw.
func (pk *packer) send(ctx context.Context, raw []byte, code bool) error {
	if pk.jobs == math.MaxInt32 {
		return errors.New("it is too large")
	}
	pk.jobs++
	return pk.emit(ctx, &job{raw: raw, code: code, bytes: int64(len(raw))})
}

// small puts a small file into the shared chunk of its kind.
func (pk *packer) small(ctx context.Context, data []byte, kind packKind) (int, error) {
	c := content{digest: sha256.Sum256(data), size: uint64(len(data))}
	if n, ok := pk.byDigest[c.digest]; ok {
		return n, nil
	}
	if len(data) == 0 {
		return pk.add(c), nil
	}
	if len(pk.pending) > 0 && (len(pk.pending)+len(data) > kind.limit() || kind != pk.kind) {
		if err := pk.flush(ctx); err != nil {
			return 0, err
		}
	}
	if pk.pending == nil {
		pk.pending, pk.kind = pk.buffer(), kind
	}
	// The number of the chunk is known when it is sent: large files may come before.
	c.skip = uint32(len(pk.pending))
	pk.pending = append(pk.pending, data...)
	n := pk.add(c)
	pk.waiting = append(pk.waiting, n)
	return n, nil
}

// flush sends the shared chunk.
func (pk *packer) flush(ctx context.Context) error {
	if len(pk.pending) == 0 {
		return nil
	}
	for _, n := range pk.waiting {
		pk.contents[n].chunk = uint32(pk.jobs)
	}
	raw := pk.pending
	pk.pending, pk.waiting = nil, pk.waiting[:0]
	return pk.send(ctx, raw, pk.kind == packX86)
}

// finish makes the index.
func (pk *packer) finish(chunks []Chunk, dataSize int64) (*packedSlice, error) {
	// The table is sorted by digest; place[i] is where content i is.
	sorted := make([]int, len(pk.contents))
	for i := range sorted {
		sorted[i] = i
	}
	slices.SortFunc(sorted, func(a, b int) int {
		return bytes.Compare(pk.contents[a].digest[:], pk.contents[b].digest[:])
	})
	place := make([]uint32, len(sorted))
	for to, from := range sorted {
		place[from] = uint32(to)
	}

	le := binary.LittleEndian
	var w indexWriter
	var xattrs []byte
	records := make(map[string]uint32)
	for _, e := range pk.src.entries {
		out := entry{
			nameOff: w.text(e.name), nameLen: uint16(len(e.name)), mode: e.mode, parent: uint32(e.parent),
			a: uint32(e.first), b: uint32(e.count), xattr: noXattrs,
		}
		switch e.mode & modeType {
		case modeFile:
			out.a, out.b = place[e.content], 0
		case modeLink:
			out.a, out.b = w.text(e.target), uint32(len(e.target))
		}
		if e.xattrs != "" {
			at, ok := records[e.xattrs]
			if !ok {
				at = uint32(len(xattrs))
				records[e.xattrs] = at
				xattrs = append(xattrs, e.xattrs...)
			}
			out.xattr = at
		}
		w.add(out)
	}
	var size int64
	out := make([]byte, indexHeaderSize, indexHeaderSize+len(w.entries)+len(sorted)*contentSize+len(chunks)*chunkSize+len(xattrs)+len(w.strings))
	out = append(out, w.entries...)
	for _, i := range sorted {
		size += int64(pk.contents[i].size)
		out = pk.contents[i].append(out)
	}
	for _, c := range chunks {
		out = append(out, c.Digest[:]...)
		out = le.AppendUint64(out, uint64(c.Offset))
		out = le.AppendUint32(out, c.Stored)
		out = le.AppendUint32(out, c.Raw|uint32(c.Filter)<<24)
	}
	out = append(append(out, xattrs...), w.strings...)
	if len(out) > maxIndex {
		return nil, fmt.Errorf("it has too many files: its index would have %d bytes, more than the %d allowed", len(out), maxIndex)
	}
	copy(out, indexMagic)
	le.PutUint32(out[8:], indexVersion)
	le.PutUint32(out[16:], uint32(len(pk.src.entries)))
	le.PutUint32(out[20:], uint32(len(sorted)))
	le.PutUint32(out[24:], uint32(len(chunks)))
	le.PutUint32(out[28:], uint32(len(xattrs)))
	le.PutUint32(out[32:], uint32(len(w.strings)))
	le.PutUint64(out[40:], uint64(dataSize))
	le.PutUint64(out[48:], uint64(size))
	packed := &packedSlice{index: out, stored: dataSize, size: size, contents: len(sorted)}
	if len(pk.arches) == 1 {
		for arch := range pk.arches {
			packed.arch = arch
		}
	}
	return packed, nil
}
