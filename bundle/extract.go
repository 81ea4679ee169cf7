// SPDX-License-Identifier: MIT

package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Resolve finds a path relative to the prefix and follows links, also absolute ones that stay below the prefix. The error is
// fs.ErrNotExist when there is nothing, or when a link leads out of the tree.
func (t *Tree) Resolve(name string) (Node, error) {
	prefix := t.bundle.manifest.Prefix
	parts := strings.Split(name, "/")
	var at Node
	for links := 0; len(parts) > 0; {
		part := parts[0]
		parts = parts[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			if at == 0 {
				return 0, fmt.Errorf("%q leads out of the bundle: %w", name, fs.ErrNotExist)
			}
			at = t.parent(at)
			continue
		}
		n, ok := t.Lookup(at, part)
		if !ok {
			return 0, fmt.Errorf("%q is not in the bundle: %w", name, fs.ErrNotExist)
		}
		info := t.Info(n)
		if !info.IsLink() {
			at = n
			continue
		}
		if links++; links > 40 {
			return 0, fmt.Errorf("%q is a link to itself: %w", name, fs.ErrNotExist)
		}
		target := info.Target
		if strings.HasPrefix(target, "/") {
			rest, ok := strings.CutPrefix(path.Clean(target), prefix+"/")
			if !ok || prefix == "" {
				return 0, fmt.Errorf("%q is a link out of the bundle to %q: %w", name, target, fs.ErrNotExist)
			}
			target, at = rest, 0
		}
		parts = append(strings.Split(target, "/"), parts...)
	}
	return at, nil
}

// ExtractOptions change what Extract does.
type ExtractOptions struct {
	// Progress, when not nil, is called with bytes written and in total.
	Progress func(done, total int64)
	// Note, when not nil, is told what could not be kept, each thing once, in a sentence.
	Note func(string)
}

// Extract writes what is in folder dir of the tree into the folder out, which must be missing or empty. Whatever names and links say,
// nothing is written outside of out, nothing that exists is opened, and no link is followed. Files get their modes, their extended attributes, the
// current user and ModTime; holes stay holes. When it fails, what was begun is removed.
func (t *Tree) Extract(ctx context.Context, dir Node, out string, o ExtractOptions) (err error) {
	if !t.Info(dir).IsDir() {
		return fmt.Errorf("cannot extract %q as a folder: it is none", t.Path(dir))
	}
	made := false
	switch mkErr := os.Mkdir(out, 0o755); {
	case mkErr == nil:
		made = true
	case !errors.Is(mkErr, fs.ErrExist):
		return fmt.Errorf("cannot extract: %w", mkErr)
	}
	root, err := os.OpenFile(out, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return fmt.Errorf("cannot extract to %s: %w", out, err)
	}
	defer root.Close()
	if _, err := root.Readdirnames(1); !errors.Is(err, io.EOF) {
		return fmt.Errorf("cannot extract to %s: the folder is not empty", out)
	}
	x := &extraction{tree: t, top: dir, root: int(root.Fd()), options: o}
	if err = x.run(ctx); err == nil {
		return nil
	}
	for n := range t.Children(dir) {
		// RemoveAll goes by file descriptors and follows no links.
		_ = os.RemoveAll(filepath.Join(out, t.Info(n).Name))
	}
	if made {
		_ = os.Remove(out)
	}
	return fmt.Errorf("cannot extract to %s: %w", out, err)
}

// ExtractFile writes the content of file n to w. Every chunk is checked before it is written.
func (t *Tree) ExtractFile(ctx context.Context, n Node, w io.Writer, o ExtractOptions) error {
	r := t.Open(n)
	buf := make([]byte, 1<<20)
	var done int64
	total := t.Info(n).Size
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		k, err := r.Read(buf)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("cannot extract %q: %w", t.Path(n), err)
		}
		if _, err := w.Write(buf[:k]); err != nil {
			return fmt.Errorf("cannot write: %w", err)
		}
		if done += int64(k); o.Progress != nil {
			o.Progress(done, total)
		}
	}
}

// extraction is an Extract under way.
type extraction struct {
	tree     *Tree
	top      Node
	root     int // file descriptor of the folder
	options  ExtractOptions
	noXattrs bool // said that the file system has none

	done, total int64
	last        Chunk // small files share chunks
	buf         []byte
}

func (x *extraction) run(ctx context.Context) error {
	// Folders are made before what is in them, and get their modes last, the deepest first.
	var folders []Node
	list := []Node{x.top}
	for i := 0; i < len(list); i++ {
		folders = append(folders, list[i])
		for c := range x.tree.Children(list[i]) {
			info := x.tree.Info(c)
			if info.IsDir() {
				list = append(list, c)
			} else if info.IsFile() {
				x.total += info.Size
			}
		}
	}
	for _, d := range folders {
		if err := x.folder(ctx, d); err != nil {
			return err
		}
	}
	for i := len(folders) - 1; i >= 0; i-- {
		fd, err := x.open(folders[i], unix.O_RDONLY|unix.O_DIRECTORY)
		if err != nil {
			return err
		}
		info := x.tree.Info(folders[i])
		if err = x.attributes(fd, info); err == nil {
			err = finish(fd, info.Mode)
		}
		unix.Close(fd)
		if err != nil {
			return fmt.Errorf("cannot set the mode of %q: %w", x.tree.Path(folders[i]), err)
		}
	}
	return nil
}

