// SPDX-License-Identifier: MIT

package foreign

import (
	"fmt"
	"io"
	"io/fs"
	"sort"
	"strings"

	"glick.org/glick/bundle"
)

// Types of inodes, as in stat(2).
const (
	modeType = 0o170000
	modeLink = 0o120000
	modeFile = 0o100000
	modeDir  = 0o040000
)

const (
	maxLinks   = 40       // as Linux follows
	maxFolders = 16 << 20 // bytes of folders that are read to find the few files that say what an application is
)

// walker finds files in an image by their path. It follows links, but only within the image. It keeps the folders that it has read.
type walker struct {
	files   bundle.FileSystem
	prefix  string // absolute path at which the image is seen by its programs; "" when it has no fixed one
	folders map[bundle.Inode][]bundle.DirEntry
	room    int
}

func newWalker(files bundle.FileSystem, prefix string) *walker {
	return &walker{files: files, prefix: prefix, folders: make(map[bundle.Inode][]bundle.DirEntry), room: maxFolders}
}

// list returns the entries of a folder.
func (w *walker) list(dir bundle.Inode) ([]bundle.DirEntry, error) {
	if list, ok := w.folders[dir]; ok {
		return list, nil
	}
	list, err := w.files.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range list {
		w.room -= 32 + len(e.Name)
	}
	if w.room -= 64; w.room < 0 {
		return nil, fmt.Errorf("its folders are too large: %w", bundle.ErrUnsupported)
	}
	w.folders[dir] = list
	return list, nil
}

// find returns what a path leads to. The error is fs.ErrNotExist when that is nothing, or nothing in the image.
func (w *walker) find(path string) (bundle.Inode, bundle.Stat, error) {
	none := func() (bundle.Inode, bundle.Stat, error) { return 0, bundle.Stat{}, fs.ErrNotExist }
	type place struct {
		inode bundle.Inode
		stat  bundle.Stat
	}
	root := place{w.files.Root(), bundle.Stat{Mode: modeDir}}
	way := []place{root}
	rest := strings.Split(path, "/")
	for links := 0; len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		here := way[len(way)-1]
		switch {
		case here.stat.Mode&modeType != modeDir:
			return none()
		case name == "" || name == ".":
			continue
		case name == "..":
			// The root of the image is a folder like any other to a program that runs from it: above it is the rest of the world.
			if len(way) == 1 {
				return none()
			}
			way = way[:len(way)-1]
			continue
		}
		list, err := w.list(here.inode)
		if err != nil {
			return 0, bundle.Stat{}, err
		}
		i := sort.Search(len(list), func(i int) bool { return list[i].Name >= name })
		if i == len(list) || list[i].Name != name {
			return none()
		}
		st, err := w.files.Stat(list[i].Inode)
		if err != nil {
			return 0, bundle.Stat{}, err
		}
		if st.Mode&modeType != modeLink {
			way = append(way, place{list[i].Inode, st})
			continue
		}
		if links++; links > maxLinks {
			return none()
		}
		target := st.Target
		if strings.HasPrefix(target, "/") {
			var ok bool
			if target, ok = strings.CutPrefix(target, w.prefix+"/"); !ok || w.prefix == "" {
				return none()
			}
			way = way[:1]
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	end := way[len(way)-1]
	return end.inode, end.stat, nil
}

// names returns the names in a folder; none when there is no such folder.
func (w *walker) names(path string) ([]string, error) {
	i, st, err := w.find(path)
	if err != nil || st.Mode&modeType != modeDir {
		return nil, ignoreMissing(err)
	}
	list, err := w.list(i)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(list))
	for k := range list {
		names[k] = list[k].Name
	}
	return names, nil
}

// read returns the content of a file; nil when there is no such file, and when it has more than limit bytes.
func (w *walker) read(path string, limit int64) ([]byte, error) {
	i, st, err := w.find(path)
	if err != nil || st.Mode&modeType != modeFile || st.Size > limit || st.Size < 0 {
		return nil, ignoreMissing(err)
	}
	data := make([]byte, st.Size)
	if err := w.fill(i, data); err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", path, err)
	}
	return data, nil
}

// fill reads the beginning of a file.
func (w *walker) fill(i bundle.Inode, p []byte) error {
	return bundle.ReadFull(inode{w.files, i}, p, 0)
}

// inode is the content of a file.
type inode struct {
	files bundle.FileSystem
	i     bundle.Inode
}

func (n inode) ReadAt(p []byte, off int64) (int, error) { return n.files.ReadAt(n.i, p, off) }

var _ io.ReaderAt = inode{}
