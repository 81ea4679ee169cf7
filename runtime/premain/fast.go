// SPDX-License-Identifier: MIT

//go:build linux && (amd64 || arm64)

package premain

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The fast way: a process that starts a bundle asks the session service for its plan, and carries it out, before there is a Go
// runtime. Whatever is not as usual, from a missing service to a long name, makes it return with nothing changed, and Go code
// takes the plain way, which finds the words for what is wrong.

// What is compared and opened; each ends with a zero byte.
var (
	ownMarker     = [...]byte{'g', 'l', 'i', 'c', 'k', ':', 0}
	runtimeDir    = [...]byte{'X', 'D', 'G', '_', 'R', 'U', 'N', 'T', 'I', 'M', 'E', '_', 'D', 'I', 'R', '=', 0}
	execVariable  = [...]byte{'G', 'L', 'I', 'C', 'K', '_', 'E', 'X', 'E', 'C', '=', 0}
	serviceDir    = [...]byte{'/', 'g', 'l', 'i', 'c', 'k', 0}
	serviceSocket = [...]byte{'/', 's', 'o', 'c', 'k', 'e', 't', 0}
	fdFolder      = [...]byte{'/', 'p', 'r', 'o', 'c', '/', 's', 'e', 'l', 'f', '/', 'f', 'd', '/', 0}
	planFile      = [...]byte{'g', 'l', 'i', 'c', 'k', '-', 'p', 'l', 'a', 'n', 0}
	bundleNote    = [...]byte{'G', 'l', 'i', 'c', 'k', 0} // owner of the mark in a bundle, see doc/format.md
	failureNumber [16]byte
)

// Scratch memory, in which the fast way keeps everything.
const (
	scratchRequest = 0         // what is sent
	requestSize    = 16 << 10  // bytes of it at most
	scratchPath    = 16 << 10  // a path being put together
	pathSize       = 4096      // bytes of a path at most, with its end
	scratchSmall   = 28 << 10  // arguments of system calls
	scratchHead    = 32 << 10  // the first page of a file
	scratchReply   = 64 << 10  // what is received
	replySize      = 64 << 10  // bytes of it at most
	scratchArrays  = 128 << 10 // argument and environment pointers, as many as there are
)

const (
	openPath     = 0x200000 // O_PATH
	openCloexec  = 0x80000
	openNonblock = 0x800
	modeType     = 0o170000
	modeFolder   = 0o040000
	modeFile     = 0o100000
	dupCloexec   = 1030 // F_DUPFD_CLOEXEC

	familyUnix      = 1
	packets         = 5 // SOCK_SEQPACKET
	socketOption    = 1 // SOL_SOCKET
	optionPeer      = 17
	optionTimeout   = 20
	rights          = 1 // SCM_RIGHTS
	noSignal        = 0x4000
	closeReceived   = 0x40000000 // MSG_CMSG_CLOEXEC
	messageCut      = 0x20 | 8   // MSG_TRUNC, MSG_CTRUNC
	replyTimeout    = 10         // seconds, as package session has it
	programNote     = 4
	elfHeaderSize   = 64
	elfProgramSize  = 56
	headPage        = 4096
	lowestNumber    = 64 // for descriptors that the plan uses: what is below is what programs are given
	reservedNumbers = 3
	tableSpan       = 2 << 20 // what the pages of one page table cover
)

// copyString appends the string at s to what ends at to, with a zero byte behind it, and returns the new end: where the zero
// byte is. It returns 0 when that would be beyond limit.
//
//go:nosplit
func copyString(to, s, limit uintptr) uintptr {
	for ; ; to++ {
		if to >= limit {
			return 0
		}
		c := byteAt(s)
		putByte(to, c)
		if c == 0 {
			return to
		}
		s++
	}
}

// copyNumber is copyString for a number.
//
//go:nosplit
func copyNumber(to, n, limit uintptr) uintptr {
	digits := uintptr(1)
	for m := n; m >= 10; m /= 10 {
		digits++
	}
	if to+digits >= limit {
		return 0
	}
	for i := digits; i > 0; i-- {
		putByte(to+i-1, byte('0'+n%10))
		n /= 10
	}
	putByte(to+digits, 0)
	return to + digits
}

// after returns what follows the string prefix in the string s, or 0 when s does not begin with it.
//
//go:nosplit
func after(s, prefix uintptr) uintptr {
	for ; byteAt(prefix) != 0; prefix++ {
		if byteAt(s) != byteAt(prefix) {
			return 0
		}
		s++
	}
	return s
}

