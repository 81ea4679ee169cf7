// SPDX-License-Identifier: MIT

// Package icon makes the pictures that a bundle needs and an application does not bring. It is apart from package bundle so that programs
// that only read bundles, above all the stub, carry no image code.
package icon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/image/draw"

	"glick.org/glick/bundle"
)

// maxSide bounds the pixels of a picture that is to be scaled: a small PNG file can unpack to gigabytes.
const maxSide = 4096

// ErrNoRenderer says that the program that draws SVG pictures is not installed.
var ErrNoRenderer = errors.New("drawing an SVG icon needs the program rsvg-convert (package librsvg2-bin), which is not installed; " +
	"install it, or give a PNG with --icon")

// Maker makes pictures for bundle.Build.
type Maker struct{}

var _ bundle.IconMaker = Maker{}

// Scale returns the PNG picture in data scaled to size × size pixels.
func (Maker) Scale(data []byte, size int) ([]byte, error) {
	config, err := png.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("cannot read the icon: %w", err)
	}
	if config.Width < 1 || config.Height < 1 || config.Width > maxSide || config.Height > maxSide {
		return nil, fmt.Errorf("cannot scale an icon of %d×%d pixels", config.Width, config.Height)
	}
	from, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("cannot read the icon: %w", err)
	}
	to := image.NewNRGBA(image.Rect(0, 0, size, size))
	draw.CatmullRom.Scale(to, to.Bounds(), from, from.Bounds(), draw.Src, nil)
	var out bytes.Buffer
	enc := png.Encoder{CompressionLevel: png.BestCompression}
	if err := enc.Encode(&out, to); err != nil {
		return nil, fmt.Errorf("cannot write the scaled icon: %w", err)
	}
	return out.Bytes(), nil
}

// Render returns the SVG picture drawn at size × size pixels as PNG. The program that draws it can read nothing but the picture itself:
// librsvg loads no other files for one that comes without a place.
func (m Maker) Render(svg []byte, size int) ([]byte, error) {
	program, err := exec.LookPath("rsvg-convert")
	if err != nil {
		return nil, ErrNoRenderer
	}
	// An absolute path, so that the empty working directory does not change which program it is.
	if program, err = filepath.Abs(program); err != nil {
		return nil, fmt.Errorf("cannot find rsvg-convert: %w", err)
	}
	empty, err := os.MkdirTemp("", "glick-icon-")
	if err != nil {
		return nil, fmt.Errorf("cannot draw the SVG icon: %w", err)
	}
	defer os.Remove(empty)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	n := strconv.Itoa(size)
	cmd := exec.CommandContext(ctx, program, "--format=png", "--width="+n, "--height="+n, "--keep-aspect-ratio")
	cmd.Dir = empty
	cmd.Env = []string{"LC_ALL=C.UTF-8", "SOURCE_DATE_EPOCH=0"}
	cmd.Stdin = bytes.NewReader(svg)
	var out, message bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &message
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("rsvg-convert cannot draw the SVG icon: %w: %s", err, bytes.TrimSpace(message.Bytes()))
	}
	config, err := png.DecodeConfig(bytes.NewReader(out.Bytes()))
	if err != nil {
		return nil, fmt.Errorf("rsvg-convert gave no PNG: %w", err)
	}
	if config.Width == size && config.Height == size {
		return out.Bytes(), nil
	}
	// A picture that is not square was drawn smaller on one side; put it in the middle.
	return center(out.Bytes(), size)
}

func center(data []byte, size int) ([]byte, error) {
	from, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("rsvg-convert gave no PNG: %w", err)
	}
	to := image.NewNRGBA(image.Rect(0, 0, size, size))
	b := from.Bounds()
	at := image.Pt((size-b.Dx())/2, (size-b.Dy())/2)
	draw.Draw(to, b.Sub(b.Min).Add(at), from, b.Min, draw.Src)
	var out bytes.Buffer
	if err := png.Encode(&out, to); err != nil {
		return nil, fmt.Errorf("cannot write the icon: %w", err)
	}
	return out.Bytes(), nil
}
