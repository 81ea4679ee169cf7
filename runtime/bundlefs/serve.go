// SPDX-License-Identifier: MIT

package bundlefs

import (
	"path"
	"syscall"
	"time"

	"glick.org/glick/bundle"
	"glick.org/glick/runtime/fuse"
)

// Lookup finds a name in a folder.
func (f *FS) Lookup(folder uint64, name string, e *fuse.Entry) syscall.Errno {
	if f.isListing(folder) {
		return f.lookupListing(folder, name, e)
	}
	at := f.find(folder)
	if len(at) == 0 {
		return syscall.ESTALE
	}
	t := at[0].tree
	if at[0].guest == "" {
		if n, ok := t.content().Lookup(at[0].node, name); ok {
			return f.entry(t, n, t.content().Info(n), e)
		}
	}
	if g, path, ok := f.guest(at[0], name); ok {
		return f.guestEntry(t, g, path, e)
	}
	e.Valid = forever // without a node: the name may be taken as absent until the kernel hears otherwise
	return 0
}

// entry tells the kernel of a node of a tree.
func (f *FS) entry(t *Tree, n bundle.Node, info bundle.Info, e *fuse.Entry) syscall.Errno {
	id, ok := f.remember(t, n, info)
	if !ok {
		f.log.Error("two different files have the same node id; one of them cannot be shown", "bundle", t.file(), "path", t.content().Path(n))
		return syscall.EIO
	}
	*e = fuse.Entry{Node: id, Valid: forever, AttrValid: forever}
	f.attributes(info, &e.Attributes)
	return 0
}

// lookupListing finds a name in a folder that exists only here. Such names come and go: the kernel hears when one has gone,
// and is not told that one is absent for good.
func (f *FS) lookupListing(folder uint64, name string, e *fuse.Entry) syscall.Errno {
	if folder == treesID {
		t := f.tree(name)
		if t == nil && f.finder != nil {
			f.finder(name)
			t = f.tree(name)
		}
		if t == nil {
			return syscall.ENOENT
		}
		return f.entry(t, 0, t.content().Info(0), e)
	}
	if folder == fuse.RootID {
		switch id := map[string]uint64{treesName: treesID, bundlesDir: bundlesID}[name]; {
		case id != 0:
			*e = fuse.Entry{Node: id, Valid: forever}
			f.attributes(listingInfo, &e.Attributes)
			return 0
		case name == exportsName:
			return f.guestEntry(f.exports, guest{name: top}, top, e)
		}
	} else {
		name = bundlesDir + "/" + name
	}
	f.mu.Lock()
	l := f.links[name]
	f.mu.Unlock()
	if l == nil {
		return syscall.ENOENT
	}
	*e = fuse.Entry{Node: l.id, Valid: forever, AttrValid: forever}
	f.attributes(l.info(), &e.Attributes)
	return 0
}

// tree finds a tree by the name of its key.
func (f *FS) tree(name string) *Tree {
	f.mu.Lock()
	defer f.mu.Unlock()
	for key, t := range f.trees {
		if key.String() == name {
			return t
		}
	}
	return nil
}

// listingInfo is what the folders that exist only here look like.
var listingInfo = bundle.Info{Mode: syscall.S_IFDIR | 0o555}

func (l *linked) info() bundle.Info {
	return bundle.Info{Mode: syscall.S_IFLNK | 0o777, Size: int64(len(l.target))}
}

// Forget takes back what [FS.remember] counted.
func (f *FS) Forget(id, times uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.nodes[id]
	if n == nil {
		return
	}
	if times >= n.lookups {
		f.forget(id, n)
		return
	}
	n.lookups -= times
}

// link finds one of the links in the root by its node id.
func (f *FS) link(id uint64) *linked {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, l := range f.links {
		if l.id == id {
			return l
		}
	}
	return nil
}

