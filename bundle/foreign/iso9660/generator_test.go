// SPDX-License-Identifier: MIT

package iso9660

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// entry is a file, folder or link of a sample tree.
type entry struct {
	mode    uint32
	content string
	target  string
}

func text(s string) entry { return entry{mode: modeFile | 0o644, content: s} }

func folder() entry { return entry{mode: modeDir | 0o755} }

func link(target string) entry { return entry{mode: modeLink | 0o777, target: target} }

// generator writes images with Rock Ridge names.
type generator struct {
	plain  bool   // without Rock Ridge
	skip   int    // bytes before the system use entries
	shift  uint   // compress in blocks of 1 << shift bytes; 0: do not
	piece  int    // largest piece of a content, a multiple of 2048; 0: no bound
	area   int    // largest continuation area; 0: 600
	record int    // largest record; 0: 254; others are continued
	moved  string // folder that is in rr_moved
}

// image is a generated image and where its parts are, for those who break them.
type image struct {
	data   []byte
	record map[string]int // place of a directory record, by path
	use    map[string]int // place of the first system use entry of the record
	place  map[string]int // place of a folder or content
	size   map[string]int
	areas  map[string]int // place of a folder's continuations

	names  []string          // all paths, in order
	stored map[string][]byte // contents as they are in the image
}

func (im *image) put32(at int, v uint32) { binary.LittleEndian.PutUint32(im.data[at:], v) }

// entry returns the place of the system use entry with that signature, of that path, in the record itself.
func (im *image) entry(name, signature string) int {
	at := im.use[name]
	for im.data[at] != 0 && string(im.data[at:at+2]) != signature {
		at += int(im.data[at+2])
	}
	if im.data[at] == 0 {
		panic("no entry " + signature)
	}
	return at
}

// both writes a number in both byte orders.
func both(v int) []byte {
	return binary.BigEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, uint32(v)), uint32(v))
}

func use(signature string, data ...byte) []byte {
	return append([]byte{signature[0], signature[1], byte(4 + len(data)), 1}, data...)
}

// generate writes the tree below "."; folders that only appear in paths are made.
func (g generator) generate(tree map[string]entry) *image {
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
	if g.moved != "" {
		all["rr_moved"] = folder()
	}
	im := &image{names: slices.Sorted(maps.Keys(all)), stored: map[string][]byte{}}
	for name, f := range all {
		im.stored[name] = g.stored(f)
	}
	// Sizes do not depend on places, but the number of records does on the sizes of contents.
	for range 3 {
		im = g.round(all, im)
	}
	return im
}

func (g generator) round(all map[string]entry, before *image) *image {
	im := &image{
		data: make([]byte, 18*sectorSize), record: map[string]int{}, use: map[string]int{}, place: map[string]int{}, size: map[string]int{},
		areas: map[string]int{}, names: before.names, stored: before.stored,
	}
	alloc := func(p []byte) int {
		at := len(im.data)
		im.data = append(im.data, p...)
		im.data = append(im.data, make([]byte, -len(im.data)&(sectorSize-1))...)
		return at
	}
	for _, dir := range im.names {
		if all[dir].mode&modeType != modeDir {
			continue
		}
		at := len(im.data)
		content, areas := g.folder(dir, all, before, im, at)
		im.place[dir], im.size[dir] = alloc(content), len(content)
		im.areas[dir] = alloc(areas)
	}
	for _, name := range im.names {
		if f := all[name]; f.mode&modeType == modeFile {
			im.place[name], im.size[name] = alloc(im.stored[name]), len(im.stored[name])
		}
	}
	d := im.data[firstDescriptor*sectorSize:]
	copy(d, "\x01CD001\x01")
	copy(d[80:], both(len(im.data)/sectorSize))
	copy(d[128:], "\x00\x08\x08\x00")
	copy(d[156:], directoryRecord("\x00", im.place["."], im.size["."], flagDir, nil))
	d[881] = 1
	copy(im.data[(firstDescriptor+1)*sectorSize:], "\xffCD001\x01")
	return im
}

