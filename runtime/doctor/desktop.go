// SPDX-License-Identifier: MIT

package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// tryWriting makes a file in a folder, or in the nearest folder above it that exists, and takes it away.
func tryWriting(dir string) error {
	dir, err := existing(dir)
	if err != nil {
		return err
	}
	// A file without a name leaves nothing behind, whatever happens.
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	switch {
	case err == nil:
		_, err = unix.Write(fd, []byte{0})
		unix.Close(fd)
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EISDIR), errors.Is(err, unix.ENOENT), errors.Is(err, unix.EINVAL):
		var f *os.File
		if f, err = os.CreateTemp(dir, ".glick-doctor-"); err == nil {
			_, err = f.Write([]byte{0})
			f.Close()
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}
	if err != nil {
		return fmt.Errorf("nothing can be written in %s: %w", dir, plain(err))
	}
	return nil
}

// existing is the nearest folder at or above a path.
func existing(dir string) (string, error) {
	for {
		info, err := os.Stat(dir)
		switch {
		case err == nil && info.IsDir():
			return dir, nil
		case err == nil:
			return "", fmt.Errorf("%s is not a folder", dir)
		case !errors.Is(err, os.ErrNotExist):
			return "", fmt.Errorf("%s cannot be used: %w", dir, plain(err))
		case filepath.Dir(dir) == dir:
			return "", fmt.Errorf("%s cannot be used: %w", dir, plain(err))
		}
		dir = filepath.Dir(dir)
	}
}

// mendWriting is what can be done when a folder cannot be written to.
func mendWriting(err error, dir string) string {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "Free some space."
	case errors.Is(err, syscall.EROFS):
		return "Mount the file system of " + dir + " for writing."
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return "Make " + dir + " yours, with chown and chmod."
	}
	return ""
}

func checkHome(context.Context, *host) Check {
	const without = "Nothing can be installed; bundles can be opened where they are."
	home, err := os.UserHomeDir()
	if err != nil || !filepath.IsAbs(home) {
		return Check{State: Missing, Detail: "HOME is not set to an absolute path.", Used: without, Mend: "Set HOME.", Err: err}
	}
	if info, err := os.Stat(home); err != nil || !info.IsDir() {
		return Check{State: Missing, Detail: home + " is not there.", Used: without, Mend: "Make it, or set HOME.", Err: err}
	}
	if err := tryWriting(home); err != nil {
		return Check{State: Missing, Detail: sentence(err), Used: without, Mend: mendWriting(err, home), Err: err}
	}
	return Check{State: OK, Detail: home + " can be written to.", Used: "Applications are installed for this user alone."}
}

func checkCache(_ context.Context, h *host) Check {
	const without = "Nothing can be unpacked where FUSE is missing."
	if !filepath.IsAbs(h.Cache) {
		return Check{State: Missing, Detail: "There is no folder for caches.", Used: without, Mend: "Set HOME or XDG_CACHE_HOME."}
	}
	if err := tryWriting(h.Cache); err != nil {
		return Check{State: Missing, Detail: sentence(err), Used: without, Mend: mendWriting(err, h.Cache), Err: err}
	}
	dir, err := existing(h.Cache)
	var fs unix.Statfs_t
	if err == nil && unix.Statfs(dir, &fs) == nil && fs.Flags&unix.ST_NOEXEC != 0 {
		return Check{State: Missing, Detail: "Programs in " + dir + " cannot be executed: it is mounted noexec.", Used: without,
			Mend: "Set XDG_CACHE_HOME to a folder in a file system without noexec."}
	}
	return Check{State: OK, Detail: h.Cache + " can be written to.", Used: "Files are unpacked there where FUSE is missing."}
}

// checkApps watches the folder as the session service does.
func checkApps(_ context.Context, h *host) Check {
	const without = "\"glick install\" shows applications to the desktop; bundles that are copied by other means show after the next one."
	if !filepath.IsAbs(h.Apps) {
		return Check{State: Missing, Detail: "There is no home folder for it.", Used: without, Mend: "Set HOME."}
	}
	dir, err := existing(h.Apps)
	if err != nil {
		return Check{State: Missing, Detail: sentence(err), Used: without, Err: err}
	}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		mend := ""
		if errors.Is(err, unix.EMFILE) {
			mend = "As root: sysctl fs.inotify.max_user_instances=1024"
		}
		return Check{State: Missing, Detail: sentence(fmt.Errorf("no more folders can be watched: %w", err)), Used: without, Mend: mend, Err: err}
	}
	defer unix.Close(fd)
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_CREATE|unix.IN_MOVED_TO); err != nil {
		mend := ""
		if errors.Is(err, unix.ENOSPC) {
			mend = "As root: sysctl fs.inotify.max_user_watches=524288"
		}
		return Check{State: Missing, Detail: sentence(fmt.Errorf("%s cannot be watched: %w", dir, err)), Used: without, Mend: mend, Err: err}
	}
	switch {
	case dir != h.Apps && tryWriting(dir) != nil:
		return Check{State: Missing, Detail: "There is no folder " + h.Apps + ", and it cannot be made.", Used: "Nothing can be installed for this user alone.",
			Mend: "Make it: mkdir " + h.Apps}
	case tryWriting(dir) != nil:
		return Check{State: Degraded, Detail: dir + " can be watched, but not written to.", Used: "Nothing can be installed for this user alone.",
			Mend: mendWriting(tryWriting(dir), dir)}
	case !h.works(IDService):
		return Check{State: Degraded, Detail: dir + " can be watched, but the session service does not run.", Used: without}
	case dir != h.Apps:
		return Check{State: OK, Detail: h.Apps + " is made when something is installed.", Used: "The session service watches for it."}
	}
	return Check{State: OK, Detail: dir + " can be watched.", Used: "The session service shows to the desktop what is copied there."}
}

