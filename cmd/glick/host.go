// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"glick.org/glick/runtime/launch"
	"glick.org/glick/runtime/session"
)

func newHostCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "host PROGRAM [ARG…]",
		Short: "Start a program outside of the bundle, from inside",
		Long: "host is for applications in bundles, and for their scripts. Programs that these\n" +
			"start belong to the instance: they see the bundle's files, keep it running, and\n" +
			"set-user-ID programs have no effect. What host starts does not: the session\n" +
			"service starts it, with the same standard streams, environment and working folder.\n\n" +
			"It ends with the program's own status, or with 125 when the session service cannot\n" +
			"be asked, 126 when the program cannot be executed, 127 when it is not there.\n" +
			"Signals are passed on.",
		Example: "  glick host xdg-open https://example.org/\n" +
			"  glick host lp report.pdf",
		Args: wantArgs(1, -1, "a program"),
		RunE: func(_ *cobra.Command, args []string) error {
			dir, err := os.Getwd()
			if err != nil {
				dir = ""
			}
			o := session.Outside{Args: args, Dir: dir, Env: launch.WithoutBundle(os.Environ())}
			signals := make(chan os.Signal, 16)
			signal.Notify(signals, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH)
			status, err := session.RunOutside(o, [3]*os.File{os.Stdin, os.Stdout, os.Stderr}, signals)
			if errors.Is(err, session.ErrNotRunning) && session.Activate() == nil {
				status, err = session.RunOutside(o, [3]*os.File{os.Stdin, os.Stdout, os.Stderr}, signals)
			}
			var failure *session.OutsideError
			switch {
			case errors.As(err, &failure):
				return statusError{failure.Status, err}
			case err != nil:
				return statusError{exitNotStarted, fmt.Errorf("cannot start %s outside of the bundle: %w", args[0], err)}
			case status.Signaled():
				// As shells say it.
				return statusError{128 + int(status.Signal()), nil}
			}
			return statusError{status.ExitStatus(), nil}
		},
	}
	cmd.Flags().SetInterspersed(false)
	return cmd
}
