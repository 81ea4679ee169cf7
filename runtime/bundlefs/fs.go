// SPDX-License-Identifier: MIT

package bundlefs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"glick.org/glick/bundle"
	"glick.org/glick/runtime/fuse"
)

// forever is how long the kernel may keep what can never change.
const forever = 365 * 24 * time.Hour

// DefaultCache is how many bytes of uncompressed chunks a file system keeps: enough for what several readers are reading
// just now. What was read stays in the kernel's page cache.
const DefaultCache = 32 << 20

// Options configure a file system.
type Options struct {
	Log        Logger // gets a line for each damaged chunk; nil means that nobody wants to know
	CacheBytes int64  // bound of the chunk cache; 0 means DefaultCache
	// Bundles is the path of the root's folder "bundles" for those who use the file system: each tree has a link to it. Empty means none.
	Bundles string
	// Find, when set, is asked for a tree that is not there, by the name that its key has: it may add it and call Visit.
	Find func(name string)
	// Unvisited is called when a tree that was visited is no longer needed; it calls Remove.
	Unvisited func(*Tree)
}

// Logger takes messages, each with alternating names and values that belong to it: a *[slog.Logger] is one. Here it is an
// interface because package slog, with the encoding/json that it needs, would make every bundle 290 KiB larger.
//
// [slog.Logger]: https://pkg.go.dev/log/slog#Logger
type Logger interface {
	Info(message string, args ...any)
	Warn(message string, args ...any)
	Error(message string, args ...any)
}

// silence is a Logger that drops all messages.
type silence struct{}

func (silence) Info(string, ...any)  {}
func (silence) Warn(string, ...any)  {}
func (silence) Error(string, ...any) {}

// FS is a file system of bundles. Its methods may be called by many goroutines at once.
type FS struct {
	log    Logger
	cache  *chunkCache
	uid    uint32
	gid    uint32
	single *Tree                    // set when the root is a bundle's own tree
	search func(id uint64) []source // set by Resumed

	bundles   string
	finder    func(name string)
	unvisited func(*Tree)

	setting sync.Mutex // held while guests are being changed
	guests  atomic.Pointer[guests]
	exports *Tree // guests alone

	mu     sync.Mutex
	server *fuse.Server       // guarded by mu
	nodes  map[uint64]*inode  // guarded by mu: what the kernel knows
	trees  map[Key]*Tree      // guarded by mu
	rest   map[Key]*Tree      // guarded by mu: trees that nobody uses any more, with nodes that the kernel still knows
	recent []*Tree            // guarded by mu: those of them that the kernel was not told to forget, the oldest first
	visits []*Tree            // guarded by mu: see Visit; the oldest first
	links  map[string]*linked // guarded by mu: paths of links in the root and in the folder of bundles
}

var _ fuse.FileSystem = (*FS)(nil)

type linked struct {
	id     uint64
	target string
}

// Tree is a bundle's tree in a file system.
type Tree struct {
	key    Key
	opened atomic.Pointer[opened]
	ids    ids
	guests bool // others' exports appear in it
	uses   int  // guarded by FS.mu
	nodes  int  // guarded by FS.mu: how many inodes have a source in it
}

// opened is a tree as it was given to [FS.Add] last.
type opened struct {
	tree *bundle.Tree
	file string // for messages
}

func newTree(t *bundle.Tree, key Key, file string) *Tree {
	// What is laid over the host's folder is combined by the kernel, which counts on it that nothing changes.
	tree := &Tree{key: key, guests: t.Bundle().Manifest().Prefix != "/usr"}
	tree.opened.Store(&opened{t, file})
	return tree
}

// content is the bundle's tree. All trees of one key have the same nodes.
func (t *Tree) content() *bundle.Tree { return t.opened.Load().tree }

// Key is the key that the tree was added with.
func (t *Tree) Key() Key { return t.key }

// Content is the bundle's tree.
func (t *Tree) Content() *bundle.Tree { return t.content() }

// file is the bundle's file, for messages.
func (t *Tree) file() string { return t.opened.Load().file }

