// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"io/fs"
	"slices"

	"github.com/spf13/cobra"

	"glick.org/glick/xdgexport"
	"glick.org/glick/xdgexport/apps"
	"glick.org/glick/xdgexport/apps/trust"
	"glick.org/glick/xdgexport/sessionbus"
)

func newDefaultCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "default ID [VERSION]",
		Short: "Choose the version of an application that is used",
		Long: "default makes a version of an application the one that the desktop shows and that\n" +
			"\"glick run ID\" starts, as long as it is installed. Going back to an earlier version\n" +
			"is the same. Without a version, the newest is used again.",
		Args: wantArgs(1, 2, "the id of the application and the version"),
		RunE: func(cmd *cobra.Command, args []string) error {
			version := ""
			if len(args) == 2 {
				version = args[1]
			}
			if err := sessionbus.SetDefault(args[0], version); err != nil {
				return err
			}
			return xdgexport.Refresh(cmd.Context())
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return completeIDs(cmd, args, prefix)
			}
			list, _, err := apps.List()
			if err != nil || len(args) > 1 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			var versions []string
			for _, a := range list {
				if a.ID == args[0] && a.State.Usable() {
					versions = append(versions, a.Version)
				}
			}
			return versions, cobra.ShellCompDirectiveNoFileComp
		},
	}
}

func newAcceptCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "accept ID",
		Short: "Trust the changed signature of an application",
		Long: "accept allows installed bundles of an application to be used although their\n" +
			"signature is not by the key that the application had: their key is trusted from\n" +
			"now on, and an unsigned one is accepted as it is. \"glick list\" shows which\n" +
			"bundles have changed, and the keys.",
		Args: wantArgs(1, 1, "the id of the application"),
		RunE: func(cmd *cobra.Command, args []string) error {
			list, _, err := sessionbus.List()
			if err != nil {
				return err
			}
			var accepted []string
			for _, a := range list {
				what := a.Key.Fingerprint
				if a.Key.None() {
					what = a.Digest.String()
				}
				if a.ID != args[0] || a.State != trust.Changed || slices.Contains(accepted, what) {
					continue
				}
				if err := sessionbus.Accept(a.ID, what); err != nil {
					return err
				}
				accepted = append(accepted, what)
				fmt.Fprintf(cmd.OutOrStdout(), "Accepted %s %s, %s\n", a.ID, printableLine(a.Version), signer(a))
			}
			if accepted == nil {
				return fmt.Errorf("no bundle of %s has a changed signature: %w", args[0], fs.ErrNotExist)
			}
			return xdgexport.Refresh(cmd.Context())
		},
		ValidArgsFunction: completeIDs,
	}
}

// signer says whose signature a bundle has.
func signer(a apps.App) string {
	if a.Key.None() {
		return "not signed"
	}
	if a.Key.Comment != "" {
		return "signed by " + printableLine(a.Key.Comment) + " (" + a.Key.Fingerprint + ")"
	}
	return "signed by " + a.Key.Fingerprint
}
