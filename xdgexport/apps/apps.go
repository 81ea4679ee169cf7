// SPDX-License-Identifier: MIT

// Package apps knows the installed applications: the bundles that lie in the bundle folders.
//
// There is no registry. A bundle is installed when its file is in one of the folders, and it is gone when the file is
// gone; whoever put or deleted it, by whatever means. Names that begin with a dot are not looked at: under such names
// files are on their way in (being copied) or out (removed, and may come back).
package apps

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"glick.org/glick/bundle"
)

// Suffix ends the names of installed bundles. Files without it are looked at as well.
const Suffix = ".bundle"

// systemFolders hold the applications that all users of the computer share. Tests put others here.
var systemFolders = []string{"/usr/local/lib/bundles", "/usr/lib/bundles"}

// Home is the folder of the user's own applications. It may not exist yet.
func Home() (string, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("cannot tell where the applications are: %w", err)
	}
	return filepath.Join(home, "Apps"), nil
}

// Folders lists the bundle folders, the user's own first. They need not exist.
func Folders() []string {
	var all []string
	if home, err := Home(); err == nil {
		all = append(all, home)
	}
	return append(all, systemFolders...)
}

// App is one installed bundle.
type App struct {
	ID, Version, Name string
	File              string        // absolute path
	Size              int64         // of the file, in bytes
	Digest            bundle.Digest // identity of the whole bundle
	System            bool          // it lies in a folder that all users share
	Default           bool          // of all installed versions of this id, the one that is used and exported
}

// Problem is a file in a bundle folder that is not a usable bundle, or not yet.
type Problem struct {
	File string
	Err  error // bundle's errors (errors.Is) or those of reading the file
}

func (p Problem) Error() string { return fmt.Sprintf("%s: %v", p.File, p.Err) }

// Unwrap gives the reason.
func (p Problem) Unwrap() error { return p.Err }

// Incomplete tells whether the file may be on its way: being copied or downloaded into the folder.
func (p Problem) Incomplete() bool { return errors.Is(p.Err, bundle.ErrTruncated) }

// List looks into all bundle folders. Applications are sorted by id, of one id the default first, then by falling
// version. Files that are no bundles are passed over, unless their name claims that they are. Nothing of a bundle is
// executed and only its identity is read; for files known from earlier, nothing at all.
func List() ([]App, []Problem, error) {
	known := loadCache()
	var (
		all      []App
		problems []Problem
	)
	for _, folder := range Folders() {
		entries, err := os.ReadDir(folder)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			problems = append(problems, Problem{folder, err})
			continue
		}
		system := slices.Contains(systemFolders, folder)
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), ".") || e.IsDir() {
				continue
			}
			app, err := known.look(filepath.Join(folder, e.Name()))
			switch {
			case err == nil:
				app.System = system
				all = append(all, app)
			case errors.Is(err, errSkip), errors.Is(err, fs.ErrNotExist):
				// Not a file, or gone since the folder was read.
			case errors.Is(err, bundle.ErrNotBundle) && !strings.HasSuffix(e.Name(), Suffix):
			default:
				problems = append(problems, Problem{filepath.Join(folder, e.Name()), plain(err)})
			}
		}
	}
	known.save()
	rank(all)
	return all, problems, nil
}

// rank sorts and marks the default of each id: the highest version; of equal ones the user's own.
func rank(all []App) {
	slices.SortStableFunc(all, func(a, b App) int {
		return cmp.Or(
			strings.Compare(a.ID, b.ID),
			-bundle.CompareVersions(a.Version, b.Version),
			boolCompare(a.System, b.System),
			strings.Compare(a.File, b.File),
		)
	})
	for i := range all {
		all[i].Default = i == 0 || all[i-1].ID != all[i].ID
	}
}

func boolCompare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// Find gives the application that a person means by an id or by a path of a bundle file. A word with a slash is a
// path; other words are ids first. An unknown one is an error that is fs.ErrNotExist.
func Find(idOrPath string) (App, error) {
	if !strings.Contains(idOrPath, "/") && bundle.ValidID(idOrPath) == nil {
		all, _, err := List()
		if err != nil {
			return App{}, err
		}
		for _, a := range all {
			if a.ID == idOrPath && a.Default {
				return a, nil
			}
		}
	}
	path, err := filepath.Abs(idOrPath)
	if err != nil {
		return App{}, fmt.Errorf("cannot find %s: %w", idOrPath, err)
	}
	app, err := look(path)
	switch {
	case errors.Is(err, errSkip):
		return App{}, fmt.Errorf("cannot use %s: %w", idOrPath, bundle.ErrNotBundle)
	case errors.Is(err, fs.ErrNotExist) && !strings.Contains(idOrPath, "/"):
		return App{}, fmt.Errorf("no application %s is installed, and there is no such file: %w", idOrPath, fs.ErrNotExist)
	case err != nil:
		return App{}, fmt.Errorf("cannot use %s: %w", idOrPath, plain(err))
	}
	app.System = slices.Contains(systemFolders, filepath.Dir(path))
	return app, nil
}

// errSkip marks what is not a file.
var errSkip = errors.New("not a regular file")

// look reads the identity of one bundle file.
func look(path string) (App, error) {
	f, st, err := open(path)
	if err != nil {
		return App{}, err
	}
	defer f.Close()
	return identify(f, st, path)
}

// open opens a regular file for reading, without being held up by a pipe or a device of that name.
func open(path string) (*os.File, *unix.Stat_t, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		if errors.Is(err, unix.ENXIO) { // a socket
			return nil, nil, errSkip
		}
		return nil, nil, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		f.Close()
		return nil, nil, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		f.Close()
		return nil, nil, errSkip
	}
	return f, &st, nil
}

// identify reads the identity of an open bundle.
func identify(f *os.File, st *unix.Stat_t, path string) (App, error) {
	b, err := bundle.Read(f, st.Size)
	if err != nil {
		return App{}, err
	}
	m := b.Manifest()
	return App{ID: m.ID, Version: m.Version, Name: m.Name, File: path, Size: st.Size, Digest: b.Digest()}, nil
}

// plain takes the path out of an error of the os package, for messages that name the file already.
func plain(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		var errno syscall.Errno
		if errors.As(pe.Err, &errno) {
			return errno
		}
		return pe.Err
	}
	return err
}
