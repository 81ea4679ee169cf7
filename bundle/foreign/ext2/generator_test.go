// SPDX-License-Identifier: MIT

package ext2

import (
	"bytes"
	"encoding/binary"
	"maps"
	"path"
	"slices"
	"strings"
)

// file is a file, folder or link of a sample tree. A file's content is size bytes, zeros where there is no piece.
type file struct {
	mode   uint32
	size   int64
	pieces map[int64]string
	target string
}

func text(s string) file {
	return file{mode: modeFile | 0o644, size: int64(len(s)), pieces: map[int64]string{0: s}}
}

func folder() file { return file{mode: modeDir | 0o755} }

func link(target string) file { return file{mode: modeLink | 0o777, target: target} }

// content returns n bytes of the file from off.
func (f file) content(off, n int64) []byte {
	p := make([]byte, min(n, f.size-off))
	for at, s := range f.pieces {
		if at < off+n && at+int64(len(s)) > off {
			copy(p[max(0, at-off):], s[max(0, off-at):])
		}
	}
	return p
}

// generator writes images. The zero value makes an image of revision 0 with blocks of 1 KiB.
type generator struct {
	shift     uint // blocks have 1024 << shift bytes
	revision  uint32
	inodeSize int // 0: 128
	groups    int // 0: 1
	features  uint32
	slowLinks bool
	indexed   bool // folders begin with a block that is a hash tree's, as of dir_index
	lostFound bool
}

// image is a generated image and where its parts are, for those who break them.
type image struct {
	data   []byte
	inode  map[string]int // place of an inode, by path
	number map[string]uint32
	entry  map[string]int // place of a folder's entry
	block  map[string]int // place of the first block of a folder, or of a link's target
	table  map[string]int // place of the first indirect block
}

// generate writes the tree below "."; folders that only appear in paths are made.
func (g generator) generate(tree map[string]file) *image {
	le := binary.LittleEndian
	bs := 1024 << g.shift
	isize := max(g.inodeSize, oldInodeSize)
	groups := max(g.groups, 1)
	all := maps.Clone(tree)
	for name := range tree {
		for dir := path.Dir(name); ; dir = path.Dir(dir) {
			if _, ok := all[dir]; !ok {
				all[dir] = folder()
			}
			if dir == "." {
				break
			}
		}
	}
	if g.lostFound {
		all["lost+found"] = folder()
	}
	names := slices.Sorted(maps.Keys(all))
	im := &image{
		inode: map[string]int{}, number: map[string]uint32{}, entry: map[string]int{}, block: map[string]int{}, table: map[string]int{},
	}
	next := uint32(11)
	for _, name := range names {
		if name == "." {
			im.number[name] = rootInode
			continue
		}
		im.number[name] = next
		next++
	}
	perGroup := (int(next)/groups + 8) &^ 7
	first := 0
	if bs == 1024 {
		first = 1
	}
	descriptors := (first + 1) * bs
	up := func(n int) int { return (n + bs - 1) / bs }
	tables := first + 1 + up(groups*descriptorSize)
	tableBlocks := up(perGroup * isize)
	im.data = make([]byte, (tables+groups*tableBlocks)*bs)
	alloc := func() int {
		im.data = append(im.data, make([]byte, bs)...)
		return len(im.data)/bs - 1
	}
	for i := range groups {
		le.PutUint32(im.data[descriptors+i*descriptorSize+8:], uint32(tables+i*tableBlocks))
	}
	for _, name := range names {
		i := int(im.number[name] - 1)
		im.inode[name] = (tables+i/perGroup*tableBlocks)*bs + i%perGroup*isize
	}

	// put writes an inode whose content has that size; block returns block k of it, or nil for a hole.
	put := func(name string, mode uint32, size int64, block func(k int64) []byte) {
		per := int64(bs / 4)
		inode := make([]byte, oldInodeSize)
		sectors := 0
		// set makes pointers[slot] lead to data through depth indirect blocks, at place n below it.
		var set func(get func() []byte, slot int64, depth int, n int64, data []byte)
		set = func(get func() []byte, slot int64, depth int, n int64, data []byte) {
			number := int(le.Uint32(get()[4*slot:]))
			if number == 0 {
				number = alloc()
				sectors += bs / 512
				le.PutUint32(get()[4*slot:], uint32(number))
				if _, ok := im.table[name]; !ok && depth > 0 {
					im.table[name] = number * bs
				}
			}
			if depth == 0 {
				copy(im.data[number*bs:], data)
				return
			}
			span := int64(1)
			for range depth - 1 {
				span *= per
			}
			set(func() []byte { return im.data[number*bs:][:bs] }, n/span, depth-1, n%span, data)
		}
		root := func() []byte { return inode[40:100] }
		for k := int64(0); k*int64(bs) < size; k++ {
			data := block(k)
			if data == nil {
				continue
			}
			slot, depth, n := k, 0, k-directBlocks
			for span := per; n >= 0 && k >= directBlocks; span *= per {
				depth++
				slot = int64(directBlocks + depth - 1)
				if n < span {
					break
				}
				n -= span
			}
			set(root, slot, depth, n, data)
		}
		le.PutUint16(inode, uint16(mode))
		le.PutUint32(inode[4:], uint32(size))
		le.PutUint16(inode[26:], 1)
		le.PutUint32(inode[28:], uint32(sectors))
		if mode&modeType == modeFile {
			le.PutUint32(inode[108:], uint32(size>>32))
		}
		if b := le.Uint32(inode[40:]); b != 0 {
			im.block[name] = int(b) * bs
		}
		copy(im.data[im.inode[name]:], inode)
	}

	for _, name := range names {
		f := all[name]
		switch f.mode & modeType {
		case modeFile:
			put(name, f.mode, f.size, func(k int64) []byte {
				// Asked for each block of a sparse file: most have nothing.
				for at, s := range f.pieces {
					if at < (k+1)*int64(bs) && at+int64(len(s)) > k*int64(bs) {
						return f.content(k*int64(bs), int64(bs))
					}
				}
				return nil
			})
		case modeDir:
			blocks, places := g.folder(name, all, im.number, bs)
			put(name, f.mode, int64(len(blocks)*bs), func(k int64) []byte { return blocks[k] })
			// Which block became which number is known only now; folders of samples have their first 12 blocks only.
			for child, p := range places {
				if p[0] < directBlocks {
					im.entry[child] = int(le.Uint32(im.data[im.inode[name]+40+4*p[0]:]))*bs + p[1]
				}
			}
		case modeLink:
			if len(f.target) < 60 && !g.slowLinks {
				put(name, f.mode, 0, nil)
				le.PutUint32(im.data[im.inode[name]+4:], uint32(len(f.target)))
				copy(im.data[im.inode[name]+40:], f.target)
				break
			}
			put(name, f.mode, int64(len(f.target)), func(k int64) []byte {
				return []byte(f.target)[k*int64(bs) : min(int64(len(f.target)), (k+1)*int64(bs))]
			})
		default:
			put(name, f.mode, 0, nil)
		}
	}

	inGroup := (len(im.data)/bs - first + groups - 1) / groups
	total := first + inGroup*groups
	im.data = append(im.data, make([]byte, total*bs-len(im.data))...)
	sb := im.data[superblockOffset:]
	le.PutUint32(sb[0:], uint32(perGroup*groups))
	le.PutUint32(sb[4:], uint32(total))
	le.PutUint32(sb[20:], uint32(first))
	le.PutUint32(sb[24:], uint32(g.shift))
	le.PutUint32(sb[32:], uint32(inGroup))
	le.PutUint32(sb[40:], uint32(perGroup))
	le.PutUint16(sb[56:], magic)
	le.PutUint32(sb[76:], g.revision)
	if g.revision > 0 {
		le.PutUint32(sb[84:], 11)
		le.PutUint16(sb[88:], uint16(isize))
	}
	le.PutUint32(sb[96:], g.features)
	return im
}

