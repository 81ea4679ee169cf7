// SPDX-License-Identifier: MIT

//go:build (amd64 || arm64) && !zstdpack_safe

package zstdpack

import "unsafe"

// The inner loops of the finder and the parser read the buffer without the checks of the compiler, which would cost a fifth of the time. All such
// reads are here. What makes them right is said at padding; the build tag zstdpack_safe puts the checked ones of load_safe.go in their place, with
// which the tests find any that is not.

// bytesAt is a buffer with padding behind it.
type bytesAt struct{ p *byte }

func newBytesAt(padded []byte) bytesAt { return bytesAt{unsafe.SliceData(padded)} }

func (b bytesAt) load32(i int) uint32 { return *(*uint32)(unsafe.Add(unsafe.Pointer(b.p), i)) }

func (b bytesAt) load64(i int) uint64 { return *(*uint64)(unsafe.Add(unsafe.Pointer(b.p), i)) }