// New makes a file system for many bundles: see [FS.Add] and [FS.AddLink].
func New(o Options) *FS {
	if o.Log == nil {
		o.Log = silence{}
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = DefaultCache
	}
	f := &FS{
		log:       o.Log,
		cache:     newChunkCache(o.CacheBytes),
		uid:       uint32(os.Geteuid()),
		gid:       uint32(os.Getegid()),
		nodes:     make(map[uint64]*inode),
		trees:     make(map[Key]*Tree),
		rest:      make(map[Key]*Tree),
		links:     make(map[string]*linked),
		bundles:   o.Bundles,
		finder:    o.Find,
		unvisited: o.Unvisited,
		exports:   &Tree{guests: true, uses: 1},
	}
	f.guests.Store(newGuests(nil, o.Bundles))
	return f
}

// NewSingle makes a file system whose root is the tree of one bundle. The file is its name in messages.
func NewSingle(t *bundle.Tree, file string, o Options) *FS {
	f := New(o)
	f.single = newTree(t, KeyOf(t.Bundle(), 0, 0), file)
	f.single.uses, f.single.guests = 1, false
	return f
}

// Resumed says that another process has served the file system before. The kernel then asks for nodes by ids that it was given
// by that process: any node of a tree that is in use is found from now on, without having been looked up. It is called
// before the first request is answered, when the trees have been added.
func (f *FS) Resumed() { f.search = f.searchTrees }

// Init keeps the server, to tell the kernel of changes.
func (f *FS) Init(s *fuse.Server) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.server = s
}

// The folders of the root.
const (
	treesID   = 2
	bundlesID = 3

	treesName   = "trees"
	bundlesDir  = "bundles"
	exportsName = "exports"
)

// Add makes a bundle's tree visible at the returned path relative to the root, and returns it for [FS.Remove]. A bundle
// that is there already is used once more; the returned bool is false then, and the caller may close the new one.
func (f *FS) Add(t *bundle.Tree, key Key, file string) (tree *Tree, place string, added bool) {
	f.mu.Lock()
	tree = f.trees[key]
	if tree == nil {
		// What the kernel remembers of it from before is valid again: it will not ask anew.
		if tree = f.rest[key]; tree != nil {
			f.wake(tree)
			tree.opened.Store(&opened{t, file})
		} else {
			tree = newTree(t, key, file)
		}
		f.trees[key] = tree
		added = true
	}
	tree.uses++
	f.mu.Unlock()
	if added {
		f.changed(treesID)
	}
	return tree, path.Join(treesName, key.String()), added
}

// Use is [FS.Add] for a tree that is there already; it returns nil when there is none.
func (f *FS) Use(key Key) (tree *Tree, place string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if tree = f.trees[key]; tree == nil {
		return nil, ""
	}
	tree.uses++
	return tree, path.Join(treesName, key.String())
}

// Remove ends one use of a tree. It returns true when that was the last one: the tree has gone, and its bundle file may be
// closed.
func (f *FS) Remove(tree *Tree) bool {
	f.mu.Lock()
	tree.uses--
	last := tree.uses == 0
	var forgotten []*Tree
	if last {
		delete(f.trees, tree.key)
		// Mounts that are just being taken down may hold the kernel to what it knows for a while. Beyond that, bundles that were
		// used last are started again soon, and start warm as long as the kernel has their names and pages.
		if tree.nodes > 0 {
			f.rest[tree.key] = tree
			f.recent = append(f.recent, tree)
			forgotten = f.tooMany()
		}
	}
	f.mu.Unlock()
	for _, old := range forgotten {
		f.gone(treesID, old.key.String())
	}
	if last {
		f.changed(treesID)
	}
	return last
}

// What is kept of bundles that nobody uses: so many of them, with so many nodes in all, of about 100 bytes each.
const (
	maxRecent      = 8
	maxRecentNodes = 50000
)

// tooMany takes the oldest trees off the list of recent ones until that is short enough. The caller holds mu.
func (f *FS) tooMany() (old []*Tree) {
	nodes := 0
	for _, t := range f.recent {
		nodes += t.content().Len()
	}
	for len(f.recent) > maxRecent || nodes > maxRecentNodes {
		nodes -= f.recent[0].content().Len()
		old = append(old, f.recent[0])
		f.recent = f.recent[1:]
	}
	return old
}

// wake takes a tree from those at rest. The caller holds mu.
func (f *FS) wake(t *Tree) {
	delete(f.rest, t.key)
	f.recent = slices.DeleteFunc(f.recent, func(r *Tree) bool { return r == t })
}

