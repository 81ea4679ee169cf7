// SPDX-License-Identifier: MIT

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
	"sync"
	"time"

	"github.com/adrg/xdg"
	"golang.org/x/sys/unix"

	"glick.org/glick/bundle"
	"glick.org/glick/xdgexport/apps/trust"
)

// rescan is how old the knowledge of folders may be that are watched. Nothing should escape the watch; this is for what nobody has thought of.
const rescan = 30 * time.Second

// library is what one process knows of the bundle folders. Looking again costs one stat for each file, and with a watch on the folders nothing
// but the files that have changed.
type library struct {
	settings settings
	switches switches

	mu       sync.Mutex
	folders  []*folder           // guarded by mu, as is all that follows
	looker   looker              //
	files    map[string]*file    // by path
	faulty   map[string]*file    // those of them that have a problem
	known    int                 // how many of them say what they are
	byID     map[string][]*file  // whose files say what they are
	ids      []string            // sorted, of groups
	groups   [][]App             // ranked; of the ids at the same places
	stale    map[string]bool     // ids whose groups must be made anew
	list     []App               // all groups; nil when it must be made anew
	book     trust.Book          //
	bookFile journal             //
	bookErr  error               // why the book cannot be read or written
	badLines int                 // of the book
	owed     [][]byte            // lines for the book that could not be written yet
	learnErr error               // why
	scanned  time.Time           // when all folders were looked at last
	version  int                 // grows with each change of what List answers
	dirty    map[string]*pending // files that have changed, or are about to
	eyes     *eyes               // nil when nobody watches

	additions
}

// settings are what a library is of. When the environment says otherwise, it is another one.
type settings struct {
	folders     string // that are always watched
	knownFile   string
	foldersFile string
	cacheFile   string
}

// folder is a bundle folder.
type folder struct {
	path   string
	system bool
	added  bool // by the user
	// setting marks what is no folder at all, but the file that names those that were added: it is watched like them.
	setting bool

	id     fileID // of the folder when it was read last; zero when it is not there
	err    error  // why it cannot be read
	remote bool   // changes may come from elsewhere, without the kernel's knowledge
	coarse bool   // change times are too coarse to tell states apart
	unseen bool   // it cannot be watched
	unsafe error  // why nothing in it may be used, although it may be read
}

type fileID struct{ dev, ino uint64 }

// file is a file in a bundle folder.
type file struct {
	seen
	path   string
	folder *folder
}

// sound tells whether the file is a bundle that has nothing wrong with it.
func (f *file) sound() bool { return f.facts != nil && f.facts.Fault == "" }

// listed tells whether the file is among the applications.
func (f *file) listed() bool {
	return f.facts != nil && f.facts.ID != "" && (f.facts.Fault == "" || errors.Is(kinds[f.facts.Kind], bundle.ErrDamaged))
}

// problem is what is wrong with the file, if that is to be said.
func (f *file) problem() (Problem, bool) {
	switch {
	case f.facts != nil && f.facts.Fault != "":
		err := f.facts.err()
		if errors.Is(err, bundle.ErrNotBundle) && !strings.HasSuffix(f.path, Suffix) {
			return Problem{}, false
		}
		return Problem{f.path, err, f.facts.Content}, true
	case f.err != nil:
		return Problem{File: f.path, Err: plain(f.err)}, true
	}
	return Problem{}, false
}

// visible tells whether List says anything of the file, and is not only waiting for it.
func (f *file) visible() bool {
	_, bad := f.problem()
	return (bad || f.listed()) && !errors.Is(f.err, errWriting)
}

// says tells whether two looks at a file have found the same.
func (f *file) says(other *file) bool {
	if f.facts == nil || other.facts == nil {
		return f.facts == other.facts && f.err != nil && other.err != nil && f.err.Error() == other.err.Error()
	}
	a, b := *f.facts, *other.facts
	a.Whole, b.Whole = false, false
	return a == b && f.stamp.Size == other.stamp.Size
}

func (f *folder) judgeOwner(path string, st *unix.Stat_t) error {
	if f.system && (int(st.Uid) != systemOwner || st.Mode&0o022 != 0) {
		return ErrOwner
	}
	if f.added && (!ours(st) || strangersWrite(path, st)) {
		return ErrStrangers
	}
	return nil
}

func (f *folder) settled() time.Duration {
	if f.coarse {
		return coarse
	}
	return settled
}

// look reads a folder's own state.
func (f *folder) look() {
	f.id, f.remote, f.coarse, f.unsafe = fileID{}, false, false, nil
	var st unix.Stat_t
	if unix.Stat(f.path, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return
	}
	f.id = fileID{st.Dev, st.Ino}
	if f.added {
		f.unsafe = judgeFolder(f.path)
	}
	var fs unix.Statfs_t
	if unix.Statfs(f.path, &fs) == nil {
		f.remote, f.coarse = judgeFileSystem(fs.Type)
	}
}

