// SPDX-License-Identifier: MIT

package thumbnailer

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"testing"
)

func square(w, h int) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			c := color.NRGBA{R: 20, G: 120, B: 220, A: 255}
			if x < w/2 && y < h/2 {
				c = color.NRGBA{R: 240, G: 180, B: 20, A: 255}
			}
			img.SetNRGBA(x, y, c)
		}
	}
	return img
}

func written(t *testing.T, img image.Image, size int) image.Image {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, img, size); err != nil {
		t.Fatal(err)
	}
	out, err := png.Decode(&b)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestWriteFitsTheBox(t *testing.T) {
	for _, c := range []struct{ w, h, size, wantW, wantH int }{
		{48, 48, 256, 256, 256}, {512, 512, 256, 256, 256}, {256, 256, 256, 256, 256}, {200, 100, 256, 256, 128}, {1, 1000, 64, 1, 64},
	} {
		out := written(t, square(c.w, c.h), c.size)
		if b := out.Bounds(); b.Dx() != c.wantW || b.Dy() != c.wantH {
			t.Errorf("%d×%d in %d became %v", c.w, c.h, c.size, b)
		}
	}
	out := written(t, square(48, 48), 256)
	for at, want := range map[image.Point]color.NRGBA{{64, 64}: {240, 180, 20, 255}, {192, 192}: {20, 120, 220, 255}} {
		if got := color.NRGBAModel.Convert(out.At(at.X, at.Y)); got != want {
			t.Errorf("at %v is %v, want %v", at, got, want)
		}
	}
}

// Whatever a file is, there is a picture.
func TestRunNeverFailsForContent(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string][]byte{
		"empty": nil, "text": []byte("hello"), "elf": append([]byte("\x7fELF\x02\x01\x01"), make([]byte, 5000)...),
	} {
		in, out := filepath.Join(dir, name), filepath.Join(dir, name+".png")
		if err := os.WriteFile(in, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := Run(in, out, 128); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		data, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		if c, err := png.DecodeConfig(bytes.NewReader(data)); err != nil || c.Width != 128 || c.Height != 128 {
			t.Errorf("%s: %+v %v", name, c, err)
		}
	}
	for _, in := range []string{filepath.Join(dir, "missing"), dir, "/dev/zero"} {
		if err := Run(in, filepath.Join(dir, "x.png"), 128); err != nil {
			t.Errorf("%s: %v", in, err)
		}
	}
	for _, size := range []int{0, -1, MaxSize + 1} {
		if Run(dir, filepath.Join(dir, "x.png"), size) == nil {
			t.Errorf("size %d is accepted", size)
		}
	}
	if Run(dir, filepath.Join(dir, "none", "x.png"), 128) == nil {
		t.Error("wrote into a folder that does not exist")
	}
}

// A picture that says it has 60000×60000 pixels must not be unfolded.
func TestIconBomb(t *testing.T) {
	var b bytes.Buffer
	b.WriteString("\x89PNG\r\n\x1a\n")
	head := []byte("IHDR")
	head = binary.BigEndian.AppendUint32(head, 60000)
	head = binary.BigEndian.AppendUint32(head, 60000)
	head = append(head, 8, 6, 0, 0, 0)
	b.Write(binary.BigEndian.AppendUint32(nil, 13))
	b.Write(head)
	b.Write(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(head)))
	if _, err := decode(b.Bytes()); err == nil {
		t.Error("accepted")
	}
}

// TestOpaque: file managers paint a checkerboard behind transparent pictures.
func TestOpaque(t *testing.T) {
	for _, size := range []int{32, 64, 128} { // smaller, as it is, larger
		img := written(t, image.NewNRGBA(image.Rect(0, 0, 64, 64)), size)
		for y := range size {
			for x := range size {
				if r, g, b, a := img.At(x, y).RGBA(); r&g&b&a != 0xffff {
					t.Fatalf("size %d: a transparent pixel has become %v", size, img.At(x, y))
				}
			}
		}
	}
}
