// SPDX-License-Identifier: MIT

package main

import (
	"cmp"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"os"
	"path/filepath"
	"time"

	"glick.org/glick/tests/desktop/atspi"
	"glick.org/glick/tests/desktop/desk"
)

const (
	program  = "glick-gui"
	patience = time.Minute
	// settle is how long a window is left alone before its picture is taken: icons are read and animations end.
	settle = 2 * time.Second
	corner = 12 // radius of a window's corners, in pixels
)

// pictures takes all pictures in one session of GNOME Shell.
func pictures(dir string, stub []byte) (err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	s, err := desk.Start(desk.GNOME)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	apps, downloads := filepath.Join(s.Home, "Apps"), filepath.Join(s.Home, "Downloads")
	last := len(examples) - 1
	if err := errors.Join(makeAll(apps, examples[:last], stub), makeAll(downloads, examples[last:], stub), furnish(s.Home)); err != nil {
		return err
	}
	t := taker{s, dir}
	return errors.Join(t.library(), t.bundle(filepath.Join(downloads, "Granite-5.0.bundle")))
}

// furnish makes the home of a person who has used some of the applications.
func furnish(home string) error {
	now := time.Now().Unix()
	state := fmt.Sprintf(`<?xml version="1.0"?><application-state><application id="org.example.Tidepool.desktop" last-seen="%d"/>`+
		`<application id="org.example.Quill.desktop" last-seen="%d"/></application-state>`, now-24*3600, now-40*24*3600)
	for path, data := range map[string][]byte{
		".local/share/gnome-shell/application_state":   []byte(state),
		".local/share/org.example.Meadow/notes":        make([]byte, 4_100_000),
		".config/org.example.Meadow/settings":          make([]byte, 12_000),
		".local/share/org.example.Orchard/plants":      make([]byte, 9_300_000),
		".cache/org.example.Tidepool/thumbnails/small": make([]byte, 15_000_000),
	} {
		path = filepath.Join(home, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

type taker struct {
	*desk.Session
	dir string
}

func (t taker) library() error {
	if _, err := t.Launch("glickd"); err != nil {
		return err
	}
	if _, err := t.Launch("glick", "run", "org.example.Lantern"); err != nil {
		return err
	}
	gui, err := t.Launch(cmp.Or(os.Getenv("GLICK_TEST_GUI"), program))
	if err != nil {
		return err
	}
	if _, err := t.A11y.Wait(program, atspi.Match{Role: "list item", Part: "Running"}, patience); err != nil {
		return err
	}
	if err := t.take("library.png"); err != nil {
		return err
	}
	if err := t.click(atspi.Match{Role: "list item", Part: "Meadow"}, atspi.Match{Role: "button", Name: "Show in Files"}); err != nil {
		return err
	}
	if err := t.take("details.png"); err != nil {
		return err
	}
	if err := t.A11y.Press(program, "Back", patience); err != nil {
		return err
	}
	if err := t.click(atspi.Match{Role: "tab", Name: "Storage"}, atspi.Match{Part: "in 7 applications"}); err != nil {
		return err
	}
	return errors.Join(t.take("storage.png"), gui.Process.Kill())
}

func (t taker) bundle(file string) error {
	if _, err := t.Launch(cmp.Or(os.Getenv("GLICK_TEST_GUI"), program), file); err != nil {
		return err
	}
	if _, err := t.A11y.Wait(program, atspi.Match{Role: "button", Name: "Install"}, patience); err != nil {
		return err
	}
	return t.take("bundle.png")
}

// click clicks on something, and waits for what comes of it.
func (t taker) click(what, then atspi.Match) error {
	n, err := t.A11y.Wait(program, what, patience)
	if err != nil {
		return err
	}
	time.Sleep(settle)
	x, y, err := t.Place(n)
	if err != nil {
		return err
	}
	if err := t.Click(x, y, 1); err != nil {
		return err
	}
	_, err = t.A11y.Wait(program, then, patience)
	return err
}

// take takes a picture of the program's window.
func (t taker) take(name string) error {
	time.Sleep(settle)
	// The pointer would light up what it is over.
	if err := t.Click(2, 400, 1); err != nil {
		return err
	}
	time.Sleep(settle)
	file := filepath.Join(t.dir, name)
	if err := t.Screenshot(file); err != nil {
		return err
	}
	windows, err := t.Windows()
	if err != nil {
		return err
	}
	if len(windows) == 0 {
		return errors.New("there is no window")
	}
	w := windows[len(windows)-1]
	return crop(file, image.Rect(w.X, w.Y, w.X+w.W, w.Y+w.H))
}

// crop leaves the window alone, with nothing behind its corners.
func crop(file string, r image.Rectangle) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	screen, err := png.Decode(f)
	if err != nil {
		return err
	}
	out := image.NewNRGBA(image.Rect(0, 0, r.Dx(), r.Dy()))
	draw.Draw(out, out.Bounds(), screen, r.Min, draw.Src)
	for y := range corner {
		for x := range corner {
			if dx, dy := corner-x, corner-y; dx*dx+dy*dy > corner*corner {
				for _, p := range []image.Point{{x, y}, {r.Dx() - 1 - x, y}, {x, r.Dy() - 1 - y}, {r.Dx() - 1 - x, r.Dy() - 1 - y}} {
					out.Set(p.X, p.Y, color.NRGBA{})
				}
			}
		}
	}
	to, err := os.Create(file)
	if err != nil {
		return err
	}
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	return errors.Join(encoder.Encode(to, out), to.Close())
}
