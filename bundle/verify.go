// SPDX-License-Identifier: MIT

package bundle

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"strconv"
	"sync"

	"golang.org/x/sync/errgroup"
)

// Problem is something in a bundle that is not what its digest says.
type Problem struct {
	Section string   // where it is
	Slice   int      // -1 when it is in no slice
	Files   []string // that are damaged by it, as paths relative to the prefix
	Err     error
}

func (p Problem) String() string {
	s := p.Err.Error()
	for i, f := range p.Files {
		if i == 10 {
			return s + fmt.Sprintf("; and %d more files", len(p.Files)-i)
		}
		s += fmt.Sprintf("; file %q", f)
	}
	return s
}

// Verification tells what Verify has read.
type Verification struct {
	Chunks   int
	Bytes    int64 // uncompressed
	Problems []Problem
}

// Verify reads the whole bundle and compares everything to its digest: the stub, all sections, every chunk of every slice and every file's
// content. The error is ErrDamaged or ErrVersion when there are problems, which the Verification then lists; others mean that it could not
// be finished. Progress, when not nil, is called with uncompressed bytes done and in total, from one goroutine at a time.
//
// A slice file has no stub. A foreign file has nothing to compare with, which is ErrUnsupported.
func (b *Bundle) Verify(ctx context.Context, progress func(done, total int64)) (*Verification, error) {
	v := &Verification{}
	if b.foreign != nil {
		return v, fmt.Errorf("it has no digests to compare its content with: %w", ErrUnsupported)
	}
	bad := func(section string, err error) error {
		if !isDamage(err) {
			return err
		}
		v.Problems = append(v.Problems, Problem{Section: section, Slice: -1, Err: err})
		return nil
	}
	if b.format == FormatBundle {
		if err := b.verifyStub(ctx); err != nil {
			if err := bad("stub", err); err != nil {
				return v, err
			}
		}
	}
	for _, s := range b.sections {
		limit := int64(maxIcon)
		switch {
		case s.Name == sectionDesktop:
			limit = maxDesktop
		case s.Name == sectionMetainfo:
			limit = maxMetainfo
		case s.Name == sectionSVG:
		default:
			// Other sections are compared when the manifest has a digest of them.
			_, icon := iconSize(s.Name)
			if _, known := b.manifest.digests[s.Name]; !icon && !known {
				continue
			}
		}
		_, err := b.readChecked(s.Name, limit)
		if n, ok := iconSize(s.Name); ok && err == nil {
			_, err = b.Icon(n)
		}
		if err != nil {
			if err := bad(s.Name, err); err != nil {
				return v, err
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b.manifest.digests)) {
		if _, ok := b.section(name); !ok && name != "stub" {
			if err := bad(name, fmt.Errorf("section %s is missing: %w", name, ErrDamaged)); err != nil {
				return v, err
			}
		}
	}
	t, err := b.Tree()
	switch {
	case err == nil:
		if err := t.verify(ctx, v, progress); err != nil {
			return v, err
		}
	case isDamage(err):
		_ = bad(sectionSlice, err)
	default:
		return v, err
	}
	switch {
	case len(v.Problems) == 0:
		return v, nil
	case len(v.Problems) == 1:
		return v, v.Problems[0].Err
	}
	slices.SortStableFunc(v.Problems, func(x, y Problem) int { return x.Slice - y.Slice })
	return v, fmt.Errorf("%d problems: %w", len(v.Problems), ErrDamaged)
}

func isDamage(err error) bool {
	return errors.Is(err, ErrDamaged) || errors.Is(err, ErrTruncated) || errors.Is(err, ErrVersion)
}

// verifyStub compares the code at the beginning to its digest. The three fields of the ELF header that say where the section table is count
// as zero: they are what tools that move sections change, and they lead to nothing that is not checked itself.
func (b *Bundle) verifyStub(ctx context.Context) error {
	data, _ := b.section(sectionData)
	if data.Offset < headPage {
		return fmt.Errorf("the stub is shorter than %d bytes: %w", headPage, ErrDamaged)
	}
	hash := sha256.New()
	buf := make([]byte, 1<<20)
	for off := int64(0); off < data.Offset; {
		if err := ctx.Err(); err != nil {
			return err
		}
		p := buf[:min(int64(len(buf)), data.Offset-off)]
		if err := ReadFull(b.r, p, off); err != nil {
			return fmt.Errorf("cannot read the stub: %w", err)
		}
		if off == 0 {
			clear(p[40:48])
			clear(p[58:64])
		}
		hash.Write(p)
		off += int64(len(p))
	}
	if Digest(hash.Sum(nil)) != b.manifest.digests["stub"] {
		return fmt.Errorf("the stub differs from its digest: %w", ErrDamaged)
	}
	return nil
}

// verifier collects the results of reading chunks in parallel.
type verifier struct {
	tree     *Tree
	progress func(done, total int64)
	total    int64

	mu       sync.Mutex
	v        *Verification  // mu
	done     int64          // mu
	bad      []map[int]bool // mu; by slice: contents that are damaged
	problems []Problem      // mu
}

func (t *Tree) verify(ctx context.Context, v *Verification, progress func(done, total int64)) error {
	w := &verifier{tree: t, progress: progress, v: v, bad: make([]map[int]bool, len(t.slices))}
	for _, x := range t.slices {
		for i := range x.chunkCount() {
			w.total += int64(x.chunk(i).Raw)
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for s, x := range t.slices {
		w.bad[s] = make(map[int]bool)
		parts := make(map[uint32][]int) // contents by the one chunk that they are in
		for i := range x.contentCount() {
			c := x.content(i)
			if c.size == 0 {
				if c.digest != sha256.Sum256(nil) {
					w.report(s, []int{i}, damaged("the digest of an empty file is wrong"))
				}
				continue
			}
			if c.shift == 0 {
				parts[c.chunk] = append(parts[c.chunk], i)
				continue
			}
			g.Go(func() error { return w.large(ctx, s, i) })
		}
		for i, list := range parts {
			g.Go(func() error { return w.shared(ctx, s, int(i), list) })
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	w.nameFiles()
	v.Problems = append(v.Problems, w.problems...)
	return nil
}

// chunk reads one chunk; damage is reported for the contents given.
func (w *verifier) chunk(ctx context.Context, slice, i int, contents []int, buf []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c := w.tree.slices[slice].chunk(i)
	c.Slice = slice
	raw, err := w.tree.ReadChunk(c, buf)
	w.mu.Lock()
	w.done += int64(c.Raw)
	w.v.Chunks++
	w.v.Bytes += int64(c.Raw)
	if w.progress != nil {
		w.progress(w.done, w.total)
	}
	w.mu.Unlock()
	if err != nil && isDamage(err) {
		w.report(slice, contents, err)
		return nil, nil
	}
	return raw, err
}

func (w *verifier) report(slice int, contents []int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := Problem{Section: sectionSlice + strconv.Itoa(slice), Slice: slice, Err: err}
	for _, c := range contents {
		w.bad[slice][c] = true
		p.Files = append(p.Files, strconv.Itoa(c)) // becomes names in nameFiles
	}
	w.problems = append(w.problems, p)
}

// large checks a content of several chunks.
func (w *verifier) large(ctx context.Context, slice, i int) error {
	x := w.tree.slices[slice]
	c := x.content(i)
	hash := sha256.New()
	whole := true
	var buf []byte
	for k := range (c.size + 1<<c.shift - 1) >> c.shift {
		raw, err := w.chunk(ctx, slice, int(uint64(c.chunk)+k), []int{i}, buf)
		if err != nil {
			return err
		}
		if raw == nil {
			whole = false
			continue
		}
		hash.Write(raw)
		buf = raw
	}
	if whole && Digest(hash.Sum(nil)) != c.digest {
		w.report(slice, []int{i}, damaged("a file in slice %d differs from its digest", slice))
	}
	return nil
}

// shared checks a chunk and the contents in it.
func (w *verifier) shared(ctx context.Context, slice, i int, contents []int) error {
	raw, err := w.chunk(ctx, slice, i, contents, nil)
	if raw == nil || err != nil {
		return err
	}
	x := w.tree.slices[slice]
	for _, k := range contents {
		c := x.content(k)
		if sha256.Sum256(raw[c.skip:][:c.size]) != c.digest {
			w.report(slice, []int{k}, damaged("a file in slice %d differs from its digest", slice))
		}
	}
	return nil
}

// nameFiles replaces the numbers of contents in the problems by the names of the files that have them.
func (w *verifier) nameFiles() {
	if len(w.problems) == 0 {
		return
	}
	type key struct {
		slice   int
		content string
	}
	names := make(map[key][]string)
	for n := range w.tree.Len() {
		info := w.tree.Info(Node(n))
		if info.IsFile() && w.bad[info.Slice][info.content] {
			k := key{info.Slice, strconv.Itoa(info.content)}
			names[k] = append(names[k], w.tree.Path(Node(n)))
		}
	}
	for i := range w.problems {
		p := &w.problems[i]
		var files []string
		for _, f := range p.Files {
			files = append(files, names[key{p.Slice, f}]...)
		}
		slices.Sort(files)
		p.Files = files
	}
	slices.SortStableFunc(w.problems, func(a, b Problem) int { return slices.Compare(a.Files, b.Files) })
}

// Identity returns a key that two files share only when all their bytes are the same, although nothing has been read yet. A file's Digest
// alone is what an index claims; who reads chunk by chunk never sees the whole file, and must not let one bundle's claim stand for the
// content of another. So the key of a file of several chunks covers the chunks' digests, each of which is checked on reading. For a file in
// one chunk it is the Digest, and CheckPart must be called with the chunk.
func (t *Tree) Identity(n Node) Digest {
	x, e := t.entry(n)
	if e.mode&modeType != modeFile {
		return Digest{}
	}
	c := x.content(int(e.a))
	if c.shift == 0 {
		return c.digest
	}
	hash := sha256.New()
	fmt.Fprintf(hash, "%d %d\n", c.size, c.shift)
	for k := range (c.size + 1<<c.shift - 1) >> c.shift {
		d := x.chunks[(uint64(c.chunk)+k)*chunkSize:][:sha256.Size]
		hash.Write(d)
	}
	return Digest(hash.Sum(nil))
}

// CheckPart compares the content of file n to its digest when it lies in a single chunk, of which chunk are the uncompressed bytes. For a
// larger file it does nothing: see Identity. The error is ErrDamaged.
func (t *Tree) CheckPart(n Node, chunk []byte) error {
	x, e := t.entry(n)
	if e.mode&modeType != modeFile {
		return nil
	}
	c := x.content(int(e.a))
	if c.shift != 0 || c.size == 0 {
		return nil
	}
	if uint64(len(chunk)) < uint64(c.skip)+c.size || sha256.Sum256(chunk[c.skip:][:c.size]) != c.digest {
		return damaged("file %q in slice %d differs from its digest", t.Path(n), t.at(n).slice)
	}
	return nil
}

var _ io.Reader = (*fileReader)(nil)
