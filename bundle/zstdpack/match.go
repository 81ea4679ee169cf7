// SPDX-License-Identifier: MIT

package zstdpack

import (
	"math/bits"
	"slices"
)

// match is an earlier place with the same bytes.
type match struct {
	length, offset uint32
}

const (
	hash4Log = 18 // at most; less for small chunks, see find
	hash3Log = 14
	none     = -1
	maxDepth = 5 // nodes that are looked at for a position; one less in small chunks, which hold code and lose little by it
	margin   = 32

	smallChunk = 64 << 10
	ahead      = 8   // positions that touch is before insert; at most what padding has less four
	maxFound   = 8   // matches of a position: one for each node, one by the hash of three bytes, and rounded up to a power of two
	enough     = 512 // a match of this length is taken without looking for a better one
)

// finder finds for each position of a buffer the matches before it: for every length the nearest. Positions are in binary search trees, one for
// each hash of four bytes, sorted by the bytes that follow them, the newest position on top.
type finder struct {
	buf   []byte // what is looked at, and padding behind it, so that eight bytes can be read from anywhere
	bytes bytesAt
	size  int // of buf without the padding
	depth int // nodes that are looked at for a position, at most maxDepth
	head4 []int32
	head3 []int32
	sons  []int32 // two for each position: with smaller and with larger bytes

	shift4  uint   // makes a hash an index of head4
	touched uint32 // makes the compiler keep what touch reads

	starts []int32 // by position: where its matches begin in found; one more for the end
	found  []match
}

// padding lets the finder read eight bytes wherever there is one to compare: equal begins at most seven bytes before the end of the content, and in its last
// step passes it by less than eight.
var padding [16]byte

// span is the inside of a long match, where nothing better is to be expected.
type span struct{ from, to int }

// spanOf leaves out both ends of a match, where it may meet with others.
func spanOf(at, length int) span { return span{at + margin, at + length - margin} }

func (s span) has(i int) bool { return i >= s.from && i < s.to }

// equal returns how many bytes are the same at two places, of which n are known to be, and at most so many.
//
//go:norace
func equal(b bytesAt, at, other, n, most int) int {
	for n < most {
		if x := b.load64(at+n) ^ b.load64(other+n); x != 0 {
			return min(n+bits.TrailingZeros64(x)>>3, most)
		}
		n += 8
	}
	return most
}

// find fills starts and found for all positions.
//
//go:norace
func (f *finder) find(buf []byte) {
	n := len(buf)
	f.buf = append(append(f.buf[:0], buf...), padding[:]...)
	f.bytes, f.size = newBytesAt(f.buf), n
	if f.depth = maxDepth; n <= smallChunk {
		f.depth--
	}
	if f.head4 == nil {
		f.head4, f.head3 = make([]int32, 1<<hash4Log), make([]int32, 1<<hash3Log)
	}
	// As many trees as positions, within limits: what is in a tree by chance has to be passed on the way to the rest.
	f.shift4 = uint(32 - min(max(bits.Len(uint(n-1)), 12), hash4Log))
	for i := range f.head4[:1<<(32-f.shift4)] {
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
	touched := uint32(0)
	for i := 0; i < n; i++ {
		f.starts[i] = int32(len(f.found))
		if i+8 > n || inside.has(i) {
			continue // too near to the end to be worth it; or the same as what is in the trees already
		}
		had := len(f.found)
		touched += f.touch(i + ahead)
		f.insert(i)
		if len(f.found) > had {
			if l := int(f.found[len(f.found)-1].length); l >= enough && i >= inside.to {
				inside = spanOf(i, l)
			}
		}
	}
	f.starts[n] = int32(len(f.found))
	f.touched = touched
}

// touch lets the processor fetch what insert is going to look at first for a position. Without it, much of the time is spent waiting for memory.
//
//go:norace
func (f *finder) touch(i int) uint32 {
	p := max(f.head4[f.bytes.load32(i)*2654435761>>f.shift4], 0)
	return uint32(f.sons[2*p]) + f.bytes.load32(int(p))
}

// insert puts a position on top of its tree, and lists the matches on the way.
//
//go:norace
func (f *finder) insert(i int) {
	b := f.bytes
	most := min(f.size-i, maxMatch)
	v := b.load32(i)
	h4 := v * 2654435761 >> f.shift4
	h3 := v << 8 * 506832829 >> (32 - hash3Log)
	best := minMatch - 1
	limit := min(most, enough)
	out := f.room(len(f.found))
	k := 0
	if p := int(f.head3[h3]); p >= 0 && b.load32(p)<<8 == v<<8 {
		best = equal(b, p, i, 3, limit)
		out[0] = match{uint32(best), uint32(i - p)}
		k = 1
	}
	f.head3[h3] = int32(i)
	p := int(f.head4[h4])
	f.head4[h4] = int32(i)
	sons := f.sons
	small, large := 2*i, 2*i+1 // where the next smaller and larger positions are hung
	sameSmall, sameLarge := 0, 0
	for depth := f.depth; p >= 0 && depth > 0; depth-- {
		n := min(sameSmall, sameLarge)
		var x, y uint64
		for {
			x, y = b.load64(p+n), b.load64(i+n)
			if d := x ^ y; d != 0 {
				n += bits.TrailingZeros64(d) >> 3
				break
			}
			if n += 8; n >= limit {
				break
			}
		}
		if n >= limit {
			// The same as far as is looked: it takes the older one's place.
			if n = equal(b, p, i, limit, most); n > best {
				out[k] = match{uint32(n), uint32(i - p)}
				k++
			}
			sons[small], sons[large] = sons[2*p], sons[2*p+1]
			f.found = f.found[:len(f.found)+k]
			return
		}
		out[k&(maxFound-1)] = match{uint32(n), uint32(i - p)}
		if n > best {
			best = n
			k++
		}
		if bits.ReverseBytes64(x) < bits.ReverseBytes64(y) {
			sons[small] = int32(p)
			small, sameSmall = 2*p+1, n
			p = int(sons[small])
		} else {
			sons[large] = int32(p)
			large, sameLarge = 2*p, n
			p = int(sons[large])
		}
	}
	sons[small], sons[large] = none, none
	f.found = f.found[:len(f.found)+k]
}

// room makes room for the matches of a position.
func (f *finder) room(n int) *[maxFound]match {
	if cap(f.found)-n < maxFound {
		f.found = slices.Grow(f.found, max(maxFound, f.size/2))
	}
	return (*[maxFound]match)(f.found[n : n+maxFound])
}

// at returns the matches of a position, the shortest first.
func (f *finder) at(i int) []match { return f.found[f.starts[i]:f.starts[i+1]] }
