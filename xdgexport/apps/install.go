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
	"glick.org/glick/xdgexport/apps/trust"
)

const (
	installPrefix = ".glick-install-"
	// maxBase keeps names below the usual 255 bytes, with room for a number.
	maxBase = 200
)

// copyStep is how much is copied between two looks at the context. Tests have it smaller.
var copyStep int64 = 8 << 20

// ErrNotOurs says that an application is not the user's own to change.
var ErrNotOurs = fmt.Errorf("it is installed for all users of this computer: %w", fs.ErrPermission)

// ErrSourceLeft says that a bundle was installed, but that the file that it should have been moved from is still there.
var ErrSourceLeft = errors.New("the bundle is installed, but the file that it was moved from could not be removed")

// InstallOptions tells how to install.
type InstallOptions struct {
	// KeepBoth adds a version beside those installed. Otherwise the one in use, if the user has the application
	// already, is replaced.
	KeepBoth bool
	// Move takes the source away. On one file system it only gets another name; otherwise it is removed when the checked copy has its own. A
	// source that is a symbolic link, or that changes meanwhile, stays.
	Move bool
	// Accept remembers the bundle's key as one of the application's, or accepts this one bundle if it is not signed. Without it, a bundle whose
	// key is not the one that is known is ErrChanged.
	Accept bool
	// Progress, when not nil, is called from one goroutine at a time with bytes of the file done and in total. Copying
	// them is one half, checking the copy the other.
	Progress func(done, total int64)
}

// Install copies or moves a bundle into the user's folder of applications and returns it as it is there. The copy is checked
// before it gets its name, to the last byte. After any failure, or when ctx ends, nothing is left behind
// and what was installed before still is. A process that dies leaves at most a hidden file, which Clean deletes. The source is only read, or is moved
// when all else is done; if then it cannot be removed, the error is ErrSourceLeft, and what is returned is installed.
//
// Where the file was downloaded from (user.xdg.origin.url) is kept. Installing does not wait for the desktop: call xdgexport.Refresh for that.
func Install(ctx context.Context, src string, o InstallOptions) (App, error) {
	app, err := install(ctx, src, o)
	if err != nil {
		return app, fmt.Errorf("cannot install %s: %w", src, plain(err))
	}
	return app, nil
}

func install(ctx context.Context, src string, o InstallOptions) (App, error) {
	path, err := filepath.Abs(src)
	if err != nil {
		return App{}, err
	}
	in, st, err := open(path, 0)
	if errors.Is(err, errSkip) {
		return App{}, bundle.ErrNotBundle
	}
	if err != nil {
		return App{}, err
	}
	defer in.Close()
	lib := current()
	want, err := lib.check(in, st.Size, path)
	if err != nil {
		return App{}, err
	}
	if want.State == trust.Changed && !o.Accept {
		return App{}, fmt.Errorf("%w: it is %s", ErrChanged, signedBy(want.Key))
	}
	home, err := Home()
	if err != nil {
		return App{}, err
	}
	if err := onDisk.mkdir(home, 0o755); err != nil {
		return App{}, err
	}
	Clean()
	t := &transfer{ctx: ctx, lib: lib, home: home, in: in, st: *st, path: path, want: want, progress: o.Progress}
	if t.progress == nil {
		t.progress = func(int64, int64) {}
	}
	if here, err := os.Stat(home); err == nil {
		if there, err := os.Stat(filepath.Dir(path)); err == nil && os.SameFile(here, there) && !strings.HasPrefix(filepath.Base(path), ".") {
			return t.lies(o.Accept) // it lies there already
		}
	}
	draft, err := t.draft(o.Move)
	if err != nil {
		return App{}, err
	}
	defer draft.drop()
	if err := ctx.Err(); err != nil {
		return App{}, err
	}
	if o.Accept && want.State == trust.Changed {
		if err := accept(want); err != nil {
			return App{}, err
		}
	}
	app := want
	if app.File, err = putInPlace(home, draft, baseName(path), app, o.KeepBoth); err != nil {
		return App{}, err
	}
	syncDir(home)
	forgetFailedThumbnail(app.File)
	lib.installed(&app, draft.file)
	if o.Move && !draft.moved {
		if err := t.removeSource(); err != nil {
			return app, err
		}
	}
	return app, nil
}

