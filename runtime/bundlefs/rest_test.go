// SPDX-License-Identifier: MIT

package bundlefs

import (
	"syscall"
	"testing"

	"glick.org/glick/internal/sample"
	"glick.org/glick/runtime/fuse"
)

// TestStartedAgain: a bundle ends and is started again before the kernel has let go of what it knew of the first time. It does
// not look names up again then, so the nodes that it knows must work again.
func TestStartedAgain(t *testing.T) {
	raw := read(t, sample.Build(t, t.TempDir(), "org.example.App", "1", sample.Tree{"bin/app": "content"}))
	f := New(Options{})
	status := func(id uint64) syscall.Errno {
		_, errno := f.Read(&fuse.ReadRequest{Node: id, Size: 64})
		return errno
	}
	first, place, _ := f.Add(treeOf(t, raw), Key{1}, "a.bundle")
	n, _ := first.content().Find("bin/app")
	id, ok := f.remember(first, n, first.content().Info(n))
	if !ok || status(id) != 0 {
		t.Fatal("the file cannot be read")
	}
	if !f.Remove(first) {
		t.Fatal("the tree is still used")
	}
	if s := status(id); s == 0 {
		t.Error("a file of a bundle that has ended can be read")
	}
	second, again, added := f.Add(treeOf(t, raw), Key{1}, "b.bundle")
	if again != place || !added {
		t.Errorf("it is at %s, then at %s (%v)", place, again, added)
	}
	if s := status(id); s != 0 {
		t.Errorf("after starting it again: %v", s)
	}

	f.Remove(second)
	f.Forget(id, 1)
	if len(f.nodes)+len(f.trees)+len(f.rest) != 0 {
		t.Errorf("left over: %d nodes, %d trees, %d at rest", len(f.nodes), len(f.trees), len(f.rest))
	}
}

// TestFewAtRest: of bundles that have ended only the last ones are kept.
func TestFewAtRest(t *testing.T) {
	f := New(Options{})
	for i := range 3 * maxRecent {
		raw := read(t, sample.Build(t, t.TempDir(), "org.example.App", "1", sample.Tree{"bin/app": string(rune('a' + i))}))
		tree, _, _ := f.Add(treeOf(t, raw), Key{byte(i)}, "x.bundle")
		n, _ := tree.content().Find("bin/app")
		if _, ok := f.remember(tree, n, tree.content().Info(n)); !ok {
			t.Fatal("refused")
		}
		f.Remove(tree)
	}
	if len(f.recent) != maxRecent || f.recent[0].key != (Key{2 * maxRecent}) {
		t.Errorf("%d are kept, from %v on", len(f.recent), f.recent[0].key)
	}
}
