// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"glick.org/glick/bundle"
)

func newSliceCommand() *cobra.Command {
	var o bundle.SliceOptions
	var key string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "slice DIR FILE",
		Short: "Make a library slice to build bundles with",
		Long: "slice makes FILE of the tree in DIR, which holds what shall appear at the prefix of\n" +
			"the bundles that use it: lib, share and so on. \"glick build --slice FILE\" adds it\n" +
			"to a bundle. The same tree gives the same slice, whatever bundle it is in: running\n" +
			"applications with the same slice have one copy of it in memory.",
		Example: "  glick slice --name libfoo --slice-version 1.2 foo libfoo.slice\n" +
			"  glick build --slice libfoo.slice tree Tool.bundle",
		Args: wantArgs(2, 2, "a folder and the file to make"),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, file := args[0], args[1]
			if err := checkOutput(dir, file); err != nil {
				return err
			}
			if o.Name == "" {
				o.Name = bundle.SliceName(file)
			}
			if key != "" {
				signer, err := newSigner(key)
				if err != nil {
					return err
				}
				o.Sign = signer.Sign
			}
			bar := newProgress(cmd.ErrOrStderr(), "Packing")
			o.Progress = bar.update
			var report *bundle.SliceReport
			err := writeFile(cmd.Context(), file, 0o644, func(w io.Writer) (err error) {
				report, err = bundle.BuildSlice(cmd.Context(), w, dir, o)
				return err
			})
			bar.end()
			if err != nil {
				return err
			}
			for _, n := range report.Notes {
				fmt.Fprintf(cmd.ErrOrStderr(), "glick: note: %s\n", n)
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), madeSlice{file, report.Size, report.Files, sliceFactsOf(report.Info), report.Notes})
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %s, %d files of %s in %s\n", file,
				strings.TrimSpace(o.Name+" "+o.Version), report.Files, byteSize(report.Info.Size), byteSize(report.Size))
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Name, "name", "", "name of the library (default: that of FILE)")
	f.StringVar(&o.Version, "slice-version", "", "version of the library")
	f.StringVar(&o.Arch, "arch", "", "processor, x86_64 or aarch64 (default: that of the programs and libraries found)")
	f.BoolVar(&o.Exported, "exported", false, "installed bundles show its desktop files, icons and so on to the desktop")
	f.BoolVar(&o.Optional, "optional", false, "applications work without it, as without a language")
	f.BoolVar(&o.Platform, "platform", false, "it stands for something that a computer may have itself")
	f.StringVar(&key, "sign", "", "sign with the ssh key in `FILE`")
	f.BoolVar(&asJSON, "json", false, "say what was made as JSON")
	return cmd
}

// madeSlice is the JSON of slice.
type madeSlice struct {
	File  string     `json:"file"`
	Size  int64      `json:"size"`
	Files int        `json:"files"`
	Slice sliceFacts `json:"slice"`
	Notes []string   `json:"notes,omitempty"`
}

func newSlimCommand() *cobra.Command {
	var without []string
	cmd := &cobra.Command{
		Use:   "slim FILE-or-ID OUT",
		Short: "Copy a bundle without its optional slices",
		Long: "slim writes a copy of a bundle to the file OUT, without the optional slices that\n" +
			"--without names, or without all of them. A signature stays valid.",
		Example: "  glick slim Editor.bundle Small.bundle --without lang-fr --without lang-ja",
		Args:    wantArgs(2, 2, "a bundle and the file to make"),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, f, err := openFile(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			o := bundle.RewriteOptions{Without: without}
			if without == nil {
				for _, s := range b.Manifest().Slices {
					if s.Optional {
						o.Without = append(o.Without, s.Name)
					}
				}
			}
			return rewrite(cmd, b, f.Name(), args[1], o)
		},
	}
	cmd.Flags().StringArrayVar(&without, "without", nil, "`NAME` of an optional slice to leave out; may be given several times")
	return cmd
}
