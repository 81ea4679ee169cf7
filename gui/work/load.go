// SPDX-License-Identifier: MIT

// Package work does what the windows ask for, away from the main loop and without a widget: it reads, checks, installs,
// removes and starts bundles. Every function may block and may be called from any goroutine.
package work

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/image/draw"
	"golang.org/x/sys/unix"

	"glick.org/glick/bundle"
	"glick.org/glick/bundle/foreign"
	"glick.org/glick/gui/state"
	"glick.org/glick/runtime/launch"
	"glick.org/glick/xdgexport/apps"
	"glick.org/glick/xdgexport/sessionbus"
)

// maxIcon is the largest side of an icon that is decoded, in pixels. A few bytes of PNG can claim any size.
const maxIcon = 1024

// Look is the first look at a bundle.
type Look struct {
	Loaded state.Loaded
	Icon   *image.NRGBA // nil when there is none that can be shown
}

// Load reads a bundle's identity, a few kilobytes whatever its size. icon is the wanted side of the icon in pixels; what comes is at most that
// large. What of it is installed is left to Relate, which may take longer.
func Load(file string, icon int) (Look, error) {
	if strings.Contains(file, "://") && !filepath.IsAbs(file) {
		return Look{}, fmt.Errorf("cannot open %s: %w", file, state.ErrRemote)
	}
	f, size, err := open(file)
	if err != nil {
		return Look{}, fmt.Errorf("cannot open %s: %w", file, err)
	}
	defer f.Close()
	b, err := readAny(f, size)
	if err != nil {
		return Look{}, fmt.Errorf("cannot read %s: %w", file, err)
	}
	m := b.Manifest()
	id := state.Identity{ID: m.ID, Name: m.Name, Version: m.Version, Arch: m.Arch, Format: b.Format(), Size: size, CanMove: canMove(file, f)}
	if b.Digest() != (bundle.Digest{}) {
		id.Digest = b.Digest().String()
	}
	for _, s := range m.Slices {
		id.Unpacked += s.Size
	}
	// A desktop file, metainfo or icon that cannot be read is no reason to show nothing: the check of the whole file tells.
	if data, err := b.DesktopFile(); err == nil && data != nil {
		describeFromDesktop(&id, data, Languages())
	}
	if data, err := b.Metainfo(); err == nil && data != nil {
		parseMetainfo(data, Languages()).describe(&id)
	}
	id.Origin = origin(f)
	look := Look{Loaded: state.Loaded{Identity: id}, Icon: readIcon(b, icon)}
	switch {
	case b.Format() != bundle.FormatBundle:
		look.Loaded.Lacks = []state.Lack{{Kind: state.LackFormat, Detail: b.Format()}}
		look.Loaded.Related = true // nothing of its kind can be installed
	case m.Arch != launch.Arch():
		look.Loaded.Lacks = []state.Lack{{Kind: state.LackArchitecture, Detail: m.Arch}}
	}
	return look, nil
}

// readAny reads whichever of the kinds of files that Glick knows it is. A slice is bundle.ErrNotSlice.
func readAny(f *os.File, size int64) (*bundle.Bundle, error) {
	b, err := foreign.Read(f, size)
	if errors.Is(err, bundle.ErrNotBundle) {
		head := make([]byte, bundle.HeadSize)
		if n, _ := f.ReadAt(head, 0); bundle.IsSlice(head[:n]) {
			return nil, bundle.ErrNotSlice
		}
	}
	return b, err
}

// canMove says whether installing may take the file away from where it is: it is the person's own, in a folder that can be written.
func canMove(file string, f *os.File) bool {
	var own, named unix.Stat_t
	if unix.Fstat(int(f.Fd()), &own) != nil || unix.Lstat(file, &named) != nil || own.Ino != named.Ino || own.Dev != named.Dev {
		return false // a link to it: who owns the target has not asked for anything
	}
	dir := filepath.Dir(file)
	for _, folder := range apps.Folders() {
		if dir == folder {
			return false
		}
	}
	return own.Uid == uint32(os.Geteuid()) && unix.Access(dir, unix.W_OK) == nil
}

