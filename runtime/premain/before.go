// SPDX-License-Identifier: MIT

//go:build linux && (amd64 || arm64)

package premain

import (
	"syscall"
	"unsafe"
)

// call makes a system call. It returns what the kernel returns: a negative errno in the last page of values.
//
//go:noescape
func call(nr, a, b, c, d, e, f uintptr) uintptr

// at, byteAt and put read and write memory that Go knows nothing of: the initial stack and the image.
//
//go:noescape
func at(p uintptr) uintptr

//go:noescape
func byteAt(p uintptr) byte

//go:noescape
func put(p, v uintptr)

//go:noescape
func putByte(p uintptr, b byte)

//go:noescape
func uint32At(p uintptr) uint32

const (
	fcntlSetFD  = 2
	closeOnExec = 1
	atCWD       = ^uintptr(99) // AT_FDCWD, -100
	openWrite   = 1 | 0x80000  // O_WRONLY|O_CLOEXEC
	sigIgnore   = 1
	sigSetSize  = 8
	lastErrno   = 4095
)

// All of these are plain memory: what runs before the runtime must not need a pointer map.
var (
	planMarker   = [...]byte{'g', 'l', 'i', 'c', 'k', ':', 'p', 'l', 'a', 'n', 0}
	failedMarker = [...]byte{'g', 'l', 'i', 'c', 'k', ':', 'f', 'a', 'i', 'l', 'e', 'd', 0}
	spawnMarker  = [...]byte{'g', 'l', 'i', 'c', 'k', ':', 's', 'p', 'a', 'w', 'n', 0}
	serveMarker  = [...]byte{'g', 'l', 'i', 'c', 'k', ':', 's', 'e', 'r', 'v', 'e', 0}
	selfExe      = [...]byte{'/', 'p', 'r', 'o', 'c', '/', 's', 'e', 'l', 'f', '/', 'e', 'x', 'e', 0}
	lastWords    = [...]byte{'g', 'l', 'i', 'c', 'k', ':', ' ', 'c', 'a', 'n', 'n', 'o', 't', ' ', 's', 't', 'a', 'r', 't', ' ', 't', 'h', 'e', ' ',
		'p', 'r', 'o', 'g', 'r', 'a', 'm', ',', ' ', 'a', 'n', 'd', ' ', '/', 'p', 'r', 'o', 'c', ' ', 'i', 's', ' ', 'n', 'o', 't', ' ', 't', 'h', 'e', 'r', 'e', '\n'}

	head       [headSize / 8]uint64
	outcome    [2]uint64
	failedArgv [3]uintptr
	sigState   [4]uint64

	ignoredSignals uint64
	blockedSignals uint64
	entered        bool
)

//go:nosplit
func failed(r uintptr) bool { return r > ^uintptr(lastErrno) }

// before runs on the kernel's initial stack, before there is any Go. sp is where the kernel left the argument count.
//
//go:nosplit
func before(sp uintptr) {
	argc := at(sp)
	argv := sp + 8
	switch {
	case argc >= 2 && sameString(at(argv), uintptr(unsafe.Pointer(&planMarker[0]))):
		execute(number(at(argv+8)), at(argv+8), argv+(argc+1)*8)
	case argc == 2 && sameString(at(argv), uintptr(unsafe.Pointer(&spawnMarker[0]))):
		spawn(argv, argv+(argc+1)*8)
	default:
		fast(argc, argv, argv+(argc+1)*8)
		if planSize != 0 {
			obey(argc, argv, argv+(argc+1)*8)
		}
		endFast()
	}
	rememberSignals()
	unpack()
	entered = true
}

// spawn starts this program anew as a file service, which becomes nobody's child because this process ends at once. It returns only when that could
// not be done; Go code does the same then, or says why not.
//
//go:nosplit
func spawn(argv, envp uintptr) {
	const sigChild = 17
	child := call(syscall.SYS_CLONE, sigChild, 0, 0, 0, 0, 0)
	if failed(child) {
		return
	}
	if child == 0 {
		call(syscall.SYS_SETSID, 0, 0, 0, 0, 0, 0)
		put(argv, uintptr(unsafe.Pointer(&serveMarker[0])))
		call(syscall.SYS_EXECVE, uintptr(unsafe.Pointer(&selfExe[0])), argv, envp, 0, 0, 0)
		// Its caller sees the end of the socket.
		child = 125
	} else {
		child = 0
	}
	for {
		call(syscall.SYS_EXIT_GROUP, child, 0, 0, 0, 0, 0)
	}
}

// rememberSignals notes what the Go runtime is about to change: it handles signals that the caller had ignored.
//
//go:nosplit
func rememberSignals() {
	for n := uintptr(1); n <= 64; n++ {
		sigState[0] = 0
		r := call(syscall.SYS_RT_SIGACTION, n, 0, uintptr(unsafe.Pointer(&sigState[0])), sigSetSize, 0, 0)
		if !failed(r) && sigState[0] == sigIgnore {
			ignoredSignals |= 1 << (n - 1)
		}
	}
	call(syscall.SYS_RT_SIGPROCMASK, 0, 0, uintptr(unsafe.Pointer(&blockedSignals)), sigSetSize, 0, 0)
}

//go:nosplit
func sameString(a, b uintptr) bool {
	for {
		x, y := byteAt(a), byteAt(b)
		if x != y {
			return false
		}
		if x == 0 {
			return true
		}
		a++
		b++
	}
}

