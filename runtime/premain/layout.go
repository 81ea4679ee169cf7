// SPDX-License-Identifier: MIT

package premain

// What package stubpack writes into a packed program's table of holes: words of 64 bits, see unpack.
const (
	LayoutSymbol = "glick.org/glick/runtime/premain.layout"
	EntrySymbol  = "_rt0_glick"
	LayoutMagic  = 0x316b63615067676c
	MaxHoles     = 24

	HoleAddr       = 0 // first byte, at the beginning of a page
	HoleSize       = 1 // bytes, whole pages
	HoleProt       = 2 // protection, as mprotect takes it
	HolePacked     = 3 // address of the LZ4 block
	HolePackedSize = 4
	HoleRaw        = 5 // how many bytes the block makes; those behind are zero
	HoleWords      = 6
)
