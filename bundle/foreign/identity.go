// SPDX-License-Identifier: MIT

package foreign

import (
	"bytes"
	"encoding/binary"
	"encoding/xml"
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"glick.org/glick/bundle"
	"glick.org/glick/bundle/keyfile"
)

// Largest sizes, in bytes, of what is taken from an image; what is larger is as if it were not there.
const (
	maxDesktop  = 1 << 20
	maxMetainfo = 4 << 20
	maxIcon     = 4 << 20
	maxIcons    = 16 << 20 // of all icons together
	maxDepth    = 64       // of elements in metainfo
)

// Smallest and largest width of an icon in pixels.
const (
	minSide = 8
	maxSide = 1024
)

// finder collects what an image says about its application.
type finder struct {
	*bundle.Foreign
	tree  *walker
	share string // the folder of the image that is the application's share

	base     string // name of the desktop file without .desktop
	iconName string // as the desktop file says
	read     int64  // bytes of icons that were read
}

// ignoreMissing drops the error that says that there is no such file.
func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// setID takes an id when it is one. A desktop file's name may stand for it (AppStream specification, "id").
func (d *finder) setID(id string) {
	id = strings.TrimSuffix(id, ".desktop")
	if d.Manifest.ID == "" && bundle.ValidID(id) == nil {
		d.Manifest.ID = id
	}
}

// setVersion takes a version when it can stand where versions stand.
func (d *finder) setVersion(v string) {
	bad := func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '/' || r == '\\' }
	if d.Manifest.Version == "" && len(v) <= 255 && !strings.ContainsFunc(v, bad) {
		d.Manifest.Version = v
	}
}

// desktop takes what a desktop file says. One that is no key file is still the desktop file, and says nothing.
func (d *finder) desktop(text []byte, base string) {
	if text == nil {
		return
	}
	d.DesktopFile, d.base = text, base
	f, err := keyfile.Parse(text)
	if err != nil {
		return
	}
	entry := f.Group("Desktop Entry")
	if name := entry.String("Name"); len(name) <= 1024 && utf8.ValidString(name) && !strings.ContainsFunc(name, unicode.IsControl) {
		d.Manifest.Name = name
	}
	d.setVersion(entry.String("X-AppImage-Version"))
	d.iconName = entry.String("Icon")
	if d.Manifest.Exec == "" {
		d.Manifest.Exec = d.programOf(entry.String("Exec"))
	}
}

// programOf returns the first word of a desktop file's Exec as a path in the image, when it is one.
func (d *finder) programOf(line string) string {
	word, _, _ := strings.Cut(strings.TrimLeft(line, " "), " ")
	return d.relative(strings.Trim(word, `"`))
}

// relative returns a path that a file says of its program as relative to the root in its shortest form; "" when it leads elsewhere.
func (d *finder) relative(p string) string {
	if rest, ok := strings.CutPrefix(p, d.Manifest.Prefix+"/"); ok && d.Manifest.Prefix != "" {
		p = rest
	}
	p = path.Clean(p)
	if strings.HasPrefix(p, "/") || p == "." || p == ".." || strings.HasPrefix(p, "../") || len(p) > 4095 || strings.ContainsFunc(p, unicode.IsControl) {
		return ""
	}
	return p
}

// program takes the main program of a bundle that names it, and from it the processor.
func (d *finder) program(p string) error {
	if p == "" {
		return nil
	}
	d.Manifest.Exec = d.relative(p)
	i, st, err := d.tree.find(d.Manifest.Exec)
	if err != nil || st.Mode&modeType != modeFile || st.Size < elfHeader64 {
		return ignoreMissing(err)
	}
	head := make([]byte, elfHeader64)
	if err := d.tree.fill(i, head); err != nil {
		return err
	}
	d.Manifest.Arch = archOf(head)
	return nil
}

// root takes what lies in the root folder of an AppImage: the program and the desktop file, of which there should be one; of several it is
// the first by name.
func (d *finder) root() error {
	names, err := d.tree.names("")
	if err != nil {
		return err
	}
	if _, found := slices.BinarySearch(names, "AppRun"); found {
		d.Manifest.Exec = "AppRun"
	}
	for _, name := range names {
		base, ok := strings.CutSuffix(name, ".desktop")
		if !ok || base == "" {
			continue
		}
		text, err := d.tree.read(name, maxDesktop)
		if err != nil {
			return err
		}
		if text != nil {
			d.desktop(text, base)
			return nil
		}
	}
	return nil
}

// installed takes what a bundle that is like an installed package says: the desktop file of its id, or the only one.
func (d *finder) installed() error {
	dir := path.Join(d.share, "applications")
	names, err := d.tree.names(dir)
	if err != nil {
		return err
	}
	names = slices.DeleteFunc(names, func(n string) bool { return !strings.HasSuffix(n, ".desktop") || n == ".desktop" })
	name := d.Manifest.ID + ".desktop"
	if !slices.Contains(names, name) {
		if name = ""; len(names) == 1 {
			name = names[0]
		}
	}
	if name != "" {
		text, err := d.tree.read(path.Join(dir, name), maxDesktop)
		if err != nil {
			return err
		}
		// Its Exec is a command of the desktop's; the bundle itself says what its program is.
		exec := d.Manifest.Exec
		d.desktop(text, strings.TrimSuffix(name, ".desktop"))
		d.Manifest.Exec = exec
	}
	if err := d.metainfo(); err != nil {
		return err
	}
	return d.icons()
}

