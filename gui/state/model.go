// SPDX-License-Identifier: MIT

// Package state is what the windows know and decide, without a widget: a Model is changed by events, which answers with
// the effects that somebody else has to carry out, and is shown as a View. Everything here is a pure function of its arguments.
package state

import (
	"glick.org/glick/bundle"
)

// Identity is what a bundle says of itself in its first few kilobytes. All text is as the file has it, so it may be hostile;
// View cleans it.
type Identity struct {
	ID, Name, Version           string
	Summary, Developer, License string
	Arch                        string // as in the manifest: x86_64, aarch64
	Size                        int64  // of the file, in bytes
	Unpacked                    int64  // of all files in it, in bytes
	Origin                      string // URL that it was downloaded from, "" when not known
	Digest                      string // identity of the whole bundle, in hex
}

// Installed is one installed version of the application.
type Installed struct {
	Version string
	File    string // path
	Same    bool   // it is this very bundle, byte for byte
	System  bool   // it is there for all users and not ours to remove
}

// Lack is something that this computer does not offer.
type Lack int

// What may be missing.
const (
	LackFUSE         Lack = iota // no /dev/fuse that this user may open
	LackNamespaces               // user namespaces are switched off
	LackArchitecture             // made for another processor
)

// Phase is how far reading the file has come.
type Phase int

// A bundle window begins with Loading and becomes Ready or Refused.
const (
	Loading Phase = iota
	Ready
	Refused
)

// Check is what is known about the file being whole.
type Check int

// The check runs behind the window; Unchecked is also what remains when it was given up.
const (
	Unchecked Check = iota
	Checking
	Whole
	Damaged
)

// Task is the one thing that a window is busy with.
type Task int

// What a window can be busy with.
const (
	Idle Task = iota
	Installing
	Updating
	Uninstalling
	Undoing
	Starting
)

// Model is everything that a bundle window knows.
type Model struct {
	File      string // absolute path
	Phase     Phase
	Cause     Cause // why it is Refused
	Identity  Identity
	Installed []Installed // newest first
	Shared    int64       // bytes that installed applications have too; -1 when not known
	Lacks     []Lack

	Check      Check
	CheckDone  int64 // bytes
	CheckTotal int64
	Damage     string // what the check found, for experts

	Task       Task
	Done       int64 // bytes of the task
	Total      int64 // 0 when not known
	Cancelling bool

	undo bool // there is something that Undo would take back
}

// New is the model of a window that has just been opened for file, an absolute path.
func New(file string) Model { return Model{File: file, Shared: -1} }

// Relation compares the bundle of the window with what is installed of its id.
type Relation int

// How the bundle relates to what is installed.
const (
	NotInstalled Relation = iota
	SameInstalled
	OlderInstalled // the file is newer than what is installed
	NewerInstalled // the file is older
	OtherInstalled // same version, other content
)

// Relation says how the bundle relates to what is installed, and to which of the installed versions: the same one if it is
// there, else the newest.
func (m Model) Relation() (Relation, Installed) {
	for _, i := range m.Installed {
		if i.Same {
			return SameInstalled, i
		}
	}
	if len(m.Installed) == 0 {
		return NotInstalled, Installed{}
	}
	newest := m.Installed[0]
	for _, i := range m.Installed[1:] {
		if bundle.CompareVersions(i.Version, newest.Version) > 0 {
			newest = i
		}
	}
	switch c := bundle.CompareVersions(m.Identity.Version, newest.Version); {
	case c > 0:
		return OlderInstalled, newest
	case c < 0:
		return NewerInstalled, newest
	default:
		return OtherInstalled, newest
	}
}

// lacks says whether l is missing here.
func (m Model) lacks(l Lack) bool {
	for _, x := range m.Lacks {
		if x == l {
			return true
		}
	}
	return false
}

// runnable says whether there is any sense in starting or installing the bundle here.
func (m Model) runnable() bool {
	return m.Phase == Ready && m.Check != Damaged && !m.lacks(LackArchitecture)
}
