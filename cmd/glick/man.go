// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"glick.org/glick/bundle"
)

// newManCommand writes the man pages; the build calls it, so that pages and --help cannot differ.
func newManCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "man DIR",
		Short:  "Write the man pages into DIR",
		Hidden: true,
		Args:   wantArgs(1, 1, "one folder"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return fmt.Errorf("cannot make the folder for man pages: %w", err)
			}
			// A fixed date keeps the build reproducible.
			date := time.Unix(bundle.ModTime, 0).UTC()
			return doc.GenManTree(cmd.Root(), &doc.GenManHeader{Section: "1", Source: "Glick " + version, Manual: "Glick", Date: &date}, args[0])
		},
	}
}
