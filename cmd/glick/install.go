// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"glick.org/glick/bundle"
	"glick.org/glick/xdgexport"
	"glick.org/glick/xdgexport/apps"
	"glick.org/glick/xdgexport/sessionbus"
)

func newInstallCommand() *cobra.Command {
	var o apps.InstallOptions
	cmd := &cobra.Command{
		Use:   "install FILE…",
		Short: "Install bundles for yourself",
		Long: "install copies bundles into ~/Apps and shows them in the desktop: in the menu of\n" +
			"applications, for the file types that they open, as services. Copying a bundle\n" +
			"there in any other way does the same.\n\n" +
			"The first installation remembers whose signature an application has. A bundle with\n" +
			"another signature, or without one where there was one, is refused unless --accept\n" +
			"says that you trust it.",
		Args: wantArgs(1, -1, "the bundle files to install"),
		RunE: func(cmd *cobra.Command, args []string) error {
			// Each file by itself: one that cannot be installed does not keep out the others.
			var errs []error
			installed := 0
			for _, file := range args {
				app, err := installWithProgress(cmd, file, o)
				if errors.Is(err, apps.ErrChanged) {
					err = fmt.Errorf("%w; if you trust it, use --accept", err)
				}
				if err != nil {
					errs = append(errs, err)
					if cmd.Context().Err() != nil {
						break
					}
					continue
				}
				installed++
				fmt.Fprintf(cmd.OutOrStdout(), "Installed %s as %s\n", title(app), app.File)
			}
			if installed > 0 {
				if err := xdgexport.Refresh(cmd.Context()); err != nil {
					errs = append(errs, err)
				}
			}
			return reportAll(cmd, errs)
		},
	}
	cmd.Flags().BoolVar(&o.KeepBoth, "keep-both", false, "keep the version that is installed beside the new one")
	cmd.Flags().BoolVar(&o.Move, "move", false, "take the file away from where it is, once it is installed")
	cmd.Flags().BoolVar(&o.Accept, "accept", false, "trust the signature, or the lack of one, although it is not the one before")
	return cmd
}

// installWithProgress installs one file and shows how far it is.
func installWithProgress(cmd *cobra.Command, file string, o apps.InstallOptions) (apps.App, error) {
	p := newProgress(cmd.ErrOrStderr(), "Copying "+printableLine(filepath.Base(file)))
	defer p.end()
	o.Progress = p.update
	app, err := sessionbus.Install(cmd.Context(), file, o)
	if errors.Is(err, bundle.ErrNotBundle) {
		if why := refuseForeign(file); why != nil {
			return app, fmt.Errorf("cannot install %s: %w", file, why)
		}
	}
	return app, err
}

func newUninstallCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "uninstall ID-or-FILE…",
		Short: "Uninstall applications",
		Long: "uninstall deletes the bundle from ~/Apps, or the folder of yours that it lies in, and\n" +
			"takes all that it showed out of the desktop. Of several versions it takes the one in use, unless a file is named.\n" +
			"What the application has stored in your home folder is left there. An instance\n" +
			"that runs is not disturbed.",
		Args: wantArgs(1, -1, "the ids or files of the applications to uninstall"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var errs []error
			gone := 0
			for _, arg := range args {
				app, err := installedApp(arg)
				if err == nil {
					err = sessionbus.Remove(cmd.Context(), app.File)
				}
				if err != nil {
					errs = append(errs, err)
					continue
				}
				gone++
				fmt.Fprintf(cmd.OutOrStdout(), "Uninstalled %s\n", title(app))
			}
			if gone > 0 {
				if err := xdgexport.Refresh(cmd.Context()); err != nil {
					errs = append(errs, err)
				}
			}
			return reportAll(cmd, errs)
		},
		ValidArgsFunction: completeIDs,
	}
}

// installedApp finds what to uninstall: of an id the user's own version in use, even where another is installed for all
// users. A file among the applications may be removed even when it is damaged.
func installedApp(arg string) (apps.App, error) {
	app, err := apps.Find(arg)
	if err == nil && app.System && app.ID == arg {
		list, _, err := apps.List()
		if err != nil {
			return app, err
		}
		for _, a := range list {
			if a.ID == arg && !a.System {
				return a, nil
			}
		}
	}
	if err == nil || !strings.Contains(arg, "/") {
		return app, err
	}
	path, perr := filepath.Abs(arg)
	if perr == nil && apps.OwnFolder(filepath.Dir(path)) {
		return apps.App{File: path, Name: filepath.Base(path)}, nil
	}
	return app, err
}

// reportAll prints all errors but the last, and returns that one for glick to end with.
func reportAll(cmd *cobra.Command, errs []error) error {
	if len(errs) == 0 {
		return nil
	}
	last := len(errs) - 1
	for _, err := range errs[:last] {
		fmt.Fprintf(cmd.ErrOrStderr(), "glick: %s\n", err)
	}
	return errs[last]
}

// title names an application in a sentence.
func title(a apps.App) string {
	name := a.Name
	if name == "" {
		name = a.ID
	}
	return printableLine(strings.TrimSpace(name + " " + a.Version))
}

// completeIDs offers the ids of the installed applications to the shell.
func completeIDs(_ *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
	list, _, err := apps.List()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var ids []string
	for _, a := range list {
		if a.Default && strings.HasPrefix(a.ID, prefix) {
			ids = append(ids, a.ID+"\t"+title(a))
		}
	}
	return ids, cobra.ShellCompDirectiveDefault
}
