// SPDX-License-Identifier: MIT

#include "textflag.h"

// The kernel enters here with the argument count at 0(RSP) and the arguments behind it.
TEXT _rt0_glick(SB),NOSPLIT|NOFRAME,$0
	MOVD	RSP, R19
	SUB	$128, RSP
	MOVD	R19, 96(RSP)
	MOVD	R19, 8(RSP)
	BL	·before(SB)
	MOVD	96(RSP), R19
	MOVD	R19, RSP
	B	_rt0_arm64_linux(SB)

// func call(nr, a, b, c, d, e, f uintptr) uintptr
TEXT ·call(SB),NOSPLIT,$0-64
	MOVD	nr+0(FP), R8
	MOVD	a+8(FP), R0
	MOVD	b+16(FP), R1
	MOVD	c+24(FP), R2
	MOVD	d+32(FP), R3
	MOVD	e+40(FP), R4
	MOVD	f+48(FP), R5
	SVC
	MOVD	R0, ret+56(FP)
	RET

// func at(p uintptr) uintptr
TEXT ·at(SB),NOSPLIT,$0-16
	MOVD	p+0(FP), R0
	MOVD	(R0), R0
	MOVD	R0, ret+8(FP)
	RET

// func byteAt(p uintptr) byte
TEXT ·byteAt(SB),NOSPLIT,$0-9
	MOVD	p+0(FP), R0
	MOVBU	(R0), R0
	MOVB	R0, ret+8(FP)
	RET

// func put(p, v uintptr)
TEXT ·put(SB),NOSPLIT,$0-16
	MOVD	p+0(FP), R0
	MOVD	v+8(FP), R1
	MOVD	R1, (R0)
	RET

// func pointer(p uintptr) unsafe.Pointer
TEXT ·pointer(SB),NOSPLIT,$0-16
	MOVD	p+0(FP), R0
	MOVD	R0, ret+8(FP)
	RET

// func putByte(p uintptr, b byte)
TEXT ·putByte(SB),NOSPLIT,$0-9
	MOVD	p+0(FP), R0
	MOVBU	b+8(FP), R1
	MOVB	R1, (R0)
	RET

// func uint32At(p uintptr) uint32
TEXT ·uint32At(SB),NOSPLIT,$0-12
	MOVD	p+0(FP), R0
	MOVWU	(R0), R0
	MOVW	R0, ret+8(FP)
	RET
