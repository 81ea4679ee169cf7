// SPDX-License-Identifier: MIT

package zstdpack

import "math/bits"

// Lengths and offsets are written as a code, for which there is a table of the decoder's states, and further bits (RFC 8878, 3.1.1.3.2.1).
const (
	minMatch = 3
	maxMatch = 1 << 16 // longer ones are possible, and gain nothing

	llCodes = 36
	mlCodes = 53
	ofCodes = 32
)

var llBase, llBits = tables(llCodes, 16, 0, []byte{1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16})
var mlBase, mlBits = tables(mlCodes, 32, minMatch, []byte{1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16})

// tables returns the smallest value of each code and its number of further bits: the first codes have none.
func tables(codes, direct, first int, more []byte) (base []uint32, extra []uint8) {
	base, extra = make([]uint32, codes), make([]uint8, codes)
	next := uint32(first)
	for c := range codes {
		base[c] = next
		if c >= direct {
			extra[c] = more[c-direct]
		}
		next += 1 << extra[c]
	}
	return base, extra
}

// llCode returns the code of a number of literals.
func llCode(n uint32) uint8 {
	switch {
	case n < uint32(len(llSmall)):
		return llSmall[n]
	default:
		return uint8(bits.Len32(n) + 18) // 64 has 7 bits and code 25
	}
}

// mlCode returns the code of a match's length.
func mlCode(n uint32) uint8 {
	if n -= minMatch; n < uint32(len(mlSmall)) {
		return mlSmall[n]
	}
	return uint8(bits.Len32(n) + 35) // 128 has 8 bits and code 43
}

var llSmall = small(64, llBase, 0)
var mlSmall = small(128, mlBase, minMatch)

func small(n int, base []uint32, first uint32) []uint8 {
	list := make([]uint8, n)
	code := 0
	for i := range list {
		for code+1 < len(base) && base[code+1] <= uint32(i)+first {
			code++
		}
		list[i] = uint8(code)
	}
	return list
}

// ofCode returns the code of an offset value; its further bits are as many as the code says.
func ofCode(v uint32) uint8 { return uint8(bits.Len32(v) - 1) }

// The distributions that a decoder has without being told (RFC 8878, 3.1.1.3.2.2).
var (
	llDefault = []int16{4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1, -1, -1, -1, -1}
	mlDefault = []int16{
		1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
		-1, -1, -1, -1, -1, -1, -1,
	}
	ofDefault = []int16{1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1}
)