func (g generator) packs(f entry) bool {
	return g.shift != 0 && !g.plain && f.mode&modeType == modeFile && len(f.content) > 0
}

// stored returns the content as it is in the image.
func (g generator) stored(f entry) []byte {
	if !g.packs(f) {
		return []byte(f.content)
	}
	var blocks [][]byte
	for rest := f.content; rest != ""; {
		n := min(len(rest), 1<<g.shift)
		var b bytes.Buffer
		if strings.Trim(rest[:n], "\x00") != "" {
			w, _ := zlib.NewWriterLevel(&b, zlib.BestSpeed)
			w.Write([]byte(rest[:n]))
			w.Close()
		}
		blocks = append(blocks, b.Bytes())
		rest = rest[n:]
	}
	le := binary.LittleEndian
	out := le.AppendUint32([]byte(packedMagic), uint32(len(f.content)))
	out = append(out, packedHeader/4, byte(g.shift), 0, 0)
	at := uint32(packedHeader + 4*(len(blocks)+1))
	out = le.AppendUint32(out, at)
	for _, b := range blocks {
		at += uint32(len(b))
		out = le.AppendUint32(out, at)
	}
	return append(out, bytes.Join(blocks, nil)...)
}

func directoryRecord(id string, place, size int, flags byte, use []byte) []byte {
	r := append([]byte{0, 0}, both(place/sectorSize)...)
	r = append(r, both(size)...)
	r = append(r, make([]byte, 7)...)
	r = append(r, flags, 0, 0, 1, 0, 0, 1, byte(len(id)))
	r = append(r, id...)
	r = append(r, make([]byte, 1-len(id)%2)...)
	r = append(r, use...)
	r = append(r, make([]byte, len(r)%2)...)
	r[0] = byte(len(r))
	return r
}

// folder returns a folder's records and its continuation areas. at is where it will be.
func (g generator) folder(dir string, all map[string]entry, before, im *image, at int) (content, areas []byte) {
	// add adds a record, or several for a content in pieces.
	add := func(name, id string, place, size int, flags byte, entries [][]byte) {
		for first := true; first || size > 0; first = false {
			n := size
			f := flags
			if g.piece != 0 && flags&flagDir == 0 && n > g.piece {
				n = g.piece
				f |= flagMore
			}
			room := g.record
			if room == 0 {
				room = 254
			}
			inRecord := g.continued(entries, room-34-len(id), before.areas[dir], &areas)
			if dir == "." && id == "\x00" || g.skip == 0 {
				// These begin with the first entry.
			} else {
				inRecord = append(bytes.Repeat([]byte{'S'}, g.skip), inRecord...)
			}
			r := directoryRecord(id, place, n, f, inRecord)
			if len(content)%sectorSize+len(r) > sectorSize {
				content = append(content, make([]byte, -len(content)&(sectorSize-1))...)
			}
			if first && name != "" {
				im.record[name] = at + len(content)
				im.use[name] = at + len(content) + 33 + len(id) + 1 - len(id)%2 + g.skip
			}
			content = append(content, r...)
			place, size = place+n, size-n
			if f&flagMore == 0 {
				break
			}
		}
	}
	px := func(f entry) []byte {
		return use("PX", slices.Concat(both(int(f.mode)), both(1), both(0), both(0))...)
	}
	self := [][]byte{px(all[dir])}
	if dir == "." {
		er := use("ER", append([]byte{10, 0, 0, 1}, "RRIP_1991A"...)...)
		self = [][]byte{use("SP", 0xbe, 0xef, byte(g.skip)), px(all[dir]), er}
	}
	up := [][]byte{px(all[path.Dir(dir)])}
	if g.plain {
		self, up = nil, nil
	}
	add("", "\x00", before.place[dir], before.size[dir], flagDir, self)
	add("", "\x01", before.place[path.Dir(dir)], before.size[path.Dir(dir)], flagDir, up)
	for i, name := range im.names {
		if g.moved != "" && name == g.moved && dir == "rr_moved" {
			add("", fmt.Sprintf("M%d", i), before.place[name], before.size[name], flagDir, [][]byte{px(all[name]), use("RE")})
		}
		if name == "." || path.Dir(name) != dir {
			continue
		}
		f := all[name]
		id := fmt.Sprintf("F%d.;1", i)
		flags := byte(0)
		if f.mode&modeType == modeDir {
			id, flags = fmt.Sprintf("D%d", i), flagDir
		}
		if g.plain {
			id := path.Base(name)
			if flags == 0 {
				if !strings.Contains(id, ".") {
					id += "."
				}
				id += ";1"
			}
			add(name, id, before.place[name], before.size[name], flags, nil)
			continue
		}
		entries := [][]byte{px(f), use("TF", 0, 0)}
		for rest, more := path.Base(name), byte(1); more == 1; {
			n := min(len(rest), 200)
			if n == len(rest) {
				more = 0
			}
			entries = append(entries, use("NM", append([]byte{more}, rest[:n]...)...))
			rest = rest[n:]
		}
		if f.mode&modeType == modeLink {
			entries = append(entries, targetEntries(f.target)...)
		}
		if g.packs(f) {
			entries = append(entries, use("ZF", append([]byte{'p', 'z', packedHeader / 4, byte(g.shift)}, both(len(f.content))...)...))
		}
		if name == g.moved {
			add(name, id, 0, 0, 0, append(entries, use("CL", both(before.place[name]/sectorSize)...)))
			continue
		}
		add(name, id, before.place[name], before.size[name], flags, entries)
	}
	return append(content, make([]byte, -len(content)&(sectorSize-1))...), areas
}

