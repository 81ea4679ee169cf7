// SPDX-License-Identifier: MIT

package icon_test

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"image/png"
	"os/exec"
	"strings"
	"testing"

	"glick.org/glick/bundle/icon"
)

func picture(t *testing.T, w, h int) []byte {
	t.Helper()
	p := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			p.Set(x, y, color.NRGBA{R: 255, A: 255})
		}
	}
	var out bytes.Buffer
	if err := png.Encode(&out, p); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func decode(t *testing.T, data []byte) image.Image {
	t.Helper()
	p, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestScale(t *testing.T) {
	for _, from := range []int{16, 49, 256} {
		data, err := icon.Maker{}.Scale(picture(t, from, from), 48)
		if err != nil {
			t.Fatal(err)
		}
		p := decode(t, data)
		if p.Bounds() != image.Rect(0, 0, 48, 48) {
			t.Errorf("from %d: %v", from, p.Bounds())
		}
		if r, g, b, a := p.At(24, 24).RGBA(); r != 0xffff || g != 0 || b != 0 || a != 0xffff {
			t.Errorf("from %d: the colour is %x %x %x %x", from, r, g, b, a)
		}
	}
	for name, data := range map[string][]byte{
		"nothing": nil, "text": []byte("no picture"), "half": picture(t, 64, 64)[:60],
		"too large": picture(t, 5000, 1),
	} {
		if _, err := (icon.Maker{}).Scale(data, 48); err == nil {
			t.Errorf("%s was scaled", name)
		}
	}
}

func TestRender(t *testing.T) {
	if _, err := exec.LookPath("rsvg-convert"); err != nil {
		t.Skip("rsvg-convert (librsvg2-bin) is not installed")
	}
	for name, size := range map[string]string{"square": `width="10" height="10"`, "wide": `width="20" height="10"`, "no size": `viewBox="0 0 10 30"`} {
		svg := `<svg xmlns="http://www.w3.org/2000/svg" ` + size + `><rect width="100%" height="100%" fill="#0000ff"/></svg>`
		data, err := icon.Maker{}.Render([]byte(svg), 48)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		p := decode(t, data)
		if p.Bounds() != image.Rect(0, 0, 48, 48) {
			t.Errorf("%s: %v", name, p.Bounds())
		}
		if _, _, b, a := p.At(24, 24).RGBA(); b != 0xffff || a != 0xffff {
			t.Errorf("%s: the middle is %v", name, p.At(24, 24))
		}
	}
	if _, err := (icon.Maker{}).Render([]byte("<svg"), 48); err == nil || !strings.Contains(err.Error(), "rsvg-convert cannot draw") {
		t.Errorf("error %v", err)
	}
}

func TestRenderWithoutProgram(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := (icon.Maker{}).Render([]byte("<svg/>"), 48); !errors.Is(err, icon.ErrNoRenderer) {
		t.Errorf("error %v", err)
	}
}