// folder returns the blocks of a folder, and block and place in it of each path.
func (g generator) folder(dir string, all map[string]file, numbers map[string]uint32, bs int) ([][]byte, map[string][2]int) {
	le := binary.LittleEndian
	places := map[string][2]int{}
	block := make([]byte, bs)
	blocks := [][]byte{block}
	used, last := 0, 0
	// close lets the last entry reach to the end of the block.
	closeBlock := func() { le.PutUint16(block[last+4:], uint16(min(bs-last, 0xffff))) }
	add := func(name string, number, mode uint32) {
		length := (entryHeader + len(name) + 3) &^ 3
		if used+length > bs {
			closeBlock()
			block = make([]byte, bs)
			blocks = append(blocks, block)
			used = 0
		}
		le.PutUint32(block[used:], number)
		le.PutUint16(block[used+4:], uint16(length))
		block[used+6] = byte(len(name))
		if g.features&featureFiletype != 0 {
			block[used+7] = map[uint32]byte{modeFile: 1, modeDir: 2, modeChar: 3, modeBlock: 4, modePipe: 5, modeSocket: 6, modeLink: 7}[mode&modeType]
		}
		copy(block[used+entryHeader:], name)
		last, used = used, used+length
	}
	add(".", numbers[dir], modeDir)
	add("..", numbers[path.Dir(dir)], modeDir)
	if g.indexed {
		closeBlock()
		copy(block[24:], bytes.Repeat([]byte{0xa5}, bs-24))
		inner := make([]byte, bs) // a node of the tree: one unused entry
		le.PutUint16(inner[4:], uint16(min(bs, 0xffff)))
		copy(inner[8:], bytes.Repeat([]byte{0x5a}, bs-8))
		inner[6] = 0
		blocks = append(blocks, inner)
		used, last = bs, 0
		block = inner
	}
	var children []string
	for name := range all {
		if name != "." && path.Dir(name) == dir {
			children = append(children, name)
		}
	}
	// Not in order: as they come in real ones.
	slices.SortFunc(children, func(a, b string) int { return strings.Compare(reverse(a), reverse(b)) })
	for _, child := range children {
		add(path.Base(child), numbers[child], all[child].mode)
		places[child] = [2]int{len(blocks) - 1, last}
	}
	closeBlock()
	return blocks, places
}

func reverse(s string) string {
	b := []byte(s)
	slices.Reverse(b)
	return string(b)
}
