// SPDX-License-Identifier: MIT

package bundle

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
)

// The parts of ELF64 that a bundle needs (System V ABI, chapters 4 and 5). debug/elf is not used for reading, because it wants a whole and
// harmless file: it cannot tell an incomplete bundle from something else, and allocates from the file's numbers.
const (
	elfHeaderSize   = 64
	programSize     = 56
	sectionSize     = 64
	headPage        = 4096 // desktops look for the mark of a bundle in the first 4096 bytes only
	maxPrograms     = (headPage - elfHeaderSize) / programSize
	maxSections     = 4096
	maxSectionNames = 1 << 20
)

// The mark of our files is an ELF note of owner "Glick", whose type tells what the file is and whose descriptor is the format version and flags.
const noteSize = 28

// fileKind is the type of the note.
type fileKind uint32

const (
	kindBundle fileKind = 1
	kindSlice  fileKind = 2
)

// noteHead returns the mark up to the version.
func noteHead(kind fileKind) []byte {
	return []byte("\x06\x00\x00\x00\x08\x00\x00\x00" + string(rune(kind)) + "\x00\x00\x00Glick\x00\x00\x00")
}

// elfFile is what is found in the ELF file of a bundle or slice.
type elfFile struct {
	kind     fileKind
	arch     string       // empty for a slice
	sections []Section    // those that belong to Glick
	loaded   []elfSection // others that are loaded, which a copy of the file keeps
	noteAddr uint64
}

// archOf names the processor of an ELF machine number as the manifest does.
func archOf(m elf.Machine) (string, bool) {
	switch m {
	case elf.EM_X86_64:
		return "x86_64", true
	case elf.EM_AARCH64:
		return "aarch64", true
	}
	return "", false
}

// readELF checks that r is an ELF file with the mark of a bundle, and finds its sections.
func readELF(r io.ReaderAt, size int64) (*elfFile, error) {
	head := make([]byte, max(0, min(size, headPage)))
	if err := ReadFull(r, head, 0); err != nil {
		return nil, fmt.Errorf("cannot read the file's beginning: %w", err)
	}
	le := binary.LittleEndian
	if len(head) < elfHeaderSize || string(head[:4]) != elf.ELFMAG ||
		head[4] != byte(elf.ELFCLASS64) || head[5] != byte(elf.ELFDATA2LSB) {
		return nil, ErrNotBundle
	}
	kind, version, flags := findNote(head)
	arch, ok := archOf(elf.Machine(le.Uint16(head[18:])))
	if kind == 0 || kind == kindBundle && !ok {
		return nil, ErrNotBundle
	}
	if version != FormatVersion || flags != 0 {
		return nil, fmt.Errorf("format version %d, flags %#x: %w", version, flags, ErrVersion)
	}

	// From here on it is a bundle; what is wrong now is a fault of this one.
	table, count, names := le.Uint64(head[40:]), int64(le.Uint16(head[60:])), int(le.Uint16(head[62:]))
	switch {
	case le.Uint16(head[58:]) != sectionSize || count < 1 || count > maxSections || names >= int(count):
		return nil, fmt.Errorf("its section table is impossible: %w", ErrDamaged)
	case table > uint64(size) || count*sectionSize > size-int64(table):
		return nil, ErrTruncated
	}
	raw := make([]byte, count*sectionSize)
	if err := ReadFull(r, raw, int64(table)); err != nil {
		return nil, fmt.Errorf("cannot read the section table: %w", err)
	}
	off, n, err := sectionRange(raw[names*sectionSize:], size)
	if err != nil {
		return nil, err
	}
	if n > maxSectionNames {
		return nil, fmt.Errorf("its section names have %d bytes: %w", n, ErrDamaged)
	}
	text := make([]byte, n)
	if err := ReadFull(r, text, off); err != nil {
		return nil, fmt.Errorf("cannot read the section names: %w", err)
	}

	file := &elfFile{kind: kind, arch: arch}
	seen := make(map[string]bool)
	for h := raw; len(h) > 0; h = h[sectionSize:] {
		at := le.Uint32(h)
		if at >= uint32(len(text)) {
			return nil, fmt.Errorf("a section has no name: %w", ErrDamaged)
		}
		name, _, ended := bytes.Cut(text[at:], []byte{0})
		if !ended || len(name) > 255 {
			return nil, fmt.Errorf("a section's name has no end: %w", ErrDamaged)
		}
		s := Section{Name: string(name)}
		if !isOurs(s.Name) {
			if flags := elf.SectionFlag(le.Uint64(h[8:])); flags&elf.SHF_ALLOC != 0 {
				file.loaded = append(file.loaded, elfSection{
					name: s.Name, kind: elf.SectionType(le.Uint32(h[4:])), flags: flags, addr: le.Uint64(h[16:]),
					off: int64(le.Uint64(h[24:])), size: int64(le.Uint64(h[32:])), align: le.Uint64(h[48:]), entry: le.Uint64(h[56:]),
				})
			}
			continue
		}
		if s.Name == sectionNote {
			file.noteAddr = le.Uint64(h[16:])
		}
		if seen[s.Name] {
			return nil, fmt.Errorf("it has two sections %s: %w", s.Name, ErrDamaged)
		}
		seen[s.Name] = true
		if elf.SectionType(le.Uint32(h[4:])) == elf.SHT_NOBITS {
			return nil, fmt.Errorf("section %s has no content: %w", s.Name, ErrDamaged)
		}
		if s.Offset, s.Size, err = sectionRange(h, size); err != nil {
			return nil, fmt.Errorf("section %s: %w", s.Name, err)
		}
		if s.Name == sectionNote && s.Size > noteSize {
			return nil, fmt.Errorf("section %s has %d bytes: %w", s.Name, s.Size, ErrDamaged)
		}
		file.sections = append(file.sections, s)
	}
	return file, nil
}