// judgeFileSystem tells by its number in statfs(2) whether changes of a file system may come from elsewhere, and whether its times are coarse.
// Removable media are among them: what another computer has done to one is there when it is mounted again under the same folder.
func judgeFileSystem(magic int64) (remote, coarse bool) {
	switch uint32(magic) {
	case unix.MSDOS_SUPER_MAGIC, 0x2011bab0 /* exFAT */ :
		return true, true
	case unix.NFS_SUPER_MAGIC, unix.SMB_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC, unix.FUSE_SUPER_MAGIC, unix.V9FS_MAGIC,
		unix.AFS_FS_MAGIC, unix.AFS_SUPER_MAGIC, unix.CODA_SUPER_MAGIC, unix.NCP_SUPER_MAGIC, unix.CEPH_SUPER_MAGIC, 0x01161970, /* GFS2 */
		0x7461636f /* OCFS2 */, 0x0bd00bd0 /* Lustre */, 0x786f4256 /* VirtualBox */, 0x47504653 /* GPFS */ :
		return true, true
	}
	return false, false
}

var (
	currentMu sync.Mutex
	currentIs *library // guarded by currentMu
)

// current is the process's library.
func current() *library {
	s := settingsNow()
	currentMu.Lock()
	defer currentMu.Unlock()
	if currentIs == nil || currentIs.settings != s {
		currentIs = newLibrary(s)
	}
	return currentIs
}

func knownFile() string { return filepath.Join(xdg.DataHome, "glick", "apps.known") }

func settingsNow() settings {
	return settings{strings.Join(baseFolders(), "\x00"), knownFile(), foldersFile(), cacheFile()}
}

func newLibrary(s settings) *library {
	l := &library{
		settings: s, files: map[string]*file{}, faulty: map[string]*file{}, byID: map[string][]*file{}, stale: map[string]bool{},
		dirty: map[string]*pending{}, bookFile: journal{path: s.knownFile, durable: true},
	}
	l.switches.file = journal{path: exportsFile(s.knownFile), durable: true}
	l.folderFile = journal{path: s.foldersFile, durable: true}
	l.readFolders()
	return l
}

// List is the package's List.
func (l *library) List() ([]App, []Problem, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := l.version
	l.refresh()
	if l.eyes != nil && (l.version != before || len(l.dirty) > 0) {
		// What was noticed here, the one who watches does not notice any more.
		l.eyes.rouse()
	}
	return l.list, l.problems(), nil
}

// refresh makes the library match the folders. The caller holds mu.
func (l *library) refresh() {
	l.readBook()
	if l.eyes == nil || !l.eyes.see(l) || time.Since(l.scanned) > rescan {
		l.scan()
	} else {
		for path := range l.dirty {
			l.update(path)
		}
		for _, f := range l.folders {
			if f.remote {
				l.scanFolder(f)
			}
		}
	}
	l.settle()
}

// scan looks at all files of all folders.
func (l *library) scan() {
	if l.looker.cache == nil {
		l.looker.cache = newCache(l.settings.cacheFile)
		l.looker.cache.load()
	}
	l.readFolders()
	l.scanned = time.Now()
	l.looker.folders = l.looker.folders[:0]
	for _, f := range l.folders {
		if real, err := filepath.EvalSymlinks(f.path); err == nil {
			l.looker.folders = append(l.looker.folders, real)
		}
	}
	for _, f := range l.folders {
		l.scanFolder(f)
	}
}

func (l *library) scanFolder(f *folder) {
	was, wasErr := f.id, f.err
	f.look()
	var entries []fs.DirEntry
	err := f.unsafe
	if err == nil {
		entries, err = os.ReadDir(f.path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	f.err = err
	if (was == fileID{}) != (f.id == fileID{}) || (wasErr == nil) != (err == nil) {
		l.version++ // that it is there, or not, is worth to be told
	}
	there := map[string]bool{}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") || e.IsDir() {
			continue
		}
		path := filepath.Join(f.path, e.Name())
		there[path] = true
		l.lookAt(path, f)
	}
	for path, file := range l.files {
		if file.folder == f && !there[path] {
			l.drop(path)
			delete(l.dirty, path)
		}
	}
}

// update looks at one file.
func (l *library) update(path string) {
	for _, f := range l.folders {
		if filepath.Dir(path) == f.path && f.unsafe == nil {
			l.lookAt(path, f)
			return
		}
	}
	delete(l.dirty, path)
}

