// SPDX-License-Identifier: MIT

package glick2

import (
	"bytes"
	"fmt"
	"io"
	"slices"

	"glick.org/glick/bundle"
)

// node is an inode of the united tree: the one of the last slice that has its path. Children have consecutive numbers, in the order of their
// names.
type node struct {
	slice, inode uint32
	first, count uint32
	path         uint16 // length of its path in bytes
}

// place is an inode of a slice.
type place struct{ slice, inode uint32 }

// unite makes the tree of all slices as the original does: of the same path the last slice counts, and what is a folder there has the
// entries of all slices in which it is one.
func (m *Image) unite() error {
	// layers are, for each node that is a folder and whose entries are not there yet, the folders, lowest slice first, of which it is made.
	layers := [][]place{nil}
	total := 0
	for i := range m.slices {
		layers[0] = append(layers[0], place{uint32(i), 0})
		total += m.slices[i].count()
	}
	m.nodes = make([]node, 1, total)
	m.nodes[0].slice = uint32(len(m.slices) - 1)
	type child struct {
		place
		name []byte
	}
	var children []child
	for n := 0; n < len(m.nodes); n++ {
		m.nodes[n].first = uint32(len(m.nodes))
		if !m.inode(place{m.nodes[n].slice, m.nodes[n].inode}).is(modeDir) {
			continue
		}
		count := 0
		for _, l := range layers[0] {
			count += int(m.inode(l).size)
		}
		children = slices.Grow(children[:0], count)
		for _, l := range layers[0] {
			s := &m.slices[l.slice]
			s.children(s.inode(int(l.inode)), func(i int) { children = append(children, child{place{l.slice, uint32(i)}, s.name(i)}) })
		}
		layers = layers[1:]
		slices.SortFunc(children, func(a, b child) int {
			if c := bytes.Compare(a.name, b.name); c != 0 {
				return c
			}
			return int(a.slice) - int(b.slice)
		})
		for rest := children; len(rest) > 0; {
			same := 1
			for same < len(rest) && bytes.Equal(rest[same].name, rest[0].name) {
				if rest[same].slice == rest[same-1].slice {
					return fmt.Errorf("slice %d has two entries %q in a folder: %w", rest[same].slice, rest[0].name, bundle.ErrDamaged)
				}
				same++
			}
			top := rest[same-1]
			length := int(m.nodes[n].path) + 1 + len(top.name)
			if length > maxPath {
				return fmt.Errorf("a path is longer than %d bytes: %w", maxPath, bundle.ErrDamaged)
			}
			m.nodes = append(m.nodes, node{slice: top.slice, inode: top.inode, path: uint16(length)})
			if m.inode(top.place).is(modeDir) {
				var dirs []place
				for _, p := range rest[:same] {
					if m.inode(p.place).is(modeDir) {
						dirs = append(dirs, p.place)
					}
				}
				layers = append(layers, dirs)
			}
			rest = rest[same:]
		}
		m.nodes[n].count = uint32(len(m.nodes)) - m.nodes[n].first
	}
	return nil
}

func (m *Image) inode(p place) inode { return m.slices[p.slice].inode(int(p.inode)) }

func (m *Image) name(p place) []byte { return m.slices[p.slice].name(int(p.inode)) }

// at returns what is known of an inode of the united tree.
func (m *Image) at(i bundle.Inode) (*slice, node, inode, error) {
	if uint64(i) >= uint64(len(m.nodes)) {
		return nil, node{}, inode{}, fmt.Errorf("there is no inode %d: %w", i, bundle.ErrDamaged)
	}
	n := m.nodes[i]
	return &m.slices[n.slice], n, m.inode(place{n.slice, n.inode}), nil
}

// Root returns the root folder.
func (m *Image) Root() bundle.Inode { return 0 }

// Stat returns the type, permissions and size of an inode, and a link's target.
func (m *Image) Stat(i bundle.Inode) (bundle.Stat, error) {
	s, _, n, err := m.at(i)
	if err != nil {
		return bundle.Stat{}, err
	}
	st := bundle.Stat{Mode: n.mode}
	switch {
	case n.is(modeFile):
		st.Size = int64(n.size) // was checked against the size of the file
	case n.is(modeLink):
		target, _ := s.text(n.offset, maxPath)
		st.Target = string(target)
	}
	return st, nil
}

// ReadDir lists a folder in ascending bytewise order.
func (m *Image) ReadDir(i bundle.Inode) ([]bundle.DirEntry, error) {
	_, d, n, err := m.at(i)
	if err != nil {
		return nil, err
	}
	if !n.is(modeDir) {
		return nil, fmt.Errorf("inode %d is not a folder: %w", i, bundle.ErrDamaged)
	}
	list := make([]bundle.DirEntry, 0, d.count)
	for k := d.first; k < d.first+d.count; k++ {
		name := m.name(place{m.nodes[k].slice, m.nodes[k].inode})
		list = append(list, bundle.DirEntry{Name: string(name), Inode: bundle.Inode(k)})
	}
	return list, nil
}

// ReadAt reads the content of a regular file as io.ReaderAt does. It does not compare it to the file's SHA-1.
func (m *Image) ReadAt(i bundle.Inode, p []byte, off int64) (int, error) {
	s, _, n, err := m.at(i)
	if err != nil {
		return 0, err
	}
	if !n.is(modeFile) || off < 0 {
		return 0, fmt.Errorf("cannot read inode %d at %d: not a place in a file: %w", i, off, bundle.ErrDamaged)
	}
	left := int64(n.size) - off
	if left <= 0 {
		return 0, io.EOF
	}
	part := p[:min(int64(len(p)), left)]
	if err := bundle.ReadFull(m.r, part, s.DataOffset+int64(n.offset)+off); err != nil {
		return 0, fmt.Errorf("cannot read inode %d: %w", i, err)
	}
	if len(part) < len(p) {
		return len(part), io.EOF
	}
	return len(part), nil
}

// SHA1 returns the digest that the bundle has of a regular file's content; false for all else, and where the writer left it out.
func (m *Image) SHA1(i bundle.Inode) ([20]byte, bool) {
	s, d, n, err := m.at(i)
	if err != nil || !n.is(modeFile) {
		return [20]byte{}, false
	}
	sum := [20]byte(s.inodes[int64(d.inode)*s.step+40:])
	return sum, sum != [20]byte{}
}
