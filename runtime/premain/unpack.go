// SPDX-License-Identifier: MIT

//go:build linux && (amd64 || arm64)

package premain

import (
	"syscall"
	"unsafe"
)

// A packed program (see package stubpack) has in memory only the pages that the code of this package needs, and everything else
// compressed. Most starts of a bundle need no more than that; before the Go runtime can start, the rest is put in its place.

// layout says what is to be unpacked: a magic number, the number of holes, and for each what the Hole constants say. In a
// program that is not packed it is as it stands here.
var layout = [2 + MaxHoles*HoleWords]uint64{LayoutMagic}

// pointer makes an address that Go knows nothing of usable.
//
//go:noescape
func pointer(p uintptr) unsafe.Pointer

var unpackFailed = [...]byte{'g', 'l', 'i', 'c', 'k', ':', ' ', 't', 'h', 'e', ' ', 's', 't', 'a', 'r', 't', ' ', 'o', 'f', ' ', 't', 'h', 'e', ' ',
	'f', 'i', 'l', 'e', ' ', 'i', 's', ' ', 'd', 'a', 'm', 'a', 'g', 'e', 'd', ',', ' ', 'o', 'r', ' ', 't', 'h', 'e', 'r', 'e', ' ', 'i', 's', ' ',
	'n', 'o', ' ', 'm', 'e', 'm', 'o', 'r', 'y', '\n'}

// unpack fills the holes of a packed program.
//
//go:nosplit
func unpack() {
	const (
		readWrite             = 3
		privateFixedAnonymous = 2 | 0x10 | 0x20
		populateWrite         = 23 // MADV_POPULATE_WRITE, Linux 5.14
	)
	table := unsafe.Pointer(&layout[0])
	holes := *(*uint64)(unsafe.Add(table, 8))
	for i := uint64(0); i < holes; i++ {
		hole := unsafe.Add(table, 16+i*HoleWords*8)
		addr, size := *(*uintptr)(hole), *(*uintptr)(unsafe.Add(hole, 8*HoleSize))
		if call(syscall.SYS_MMAP, addr, size, readWrite, privateFixedAnonymous, ^uintptr(0), 0) != addr {
			unpackDies()
		}
		// One request for all pages, instead of a fault for each. Where the kernel cannot do that they come one by one.
		call(syscall.SYS_MADVISE, addr, *(*uintptr)(unsafe.Add(hole, 8*HoleRaw)), populateWrite, 0, 0, 0)
		from, packed, raw := *(*uintptr)(unsafe.Add(hole, 8*HolePacked)), *(*uintptr)(unsafe.Add(hole, 8*HolePackedSize)), *(*uintptr)(unsafe.Add(hole, 8*HoleRaw))
		if !decode(pointer(from), packed, pointer(addr), raw) {
			unpackDies()
		}
		if *(*uintptr)(unsafe.Add(hole, 8*HoleCode)) != 0 {
			decodeCalls(pointer(addr), raw)
		}
		if prot := *(*uintptr)(unsafe.Add(hole, 8*HoleProt)); prot != readWrite {
			if failed(call(syscall.SYS_MPROTECT, addr, size, prot, 0, 0, 0)) {
				unpackDies()
			}
		}
	}
}

//go:nosplit
func unpackDies() {
	call(syscall.SYS_WRITE, 2, uintptr(unsafe.Pointer(&unpackFailed[0])), uintptr(len(unpackFailed)), 0, 0, 0)
	for {
		call(syscall.SYS_EXIT_GROUP, 125, 0, 0, 0, 0, 0)
	}
}

// decodeCalls undoes EncodeCalls.
//
//go:nosplit
func decodeCalls(code unsafe.Pointer, size uintptr) {
	n := int64(size)
	for i := int64(0); i+callSize <= n; i++ {
		if !isCall(*(*byte)(unsafe.Add(code, i))) {
			continue
		}
		field := (*int32)(unsafe.Add(code, i+1))
		next, v := i+callSize, int64(*field)
		switch {
		case 0 <= v && v < n:
			v -= next
		case -next <= v && v < 0:
			v += n
		}
		*field = int32(v)
		i += callSize - 1
	}
}

// decode unpacks one LZ4 block of n bytes into exactly m bytes. It reads and writes nothing outside of the two, whatever
// the block says.
//
// The format: https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md
//
//go:nosplit
func decode(src unsafe.Pointer, n uintptr, dst unsafe.Pointer, m uintptr) bool {
	const (
		more     = 15 // a length that goes on in the next bytes
		least    = 4  // length of the shortest match
		wordSize = 8
	)
	var in, out uintptr
	for in < n {
		token := uintptr(*(*byte)(unsafe.Add(src, in)))
		in++
		length := token >> 4
		for b := uintptr(255); length >= more && b == 255; length += b {
			if in >= n {
				return false
			}
			b = uintptr(*(*byte)(unsafe.Add(src, in)))
			in++
		}
		if length > n-in || length > m-out {
			return false
		}
		for end := out + length; out < end; {
			if end-out >= wordSize {
				*(*uint64)(unsafe.Add(dst, out)) = *(*uint64)(unsafe.Add(src, in))
				in, out = in+wordSize, out+wordSize
				continue
			}
			*(*byte)(unsafe.Add(dst, out)) = *(*byte)(unsafe.Add(src, in))
			in, out = in+1, out+1
		}
		if in == n {
			break // the last sequence has no match
		}
		if n-in < 2 {
			return false
		}
		back := uintptr(*(*byte)(unsafe.Add(src, in))) | uintptr(*(*byte)(unsafe.Add(src, in+1)))<<8
		in += 2
		length = token & more
		for b := uintptr(255); length >= more && b == 255; length += b {
			if in >= n {
				return false
			}
			b = uintptr(*(*byte)(unsafe.Add(src, in)))
			in++
		}
		length += least
		if back == 0 || back > out || length > m-out {
			return false
		}
		for end := out + length; out < end; {
			if back >= wordSize && end-out >= wordSize {
				*(*uint64)(unsafe.Add(dst, out)) = *(*uint64)(unsafe.Add(dst, out-back))
				out += wordSize
				continue
			}
			*(*byte)(unsafe.Add(dst, out)) = *(*byte)(unsafe.Add(dst, out-back))
			out++
		}
	}
	return out == m
}
