// SPDX-License-Identifier: MIT

package state

import (
	"errors"
	"io/fs"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"glick.org/glick/bundle"
	"glick.org/glick/gui/tr"
	"glick.org/glick/runtime/launch"
	"glick.org/glick/xdgexport/apps"
)

// ErrRemote says that something is an address, and not a file of this computer.
var ErrRemote = errors.New("it is an address, not a file of this computer")

// FolderError says that the folder of applications, and not the bundle, is what may not be changed.
type FolderError struct {
	Folder string // as people write it
	Err    error
}

func (e *FolderError) Error() string { return "cannot change " + e.Folder + ": " + e.Err.Error() }

// Unwrap gives what it wraps.
func (e *FolderError) Unwrap() error { return e.Err }

// Cause is why a file cannot be shown or a task failed, in the words of a person.
type Cause struct {
	Icon   string // icon name
	Title  string // one short sentence
	Advice string // the next step
	Detail string // the error itself, for experts; may be empty
}

// causeOf puts an error into words. file is what it happened to.
func causeOf(err error, file string) Cause {
	name := Clean(filepath.Base(file), 80)
	c := Cause{Icon: "dialog-error-symbolic", Detail: err.Error()}
	var folder *FolderError
	switch {
	case errors.As(err, &folder):
		c.Title = tr.T("No Permission")
		c.Advice = tr.F("You are not allowed to change the folder “{folder}”. Allow it in the folder’s properties, then try again.",
			"folder", Clean(folder.Folder, 200))
	case errors.Is(err, bundle.ErrTruncated):
		c.Title = tr.T("The Download Is Incomplete")
		c.Advice = tr.F("The end of “{file}” is missing. Download it again, and wait until the download has finished.", "file", name)
	case errors.Is(err, bundle.ErrVersion):
		c.Title = tr.T("This Bundle Needs a Newer Glick")
		c.Advice = tr.F("“{file}” was made with a later version. Update Glick, then open the file again.", "file", name)
	case errors.Is(err, bundle.ErrArch):
		c.Title = tr.T("Made for Another Kind of Computer")
		c.Advice = tr.T("Look on the page that you got it from for a version for this computer’s processor.")
	case errors.Is(err, bundle.ErrDamaged):
		c.Title = tr.T("The File Is Damaged")
		c.Advice = tr.F("The content of “{file}” is not what its maker put in. Download it again.", "file", name)
	case errors.Is(err, ErrRemote):
		c.Title = tr.T("This Is Not on This Computer")
		c.Advice = tr.F("Download “{file}” first, then open it.", "file", name)
	case errors.Is(err, bundle.ErrUnsupported):
		c.Title = tr.T("This Bundle Cannot Be Read")
		c.Advice = tr.F("“{file}” uses something that this version of Glick does not know. Update Glick, then open the file again.", "file", name)
	case errors.Is(err, apps.ErrChanged):
		c.Title = tr.T("Its Signature Is Not the Expected One")
		c.Advice = tr.F("Open “{file}” by itself to see what that means, and to decide.", "file", name)
	case errors.Is(err, bundle.ErrNotSlice):
		c.Title = tr.T("This Is a Part of Applications")
		c.Advice = tr.F("“{file}” is a slice, of which bundles are made. It cannot be opened or installed by itself.", "file", name)
	case errors.Is(err, bundle.ErrNotBundle):
		c.Title = tr.T("This Is Not an Application Bundle")
		c.Advice = tr.F("“{file}” is some other kind of file. If you expected an application, download it again.", "file", name)
	case errors.Is(err, fs.ErrNotExist):
		c.Title = tr.T("The File Is Not There")
		c.Advice = tr.F("“{file}” may have been moved, renamed or deleted. Open it from where it is now.", "file", name)
	case errors.Is(err, syscall.EISDIR):
		c.Title = tr.T("This Is a Folder")
		c.Advice = tr.T("A bundle is a single file. Open the folder to look for one in it.")
	case errors.Is(err, apps.ErrStrangers):
		c.Title = tr.T("Others Can Change It")
		c.Advice = tr.F("Others than you can write to “{file}”, or to a folder that it is in. Change who may do so, in its properties in Files.", "file", name)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		c.Title = tr.T("No Permission")
		c.Advice = tr.F("You are not allowed to use “{file}” this way. Ask its owner, or copy it to your own folder first.", "file", name)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		c.Icon = "drive-harddisk-symbolic"
		c.Title = tr.T("The Disk Is Full")
		c.Advice = tr.T("Nothing was changed. Make room, for example by emptying the trash, then try again.")
	default:
		c.Title = tr.T("Something Went Wrong")
		c.Advice = tr.F("“{file}” could not be used.", "file", name)
	}
	return c
}

