// SPDX-License-Identifier: MIT

#include "textflag.h"

// The kernel enters here with the argument count at 0(SP) and the arguments behind it. The wrapper around the Go function
// loads g through FS, which is zero so early: point it to some memory. The Go runtime sets its own later.
TEXT _rt0_glick(SB),NOSPLIT|NOFRAME,$0
	MOVQ	SP, BX
	SUBQ	$128, SP
	ANDQ	$~15, SP
	MOVQ	BX, 96(SP)
	MOVL	$158, AX		// arch_prctl
	MOVL	$0x1002, DI		// ARCH_SET_FS
	LEAQ	·threadArea+128(SB), SI
	SYSCALL
	MOVQ	96(SP), BX
	MOVQ	BX, 0(SP)
	CALL	·before(SB)
	MOVQ	96(SP), SP
	XORL	DX, DX
	JMP	_rt0_amd64_linux(SB)

// func call(nr, a, b, c, d, e, f uintptr) uintptr
TEXT ·call(SB),NOSPLIT,$0-64
	MOVQ	nr+0(FP), AX
	MOVQ	a+8(FP), DI
	MOVQ	b+16(FP), SI
	MOVQ	c+24(FP), DX
	MOVQ	d+32(FP), R10
	MOVQ	e+40(FP), R8
	MOVQ	f+48(FP), R9
	SYSCALL
	MOVQ	AX, ret+56(FP)
	RET

GLOBL ·threadArea(SB), NOPTR, $256

// func at(p uintptr) uintptr
TEXT ·at(SB),NOSPLIT,$0-16
	MOVQ	p+0(FP), AX
	MOVQ	(AX), AX
	MOVQ	AX, ret+8(FP)
	RET

// func byteAt(p uintptr) byte
TEXT ·byteAt(SB),NOSPLIT,$0-9
	MOVQ	p+0(FP), AX
	MOVB	(AX), AX
	MOVB	AX, ret+8(FP)
	RET

// func put(p, v uintptr)
TEXT ·put(SB),NOSPLIT,$0-16
	MOVQ	p+0(FP), AX
	MOVQ	v+8(FP), BX
	MOVQ	BX, (AX)
	RET

// func pointer(p uintptr) unsafe.Pointer
TEXT ·pointer(SB),NOSPLIT,$0-16
	MOVQ	p+0(FP), AX
	MOVQ	AX, ret+8(FP)
	RET

// func putByte(p uintptr, b byte)
TEXT ·putByte(SB),NOSPLIT,$0-9
	MOVQ	p+0(FP), AX
	MOVB	b+8(FP), BX
	MOVB	BX, (AX)
	RET

// func uint32At(p uintptr) uint32
TEXT ·uint32At(SB),NOSPLIT,$0-12
	MOVQ	p+0(FP), AX
	MOVL	(AX), AX
	MOVL	AX, ret+8(FP)
	RET
