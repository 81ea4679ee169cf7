// SPDX-License-Identifier: MIT

package main

import (
	"os"
	"path/filepath"
	"syscall"

	"glick.org/glick/xdgexport/apps"
)

// places tells the bundle folders, and those that bundles lie in, apart from others that have had or will have their paths. One that is not there is not
// among them.
type places map[string]placeID

type placeID struct{ dev, ino uint64 }

func placesOf(list []apps.App) places {
	p := places{}
	add := func(dir string) {
		if _, known := p[dir]; known {
			return
		}
		if info, err := os.Stat(dir); err == nil {
			if st, ok := info.Sys().(*syscall.Stat_t); ok {
				p[dir] = placeID{uint64(st.Dev), st.Ino} //nolint:unconvert // Dev is uint32 on some processors
			}
		}
	}
	for _, dir := range apps.Folders() {
		add(dir)
	}
	for _, a := range list {
		add(filepath.Dir(a.File))
	}
	return p
}

// came tells whether a folder has come as a whole since before.
func (p places) came(dir string, before places) bool {
	return p[dir] != before[dir] && p[dir] != placeID{}
}
