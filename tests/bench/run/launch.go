// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"embed"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

//go:embed c/tiny.c c/spawn.c
var sources embed.FS

// tools are the small programs in C.
type tools struct{ tiny, spawn string }

func (b *bench) tools(ctx context.Context) (tools, error) {
	if _, err := exec.LookPath("gcc"); err != nil {
		return tools{}, skipped("it needs gcc for a program without a libc")
	}
	compile := func(name string, options ...string) (string, error) {
		return b.once(name, func(at string) error {
			source, err := sources.ReadFile("c/" + name + ".c")
			if err != nil {
				return err
			}
			if err := os.WriteFile(at+".c", source, 0o644); err != nil {
				return err
			}
			_, err = capture(b.command(ctx, "gcc", append(options, "-O2", "-static", "-o", at, at+".c")...))
			return err
		})
	}
	tiny, err := compile("tiny", "-nostdlib")
	if err != nil {
		return tools{}, err
	}
	spawn, err := compile("spawn")
	return tools{tiny, spawn}, err
}

// tinyBundle makes a bundle of the tiny program, and returns it and its tree.
func (b *bench) tinyBundle(ctx context.Context) (file, tree string, err error) {
	t, err := b.tools(ctx)
	if err != nil {
		return "", "", err
	}
	tree, err = b.once("tiny.tree", func(at string) error {
		return errors.Join(os.MkdirAll(filepath.Join(at, "bin"), 0o755), copyFile(t.tiny, filepath.Join(at, "bin", "tiny")))
	})
	if err != nil {
		return "", "", err
	}
	file, err = b.once("tiny.bundle", func(at string) error { return b.build(ctx, "org.example.Tiny", "bin/tiny", tree, at) })
	return file, tree, err
}

// launches returns a contender that measures seconds to main.
func (b *bench) launches(spawn, name string, env []string, argv ...string) contender {
	return contender{name, func(ctx context.Context) (float64, error) {
		cmd := b.command(ctx, spawn, argv...)
		cmd.Env = append(cmd.Env, env...)
		out, err := capture(cmd)
		if err != nil {
			return 0, err
		}
		ns, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
		return float64(ns) / 1e9, err
	}}
}

// launch measures starts of the tiny program by everybody; env is for the bundle alone.
func (b *bench) launch(ctx context.Context, r *result, env ...string) error {
	file, tree, err := b.tinyBundle(ctx)
	if err != nil {
		return err
	}
	t, err := b.tools(ctx)
	if err != nil {
		return err
	}
	who := []contender{
		b.launches(t.spawn, "glick", env, file),
		b.launches(t.spawn, "native", nil, filepath.Join(tree, "bin", "tiny")),
	}
	if bwrap, err := exec.LookPath("bwrap"); err == nil {
		// With --bind in place of --dev-bind no device could be opened, which is not what a bundle gets.
		who = append(who, b.launches(t.spawn, "bwrap", nil,
			bwrap, "--unshare-user", "--dev-bind", "/", "/", "--bind", tree, b.prefix, filepath.Join(b.prefix, "bin", "tiny")))
	} else {
		r.note("without bwrap: it is not installed")
	}
	if argv, err := b.flatpak(ctx); err == nil {
		who = append(who, b.launches(t.spawn, "flatpak", nil, argv...))
	} else {
		r.note("without flatpak: %v", err)
	}
	r.Series, err = turns(ctx, "s", 3, b.runs(200), who)
	return err
}

func launchServed(b *bench, ctx context.Context, r *result) error {
	s, err := b.startService(ctx)
	if err != nil {
		return err
	}
	defer s.stop()
	if err := b.launch(ctx, r); err != nil {
		return err
	}
	r.compare("glick", "bwrap", 0.30)
	r.compare("glick", "native", 5)
	return nil
}

func launchAmongMounts(b *bench, ctx context.Context, r *result) error {
	if b.root == nil {
		return skipped("only root can make that many mounts; start the benchmark as root")
	}
	if err := b.root.ask(askMounts); err != nil {
		return err
	}
	s, err := b.startService(ctx)
	if err != nil {
		return err
	}
	defer s.stop()
	if err := b.launch(ctx, r); err != nil {
		return err
	}
	r.compare("glick", "bwrap", 0.35)
	return nil
}

func launchAlone(b *bench, ctx context.Context, r *result) error {
	if err := b.launch(ctx, r, "XDG_RUNTIME_DIR="+filepath.Join(b.dir, "alone")); err != nil {
		return err
	}
	for _, other := range []string{"bwrap", "native"} {
		glick, _ := r.find("glick")
		if s, ok := r.find(other); ok {
			r.claim(ratio("glick / "+other, glick, s))
		}
	}
	return nil
}
