// SPDX-License-Identifier: MIT

package zstdpack

import "math"

// sequence is a run of literals and the match behind it. The value of an offset is 1 to 3 for one of the last three, else the offset plus 3.
type sequence struct {
	lits, length, value uint32
}

// repeats are the last three offsets, the newest first (RFC 8878, 3.1.1.5).
type repeats [3]uint32

// offset returns the offset that a value means behind a number of literals, and the repeats behind it.
func (r repeats) offset(value, lits uint32) (uint32, repeats) {
	if value > 3 {
		return value - 3, repeats{value - 3, r[0], r[1]}
	}
	if lits == 0 {
		value++
	}
	switch value {
	case 1:
		return r[0], r
	case 2:
		return r[1], repeats{r[1], r[0], r[2]}
	case 3:
		return r[2], repeats{r[2], r[0], r[1]}
	}
	return r[0] - 1, repeats{r[0] - 1, r[0], r[1]}
}

// counts are how often each symbol is used in a block.
type counts struct {
	lits       [256]uint32
	ll, ml, of [64]uint32
	extra      uint32 // bits behind the codes
	nlits      uint32
	nseqs      uint32
}

func (c *counts) add(s sequence) {
	l, m, o := llCode(s.lits), mlCode(s.length), ofCode(s.value)
	c.ll[l]++
	c.ml[m]++
	c.of[o]++
	c.extra += uint32(llBits[l]) + uint32(mlBits[m]) + uint32(o)
	c.nseqs++
}

func (c *counts) literals(p []byte) {
	for _, b := range p {
		c.lits[b]++
	}
	c.nlits += uint32(len(p))
}

// one is a bit in prices.
const one = 256

// prices are what things cost, in parts of a bit.
type prices struct {
	lits [256]uint32
	ll   [llCodes]uint32
	ml   [mlCodes]uint32
	of   [ofCodes]uint32

	llShort [256]uint32
	mlShort [256]uint32
}

// set makes the prices those of a block that uses symbols that often.
func (p *prices) set(c *counts) {
	price(p.lits[:], c.lits[:])
	price(p.ll[:], c.ll[:llCodes])
	price(p.ml[:], c.ml[:mlCodes])
	price(p.of[:], c.of[:ofCodes])
	// No code of the literals is longer than eleven bits, and hardly one is shorter than one.
	for i := range p.lits {
		p.lits[i] = min(max(p.lits[i], one/2), 11*one)
	}
	for i := range p.ll {
		p.ll[i] += uint32(llBits[i]) * one
	}
	for i := range p.ml {
		p.ml[i] += uint32(mlBits[i]) * one
	}
	for i := range p.of {
		p.of[i] += uint32(i) * one
	}
	for i := range p.llShort {
		p.llShort[i] = p.ll[llCode(uint32(i))]
	}
	for i := range p.mlShort {
		p.mlShort[i] = p.ml[mlCode(uint32(max(i, minMatch)))]
	}
}

func price(to []uint32, counts []uint32) {
	total := uint32(0)
	for _, c := range counts {
		total += 3*c + 1 // a third of one stands for what has not been seen
	}
	for i, c := range counts {
		to[i] = (log2(total) - log2(3*c+1)) / (logOne / one)
	}
}

func (p *prices) literals(n uint32) uint32 {
	if n < uint32(len(p.llShort)) {
		return p.llShort[n]
	}
	// A block without a match is longer than what a sequence can say; nothing is ever written for its literals' number.
	return p.ll[llCode(min(n, maxBlock-1))]
}

func (p *prices) match(n uint32) uint32 {
	if n < uint32(len(p.mlShort)) {
		return p.mlShort[n]
	}
	return p.ml[mlCode(n)]
}

// node is the cheapest known way to a position of a block.
type node struct {
	price  uint32
	length uint32 // of the match that ends here; 0: a literal
	value  uint32 // of that match's offset
	lits   uint32 // since the last match
}

const (
	unknown  = math.MaxUint32
	maxTried = 24 // of a longer match only the whole is tried; less than the short lengths that prices know

	maxRepeat = 128 // of a match at one of the last offsets; the finder has longer ones
)

// parser finds the cheapest way to write a block.
type parser struct {
	nodes []node
	reps  []repeats
	seqs  []sequence
}

// relax makes matches of all lengths from one to another the way to where they end, where they are cheaper.
//
//go:norace
func relax(nodes []node, from, to int, price, value uint32, cost *prices) {
	short := min(to, maxTried)
	if from <= short {
		part := nodes[from : short+1]
		match := cost.mlShort[from : short+1]
		for i := range part {
			if c := price + match[i]; c < part[i].price {
				part[i] = node{price: c, length: uint32(from + i), value: value}
			}
		}
	}
	if to > maxTried && from <= to {
		if c := price + cost.match(uint32(to)); c < nodes[to].price {
			nodes[to] = node{price: c, length: uint32(to), value: value}
		}
	}
}

