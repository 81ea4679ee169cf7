// SPDX-License-Identifier: MIT

package bundle

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// source is a folder on disk that becomes a slice. Its entries are in the order of the index: breadth first, names of a folder in bytewise order.
type source struct {
	dir                   string
	entries               []*sourceEntry
	notes                 []string
	files, folders, links int
	size                  int64
}

// sourceEntry is a file, folder or link on disk.
type sourceEntry struct {
	name   string // the last part of path
	path   string // slash path relative to the source's folder, "." for itself
	mode   uint16
	parent int
	first  int // folder: the entries of its children
	count  int
	target string // link
	size   int64  // file
	id     fileID // file
	xattrs string // record of the index; empty for none

	content int // file: filled when it is packed
}

// fileID tells whether two names are hard links of one file.
type fileID struct{ dev, ino uint64 }

// scanFolder is scan for what a person has named.
func scanFolder(dir string) (*source, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("%s is not a folder", dir)
	}
	src, err := scan(dir)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return src, nil
}

// scan lists a folder. It refuses what has no place in a bundle: devices, sockets, pipes.
func scan(dir string) (*source, error) {
	s := &source{dir: dir, entries: []*sourceEntry{{path: ".", mode: modeDir | 0o755}}}
	seen := make(map[fileID]bool)
	setid := 0
	for at := 0; at < len(s.entries); at++ {
		d := s.entries[at]
		if d.mode&modeType != modeDir {
			continue
		}
		d.first = len(s.entries)
		list, err := os.ReadDir(filepath.Join(dir, d.path)) // sorted bytewise
		if err != nil {
			return nil, err
		}
		for _, l := range list {
			info, err := l.Info()
			if err != nil {
				return nil, err
			}
			stat, ok := info.Sys().(*syscall.Stat_t)
			if !ok {
				return nil, fmt.Errorf("cannot find out what %s is", info.Name())
			}
			e := &sourceEntry{name: l.Name(), path: path.Join(d.path, l.Name()), parent: at, mode: uint16(info.Mode().Perm())}
			if len(e.path) >= maxPath {
				return nil, fmt.Errorf("the path %.100s… is longer than %d bytes", e.path, maxPath)
			}
			switch {
			case info.Mode().IsRegular():
				e.mode |= modeFile
				e.size, e.id = info.Size(), fileID{stat.Dev, stat.Ino}
				if stat.Nlink < 2 || !seen[e.id] {
					s.size += e.size
					seen[e.id] = true
				}
				s.files++
				if info.Mode()&(os.ModeSetuid|os.ModeSetgid) != 0 {
					setid++
					s.notes = append(s.notes, fmt.Sprintf("%s is stored without its set-id bit: nothing in a bundle can have more rights than its user", e.path))
				}
			case info.IsDir():
				e.mode |= modeDir
				s.folders++
			case info.Mode()&os.ModeSymlink != 0:
				if e.target, err = os.Readlink(filepath.Join(dir, e.path)); err != nil {
					return nil, err
				}
				e.mode = modeLink | 0o777
				s.links++
			default:
				return nil, fmt.Errorf("%s is %s, which has no place in a bundle", e.path, kindOf(info.Mode()))
			}
			if e.mode&modeType != modeLink {
				if e.xattrs, err = s.xattrs(e.path); err != nil {
					return nil, err
				}
			}
			s.entries = append(s.entries, e)
		}
		d.count = len(s.entries) - d.first
	}
	return s, nil
}

// xattrs returns the record of a file's or folder's extended attributes that are kept. Of the others those are noted that a program could miss; an
// origin, a label of the system's policy or a cache of an indexer belongs to this copy on this computer.
func (s *source) xattrs(name string) (string, error) {
	file := filepath.Join(s.dir, name)
	list, err := listXattrs(file)
	if err != nil {
		return "", &os.PathError{Op: "listxattr", Path: file, Err: err}
	}
	le := binary.LittleEndian
	record := []byte{0, 0}
	count := uint16(0)
	for _, attr := range list {
		switch {
		case strings.HasPrefix(attr, "user.xdg."), strings.HasPrefix(attr, "user.baloo."), strings.HasPrefix(attr, "user.tracker."):
			continue
		case attr == "security.capability":
			s.notes = append(s.notes, fmt.Sprintf("%s is stored without its capabilities: nothing in a bundle can have more rights than its user", name))
			continue
		case strings.HasPrefix(attr, "security."):
			continue
		case !keepsXattr(attr):
			s.notes = append(s.notes, fmt.Sprintf("%s is stored without its extended attribute %s", name, attr))
			continue
		}
		value, err := getXattr(file, attr)
		if err != nil {
			return "", &os.PathError{Op: "getxattr", Path: file, Err: err}
		}
		record = le.AppendUint16(record, uint16(len(attr)))
		record = le.AppendUint16(record, uint16(len(value)))
		record = append(append(record, attr...), value...)
		if count++; count > maxXattrs {
			return "", fmt.Errorf("%s has more than %d extended attributes", name, maxXattrs)
		}
	}
	if count == 0 {
		return "", nil
	}
	le.PutUint16(record, count)
	return string(record), nil
}

