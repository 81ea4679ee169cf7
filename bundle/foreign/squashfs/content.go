// SPDX-License-Identifier: MIT

package squashfs

import (
	"encoding/binary"
	"fmt"
	"io"
	"sync"

	"glick.org/glick/bundle"
)

const (
	fragmentSize     = 16 // bytes of a record of the fragment table
	fragmentsInBlock = metadataSize / fragmentSize

	plainBlock = 1 << 24 // in the size of a block: it is not packed
	sizeMask   = plainBlock - 1

	maxMarks = 256  // places in the list of a file's blocks that are kept
	minStep  = 2048 // entries between two of them
)

// file is a regular file that is being read.
type file struct {
	inode
	count int64 // blocks besides the fragment
	step  int64 // entries between two marks

	mu    sync.Mutex // guards all below
	marks []mark     // marks[n] is at block n*step
	last  place      // of the block that was looked for last: when all is read in order, the next one is behind it
}

// place is where a block is: in the image, and in the list of the blocks' sizes. The list does not say where they are, so one after the other
// is added up.
type place struct {
	block int64
	at    int64
	list  cursor
}

// mark is a place without the memory of a cursor.
type mark struct {
	at   int64
	list int64 // metadata block
	off  int
}

// dataKey names an unpacked block: it is a different one when it is read with another size, packed or not.
type dataKey struct {
	at   int64
	word uint32
	most int // bytes
}

// ReadAt reads the content of a regular file as io.ReaderAt does. Besides the errors of a bundle.FileSystem, asking for what is no file, or
// for a negative offset, is one.
func (m *Image) ReadAt(i bundle.Inode, p []byte, off int64) (int, error) {
	f, err := m.file(i)
	if err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, fmt.Errorf("cannot read inode %#x at %d: not a place in a file", uint64(i), off)
	}
	done := 0
	for done < len(p) {
		if off >= f.size {
			return done, io.EOF
		}
		in := off & m.blockMask()
		// No more than to the end of the block, or of the file.
		n := int(min(int64(len(p)-done), 1<<m.blockLog-in, f.size-off))
		if err := m.readBlock(f, p[done:][:n], off>>m.blockLog, in); err != nil {
			return done, fmt.Errorf("cannot read inode %#x at %d: %w", uint64(i), off, err)
		}
		done, off = done+n, off+int64(n)
	}
	return done, nil
}

// file returns a file with what is known of its blocks.
func (m *Image) file(i bundle.Inode) (*file, error) {
	if f, ok := m.files.get(i); ok {
		return f, nil
	}
	n, err := m.inode(i)
	if err != nil {
		return nil, err
	}
	if n.mode&modeType != modeFile {
		return nil, fmt.Errorf("cannot read inode %#x: not a file", uint64(i))
	}
	f := &file{inode: n, count: m.blocks(n)}
	f.step = max(minStep, f.count/maxMarks+1)
	cost := 2 * metadataSize // of the two blocks that the cursors hold
	if f.count > 0 {
		// A place in the image cannot overflow from here on: each step adds less than 2^24 and is checked.
		if n.block > uint64(m.size) {
			return nil, damaged("inode %#x has blocks outside of the image", uint64(i))
		}
		f.last = place{at: int64(n.block), list: n.list}
		cost += int(f.count/f.step+1) * 24 // for the marks
	}
	return m.files.put(i, f, cost), nil
}

// readBlock fills p from an offset in a block of a file.
func (m *Image) readBlock(f *file, p []byte, block, off int64) error {
	want := int(min(1<<m.blockLog, f.size-block<<m.blockLog))
	if block >= f.count {
		data, err := m.fragment(f.fragment)
		if err != nil {
			return err
		}
		if uint64(f.offset)+uint64(want) > uint64(len(data)) {
			return damaged("the end of the file is outside of its fragment")
		}
		copy(p, data[f.offset:][:want][off:])
		return nil
	}
	at, word, err := m.find(f, block)
	if err != nil {
		return err
	}
	if word&sizeMask == 0 { // a hole
		clear(p)
		return nil
	}
	data, err := m.block(at, word, want)
	if err != nil {
		return err
	}
	if len(data) != want {
		return damaged("a block has %d bytes instead of %d", len(data), want)
	}
	copy(p, data[off:])
	return nil
}

// find returns where a block of a file is, and its size with plainBlock.
func (m *Image) find(f *file, block int64) (at int64, word uint32, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	pl := f.last
	if k := min(block/f.step, int64(len(f.marks))-1); pl.block > block || pl.block < k*f.step {
		mk := f.marks[k]
		pl = place{block: k * f.step, at: mk.at, list: f.list}
		if err := pl.list.enter(mk.list); err != nil {
			return 0, 0, err
		}
		pl.list.off = mk.off
	}
	for ; ; pl.block++ {
		if pl.block == f.step*int64(len(f.marks)) {
			f.marks = append(f.marks, mark{pl.at, pl.list.at, pl.list.off})
		}
		if pl.block == block {
			f.last = pl
		}
		if word, err = pl.list.number(); err != nil {
			return 0, 0, err
		}
		size := int64(word & sizeMask)
		if word > plainBlock|sizeMask || size > 1<<m.blockLog || size > m.size-pl.at {
			return 0, 0, damaged("block %d has an impossible size", pl.block)
		}
		if pl.block == block {
			return pl.at, word, nil
		}
		pl.at += size
	}
}

// fragment returns the unpacked bytes of a fragment block, which holds the ends of many files.
func (m *Image) fragment(i uint32) ([]byte, error) {
	if i >= m.fragments {
		return nil, damaged("there is no fragment %d", i)
	}
	var buf [fragmentSize]byte
	if err := bundle.ReadFull(m.r, buf[:8], m.fragTable+int64(i/fragmentsInBlock)*8); err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	start := le.Uint64(buf[:])
	if start < superblockSize || start >= uint64(m.fragTable) {
		return nil, damaged("the fragment table is outside of the image")
	}
	c, err := m.cursor(section{0, m.fragTable}, start, i%fragmentsInBlock*fragmentSize)
	if err != nil {
		return nil, err
	}
	if err := c.read(buf[:]); err != nil {
		return nil, err
	}
	at, word := le.Uint64(buf[:]), le.Uint32(buf[8:])
	if at > uint64(m.size) || word&sizeMask == 0 {
		return nil, damaged("fragment %d is outside of the image", i)
	}
	return m.block(int64(at), word, 1<<m.blockLog)
}

// block returns the unpacked bytes, most at most, of a block. The caller must not change them.
func (m *Image) block(at int64, word uint32, most int) ([]byte, error) {
	size := int(word & sizeMask)
	if word > plainBlock|sizeMask || size > 1<<m.blockLog || int64(size) > m.size-at {
		return nil, damaged("the block at %d has an impossible size", at)
	}
	key := dataKey{at, word, most}
	if data, ok := m.data.get(key); ok {
		return data, nil
	}
	var data []byte
	if word&plainBlock != 0 {
		if size > most {
			return nil, damaged("the block at %d has %d bytes, more than %d", at, size, most)
		}
		data = make([]byte, size)
		if err := bundle.ReadFull(m.r, data, at); err != nil {
			return nil, err
		}
	} else {
		stored, err := m.stored(at, size)
		if err != nil {
			return nil, err
		}
		defer m.buffers.Put(stored)
		if data, err = unpackAtMost(m.unpack, *stored, most); err != nil {
			return nil, err
		}
	}
	return m.data.put(key, data, cap(data)), nil
}
