// SPDX-License-Identifier: MIT

package work

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"glick.org/glick/gui/state"
	"glick.org/glick/xdgexport"
	"glick.org/glick/xdgexport/apps"
	"glick.org/glick/xdgexport/sessionbus"
)

// Undo can take back what was done. One of its methods may be called, once. A nil Undo has nothing to take back.
type Undo struct {
	back   func(ctx context.Context) error
	forget func() // nil when there is nothing to let go of
}

// Back takes it back.
func (u *Undo) Back(ctx context.Context) error {
	if u == nil {
		return nil
	}
	return u.back(ctx)
}

// Forget lets go of what was kept for Back.
func (u *Undo) Forget() {
	if u != nil && u.forget != nil {
		u.forget()
	}
}

// Install copies or moves a bundle among the applications and has the desktop show it. Unless o.KeepBoth is set, the version that is in
// use is replaced; undo brings it back, and a file that was moved to where it was. installed is the path that it has now. With an error that is
// apps.ErrSourceLeft it is installed, and undo is there.
func Install(ctx context.Context, file string, o apps.InstallOptions) (undo *Undo, installed string, err error) {
	file = Absolute(file)
	old, err := keepReplaced(file, o.KeepBoth)
	if err != nil {
		return nil, "", err
	}
	app, err := sessionbus.Install(ctx, file, o)
	if err != nil && !errors.Is(err, apps.ErrSourceLeft) {
		old.drop()
		return nil, "", folderError(err)
	}
	Refresh(context.WithoutCancel(ctx)) // it is installed, whatever becomes of the window
	moved := o.Move && err == nil && !There(file)
	back := func(ctx context.Context) error {
		if moved {
			if err := putBack(ctx, app.File, file); err != nil {
				return err
			}
		} else if old == nil || old.file != app.File {
			if err := sessionbus.Remove(ctx, app.File); err != nil {
				return err
			}
		}
		if err := old.restore(); err != nil {
			return err
		}
		Refresh(ctx)
		return nil
	}
	return &Undo{back: back, forget: old.drop}, app.File, err
}

// folderError tells apart that the folder of applications cannot be changed from that a file in it, or the one to be installed, cannot be used.
func folderError(err error) error {
	if !errors.Is(err, fs.ErrPermission) && !errors.Is(err, unix.EROFS) {
		return err
	}
	home, homeErr := apps.Home()
	if homeErr != nil || !There(home) || unix.Access(home, unix.W_OK) == nil {
		return err
	}
	return &state.FolderError{Folder: tilde(home), Err: err}
}

// There says whether something has this name.
func There(file string) bool {
	_, err := os.Lstat(file)
	return err == nil
}

// putBack moves a file back to where it was taken from. It never replaces anything there, and the file is only removed here when it is there, whole.
func putBack(ctx context.Context, from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EXDEV) || errors.Is(err, unix.EINVAL) {
		err = copyBack(ctx, from, to)
	}
	if err != nil {
		return fmt.Errorf("cannot put it back as %s, so it stays installed: %w", to, err)
	}
	return nil
}

// copyBack is putBack for another file system.
func copyBack(ctx context.Context, from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, info.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(out, readerOf(ctx, in))
	if err == nil {
		err = out.Sync()
	}
	err = errors.Join(err, out.Close())
	if err == nil {
		err = sessionbus.Remove(ctx, from)
	}
	if err != nil {
		_ = os.Remove(to) // made by this function, and the original is still there
	}
	return err
}

// readerOf reads until ctx ends.
func readerOf(ctx context.Context, r io.Reader) io.Reader { return ctxReader{ctx, r} }

type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (r ctxReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

// Uninstall takes a bundle out of the applications and of the desktop.
func Uninstall(ctx context.Context, file string) (*Undo, error) {
	undo, err := sessionbus.Uninstall(ctx, file)
	if err != nil {
		return nil, folderError(err)
	}
	Refresh(ctx)
	return &Undo{back: func(ctx context.Context) error {
		if err := undo(); err != nil {
			return err
		}
		Refresh(ctx)
		return nil
	}}, nil
}

// kept is a second, hidden name of an installed bundle that is about to be replaced. It begins like the names that apps.Uninstall
// gives, and is held by a lock like those, so that apps.Clean deletes it as soon as this process is gone.
type kept struct {
	file, hidden string

	mu   sync.Mutex
	lock *os.File // guarded by mu; nil when restored or dropped
}

// keepReplaced keeps the version that installing file will replace: nil when there is none, or when the file system knows no
// hard links; then there is nothing to bring back.
func keepReplaced(file string, keepBoth bool) (*kept, error) {
	home, err := apps.Home()
	if err != nil {
		return nil, err
	}
	app, err := apps.Find(Absolute(file))
	if err != nil {
		return nil, nil // installing says why better
	}
	all, _, err := apps.List()
	if err != nil {
		return nil, err
	}
	for _, a := range all {
		if a.ID != app.ID || filepath.Dir(a.File) != home || keepBoth && a.Version != app.Version {
			continue
		}
		f, err := os.Open(a.File)
		if err != nil {
			return nil, nil
		}
		if unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB) != nil {
			f.Close()
			return nil, nil
		}
		hidden := filepath.Join(home, ".glick-removed-"+strconv.Itoa(os.Getpid())+"-replaced-"+a.Digest.String()[:16])
		_ = os.Remove(hidden)
		if os.Link(a.File, hidden) != nil {
			f.Close()
			return nil, nil
		}
		return &kept{file: a.File, hidden: hidden, lock: f}, nil
	}
	return nil, nil
}

// restore gives the bundle its name back, over whatever replaced it.
func (k *kept) restore() error {
	if k == nil {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.lock == nil {
		return nil
	}
	if err := os.Rename(k.hidden, k.file); err != nil {
		return fmt.Errorf("cannot bring %s back: %w", k.file, err)
	}
	k.lock.Close()
	k.lock = nil
	return nil
}

// drop gives up the hidden name.
func (k *kept) drop() {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.lock != nil {
		os.Remove(k.hidden)
		k.lock.Close()
		k.lock = nil
	}
}

// Refresh makes the desktop show what is installed now. Failing is not failing to install: the session service does the same when
// it sees the folder change.
func Refresh(ctx context.Context) { _ = xdgexport.Refresh(ctx) }

// Watch calls changed after every change among the installed applications, until ctx ends.
func Watch(ctx context.Context, changed func()) error { return apps.Watch(ctx, changed) }
