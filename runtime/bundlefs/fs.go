// SPDX-License-Identifier: MIT

package bundlefs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"path"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"glick.org/glick/bundle"
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

// warnings gives what is written, line by line, to a Logger.
type warnings struct{ log Logger }

func (w warnings) Write(line []byte) (int, error) {
	w.log.Warn(strings.TrimSuffix(string(line), "\n"))
	return len(line), nil
}

// FS is a file system of bundles. Its methods may be called by many goroutines at once.
type FS struct {
	fuse.RawFileSystem
	log    Logger
	cache  *chunkCache
	uid    uint32
	gid    uint32
	single *Tree // set when the root is a bundle's own tree

	mu     sync.Mutex
	server *fuse.Server       // guarded by mu
	nodes  map[uint64]*inode  // guarded by mu: what the kernel knows
	trees  map[Key]*Tree      // guarded by mu
	rest   map[Key]*Tree      // guarded by mu: trees that nobody uses any more, with nodes that the kernel still knows
	links  map[string]*linked // guarded by mu: names in the root, other than treesName
}

var _ fuse.RawFileSystem = (*FS)(nil)

type linked struct {
	id     uint64
	target string
}

// Tree is a bundle's tree in a file system.
type Tree struct {
	key    Key
	opened atomic.Pointer[opened]
	uses   int // guarded by FS.mu
	nodes  int // guarded by FS.mu: how many inodes have a source in it
}

// opened is a tree as it was given to [FS.Add] last.
type opened struct {
	tree *bundle.Tree
	file string // for messages
}

func newTree(t *bundle.Tree, key Key, file string) *Tree {
	tree := &Tree{key: key}
	tree.opened.Store(&opened{t, file})
	return tree
}

// content is the bundle's tree. All trees of one key have the same nodes.
func (t *Tree) content() *bundle.Tree { return t.opened.Load().tree }

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
	return &FS{
		RawFileSystem: fuse.NewDefaultRawFileSystem(),
		log:           o.Log,
		cache:         newChunkCache(o.CacheBytes),
		uid:           uint32(os.Geteuid()),
		gid:           uint32(os.Getegid()),
		nodes:         make(map[uint64]*inode),
		trees:         make(map[Key]*Tree),
		rest:          make(map[Key]*Tree),
		links:         make(map[string]*linked),
	}
}

// NewSingle makes a file system whose root is the tree of one bundle. The file is its name in messages.
func NewSingle(t *bundle.Tree, file string, o Options) *FS {
	f := New(o)
	f.single = newTree(t, KeyOf(t.Bundle(), 0, 0), file)
	f.single.uses = 1
	return f
}

// String is the file system's type as mount tables show it.
func (f *FS) String() string { return "glick" }

// Init is called by the server when the kernel has said hello.
func (f *FS) Init(s *fuse.Server) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.server = s
}

// MountOptions are what the file system needs of its server.
func (f *FS) MountOptions() *fuse.MountOptions {
	const noOpendirSupport = 1 << 24 // FUSE_NO_OPENDIR_SUPPORT, for which go-fuse has no name
	return &fuse.MountOptions{
		FsName:     "glick",
		Name:       "glick",
		AllowOther: os.Geteuid() == 0, // root's daemons run as other users
		Options:    []string{"ro", "nosuid", "nodev"},
		// With 1 MiB the pipes of splice are too small and each read fails first.
		MaxWrite:                 512 << 10,
		MaxBackground:            64,
		DisableXAttrs:            true,
		EnableSymlinkCaching:     true,
		ExplicitDataCacheControl: true,
		ExtraCapabilities:        noOpendirSupport | fuse.CAP_READDIRPLUS_AUTO | fuse.CAP_HAS_RESEND,
		DisabledCapabilities:     fuse.CAP_PASSTHROUGH,
		Logger:                   log.New(warnings{f.log}, "", 0),
		PanicHandler: func(v any) fuse.Status {
			// Input that was not foreseen must not take all other applications down with it.
			f.log.Error("a request to the file system failed for a reason inside Glick", "reason", fmt.Sprint(v))
			return fuse.EIO
		},
	}
}

