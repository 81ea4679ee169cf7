// SPDX-License-Identifier: MIT

package bundle

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
)

// stubImage is a stub program made ready to be the beginning of a bundle.
type stubImage struct {
	arch     string
	image    []byte // with the mark, without a section table
	whole    bool   // the image is all that comes before the data, as the digest of an existing file covers it
	noteOff  int
	noteAddr uint64
	sections []elfSection // the stub's own that are loaded, so that tools which rewrite the file keep them
}

// elfSection is a section header to be written.
type elfSection struct {
	name               string
	kind               elf.SectionType
	flags              elf.SectionFlag
	addr               uint64
	off, size          int64
	align, entry       uint64
	nameAt, link, info uint32
}

// prepareStub puts the mark of a bundle into a copy of a program. The mark must lie in the first page, where a program has between its
// headers and its code only its section table, which is of no use any more, and zeros.
func prepareStub(stub []byte) (*stubImage, error) {
	arch, err := elfArch(stub)
	if err != nil {
		return nil, err
	}
	file, err := elf.NewFile(bytes.NewReader(stub))
	if err != nil {
		return nil, fmt.Errorf("it is not a sound ELF program: %w", err)
	}
	if file.Type != elf.ET_EXEC && file.Type != elf.ET_DYN {
		return nil, errors.New("it is not an ELF program")
	}
	s := &stubImage{arch: arch, image: bytes.Clone(stub)}
	img, le := s.image, binary.LittleEndian
	if le.Uint64(img[32:]) != elfHeaderSize || le.Uint16(img[54:]) != programSize {
		return nil, errors.New("its program headers are not where they must be")
	}
	s.keepSections(file)
	// elf.NewFile has found the table inside of the file.
	if old := le.Uint64(img[40:]); old >= elfHeaderSize {
		clear(img[old:][:uint64(le.Uint16(img[60:]))*sectionSize])
	}
	clear(img[40:48]) // place of the section table
	clear(img[58:64]) // size and number of section headers, which one has the names

	count := int(le.Uint16(img[56:]))
	end := elfHeaderSize + count*programSize
	program := -1
	for i, p := range file.Progs {
		if p.Type == elf.PT_NOTE {
			program = i
			break
		}
	}
	if program < 0 {
		// One more program header, where there is room.
		if end+programSize > len(img) || !allZero(img[end:end+programSize]) {
			return nil, errors.New("it has no room for another program header")
		}
		program, count, end = count, count+1, end+programSize
		le.PutUint16(img[56:], uint16(count))
		for i, p := range file.Progs {
			if p.Type == elf.PT_PHDR {
				h := img[elfHeaderSize+i*programSize:]
				le.PutUint64(h[32:], uint64(count*programSize))
				le.PutUint64(h[40:], uint64(count*programSize))
			}
		}
	}
	s.noteOff = (end + 3) &^ 3
	// What is loaded there must not be needed by the program: neither bytes other than zero, nor a section.
	if s.noteOff+noteSize > min(headPage, len(img)) || !allZero(img[s.noteOff:s.noteOff+noteSize]) {
		return nil, errors.New("it has no room for the mark of a bundle in its first 4096 bytes")
	}
	for _, sec := range s.sections {
		if sec.kind != elf.SHT_NOBITS && sec.size > 0 && sec.off < int64(s.noteOff+noteSize) && sec.off+sec.size > int64(s.noteOff) {
			return nil, fmt.Errorf("its section %s is where the mark of a bundle must be", sec.name)
		}
	}
	for _, p := range file.Progs {
		if p.Type == elf.PT_LOAD && p.Off <= uint64(s.noteOff) && p.Off+p.Filesz >= uint64(s.noteOff+noteSize) {
			s.noteAddr = p.Vaddr + uint64(s.noteOff) - p.Off
		}
	}
	s.mark(kindBundle, program)
	return s, nil
}

// sliceHead is what a slice file begins with instead of a stub: an ELF header, and one program header that leads to the mark.
func sliceHead() *stubImage {
	s := &stubImage{image: make([]byte, headPage), noteOff: elfHeaderSize + programSize}
	h, le := s.image, binary.LittleEndian
	copy(h, elf.ELFMAG)
	h[4], h[5], h[6] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)
	le.PutUint16(h[16:], uint16(elf.ET_REL)) // nothing to execute
	le.PutUint16(h[18:], uint16(elf.EM_NONE))
	le.PutUint32(h[20:], uint32(elf.EV_CURRENT))
	le.PutUint64(h[32:], elfHeaderSize)
	le.PutUint16(h[52:], elfHeaderSize)
	le.PutUint16(h[54:], programSize)
	le.PutUint16(h[56:], 1)
	s.mark(kindSlice, 0)
	return s
}

