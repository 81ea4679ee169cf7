// SPDX-License-Identifier: MIT

package premain

import "encoding/binary"

// What package stubpack writes into a packed program's table of holes: words of 64 bits, see unpack.
const (
	LayoutSymbol = "glick.org/glick/runtime/premain.layout"
	EntrySymbol  = "_rt0_glick"
	LayoutMagic  = 0x326b63615067676c
	MaxHoles     = 24

	HoleAddr       = 0 // first byte, at the beginning of a page
	HoleSize       = 1 // bytes, whole pages
	HoleProt       = 2 // protection, as mprotect takes it
	HolePacked     = 3 // address of the LZ4 block
	HolePackedSize = 4
	HoleRaw        = 5 // how many bytes the block makes; those behind are zero
	HoleCode       = 6 // 1 when the bytes are x86-64 code that went through EncodeCalls
	HoleWords      = 7
)

// EncodeCalls makes the targets of calls and jumps in x86-64 code absolute, so that equal targets are equal bytes, which makes
// the code compress better. What would lie outside of the code changes places with what is not needed, so that every number
// stands for one other.
func EncodeCalls(code []byte) {
	size := int64(len(code))
	for i := int64(0); i+callSize <= size; i++ {
		if !isCall(code[i]) {
			continue
		}
		field := code[i+1 : i+callSize]
		next, v := i+callSize, int64(int32(binary.LittleEndian.Uint32(field)))
		switch {
		case -next <= v && v < size-next:
			v += next
		case size-next <= v && v < size:
			v -= size
		}
		binary.LittleEndian.PutUint32(field, uint32(v))
		i += callSize - 1
	}
}

const callSize = 5 // an opcode and a displacement of 32 bits

// isCall knows CALL and JMP with 32 bits.
func isCall(opcode byte) bool { return opcode&0xfe == 0xe8 }
