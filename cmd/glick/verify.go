// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"glick.org/glick/bundle"
)

func newVerifyCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify FILE-or-ID",
		Short: "Check that a bundle is whole",
		Long: "verify reads the whole bundle and compares everything in it to its digest. It\n" +
			"names the slices and files that are damaged.",
		Args: wantArgs(1, 1, "one bundle"),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, f, err := openBundle(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			bar := newProgress(cmd.ErrOrStderr(), "Checking")
			v, err := b.Verify(cmd.Context(), bar.update)
			bar.end()
			if err != nil && cmd.Context().Err() != nil {
				return errors.New("stopped before all was checked")
			}
			if asJSON {
				if err := printJSON(cmd.OutOrStdout(), verifyFactsOf(f.Name(), v, err)); err != nil {
					return err
				}
			}
			switch {
			case err == nil && !asJSON:
				fmt.Fprintf(cmd.OutOrStdout(), "%s: whole, %d chunks of %s\n", f.Name(), v.Chunks, byteSize(v.Bytes))
			case err != nil && !asJSON && len(v.Problems) > 1:
				for _, p := range v.Problems {
					fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s\n", f.Name(), p)
				}
			case err != nil && len(v.Problems) == 1:
				return fmt.Errorf("cannot trust %s: %w", f.Name(), problemError{v.Problems[0]})
			}
			if err != nil {
				return fmt.Errorf("cannot trust %s: %w", f.Name(), err)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// problemError is a problem as an error, with the names of the files that it damages.
type problemError struct{ bundle.Problem }

func (e problemError) Error() string { return e.String() }
func (e problemError) Unwrap() error { return e.Err }

type verifyFacts struct {
	File     string         `json:"file"`
	Whole    bool           `json:"whole"`
	Chunks   int            `json:"chunks"`
	Bytes    int64          `json:"bytes"`
	Problems []problemFacts `json:"problems,omitempty"`
}

type problemFacts struct {
	Section string   `json:"section"`
	Slice   *int     `json:"slice,omitempty"`
	Message string   `json:"message"`
	Files   []string `json:"files,omitempty"`
}

func verifyFactsOf(file string, v *bundle.Verification, err error) verifyFacts {
	facts := verifyFacts{File: file, Whole: err == nil, Chunks: v.Chunks, Bytes: v.Bytes}
	for _, p := range v.Problems {
		q := problemFacts{Section: p.Section, Message: p.Err.Error(), Files: p.Files}
		if p.Slice >= 0 {
			q.Slice = &p.Slice
		}
		facts.Problems = append(facts.Problems, q)
	}
	return facts
}
