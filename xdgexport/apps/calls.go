// SPDX-License-Identifier: MIT

package apps

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// disk is every call by which this package changes something on disk. Tests let each of them fail, or the process die before it.
type disk interface {
	mkdir(dir string, mode os.FileMode) error
	// unnamed makes a file without a name in dir: nothing is left of it when its process dies.
	unnamed(dir string, mode os.FileMode) (*os.File, error)
	create(path string, flags int, mode os.FileMode) (*os.File, error) // with O_CREAT
	chmod(f *os.File, mode os.FileMode) error
	clone(out, in *os.File) error
	reserve(f *os.File, size int64) error
	copyRange(out, in *os.File, off, n int64) (int64, error)
	write(f *os.File, p []byte, off int64) (int, error)
	truncate(f *os.File, size int64) error
	setxattr(f *os.File, name string, value []byte) error
	sync(f *os.File) error
	link(f *os.File, path string) error // gives an open file a name, which must be free
	rename(from, to string) error       // replaces what has the name
	renameNew(from, to string) error    // the name must be free
	remove(path string) error
}

// onDisk is replaced in tests only.
var onDisk disk = kernel{}

type kernel struct{}

var _ disk = kernel{}

func (kernel) mkdir(dir string, mode os.FileMode) error { return os.MkdirAll(dir, mode) }

func (kernel) unnamed(dir string, mode os.FileMode) (*os.File, error) {
	return os.OpenFile(dir, os.O_RDWR|unix.O_TMPFILE, mode)
}

func (kernel) create(path string, flags int, mode os.FileMode) (*os.File, error) {
	return os.OpenFile(path, flags|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, mode)
}

func (kernel) chmod(f *os.File, mode os.FileMode) error { return f.Chmod(mode) }

func (kernel) clone(out, in *os.File) error { return unix.IoctlFileClone(int(out.Fd()), int(in.Fd())) }

func (kernel) reserve(f *os.File, size int64) error { return unix.Fallocate(int(f.Fd()), 0, 0, size) }

func (kernel) copyRange(out, in *os.File, off, n int64) (int64, error) {
	from, to := off, off
	c, err := unix.CopyFileRange(int(in.Fd()), &from, int(out.Fd()), &to, int(n), 0)
	return int64(c), err
}

// write does not use WriteAt, which refuses files that are open for appending.
func (kernel) write(f *os.File, p []byte, off int64) (int, error) {
	for done := 0; ; {
		n, err := unix.Pwrite(int(f.Fd()), p[done:], off+int64(done))
		done += max(n, 0)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return done, &fs.PathError{Op: "write", Path: f.Name(), Err: err}
		case done == len(p):
			return done, nil
		}
	}
}

func (kernel) truncate(f *os.File, size int64) error { return f.Truncate(size) }

func (kernel) setxattr(f *os.File, name string, value []byte) error {
	return unix.Fsetxattr(int(f.Fd()), name, value, 0)
}

func (kernel) sync(f *os.File) error { return f.Sync() }

func (kernel) link(f *os.File, path string) error {
	// A plain linkat with AT_EMPTY_PATH needs a privilege; this is the way that open(2) names.
	self := fmt.Sprintf("/proc/self/fd/%d", f.Fd())
	if err := unix.Linkat(unix.AT_FDCWD, self, unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW); err != nil {
		return &os.LinkError{Op: "link", Old: f.Name(), New: path, Err: err}
	}
	return nil
}

func (kernel) rename(from, to string) error { return os.Rename(from, to) }

func (kernel) renameNew(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		// Not every file system knows the flag; a hard link does not replace either, and what knows neither has only this look.
		err = unix.Link(from, to)
		switch {
		case err == nil:
			return os.Remove(from)
		case errors.Is(err, unix.EPERM), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS):
			if _, err := os.Lstat(to); err == nil {
				return &os.LinkError{Op: "rename", Old: from, New: to, Err: unix.EEXIST}
			}
			return os.Rename(from, to)
		}
	}
	if err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}

func (kernel) remove(path string) error { return os.Remove(path) }

// syncDir makes names last. A folder that cannot be synced is no reason to fail: the names are there.
func syncDir(dir string) {
	if d, err := os.Open(dir); err == nil {
		_ = onDisk.sync(d)
		d.Close()
	}
}
