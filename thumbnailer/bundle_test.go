// SPDX-License-Identifier: MIT

package thumbnailer

import (
	"bytes"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"glick.org/glick/internal/sample"
)

const id = "org.example.Sample"

// counting counts what is read of a file.
type counting struct {
	io.ReaderAt
	n int64
}

func (c *counting) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.ReaderAt.ReadAt(p, off)
	c.n += int64(n)
	return n, err
}

func TestPictureIsTheIcon(t *testing.T) {
	tree := sample.App(id)
	// Content that does not shrink, so that reading it would show.
	var noise strings.Builder
	x := uint32(1)
	for range 4 << 20 {
		x = x*1664525 + 1013904223
		noise.WriteByte(byte(x >> 24))
	}
	tree["share/data"] = noise.String()
	file := sample.Build(t, t.TempDir(), id, "1", tree)
	out := filepath.Join(t.TempDir(), "out.png")
	if err := Run(file, out, 256); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	a, err := png.Decode(bytes.NewReader(got))
	if err != nil {
		t.Fatal(err)
	}
	b, err := png.Decode(strings.NewReader(sample.Icon(256)))
	if err != nil {
		t.Fatal(err)
	}
	if a.Bounds() != b.Bounds() {
		t.Fatalf("the picture is %v", a.Bounds())
	}
	for y := range 256 {
		for x := range 256 {
			if a.At(x, y) != b.At(x, y) {
				t.Fatalf("at %d,%d the picture is %v, the icon %v", x, y, a.At(x, y), b.At(x, y))
			}
		}
	}

	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	for size, want := range map[int]int{32: 48, 48: 48, 49: 256, 256: 256, 512: 256} {
		c := &counting{ReaderAt: f}
		icon, err := Icon(c, info.Size(), size)
		if err != nil || icon.Bounds().Dx() != want {
			t.Errorf("for %d: %v %v, want %d", size, icon.Bounds(), err, want)
		}
		if c.n > 128<<10 {
			t.Errorf("for %d: %d bytes of %d were read", size, c.n, info.Size())
		}
	}

	// Half a file is still downloading; its picture is the fallback.
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	half := filepath.Join(t.TempDir(), "half.bundle")
	if err := os.WriteFile(half, data[:len(data)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Run(half, out, 64); err != nil {
		t.Error(err)
	}
}
