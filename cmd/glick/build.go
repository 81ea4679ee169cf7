// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"glick.org/glick/bundle"
	"glick.org/glick/bundle/icon"
	"glick.org/glick/runtime/launch"
)

// buildFlags are the options of build that are not the builder's own.
type buildFlags struct {
	stub, key      string
	slices         []string
	dryRun, asJSON bool
}

func newBuildCommand() *cobra.Command {
	var o bundle.BuildOptions
	var b buildFlags
	cmd := &cobra.Command{
		Use:   "build DIR FILE",
		Short: "Make a bundle of an installed tree",
		Long: "build makes the bundle FILE of the tree in DIR, which holds what shall appear at\n" +
			"the prefix: bin, lib, share and so on. It finds the desktop file, the icons and\n" +
			"the metainfo in DIR, and from them the id, name, version and program; options say\n" +
			"what cannot be found or shall be otherwise.\n\n" +
			"Libraries that \"glick slice\" has made are added by --slice: they lie below the\n" +
			"tree, later ones over earlier ones. --sign makes a signature with an ssh key.\n\n" +
			"The same tree and options give the same file, byte by byte. An existing FILE is\n" +
			"replaced when the new one is complete.",
		Example: "  glick build --prefix /usr build/root/usr Editor.bundle\n" +
			"  glick build --id org.example.Tool --exec bin/tool tree Tool.bundle",
		Args: func(cmd *cobra.Command, args []string) error {
			if b.dryRun {
				return wantArgs(1, 2, "a folder and the file to make")(cmd, args)
			}
			return wantArgs(2, 2, "a folder and the file to make")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return runBuild(cmd, args, o, b)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.ID, "id", "", "id of the application, like org.example.App (default: name of the desktop file)")
	f.StringVar(&o.Version, "bundle-version", "", "version (default: newest release in the metainfo)")
	f.StringVar(&o.Name, "name", "", "name for people (default: that of the desktop file)")
	f.StringVar(&o.Exec, "exec", "", "main `PATH` in DIR (default: that of the desktop file)")
	f.StringVar(&o.Prefix, "prefix", "", "`PATH` at which DIR appears to the program (default "+bundle.DefaultPrefix+")")
	f.StringVar(&o.Arch, "arch", "", "processor, x86_64 or aarch64 (default: that of the main program)")
	f.StringVar(&o.DesktopFile, "desktop-file", "", "main desktop `FILE`")
	f.StringVar(&o.Metainfo, "metainfo", "", "AppStream metainfo `FILE`")
	f.StringArrayVar(&o.Icons, "icon", nil, "PNG or SVG `FILE`; may be given several times")
	f.StringArrayVar(&o.Export, "export", nil, "further `PATH` in DIR to show to the desktop; may be given several times")
	f.StringArrayVar(&o.Commands, "command", nil, "`NAME` of a program in bin to be a command of the user; may be given several times")
	f.StringArrayVar(&b.slices, "slice", nil, "`FILE` made by glick slice to be a part of the bundle; may be given several times")
	f.StringVar(&b.key, "sign", "", "sign with the ssh key in `FILE`: a private key, or a public one whose private half the ssh agent has")
	f.StringVar(&b.stub, "stub", "", "program to begin the bundle with (default: the installed one)")
	f.BoolVarP(&b.dryRun, "dry-run", "n", false, "only say what would be made")
	f.BoolVar(&b.asJSON, "json", false, "say what was made as JSON")
	return cmd
}

func runBuild(cmd *cobra.Command, args []string, o bundle.BuildOptions, flags buildFlags) error {
	dir := args[0]
	o.Icon = icon.Maker{}
	if len(args) > 1 {
		if err := checkOutput(dir, args[1]); err != nil {
			return err
		}
	}
	for _, name := range flags.slices {
		slice, f, err := openSlice(name)
		if err != nil {
			return err
		}
		defer f.Close()
		o.Slices = append(o.Slices, slice)
	}
	if flags.key != "" {
		signer, err := newSigner(flags.key)
		if err != nil {
			return err
		}
		o.Sign = signer.Sign
	}
	plan, err := bundle.NewPlan(dir, o)
	if err != nil {
		return err
	}
	if flags.dryRun {
		if flags.asJSON {
			return printJSON(cmd.OutOrStdout(), planFacts(plan))
		}
		_, err := io.WriteString(cmd.OutOrStdout(), plan.String())
		return err
	}
	stub := flags.stub
	if stub == "" {
		if stub, err = launch.StubPath(plan.Manifest.Arch); err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return statusError{exitHost, err}
			}
			return err
		}
	}
	if plan.Stub, err = os.ReadFile(stub); err != nil {
		return fmt.Errorf("cannot read the stub: %w", err)
	}
	bar := newProgress(cmd.ErrOrStderr(), "Packing")
	plan.Progress = bar.update
	var report *bundle.Report
	err = writeFile(cmd.Context(), args[1], 0o755, func(w io.Writer) error {
		report, err = plan.Write(cmd.Context(), w)
		return err
	})
	bar.end()
	if err != nil {
		return err
	}
	for _, n := range report.Notes {
		fmt.Fprintf(cmd.ErrOrStderr(), "glick: note: %s\n", n)
	}
	if flags.asJSON {
		facts := planFacts(plan)
		facts.File, facts.Size, facts.Stored, facts.Digest = args[1], report.Size, report.Stored, report.Digest.String()
		return printJSON(cmd.OutOrStdout(), facts)
	}
	m := plan.Manifest
	fmt.Fprintf(cmd.OutOrStdout(), "%s: %s, %s, %d files of %s in %s\n", args[1],
		strings.TrimSpace(m.ID+" "+m.Version), m.Arch, report.Files, byteSize(plan.Size), byteSize(report.Size))
	return nil
}

