// SPDX-License-Identifier: MIT

package bundle

import (
	"bytes"
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/errgroup"
)

// How contents are cut into chunks. This is the writer's choice, and a function of the content alone; readers take any.
const (
	smallFile  = 32 << 10  // a file up to this size shares a chunk with its neighbours
	packSize   = 128 << 10 // size of a shared chunk
	codeShift  = 16        // 64 KiB: programs and libraries are mapped and read here and there
	dataShift  = 18        // 256 KiB: other files are mostly read from one end to the other
	hugeShift  = 20        // 1 MiB: keeps the index of a huge file small
	hugeFile   = 4 << 30
	worthwhile = 32 // a chunk is stored compressed when that saves at least one part in so many
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
	done  chan packedChunk // holds one
	bytes int64            // progress that it makes
}

type packedChunk struct {
	digest Digest
	stored []byte // nil: all zeros
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
			enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedBetterCompression),
				zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true), zstd.WithWindowSize(1<<hugeShift))
			if err != nil {
				return fmt.Errorf("cannot prepare packing: %w", err)
			}
			defer enc.Close()
			for j := range todo {
				j.done <- compress(enc, j.raw)
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
			chunk := Chunk{Digest: c.digest, Offset: w.n - base, Stored: uint32(len(c.stored)), Raw: uint32(len(j.raw))}
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

// compress makes a chunk: nothing for zeros, the bytes themselves when they do not shrink.
func compress(enc *zstd.Encoder, raw []byte) packedChunk {
	if allZero(raw) {
		return packedChunk{digest: zerosDigest(len(raw))}
	}
	c := packedChunk{digest: sha256.Sum256(raw)}
	c.stored = enc.EncodeAll(raw, make([]byte, 0, len(raw)))
	if len(c.stored) > len(raw)-len(raw)/worthwhile-1 {
		c.stored = bytes.Clone(raw) // raw is used again
	}
	return c
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
	for _, e := range pk.src.entries {
		if e.mode&modeType != modeFile {
			continue
		}
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

func (pk *packer) file(ctx context.Context, e *sourceEntry) (int, error) {
	f, err := pk.src.open(e)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	changed := fmt.Errorf("%s changed while it was read", e.path)
	if e.size <= smallFile {
		data := make([]byte, e.size+1)
		n, err := io.ReadFull(f, data)
		if n != int(e.size) || !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				return 0, fmt.Errorf("cannot read %s: %w", e.path, err)
			}
			return 0, changed
		}
		if arch, err := elfArch(data[:n]); err == nil {
			pk.arches[arch] = true
		}
		return pk.small(ctx, data[:n])
	}

	hash := sha256.New()
	if pk.sizes[e.size] {
		// Its chunks are written while it is read: whether it is one that is there already must be known before.
		switch n, err := io.Copy(hash, contextReader{ctx, f}); {
		case err != nil:
			return 0, fmt.Errorf("cannot read %s: %w", e.path, err)
		case n != e.size:
			return 0, changed
		}
		if n, ok := pk.byDigest[Digest(hash.Sum(nil))]; ok {
			return n, nil
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return 0, fmt.Errorf("cannot read %s: %w", e.path, err)
		}
		hash.Reset()
	}
	pk.sizes[e.size] = true
	c := content{size: uint64(e.size), chunk: uint32(pk.jobs), shift: dataShift}
	for off := int64(0); off < e.size; {
		raw := pk.buffer()
		if off == 0 {
			head := make([]byte, elfHeaderSize)
			if _, err := io.ReadFull(f, head); err != nil {
				return 0, changed
			}
			switch {
			case string(head[:4]) == elf.ELFMAG:
				c.shift = codeShift
				arch, _ := elfArch(head)
				pk.arches[arch] = true
			case e.size >= hugeFile:
				c.shift = hugeShift
			}
			raw = append(raw, head...)
		}
		have := len(raw)
		n := int(min(e.size-off, 1<<c.shift))
		raw = slices.Grow(raw, n-have)[:n]
		if _, err := io.ReadFull(f, raw[have:]); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return 0, changed
		} else if err != nil {
			return 0, fmt.Errorf("cannot read %s: %w", e.path, err)
		}
		hash.Write(raw)
		off += int64(n)
		if err := pk.send(ctx, raw); err != nil {
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
func (pk *packer) send(ctx context.Context, raw []byte) error {
	if pk.jobs == math.MaxInt32 {
		return errors.New("it is too large")
	}
	pk.jobs++
	return pk.emit(ctx, &job{raw: raw, bytes: int64(len(raw))})
}

// small puts a small file into the shared chunk.
func (pk *packer) small(ctx context.Context, data []byte) (int, error) {
	c := content{digest: sha256.Sum256(data), size: uint64(len(data))}
	if n, ok := pk.byDigest[c.digest]; ok {
		return n, nil
	}
	if len(data) == 0 {
		return pk.add(c), nil
	}
	if len(pk.pending)+len(data) > packSize {
		if err := pk.flush(ctx); err != nil {
			return 0, err
		}
	}
	if pk.pending == nil {
		pk.pending = pk.buffer()
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
	return pk.send(ctx, raw)
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
		out = le.AppendUint32(out, c.Raw)
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
