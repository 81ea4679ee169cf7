// SPDX-License-Identifier: MIT

package work

import (
	"context"
	"fmt"

	"glick.org/glick/bundle"
	"glick.org/glick/xdgexport/apps"
)

// checking is held by the one check that runs: several at once would only take the disk and the processors from each other, and from the windows.
var checking = make(chan struct{}, 1)

// Check reads a whole bundle and compares it with its digests. progress is called with uncompressed bytes. It ends early, with
// ctx's error, when ctx does.
func Check(ctx context.Context, file string, progress func(done, total int64)) error {
	select {
	case checking <- struct{}{}:
		defer func() { <-checking }()
	case <-ctx.Done():
		return ctx.Err()
	}
	f, size, err := open(file)
	if err != nil {
		return fmt.Errorf("cannot open %s: %w", file, err)
	}
	defer f.Close()
	b, err := bundle.Read(f, size)
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", file, err)
	}
	found, err := b.Verify(ctx, progress)
	if err != nil && len(found.Problems) > 0 {
		return fmt.Errorf("%s: %w", found.Problems[0], err)
	}
	return err
}

// maxCompared is how many installed applications Shared compares with; it is a courtesy, not worth minutes.
const maxCompared = 300

// Shared counts the bytes of a bundle's files that installed bundles other than itself have too: they are loaded and cached once. It is the same
// figure that "glick info" tells.
func Shared(ctx context.Context, file string) (int64, error) {
	f, size, err := open(file)
	if err != nil {
		return 0, fmt.Errorf("cannot open %s: %w", file, err)
	}
	defer f.Close()
	b, err := bundle.Read(f, size)
	if err != nil {
		return 0, fmt.Errorf("cannot read %s: %w", file, err)
	}
	tree, err := b.Tree()
	if err != nil {
		return 0, fmt.Errorf("cannot read %s: %w", file, err)
	}
	all, _, err := apps.List()
	if err != nil {
		return 0, fmt.Errorf("cannot compare with what is installed: %w", err)
	}
	var others []*bundle.Tree
	for _, a := range all {
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		if a.Digest != b.Digest() && len(others) < maxCompared {
			others = append(others, treeOf(a.File))
		}
	}
	var shared int64
	for _, s := range tree.Shared(others...) {
		shared += s.Shared
	}
	return shared, nil
}

// treeOf reads the tree of a file, of which only sizes and digests may be asked: the file is closed. Nil when it cannot be read.
func treeOf(file string) *bundle.Tree {
	f, size, err := open(file)
	if err != nil {
		return nil
	}
	defer f.Close()
	b, err := bundle.Read(f, size)
	if err != nil {
		return nil
	}
	tree, err := b.Tree()
	if err != nil {
		return nil
	}
	return tree
}