// listXattrs returns the names of a file's extended attributes in bytewise order; none where the file system has no such thing.
func listXattrs(file string) ([]string, error) {
	for size := 0; ; {
		buf := make([]byte, size)
		n, err := unix.Llistxattr(file, buf)
		switch {
		case errors.Is(err, unix.ENOTSUP), err == nil && n == 0:
			return nil, nil
		case errors.Is(err, unix.ERANGE): // it grew meanwhile
			size = 0
			continue
		case err != nil:
			return nil, err
		case size == 0:
			size = n
			continue
		}
		list := strings.Split(strings.TrimSuffix(string(buf[:n]), "\x00"), "\x00")
		slices.Sort(list)
		return list, nil
	}
}

func getXattr(file, name string) ([]byte, error) {
	value := make([]byte, math.MaxUint16) // the largest that Linux has is one byte more
	n, err := unix.Lgetxattr(file, name, value)
	return value[:max(n, 0)], err
}

func kindOf(m os.FileMode) string {
	switch {
	case m&os.ModeSocket != 0:
		return "a socket"
	case m&os.ModeNamedPipe != 0:
		return "a named pipe"
	case m&os.ModeDevice != 0:
		return "a device"
	}
	return "of an unknown kind"
}

// open opens a file of the source, and makes sure that it is the one that was listed.
func (s *source) open(e *sourceEntry) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(s.dir, e.path), os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || (fileID{stat.Dev, stat.Ino}) != e.id || info.Size() != e.size {
		f.Close()
		return nil, fmt.Errorf("%s changed while it was read", e.path)
	}
	return f, nil
}

// names lists a folder of the source; nothing when it is not there.
func (s *source) names(dir string) []string {
	e, ok := s.follow(dir, "")
	if !ok || e == nil {
		return nil
	}
	var names []string
	for _, c := range s.entries[e.first : e.first+e.count] {
		names = append(names, c.name)
	}
	return names
}

// find returns the entry of a path without following links in its last part.
func (s *source) find(p string) (*sourceEntry, bool) {
	dir, base := path.Split(path.Clean(p))
	d, ok := s.follow(dir, "")
	if !ok || d == nil {
		return nil, false
	}
	return s.child(d, base)
}

func (s *source) child(d *sourceEntry, name string) (*sourceEntry, bool) {
	if d.mode&modeType != modeDir {
		return nil, false
	}
	for _, c := range s.entries[d.first : d.first+d.count] {
		if c.name == name {
			return c, true
		}
	}
	return nil, false
}

// follow returns the entry of a path with all links followed inside of the source, where absolute targets below prefix are in the source
// too. A nil entry with true is one outside.
func (s *source) follow(p, prefix string) (*sourceEntry, bool) {
	parts := strings.Split(p, "/")
	at := s.entries[0]
	for links := 0; len(parts) > 0; {
		part := parts[0]
		parts = parts[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			if at == s.entries[0] {
				return nil, true
			}
			at = s.entries[at.parent]
			continue
		}
		e, ok := s.child(at, part)
		if !ok {
			return nil, false
		}
		if e.mode&modeType != modeLink {
			at = e
			continue
		}
		if links++; links > 40 {
			return nil, false
		}
		target := e.target
		if strings.HasPrefix(target, "/") {
			if prefix == "" || !strings.HasPrefix(target, prefix+"/") {
				return nil, true
			}
			target, at = strings.TrimPrefix(target, prefix+"/"), s.entries[0]
		}
		parts = append(strings.Split(target, "/"), parts...)
	}
	return at, true
}

// elfArch returns the architecture that the beginning of an ELF file names.
func elfArch(head []byte) (string, error) {
	if len(head) < elfHeaderSize || string(head[:4]) != elf.ELFMAG {
		return "", fmt.Errorf("it is not an ELF program")
	}
	if head[4] == byte(elf.ELFCLASS64) && head[5] == byte(elf.ELFDATA2LSB) {
		if arch, ok := archOf(elf.Machine(binary.LittleEndian.Uint16(head[18:]))); ok {
			return arch, nil
		}
	}
	return "", fmt.Errorf("it is neither for x86_64 nor for aarch64: %w", ErrArch)
}

func hostArch() string {
	if runtime.GOARCH == "arm64" {
		return "aarch64"
	}
	return "x86_64"
}

func dayOf(timestamp int64) string { return time.Unix(timestamp, 0).UTC().Format(time.DateOnly) }
