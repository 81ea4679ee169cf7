// SPDX-License-Identifier: MIT

package zstdpack

import (
	"encoding/binary"
	"math/bits"
)

// match is an earlier place with the same bytes.
type match struct {
	length, offset uint32
}

const (
	hash4Log = 16
	hash3Log = 14
	none     = -1
	maxDepth = 8 // nodes that are looked at for a position
	margin   = 32
	enough   = 512 // a match of this length is taken without looking for a better one
)

// finder finds for each position of a buffer the matches before it: for every length the nearest. Positions are in binary search trees, one for
// each hash of four bytes, sorted by the bytes that follow them, the newest position on top.
type finder struct {
	buf   []byte
	head4 []int32
	head3 []int32
	sons  []int32 // two for each position: with smaller and with larger bytes

	starts []int32 // by position: where its matches begin in found; one more for the end
	found  []match
}

// span is the inside of a long match, where nothing better is to be expected.
type span struct{ from, to int }

// spanOf leaves out both ends of a match, where it may meet with others.
func spanOf(at, length int) span { return span{at + margin, at + length - margin} }

func (s span) has(i int) bool { return i >= s.from && i < s.to }

func load32(b []byte, i int) uint32 { return binary.LittleEndian.Uint32(b[i:]) }

// equal returns how many bytes are the same at two places, at most up to the end of the buffer; a < b.
//
//go:norace
func equal(buf []byte, a, b, n, most int) int {
	for n+8 <= most {
		if x := binary.LittleEndian.Uint64(buf[a+n:]) ^ binary.LittleEndian.Uint64(buf[b+n:]); x != 0 {
			return n + bits.TrailingZeros64(x)>>3
		}
		n += 8
	}
	for n < most && buf[a+n] == buf[b+n] {
		n++
	}
	return n
}

// find fills starts and found for all positions.
//
//go:norace
func (f *finder) find(buf []byte) {
	f.buf = buf
	n := len(buf)
	if f.head4 == nil {
		f.head4, f.head3 = make([]int32, 1<<hash4Log), make([]int32, 1<<hash3Log)
	}
	for i := range f.head4 {
		f.head4[i] = none
	}
	for i := range f.head3 {
		f.head3[i] = none
	}
	if cap(f.sons) < 2*n {
		f.sons = make([]int32, 2*n)
		f.starts = make([]int32, n+1)
	}
	f.sons, f.starts = f.sons[:2*n], f.starts[:n+1]
	f.found = f.found[:0]
	var inside span
	for i := 0; i < n; i++ {
		f.starts[i] = int32(len(f.found))
		if i+8 > n || inside.has(i) {
			continue // too near to the end to be worth it; or the same as what is in the trees already
		}
		had := len(f.found)
		f.insert(i)
		if len(f.found) > had {
			if l := int(f.found[len(f.found)-1].length); l >= enough && i >= inside.to {
				inside = spanOf(i, l)
			}
		}
	}
	f.starts[n] = int32(len(f.found))
}

// insert puts a position on top of its tree, and lists the matches on the way.
//
//go:norace
func (f *finder) insert(i int) {
	buf := f.buf
	most := min(len(buf)-i, maxMatch)
	v := load32(buf, i)
	h4 := v * 2654435761 >> (32 - hash4Log)
	h3 := v << 8 * 506832829 >> (32 - hash3Log)
	best := minMatch - 1
	limit := min(most, enough)
	if p := int(f.head3[h3]); p >= 0 && load32(buf, p)<<8 == v<<8 {
		best = equal(buf, p, i, 3, limit)
		f.found = append(f.found, match{uint32(best), uint32(i - p)})
	}
	f.head3[h3] = int32(i)
	p := int(f.head4[h4])
	f.head4[h4] = int32(i)
	small, large := 2*i, 2*i+1 // where the next smaller and larger positions are hung
	sameSmall, sameLarge := 0, 0
	for depth := maxDepth; ; depth-- {
		if p < 0 || depth == 0 {
			f.sons[small], f.sons[large] = none, none
			return
		}
		n := equal(buf, p, i, min(sameSmall, sameLarge), limit)
		if n == limit {
			// The same as far as is looked: it takes the older one's place.
			if n = equal(buf, p, i, n, most); n > best {
				f.found = append(f.found, match{uint32(n), uint32(i - p)})
			}
			f.sons[small], f.sons[large] = f.sons[2*p], f.sons[2*p+1]
			return
		}
		if n > best {
			best = n
			f.found = append(f.found, match{uint32(n), uint32(i - p)})
		}
		if buf[p+n] < buf[i+n] {
			f.sons[small] = int32(p)
			small, sameSmall = 2*p+1, n
			p = int(f.sons[small])
		} else {
			f.sons[large] = int32(p)
			large, sameLarge = 2*p, n
			p = int(f.sons[large])
		}
	}
}

// at returns the matches of a position, the shortest first.
func (f *finder) at(i int) []match { return f.found[f.starts[i]:f.starts[i+1]] }
