// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"glick.org/glick/bundle"
	"glick.org/glick/internal/sample"
	"glick.org/glick/runtime/launch"
)

const (
	guiName      = "glick-gui"
	libraryCount = 1000
	pictureLines = 40
	pictureTime  = 4 * time.Second // after which a window shows what it will show
	pictureStep  = 5 * time.Millisecond
	pictureEqual = 0.98
)

// guiWindow is a window of Glick's own, and what is measured of it: when it is there, and when it shows what it shows in the end.
type guiWindow struct {
	a    *application
	args []string
	end  []byte // its lines in the end

	pictures []float64 // when they were shown, in seconds
}

func (b *bench) guiWindow(ctx context.Context, a *application, args ...string) (*guiWindow, error) {
	if _, err := os.Stat(programOf(b.Work, guiName)); err != nil {
		return nil, skipped("there is no " + guiName + " beside glick")
	}
	return &guiWindow{a: a, args: args}, nil
}

// mapped is the time until the window is there. On the way the time of its picture is taken.
func (g *guiWindow) mapped(ctx context.Context) (took float64, err error) {
	cmd := g.a.b.command(context.WithoutCancel(ctx), programOf(g.a.b.Work, guiName), g.args...)
	cmd.Env = append(cmd.Env, g.a.env...)
	var said bytes.Buffer
	cmd.Stderr = &said
	g.a.screen.drain()
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if err != nil {
			err = fmt.Errorf("%w: %s", err, bytes.TrimSpace(said.Bytes()))
		}
	}()
	var m mapping
	select {
	case m = <-g.a.screen.mapped:
	case <-time.After(windowTime):
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	if m.window == 0 {
		return 0, errors.New("no window comes")
	}
	if g.end == nil {
		if err := pause(ctx, pictureTime); err != nil {
			return 0, err
		}
		if g.end, err = g.a.screen.lines(m.window, pictureLines); err == nil && g.end == nil {
			err = errors.New("its window cannot be seen")
		}
		return m.at.Sub(start).Seconds(), err
	}
	for {
		now := time.Now()
		lines, err := g.a.screen.lines(m.window, pictureLines)
		if err != nil {
			return 0, err
		}
		if alike(lines, g.end) >= pictureEqual {
			g.pictures = append(g.pictures, now.Sub(start).Seconds())
			return m.at.Sub(start).Seconds(), nil
		}
		if now.Sub(start) > windowTime {
			return 0, fmt.Errorf("what it shows is never more than %.2f of what it has shown", alike(lines, g.end))
		}
		if err := pause(ctx, pictureStep); err != nil {
			return 0, err
		}
	}
}

// alike is the part of the pixels that are equal.
func alike(a, b []byte) float64 {
	const pixel = 4
	if len(a) != len(b) || len(a) == 0 {
		return 0
	}
	n := 0
	for i := 0; i < len(a); i += pixel {
		if bytes.Equal(a[i:i+pixel], b[i:i+pixel]) {
			n++
		}
	}
	return float64(n*pixel) / float64(len(a))
}

// measureWindow compares one of Glick's windows with the first one of a text editor, and with what it may take.
func measureWindow(b *bench, ctx context.Context, r *result, name string, limit float64, args func(a *application) ([]string, error)) error {
	a, stop, err := b.application(ctx)
	if err != nil {
		return err
	}
	defer stop()
	list, err := args(a)
	if err != nil {
		return err
	}
	g, err := b.guiWindow(ctx, a, list...)
	if err != nil {
		return err
	}
	s, err := b.startService(ctx)
	if err != nil {
		return err
	}
	defer s.stop()
	if err := b.exported(ctx); err != nil {
		return err
	}
	const warm = 2
	who := []contender{{name, g.mapped}, {"editor", a.native}}
	if r.Series, err = turns(ctx, "s", warm, b.runs(15), who); err != nil {
		return err
	}
	picture := newSeries("picture", "s", g.pictures[warm-1:]) // the first run shows what it is compared with
	r.Series = append(r.Series, picture)
	r.claim(atMost("window", "s", r.Series[0].Median, limit))
	r.claim(claim{What: "its picture", Unit: "s", Value: picture.Median, Low: picture.P10, High: picture.P90})
	r.claim(ratio("window against editor", r.Series[0], r.Series[1]))
	return nil
}

// exported waits until all that is installed has its menu entry.
func (b *bench) exported(ctx context.Context) error {
	home := filepath.Join(b.dir, "home")
	return b.await(ctx, "all menu entries", func() bool {
		bundles, _ := filepath.Glob(filepath.Join(home, "Apps", "*.bundle"))
		entries, _ := filepath.Glob(filepath.Join(home, ".local", "share", "applications", "*.desktop"))
		return len(entries) >= len(bundles)
	})
}

func bundleWindow(b *bench, ctx context.Context, r *result) error {
	return measureWindow(b, ctx, r, "bundle window", 0.3, func(a *application) ([]string, error) { return []string{a.bundle}, nil })
}

func libraryWindow(b *bench, ctx context.Context, r *result) error {
	return measureWindow(b, ctx, r, "library", 0.5, func(*application) ([]string, error) {
		_, err := b.once("thousand", func(string) error { return b.installMany(ctx) })
		return nil, err
	})
}

// installMany fills the user's bundle folder with a thousand small applications, each with its icon.
func (b *bench) installMany(ctx context.Context) error {
	apps := filepath.Join(b.dir, "home", "Apps")
	tree := filepath.Join(b.dir, "many.tree")
	entries := filepath.Join(tree, "share", "applications")
	if err := os.MkdirAll(apps, 0o755); err != nil {
		return err
	}
	icons := map[string]string{}
	for _, side := range []int{48, 128} {
		icons[fmt.Sprintf("share/icons/hicolor/%dx%d/apps", side, side)] = sample.Icon(side)
	}
	for i := range libraryCount {
		id := fmt.Sprintf("org.example.Many%d", i)
		entry := fmt.Sprintf("[Desktop Entry]\nType=Application\nName=Application %d\nComment=One of many\nIcon=%s\nExec=sleep 1\n", i, id)
		err := errors.Join(os.RemoveAll(tree), os.MkdirAll(filepath.Join(tree, "bin"), 0o755), os.MkdirAll(entries, 0o755),
			copyFile("/bin/sleep", filepath.Join(tree, "bin", "sleep")),
			os.WriteFile(filepath.Join(entries, id+".desktop"), []byte(entry), 0o644))
		for folder, icon := range icons {
			at := filepath.Join(tree, folder)
			err = errors.Join(err, os.MkdirAll(at, 0o755), os.WriteFile(filepath.Join(at, id+".png"), []byte(icon), 0o644))
		}
		if err == nil {
			err = buildSmall(ctx, filepath.Join(apps, id+".bundle"), tree, id)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// buildSmall makes a bundle with a stub that cannot start, which takes 4 kB instead of 2 MB.
func buildSmall(ctx context.Context, file, tree, id string) error {
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	_, err = bundle.Build(ctx, f, tree, bundle.BuildOptions{ID: id, Version: "1", Exec: "bin/sleep", Stub: sample.Stub(), Arch: launch.Arch()})
	return errors.Join(err, f.Close())
}
