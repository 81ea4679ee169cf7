// SPDX-License-Identifier: MIT

package bundlefs

import (
	"cmp"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"

	"glick.org/glick/bundle"
	"glick.org/glick/runtime/fuse"
)

// Guests are links that appear in the trees of all bundles, where these have nothing of that name: so each application sees what the
// installed ones export. They come and go while applications run. The kernel is told of each change in each tree.
//
// Their node ids follow from the tree and the path, as those of folders do: a service that takes over finds them again.

// guests is a state of them. It never changes.
type guests struct {
	folders map[string][]guest // by slash path, "." is the top; each sorted by name

	once   sync.Once
	byHash map[uint64]string // paths by their part of the node id; made when it is needed first
}

type guest struct {
	name   string
	target string // of a link; empty for a folder
	hidden bool   // it can be looked up and is not listed
}

func (g guest) mode() uint32 {
	if g.target == "" {
		return syscall.S_IFDIR | 0o555
	}
	return syscall.S_IFLNK | 0o777
}

func (g guest) info() bundle.Info {
	return bundle.Info{Name: g.name, Mode: g.mode(), Size: int64(len(g.target)), Target: g.target}
}

const (
	top = "."
	// bundlesName is the name at the top of each tree by which the installed bundles are reached. It is not listed, so that who walks through a
	// bundle's files does not get into those of all others.
	bundlesName = ".bundles"
)

// newGuests makes a state of links by their slash paths. Paths that make no sense are left out.
func newGuests(links map[string]string, bundles string) *guests {
	g := &guests{folders: map[string][]guest{}}
	for _, p := range slices.Sorted(maps.Keys(links)) {
		if target := links[p]; target != "" && p == path.Clean(p) && !path.IsAbs(p) && p != top && !strings.HasPrefix(p+"/", "../") {
			g.add(p, guest{name: path.Base(p), target: target})
		}
	}
	if bundles != "" {
		g.add(bundlesName, guest{name: bundlesName, target: bundles, hidden: true})
	}
	return g
}

// add adds an entry, and the folders that it is in. What comes first has a name.
func (g *guests) add(p string, entry guest) bool {
	dir := path.Dir(p)
	if dir != top {
		if have, ok := g.find(dir); ok && have.target != "" || !ok && !g.add(dir, guest{name: path.Base(dir)}) {
			return false
		}
	}
	list := g.folders[dir]
	i, taken := slices.BinarySearchFunc(list, entry.name, byName)
	if taken {
		return false
	}
	g.folders[dir] = slices.Insert(list, i, entry)
	return true
}

func byName(g guest, name string) int { return cmp.Compare(g.name, name) }

// find finds the guest at a path.
func (g *guests) find(p string) (guest, bool) {
	if p == top {
		return guest{name: top}, true
	}
	return g.child(path.Dir(p), path.Base(p))
}

func (g *guests) child(dir, name string) (guest, bool) {
	list := g.folders[dir]
	i, ok := slices.BinarySearchFunc(list, name, byName)
	if !ok {
		return guest{}, false
	}
	return list[i], true
}

// difference gives the paths at which two states differ.
func (g *guests) difference(other *guests) map[string]bool {
	paths := map[string]bool{}
	one := func(a, b *guests) {
		for dir, list := range a.folders {
			for _, e := range list {
				if have, ok := b.child(dir, e.name); !ok || have != e {
					paths[path.Join(dir, e.name)] = true
				}
			}
		}
	}
	one(g, other)
	one(other, g)
	return paths
}

// withPath finds the path that has a part of node ids.
func (g *guests) withPath(hash uint64) (string, bool) {
	g.once.Do(func() {
		g.byHash = map[uint64]string{guestHash(top, syscall.S_IFDIR): top}
		for dir, list := range g.folders {
			for _, e := range list {
				p := path.Join(dir, e.name)
				g.byHash[guestHash(p, e.mode())] = p
			}
		}
	})
	p, ok := g.byHash[hash]
	return p, ok
}

// guestHash is the part of a guest's node id that is the same in all trees.
func guestHash(p string, mode uint32) uint64 {
	kind := "folder"
	if mode&syscall.S_IFMT == syscall.S_IFLNK {
		kind = "link"
	}
	return hashID("guest", kind, p) % smallestHash
}

