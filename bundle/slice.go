// SPDX-License-Identifier: MIT

package bundle

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"path/filepath"
	"strings"
)

// SignFunc signs the text of a manifest and returns an armoured SSH signature. Package bundle/signature/sshkey has one.
type SignFunc func(manifest []byte) (signature []byte, err error)

// SliceOptions describe a slice that is made in a file of its own.
type SliceOptions struct {
	Name    string // of the library, for people; must not be empty
	Version string // may be empty
	// Arch is the processor of the programs in it; when empty that of all programs found, or nothing when they differ or there are none.
	Arch     string
	Exported bool // installed bundles show it to the desktop
	Optional bool // applications work without it
	Platform bool // stands for something that a host may have itself
	Sign     SignFunc
	// Progress is as in BuildOptions.
	Progress func(done, total int64)
}

// SliceReport tells what BuildSlice has written.
type SliceReport struct {
	Info    SliceInfo
	Size    int64 // bytes of the file
	Files   int
	Folders int
	Links   int
	Notes   []string
}

// BuildSlice makes a slice of the tree dir, in a file of its own, from which bundles are made later. The same tree gives the same slice, in
// whatever bundle it is. On an error w holds something incomplete, which the caller removes.
func BuildSlice(ctx context.Context, w io.Writer, dir string, o SliceOptions) (*SliceReport, error) {
	info := SliceInfo{Name: o.Name, Version: o.Version, Arch: o.Arch, Exported: o.Exported, Optional: o.Optional, Platform: o.Platform}
	if err := info.check(); err != nil {
		return nil, fmt.Errorf("cannot make a slice: %w", err)
	}
	src, err := scanFolder(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot make a slice: %w", err)
	}
	report := &SliceReport{Files: src.files, Folders: src.folders, Links: src.links, Notes: src.notes}
	err = writeSeekable(w, "cannot write the slice", func(f io.WriteSeeker, start int64) error {
		c, err := newContainer(f, start, sliceHead())
		if err != nil {
			return err
		}
		from := c.n
		packed, err := pack(ctx, src, &c.counter, o.Progress)
		if err != nil {
			return fmt.Errorf("cannot make a slice of %s: %w", dir, err)
		}
		c.table.add(sectionData, from, packed.stored)
		info.Digest, info.DataSize, info.Size = sha256.Sum256(packed.index), packed.stored, packed.size
		if info.Arch == "" {
			info.Arch = packed.arch
		}
		if err := c.section(sectionSlice+"0", packed.index); err != nil {
			return err
		}
		m := Manifest{Slices: []SliceInfo{info}}
		if _, err := c.finish(m.bytes(nil), o.Sign); err != nil {
			return fmt.Errorf("cannot make a slice: %w", err)
		}
		report.Info, report.Size = info, c.n
		return nil
	})
	if err != nil {
		return nil, err
	}
	return report, nil
}

// SliceName proposes the name of a slice from that of its file.
func SliceName(file string) string {
	return strings.TrimSuffix(filepath.Base(file), ".slice")
}

// library is a slice that becomes a part of a bundle.
type library struct {
	file  *Bundle
	tree  *Tree
	info  SliceInfo // without its place in the bundle
	index []byte
}

// newLibrary takes a slice from a file that ReadSlice has read.
func newLibrary(file *Bundle) (*library, error) {
	if file.format != FormatSlice {
		return nil, fmt.Errorf("it is none: %w", ErrNotSlice)
	}
	lib := &library{file: file, info: file.manifest.Slices[0]}
	if lib.info.Missing {
		return nil, fmt.Errorf("it has no section %s0: %w", sectionSlice, ErrDamaged)
	}
	var err error
	if lib.tree, err = file.Tree(); err != nil {
		return nil, err
	}
	if lib.index, err = file.read(sectionSlice+"0", maxIndex); err != nil {
		return nil, err
	}
	lib.info.DataOffset = 0
	return lib, nil
}

// copyData writes the slice's data to w, each chunk after it was checked: what is built of a damaged slice would be damaged.
func (l *library) copyData(ctx context.Context, w io.Writer) error {
	x := l.tree.slices[0]
	var raw, stored []byte
	var err error
	for i := range x.chunkCount() {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		c := x.chunk(i)
		if raw, err = l.tree.ReadChunk(c, raw); err != nil {
			return err
		}
		stored = append(stored[:0], make([]byte, c.Stored)...)
		if err := ReadFull(l.file.r, stored, l.tree.data+l.file.manifest.Slices[0].DataOffset+c.Offset); err != nil {
			return fmt.Errorf("cannot read its data: %w", err)
		}
		if _, err := w.Write(stored); err != nil {
			return fmt.Errorf("cannot write: %w", err)
		}
	}
	return nil
}
