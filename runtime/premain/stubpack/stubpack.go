// SPDX-License-Identifier: MIT

// Package stubpack makes a program that was linked with package premain small: what its code before the Go runtime needs stays
// as it is, page by page, and all else is compressed, to be unpacked in place when the Go runtime is to start.
//
// Which pages stay follows from the machine code: [Pack] begins at the entry, and takes every function that is called from
// there and every address that one of them mentions. Code that runs before the runtime may hold no pointers in its data, which
// this would not see, and may not call the runtime: that is an error.
package stubpack

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/pierrec/lz4/v4"

	"glick.org/glick/runtime/premain"
)

const (
	headerSize  = 64
	programSize = 56
	sectionSize = 64
	// The packed program's own headers end well before the mark that the bundle writer puts behind them.
	maxPrograms = 24
)

// program is the program to be packed.
type program struct {
	file     *elf.File
	machine  elf.Machine
	page     uint64
	segments []segment
	symbols  []elf.Symbol // functions and data, by address
}

// segment is a part of memory as it is when the program starts.
type segment struct {
	addr, size uint64 // whole pages
	flags      elf.ProgFlag
	data       []byte // up to the last byte that is not zero for sure
}

// bytes returns n bytes of memory from an address in the segment.
func (s *segment) bytes(addr, n uint64) []byte {
	out := make([]byte, n)
	if from := addr - s.addr; from < uint64(len(s.data)) {
		copy(out, s.data[from:])
	}
	return out
}

// Pack packs a static program that has a symbol table. The result has none, and is loaded at the same addresses.
func Pack(raw []byte) ([]byte, error) {
	p, err := read(raw)
	if err != nil {
		return nil, fmt.Errorf("cannot pack the program: %w", err)
	}
	out, err := p.pack()
	if err != nil {
		return nil, fmt.Errorf("cannot pack the program: %w", err)
	}
	return out, nil
}

