// SPDX-License-Identifier: MIT

package apps

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/adrg/xdg"
	"golang.org/x/sys/unix"
)

const (
	// maxAdded is how many folders can be added: each costs a look whenever something is started by its id.
	maxAdded = 16
	maxPath  = 4096
)

var (
	// ErrStrangers is a folder, or a file in one that was added, that others than the user and root can change: whatever they put there would be
	// installed by merely lying there. It is fs.ErrPermission too.
	ErrStrangers error = &strangersError{"others can change it; in a folder that you have added a file must belong to you or root and be writable by nobody else"}
	// ErrUnsuitable is a folder that cannot be a bundle folder wherever the rest is: the root, the home, one inside or around a bundle folder.
	ErrUnsuitable = errors.New("it cannot be a folder of applications")
	// ErrTooMany is when as many folders were added as can be.
	ErrTooMany = fmt.Errorf("there are %d already; remove one first", maxAdded)
)

func foldersFile() string { return filepath.Join(xdg.DataHome, "glick", "apps.folders") }

// baseFolders are the bundle folders that are always watched, the user's own first.
func baseFolders() []string {
	var all []string
	if home, err := Home(); err == nil {
		all = append(all, home)
	}
	return append(all, systemFolders...)
}

// Folders lists the bundle folders: the user's own, those that were added, and those of all users. They need not exist.
func Folders() []string {
	l := current()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.readFolders()
	all := make([]string, len(l.folders))
	for i, f := range l.folders {
		all[i] = f.path
	}
	return all
}

// AddedFolders lists those of the bundle folders that the user has added.
func AddedFolders() []string {
	l := current()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.readFolders()
	return slices.Clone(l.added)
}

// Folder is a bundle folder.
type Folder struct {
	Path   string
	System bool  // of all users
	Added  bool  // by the user, see AddFolder
	There  bool  // it exists
	Err    error // why what is in it is not used; nil otherwise
}

// FolderStates lists the bundle folders in the order of Folders.
func FolderStates() []Folder {
	l := current()
	l.mu.Lock()
	l.readFolders()
	folders := slices.Clone(l.folders)
	l.mu.Unlock()
	out := make([]Folder, len(folders))
	for i, f := range folders {
		// What the library's last look has found belongs to the library, and may be old.
		now := folder{path: f.path, system: f.system, added: f.added}
		now.look()
		out[i] = Folder{Path: f.path, System: f.system, Added: f.added, There: now.id != fileID{}, Err: now.unsafe}
		if out[i].There && now.unsafe == nil {
			if err := unix.Access(f.path, unix.R_OK|unix.X_OK); err != nil {
				out[i].Err = err
			}
		}
	}
	return out
}

// OwnFolder tells whether a folder is one of those whose applications are the user's own to remove: ~/Apps, or one that was added.
func OwnFolder(dir string) bool {
	l := current()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.readFolders()
	return l.owns(dir)
}

func (l *library) owns(dir string) bool {
	return slices.ContainsFunc(l.folders, func(f *folder) bool { return f.path == dir && !f.system })
}

// ownFolders lists the user's own folders whose files may be touched.
func (l *library) ownFolders() (all []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.readFolders()
	for _, f := range l.folders {
		if !f.system && (!f.added || judgeFolder(f.path) == nil) {
			all = append(all, f.path)
		}
	}
	return all
}

// AddFolder makes a folder one whose bundles are installed, until RemoveFolder, and returns it by the path without links by which it is known from
// then on. It must exist now, and may go and come later. The error is ErrStrangers, ErrUnsuitable, ErrTooMany, fs.ErrExist for one that is a bundle
// folder already, or one of reading the folder or of writing the setting.
//
// Call xdgexport.Refresh afterwards.
func AddFolder(path string) (string, error) {
	real, err := current().addFolder(path)
	if err != nil {
		return "", fmt.Errorf("cannot add the folder %s: %w", path, err)
	}
	return real, nil
}

