// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"glick.org/glick/bundle"
	"glick.org/glick/runtime/launch"
)

func newShellCommand() *cobra.Command {
	var prefix string
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "shell [--prefix PATH] DIR [CMD [ARG…]]",
		Short: "A shell in which a folder appears at the prefix",
		Long: "shell starts a command, or else a shell, that sees the folder DIR at the prefix: to\n" +
			"configure, build, install and try an application at the place where it will be in a\n" +
			"bundle. What it writes there is written to DIR. No other process sees it.\n\n" + startingHelp,
		Example: "  mkdir tree\n" +
			"  glick shell tree sh -c './configure --prefix=/opt/bundle && make install'\n" +
			"  glick build tree App.bundle",
		Args: wantArgs(1, -1, "a folder"),
		RunE: func(cmd *cobra.Command, args []string) error {
			argv := args[1:]
			if len(argv) == 0 {
				argv = []string{userShell()}
			}
			p, err := launch.Shell(args[0], prefix, argv)
			if err != nil {
				return statusError{exitNotStarted, err}
			}
			if dryRun {
				_, err := fmt.Fprint(cmd.OutOrStdout(), p)
				return err
			}
			stub, err := launch.StubPath(launch.Arch())
			if err != nil {
				return statusError{exitNotStarted, err}
			}
			return statusError{exitNotStarted, p.Run(stub)}
		},
	}
	cmd.Flags().StringVar(&prefix, "prefix", bundle.DefaultPrefix, "where DIR appears, an absolute `PATH`")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "print what would be done")
	cmd.Flags().SetInterspersed(false)
	return cmd
}

func userShell() string {
	if shell := os.Getenv("SHELL"); strings.HasPrefix(shell, "/") {
		return shell
	}
	return "/bin/sh"
}
