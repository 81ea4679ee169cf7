// SPDX-License-Identifier: MIT

package work

import (
	"os"
	"path/filepath"

	"glick.org/glick/bundle"
	"glick.org/glick/gui/state"
	"glick.org/glick/runtime/launch"
	"glick.org/glick/xdgexport/apps"
)

// Folders lists the bundle folders, the user's own first.
func Folders() []state.BundleFolder {
	home, _ := apps.Home()
	count := map[string]int{}
	if list, _, err := apps.List(); err == nil {
		for _, a := range list {
			count[filepath.Dir(a.File)]++
		}
	}
	var out []state.BundleFolder
	for _, path := range apps.Folders() {
		info, err := os.Stat(path)
		out = append(out, state.BundleFolder{
			Path: path, Shown: tilde(path), There: err == nil && info.IsDir(), System: path != home, Count: count[path],
		})
	}
	return out
}

// Standing tells how a bundle file stands to what is installed. Only its identity and its signature are read.
func Standing(file string) state.Standing {
	app, err := apps.Find(Absolute(file))
	if err != nil {
		return state.Standing{}
	}
	s := state.Standing{Readable: architecture(file) == launch.Arch(), Trust: app.State, Version: app.Version}
	list, _, err := apps.List()
	if err != nil {
		return state.Standing{}
	}
	for _, a := range list {
		if a.ID != app.ID || !a.State.Usable() {
			continue
		}
		s.Same = s.Same || a.Digest == app.Digest
		if s.Newest == "" || bundle.CompareVersions(a.Version, s.Newest) > 0 {
			s.Newest = a.Version
		}
	}
	return s
}

// architecture is what a bundle is made for; empty when it cannot be read.
func architecture(file string) string {
	f, size, err := open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	b, err := bundle.Read(f, size)
	if err != nil {
		return ""
	}
	return b.Manifest().Arch
}
