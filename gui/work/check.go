// SPDX-License-Identifier: MIT

package work

import (
	"context"
	"fmt"

	"glick.org/glick/bundle"
	"glick.org/glick/xdgexport/apps"
)

// Check reads a whole bundle and compares it with its digests. progress is called with uncompressed bytes. It ends early, with
// ctx's error, when ctx does.
func Check(ctx context.Context, file string, progress func(done, total int64)) error {
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

// Shared counts the bytes of a bundle's files that installed applications other than itself hold too: they are stored, loaded
// and cached once.
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
	own := contents(tree)
	all, _, err := apps.List()
	if err != nil {
		return 0, fmt.Errorf("cannot compare with what is installed: %w", err)
	}
	var shared int64
	for i, a := range all {
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		if i >= maxCompared {
			break
		}
		if a.ID == b.Manifest().ID {
			continue
		}
		for d, n := range contentsOf(a.File) {
			if _, ok := own[d]; ok {
				shared += n
				delete(own, d)
			}
		}
	}
	return shared, nil
}

func contentsOf(file string) map[bundle.Digest]int64 {
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
	return contents(tree)
}

// contents lists the different regular files of a tree with their sizes.
func contents(t *bundle.Tree) map[bundle.Digest]int64 {
	out := map[bundle.Digest]int64{}
	for n := range t.Len() {
		if info := t.Info(bundle.Node(n)); info.IsFile() && info.Size > 0 {
			out[info.Digest] = info.Size
		}
	}
	return out
}