func read(raw []byte) (*program, error) {
	file, err := elf.NewFile(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	p := &program{file: file, machine: file.Machine}
	switch {
	case file.Class != elf.ELFCLASS64 || file.Type != elf.ET_EXEC:
		return nil, errors.New("it is not a static 64-bit program")
	case file.Machine == elf.EM_X86_64:
		p.page = 4 << 10
	case file.Machine == elf.EM_AARCH64:
		p.page = 64 << 10 // kernels for this processor may have pages of 4, 16 or 64 KiB
	default:
		return nil, fmt.Errorf("the machine %v is not known", file.Machine)
	}
	for _, prog := range file.Progs {
		if prog.Type != elf.PT_LOAD {
			continue
		}
		data := make([]byte, prog.Filesz)
		if _, err := prog.ReadAt(data, 0); err != nil {
			return nil, err
		}
		addr := prog.Vaddr &^ (p.page - 1)
		p.segments = append(p.segments, segment{
			addr: addr, size: p.up(prog.Vaddr+prog.Memsz) - addr, flags: prog.Flags,
			data: append(make([]byte, prog.Vaddr-addr), data...),
		})
	}
	all, err := file.Symbols()
	if err != nil {
		return nil, fmt.Errorf("it has no symbols: %w", err)
	}
	for _, s := range all {
		if kind := elf.ST_TYPE(s.Info); s.Size > 0 && (kind == elf.STT_FUNC || kind == elf.STT_OBJECT) {
			p.symbols = append(p.symbols, s)
		}
	}
	sort.SliceStable(p.symbols, func(i, j int) bool { return p.symbols[i].Value < p.symbols[j].Value })
	return p, nil
}

func (p *program) up(addr uint64) uint64 { return (addr + p.page - 1) &^ (p.page - 1) }

func (p *program) symbol(name string) (elf.Symbol, bool) {
	for _, s := range p.symbols {
		if s.Name == name {
			return s, true
		}
	}
	return elf.Symbol{}, false
}

// at returns the symbol that an address belongs to.
func (p *program) at(addr uint64) (elf.Symbol, bool) {
	i := sort.Search(len(p.symbols), func(i int) bool { return p.symbols[i].Value > addr })
	if i == 0 || addr >= p.symbols[i-1].Value+p.symbols[i-1].Size {
		return elf.Symbol{}, false
	}
	return p.symbols[i-1], true
}

func (p *program) segmentAt(addr uint64) *segment {
	for i := range p.segments {
		if s := &p.segments[i]; addr >= s.addr && addr < s.addr+s.size {
			return s
		}
	}
	return nil
}

// run is a range of pages of one segment.
type run struct {
	segment    *segment
	addr, size uint64
}

// split divides the memory into pages that stay and pages that do not.
func (p *program) split(stay map[uint64]bool) (kept, holes []run) {
	for i := range p.segments {
		s := &p.segments[i]
		for from := s.addr; from < s.addr+s.size; {
			to := from + p.page
			for to < s.addr+s.size && stay[to] == stay[from] {
				to += p.page
			}
			if stay[from] {
				kept = append(kept, run{s, from, to - from})
			} else {
				holes = append(holes, run{s, from, to - from})
			}
			from = to
		}
	}
	return kept, holes
}

func (p *program) pack() ([]byte, error) {
	stay, err := p.needed()
	if err != nil {
		return nil, err
	}
	kept, holes := p.split(stay)
	if len(holes) > premain.MaxHoles || len(kept)+3 > maxPrograms {
		return nil, fmt.Errorf("what must stay is scattered over %d places", len(kept))
	}

	le := binary.LittleEndian
	last := p.segments[len(p.segments)-1]
	blockAddr := last.addr + last.size
	var blocks []byte
	table := []uint64{premain.LayoutMagic, uint64(len(holes))}
	for _, h := range holes {
		raw := bytes.TrimRight(h.segment.bytes(h.addr, h.size), "\x00")
		code := uint64(0)
		if h.segment.flags&elf.PF_X != 0 && p.machine == elf.EM_X86_64 {
			premain.EncodeCalls(raw)
			code = 1
		}
		block, err := compress(raw)
		if err != nil {
			return nil, err
		}
		word := [premain.HoleWords]uint64{
			premain.HoleAddr: h.addr, premain.HoleSize: h.size, premain.HoleProt: protection(h.segment.flags),
			premain.HolePacked: blockAddr + uint64(len(blocks)), premain.HolePackedSize: uint64(len(block)), premain.HoleRaw: uint64(len(raw)),
			premain.HoleCode: code,
		}
		table = append(table, word[:]...)
		blocks = append(blocks, block...)
	}
	if err := p.putLayout(table); err != nil {
		return nil, err
	}

	// The headers, a page of them; the pages that stay; what is packed.
	out := make([]byte, p.page)
	var programs, sections []byte
	names := []byte("\x00")
	add := func(name string, flags elf.ProgFlag, addr uint64, data []byte, size uint64) {
		off := uint64(len(out))
		out = append(out, data...)
		for _, w := range []uint64{uint64(elf.PT_LOAD) | uint64(flags)<<32, off, addr, addr, uint64(len(data)), size, p.page} {
			programs = le.AppendUint64(programs, w)
		}
		sectionFlags := elf.SHF_ALLOC
		if flags&elf.PF_X != 0 {
			sectionFlags |= elf.SHF_EXECINSTR
		}
		if flags&elf.PF_W != 0 {
			sectionFlags |= elf.SHF_WRITE
		}
		// Tools that rewrite ELF files keep what is in a section.
		sections = le.AppendUint64(sections, uint64(len(names))|uint64(elf.SHT_PROGBITS)<<32)
		names = append(append(names, name...), 0)
		for _, w := range []uint64{uint64(sectionFlags), addr, off, uint64(len(data)), 0, p.page, 0} {
			sections = le.AppendUint64(sections, w)
		}
	}
	for _, k := range kept {
		name := ".rodata"
		switch {
		case k.segment.flags&elf.PF_X != 0:
			name = ".text"
		case k.segment.flags&elf.PF_W != 0:
			name = ".data"
		}
		add(name, k.segment.flags, k.addr, k.segment.bytes(k.addr, k.size), k.size)
	}
	add(".packed", elf.PF_R, blockAddr, blocks, uint64(len(blocks)))
	stack := make([]byte, programSize)
	le.PutUint32(stack, uint32(elf.PT_GNU_STACK))
	le.PutUint32(stack[4:], uint32(elf.PF_R|elf.PF_W))
	programs = append(programs, stack...)

	for len(out)%8 != 0 {
		out = append(out, 0)
	}
	names, nameAt := append(names, ".shstrtab\x00"...), len(names)
	namesOff := len(out)
	out = append(out, names...)
	for len(out)%8 != 0 {
		out = append(out, 0)
	}
	sectionsOff := len(out)
	out = append(out, make([]byte, sectionSize)...)
	out = append(out, sections...)
	own := make([]byte, sectionSize)
	le.PutUint32(own, uint32(nameAt))
	le.PutUint32(own[4:], uint32(elf.SHT_STRTAB))
	le.PutUint64(own[24:], uint64(namesOff))
	le.PutUint64(own[32:], uint64(len(names)))
	le.PutUint64(own[48:], 1)
	out = append(out, own...)

	copy(out, []byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)})
	le.PutUint16(out[16:], uint16(elf.ET_EXEC))
	le.PutUint16(out[18:], uint16(p.machine))
	le.PutUint32(out[20:], uint32(elf.EV_CURRENT))
	le.PutUint64(out[24:], p.file.Entry)
	le.PutUint64(out[32:], headerSize)
	le.PutUint64(out[40:], uint64(sectionsOff))
	le.PutUint16(out[52:], headerSize)
	le.PutUint16(out[54:], programSize)
	le.PutUint16(out[56:], uint16(len(programs)/programSize))
	le.PutUint16(out[58:], sectionSize)
	le.PutUint16(out[60:], uint16(len(sections)/sectionSize+2))
	le.PutUint16(out[62:], uint16(len(sections)/sectionSize+1))
	copy(out[headerSize:], programs)
	return out, nil
}

