// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/adrg/xdg"
	"github.com/spf13/cobra"

	"glick.org/glick/xdgexport"
	"glick.org/glick/xdgexport/apps"
	"glick.org/glick/xdgexport/apps/trust"
)

func newSystemSyncCommand() *cobra.Command {
	var accept []string
	cmd := &cobra.Command{
		Use:   "system-sync",
		Short: "Show the bundles of all users in every desktop of this computer",
		Long: "system-sync, run by root, makes the applications in /usr/local/lib/bundles and\n" +
			"/usr/lib/bundles appear for all users, below /usr/local, and takes away what belongs\n" +
			"to bundles that are gone. It waits for files that are being copied there. Run it\n" +
			"after changing these folders, or have systemd do so:\n\n" +
			"  systemctl enable --now glick-system-sync.service glick-system-sync.path\n\n" +
			"Whose signature an application has is remembered in /var/lib/glick. One that has\n" +
			"another is not shown until --accept says that you trust it.",
		Args: wantArgs(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if os.Geteuid() != 0 {
				return fmt.Errorf("cannot show applications to all users: %w; only root may do this", fs.ErrPermission)
			}
			if err := useSystemState(); err != nil {
				return err
			}
			for _, id := range accept {
				if err := acceptForAll(cmd, id); err != nil {
					return err
				}
			}
			res, problems, err := xdgexport.SyncSettled(cmd.Context(), xdgexport.Options{System: true})
			for _, p := range problems {
				fmt.Fprintf(cmd.ErrOrStderr(), "glick: %s\n", printableLine(p.Error()))
			}
			for _, l := range res.Left {
				fmt.Fprintf(cmd.ErrOrStderr(), "glick: note: %s: %s is left out: %s\n", l.App, printableLine(l.Origin), printableLine(l.Reason))
			}
			list, _, listErr := apps.List()
			for _, a := range list {
				if a.System && a.State == trust.Changed {
					fmt.Fprintf(cmd.ErrOrStderr(), "glick: %s is not shown: its signature is not by the key that %s had; if you trust it, use --accept %s\n", printableLine(a.File), a.ID, a.ID)
				}
			}
			return errors.Join(err, listErr)
		},
	}
	cmd.Flags().StringSliceVar(&accept, "accept", nil, "trust the changed signature of the application `ID`")
	return cmd
}

// useSystemState has what is remembered of applications for all users kept where it is the same for whoever becomes root, by
// whatever means.
func useSystemState() error {
	for name, value := range map[string]string{"HOME": "/var/lib/glick", "XDG_DATA_HOME": "/var/lib", "XDG_CACHE_HOME": "/var/cache"} {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	xdg.Reload()
	return nil
}

// acceptForAll is accept for the bundles in the folders of all users.
func acceptForAll(cmd *cobra.Command, id string) error {
	list, _, err := apps.List()
	if err != nil {
		return err
	}
	accepted := false
	for _, a := range list {
		if a.ID != id || !a.System || a.State != trust.Changed {
			continue
		}
		what := a.Key.Fingerprint
		if a.Key.None() {
			what = a.Digest.String()
		}
		if err := apps.Accept(id, what); err != nil {
			return err
		}
		accepted = true
		fmt.Fprintf(cmd.OutOrStdout(), "Accepted %s %s, %s\n", id, printableLine(a.Version), signer(a))
	}
	if !accepted {
		return fmt.Errorf("no bundle of %s for all users has a changed signature: %w", id, fs.ErrNotExist)
	}
	return nil
}
