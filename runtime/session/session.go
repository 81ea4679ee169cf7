// SPDX-License-Identifier: MIT

// Package session is the per-user service that serves the files of running bundles from one FUSE mount, and the way in which
// bundles ask it to. A bundle for which there is no service serves itself with the same code: see [ServeOne].
package session

import (
	"errors"
	"time"

	"glick.org/glick/bundle"
	"glick.org/glick/runtime/bundlefs"
)

// ErrNotRunning says that no session service answers.
var ErrNotRunning = errors.New("the session service is not running")

// ErrRunning says that another session service already serves this user.
var ErrRunning = errors.New("another session service is already running")

// Options configure [Serve].
type Options struct {
	// Log takes what the service has to say; a *slog.Logger will do. It must be set.
	Log bundlefs.Logger
	// Started, when set, is called after an instance has started, with the name of its folder; several calls may be under way.
	Started func(name string, i Instance)
	// Ended, when set, is called after an instance has ended, and after Started has returned for it.
	Ended func(i Instance)
	// Ready, when set, is called once the service takes instances.
	Ready func()
	// Plan, when set, makes the image of a plan for a process that starts a bundle the fast way (see package premain). An
	// error makes the process take the plain way.
	Plan func(*bundle.Tree, Request) ([]byte, error)
	// Installed, when set, tells what running applications can reach of the installed ones.
	Installed *Pool
	// Succession, when set, lets running instances survive the end of the service, however it comes.
	Succession *Succession
	// Replace makes a running service of this user leave, to take over from it.
	Replace bool
	// Linger makes the service end by itself when no instance runs any more.
	Linger bool
	// Drain is how long Serve goes on serving the instances that still run when its context has ended. Zero means until
	// they have all ended: running applications are never broken.
	Drain time.Duration
}

// Succession says how a service is started again. A small process, the holder, does so when the service was killed, and keeps what the
// next one needs; see package hold. The service's program must call hold.Main when it is executed as hold.Marker.
type Succession struct {
	Command []string // program, by its absolute path, and arguments
	// Last is the command for a service with Linger: it takes over when this one has been asked to end and instances still run.
	Last  []string
	Env   []string      // for both
	Grace time.Duration // how long somebody else has time to start the service, before the holder does
}

// ErrReplaced says that another service has taken over. The process must end soon: the file system is served by both until then.
var ErrReplaced = errors.New("another session service has taken over")

// Request is what a process that wants a plan says of itself. It sees the same file system as the service.
type Request struct {
	File    string // path of the bundle
	Dir     string // working folder
	Exec    string // value of GLICK_EXEC
	Folder  string // path of the instance's folder, by which others see its files
	Tree    string // path of the same folder without links, which shall appear at the prefix
	Socket  int    // descriptor on which the service waits
	Numbers []int  // descriptors that the plan may use
}

// Instance is one running bundle.
type Instance struct {
	ID      string    `json:"id"`
	Version string    `json:"version"`
	File    string    `json:"file"`    // path by which it was started
	PID     int       `json:"pid"`     // of the program; its children may outlive it
	Started time.Time `json:"started"` // by the service's clock
	Prefix  string    `json:"prefix"`  // path by which others see the instance's files
}