func (l *library) lookAt(path string, f *folder) { l.take(path, f, l.looker.look(path, f)) }

// take takes over what a look at a file has found.
func (l *library) take(path string, f *folder, s seen) {
	old := l.files[path]
	switch {
	case errors.Is(s.err, errWriting):
		// It is not judged yet; what it was before is what is known.
		l.later(path)
		if old == nil {
			l.put(&file{s, path, f})
		}
		return
	case errors.Is(s.err, errSkip), errors.Is(s.err, fs.ErrNotExist):
		delete(l.dirty, path)
		l.drop(path)
		return
	}
	delete(l.dirty, path)
	now := &file{s, path, f}
	if old != nil && old.says(now) {
		// Others hold pointers to the file, but not to what was seen of it.
		old.seen = s
		return
	}
	l.drop(path)
	l.put(now)
}

// put takes a file in.
func (l *library) put(f *file) {
	l.files[f.path] = f
	if f.facts != nil {
		l.known++
	}
	if _, bad := f.problem(); bad {
		l.faulty[f.path] = f
	}
	if f.listed() {
		id := f.facts.ID
		l.byID[id] = append(l.byID[id], f)
		l.stale[id] = true
	}
	if f.visible() {
		l.version++
	}
}

// drop takes a file out.
func (l *library) drop(path string) {
	old := l.files[path]
	if old == nil {
		return
	}
	delete(l.files, path)
	delete(l.faulty, path)
	if old.facts != nil {
		l.known--
	}
	if old.listed() {
		id := old.facts.ID
		l.byID[id] = slices.DeleteFunc(l.byID[id], func(f *file) bool { return f == old })
		l.stale[id] = true
	}
	if old.visible() {
		l.version++
	}
}

// settle derives what List answers from what has changed.
func (l *library) settle() {
	if len(l.stale)+len(l.owed) > 0 {
		l.learn()
		for id := range l.stale {
			l.regroup(id)
		}
		clear(l.stale)
		l.list = nil
	}
	if l.list == nil {
		l.list = make([]App, 0, len(l.files))
		for _, g := range l.groups {
			l.list = append(l.list, g...)
		}
	}
	if c := l.looker.cache; c != nil {
		c.save(l.known, l.live)
	}
}

// live is what the files say that are there.
func (l *library) live() map[stamp]*facts {
	live := make(map[stamp]*facts, len(l.files))
	for _, f := range l.files {
		if f.facts != nil {
			live[f.stamp] = f.facts
		}
	}
	return live
}

func (l *library) regroup(id string) {
	i, is := slices.BinarySearch(l.ids, id)
	files := l.byID[id]
	if len(files) == 0 {
		delete(l.byID, id)
		if is {
			l.ids, l.groups = slices.Delete(l.ids, i, i+1), slices.Delete(l.groups, i, i+1)
		}
		return
	}
	if !is {
		l.ids, l.groups = slices.Insert(l.ids, i, id), slices.Insert(l.groups, i, nil)
	}
	group := make([]App, len(files))
	for k, f := range files {
		group[k] = l.appOf(f.facts, f.path, f.stamp.Size, f.folder.system)
	}
	rank(group, l.book.Choice(id))
	l.groups[i] = group
}

func (l *library) appOf(f *facts, path string, size int64, system bool) App {
	digest, _ := parseDigest(f.Digest)
	a := App{
		ID: f.ID, Version: f.Version, Name: f.Name, File: path, Size: size, Digest: digest, System: system, Key: f.Key, Origin: f.Origin, Damage: f.Fault,
	}
	a.State = trust.Damaged
	if f.Fault == "" {
		a.State = l.book.Judge(f.ID, f.Key, f.Digest)
	}
	a.Key.Comment = l.book.Comment(f.ID, f.Key.Fingerprint)
	a.Autostart, a.Excepted = l.book.Autostart(f.ID), l.book.Excepted(f.ID)
	return a
}

// problems lists what is wrong, by path.
func (l *library) problems() []Problem {
	var all []Problem
	for _, f := range l.folders {
		if f.err != nil {
			all = append(all, Problem{File: f.path, Err: plain(f.err)})
		}
	}
	for _, f := range l.faulty {
		p, _ := f.problem()
		all = append(all, p)
	}
	if err := cmp.Or(l.bookErr, l.learnErr); err != nil {
		all = append(all, Problem{File: l.bookFile.path, Err: fmt.Errorf("cannot remember the keys of applications: %w", plain(err))})
	}
	all = append(all, l.folderProblems()...)
	if l.badLines > 0 {
		all = append(all, Problem{File: l.bookFile.path, Err: fmt.Errorf("%d lines cannot be read; the keys that they had are forgotten", l.badLines)})
	}
	if err := l.switches.problem(); err != nil {
		all = append(all, Problem{File: l.switches.file.path, Err: err})
	}
	slices.SortFunc(all, func(a, b Problem) int { return strings.Compare(a.File, b.File) })
	return all
}

