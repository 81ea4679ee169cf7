// SPDX-License-Identifier: MIT

// Package bundle reads and writes bundles: ELF files that hold an application, described in doc/format.md.
//
//	┌──────────────────────┐ 0
//	│ stub: ELF header,    │
//	│ program headers,     │
//	│ .note.glick (< 4096) │
//	│ code                 │
//	├──────────────────────┤ multiple of 4096
//	│ .glick.data          │ chunks of file content
//	├──────────────────────┤
//	│ .xdg.desktop         │
//	│ .xdg.icon.48 …       │
//	│ .xdg.metainfo        │
//	│ .glick.slice.0 …     │ indexes: names, modes, digests, chunk tables
//	│ .glick.manifest      │
//	│ .glick.signature     │ of the manifest
//	├──────────────────────┤
//	│ .shstrtab            │
//	│ section headers      │
//	└──────────────────────┘ end of the file
//
// Readers here are pure: they take an io.ReaderAt and a size, open nothing, and trust no number that they have not checked. A *Bundle and a
// *Tree can be used by many goroutines at once when their reader can.
package bundle

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// What can be wrong with a bundle, for errors.Is.
var (
	ErrNotBundle = errors.New("not a bundle")
	ErrNotSlice  = errors.New("not a slice")
	ErrTruncated = errors.New("the bundle is incomplete")
	ErrDamaged   = errors.New("the bundle is damaged")
	ErrVersion   = errors.New("the bundle is of a newer format than this version of Glick knows")
	ErrArch      = errors.New("the bundle is for another processor")
	// ErrUnsupported is for files of other formats that are sound, but use something that this package cannot read.
	ErrUnsupported = errors.New("it uses something that this version of Glick cannot read")
)

const (
	// DefaultPrefix is where a bundle's tree appears to its processes unless the manifest says otherwise.
	DefaultPrefix = "/opt/bundle"
	// ModTime is the modification time of everything in a bundle, in seconds since 1970: 1980-01-01T00:00:00Z.
	ModTime = 315532800
	// FormatVersion is the version of the file format that this package reads and writes.
	FormatVersion = 1
)

// Largest sizes, in bytes, of what a reader takes into memory.
const (
	maxManifest = 1 << 20
	maxDesktop  = 1 << 20
	maxIcon     = 4 << 20
	maxMetainfo = 4 << 20
	maxIndex    = 256 << 20

	maxSignature = 64 << 10
	maxStub      = 64 << 20
)

// Names of the sections.
const (
	sectionNote     = ".note.glick"
	sectionData     = ".glick.data"
	sectionManifest = ".glick.manifest"
	sectionSlice    = ".glick.slice."
	sectionDesktop  = ".xdg.desktop"
	sectionIcon     = ".xdg.icon."
	sectionSVG      = ".xdg.icon.svg"
	sectionMetainfo = ".xdg.metainfo"

	sectionSignature = ".glick.signature"
)

// Digest is the SHA-256 of some content.
type Digest [sha256.Size]byte

// String returns the digest in hexadecimal.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

func parseDigest(s string) (Digest, error) {
	var d Digest
	if len(s) != 2*len(d) {
		return d, fmt.Errorf("%q is not a digest", s)
	}
	if _, err := hex.Decode(d[:], []byte(s)); err != nil || d.String() != s {
		return d, fmt.Errorf("%q is not a digest", s)
	}
	return d, nil
}

// Section is a section of the bundle's ELF file.
type Section struct {
	Name   string
	Offset int64 // in the file, in bytes
	Size   int64 // in bytes
}

// Names of the formats, as Format returns them.
const (
	FormatBundle    = "glick-1"       // a bundle of format version 1
	FormatSlice     = "glick-slice-1" // a slice in a file of its own
	FormatGlick02   = "glick-0.2"     // Glick 0.2 (2007)
	FormatGlick2    = "glick-2"       // Glick 2 (2011), its format 1
	FormatAppImage1 = "appimage-1"
	FormatAppImage2 = "appimage-2"
)

// Bundle is an open bundle, slice file or file of another format. It reads from the reader that was given to Read as long as it is used.
type Bundle struct {
	r        io.ReaderAt
	size     int64
	format   string
	sections []Section
	manifest *Manifest
	text     []byte // of the manifest
	digest   Digest
	foreign  *Foreign     // nil for our own formats
	loaded   []elfSection // the stub's own sections
	noteAddr uint64       // where the mark is loaded
}

