// SPDX-License-Identifier: MIT

package work

import (
	"path/filepath"

	"glick.org/glick/gui/state"
	"glick.org/glick/xdgexport/apps"
	"glick.org/glick/xdgexport/sessionbus"
)

// Folders lists the bundle folders, the user's own first. Bundles that nobody has looked at yet are read.
func Folders() []state.BundleFolder {
	count := map[string]int{}
	if list, _, err := apps.List(); err == nil {
		for _, a := range list {
			count[filepath.Dir(a.File)]++
		}
	}
	out := FoldersUncounted()
	for i, f := range out {
		out[i].Count = count[f.Path]
	}
	return out
}

// FoldersUncounted is Folders without reading what is in them: their counts are negative.
func FoldersUncounted() []state.BundleFolder {
	var out []state.BundleFolder
	for _, f := range apps.FolderStates() {
		out = append(out, state.BundleFolder{Path: f.Path, Shown: tilde(f.Path), There: f.There, System: f.System, Added: f.Added, Problem: f.Err, Count: -1})
	}
	return out
}

// AddFolder makes a folder one whose bundles are installed. The empty path is a place that is not on this computer. Refresh has the desktop show them.
func AddFolder(path string) error {
	if path == "" {
		return state.ErrRemote
	}
	_, err := sessionbus.AddFolder(path)
	return err
}

// RemoveFolder takes AddFolder back.
func RemoveFolder(path string) error { return sessionbus.RemoveFolder(path) }