// metainfo takes the AppStream file: that of the desktop file, or the only one.
func (d *finder) metainfo() error {
	var only []string
	for _, dir := range []string{"metainfo", "appdata"} {
		names, err := d.tree.names(path.Join(d.share, dir))
		if err != nil {
			return err
		}
		for _, name := range names {
			stem, ok := strings.CutSuffix(name, ".metainfo.xml")
			if !ok {
				stem, ok = strings.CutSuffix(name, ".appdata.xml")
			}
			if !ok {
				continue
			}
			name = path.Join(d.share, dir, name)
			if d.base != "" && strings.TrimSuffix(stem, ".desktop") == d.base {
				only = []string{name}
				break
			}
			only = append(only, name)
		}
		if len(only) > 0 {
			break
		}
	}
	if len(only) == 1 {
		text, err := d.tree.read(only[0], maxMetainfo)
		if err != nil {
			return err
		}
		if id, ok := componentID(text); ok {
			d.Metainfo = text
			d.setID(id)
			if version, err := bundle.NewestRelease(text); err == nil {
				d.setVersion(version)
			}
		}
	}
	d.setID(d.base)
	return nil
}

// componentID returns the id of an AppStream component; false when the text is not the XML of one, or so deeply nested that it is an attack
// on those who read it later.
func componentID(text []byte) (string, bool) {
	id := ""
	d := xml.NewDecoder(bytes.NewReader(text))
	var open []string
	for {
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			return strings.TrimSpace(id), len(text) > 0
		}
		if err != nil {
			return "", false
		}
		switch t := t.(type) {
		case xml.StartElement:
			open = append(open, t.Name.Local)
			if len(open) > maxDepth || open[0] != "component" && open[0] != "application" {
				return "", false
			}
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			if len(open) == 2 && open[1] == "id" && len(id)+len(t) <= 1024 {
				id += string(t)
			}
		}
	}
}

// icons takes the pictures: what the root of an AppImage has, and those of the icon theme that all applications share.
func (d *finder) icons() error {
	name := strings.TrimSpace(path.Base(d.iconName))
	for _, ext := range []string{".png", ".svg", ".xpm"} {
		name = strings.TrimSuffix(name, ext)
	}
	named := d.iconName != "" && name != "" && name != "." && name != ".." && name != "/"
	if d.share != "share" {
		if err := d.take(".DirIcon"); err != nil {
			return err
		}
		if named && len(d.Icons) == 0 && d.SVG == nil {
			for _, ext := range []string{".png", ".svg"} {
				if err := d.take(name + ext); err != nil {
					return err
				}
			}
		}
	}
	if !named {
		return nil
	}
	theme := path.Join(d.share, "icons/hicolor")
	sizes, err := d.tree.names(theme)
	if err != nil {
		return err
	}
	for _, size := range sizes {
		file := ""
		if size == "scalable" {
			file = path.Join(theme, size, "apps", name+".svg")
		} else if n := themeSize(size); n != 0 && d.Icons[n] == nil {
			file = path.Join(theme, size, "apps", name+".png")
		}
		if file == "" || size == "scalable" && d.SVG != nil {
			continue
		}
		if err := d.take(file); err != nil {
			return err
		}
	}
	return nil
}

// themeSize returns the pixels of a folder of the icon theme like 48x48, or 0.
func themeSize(folder string) int {
	w, h, _ := strings.Cut(folder, "x")
	n, err := strconv.Atoi(w)
	if w != h || err != nil || n < minSide || n > maxSide || strconv.Itoa(n) != w {
		return 0
	}
	return n
}

// take takes a file as icon, when it is there and one.
func (d *finder) take(file string) error {
	data, err := d.tree.read(file, min(maxIcon, maxIcons-d.read))
	if err != nil {
		return err
	}
	d.read += int64(len(data))
	d.icon(data)
	return nil
}

// icon takes a picture by what it is, unless there is one of its kind.
func (d *finder) icon(data []byte) {
	if n := pngSide(data); n != 0 {
		if d.Icons[n] == nil {
			d.Icons[n] = data
		}
	} else if d.SVG == nil && isSVG(data) {
		d.SVG = data
	}
}

// pngSide returns the width of a square PNG in pixels, or 0 when it is no plausible icon (PNG specification, 5.2 and 11.2.2).
func pngSide(data []byte) int {
	if len(data) < 33 || string(data[:16]) != "\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR" {
		return 0
	}
	w, h := binary.BigEndian.Uint32(data[16:]), binary.BigEndian.Uint32(data[20:])
	depth, color := data[24], data[25]
	if w != h || w < minSide || w > maxSide || depth == 0 || depth > 16 || depth&(depth-1) != 0 || color > 6 || color == 1 || color == 5 ||
		data[26] != 0 || data[27] != 0 || data[28] > 1 {
		return 0
	}
	return int(w)
}

// isSVG says whether the first element of data, near its beginning, is that of an SVG picture.
func isSVG(data []byte) bool {
	d := xml.NewDecoder(bytes.NewReader(data[:min(len(data), 64<<10)]))
	// Drawing programs write entities of their own, and any encoding; the name of an element is ASCII.
	d.Strict = false
	d.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil }
	for {
		t, err := d.Token()
		if err != nil {
			return false
		}
		if e, ok := t.(xml.StartElement); ok {
			return e.Name.Local == "svg"
		}
	}
}