// Visit keeps one use of a tree, which the caller has made by Add or Use, as long as the kernel knows a node of it: for those who look into a bundle
// that does not run. Of trees that are visited only the last few stay.
func (f *FS) Visit(tree *Tree) {
	const most = 32
	var oldest *Tree
	f.mu.Lock()
	f.visits = append(f.visits, tree)
	if len(f.visits) > most {
		oldest = f.visits[0]
		f.visits = slices.Clone(f.visits[1:])
	}
	f.mu.Unlock()
	if oldest != nil {
		f.gone(treesID, oldest.key.String())
		f.unvisited(oldest)
	}
}

// Dismiss has the kernel forget a tree, but for what somebody has open. When that is closed the kernel still keeps the names of it: then it is to be
// called again.
func (f *FS) Dismiss(tree *Tree) {
	f.gone(treesID, tree.key.String())
	var names []change
	f.mu.Lock()
	for _, n := range f.nodes {
		for _, s := range n.sources {
			if p := s.path(); s.tree == tree && p != top {
				if id, ok := tree.folderID(path.Dir(p)); ok {
					names = append(names, change{id, path.Base(p)})
				}
			}
		}
	}
	f.mu.Unlock()
	for _, c := range names {
		f.gone(c.folder, c.name)
	}
}

// place splits the path of a link into its folder and its name there.
func place(link string) (folder uint64, name string) {
	if name, ok := strings.CutPrefix(link, bundlesDir+"/"); ok {
		return bundlesID, name
	}
	return fuse.RootID, link
}

// AddLink puts a symbolic link into the root folder, or with "bundles/…" into that of the bundles.
func (f *FS) AddLink(link, target string) error {
	folder, name := place(link)
	f.mu.Lock()
	if folder == fuse.RootID && (name == treesName || name == bundlesDir || name == exportsName) || f.links[link] != nil {
		f.mu.Unlock()
		return fmt.Errorf("cannot make %s: %w", link, syscall.EEXIST)
	}
	f.links[link] = &linked{id: hashID("link", link, target), target: target}
	f.mu.Unlock()
	f.changed(folder)
	return nil
}

// RemoveLink takes a symbolic link away again.
func (f *FS) RemoveLink(link string) {
	f.mu.Lock()
	_, known := f.links[link]
	delete(f.links, link)
	f.mu.Unlock()
	if known {
		folder, name := place(link)
		f.gone(folder, name)
		f.changed(folder)
	}
}

// The kernel is told without the mutex: it may have to wait for requests that are being answered.

func (f *FS) gone(parent uint64, name string) {
	if s := f.kernel(); s != nil {
		_ = s.InvalidateEntry(parent, name) // it may never have heard of it
	}
}

func (f *FS) changed(dir uint64) {
	if s := f.kernel(); s != nil {
		_ = s.InvalidateNode(dir)
	}
}

func (f *FS) kernel() *fuse.Server {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.server
}

// dirEntry is a name in a listing.
type dirEntry struct {
	name string
	id   uint64
	mode uint32
}

// listing is a folder that exists only here: the root of many bundles, the folder of their trees, and that of links to them.
func (f *FS) listing(id uint64) []dirEntry {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []dirEntry
	switch id {
	case treesID:
		for key, t := range f.trees {
			list = append(list, dirEntry{key.String(), t.nodeID(0), syscall.S_IFDIR})
		}
	case fuse.RootID:
		list = append(list, dirEntry{treesName, treesID, syscall.S_IFDIR}, dirEntry{bundlesDir, bundlesID, syscall.S_IFDIR},
			dirEntry{exportsName, f.exports.guestID(top, syscall.S_IFDIR), syscall.S_IFDIR})
	}
	for link, l := range f.links {
		if folder, name := place(link); folder == id {
			list = append(list, dirEntry{name, l.id, syscall.S_IFLNK})
		}
	}
	slices.SortFunc(list, func(a, b dirEntry) int { return strings.Compare(a.name, b.name) })
	return list
}

// isListing says whether a node id is one of the folders that exist only here.
func (f *FS) isListing(id uint64) bool {
	return f.single == nil && (id == fuse.RootID || id == treesID || id == bundlesID)
}

// errno is the one table from Go's errors to the kernel's.
func errno(err error) syscall.Errno {
	var number syscall.Errno
	switch {
	case err == nil, errors.Is(err, io.EOF):
		return 0
	case errors.Is(err, bundle.ErrDamaged), errors.Is(err, bundle.ErrTruncated), errors.Is(err, io.ErrUnexpectedEOF):
		return syscall.EIO
	case errors.As(err, &number):
		return number
	default:
		return syscall.EIO
	}
}
