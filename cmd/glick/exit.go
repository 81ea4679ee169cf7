// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"glick.org/glick/bundle"
)

// The exit codes are part of the interface; exitCodesText documents them.
const (
	exitOK         = 0
	exitFailed     = 1
	exitUsage      = 2
	exitDamaged    = 3
	exitForeign    = 4
	exitNotFound   = 5
	exitPermission = 6
	exitNoSpace    = 7
	exitHost       = 8
	exitUntrusted  = 9
	// Starting a program follows env(1) and nohup(1): what Glick itself says must not be mistaken for the program's status.
	exitNotStarted  = 125
	exitNotRunnable = 126
	exitNoProgram   = 127
)

const exitCodesText = `glick ends with one of these:

  0  done
  1  it could not be done, for a reason not listed here
  2  wrong usage
  3  the file is not a bundle, is incomplete, or is damaged
  4  the bundle is for another processor, of a newer format, or of another
     format that does not have what was asked for
  5  no such file, or no application of that id
  6  not permitted, or not readable
  7  no space left, or writing failed
  8  this computer lacks something that is needed; the message names it
  9  the file is whole, but not signed by a key that was allowed

Starting a bundle, by "glick run", "glick shell" or by itself, ends with the
program's own status, or with:

  125  Glick could not start it; the message says why
  126  the program is there but cannot be executed here
  127  the program is not in the bundle
`

// usageError is a mistake in the words of a command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// statusError ends glick with a status of its own, after its message if it has one.
type statusError struct {
	status int
	err    error
}

func (e statusError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.status)
	}
	return e.err.Error()
}

func (e statusError) Unwrap() error { return e.err }

// exitCode finds the documented code of an error.
func exitCode(err error) int {
	var status statusError
	var usage usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &status):
		return status.status
	case errors.As(err, &usage):
		return exitUsage
	case errors.Is(err, bundle.ErrVersion), errors.Is(err, bundle.ErrArch), errors.Is(err, bundle.ErrUnsupported):
		return exitForeign
	case errors.Is(err, bundle.ErrNotBundle), errors.Is(err, bundle.ErrNotSlice), errors.Is(err, bundle.ErrTruncated), errors.Is(err, bundle.ErrDamaged):
		return exitDamaged
	case errors.Is(err, fs.ErrNotExist):
		return exitNotFound
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return exitPermission
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG), errors.Is(err, syscall.EIO):
		return exitNoSpace
	default:
		return exitFailed
	}
}

// reportError prints the one sentence that a person gets, and says how glick ends.
func reportError(w io.Writer, cmd *cobra.Command, err error) int {
	var status statusError
	if errors.As(err, &status) && status.err == nil {
		return status.status
	}
	var usage usageError
	if isCobraUsage(err) && !errors.As(err, &usage) {
		err = usageError{err}
	}
	fmt.Fprintf(w, "glick: %s\n", printableText(strings.TrimSpace(err.Error())))
	if errors.As(err, &usage) && cmd != nil {
		fmt.Fprintf(w, "Try '%s --help'.\n", cmd.CommandPath())
	}
	return exitCode(err)
}

// printableText is printableLine for a text of several lines: what is wrong with a file is said in the words of strangers.
func printableText(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = printableLine(l)
	}
	return strings.Join(lines, "\n")
}

// isCobraUsage knows the mistakes that cobra itself finds and returns as plain errors.
func isCobraUsage(err error) bool {
	s := err.Error()
	for _, p := range []string{"unknown command ", "required flag(s) ", "if any flags in the group ", "at least one of the flags in the group "} {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}

func newExitCodesTopic() *cobra.Command {
	return &cobra.Command{Use: "exit-codes", Short: "How glick and bundles end", Long: exitCodesText}
}

// wantArgs checks the number of arguments and names what is missing; most < 0 means any number.
func wantArgs(least, most int, what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return usageError{fmt.Errorf("missing argument: needs %s", what)}
		case most >= 0 && len(args) > most:
			return usageError{fmt.Errorf("too many arguments: takes %s", what)}
		}
		return nil
	}
}