// checkDataHome finds out whether what is written for the desktop is where the desktop looks.
func checkDataHome(_ context.Context, h *host) Check {
	const without = "Installed applications are not shown in the desktop."
	if !filepath.IsAbs(h.DataHome) {
		return Check{State: Missing, Detail: "There is no folder for what the desktop shows.", Used: without, Mend: "Set HOME."}
	}
	if err := tryWriting(h.DataHome); err != nil {
		return Check{State: Missing, Detail: sentence(err), Used: without, Mend: mendWriting(err, h.DataHome), Err: err}
	}
	if theirs := dataHomeOf(servicePID()); theirs != "" && theirs != filepath.Clean(h.DataHome) {
		return Check{State: Degraded, Detail: "It is " + h.DataHome + " here, but " + theirs + " for the session service.",
			Used: "What \"glick\" shows by itself, the desktop may not see.", Mend: "Set XDG_DATA_HOME for the whole session, or not at all."}
	}
	if !slices.ContainsFunc(h.DataDirs, func(dir string) bool { return filepath.Clean(dir) == "/usr/share" }) {
		return Check{State: Degraded, Detail: "XDG_DATA_DIRS does not name /usr/share.", Used: "Programs do not know the system's file types and icons.",
			Mend: "Add /usr/local/share:/usr/share to XDG_DATA_DIRS."}
	}
	return Check{State: OK, Detail: h.DataHome + " is in effect.", Used: "Menu entries, icons, file types and services of applications are in it."}
}

// dataHomeOf is what XDG_DATA_HOME means to another process of this user; "" when that cannot be told.
func dataHomeOf(pid int) string {
	if pid == 0 {
		return ""
	}
	home := ""
	for kv := range strings.SplitSeq(readLine(fmt.Sprintf("/proc/%d/environ", pid)), "\x00") {
		switch name, value, _ := strings.Cut(kv, "="); {
		case !filepath.IsAbs(value):
		case name == "XDG_DATA_HOME":
			return filepath.Clean(value)
		case name == "HOME":
			home = filepath.Join(value, ".local/share")
		}
	}
	return home
}

func checkDesktopDatabase(context.Context, *host) Check {
	return checkTool("update-desktop-database", "desktop-file-utils", "The desktop learns which application opens which file type.",
		"Files do not open with installed applications by a double click.")
}

func checkMimeDatabase(context.Context, *host) Check {
	return checkTool("update-mime-database", "shared-mime-info", "The desktop learns new file types.", "New file types of applications are not known.")
}

func checkTool(name, pack, used, without string) Check {
	path, err := exec.LookPath(name)
	if err != nil {
		return Check{State: Missing, Detail: "There is no program " + name + ".", Used: without, Mend: "Install the package " + pack + ".", Err: err}
	}
	return Check{State: OK, Detail: path + " is there.", Used: used}
}

// checkThumbnailer looks for the program and for what tells file managers of it. They run it in a sandbox that has /usr alone.
func checkThumbnailer(_ context.Context, h *host) Check {
	const without = "File managers show bundles with a general icon."
	program := beside("glick-thumbnailer")
	entry := ""
	for _, dir := range append([]string{h.DataHome}, h.DataDirs...) {
		file := filepath.Join(dir, "thumbnailers", "glick.thumbnailer")
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
			entry = file
			break
		}
	}
	switch {
	case program == "":
		return Check{State: Missing, Detail: "There is no program glick-thumbnailer.", Used: without, Mend: "Install all of Glick again."}
	case entry == "":
		return Check{State: Missing, Detail: "No glick.thumbnailer is in the folders of XDG_DATA_DIRS.", Used: without,
			Mend: "Add the share folder of Glick's installation to XDG_DATA_DIRS."}
	case !strings.HasPrefix(program, "/usr/"):
		return Check{State: Degraded, Detail: program + " is not below /usr, and file managers run thumbnailers in a sandbox that has nothing else.",
			Used: without, Mend: "Install Glick below /usr or /usr/local."}
	}
	return Check{State: OK, Detail: program + " is there.", Used: "File managers show bundles with their own icons."}
}
