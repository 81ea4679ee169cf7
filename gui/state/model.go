// SPDX-License-Identifier: MIT

// Package state is what the windows know and decide, without a widget: a Model is changed by events, which answers with
// the effects that somebody else has to carry out, and is shown as a View. Everything here is a pure function of its arguments.
package state

import (
	"time"

	"glick.org/glick/bundle"
	"glick.org/glick/xdgexport/apps"
	"glick.org/glick/xdgexport/apps/trust"
)

// Identity is what a bundle says of itself in its first few kilobytes. All text is as the file has it, so it may be hostile;
// View cleans it.
type Identity struct {
	ID, Name, Version           string
	Summary, Developer, License string
	Description                 []Block
	Links                       []Link
	Arch                        string // as in the manifest: x86_64, aarch64
	Format                      string // one of package bundle's
	Size                        int64  // of the file, in bytes
	Unpacked                    int64  // of all files in it, in bytes
	Origin                      string // URL that it was downloaded from, "" when not known
	Digest                      string // identity of the whole bundle, in hex
	CanMove                     bool   // the file may be taken away from where it is
}

// Block is a paragraph of a description, or an item of a list.
type Block struct {
	Item bool
	Text string
}

// Link is an address that a bundle names. Kind is AppStream's word for it: homepage, bugtracker, help…
type Link struct{ Kind, URL string }

// Trust is what is known of who made the bundle.
type Trust struct {
	State    trust.State
	Key      trust.Key   // whose signature it has; the zero value for none
	Expected []trust.Key // those that bundles of this id should have; none when nothing is remembered
	Since    time.Time   // when the id was seen first
	Accepted bool        // the person has said before that this very bundle may be used
	Damage   string      // why State is Damaged, for experts
}

// Installed is one installed version of the application.
type Installed struct {
	Version string
	File    string // path
	Same    bool   // it is this very bundle, byte for byte
	System  bool   // it is there for all users and not ours to remove
}

// Lacking is a kind of thing that this computer does not offer.
type Lacking int

// What may be missing, the worst first.
const (
	LackFormat       Lacking = iota // it is a file of another program; Detail is the format
	LackArchitecture                // made for another processor
	LackStart                       // bundles cannot be started here at all
	LackLoader                      // the program needs a loader that is not here; Detail is its path
	LackLibc                        // it needs a newer C library; Detail is the version it needs, Here the one that there is
	LackLibraries                   // libraries that are neither in the bundle nor here; Detail lists them
	LackNamespaces                  // no private view of files: started at a fixed path
	LackFUSE                        // no FUSE: unpacked into a cache before the first start
)

// Lack is something that this computer does not offer.
type Lack struct {
	Kind         Lacking
	Detail, Here string
	Mend         string // what a person, or the administrator, can do; may be empty
}

// Adds is what installing the bundle shows to the desktop.
type Adds struct {
	Entries  []string // names in the menu of applications
	Types    []string // kinds of files that it opens, as people call them
	Schemes  []string // of links that it opens
	Commands []string // for the terminal
	Services []string // D-Bus names that other programs can start it by
	Fonts    int
	Search   bool          // it can answer searches in the overview, once that is switched on
	Left     []string      // what it has and is not shown, with the reason, for experts
	Off      []apps.Export // of what is not shown, the kinds that are switched off
}

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
	Related   bool        // Installed and Trust are known
	Installed []Installed // newest first
	Trust     Trust
	Shared    int64 // bytes that installed applications have too; -1 when not known
	Lacks     []Lack
	Adds      *Adds // nil when not known
	Move      bool  // installing takes the file away from where it is

	Check      Check
	CheckDone  int64 // bytes
	CheckTotal int64
	Damage     string // what the check found, for experts

	Task       Task
	Done       int64 // bytes of the task
	Total      int64 // 0 when not known
	Cancelling bool
	Gone       bool // the file of this window was uninstalled

	speed  speed
	undo   bool   // there is something that Undo would take back
	asking Action // what a question that is open is about; NoAction for none
	agreed bool   // the person wants it opened in spite of what speaks against it
}

// New is the model of a window that has just been opened for file, an absolute path. move is how the person installs.
func New(file string, move bool) Model { return Model{File: file, Shared: -1, Move: move} }

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
	return relate(m.Identity.Version, m.Installed)
}

// relate is Relation for a bundle of the given version.
func relate(version string, installed []Installed) (Relation, Installed) {
	for _, i := range installed {
		if i.Same {
			return SameInstalled, i
		}
	}
	if len(installed) == 0 {
		return NotInstalled, Installed{}
	}
	newest := installed[0]
	for _, i := range installed[1:] {
		if bundle.CompareVersions(i.Version, newest.Version) > 0 {
			newest = i
		}
	}
	switch c := bundle.CompareVersions(version, newest.Version); {
	case c > 0:
		return OlderInstalled, newest
	case c < 0:
		return NewerInstalled, newest
	default:
		return OtherInstalled, newest
	}
}

// lacks says whether something of a kind is missing here.
func (m Model) lacks(k Lacking) bool {
	for _, l := range m.Lacks {
		if l.Kind == k {
			return true
		}
	}
	return false
}

// damaged says whether the file is not what its maker made.
func (m Model) damaged() bool { return m.Check == Damaged || m.Trust.State == trust.Damaged }

// startable says whether there is any sense in starting the bundle here.
func (m Model) startable() bool {
	return m.Phase == Ready && m.Related && !m.Gone && !m.lacks(LackArchitecture) && !m.lacks(LackFormat)
}

// installable says whether there is any sense in installing the bundle here.
func (m Model) installable() bool { return m.startable() && !m.damaged() }