// guestID is the node id of a guest in a tree.
func (t *Tree) guestID(p string, mode uint32) uint64 {
	return (t.guestBase()+guestHash(p, mode))%smallestHash | smallestHash
}

func (t *Tree) guestBase() uint64 { return hashID("guests", string(t.key[:])) % smallestHash }

// guestWith finds the guest of a tree that has a node id.
func (g *guests) guestWith(t *Tree, id uint64) (string, bool) {
	return g.withPath((id%smallestHash + smallestHash - t.guestBase()) % smallestHash)
}

// SetGuests sets the links that appear in all trees, by their slash paths relative to the prefix; a tree's own files hide them. They also are, by
// themselves, in the folder "exports" of the root.
func (f *FS) SetGuests(links map[string]string) {
	f.setting.Lock()
	defer f.setting.Unlock()
	next := newGuests(links, f.bundles)
	before := f.guests.Swap(next)
	var changed []change
	paths := before.difference(next)
	f.mu.Lock()
	trees := []*Tree{f.exports}
	for _, all := range []map[Key]*Tree{f.trees, f.rest} {
		for _, t := range all {
			if t.guests {
				trees = append(trees, t)
			}
		}
	}
	for _, t := range trees {
		for p := range paths {
			if id, ok := t.folderID(path.Dir(p)); ok && (f.nodes[id] != nil || f.search != nil) {
				changed = append(changed, change{id, path.Base(p)})
			}
		}
	}
	f.mu.Unlock()
	// A lookup that is being answered by what was before ends before the kernel takes the notice.
	folders := map[uint64]bool{}
	for _, c := range changed {
		f.gone(c.folder, c.name)
		folders[c.folder] = true
	}
	for id := range folders {
		f.changed(id)
	}
}

// change is a name in a folder that the kernel may know.
type change struct {
	folder uint64
	name   string
}

// folderID is the node id of a folder of the tree, its own or a guest; false when a file of its own is there.
func (t *Tree) folderID(p string) (uint64, bool) {
	if t.own() {
		if n, ok := t.content().Find(p); ok {
			return t.nodeID(n), t.content().Info(n).IsDir()
		}
	}
	return t.guestID(p, syscall.S_IFDIR), true
}

// own says whether the tree has files of its own: all have but the folder "exports".
func (t *Tree) own() bool { return t.opened.Load() != nil }

// guest finds a guest by its name in a folder of a tree.
func (f *FS) guest(folder source, name string) (guest, string, bool) {
	if !folder.tree.guests {
		return guest{}, "", false
	}
	dir := folder.path()
	g, ok := f.guests.Load().child(dir, name)
	if !ok || g.hidden && !folder.tree.own() {
		return guest{}, "", false
	}
	return g, path.Join(dir, name), true
}

// visitors are the guests that a listing of a folder shows.
func (f *FS) visitors(folder source) []guest {
	if !folder.tree.guests {
		return nil
	}
	var list []guest
	for _, g := range f.guests.Load().folders[folder.path()] {
		if g.hidden {
			continue
		}
		if folder.guest == "" {
			if _, own := folder.tree.content().Lookup(folder.node, g.name); own {
				continue
			}
		}
		list = append(list, g)
	}
	return list
}

// guestEntry tells the kernel of a guest at a path.
func (f *FS) guestEntry(t *Tree, g guest, p string, e *fuse.Entry) syscall.Errno {
	id := t.guestID(p, g.mode())
	f.mu.Lock()
	ok := f.note(id, identity{mode: g.mode(), key: t.key, path: p}, source{tree: t, guest: p})
	if ok {
		f.nodes[id].lookups++
	}
	f.mu.Unlock()
	if !ok {
		f.log.Error("two different files have the same node id; one of them cannot be shown", "path", p)
		return syscall.EIO
	}
	*e = fuse.Entry{Node: id, Valid: forever, AttrValid: forever}
	f.attributes(g.info(), &e.Attributes)
	return 0
}

// info is what a node looks like; false when it was a guest that has gone.
func (f *FS) info(s source) (bundle.Info, bool) {
	if s.guest == "" {
		return s.tree.content().Info(s.node), true
	}
	g, ok := f.guests.Load().find(s.guest)
	return g.info(), ok
}

// path is the slash path of a node in its tree.
func (s source) path() string {
	if s.guest != "" {
		return s.guest
	}
	return s.tree.content().Path(s.node)
}
