// SPDX-License-Identifier: MIT

package squashfs

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"

	"github.com/ulikunitz/xz/lzma"

	"glick.org/glick/bundle"
)

// The container is read here, and only the LZMA2 chunks in it are left to package lzma: a reader of whole streams takes as much memory as a
// stream claims to need, 4 GiB at most, and a block of SquashFS never is more than one stream with one block.
// Facts are from The .xz File Format 1.2.1, sections 2 and 3.

const (
	xzHeaderSize = 12
	filterLZMA2  = 0x21
	maxChunks    = 256     // LZMA2 chunks in a block; a writer needs some 20 for 1 MiB
	maxDict      = 1 << 20 // bytes of the dictionary; like Linux, which takes no more than a block

	// longestMatch is what package lzma wants to be free in the dictionary before it goes on.
	longestMatch = 273
)

var xzMagic = []byte("\xfd7zXZ\x00")

// xzChecks are the checksums of the unpacked bytes by number.
var xzChecks = map[byte]func() hash.Hash{
	1:  func() hash.Hash { return crc32.NewIEEE() },
	4:  func() hash.Hash { return crc64.New(crc64.MakeTable(crc64.ECMA)) },
	10: sha256.New,
}

var (
	errXZ    = errors.New("it is not an xz stream")
	errChunk = errors.New("a chunk does not end where it says")
)

// unxz unpacks one xz stream.
func unxz(dst, src []byte) (int, error) {
	check, p, err := xzHeader(src)
	if err == nil {
		var b xzBlock
		if b, p, err = xzBlockHeader(p); err == nil {
			return b.unpack(dst, p, check)
		}
	}
	if errors.Is(err, bundle.ErrUnsupported) {
		return 0, err
	}
	return 0, badBlock("xz", err)
}

// xzHeader reads the header of a stream: magic, zero, number of the check, checksum of these two bytes.
func xzHeader(p []byte) (check byte, rest []byte, err error) {
	if len(p) < xzHeaderSize || !bytes.HasPrefix(p, xzMagic) || p[6] != 0 || crc32.ChecksumIEEE(p[6:8]) != binary.LittleEndian.Uint32(p[8:]) {
		return 0, nil, errXZ
	}
	if check = p[7]; check != 0 && xzChecks[check] == nil {
		return 0, nil, fmt.Errorf("the xz check %d: %w", check, bundle.ErrUnsupported)
	}
	return check, p[xzHeaderSize:], nil
}

// xzBlock is what the header of a block says.
type xzBlock struct {
	header       int    // its size in bytes
	packed, size uint64 // bytes; unknown when it is not said
}

const unknown = 1<<64 - 1

// xzBlockHeader reads a block's header: a quarter of its size less one, flags, sizes, filters, zeros, checksum.
func xzBlockHeader(p []byte) (b xzBlock, rest []byte, err error) {
	if len(p) == 0 || p[0] == 0 {
		return b, nil, errXZ
	}
	n := int(p[0])*4 + 4
	if n > len(p) {
		return b, nil, errXZ
	}
	h, sum := p[:n-4], binary.LittleEndian.Uint32(p[n-4:])
	if rest = p[n:]; crc32.ChecksumIEEE(h) != sum {
		return b, nil, errXZ
	}
	flags := h[1]
	h = h[2:]
	b = xzBlock{n, unknown, unknown}
	for _, f := range []struct {
		bit byte
		to  *uint64
	}{{0x40, &b.packed}, {0x80, &b.size}} {
		if flags&f.bit != 0 {
			v, k := binary.Uvarint(h)
			if k <= 0 {
				return b, nil, errXZ
			}
			*f.to, h = v, h[k:]
		}
	}
	if len(h) < 3 || flags&0x3c != 0 {
		return b, nil, errXZ
	}
	switch {
	case flags&3 != 0 || h[0] != filterLZMA2:
		return b, nil, fmt.Errorf("xz with a filter before LZMA2: %w", bundle.ErrUnsupported)
	case h[1] != 1 || h[2] > 40:
		return b, nil, errXZ
	}
	// The size of the dictionary is 2 or 3 times a power of two. It is not used, since one as large as the output is always enough; but Linux
	// refuses what claims more than a block.
	if (2|int64(h[2]&1))<<(h[2]/2+11) > maxDict {
		return b, nil, errors.New("it claims to need more memory than a block has")
	}
	return b, rest, nil
}

