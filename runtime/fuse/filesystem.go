// SPDX-License-Identifier: MIT

package fuse

import (
	"encoding/binary"
	"math/bits"
	"sync"
	"syscall"
	"time"
)

// RootID is the node id of the root folder.
const RootID = 1

// FileSystem answers what the kernel asks. Many goroutines call it at once. A panic is logged and becomes EIO.
type FileSystem interface {
	// Init is called once, before any other method, with the server that will be asking.
	Init(s *Server)
	// Lookup finds a name in a folder. An entry with node 0 says that there is no such name, for as long as it is valid.
	Lookup(folder uint64, name string, e *Entry) syscall.Errno
	// Forget takes back that the kernel was told of a node so many times, by Lookup or in a list with entries.
	Forget(node, times uint64)
	// GetAttr tells a node's attributes and for how long the kernel may keep them.
	GetAttr(node uint64, a *Attr) (valid time.Duration, errno syscall.Errno)
	// Readlink tells a symbolic link's target.
	Readlink(node uint64) (target string, errno syscall.Errno)
	// Read returns bytes of a file; fewer than were asked for only at its end. They may be in r.Buffer(), or anywhere else
	// where nobody changes them.
	Read(r *ReadRequest) ([]byte, syscall.Errno)
	// ReadDir adds the entries of a folder to a list, from l.Offset on, until one has no room.
	ReadDir(folder uint64, l *DirList) syscall.Errno
	// StatFS describes the file system.
	StatFS(s *StatFS) syscall.Errno
}

// Attr are a node's attributes, as stat(2) shows them. The rest follows: the inode number is the node id, and blocks are
// as many as the size needs.
type Attr struct {
	Mode     uint32 // type and permissions
	Size     uint64 // in bytes
	Links    uint32
	UID, GID uint32
	Time     uint64 // of access, change of content and change of status, in seconds since 1970
}

// Entry is what the kernel is told of a name in a folder.
type Entry struct {
	Node       uint64        // 0: there is no such name
	Valid      time.Duration // how long the kernel may keep the name
	AttrValid  time.Duration // how long the kernel may keep the attributes
	Attributes Attr
}

// StatFS describes a file system, as statfs(2) shows it. One that is read-only is full.
type StatFS struct {
	BlockSize  uint32 // in bytes
	NameLength uint32 // longest possible name, in bytes
}

// ReadRequest asks for bytes of a file.
type ReadRequest struct {
	Node   uint64
	Offset int64
	Size   int             // in bytes
	Cancel <-chan struct{} // closed when nobody waits for the bytes any more; the error is EINTR then

	buffer []byte
}

// Buffer returns Size bytes to put the result in. It belongs to the request: it is used again when that is answered.
func (r *ReadRequest) Buffer() []byte {
	if r.buffer == nil {
		r.buffer = getBuffer(r.Size)
	}
	return r.buffer
}

// done gives the buffer back.
func (r *ReadRequest) done() {
	putBuffer(r.buffer)
	*r = ReadRequest{}
}

// MaxRead is how many bytes the kernel is told to ask for at most.
const MaxRead = 512 << 10

// buffers keeps buffers of 1<<n bytes in element n.
var buffers [20]sync.Pool // of *[]byte; those of MaxRead bytes are in the last one

// getBuffer returns n bytes, of any content.
func getBuffer(n int) []byte {
	class := bits.Len(uint(max(n, 4096) - 1))
	if class >= len(buffers) {
		return make([]byte, n)
	}
	if b, _ := buffers[class].Get().(*[]byte); b != nil {
		return (*b)[:n]
	}
	return make([]byte, n, 1<<class)
}

// putBuffer takes back what getBuffer has given; nil is nothing.
func putBuffer(b []byte) {
	if cap(b) == 0 {
		return
	}
	class := bits.Len(uint(cap(b)) - 1)
	if class < len(buffers) && cap(b) == 1<<class {
		b = b[:0]
		buffers[class].Put(&b)
	}
}

