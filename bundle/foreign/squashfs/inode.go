// SPDX-License-Identifier: MIT

package squashfs

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"

	"glick.org/glick/bundle"
)

// File types as in stat(2).
const (
	modeType   = 0o170000
	modeSocket = 0o140000
	modeLink   = 0o120000
	modeFile   = 0o100000
	modeBlock  = 0o060000
	modeDir    = 0o040000
	modeChar   = 0o020000
	modePipe   = 0o010000
	modePerm   = 0o007777
)

const (
	extended   = 7    // is added to the type of an inode with larger fields
	maxTarget  = 4095 // bytes of a link's target, as in Linux
	noFragment = math.MaxUint32
)

// inodeTypes are the file types by type of inode.
var inodeTypes = [...]uint32{1: modeDir, modeFile, modeLink, modeBlock, modeChar, modePipe, modeSocket}

// inode is what an inode says, as far as it is of interest.
type inode struct {
	mode     uint32
	size     int64  // bytes of a file's content, or of a folder's listing
	block    uint64 // file: place of the first block; folder: metadata block of the listing, in its table
	offset   uint32 // file: of its end in the fragment; folder: of the listing in the unpacked block
	fragment uint32 // file: which has its end
	target   string // of a link
	list     cursor // file: at the sizes of its blocks
}

// inode reads an inode. The reference is the place of a metadata block in the inode table, and in the lowest 16 bits an offset in it.
func (m *Image) inode(i bundle.Inode) (inode, error) {
	n, err := m.parseInode(i)
	if err != nil {
		return inode{}, fmt.Errorf("cannot read inode %#x: %w", uint64(i), err)
	}
	return n, nil
}

func (m *Image) parseInode(i bundle.Inode) (inode, error) {
	c, err := m.cursor(m.inodes, uint64(i)>>16, uint32(i&0xffff))
	if err != nil {
		return inode{}, err
	}
	// All begin with type, permissions, owner, group (16 bits each), time and number (32 bits each).
	var buf [56]byte
	if err := c.read(buf[:16]); err != nil {
		return inode{}, err
	}
	le := binary.LittleEndian
	kind, large := int(le.Uint16(buf[:])), false
	if kind > extended {
		kind, large = kind-extended, true
	}
	if kind == 0 || kind >= len(inodeTypes) {
		return inode{}, damaged("an unknown type")
	}
	n := inode{mode: inodeTypes[kind] | uint32(le.Uint16(buf[2:])&modePerm)}
	p := buf[16:]
	fields := func(size int) error {
		p = p[:size]
		return c.read(p)
	}
	switch n.mode & modeType {
	case modeDir:
		if large {
			if err := fields(24); err != nil {
				return inode{}, err
			}
			n.size, n.block, n.offset = int64(le.Uint32(p[4:])), uint64(le.Uint32(p[8:])), uint32(le.Uint16(p[18:]))
		} else {
			if err := fields(16); err != nil {
				return inode{}, err
			}
			n.block, n.size, n.offset = uint64(le.Uint32(p)), int64(le.Uint16(p[8:])), uint32(le.Uint16(p[10:]))
		}
		n.size = max(0, n.size-3) // it counts "." and "..", which are not in the listing
	case modeFile:
		var size uint64
		if large {
			if err := fields(40); err != nil {
				return inode{}, err
			}
			n.block, size, n.fragment, n.offset = le.Uint64(p), le.Uint64(p[8:]), le.Uint32(p[28:]), le.Uint32(p[32:])
		} else {
			if err := fields(16); err != nil {
				return inode{}, err
			}
			n.block, n.fragment, n.offset, size = uint64(le.Uint32(p)), le.Uint32(p[4:]), le.Uint32(p[8:]), uint64(le.Uint32(p[12:]))
		}
		if size > math.MaxInt64 {
			return inode{}, damaged("an impossible size")
		}
		n.size, n.list = int64(size), c
		if !c.mayHold(4 * m.blocks(n)) { // at most 2^51 blocks
			return inode{}, damaged("a file of %d bytes has no room for its blocks", size)
		}
	case modeLink:
		if err := fields(8); err != nil {
			return inode{}, err
		}
		size := le.Uint32(p[4:])
		if size == 0 || size > maxTarget {
			return inode{}, damaged("a link's target of %d bytes", size)
		}
		target := make([]byte, size)
		if err := c.read(target); err != nil {
			return inode{}, err
		}
		if bytes.IndexByte(target, 0) >= 0 {
			return inode{}, damaged("an impossible target of a link")
		}
		n.target = string(target)
	}
	return n, nil
}

// blocks returns how many blocks a file has besides its end in a fragment.
func (m *Image) blocks(n inode) int64 {
	blocks := n.size >> m.blockLog
	if n.fragment == noFragment && n.size&m.blockMask() != 0 {
		blocks++
	}
	return blocks
}

// blockMask returns the bits of an offset in a file that are the offset in a block.
func (m *Image) blockMask() int64 { return 1<<m.blockLog - 1 }
