// SPDX-License-Identifier: MIT

package bundle

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// Foreign is what is known of a file that another program has made. All of it comes from a stranger.
type Foreign struct {
	Format   string      // one of the names above
	Reader   io.ReaderAt // the file
	Size     int64       // of the file, in bytes
	Manifest Manifest    // what the format has of it; what it lacks is empty
	// DesktopFile, Metainfo and SVG are nil when there is none.
	DesktopFile, Metainfo, SVG []byte
	Icons                      map[int][]byte // PNG pictures by their size in pixels
	Files                      FileSystem
}

// NewForeign makes what was found in a foreign file readable through the methods of a Bundle. What the format does not have, it does not have
// here either: no digests, no slices, nothing that Verify could check.
func NewForeign(f Foreign) *Bundle {
	m := f.Manifest
	return &Bundle{r: f.Reader, size: f.Size, format: f.Format, manifest: &m, foreign: &f}
}

func (f *Foreign) section(name string) []byte {
	switch name {
	case sectionDesktop:
		return f.DesktopFile
	case sectionMetainfo:
		return f.Metainfo
	case sectionSVG:
		return f.SVG
	}
	if n, ok := iconSize(name); ok {
		return f.Icons[n]
	}
	return nil
}

// Inode names a file, folder or link of a FileSystem; what the number means is the file system's own affair.
type Inode uint64

// Stat is what a FileSystem knows of an inode.
type Stat struct {
	Mode   uint32 // type and permissions as in stat(2)
	Size   int64  // of a regular file's content, in bytes
	Target string // of a symbolic link
}

// DirEntry is a name in a folder.
type DirEntry struct {
	Name  string
	Inode Inode
}

// FileSystem is the file tree of a file that another program has made. Its implementations read the image when they are asked, trust no number
// in it, take no more memory than a small multiple of what they return, and can be used by many goroutines at once when their reader can.
// Errors are ErrTruncated, ErrDamaged, ErrUnsupported, or those of the reader.
type FileSystem interface {
	// Root returns the root folder.
	Root() Inode
	// Stat returns the type, permissions and size of an inode, and a link's target.
	Stat(i Inode) (Stat, error)
	// ReadDir lists a folder in ascending bytewise order, without "." and "..". Names have 1 to 255 bytes, none of them 0 or "/", and no name
	// comes twice: an image that breaks this is ErrDamaged. Devices, sockets and pipes are listed like all else.
	ReadDir(i Inode) ([]DirEntry, error)
	// ReadAt reads the content of a regular file as io.ReaderAt does.
	ReadAt(i Inode, p []byte, off int64) (int, error)
}

// foreignTree walks through the file system and makes an index of it, so that a foreign tree is like any other. Folders that are in several
// folders would make it endless and are ErrDamaged; devices, sockets and pipes are left out, as is a set-id bit.
func (b *Bundle) foreignTree() (*Tree, error) {
	t := &Tree{bundle: b, files: b.foreign.Files}
	if t.files == nil {
		t.slices = []*index{emptyIndex}
		return t, nil
	}
	stat, err := t.files.Stat(t.files.Root())
	if err != nil {
		return nil, fmt.Errorf("cannot read its root folder: %w", err)
	}
	if stat.Mode&modeType != modeDir {
		return nil, damaged("its root is not a folder")
	}
	w := foreignWalk{tree: t, folders: map[Inode]bool{t.files.Root(): true}, contents: make(map[Inode]uint32), room: maxIndex - indexHeaderSize}
	w.add(entry{mode: modeDir | uint16(stat.Mode&modePerm), xattr: noXattrs}, t.files.Root(), 0)
	for at := 0; at < len(w.inodes); at++ {
		if err := w.folder(at); err != nil {
			return nil, err
		}
	}
	w.index.entries, w.index.strings = w.out.entries, w.out.strings
	t.slices = []*index{&w.index}
	return t, nil
}

// foreignWalk makes an index of a FileSystem.
type foreignWalk struct {
	tree     *Tree
	out      indexWriter
	index    index
	inodes   []Inode  // by entry
	depths   []uint16 // by entry: length of its path
	folders  map[Inode]bool
	contents map[Inode]uint32
	room     int // bytes that the index may still grow, as those of bundles: that bounds the memory
}

