// SPDX-License-Identifier: MIT

package zstdpack

import (
	"slices"

	"github.com/klauspost/compress/huff0"
)

// How the table of a kind of symbols is told to the decoder (RFC 8878, 3.1.1.3.2.1).
const (
	modePredefined = 0
	modeRLE        = 1
	modeCompressed = 2
	modeRepeat     = 3
)

// coder is the table of one kind of symbols: what the decoder has, and room for a new one.
type coder struct {
	predefined, last, next fseTable
	have                   bool // the decoder has last
	maxLog                 uint
	codes                  []uint8
	norm, best             []int16
}

// choose finds the cheapest way to code symbols that are used that often. It returns the mode, the table, and what is to be written before.
func (c *coder) choose(counts []uint32, total uint32) (mode byte, table *fseTable, header []byte) {
	kinds, symbol := 0, 0
	for s, n := range counts {
		if n > 0 {
			kinds++
			symbol = s
		}
	}
	mode, table = modePredefined, &c.predefined
	cost := c.predefined.cost(counts)
	if c.have {
		if n := c.last.cost(counts); n <= cost {
			mode, table, cost = modeRepeat, &c.last, n
		}
	}
	if kinds == 1 {
		if cost <= 8*logOne {
			return mode, table, nil
		}
		c.next.single = symbol
		return modeRLE, &c.next, []byte{byte(symbol)}
	}
	used := counts[:symbol+1]
	bestLog := uint(0)
	bestCost := uint64(impossible)
	for log := uint(5); log <= c.maxLog; log++ {
		if 1<<log < kinds || log > 5 && uint32(1)<<(log-1) > 2*total {
			continue
		}
		norm := normalize(c.norm, used, total, log)
		if norm == nil {
			continue
		}
		c.norm = norm
		bits := uint64(8*len(appendDistribution(nil, norm, log)))*logOne + costOf(used, norm, log)
		if bits < bestCost {
			bestCost, bestLog = bits, log
			c.best = append(c.best[:0], norm...)
		}
	}
	if bestCost >= cost {
		return mode, table, nil
	}
	c.next.build(c.best, bestLog)
	return modeCompressed, &c.next, appendDistribution(nil, c.best, bestLog)
}

// keep makes what was chosen what the decoder has.
func (c *coder) keep(table *fseTable) {
	switch table {
	case &c.next:
		c.last, c.next = c.next, c.last
	case &c.predefined:
		c.last.build(c.predefined.norm, c.predefined.log)
	}
	c.have = true
}

// huffman is the literals' coder: one with the table that the decoder has, and one to try.
type huffman struct {
	last, next *huff0.Scratch
	have       bool
}

// blockWriter writes blocks, and knows the tables that the decoder has.
type blockWriter struct {
	ll, ml, of coder
	huff       huffman
	ready      bool
}

// begin forgets the last frame's tables.
func (w *blockWriter) begin() {
	if !w.ready {
		w.ll.predefined.build(llDefault, 6)
		w.ml.predefined.build(mlDefault, 6)
		w.of.predefined.build(ofDefault, 5)
		w.ll.maxLog, w.ml.maxLog, w.of.maxLog = 9, 9, 8
		w.huff.last, w.huff.next = &huff0.Scratch{}, &huff0.Scratch{}
		w.ready = true
	}
	w.ll.have, w.ml.have, w.of.have, w.huff.have = false, false, false, false
}

// append writes a block of the bytes that the sequences make, and says whether it is one with sequences, and not the bytes as they are.
func (w *blockWriter) append(dst, raw []byte, seqs []sequence, last bool, room *[]byte) ([]byte, bool) {
	header := func(kind, size int) {
		v := uint32(size)<<3 | uint32(kind)<<1
		if last {
			v |= 1
		}
		dst = append(dst, byte(v), byte(v>>8), byte(v>>16))
	}
	if len(raw) > 1 && allSame(raw) {
		header(1, len(raw))
		return append(dst, raw[0]), false
	}
	lits := (*room)[:0]
	at := 0
	for _, s := range seqs {
		lits = append(lits, raw[at:at+int(s.lits)]...)
		at += int(s.lits + s.length)
	}
	lits = append(lits, raw[at:]...)
	*room = lits

	start := len(dst)
	dst = append(dst, 0, 0, 0)
	dst, table := w.literals(dst, lits)
	dst, keep := w.sequences(dst, seqs)
	size := len(dst) - start - 3
	if size >= len(raw) {
		dst = dst[:start]
		header(0, len(raw))
		return append(dst, raw...), false
	}
	if table {
		w.huff.last, w.huff.next = w.huff.next, w.huff.last
		w.huff.have = true
	}
	keep()
	body := dst
	dst = dst[:start]
	header(2, size)
	return body, true
}