// Read finds out what the bundle in the first size bytes of r is: it reads the ELF headers, the section table and the manifest, a few
// kilobytes of any file. It does not check contents; each accessor checks what it returns. The caller keeps r open while the Bundle or
// its Tree is used. A slice in a file of its own is not a bundle: see ReadSlice.
//
// Errors are ErrNotBundle, ErrTruncated, ErrDamaged, ErrVersion, or those of r.
func Read(r io.ReaderAt, size int64) (*Bundle, error) { return readKind(r, size, kindBundle) }

// ReadSlice is Read for a slice in a file of its own. What it returns has a manifest with that slice only, and no id.
func ReadSlice(r io.ReaderAt, size int64) (*Bundle, error) { return readKind(r, size, kindSlice) }

func readKind(r io.ReaderAt, size int64, kind fileKind) (*Bundle, error) {
	file, err := readELF(r, size)
	if err != nil {
		return nil, err
	}
	b := &Bundle{r: r, size: size, format: FormatBundle, sections: file.sections, loaded: file.loaded, noteAddr: file.noteAddr}
	switch {
	case file.kind == kindSlice && kind == kindBundle:
		return nil, fmt.Errorf("a slice, of which bundles are made: %w", ErrNotBundle)
	case file.kind == kindBundle && kind == kindSlice:
		return nil, fmt.Errorf("a bundle, not a slice: %w", ErrNotSlice)
	case kind == kindSlice:
		b.format = FormatSlice
	}
	if b.text, err = b.read(sectionManifest, maxManifest); err != nil {
		return nil, err
	}
	if b.text == nil {
		return nil, fmt.Errorf("it has no manifest: %w", ErrDamaged)
	}
	b.digest = sha256.Sum256(b.text)
	if b.manifest, err = parseManifest(b.text, kind); err != nil {
		return nil, err
	}
	if kind == kindBundle && file.arch != b.manifest.Arch {
		return nil, fmt.Errorf("its code is for %s, its manifest says %s: %w", file.arch, b.manifest.Arch, ErrDamaged)
	}
	if err := b.placeSlices(); err != nil {
		return nil, err
	}
	return b, nil
}

// placeSlices finds which slices are in the file, and checks that their data lie inside of .glick.data and apart from each other.
func (b *Bundle) placeSlices() error {
	data, ok := b.section(sectionData)
	if !ok {
		return fmt.Errorf("it has no section %s: %w", sectionData, ErrDamaged)
	}
	indexes := make(map[string]bool)
	for _, s := range b.sections {
		indexes[s.Name] = true
	}
	var there []SliceInfo
	for i := range b.manifest.Slices {
		s := &b.manifest.Slices[i]
		switch name := sectionSlice + strconv.Itoa(i); {
		case !indexes[name] && s.Optional && b.format == FormatBundle:
			s.Missing = true
		case !indexes[name]:
			return fmt.Errorf("it has no section %s: %w", name, ErrDamaged)
		case s.DataOffset > data.Size || s.DataSize > data.Size-s.DataOffset:
			return fmt.Errorf("the data of slice %d is outside of %s: %w", i, sectionData, ErrDamaged)
		case s.DataSize > 0:
			there = append(there, *s)
		}
	}
	slices.SortFunc(there, func(x, y SliceInfo) int { return cmp.Compare(x.DataOffset, y.DataOffset) })
	for i := 1; i < len(there); i++ {
		if there[i].DataOffset < there[i-1].DataOffset+there[i-1].DataSize {
			return fmt.Errorf("the data of the slices %s and %s overlap: %w", there[i-1].Name, there[i].Name, ErrDamaged)
		}
	}
	return nil
}

// Format returns the name of the file's format, FormatBundle for a bundle.
func (b *Bundle) Format() string { return b.format }

// Manifest returns what the bundle says about itself. The caller must not change it.
func (b *Bundle) Manifest() *Manifest { return b.manifest }

// ManifestText returns the manifest as it is in the file: what a signature signs. Nil for foreign files. The caller must not change it.
func (b *Bundle) ManifestText() []byte { return b.text }

// Signature returns the armoured SSH signature of ManifestText, or nil when the file has none. It is not checked here: package signature does.
func (b *Bundle) Signature() ([]byte, error) { return b.read(sectionSignature, maxSignature) }

