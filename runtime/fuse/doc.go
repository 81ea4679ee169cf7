// SPDX-License-Identifier: MIT

// Package fuse serves file systems whose content never changes to the Linux kernel, over /dev/fuse.
//
// It speaks protocol 7.31 (Linux 5.2) and later, see <linux/fuse.h>. What the kernel could ask for and the answer never
// depends on a file, this package answers itself: files and folders are not opened, nothing is written, there are no extended
// attributes and no locks. The kernel remembers most of these answers and does not ask again.
//
// A descriptor of /dev/fuse outlives the process that serves it as long as another process has a copy. Then a successor
// can take over the mount with [Resume]: all that it needs is the descriptor and the [Server.State] of its predecessor.
// Requests that the predecessor had taken and not answered are delivered again, and nobody who uses the files notices.
// For this to work node ids must be the same in both processes.
//
// How a file system gets mounted is in package mount, or somebody else's work: only the descriptor counts.
package fuse
