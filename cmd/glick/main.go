// SPDX-License-Identifier: MIT

// Command glick makes, inspects, runs and installs bundles.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// version is set by the linker (-X main.version=…).
var version = "0.0.0-dev"

func main() {
	os.Exit(run(os.Args[1:]))
}

// run is main without the exit, so that tests can call it.
func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	root := newRootCommand()
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	return reportError(root.ErrOrStderr(), cmd, err)
}

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "glick",
		Short: "Applications as single files",
		Long: "glick makes, inspects, runs and installs bundles: single files that hold an\n" +
			"application and all that it needs.",
		Version:           version,
		SilenceErrors:     true,
		SilenceUsage:      true,
		DisableAutoGenTag: true,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddGroup(
		&cobra.Group{ID: "use", Title: "Use applications:"},
		&cobra.Group{ID: "make", Title: "Make and inspect bundles:"},
	)
	for _, c := range []func() *cobra.Command{
		newRunCommand, newInstallCommand, newUninstallCommand, newListCommand, newDefaultCommand, newAcceptCommand, newAutostartCommand, newExportsCommand, newFoldersCommand, newPsCommand, newHostCommand, newDoctorCommand,
	} {
		cmd := c()
		cmd.GroupID = "use"
		root.AddCommand(cmd)
	}
	for _, c := range []func() *cobra.Command{
		newBuildCommand, newSliceCommand, newSignCommand, newSlimCommand, newInfoCommand, newExtractCommand, newVerifyCommand, newShellCommand, newSystemSyncCommand,
	} {
		cmd := c()
		cmd.GroupID = "make"
		root.AddCommand(cmd)
	}
	root.AddCommand(newManCommand(), newExitCodesTopic())
	return root
}