// lookup returns the value of the last variable that begins with name (and "="), or 0.
//
//go:nosplit
func lookup(envp, name uintptr) uintptr {
	found := uintptr(0)
	for ; at(envp) != 0; envp += 8 {
		if v := after(at(envp), name); v != 0 {
			found = v
		}
	}
	return found
}

//go:nosplit
func shut(fd uintptr) { call(syscall.SYS_CLOSE, fd, 0, 0, 0, 0, 0) }

// What the fast way has open. It is kept here, and the steps are called one after the other, because the stack of code that does
// not check it may not grow deep.
var (
	scratch        uintptr // memory, 0 when there is none
	scratchSize    uintptr
	service        uintptr                  // socket
	reserved       [reservedNumbers]uintptr // descriptors whose numbers the plan may use
	firstArgument  uintptr                  // of those that the program gets
	planSize       uintptr                  // 0 when there is no plan
	nothing        = ^uintptr(0)            // no descriptor
	notYetReserved = [reservedNumbers]uintptr{nothing, nothing, nothing}
)

// fast gets a plan from the session service, unless something speaks for the plain way.
//
//go:nosplit
func fast(argc, argv, envp uintptr) {
	reserved, service, planSize, scratch = notYetReserved, nothing, 0, 0
	if argc == 0 || after(at(argv), uintptr(unsafe.Pointer(&ownMarker[0]))) != 0 {
		return
	}
	// Root keeps its rights in another way; and who got rights by being executed must not give them to the environment.
	uid := call(syscall.SYS_GETEUID, 0, 0, 0, 0, 0, 0)
	if uid == 0 || uid != call(syscall.SYS_GETUID, 0, 0, 0, 0, 0, 0) {
		return
	}
	dir := lookup(envp, uintptr(unsafe.Pointer(&runtimeDir[0])))
	if dir == 0 || byteAt(dir) != '/' {
		return
	}
	pointers := argc + 1
	for e := envp; at(e) != 0; e += 8 {
		pointers++
	}
	const readWrite, privateAnonymous = 3, 2 | 0x20
	scratchSize = scratchArrays + (pointers+64)*8
	// Beside our own variables, where that is free: memory elsewhere would need page tables of its own, which cost more than all of its pages.
	near := uintptr(unsafe.Pointer(&scratch)) &^ (tableSpan - 1)
	m := call(syscall.SYS_MMAP, near, scratchSize, readWrite, privateAnonymous, nothing, 0)
	if failed(m) {
		return
	}
	scratch = m
	if service = connect(m, dir, uid); failed(service) {
		return
	}
	file := chooseBundle(m, argc, argv)
	if failed(file) {
		return
	}
	// Descriptors of the plan get numbers that are free now; nothing else is opened until they are used.
	reserved[0] = call(syscall.SYS_FCNTL, service, dupCloexec, lowestNumber, 0, 0, 0)
	reserved[1] = call(syscall.SYS_FCNTL, service, dupCloexec, lowestNumber, 0, 0, 0)
	reserved[2] = call(syscall.SYS_FCNTL, service, dupCloexec, lowestNumber, 0, 0, 0)
	if !failed(reserved[0]) && !failed(reserved[1]) && !failed(reserved[2]) {
		n := request(m, service, file, envp)
		if n != 0 && send(m, service, file, n) {
			planSize = receive(m, service)
		}
	}
	shut(file)
}

// endFast leaves nothing of the fast way to the plain one.
//
//go:nosplit
func endFast() {
	shut(reserved[0])
	shut(reserved[1])
	shut(reserved[2])
	shut(service)
	if scratch != 0 {
		call(syscall.SYS_MUNMAP, scratch, scratchSize, 0, 0, 0, 0)
	}
}

