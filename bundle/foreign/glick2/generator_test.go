// SPDX-License-Identifier: MIT

package glick2

import (
	"bytes"
	"crypto/sha1"
	"encoding/binary"
	"path"
	"slices"
	"strings"
)

// The generator writes bundles as doc/foreign.md says that the original does, from the text there alone. Each knob breaks one thing.

var le = binary.LittleEndian

// file is what goes into a slice: a folder, a file, a link, or of another type when mode says so.
type file struct {
	path, data string // data is a link's target
	mode       uint32
}

type knobs struct {
	layout    layout
	header    func(h []byte)           // the first 52 bytes
	ref       func(i int, ref []byte)  // a slice's reference
	slice     func(i int, head []byte) // a slice's own header
	inode     func(i int, name string, inode []byte)
	dirs      func(i int, dirs []byte)
	name      func(i int, name string) string
	align     int  // of the slices, for small inputs of the fuzzer; 4096 unless given
	cut       int  // bytes to leave out at the end
	noStrings bool // no zero after the last string
}

type genSlice struct {
	files  []file
	export bool
}

// djb is the hash of a path: bytes are signed.
func djb(s string) uint32 {
	h := uint32(5381)
	for i := range len(s) {
		h = h<<5 + h + uint32(int8(s[i]))
	}
	return h
}

// generate returns the bytes of a bundle.
func generate(id, version, exec string, trees []genSlice, k knobs) []byte {
	if k.layout.ref == 0 {
		k.layout = layouts[0]
	}
	if k.align == 0 {
		k.align = 4096
	}
	var out bytes.Buffer
	head := make([]byte, 52+len(trees)*int(k.layout.ref))
	texts := len(head)
	head = append(head, id+version+exec...)
	refs := head[52:texts]
	copy(head, "\x8cGLK\r\n\x1a\n")
	le.PutUint32(head[8:], 1)
	le.PutUint32(head[16:], uint32(len(head)))
	le.PutUint32(head[20:], uint32(texts))
	le.PutUint32(head[24:], uint32(len(id)))
	le.PutUint32(head[28:], uint32(texts+len(id)))
	le.PutUint32(head[32:], uint32(len(version)))
	if exec != "" {
		le.PutUint32(head[36:], uint32(texts+len(id)+len(version)))
		le.PutUint32(head[40:], uint32(len(exec)))
	}
	le.PutUint32(head[44:], 52)
	le.PutUint32(head[48:], uint32(len(trees)))
	out.Write(head)
	var data []string
	for i, t := range trees {
		out.Write(make([]byte, -out.Len()&(k.align-1)))
		table, content := k.tables(i, t.files)
		ref := refs[i*int(k.layout.ref):]
		le.PutUint64(ref[0:], uint64(out.Len()))
		le.PutUint64(ref[8:], uint64(len(table)))
		le.PutUint64(ref[24:], uint64(len(content)))
		if t.export {
			le.PutUint32(ref[32:], 1)
		}
		out.Write(table)
		data = append(data, content)
	}
	for i, d := range data {
		le.PutUint64(refs[i*int(k.layout.ref)+16:], uint64(out.Len()))
		out.WriteString(d)
	}
	for i := range trees {
		if k.ref != nil {
			k.ref(i, refs[i*int(k.layout.ref):][:k.layout.ref])
		}
	}
	if k.header != nil {
		k.header(head[:52])
	}
	b := out.Bytes()
	copy(b, head)
	return b[:len(b)-k.cut]
}