func allSame(p []byte) bool {
	for _, b := range p {
		if b != p[0] {
			return false
		}
	}
	return true
}

// literals writes the literals (RFC 8878, 3.1.1.3.1). It says whether they bring a table, which is then in huff.next.
func (w *blockWriter) literals(dst, lits []byte) (out []byte, table bool) {
	n := len(lits)
	raw := func(kind byte) []byte {
		switch {
		case n < 32:
			return append(dst, byte(n)<<3|kind)
		case n < 4096:
			return append(dst, byte(n)<<4|1<<2|kind, byte(n>>4))
		}
		return append(dst, byte(n)<<4|3<<2|kind, byte(n>>4), byte(n>>12))
	}
	if n > 4 && allSame(lits) {
		return append(raw(1), lits[0]), false
	}
	if n < 16 {
		return append(raw(0), lits...), false
	}
	s := w.huff.next
	s.Reuse = huff0.ReusePolicyNone
	if w.huff.have {
		s.TransferCTable(w.huff.last)
		s.Reuse = huff0.ReusePolicyAllow
	}
	single := n < 1024
	compress := huff0.Compress4X
	if single {
		compress = huff0.Compress1X
	}
	packed, reused, err := compress(lits, s)
	if err != nil || len(packed) >= n-n/64-2 {
		// Not worth it, or not possible.
		w.huff.next = &huff0.Scratch{}
		return append(raw(0), lits...), false
	}
	kind := uint64(2)
	if reused {
		kind = 3
	}
	c := uint64(len(packed))
	switch {
	case single && c < 1024:
		v := kind | uint64(n)<<4 | c<<14
		dst = append(dst, byte(v), byte(v>>8), byte(v>>16))
	case n < 1024:
		v := kind | 1<<2 | uint64(n)<<4 | c<<14
		dst = append(dst, byte(v), byte(v>>8), byte(v>>16))
	case n < 16384 && c < 16384:
		v := kind | 2<<2 | uint64(n)<<4 | c<<18
		dst = append(dst, byte(v), byte(v>>8), byte(v>>16), byte(v>>24))
	default:
		v := kind | 3<<2 | uint64(n)<<4 | c<<22
		dst = append(dst, byte(v), byte(v>>8), byte(v>>16), byte(v>>24), byte(v>>32))
	}
	return append(dst, packed...), !reused
}

// sequences writes the sequences (RFC 8878, 3.1.1.3.2). The function that it returns is to be called when the block is used.
func (w *blockWriter) sequences(dst []byte, seqs []sequence) (out []byte, keep func()) {
	switch n := len(seqs); {
	case n == 0:
		return append(dst, 0), func() {}
	case n < 128:
		dst = append(dst, byte(n))
	case n < 0x7f00:
		dst = append(dst, byte(n>>8)+128, byte(n))
	default:
		dst = append(dst, 255, byte(n-0x7f00), byte((n-0x7f00)>>8))
	}
	var c counts
	for _, k := range []*coder{&w.ll, &w.ml, &w.of} {
		k.codes = slices.Grow(k.codes[:0], len(seqs))[:len(seqs)]
	}
	for i, s := range seqs {
		c.add(s)
		w.ll.codes[i], w.ml.codes[i], w.of.codes[i] = llCode(s.lits), mlCode(s.length), ofCode(s.value)
	}
	llMode, ll, llHeader := w.ll.choose(c.ll[:llCodes], c.nseqs)
	ofMode, of, ofHeader := w.of.choose(c.of[:ofCodes], c.nseqs)
	mlMode, ml, mlHeader := w.ml.choose(c.ml[:mlCodes], c.nseqs)
	dst = append(dst, llMode<<6|ofMode<<4|mlMode<<2)
	dst = append(append(append(dst, llHeader...), ofHeader...), mlHeader...)

	bw := bitWriter{out: dst}
	var sl, so, sm fseState
	for i := len(seqs) - 1; i >= 0; i-- {
		l, o, m := w.ll.codes[i], w.of.codes[i], w.ml.codes[i]
		if i == len(seqs)-1 {
			sm.begin(ml, m)
			so.begin(of, o)
			sl.begin(ll, l)
		} else {
			so.encode(&bw, o)
			sm.encode(&bw, m)
			sl.encode(&bw, l)
		}
		s := seqs[i]
		bw.add(s.lits-llBase[l], uint(llBits[l]))
		bw.add(s.length-mlBase[m], uint(mlBits[m]))
		bw.add(s.value-1<<o, uint(o))
	}
	sm.end(&bw)
	so.end(&bw)
	sl.end(&bw)
	bw.close()
	return bw.out, func() {
		w.ll.keep(ll)
		w.of.keep(of)
		w.ml.keep(ml)
	}
}
