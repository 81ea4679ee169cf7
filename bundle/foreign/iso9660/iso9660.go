// SPDX-License-Identifier: MIT

// Package iso9660 reads the file tree of ISO 9660 images with Rock Ridge names and zisofs compression, as AppImages of type 1 are. There the
// first 32 KiB, which ISO 9660 leaves to others, hold the program that mounts the image.
//
// Sources are ECMA-119 (the text of ISO 9660), the System Use Sharing Protocol (IEEE P1281), the Rock Ridge Interchange Protocol (IEEE P1282)
// and libisofs' description of zisofs (doc/zisofs_format.txt). Numbers are there twice, in both byte orders; the little endian one is used.
//
//	sector 16, 17, …   volume descriptors; the primary one leads to the root folder
//	anywhere else      folders, of directory records; continuations of records; contents
//
// A sector has 2048 bytes. Joliet's second tree is not looked at.
//
// An inode is the place of a directory record in the image, in bytes: that in the folder above, but for the root and for a folder that was
// moved because it was too deep: for these it is the record for itself with which a folder begins.
package iso9660

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"glick.org/glick/bundle"
)

const (
	sectorSize      = 2048
	firstDescriptor = 16
	maxDescriptors  = 64
	magic           = "CD001"

	descriptorPrimary = 1
	descriptorEnd     = 255

	maxTarget = 4095
	// maxExtents of a file bounds the time that one takes that has no end; each but the last has up to 4 GiB.
	maxExtents = 256
)

// Types of files, as in stat(2).
const (
	modeType   = 0o170000
	modePipe   = 0o010000
	modeChar   = 0o020000
	modeDir    = 0o040000
	modeBlock  = 0o060000
	modeFile   = 0o100000
	modeLink   = 0o120000
	modeSocket = 0o140000

	// What Linux shows when the image does not say.
	plainDir  = modeDir | 0o555
	plainFile = modeFile | 0o555
)

// Image is an open image. It reads from the reader given to Open as long as it is used.
type Image struct {
	r         io.ReaderAt
	size      int64 // in bytes
	root      int64 // place of the root folder's record for itself
	rockRidge bool
	skip      int // bytes before the entries in each record's system use area

	mu   sync.Mutex
	last unpacked // guarded by mu
}

var _ bundle.FileSystem = (*Image)(nil)

// Open reads the volume descriptors of the image in the first size bytes of r, and finds out whether it has Rock Ridge names. The caller
// keeps r open while the Image is used.
//
// Errors are bundle.ErrTruncated, bundle.ErrDamaged, also for what is no such image, bundle.ErrUnsupported, or those of r.
func Open(r io.ReaderAt, size int64) (*Image, error) {
	im := &Image{r: r, size: size}
	if err := im.readDescriptors(); err != nil {
		return nil, fmt.Errorf("cannot read the ISO 9660 image: %w", err)
	}
	if err := im.readRoot(); err != nil {
		return nil, fmt.Errorf("cannot read the ISO 9660 image's root folder: %w", err)
	}
	return im, nil
}

// readDescriptors finds the primary volume descriptor (ECMA-119, 8.4).
func (im *Image) readDescriptors() error {
	d := make([]byte, sectorSize)
	for i := int64(firstDescriptor); i < firstDescriptor+maxDescriptors; i++ {
		if im.size < (i+1)*sectorSize {
			return bundle.ErrTruncated
		}
		if err := bundle.ReadFull(im.r, d, i*sectorSize); err != nil {
			return err
		}
		if string(d[1:6]) != magic || d[0] == descriptorEnd {
			break
		}
		if d[0] != descriptorPrimary {
			continue
		}
		le := binary.LittleEndian
		switch block := le.Uint16(d[128:]); {
		case d[6] != 1 || d[881] != 1:
			return fmt.Errorf("version %d: %w", d[6], bundle.ErrUnsupported)
		case block != sectorSize:
			return fmt.Errorf("it has blocks of %d bytes: %w", block, bundle.ErrUnsupported)
		case int64(le.Uint32(d[80:]))*sectorSize > im.size:
			return bundle.ErrTruncated
		}
		root, err := parseRecord(d[156:190])
		if err != nil {
			return err
		}
		im.root = root.extent
		return nil
	}
	return damaged("it has no primary volume descriptor")
}

// readRoot looks for the entry SP of the System Use Sharing Protocol, which must come first in the root's first record.
func (im *Image) readRoot() error {
	root, err := im.record(im.root)
	if err != nil {
		return err
	}
	if !root.isDir() || string(root.id) != "\x00" {
		return damaged("it does not begin with a record for itself")
	}
	if sp := root.use; len(sp) >= 7 && string(sp[:2]) == "SP" && sp[4] == 0xbe && sp[5] == 0xef {
		im.rockRidge, im.skip = true, int(sp[6])
	}
	_, err = im.file(bundle.Inode(im.root))
	return err
}

// file is what is known of an inode.
type file struct {
	mode    uint32
	size    int64 // of the content, in bytes
	target  string
	extents []extent
	packed  *packing // nil: the content is in the extents as it is
}

// extent is a piece of a content, inside of the image.
type extent struct{ off, size int64 }

