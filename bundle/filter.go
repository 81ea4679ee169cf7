// SPDX-License-Identifier: MIT

package bundle

import (
	"debug/elf"
	"encoding/binary"
)

// A filter changes the bytes of a chunk so that they compress better, and back. The digest of a chunk is that of the bytes as they are in the file.
const (
	filterNone = 0
	filterX86  = 1 // addresses in code for x86-64
	lastFilter = filterX86
)

// filterX86Code turns the distances in instructions into places: the same function is then called with the same bytes from everywhere, and
// compression finds them. doc/format.md says which instructions. It is the idea of the BCJ filters of 7-Zip and xz, extended to data that is addressed
// relative to the instruction.
func filterX86Code(p []byte) { eachDistance(p, toPlace) }

// unfilterX86Code undoes filterX86Code. It finds the same instructions, because nothing is changed that it looks at.
func unfilterX86Code(p []byte) { eachDistance(p, toDistance) }

// toPlace takes a distance, little endian, from the end of an instruction, and leaves a place, big endian: bytes that are the same come first.
func toPlace(field []byte, end uint32) {
	v := binary.LittleEndian.Uint32(field)
	if near(v) {
		v = signed25(v + end)
	}
	binary.BigEndian.PutUint32(field, v)
}

func toDistance(field []byte, end uint32) {
	v := binary.BigEndian.Uint32(field)
	if near(v) {
		v = signed25(v - end)
	}
	binary.LittleEndian.PutUint32(field, v)
}

// near tells numbers of 25 bits with a sign, as distances within a program are, from others.
func near(v uint32) bool { return v>>24 == 0 || v>>24 == 0xff }

// signed25 makes the lowest 25 bits a number with a sign; so near numbers stay near whatever is added to them.
func signed25(v uint32) uint32 { return uint32(int32(v<<7) >> 7) }

// begins has the bytes with which an instruction may begin that has a distance, and relative those that may follow a REX prefix.
var begins, relative [256]bool

func init() {
	for _, b := range []byte{0xe8, 0xe9, 0x0f, 0xff} {
		begins[b] = true
	}
	for b := 0x40; b < 0x50; b++ {
		begins[b] = true
	}
	for _, b := range []byte{0x03, 0x39, 0x3b, 0x89, 0x8b, 0x8d} {
		relative[b] = true
	}
}

// eachDistance calls change for each distance in code, with the place of the instruction's end.
func eachDistance(p []byte, change func(field []byte, end uint32)) {
	for i := 0; i+7 <= len(p); {
		b := p[i]
		if !begins[b] {
			i++
			continue
		}
		at := 0
		switch next := p[i+1]; {
		case b&0xfe == 0xe8: // call, jmp
			at = 1
		case b == 0x0f:
			if next&0xf0 == 0x80 { // jumps on conditions
				at = 2
			}
		case b == 0xff:
			if next == 0x15 || next == 0x25 || next == 0x35 { // call, jmp and push of what is addressed
				at = 2
			}
		case relative[next] && p[i+2]&0xc7 == 5: // REX; add, cmp, mov, lea with an address relative to the instruction
			at = 3
		}
		if at == 0 {
			i++
			continue
		}
		i += at + 4
		change(p[i-4:i], uint32(i))
	}
}

// codeRanges returns where code lies in an ELF program for x86-64, as offsets and ends in the file; nothing for others. It is only asked by the
// writer, for whom a wrong answer costs a few bytes.
func codeRanges(head []byte) [][2]uint64 {
	le := binary.LittleEndian
	if arch, err := elfArch(head); err != nil || arch != "x86_64" {
		return nil
	}
	table, count := le.Uint64(head[32:]), int(le.Uint16(head[56:]))
	if le.Uint16(head[54:]) != programSize || table > uint64(len(head)) {
		return nil
	}
	var list [][2]uint64
	for p := head[table:]; len(p) >= programSize && count > 0; p, count = p[programSize:], count-1 {
		off, n := le.Uint64(p[8:]), le.Uint64(p[32:])
		if elf.ProgType(le.Uint32(p)) == elf.PT_LOAD && elf.ProgFlag(le.Uint32(p[4:]))&elf.PF_X != 0 && off+n >= off {
			list = append(list, [2]uint64{off, off + n})
		}
	}
	return list
}
