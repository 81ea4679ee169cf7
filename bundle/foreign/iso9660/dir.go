// SPDX-License-Identifier: MIT

package iso9660

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"glick.org/glick/bundle"
)

const (
	maxName = 255 // bytes
	// maxEntries of a folder bounds the memory that one call takes; applications stay far below.
	maxEntries = 1 << 20
	// firstCheck is after how many names duplicates are looked for; then again whenever the number has doubled. Records can share a continuation
	// that holds their name: such a folder is refused before it fills the memory.
	firstCheck = 4096
)

// ReadDir lists a folder in ascending bytewise order, without "." and "..". Folders that were moved because they were too deep are where they
// belong; the folder that holds them, called rr_moved, is there too when the writer has not hidden it, and is empty. The time it takes grows
// with the size of the image; a folder with more than 1,048,576 names is bundle.ErrUnsupported.
//
// An image can name a folder in several others, even in one below itself: who descends must bound the depth.
func (im *Image) ReadDir(i bundle.Inode) ([]bundle.DirEntry, error) {
	f, err := im.file(i)
	if err != nil {
		return nil, err
	}
	if f.mode&modeType != modeDir {
		return nil, fmt.Errorf("cannot list record %d: not a folder: %w", i, bundle.ErrUnsupported)
	}
	list, err := im.list(f)
	if err != nil {
		return nil, fmt.Errorf("cannot list the folder of record %d: %w", i, err)
	}
	return list, nil
}

func (im *Image) list(f *file) ([]bundle.DirEntry, error) {
	var list []bundle.DirEntry
	from := newContinuations(im)
	check := firstCheck
	sector := make([]byte, sectorSize)
	var more []byte // name of a file of which the next record has another piece
	for off := int64(0); off < f.size; off += sectorSize {
		p := sector[:min(sectorSize, f.size-off)]
		if err := im.readStored(f, p, off); err != nil {
			return nil, err
		}
		for at := 0; at < len(p); {
			rec, err := parseRecord(p[at:])
			if errors.Is(err, errNoRecord) {
				break
			}
			if err != nil {
				return nil, err
			}
			rec.off = f.extents[0].off + off + int64(at)
			at += int(rec.length)
			piece := more != nil
			if piece && !bytes.Equal(more, rec.id) {
				return nil, damaged("a piece of %q is missing", more)
			}
			more = nil
			if rec.flags&flagMore != 0 {
				more = bytes.Clone(rec.id)
			}
			if piece || rec.isSelf() || rec.flags&flagAssociated != 0 {
				continue
			}
			if list, err = im.appendEntry(list, rec, from); err != nil {
				return nil, err
			}
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

// appendEntry adds the entry for one record, unless it is for a folder that belongs elsewhere.
func (im *Image) appendEntry(list []bundle.DirEntry, rec record, from *continuations) ([]bundle.DirEntry, error) {
	a, err := im.attributes(rec, from)
	if err != nil {
		return nil, fmt.Errorf("record %q: %w", rec.id, err)
	}
	if a.moved {
		return list, nil
	}
	name := string(a.name)
	if a.name == nil {
		name = plainName(rec.id)
	}
	if !validName(name) {
		return nil, damaged("it has the impossible name %q", name)
	}
	e := bundle.DirEntry{Name: name, Inode: bundle.Inode(rec.off)}
	if a.child != 0 {
		e.Inode = bundle.Inode(a.child)
	}
	return append(list, e), nil
}

// plainName is an identifier without the version, and without the dot when there is nothing behind it (ECMA-119, 7.5).
func plainName(id []byte) string {
	name, _, _ := strings.Cut(string(id), ";")
	return strings.TrimSuffix(name, ".")
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