// file reads the record at that place, and those that follow when the content is in several pieces.
func (im *Image) file(i bundle.Inode) (*file, error) {
	fail := func(err error) (*file, error) {
		return nil, fmt.Errorf("cannot read the record at %d: %w", i, err)
	}
	if i > bundle.Inode(max(im.size, 0)) {
		return fail(damaged("it is outside of the image"))
	}
	rec, err := im.record(int64(i))
	if err != nil {
		return fail(err)
	}
	a, err := im.attributes(rec, newContinuations(im))
	if err != nil {
		return fail(err)
	}
	if a.unsupported != nil {
		return fail(a.unsupported)
	}
	f := &file{mode: plainFile}
	if rec.isDir() {
		f.mode = plainDir
	}
	if a.hasMode {
		f.mode = a.mode
	}
	switch f.mode & modeType {
	case modeFile, modeDir, modeLink, modePipe, modeChar, modeBlock, modeSocket:
	default:
		return fail(damaged("its type is impossible"))
	}
	if rec.isDir() != (f.mode&modeType == modeDir) || a.hasTarget != (f.mode&modeType == modeLink) {
		return fail(damaged("it contradicts itself about its type"))
	}
	switch f.mode & modeType {
	case modeLink:
		if f.target, err = a.link(); err != nil {
			return fail(err)
		}
	case modeDir:
		if rec.flags&flagMore != 0 {
			return fail(damaged("it is a folder in several pieces"))
		}
		fallthrough
	case modeFile:
		if f.extents, err = im.extents(rec); err != nil {
			return fail(err)
		}
		for _, e := range f.extents {
			f.size += e.size
		}
		if f.mode&modeType == modeFile && a.packed != nil {
			if err := a.packed.check(f.size); err != nil {
				return fail(err)
			}
			f.packed, f.size = a.packed, a.packed.size
		}
	}
	return f, nil
}

// extents collects the pieces of a content: a record with the flag is followed by that of the next piece, with the same name.
func (im *Image) extents(rec record) ([]extent, error) {
	var all []extent
	for first := rec; ; {
		if err := im.inside(rec.extent, rec.size); err != nil {
			return nil, err
		}
		if rec.size > 0 {
			all = append(all, extent{rec.extent, rec.size})
		}
		if rec.flags&flagMore == 0 {
			return all, nil
		}
		if len(all) >= maxExtents || rec.size == 0 {
			return nil, damaged("it has too many pieces")
		}
		next, err := im.record(rec.off + rec.length)
		if errors.Is(err, errNoRecord) {
			next, err = im.record((rec.off/sectorSize + 1) * sectorSize)
		}
		if err != nil {
			return nil, err
		}
		if string(next.id) != string(first.id) {
			return nil, damaged("a piece is missing")
		}
		rec = next
	}
}

// inside checks that a range of bytes is inside of the image. Where the empty ones are does not matter: some writers leave that out.
func (im *Image) inside(off, size int64) error {
	if size > 0 && (off > im.size || size > im.size-off) {
		return damaged("its content is outside of the image")
	}
	return nil
}

// Root returns the root folder.
func (im *Image) Root() bundle.Inode { return bundle.Inode(im.root) }

// Stat returns type, permissions and size of an inode, and the target of a link, which has 1 to 4095 bytes, none of them 0.
func (im *Image) Stat(i bundle.Inode) (bundle.Stat, error) {
	f, err := im.file(i)
	if err != nil {
		return bundle.Stat{}, err
	}
	s := bundle.Stat{Mode: f.mode, Target: f.target}
	if f.mode&modeType == modeFile {
		s.Size = f.size
	}
	return s, nil
}

// ReadAt reads the content of a regular file as io.ReaderAt does. It unpacks a zisofs block at a time, and keeps the last one.
func (im *Image) ReadAt(i bundle.Inode, p []byte, off int64) (int, error) {
	f, err := im.file(i)
	if err != nil {
		return 0, err
	}
	if f.mode&modeType != modeFile || off < 0 {
		return 0, fmt.Errorf("cannot read the content at %d of record %d: not a place in a file: %w", off, i, bundle.ErrUnsupported)
	}
	if off >= f.size {
		return 0, io.EOF
	}
	whole := p
	p = p[:min(int64(len(p)), f.size-off)]
	if f.packed != nil {
		err = im.readPacked(i, f, p, off)
	} else {
		err = im.readStored(f, p, off)
	}
	if err != nil {
		return 0, fmt.Errorf("cannot read the content at %d of record %d: %w", off, i, err)
	}
	if len(p) < len(whole) {
		return len(p), io.EOF
	}
	return len(p), nil
}

// readStored fills p with what the extents hold from off; all of it is inside of them.
func (im *Image) readStored(f *file, p []byte, off int64) error {
	for _, e := range f.extents {
		if off >= e.size {
			off -= e.size
			continue
		}
		n := min(int64(len(p)), e.size-off)
		if err := bundle.ReadFull(im.r, p[:n], e.off+off); err != nil {
			return err
		}
		if p, off = p[n:], 0; len(p) == 0 {
			break
		}
	}
	return nil
}

func damaged(format string, a ...any) error {
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, a...), bundle.ErrDamaged)
}
