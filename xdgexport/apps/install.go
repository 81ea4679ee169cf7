// SPDX-License-Identifier: MIT

package apps

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"glick.org/glick/bundle"
)

const (
	installPrefix = ".glick-install-"
	// copyStep is how much is copied between two looks at the context.
	copyStep = 8 << 20
	// maxBase keeps names below the usual 255 bytes, with room for a number.
	maxBase = 200
)

// ErrNotOurs says that an application is not the user's own to change.
var ErrNotOurs = fmt.Errorf("it is installed for all users of this computer: %w", fs.ErrPermission)

// InstallOptions tells how to install.
type InstallOptions struct {
	// KeepBoth adds a version beside those installed. Otherwise the one in use, if the user has the application
	// already, is replaced.
	KeepBoth bool
	// Progress, when not nil, is called from one goroutine at a time with bytes of the file done and in total. Copying
	// them is one half, checking the copy the other.
	Progress func(done, total int64)
}

// Install copies a bundle into the user's folder of applications and returns it as it is there. The copy is checked
// before it gets its name, to the last byte. After any failure, or when ctx ends, nothing is left behind
// and what was installed before still is. The source is only read.
//
// Installing does not wait for the desktop: call xdgexport.Refresh for that.
func Install(ctx context.Context, src string, o InstallOptions) (App, error) {
	app, err := install(ctx, src, o)
	if err != nil {
		return App{}, fmt.Errorf("cannot install %s: %w", src, plain(err))
	}
	return app, nil
}

func install(ctx context.Context, src string, o InstallOptions) (App, error) {
	path, err := filepath.Abs(src)
	if err != nil {
		return App{}, err
	}
	in, st, err := open(path)
	if errors.Is(err, errSkip) {
		return App{}, bundle.ErrNotBundle
	}
	if err != nil {
		return App{}, err
	}
	defer in.Close()
	want, err := check(in, st, path)
	if err != nil {
		return App{}, err
	}
	home, err := Home()
	if err != nil {
		return App{}, err
	}
	if err := os.MkdirAll(home, 0o755); err != nil {
		return App{}, err
	}
	Clean()
	if here, err := os.Stat(home); err == nil {
		if there, err := os.Stat(filepath.Dir(path)); err == nil && os.SameFile(here, there) && !strings.HasPrefix(filepath.Base(path), ".") {
			return want, nil // it lies there already
		}
	}

	out, err := hidden(home, installPrefix)
	if err != nil {
		return App{}, err
	}
	defer out.Close()
	tmp := out.Name()
	named := false
	defer func() {
		if !named {
			os.Remove(tmp)
		}
	}()
	progress := o.Progress
	if progress == nil {
		progress = func(int64, int64) {}
	}
	if err := copyFile(ctx, out, in, st.Size, func(done, total int64) { progress(done/2, total) }); err != nil {
		return App{}, err
	}
	copyOrigin(out, in)
	var got unix.Stat_t
	if err := unix.Fstat(int(out.Fd()), &got); err != nil {
		return App{}, err
	}
	app, err := check(out, &got, tmp)
	if err != nil {
		return App{}, err
	}
	if app.Digest != want.Digest || got.Size != st.Size {
		return App{}, fmt.Errorf("%w: it changed while it was copied", bundle.ErrDamaged)
	}
	if err := checkAll(ctx, out, got.Size, progress); err != nil {
		return App{}, err
	}
	if err := out.Sync(); err != nil {
		return App{}, err
	}
	if err := ctx.Err(); err != nil {
		return App{}, err
	}
	app.File, err = putInPlace(home, tmp, baseName(path), app, o.KeepBoth)
	if err != nil {
		return App{}, err
	}
	named = true
	syncDir(home)
	forgetFailedThumbnail(app.File)
	return app, nil
}

// check reads a bundle as far as installing it asks for: identity, indexes, and that it can run on this processor.
func check(f *os.File, st *unix.Stat_t, path string) (App, error) {
	b, err := bundle.Read(f, st.Size)
	if err != nil {
		return App{}, err
	}
	m := b.Manifest()
	if host := hostArch(); m.Arch != host {
		return App{}, fmt.Errorf("%w: it is made for %s, this computer is %s", bundle.ErrArch, m.Arch, host)
	}
	if _, err := b.Tree(); err != nil {
		return App{}, err
	}
	if _, err := b.DesktopFile(); err != nil {
		return App{}, err
	}
	return App{ID: m.ID, Version: m.Version, Name: m.Name, File: path, Size: st.Size, Digest: b.Digest()}, nil
}

// checkAll compares everything in a bundle to its digests.
func checkAll(ctx context.Context, f *os.File, size int64, progress func(done, total int64)) error {
	b, err := bundle.Read(f, size)
	if err != nil {
		return err
	}
	_, err = b.Verify(ctx, func(done, total int64) {
		if total > 0 {
			progress(size/2+int64(float64(size-size/2)*float64(done)/float64(total)), size)
		}
	})
	return err
}

// hostArch names this processor as manifests do.
func hostArch() string {
	switch runtime.GOARCH {
	case "amd64":
		return "x86_64"
	case "arm64":
		return "aarch64"
	}
	return runtime.GOARCH
}

