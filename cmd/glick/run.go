// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"glick.org/glick/runtime/launch"
)

func newRunCommand() *cobra.Command {
	var exec string
	cmd := &cobra.Command{
		Use:   "run FILE-or-ID [--exec PATH] [--] [ARG…]",
		Short: "Start an application from its bundle",
		Long: "run starts the application in a bundle file, or the installed application with an\n" +
			"id. The application takes the place of glick: its exit status, its standard\n" +
			"streams and its process id are those that the caller sees.\n\n" +
			"--exec starts another program of the bundle, given by its path in it. What\n" +
			"follows belongs to the program.\n\n" + startingHelp,
		Example: "  glick run ./Editor.bundle notes.txt\n" +
			"  glick run org.example.Editor --exec bin/editor-tool -- --help",
		Args:              wantArgs(1, -1, "a bundle file or an id"),
		ValidArgsFunction: completeIDs,
		RunE: func(_ *cobra.Command, args []string) error {
			name, args, err := splitRun(args, &exec)
			if err != nil {
				return err
			}
			file, err := resolveFile(name)
			if err != nil {
				return statusError{exitNotStarted, err}
			}
			if err := refuseForeign(file); err != nil {
				return statusError{exitNotStarted, fmt.Errorf("cannot start %s: %w", file, err)}
			}
			argv, err := launch.Argv(file, args)
			if err != nil {
				return statusError{exitNotStarted, err}
			}
			// Only what was asked for here counts: a program that was itself started so must not pass it on.
			env := withoutVariable(os.Environ(), launch.ExecVariable)
			if exec != "" {
				env = append(env, launch.ExecVariable+"="+exec)
			}
			return statusError{exitNotStarted, launch.Become(argv, env)}
		},
	}
	cmd.Flags().StringVar(&exec, "exec", "", "start the program at `PATH` in the bundle")
	cmd.Flags().SetInterspersed(false)
	return cmd
}

const startingHelp = `It ends with the program's own status, or with 125 when Glick could not start it,
126 when it cannot be executed, 127 when it is not there.`

// splitRun takes the bundle, and the options that may follow it, from the program's arguments.
func splitRun(args []string, exec *string) (name string, rest []string, err error) {
	name, rest = args[0], args[1:]
	if len(rest) > 0 {
		if path, ok := strings.CutPrefix(rest[0], "--exec="); ok {
			*exec, rest = path, rest[1:]
		} else if rest[0] == "--exec" {
			if len(rest) == 1 {
				return "", nil, usageError{errors.New("flag needs an argument: --exec")}
			}
			*exec, rest = rest[1], rest[2:]
		}
	}
	if len(rest) > 0 && rest[0] == "--" {
		rest = rest[1:]
	}
	return name, rest, nil
}

func withoutVariable(env []string, name string) []string {
	var out []string
	for _, kv := range env {
		if !strings.HasPrefix(kv, name+"=") {
			out = append(out, kv)
		}
	}
	return out
}
