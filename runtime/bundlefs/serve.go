// SPDX-License-Identifier: MIT

package bundlefs

import (
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"glick.org/glick/bundle"
)

const folderMode = syscall.S_IFDIR | 0o555

// Lookup finds a name in a folder.
func (f *FS) Lookup(_ <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	if f.isListing(h.NodeId) {
		return f.lookupListing(h.NodeId, name, out)
	}
	at := f.find(h.NodeId)
	if len(at) == 0 {
		return fuse.Status(syscall.ESTALE)
	}
	t := at[0].tree
	n, ok := t.content().Lookup(at[0].node, name)
	if !ok {
		// Node 0 with a timeout: the name may be taken as absent for that long.
		out.NodeId = 0
		out.SetEntryTimeout(forever)
		return fuse.OK
	}
	return f.entry(t, n, out)
}

// entry tells the kernel of a node of a tree.
func (f *FS) entry(t *Tree, n bundle.Node, out *fuse.EntryOut) fuse.Status {
	info := t.content().Info(n)
	id, ok := f.remember(t, n, info)
	if !ok {
		f.log.Error("two different files have the same node id; one of them cannot be shown", "bundle", t.file(), "path", t.content().Path(n))
		return fuse.EIO
	}
	out.NodeId = id
	out.Generation = 1
	out.SetEntryTimeout(forever)
	out.SetAttrTimeout(forever)
	f.attributes(id, info, &out.Attr)
	return fuse.OK
}

// lookupListing finds a name in a folder that exists only here. Such names come and go: the kernel hears when one has gone,
// and is not told that one is absent for good.
func (f *FS) lookupListing(dir uint64, name string, out *fuse.EntryOut) fuse.Status {
	out.Generation = 1
	if dir == treesID {
		f.mu.Lock()
		var t *Tree
		for key, have := range f.trees {
			if key.String() == name {
				t = have
			}
		}
		f.mu.Unlock()
		if t == nil {
			return fuse.ENOENT
		}
		return f.entry(t, 0, out)
	}
	if name == treesName {
		out.NodeId = treesID
		out.SetEntryTimeout(forever)
		f.listingAttributes(treesID, &out.Attr)
		return fuse.OK
	}
	f.mu.Lock()
	l := f.links[name]
	f.mu.Unlock()
	if l == nil {
		return fuse.ENOENT
	}
	out.NodeId = l.id
	out.SetEntryTimeout(forever)
	out.SetAttrTimeout(forever)
	f.attributes(l.id, bundle.Info{Mode: syscall.S_IFLNK | 0o777, Size: int64(len(l.target))}, &out.Attr)
	return fuse.OK
}

func (f *FS) listingAttributes(id uint64, a *fuse.Attr) {
	f.attributes(id, bundle.Info{Mode: folderMode}, a)
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
func (f *FS) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	if f.isListing(in.NodeId) {
		f.listingAttributes(in.NodeId, &out.Attr)
		return fuse.OK
	}
	if at := f.find(in.NodeId); len(at) > 0 {
		out.SetTimeout(forever)
		f.attributes(in.NodeId, at[0].tree.content().Info(at[0].node), &out.Attr)
		return fuse.OK
	}
	if l := f.link(in.NodeId); l != nil {
		out.SetTimeout(forever)
		f.attributes(l.id, bundle.Info{Mode: syscall.S_IFLNK | 0o777, Size: int64(len(l.target))}, &out.Attr)
		return fuse.OK
	}
	return fuse.Status(syscall.ESTALE)
}

// Readlink tells a link's target.
func (f *FS) Readlink(_ <-chan struct{}, h *fuse.InHeader) ([]byte, fuse.Status) {
	if at := f.find(h.NodeId); len(at) > 0 {
		info := at[0].tree.content().Info(at[0].node)
		if !info.IsLink() {
			return nil, fuse.EINVAL
		}
		return []byte(info.Target), fuse.OK
	}
	if l := f.link(h.NodeId); l != nil {
		return []byte(l.target), fuse.OK
	}
	return nil, fuse.Status(syscall.ESTALE)
}