// putInPlace gives the finished copy its name. Of the user's other bundles it replaces at most the one version of the
// same id that is in use.
func putInPlace(home, tmp, base string, app App, keepBoth bool) (string, error) {
	stem := strings.TrimSuffix(base, Suffix)
	var old App
	all, _, err := List()
	if err != nil {
		return "", err
	}
	taken := map[string]App{}
	for _, a := range all {
		if filepath.Dir(a.File) != home {
			continue
		}
		taken[filepath.Base(a.File)] = a
		if a.ID != app.ID {
			continue
		}
		// The list begins with the highest version. The same version again is that one, whatever else is there.
		if (!keepBoth && old.File == "") || a.Version == app.Version {
			old = a
		}
	}
	if old.File != "" && filepath.Base(old.File) == base {
		return old.File, os.Rename(tmp, old.File)
	}
	version := strings.Map(func(r rune) rune {
		if r == '/' || !unicode.IsPrint(r) {
			return '_'
		}
		return r
	}, app.Version)
	for n := 0; n < 1000; n++ {
		name := base
		switch {
		case n == 1:
			name = stem + "-" + version + Suffix
		case n > 1:
			name = fmt.Sprintf("%s-%s-%d%s", stem, version, n, Suffix)
		}
		if a, ok := taken[name]; ok && a.File == old.File {
			return old.File, os.Rename(tmp, old.File)
		}
		target := filepath.Join(home, name)
		err := renameNew(tmp, target)
		if errors.Is(err, fs.ErrExist) || errors.Is(err, unix.ENAMETOOLONG) && n > 0 {
			continue
		}
		if err != nil {
			return "", err
		}
		if old.File != "" {
			// A crash before this leaves two versions side by side, which is a state like any other.
			if err := os.Remove(old.File); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return "", fmt.Errorf("cannot remove the version it replaces: %w", err)
			}
		}
		return target, nil
	}
	return "", fmt.Errorf("no free name like %s in %s: %w", base, home, fs.ErrExist)
}

// renameNew renames to a name that must be free.
func renameNew(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS):
		// Not every file system knows the flag; a hard link does not replace either.
		if err := os.Link(from, to); err != nil {
			return err
		}
		return os.Remove(from)
	}
	return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
}

// baseName is the name that a bundle gets among the applications.
func baseName(path string) string {
	stem := strings.TrimSuffix(filepath.Base(path), Suffix)
	stem = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '_'
		}
		return r
	}, strings.ToValidUTF8(stem, "_"))
	stem = strings.TrimSpace(strings.TrimLeft(stem, "."))
	for len(stem) > maxBase {
		_, n := utf8.DecodeLastRuneInString(stem)
		stem = stem[:len(stem)-n]
	}
	if stem == "" {
		stem = "application"
	}
	return stem + Suffix
}

// hidden creates a file under a hidden name, held by a lock until it is closed; see Clean.
func hidden(dir, prefix string) (*os.File, error) {
	f, err := os.CreateTemp(dir, prefix)
	if err != nil {
		return nil, err
	}
	// CreateTemp takes 0600; what installed files get is what the user's umask gives to programs.
	err = f.Chmod(0o777 &^ umask() &^ 0o022)
	if err == nil {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	if err != nil {
		os.Remove(f.Name())
		f.Close()
		return nil, err
	}
	return f, nil
}

// umask reads the process's umask without changing it (proc(5)).
func umask() os.FileMode {
	status, err := os.ReadFile("/proc/self/status")
	if err == nil {
		for line := range strings.Lines(string(status)) {
			var mask uint32
			if _, err := fmt.Sscanf(line, "Umask: %o", &mask); err == nil {
				return os.FileMode(mask)
			}
		}
	}
	return 0o022
}

// copyFile copies size bytes, as a clone where the file system can, else within the kernel, else by hand.
func copyFile(ctx context.Context, out, in *os.File, size int64, progress func(done, total int64)) error {
	progress(0, size)
	if unix.IoctlFileClone(int(out.Fd()), int(in.Fd())) == nil {
		progress(size, size)
		return nil
	}
	// Reserving the room first makes a full disk known at once, and not after minutes.
	if err := unix.Fallocate(int(out.Fd()), 0, 0, size); errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EFBIG) {
		return &fs.PathError{Op: "write", Path: filepath.Dir(out.Name()), Err: err}
	}
	var done int64
	inKernel := true
	for done < size {
		if err := ctx.Err(); err != nil {
			return err
		}
		step := min(size-done, copyStep)
		var n int64
		if inKernel {
			from, to := done, done
			c, err := unix.CopyFileRange(int(in.Fd()), &from, int(out.Fd()), &to, int(step), 0)
			switch {
			case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN):
				continue
			case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
				return err
			case err != nil || c == 0:
				// c == 0 is what some virtual file systems answer for any file.
				inKernel = false
				continue
			}
			n = int64(c)
		} else {
			c, err := io.Copy(io.NewOffsetWriter(out, done), io.NewSectionReader(in, done, step))
			if err != nil {
				return err
			}
			if c == 0 {
				return fmt.Errorf("%w: the file became shorter", bundle.ErrTruncated)
			}
			n = c
		}
		done += n
		progress(done, size)
	}
	return out.Truncate(size)
}

// copyOrigin keeps the record of where a file was downloaded from. Not every file system has one; that is no failure.
func copyOrigin(out, in *os.File) {
	for _, name := range []string{"user.xdg.origin.url", "user.xdg.referrer.url"} {
		buf := make([]byte, 4096)
		if n, err := unix.Fgetxattr(int(in.Fd()), name, buf); err == nil {
			_ = unix.Fsetxattr(int(out.Fd()), name, buf[:n], 0)
		}
	}
}

// syncDir makes names last. A folder that cannot be synced is no reason to fail: the names are there.
func syncDir(dir string) {
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync()
		d.Close()
	}
}
