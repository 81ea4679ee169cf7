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
	var signers string
	cmd := &cobra.Command{
		Use:   "verify FILE-or-ID",
		Short: "Check that a bundle is whole, and its signature",
		Long: "verify reads the whole bundle and compares everything in it to its digest. It\n" +
			"names the slices and files that are damaged. A signature must belong to the\n" +
			"bundle; whose key it is, --allowed-signers can tell: a list as ssh-keygen uses.",
		Args: wantArgs(1, 1, "one bundle"),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, f, err := openFile(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			v, err := verifyContent(cmd, b)
			if err != nil && (cmd.Context().Err() != nil || errors.Is(err, bundle.ErrUnsupported)) {
				return fmt.Errorf("cannot check %s: %w", f.Name(), err)
			}
			sign, key, signErr := checkSignature(b)
			if signErr == nil && signers != "" {
				sign.Signer, signErr = allowed(signers, key)
			}
			if asJSON {
				facts := verifyFactsOf(f.Name(), v, err)
				facts.Signature = sign
				if err := printJSON(cmd.OutOrStdout(), facts); err != nil {
					return err
				}
			}
			if err := reportProblems(cmd, f.Name(), v, err, asJSON); err != nil {
				return err
			}
			if signErr != nil {
				return fmt.Errorf("cannot trust %s: %w", f.Name(), signErr)
			}
			if !asJSON {
				words := "signed " + sign.words()
				if sign.State == "none" {
					words = "not signed"
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s: whole, %d chunks of %s, %s\n", f.Name(), v.Chunks, byteSize(v.Bytes), words)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().StringVar(&signers, "allowed-signers", "", "accept only signatures by the keys in `FILE` (see ssh-keygen(1), ALLOWED SIGNERS)")
	return cmd
}

// verifyContent compares all content to its digests.
func verifyContent(cmd *cobra.Command, b *bundle.Bundle) (*bundle.Verification, error) {
	bar := newProgress(cmd.ErrOrStderr(), "Checking")
	defer bar.end()
	v, err := b.Verify(cmd.Context(), bar.update)
	if err != nil && cmd.Context().Err() != nil {
		return v, errors.New("stopped before all was checked")
	}
	return v, err
}

// verifyBundle is verifyContent for a command that needs a whole bundle.
func verifyBundle(cmd *cobra.Command, b *bundle.Bundle, file string) error {
	v, err := verifyContent(cmd, b)
	return reportProblems(cmd, file, v, err, false)
}

// reportProblems prints what is damaged when that takes several lines, and returns the error that glick ends with.
func reportProblems(cmd *cobra.Command, file string, v *bundle.Verification, err error, quiet bool) error {
	switch {
	case err == nil:
		return nil
	case len(v.Problems) == 1:
		err = problemError{v.Problems[0]}
	case !quiet:
		for _, p := range v.Problems {
			fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s\n", file, p)
		}
	}
	return fmt.Errorf("cannot trust %s: %w", file, err)
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

	Signature signatureFacts `json:"signature"`
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
