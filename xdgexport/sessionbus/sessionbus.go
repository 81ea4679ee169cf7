// SPDX-License-Identifier: MIT

// Package sessionbus is the session service's interface on the session bus, org.glick.Session: what its messages say, and both sides of it.
//
// The client's side are functions with the signatures of package apps. They have the service do the work, which starts if the bus can start it. Where
// there is no bus, no service, or one that looks into other folders than this process would, they call package apps: so the caller need not know.
//
// doc/session.md is normative.
package sessionbus

import (
	_ "embed"
	"slices"

	"glick.org/glick/runtime/session"
	"glick.org/glick/xdgexport/apps"
)

// The service on the session bus.
const (
	Name      = session.BusName
	Path      = "/org/glick/Session"
	Interface = "org.glick.Session"
)

// Description is the interface in the introspection format of the D-Bus specification.
//
//go:embed org.glick.Session.xml
var Description string

// Signals, without the interface's name.
const (
	SignalProgress    = "Progress"               // token, done, total
	SignalInstalled   = "ApplicationInstalled"   // id, application
	SignalChangedApp  = "ApplicationChanged"     // id, application
	SignalUninstalled = "ApplicationUninstalled" // id
	SignalStarted     = "InstanceStarted"        // id, pid, instance
	SignalEnded       = "InstanceEnded"          // id, pid
	SignalChanged     = "Changed"
)

// Keys of the options.
const (
	optionKeepBoth = "keep-both"
	optionMove     = "move"
	optionAccept   = "accept"
	optionToken    = "token"
	optionDevice   = "device"
	optionInode    = "inode"
	optionSync     = "sync"
	optionKeep     = "keep"
	optionHold     = "hold"
	optionComment  = "comment"
	optionType     = "type"
	optionPublic   = "public"
)

// Most that is taken from a caller, in bytes.
const (
	maxPath  = 4096
	maxText  = 4096
	maxToken = 64
)

// folders are what a service and its clients must agree about.
type folders struct {
	Bundles []string
	Data    string
}

// serves tells whether a service that has these looks into a client's own folders. Those that were added are written down in the data folder.
func (f folders) serves(own folders) bool {
	if f.Data != own.Data || len(f.Bundles) == 0 || len(own.Bundles) == 0 || f.Bundles[0] != own.Bundles[0] {
		return false
	}
	added := apps.AddedFolders()
	for _, b := range own.Bundles {
		if !slices.Contains(f.Bundles, b) && !slices.Contains(added, b) {
			return false
		}
	}
	return true
}

func foldersNow() folders { return folders{apps.Folders(), dataFolder()} }
