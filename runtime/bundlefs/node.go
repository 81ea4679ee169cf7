// SPDX-License-Identifier: MIT

package bundlefs

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strconv"
	"syscall"

	"glick.org/glick/bundle"
	"glick.org/glick/runtime/fuse"
)

// Key tells trees apart: the bundle's digest and the file that it is read from. Two copies of one bundle are two trees with
// the same files, because one of the copies may be damaged.
type Key [sha256.Size]byte

// KeyOf makes the key of a bundle that is read from the file with this device and inode number.
func KeyOf(b *bundle.Bundle, dev, ino uint64) Key { return KeyFrom(b.Digest(), dev, ino) }

// KeyFrom is KeyOf for a bundle of which the digest is known.
func KeyFrom(d bundle.Digest, dev, ino uint64) Key {
	raw := binary.LittleEndian.AppendUint64(append([]byte("glick tree\x00"), d[:]...), dev)
	return sha256.Sum256(binary.LittleEndian.AppendUint64(raw, ino))
}

// String is the key as a file name.
func (k Key) String() string { return hex.EncodeToString(k[:16]) }

// source is a place where a node's content can be read.
type source struct {
	tree  *Tree
	node  bundle.Node
	guest string // path, when the node is none of the tree's own
}

// identity is all that determines a node id; equal ids with different identities are a collision. A file's identity covers
// everything that the kernel is told of it: what one bundle only claims must not change the file of another.
type identity struct {
	digest bundle.Digest // of a file's content, see bundle.Tree.Identity
	size   int64
	mode   uint32
	key    Key    // of the tree, for folders and links
	path   string // in the tree, for folders and links
}

// inode is a node that the kernel knows.
type inode struct {
	identity identity
	sources  []source // files may have several
	lookups  uint64   // how often the kernel was told of it and has not forgotten it
}

// hashID makes a node id: at least 2^61, so that it is never one of the small fixed ones, and below 2^62, so that it is
// positive and exact wherever a program puts an inode number.
func hashID(parts ...string) uint64 {
	h := sha256.New()
	var length [8]byte
	for _, p := range parts {
		binary.LittleEndian.PutUint64(length[:], uint64(len(p)))
		h.Write(length[:])
		h.Write([]byte(p))
	}
	var sum [sha256.Size]byte
	h.Sum(sum[:0])
	return binary.LittleEndian.Uint64(sum[:])>>2 | smallestHash
}

const smallestHash = 1 << 61

func (t *Tree) identify(n bundle.Node, info bundle.Info) identity {
	if info.IsFile() {
		return identity{digest: t.content().Identity(n), size: info.Size, mode: info.Mode}
	}
	return identity{mode: info.Mode, key: t.key, path: t.content().Path(n)}
}

func (i identity) id() uint64 {
	mode := strconv.FormatUint(uint64(i.mode), 8)
	if i.mode&syscall.S_IFMT == syscall.S_IFREG {
		return hashID("file", string(i.digest[:]), strconv.FormatInt(i.size, 10), mode)
	}
	return hashID("path", string(i.key[:]), i.path)
}

func (t *Tree) nodeID(n bundle.Node) uint64 { return t.identify(n, t.content().Info(n)).id() }

// remember notes that the kernel is told of a node, and gives its id; false when another node has that id.
func (f *FS) remember(t *Tree, n bundle.Node, info bundle.Info) (uint64, bool) {
	what := t.identify(n, info)
	id := what.id()
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.note(id, what, source{tree: t, node: n}) {
		return 0, false
	}
	f.nodes[id].lookups++
	return id, true
}

// note notes a place of a node that the kernel knows; false when another node has that id. The caller holds mu.
func (f *FS) note(id uint64, what identity, where source) bool {
	known := f.nodes[id]
	switch {
	case known == nil:
		known = &inode{identity: what}
		f.nodes[id] = known
	case known.identity != what:
		return false
	}
	for _, s := range known.sources {
		if s.tree == where.tree {
			return true
		}
	}
	known.sources = append(known.sources, where)
	where.tree.nodes++
	return true
}

// forget takes a node away. The caller holds mu.
func (f *FS) forget(id uint64, n *inode) {
	delete(f.nodes, id)
	for _, s := range n.sources {
		if s.tree.nodes--; s.tree.nodes > 0 {
			continue
		}
		if f.rest[s.tree.key] == s.tree {
			f.wake(s.tree)
		}
		if i := slices.Index(f.visits, s.tree); i >= 0 {
			f.visits = slices.Delete(f.visits, i, i+1)
			go f.unvisited(s.tree)
		}
	}
}

// find gives the places of a node in trees that are in use; none when its bundle has gone.
func (f *FS) find(id uint64) []source {
	if f.single != nil && id == fuse.RootID {
		return []source{{tree: f.single}}
	}
	list := f.known(id)
	if list == nil && f.search != nil && id >= smallestHash && f.link(id) == nil {
		list = f.search(id)
	}
	return list
}

// known is find for a node that the kernel was told of by this process.
func (f *FS) known(id uint64) []source {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.nodes[id]
	if n == nil {
		return nil
	}
	ended := func(s source) bool { return s.tree.uses == 0 }
	if !slices.ContainsFunc(n.sources, ended) {
		return slices.Clip(n.sources) // what is in it never changes
	}
	var list []source
	for _, s := range n.sources {
		if !ended(s) {
			list = append(list, s)
		}
	}
	return list
}

func (f *FS) attributes(info bundle.Info, a *fuse.Attr) {
	*a = fuse.Attr{
		Mode:  info.Mode,
		Size:  uint64(info.Size),
		Links: 1, // for a folder this says "unknown": nobody may conclude that it has no subfolders
		UID:   f.uid,
		GID:   f.gid,
		Time:  bundle.ModTime,
	}
}
