// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"glick.org/glick/bundle"
	"glick.org/glick/xdgexport/apps"
)

func newInfoCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "info FILE-or-ID",
		Short: "Show what a bundle is",
		Long: "info shows the identity of a bundle, its slices and its sections; whose signature\n" +
			"it has, and whether that is the one that is remembered of the application; and what\n" +
			"the desktop shows of it, or would show, and what is left out and why. It reads a few\n" +
			"kilobytes, the slices' indexes and the files to be shown, and runs nothing. It also\n" +
			"reads slices, bundles of Glick 0.2 and Glick 2, and AppImages; what they lack is\n" +
			"missing.\n\n" +
			"Of the content, \"on this computer\" is what installed bundles have too.",
		Args: wantArgs(1, 1, "one bundle"),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, f, err := openFile(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			facts, err := collectFacts(b, f.Name())
			if err != nil {
				return cannotRead(f.Name(), err)
			}
			if err := facts.addDesktop(b); err != nil {
				fmt.Fprintf(cmd.ErrOrStderr(), "glick: note: %s\n", printableLine(err.Error()))
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
	Format       string         `json:"format"`
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
	Content      int64          `json:"content-size"` // different contents, uncompressed
	Shared       int64          `json:"shared-size"`  // of it, what installed bundles have too
	Signature    signatureFacts `json:"signature"`
	Trust        *trustFacts    `json:"trust,omitempty"`
	Origin       *apps.Origin   `json:"origin,omitempty"` // where it was downloaded from
	LastUsed     time.Time      `json:"last-used,omitzero"`
	Desktop      *desktopFacts  `json:"desktop,omitempty"`
	Slices       []sliceFacts   `json:"slices"`
	Sections     []sectionFacts `json:"sections"`
}

type sliceFacts struct {
	Name     string `json:"name"`
	Version  string `json:"version,omitempty"`
	Arch     string `json:"architecture,omitempty"`
	Digest   string `json:"digest"`
	Size     int64  `json:"size"`
	Shared   int64  `json:"shared-size"`
	Stored   int64  `json:"stored-size"`
	Files    int    `json:"files"`
	Exported bool   `json:"exported,omitempty"`
	Optional bool   `json:"optional,omitempty"`
	Platform bool   `json:"platform,omitempty"`
	Missing  bool   `json:"missing,omitempty"`
}

func sliceFactsOf(s bundle.SliceInfo) sliceFacts {
	return sliceFacts{
		Name: s.Name, Version: s.Version, Arch: s.Arch, Digest: s.Digest.String(), Size: s.Size, Stored: s.DataSize,
		Exported: s.Exported, Optional: s.Optional, Platform: s.Platform, Missing: s.Missing,
	}
}

type sectionFacts struct {
	Name   string `json:"name"`
	Offset int64  `json:"offset"`
	Size   int64  `json:"size"`
}

func collectFacts(b *bundle.Bundle, file string) (*bundleFacts, error) {
	m := b.Manifest()
	facts := &bundleFacts{
		File: file, Size: b.Size(), Format: b.Format(),
		ID: m.ID, Version: m.Version, Name: m.Name, Exec: m.Exec, Prefix: m.Prefix, Architecture: m.Arch,
		Commands: m.Commands, Export: m.Export, Icons: b.IconSizes(),
	}
	if b.Digest() != (bundle.Digest{}) {
		facts.Digest = b.Digest().String()
	}
	facts.LastUsed = wholeSecond(apps.Used(m.ID))
	for _, s := range b.Sections() {
		facts.Sections = append(facts.Sections, sectionFacts(s))
	}
	for _, part := range []struct {
		read func() ([]byte, error)
		to   *bool
	}{{b.DesktopFile, &facts.DesktopFile}, {b.Metainfo, &facts.Metainfo}, {b.SVGIcon, &facts.SVGIcon}} {
		data, err := part.read()
		if err != nil {
			return nil, err
		}
		*part.to = data != nil
	}
	facts.Signature, _, _ = checkSignature(b)
	for _, s := range m.Slices {
		facts.Slices = append(facts.Slices, sliceFactsOf(s))
	}
	t, err := b.Tree()
	if err != nil {
		return nil, err
	}
	for n := range bundle.Node(t.Len()) {
		switch info := t.Info(n); {
		case info.IsFile():
			facts.Files++
			if len(facts.Slices) > 0 {
				facts.Slices[info.Slice].Files++
			}
		case info.IsLink():
			facts.Links++
		case n != 0:
			facts.Folders++
		}
	}
	for i, s := range t.Shared(otherTrees(b)...) {
		facts.Content += s.Size
		facts.Shared += s.Shared
		if i < len(facts.Slices) {
			facts.Slices[i].Shared = s.Shared
		}
	}
	return facts, nil
}

// otherTrees returns the trees of all installed bundles but this one. What cannot be read is none of this one's business.
func otherTrees(b *bundle.Bundle) []*bundle.Tree {
	list, _, err := apps.List()
	if err != nil {
		return nil
	}
	var trees []*bundle.Tree
	for _, app := range list {
		if app.Digest == b.Digest() {
			continue
		}
		other, f, err := open(app.File, bundle.Read)
		if err != nil {
			continue
		}
		if t, err := other.Tree(); err == nil {
			trees = append(trees, t)
		}
		f.Close() // a tree's sizes are in memory
	}
	return trees
}

// formatNames are the formats as people call them.
var formatNames = map[string]string{
	bundle.FormatBundle: "bundle, version 1", bundle.FormatSlice: "slice, version 1", bundle.FormatGlick02: "Glick 0.2",
	bundle.FormatGlick2: "Glick 2", bundle.FormatAppImage1: "AppImage type 1", bundle.FormatAppImage2: "AppImage type 2",
}

// print shows the facts to a person.
func (f *bundleFacts) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	line := func(key string, value any) {
		if s := fmt.Sprint(value); s != "" {
			fmt.Fprintf(w, "%s:\t%s\n", key, printableLine(s))
		}
	}
	// What a bundle must have and another format lacks is shown as missing.
	need := func(key, value string) {
		if value == "" {
			value = "none"
		}
		line(key, value)
	}
	if f.Format != bundle.FormatSlice {
		need("Id", f.ID)
		need("Version", f.Version)
		need("Name", f.Name)
		need("Program", f.Exec)
		need("Prefix", f.Prefix)
		need("Architecture", f.Architecture)
	}
	line("File", f.File)
	line("Format", formatNames[f.Format])
	line("Size", byteSize(f.Size))
	line("Content", fmt.Sprintf("%d files, %d folders, %d links of %s; %s on this computer", f.Files, f.Folders, f.Links, byteSize(f.Content), byteSize(f.Shared)))
	line("Commands", strings.Join(f.Commands, ", "))
	line("Exports", strings.Join(f.Export, ", "))
	if f.Format != bundle.FormatSlice {
		var icons []string
		for _, n := range f.Icons {
			icons = append(icons, fmt.Sprint(n))
		}
		if f.SVGIcon {
			icons = append(icons, "svg")
		}
		need("Icons", strings.Join(icons, ", "))
		line("Desktop file", yesNo(f.DesktopFile))
		line("Metainfo", yesNo(f.Metainfo))
	}
	need("Digest", f.Digest)
	need("Signature", f.Signature.words())
	if f.Trust != nil {
		line("Trust", f.Trust.words(f.ID))
	}
	if f.Origin != nil {
		line("Downloaded from", cmp.Or(f.Origin.URL, f.Origin.Referrer))
	}
	if !f.LastUsed.IsZero() {
		line("Last used", f.LastUsed.Local().Format(time.DateTime))
	}
	if f.Desktop != nil {
		f.Desktop.print(f.ID, line)
	}
	for i, s := range f.Slices {
		line(fmt.Sprintf("Slice %d", i), s.words())
	}
	return w.Flush()
}

