// SPDX-License-Identifier: MIT

package apps

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/adrg/xdg"
	"golang.org/x/sys/unix"

	"glick.org/glick/bundle"
)

// maxUsed is how many notes are looked at.
const maxUsed = 1 << 16

// usedDir holds an empty file for each id that was used, named like it. The time of its last change is that of the use.
func usedDir() string { return filepath.Join(xdg.DataHome, "glick", "used") }

// openUsed opens the folder of the notes, following no link but in the path of the data folder itself, which is the user's own choice.
func openUsed(make bool) (int, error) {
	if !filepath.IsAbs(xdg.DataHome) {
		return -1, fs.ErrNotExist
	}
	if make {
		if err := os.MkdirAll(xdg.DataHome, 0o700); err != nil {
			return -1, err
		}
	}
	const flags = unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC
	dir, err := unix.Open(xdg.DataHome, flags, 0)
	for _, name := range []string{"glick", "used"} {
		if err != nil {
			break
		}
		parent := dir
		if make {
			if err = unix.Mkdirat(parent, name, 0o700); errors.Is(err, unix.EEXIST) {
				err = nil
			}
		}
		if err == nil {
			dir, err = unix.Openat(parent, name, flags|unix.O_NOFOLLOW, 0)
		}
		unix.Close(parent)
	}
	if err != nil {
		return -1, &fs.PathError{Op: "open", Path: usedDir(), Err: err}
	}
	return dir, nil
}

// NoteUse notes that an application was used at a time. It is only noted where it is the latest use that is known. Whoever notes sees to it that the
// application is installed: of bundles that are only started nothing is kept.
func NoteUse(id string, when time.Time) error {
	if err := noteUse(id, when); err != nil {
		return fmt.Errorf("cannot note the use of an application: %w", err)
	}
	return nil
}

func noteUse(id string, when time.Time) error {
	if err := bundle.ValidID(id); err != nil {
		return err
	}
	dir, err := openUsed(true)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	if known := usedIn(dir, id); known.After(when) && !known.After(time.Now()) {
		return nil
	}
	fd, err := unix.Openat(dir, id, unix.O_WRONLY|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return errSkip
	}
	at := unix.NsecToTimespec(when.UnixNano())
	return unix.UtimesNanoAt(dir, id, []unix.Timespec{at, at}, unix.AT_SYMLINK_NOFOLLOW)
}

// usedIn reads one note; the zero time for none.
func usedIn(dir int, id string) time.Time {
	var st unix.Stat_t
	if unix.Fstatat(dir, id, &st, unix.AT_SYMLINK_NOFOLLOW) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return time.Time{}
	}
	return time.Unix(st.Mtim.Unix())
}

// Used tells when an application was started last, as far as the session service has noted it; the zero time when it has not.
func Used(id string) time.Time {
	if bundle.ValidID(id) != nil {
		return time.Time{}
	}
	dir, err := openUsed(false)
	if err != nil {
		return time.Time{}
	}
	defer unix.Close(dir)
	return past(usedIn(dir, id))
}

// AllUsed is Used of all ids that there are notes of.
func AllUsed() map[string]time.Time {
	used := map[string]time.Time{}
	eachUsed(func(_ int, id string, when time.Time) {
		if when = past(when); !when.IsZero() {
			used[id] = when
		}
	})
	return used
}

// past passes over times to come, which a wrong clock has written.
func past(t time.Time) time.Time {
	if t.After(time.Now()) {
		return time.Time{}
	}
	return t
}

func eachUsed(f func(dir int, id string, when time.Time)) {
	dir, err := openUsed(false)
	if err != nil {
		return
	}
	defer unix.Close(dir)
	// What was opened as a path only cannot be read; no name but this is looked up.
	fd, err := unix.Openat(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	folder := os.NewFile(uintptr(fd), usedDir())
	defer folder.Close()
	names, _ := folder.Readdirnames(maxUsed) // what was read before an error counts
	for _, id := range names {
		if bundle.ValidID(id) != nil {
			continue
		}
		if when := usedIn(dir, id); !when.IsZero() {
			f(dir, id, when)
		}
	}
}

// forgetUse forgets when an application was used, and returns when that was; the zero time when nothing was known.
func forgetUse(id string) time.Time {
	if bundle.ValidID(id) != nil {
		return time.Time{}
	}
	dir, err := openUsed(false)
	if err != nil {
		return time.Time{}
	}
	defer unix.Close(dir)
	when := usedIn(dir, id)
	if !when.IsZero() {
		_ = unix.Unlinkat(dir, id, 0)
		removeUsedDir()
	}
	return when
}

// CleanUsed forgets the use of applications that are not in the list, whose files were deleted, and says whether it did: what is in an added folder that
// is not there now is remembered until it comes back, or the folder is removed.
func CleanUsed(list []App) bool {
	for _, f := range FolderStates() {
		if f.Added && !f.There {
			return false
		}
	}
	installed := map[string]bool{}
	for _, a := range list {
		installed[a.ID] = true
	}
	eachUsed(func(dir int, id string, when time.Time) {
		if !installed[id] {
			_ = unix.Unlinkat(dir, id, 0)
		}
	})
	removeUsedDir()
	return true
}

// removeUsedDir leaves no folder without notes.
func removeUsedDir() { _ = unix.Rmdir(usedDir()) }

// lastOf gives the id of an application of which a file is the only bundle; empty otherwise.
func (l *library) lastOf(file string) string {
	all, _, err := l.List()
	if err != nil {
		return ""
	}
	id, others := "", map[string]int{}
	for _, a := range all {
		if a.File == file {
			id = a.ID
		}
		others[a.ID]++
	}
	if others[id] != 1 {
		return ""
	}
	return id
}
