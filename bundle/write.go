// SPDX-License-Identifier: MIT

package bundle

import (
	"bufio"
	"bytes"
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
	stub, err := prepareStub(p.Stub)
	if err != nil {
		return nil, fmt.Errorf("cannot make a bundle: the stub cannot be used: %w", err)
	}
	if stub.arch != p.Manifest.Arch {
		return nil, fmt.Errorf("cannot make a bundle: the stub is for %s, the bundle for %s: %w", stub.arch, p.Manifest.Arch, ErrArch)
	}
	var report *Report
	err = writeSeekable(w, "cannot write the bundle", func(f io.WriteSeeker, start int64) error {
		c, err := newContainer(f, start, stub)
		if err == nil {
			report, err = p.write(ctx, c)
		}
		return err
	})
	return report, err
}

// writeSeekable calls write with w when it can seek, and else with a temporary file that is copied to w afterwards: the ELF header, which comes
// first, has the place of the section table, which comes last.
func writeSeekable(w io.Writer, failure string, write func(f io.WriteSeeker, start int64) error) error {
	if f, ok := w.(io.WriteSeeker); ok {
		if start, err := f.Seek(0, io.SeekCurrent); err == nil {
			return write(f, start)
		}
	}
	tmp, err := os.CreateTemp("", "glick-build-")
	if err != nil {
		return fmt.Errorf("%s: %w", failure, err)
	}
	defer tmp.Close()
	if err := os.Remove(tmp.Name()); err != nil {
		return fmt.Errorf("%s: %w", failure, err)
	}
	if err := write(tmp, 0); err != nil {
		return err
	}
	if _, err := tmp.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("%s: %w", failure, err)
	}
	if _, err := io.Copy(w, tmp); err != nil {
		return fmt.Errorf("%s: %w", failure, err)
	}
	return nil
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

// container writes one of our ELF files from front to back.
type container struct {
	counter
	file  io.WriteSeeker
	start int64 // place in file where ours begins
	head  []byte
	table sectionTable
}

// newContainer begins the file with a stub or with what stands in its place.
func newContainer(f io.WriteSeeker, start int64, stub *stubImage) (*container, error) {
	head := stub.image
	if !stub.whole {
		head = append(bytes.Clone(head), make([]byte, (payloadAlign-len(head)%payloadAlign)%payloadAlign)...)
	}
	c := &container{counter: counter{w: bufio.NewWriterSize(f, 1<<20)}, file: f, start: start, head: head, table: sectionTable{stub: stub}}
	if _, err := c.Write(head); err != nil {
		return nil, fmt.Errorf("cannot write: %w", err)
	}
	return c, nil
}

// section writes one of the small sections.
func (c *container) section(name string, data []byte) error {
	if err := c.pad(sectionAlign); err != nil {
		return fmt.Errorf("cannot write: %w", err)
	}
	c.table.add(name, c.n, int64(len(data)))
	if _, err := c.Write(data); err != nil {
		return fmt.Errorf("cannot write: %w", err)
	}
	return nil
}

// end writes the section table, and its place into the header.
func (c *container) end() error {
	names := c.table.names()
	c.table.add(".shstrtab", c.n, int64(len(names)))
	if _, err := c.Write(names); err != nil {
		return fmt.Errorf("cannot write: %w", err)
	}
	if err := c.pad(sectionAlign); err != nil {
		return fmt.Errorf("cannot write: %w", err)
	}
	header := c.table.header(c.n)
	if _, err := c.Write(c.table.bytes()); err != nil {
		return fmt.Errorf("cannot write: %w", err)
	}
	if err := c.w.Flush(); err != nil {
		return fmt.Errorf("cannot write: %w", err)
	}
	if _, err := c.file.Seek(c.start, io.SeekStart); err != nil {
		return fmt.Errorf("cannot write: %w", err)
	}
	if _, err := c.file.Write(header); err != nil {
		return fmt.Errorf("cannot write: %w", err)
	}
	if _, err := c.file.Seek(c.start+c.n, io.SeekStart); err != nil {
		return fmt.Errorf("cannot write: %w", err)
	}
	return nil
}

// finish writes the manifest, the signature when there is to be one, and the end. It returns the manifest's digest.
func (c *container) finish(manifest []byte, sign SignFunc) (Digest, error) {
	if len(manifest) > maxManifest {
		return Digest{}, fmt.Errorf("its manifest is larger than %d bytes", maxManifest)
	}
	if err := c.section(sectionManifest, manifest); err != nil {
		return Digest{}, err
	}
	if sign != nil {
		signature, err := sign(manifest)
		switch {
		case err != nil:
			return Digest{}, fmt.Errorf("cannot sign: %w", err)
		case len(signature) > maxSignature:
			return Digest{}, fmt.Errorf("cannot sign: the signature is larger than %d bytes", maxSignature)
		}
		if err := c.section(sectionSignature, signature); err != nil {
			return Digest{}, err
		}
	}
	return sha256.Sum256(manifest), c.end()
}

func (p *Plan) write(ctx context.Context, c *container) (*Report, error) {
	m := *p.Manifest
	m.digests = map[string]Digest{"stub": sha256.Sum256(c.head)}
	order := []string{"stub"}

	from := c.n
	own, err := pack(ctx, p.tree, &c.counter, p.Progress)
	if err != nil {
		return nil, fmt.Errorf("cannot make a bundle of %s: %w", p.tree.dir, err)
	}
	// Libraries lie below the application, whose files count where both have one.
	var indexes [][]byte
	for _, lib := range p.libraries {
		m.Slices = append(m.Slices, lib.info)
		indexes = append(indexes, lib.index)
	}
	m.Slices = append(m.Slices, SliceInfo{
		Name: m.ID, Digest: sha256.Sum256(own.index), DataSize: own.stored, Size: own.size, Exported: true,
	})
	indexes = append(indexes, own.index)
	report := &Report{Content: own.size, Files: p.Files, Distinct: own.contents, Notes: p.Notes}
	// What may be taken out of the file lies last in its data.
	for _, optional := range []bool{false, true} {
		for i, lib := range p.libraries {
			if lib.info.Optional != optional {
				continue
			}
			m.Slices[i].DataOffset = c.n - from
			if err := lib.copyData(ctx, &c.counter); err != nil {
				return nil, fmt.Errorf("cannot make a bundle: the slice %s: %w", lib.info.Name, err)
			}
			report.Content += lib.info.Size
		}
	}
	report.Stored = c.n - from
	c.table.add(sectionData, from, report.Stored)

	for _, s := range p.sections() {
		m.digests[s.name] = sha256.Sum256(s.data)
		order = append(order, s.name)
		if err := c.section(s.name, s.data); err != nil {
			return nil, err
		}
	}
	for i, index := range indexes {
		if err := c.section(sectionSlice+strconv.Itoa(i), index); err != nil {
			return nil, err
		}
	}
	if report.Digest, err = c.finish(m.bytes(order), p.Sign); err != nil {
		return nil, fmt.Errorf("cannot make a bundle: %w", err)
	}
	report.Size = c.n
	return report, nil
}