// checkOutput refuses to write the bundle into the tree that it is made of.
func checkOutput(dir, file string) error {
	if info, err := os.Stat(file); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("cannot write %s: it exists and is not a file", file)
	}
	tree, err := realPath(dir)
	if err != nil {
		return fmt.Errorf("cannot make a bundle: %w", err)
	}
	out, err := realPath(filepath.Dir(file))
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", file, err)
	}
	if out == tree || strings.HasPrefix(out, strings.TrimSuffix(tree, "/")+"/") {
		return usageError{fmt.Errorf("the file %s would be in the tree %s that it is made of; choose a place outside", file, dir)}
	}
	return nil
}

func realPath(p string) (string, error) {
	p, err := filepath.Abs(p)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(p)
}

// writeFile lets fill write beside the file and renames when all is safely on disk. Otherwise nothing is left, and an old file is as it was.
func writeFile(ctx context.Context, file string, mode os.FileMode, fill func(io.Writer) error) error {
	tmp, err := renameio.NewPendingFile(file, renameio.WithTempDir(filepath.Dir(file)), renameio.WithPermissions(mode))
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", file, err)
	}
	defer func() { _ = tmp.Cleanup() }()
	if err := fill(tmp.File); err != nil {
		if ctx.Err() != nil {
			return errors.New("stopped; nothing was written")
		}
		return err
	}
	if err := tmp.CloseAtomicallyReplace(); err != nil {
		return fmt.Errorf("cannot write %s: %w", file, err)
	}
	return nil
}

// buildFacts is the JSON of build.
type buildFacts struct {
	File         string   `json:"file,omitempty"`
	ID           string   `json:"id"`
	Version      string   `json:"version"`
	Name         string   `json:"name"`
	Exec         string   `json:"exec"`
	Prefix       string   `json:"prefix"`
	Architecture string   `json:"architecture"`
	Commands     []string `json:"commands,omitempty"`
	Export       []string `json:"export,omitempty"`
	Files        int      `json:"files"`
	Content      int64    `json:"content-size"`
	Size         int64    `json:"size,omitempty"`
	Stored       int64    `json:"stored-size,omitempty"`
	Digest       string   `json:"digest,omitempty"`
	Notes        []string `json:"notes,omitempty"`
}

func planFacts(p *bundle.Plan) buildFacts {
	m := p.Manifest
	return buildFacts{
		ID: m.ID, Version: m.Version, Name: m.Name, Exec: m.Exec, Prefix: m.Prefix, Architecture: m.Arch,
		Commands: m.Commands, Export: m.Export, Files: p.Files, Content: p.Size, Notes: p.Notes,
	}
}
