// SPDX-License-Identifier: MIT

// Package premain executes a prepared list of system calls before the Go runtime starts.
//
// A process with several threads may not enter a new user namespace, and a Go program has several threads as soon as it
// runs. Whoever wants to keep the process id, and no wrapper process, must therefore do the work before the runtime starts
// its threads. So the program is linked with
//
//	-ldflags '-E _rt0_glick'
//
// and the kernel begins with this package's entry point. It looks at the arguments: when the first one is [PlanMarker], the
// second one is the number of a file descriptor with an [Image], and its system calls are made one after the other, the last
// one being an execve. In all other cases the Go runtime starts as usual.
//
// Before that there is a fast way: a program that is to start a bundle asks the session service for an image, and carries that
// out, when everything is as usual. Then no Go runtime starts at all. And in a packed program (package stubpack) what the Go
// runtime needs is unpacked first.
//
// Nothing in here decides what is done: the image comes from the same program's earlier life as a normal Go program, or from the
// service, which has a memory allocator, errors and a voice. When a call fails, the executor notes which one and why in the
// image, and executes the program again with [FailedMarker], so that Go code can explain it: see [ReadFailure].
//
// The code that runs before the runtime may not use the heap, the stack's growth, maps, interfaces, write barriers or the
// scheduler: it is nosplit code on plain integers.
package premain
