// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"glick.org/glick/xdgexport"
	"glick.org/glick/xdgexport/apps"
	"glick.org/glick/xdgexport/sessionbus"
)

// exportWords say what is of a kind.
var exportWords = map[apps.Export]string{
	apps.ExportFileTypes:   "kinds of files that applications open",
	apps.ExportLinks:       "links that applications open",
	apps.ExportCommands:    "commands for the terminal, with their help",
	apps.ExportCommandHelp: "manual pages and completions of commands",
	apps.ExportServices:    "D-Bus services, by which other programs start applications",
	apps.ExportSearch:      "answers to what is searched for in the overview",
	apps.ExportFonts:       "fonts, for all programs",
}

// exportsFacts is the JSON that exports prints.
type exportsFacts struct {
	Kinds    []exportFacts `json:"kinds"`
	Excepted []string      `json:"excepted"` // ids of installed applications of which everything is shown
}

// exportFacts is a kind of export.
type exportFacts struct {
	Kind  apps.Export `json:"kind"`
	Shown bool        `json:"shown"`
	About string      `json:"about"`
}

func newExportsCommand() *cobra.Command {
	var (
		on, off, except, noExcept []string
		asJSON                    bool
	)
	cmd := &cobra.Command{
		Use:   "exports",
		Short: "Choose what applications may add to your desktop",
		Long: "exports lists the kinds of things that installed applications add to your desktop,\n" +
			"and whether they are shown. --off keeps a kind from being shown, of all\n" +
			"applications, until --on allows it again. Menu entries and icons are always shown.\n" +
			"\"glick info ID\" tells what of an application is left out for this. --except shows\n" +
			"everything of one application, whatever is switched off.\n\n" +
			"What root shows to all users with \"glick system-sync\" is not changed by this.",
		Example: "  glick exports\n" +
			"  glick exports --off commands --off fonts\n" +
			"  glick exports --on fonts\n" +
			"  glick exports --except org.example.App",
		Args: wantArgs(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			shown, err := exportChanges(on, off)
			if err != nil {
				return err
			}
			for _, id := range except {
				if slices.Contains(noExcept, id) {
					return usageError{fmt.Errorf("%s cannot be excepted and not excepted at the same time", id)}
				}
			}
			if len(shown)+len(except)+len(noExcept) > 0 {
				if err := setExports(shown, except, noExcept); err != nil {
					return err
				}
				if err := xdgexport.Refresh(cmd.Context()); err != nil || !asJSON {
					return err
				}
			}
			return printExports(cmd.OutOrStdout(), asJSON)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().StringSliceVar(&off, "off", nil, "do not show what is of this `KIND`")
	cmd.Flags().StringSliceVar(&on, "on", nil, "show what is of this `KIND`")
	cmd.Flags().StringSliceVar(&except, "except", nil, "show everything of the application `ID`")
	cmd.Flags().StringSliceVar(&noExcept, "no-except", nil, "show of the application `ID` what is shown of all")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	for _, flag := range []string{"except", "no-except"} {
		_ = cmd.RegisterFlagCompletionFunc(flag, completeIDs) // fails only for a flag that is not there
	}
	for _, flag := range []string{"off", "on"} {
		_ = cmd.RegisterFlagCompletionFunc(flag, completeExports)
	}
	return cmd
}

// setExports has decided what the flags say.
func setExports(shown map[apps.Export]bool, except, noExcept []string) error {
	if len(shown) > 0 {
		if err := sessionbus.SetExports(shown); err != nil {
			return err
		}
	}
	for _, id := range noExcept {
		if err := sessionbus.SetExcepted(id, false); err != nil {
			return err
		}
	}
	for _, id := range except {
		if err := sessionbus.SetExcepted(id, true); err != nil {
			return err
		}
	}
	return nil
}

// exportChanges reads the flags.
func exportChanges(on, off []string) (map[apps.Export]bool, error) {
	shown := map[apps.Export]bool{}
	for _, f := range []struct {
		names []string
		is    bool
	}{{on, true}, {off, false}} {
		for _, name := range f.names {
			kind := apps.Export(name)
			if !kind.Valid() {
				return nil, usageError{fmt.Errorf("%q is not a kind of export; there are %s", name, exportNames())}
			}
			if is, ok := shown[kind]; ok && is != f.is {
				return nil, usageError{fmt.Errorf("%s cannot be switched on and off at the same time", name)}
			}
			shown[kind] = f.is
		}
	}
	return shown, nil
}

func exportNames() string {
	var names []string
	for _, e := range apps.Exports() {
		names = append(names, string(e))
	}
	return strings.Join(names, ", ")
}

// completeExports completes names of kinds.
func completeExports(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	var all []string
	for _, e := range apps.Exports() {
		all = append(all, string(e)+"\t"+exportWords[e])
	}
	return all, cobra.ShellCompDirectiveNoFileComp
}

func printExports(w io.Writer, asJSON bool) error {
	list, _, err := sessionbus.List()
	if err != nil {
		return err
	}
	off, all := apps.SwitchedOff(), exportsFacts{Excepted: []string{}}
	for _, e := range apps.Exports() {
		all.Kinds = append(all.Kinds, exportFacts{e, !slices.Contains(off, e), exportWords[e]})
	}
	for _, a := range list {
		if a.Excepted && !slices.Contains(all.Excepted, a.ID) {
			all.Excepted = append(all.Excepted, a.ID)
		}
	}
	if asJSON {
		return printJSON(w, all)
	}
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "KIND\tSHOWN\tWHAT")
	for _, f := range all.Kinds {
		fmt.Fprintf(t, "%s\t%s\t%s\n", f.Kind, yesNo(f.Shown), f.About)
	}
	if err := t.Flush(); err != nil || len(all.Excepted) == 0 {
		return err
	}
	_, err = fmt.Fprintf(w, "\nEverything is shown of %s\n", strings.Join(all.Excepted, ", "))
	return err
}
