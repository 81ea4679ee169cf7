// SPDX-License-Identifier: MIT

package state

import (
	"errors"
	"io/fs"
	"path/filepath"

	"glick.org/glick/gui/tr"
	"glick.org/glick/xdgexport/apps"
)

// BundleFolder is one of the folders whose bundles are installed.
type BundleFolder struct {
	Path, Shown string
	There       bool
	System      bool  // for all users
	Added       bool  // by the user
	Problem     error // why nothing in it is used; nil when it is
	Count       int   // of bundles in it; negative when they have not been counted
}

// Words are what is said of the folder: one that was added goes by its own name.
func (f BundleFolder) Words() (title, text string) {
	shown := Clean(f.Shown, 300)
	title = tr.T("Your applications")
	switch {
	case f.System:
		title = tr.T("Applications of all users")
	case f.Added:
		title = Clean(filepath.Base(f.Path), maxName)
	}
	switch {
	case errors.Is(f.Problem, apps.ErrStrangers):
		return title, tr.F("{folder} · not used, as others can change it", "folder", shown)
	case f.Problem != nil:
		return title, tr.F("{folder} · cannot be read", "folder", shown)
	case !f.There && f.Added:
		return title, tr.F("{folder} · not there at the moment", "folder", shown)
	case !f.There:
		return title, tr.F("{folder} · not there yet", "folder", shown)
	case f.Count < 0:
		return title, shown
	default:
		return title, tr.N("{folder} · {n} bundle", "{folder} · {n} bundles", f.Count, "folder", shown, "n", itoa(f.Count))
	}
}

// RemovedWords say that the folder was removed from the list.
func (f BundleFolder) RemovedWords() string {
	return tr.F("“{folder}” removed", "folder", Clean(filepath.Base(f.Path), maxSmall))
}

// FolderCause says why a folder could not be added.
func FolderCause(err error, path string) Cause {
	c := Cause{Icon: "dialog-error-symbolic", Title: tr.T("Could Not Add the Folder"), Detail: err.Error()}
	name := Clean(filepath.Base(path), maxName)
	switch {
	case errors.Is(err, apps.ErrStrangers):
		c.Advice = tr.F("Others than you can write to “{folder}”, or to a folder that it is in. What they put there would be installed at once. Change who may write there, or choose another folder.", "folder", name)
	case errors.Is(err, apps.ErrUnsuitable):
		c.Advice = tr.F("“{folder}” cannot be a folder of applications. Make a folder that is for nothing else, outside of the folders that are in the list.", "folder", name)
	case errors.Is(err, apps.ErrTooMany):
		c.Advice = tr.T("There are as many folders as there can be. Remove one that you do not need first.")
	case errors.Is(err, fs.ErrExist):
		c.Advice = tr.F("“{folder}” is in the list already.", "folder", name)
	case errors.Is(err, fs.ErrNotExist):
		c.Advice = tr.F("“{folder}” is not there any more.", "folder", name)
	case errors.Is(err, ErrRemote):
		c.Advice = tr.T("This place is not on this computer. Choose a folder on one of its disks.")
	default:
		return FailedCause(c.Title, err, path)
	}
	return c
}
