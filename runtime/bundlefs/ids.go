// SPDX-License-Identifier: MIT

package bundlefs

import (
	"cmp"
	"slices"
	"sync"

	"glick.org/glick/bundle"
)

// ids finds the nodes of a tree by their ids. It is made when it is needed first, which in most processes is never.
type ids struct {
	once sync.Once
	list []numbered // by id
}

type numbered struct {
	id   uint64
	node uint32
}

// nodeWith finds a node of the tree that has an id. Of several files with the same content it is one of them.
func (t *Tree) nodeWith(id uint64) (bundle.Node, bool) {
	t.ids.once.Do(func() {
		list := make([]numbered, t.content().Len())
		for n := range list {
			list[n] = numbered{t.nodeID(bundle.Node(n)), uint32(n)}
		}
		slices.SortFunc(list, func(a, b numbered) int { return cmp.Or(cmp.Compare(a.id, b.id), cmp.Compare(a.node, b.node)) })
		list = slices.CompactFunc(list, func(a, b numbered) bool { return a.id == b.id })
		t.ids.list = slices.Clip(list)
	})
	i, ok := slices.BinarySearchFunc(t.ids.list, id, func(n numbered, id uint64) int { return cmp.Compare(n.id, id) })
	if !ok {
		return 0, false
	}
	return bundle.Node(t.ids.list[i].node), true
}

// searchTrees finds a node of which the kernel was told by another process, in all trees that are in use. It is remembered as one
// that the kernel knows. How often the kernel was told of it is not known; so it may be forgotten too early, and is found
// again then.
func (f *FS) searchTrees(id uint64) []source {
	var list []source
	var first identity
	guests := f.guests.Load()
	for _, t := range append(f.used(), f.exports) {
		if p, ok := guests.guestWith(t, id); ok && t.guests {
			return f.foundGuest(id, t, p)
		}
		if !t.own() {
			continue
		}
		n, ok := t.nodeWith(id)
		if !ok {
			continue
		}
		what := t.identify(n, t.content().Info(n))
		if len(list) == 0 {
			first = what
		} else if what != first {
			f.log.Error("two different files have the same node id; none of them can be shown", "bundle", t.file(), "path", t.content().Path(n))
			return nil
		}
		list = append(list, source{tree: t, node: n})
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range list {
		if !f.note(id, first, s) {
			return nil
		}
	}
	return list
}

// foundGuest notes a guest of which the kernel was told by another process.
func (f *FS) foundGuest(id uint64, t *Tree, p string) []source {
	g, ok := f.guests.Load().find(p)
	s := source{tree: t, guest: p}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !ok || !f.note(id, identity{mode: g.mode(), key: t.key, path: p}, s) {
		return nil
	}
	return []source{s}
}

// used gives the trees that are in use.
func (f *FS) used() []*Tree {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []*Tree
	if f.single != nil {
		list = append(list, f.single)
	}
	for _, t := range f.trees {
		list = append(list, t)
	}
	return list
}
