// SPDX-License-Identifier: MIT

// Package ext2 reads the file tree of ext2 images, as Glick 0.2 of 2007 put them into its bundles. It also reads ext3 images, whose journal
// it does not need.
//
// Sources are the kernel's documentation (Documentation/filesystems/ext2.rst and ext4/) and Dave Poirier, "The Second Extended File
// System". All numbers are little endian:
//
//	byte 1024       superblock: sizes and features of all the image
//	next block      group descriptors, 32 bytes each: where a group's part of the inode table is
//	anywhere else   inode tables, blocks of folders and files, indirect blocks
//
// An inode leads to its blocks by 12 numbers of blocks, and by one number each of a block that holds numbers (indirect), that of a block which holds
// numbers of such blocks (double indirect), and one more (triple indirect). Number 0 is a hole. Blocks hold nothing that tells whose they are,
// so an image can name a block many times: what is bounded here is the work, not the use of a block.
package ext2

import (
	"encoding/binary"
	"fmt"
	"io"
	"strings"

	"glick.org/glick/bundle"
)

const (
	superblockOffset = 1024
	superblockSize   = 1024
	magic            = 0xef53
	maxRevision      = 1
	descriptorSize   = 32
	oldInodeSize     = 128 // of revision 0, and what is read of any inode
	rootInode        = 2
	maxBlockShift    = 6 // 64 KiB
	maxTarget        = 4095
)

// Incompatible features, which a reader must know. Those with a name cannot be read here; the others change nothing for reading.
// Read-only compatible features, as sparse_super and large_file, concern writers.
const (
	featureFiletype  = 0x2
	featureMMP       = 0x100
	featureFlexBG    = 0x200
	featureEAInode   = 0x400
	featureChecksum  = 0x2000
	featuresReadable = featureFiletype | featureMMP | featureFlexBG | featureEAInode | featureChecksum
)

var featureNames = map[uint32]string{
	0x1: "compression",
	// What the journal holds belongs in the blocks. Without it, names and contents may be those of different moments, and nobody would notice;
	// who makes an image for a bundle unmounts it, so nothing is lost.
	0x4:     "needs_recovery (a journal that was not carried out)",
	0x8:     "journal_dev",
	0x10:    "meta_bg",
	0x40:    "extents",
	0x80:    "64bit",
	0x1000:  "dirdata",
	0x4000:  "large_dir",
	0x8000:  "inline_data",
	0x10000: "encrypt",
	0x20000: "casefold",
}

// Types of inodes, as in stat(2).
const (
	modeType   = 0o170000
	modePipe   = 0o010000
	modeChar   = 0o020000
	modeDir    = 0o040000
	modeBlock  = 0o060000
	modeFile   = 0o100000
	modeLink   = 0o120000
	modeSocket = 0o140000
)

// Image is an open image. It reads from the reader given to Open as long as it is used.
type Image struct {
	r              io.ReaderAt
	blockSize      int64  // in bytes
	blocks         uint32 // of the image, all of them inside of r
	inodes         uint32
	inodesPerGroup uint32
	inodeSize      int64
	descriptors    int64 // place of the group descriptors, which are all inside of the image
}

var _ bundle.FileSystem = (*Image)(nil)

// Open reads the superblock of the image in the first size bytes of r, and its root folder's inode. The caller keeps r open while the Image
// is used.
//
// Errors are bundle.ErrTruncated, bundle.ErrDamaged, also for what is no such image, bundle.ErrUnsupported, which names the features
// that cannot be read, or those of r.
func Open(r io.ReaderAt, size int64) (*Image, error) {
	im, err := readSuperblock(r, size)
	if err != nil {
		return nil, fmt.Errorf("cannot read the ext2 image: %w", err)
	}
	root, err := im.inode(rootInode)
	if err != nil {
		return nil, err
	}
	if root.mode&modeType != modeDir {
		return nil, fmt.Errorf("cannot read the ext2 image: %w", damaged("its root is not a folder"))
	}
	return im, nil
}

