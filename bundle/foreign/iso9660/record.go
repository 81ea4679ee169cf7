// SPDX-License-Identifier: MIT

package iso9660

import (
	"encoding/binary"
	"errors"
	"fmt"

	"glick.org/glick/bundle"
)

const (
	minRecord = 34

	flagDir        = 0x02
	flagAssociated = 0x04 // a second fork of a file, as of old Macs, with the same name
	flagMore       = 0x80 // the next record has the next piece of the content
)

// errNoRecord means that the rest of a sector is unused.
var errNoRecord = fmt.Errorf("there is no record: %w", bundle.ErrDamaged)

// record is a directory record (ECMA-119, 9.1). Its slices are parts of what it was parsed from.
type record struct {
	off    int64 // place in the image, in bytes; 0 when it is that of a descriptor
	length int64 // in bytes
	extent int64 // place of the content, in bytes
	size   int64 // of the content
	flags  byte
	id     []byte // name; 0 for the folder itself, 1 for the one above
	use    []byte // system use area
}

func (r record) isDir() bool { return r.flags&flagDir != 0 }

// isSelf says whether it is one of the two records with which each folder begins.
func (r record) isSelf() bool { return len(r.id) == 1 && r.id[0] <= 1 }

// parseRecord parses the record at the beginning of p; p ends with the sector, as a record must.
func parseRecord(p []byte) (record, error) {
	if len(p) == 0 || p[0] == 0 {
		return record{}, errNoRecord
	}
	length := int(p[0])
	if length < minRecord || length > len(p) {
		return record{}, damaged("a record has %d bytes", length)
	}
	p = p[:length]
	idLen := int(p[32])
	use := 33 + idLen
	if idLen == 0 || use > length {
		return record{}, damaged("a record's name has %d bytes", idLen)
	}
	if p[26] != 0 || p[27] != 0 {
		return record{}, fmt.Errorf("it has interleaved files: %w", bundle.ErrUnsupported)
	}
	le := binary.LittleEndian
	return record{
		length: int64(length),
		// The extended attributes come before the content.
		extent: (int64(le.Uint32(p[2:])) + int64(p[1])) * sectorSize,
		size:   int64(le.Uint32(p[10:])),
		flags:  p[25],
		id:     p[33:use],
		use:    p[min(use+1-idLen%2, length):], // begins at an even place
	}, nil
}

// record reads the record at a place in the image. There need not be one: what is there is only checked to be possible.
func (im *Image) record(off int64) (record, error) {
	p := make([]byte, min(255, sectorSize-off%sectorSize))
	if off < firstDescriptor*sectorSize || off > im.size-int64(len(p)) {
		return record{}, damaged("it is outside of the image")
	}
	if err := bundle.ReadFull(im.r, p, off); err != nil {
		return record{}, err
	}
	r, err := parseRecord(p)
	r.off = off
	return r, err
}

const (
	maxContinuations = 32 // of a record, as in Linux
	suspHeader       = 4

	nameContinues = 1
	nameSpecial   = 2 | 4 // "." and "..", without bytes

	linkContinues = 1

	componentContinues = 1
	componentHere      = 2
	componentAbove     = 4
	componentRoot      = 8
)

// attributes is what the entries of the System Use Sharing Protocol say of a file.
type attributes struct {
	name    []byte // NM; nil: there is none
	nameEnd bool   // there must not be another NM
	hasMode bool
	mode    uint32 // PX

	hasTarget bool // SL
	target    []byte
	glue      bool // what comes next belongs to the last component of the target
	more      bool // there must be another SL

	moved  bool     // RE: the folder belongs elsewhere
	child  int64    // CL: place of the folder that belongs here; 0: none
	packed *packing // ZF; nil: the content is stored as it is

	unsupported error // why the file cannot be read; its name can
}

// link returns the target, when it is a possible one.
func (a *attributes) link() (string, error) {
	if len(a.target) == 0 || len(a.target) > maxTarget || a.more || a.glue {
		return "", damaged("its target has %d bytes, or no end", len(a.target))
	}
	for _, c := range a.target {
		if c == 0 {
			return "", damaged("its target has a zero byte")
		}
	}
	return string(a.target), nil
}

// continuations reads continuation areas (CE). It keeps the last sector, because the areas of neighbours are together, and reads no more
// sectors than the image has, but for a few, however many records name the same ones.
type continuations struct {
	im     *Image
	off    int64 // of the sector; 0: none yet
	sector []byte
	left   int64 // sectors that may still be read
}

func newContinuations(im *Image) *continuations {
	return &continuations{im: im, left: im.size/sectorSize + 2*maxContinuations}
}

// area returns what an entry CE leads to; it is valid until the next call.
func (c *continuations) area(ce []byte) ([]byte, error) {
	le := binary.LittleEndian
	if len(ce) < 24 {
		return nil, damaged("an entry CE is too short")
	}
	sector, off, size := int64(le.Uint32(ce))*sectorSize, le.Uint32(ce[8:]), le.Uint32(ce[16:])
	// Linux too wants an area to be inside of one sector.
	if off > sectorSize || size > sectorSize-off || sector < firstDescriptor*sectorSize || sector > c.im.size-sectorSize {
		return nil, damaged("a continuation is outside")
	}
	if c.off != sector {
		if c.left--; c.left < 0 {
			return nil, damaged("it has too many continuations")
		}
		if c.sector == nil {
			c.sector = make([]byte, sectorSize)
		}
		c.off = 0
		if err := bundle.ReadFull(c.im.r, c.sector, sector); err != nil {
			return nil, err
		}
		c.off = sector
	}
	return c.sector[off:][:size], nil
}

