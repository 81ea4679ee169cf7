// SPDX-License-Identifier: MIT

package zstdpack

import "math/bits"

// Logarithms are whole numbers, in parts of logOne: those of floating point come out differently on different processors, and with them what is written.
const (
	logOne  = 1 << 16
	logBits = 10 // of the number behind its first one that count
)

var logs = logTable()

// logTable returns log2(1 + i/2^logBits), by squaring: each time the square is two or more, the next bit is a one.
func logTable() (table [1 << logBits]uint32) {
	for i := range table {
		x := uint64(1<<logBits+i) << (31 - logBits) // with 31 bits behind the point
		for bit := uint32(logOne / 2); bit > 0; bit /= 2 {
			if x = x * x >> 31; x >= 1<<32 {
				x >>= 1
				table[i] += bit
			}
		}
	}
	return table
}

// log2 returns the logarithm of v, of zero as of one.
func log2(v uint32) uint32 {
	n := uint32(bits.Len32(v))
	switch {
	case n == 0:
		return 0
	case n > logBits+1:
		v >>= n - logBits - 1
	default:
		v <<= logBits + 1 - n
	}
	return (n-1)*logOne + logs[v&(1<<logBits-1)]
}