// number reads decimal digits; what is none gives a file descriptor that does not exist.
//
//go:nosplit
func number(s uintptr) uintptr {
	n := uintptr(0)
	for i := uintptr(0); i < 10; i++ {
		c := byteAt(s + i)
		if c == 0 && i > 0 {
			return n
		}
		if c < '0' || c > '9' {
			break
		}
		n = n*10 + uintptr(c-'0')
	}
	return 1 << 30
}

// execute maps the image in fd and makes its calls. It returns only when there is no usable image.
//
//go:nosplit
func execute(fd, fdText, envp uintptr) {
	r := call(syscall.SYS_PREAD64, fd, uintptr(unsafe.Pointer(&head[0])), headSize, 0, 0, 0)
	size := uintptr(head[headTotal])
	if r != headSize || head[headMagic] != magic || size < headSize || size > maxImage {
		return
	}
	const readWrite, private = 3, 2
	base := call(syscall.SYS_MMAP, 0, size, readWrite, private, fd, 0)
	if failed(base) {
		return
	}
	call(syscall.SYS_FCNTL, fd, fcntlSetFD, closeOnExec, 0, 0, 0)
	if !relocate(base, size) {
		return
	}
	ops, nops := base+at(base+headOps*8), at(base+headOpCount*8)
	for i := uintptr(0); i < nops; i++ {
		if errno := do(ops + i*opSize); errno != 0 {
			giveUp(fd, fdText, envp, i, errno)
		}
	}
	giveUp(fd, fdText, envp, nops, uintptr(syscall.ENOEXEC))
}

// relocate makes offsets in an image of so many bytes pointers. It returns false when the image is not sound.
//
//go:nosplit
func relocate(base, size uintptr) bool {
	relocs, nrelocs := at(base+headRelocs*8), at(base+headRelocCount*8)
	ops, nops := at(base+headOps*8), at(base+headOpCount*8)
	if relocs > size || nrelocs > (size-relocs)/8 || ops > size || nops > (size-ops)/opSize {
		return false
	}
	for i := uintptr(0); i < nrelocs; i++ {
		where := at(base + relocs + i*8)
		if where > size-8 {
			return false
		}
		put(base+where, at(base+where)+base)
	}
	return true
}

// do carries out one operation, and returns the error's number, or 0.
//
//go:nosplit
func do(op uintptr) uintptr {
	r := step(op)
	errno := uintptr(0)
	switch {
	case failed(r):
		errno = -r
	case r < at(op+opLeast):
		errno = uintptr(syscall.ECONNRESET)
	}
	if at(op+opFlags)&flagOptional != 0 {
		return 0
	}
	return errno
}

// step makes one operation's calls.
//
//go:nosplit
func step(op uintptr) uintptr {
	a, b, c, d := at(op+opArgs), at(op+opArgs+8), at(op+opArgs+16), at(op+opArgs+24)
	switch at(op + opKind) {
	case kindOpen:
		// The file gets a number that the image's other operations know.
		r := call(syscall.SYS_OPENAT, atCWD, a, b, c, 0, 0)
		if failed(r) {
			return r
		}
		if d == noFD {
			call(syscall.SYS_CLOSE, r, 0, 0, 0, 0, 0)
			return 0
		}
		if r == d {
			return 0
		}
		e := call(syscall.SYS_DUP3, r, d, syscall.O_CLOEXEC, 0, 0, 0)
		call(syscall.SYS_CLOSE, r, 0, 0, 0, 0, 0)
		if failed(e) {
			return e
		}
		return 0
	case kindWriteFile:
		r := call(syscall.SYS_OPENAT, atCWD, a, openWrite, 0, 0, 0)
		if failed(r) {
			return r
		}
		e := call(syscall.SYS_WRITE, r, b, c, 0, 0, 0)
		call(syscall.SYS_CLOSE, r, 0, 0, 0, 0, 0)
		return e
	}
	for {
		r := call(at(op+opNumber), a, b, c, d, at(op+opArgs+32), at(op+opArgs+40))
		if r != ^uintptr(syscall.EINTR-1) {
			return r
		}
	}
}

// giveUp notes in the image what failed and lets Go code explain it.
//
//go:nosplit
func giveUp(fd, fdText, envp, op, errno uintptr) {
	outcome[0], outcome[1] = uint64(op)+1, uint64(errno)
	call(syscall.SYS_PWRITE64, fd, uintptr(unsafe.Pointer(&outcome[0])), 16, headOutcome*8, 0, 0)
	call(syscall.SYS_FCNTL, fd, fcntlSetFD, 0, 0, 0, 0)
	failedArgv[0] = uintptr(unsafe.Pointer(&failedMarker[0]))
	failedArgv[1] = fdText
	call(syscall.SYS_EXECVE, uintptr(unsafe.Pointer(&selfExe[0])), uintptr(unsafe.Pointer(&failedArgv[0])), envp, 0, 0, 0)
	call(syscall.SYS_WRITE, 2, uintptr(unsafe.Pointer(&lastWords[0])), uintptr(len(lastWords)), 0, 0, 0)
	for {
		call(syscall.SYS_EXIT_GROUP, 125, 0, 0, 0, 0, 0)
	}
}

// Signals tells which signals were ignored (bit n-1 for signal n) and which were blocked when the process began. It is false
// when the program was not linked with this package's entry point.
func Signals() (ignored, blocked uint64, known bool) { return ignoredSignals, blockedSignals, entered }
