// SPDX-License-Identifier: MIT

package bundlefs

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"glick.org/glick/bundle"
	"glick.org/glick/internal/sample"
	"glick.org/glick/runtime/fuse"
)

// walk looks up all that is below a folder, and gives the node ids by path.
func walk(t *testing.T, f *FS, tree *Tree) map[string]uint64 {
	t.Helper()
	ids := make(map[string]uint64)
	for n := range tree.content().Len() {
		path := tree.content().Path(bundle.Node(n))
		at, id := uint64(treesID), uint64(0)
		for _, name := range append([]string{tree.key.String()}, strings.Split(path, "/")...) {
			if name == "." {
				continue
			}
			var e fuse.Entry
			if errno := f.Lookup(at, name, &e); errno != 0 || e.Node == 0 {
				t.Fatalf("%s: %v", path, errno)
			}
			at, id = e.Node, e.Node
		}
		ids[path] = id
	}
	return ids
}

// TestResumed: a file system that takes over from another process is asked for nodes by ids that it has never given.
func TestResumed(t *testing.T) {
	raws := [][]byte{
		read(t, sample.Build(t, t.TempDir(), "org.example.A", "1", sample.Tree{"bin/app": "content of A", "lib/same": "in both", "lib/link": "-> same"})),
		read(t, sample.Build(t, t.TempDir(), "org.example.B", "1", sample.Tree{"bin/app": "content of B", "share/same": "in both"})),
	}
	make2 := func() (*FS, []*Tree) {
		f := New(Options{})
		var trees []*Tree
		for i, raw := range raws {
			tree, place, _ := f.Add(treeOf(t, raw), Key{byte(i + 1)}, "x.bundle")
			trees = append(trees, tree)
			if err := f.AddLink(fmt.Sprint("instance", i), place); err != nil {
				t.Fatal(err)
			}
		}
		return f, trees
	}
	before, told := make2()
	var ids []map[string]uint64
	for _, tree := range told {
		ids = append(ids, walk(t, before, tree))
	}
	var link fuse.Entry
	if errno := before.Lookup(fuse.RootID, "instance0", &link); errno != 0 {
		t.Fatal(errno)
	}

	// What others export is found again as well.
	guests := map[string]string{"lib/guest/deep": "/target", "share/guest": "/other"}
	before.SetGuests(guests)
	walkTo := func(names ...string) uint64 {
		at := uint64(treesID)
		for _, name := range names {
			var e fuse.Entry
			if errno := before.Lookup(at, name, &e); errno != 0 || e.Node == 0 {
				t.Fatalf("%v: %v", names, errno)
			}
			at = e.Node
		}
		return at
	}
	deep := walkTo(told[0].key.String(), "lib", "guest", "deep")
	folder := walkTo(told[1].key.String(), "lib", "guest")

	plain, _ := make2()
	if _, errno := plain.GetAttr(ids[0]["bin/app"], new(fuse.Attr)); errno != syscall.ESTALE {
		t.Errorf("nobody has taken over, and a node is known that nobody was told of: %v", errno)
	}

	after, trees := make2()
	after.Resumed()
	after.SetGuests(guests)
	if target, errno := after.Readlink(deep); errno != 0 || target != "/target" {
		t.Errorf("a guest: %q, %v", target, errno)
	}
	var guest fuse.Entry
	if errno := after.Lookup(folder, "deep", &guest); errno != 0 || guest.Node == 0 || guest.Node == deep {
		t.Errorf("a guest in a folder: %+v, %v", guest, errno)
	}
	after.SetGuests(nil)
	if _, errno := after.GetAttr(deep, new(fuse.Attr)); errno != syscall.ESTALE {
		t.Errorf("a guest that has gone: %v", errno)
	}
	after.Forget(deep, 1)
	after.Forget(folder, 1)
	after.Forget(guest.Node, 1)
	for i := range trees {
		for path, id := range ids[i] {
			var a, want fuse.Attr
			_, errno := after.GetAttr(id, &a)
			if _, e := before.GetAttr(id, &want); errno != 0 || e != 0 || a != want {
				t.Errorf("%s: %+v, %v, want %+v, %v", path, a, errno, want, e)
			}
			if a.Mode&syscall.S_IFMT == syscall.S_IFREG {
				got, errno := after.Read(&fuse.ReadRequest{Node: id, Size: 4096})
				want, _ := before.Read(&fuse.ReadRequest{Node: id, Size: 4096})
				if errno != 0 || string(got) != string(want) {
					t.Errorf("%s is %q, %v", path, got, errno)
				}
			}
		}
	}
	var e fuse.Entry
	if errno := after.Lookup(ids[1]["bin"], "app", &e); errno != 0 || e.Node != ids[1]["bin/app"] {
		t.Errorf("a lookup in a folder: %+v, %v", e, errno)
	}
	if got, errno := after.Readlink(link.Node); errno != 0 || !strings.HasPrefix(got, treesName) {
		t.Errorf("%q, %v", got, errno)
	}
	if _, errno := after.GetAttr(smallestHash+1, new(fuse.Attr)); errno != syscall.ESTALE {
		t.Errorf("a node that is nowhere: %v", errno)
	}

	// The kernel forgets what the other process has counted; the node stays in the tree.
	id := ids[0]["bin/app"]
	after.Forget(id, 17)
	if _, errno := after.GetAttr(id, new(fuse.Attr)); errno != 0 {
		t.Errorf("forgotten, and not found again: %v", errno)
	}
	// What both have is still in the second one when the first one has gone.
	same := ids[0]["lib/same"]
	after.Remove(trees[0])
	if _, errno := after.Read(&fuse.ReadRequest{Node: same, Size: 64}); errno != 0 {
		t.Errorf("it is in the other bundle too: %v", errno)
	}
	if _, errno := after.GetAttr(id, new(fuse.Attr)); errno != syscall.ESTALE {
		t.Errorf("a file of a bundle that has ended: %v", errno)
	}
	for _, list := range ids {
		for _, id := range list {
			after.Forget(id, 1000)
		}
	}
	after.Remove(trees[1])
	if len(after.nodes)+len(after.trees)+len(after.rest) != 0 {
		t.Errorf("left over: %d nodes, %d trees, %d at rest", len(after.nodes), len(after.trees), len(after.rest))
	}
}