// words says to a person what a slice is.
func (s sliceFacts) words() string {
	words := []string{strings.TrimSpace(s.Name + " " + s.Version)}
	if s.Missing {
		words = append(words, "not in this file")
	} else {
		words = append(words, fmt.Sprintf("%d files of %s in %s", s.Files, byteSize(s.Size), byteSize(s.Stored)))
		if s.Shared > 0 {
			words = append(words, byteSize(s.Shared)+" on this computer")
		}
	}
	for _, mark := range []struct {
		set  bool
		word string
	}{{s.Exported, "exported"}, {s.Optional, "optional"}, {s.Platform, "platform"}} {
		if mark.set {
			words = append(words, mark.word)
		}
	}
	return strings.Join(words, ", ")
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

// printJSON prints facts for programs. A person may look at them too: characters that a terminal would act on are written as escapes.
func printJSON(w io.Writer, facts any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(facts); err != nil {
		return err
	}
	var out bytes.Buffer
	for rest := b.Bytes(); len(rest) > 0; {
		r, n := utf8.DecodeRune(rest)
		switch {
		case r == '\n' || unicode.IsPrint(r):
			out.Write(rest[:n])
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&out, "\\u%04x\\u%04x", high, low)
		default:
			fmt.Fprintf(&out, "\\u%04x", r)
		}
		rest = rest[n:]
	}
	_, err := w.Write(out.Bytes())
	return err
}