// bookReset and bookLine take over what is read of the book.
func (l *library) bookReset() {
	l.book.Reset()
	l.badLines = 0
	for id := range l.byID {
		l.stale[id] = true
	}
}

func (l *library) bookLine(line []byte) {
	id, err := l.book.Add(line)
	switch {
	case err != nil:
		l.badLines++
	case l.byID[id] != nil:
		l.stale[id] = true
		l.version++
	}
}

// readBook reads what this process or others have added to the book.
func (l *library) readBook() {
	l.bookErr = l.bookFile.read(l.bookReset, l.bookLine)
}

// learn remembers the keys of ids that are new. Whatever comes of it, this process keeps to what it has learned.
func (l *library) learn() {
	var ids []string
	for id := range l.stale {
		if len(l.lessons(id)) > 0 {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 && len(l.owed) == 0 {
		return
	}
	slices.Sort(ids)
	owed := l.owed
	l.owed = nil
	l.learnErr = l.addToBook(func() [][]byte {
		lines := slices.Clone(owed)
		for _, id := range ids {
			lines = append(lines, l.lessons(id)...)
		}
		return lines
	})
	if l.learnErr != nil {
		l.owed = owed
		for _, id := range ids {
			for _, line := range l.lessons(id) {
				_, _ = l.book.Add(line)
				l.owed = append(l.owed, line)
			}
		}
	}
}

// lessons are the lines that the bundles of an id add to the book. The earliest one counts, those that all users share before the user's own.
func (l *library) lessons(id string) (lines [][]byte) {
	var files []*file
	var unsigned []string // of those before
	for _, f := range l.byID[id] {
		if f.sound() {
			files = append(files, f)
		}
	}
	slices.SortFunc(files, func(a, b *file) int {
		return cmp.Or(-boolCompare(a.folder.system, b.folder.system), cmp.Compare(a.stamp.Ctime, b.stamp.Ctime), strings.Compare(a.path, b.path))
	})
	var book trust.Book
	if r := l.book.Record(id); r != nil {
		book.Put(r)
	}
	for _, f := range files {
		if r := book.Learn(id, f.facts.Key, f.facts.Digest, unsigned, time.Now()); r != nil {
			book.Put(r)
			lines = append(lines, r.Line())
		}
		if f.facts.Key.None() {
			unsigned = append(unsigned, f.facts.Digest)
		}
	}
	return lines
}

// addToBook adds lines, and writes the book anew when most of its lines are old.
func (l *library) addToBook(what func() [][]byte) error {
	if err := l.bookFile.add(l.bookReset, l.bookLine, what); err != nil {
		return err
	}
	if l.bookFile.lines > 2*l.book.Len()+slack && l.badLines == 0 {
		if err := l.bookFile.replace(l.bookReset, l.bookLine, l.book.Lines); err != nil {
			return err
		}
		return l.bookFile.read(l.bookReset, l.bookLine)
	}
	return nil
}

// decide writes down what the user has decided.
func (l *library) decide(what string, change func(*trust.Book) (*trust.Record, error)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var refused error
	err := l.addToBook(func() [][]byte {
		r, err := change(&l.book)
		if refused = err; err != nil || r == nil {
			return nil
		}
		return [][]byte{r.Line()}
	})
	if err := cmp.Or(refused, err); err != nil {
		return fmt.Errorf("cannot %s: %w", what, plain(err))
	}
	return nil
}

// identify reads the identity and the signature of one file, anywhere.
func (l *library) identify(path string) (App, error) {
	in, st, err := open(path, 0)
	if err != nil {
		return App{}, err
	}
	defer in.Close()
	b, err := bundle.Read(in, st.Size)
	if err != nil {
		return App{}, err
	}
	return l.describe(in, b, path)
}

// describe says of an open bundle what List would.
func (l *library) describe(in *os.File, b *bundle.Bundle, path string) (App, error) {
	m := b.Manifest()
	f := facts{ID: m.ID, Version: m.Version, Name: m.Name, Digest: b.Digest().String(), Origin: originOf(in)}
	key, err := keyOf(b)
	if err != nil {
		f.Fault = err.Error()
	}
	f.Key = key
	l.mu.Lock()
	defer l.mu.Unlock()
	l.readBook()
	return l.appOf(&f, path, b.Size(), slices.Contains(systemFolders, filepath.Dir(path))), nil
}
