// SPDX-License-Identifier: MIT

package launch

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"unicode"

	"golang.org/x/sys/unix"

	"glick.org/glick/runtime/premain"
)

// How a start that failed ends.
const (
	StatusFailed      = 125 // Glick could not start the program
	StatusNotRunnable = 126 // the program is there but cannot be executed
	StatusNoProgram   = 127 // the program is not in the bundle
)

// StartError says why a bundle was not started.
type StartError struct {
	Status int    // exit status: one of the Status constants
	What   string // what was to be started: a file, for people; may be empty
	Err    error
	Hint   string // what a person can do about it; may be empty
}

// Error is one sentence, and the hint.
func (e *StartError) Error() string {
	var b strings.Builder
	b.WriteString("cannot start ")
	if e.What == "" {
		b.WriteString("the bundle")
	} else {
		b.WriteString(e.What)
	}
	fmt.Fprintf(&b, ": %v", e.Err)
	hint := e.Hint
	var hinted *hintedError
	if hint == "" && errors.As(e.Err, &hinted) {
		hint = hinted.hint
	}
	if hint != "" {
		fmt.Fprintf(&b, "; %s", hint)
	}
	// Names come from files of strangers: they must not move the cursor or worse.
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, b.String())
}

// Unwrap returns the cause.
func (e *StartError) Unwrap() error { return e.Err }

// hintedError is an error that a person can do something about.
type hintedError struct {
	error
	hint string
}

func (e *hintedError) Unwrap() error { return e.error }

// fuseError explains why /dev/fuse cannot be opened.
func fuseError(err error) error {
	switch {
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ENODEV), errors.Is(err, syscall.ENXIO):
		return &hintedError{errors.New("this computer has no " + fuseDevice), "\"modprobe fuse\", as root, makes it"}
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return &hintedError{fmt.Errorf("%s cannot be used: %w", fuseDevice, syscall.EACCES), "\"chmod 0666 " + fuseDevice + "\", as root, allows it"}
	}
	return fmt.Errorf("%s cannot be used: %w", fuseDevice, err)
}

// namespaceError explains why there is no new namespace.
func namespaceError(errno syscall.Errno) error {
	base := fmt.Errorf("this computer does not allow new user namespaces: %w", errno)
	for _, s := range []struct{ file, blocked, hint string }{
		{"/proc/sys/user/max_user_namespaces", "0", "\"sysctl user.max_user_namespaces=10000\", as root, allows them"},
		{"/proc/sys/kernel/unprivileged_userns_clone", "0", "\"sysctl kernel.unprivileged_userns_clone=1\", as root, allows them"},
		{"/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1", "an AppArmor profile for Glick, or \"sysctl kernel.apparmor_restrict_unprivileged_userns=0\", as root, allows them"},
	} {
		if value, err := os.ReadFile(s.file); err == nil && strings.TrimSpace(string(value)) == s.blocked {
			return &hintedError{base, s.hint}
		}
	}
	return base
}

// explain turns an image that could not be executed into an error.
func explain(args []string) error {
	unknown := &StartError{Status: StatusFailed, Err: errors.New("it failed, and the reason got lost")}
	if len(args) != 2 {
		return unknown
	}
	fd, err := strconv.Atoi(args[1])
	if err != nil || fd < 0 {
		return unknown
	}
	image := os.NewFile(uintptr(fd), "plan")
	if image == nil {
		return unknown
	}
	defer image.Close()
	f, err := premain.ReadFailure(image)
	if err != nil || len(f.Context) < 3 {
		return unknown
	}
	e := diagnose(f)
	if needsNamespaces(f) {
		image.Close()
		if err := startFixed(f); err != nil {
			e.Err = fmt.Errorf("%w; nor can it be started without: %w", e.Err, err)
		}
	}
	return e
}

// diagnose finds the words for a failed operation.
func diagnose(f *premain.Failure) *StartError {
	file, prefix, prog := f.Context[0], f.Context[1], f.Context[2]
	kind, text, _ := strings.Cut(f.Note, "\x00")
	e := &StartError{Status: StatusFailed, What: file, Err: fmt.Errorf("cannot %s: %w", text, f.Errno)}
	switch kind {
	case "unshare", "writeFile":
		e.Err = namespaceError(f.Errno)
	case "handOver", "await":
		e.Err = errors.New("its file service has ended, or does not answer")
	case "openAs":
		if strings.Contains(text, fuseDevice) {
			e.Err = fuseError(f.Errno)
		}
	case "mount":
		e.Err = &hintedError{fmt.Errorf("its files cannot be shown at %s: cannot %s: %w", prefix, text, f.Errno), mountHint(f.Errno, text)}
	case "execute", "become":
		e.Status, e.Err = executeError(f.Errno, prog)
	}
	return e
}

func mountHint(errno syscall.Errno, text string) string {
	switch {
	case errno == syscall.ENODEV && strings.Contains(text, "overlay"):
		return "\"modprobe overlay\", as root, may help"
	case errno == syscall.ENODEV && strings.Contains(text, "fuse"):
		return "\"modprobe fuse\", as root, may help"
	case errno == syscall.EPERM || errno == syscall.EACCES:
		return "something like a container or a security module forbids it"
	}
	return ""
}

// executeError explains why a program cannot be executed. This process sees the bundle's files.
func executeError(errno syscall.Errno, prog string) (status int, err error) {
	var st unix.Stat_t
	there := unix.Stat(prog, &st) == nil
	switch {
	case errno == syscall.ENOENT && !there, errno == syscall.ENOTDIR, errno == syscall.ELOOP:
		return StatusNoProgram, fmt.Errorf("there is no program %s in it", prog)
	case errno == syscall.ENOENT:
		return StatusNotRunnable, fmt.Errorf("the program %s needs an interpreter or a loader that is not there", prog)
	case errno == syscall.EACCES && there && st.Mode&unix.S_IFMT == unix.S_IFDIR:
		return StatusNotRunnable, fmt.Errorf("the program %s is a folder", prog)
	case errno == syscall.EACCES:
		return StatusNotRunnable, fmt.Errorf("the program %s is not executable", prog)
	case errno == syscall.ENOEXEC:
		return StatusNotRunnable, fmt.Errorf("the program %s is of a kind that this computer cannot execute", prog)
	case errno == syscall.EIO:
		return StatusFailed, fmt.Errorf("the program %s cannot be read, it may be damaged", prog)
	case errno == syscall.E2BIG:
		return StatusFailed, fmt.Errorf("its arguments and environment are too long: %w", errno)
	}
	return StatusNotRunnable, fmt.Errorf("the program %s cannot be executed: %w", prog, errno)
}
