// SPDX-License-Identifier: MIT

package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"glick.org/glick/xdgexport"
	"glick.org/glick/xdgexport/apps"
	"glick.org/glick/xdgexport/sessionbus"
)

func newAutostartCommand() *cobra.Command {
	var off bool
	cmd := &cobra.Command{
		Use:   "autostart ID",
		Short: "Start an application with your session",
		Long: "autostart has an application started whenever you log in, which no application is\n" +
			"unless you say so. It starts what the application provides for that, or else its\n" +
			"main program. The choice stays when the application is updated, and is still there\n" +
			"when it is installed again. \"glick info ID\" shows it.",
		Args: wantArgs(1, 1, "the id of the application"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id := args[0]
			if err := sessionbus.SetAutostart(id, !off); err != nil {
				return err
			}
			if err := xdgexport.Refresh(cmd.Context()); err != nil || off {
				return err
			}
			// What keeps it from being started is said now, and not in the next session.
			app, err := apps.Find(id)
			if err != nil {
				return err
			}
			plan, err := xdgexport.Plan([]apps.App{app}, xdgexport.Options{})
			if err != nil {
				return err
			}
			for _, f := range plan.Files {
				if f.Autostart() {
					return nil
				}
			}
			for _, l := range plan.Left {
				fmt.Fprintf(cmd.ErrOrStderr(), "glick: note: %s is left out: %s\n", printableLine(l.Origin), printableLine(l.Reason))
			}
			return fmt.Errorf("%s has nothing that could be started with the session", id)
		},
		ValidArgsFunction: completeIDs,
	}
	cmd.Flags().BoolVar(&off, "off", false, "do not start it any more")
	return cmd
}
