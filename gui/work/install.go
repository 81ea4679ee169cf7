// SPDX-License-Identifier: MIT

package work

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"glick.org/glick/xdgexport"
	"glick.org/glick/xdgexport/apps"
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

// Install copies a bundle among the applications and has the desktop shown it. Unless keepBoth is set, the version that is in
// use is replaced; undo brings it back.
func Install(ctx context.Context, file string, keepBoth bool, progress func(done, total int64)) (*Undo, error) {
	old, err := keepReplaced(file, keepBoth)
	if err != nil {
		return nil, err
	}
	app, err := apps.Install(ctx, file, apps.InstallOptions{KeepBoth: keepBoth, Progress: progress})
	if err != nil {
		old.drop()
		return nil, err
	}
	Refresh(ctx)
	back := func(ctx context.Context) error {
		if old == nil || old.file != app.File {
			if err := apps.Remove(ctx, app.File); err != nil {
				return err
			}
		}
		if err := old.restore(); err != nil {
			return err
		}
		Refresh(ctx)
		return nil
	}
	return &Undo{back: back, forget: old.drop}, nil
}

// Uninstall takes a bundle out of the applications and of the desktop.
func Uninstall(ctx context.Context, file string) (*Undo, error) {
	undo, err := apps.Uninstall(ctx, file)
	if err != nil {
		return nil, err
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