// parse returns the sequences for the bytes from begin to end; the literals behind the last one are what is left. It is valid until the next
// call. reps become those behind it.
//
//go:norace
func (p *parser) parse(f *finder, begin, end int, cost *prices, reps *repeats) []sequence {
	n := end - begin
	if cap(p.nodes) < n+1 {
		p.nodes = make([]node, n+1)
		p.reps = make([]repeats, n+1)
	}
	nodes := p.nodes[:n+1]
	for i := range nodes {
		nodes[i].price = unknown
	}
	nodes[0] = node{price: cost.literals(0)}
	// The repeats at a position are known when it is looked at: by then the way to it is.
	behind := p.reps[:n+1]
	behind[0] = *reps
	buf := f.buf
	none := cost.literals(0)
	var inside span
	for i := range n {
		if inside.has(i) {
			continue
		}
		at := begin + i
		here := nodes[i]
		if here.price == unknown {
			continue
		}
		last := *reps
		if i > 0 {
			if here.length == 0 {
				last = behind[i-1]
			} else {
				before := i - int(here.length)
				_, last = behind[before].offset(here.value, nodes[before].lits)
			}
			behind[i] = last
		}
		// A literal.
		price := here.price + cost.lits[buf[at]] + cost.literals(here.lits+1) - cost.literals(here.lits)
		if price < nodes[i+1].price {
			nodes[i+1] = node{price: price, lits: here.lits + 1}
		}
		// Where the next position is as cheap to reach, as inside of a match, a way that leaves from here is hardly the best.
		if nodes[i+1].price <= here.price+one/2 {
			continue
		}
		left := n - i
		if left < minMatch {
			continue
		}
		base := here.price + none
		first := f.bytes.load32(at) << 8
		// The last offsets are cheap.
		for value := uint32(1); value <= 3; value++ {
			offset := last[value-1]
			if here.lits == 0 {
				if value == 3 {
					offset = last[0] - 1
				} else {
					offset = last[value]
				}
			}
			// An offset of zero becomes larger than any here.
			if offset-1 >= uint32(at) {
				continue
			}
			q := at - int(offset)
			if f.bytes.load32(q)<<8 != first {
				continue
			}
			length := equal(f.bytes, q, at, 3, min(left, maxRepeat))
			relax(nodes[i:], minMatch, length, base+cost.of[ofCode(value)], value, cost)
		}
		from := minMatch
		for _, m := range f.at(at) {
			length := min(int(m.length), left)
			value := m.offset + 3
			relax(nodes[i:], from, length, base+cost.of[ofCode(value)], value, cost)
			from = max(from, length+1)
			if length >= enough && i >= inside.to {
				inside = spanOf(i, length)
			}
		}
	}
	if n > 0 {
		if end := nodes[n]; end.length == 0 {
			*reps = behind[n-1]
		} else {
			before := n - int(end.length)
			_, *reps = behind[before].offset(end.value, nodes[before].lits)
		}
	}
	// Back from the end.
	p.seqs = p.seqs[:0]
	for i := n; i > 0; {
		if nodes[i].length == 0 {
			i -= int(nodes[i].lits)
			continue
		}
		s := sequence{length: nodes[i].length, value: nodes[i].value}
		i -= int(s.length)
		s.lits = nodes[i].lits
		p.seqs = append(p.seqs, s)
		i -= int(s.lits)
	}
	for i, j := 0, len(p.seqs)-1; i < j; i, j = i+1, j-1 {
		p.seqs[i], p.seqs[j] = p.seqs[j], p.seqs[i]
	}
	return p.seqs
}

// sketch finds sequences quickly, to learn what a block is like: at each position the longest match, unless the next one has a longer one.
//
//go:norace
func (p *parser) sketch(f *finder, begin, end int, reps repeats) []sequence {
	p.seqs = p.seqs[:0]
	longest := func(at int) (best match) {
		if list := f.at(at); len(list) > 0 {
			best = list[len(list)-1]
		}
		best.length = min(best.length, uint32(end-at))
		return best
	}
	lits := uint32(0)
	for at := begin; at < end; {
		m := longest(at)
		value := m.offset + 3
		// The last offset is nearly free.
		if q := at - int(reps[0]); lits > 0 && q >= 0 {
			if n := uint32(equal(f.bytes, q, at, 0, min(end-at, enough))); n >= minMatch && n+2 >= m.length {
				m, value = match{n, reps[0]}, 1
			}
		}
		if m.length < minMatch || m.length == minMatch && m.offset > 1<<10 {
			at++
			lits++
			continue
		}
		if next := longest(min(at+1, end)); value > 3 && m.length < 32 && next.length > m.length {
			at++
			lits++
			continue
		}
		p.seqs = append(p.seqs, sequence{lits, m.length, value})
		_, reps = reps.offset(value, lits)
		at += int(m.length)
		lits = 0
	}
	return p.seqs
}
