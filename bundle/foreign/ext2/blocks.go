// SPDX-License-Identifier: MIT

package ext2

import (
	"encoding/binary"

	"glick.org/glick/bundle"
)

const (
	directBlocks = 12
	maxDepth     = 3 // of indirect blocks
)

// mapping finds the blocks of one inode. It keeps the indirect block of each depth that it used last, because readers go forward.
type mapping struct {
	im     *Image
	root   *[60]byte
	tables [maxDepth]struct {
		number uint32 // 0: none yet
		data   []byte
	}
}

// block returns the number of the block that holds block n of the content, 0 when it is a hole. n is less than the inode's size in blocks.
func (m *mapping) block(n int64) (uint32, error) {
	if n < directBlocks {
		return m.check(m.pointer(n))
	}
	n -= directBlocks
	span := int64(1) // blocks to which one number leads
	for depth := 1; depth <= maxDepth; depth++ {
		span *= m.im.blockSize / 4
		if n < span {
			return m.descend(depth, n, span)
		}
		n -= span
	}
	return 0, damaged("it has too many blocks")
}

// descend goes down through depth indirect blocks, together for span blocks of the content, to the n-th of these.
func (m *mapping) descend(depth int, n, span int64) (uint32, error) {
	at, err := m.check(m.pointer(directBlocks - 1 + int64(depth)))
	for level := 0; level < depth && at != 0 && err == nil; level++ {
		t := &m.tables[level]
		if t.number != at {
			if t.data == nil {
				t.data = make([]byte, m.im.blockSize)
			}
			t.number = 0
			if err := bundle.ReadFull(m.im.r, t.data, int64(at)*m.im.blockSize); err != nil {
				return 0, err
			}
			t.number = at
		}
		span /= m.im.blockSize / 4
		at, err = m.check(binary.LittleEndian.Uint32(t.data[n/span*4:]))
		n %= span
		// Depth is what ends the descent; this finds a damage that else would show as strange content.
		for i := range m.tables[:level+1] {
			if at != 0 && m.tables[i].number == at {
				return 0, damaged("block %d leads to itself", at)
			}
		}
	}
	return at, err
}

// pointer returns a block number of the inode.
func (m *mapping) pointer(i int64) uint32 { return binary.LittleEndian.Uint32(m.root[4*i:]) }

func (m *mapping) check(number uint32) (uint32, error) {
	if number >= m.im.blocks {
		return 0, damaged("block %d is outside of the image", number)
	}
	return number, nil
}

// read fills p with the content of n from off; off and len(p) are inside of n's size. Neighbours are read together.
func (im *Image) read(n *inode, p []byte, off int64) error {
	m := mapping{im: im, root: &n.block}
	for len(p) > 0 {
		number, in := off/im.blockSize, off%im.blockSize
		first, err := m.block(number)
		if err != nil {
			return err
		}
		run := im.blockSize - in
		for k := int64(1); run < int64(len(p)); k++ {
			next, err := m.block(number + k)
			if err != nil {
				return err
			}
			if first == 0 && next != 0 || first != 0 && int64(next) != int64(first)+k {
				break
			}
			run += im.blockSize
		}
		run = min(run, int64(len(p)))
		if first == 0 {
			clear(p[:run])
		} else if err := bundle.ReadFull(im.r, p[:run], int64(first)*im.blockSize+in); err != nil {
			return err
		}
		p, off = p[run:], off+run
	}
	return nil
}
