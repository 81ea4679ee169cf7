// SPDX-License-Identifier: MIT

// Package xdgexport shows the installed bundles to the desktop: menu entries, icons, file types, D-Bus services.
//
// It works in two steps. Plan derives from the installed bundles the files that should be in the user's data folder,
// as a list that can be printed. Sync makes the folder so: it writes what is missing, removes what is ours and no longer
// wanted, and tells the desktop. What is ours is on record ($XDG_DATA_HOME/glick/exports.json), with the digest of
// each file. A file that is not on record, or is no longer as we wrote it, is somebody else's and is never touched.
//
// Everything in a bundle is untrusted. A bundle shows files only under its own id, or names that begin with it; desktop
// entries keep the keys of an allow-list, and what they start is always "glick run" of that bundle.
package xdgexport

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/adrg/xdg"

	"glick.org/glick/xdgexport/apps"
)

// File is one file to be shown to the desktop.
type File struct {
	Path    string // slash path relative to the data folder
	Content []byte
	Mode    fs.FileMode
	App     string // id of the bundle that it is from
	Origin  string // where in the bundle it is from
}

// LeftOut is something that a bundle has and that is not shown, or not as it is there.
type LeftOut struct {
	App    string `json:"app"`
	Origin string `json:"origin"` // where in the bundle it is
	Reason string `json:"reason"` // a clause, for "ORIGIN is left out: REASON"
}

func (l LeftOut) String() string { return fmt.Sprintf("%s: %s: %s", l.App, l.Origin, l.Reason) }

// Wanted is the state that the installed bundles ask for.
type Wanted struct {
	Files []File // sorted by path, each path once
	Left  []LeftOut
}

// String prints the plan, one file a line.
func (w Wanted) String() string {
	var b strings.Builder
	for _, f := range w.Files {
		fmt.Fprintf(&b, "write %s (%d bytes) from %s of %s\n", f.Path, len(f.Content), f.Origin, f.App)
	}
	for _, l := range w.Left {
		fmt.Fprintf(&b, "leave out %s of %s: %s\n", l.Origin, l.App, l.Reason)
	}
	return b.String()
}

// Options say where to and what for. The zero value is right for a normal session.
type Options struct {
	// DataHome is the folder to show files in; $XDG_DATA_HOME when empty.
	DataHome string
	// Glick is the absolute path of the glick program that entries start; found by itself when empty.
	Glick string
}

func (o Options) complete() (Options, error) {
	if o.DataHome == "" {
		o.DataHome = xdg.DataHome
	}
	if o.Glick == "" {
		glick, err := findGlick()
		if err != nil {
			return o, err
		}
		o.Glick = glick
	}
	if !filepath.IsAbs(o.DataHome) || !filepath.IsAbs(o.Glick) {
		return o, fmt.Errorf("not absolute: %s, %s", o.DataHome, o.Glick)
	}
	return o, nil
}

// findGlick looks beside the running program first: all of Glick's programs lie in one folder.
func findGlick() (string, error) {
	if self, err := os.Executable(); err == nil {
		// Not the target of links: /usr/bin/glick may stay while what it points to changes with each version.
		beside := filepath.Join(filepath.Dir(self), "glick")
		if info, err := os.Stat(beside); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return beside, nil
		}
	}
	path, err := exec.LookPath("glick")
	if err != nil {
		return "", fmt.Errorf("cannot find the program glick: %w", err)
	}
	return filepath.Abs(path)
}

// Plan derives what should be shown for the given applications: of each id its default. It changes nothing. A bundle
// that cannot be read is left out; the rest is planned.
func Plan(list []apps.App, o Options) (Wanted, error) {
	o, err := o.complete()
	if err != nil {
		return Wanted{}, fmt.Errorf("cannot plan what to show: %w", err)
	}
	var w Wanted
	for _, a := range list {
		if a.Default {
			files, left, _ := planApp(a, o) // what cannot be read is among what is left out
			w.Files = append(w.Files, files...)
			w.Left = append(w.Left, left...)
		}
	}
	w.settle()
	return w, nil
}

// settle sorts, and where several bundles ask for the same path gives it to the one with the longest id: org.example.App
// may use names that begin so, but those of org.example.App.Extra are that bundle's if it is installed.
func (w *Wanted) settle() {
	slices.SortStableFunc(w.Files, func(a, b File) int {
		if c := strings.Compare(a.Path, b.Path); c != 0 {
			return c
		}
		return len(b.App) - len(a.App)
	})
	kept := w.Files[:0]
	for _, f := range w.Files {
		if n := len(kept); n > 0 && kept[n-1].Path == f.Path {
			w.Left = append(w.Left, LeftOut{f.App, f.Origin, "the name belongs to " + kept[n-1].App})
			continue
		}
		kept = append(kept, f)
	}
	w.Files = kept
}
