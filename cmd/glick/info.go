// SPDX-License-Identifier: MIT

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"glick.org/glick/bundle"
)

func newInfoCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "info FILE-or-ID",
		Short: "Show what a bundle is",
		Long: "info shows the identity of a bundle, its slices and its sections. It reads a few\n" +
			"kilobytes and the slices' indexes, and runs nothing.",
		Args: wantArgs(1, 1, "one bundle"),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, f, err := openBundle(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			facts, err := collectFacts(b, f.Name())
			if err != nil {
				return cannotRead(f.Name(), err)
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), facts)
			}
			return facts.print(cmd.OutOrStdout())
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// bundleFacts is the JSON of info. Sizes are in bytes.
type bundleFacts struct {
	File         string         `json:"file"`
	Size         int64          `json:"size"`
	Format       int            `json:"format"`
	ID           string         `json:"id"`
	Version      string         `json:"version"`
	Name         string         `json:"name"`
	Exec         string         `json:"exec"`
	Prefix       string         `json:"prefix"`
	Architecture string         `json:"architecture"`
	Digest       string         `json:"digest"`
	Commands     []string       `json:"commands,omitempty"`
	Export       []string       `json:"export,omitempty"`
	Icons        []int          `json:"icons"`
	DesktopFile  bool           `json:"desktop-file"`
	Metainfo     bool           `json:"metainfo"`
	SVGIcon      bool           `json:"svg-icon"`
	Files        int            `json:"files"`
	Folders      int            `json:"folders"`
	Links        int            `json:"links"`
	Slices       []sliceFacts   `json:"slices"`
	Sections     []sectionFacts `json:"sections"`
}

type sliceFacts struct {
	Name     string `json:"name"`
	Digest   string `json:"digest"`
	Size     int64  `json:"size"`
	Stored   int64  `json:"stored-size"`
	Exported bool   `json:"exported,omitempty"`
	Optional bool   `json:"optional,omitempty"`
	Platform bool   `json:"platform,omitempty"`
}

type sectionFacts struct {
	Name   string `json:"name"`
	Offset int64  `json:"offset"`
	Size   int64  `json:"size"`
}

func collectFacts(b *bundle.Bundle, file string) (*bundleFacts, error) {
	m := b.Manifest()
	facts := &bundleFacts{
		File: file, Size: b.Size(), Format: bundle.FormatVersion,
		ID: m.ID, Version: m.Version, Name: m.Name, Exec: m.Exec, Prefix: m.Prefix, Architecture: m.Arch, Digest: b.Digest().String(),
		Commands: m.Commands, Export: m.Export, Icons: b.IconSizes(),
	}
	for _, s := range b.Sections() {
		facts.Sections = append(facts.Sections, sectionFacts(s))
		switch s.Name {
		case ".xdg.desktop":
			facts.DesktopFile = true
		case ".xdg.metainfo":
			facts.Metainfo = true
		case ".xdg.icon.svg":
			facts.SVGIcon = true
		}
	}
	for _, s := range m.Slices {
		facts.Slices = append(facts.Slices, sliceFacts{
			Name: s.Name, Digest: s.Digest.String(), Size: s.Size, Stored: s.DataSize,
			Exported: s.Exported, Optional: s.Optional, Platform: s.Platform,
		})
	}
	t, err := b.Tree()
	if err != nil {
		return nil, err
	}
	for n := range bundle.Node(t.Len()) {
		switch info := t.Info(n); {
		case info.IsFile():
			facts.Files++
		case info.IsLink():
			facts.Links++
		case n != 0:
			facts.Folders++
		}
	}
	return facts, nil
}

// print shows the facts to a person. Text from the bundle was checked to be lines of text.
func (f *bundleFacts) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	line := func(key string, value any) {
		if s := fmt.Sprint(value); s != "" {
			fmt.Fprintf(w, "%s:\t%s\n", key, s)
		}
	}
	line("Id", f.ID)
	line("Version", f.Version)
	line("Name", f.Name)
	line("Program", f.Exec)
	line("Prefix", f.Prefix)
	line("Architecture", f.Architecture)
	line("File", f.File)
	line("Size", byteSize(f.Size))
	line("Content", fmt.Sprintf("%d files, %d folders, %d links", f.Files, f.Folders, f.Links))
	line("Commands", strings.Join(f.Commands, ", "))
	line("Exports", strings.Join(f.Export, ", "))
	var icons []string
	for _, n := range f.Icons {
		icons = append(icons, fmt.Sprint(n))
	}
	if f.SVGIcon {
		icons = append(icons, "svg")
	}
	line("Icons", strings.Join(icons, ", "))
	line("Desktop file", yesNo(f.DesktopFile))
	line("Metainfo", yesNo(f.Metainfo))
	line("Digest", f.Digest)
	for i, s := range f.Slices {
		line(fmt.Sprintf("Slice %d", i), fmt.Sprintf("%s, %s stored as %s", s.Name, byteSize(s.Size), byteSize(s.Stored)))
	}
	return w.Flush()
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// byteSize writes a number of bytes as file managers do.
func byteSize(n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%d bytes", n)
	}
	v, units := float64(n)/1000, "kMGTP"
	for v >= 999.95 && len(units) > 1 {
		v, units = v/1000, units[1:]
	}
	return fmt.Sprintf("%.1f %cB", v, units[0])
}

// printJSON prints facts for programs.
func printJSON(w io.Writer, facts any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(facts)
}