// Relate finds out what of an application is installed, and whether the bundle in file is by whom it should be. It may read bundles that
// nobody has looked at yet.
func Relate(file string, id state.Identity) ([]state.Installed, state.Trust) {
	t := state.Trust{}
	if app, err := apps.Find(file); err == nil {
		t.State, t.Key, t.Damage = app.State, app.Key, app.Damage
	}
	if r := apps.Known(id.ID); r != nil {
		t.Expected, t.Since = r.Keys, r.Since
		t.Accepted = slices.Contains(r.Accepted, id.Digest)
	}
	return InstalledOf(id.ID, id.Digest), t
}

// Remember remembers that the person wants to use this very bundle, and is not to be asked again.
func Remember(id, digest string) error { return sessionbus.Accept(id, digest) }

// open opens a regular file for reading. Nothing else is waited for: a pipe would block, a device might do anything.
func open(file string) (*os.File, int64, error) {
	f, err := os.OpenFile(file, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil {
		switch {
		case info.IsDir():
			err = &fs.PathError{Op: "read", Path: file, Err: syscall.EISDIR}
		case !info.Mode().IsRegular():
			err = bundle.ErrNotBundle
		}
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

// origin is the URL that a browser noted on the file (freedesktop.org, Common Extended Attributes).
func origin(f *os.File) string {
	buf := make([]byte, 4096)
	n, err := unix.Fgetxattr(int(f.Fd()), "user.xdg.origin.url", buf)
	if err != nil || n <= 0 || n > len(buf) {
		return ""
	}
	return string(bytes.TrimRight(buf[:n], "\x00"))
}

// readIcon gives the icon that suits a picture of side pixels best, scaled down when it is larger.
func readIcon(b *bundle.Bundle, side int) *image.NRGBA {
	var best int
	for _, s := range b.IconSizes() {
		if s <= maxIcon {
			best = s
		}
		if s >= side {
			break
		}
	}
	if best == 0 {
		return nil
	}
	data, err := b.Icon(best)
	if err != nil || data == nil {
		return nil
	}
	return decodeIcon(data, side)
}

// decodeIcon decodes in Go, not in a C library: the picture comes from a file that nobody has checked.
func decodeIcon(data []byte, side int) *image.NRGBA {
	c, err := png.DecodeConfig(bytes.NewReader(data))
	if err != nil || c.Width < 1 || c.Height < 1 || c.Width > maxIcon || c.Height > maxIcon {
		return nil
	}
	src, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		return nil
	}
	w, h := c.Width, c.Height
	if most := max(w, h); most > side {
		w, h = max(1, w*side/most), max(1, h*side/most)
	}
	out := image.NewNRGBA(image.Rect(0, 0, w, h))
	draw.CatmullRom.Scale(out, out.Bounds(), src, src.Bounds(), draw.Src, nil)
	return out
}

// InstalledOf lists what is installed of an id, the default version first. digest, in hex, tells which of them is the same bundle.
func InstalledOf(id, digest string) []state.Installed {
	all, _, err := apps.List()
	if err != nil {
		return nil
	}
	var out []state.Installed
	for _, a := range all {
		if a.ID == id && a.State.Usable() {
			out = append(out, state.Installed{Version: a.Version, File: a.File, System: a.System, Same: a.Digest.String() == digest})
		}
	}
	return out
}

// Icon is the icon of a bundle, at most side pixels large, or nil.
func Icon(file string, side int) *image.NRGBA {
	f, size, err := open(file)
	if err != nil {
		return nil
	}
	defer f.Close()
	b, err := bundle.Read(f, size)
	if err != nil {
		return nil
	}
	return readIcon(b, side)
}

// Absolute makes a path absolute and clean, so that the same file has the same name. It does not follow symbolic links: the name
// that a person chose is the one to show.
func Absolute(file string) string {
	if strings.Contains(file, "://") {
		return file // no file of this computer; Load says so
	}
	if abs, err := filepath.Abs(file); err == nil {
		return abs
	}
	return filepath.Clean(file)
}
