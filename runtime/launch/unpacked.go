// SPDX-License-Identifier: MIT

package launch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"glick.org/glick/bundle"
	"glick.org/glick/runtime/premain"
)

// When bundles cannot be mounted, their files are unpacked into a cache, each chunk checked: one folder for each tree, which all starts
// of the same bundle use. And when a process cannot have a view of its own, as well, the folder is given to the program as a
// descriptor with a fixed number. Glick 0.2 did so, see doc/architecture.md: the program finds its files below
// /proc/self/fd/1023, if it is made for that or does not mind where it is.

const (
	fixedNumber = 1023
	fixedPath   = "/proc/self/fd/1023"

	// unusedTime is how long an unpacked tree stays that nobody starts.
	unusedTime = 30 * 24 * time.Hour
	// treeMark is a file beside an unpacked tree; its time is that of the last start.
	treeMark = ".used"
)

// unpack gives the path of a folder with the files of a bundle.
func unpack(b *bundle.Bundle) (string, error) {
	var errs []error
	for _, cache := range cacheFolders() {
		dir, err := unpackInto(cache, b)
		if err == nil {
			return dir, nil
		}
		errs = append(errs, err)
		if errors.Is(err, bundle.ErrDamaged) || errors.Is(err, bundle.ErrTruncated) {
			break
		}
	}
	if errs == nil {
		return "", &hintedError{errors.New("there is no folder to unpack it into"), "set HOME or XDG_CACHE_HOME to a folder that can be written to"}
	}
	return "", errs[0]
}

// cacheFolders are the places for unpacked trees, the best one first. None is in a folder that others can write to.
func cacheFolders() []string {
	var list []string
	add := func(base, name string) {
		if filepath.IsAbs(base) {
			list = append(list, filepath.Join(base, name))
		}
	}
	add(os.Getenv("XDG_CACHE_HOME"), "glick/trees")
	add(os.Getenv("HOME"), ".cache/glick/trees")
	add(os.Getenv("XDG_RUNTIME_DIR"), "glick-trees")
	return list
}

func unpackInto(cache string, b *bundle.Bundle) (string, error) {
	if err := os.MkdirAll(cache, 0o700); err != nil {
		return "", fmt.Errorf("it cannot be unpacked: %w", err)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(cache, &st); err == nil && st.Flags&unix.ST_NOEXEC != 0 {
		return "", fmt.Errorf("it cannot be unpacked into %s: programs cannot be executed there", cache)
	}
	folder, err := unix.Open(cache, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", fmt.Errorf("it cannot be unpacked: %w", &fs.PathError{Op: "open", Path: cache, Err: err})
	}
	err = privateFolder(folder, cache)
	unix.Close(folder)
	if err != nil {
		return "", err
	}
	// The digest is that of the manifest, and so of everything. Two who unpack the same wait for each other.
	name := filepath.Join(cache, b.Digest().String())
	lock, err := os.OpenFile(name+".lock", os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return "", fmt.Errorf("it cannot be unpacked: %w", err)
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return "", fmt.Errorf("it cannot be unpacked: %w", os.NewSyscallError("flock", err))
	}
	now := time.Now()
	if os.Chtimes(name+treeMark, now, now) == nil {
		if _, err := os.Lstat(name); err == nil {
			return name, nil
		}
	}
	removeUnused(cache, now)
	// What is there is from somebody who did not get to the end.
	for _, left := range []string{name + ".new", name} {
		if err := removeTree(left); err != nil {
			return "", fmt.Errorf("it cannot be unpacked: %w", err)
		}
	}
	t, err := b.Tree()
	if err == nil {
		err = t.Extract(context.Background(), 0, name+".new", bundle.ExtractOptions{})
	}
	if err == nil {
		err = os.Rename(name+".new", name)
	}
	if err == nil {
		err = os.WriteFile(name+treeMark, nil, 0o600)
	}
	if err != nil {
		err = fmt.Errorf("it cannot be unpacked: %w", err)
		return "", errors.Join(err, removeTree(name+".new"))
	}
	return name, nil
}

// privateFolder refuses a folder that others could write to.
func privateFolder(fd int, path string) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("cannot examine %s: %w", path, err)
	}
	if st.Uid != uint32(os.Geteuid()) || st.Mode&0o022 != 0 {
		return &hintedError{fmt.Errorf("it cannot be unpacked into %s, which others can write to", path), "make that folder private with \"chmod go-w\""}
	}
	return nil
}

// removeUnused removes trees that were not started for long.
func removeUnused(cache string, now time.Time) {
	marks, _ := filepath.Glob(filepath.Join(cache, "*"+treeMark))
	for _, mark := range marks {
		if info, err := os.Lstat(mark); err != nil || now.Sub(info.ModTime()) < unusedTime {
			continue
		}
		name := strings.TrimSuffix(mark, treeMark)
		// Without the mark the rest is nothing, so it goes first.
		if os.Remove(mark) == nil && removeTree(name) == nil {
			_ = os.Remove(name + ".lock")
		}
	}
}

// removeTree removes a tree whose folders may not be writable.
func removeTree(dir string) error {
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			err = os.Chmod(path, 0o700)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.RemoveAll(dir)
}

// planUnpacked plans how this process becomes a program of a bundle where there is no FUSE, for the reason given.
func planUnpacked(b *bundle.Bundle, name, prog string, args []string, n *numbers, reason error) (*Plan, error) {
	dir, err := unpack(b)
	if err != nil {
		return nil, errors.Join(reason, err)
	}
	m, p := b.Manifest(), new(Plan)
	v := view{prefix: m.Prefix, tree: dir, device: -1, socket: -1, list: listPlain(dir)}
	v.cwd, _ = os.Getwd()
	if err := p.show(v, n); err != nil {
		return nil, err
	}
	p.finish(prog, append([]string{prog}, args...), environment(variables(m, name, dir)))
	p.context = append([]string{name, m.Prefix, prog}, args...)
	return p, nil
}

// needsNamespaces says whether a failure means that processes cannot have a view of their own here.
func needsNamespaces(f *premain.Failure) bool {
	switch kind, _, _ := strings.Cut(f.Note, "\x00"); kind {
	case "unshare", "writeFile":
		return true
	case "mount":
		// Security modules let everybody have a user namespace, but no rights in it.
		return f.Errno == unix.EPERM || f.Errno == unix.EACCES
	}
	return false
}

// startFixed starts a bundle's program without a view of its own. It returns when that is not possible.
func startFixed(f *premain.Failure) error {
	file, b, err := openBundle(self)
	if errors.Is(err, bundle.ErrNotBundle) {
		file, b, err = openBundle(f.Context[0])
	}
	if err != nil {
		return err
	}
	defer file.Close()
	m := b.Manifest()
	dir, err := unpack(b)
	if err != nil {
		return err
	}
	folder, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("cannot open %s: %w", dir, err)
	}
	if err := unix.Dup3(folder, fixedNumber, 0); err != nil {
		return &hintedError{fmt.Errorf("descriptor %d cannot be had: %w", fixedNumber, err), "\"ulimit -n 1024\" allows it"}
	}
	prog := f.Context[2]
	if rest, ok := strings.CutPrefix(prog, m.Prefix+"/"); ok {
		prog = fixedPath + "/" + rest
	}
	args := slices.Concat([]string{prog}, f.Context[3:], f.Args)
	err = Become(args, environment(variables(m, f.Context[0], dir)))
	unix.Close(fixedNumber)
	return err
}
