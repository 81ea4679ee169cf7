// SPDX-License-Identifier: MIT

package squashfs

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"glick.org/glick/bundle"
)

const (
	maxName     = 255     // bytes, as in Linux
	maxRun      = 256     // entries under one header
	maxListing  = 4 << 20 // bytes of a folder's listing: 100,000 names or more
	headerSize  = 12
	entryPrefix = 8 // bytes of an entry before its name
)

// ReadDir lists a folder. Besides the errors of a bundle.FileSystem, asking for what is no folder is one, and a folder of more than
// 4 MiB of names (100,000 or more) is bundle.ErrUnsupported, because the list has to be in memory.
func (m *Image) ReadDir(i bundle.Inode) ([]bundle.DirEntry, error) {
	n, err := m.inode(i)
	if err != nil {
		return nil, err
	}
	if n.mode&modeType != modeDir {
		return nil, fmt.Errorf("cannot list inode %#x: not a folder", uint64(i))
	}
	listing, err := m.listing(n)
	if err == nil {
		var entries []bundle.DirEntry
		if entries, err = m.parseListing(listing); err == nil {
			return entries, nil
		}
	}
	return nil, fmt.Errorf("cannot list folder %#x: %w", uint64(i), err)
}

// listing returns the bytes of a folder's listing.
func (m *Image) listing(n inode) ([]byte, error) {
	if n.size == 0 {
		return nil, nil // its place may be behind the table
	}
	c, err := m.cursor(m.folders, n.block, n.offset)
	switch {
	case err != nil:
		return nil, err
	case !c.mayHold(n.size):
		return nil, damaged("a listing longer than its table")
	case n.size > maxListing:
		return nil, fmt.Errorf("%d bytes of names: %w", n.size, bundle.ErrUnsupported)
	}
	// It grows with what is really there.
	p := make([]byte, 0, min(n.size, metadataSize))
	for left := int(n.size); left > 0; {
		q, err := c.some(left)
		if err != nil {
			return nil, err
		}
		p, left = append(p, q...), left-len(q)
	}
	return p, nil
}

// parseListing checks a listing. It consists of headers, each with the number of entries that follow it less one, the metadata block of their
// inodes and a number for the inodes' numbers (32 bits each); and of entries: offset of the inode in its block, difference to the header's
// number, type, length of the name less one (16 bits each), name. The type is not looked at, since what counts is that of the inode.
func (m *Image) parseListing(listing []byte) ([]bundle.DirEntry, error) {
	count := 0
	if err := m.eachEntry(listing, func([]byte, bundle.Inode) { count++ }); err != nil || count == 0 {
		return nil, err
	}
	entries := make([]bundle.DirEntry, 0, count)
	err := m.eachEntry(listing, func(name []byte, i bundle.Inode) {
		entries = append(entries, bundle.DirEntry{Name: string(name), Inode: i})
	})
	return entries, err
}

func (m *Image) eachEntry(p []byte, do func(name []byte, i bundle.Inode)) error {
	le := binary.LittleEndian
	var before []byte
	for len(p) > 0 {
		if len(p) < headerSize {
			return damaged("an incomplete header")
		}
		last, block := le.Uint32(p), le.Uint32(p[4:])
		p = p[headerSize:]
		switch {
		case last >= maxRun:
			return damaged("too many entries under a header")
		case int64(block) >= m.inodes.end-m.inodes.start:
			return damaged("an entry's inode is outside of its table")
		}
		for range last + 1 {
			if len(p) < entryPrefix {
				return damaged("an incomplete entry")
			}
			offset, size := le.Uint16(p), int(le.Uint16(p[6:]))+1
			p = p[entryPrefix:]
			switch {
			case size > maxName || size > len(p):
				return damaged("a name that is too long")
			case offset >= metadataSize:
				return damaged("an entry's inode is outside of its block")
			}
			name := p[:size]
			p = p[size:]
			if bytes.ContainsAny(name, "/\x00") || string(name) == "." || string(name) == ".." {
				return damaged("an impossible name %q", name)
			}
			if bytes.Compare(before, name) >= 0 {
				return damaged("the name %q is not in order, or twice", name)
			}
			before = name
			do(name, bundle.Inode(block)<<16|bundle.Inode(offset))
		}
	}
	return nil
}
