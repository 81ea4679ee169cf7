// SPDX-License-Identifier: MIT

//go:build !(amd64 || arm64) || zstdpack_safe

package zstdpack

import "encoding/binary"

// bytesAt is a buffer with padding behind it.
type bytesAt struct{ p []byte }

func newBytesAt(padded []byte) bytesAt { return bytesAt{padded} }

func (b bytesAt) load32(i int) uint32 { return binary.LittleEndian.Uint32(b.p[i:]) }

func (b bytesAt) load64(i int) uint64 { return binary.LittleEndian.Uint64(b.p[i:]) }