// path returns a node's path relative to the folder that is extracted.
func (x *extraction) path(n Node) string {
	if n == x.top {
		return "."
	}
	if x.top == 0 {
		return x.tree.Path(n)
	}
	return strings.TrimPrefix(x.tree.Path(n), x.tree.Path(x.top)+"/")
}

// open opens a folder that was made. The kernel is told to stay below the root and to follow no link, so that not even somebody who changes
// the folder meanwhile can lead it elsewhere.
func (x *extraction) open(n Node, flags uint64) (int, error) {
	fd, err := unix.Openat2(x.root, x.path(n), &unix.OpenHow{
		Flags: flags | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return -1, &fs.PathError{Op: "open", Path: x.path(n), Err: err}
	}
	return fd, nil
}

func (x *extraction) folder(ctx context.Context, d Node) error {
	fd, err := x.open(d, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for n := range x.tree.Children(d) {
		if err := ctx.Err(); err != nil {
			return err
		}
		info := x.tree.Info(n)
		switch {
		case info.IsDir():
			err = unix.Mkdirat(fd, info.Name, 0o700)
		case info.IsLink():
			if err = unix.Symlinkat(info.Target, fd, info.Name); err == nil {
				err = unix.UtimesNanoAt(fd, info.Name, modTimes(), unix.AT_SYMLINK_NOFOLLOW)
			}
		default:
			err = x.file(ctx, fd, n, info)
		}
		if err != nil {
			return fmt.Errorf("%q: %w", x.tree.Path(n), err)
		}
	}
	return nil
}

func (x *extraction) file(ctx context.Context, dir int, n Node, info Info) error {
	fd, err := unix.Openat(dir, info.Name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), info.Name)
	defer f.Close()
	hole := false
	for off := int64(0); off < info.Size; {
		data, err := x.read(n, info, off)
		if err != nil {
			return err
		}
		if hole = allZero(data); !hole {
			if _, err := f.WriteAt(data, off); err != nil {
				return err
			}
		}
		off += int64(len(data))
		x.done += int64(len(data))
		if x.options.Progress != nil {
			x.options.Progress(x.done, x.total)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	if hole { // at the end
		if err := f.Truncate(info.Size); err != nil {
			return err
		}
	}
	if err := x.attributes(fd, info); err != nil {
		return err
	}
	if err := finish(fd, info.Mode); err != nil {
		return err
	}
	return f.Close()
}

// read returns what comes next of a file, as much as is at hand at once. It is valid until the next read.
func (x *extraction) read(n Node, info Info, off int64) ([]byte, error) {
	if x.tree.files != nil {
		if x.buf == nil {
			x.buf = make([]byte, 256<<10)
		}
		data := x.buf[:min(int64(len(x.buf)), info.Size-off)]
		if k, err := x.tree.ReadAt(n, data, off); k < len(data) {
			return nil, err
		}
		return data, nil
	}
	c, in, err := x.tree.ChunkAt(n, off)
	if err != nil {
		return nil, err
	}
	if c != x.last || x.buf == nil {
		x.last = Chunk{}
		if x.buf, err = x.tree.ReadChunk(c, x.buf); err != nil {
			return nil, err
		}
		x.last = c
	}
	if err := x.tree.CheckPart(n, x.buf); err != nil {
		return nil, err
	}
	return x.buf[in:][:min(int64(c.Raw)-in, info.Size-off)], nil
}

// attributes gives an open file or folder its extended attributes, where the file system has such a thing.
func (x *extraction) attributes(fd int, info Info) error {
	for _, name := range slices.Sorted(maps.Keys(info.Xattrs)) {
		err := unix.Fsetxattr(fd, name, []byte(info.Xattrs[name]), 0)
		switch {
		case errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.ENOSPC) && len(info.Xattrs[name]) > 1<<10:
			// Some file systems have none, others no room for large ones.
			if !x.noXattrs && x.options.Note != nil {
				x.options.Note("the file system does not take all extended attributes; some are left out")
			}
			x.noXattrs = true
		case err != nil:
			return fmt.Errorf("cannot set the extended attribute %s: %w", name, err)
		}
	}
	return nil
}

// finish gives an open file or folder its mode and time.
func finish(fd int, mode uint32) error {
	if err := unix.Fchmod(fd, mode&modePerm); err != nil {
		return err
	}
	t := modTimes()
	// A nil path is futimens(3); the package has no other way to it.
	return unix.Futimes(fd, []unix.Timeval{{Sec: t[0].Sec}, {Sec: t[1].Sec}})
}

func modTimes() []unix.Timespec {
	return []unix.Timespec{{Sec: ModTime}, {Sec: ModTime}}
}