// attributes reads the system use area of a record and its continuations.
func (im *Image) attributes(rec record, from *continuations) (*attributes, error) {
	a := &attributes{}
	if !im.rockRidge {
		return a, nil
	}
	area := rec.use
	if rec.off != im.root {
		area = area[min(im.skip, len(area)):]
	}
	for range maxContinuations + 1 {
		ce, err := a.entries(area)
		if err != nil {
			return nil, err
		}
		if ce == nil {
			return a, nil
		}
		if area, err = from.area(ce); err != nil {
			return nil, err
		}
	}
	return nil, damaged("it has more than %d continuations", maxContinuations)
}

// entries reads one area, and returns the data of its entry CE, nil when there is none. It can be before other entries.
func (a *attributes) entries(p []byte) (ce []byte, err error) {
	// What is shorter than an entry, or begins with a zero, fills the area up.
	for len(p) >= suspHeader && p[0] != 0 {
		length := int(p[2])
		if length < suspHeader || length > len(p) {
			return nil, damaged("an entry of its system use area has %d bytes", length)
		}
		signature, version, data := string(p[:2]), p[3], p[suspHeader:length]
		p = p[length:]
		switch signature {
		case "ST":
			return ce, nil
		case "CE":
			if ce != nil {
				return nil, damaged("an area has two continuations")
			}
			ce = data
		case "Z2":
			a.unsupported = fmt.Errorf("it is compressed with zisofs2: %w", bundle.ErrUnsupported)
		default:
			if err := a.entry(signature, version, data); err != nil {
				return nil, err
			}
		}
	}
	return ce, nil
}

// entry reads one entry. Those that are not known concern others: SUSP, 3.
func (a *attributes) entry(signature string, version byte, data []byte) error {
	le := binary.LittleEndian
	switch signature {
	case "NM":
		return a.appendName(data)
	case "SL":
		return a.appendTarget(data)
	case "PX":
		if len(data) < 8 {
			return damaged("an entry PX is too short")
		}
		a.hasMode, a.mode = true, le.Uint32(data)
	case "RE":
		a.moved = true
	case "CL":
		if len(data) < 8 {
			return damaged("an entry CL is too short")
		}
		a.child = int64(le.Uint32(data)) * sectorSize
		if a.child == 0 {
			return damaged("a moved folder is outside of the image")
		}
	case "ZF":
		var err error
		if a.packed, err = parsePacking(version, data); errors.Is(err, bundle.ErrUnsupported) {
			a.unsupported, err = err, nil
		}
		return err
	}
	return nil
}

// appendName reads an entry NM: u8 flags, then bytes of the name.
func (a *attributes) appendName(data []byte) error {
	switch {
	case len(data) < 1 || a.nameEnd:
		return damaged("an entry NM is too short, or one too many")
	case data[0]&nameSpecial != 0:
		return nil // of the records that are not listed
	case len(a.name)+len(data)-1 > maxName:
		return damaged("a name is longer than %d bytes", maxName)
	}
	if a.name == nil {
		a.name = make([]byte, 0, len(data))
	}
	a.name = append(a.name, data[1:]...)
	a.nameEnd = data[0]&nameContinues == 0
	return nil
}

// appendTarget reads an entry SL: u8 flags, then components of the target: u8 flags, u8 size, bytes.
func (a *attributes) appendTarget(data []byte) error {
	if len(data) < 1 || a.hasTarget && !a.more {
		return damaged("an entry SL is too short, or one too many")
	}
	a.more, a.hasTarget = data[0]&linkContinues != 0, true
	for data = data[1:]; len(data) > 0; {
		if len(data) < 2 || int(data[1]) > len(data)-2 {
			return damaged("a component of a target is cut off")
		}
		flags, part := data[0], data[2:][:data[1]]
		data = data[2+len(part):]
		// The root already ends with the slash.
		if n := len(a.target); n > 0 && !a.glue && !(n == 1 && a.target[0] == '/') {
			a.target = append(a.target, '/')
		}
		switch {
		case flags&^(componentContinues|componentHere|componentAbove|componentRoot) != 0:
			a.unsupported = fmt.Errorf("its target has a component of the kinds %#x: %w", flags, bundle.ErrUnsupported)
		case flags&^componentContinues == 0:
		case flags == componentHere && !a.glue:
			part = []byte(".")
		case flags == componentAbove && !a.glue:
			part = []byte("..")
		case flags == componentRoot && len(a.target) == 0:
			part = []byte("/")
		default:
			return damaged("a component of a target is of the kinds %#x", flags)
		}
		a.glue = flags&componentContinues != 0
		if a.target = append(a.target, part...); len(a.target) > maxTarget {
			return damaged("a target is longer than %d bytes", maxTarget)
		}
	}
	return nil
}
