// SPDX-License-Identifier: MIT

package foreign

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	"glick.org/glick/bundle"
)

// The parts of ELF (System V ABI, chapters 4 and 5) that are needed here, for 32 and 64 bits and both byte orders: the first bundles are from
// 2007. debug/elf allocates from the file's numbers, and wants more of a file than we need.
const (
	elfMagic    = "\x7fELF"
	elfHeader32 = 52
	elfHeader64 = 64
	nobits      = 8 // type of a section without content

	maxSections = 4096
	maxPrograms = 1024
	maxNames    = 1 << 20
)

// elfLayout is where the fields are that differ between the classes.
type elfLayout struct {
	header, section, program   int
	programs, sections, counts int // in the header: offsets of the tables, and where the sizes begin with that of a program header
	sectionOff, sectionSize    int
	programOff, programSize    int
	wide                       bool
}

var (
	elf32 = elfLayout{header: 52, section: 40, program: 32, programs: 28, sections: 32, counts: 42,
		sectionOff: 16, sectionSize: 20, programOff: 4, programSize: 16}
	elf64 = elfLayout{header: 64, section: 64, program: 56, programs: 32, sections: 40, counts: 54,
		sectionOff: 24, sectionSize: 32, programOff: 8, programSize: 32, wide: true}
)

// elfFile is what is found in an ELF file.
type elfFile struct {
	arch     string
	sections []elfSection // those with content
	ends     []int64      // where the file may end, the best guess first; they can lie outside of what is there
}

type elfSection struct {
	name      string
	off, size int64
}

// order returns the byte order and layout that an ELF header says; false when it says none.
func order(head []byte) (binary.ByteOrder, *elfLayout, bool) {
	l := &elf32
	switch {
	case len(head) < elfHeader32 || string(head[:4]) != elfMagic:
		return nil, nil, false
	case head[4] == 2:
		l = &elf64
	case head[4] != 1:
		return nil, nil, false
	}
	switch {
	case len(head) < l.header:
	case head[5] == 1:
		return binary.LittleEndian, l, true
	case head[5] == 2:
		return binary.BigEndian, l, true
	}
	return nil, nil, false
}

// archOf returns the name of the processor for which an ELF file is, by its first 20 bytes or more; "" when it is not one that we name.
func archOf(head []byte) string {
	if len(head) < 20 || string(head[:4]) != elfMagic || head[5] != 1 {
		return ""
	}
	switch binary.LittleEndian.Uint16(head[18:]) {
	case 3:
		return "i686"
	case 40:
		return "arm"
	case 62:
		return "x86_64"
	case 183:
		return "aarch64"
	}
	return ""
}

// readELF reads the section table of a file that begins with head, its first 64 bytes.
func readELF(r io.ReaderAt, size int64, head []byte) (*elfFile, error) {
	bo, l, ok := order(head)
	if !ok {
		return nil, fmt.Errorf("its ELF header is impossible: %w", bundle.ErrDamaged)
	}
	word := func(p []byte) uint64 {
		if l.wide {
			return bo.Uint64(p)
		}
		return uint64(bo.Uint32(p))
	}
	count := func(i int) int { return int(bo.Uint16(head[l.counts+2*i:])) }
	programSize, programs, sectionSize, sections, names := count(0), count(1), count(2), count(3), count(4)
	if programs > maxPrograms || sections > maxSections || programs > 0 && programSize != l.program || sections > 0 && sectionSize != l.section {
		return nil, fmt.Errorf("its ELF tables are impossible: %w", bundle.ErrDamaged)
	}
	table := func(off uint64, n int) ([]byte, error) {
		if n > 0 && (off > uint64(size) || uint64(n) > uint64(size)-off) {
			return nil, fmt.Errorf("its ELF tables are beyond the end of the file: %w", bundle.ErrTruncated)
		}
		raw := make([]byte, n)
		return raw, bundle.ReadFull(r, raw, int64(off))
	}
	e := &elfFile{arch: archOf(head)}

	at := word(head[l.sections:])
	raw, err := table(at, sections*l.section)
	if err != nil {
		return nil, err
	}
	end := func(off, n uint64) int64 { return int64(min(off, 1<<62) + min(n, 1<<62-1)) }
	tableEnd := end(at, uint64(len(raw)))
	if sections == 0 {
		tableEnd = int64(l.header)
	}
	last, most := int64(0), tableEnd
	for h := raw; len(h) > 0; h = h[l.section:] {
		off, n := word(h[l.sectionOff:]), word(h[l.sectionSize:])
		last = end(off, n)
		if bo.Uint32(h[4:]) != nobits {
			most = max(most, last)
		}
	}
	var text []byte
	if names < sections {
		h := raw[names*l.section:]
		off, n := word(h[l.sectionOff:]), word(h[l.sectionSize:])
		if bo.Uint32(h[4:]) != nobits && n <= maxNames {
			if text, err = table(off, int(n)); err != nil {
				return nil, err
			}
		}
	}
	for h := raw; len(h) > 0; h = h[l.section:] {
		at := uint64(bo.Uint32(h))
		if at >= uint64(len(text)) || bo.Uint32(h[4:]) == nobits {
			continue
		}
		// The names that are looked for are short, and nothing else may be long because it comes from nowhere.
		name, _, ended := bytes.Cut(text[at:min(at+256, uint64(len(text)))], []byte{0})
		off, n := word(h[l.sectionOff:]), word(h[l.sectionSize:])
		if ended && off < 1<<62 && n < 1<<62 {
			e.sections = append(e.sections, elfSection{string(name), int64(off), int64(n)})
		}
	}

	if raw, err = table(word(head[l.programs:]), programs*l.program); err != nil {
		return nil, err
	}
	for h := raw; len(h) > 0; h = h[l.program:] {
		most = max(most, end(word(h[l.programOff:]), word(h[l.programSize:])))
	}
	// The first is the rule by which the runtimes of AppImages find their own image.
	e.ends = []int64{max(tableEnd, last), tableEnd, most}
	return e, nil
}

// section returns the first section of that name that has content, or nil.
func (e *elfFile) section(name string) *elfSection {
	for i := range e.sections {
		if e.sections[i].name == name {
			return &e.sections[i]
		}
	}
	return nil
}

// inside checks that the section lies within a file of that size.
func (s *elfSection) inside(size int64) error {
	if s.off > size || s.size > size-s.off {
		return fmt.Errorf("section %s is beyond the end of the file: %w", s.name, bundle.ErrTruncated)
	}
	return nil
}

// read returns a section's bytes; nil when there is none, or none that is of any use.
func (e *elfFile) read(r io.ReaderAt, size int64, name string, limit int64) ([]byte, error) {
	s := e.section(name)
	if s == nil || s.size > limit {
		return nil, nil
	}
	if err := s.inside(size); err != nil {
		return nil, err
	}
	data := make([]byte, s.size)
	if err := bundle.ReadFull(r, data, s.off); err != nil {
		return nil, fmt.Errorf("cannot read section %s: %w", name, err)
	}
	return data, nil
}
