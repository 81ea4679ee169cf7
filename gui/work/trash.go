// SPDX-License-Identifier: MIT

package work

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/adrg/xdg"
	"golang.org/x/sys/unix"
)

// errOtherDisk says that the Trash cannot take something, because it is on another file system.
var errOtherDisk = errors.New("it is on another disk than the Trash; delete it in Files")

// moveToTrash moves a file or folder to the user's Trash (freedesktop.org, Trash Specification 1.0), and returns what gives it its name back. accept looks
// at what has that name first, which is not followed when it is a link. The Trash of the home folder is the only one that is used:
// anything else would have to be copied.
func moveToTrash(path string, accept func(*unix.Stat_t) error) (back func() error, err error) {
	fail := func(err error) (func() error, error) {
		return nil, fmt.Errorf("cannot move %s to the Trash: %w", path, err)
	}
	trash := filepath.Join(xdg.DataHome, "Trash")
	files, info := filepath.Join(trash, "files"), filepath.Join(trash, "info")
	for _, dir := range []string{files, info} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fail(err)
		}
	}
	folder, err := unix.Open(filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fail(err)
	}
	defer unix.Close(folder)
	base := filepath.Base(path)
	var st unix.Stat_t
	if err := unix.Fstatat(folder, base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fail(err)
	}
	if err := accept(&st); err != nil {
		return fail(err)
	}
	note := []byte("[Trash Info]\nPath=" + (&url.URL{Path: path}).EscapedPath() + "\nDeletionDate=" + time.Now().Format("2006-01-02T15:04:05") + "\n")
	const most = 10000
	for n := 1; n < most; n++ {
		name := base
		if n > 1 {
			name += "." + strconv.Itoa(n)
		}
		// The note comes first and reserves the name.
		noteFile := filepath.Join(info, name+".trashinfo")
		f, err := os.OpenFile(noteFile, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, os.ErrExist) {
			continue
		}
		if err != nil {
			return fail(err)
		}
		_, err = f.Write(note)
		if err = errors.Join(err, f.Close()); err != nil {
			os.Remove(noteFile)
			return fail(err)
		}
		target := filepath.Join(files, name)
		err = unix.Renameat2(folder, base, unix.AT_FDCWD, target, unix.RENAME_NOREPLACE)
		if err == nil {
			return func() error { return takeFromTrash(target, noteFile, path) }, nil
		}
		os.Remove(noteFile)
		switch {
		case errors.Is(err, unix.EEXIST):
			continue
		case errors.Is(err, unix.EXDEV):
			return fail(errOtherDisk)
		}
		return fail(err)
	}
	return fail(errors.New("it has too many things of that name; empty it first"))
}

func takeFromTrash(target, note, path string) error {
	if err := unix.Renameat2(unix.AT_FDCWD, target, unix.AT_FDCWD, path, unix.RENAME_NOREPLACE); err != nil {
		return fmt.Errorf("cannot bring %s back from the Trash, where it is still: %w", path, err)
	}
	os.Remove(note)
	return nil
}
