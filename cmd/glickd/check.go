// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"glick.org/glick/xdgexport/apps"
)

// checkRest is how long the folders must have been at rest before large bundles are read: what was just installed is started now, and wants the disk.
// It is also longer than it takes for a file to be told apart from a later state of itself.
const checkRest = 5 * time.Second

// statusDamaged is how a process ends that was started to check and has found damage.
const statusDamaged = 10

// checks has the contents of large bundles compared to their digests, one bundle at a time. A process of its own does it: its threads run only when
// nothing else wants to, which those of this process, that serves the files of running applications, must not; and its memory is gone when it ends.
type checks struct {
	changed chan []apps.App
	rest    time.Duration
	check   func(context.Context) (damaged bool, err error)
	found   func(context.Context) // told when a bundle turned out to be damaged
	warn    func(error)
	done    map[checkedFile]bool // owned by run: what was there when everything had been checked
}

// checkedFile is a bundle that needs no second check.
type checkedFile struct {
	file string
	identity
}

func newChecks(found func(context.Context), warn func(error)) *checks {
	return &checks{changed: make(chan []apps.App, 1), rest: checkRest, check: checkApart, found: found, warn: warn, done: map[checkedFile]bool{}}
}

// look says what there is now. The list is not changed.
func (c *checks) look(list []apps.App) {
	for {
		select {
		case c.changed <- list:
			return
		default:
		}
		select {
		case <-c.changed: // an older list
		default:
		}
	}
}

// run checks some time after each change that brought something new, until ctx ends. Between changes it sleeps.
func (c *checks) run(ctx context.Context) {
	timer := time.NewTimer(0)
	timer.Stop()
	defer timer.Stop()
	var list []apps.App
	for {
		select {
		case <-ctx.Done():
			return
		case list = <-c.changed:
			if c.news(list) {
				timer.Reset(c.rest)
			}
		case <-timer.C:
			damaged, err := c.check(ctx)
			switch {
			case ctx.Err() != nil:
				return
			case err != nil:
				c.warn(err)
			default:
				clear(c.done)
				for _, a := range list {
					c.done[checkedFile{a.File, identityOf(a)}] = true
				}
			}
			if damaged {
				c.found(ctx)
			}
		}
	}
}

func (c *checks) news(list []apps.App) bool {
	for _, a := range list {
		if !c.done[checkedFile{a.File, identityOf(a)}] {
			return true
		}
	}
	return false
}

// checkApart checks in another process, and waits for it. That process ends with ctx, and with this one.
func checkApart(ctx context.Context) (damaged bool, err error) {
	type result struct {
		damaged bool
		err     error
	}
	results := make(chan result, 1)
	go func() {
		// What is started inherits its priority from this thread, which ends with the goroutine because it is never unlocked.
		runtime.LockOSThread()
		err := lowPriority()
		if err == nil {
			cmd := exec.CommandContext(ctx, "/proc/self/exe", "--check")
			cmd.Args[0] = os.Args[0]
			cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
			cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
			err = cmd.Run()
		}
		var exit *exec.ExitError
		found := errors.As(err, &exit) && exit.ExitCode() == statusDamaged
		if found {
			err = nil
		}
		results <- result{found, err}
	}()
	r := <-results
	if r.err != nil {
		return false, fmt.Errorf("cannot check the contents of large bundles: %w", r.err)
	}
	return r.damaged, nil
}

// lowPriority makes this thread, and processes that it starts, run and read only when nothing else wants to.
func lowPriority() error {
	tid := unix.Gettid()
	err := unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_IDLE}, 0)
	if err != nil {
		err = unix.Setpriority(unix.PRIO_PROCESS, tid, 19)
	}
	const whoProcess, classIdle, classShift = 1, 3, 13 // ioprio_set(2)
	if _, _, errno := unix.Syscall(unix.SYS_IOPRIO_SET, whoProcess, uintptr(tid), classIdle<<classShift); errno != 0 && err == nil {
		err = os.NewSyscallError("ioprio_set", errno)
	}
	return err
}
