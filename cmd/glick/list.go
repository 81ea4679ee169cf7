// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"glick.org/glick/xdgexport/apps"
	"glick.org/glick/xdgexport/sessionbus"
)

// listed is an application in the JSON that list prints.
type listed struct {
	ID      string `json:"id"`
	Version string `json:"version"`
	Name    string `json:"name"`
	File    string `json:"file"`
	Size    int64  `json:"size"`
	Digest  string `json:"digest"`
	System  bool   `json:"system"`
	Default bool   `json:"default"`

	Autostart bool `json:"autostart,omitempty"` // the user wants it started with the session

	Excepted bool `json:"excepted,omitempty"` // everything is shown of it, whatever is switched off

	State  string `json:"state"`         // of its signature
	Key    string `json:"key,omitempty"` // fingerprint
	Origin string `json:"origin,omitempty"`

	LastUsed time.Time `json:"last-used,omitzero"` // when an instance was started last, or ended, as far as the session service knows
}

func newListCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the installed applications",
		Long: "list shows the bundles in ~/Apps, the folders that you have added (see \"glick\n" +
			"folders\"), /usr/local/lib/bundles and /usr/lib/bundles. Of several versions of an\n" +
			"application the first is the one in use.\n\n" +
			"SIGNATURE is \"verified\" when it is by the key that the application had before,\n" +
			"\"first seen\" when that key is remembered from now on, \"changed\" when it is by\n" +
			"another one: see \"glick accept\".",
		Args: wantArgs(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, problems, err := sessionbus.List()
			if err != nil {
				return err
			}
			for _, p := range problems {
				fmt.Fprintf(cmd.ErrOrStderr(), "glick: %s\n", printableLine(p.Error()))
			}
			if asJSON {
				return printListJSON(cmd.OutOrStdout(), list)
			}
			return printList(cmd.OutOrStdout(), list)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printListJSON(w io.Writer, list []apps.App) error {
	used := apps.AllUsed()
	out := make([]listed, 0, len(list))
	for _, a := range list {
		out = append(out, listed{
			a.ID, a.Version, a.Name, a.File, a.Size, a.Digest.String(), a.System, a.Default, a.Autostart, a.Excepted, a.State.String(), a.Key.Fingerprint, a.Origin.URL,
			wholeSecond(used[a.ID]),
		})
	}
	return printJSON(w, out)
}

// wholeSecond is a time as it is shown, in UTC.
func wholeSecond(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC().Truncate(time.Second)
}

func printList(w io.Writer, list []apps.App) error {
	if len(list) == 0 {
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "ID\tVERSION\tNAME\tSIGNATURE\tFILE")
	for _, a := range list {
		fmt.Fprintf(t, "%s\t%s\t%s\t%v\t%s\n", a.ID, printableLine(a.Version), printableLine(a.Name), a.State, printableLine(a.File))
	}
	return t.Flush()
}

// printableLine takes out what would move the cursor or worse: names come from files of strangers.
func printableLine(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '\uFFFD'
		}
		return r
	}, s)
}

// isTerminal tells whether a person reads what is written.
func isTerminal(w io.Writer) bool {
	f, ok := w.(interface{ Fd() uintptr })
	return ok && term.IsTerminal(int(f.Fd()))
}
