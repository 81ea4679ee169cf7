// SPDX-License-Identifier: MIT

// Package zstdpack compresses chunks to Zstandard frames (RFC 8878), as small as it can in the time that libzstd's level 15 takes: it is for
// what is packed once and unpacked often. It finds matches with binary search trees, cuts blocks where their statistics change, and weighs all ways to write a block by what they cost. Any
// Zstandard decoder unpacks the frames. The ways of libzstd's highest levels (Yann Collet and others) are the model.
//
// The same bytes give the same frame, on any machine.
//
// An Encoder shares nothing with other goroutines. Its inner loops are kept from the race detector, with which they would take most of the time of all tests.
package zstdpack

import "encoding/binary"

// MaxSize is the largest chunk in bytes.
const MaxSize = 4 << 20

const (
	maxBlock = 128 << 10
	minSplit = 2 << 10 // a block is not cut into smaller ones than this
)

// Encoder compresses one chunk after the other. It is for one goroutine at a time. The zero value is ready.
type Encoder struct {
	finder finder
	parser parser
	prices prices
	block  blockWriter
	seqs   []sequence
	lits   []byte
}

// Encode appends a frame of src to dst. The frame says how large src is, and has no checksum. Src must have at most MaxSize bytes.
func (e *Encoder) Encode(dst, src []byte) []byte {
	dst = appendHeader(dst, len(src))
	if len(src) == 0 {
		return append(dst, 1, 0, 0) // the last block, raw, of nothing
	}
	e.finder.find(src)
	e.block.begin()
	reps := repeats{1, 4, 8}
	for at := 0; at < len(src); {
		end := min(at+maxBlock, len(src))
		dst = e.super(dst, src, at, end, &reps)
		at = end
	}
	return dst
}

// appendHeader writes a frame header: one segment, the size of the content, nothing else.
func appendHeader(dst []byte, size int) []byte {
	dst = append(dst, 0x28, 0xb5, 0x2f, 0xfd)
	switch {
	case size < 256:
		return append(dst, 1<<5, byte(size))
	case size < 65536+256:
		return binary.LittleEndian.AppendUint16(append(dst, 1<<6|1<<5), uint16(size-256))
	}
	return binary.LittleEndian.AppendUint32(append(dst, 2<<6|1<<5), uint32(size))
}

// super writes what could be one block, cut where that pays.
func (e *Encoder) super(dst, src []byte, begin, end int, reps *repeats) []byte {
	if begin == 0 {
		// Nothing is known of the content yet. What a quick look finds is too crude for prices but where all is small.
		e.seqs = append(e.seqs[:0], e.parser.sketch(&e.finder, begin, end, *reps)...)
		s := newSplitter(src, e.seqs, begin)
		if len(src) <= maxBlock {
			s.split(0, len(e.seqs), begin, end)
			return e.blocks(dst, src, &s, begin, end, reps, true)
		}
		c := s.count(0, len(e.seqs), begin, end)
		e.prices.set(&c)
	}
	// The content before tells the prices.
	before := *reps
	after := before
	e.seqs = append(e.seqs[:0], e.parser.parse(&e.finder, begin, end, &e.prices, &after)...)
	s := newSplitter(src, e.seqs, begin)
	s.split(0, len(e.seqs), begin, end)
	dst = e.blocks(dst, src, &s, begin, end, reps, false)
	c := s.count(0, len(e.seqs), begin, end)
	e.prices.set(&c)
	return dst
}

// blocks writes the blocks from one cut to the next: with sequences for the prices that each block's own statistics give, or with those at hand.
func (e *Encoder) blocks(dst, src []byte, s *splitter, begin, end int, reps *repeats, again bool) []byte {
	for at := begin; at < end; {
		cut := end
		if len(s.cuts) > 0 {
			cut, s.cuts = s.cuts[0], s.cuts[1:]
		}
		a, b := s.index(at), s.index(cut)
		if cut == end {
			b = len(s.seqs)
		}
		before := *reps
		seqs := s.seqs[a:b]
		if again {
			c := s.count(a, b, at, cut)
			e.prices.set(&c)
			seqs = e.parser.parse(&e.finder, at, cut, &e.prices, reps)
		} else {
			for _, q := range seqs {
				_, *reps = reps.offset(q.value, q.lits)
			}
		}
		var compressed bool
		if dst, compressed = e.block.append(dst, src[at:cut], seqs, cut == len(src), &e.lits); !compressed {
			// A block that is stored as it is leaves nothing behind: what follows must not refer to its offsets.
			if *reps = before; !again && cut < end {
				return e.blocks(dst, src, s, cut, end, reps, true)
			}
		}
		at = cut
	}
	return dst
}