func signedBy(k trust.Key) string {
	if k.None() {
		return "not signed at all"
	}
	return "signed with " + k.Fingerprint
}

// accept accepts what a bundle is signed with.
func accept(a App) error {
	if a.Key.None() {
		return Accept(a.ID, a.Digest.String())
	}
	return AcceptKey(a.ID, a.Key)
}

// transfer is one installation.
type transfer struct {
	ctx      context.Context
	lib      *library
	home     string
	in       *os.File // the source
	st       unix.Stat_t
	path     string // of the source
	want     App    // what the source says it is
	progress func(done, total int64)
}

// lies is for a bundle that is in the folder already.
func (t *transfer) lies(accepted bool) (App, error) {
	if accepted && t.want.State == trust.Changed {
		if err := accept(t.want); err != nil {
			return App{}, err
		}
		t.want.State = trust.Verified
	}
	return t.want, nil
}

// draft is a checked bundle that waits for its name among the applications.
type draft struct {
	file  *os.File // open for reading only; with a shared lock, so that Clean leaves it alone
	path  string   // the name that it has until then; empty for none
	moved bool     // it is the source itself
	done  bool
}

// drop takes away a draft that has not got its name, unless it is the source.
func (d *draft) drop() {
	if !d.done && !d.moved && d.path != "" {
		_ = onDisk.remove(d.path)
	}
	if !d.moved {
		d.file.Close()
	}
}

// place gives the draft its name. ErrExist says that something else has it.
func (d *draft) place(target string, replace bool) (err error) {
	switch {
	case d.path == "" && !replace:
		err = onDisk.link(d.file, target)
	case d.path == "":
		// A link replaces nothing, so it gets a hidden name first.
		hidden := filepath.Join(filepath.Dir(target), fmt.Sprintf("%s%d-%d", installPrefix, os.Getpid(), d.file.Fd()))
		if err := onDisk.link(d.file, hidden); err != nil {
			return err
		}
		d.path = hidden
		err = onDisk.rename(hidden, target)
	case replace:
		err = onDisk.rename(d.path, target)
	default:
		err = onDisk.renameNew(d.path, target)
	}
	d.done = d.done || err == nil
	return err
}

// draft checks the source to the last byte, in a copy unless it can be moved.
func (t *transfer) draft(move bool) (*draft, error) {
	if move && t.sameFileSystem() {
		if err := checkAll(t.ctx, t.in, t.st.Size, t.progress); err != nil {
			return nil, err
		}
		if !t.untouched() {
			return nil, fmt.Errorf("%w: it changed while it was checked", bundle.ErrDamaged)
		}
		_ = onDisk.sync(t.in)
		return &draft{file: t.in, path: t.path, moved: true}, nil
	}
	out, name, err := newDraft(t.home)
	if err != nil {
		return nil, err
	}
	fail := func(err error) (*draft, error) {
		if name != "" {
			_ = onDisk.remove(name)
		}
		out.Close()
		return nil, err
	}
	half := func(done, total int64) { t.progress(done/2, total) }
	if err := copyFile(t.ctx, out, t.in, t.st.Size, half); err != nil {
		return fail(err)
	}
	copyOrigin(out, t.in)
	if err := onDisk.sync(out); err != nil {
		return fail(err)
	}
	// From here on nobody can write it, and so nobody who looks at it takes it for one that is still being written.
	sealed, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", out.Fd()))
	if err != nil && name != "" {
		sealed, err = os.Open(name)
	}
	if err != nil {
		return fail(err)
	}
	if err := lockShared(out, sealed); err != nil {
		sealed.Close()
		return fail(err)
	}
	out.Close()
	d := &draft{file: sealed, path: name}
	got, err := t.lib.check(sealed, t.st.Size, t.path)
	if err == nil && got.Digest != t.want.Digest {
		err = fmt.Errorf("%w: it changed while it was copied", bundle.ErrDamaged)
	}
	if err == nil && got.Key != t.want.Key {
		err = fmt.Errorf("%w: its signature changed while it was copied", bundle.ErrDamaged)
	}
	if err == nil {
		err = checkAll(t.ctx, sealed, t.st.Size, t.progress)
	}
	if err != nil {
		d.drop()
		return nil, err
	}
	return d, nil
}

