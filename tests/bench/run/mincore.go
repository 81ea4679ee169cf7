// SPDX-License-Identifier: MIT

package main

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mincore says of each page of a mapping whether it is in memory, in the lowest bit of a byte: mincore(2). The kernel answers only those
// who own the file or could write to it.
func mincore(mapping, in []byte) error {
	if _, _, e := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&mapping[0])), uintptr(len(mapping)), uintptr(unsafe.Pointer(&in[0]))); e != 0 {
		return os.NewSyscallError("mincore", e)
	}
	return nil
}
