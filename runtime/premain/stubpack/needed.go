// SPDX-License-Identifier: MIT

package stubpack

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"strings"

	"golang.org/x/arch/x86/x86asm"

	"glick.org/glick/runtime/premain"
)

// needed finds the pages with the code that runs before the Go runtime, and with all that it mentions.
func (p *program) needed() (map[uint64]bool, error) {
	stay := make(map[uint64]bool)
	keep := func(addr, size uint64) {
		for page := addr &^ (p.page - 1); page < addr+size; page += p.page {
			stay[page] = true
		}
	}
	entry, ok := p.symbol(premain.EntrySymbol)
	if !ok || entry.Value != p.file.Entry {
		return nil, fmt.Errorf("it does not begin at %s", premain.EntrySymbol)
	}
	seen := map[uint64]bool{entry.Value: true}
	for todo := []elf.Symbol{entry}; len(todo) > 0; todo = todo[1:] {
		f := todo[0]
		keep(f.Value, f.Size)
		mentioned, err := p.mentioned(f)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		for _, addr := range mentioned {
			if p.segmentAt(addr) == nil {
				continue // a number that is no address
			}
			s, ok := p.at(addr)
			if !ok {
				return nil, fmt.Errorf("%s mentions the address %#x, where nothing has a name", f.Name, addr)
			}
			if seen[s.Value] || s.Value == f.Value {
				continue
			}
			seen[s.Value] = true
			switch {
			case elf.ST_TYPE(s.Info) != elf.STT_FUNC:
				keep(s.Value, s.Size)
			case strings.HasPrefix(s.Name, "_rt0_") && f.Name == entry.Name:
				// Here the Go runtime begins, and everything is in its place.
			case strings.HasPrefix(s.Name, "runtime."):
				return nil, fmt.Errorf("%s needs %s before there is a Go runtime", f.Name, s.Name)
			default:
				todo = append(todo, s)
			}
		}
	}
	return stay, nil
}

// mentioned lists the addresses in a function's code.
func (p *program) mentioned(f elf.Symbol) ([]uint64, error) {
	seg := p.segmentAt(f.Value)
	if seg == nil || seg.flags&elf.PF_X == 0 {
		return nil, fmt.Errorf("its code is not in an executable segment")
	}
	code := seg.bytes(f.Value, f.Size)
	if p.machine == elf.EM_AARCH64 {
		return mentionedARM(code, f.Value), nil
	}
	return mentionedX86(code, f.Value)
}

func mentionedX86(code []byte, addr uint64) ([]uint64, error) {
	var list []uint64
	for at := 0; at < len(code); {
		i, err := x86asm.Decode(code[at:], 64)
		if err != nil {
			return nil, fmt.Errorf("its code at %#x cannot be read: %w", addr+uint64(at), err)
		}
		at += i.Len
		next := addr + uint64(at)
		for _, arg := range i.Args {
			switch a := arg.(type) {
			case x86asm.Rel:
				list = append(list, next+uint64(int64(a)))
			case x86asm.Mem:
				// The compiler and the assembler name every address in this way, also where they have the choice.
				if a.Base == x86asm.RIP {
					list = append(list, next+uint64(a.Disp))
				}
			}
		}
	}
	return list, nil
}

// mentionedARM knows the few instructions by which AArch64 code can name an address.
func mentionedARM(code []byte, addr uint64) []uint64 {
	var list []uint64
	var pages [32]uint64 // what ADRP has put into each register
	for at := 0; at+4 <= len(code); at += 4 {
		w, pc := binary.LittleEndian.Uint32(code[at:]), addr+uint64(at)
		base := w >> 5 & 31
		switch {
		case w&0x7c000000 == 0x14000000: // B, BL
			list = append(list, pc+uint64(int64(int32(w<<6))>>4))
		case w&0x9f000000 == 0x90000000: // ADRP
			imm := int64(int32(w<<8))>>13<<2 | int64(w>>29&3)
			pages[w&31] = pc&^0xfff + uint64(imm<<12)
		case w&0x9f000000 == 0x10000000: // ADR
			imm := int64(int32(w<<8))>>13<<2 | int64(w>>29&3)
			list = append(list, pc+uint64(imm))
		case w&0xffc00000 == 0x91000000: // ADD of an immediate
			if pages[base] != 0 {
				list = append(list, pages[base]+uint64(w>>10&0xfff))
			}
		case w&0x3b000000 == 0x39000000: // loads and stores with an unsigned offset
			if pages[base] != 0 {
				size := w >> 30
				if w&0x04800000 == 0x04800000 {
					size = 4
				}
				list = append(list, pages[base]+uint64(w>>10&0xfff)<<size)
			}
		}
	}
	return list
}
