// SPDX-License-Identifier: MIT

package apps

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	removedPrefix = ".glick-removed-"
	keepLinks     = time.Minute
)

// Uninstall takes a bundle file out of the user's applications. The file is only put aside, under a hidden name in
// the same folder: undo gives it its name back, as long as the calling process lives and has not dropped undo. After
// that the file is deleted by the next Clean, which the session service also calls from time to time.
//
// Instances that run from the file are not disturbed.
func Uninstall(ctx context.Context, file string) (undo func() error, err error) {
	aside, err := putAside(ctx, file)
	if err != nil {
		return nil, err
	}
	return aside.restore, nil
}

// Remove is Uninstall for good.
func Remove(ctx context.Context, file string) error {
	aside, err := putAside(ctx, file)
	if err != nil {
		return err
	}
	return aside.discard()
}

// removed is a bundle file that was put aside. The lock on the open file keeps Clean from deleting it; it falls with
// the process, or when the garbage collector closes a file that nobody can restore any more.
type removed struct {
	file, hidden string
	mu           sync.Mutex
	lock         *os.File // guarded by mu; nil when restored or discarded

	id   string    // of the application, when this was its last file
	used time.Time // when it was used last
}

func putAside(ctx context.Context, file string) (*removed, error) {
	fail := func(err error) (*removed, error) {
		return nil, fmt.Errorf("cannot uninstall %s: %w", file, plain(err))
	}
	path, err := filepath.Abs(file)
	if err != nil {
		return fail(err)
	}
	dir, base := filepath.Split(path)
	dir = filepath.Clean(dir)
	switch {
	case slices.Contains(systemFolders, dir):
		return fail(ErrNotOurs)
	case !OwnFolder(dir) || strings.HasPrefix(base, "."):
		return fail(errors.New("it is not among your applications; \"glick folders\" shows where these are"))
	}
	if err := ctx.Err(); err != nil {
		return fail(err)
	}
	Clean()
	info, err := os.Lstat(path)
	if err != nil {
		return fail(err)
	}
	r := &removed{file: path, id: current().lastOf(path)}
	if info.Mode().IsRegular() {
		// A symbolic link is the user's own; the link goes, and nothing has to be kept for it.
		if r.lock, _, err = open(path, unix.O_NOFOLLOW); err != nil {
			return fail(err)
		}
		if err := unix.Flock(int(r.lock.Fd()), unix.LOCK_SH|unix.LOCK_NB); err != nil {
			r.lock.Close()
			return fail(err)
		}
	}
	for n := 0; ; n++ {
		r.hidden = filepath.Join(dir, fmt.Sprintf("%s%d-%d-%s", removedPrefix, os.Getpid(), n, truncate(base)))
		err := onDisk.renameNew(path, r.hidden)
		if errors.Is(err, fs.ErrExist) && n < 1000 {
			continue
		}
		if err != nil {
			r.close()
			return fail(err)
		}
		r.used = forgetUse(r.id)
		return r, nil
	}
}

// truncate shortens a name so that a prefix fits before it.
func truncate(name string) string {
	if len(name) > maxBase {
		return name[len(name)-maxBase:]
	}
	return name
}

func (r *removed) close() {
	if r.lock != nil {
		r.lock.Close()
		r.lock = nil
	}
}

func (r *removed) restore() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := onDisk.renameNew(r.hidden, r.file); err != nil {
		return fmt.Errorf("cannot bring %s back: %w", r.file, plain(err))
	}
	if !r.used.IsZero() {
		_ = noteUse(r.id, r.used)
	}
	r.close()
	return nil
}

func (r *removed) discard() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.close()
	if err := onDisk.remove(r.hidden); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot delete %s: %w", r.file, plain(err))
	}
	return nil
}

// Clean deletes what interrupted installations and finished removals have left in the user's own folders: hidden files of
// ours that no process holds any more. It tells how many such files are still held.
func Clean() (held int) {
	for _, dir := range current().ownFolders() {
		held += cleanFolder(dir)
	}
	return held
}

func cleanFolder(dir string) (held int) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0
	}
	for _, e := range entries {
		name := e.Name()
		if !strings.HasPrefix(name, installPrefix) && !strings.HasPrefix(name, removedPrefix) {
			continue
		}
		path := filepath.Join(dir, name)
		if e.Type()&fs.ModeSymlink != 0 {
			// Nobody can lock a link, so that one is kept for a while after it was put aside, which set its change time.
			var st unix.Stat_t
			if unix.Lstat(path, &st) == nil && time.Since(time.Unix(st.Ctim.Unix())) > keepLinks {
				_ = onDisk.remove(path)
			} else {
				held++
			}
			continue
		}
		f, _, err := open(path, unix.O_NOFOLLOW)
		if err != nil {
			continue
		}
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			_ = onDisk.remove(path)
		} else {
			held++
		}
		f.Close()
	}
	return held
}