// FailedCause is the cause of a failed task: title names the task, the body says why it failed. file is what it was done to.
func FailedCause(title string, err error, file string) Cause {
	c := causeOf(err, file)
	if c.Title != tr.T("Something Went Wrong") {
		// Translators: a sentence without its full stop, and the next step.
		c.Advice = tr.F("{problem}. {advice}", "problem", c.Title, "advice", c.Advice)
	}
	c.Title = title
	return c
}

// StartCause says that the application name could not be started, and what may help; words is the end of what it wrote to its standard error.
func StartCause(name string, err error, words string) Cause {
	c := Cause{
		Icon:   "dialog-error-symbolic",
		Title:  tr.F("{name} Could Not Be Opened", "name", name),
		Detail: lastLines(words, 12),
	}
	var exit *exec.ExitError
	glick := errors.As(err, &exit) && exit.ExitCode() >= launch.StatusFailed && exit.ExitCode() <= launch.StatusNoProgram
	switch hint := startHint(exit, words); {
	case glick && c.Detail != "":
		c.Advice = joinSentences(tr.T("It could not be started."), hint)
	case hint != "":
		c.Advice = joinSentences(tr.T("It ended at once."), hint)
	case exit == nil:
		c.Advice = tr.T("It could not be started.")
	case c.Detail != "":
		c.Advice = tr.T("It ended at once. Its last words tell why; its maker may want to know them.")
	default:
		c.Advice = tr.T("It ended at once, without a message.")
	}
	if c.Detail == "" && err != nil {
		c.Detail = err.Error()
	}
	return c
}

// startHint is what can be done about a start that failed, as far as it can be known from how the program ended and what it said.
func startHint(exit *exec.ExitError, words string) string {
	for _, h := range []struct{ sign, hint string }{
		{"error while loading shared libraries", tr.T("A library that it needs is neither in the bundle nor on this computer. Ask its maker for a bundle that has it.")},
		{"version `GLIBC", tr.T("It is made for a newer system than this one. Look for an older version of it.")},
		{"version `GLIBCXX", tr.T("It is made for a newer system than this one. Look for an older version of it.")},
		{"open display", tr.T("It found no screen to show its window on.")},
		{"No space left on device", tr.T("The disk is full. Make room, then try again.")},
		{"Input/output error", tr.T("Its file cannot be read, and may be damaged. Download it again.")},
		{"user namespaces", tr.T("This computer does not let it have a view of its own. The message says how to allow it.")},
	} {
		if strings.Contains(words, h.sign) {
			return h.hint
		}
	}
	if exit == nil {
		return ""
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() {
		return ""
	}
	switch status.Signal() {
	case syscall.SIGILL:
		return tr.T("It is probably made for a newer processor than the one in this computer.")
	case syscall.SIGKILL:
		return tr.T("The system has stopped it. Memory may have run out: close something, then try again.")
	case syscall.SIGSEGV, syscall.SIGABRT, syscall.SIGBUS, syscall.SIGFPE, syscall.SIGTRAP:
		return tr.T("It crashed. Its maker will want to know.")
	}
	return ""
}

// lastLines is the end of what a program wrote, at most n lines, each fit to be shown.
func lastLines(s string, n int) string {
	var out []string
	for _, l := range strings.Split(s, "\n") {
		if l = Clean(l, 300); l != "" {
			out = append(out, l)
		}
	}
	if len(out) > n {
		out = out[len(out)-n:]
	}
	return strings.Join(out, "\n")
}
