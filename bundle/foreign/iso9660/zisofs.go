// SPDX-License-Identifier: MIT

package iso9660

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"glick.org/glick/bundle"
)

const (
	packedMagic  = "\x37\xe4\x53\x96\xc9\xdb\xd6\x07"
	packedHeader = 16
	minPackShift = 15 // 32 KiB
	maxPackShift = 17 // 128 KiB
)

// packing is what an entry ZF says of a file that zisofs has compressed in blocks. The stored content begins with a header that says the same,
// and with the places of the blocks: u32 each, the first block's to the last one's end. A block without any bytes is all zeros.
type packing struct {
	header int64 // bytes before the places
	shift  uint  // blocks have 1 << shift bytes
	size   int64 // of the content
}

// parsePacking reads an entry ZF: u16 algorithm, u8 size of the header / 4, u8 shift, u32 size in both byte orders.
func parsePacking(version byte, data []byte) (*packing, error) {
	switch {
	case len(data) < 12:
		return nil, damaged("an entry ZF is too short")
	case version != 1 || string(data[:2]) != "pz":
		return nil, fmt.Errorf("it is compressed by %q, version %d: %w", data[:2], version, bundle.ErrUnsupported)
	case data[3] < minPackShift || data[3] > maxPackShift:
		return nil, fmt.Errorf("it is compressed in blocks of 1 << %d bytes: %w", data[3], bundle.ErrUnsupported)
	case 4*int64(data[2]) < packedHeader:
		return nil, damaged("its compression has an impossible header")
	}
	return &packing{4 * int64(data[2]), uint(data[3]), int64(binary.LittleEndian.Uint32(data[4:]))}, nil
}

// blocks returns the number of blocks.
func (z *packing) blocks() int64 { return (z.size + 1<<z.shift - 1) >> z.shift }

// first returns where in the stored content the first block can be: behind the places.
func (z *packing) first() int64 { return z.header + 4*(z.blocks()+1) }

// check makes sure that the places of all blocks are in the stored content, so that the size is one that the image can have.
func (z *packing) check(stored int64) error {
	if z.first() > stored {
		return damaged("its %d bytes cannot be compressed to %d", z.size, stored)
	}
	return nil
}

// unpacked is a block after it was unpacked. Its data is never changed.
type unpacked struct {
	inode bundle.Inode
	block int64
	data  []byte
}

// readPacked fills p with the content from off; all of it is inside of the file's size.
func (im *Image) readPacked(i bundle.Inode, f *file, p []byte, off int64) error {
	z := f.packed
	header := make([]byte, packedHeader)
	if err := im.readStored(f, header, 0); err != nil {
		return err
	}
	if string(header[:8]) != packedMagic || int64(binary.LittleEndian.Uint32(header[8:])) != z.size || 4*int64(header[12]) != z.header ||
		uint(header[13]) != z.shift {
		return damaged("its compression has another header than is said")
	}
	for len(p) > 0 {
		k, in := off>>z.shift, off&(1<<z.shift-1)
		n := min(int64(len(p)), min(1<<z.shift, z.size-k<<z.shift)-in)
		data, err := im.unpack(i, f, k)
		if err != nil {
			return err
		}
		if data == nil {
			clear(p[:n])
		} else {
			copy(p[:n], data[in:])
		}
		p, off = p[n:], off+n
	}
	return nil
}

// unpack returns block k of a file, nil when it is all zeros. The caller must not change it.
func (im *Image) unpack(i bundle.Inode, f *file, k int64) ([]byte, error) {
	im.mu.Lock()
	last := im.last
	im.mu.Unlock()
	if last.data != nil && last.inode == i && last.block == k {
		return last.data, nil
	}
	z := f.packed
	places := make([]byte, 8)
	if err := im.readStored(f, places, z.header+4*k); err != nil {
		return nil, err
	}
	from, to := int64(binary.LittleEndian.Uint32(places)), int64(binary.LittleEndian.Uint32(places[4:]))
	if from == to {
		return nil, nil
	}
	stored := int64(0)
	for _, e := range f.extents {
		stored += e.size
	}
	// zlib makes what it cannot compress longer by far less than this.
	if from < z.first() || to < from || to > stored || to-from > 2<<z.shift {
		return nil, damaged("block %d is outside", k)
	}
	raw := make([]byte, to-from)
	if err := im.readStored(f, raw, from); err != nil {
		return nil, err
	}
	data := make([]byte, min(1<<z.shift, z.size-k<<z.shift))
	if err := inflate(data, raw); err != nil {
		return nil, damaged("block %d cannot be unpacked: %v", k, err)
	}
	im.mu.Lock()
	im.last = unpacked{i, k, data}
	im.mu.Unlock()
	return data, nil
}

// inflate unpacks raw, which must give exactly the bytes that fill data, and have the right checksum.
func inflate(data, raw []byte) error {
	r, err := zlib.NewReader(bytes.NewReader(raw))
	if err != nil {
		return err
	}
	if _, err := io.ReadFull(r, data); err != nil {
		return err
	}
	if n, err := r.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		return fmt.Errorf("it is longer than %d bytes, or has a wrong checksum", len(data))
	}
	return nil
}
