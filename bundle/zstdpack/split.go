// SPDX-License-Identifier: MIT

package zstdpack

// splitter cuts a block where its statistics change, by what the parts would cost.
type splitter struct {
	src   []byte
	seqs  []sequence
	start []int // where each sequence's literals begin; one more for the literals behind the last
	cuts  []int // found, ascending
}

func newSplitter(src []byte, seqs []sequence, begin int) splitter {
	s := splitter{src: src, seqs: seqs, start: make([]int, 0, len(seqs)+1)}
	at := begin
	for _, q := range seqs {
		s.start = append(s.start, at)
		at += int(q.lits + q.length)
	}
	s.start = append(s.start, at)
	return s
}

// index returns the first sequence that begins at a position or behind it.
func (s *splitter) index(at int) int {
	low, high := 0, len(s.seqs)
	for low < high {
		if mid := (low + high) / 2; s.start[mid] < at {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low
}

// count counts the symbols of the sequences from a to b, and the literals with them up to end.
//
//go:norace
func (s *splitter) count(a, b, begin, end int) counts {
	var c counts
	at := begin
	for i := a; i < b; i++ {
		q := s.seqs[i]
		c.add(q)
		c.literals(s.src[s.start[i] : s.start[i]+int(q.lits)])
		at = s.start[i] + int(q.lits+q.length)
	}
	if at < end {
		c.literals(s.src[at:end])
	}
	return c
}

// bits estimates what a block with these symbols costs, in parts of logOne.
func (c *counts) bits() uint64 {
	total := uint64(c.extra+8*12) * logOne
	total += min(entropy(c.lits[:], 26)+40*logOne, 8*logOne*uint64(c.nlits))
	if c.nseqs > 0 {
		total += entropy(c.ll[:], 45) + entropy(c.ml[:], 45) + entropy(c.of[:], 45)
	}
	return total
}

// entropy returns the bits of symbols that are used that often, and of saying so at so many tenths of a bit for each that is used.
//
//go:norace
func entropy(counts []uint32, header uint64) uint64 {
	var kinds, less uint64
	var sum uint32
	for _, c := range counts {
		if c > 0 {
			kinds++
			sum += c
			less += uint64(c) * uint64(log2(c))
		}
	}
	return uint64(sum)*uint64(log2(sum)) - less + kinds*header*logOne/10
}

// split looks for cuts in the sequences from a to b, which stand for the bytes from begin to end.
func (s *splitter) split(a, b, begin, end int) {
	if b-a < 64 || end-begin < 2*minSplit {
		return
	}
	c := s.count(a, b, begin, end)
	whole := c.bits()
	best, bestAt := whole, -1
	for _, part := range []int{4, 2, 6} {
		m := s.index(begin + (end-begin)*part/8)
		if m-a < 24 || b-m < 24 {
			continue
		}
		at := s.start[m]
		if at-begin < minSplit || end-at < minSplit {
			continue
		}
		left, right := s.count(a, m, begin, at), s.count(m, b, at, end)
		if cost := left.bits() + right.bits(); cost < best {
			best, bestAt = cost, m
		}
	}
	if bestAt < 0 {
		return
	}
	at := s.start[bestAt]
	s.split(a, bestAt, begin, at)
	s.cuts = append(s.cuts, at)
	s.split(bestAt, b, at, end)
}