// Read reads from a file. Each chunk is checked; what is damaged is an error and a message, never wrong bytes.
func (f *FS) Read(cancel <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	at := f.find(in.NodeId)
	if len(at) == 0 {
		return nil, fuse.Status(syscall.ESTALE)
	}
	var failure error
	// Another bundle with the same file can help out where one is damaged.
	for _, s := range at {
		data, err := f.readSource(cancel, s, int64(in.Offset), buf)
		if err == nil {
			return fuse.ReadResultData(data), fuse.OK
		}
		if failure == nil {
			failure = err
		}
		if errno(err) == fuse.EINTR {
			break
		}
		f.log.Error("cannot read a file of a bundle", "bundle", s.tree.file(), "path", s.tree.content().Path(s.node), "error", err)
	}
	return nil, errno(failure)
}

// Access is left to the kernel, which remembers this answer; as are the following four.
func (f *FS) Access(<-chan struct{}, *fuse.AccessIn) fuse.Status { return fuse.ENOSYS }

// Open needs no file handle.
func (f *FS) Open(<-chan struct{}, *fuse.OpenIn, *fuse.OpenOut) fuse.Status { return fuse.ENOSYS }

// OpenDir needs no file handle.
func (f *FS) OpenDir(<-chan struct{}, *fuse.OpenIn, *fuse.OpenOut) fuse.Status { return fuse.ENOSYS }

// Flush has nothing to do.
func (f *FS) Flush(<-chan struct{}, *fuse.FlushIn) fuse.Status { return fuse.ENOSYS }

// Ioctl knows none: the usual one is the question whether the file is a terminal.
func (f *FS) Ioctl(<-chan struct{}, *fuse.IoctlIn, []byte, *fuse.IoctlOut, []byte) fuse.Status {
	return fuse.Status(syscall.ENOTTY)
}

// ReadDir lists a folder.
func (f *FS) ReadDir(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return f.list(in, out, false)
}

// ReadDirPlus lists a folder and tells of each node in it.
func (f *FS) ReadDirPlus(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return f.list(in, out, true)
}

func (f *FS) list(in *fuse.ReadIn, out *fuse.DirEntryList, plus bool) fuse.Status {
	var t *Tree
	var dir bundle.Node
	var entries []fuse.DirEntry
	parent := in.NodeId
	if f.isListing(in.NodeId) {
		entries = f.listing(in.NodeId)
	} else {
		at := f.find(in.NodeId)
		if len(at) == 0 {
			return fuse.Status(syscall.ESTALE)
		}
		t = at[0].tree
		dir = at[0].node
	}
	count := uint64(2 + len(entries))
	if t != nil {
		count += uint64(t.content().ChildCount(dir))
	}
	for i := in.Offset; i < count; i++ {
		var e fuse.DirEntry
		var node bundle.Node
		switch {
		case i == 0:
			e = fuse.DirEntry{Name: ".", Mode: syscall.S_IFDIR, Ino: in.NodeId}
		case i == 1:
			e = fuse.DirEntry{Name: "..", Mode: syscall.S_IFDIR, Ino: parent}
		case t == nil:
			e = entries[i-2]
		default:
			node = t.content().Child(dir, int(i-2))
			info := t.content().Info(node)
			e = fuse.DirEntry{Name: info.Name, Mode: info.Mode, Ino: t.identify(node, info).id()}
		}
		if !plus {
			if !out.AddDirEntry(e) {
				break
			}
			continue
		}
		slot := out.AddDirLookupEntry(e)
		if slot == nil {
			break
		}
		// Without a node the kernel takes only the name. The two dots are never counted as lookups.
		if i >= 2 && t != nil {
			if status := f.entry(t, node, slot); !status.Ok() {
				slot.NodeId = 0
			}
		}
	}
	return fuse.OK
}

// StatFs describes a file system that is full, as all read-only ones are.
func (f *FS) StatFs(_ <-chan struct{}, _ *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	out.Bsize, out.Frsize = 4096, 4096
	out.NameLen = 255
	return fuse.OK
}