// GetAttr tells a node's attributes.
func (f *FS) GetAttr(node uint64, a *fuse.Attr) (time.Duration, syscall.Errno) {
	if f.isListing(node) {
		f.attributes(listingInfo, a)
		return 0, 0
	}
	if at := f.find(node); len(at) > 0 {
		info, ok := f.info(at[0])
		if !ok {
			return 0, syscall.ESTALE
		}
		f.attributes(info, a)
		return forever, 0
	}
	if l := f.link(node); l != nil {
		f.attributes(l.info(), a)
		return forever, 0
	}
	return 0, syscall.ESTALE
}

// Readlink tells a link's target.
func (f *FS) Readlink(node uint64) (string, syscall.Errno) {
	if at := f.find(node); len(at) > 0 {
		info, ok := f.info(at[0])
		if !ok {
			return "", syscall.ESTALE
		}
		if !info.IsLink() {
			return "", syscall.EINVAL
		}
		return info.Target, 0
	}
	if l := f.link(node); l != nil {
		return l.target, 0
	}
	return "", syscall.ESTALE
}

// Read reads from a file. Each chunk is checked; what is damaged is an error and a message, never wrong bytes.
func (f *FS) Read(r *fuse.ReadRequest) ([]byte, syscall.Errno) {
	at := f.find(r.Node)
	if len(at) == 0 {
		return nil, syscall.ESTALE
	}
	if at[0].guest != "" {
		return nil, syscall.EINVAL
	}
	var failure error
	// Another bundle with the same file can help out where one is damaged.
	for _, s := range at {
		data, err := f.readSource(r, s)
		if err == nil {
			return data, 0
		}
		if failure == nil {
			failure = err
		}
		f.log.Error("cannot read a file of a bundle", "bundle", s.tree.file(), "path", s.tree.content().Path(s.node), "error", err)
	}
	return nil, errno(failure)
}

// ReadDir lists a folder, and tells of each node in it when the kernel wants that.
func (f *FS) ReadDir(folder uint64, l *fuse.DirList) syscall.Errno {
	var listing []dirEntry
	var at source
	own := 0
	var visitors []guest
	if f.isListing(folder) {
		listing = f.listing(folder)
	} else {
		found := f.find(folder)
		if len(found) == 0 {
			return syscall.ESTALE
		}
		at = found[0]
		if at.guest == "" {
			own = at.tree.content().ChildCount(at.node)
		}
		visitors = f.visitors(at)
	}
	count := uint64(2 + len(listing) + own + len(visitors))
	for i := l.Offset; i < count; i++ {
		// Without a node the kernel takes only the name. The two dots are never counted as lookups.
		e, entry := dirEntry{".", folder, syscall.S_IFDIR}, fuse.Entry{}
		switch nth := int(i) - 2; {
		case i == 0:
		case i == 1:
			e.name = ".."
		case nth < len(listing):
			e = listing[nth]
		case nth < own:
			t := at.tree
			node := t.content().Child(at.node, nth)
			info := t.content().Info(node)
			if !l.Room(info.Name) {
				return 0
			}
			if !l.Plus || f.entry(t, node, info, &entry) != 0 {
				entry.Node = 0
				e.id = t.identify(node, info).id()
			} else {
				e.id = entry.Node
			}
			e.name, e.mode = info.Name, info.Mode
		default:
			g := visitors[nth-own]
			p := path.Join(at.path(), g.name)
			if !l.Room(g.name) {
				return 0
			}
			if !l.Plus || f.guestEntry(at.tree, g, p, &entry) != 0 {
				entry.Node = 0
			}
			e = dirEntry{g.name, at.tree.guestID(p, g.mode()), g.mode()}
		}
		if !l.Add(e.name, e.id, e.mode, &entry) {
			return 0
		}
	}
	return 0
}

// StatFS describes a file system that is full, as all read-only ones are.
func (f *FS) StatFS(s *fuse.StatFS) syscall.Errno {
	*s = fuse.StatFS{BlockSize: 4096, NameLength: 255}
	return 0
}