// lockShared hands the lock of a file from one open of it to another.
func lockShared(from, to *os.File) error {
	if err := unix.Flock(int(from.Fd()), unix.LOCK_SH|unix.LOCK_NB); err != nil {
		return err
	}
	return unix.Flock(int(to.Fd()), unix.LOCK_SH|unix.LOCK_NB)
}

// sameFileSystem tells whether the source can get another name instead of being copied.
func (t *transfer) sameFileSystem() bool {
	var home, source unix.Stat_t
	return unix.Stat(t.home, &home) == nil && home.Dev == t.st.Dev && unix.Lstat(t.path, &source) == nil && source.Ino == t.st.Ino &&
		source.Dev == t.st.Dev && unix.Access(filepath.Dir(t.path), unix.W_OK) == nil && t.st.Uid == uint32(os.Geteuid())
}

// untouched tells whether the source is still the file that was opened, as it was.
func (t *transfer) untouched() bool {
	var st unix.Stat_t
	return unix.Lstat(t.path, &st) == nil && st.Dev == t.st.Dev && st.Ino == t.st.Ino && st.Size == t.st.Size && st.Mtim == t.st.Mtim
}

func (t *transfer) removeSource() error {
	if !t.untouched() {
		return ErrSourceLeft
	}
	if err := onDisk.remove(t.path); err != nil {
		return fmt.Errorf("%w: %w", ErrSourceLeft, plain(err))
	}
	return nil
}

