// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"glick.org/glick/xdgexport"
	"glick.org/glick/xdgexport/apps"
	"glick.org/glick/xdgexport/sessionbus"
)

// folderFacts is a bundle folder in the JSON of folders.
type folderFacts struct {
	Folder  string `json:"folder"`
	System  bool   `json:"system"` // of all users
	Added   bool   `json:"added"`  // by the user
	There   bool   `json:"there"`
	Bundles int    `json:"bundles"` // that lie in it
	Problem string `json:"problem,omitempty"`
}

func newFoldersCommand() *cobra.Command {
	var (
		add, remove []string
		asJSON      bool
	)
	cmd := &cobra.Command{
		Use:   "folders",
		Short: "Show and choose the folders of applications",
		Long: "folders shows the folders whose bundles are installed: ~/Apps, those that you have\n" +
			"added, and those of all users.\n\n" +
			"--add has the bundles in one more folder installed, for instance on another disk,\n" +
			"from where they are. When the disk is taken away its applications are gone from\n" +
			"the desktop, and when it is back, so are they. Only you and root may be able to\n" +
			"write to the folder, as whatever is put there is installed. \"glick install\" goes on\n" +
			"copying to ~/Apps. --remove takes a folder back; what is in it stays there, and is\n" +
			"no longer installed.",
		Args: wantArgs(0, 0, "no arguments; name folders with --add and --remove"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(add)+len(remove) == 0 {
				return showFolders(cmd, asJSON)
			}
			var errs []error
			var added []string
			for _, dir := range remove {
				path, err := filepath.Abs(dir)
				if err == nil {
					err = sessionbus.RemoveFolder(path)
				}
				if err != nil {
					errs = append(errs, err)
				}
			}
			for _, dir := range add {
				path, err := filepath.Abs(dir)
				if err == nil {
					path, err = sessionbus.AddFolder(path)
				}
				if err != nil {
					errs = append(errs, err)
					continue
				}
				added = append(added, path)
			}
			if len(errs) < len(add)+len(remove) {
				if err := xdgexport.Refresh(cmd.Context()); err != nil {
					errs = append(errs, err)
				}
			}
			if len(added) > 0 && !asJSON {
				if err := sayAdded(cmd, added); err != nil {
					errs = append(errs, err)
				}
			}
			if asJSON {
				if err := showFolders(cmd, true); err != nil {
					errs = append(errs, err)
				}
			}
			return reportAll(cmd, errs)
		},
	}
	cmd.Flags().StringArrayVar(&add, "add", nil, "have the bundles in this `folder` installed")
	cmd.Flags().StringArrayVar(&remove, "remove", nil, "do not look into this added `folder` any more")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	_ = cmd.MarkFlagDirname("add") // fails only for a flag that is not there
	_ = cmd.RegisterFlagCompletionFunc("remove", func(_ *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
		var all []string
		for _, f := range apps.AddedFolders() {
			if strings.HasPrefix(f, prefix) {
				all = append(all, f)
			}
		}
		return all, cobra.ShellCompDirectiveNoFileComp
	})
	return cmd
}

// bundlesIn counts the bundles of each folder.
func bundlesIn() (map[string]int, error) {
	list, _, err := sessionbus.List()
	if err != nil {
		return nil, err
	}
	count := map[string]int{}
	for _, a := range list {
		count[filepath.Dir(a.File)]++
	}
	return count, nil
}

func sayAdded(cmd *cobra.Command, added []string) error {
	count, err := bundlesIn()
	if err != nil {
		return err
	}
	for _, dir := range added {
		bundles := "1 bundle"
		if n := count[dir]; n != 1 {
			bundles = fmt.Sprintf("%d bundles", n)
		}
		fmt.Fprintf(cmd.OutOrStdout(), "Added %s, with %s\n", printableLine(dir), bundles)
	}
	return nil
}

func showFolders(cmd *cobra.Command, asJSON bool) error {
	count, err := bundlesIn()
	if err != nil {
		return err
	}
	states := apps.FolderStates()
	all := make([]folderFacts, 0, len(states))
	for _, s := range states {
		f := folderFacts{Folder: s.Path, System: s.System, Added: s.Added, There: s.There, Bundles: count[s.Path]}
		if s.Err != nil {
			f.Problem = s.Err.Error()
		}
		all = append(all, f)
	}
	if asJSON {
		return printJSON(cmd.OutOrStdout(), all)
	}
	return printFolders(cmd.OutOrStdout(), all)
}

func printFolders(w io.Writer, all []folderFacts) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "FOLDER\tWHOSE\tBUNDLES")
	for _, f := range all {
		whose := "yours"
		switch {
		case f.System:
			whose = "all users'"
		case f.Added:
			whose = "yours, added"
		}
		bundles := fmt.Sprint(f.Bundles)
		switch {
		case f.Problem != "":
			bundles = "not used: " + printableLine(f.Problem)
		case !f.There:
			bundles = "not there"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", printableLine(f.Folder), whose, bundles)
	}
	return t.Flush()
}
