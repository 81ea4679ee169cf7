// SPDX-License-Identifier: MIT

package work

import (
	"glick.org/glick/bundle"
	"glick.org/glick/gui/state"
	"glick.org/glick/runtime/launch"
	"glick.org/glick/xdgexport/apps"
)

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
