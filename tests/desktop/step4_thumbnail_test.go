// SPDX-License-Identifier: MIT

//go:build desktop

package desktop

import (
	"crypto/md5"
	"fmt"
	"image"
	"image/png"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/image/draw"

	"glick.org/glick/tests/desktop/desk"
)

// TestThumbnail lets Files itself ask for the pictures, in the sandbox that it makes for thumbnailers.
func TestThumbnail(t *testing.T) {
	s := start(t, desk.X11)
	src := demo(t)
	want := filepath.Join(t.TempDir(), "icon.png")
	command(t, "glick", "extract", src, "--icon=256", want)
	icon := picture(t, want)

	// The name tells Files nothing in the second case.
	names := []string{"TextEditor.bundle", "TextEditor"}
	for _, name := range names {
		s.download(src, name)
	}
	cell := s.openFiles(filepath.Join(s.Home, "Downloads"), names[0])
	cache := filepath.Join(s.Home, ".cache/thumbnails")
	for _, name := range names {
		uri := (&url.URL{Scheme: "file", Path: filepath.Join(s.Home, "Downloads", name)}).String()
		hash := fmt.Sprintf("%x.png", md5.Sum([]byte(uri)))
		var found []string
		s.until(patience, "there is a thumbnail of "+name, func() bool {
			if failed, _ := filepath.Glob(cache + "/fail/*/" + hash); len(failed) > 0 {
				s.t.Fatalf("the thumbnailer failed for %s", name)
			}
			found, _ = filepath.Glob(cache + "/*/" + hash)
			return len(found) > 0
		})
		for _, f := range found {
			if d := difference(icon, picture(t, f)); d > 0.02 {
				t.Errorf("the thumbnail of %s is not the application's icon: they differ by %.3f", name, d)
			}
		}
	}

	// What is in the cache must also be on the screen: where Files shows the file, about as blue and orange as the icon is.
	x, y := s.still(cell)
	screen := filepath.Join(pictures(), "thumbnails.png")
	s.until(10*time.Second, "Files shows the icon", func() bool {
		s.must(s.Screenshot(screen))
		return colourful(picture(t, screen), image.Rect(x-60, y-70, x+60, y+50)) > colourful(icon, icon.Bounds())/2
	})
}

// colourful is the part of an area that is neither white, grey nor black.
func colourful(img image.Image, area image.Rectangle) float64 {
	var n, all float64
	for y := area.Min.Y; y < area.Max.Y; y++ {
		for x := area.Min.X; x < area.Max.X; x++ {
			r, g, b, _ := img.At(x, y).RGBA()
			if max(r, g, b)-min(r, g, b) > 0x4000 {
				n++
			}
			all++
		}
	}
	return n / all
}

func picture(t *testing.T, file string) image.Image {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	img, err := png.Decode(f)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return img
}

// difference is the mean difference of two pictures, brought to one size on white, from 0 (the same) to 1.
func difference(a, b image.Image) float64 {
	const size = 64
	small := func(src image.Image) *image.RGBA {
		dst := image.NewRGBA(image.Rect(0, 0, size, size))
		draw.Draw(dst, dst.Bounds(), image.White, image.Point{}, draw.Src)
		draw.CatmullRom.Scale(dst, dst.Bounds(), src, src.Bounds(), draw.Over, nil)
		return dst
	}
	x, y := small(a), small(b)
	var sum float64
	for i := range x.Pix {
		sum += math.Abs(float64(x.Pix[i]) - float64(y.Pix[i]))
	}
	return sum / float64(len(x.Pix)) / 255
}