// tables returns a slice's header with its tables, and its contents.
func (k *knobs) tables(index int, files []file) ([]byte, string) {
	files = append([]file{{path: "/", mode: 0o040755}}, files...)
	// The folders that lead to a file come before it.
	slices.SortStableFunc(files, func(a, b file) int { return strings.Compare(a.path, b.path) })
	number := map[string]uint32{}
	for i, f := range files {
		number[f.path] = uint32(i)
	}
	var texts, content []byte
	intern := func(s string) uint32 {
		at := len(texts)
		texts = append(append(texts, s...), 0)
		return uint32(at)
	}
	step := int(k.layout.inode)
	inodes, dirs := make([]byte, len(files)*step), []byte{}
	shift := 1
	for 1<<shift <= 2*len(files) {
		shift++
	}
	hash := bytes.Repeat([]byte{0xff}, 4<<shift)
	for i, f := range files {
		b := inodes[i*step:][:step]
		name := path.Base(f.path)
		if k.name != nil {
			name = k.name(index, name)
		}
		h := djb(f.path)
		le.PutUint32(b[0:], h)
		le.PutUint32(b[4:], intern(name))
		if i > 0 {
			le.PutUint32(b[8:], number[path.Dir(f.path)])
		}
		le.PutUint16(b[12:], uint16(f.mode))
		le.PutUint64(b[16:], 1318500000)
		switch f.mode & modeType {
		case modeDir:
			le.PutUint64(b[24:], uint64(len(dirs)/4))
			for j, c := range files {
				if j > 0 && path.Dir(c.path) == f.path {
					dirs = le.AppendUint32(dirs, uint32(j))
					le.PutUint64(b[32:], le.Uint64(b[32:])+1)
				}
			}
		case modeFile:
			le.PutUint64(b[24:], uint64(len(content)))
			le.PutUint64(b[32:], uint64(len(f.data)))
			sum := sha1.Sum([]byte(f.data))
			copy(b[40:], sum[:])
			content = append(content, f.data...)
		case modeLink:
			le.PutUint64(b[24:], uint64(intern(f.data)))
		}
		bucket, n := int(h), 1
		for bucket &= 1<<shift - 1; le.Uint32(hash[4*bucket:]) != 0xffffffff; n++ {
			bucket = (bucket + n) & (1<<shift - 1)
		}
		le.PutUint32(hash[4*bucket:], uint32(i))
		if k.inode != nil {
			k.inode(index, f.path, b)
		}
	}
	if k.dirs != nil {
		k.dirs(index, dirs)
	}
	if k.noStrings {
		texts = texts[:len(texts)-1]
	}
	head := make([]byte, 32)
	at := len(head)
	for _, p := range []struct {
		field int
		part  []byte
	}{{0, hash}, {16, inodes}, {24, dirs}, {8, texts}} {
		le.PutUint32(head[p.field:], uint32(at))
		at += len(p.part)
	}
	le.PutUint32(head[4:], uint32(shift))
	le.PutUint32(head[12:], uint32(len(texts)))
	le.PutUint32(head[20:], uint32(len(files)))
	le.PutUint32(head[28:], uint32(len(dirs)/4))
	if k.slice != nil {
		k.slice(index, head)
	}
	return slices.Concat(head, hash, inodes, dirs, texts), string(content)
}

// sample is an application with an exported slice over the main one.
var sample = []genSlice{
	{files: []file{
		{"/bin", "", 0o040755},
		{"/bin/hello", "#!/bin/sh\necho hello\n", 0o100755},
		{"/bin/hi", "hello", 0o120777},
		{"/share", "", 0o040700},
		{"/share/doc", "", 0o040755},
		{"/share/doc/a", "first", 0o100644},
		{"/share/doc/b", "", 0o100644},
		{"/share/over", "", 0o040755},
		{"/share/over/hidden", "x", 0o100644},
		{"/pipe", "", 0o010644},
	}},
	{export: true, files: []file{
		{"/share", "", 0o040755},
		{"/share/applications", "", 0o040755},
		{"/share/applications/org.example.Hello.desktop", "[Desktop Entry]\n", 0o100644},
		{"/share/doc", "", 0o040755},
		{"/share/doc/a", "second", 0o100600},
		{"/share/over", "a file", 0o100644},
	}},
}