// keepSections takes over the headers of the program's own sections that are loaded.
func (s *stubImage) keepSections(file *elf.File) {
	for _, sec := range file.Sections {
		if sec.Flags&elf.SHF_ALLOC == 0 || isOurs(sec.Name) {
			continue
		}
		h := elfSection{
			name: sec.Name, kind: sec.Type, flags: sec.Flags, addr: sec.Addr, off: int64(sec.Offset), size: int64(sec.FileSize),
			align: sec.Addralign, entry: sec.Entsize,
		}
		if sec.Type == elf.SHT_NOBITS {
			h.size = int64(sec.Size)
		}
		s.sections = append(s.sections, h)
	}
}

// mark writes the mark and makes a program header lead to it.
func (s *stubImage) mark(kind fileKind, program int) {
	le := binary.LittleEndian
	note := s.image[s.noteOff:]
	copy(note, noteHead(kind))
	le.PutUint32(note[20:], FormatVersion)
	le.PutUint32(note[24:], 0)
	h := s.image[elfHeaderSize+program*programSize:][:programSize]
	le.PutUint32(h, uint32(elf.PT_NOTE))
	le.PutUint32(h[4:], uint32(elf.PF_R))
	le.PutUint64(h[8:], uint64(s.noteOff))
	le.PutUint64(h[16:], s.noteAddr)
	le.PutUint64(h[24:], s.noteAddr)
	le.PutUint64(h[32:], noteSize)
	le.PutUint64(h[40:], noteSize)
	le.PutUint64(h[48:], 4)
}

func allZero(p []byte) bool {
	// Comparing the bytes to themselves one further is as fast as memory.
	return len(p) == 0 || p[0] == 0 && bytes.Equal(p[1:], p[:len(p)-1])
}

// sectionTable collects the section headers of a bundle.
type sectionTable struct {
	stub     *stubImage
	payload  []elfSection
	sections []elfSection // all, made by names
}

// add puts a section of the payload at the end; .shstrtab comes after names was called.
func (t *sectionTable) add(name string, off, size int64) {
	s := elfSection{name: name, kind: elf.SHT_PROGBITS, off: off, size: size, align: 1}
	if t.sections == nil {
		t.payload = append(t.payload, s)
		return
	}
	last := &t.sections[len(t.sections)-1]
	last.off, last.size = off, size
}

// names fixes the order of the sections and returns the content of .shstrtab.
func (t *sectionTable) names() []byte {
	t.sections = append(t.sections, elfSection{})
	note := elfSection{name: sectionNote, kind: elf.SHT_NOTE, addr: t.stub.noteAddr, off: int64(t.stub.noteOff), size: noteSize, align: 4}
	if note.addr != 0 {
		note.flags = elf.SHF_ALLOC
	}
	t.sections = append(t.sections, note)
	t.sections = append(t.sections, t.stub.sections...)
	t.sections = append(t.sections, t.payload...)
	t.sections = append(t.sections, elfSection{name: ".shstrtab", kind: elf.SHT_STRTAB, align: 1})
	text := []byte{0}
	for i := range t.sections {
		if s := &t.sections[i]; s.name != "" {
			s.nameAt = uint32(len(text))
			text = append(append(text, s.name...), 0)
		}
	}
	return text
}

// header returns the beginning of the file with the place of the section table in it.
func (t *sectionTable) header(place int64) []byte {
	h, le := bytes.Clone(t.stub.image[:elfHeaderSize]), binary.LittleEndian
	le.PutUint64(h[40:], uint64(place))
	le.PutUint16(h[58:], sectionSize)
	le.PutUint16(h[60:], uint16(len(t.sections)))
	le.PutUint16(h[62:], uint16(len(t.sections)-1))
	return h
}

func (t *sectionTable) bytes() []byte {
	out, le := make([]byte, 0, len(t.sections)*sectionSize), binary.LittleEndian
	for _, s := range t.sections {
		out = le.AppendUint32(out, s.nameAt)
		out = le.AppendUint32(out, uint32(s.kind))
		out = le.AppendUint64(out, uint64(s.flags))
		out = le.AppendUint64(out, s.addr)
		out = le.AppendUint64(out, uint64(s.off))
		out = le.AppendUint64(out, uint64(s.size))
		out = le.AppendUint32(out, s.link)
		out = le.AppendUint32(out, s.info)
		out = le.AppendUint64(out, s.align)
		out = le.AppendUint64(out, s.entry)
	}
	return out
}