// HeadSize is how many bytes from the beginning of a file tell what it is.
const HeadSize = headPage

// IsSlice says whether a file that begins with these bytes, HeadSize of them if it has so many, is marked as a slice.
func IsSlice(head []byte) bool {
	if len(head) < elfHeaderSize || string(head[:4]) != elf.ELFMAG {
		return false
	}
	kind, _, _ := findNote(head)
	return kind == kindSlice
}

// isOurs says whether a section belongs to Glick by its name.
func isOurs(name string) bool {
	return name == sectionNote || strings.HasPrefix(name, ".glick.") || strings.HasPrefix(name, ".xdg.")
}

// sectionRange returns the place of a section's content, and that it is inside of a file of that size.
func sectionRange(header []byte, size int64) (off, n int64, err error) {
	o, l := binary.LittleEndian.Uint64(header[24:]), binary.LittleEndian.Uint64(header[32:])
	if o > uint64(size) || l > uint64(size)-o {
		return 0, 0, ErrTruncated
	}
	return int64(o), int64(l), nil
}

// findNote looks for the mark in the notes that lie in the first page. The kind is 0 when there is none.
func findNote(head []byte) (kind fileKind, version, flags uint32) {
	le := binary.LittleEndian
	table, count := le.Uint64(head[32:]), int(le.Uint16(head[56:]))
	if table < elfHeaderSize || table > headPage || le.Uint16(head[54:]) != programSize || count > maxPrograms {
		return 0, 0, 0
	}
	for i := range count {
		at := int(table) + i*programSize
		if at+programSize > len(head) {
			break
		}
		p := head[at : at+programSize]
		if elf.ProgType(le.Uint32(p)) != elf.PT_NOTE {
			continue
		}
		off, n := le.Uint64(p[8:]), le.Uint64(p[32:])
		if off < elfHeaderSize || off%4 != 0 || n < noteSize || off > uint64(len(head)) || noteSize > uint64(len(head))-off {
			continue
		}
		note := head[off:]
		for _, kind := range []fileKind{kindBundle, kindSlice} {
			if bytes.HasPrefix(note, noteHead(kind)) {
				return kind, le.Uint32(note[20:]), le.Uint32(note[24:])
			}
		}
	}
	return 0, 0, 0
}
