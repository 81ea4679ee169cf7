// SPDX-License-Identifier: MIT

package squashfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"

	"glick.org/glick/bundle"
)

// unpacker unpacks blocks into dst and returns how many bytes there are. More than len(dst) are an error, and no memory is taken for them.
// Errors are ErrDamaged or ErrUnsupported. Many goroutines may call it at once.
type unpacker func(dst, src []byte) (int, error)

// compressions are the names of what the superblock has numbers for.
var compressions = [...]string{1: "gzip", "lzma", "lzo", "xz", "lz4", "zstd"}

func newUnpacker(compression uint16) (unpacker, error) {
	if compression == 0 || int(compression) >= len(compressions) {
		return nil, damaged("an unknown compression, number %d", compression)
	}
	switch name := compressions[compression]; name {
	case "gzip":
		return newInflater(), nil
	case "xz":
		return unxz, nil
	case "zstd":
		return newUnzstd()
	default:
		return nil, fmt.Errorf("the compression %s: %w", name, bundle.ErrUnsupported)
	}
}

// unpackAtMost unpacks a block of at most n bytes.
func unpackAtMost(unpack unpacker, src []byte, n int) ([]byte, error) {
	dst := make([]byte, n)
	k, err := unpack(dst, src)
	if err != nil {
		return nil, err
	}
	if k < n/2 {
		return bytes.Clone(dst[:k]), nil // it may be kept for long
	}
	return dst[:k], nil
}

// newInflater returns what unpacks the streams that SquashFS calls gzip: they are zlib's.
func newInflater() unpacker {
	var readers sync.Pool // of io.ReadCloser that are zlib.Resetter
	return func(dst, src []byte) (int, error) {
		var err error
		z, ok := readers.Get().(io.ReadCloser)
		if ok {
			err = z.(zlib.Resetter).Reset(bytes.NewReader(src), nil)
		} else {
			z, err = zlib.NewReader(bytes.NewReader(src))
		}
		if err != nil {
			return 0, badBlock("zlib", err)
		}
		n, err := readAll(z, dst)
		if err != nil {
			return 0, badBlock("zlib", err)
		}
		readers.Put(z)
		return n, nil
	}
}

var errTooLong = errors.New("it unpacks to more than it may")

// readAll reads to the end of r, at most len(dst) bytes.
func readAll(r io.Reader, dst []byte) (int, error) {
	n := 0
	for n < len(dst) {
		k, err := r.Read(dst[n:])
		n += k
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
	// Checksums are compared at the end, so it must be reached.
	var more [1]byte
	k, err := io.ReadFull(r, more[:])
	switch {
	case k > 0:
		return n, errTooLong
	case errors.Is(err, io.EOF):
		return n, nil
	}
	return n, err
}

// newUnzstd returns what unpacks zstd frames.
func newUnzstd() (unpacker, error) {
	// The capacity limit makes a frame that is too long an error before it takes the memory.
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecodeAllCapLimit(true),
		zstd.WithDecoderMaxMemory(1<<maxLog+1), zstd.WithDecoderMaxWindow(1<<maxLog))
	if err != nil {
		return nil, fmt.Errorf("cannot prepare unpacking: %w", err)
	}
	return func(dst, src []byte) (int, error) {
		out, err := d.DecodeAll(src, dst[:0:len(dst)])
		if err != nil {
			return 0, badBlock("zstd", err)
		}
		return len(out), nil
	}, nil
}

// badBlock hides the error of a package for unpacking: it may be io.EOF, which means something else to callers of this one.
func badBlock(name string, err error) error {
	return damaged("cannot unpack a block: %s: %v", name, err)
}