// check reads a bundle as far as installing it asks for: identity, signature, indexes, and that it can run on this processor.
func (l *library) check(f *os.File, size int64, path string) (App, error) {
	b, err := bundle.Read(f, size)
	if err != nil {
		return App{}, err
	}
	m := b.Manifest()
	if host := hostArch(); m.Arch != host {
		return App{}, fmt.Errorf("%w: it is made for %s, this computer is %s", bundle.ErrArch, m.Arch, host)
	}
	if _, err := keyOf(b); err != nil {
		return App{}, err
	}
	if _, err := b.Tree(); err != nil {
		return App{}, err
	}
	if _, err := b.DesktopFile(); err != nil {
		return App{}, err
	}
	return l.describe(f, b, path)
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
//
// A version is replaced in place first, at once, and only then gets the new name: whenever the process dies, there is one version, whole.
func putInPlace(home string, d *draft, base string, app App, keepBoth bool) (string, error) {
	stem := strings.TrimSuffix(base, Suffix)
	all, _, err := List()
	if err != nil {
		return "", err
	}
	old := ""
	for _, a := range all {
		// The list begins with the one in use. The same version again is that one, whatever else is there; others that cannot be used stay.
		if a.ID == app.ID && filepath.Dir(a.File) == home && ((!keepBoth && old == "" && a.State.Usable()) || a.Version == app.Version) {
			old = a.File
		}
	}
	if old != "" {
		if err := d.place(old, true); err != nil {
			return "", err
		}
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
		target := filepath.Join(home, name)
		if target == old {
			return old, nil
		}
		if old != "" {
			err = onDisk.renameNew(old, target)
		} else {
			err = d.place(target, false)
		}
		switch {
		case err == nil:
			return target, nil
		case errors.Is(err, fs.ErrExist) || errors.Is(err, unix.ENAMETOOLONG) && n > 0:
		case old != "":
			return old, nil // it is installed; only its name is the old one
		default:
			return "", err
		}
	}
	if old != "" {
		return old, nil
	}
	return "", fmt.Errorf("no free name like %s in %s: %w", base, home, fs.ErrExist)
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

// newDraft makes a file for a copy: without a name, where the file system has such, so that nothing is left of it whatever happens; otherwise under
// a hidden name, held by a lock until it is closed; see Clean.
func newDraft(dir string) (f *os.File, name string, err error) {
	mode := 0o777 &^ umask() &^ 0o022
	// Some file systems in user space can make such a file, and then not find it again.
	if !isRemote(dir) {
		f, err := onDisk.unnamed(dir, mode)
		if err == nil {
			var again *os.File
			if again, err = os.Open(fmt.Sprintf("/proc/self/fd/%d", f.Fd())); err == nil {
				again.Close()
				return f, "", nil
			}
			f.Close()
		}
		if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EIO) {
			return nil, "", err
		}
	}
	if f, err = hidden(dir, installPrefix, mode); err != nil {
		return nil, "", err
	}
	return f, f.Name(), nil
}

func isRemote(dir string) bool {
	f := folder{path: dir}
	f.look()
	return f.remote
}

// hidden creates a file under a hidden name, held by a lock until it is closed; see Clean.
func hidden(dir, prefix string, mode os.FileMode) (*os.File, error) {
	for n := 0; ; n++ {
		f, err := onDisk.create(filepath.Join(dir, fmt.Sprintf("%s%d-%d", prefix, os.Getpid(), n)), os.O_RDWR|os.O_EXCL, mode)
		if errors.Is(err, fs.ErrExist) && n < 1000 {
			continue
		}
		if err != nil {
			return nil, err
		}
		// Before it was locked, another process may have taken it for one that nobody holds.
		var st unix.Stat_t
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			err = unix.Fstat(int(f.Fd()), &st)
		}
		if err == nil && st.Nlink > 0 {
			return f, nil
		}
		_ = onDisk.remove(f.Name())
		f.Close()
		if err != nil && !errors.Is(err, unix.EWOULDBLOCK) || n >= 1000 {
			return nil, err
		}
	}
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
	if onDisk.clone(out, in) == nil {
		progress(size, size)
		return nil
	}
	// Reserving the room first makes a full disk known at once, and not after minutes.
	if err := onDisk.reserve(out, size); errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EFBIG) {
		return &fs.PathError{Op: "write", Path: filepath.Dir(out.Name()), Err: err}
	}
	var (
		done int64
		buf  []byte
	)
	inKernel := true
	for done < size {
		if err := ctx.Err(); err != nil {
			return err
		}
		step := min(size-done, copyStep)
		var n int64
		if inKernel {
			c, err := onDisk.copyRange(out, in, done, step)
			switch {
			case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN):
				continue
			case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT), errors.Is(err, unix.EFBIG):
				return &fs.PathError{Op: "write", Path: filepath.Dir(out.Name()), Err: err}
			case err != nil || c == 0:
				// c == 0 is what some virtual file systems answer for any file.
				inKernel = false
				continue
			}
			n = c
		} else {
			if buf == nil {
				buf = make([]byte, min(step, 1<<20))
			}
			c, err := in.ReadAt(buf[:min(step, int64(len(buf)))], done)
			if c == 0 && (err == nil || errors.Is(err, io.EOF)) {
				return fmt.Errorf("%w: the file became shorter", bundle.ErrTruncated)
			}
			if c == 0 {
				return err
			}
			if _, err := onDisk.write(out, buf[:c], done); err != nil {
				return err
			}
			n = int64(c)
		}
		done += n
		progress(done, size)
	}
	return onDisk.truncate(out, size)
}

// copyOrigin keeps the record of where a file was downloaded from. Not every file system has one; that is no failure.
func copyOrigin(out, in *os.File) {
	for _, name := range []string{originURL, originReferrer} {
		buf := make([]byte, maxOrigin)
		if n, err := unix.Fgetxattr(int(in.Fd()), name, buf); err == nil {
			_ = onDisk.setxattr(out, name, buf[:n])
		}
	}
}
