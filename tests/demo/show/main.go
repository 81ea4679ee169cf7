// SPDX-License-Identifier: MIT

// Command show does with a bundle what a person does first, in a GNOME session without a screen, and leaves pictures of it: it
// sees the file in Files, opens it, starts the application, installs it, and finds it among the applications.
//
//	show BUNDLE FOLDER
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"glick.org/glick/tests/desktop/atspi"
	"glick.org/glick/tests/desktop/desk"
)

const patience = time.Minute

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: show BUNDLE FOLDER")
		os.Exit(2)
	}
	if err := show(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "show:", err)
		os.Exit(1)
	}
}

// guide is a session and where its pictures go.
type guide struct {
	*desk.Session
	folder string
}

// picture waits until the screen has come to rest, for which there is no sign, and photographs it.
func (g guide) picture(name, what string) error {
	time.Sleep(2 * time.Second)
	file := filepath.Join(g.folder, name)
	if err := g.Screenshot(file); err != nil {
		return err
	}
	fmt.Printf("%-18s  %s\n", name, what)
	return nil
}

func show(bundle, folder string) (err error) {
	out, err := exec.Command("glick", "info", "--json", bundle).Output()
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", bundle, err)
	}
	id, name, err := identity(out)
	if err != nil {
		return err
	}
	s, err := desk.Start(desk.GNOME)
	if err != nil {
		return err
	}
	g := guide{s, folder}
	defer func() {
		if err != nil {
			// Where it stopped says more than words.
			err = errors.Join(err, errors.New(s.Log("nautilus")), g.Screenshot(filepath.Join(folder, "failed.png")))
		}
		err = errors.Join(err, s.Close())
	}()
	return g.tour(bundle, id, name)
}

func identity(info []byte) (id, name string, err error) {
	var facts struct{ ID, Name string }
	if err := json.Unmarshal(info, &facts); err != nil {
		return "", "", fmt.Errorf("cannot understand what glick info says: %w", err)
	}
	return facts.ID, facts.Name, nil
}

func (g guide) tour(bundle, id, name string) error {
	downloads := filepath.Join(g.Home, "Downloads")
	if err := os.MkdirAll(downloads, 0o755); err != nil {
		return err
	}
	file := filepath.Join(downloads, filepath.Base(bundle))
	if _, err := g.Run("cp", bundle, file); err != nil {
		return err
	}
	// The session's own start of glickd, which GNOME Shell without a session manager leaves to others.
	if _, err := g.Run("gdbus", "call", "--session", "--dest", "org.freedesktop.DBus", "--object-path", "/org/freedesktop/DBus",
		"--method", "org.freedesktop.DBus.StartServiceByName", "org.glick.Session", "0"); err != nil {
		return err
	}

	if _, err := g.Launch("nautilus", "--new-window", downloads); err != nil {
		return err
	}
	cell, err := g.A11y.Wait("org.gnome.Nautilus", atspi.Match{Role: "grid cell", Name: filepath.Base(bundle)}, patience)
	if err != nil {
		return err
	}
	thumbnails := filepath.Join(g.Home, ".cache/thumbnails/*/*.png")
	if err := desk.Until(patience, "there is a thumbnail", func() (bool, error) {
		found, err := filepath.Glob(thumbnails)
		return len(found) > 0, err
	}); err != nil {
		return err
	}
	if err := g.picture("files.png", "Files shows the bundle with its application's icon"); err != nil {
		return err
	}

	x, y, err := g.Place(cell)
	if err != nil {
		return err
	}
	if err := g.Click(x, y, 2); err != nil {
		return err
	}
	const window = "glick-gui"
	if _, err := g.A11y.Wait(window, atspi.Match{Role: "button", Name: "Open"}, patience); err != nil {
		return err
	}
	if err := g.picture("bundle-window.png", "a double click opens the bundle window"); err != nil {
		return err
	}

	if err := g.A11y.Press(window, "Open", patience); err != nil {
		return err
	}
	if _, err := g.A11y.Wait("gnome-text-editor", atspi.Match{Role: "text box"}, patience); err != nil {
		return err
	}
	if err := g.picture("application.png", "Open runs "+name+", which is not installed on this system"); err != nil {
		return err
	}

	if err := g.A11y.Press(window, "Install", patience); err != nil {
		return err
	}
	if err := desk.Until(patience, "GNOME Shell knows the application", func() (bool, error) {
		out, err := g.Eval("imports.gi.Shell.AppSystem.get_default().lookup_app('" + id + ".desktop') != null")
		return out == "true", err
	}); err != nil {
		return err
	}
	if _, err := g.Eval("Main.overview.show(imports.ui.overviewControls.ControlsState.APP_GRID); true"); err != nil {
		return err
	}
	time.Sleep(5 * time.Second) // the grid draws itself anew some time after the list of applications has changed
	return g.picture("app-grid.png", "Install puts it among the applications of GNOME Shell")
}
