// SPDX-License-Identifier: MIT

package bundle

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
)

// payloadAlign is the alignment of .glick.data, so that its chunks can share pages with the page cache.
const (
	payloadAlign = 4096
	sectionAlign = 16
)

// Write makes the bundle and writes it to w. See Build.
func (p *Plan) Write(ctx context.Context, w io.Writer) (*Report, error) {
	if p.Stub == nil {
		return nil, errors.New("cannot make a bundle: no stub")
	}
	if f, ok := w.(io.WriteSeeker); ok {
		if start, err := f.Seek(0, io.SeekCurrent); err == nil {
			return p.write(ctx, f, start)
		}
	}
	// The ELF header, which comes first, has the place of the section table, which comes last.
	tmp, err := os.CreateTemp("", "glick-build-")
	if err != nil {
		return nil, fmt.Errorf("cannot make a bundle: %w", err)
	}
	defer tmp.Close()
	if err := os.Remove(tmp.Name()); err != nil {
		return nil, fmt.Errorf("cannot make a bundle: %w", err)
	}
	report, err := p.write(ctx, tmp, 0)
	if err != nil {
		return nil, err
	}
	if _, err := tmp.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("cannot make a bundle: %w", err)
	}
	if _, err := io.Copy(w, tmp); err != nil {
		return nil, fmt.Errorf("cannot write the bundle: %w", err)
	}
	return report, nil
}

// counter counts the bytes that went through it.
type counter struct {
	w *bufio.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// pad writes zeros up to a multiple of align.
func (c *counter) pad(align int64) error {
	if n := (align - c.n%align) % align; n > 0 {
		_, err := c.Write(make([]byte, n))
		return err
	}
	return nil
}

func (p *Plan) write(ctx context.Context, f io.WriteSeeker, start int64) (*Report, error) {
	fail := func(err error) (*Report, error) { return nil, fmt.Errorf("cannot write the bundle: %w", err) }
	stub, err := prepareStub(p.Stub)
	if err != nil {
		return nil, fmt.Errorf("cannot make a bundle: the stub cannot be used: %w", err)
	}
	if stub.arch != p.Manifest.Arch {
		return nil, fmt.Errorf("cannot make a bundle: the stub is for %s, the bundle for %s: %w", stub.arch, p.Manifest.Arch, ErrArch)
	}
	w := &counter{w: bufio.NewWriterSize(f, 1<<20)}
	image := append([]byte(nil), stub.image...)
	image = append(image, make([]byte, (payloadAlign-len(image)%payloadAlign)%payloadAlign)...)
	if _, err := w.Write(image); err != nil {
		return fail(err)
	}
	m := *p.Manifest
	m.digests = map[string]Digest{"stub": sha256.Sum256(image)}
	order := []string{"stub"}
	table := sectionTable{stub: stub}

	from := w.n
	slice, err := p.pack(ctx, w)
	if err != nil {
		return nil, fmt.Errorf("cannot make a bundle of %s: %w", p.tree.dir, err)
	}
	table.add(sectionData, from, w.n-from)
	m.Slices = []SliceInfo{{
		Name: m.ID, Digest: sha256.Sum256(slice.index), DataSize: w.n - from, Size: slice.size,
	}}

	sections := p.sections()
	for _, s := range sections {
		m.digests[s.name] = sha256.Sum256(s.data)
		order = append(order, s.name)
	}
	manifest := m.bytes(order)
	if len(manifest) > maxManifest {
		return fail(fmt.Errorf("its manifest is larger than %d bytes", maxManifest))
	}
	for i := range m.Slices {
		sections = append(sections, smallSection{sectionSlice + strconv.Itoa(i), slice.index})
	}
	sections = append(sections, smallSection{sectionManifest, manifest})
	for _, s := range sections {
		if err := w.pad(sectionAlign); err != nil {
			return fail(err)
		}
		table.add(s.name, w.n, int64(len(s.data)))
		if _, err := w.Write(s.data); err != nil {
			return fail(err)
		}
	}

	names := table.names()
	table.add(".shstrtab", w.n, int64(len(names)))
	if _, err := w.Write(names); err != nil {
		return fail(err)
	}
	if err := w.pad(sectionAlign); err != nil {
		return fail(err)
	}
	header := table.header(w.n)
	if _, err := w.Write(table.bytes()); err != nil {
		return fail(err)
	}
	if err := w.w.Flush(); err != nil {
		return fail(err)
	}
	if _, err := f.Seek(start, io.SeekStart); err != nil {
		return fail(err)
	}
	if _, err := f.Write(header); err != nil {
		return fail(err)
	}
	if _, err := f.Seek(start+w.n, io.SeekStart); err != nil {
		return fail(err)
	}
	return &Report{
		Size: w.n, Content: slice.size, Stored: m.Slices[0].DataSize, Files: p.Files, Distinct: slice.contents,
		Digest: sha256.Sum256(manifest), Notes: p.Notes,
	}, nil
}
