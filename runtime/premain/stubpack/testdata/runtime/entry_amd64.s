// SPDX-License-Identifier: MIT

#include "textflag.h"

TEXT _rt0_glick(SB),NOSPLIT|NOFRAME,$0
	CALL	·before(SB)
	JMP	_rt0_amd64_linux(SB)