// continued returns the entries that have room in the record, and puts the others into areas.
func (g generator) continued(entries [][]byte, room, place int, areas *[]byte) []byte {
	total := 0
	for _, e := range entries {
		total += len(e)
	}
	if total <= room {
		return bytes.Join(entries, nil)
	}
	var out []byte
	for len(entries) > 0 && len(out)+len(entries[0])+28 <= room {
		out, entries = append(out, entries[0]...), entries[1:]
	}
	limit := g.area
	if limit == 0 {
		limit = 600
	}
	rest := bytes.Join(entries, nil)
	size := len(rest)
	if size > limit {
		// Entries are at most 255 bytes, so that there is always one with the next CE.
		rest = g.continued(entries, limit, place, areas)
		size = len(rest)
	}
	if used := len(*areas) % sectorSize; used+size > sectorSize {
		*areas = append(*areas, make([]byte, sectorSize-used)...)
	}
	at := place + len(*areas)
	*areas = append(*areas, rest...)
	return append(out, use("CE", slices.Concat(both(at/sectorSize), both(at%sectorSize), both(size))...)...)
}

// targetEntries returns the entries SL for a target, with components of all kinds.
func targetEntries(target string) [][]byte {
	var parts [][]byte
	if strings.HasPrefix(target, "/") {
		parts = append(parts, []byte{componentRoot, 0})
		target = target[1:]
	}
	for name := range strings.SplitSeq(target, "/") {
		switch name {
		case ".":
			parts = append(parts, []byte{componentHere, 0})
		case "..":
			parts = append(parts, []byte{componentAbove, 0})
		default:
			for ; len(name) > 100; name = name[100:] {
				parts = append(parts, append([]byte{componentContinues, 100}, name[:100]...))
			}
			parts = append(parts, append([]byte{0, byte(len(name))}, name...))
		}
	}
	var entries [][]byte
	for len(parts) > 0 {
		data := []byte{linkContinues}
		for len(parts) > 0 && len(data)+len(parts[0]) <= 200 {
			data, parts = append(data, parts[0]...), parts[1:]
		}
		if len(parts) == 0 {
			data[0] = 0
		}
		entries = append(entries, use("SL", data...))
	}
	return entries
}
