// SPDX-License-Identifier: MIT

package xdgexport

import (
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"glick.org/glick/bundle"
)

// maxHops bounds the symbolic links followed for one name, as the kernel does.
const maxHops = 40

// tree looks at the files of a bundle as a process in it would, but never leaves it: links that point outside the
// prefix lead nowhere.
type tree struct {
	*bundle.Tree
	prefix string
}

// at finds what a slash path relative to the prefix means, following links.
func (t tree) at(name string) (bundle.Node, bool) {
	todo := split(name)
	var at []bundle.Node // the way from the root to here
	here := func() bundle.Node {
		if len(at) == 0 {
			return 0
		}
		return at[len(at)-1]
	}
	for hops := 0; len(todo) > 0; {
		word := todo[0]
		todo = todo[1:]
		if word == ".." {
			if len(at) == 0 {
				return 0, false
			}
			at = at[:len(at)-1]
			continue
		}
		n, ok := t.Lookup(here(), word)
		if !ok {
			return 0, false
		}
		info := t.Info(n)
		if info.Mode&unix.S_IFMT != unix.S_IFLNK {
			at = append(at, n)
			continue
		}
		if hops++; hops > maxHops {
			return 0, false
		}
		target := info.Target
		if path.IsAbs(target) {
			rel, ok := t.inside(target)
			if !ok {
				return 0, false
			}
			target, at = rel, at[:0]
		}
		todo = append(split(target), todo...)
		if len(todo) > 4096 {
			return 0, false
		}
	}
	return here(), true
}

// inside makes a path below the prefix relative to it.
func (t tree) inside(abs string) (string, bool) {
	rest, ok := strings.CutPrefix(path.Clean(abs), path.Clean(t.prefix))
	if !ok || rest != "" && rest[0] != '/' {
		return "", false
	}
	return strings.TrimPrefix(rest, "/"), true
}

func split(name string) []string {
	return slices.DeleteFunc(strings.Split(name, "/"), func(s string) bool { return s == "" || s == "." })
}

// entry is a file of a folder, links followed.
type entry struct {
	name string
	node bundle.Node
}

// list gives the regular files of a folder that are in slices marked as exported and whose names pass, sorted; nothing when there is no such folder.
func (t tree) list(dir string, pass func(name string) bool) []entry {
	d, ok := t.at(dir)
	if !ok || t.Info(d).Mode&unix.S_IFMT != unix.S_IFDIR {
		return nil
	}
	var all []entry
	for c := range t.Children(d) {
		info := t.Info(c)
		name := info.Name
		if !printable(name) || !pass(name) || !t.Bundle().Manifest().Slices[info.Slice].Exported {
			continue
		}
		if n, ok := t.at(path.Join(dir, name)); ok && t.Info(n).Mode&unix.S_IFMT == unix.S_IFREG {
			all = append(all, entry{name, n})
		}
	}
	return all
}

// folders gives the names of the folders in a folder.
func (t tree) folders(dir string) []string {
	d, ok := t.at(dir)
	if !ok || t.Info(d).Mode&unix.S_IFMT != unix.S_IFDIR {
		return nil
	}
	var all []string
	for c := range t.Children(d) {
		name := t.Info(c).Name
		if n, ok := t.at(path.Join(dir, name)); ok && printable(name) && t.Info(n).Mode&unix.S_IFMT == unix.S_IFDIR {
			all = append(all, name)
		}
	}
	return all
}

// program tells whether a path means an executable file.
func (t tree) program(name string) bool {
	n, ok := t.at(name)
	if !ok {
		return false
	}
	info := t.Info(n)
	return info.Mode&unix.S_IFMT == unix.S_IFREG && info.Mode&0o111 != 0
}

// read reads a whole file of at most most bytes.
func (t tree) read(n bundle.Node, most int64) ([]byte, error) {
	size := t.Info(n).Size
	if size > most {
		return nil, fmt.Errorf("it is too large (%d bytes, at most %d)", size, most)
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(io.NewSectionReader(fileAt{t.Tree, n}, 0, size), data); err != nil {
		return nil, fmt.Errorf("it cannot be read: %w", err)
	}
	return data, nil
}

type fileAt struct {
	t *bundle.Tree
	n bundle.Node
}

func (f fileAt) ReadAt(p []byte, off int64) (int, error) { return f.t.ReadAt(f.n, p, off) }

// printable accepts names and values that can be shown on one line.
func printable(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if r != ' ' && !unicode.IsGraphic(r) && !unicode.Is(unicode.Cf, r) {
			return false
		}
	}
	return true
}
