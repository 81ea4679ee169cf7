// SPDX-License-Identifier: MIT

#include "textflag.h"

TEXT _rt0_glick(SB),NOSPLIT|NOFRAME,$0
	BL	·before(SB)
	B	_rt0_arm64_linux(SB)
