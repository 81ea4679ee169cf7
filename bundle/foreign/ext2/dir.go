// SPDX-License-Identifier: MIT

package ext2

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"glick.org/glick/bundle"
)

const (
	entryHeader = 8   // bytes of an entry before its name
	maxName     = 255 // bytes
	// maxEntries of a folder bounds the memory that one call takes; applications stay far below.
	maxEntries = 1 << 20
	// firstCheck is after how many names duplicates are looked for; then again whenever the number has doubled. A folder whose blocks are all the
	// same one is refused before it fills the memory.
	firstCheck = 4096
)

// ReadDir lists a folder in ascending bytewise order, without "." and "..", but with lost+found, which many writers put into the root. It
// takes time for at most as many blocks as the image has; a folder with more than 1,048,576 names is bundle.ErrUnsupported.
//
// An image can name a folder in several others, even in one below itself: who descends must bound the depth, or remember the inodes.
func (im *Image) ReadDir(i bundle.Inode) ([]bundle.DirEntry, error) {
	n, err := im.inode(i)
	if err != nil {
		return nil, err
	}
	if n.mode&modeType != modeDir {
		return nil, fmt.Errorf("cannot list inode %d: not a folder: %w", i, bundle.ErrUnsupported)
	}
	list, err := im.entries(n)
	if err != nil {
		return nil, fmt.Errorf("cannot list folder %d: %w", i, err)
	}
	return list, nil
}

// entries goes through all blocks of a folder. The hash trees of dir_index lie in what looks like unused entries, so they need no care.
func (im *Image) entries(n *inode) ([]bundle.DirEntry, error) {
	if n.size > im.end() || n.size%im.blockSize != 0 {
		return nil, damaged("it has %d bytes", n.size)
	}
	m := mapping{im: im, root: &n.block}
	block := make([]byte, min(n.size, im.blockSize))
	var list []bundle.DirEntry
	check := firstCheck
	for k := range n.size / im.blockSize {
		number, err := m.block(k)
		if err != nil {
			return nil, err
		}
		if number == 0 {
			return nil, damaged("it has a hole")
		}
		if err := bundle.ReadFull(im.r, block, int64(number)*im.blockSize); err != nil {
			return nil, err
		}
		if list, err = im.appendEntries(list, block, k == 0); err != nil {
			return nil, err
		}
		if len(list) > maxEntries {
			return nil, fmt.Errorf("it has more than %d names: %w", maxEntries, bundle.ErrUnsupported)
		}
		if len(list) >= check {
			check = 2 * len(list)
			if err := sortEntries(list); err != nil {
				return nil, err
			}
		}
	}
	return list, sortEntries(list)
}

// appendEntries adds the entries of one block: u32 inode, 0 when unused; u16 bytes up to the next entry; u8 size of the name; u8 type, or
// the upper half of the name's size, which is zero; name.
func (im *Image) appendEntries(list []bundle.DirEntry, block []byte, first bool) ([]bundle.DirEntry, error) {
	le := binary.LittleEndian
	for at, index := 0, 0; at < len(block); index++ {
		rest := block[at:]
		if len(rest) < entryHeader {
			return nil, damaged("an entry is cut off")
		}
		number, length, nameLen := le.Uint32(rest), int(le.Uint16(rest[4:])), int(rest[6])
		// 16 bits cannot say 65536.
		if len(block) == 1<<16 && (length == 0 || length == 0xffff) {
			length = 1 << 16
		}
		if length < entryHeader+nameLen || length%4 != 0 || length > len(rest) {
			return nil, damaged("an entry has the impossible size %d", length)
		}
		at += length
		if number == 0 {
			continue
		}
		name := string(rest[entryHeader:][:nameLen])
		if first && (index == 0 && name == "." || index == 1 && name == "..") {
			continue
		}
		switch {
		case !validName(name):
			return nil, damaged("it has the impossible name %q", name)
		case number > im.inodes:
			return nil, damaged("%q has the impossible inode %d", name, number)
		}
		list = append(list, bundle.DirEntry{Name: name, Inode: bundle.Inode(number)})
	}
	return list, nil
}

// sortEntries sorts by name, and refuses a name that is there twice.
func sortEntries(list []bundle.DirEntry) error {
	slices.SortFunc(list, func(a, b bundle.DirEntry) int { return cmp.Compare(a.Name, b.Name) })
	for i := 1; i < len(list); i++ {
		if list[i-1].Name == list[i].Name {
			return damaged("it has the name %q twice", list[i].Name)
		}
	}
	return nil
}

func validName(name string) bool {
	return name != "" && len(name) <= maxName && name != "." && name != ".." && !strings.ContainsAny(name, "/\x00")
}
