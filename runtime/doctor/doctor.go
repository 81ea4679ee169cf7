// SPDX-License-Identifier: MIT

// Package doctor finds out what of the things that Glick uses works on this computer, which way of starting bundles follows
// from it, and how to mend what is missing.
//
// What can be tried is tried: a namespace is made, a file system is mounted in it, a service is asked. All of it is gone
// afterwards. Nothing is printed here; the checks are plain values.
package doctor

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// State says how a check came out.
type State string

// The states. Programs may rely on the words.
const (
	OK       State = "ok"
	Degraded State = "degraded" // it works, but not as well as it could
	Missing  State = "missing"  // it is not there, or does not work
	Unknown  State = "unknown"  // it could not be found out
)

// Check is one thing that was looked at.
type Check struct {
	ID     string // one of the ID constants
	Title  string // for people, at most 20 characters
	State  State
	Detail string // what was found, one sentence; it may hold text of strangers
	Used   string // what Glick does because of it
	Mend   string // what a person, or the administrator, can do; may be empty
	Err    error  // why, when there is an error
}

// The checks, in the order of [Run]. Programs may rely on the words.
const (
	IDKernel          = "kernel"
	IDStub            = "stub"
	IDNamespaceLimits = "namespace-limits"
	IDNamespaces      = "user-namespaces"
	IDAppArmor        = "apparmor"
	IDSeccomp         = "seccomp"
	IDPrefix          = "prefix"
	IDFuseDevice      = "fuse-device"
	IDFuseMount       = "fuse-mount"
	IDFusermount      = "fusermount"
	IDOverlay         = "overlay"
	IDContainer       = "container"
	IDRuntimeDir      = "runtime-dir"
	IDService         = "session-service"
	IDBus             = "session-bus"
	IDSystemd         = "systemd"
	IDVersions        = "versions"
	IDHome            = "home"
	IDCache           = "cache"
	IDApps            = "apps-folder"
	IDDataHome        = "data-home"
	IDDesktopDatabase = "desktop-database"
	IDMimeDatabase    = "mime-database"
	IDThumbnailer     = "thumbnailer"
)

// Options say what the checks cannot know by themselves.
type Options struct {
	Version  string   // of the program that asks
	BusName  string   // the session service's name on the session bus
	Apps     string   // the user's folder for bundles, absolute; empty when there is no home
	DataHome string   // the folder in which the desktop looks for what the user has, absolute
	DataDirs []string // the system's folders of the same kind
	Cache    string   // the user's folder for what can be made again, absolute

	// Limit is how long one check may take, 5 s when it is 0. All together take four times as long at most: what was not
	// reached by then is Unknown.
	Limit time.Duration
}

const defaultLimit = 5 * time.Second

type probe struct {
	id, title string
	try       func(context.Context, *host) Check
}

var probes = []probe{
	{IDKernel, "Kernel", checkKernel},
	{IDStub, "Stub program", checkStub},
	{IDNamespaceLimits, "Namespace settings", checkNamespaceLimits},
	{IDNamespaces, "User namespaces", checkNamespaces},
	{IDAppArmor, "AppArmor", checkAppArmor},
	{IDSeccomp, "System call filter", checkSeccomp},
	{IDPrefix, "Prefix", checkPrefix},
	{IDFuseDevice, "FUSE device", checkFuseDevice},
	{IDFuseMount, "FUSE mount", checkFuseMount},
	{IDFusermount, "fusermount3", checkFusermount},
	{IDOverlay, "Overlay", checkOverlay},
	{IDContainer, "Container", checkContainer},
	{IDRuntimeDir, "XDG_RUNTIME_DIR", checkRuntimeDir},
	{IDService, "Session service", checkService},
	{IDBus, "Session bus", checkBus},
	{IDSystemd, "systemd for users", checkSystemd},
	{IDVersions, "Versions", checkVersions},
	{IDHome, "Home folder", checkHome},
	{IDCache, "Cache folder", checkCache},
	{IDApps, "Bundle folder", checkApps},
	{IDDataHome, "Desktop's folder", checkDataHome},
	{IDDesktopDatabase, "Menu database", checkDesktopDatabase},
	{IDMimeDatabase, "File type database", checkMimeDatabase},
	{IDThumbnailer, "Thumbnailer", checkThumbnailer},
}

// host is what a check may look at: the options, and the checks before it.
type host struct {
	Options
	seen []Check
}

// earlier is an earlier check.
func (h *host) earlier(id string) Check { return find(h.seen, id) }

// works says whether an earlier check came out well, if not perfectly.
func (h *host) works(id string) bool {
	s := h.earlier(id).State
	return s == OK || s == Degraded
}

// find is the check with an ID; a check that was not made is Unknown.
func find(checks []Check, id string) Check {
	for _, c := range checks {
		if c.ID == id {
			return c
		}
	}
	return Check{ID: id, State: Unknown}
}

// Run makes all checks. It returns all of them, whatever happens: what does not answer in time, or not before ctx ends,
// is Unknown.
func Run(ctx context.Context, o Options) []Check {
	if o.Limit <= 0 {
		o.Limit = defaultLimit
	}
	ctx, cancel := context.WithTimeout(ctx, 4*o.Limit)
	defer cancel()
	checks := make([]Check, 0, len(probes))
	for _, p := range probes {
		// A check that is given up may go on: nothing that it sees may change.
		c := tryFor(ctx, p, &host{o, slices.Clone(checks)})
		c.ID, c.Title = p.id, p.title
		checks = append(checks, c)
	}
	return checks
}

func tryFor(ctx context.Context, p probe, h *host) Check {
	if err := ctx.Err(); err != nil {
		return Check{State: Unknown, Detail: "There was no time left to find it out.", Used: "Nothing is known.", Err: err}
	}
	ctx, cancel := context.WithTimeout(ctx, h.Limit)
	defer cancel()
	done := make(chan Check, 1)
	go func() { done <- p.try(ctx, h) }()
	select {
	case c := <-done:
		return c
	case <-ctx.Done():
	}
	// What keeps to the limit itself knows better what it waited for.
	select {
	case c := <-done:
		return c
	case <-time.After(h.Limit / 10):
	}
	return Check{State: Unknown, Detail: fmt.Sprintf("It did not answer within %v.", h.Limit), Used: "Nothing is known.", Err: ctx.Err()}
}