// connect connects to the session service of this user, or returns what is no descriptor.
//
//go:nosplit
func connect(m, dir, uid uintptr) uintptr {
	path, small := m+scratchPath, m+scratchSmall
	end := copyString(path, dir, path+pathSize-16)
	if end == 0 {
		return nothing
	}
	copyString(end, uintptr(unsafe.Pointer(&serviceDir[0])), path+pathSize)
	folder := call(syscall.SYS_OPENAT, atCWD, path, openPath|openCloexec|openFolder|openNoFollow, 0, 0, 0)
	if failed(folder) {
		return nothing
	}
	socket := nothing
	// Others must be able neither to have prepared the folder nor to write to it.
	if !failed(call(syscall.SYS_FSTAT, folder, small, 0, 0, 0, 0)) && uint32At(small+statUID) == uint32(uid) &&
		uint32At(small+statMode)&(modeType|0o077) == modeFolder {
		socket = call(syscall.SYS_SOCKET, familyUnix, packets|openCloexec, 0, 0, 0, 0)
	}
	if !failed(socket) {
		// struct sockaddr_un. By way of the descriptor the path is short enough, and in the folder that was looked at.
		address := small
		putByte(address, familyUnix)
		putByte(address+1, 0)
		end := copyString(address+2, uintptr(unsafe.Pointer(&fdFolder[0])), address+100)
		end = copyNumber(end, folder, address+100)
		end = copyString(end, uintptr(unsafe.Pointer(&serviceSocket[0])), address+108)
		r := call(syscall.SYS_CONNECT, socket, address, end+1-address, 0, 0, 0)
		credentials, length, limit := small+128, small+144, small+160
		put(length, 12) // struct ucred: pid, uid, gid
		put(limit, replyTimeout)
		put(limit+8, 0)
		if failed(r) || failed(call(syscall.SYS_GETSOCKOPT, socket, socketOption, optionPeer, credentials, length, 0)) ||
			uint32At(credentials+4) != uint32(uid) || failed(call(syscall.SYS_SETSOCKOPT, socket, socketOption, optionTimeout, limit, 16, 0)) {
			shut(socket)
			socket = nothing
		}
	}
	shut(folder)
	return socket
}

// chooseBundle opens the bundle that is to be started. What it returns is no descriptor when there is none.
//
//go:nosplit
func chooseBundle(m, argc, argv uintptr) uintptr {
	firstArgument = 1
	file := call(syscall.SYS_OPENAT, atCWD, uintptr(unsafe.Pointer(&selfExe[0])), openCloexec, 0, 0, 0)
	if !failed(file) && !isBundle(m, file) {
		// This is a stub alone: the bundle is its first argument. A named pipe must not stop us.
		shut(file)
		if argc < 2 {
			return nothing
		}
		firstArgument = 2
		file = call(syscall.SYS_OPENAT, atCWD, at(argv+8), openCloexec|openNonblock, 0, 0, 0)
		if !failed(file) && !isBundle(m, file) {
			shut(file)
			return nothing
		}
	}
	return file
}

// isBundle looks for the mark of a bundle.
//
//go:nosplit
func isBundle(m, file uintptr) bool {
	small, head := m+scratchSmall, m+scratchHead
	if failed(call(syscall.SYS_FSTAT, file, small, 0, 0, 0, 0)) || uint32At(small+statMode)&modeType != modeFile {
		return false
	}
	if call(syscall.SYS_PREAD64, file, head, headPage, 0, 0, 0) != headPage || at(head+32) != elfHeaderSize {
		return false
	}
	count := uintptr(uint32At(head+56) & 0xffff)
	for i := uintptr(0); i < count && elfHeaderSize+(i+1)*elfProgramSize <= headPage; i++ {
		p := head + elfHeaderSize + i*elfProgramSize
		if uint32At(p) != programNote {
			continue
		}
		// A note is the sizes of owner and content, a type, and the owner's name.
		off := at(p + 8)
		if off < headPage-32 && sameString(head+off+12, uintptr(unsafe.Pointer(&bundleNote[0]))) {
			return true
		}
	}
	return false
}

// request writes the message for the service: see package session. It returns its size, or 0.
//
//go:nosplit
func request(m, socket, file, envp uintptr) uintptr {
	r, limit := m+scratchRequest, m+scratchRequest+requestSize
	putByte(r, 'P')
	putByte(r+1, RequestVersion)
	put(r+8, socket)
	put(r+16, reserved[0])
	put(r+24, reserved[1])
	put(r+32, reserved[2])
	end := r + RequestStrings
	// The kernel returns the size with the final zero.
	n := call(syscall.SYS_GETCWD, end, pathSize, 0, 0, 0, 0)
	if failed(n) || n == 0 || byteAt(end) != '/' {
		return 0 // the working folder is gone, or outside
	}
	end += n
	path, own := m+scratchPath, end
	e := copyString(path, uintptr(unsafe.Pointer(&fdFolder[0])), path+100)
	copyNumber(e, file, path+100)
	n = call(syscall.SYS_READLINKAT, atCWD, path, own, pathSize, 0, 0)
	if failed(n) || n == pathSize || n == 0 {
		return 0
	}
	end = own + n
	putByte(end, 0)
	end++
	if v := lookup(envp, uintptr(unsafe.Pointer(&execVariable[0]))); v != 0 {
		if end = copyString(end, v, limit-1); end == 0 {
			return 0
		}
	} else {
		putByte(end, 0)
	}
	return end + 1 - r
}

