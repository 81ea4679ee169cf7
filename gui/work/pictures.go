// SPDX-License-Identifier: MIT

package work

import (
	"bytes"
	"context"
	"image"
	"image/jpeg"
	"image/png"
	"net/url"
	"path"
	"strings"

	"golang.org/x/image/draw"

	"glick.org/glick/bundle"
)

// What of a bundle's pictures is read at most.
const (
	maxPictureBytes = 16 << 20
	maxPictureSide  = 8192
	maxPictureArea  = 16 << 20 // pixels
)

// Picture is a screenshot, ready to be shown.
type Picture struct {
	Image   *image.NRGBA
	Caption string // as the file has it; may be empty
}

// Pictures decodes the screenshots that a bundle's metainfo names and that are files of the bundle, scaled down to at most width pixels.
// Nothing is fetched from anywhere. found is called with one after the other.
func Pictures(ctx context.Context, file string, width int, found func(Picture)) {
	f, size, err := open(file)
	if err != nil {
		return
	}
	defer f.Close()
	b, err := bundle.Read(f, size)
	if err != nil {
		return
	}
	data, err := b.Metainfo()
	if err != nil || data == nil {
		return
	}
	shots := parseMetainfo(data, Languages()).screenshots
	if len(shots) == 0 {
		return
	}
	tree, err := b.Tree()
	if err != nil {
		return
	}
	for _, s := range shots {
		for _, name := range s.files {
			if ctx.Err() != nil {
				return
			}
			if img := pictureOf(ctx, tree, name, width); img != nil {
				found(Picture{Image: img, Caption: s.caption.text})
				break
			}
		}
	}
}

// pictureOf decodes the file of a tree that an address in metainfo means; nil for none.
func pictureOf(ctx context.Context, t *bundle.Tree, address string, width int) *image.NRGBA {
	m := t.Bundle().Manifest()
	for _, name := range pictureNames(address, m.Prefix, m.ID) {
		n, err := t.Resolve(name)
		if err != nil {
			continue
		}
		info := t.Info(n)
		if !info.IsFile() || info.Size <= 0 || info.Size > maxPictureBytes {
			continue
		}
		var data bytes.Buffer
		if t.ExtractFile(ctx, n, &data, bundle.ExtractOptions{}) != nil {
			continue
		}
		if img := decodePicture(data.Bytes(), width); img != nil {
			return img
		}
	}
	return nil
}

// pictureNames lists where in a tree a picture may be that metainfo names: a path in the tree, a path or file: address below the prefix, or, for an
// address on the network, a file of that name in one of the usual folders.
func pictureNames(address, prefix, id string) []string {
	u, err := url.Parse(address)
	if err != nil {
		return nil
	}
	switch u.Scheme {
	case "", "file":
		if rest, ok := strings.CutPrefix(u.Path, strings.TrimSuffix(prefix, "/")+"/"); ok {
			return []string{rest}
		}
		if u.Scheme == "" && !path.IsAbs(u.Path) {
			return []string{u.Path}
		}
	case "http", "https":
		base := path.Base(u.Path)
		if base == "." || base == "/" {
			return nil
		}
		var names []string
		for _, dir := range []string{"share/metainfo/screenshots", "share/" + id + "/screenshots", "share/screenshots", "share/metainfo"} {
			names = append(names, path.Join(dir, base))
		}
		return names
	}
	return nil
}

// decodePicture decodes in Go, as decodeIcon does. A picture that claims to be huge is not decoded at all.
func decodePicture(data []byte, width int) *image.NRGBA {
	decode, config := png.Decode, png.DecodeConfig
	if bytes.HasPrefix(data, []byte("\xff\xd8")) {
		decode, config = jpeg.Decode, jpeg.DecodeConfig
	}
	c, err := config(bytes.NewReader(data))
	if err != nil || c.Width < 1 || c.Height < 1 || c.Width > maxPictureSide || c.Height > maxPictureSide || c.Width*c.Height > maxPictureArea {
		return nil
	}
	src, err := decode(bytes.NewReader(data))
	if err != nil {
		return nil
	}
	w, h := c.Width, c.Height
	if w > width {
		w, h = width, max(1, h*width/w)
	}
	out := image.NewNRGBA(image.Rect(0, 0, w, h))
	draw.ApproxBiLinear.Scale(out, out.Bounds(), src, src.Bounds(), draw.Src, nil)
	return out
}
