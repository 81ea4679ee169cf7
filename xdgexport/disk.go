// SPDX-License-Identifier: MIT

package xdgexport

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// disk makes the calls that change files, and no other code of a sync does. A call that fails has changed nothing, or
// what the next sync mends.
type disk struct {
	// before is called ahead of every change, with the call's name and the path; an error of its is the call's. Tests
	// end the process here, or say that the disk is full. nil in earnest.
	before func(call, path string) error
	// exact says that modes are to be as given, whatever the umask.
	exact bool
}

func (d disk) step(call, path string) error {
	if d.before == nil {
		return nil
	}
	if err := d.before(call, path); err != nil {
		return &fs.PathError{Op: call, Path: path, Err: err}
	}
	return nil
}

// mkdirAll makes a folder and what is missing above it, and tells what it made, outermost first.
func (d disk) mkdirAll(dir string, mode fs.FileMode) ([]string, error) {
	if info, err := os.Stat(dir); err == nil {
		if info.IsDir() {
			return nil, nil
		}
		return nil, &fs.PathError{Op: "mkdir", Path: dir, Err: unix.ENOTDIR}
	}
	var made []string
	if up := filepath.Dir(dir); up != dir {
		var err error
		if made, err = d.mkdirAll(up, mode); err != nil {
			return made, err
		}
	}
	if err := d.step("mkdir", dir); err != nil {
		return made, err
	}
	if err := os.Mkdir(dir, mode); err != nil {
		if errors.Is(err, fs.ErrExist) {
			if info, serr := os.Stat(dir); serr == nil && info.IsDir() {
				return made, nil // somebody else was quicker
			}
		}
		return made, err
	}
	made = append(made, dir)
	if !d.exact {
		return made, nil
	}
	if err := d.step("chmod", dir); err != nil {
		return made, err
	}
	return made, os.Chmod(dir, mode)
}

// create writes a new file and waits until it is on the disk: a name that is given to it afterwards never means an
// empty file. What a crash has left under that name goes first.
func (d disk) create(name string, content []byte, mode fs.FileMode) (st unix.Stat_t, err error) {
	if err := d.remove(name); err != nil {
		return st, err
	}
	if err := d.step("create", name); err != nil {
		return st, err
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, mode)
	if err != nil {
		return st, err
	}
	defer f.Close()
	if err := d.step("write", name); err != nil {
		return st, err
	}
	if _, err := f.Write(content); err != nil {
		return st, err
	}
	if d.exact {
		if err := d.step("chmod", name); err != nil {
			return st, err
		}
		if err := f.Chmod(mode); err != nil {
			return st, err
		}
	}
	if err := d.step("fsync", name); err != nil {
		return st, err
	}
	if err := f.Sync(); err != nil {
		return st, err
	}
	return st, unix.Fstat(int(f.Fd()), &st)
}

// append makes a file longer from a place on, and waits until that is on the disk. What is behind that place goes.
func (d disk) append(name string, at int64, content []byte) error {
	if err := d.step("append", name); err != nil {
		return err
	}
	f, err := os.OpenFile(name, os.O_WRONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil {
		return err
	} else if info.Size() < at {
		return &fs.PathError{Op: "append", Path: name, Err: errors.New("the file has become shorter")}
	}
	if err := f.Truncate(at); err != nil {
		return err
	}
	if _, err := f.WriteAt(content, at); err != nil {
		_ = f.Truncate(at) // what is there does no harm, but takes room
		return err
	}
	if err := d.step("fsync", name); err != nil {
		return err
	}
	return f.Sync()
}

// rename gives a file another name, in place of the file that has it.
func (d disk) rename(from, to string) error {
	if err := d.step("rename", to); err != nil {
		return err
	}
	return os.Rename(from, to)
}

// renameNew gives a file another name, and fails with fs.ErrExist when the name is taken.
func (d disk) renameNew(from, to string) error {
	if err := d.step("rename", to); err != nil {
		return err
	}
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOSYS) {
		if err != nil {
			return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
		}
		return nil
	}
	// File systems that cannot do that can mostly link.
	if err := os.Link(from, to); err != nil {
		return err
	}
	return d.remove(from)
}

// remove removes a file or an empty folder; it is no error when it is gone already.
func (d disk) remove(name string) error {
	if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := d.step("remove", name); err != nil {
		return err
	}
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// touch gives a file the present time.
func (d disk) touch(name string) error {
	if err := d.step("touch", name); err != nil {
		return err
	}
	now := time.Now()
	return os.Chtimes(name, now, now)
}