// putLayout writes the table of holes into the memory that the program starts with.
func (p *program) putLayout(table []uint64) error {
	s, ok := p.symbol(premain.LayoutSymbol)
	if !ok {
		return errors.New("it has no table to fill in")
	}
	var raw []byte
	for _, w := range table {
		raw = binary.LittleEndian.AppendUint64(raw, w)
	}
	seg := p.segmentAt(s.Value)
	if seg == nil || uint64(len(raw)) > s.Size {
		return errors.New("its table is too small")
	}
	place := seg.data[s.Value-seg.addr:]
	if uint64(len(place)) < s.Size || binary.LittleEndian.Uint64(place) != premain.LayoutMagic {
		return errors.New("its table is of another version")
	}
	copy(place, raw)
	return nil
}

// protection is a segment's in the words of mmap.
func protection(flags elf.ProgFlag) uint64 {
	var prot uint64
	if flags&elf.PF_R != 0 {
		prot |= 1
	}
	if flags&elf.PF_W != 0 {
		prot |= 2
	}
	if flags&elf.PF_X != 0 {
		prot |= 4
	}
	return prot
}

func compress(raw []byte) ([]byte, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	out := make([]byte, lz4.CompressBlockBound(len(raw)))
	compressor := lz4.CompressorHC{Level: lz4.Level9}
	n, err := compressor.CompressBlock(raw, out)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, errors.New("a part of it cannot be compressed")
	}
	return slices.Clip(out[:n]), nil
}
