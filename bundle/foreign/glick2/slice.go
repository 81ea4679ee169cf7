// SPDX-License-Identifier: MIT

package glick2

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	"glick.org/glick/bundle"
)

// Types of inodes, as in stat(2).
const (
	modeType   = 0o170000
	modeSocket = 0o140000
	modeLink   = 0o120000
	modeFile   = 0o100000
	modeBlock  = 0o060000
	modeDir    = 0o040000
	modeChar   = 0o020000
	modePipe   = 0o010000
)

// budget is what the slices that are still to be read may have together.
type budget struct{ headers, inodes, strings int64 }

// slice is one tree: its tables as they are in the file.
type slice struct {
	Slice
	inodes  []byte
	step    int64 // size of an inode
	dirs    []byte
	strings []byte
}

// inode is a record of the inode table.
type inode struct {
	name, parent uint32
	mode         uint32
	offset, size uint64
}

func (s *slice) count() int { return len(s.inodes) / int(s.step) }

func (s *slice) inode(i int) inode {
	le, b := binary.LittleEndian, s.inodes[int64(i)*s.step:]
	return inode{
		name: le.Uint32(b[4:]), parent: le.Uint32(b[8:]), mode: uint32(le.Uint16(b[12:])),
		offset: le.Uint64(b[24:]), size: le.Uint64(b[32:]),
	}
}

func (n inode) is(mode uint32) bool { return n.mode&modeType == mode }

// text returns the string at a place in the strings, without the zero that ends it; false when it does not end within limit bytes.
func (s *slice) text(at uint64, limit int) ([]byte, bool) {
	if at >= uint64(len(s.strings)) {
		return nil, false
	}
	rest := s.strings[at:]
	end := bytes.IndexByte(rest[:min(len(rest), limit+1)], 0)
	if end < 0 {
		return nil, false
	}
	return rest[:end], true
}

// name returns the name of an inode whose slice was checked.
func (s *slice) name(i int) []byte {
	name, _ := s.text(uint64(s.inode(i).name), maxName)
	return name
}

// children calls f for each entry of a folder whose slice was checked.
func (s *slice) children(n inode, f func(child int)) {
	for i := range n.size {
		f(int(binary.LittleEndian.Uint32(s.dirs[4*(n.offset+i):])))
	}
}

// readSlice reads the tables of a slice that lies within the file.
func readSlice(r io.ReaderAt, size int64, ref Slice, l layout, left *budget) (*slice, error) {
	if ref.HeaderSize < sliceSize {
		return nil, fmt.Errorf("its header is too small: %w", bundle.ErrDamaged)
	}
	// Without this, many slices in the same place would be much work from a small file.
	if left.headers -= ref.HeaderSize; left.headers < 0 {
		return nil, fmt.Errorf("the slices lie in one another: %w", bundle.ErrDamaged)
	}
	var head [sliceSize]byte
	if err := bundle.ReadFull(r, head[:], ref.HeaderOffset); err != nil {
		return nil, fmt.Errorf("cannot read its header: %w", err)
	}
	field := func(i int) int64 { return int64(binary.LittleEndian.Uint32(head[4*i:])) }
	hash, shift, inodes, count, dirs, entries := field(0), field(1), field(4), field(5), field(6), field(7)
	strings, length := field(2), field(3)
	inside := func(off, n int64) bool { return off >= sliceSize && off <= ref.HeaderSize && n <= ref.HeaderSize-off }
	// All numbers are 32 bits wide: none of these products overflows.
	switch gap := dirs - inodes; {
	case count < 1:
		return nil, fmt.Errorf("it has no root: %w", bundle.ErrDamaged)
	case gap == count*(l.inode+8):
		return nil, fmt.Errorf("a layout from before the first release: %w", bundle.ErrUnsupported)
	case gap != count*l.inode:
		return nil, fmt.Errorf("its inodes have an impossible size: %w", bundle.ErrDamaged)
	case shift >= 32 || !inside(hash, 4<<shift) || !inside(inodes, count*l.inode) || !inside(dirs, entries*4) || !inside(strings, length):
		return nil, fmt.Errorf("its tables lie outside of its header: %w", bundle.ErrDamaged)
	case entries >= count:
		return nil, fmt.Errorf("it has %d folder entries for %d inodes: %w", entries, count, bundle.ErrDamaged)
	}
	left.inodes -= count
	left.strings -= length
	if left.inodes < 0 || left.strings < 0 {
		return nil, fmt.Errorf("too many files: %w", bundle.ErrUnsupported)
	}
	s := &slice{Slice: ref, step: l.inode}
	for _, t := range []struct {
		to     *[]byte
		off, n int64
	}{{&s.inodes, inodes, count * l.inode}, {&s.dirs, dirs, entries * 4}, {&s.strings, strings, length}} {
		*t.to = make([]byte, t.n)
		if err := bundle.ReadFull(r, *t.to, ref.HeaderOffset+t.off); err != nil {
			return nil, fmt.Errorf("cannot read its tables: %w", err)
		}
	}
	return s, nil
}

// check makes sure that the inodes are a tree. The original numbers a folder before what is in it, so that a parent with a smaller number
// rules out circles.
func (s *slice) check() error {
	fail := func(i int, what string) error { return fmt.Errorf("inode %d %s: %w", i, what, bundle.ErrDamaged) }
	entries := uint64(len(s.dirs) / 4)
	listed := make([]bool, s.count())
	total := 1
	for i := range s.count() {
		n := s.inode(i)
		if i == 0 {
			if !n.is(modeDir) || n.parent != 0 {
				return fail(i, "is not a root folder")
			}
		} else {
			name, ok := s.text(uint64(n.name), maxName)
			if !ok || !validName(name) {
				return fail(i, "has no possible name")
			}
			if uint64(n.parent) >= uint64(i) || !listed[i] {
				return fail(i, "is in no folder")
			}
		}
		switch n.mode & modeType {
		case modeDir:
			if n.offset > entries || n.size > entries-n.offset {
				return fail(i, "has entries outside of the table")
			}
			for k := range n.size {
				c := binary.LittleEndian.Uint32(s.dirs[4*(n.offset+k):])
				// Each inode is in one folder only, which also bounds this loop.
				if uint64(c) <= uint64(i) || uint64(c) >= uint64(s.count()) || listed[c] || s.inode(int(c)).parent != uint32(i) {
					return fail(i, fmt.Sprintf("lists inode %d, which is not its own", c))
				}
				listed[c] = true
				total++
			}
		case modeFile:
			if n.offset > uint64(s.DataSize) || n.size > uint64(s.DataSize)-n.offset {
				return fail(i, "has its content outside of the slice")
			}
		case modeLink:
			if target, ok := s.text(n.offset, maxPath); !ok || len(target) == 0 {
				return fail(i, "has no possible target")
			}
		case modeSocket, modeBlock, modeChar, modePipe:
		default:
			return fail(i, "is of no known type")
		}
	}
	return nil
}

func validName(name []byte) bool {
	return len(name) > 0 && bytes.IndexByte(name, '/') < 0 && string(name) != "." && string(name) != ".."
}