const (
	treesID   = 2
	treesName = "trees"
)

// Add makes a bundle's tree visible at the returned path relative to the root, and returns it for [FS.Remove]. A bundle
// that is there already is used once more; the returned bool is false then, and the caller may close the new one.
func (f *FS) Add(t *bundle.Tree, key Key, file string) (tree *Tree, place string, added bool) {
	f.mu.Lock()
	tree = f.trees[key]
	if tree == nil {
		// What the kernel remembers of it from before is valid again: it will not ask anew.
		if tree = f.rest[key]; tree != nil {
			delete(f.rest, key)
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
	if last {
		delete(f.trees, tree.key)
		// The kernel is told, but mounts that are just being taken down may hold it to what it knows for a while, and the
		// bundle may be started again meanwhile.
		if tree.nodes > 0 {
			f.rest[tree.key] = tree
		}
	}
	f.mu.Unlock()
	if last {
		f.gone(treesID, tree.key.String())
		f.changed(treesID)
	}
	return last
}

// AddLink puts a symbolic link into the root folder.
func (f *FS) AddLink(name, target string) error {
	f.mu.Lock()
	if name == treesName || f.links[name] != nil {
		f.mu.Unlock()
		return fmt.Errorf("cannot make %s: %w", name, syscall.EEXIST)
	}
	f.links[name] = &linked{id: hashID("link", name, target), target: target}
	f.mu.Unlock()
	f.changed(fuse.FUSE_ROOT_ID)
	return nil
}

// RemoveLink takes a symbolic link away again.
func (f *FS) RemoveLink(name string) {
	f.mu.Lock()
	_, known := f.links[name]
	delete(f.links, name)
	f.mu.Unlock()
	if known {
		f.gone(fuse.FUSE_ROOT_ID, name)
		f.changed(fuse.FUSE_ROOT_ID)
	}
}

// The kernel is told without the mutex: it may have to wait for requests that are being answered.

func (f *FS) gone(parent uint64, name string) {
	if s := f.kernel(); s != nil {
		s.EntryNotify(parent, name)
	}
}

func (f *FS) changed(dir uint64) {
	if s := f.kernel(); s != nil {
		s.InodeNotify(dir, 0, 0)
	}
}

func (f *FS) kernel() *fuse.Server {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.server
}

// listing is a folder that exists only here: the root of many bundles, and the folder of their trees.
func (f *FS) listing(id uint64) []fuse.DirEntry {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []fuse.DirEntry
	if id == treesID {
		for key, t := range f.trees {
			list = append(list, fuse.DirEntry{Name: key.String(), Mode: syscall.S_IFDIR, Ino: t.nodeID(0)})
		}
	} else {
		list = append(list, fuse.DirEntry{Name: treesName, Mode: syscall.S_IFDIR, Ino: treesID})
		for name, l := range f.links {
			list = append(list, fuse.DirEntry{Name: name, Mode: syscall.S_IFLNK, Ino: l.id})
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Name < list[j].Name })
	return list
}

// isListing says whether a node id is one of the folders that exist only here.
func (f *FS) isListing(id uint64) bool {
	return f.single == nil && (id == fuse.FUSE_ROOT_ID || id == treesID)
}

// errno is the one table from Go's errors to the kernel's.
func errno(err error) fuse.Status {
	var number syscall.Errno
	switch {
	case err == nil, errors.Is(err, io.EOF):
		return fuse.OK
	case errors.Is(err, bundle.ErrDamaged), errors.Is(err, bundle.ErrTruncated), errors.Is(err, io.ErrUnexpectedEOF):
		return fuse.EIO
	case errors.Is(err, context.Canceled):
		return fuse.EINTR
	case errors.As(err, &number):
		return fuse.Status(number)
	default:
		return fuse.EIO
	}
}