func readSuperblock(r io.ReaderAt, size int64) (*Image, error) {
	if size < superblockOffset+superblockSize {
		return nil, bundle.ErrTruncated
	}
	sb := make([]byte, superblockSize)
	if err := bundle.ReadFull(r, sb, superblockOffset); err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	if le.Uint16(sb[56:]) != magic {
		return nil, damaged("it has no superblock")
	}
	revision := le.Uint32(sb[76:])
	if revision > maxRevision {
		return nil, fmt.Errorf("revision %d: %w", revision, bundle.ErrUnsupported)
	}
	if err := checkFeatures(le.Uint32(sb[96:])); err != nil {
		return nil, err
	}
	shift := le.Uint32(sb[24:])
	if shift > maxBlockShift {
		return nil, damaged("it has blocks of an impossible size")
	}
	im := &Image{
		r:              r,
		blockSize:      1024 << shift,
		blocks:         le.Uint32(sb[4:]),
		inodes:         le.Uint32(sb[0:]),
		inodesPerGroup: le.Uint32(sb[40:]),
		inodeSize:      oldInodeSize,
	}
	if revision > 0 {
		im.inodeSize = int64(le.Uint16(sb[88:]))
	}
	first, perGroup := le.Uint32(sb[20:]), le.Uint32(sb[32:])
	switch {
	case im.inodeSize < oldInodeSize || im.inodeSize > im.blockSize || im.inodeSize&(im.inodeSize-1) != 0:
		return nil, damaged("it has inodes of %d bytes", im.inodeSize)
	case first >= im.blocks:
		return nil, damaged("it has no blocks")
	// One block of bits says which blocks of a group are used, and another one which inodes.
	case perGroup == 0 || int64(perGroup) > 8*im.blockSize || im.inodesPerGroup == 0 || int64(im.inodesPerGroup) > 8*im.blockSize:
		return nil, damaged("it has groups of %d blocks and %d inodes", perGroup, im.inodesPerGroup)
	case int64(im.blocks)*im.blockSize > size:
		return nil, bundle.ErrTruncated
	}
	groups := (int64(im.blocks-first) + int64(perGroup) - 1) / int64(perGroup)
	im.descriptors = (int64(first) + 1) * im.blockSize
	switch {
	case im.descriptors+groups*descriptorSize > im.end():
		return nil, damaged("its group descriptors are outside")
	case im.inodes < rootInode || int64(im.inodes) > groups*int64(im.inodesPerGroup):
		return nil, damaged("it cannot have %d inodes", im.inodes)
	}
	return im, nil
}