// send sends the first n bytes of the request, and the file.
//
//go:nosplit
func send(m, socket, file, n uintptr) bool {
	small := m + scratchSmall
	vector, header, control := small, small+16, small+80
	put(vector, m+scratchRequest)
	put(vector+8, n)
	put(header, 0)
	put(header+8, 0)
	put(header+16, vector)
	put(header+24, 1)
	put(header+32, control)
	put(header+40, 24)
	put(header+48, 0)
	// struct cmsghdr: size, level and type, then the descriptor.
	put(control, 20)
	put(control+8, socketOption|rights<<32)
	put(control+16, file)
	return call(syscall.SYS_SENDMSG, socket, header, noSignal, 0, 0, 0) == n
}

// receive takes the service's answer, and returns the size of the plan in it, or 0.
//
//go:nosplit
func receive(m, socket uintptr) uintptr {
	small := m + scratchSmall
	vector, header := small, small+16
	put(vector, m+scratchReply)
	put(vector+8, replySize)
	put(header, 0)
	put(header+8, 0)
	put(header+16, vector)
	put(header+24, 1)
	put(header+32, 0)
	put(header+40, 0)
	put(header+48, 0)
	n := call(syscall.SYS_RECVMSG, socket, header, closeReceived, 0, 0, 0)
	if failed(n) || n < ReplyHead+headSize || byteAt(m+scratchReply) != 'P' || uint32At(header+48)&messageCut != 0 {
		return 0
	}
	return n - ReplyHead
}

// obey carries out the plan that was received. It returns when nothing has been changed yet.
//
//go:nosplit
func obey(argc, argv, envp uintptr) {
	m, size := scratch, planSize
	base := m + scratchReply + ReplyHead
	if at(base+headMagic*8) != magic || at(base+headTotal*8) != size || !relocate(base, size) {
		return
	}
	ops, nops := base+at(base+headOps*8), at(base+headOpCount*8)
	for i := uintptr(0); i < nops; i++ {
		op := ops + i*opSize
		if at(op+opKind) == kindProgram {
			program(m, op, argc, argv, envp)
		}
		errno := do(op)
		if errno == 0 {
			continue
		}
		// The first operation enters the namespaces. Without them nothing has happened, and there are other ways.
		if i == 0 {
			return
		}
		confess(base, i, errno, argc, argv, envp)
	}
	confess(base, nops, uintptr(syscall.ENOEXEC), argc, argv, envp)
}

// program puts the pointers for the last operation together: the arguments, and the environment without the variables that the
// plan does not want and with those that it has. The operation becomes an ordinary system call.
//
//go:nosplit
func program(m, op, argc, argv, envp uintptr) {
	args := m + scratchArrays
	end := args
	put(end, at(op+opArgs))
	end += 8
	for i := firstArgument; i < argc; i++ {
		put(end, at(argv+i*8))
		end += 8
	}
	put(end, 0)
	end += 8
	env := end
	ours, drop := at(op+opArgs+8), at(op+opArgs+16)
	for ; at(envp) != 0; envp += 8 {
		unwanted := false
		for d := drop; at(d) != 0; d += 8 {
			if after(at(envp), at(d)) != 0 {
				unwanted = true
				break
			}
		}
		if !unwanted {
			put(end, at(envp))
			end += 8
		}
	}
	// The service sends a handful; there is room for 64.
	for i := 0; i < 32 && at(ours) != 0; i++ {
		put(end, at(ours))
		end += 8
		ours += 8
	}
	put(end, 0)
	put(op+opKind, kindCall)
	put(op+opNumber, syscall.SYS_EXECVE)
	put(op+opArgs+8, args)
	put(op+opArgs+16, env)
}

// confess lets Go code explain what could not be done, by way of a file with the plan and the program's arguments.
//
//go:nosplit
func confess(base, op, errno, argc, argv, envp uintptr) {
	fd := call(unix.SYS_MEMFD_CREATE, uintptr(unsafe.Pointer(&planFile[0])), 0, 0, 0, 0, 0)
	text := uintptr(unsafe.Pointer(&failureNumber[0]))
	if !failed(fd) {
		call(syscall.SYS_WRITE, fd, base, planSize, 0, 0, 0)
		for i := firstArgument; i < argc; i++ {
			end := at(argv + i*8)
			for byteAt(end) != 0 {
				end++
			}
			call(syscall.SYS_WRITE, fd, at(argv+i*8), end+1-at(argv+i*8), 0, 0, 0)
		}
		copyNumber(text, fd, text+uintptr(len(failureNumber)))
	}
	giveUp(fd, text, envp, op, errno)
}
