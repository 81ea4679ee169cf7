// SPDX-License-Identifier: MIT

package foreign

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"glick.org/glick/bundle"
)

// tree maps slash paths to contents. A content that begins with "-> " is a symbolic link.
type tree map[string]string

// write makes the tree in a new folder.
func (tr tree) write(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range tr {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, ok := strings.CutPrefix(content, "-> "); ok {
			err = os.Symlink(target, file)
		} else {
			err = os.WriteFile(file, []byte(content), 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// memory is a tree as a bundle.FileSystem.
type memory struct {
	tree  tree
	paths []string // by inode
}

func (tr tree) files() *memory {
	m := &memory{tree: tr, paths: []string{"."}}
	seen := map[string]bool{".": true}
	for name := range tr {
		for p := name; !seen[p]; p = path.Dir(p) {
			seen[p] = true
			m.paths = append(m.paths, p)
		}
	}
	slices.Sort(m.paths[1:])
	return m
}

func (m *memory) Root() bundle.Inode { return 0 }

func (m *memory) Stat(i bundle.Inode) (bundle.Stat, error) {
	content, ok := m.tree[m.paths[i]]
	target, link := strings.CutPrefix(content, "-> ")
	switch {
	case !ok:
		return bundle.Stat{Mode: 0o040755}, nil
	case link:
		return bundle.Stat{Mode: 0o120777, Target: target}, nil
	}
	return bundle.Stat{Mode: 0o100644, Size: int64(len(content))}, nil
}

func (m *memory) ReadDir(i bundle.Inode) ([]bundle.DirEntry, error) {
	var list []bundle.DirEntry
	for k, p := range m.paths[1:] {
		if path.Dir(p) == m.paths[i] {
			list = append(list, bundle.DirEntry{Name: path.Base(p), Inode: bundle.Inode(k + 1)})
		}
	}
	slices.SortFunc(list, func(a, b bundle.DirEntry) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

func (m *memory) ReadAt(i bundle.Inode, p []byte, off int64) (int, error) {
	return strings.NewReader(m.tree[m.paths[i]]).ReadAt(p, off)
}

// section is a section of a generated ELF file.
type section struct {
	name, content string
	kind          uint32
}

// generator writes ELF files from the System V ABI.
type generator struct {
	layout  *elfLayout
	order   binary.AppendByteOrder
	put     binary.ByteOrder
	machine uint16
	mark    string // at offset 8
}

var amd64 = generator{layout: &elf64, order: binary.LittleEndian, put: binary.LittleEndian, machine: 62}

// file returns an ELF file with a program header that covers its beginning, the sections, and the section table at its end.
func (g generator) file(list ...section) []byte {
	l := g.layout
	word := func(b []byte, off int, v int) {
		if l.wide {
			g.put.PutUint64(b[off:], uint64(v))
		} else {
			g.put.PutUint32(b[off:], uint32(v))
		}
	}
	b := make([]byte, l.header+l.program)
	class := byte(1)
	if l.wide {
		class = 2
	}
	data := byte(1)
	if g.put == binary.BigEndian {
		data = 2
	}
	copy(b, append([]byte{0x7f, 'E', 'L', 'F', class, data, 1, 0}, g.mark...))
	g.put.PutUint16(b[16:], 2)
	g.put.PutUint16(b[18:], g.machine)
	word(b, l.programs, l.header)
	word(b[l.header:], l.programSize, len(b))

	names := "\x00"
	table := make([]byte, l.section)
	list = append(list, section{name: ".shstrtab"})
	for i, s := range list {
		h := make([]byte, l.section)
		g.put.PutUint32(h, uint32(len(names)))
		names += s.name + "\x00"
		if i == len(list)-1 {
			s.content = names
		}
		if s.kind == 0 {
			s.kind = 1
		}
		g.put.PutUint32(h[4:], s.kind)
		word(h, l.sectionOff, len(b))
		word(h, l.sectionSize, len(s.content))
		if s.kind != nobits {
			b = append(b, s.content...)
		}
		table = append(table, h...)
	}
	for len(b)%16 != 0 {
		b = append(b, 0)
	}
	word(b, l.sections, len(b))
	for i, n := range []int{l.program, 1, l.section, len(list) + 1, len(list)} {
		g.put.PutUint16(b[l.counts+2*i:], uint16(n))
	}
	return append(b, table...)
}

// run runs a program that makes an image, and skips the test where it is not installed.
func run(t *testing.T, name string, args ...string) {
	t.Helper()
	file, err := exec.LookPath(name)
	if err != nil {
		for _, dir := range []string{"/usr/sbin", "/sbin"} {
			if _, e := os.Stat(filepath.Join(dir, name)); e == nil {
				file, err = filepath.Join(dir, name), nil
			}
		}
	}
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	if out, err := exec.Command(file, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// squash returns a squashfs image of the tree.
func squash(t *testing.T, tr tree) []byte {
	t.Helper()
	image := filepath.Join(t.TempDir(), "image")
	run(t, "mksquashfs", tr.write(t), image, "-all-root", "-no-progress", "-quiet")
	return readFile(t, image)
}

// ext2Image returns an ext2 image of the tree, as glick-mkext2 makes it.
func ext2Image(t *testing.T, tr tree) []byte {
	t.Helper()
	image := filepath.Join(t.TempDir(), "image")
	run(t, "mke2fs", "-q", "-t", "ext2", "-b", "1024", "-d", tr.write(t), image, "1024k")
	return readFile(t, image)
}

// iso returns an ISO 9660 image with Rock Ridge, whose first bytes are the ELF file.
func iso(t *testing.T, tr tree, program []byte) []byte {
	t.Helper()
	image := filepath.Join(t.TempDir(), "image")
	run(t, "genisoimage", "-quiet", "-R", "-o", image, tr.write(t))
	b := readFile(t, image)
	copy(b[:32<<10], program)
	return b
}

// endless is a reader of zeros behind a beginning.
type endless []byte

func (e endless) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	if off < int64(len(e)) {
		copy(p, e[off:])
	}
	return len(p), nil
}

var _ io.ReaderAt = endless(nil)

// counting counts the bytes that are read.
type counting struct {
	io.ReaderAt
	bytes int64
}

func (c *counting) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.ReaderAt.ReadAt(p, off)
	c.bytes += int64(n)
	return n, err
}

// xmlOf returns an AppStream file.
func xmlOf(id string) string {
	return fmt.Sprintf("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<component type=\"desktop-application\"><id> %s </id>"+
		"<releases><release version=\"9\"/></releases></component>", id)
}
