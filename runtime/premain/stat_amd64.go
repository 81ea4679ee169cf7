// SPDX-License-Identifier: MIT

package premain

// Where the kernel's struct stat has its members, and the flags of open that differ between processors.
const (
	statMode     = 24
	statUID      = 28
	openFolder   = 0x10000 // O_DIRECTORY
	openNoFollow = 0x20000 // O_NOFOLLOW
)