func (w *foreignWalk) add(e entry, inode Inode, depth int) {
	w.out.add(e)
	w.inodes = append(w.inodes, inode)
	w.depths = append(w.depths, uint16(depth))
}

// folder adds what is in the folder at an entry; nothing when it is none.
func (w *foreignWalk) folder(at int) error {
	x := &index{entries: w.out.entries, strings: w.out.strings}
	d := x.entry(at)
	if !d.isDir() {
		return nil
	}
	here := string(x.name(d))
	list, err := w.tree.files.ReadDir(w.inodes[at])
	if err != nil {
		return fmt.Errorf("cannot read the folder %q: %w", here, err)
	}
	first := len(w.inodes)
	for i, name := range list {
		switch {
		case !validName([]byte(name.Name)):
			return damaged("the folder %q has an impossible name in it", here)
		case i > 0 && list[i-1].Name >= name.Name:
			return damaged("the names in the folder %q are not in order", here)
		}
		depth := int(w.depths[at]) + 1 + len(name.Name)
		if depth > maxPath {
			return damaged("the path of %q is longer than %d bytes", name.Name, maxPath)
		}
		stat, err := w.tree.files.Stat(name.Inode)
		if err != nil {
			return fmt.Errorf("cannot read %q in the folder %q: %w", name.Name, here, err)
		}
		e := entry{mode: uint16(stat.Mode & (modeType | modePerm)), parent: uint32(at), xattr: noXattrs}
		switch stat.Mode & modeType {
		case modeDir:
			if w.folders[name.Inode] {
				return damaged("the folder %q is in several folders", name.Name)
			}
			w.folders[name.Inode] = true
		case modeLink:
			if stat.Target == "" || len(stat.Target) > maxPath || strings.IndexByte(stat.Target, 0) >= 0 {
				return damaged("the link %q has an impossible target", name.Name)
			}
			e.a, e.b = w.out.text(stat.Target), uint32(len(stat.Target))
		case modeFile:
			if e.a, err = w.content(name, stat.Size); err != nil {
				return err
			}
		default:
			continue
		}
		e.nameOff, e.nameLen = w.out.text(name.Name), uint16(len(name.Name))
		w.add(e, name.Inode, depth)
		if len(w.out.entries)+len(w.out.strings)+len(w.index.contents) > w.room {
			return fmt.Errorf("it has too many files: %w", ErrUnsupported)
		}
	}
	w.out.children(at, uint32(first), uint32(len(w.inodes)-first))
	return nil
}

// content returns the number of an inode's content. Hard links have the same.
func (w *foreignWalk) content(name DirEntry, size int64) (uint32, error) {
	n, ok := w.contents[name.Inode]
	if ok {
		return n, nil
	}
	if size < 0 || size > maxContent-w.index.size {
		return 0, damaged("the file %q has an impossible size", name.Name)
	}
	w.index.size += size
	n = uint32(len(w.tree.inodes))
	w.contents[name.Inode] = n
	w.tree.inodes = append(w.tree.inodes, name.Inode)
	w.index.contents = content{size: uint64(size)}.append(w.index.contents)
	return n, nil
}

// readForeign is ReadAt for a tree without chunks.
func (t *Tree) readForeign(n Node, p []byte, off int64) (int, error) {
	info := t.Info(n)
	if !info.IsFile() || off < 0 {
		return 0, fmt.Errorf("cannot read %q at %d: not a place in a file", t.Path(n), off)
	}
	if off >= info.Size {
		return 0, io.EOF
	}
	short := int64(len(p)) > info.Size-off
	if short {
		p = p[:info.Size-off]
	}
	done, err := t.files.ReadAt(t.inodes[info.content], p, off)
	switch {
	case done == len(p) && short:
		return done, io.EOF
	case done == len(p):
		return done, nil
	case err == nil || errors.Is(err, io.EOF):
		return done, fmt.Errorf("cannot read %q: %w", t.Path(n), ErrTruncated)
	}
	return done, fmt.Errorf("cannot read %q: %w", t.Path(n), err)
}