// checkFeatures names all that cannot be read.
func checkFeatures(incompatible uint32) error {
	var names []string
	for bit := uint32(1); bit != 0; bit <<= 1 {
		if incompatible&^featuresReadable&bit == 0 {
			continue
		}
		name, ok := featureNames[bit]
		if !ok {
			name = fmt.Sprintf("feature %#x", bit)
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return nil
	}
	return fmt.Errorf("it uses %s: %w", strings.Join(names, ", "), bundle.ErrUnsupported)
}

// end returns the size of the image in bytes.
func (im *Image) end() int64 { return int64(im.blocks) * im.blockSize }

// inode is what is used of an inode.
type inode struct {
	number bundle.Inode
	mode   uint32
	size   int64 // in bytes; at most what block numbers can lead to
	inside bool  // the target of a link is where the block numbers would be
	block  [60]byte
}

// inode reads an inode. It does not look whether it is in use: a folder's entry says that it is.
func (im *Image) inode(i bundle.Inode) (*inode, error) {
	fail := func(err error) (*inode, error) {
		return nil, fmt.Errorf("cannot read inode %d: %w", i, err)
	}
	if i == 0 || i > bundle.Inode(im.inodes) {
		return fail(damaged("there is no such inode"))
	}
	le := binary.LittleEndian
	group, index := int64(i-1)/int64(im.inodesPerGroup), int64(i-1)%int64(im.inodesPerGroup)
	descriptor := make([]byte, descriptorSize)
	if err := bundle.ReadFull(im.r, descriptor, im.descriptors+group*descriptorSize); err != nil {
		return fail(err)
	}
	table := le.Uint32(descriptor[8:])
	at := int64(table)*im.blockSize + index*im.inodeSize
	if table == 0 || at > im.end()-im.inodeSize {
		return fail(damaged("it is outside of the image"))
	}
	raw := make([]byte, oldInodeSize)
	if err := bundle.ReadFull(im.r, raw, at); err != nil {
		return fail(err)
	}
	n := &inode{number: i, mode: uint32(le.Uint16(raw)), block: [60]byte(raw[40:])}
	size := uint64(le.Uint32(raw[4:]))
	switch n.mode & modeType {
	case modeFile:
		// What is an access control list of other types is the upper half of a file's size.
		size |= uint64(le.Uint32(raw[108:])) << 32
	case modeLink:
		// A link without blocks, but for that of its extended attributes, is in the inode. Most writers put only targets of up to 59 bytes
		// there, so that a zero follows.
		sectors := int64(le.Uint32(raw[28:]))
		if le.Uint32(raw[104:]) != 0 {
			sectors -= im.blockSize / 512
		}
		n.inside = sectors <= 0 && size <= uint64(len(n.block))
	case modeDir:
	case modePipe, modeChar, modeBlock, modeSocket:
		size = 0
	default:
		return fail(damaged("its type is impossible, or it is not in use"))
	}
	if size > uint64(im.maxSize()) {
		return fail(damaged("its size is impossible"))
	}
	n.size = int64(size)
	if flags := le.Uint32(raw[32:]); flags&0x80000 != 0 {
		return fail(fmt.Errorf("it uses extents: %w", bundle.ErrUnsupported))
	}
	return n, nil
}

// maxSize returns how many bytes an inode's block numbers can lead to: less than 1 << 59.
func (im *Image) maxSize() int64 {
	per := im.blockSize / 4
	return (directBlocks + per + per*per + per*per*per) * im.blockSize
}

// Root returns the root folder.
func (im *Image) Root() bundle.Inode { return rootInode }

// Stat returns type, permissions and size of an inode, and the target of a link, which has 1 to 4095 bytes, none of them 0.
func (im *Image) Stat(i bundle.Inode) (bundle.Stat, error) {
	n, err := im.inode(i)
	if err != nil {
		return bundle.Stat{}, err
	}
	s := bundle.Stat{Mode: n.mode}
	switch n.mode & modeType {
	case modeFile:
		s.Size = n.size
	case modeLink:
		if s.Target, err = im.target(n); err != nil {
			return bundle.Stat{}, fmt.Errorf("cannot read link %d: %w", i, err)
		}
	}
	return s, nil
}

func (im *Image) target(n *inode) (string, error) {
	if n.size == 0 || n.size > maxTarget {
		return "", damaged("its target has %d bytes", n.size)
	}
	target := make([]byte, n.size)
	if n.inside {
		copy(target, n.block[:])
	} else if err := im.read(n, target, 0); err != nil {
		return "", err
	}
	if strings.IndexByte(string(target), 0) >= 0 {
		return "", damaged("its target has a zero byte")
	}
	return string(target), nil
}

// ReadAt reads the content of a regular file as io.ReaderAt does. Holes are zeros.
func (im *Image) ReadAt(i bundle.Inode, p []byte, off int64) (int, error) {
	n, err := im.inode(i)
	if err != nil {
		return 0, err
	}
	if n.mode&modeType != modeFile || off < 0 {
		return 0, fmt.Errorf("cannot read inode %d at %d: not a place in a file: %w", i, off, bundle.ErrUnsupported)
	}
	if off >= n.size {
		return 0, io.EOF
	}
	whole := p
	p = p[:min(int64(len(p)), n.size-off)]
	if err := im.read(n, p, off); err != nil {
		return 0, fmt.Errorf("cannot read inode %d at %d: %w", i, off, err)
	}
	if len(p) < len(whole) {
		return len(p), io.EOF
	}
	return len(p), nil
}

func damaged(format string, a ...any) error {
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, a...), bundle.ErrDamaged)
}