func (l *library) addFolder(path string) (string, error) {
	if !filepath.IsAbs(path) {
		return "", errors.New("its path must begin with a slash")
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", plain(err)
	}
	if !utf8.ValidString(real) || len(real) > maxPath {
		return "", ErrName
	}
	if info, err := os.Stat(real); err != nil {
		return "", plain(err)
	} else if !info.IsDir() {
		return "", fmt.Errorf("it is not a folder: %w", unix.ENOTDIR)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	add := func(added []string) ([]string, error) {
		if err := judgePlace(real, append(baseFolders(), added...)); err != nil {
			return added, err
		}
		if err := judgeFolder(real); err != nil {
			return added, err
		}
		if len(added) >= maxAdded {
			return added, ErrTooMany
		}
		return append(slices.Clone(added), real), nil
	}
	return real, l.changeFolders(add)
}

// RemoveFolder takes back AddFolder. The folder and its files stay as they are. The error is fs.ErrNotExist for one that was not added.
//
// Call xdgexport.Refresh afterwards.
func RemoveFolder(path string) error {
	if err := current().removeFolder(path); err != nil {
		return fmt.Errorf("cannot remove the folder %s from those of applications: %w", path, err)
	}
	return nil
}

func (l *library) removeFolder(path string) error {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		real = path // it may have gone
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	remove := func(added []string) ([]string, error) {
		left := slices.DeleteFunc(slices.Clone(added), func(f string) bool { return f == filepath.Clean(path) || f == real })
		switch {
		case len(left) < len(added):
			return left, nil
		case slices.Contains(baseFolders(), filepath.Clean(path)):
			return added, errors.New("it is always looked into")
		}
		return added, &kindError{"it was not added", fs.ErrNotExist}
	}
	return l.changeFolders(remove)
}

// additions are what a library knows of the folders that were added. The library's mutex guards them.
type additions struct {
	added       []string // of the library's folders
	folderFile  journal
	folderLines []string // what was read of it
	badFolders  int      // lines of it that cannot be read
	folderErr   error    // why it cannot be read
}

// changeFolders writes down other folders. Nothing is written when change refuses. The caller holds mu.
func (l *library) changeFolders(change func(added []string) ([]string, error)) error {
	l.readFolders()
	if _, err := change(l.added); err != nil {
		return err
	}
	var refused error
	err := l.folderFile.replace(l.folderReset, l.folderLine, func() (lines [][]byte) {
		// What others have written meanwhile was read.
		var all []string
		all, refused = change(l.folderLines)
		for _, path := range all {
			lines = append(lines, folderRecord{path}.line())
		}
		return lines
	})
	l.readFolders()
	if refused == nil && err != nil {
		return fmt.Errorf("cannot write %s: %w", l.folderFile.path, plain(err))
	}
	return refused
}

// folderRecord is a line of the file of the folders that were added.
type folderRecord struct {
	Folder string `json:"folder"`
}

func (r folderRecord) line() []byte {
	line, err := json.Marshal(r)
	if err != nil {
		return []byte("\n") // no string cannot be written
	}
	return append(line, '\n')
}

func (l *library) folderReset() { l.folderLines, l.badFolders = nil, 0 }

func (l *library) folderLine(line []byte) {
	var r folderRecord
	path := ""
	if json.Unmarshal(line, &r) == nil {
		path = r.Folder
	}
	if !filepath.IsAbs(path) || filepath.Clean(path) != path || len(path) > maxPath || len(l.folderLines) >= maxAdded ||
		judgeNames(path, append(baseFolders(), l.folderLines...)) != nil {
		l.badFolders++
		return
	}
	l.folderLines = append(l.folderLines, path)
}

// readFolders makes the library one of the folders that were added. The caller holds mu.
func (l *library) readFolders() {
	l.folderErr = l.folderFile.read(l.folderReset, l.folderLine)
	if l.folderErr != nil && !errors.Is(l.folderErr, errJournal) {
		return // what cannot be read at the moment is as it was
	}
	if l.folders != nil && slices.Equal(l.added, l.folderLines) {
		return
	}
	l.added = slices.Clone(l.folderLines)
	old := map[string]*folder{}
	for _, f := range l.folders {
		old[f.path] = f
	}
	l.folders = nil
	take := func(path string, added bool) {
		f := old[path]
		if f == nil {
			f = &folder{path: path, system: !added && slices.Contains(systemFolders, path), added: added}
		}
		delete(old, path)
		l.folders = append(l.folders, f)
	}
	base := baseFolders()
	own := len(base) - len(systemFolders)
	for _, path := range base[:own] {
		take(path, false)
	}
	for _, path := range l.added {
		take(path, true)
	}
	for _, path := range base[own:] {
		take(path, false)
	}
	for path, file := range l.files {
		if old[file.folder.path] != nil {
			l.drop(path)
			delete(l.dirty, path)
		}
	}
	l.version++
	if l.eyes != nil {
		l.eyes.rearm = true
		l.eyes.rouse()
	}
}

// folderProblems say why folders that were added are not known.
func (l *library) folderProblems() (all []Problem) {
	if l.folderErr != nil {
		all = append(all, Problem{File: l.folderFile.path, Err: fmt.Errorf("cannot tell which folders of applications were added: %w", plain(l.folderErr))})
	}
	if l.badFolders > 0 {
		all = append(all, Problem{File: l.folderFile.path, Err: fmt.Errorf("%d lines cannot be read; the folders that they name are not looked into", l.badFolders)})
	}
	return all
}

// inside tells whether a path is below another.
func inside(path, above string) bool {
	return above == "/" && path != "/" || strings.HasPrefix(path, strings.TrimSuffix(above, "/")+"/")
}

// judgeNames says by their paths why a folder cannot be beside others.
func judgeNames(path string, others []string) error {
	for _, other := range others {
		switch {
		case path == other:
			return &kindError{"it is one of them already", fs.ErrExist}
		case inside(path, other):
			return fmt.Errorf("%w: it lies inside of %s, which is one", ErrUnsuitable, other)
		case inside(other, path):
			return fmt.Errorf("%w: %s lies inside of it, which is one", ErrUnsuitable, other)
		}
	}
	return nil
}

// judgePlace says why a folder that is there, named by its path without links, is not suitable beside others.
func judgePlace(real string, others []string) error {
	if real == "/" {
		return fmt.Errorf("%w: it holds the whole system", ErrUnsuitable)
	}
	if home, err := os.UserHomeDir(); err == nil && sameFolder(real, home) {
		return fmt.Errorf("%w: it is your home folder; make a folder in it", ErrUnsuitable)
	}
	if sameFolder(real, xdg.UserDirs.Download) {
		return fmt.Errorf("%w: whatever a browser saves there would be installed without a question", ErrUnsuitable)
	}
	if err := judgeNames(real, others); err != nil {
		return err
	}
	for _, other := range others {
		if there, err := filepath.EvalSymlinks(other); err == nil {
			if err := judgeNames(real, []string{there}); err != nil {
				return err
			}
		}
		// The same folder can have several paths, by mounts.
		if sameFolder(real, other) {
			return &kindError{"it is the same as " + other, fs.ErrExist}
		}
	}
	return nil
}

func sameFolder(a, b string) bool {
	one, err := os.Stat(a)
	if err != nil {
		return false
	}
	other, err := os.Stat(b)
	return err == nil && os.SameFile(one, other)
}

// judgeFolder says why the bundles of a folder that was added are not to be used: others than the user and root can write there, or could put another
// folder in its place. A folder that is not there is fs.ErrNotExist. Links on the way are not followed.
func judgeFolder(path string) error {
	dir := "/"
	parts := strings.Split(strings.Trim(path, "/"), "/")
	for i := -1; i < len(parts); i++ {
		if i >= 0 {
			dir = filepath.Join(dir, parts[i])
		}
		var st unix.Stat_t
		if err := unix.Lstat(dir, &st); err != nil {
			return err
		}
		last := i == len(parts)-1
		switch kind := st.Mode & unix.S_IFMT; {
		case kind == unix.S_IFLNK:
			return fmt.Errorf("%s is a link now, which leads elsewhere", dir)
		case kind != unix.S_IFDIR:
			return &fs.PathError{Op: "open", Path: dir, Err: unix.ENOTDIR}
		case !ours(&st):
			return strangers(path, dir, "belongs to another user, and what that user puts there would be installed", "")
		// In a sticky folder nobody can take away what is another's.
		case (last || st.Mode&unix.S_ISVTX == 0) && strangersWrite(dir, &st):
			return strangers(path, dir, fmt.Sprintf("can be written by others (its mode is %04o), and what they put there would be installed", st.Mode&0o7777),
				"; \"chmod go-w\" takes that from them")
		}
	}
	return nil
}

// strangers is ErrStrangers of a folder because of dir, which is that folder or above it.
func strangers(path, dir, why, mend string) error {
	what := "it"
	if dir != path {
		what = dir + ", in which it lies,"
	}
	return &strangersError{what + " " + why + mend}
}

// kindError is of a kind whose own words would say nothing more.
type kindError struct {
	text string
	kind error
}

func (e *kindError) Error() string { return e.text }

// Unwrap gives the kind.
func (e *kindError) Unwrap() error { return e.kind }

type strangersError struct{ text string }

func (e *strangersError) Error() string { return e.text }

func (e *strangersError) Is(target error) bool {
	_, same := target.(*strangersError)
	return same || target == fs.ErrPermission
}

// rootOwner is root. Tests in a user namespace, where it is nobody, put another here.
var rootOwner uint32

// ours tells whether a file belongs to the user, or to root, who can do everything anyway.
func ours(st *unix.Stat_t) bool { return st.Uid == rootOwner || int(st.Uid) == os.Geteuid() }
