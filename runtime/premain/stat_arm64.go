// SPDX-License-Identifier: MIT

package premain

// Where the kernel's struct stat has its members, and the flags of open that differ between processors.
const (
	statMode     = 16
	statUID      = 24
	openFolder   = 0x4000 // O_DIRECTORY
	openNoFollow = 0x8000 // O_NOFOLLOW
)
