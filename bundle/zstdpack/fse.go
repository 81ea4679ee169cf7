// SPDX-License-Identifier: MIT

package zstdpack

import (
	"math"
	"math/bits"
)

// bitWriter collects bits, the first one lowest.
type bitWriter struct {
	out  []byte
	bits uint64
	n    uint
}

// add writes the n lowest bits of v, which must have no others; n <= 32.
func (w *bitWriter) add(v uint32, n uint) {
	w.bits |= uint64(v) << w.n
	w.n += n
	for w.n >= 8 {
		w.out = append(w.out, byte(w.bits))
		w.bits >>= 8
		w.n -= 8
	}
}

// close ends a stream that is read from its end: a one tells where the bits begin.
func (w *bitWriter) close() {
	w.add(1, 1)
	w.flush()
}

func (w *bitWriter) flush() {
	if w.n > 0 {
		w.out = append(w.out, byte(w.bits))
		w.bits, w.n = 0, 0
	}
}

// fseTable codes symbols with a finite state machine (RFC 8878, 4.1).
type fseTable struct {
	log    uint
	norm   []int16
	states []uint16 // by place: the states sorted by symbol
	delta  []symbolDelta
	single int // the only symbol, when the table is of one symbol; else -1

	spread []uint8
}

// symbolDelta leads from a state to the number of bits to write and to the next state.
type symbolDelta struct {
	bits  uint32 // number of bits in the upper half, minus the states below which it is one less
	state int32
}

// build makes the tables of a distribution.
func (t *fseTable) build(norm []int16, log uint) {
	size := 1 << log
	t.log, t.single = log, -1
	t.norm = append(t.norm[:0], norm...)
	if cap(t.spread) < size {
		t.spread = make([]uint8, size)
		t.states = make([]uint16, size)
	}
	t.spread, t.states = t.spread[:size], t.states[:size]
	if cap(t.delta) < len(norm) {
		t.delta = make([]symbolDelta, len(norm))
	}
	t.delta = t.delta[:len(norm)]

	var place [256]int // of a symbol's first state in states
	sum, high := 0, size-1
	for s, n := range norm {
		place[s] = sum
		if n == -1 {
			t.spread[high] = uint8(s)
			high--
			sum++
		} else {
			sum += int(n)
		}
	}
	step, mask, at := size>>1+size>>3+3, size-1, 0
	for s, n := range norm {
		for range max(n, 0) {
			t.spread[at] = uint8(s)
			at = (at + step) & mask
			for at > high {
				at = (at + step) & mask
			}
		}
	}
	for i, s := range t.spread {
		t.states[place[s]] = uint16(size + i)
		place[s]++
	}
	total := int32(0)
	for s, n := range norm {
		switch {
		case n == 0:
			t.delta[s] = symbolDelta{bits: uint32(log+1)<<16 - uint32(size)}
		case n == -1 || n == 1:
			t.delta[s] = symbolDelta{bits: uint32(log)<<16 - uint32(size), state: total - 1}
			total++
		default:
			out := log - uint(bits.Len16(uint16(n-1))) + 1
			most := uint32(n) << out
			t.delta[s] = symbolDelta{bits: uint32(out)<<16 - most, state: total - int32(n)}
			total += int32(n)
		}
	}
}

// fseState is a coder on its way, from the last symbol to the first.
type fseState struct {
	t     *fseTable
	state uint32
}

// begin takes the last symbol, which costs nothing.
func (s *fseState) begin(t *fseTable, symbol uint8) {
	s.t = t
	if t.single >= 0 {
		return
	}
	d := t.delta[symbol]
	n := (d.bits + 1<<15) >> 16
	first := n<<16 - d.bits
	s.state = uint32(t.states[int32(first>>n)+d.state])
}

