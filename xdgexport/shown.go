// SPDX-License-Identifier: MIT

package xdgexport

import (
	"errors"
	"io/fs"
	"path"
	"path/filepath"

	"github.com/adrg/xdg"
)

// Shown gives the data files that are shown to the desktop now, those for all users included: as absolute paths, by the slash path that each would have
// below a prefix ("share/icons/…"). What is the user's own comes before what is for all. Commands and autostart entries are not among them.
//
// It is what is on record, and changes nothing. What a sync writes or removes afterwards is in its Result; [Result.Update] follows.
func Shown() (map[string]string, error) {
	all := map[string]string{}
	for i := len(xdg.DataDirs) - 1; i >= 0; i-- {
		_ = shownIn(xdg.DataDirs[i], all) // mostly there is none
	}
	return all, shownIn(xdg.DataHome, all)
}

func shownIn(data string, all map[string]string) error {
	f := folder{dir: stateFolder(data)}
	r, _, err := f.read(true)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, a := range r.Apps {
		for p := range a.open().Files {
			if name, ok := prefixPath(p); ok {
				all[name] = filepath.Join(data, p)
			}
		}
	}
	return nil
}

// prefixPath is where a file would be below a prefix; false for those that are not in the data folder.
func prefixPath(p string) (string, bool) {
	if a := areaOf(p); a == commandsArea || a == autostartArea {
		return "", false
	}
	return path.Join("share", p), true
}

// Update makes what Shown has given what it is after a sync of this user's folder.
func (r Result) Update(shown map[string]string) {
	for _, p := range r.Removed {
		if name, ok := prefixPath(p); ok {
			delete(shown, name)
		}
	}
	for _, p := range r.Written {
		if name, ok := prefixPath(p); ok {
			shown[name] = filepath.Join(xdg.DataHome, p)
		}
	}
}
