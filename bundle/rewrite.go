// SPDX-License-Identifier: MIT

package bundle

import (
	"context"
	"fmt"
	"io"
	"strconv"
)

// RewriteOptions say what of a bundle shall be otherwise.
type RewriteOptions struct {
	// Without names optional slices that are taken out. The manifest, and so a signature, stays as it is.
	Without []string
	// Sign, when not nil, makes a signature that takes the place of the old one.
	Sign SignFunc
	// Progress, when not nil, is called with bytes written and in total.
	Progress func(done, total int64)
}

// Rewrite writes a copy of a bundle or slice file to w, with or without something. What is copied is not checked; who wants to be sure of it
// calls Verify first. On an error w holds something incomplete, which the caller removes.
func (b *Bundle) Rewrite(ctx context.Context, w io.Writer, o RewriteOptions) error {
	if b.foreign != nil {
		return fmt.Errorf("cannot change the file: %w", ErrUnsupported)
	}
	if b.format == FormatSlice && len(o.Without) > 0 {
		return fmt.Errorf("cannot take out the slice %s: the file has no other", o.Without[0])
	}
	keep := make([]bool, len(b.manifest.Slices))
	for i, s := range b.manifest.Slices {
		keep[i] = !s.Missing
	}
	for _, name := range o.Without {
		found := false
		for i, s := range b.manifest.Slices {
			if s.Name != name {
				continue
			}
			if found = true; !s.Optional {
				return fmt.Errorf("cannot take out the slice %s: it is not optional", name)
			}
			keep[i] = false
		}
		if !found {
			return fmt.Errorf("cannot take out the slice %s: there is none of that name", name)
		}
	}
	return writeSeekable(w, "cannot write the file", func(f io.WriteSeeker, start int64) error {
		if err := b.rewrite(ctx, f, start, keep, o); err != nil {
			return fmt.Errorf("cannot change the file: %w", err)
		}
		return nil
	})
}

func (b *Bundle) rewrite(ctx context.Context, f io.WriteSeeker, start int64, keep []bool, o RewriteOptions) error {
	stub, err := b.head()
	if err != nil {
		return err
	}
	c, err := newContainer(f, start, stub)
	if err != nil {
		return err
	}
	data, _ := b.section(sectionData)
	var end int64
	for i, s := range b.manifest.Slices {
		if keep[i] {
			end = max(end, s.DataOffset+s.DataSize)
		}
	}
	from := c.n
	buf := make([]byte, 1<<20)
	for off := int64(0); off < end; {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		p := buf[:min(int64(len(buf)), end-off)]
		if err := ReadFull(b.r, p, data.Offset+off); err != nil {
			return fmt.Errorf("cannot read its data: %w", err)
		}
		if _, err := c.Write(p); err != nil {
			return fmt.Errorf("cannot write: %w", err)
		}
		if off += int64(len(p)); o.Progress != nil {
			o.Progress(off, end)
		}
	}
	c.table.add(sectionData, from, end)
	for _, s := range b.sections {
		switch s.Name {
		case sectionNote, sectionData, sectionManifest, sectionSignature:
			continue
		}
		if n, ok := sliceNumber(s.Name); ok && n < len(keep) && !keep[n] {
			continue
		}
		content, err := b.read(s.Name, maxIndex)
		if err != nil {
			return err
		}
		if err := c.section(s.Name, content); err != nil {
			return err
		}
	}
	sign := o.Sign
	if sign == nil {
		old, err := b.Signature()
		if err != nil {
			return err
		}
		if old != nil {
			sign = func([]byte) ([]byte, error) { return old, nil }
		}
	}
	_, err = c.finish(b.text, sign)
	return err
}

// sliceNumber returns the number of the slice whose index a section is.
func sliceNumber(section string) (int, bool) {
	if len(section) <= len(sectionSlice) || section[:len(sectionSlice)] != sectionSlice {
		return 0, false
	}
	n, err := strconv.Atoi(section[len(sectionSlice):])
	return n, err == nil && n >= 0
}

// head returns what a file of ours has before its data, and the headers of the stub's own sections.
func (b *Bundle) head() (*stubImage, error) {
	data, _ := b.section(sectionData)
	if data.Offset < headPage || data.Offset > maxStub {
		return nil, damaged("a stub of %d bytes", data.Offset)
	}
	s := &stubImage{arch: b.manifest.Arch, image: make([]byte, data.Offset), whole: true}
	if err := ReadFull(b.r, s.image, 0); err != nil {
		return nil, fmt.Errorf("cannot read the stub: %w", err)
	}
	// debug/elf would want more of the section table than the format does.
	if note, ok := b.section(sectionNote); ok {
		s.noteOff, s.noteAddr = int(note.Offset), b.noteAddr
	}
	s.sections = b.loaded
	return s, nil
}