func (s *fseState) encode(w *bitWriter, symbol uint8) {
	if s.t.single >= 0 {
		return
	}
	d := s.t.delta[symbol]
	n := (s.state + d.bits) >> 16
	w.add(s.state&(1<<n-1), uint(n))
	s.state = uint32(s.t.states[int32(s.state>>n)+d.state])
}

// end writes where the decoder begins.
func (s *fseState) end(w *bitWriter) {
	if s.t.single < 0 {
		w.add(s.state&(1<<s.t.log-1), s.t.log)
	}
}

// normalize turns counts into a distribution of 1 << log parts in which each symbol that is there has one at least.
func normalize(norm []int16, counts []uint32, total uint32, log uint) []int16 {
	norm = norm[:0]
	size := int64(1) << log
	left := size
	largest := 0
	for s, c := range counts {
		switch {
		case c == 0:
			norm = append(norm, 0)
			continue
		case uint64(c)<<log <= uint64(total):
			// Less than a part: -1 stands for it, and costs as many bits as a part.
			norm = append(norm, -1)
			left--
		default:
			n := (int64(c)<<(log+1) + int64(total)) / (2 * int64(total))
			norm = append(norm, int16(max(n, 1)))
			left -= max(n, 1)
		}
		if c > counts[largest] {
			largest = s
		}
	}
	// What rounding gave or took too much goes where it costs least.
	for left != 0 {
		best, bestCost := -1, int64(math.MaxInt64)
		step := int16(1)
		if left < 0 {
			step = -1
		}
		for s, n := range norm {
			if n < 1 || step < 0 && n == 1 {
				continue
			}
			if cost := int64(counts[s]) * (int64(log2(uint32(n))) - int64(log2(uint32(n+step)))); cost < bestCost {
				best, bestCost = s, cost
			}
		}
		if best < 0 { // nothing but small parts
			for s, n := range norm {
				if n == -1 && step > 0 {
					best = s
					break
				}
			}
			if best < 0 {
				return nil
			}
			norm[best] = 1
		}
		norm[best] += step
		left -= int64(step)
	}
	return norm
}

// appendDistribution writes a table's distribution (RFC 8878, 4.1.1).
func appendDistribution(out []byte, norm []int16, log uint) []byte {
	w := bitWriter{out: out}
	w.add(uint32(log-5), 4)
	left, threshold, n := 1<<log+1, 1<<log, log+1
	for s := 0; left > 1; {
		value := int(norm[s]) + 1
		s++
		most := 2*threshold - 1 - left
		if value == 0 {
			left-- // -1 takes a part
		} else {
			left -= value - 1
		}
		v, size := value, n
		if v >= threshold {
			v += most
		}
		if v < most {
			size--
		}
		w.add(uint32(v), size)
		for left < threshold {
			n--
			threshold >>= 1
		}
		if value == 1 && left > 1 { // a zero: how many follow
			zeros := 0
			for norm[s+zeros] == 0 {
				zeros++
			}
			s += zeros
			for ; zeros >= 3; zeros -= 3 {
				w.add(3, 2)
			}
			w.add(uint32(zeros), 2)
		}
	}
	w.flush()
	return w.out
}

// impossible is a cost that nothing has.
const impossible = math.MaxUint64

// cost estimates the bits that symbols cost with a table, without further bits, in parts of logOne. It is impossible when one of them is not in it.
func (t *fseTable) cost(counts []uint32) uint64 {
	if t.single >= 0 {
		for s, c := range counts {
			if c > 0 && s != t.single {
				return impossible
			}
		}
		return 0
	}
	return costOf(counts, t.norm, t.log)
}

func costOf(counts []uint32, norm []int16, log uint) uint64 {
	total := uint64(0)
	for s, c := range counts {
		switch {
		case c == 0:
		case s >= len(norm) || norm[s] == 0:
			return impossible
		default:
			total += uint64(c) * uint64(uint32(log)*logOne-log2(uint32(max(norm[s], 1))))
		}
	}
	return total
}
