// SPDX-License-Identifier: MIT

// Package foreign reads the files of other programs that hold an application with all that it needs, as bundles: those of Glick 0.2, of
// Glick 2, and AppImages of type 1 and 2. doc/foreign.md says what they are like.
//
// What a format lacks, a bundle from it lacks too: an empty id, version or name is not made up from the name of the file. Nothing of a
// file is ever run, and finding out what it is reads no more than a few small files in it.
package foreign

import (
	"errors"
	"fmt"
	"io"

	"glick.org/glick/bundle"
	"glick.org/glick/bundle/foreign/ext2"
	"glick.org/glick/bundle/foreign/glick2"
	"glick.org/glick/bundle/foreign/iso9660"
	"glick.org/glick/bundle/foreign/squashfs"
)

// Read finds out what the file in the first size bytes of r is, by its content alone: a bundle of Glick, for which this is bundle.Read, or
// one of the other formats. The caller keeps r open while the Bundle or its Tree is used.
//
// Errors are bundle.ErrNotBundle for everything that is none of these, ErrTruncated, ErrDamaged, ErrVersion, ErrUnsupported, or those of r.
func Read(r io.ReaderAt, size int64) (*bundle.Bundle, error) {
	b, unknown := bundle.Read(r, size)
	if !errors.Is(unknown, bundle.ErrNotBundle) {
		return b, unknown
	}
	f, err := detect(r, size)
	switch {
	case err != nil:
		return nil, err
	case f == nil:
		return nil, unknown
	}
	return bundle.NewForeign(*f), nil
}

// Kind returns the name of the format, as Bundle.Format does, that a file is by its first bytes. It is empty when they do not tell: a bundle of Glick
// 0.2 is known by its sections only.
func Kind(head []byte) string {
	switch {
	case len(head) >= len(glick2.Magic) && string(head[:len(glick2.Magic)]) == glick2.Magic:
		return bundle.FormatGlick2
	case len(head) < elfHeader32 || string(head[:4]) != elfMagic:
	case string(head[8:11]) == "AI\x02":
		return bundle.FormatAppImage2
	case string(head[8:11]) == "AI\x01":
		return bundle.FormatAppImage1
	}
	return ""
}

// detect returns what is known of a file that is no bundle of this Glick; nil when it is of no known format.
func detect(r io.ReaderAt, size int64) (*bundle.Foreign, error) {
	head := make([]byte, max(0, min(size, elfHeader64)))
	if err := bundle.ReadFull(r, head, 0); err != nil {
		return nil, fmt.Errorf("cannot read the file's beginning: %w", err)
	}
	f := &bundle.Foreign{Reader: r, Size: size, Icons: make(map[int][]byte)}
	read := func(format string, open func(*bundle.Foreign, []byte) error) (*bundle.Foreign, error) {
		f.Format = format
		if err := open(f, head); err != nil {
			return nil, fmt.Errorf("cannot read it as %s: %w", format, err)
		}
		return f, nil
	}
	switch kind := Kind(head); {
	case kind == bundle.FormatGlick2:
		return read(kind, readGlick2)
	case kind == bundle.FormatAppImage2:
		return read(kind, readAppImage2)
	case kind == bundle.FormatAppImage1:
		return read(kind, readAppImage1)
	case len(head) < elfHeader32 || string(head[:4]) != elfMagic:
		return nil, nil
	}
	e, err := readELF(r, size, head)
	switch {
	case errors.Is(err, bundle.ErrDamaged), errors.Is(err, bundle.ErrTruncated):
		return nil, nil // some program, and no good one
	case err != nil:
		return nil, err
	case e.section(sectionImage) == nil:
		return nil, nil
	}
	return read(bundle.FormatGlick02, func(f *bundle.Foreign, _ []byte) error { return readGlick02(f, e) })
}

// readAppImage2 finds the squashfs image, which begins where the ELF file ends.
func readAppImage2(f *bundle.Foreign, head []byte) error {
	e, err := readELF(f.Reader, f.Size, head)
	if err != nil {
		return err
	}
	err = fmt.Errorf("there is no squashfs image behind its program: %w", bundle.ErrUnsupported)
	for _, end := range e.ends {
		var magic [4]byte
		if end > f.Size-int64(len(magic)) {
			err = fmt.Errorf("nothing is behind its program: %w", bundle.ErrTruncated)
			continue
		}
		if err := bundle.ReadFull(f.Reader, magic[:], end); err != nil {
			return err
		}
		if string(magic[:]) != "hsqs" {
			continue
		}
		files, err := squashfs.Open(io.NewSectionReader(f.Reader, end, f.Size-end), f.Size-end)
		if err != nil {
			return err
		}
		f.Files = files
		f.Manifest.Arch = e.arch
		return appDir(f)
	}
	return err
}

// readAppImage1 reads an ISO 9660 image that is an ELF file at the same time.
func readAppImage1(f *bundle.Foreign, head []byte) error {
	files, err := iso9660.Open(f.Reader, f.Size)
	if err != nil {
		return err
	}
	f.Files = files
	f.Manifest.Arch = archOf(head)
	return appDir(f)
}

// Sections of a bundle of Glick 0.2.
const (
	sectionImage   = ".glick.image"
	sectionIcon    = ".xdg.icon.48"
	sectionDesktop = ".xdg.desktop"
)

func readGlick02(f *bundle.Foreign, e *elfFile) error {
	image := e.section(sectionImage)
	if err := image.inside(f.Size); err != nil {
		return err
	}
	files, err := ext2.Open(io.NewSectionReader(f.Reader, image.off, image.size), image.size)
	if err != nil {
		return err
	}
	f.Files = files
	f.Manifest.Arch = e.arch
	f.Manifest.Prefix = "/proc/self/fd/1023"
	f.Manifest.Exec = "start"

	d := &finder{Foreign: f}
	text, err := e.read(f.Reader, f.Size, sectionDesktop, maxDesktop)
	if err != nil {
		return err
	}
	d.desktop(text, "")
	icon, err := e.read(f.Reader, f.Size, sectionIcon, maxIcon)
	if err != nil {
		return err
	}
	d.icon(icon)
	return nil
}

func readGlick2(f *bundle.Foreign, _ []byte) error {
	files, err := glick2.Open(f.Reader, f.Size)
	if err != nil {
		return err
	}
	f.Files = files
	f.Manifest.Prefix = glick2.Prefix
	d := &finder{Foreign: f, tree: newWalker(files, glick2.Prefix), share: "share"}
	d.setID(files.ID())
	d.setVersion(files.Version())
	if err := d.installed(); err != nil {
		return err
	}
	return d.program(files.Exec())
}

// appDir finds what an AppImage says about itself: in its root (AppDir specification), and as installed files of usr.
func appDir(f *bundle.Foreign) error {
	d := &finder{Foreign: f, tree: newWalker(f.Files, ""), share: "usr/share"}
	if err := d.root(); err != nil {
		return err
	}
	if err := d.metainfo(); err != nil {
		return err
	}
	return d.icons()
}
