// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
)

// listName is the list of all generated files beside them, with digests; plainName the one without.
const (
	listName  = "SHA256SUMS"
	plainName = "FILES"
)

// text fills with what compresses to about half, the same for the same seed.
func text(seed uint64, size int) []byte {
	return []byte(hex.EncodeToString(noise(seed, (size+1)/2)))[:size]
}

// noise fills with what does not compress, the same for the same seed.
func noise(seed uint64, size int) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	return data
}

// generate makes a tree of a bundle that holds this program and count files of at most size bytes.
func (b *bench) generate(at string, count, perFolder int, size func(i int) int) error {
	data := filepath.Join(at, "data")
	var sums, names strings.Builder
	for i := range count {
		name := fmt.Sprintf("folder%03d/file%05d.txt", i/perFolder, i)
		file := filepath.Join(data, name)
		if i%perFolder == 0 {
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				return err
			}
		}
		content := text(uint64(i), size(i))
		if err := os.WriteFile(file, content, 0o644); err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(content), name)
		fmt.Fprintln(&names, name)
	}
	return errors.Join(
		os.WriteFile(filepath.Join(data, listName), []byte(sums.String()), 0o644),
		os.WriteFile(filepath.Join(data, plainName), []byte(names.String()), 0o644),
		b.addInside(at))
}

// addInside puts the programs that read into a tree.
func (b *bench) addInside(tree string) error {
	bin := filepath.Join(tree, "bin")
	return errors.Join(
		os.MkdirAll(bin, 0o755),
		copyFile(programOf(b.Work, "run-bench"), filepath.Join(bin, insideName)),
		os.WriteFile(filepath.Join(bin, "shell"), []byte("#!/bin/sh\nexec sh\n"), 0o755))
}

const fileCount = 20000

// filesBundle makes the bundle of 20,000 files, and returns it and its tree.
func (b *bench) filesBundle(ctx context.Context) (file, tree string, err error) {
	tree, err = b.once("files.tree", func(at string) error {
		return b.generate(at, fileCount, 100, func(i int) int { return 64 + i*i%1500 })
	})
	if err != nil {
		return "", "", err
	}
	file, err = b.once("files.bundle", func(at string) error { return b.build(ctx, "org.example.Files", "bin/"+insideName, tree, at) })
	return file, tree, err
}

// largeBundle makes a bundle of 200 files of 128 KiB.
func (b *bench) largeBundle(ctx context.Context) (string, error) {
	tree, err := b.once("large.tree", func(at string) error {
		return b.generate(at, 200, 20, func(int) int { return 128 << 10 })
	})
	if err != nil {
		return "", err
	}
	return b.once("large.bundle", func(at string) error { return b.build(ctx, "org.example.Large", "bin/"+insideName, tree, at) })
}
