// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"glick.org/glick/bundle"
)

func newExtractCommand() *cobra.Command {
	var icon, path string
	var desktopFile, metainfo, manifest, signature, tree bool
	cmd := &cobra.Command{
		Use: "extract FILE-or-ID {--icon[=SIZE]|--desktop-file|--metainfo|--manifest|--signature|--path PATH} [OUT]\n" +
			"  glick extract FILE-or-ID --tree OUT",
		Short: "Take something out of a bundle",
		Long: "extract writes a part of a bundle to the file OUT, or to standard output when OUT\n" +
			"is missing or \"-\". With --tree, OUT is a folder, which must be missing or empty.\n" +
			"Everything is checked against its digest; nothing of the bundle is run, and\n" +
			"nothing is written outside of OUT. Glick 0.2 and Glick 2 bundles and AppImages\n" +
			"are taken apart likewise; they have no digests to check.\n\n" +
			"The signature signs the manifest: what --signature and --manifest give can be\n" +
			"checked by \"ssh-keygen -Y verify -n glick\".",
		Example: "  glick extract Editor.bundle --icon=128 editor.png\n" +
			"  glick extract Editor.bundle --tree editor",
		Args: wantArgs(1, 2, "a bundle, and where to write to"),
		RunE: func(cmd *cobra.Command, args []string) error {
			out := "-"
			if len(args) > 1 {
				out = args[1]
			}
			b, f, err := openFile(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			bar := newProgress(cmd.ErrOrStderr(), "Extracting")
			defer bar.end()
			x := extractor{bundle: b, file: f.Name(), stdout: cmd.OutOrStdout(), options: bundle.ExtractOptions{Progress: bar.update, Note: func(s string) {
				fmt.Fprintf(cmd.ErrOrStderr(), "glick: note: %s\n", s)
			}}}
			ctx := cmd.Context()
			switch {
			case icon != "":
				return x.section(out, "icon of size "+icon, func() ([]byte, error) { return iconOf(b, icon) })
			case desktopFile:
				return x.section(out, "desktop file", b.DesktopFile)
			case metainfo:
				return x.section(out, "metainfo", b.Metainfo)
			case manifest:
				return x.section(out, "manifest", func() ([]byte, error) { return b.ManifestText(), nil })
			case signature:
				return x.section(out, "signature", b.Signature)
			case path != "":
				return x.path(ctx, path, out)
			default:
				return x.tree(ctx, ".", out)
			}
		},
	}
	f := cmd.Flags()
	f.StringVar(&icon, "icon", "", "the icon of `SIZE` pixels, or \"svg\"")
	f.Lookup("icon").NoOptDefVal = "48"
	f.BoolVar(&desktopFile, "desktop-file", false, "the main desktop file")
	f.BoolVar(&metainfo, "metainfo", false, "the AppStream metainfo")
	f.BoolVar(&manifest, "manifest", false, "the manifest, which has the digests of all else")
	f.BoolVar(&signature, "signature", false, "the signature of the manifest")
	f.BoolVar(&tree, "tree", false, "all files")
	f.StringVar(&path, "path", "", "one file or folder, by its `PATH` relative to the prefix")
	cmd.MarkFlagsOneRequired("icon", "desktop-file", "metainfo", "manifest", "signature", "tree", "path")
	cmd.MarkFlagsMutuallyExclusive("icon", "desktop-file", "metainfo", "manifest", "signature", "tree", "path")
	return cmd
}

func iconOf(b *bundle.Bundle, size string) ([]byte, error) {
	if size == "svg" {
		return b.SVGIcon()
	}
	n, err := strconv.Atoi(size)
	if err != nil || n < 1 {
		return nil, usageError{fmt.Errorf("%q is not the size of an icon", size)}
	}
	return b.Icon(n)
}

type extractor struct {
	bundle  *bundle.Bundle
	file    string
	stdout  io.Writer
	options bundle.ExtractOptions
}

// section writes one of the small sections.
func (x *extractor) section(out, what string, read func() ([]byte, error)) error {
	data, err := read()
	var usage usageError
	switch {
	case errors.As(err, &usage):
		return err
	case err != nil:
		return cannotRead(x.file, err)
	case data == nil:
		return fmt.Errorf("%s has no %s: %w", x.file, what, fs.ErrNotExist)
	}
	return x.write(out, 0o644, func(w io.Writer) error {
		_, err := io.Copy(w, bytes.NewReader(data))
		return err
	})
}

// write lets fill write to standard output, or to a file that appears when it is complete.
func (x *extractor) write(out string, mode os.FileMode, fill func(io.Writer) error) error {
	if out == "-" {
		return fill(x.stdout)
	}
	tmp, err := renameio.NewPendingFile(out, renameio.WithTempDir(filepath.Dir(out)), renameio.WithPermissions(mode))
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", out, err)
	}
	defer func() { _ = tmp.Cleanup() }()
	if err := fill(tmp); err != nil {
		return fmt.Errorf("cannot write %s: %w", out, err)
	}
	if err := tmp.CloseAtomicallyReplace(); err != nil {
		return fmt.Errorf("cannot write %s: %w", out, err)
	}
	return nil
}

// path writes one file, or a folder with all in it.
func (x *extractor) path(ctx context.Context, path, out string) error {
	t, err := x.bundle.Tree()
	if err != nil {
		return cannotRead(x.file, err)
	}
	n, err := t.Resolve(path)
	if err != nil {
		return fmt.Errorf("cannot extract from %s: %w", x.file, err)
	}
	info := t.Info(n)
	if info.IsDir() {
		return x.tree(ctx, t.Path(n), out)
	}
	return x.write(out, os.FileMode(info.Mode&0o777), func(w io.Writer) error { return t.ExtractFile(ctx, n, w, x.options) })
}

func (x *extractor) tree(ctx context.Context, path, out string) error {
	if out == "-" {
		return usageError{errors.New("missing argument: needs the folder to write to")}
	}
	t, err := x.bundle.Tree()
	if err != nil {
		return cannotRead(x.file, err)
	}
	n, ok := t.Find(path)
	if !ok {
		return fmt.Errorf("%s has no %s: %w", x.file, path, fs.ErrNotExist)
	}
	err = t.Extract(ctx, n, out, x.options)
	if err != nil && ctx.Err() != nil {
		return errors.New("stopped; nothing was left")
	}
	return err
}