// Digest returns the digest of the manifest, which holds the digests of all else: the identity of the whole bundle. Zero for foreign files.
func (b *Bundle) Digest() Digest { return b.digest }

// Size returns the size of the bundle file in bytes.
func (b *Bundle) Size() int64 { return b.size }

// Sections returns the sections that belong to Glick, in the order of the section table. Others, as the stub's own, are left out.
func (b *Bundle) Sections() []Section { return slices.Clone(b.sections) }

// DesktopFile returns the main desktop entry, or nil when the bundle has none.
func (b *Bundle) DesktopFile() ([]byte, error) { return b.readChecked(sectionDesktop, maxDesktop) }

// Metainfo returns the AppStream metainfo, or nil when the bundle has none.
func (b *Bundle) Metainfo() ([]byte, error) { return b.readChecked(sectionMetainfo, maxMetainfo) }

// SVGIcon returns the scalable icon, or nil when the bundle has none.
func (b *Bundle) SVGIcon() ([]byte, error) { return b.readChecked(sectionSVG, maxIcon) }

// Icon returns the PNG icon of exactly that width and height in pixels, or nil when the bundle has none. A picture that says it has other sizes
// is ErrDamaged, so that who draws it knows how much memory it takes.
func (b *Bundle) Icon(size int) ([]byte, error) {
	data, err := b.readChecked(sectionIcon+strconv.Itoa(size), maxIcon)
	if data == nil || err != nil {
		return nil, err
	}
	if w, h, ok := pngSize(data); !ok || w != size || h != size {
		return nil, fmt.Errorf("the icon of size %d is not a PNG picture of that size: %w", size, ErrDamaged)
	}
	return data, nil
}

// IconSizes returns the sizes in pixels of the PNG icons, ascending.
func (b *Bundle) IconSizes() []int {
	var sizes []int
	for _, s := range b.sections {
		if n, ok := iconSize(s.Name); ok {
			sizes = append(sizes, n)
		}
	}
	if b.foreign != nil {
		for n := range b.foreign.Icons {
			sizes = append(sizes, n)
		}
	}
	slices.Sort(sizes)
	return sizes
}

// iconSize returns the size that a section's name says, when it is that of a PNG icon.
func iconSize(section string) (int, bool) {
	text, ok := strings.CutPrefix(section, sectionIcon)
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 4096 || strconv.Itoa(n) != text {
		return 0, false
	}
	return n, true
}

func (b *Bundle) section(name string) (Section, bool) {
	for _, s := range b.sections {
		if s.Name == name {
			return s, true
		}
	}
	return Section{}, false
}

// read returns a section's bytes, or nil when there is no such section.
func (b *Bundle) read(name string, limit int64) ([]byte, error) {
	s, ok := b.section(name)
	if !ok {
		return nil, nil
	}
	if s.Size > limit {
		return nil, fmt.Errorf("section %s has %d bytes, more than the %d allowed: %w", name, s.Size, limit, ErrDamaged)
	}
	data := make([]byte, s.Size)
	if err := ReadFull(b.r, data, s.Offset); err != nil {
		return nil, fmt.Errorf("cannot read section %s: %w", name, err)
	}
	return data, nil
}

// readChecked is read with the digest compared to the one in the manifest.
func (b *Bundle) readChecked(name string, limit int64) ([]byte, error) {
	if b.foreign != nil {
		return b.foreign.section(name), nil
	}
	data, err := b.read(name, limit)
	if data == nil || err != nil {
		return nil, err
	}
	want, ok := b.manifest.digests[name]
	if !ok {
		return nil, fmt.Errorf("the manifest has no digest of section %s: %w", name, ErrDamaged)
	}
	if sha256.Sum256(data) != want {
		return nil, fmt.Errorf("section %s differs from its digest: %w", name, ErrDamaged)
	}
	return data, nil
}

// ReadFull fills p from offset off of r. The end of the file is ErrTruncated: who reads a format has compared every range to the size before.
func ReadFull(r io.ReaderAt, p []byte, off int64) error {
	if len(p) == 0 {
		return nil
	}
	n, err := r.ReadAt(p, off)
	switch {
	case n == len(p):
		return nil
	case err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return ErrTruncated
	}
	return err
}