// unpack unpacks the block that begins with p: chunks, zeros up to a multiple of four, the check.
func (b xzBlock) unpack(dst, p []byte, check byte) (int, error) {
	chunks, packed, err := lzma2Chunks(p, len(dst))
	if err != nil {
		return 0, badBlock("xz", err)
	}
	size := 0
	for _, c := range chunks {
		size += c.size
	}
	if b.packed != unknown && b.packed != uint64(packed) || b.size != unknown && b.size != uint64(size) {
		return 0, badBlock("xz", errXZ)
	}
	if err := unLZMA2(dst[:size], p[:packed], chunks); err != nil {
		return 0, badBlock("xz", err)
	}
	p = p[packed:]
	zeros := -packed & 3
	if len(p) < zeros || !bytes.Equal(p[:zeros], make([]byte, zeros)) {
		return 0, badBlock("xz", errXZ)
	}
	p = p[zeros:]
	checked := b.header + packed
	if check != 0 {
		h := xzChecks[check]()
		h.Write(dst[:size])
		sum := h.Sum(nil)
		switch h := h.(type) {
		case hash.Hash32:
			sum = binary.LittleEndian.AppendUint32(nil, h.Sum32())
		case hash.Hash64:
			sum = binary.LittleEndian.AppendUint64(nil, h.Sum64())
		}
		if !bytes.HasPrefix(p, sum) {
			return 0, badBlock("xz", errors.New("it differs from its checksum"))
		}
		p, checked = p[len(sum):], checked+len(sum)
	}
	if !bytes.HasPrefix(p, xzTail(uint64(checked), uint64(size), check)) {
		return 0, badBlock("xz", errors.New("its end is not that of a stream of one block"))
	}
	return size, nil
}

// xzTail returns what must follow a single block of so many bytes with header and check: the index and the stream's footer, which repeat what
// is known.
func xzTail(block, size uint64, check byte) []byte {
	p := binary.AppendUvarint([]byte{0, 1}, block)
	p = binary.AppendUvarint(p, size)
	p = append(p, make([]byte, -len(p)&3)...)
	le := binary.LittleEndian
	p = le.AppendUint32(p, crc32.ChecksumIEEE(p))
	footer := append(le.AppendUint32(nil, uint32(len(p)/4-1)), 0, check)
	p = le.AppendUint32(p, crc32.ChecksumIEEE(footer))
	return append(append(p, footer...), "YZ"...)
}

// chunk is an LZMA2 chunk: where it ends in the packed bytes, and how many it unpacks to.
type chunk struct{ end, size int }

// lzma2Chunks reads the headers of LZMA2 chunks up to the one that ends them, and returns how many bytes there are. It keeps from package lzma
// what would take much of its time: very many chunks, and 12 bits of a literal's context, for which it has a table of 6 MiB in each chunk,
// where LZMA2 allows 4.
func lzma2Chunks(p []byte, most int) (chunks []chunk, packed int, err error) {
	at, size := 0, 0
	for {
		if at >= len(p) || len(chunks) > maxChunks {
			return nil, 0, errXZ
		}
		control := p[at]
		if control == 0 {
			return chunks, at + 1, nil
		}
		head := 3 // control, size of the unpacked bytes less one
		if control >= 0x80 {
			head = 5 // and of the packed ones
			if control >= 0xc0 {
				head = 6 // and properties
			}
		} else if control > 2 {
			return nil, 0, errXZ
		}
		if len(p)-at < head {
			return nil, 0, errXZ
		}
		h := p[at:][:head]
		raw := int(binary.BigEndian.Uint16(h[1:])) + 1
		stored := raw
		if head >= 5 {
			raw += int(control&0x1f) << 16
			stored = int(binary.BigEndian.Uint16(h[3:])) + 1
		}
		if head == 6 {
			props := h[5]
			if props > (4*5+4)*9+8 || props%9+props/9%5 > 4 { // lc + lp
				return nil, 0, errXZ
			}
		}
		if stored > len(p)-at-head {
			return nil, 0, errXZ
		}
		if raw > most-size {
			return nil, 0, errTooLong
		}
		at, size = at+head+stored, size+raw
		chunks = append(chunks, chunk{at, raw})
	}
}

// unLZMA2 unpacks chunks to just the size of dst. A chunk that ends earlier than its header says would make package lzma find the next header
// where lzma2Chunks has not looked, so each is read by itself and its end compared. That the package has read no further is certain because
// its dictionary has room for all at once.
func unLZMA2(dst, src []byte, chunks []chunk) error {
	in := bytes.NewReader(src)
	r, err := lzma.Reader2Config{DictCap: max(lzma.MinDictCap, len(dst)+longestMatch)}.NewReader2(in)
	if err != nil {
		return err
	}
	for _, c := range chunks {
		if _, err := io.ReadFull(r, dst[:c.size]); err != nil {
			return err
		}
		if len(src)-in.Len() != c.end {
			return errChunk
		}
		dst = dst[c.size:]
	}
	_, err = r.Read(make([]byte, 1))
	if !errors.Is(err, io.EOF) || !r.EOS() {
		return errXZ
	}
	return nil
}
