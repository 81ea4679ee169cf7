// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"glick.org/glick/runtime/session"
	"glick.org/glick/xdgexport/sessionbus"
)

func newPsCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "ps",
		Short: "List the running bundles",
		Long: "ps lists the bundles that the session service serves. A bundle that was started while\n" +
			"there was no session service serves itself, and is not listed.",
		Args: wantArgs(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := sessionbus.Instances(cmd.Context())
			if errors.Is(err, session.ErrNotRunning) {
				fmt.Fprintln(cmd.ErrOrStderr(), "glick: the session service is not running; bundles that serve themselves are not listed")
				list, err = []session.Instance{}, nil
			}
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), list)
			}
			if len(list) == 0 {
				return nil
			}
			t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
			fmt.Fprintln(t, "PID\tID\tVERSION\tSTARTED\tFILE")
			for _, i := range list {
				fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\n", i.PID, i.ID, printableLine(i.Version), i.Started.Format(time.DateTime), printableLine(i.File))
			}
			return t.Flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
