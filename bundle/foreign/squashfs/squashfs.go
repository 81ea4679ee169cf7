// SPDX-License-Identifier: MIT

// Package squashfs reads SquashFS 4.0 images, as AppImages of type 2 contain them. It follows the description of the format in the Linux
// kernel's documentation, filesystems/squashfs.
//
//	┌────────────────────┐ 0
//	│ superblock         │ 96 bytes
//	├────────────────────┤
//	│ compressor options │ not read: what a stream needs for unpacking is in the stream
//	│ data and fragments │ blocks of 4 KiB … 1 MiB, packed one by one
//	├────────────────────┤ inode_table_start
//	│ inodes             │ metadata: a chain of blocks of 8 KiB, packed one by one
//	├────────────────────┤ directory_table_start
//	│ folders            │ metadata
//	├────────────────────┤
//	│ fragment table     │ metadata, and at fragment_table_start the places of its blocks
//	│ export, id, xattr  │ not read
//	└────────────────────┘ bytes_used
//
// Numbers are little endian. Owners, times, extended attributes and the index of large folders are not looked at.
package squashfs

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"sync"

	"glick.org/glick/bundle"
)

const (
	superblockSize = 96
	magic          = 0x73717368 // "hsqs"
	minLog         = 12         // smallest block size: 4 KiB
	maxLog         = 20         // largest: 1 MiB
)

// Most bytes that an Image keeps, so that reading on, or the next name in a folder, does not unpack a block again.
const (
	metadataCache = 2 << 20
	dataCache     = 8 << 20
	fileCache     = 1 << 20
)

// Image is an open image. It can be used by many goroutines at once when its reader can.
type Image struct {
	r         io.ReaderAt
	size      int64 // of the image, from its superblock
	blockLog  uint
	root      bundle.Inode
	inodes    section
	folders   section
	fragments uint32 // how many there are
	fragTable int64  // place of the list of the fragment table's metadata blocks
	unpack    unpacker
	buffers   sync.Pool // of *[]byte, for what is still packed

	metadata *cache[int64, metaBlock]
	data     *cache[dataKey, []byte]
	files    *cache[bundle.Inode, *file]
}

var _ bundle.FileSystem = (*Image)(nil)

// section is a part of the image, from start up to end.
type section struct{ start, end int64 }

// Open reads the superblock and the root folder's inode of the image that begins at 0 in r. Only the first size bytes of r are read; what
// follows the image is ignored. The caller keeps r open while the Image is used.
//
// Errors are bundle.ErrTruncated when the image is longer than size, bundle.ErrUnsupported for other versions and for the compressions lzma,
// lzo and lz4, bundle.ErrDamaged, or those of r.
func Open(r io.ReaderAt, size int64) (*Image, error) {
	if size < superblockSize {
		return nil, fmt.Errorf("cannot read the superblock: %w", bundle.ErrTruncated)
	}
	var sb [superblockSize]byte
	if err := bundle.ReadFull(r, sb[:], 0); err != nil {
		return nil, fmt.Errorf("cannot read the superblock: %w", err)
	}
	le := binary.LittleEndian
	if le.Uint32(sb[:]) != magic {
		return nil, damaged("it does not begin like a SquashFS image")
	}
	if major, minor := le.Uint16(sb[28:]), le.Uint16(sb[30:]); major != 4 || minor != 0 {
		return nil, fmt.Errorf("SquashFS %d.%d: %w", major, minor, bundle.ErrUnsupported)
	}
	m := &Image{
		r:         r,
		blockLog:  uint(le.Uint16(sb[22:])),
		root:      bundle.Inode(le.Uint64(sb[32:])),
		fragments: le.Uint32(sb[16:]),
		metadata:  newCache[int64, metaBlock](metadataCache),
		data:      newCache[dataKey, []byte](dataCache),
		files:     newCache[bundle.Inode, *file](fileCache),
	}
	if m.blockLog < minLog || m.blockLog > maxLog || le.Uint32(sb[12:]) != 1<<m.blockLog {
		return nil, damaged("the superblock has an impossible block size")
	}
	used := le.Uint64(sb[40:])
	switch {
	case used < superblockSize || used > math.MaxInt64:
		return nil, damaged("the superblock has an impossible size")
	case used > uint64(size):
		return nil, fmt.Errorf("the image has %d bytes, %d are there: %w", used, size, bundle.ErrTruncated)
	}
	m.size = int64(used)
	if err := m.placeTables(le.Uint64(sb[64:]), le.Uint64(sb[72:]), le.Uint64(sb[80:]), le.Uint64(sb[88:]), le.Uint64(sb[48:]),
		le.Uint64(sb[56:])); err != nil {
		return nil, err
	}
	var err error
	if m.unpack, err = newUnpacker(le.Uint16(sb[20:])); err != nil {
		return nil, err
	}
	st, err := m.Stat(m.root)
	if err != nil {
		return nil, fmt.Errorf("cannot find the root folder: %w", err)
	}
	if st.Mode&modeType != modeDir {
		return nil, damaged("the root is not a folder")
	}
	return m, nil
}

// placeTables checks where the superblock says that the tables are. A table ends where the next one begins: all that is known of its size.
func (m *Image) placeTables(inodes, folders, fragments uint64, others ...uint64) error {
	size := uint64(m.size)
	if inodes < superblockSize || inodes >= folders || folders > size {
		return damaged("the superblock has impossible places of tables")
	}
	end := size
	for _, t := range append(others, fragments) { // all bits set, a table that is not there, is never the smallest
		if t >= folders {
			end = min(end, t)
		}
	}
	m.inodes, m.folders = section{int64(inodes), int64(folders)}, section{int64(folders), int64(end)}
	if m.fragments == 0 {
		return nil
	}
	list := (uint64(m.fragments) + fragmentsInBlock - 1) / fragmentsInBlock * 8
	if fragments < superblockSize || fragments > size || list > size-fragments {
		return damaged("the fragment table is outside of the image")
	}
	m.fragTable = int64(fragments)
	return nil
}

// Root returns the root folder.
func (m *Image) Root() bundle.Inode { return m.root }

// Stat returns the type, permissions and size of an inode, and a link's target.
func (m *Image) Stat(i bundle.Inode) (bundle.Stat, error) {
	n, err := m.inode(i)
	if err != nil {
		return bundle.Stat{}, err
	}
	st := bundle.Stat{Mode: n.mode, Target: n.target}
	if n.mode&modeType == modeFile {
		st.Size = n.size
	}
	return st, nil
}

// damaged returns an ErrDamaged that begins with what is wrong.
func damaged(format string, a ...any) error {
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, a...), bundle.ErrDamaged)
}

// stored reads packed bytes into a buffer that the caller gives back to m.buffers. The place must be inside of the image.
func (m *Image) stored(off int64, n int) (*[]byte, error) {
	b, _ := m.buffers.Get().(*[]byte)
	if b == nil || cap(*b) < n {
		p := make([]byte, n)
		b = &p
	}
	*b = (*b)[:n]
	if err := bundle.ReadFull(m.r, *b, off); err != nil {
		m.buffers.Put(b)
		return nil, err
	}
	return b, nil
}
