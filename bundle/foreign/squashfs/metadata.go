// SPDX-License-Identifier: MIT

package squashfs

import (
	"encoding/binary"

	"glick.org/glick/bundle"
)

const (
	metadataSize = 8192   // most bytes of a metadata block, packed or not
	plainBit     = 0x8000 // in the size of a metadata block: it is not packed
)

// metaBlock is an unpacked metadata block.
type metaBlock struct {
	data []byte
	next int64 // where the block behind it is, if there is one
}

// metaBlock reads the block at a place in the image, up to end. Each begins with its packed size in 16 bits.
func (m *Image) metaBlock(at, end int64) (metaBlock, error) {
	if at < 0 || at > end-2 {
		return metaBlock{}, damaged("there is no metadata block at %d", at)
	}
	if b, ok := m.metadata.get(at); ok {
		// It may have been read for another table, that ends elsewhere.
		if b.next > end {
			return metaBlock{}, damaged("the metadata block at %d is longer than its table", at)
		}
		return b, nil
	}
	var head [2]byte
	if err := bundle.ReadFull(m.r, head[:], at); err != nil {
		return metaBlock{}, err
	}
	word := binary.LittleEndian.Uint16(head[:])
	n := int64(word &^ plainBit)
	if n == 0 || n > metadataSize {
		return metaBlock{}, damaged("the metadata block at %d has an impossible size", at)
	}
	if n > end-at-2 {
		return metaBlock{}, damaged("the metadata block at %d is longer than its table", at)
	}
	b := metaBlock{next: at + 2 + n}
	if word&plainBit != 0 {
		b.data = make([]byte, n)
		if err := bundle.ReadFull(m.r, b.data, at+2); err != nil {
			return metaBlock{}, err
		}
	} else {
		stored, err := m.stored(at+2, int(n))
		if err != nil {
			return metaBlock{}, err
		}
		defer m.buffers.Put(stored)
		if b.data, err = unpackAtMost(m.unpack, *stored, metadataSize); err != nil {
			return metaBlock{}, err
		}
		if len(b.data) == 0 {
			return metaBlock{}, damaged("the metadata block at %d is empty", at)
		}
	}
	return m.metadata.put(at, b, cap(b.data)), nil
}

// cursor is a place in the unpacked bytes of a table. It goes on from block to block; since every block takes three bytes or more of the
// table, it comes to an end. A copy of it is a place to return to.
type cursor struct {
	image *Image
	end   int64 // of the table
	at    int64 // of the block
	block metaBlock
	off   int // in the unpacked block
}

// cursor returns the place that a reference means: a block relative to the start of the table, and an offset in its unpacked bytes.
func (m *Image) cursor(table section, block uint64, offset uint32) (cursor, error) {
	if block >= uint64(table.end-table.start) || offset > metadataSize {
		return cursor{}, damaged("a reference points outside of its table")
	}
	c := cursor{image: m, end: table.end, off: int(offset)}
	if err := c.enter(table.start + int64(block)); err != nil {
		return cursor{}, err
	}
	if c.off > len(c.block.data) {
		return cursor{}, damaged("a reference points behind its metadata block")
	}
	return c, nil
}

// enter goes to another block and leaves the offset as it is.
func (c *cursor) enter(at int64) error {
	b, err := c.image.metaBlock(at, c.end)
	if err != nil {
		return err
	}
	c.at, c.block = at, b
	return nil
}

// some returns the next bytes, at least one and at most n, and goes behind them. The caller must not change them.
func (c *cursor) some(n int) ([]byte, error) {
	if c.off == len(c.block.data) {
		if err := c.enter(c.block.next); err != nil {
			return nil, err
		}
		c.off = 0
	}
	p := c.block.data[c.off:]
	p = p[:min(n, len(p))]
	c.off += len(p)
	return p, nil
}

// read fills p.
func (c *cursor) read(p []byte) error {
	for len(p) > 0 {
		q, err := c.some(len(p))
		if err != nil {
			return err
		}
		p = p[copy(p, q):]
	}
	return nil
}

// number reads 32 bits.
func (c *cursor) number() (uint32, error) {
	if p := c.block.data[c.off:]; len(p) >= 4 {
		c.off += 4
		return binary.LittleEndian.Uint32(p), nil
	}
	var p [4]byte
	err := c.read(p[:])
	return binary.LittleEndian.Uint32(p[:]), err
}

// mayHold says whether the rest of the table can have n more bytes: it has no more than one block of 8 KiB in each three bytes.
func (c *cursor) mayHold(n int64) bool {
	return (n-int64(len(c.block.data)-c.off))/metadataSize <= (c.end-c.block.next)/3
}
