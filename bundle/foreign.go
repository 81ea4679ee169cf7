// SPDX-License-Identifier: MIT

package bundle

// Inode names a file, folder or link of a FileSystem; what the number means is the file system's own affair.
type Inode uint64

// Stat is what a FileSystem knows of an inode.
type Stat struct {
	Mode   uint32 // type and permissions as in stat(2)
	Size   int64  // of a regular file's content, in bytes
	Target string // of a symbolic link
}

// DirEntry is a name in a folder.
type DirEntry struct {
	Name  string
	Inode Inode
}

// FileSystem is the file tree of a file that another program has made. Its implementations read the image when they are asked, trust no number
// in it, take no more memory than a small multiple of what they return, and can be used by many goroutines at once when their reader can.
// Errors are ErrTruncated, ErrDamaged, ErrUnsupported, or those of the reader.
type FileSystem interface {
	// Root returns the root folder.
	Root() Inode
	// Stat returns the type, permissions and size of an inode, and a link's target.
	Stat(i Inode) (Stat, error)
	// ReadDir lists a folder in ascending bytewise order, without "." and "..". Names have 1 to 255 bytes, none of them 0 or "/", and no name
	// comes twice: an image that breaks this is ErrDamaged. Devices, sockets and pipes are listed like all else.
	ReadDir(i Inode) ([]DirEntry, error)
	// ReadAt reads the content of a regular file as io.ReaderAt does.
	ReadAt(i Inode, p []byte, off int64) (int, error)
}