// DirList collects the entries of a folder.
type DirList struct {
	Offset uint64 // of the next entry: as many are before it
	Plus   bool   // the kernel wants to be told of the nodes as well

	buffer []byte // not longer than its capacity
}

// done gives the buffer back.
func (l *DirList) done() {
	putBuffer(l.buffer)
	*l = DirList{}
}

const (
	direntSize = 24  // struct fuse_dirent, without the name
	entrySize  = 128 // struct fuse_entry_out
	attrSize   = 88  // struct fuse_attr
)

// Room says whether an entry with this name can be added.
func (l *DirList) Room(name string) bool {
	size := direntSize + (len(name)+7)&^7
	if l.Plus {
		size += entrySize
	}
	return size <= cap(l.buffer)-len(l.buffer)
}

// Add adds an entry, with a node when the list is Plus; otherwise e is not looked at. With node 0 the kernel learns the name
// only. Of the mode only the type counts. It returns false when there is no room: the kernel was not told of the node then.
func (l *DirList) Add(name string, ino uint64, mode uint32, e *Entry) bool {
	if !l.Room(name) {
		return false
	}
	l.Offset++
	b := l.buffer
	if l.Plus {
		b = e.append(b)
	}
	b = binary.NativeEndian.AppendUint64(b, ino)
	b = binary.NativeEndian.AppendUint64(b, l.Offset)
	b = binary.NativeEndian.AppendUint32(b, uint32(len(name)))
	b = binary.NativeEndian.AppendUint32(b, mode&syscall.S_IFMT>>12)
	b = append(b, name...)
	for len(b)%8 != 0 {
		b = append(b, 0)
	}
	l.buffer = b
	return true
}

// append writes a struct fuse_entry_out.
func (e *Entry) append(b []byte) []byte {
	b = binary.NativeEndian.AppendUint64(b, e.Node)
	b = binary.NativeEndian.AppendUint64(b, 1) // generation: a node id never means something else later
	b = binary.NativeEndian.AppendUint64(b, uint64(e.Valid/time.Second))
	b = binary.NativeEndian.AppendUint64(b, uint64(e.AttrValid/time.Second))
	b = binary.NativeEndian.AppendUint32(b, uint32(e.Valid%time.Second))
	b = binary.NativeEndian.AppendUint32(b, uint32(e.AttrValid%time.Second))
	return e.Attributes.append(b, e.Node)
}

// append writes a struct fuse_attr.
func (a *Attr) append(b []byte, ino uint64) []byte {
	b = binary.NativeEndian.AppendUint64(b, ino)
	b = binary.NativeEndian.AppendUint64(b, a.Size)
	b = binary.NativeEndian.AppendUint64(b, (a.Size+511)/512)
	for range 3 {
		b = binary.NativeEndian.AppendUint64(b, a.Time)
	}
	for range 3 {
		b = binary.NativeEndian.AppendUint32(b, 0) // nanoseconds
	}
	b = binary.NativeEndian.AppendUint32(b, a.Mode)
	b = binary.NativeEndian.AppendUint32(b, a.Links)
	b = binary.NativeEndian.AppendUint32(b, a.UID)
	b = binary.NativeEndian.AppendUint32(b, a.GID)
	b = binary.NativeEndian.AppendUint32(b, 0)    // device
	b = binary.NativeEndian.AppendUint32(b, 4096) // block size
	return binary.NativeEndian.AppendUint32(b, 0)
}

// append writes a struct fuse_statfs_out.
func (s *StatFS) append(b []byte) []byte {
	b = append(b, make([]byte, 5*8)...) // blocks and files, all and free
	b = binary.NativeEndian.AppendUint32(b, s.BlockSize)
	b = binary.NativeEndian.AppendUint32(b, s.NameLength)
	b = binary.NativeEndian.AppendUint32(b, s.BlockSize) // of fragments
	return append(b, make([]byte, 7*4)...)
}
