// SPDX-License-Identifier: MIT

// Package thumbnailer makes the pictures by which file managers show bundles: the application's own icon.
//
// It reads a bundle's identity and one icon, however large the file is, and executes nothing. It never fails for what
// a file holds: file managers remember for ever that a file has no picture, also one that was only half copied.
package thumbnailer

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"os"

	"golang.org/x/image/draw"

	"glick.org/glick/bundle/foreign"
)

const (
	// MaxSize is the largest picture, in pixels, that is made.
	MaxSize = 2048
	// maxPixels bounds the icons that are decoded: a small file can unfold to a picture of many gigabytes.
	maxPixels = 1024
)

//go:embed fallback.png
var fallback []byte

// Run makes a picture of at most size×size pixels of the bundle in the file in, and writes it to the file out, as PNG.
// Only a wrong size and failures to write are errors.
func Run(in, out string, size int) error {
	if size < 1 || size > MaxSize {
		return fmt.Errorf("cannot make a picture of size %d: it must be between 1 and %d", size, MaxSize)
	}
	var icon image.Image
	if f, err := os.Open(in); err == nil {
		defer f.Close()
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			icon, _ = Icon(f, info.Size(), size) // without one there is the fallback
		}
	}
	// Written in place: file managers make the file beforehand, in a folder where nothing else can be made.
	w, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("cannot write the picture: %w", err)
	}
	err = Write(w, icon, size)
	if cerr := w.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("cannot write the picture: %w", err)
	}
	return nil
}

// Icon gives the icon of a bundle, or of a file that package foreign reads, that suits a size best: the smallest that is large enough, else the largest that
// there is. What cannot be read or is too large to be decoded is passed over.
func Icon(r io.ReaderAt, fileSize int64, size int) (image.Image, error) {
	b, err := foreign.Read(r, fileSize)
	if err != nil {
		return nil, err
	}
	sizes := b.IconSizes() // ascending
	var order []int
	for _, s := range sizes {
		if s >= size {
			order = append(order, s)
		}
	}
	for i := len(sizes) - 1; i >= 0; i-- {
		if sizes[i] < size {
			order = append(order, sizes[i])
		}
	}
	err = errors.New("the bundle has no icon")
	for _, s := range order {
		var data []byte
		if data, err = b.Icon(s); err != nil || len(data) == 0 {
			continue
		}
		var img image.Image
		if img, err = decode(data); err == nil {
			return img, nil
		}
	}
	return nil, err
}

// decode reads a PNG picture of bearable size.
func decode(data []byte) (image.Image, error) {
	c, err := png.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("cannot read the icon: %w", err)
	}
	if c.Width < 1 || c.Height < 1 || c.Width > maxPixels || c.Height > maxPixels {
		return nil, fmt.Errorf("cannot use the icon: it has %d×%d pixels", c.Width, c.Height)
	}
	img, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("cannot read the icon: %w", err)
	}
	return img, nil
}

// Write scales a picture into a box of size×size pixels, keeping its proportions, onto white, and writes it as PNG. A nil picture
// is the one for bundles that have none.
func Write(w io.Writer, img image.Image, size int) error {
	if img == nil {
		var err error
		if img, err = decode(fallback); err != nil {
			return err
		}
	}
	from := img.Bounds()
	wide, high := size, size
	if from.Dx() > from.Dy() {
		high = max(1, size*from.Dy()/from.Dx())
	} else {
		wide = max(1, size*from.Dx()/from.Dy())
	}
	to := image.NewRGBA(image.Rect(0, 0, wide, high))
	// Files paints a checkerboard behind whatever is transparent.
	draw.Draw(to, to.Bounds(), image.White, image.Point{}, draw.Src)
	draw.CatmullRom.Scale(to, to.Bounds(), img, from, draw.Over, nil)
	return png.Encode(w, to)
}
