// SPDX-License-Identifier: MIT

package xdgexport

import (
	"encoding/binary"
	"errors"
	"path"
	"slices"
	"strings"
)

const (
	maxFont      = 32 << 20 // in bytes
	maxFontDepth = 4
)

var fontName = newPattern(`^[A-Za-z0-9][A-Za-z0-9 ._,+\[\]-]{0,150}\.(ttf|otf|ttc|otc)$`)

// planFonts shows the fonts of the bundle, in a folder of its own.
func (p *planner) planFonts() {
	n := 0
	var walk func(dir string, depth int)
	walk = func(dir string, depth int) {
		for _, e := range p.tree.list(dir, func(string) bool { return true }) {
			origin := path.Join(dir, e.name)
			if n++; n > maxPerKind {
				return
			}
			if !fontName.MatchString(strings.ToLower(e.name)) {
				p.leave(origin, "it is not a font (.ttf, .otf, .ttc, .otc)")
				continue
			}
			data, err := p.tree.read(e.node, maxFont)
			if err == nil {
				err = checkFont(data)
			}
			if err != nil {
				p.leave(origin, err.Error())
				continue
			}
			p.addMode(path.Join("fonts", p.id, e.name), origin, data, maxFont, 0o644)
		}
		for _, sub := range p.tree.folders(dir) {
			if depth < maxFontDepth && n <= maxPerKind {
				walk(path.Join(dir, sub), depth+1)
			}
		}
	}
	walk("share/fonts", 0)
	if n > maxPerKind {
		p.leave("share/fonts", "the bundle has too many of this kind")
	}
}

var errFont = errors.New("it is not a sound font")

// checkFont accepts files whose tables are where they say (OpenType 1.9, "Organization of an OpenType Font"). Font
// libraries have a history of trusting them.
func checkFont(data []byte) error {
	if len(data) >= 12 && string(data[:4]) == "ttcf" {
		count := binary.BigEndian.Uint32(data[8:])
		if count == 0 || count > 64 || uint64(len(data)) < 12+4*uint64(count) {
			return errFont
		}
		for i := range count {
			if err := checkFontAt(data, uint64(binary.BigEndian.Uint32(data[12+4*i:]))); err != nil {
				return err
			}
		}
		return nil
	}
	return checkFontAt(data, 0)
}

func checkFontAt(data []byte, at uint64) error {
	size := uint64(len(data))
	if at > size || size-at < 12 {
		return errFont
	}
	head := data[at:]
	if v := string(head[:4]); v != "\x00\x01\x00\x00" && v != "OTTO" && v != "true" {
		return errFont
	}
	count := uint64(binary.BigEndian.Uint16(head[4:]))
	if count == 0 || count > 128 || uint64(len(head)) < 12+16*count {
		return errFont
	}
	var tags []string
	for i := range count {
		t := head[12+16*i:]
		offset, length := uint64(binary.BigEndian.Uint32(t[8:])), uint64(binary.BigEndian.Uint32(t[12:]))
		if offset > size || length > size-offset {
			return errFont
		}
		tags = append(tags, string(t[:4]))
	}
	for _, need := range []string{"cmap", "head", "name"} {
		if !slices.Contains(tags, need) {
			return errFont
		}
	}
	return nil
}
