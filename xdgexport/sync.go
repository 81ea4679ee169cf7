// SPDX-License-Identifier: MIT

package xdgexport

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"glick.org/glick/xdgexport/apps"
)

// planFormat changes when the same bundle would be shown in another way than before.
const planFormat = 2

// Result says what a sync has done.
type Result struct {
	Written, Removed []string // paths as in File, sorted
	Left             []LeftOut
	// Aside are files of ours that the user had edited and that would start nothing any more: the absolute paths to which
	// they were moved, in the folder glick/edited of the data folder.
	Aside []string
}

// Changed tells whether anything was written or removed.
func (r Result) Changed() bool { return len(r.Written)+len(r.Removed)+len(r.Aside) > 0 }

// Sync makes the folders show the given applications and nothing else of ours, and tells the desktop. It waits for
// other syncs of the same data folder. After an error, or a crash, the next sync does the rest.
func Sync(ctx context.Context, list []apps.App, o Options) (Result, error) {
	res, err := syncNow(ctx, list, o)
	if err != nil {
		return res, fmt.Errorf("cannot show the applications in the desktop: %w", err)
	}
	return res, nil
}

func syncNow(ctx context.Context, list []apps.App, o Options) (Result, error) {
	o, err := o.complete()
	if err != nil {
		return Result{}, err
	}
	o = o.forList(list)
	list = pick(list, o)
	if len(list) == 0 {
		// Nothing to show and nothing on record: leave no trace, not even a folder. An empty one is what a sync has left that
		// was killed.
		f := folder{dir: stateFolder(o.DataHome)}
		if rest, err := os.ReadDir(f.dir); !slices.ContainsFunc(f.files(), exists) && (err != nil || len(rest) > 0) {
			return Result{}, nil
		}
	}
	dir, err := lockFolder(ctx, o)
	if err != nil {
		return Result{}, err
	}
	defer dir.close()
	s := newSyncer(o, dir)
	s.compare(list)
	res := Result{Left: s.left}
	if s.idle() {
		dir.remember(s.old)
		return res, s.tell(ctx)
	}
	// What is only to be removed is on record already; and a full disk must not keep things from being removed.
	if len(s.puts) > 0 {
		if err := dir.begin(s.old, s.intent()); err != nil {
			return res, fmt.Errorf("cannot keep the record: %w", err)
		}
	}
	if err := s.cleanTemps(); err != nil {
		return res, err
	}
	s.expect()
	if res.Removed, err = s.remove(); err != nil {
		return res, err
	}
	if res.Aside, err = s.setAside(); err != nil {
		return res, err
	}
	if res.Written, err = s.write(ctx); err != nil {
		return res, err
	}
	res.Left = s.left
	toldErr := s.tell(ctx)
	if err := s.finish(toldErr != nil); err != nil {
		return res, fmt.Errorf("cannot keep the record: %w", err)
	}
	return res, toldErr
}

func exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}

// syncer carries one sync from step to step.
type syncer struct {
	o    Options
	disk disk
	dir  *folder
	old  *record // as loaded

	apps  map[string]*appRecord
	files map[string]*fileRecord // what will be on record for the files that are wanted
	left  []LeftOut

	puts    []put    // files to write
	gone    []string // files to remove
	aside   []string // files to put aside
	leaves  []string // all that are on record and no longer wanted
	dirs    []string // made by us, absolute; those of this sync included
	touched map[area]bool

	was      map[string]*fileRecord // what is on record of the applications that are looked at
	begun    map[string]bool        // applications that the unfinished entry is about
	host     string
	stamps   map[string]stamp             // of the folders, now
	stale    bool                         // some differ from those on record
	listed   map[string]map[string]uint64 // inodes of the files in a folder, by name
	expected map[string]int               // how many files a folder should have when all is done
}

type put struct {
	File
	replaces bool // a file of ours
}

func newSyncer(o Options, dir *folder) *syncer {
	s := &syncer{
		o: o, disk: o.disk(), dir: dir, old: dir.load(),
		apps: map[string]*appRecord{}, files: map[string]*fileRecord{}, touched: map[area]bool{}, was: map[string]*fileRecord{}, begun: map[string]bool{},
		stamps: map[string]stamp{}, listed: map[string]map[string]uint64{}, expected: map[string]int{},
	}
	s.dirs = slices.Clone(s.old.Dirs)
	for _, d := range dir.made {
		s.addDir(d)
	}
	return s
}

func (s *syncer) addDir(dir string) {
	if !slices.Contains(s.dirs, dir) {
		s.dirs = append(s.dirs, dir)
	}
}

// compare finds what has to be done. It changes nothing.
func (s *syncer) compare(list []apps.App) {
	env := newSurroundings(s.o)
	env.ours = func(p string) bool { return s.was[p] != nil }
	env.incumbents = func(use func(id string, claims []string)) {
		for _, a := range list {
			if was := s.old.Apps[a.ID]; was != nil {
				use(a.ID, was.claims())
			}
		}
	}
	s.host = env.stamp()
	s.checkStamps()
	all := derive(list, env, s.reuser(list))
	for _, d := range all {
		s.apps[d.app.ID] = d.record
		if d.reused {
			for p, f := range d.record.Files { // none, as long as the record is closed
				s.keep(p, f, p)
			}
		} else {
			d.record.Files = map[string]*fileRecord{}
			if was := s.old.Apps[d.app.ID]; was != nil {
				s.remember(was)
			}
		}
		s.left = append(s.left, d.record.Left...)
	}
	for id, was := range s.old.Apps {
		if s.apps[id] == nil {
			s.remember(was)
		}
	}
	for _, d := range all {
		if !d.reused {
			for _, f := range d.files {
				s.want(f)
			}
			d.record.Watch = d.record.watched()
		}
	}
	for p, was := range s.was {
		if s.files[p] == nil {
			s.unwanted(p, was)
		}
	}
	if s.old.lost {
		s.orphans()
	}
	slices.SortFunc(s.puts, func(a, b put) int { return strings.Compare(a.Path, b.Path) })
	slices.Sort(s.gone)
	slices.Sort(s.aside)
	if s.old.pending || s.old.Untold {
		// What has been told is not known.
		for _, a := range areas {
			s.touched[a] = true
		}
	}
	s.checkGenerated()
}

// remember makes what is on record of an application known.
func (s *syncer) remember(was *appRecord) {
	for p, f := range was.open().Files {
		s.was[p] = f
	}
}

// reuser gives a function that says which records still hold. Most are not even opened: their bundles are the same,
// their folders are, and nothing else can have changed for them.
func (s *syncer) reuser(list []apps.App) func(apps.App) *appRecord {
	var others []string // ids that have come or gone
	listed := map[string]bool{}
	for _, a := range list {
		listed[a.ID] = true
		if s.old.Apps[a.ID] == nil {
			others = append(others, a.ID)
		}
	}
	for id := range s.old.Apps {
		if !listed[id] {
			others = append(others, id)
		}
	}
	suffix := s.o.keySuffix()
	return func(a apps.App) *appRecord {
		was := s.old.Apps[a.ID]
		if was == nil || was.Key == "" || was.Key != appKey(a, s.o, suffix) {
			return nil
		}
		related := slices.ContainsFunc(others, func(id string) bool { return strings.HasPrefix(id, a.ID) })
		if !was.Watch && !related && !s.stale && s.host == s.old.Host {
			return was
		}
		if was.open(); was.Key == "" || s.stale && !s.intact(was.Files) {
			return nil
		}
		for p, f := range was.Files {
			s.was[p] = f
		}
		return was
	}
}

// watched tells whether there is more to look at in every sync than the bundle and the folders.
func (a *appRecord) watched() bool {
	if len(a.Left) > 0 {
		return true // which is to be told in every sync
	}
	for _, q := range a.Asked {
		switch kind, _, _ := strings.Cut(q.question, " "); kind {
		case askType, askPattern: // on record as a whole
		case askName: // concerns related ids only
		case askClaim:
			if q.text != "" {
				return true // it may become free
			}
		default:
			return true
		}
	}
	for _, f := range a.Files {
		if f.Edited {
			return true
		}
	}
	return false
}

// checkStamps finds out whether somebody has added, removed or replaced files in the folders that ours are in.
func (s *syncer) checkStamps() {
	for dir, was := range s.old.Stamps {
		now := s.stampOf(dir)
		if now.Ino == was.Ino && now.Mtime == was.Mtime {
			now.Files = was.Files
		} else if now.Ino != 0 {
			now.Files = s.count(dir)
		}
		s.stamps[dir] = now
		if now != was || was == (stamp{}) {
			s.stale = true
		}
	}
	if s.old.pending || s.old.lost {
		s.stale = true
	}
}

// stampOf looks at a folder. The kernel's clock for files moves in steps of up to ten milliseconds: a folder that has
// changed in the present one may change again without a difference.
func (s *syncer) stampOf(dir string) stamp {
	var (
		st  unix.Stat_t
		now unix.Timespec
	)
	for range 20 {
		if unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &now) != nil || unix.Stat(s.o.file(dir), &st) != nil {
			return stamp{}
		}
		if st.Mtim.Nano() < now.Nano() {
			return stamp{Ino: st.Ino, Mtime: st.Mtim.Nano()}
		}
		time.Sleep(time.Millisecond)
	}
	return stamp{} // another clock than ours
}

// keep takes a file over as it is.
func (s *syncer) keep(p string, f *fileRecord, origin string) {
	s.files[p] = f
	s.apps[f.App].Files[p] = f
	if f.Edited {
		s.left = append(s.left, LeftOut{f.App, origin, "the file has been edited and stays as it is: " + s.o.file(p)})
	}
}

// want finds out what is to be done to have one file.
func (s *syncer) want(f File) {
	hash := hashOf(f.Content)
	was := s.was[f.Path]
	now, err := s.look(f.Path, was)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.puts = append(s.puts, put{File: f})
	case err == nil && now.hash == hash:
		s.keep(f.Path, newFileRecord(f.App, hash, now.st), f.Origin)
		return
	case err == nil && was != nil && slices.Contains(was.Hashes, now.hash):
		s.puts = append(s.puts, put{f, true})
	case err == nil && was != nil:
		// The user's own version stays for as long as the application does.
		mine := newFileRecord(f.App, "", now.st)
		mine.Hashes, mine.Edited = was.Hashes, true
		s.keep(f.Path, mine, f.Origin)
		return
	case err == nil && s.old.lost && s.isMarked(f.Path, f.App):
		s.aside = append(s.aside, f.Path)
		s.puts = append(s.puts, put{File: f})
	default:
		s.blocked(f)
		return
	}
	s.keep(f.Path, &fileRecord{App: f.App, Hashes: []string{hash}}, f.Origin)
}

// blocked notes down that somebody else has the place of a file; as soon as it is free, it is used.
func (s *syncer) blocked(f File) {
	s.left = append(s.left, LeftOut{f.App, f.Origin, "there is another file of that name: " + s.o.file(f.Path)})
	a := s.apps[f.App]
	a.Asked = append(a.Asked, answer{askFree + " " + f.Path, "taken"})
	a.Left = append(a.Left, s.left[len(s.left)-1])
	a.Watch = true
}

// unwanted finds out what is to become of a file on record.
func (s *syncer) unwanted(p string, was *fileRecord) {
	s.leaves = append(s.leaves, p)
	now, err := s.look(p, was)
	switch {
	case err == nil && !now.edited && slices.Contains(was.Hashes, now.hash):
		s.gone = append(s.gone, p)
	case err == nil && s.isMarked(p, was.App):
		s.aside = append(s.aside, p)
	default:
		// Gone, perhaps by a sync that was interrupted, or somebody else's by now.
		if errors.Is(err, fs.ErrNotExist) {
			s.touched[areaOf(p)] = true
		}
	}
}

func (s *syncer) isMarked(p, id string) bool {
	info, err := os.Lstat(s.o.file(p))
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxEntry {
		return false
	}
	data, err := os.ReadFile(s.o.file(p))
	return err == nil && marked(data, id)
}

// orphans finds, when the record is lost, files that say that they are ours and that nobody wants.
func (s *syncer) orphans() {
	for _, dir := range []string{"applications", "dbus-1/services", "gnome-shell/search-providers", "bin", "autostart"} {
		if area(dir) == autostartArea && s.o.ConfigHome == "" {
			continue
		}
		entries, err := os.ReadDir(s.o.file(dir))
		if err != nil {
			continue
		}
		for _, e := range entries {
			p := path.Join(dir, e.Name())
			if s.files[p] == nil && e.Type().IsRegular() && s.isMarked(p, "") {
				s.aside = append(s.aside, p)
			}
		}
	}
}

// checkGenerated sees to it that caches which somebody has removed are made again.
func (s *syncer) checkGenerated() {
	for _, a := range []area{entriesArea, typesArea} {
		tool, file, _ := a.generated(s.o)
		if exists(file) {
			continue
		}
		for _, r := range s.apps {
			if r.has(a) {
				_, err := exec.LookPath(tool)
				s.touched[a] = s.touched[a] || err == nil
				break
			}
		}
	}
}

// intact tells whether files on record are as they were written, or as they were when they were found to be edited. One
// that is changed in place is not found out here: it matters only when it is to be replaced or removed.
func (s *syncer) intact(files map[string]*fileRecord) bool {
	for p, f := range files {
		if f.Ino != 0 && s.inodes(path.Dir(p))[path.Base(p)] == f.Ino {
			continue
		}
		now, err := s.look(p, f)
		if err != nil || f.Ino != now.st.Ino || !now.edited && now.hash != f.Hashes[len(f.Hashes)-1] {
			return false
		}
	}
	return true
}

// inodes lists a folder: one call where a look at each file would be hundreds.
func (s *syncer) inodes(dir string) map[string]uint64 {
	if m, ok := s.listed[dir]; ok {
		return m
	}
	m := map[string]uint64{}
	s.listed[dir] = m
	s.readDir(dir, func(name []byte, ino uint64) { m[string(name)] = ino })
	return m
}

// readDir calls use with the regular files of a folder. The name is valid until use returns.
func (s *syncer) readDir(dir string, use func(name []byte, ino uint64)) {
	fd, err := unix.Open(s.o.file(dir), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	buf := make([]byte, 64<<10)
	for {
		n, err := unix.Getdents(fd, buf)
		if n <= 0 || err != nil {
			return
		}
		// struct linux_dirent64: inode, offset (8 bytes each), length (2), type (1), name ended by NUL (getdents64(2)).
		const header = 19
		for rest := buf[:n]; len(rest) > header; {
			size := int(binary.NativeEndian.Uint16(rest[16:]))
			if size <= header || size > len(rest) {
				break
			}
			if name, _, ok := bytes.Cut(rest[header:size], []byte{0}); ok && rest[18] == unix.DT_REG {
				use(name, binary.NativeEndian.Uint64(rest))
			}
			rest = rest[size:]
		}
	}
}

// found is what is at the place of a file.
type found struct {
	hash   string // empty when the file is the edited one on record
	edited bool
	st     unix.Stat_t
}

// look gives the digest of a file, from the record if the file has not been touched since.
func (s *syncer) look(p string, was *fileRecord) (found, error) {
	var f found
	name := s.o.file(p)
	if err := unix.Lstat(name, &f.st); err != nil {
		return f, err
	}
	if f.st.Mode&unix.S_IFMT != unix.S_IFREG {
		return f, errors.New("not a file")
	}
	if was != nil && was.Ino == f.st.Ino && was.Size == f.st.Size && was.Mtime == f.st.Mtim.Nano() {
		if f.edited = was.Edited; !f.edited {
			f.hash = was.Hashes[len(was.Hashes)-1]
		}
		return f, nil
	}
	if f.st.Size > maxFont {
		return f, errors.New("too large to be ours")
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return f, err
	}
	f.hash = hashOf(data)
	return f, nil
}

// idle tells whether there is nothing to do and nothing to note down.
func (s *syncer) idle() bool {
	if s.old.lost || s.old.pending || s.old.Untold || len(s.puts)+len(s.leaves)+len(s.aside)+len(s.dir.made) > 0 || len(s.apps) != len(s.old.Apps) ||
		s.host != s.old.Host {
		return false
	}
	for id, a := range s.apps {
		if was := s.old.Apps[id]; was != a && (was == nil || was.Key != a.Key || !bytes.Equal(was.lines(), a.lines())) {
			return false
		}
	}
	for dir, was := range s.old.Stamps {
		if now := s.stamps[dir]; now != was && now != (stamp{}) {
			return false // so that the next sync need not look at all files again
		}
	}
	return true
}

// intent is the record for the time of the change: all that the applications in question have before or after it.
func (s *syncer) intent() *record {
	r := emptyRecord()
	checked := map[string]bool{}
	for _, p := range s.puts {
		for dir := filepath.Dir(s.o.file(p.Path)); !checked[dir]; dir = filepath.Dir(dir) {
			checked[dir] = true
			if exists(dir) {
				break
			}
			s.addDir(dir)
		}
	}
	r.Dirs, r.Host, r.Untold = s.dirs, s.old.Host, s.old.Untold
	for _, a := range []area{entriesArea, typesArea} {
		_, file, _ := a.generated(s.o)
		r.Caches[a] = s.old.Caches[a] || !exists(file)
	}
	s.old.Caches = r.Caches
	entry := func(id string) *appRecord {
		a := r.Apps[id]
		if a == nil {
			a = &appRecord{id: id, Files: map[string]*fileRecord{}}
			if now := s.apps[id]; now != nil {
				a.Claims = slices.Clone(now.claims())
			}
			r.Apps[id] = a
			s.begun[id] = true
		}
		return a
	}
	for _, p := range s.puts {
		entry(p.App)
	}
	for id, was := range s.old.Apps {
		if was.pending {
			entry(id) // a new log begins with this
		}
	}
	for id, a := range r.Apps {
		if was := s.old.Apps[id]; was != nil {
			for p, f := range was.open().Files {
				c := *f
				c.Hashes = slices.Clone(f.Hashes)
				a.Files[p] = &c
			}
		}
		now := s.apps[id]
		if now == nil {
			continue
		}
		for p, f := range now.open().Files {
			c := *f
			if was := s.was[p]; was != nil && !f.Edited {
				// It may be what it was, or what it is to be.
				c.Hashes = slices.Concat(was.Hashes, f.Hashes)
				c.Hashes = c.Hashes[max(0, len(c.Hashes)-maxHashes):]
				if f.Hashes[0] != was.Hashes[len(was.Hashes)-1] {
					c.Ino = 0
				}
			}
			a.Files[p] = &c
		}
	}
	return r
}

// temp is the name under which a file is written. It follows from the path, so that what a crash leaves is found.
func (s *syncer) temp(p string) string {
	dir, base := filepath.Split(s.o.file(p))
	sum := sha256.Sum256([]byte(base))
	return filepath.Join(dir, ".glick-"+hex.EncodeToString(sum[:8])+".tmp")
}

// cleanTemps removes what an interrupted sync has left half written.
func (s *syncer) cleanTemps() error {
	if !s.old.pending {
		return nil
	}
	for p := range s.was {
		if err := s.disk.remove(s.temp(p)); err != nil {
			return err
		}
	}
	return nil
}

func (s *syncer) write(ctx context.Context) ([]string, error) {
	checked := map[string]bool{}
	for _, p := range s.puts {
		if dir := path.Dir(p.Path); !checked[dir] {
			checked[dir] = true
			if _, err := s.disk.mkdirAll(s.o.file(dir), 0o755); err != nil {
				return nil, err
			}
		}
		s.touched[areaOf(p.Path)] = true
	}
	// Each file is synced before it gets its name; a file that a crash has emptied would no longer be known as ours.
	// Side by side these waits cost as much as one.
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(16)
	if s.o.before != nil {
		g.SetLimit(1) // so that the calls are in order
	}
	lost := make([]bool, len(s.puts))
	for i, p := range s.puts {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			ok, err := s.put(p)
			lost[i] = !ok
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	var written []string
	for i, p := range s.puts {
		if lost[i] {
			delete(s.files, p.Path)
			delete(s.apps[p.App].Files, p.Path)
			s.blocked(p.File)
			continue
		}
		written = append(written, p.Path)
	}
	return written, nil
}

// put writes one file; false when somebody else has taken the name meanwhile.
func (s *syncer) put(p put) (bool, error) {
	name, tmp := s.o.file(p.Path), s.temp(p.Path)
	st, err := s.disk.create(tmp, p.Content, p.Mode)
	if err == nil {
		if p.replaces {
			err = s.disk.rename(tmp, name)
		} else {
			err = s.disk.renameNew(tmp, name) // never over a file that has come since we looked
		}
	}
	if err != nil {
		_ = s.disk.remove(tmp)
		if errors.Is(err, fs.ErrExist) {
			return false, nil
		}
		return false, fmt.Errorf("cannot write %s: %w", name, err)
	}
	*s.files[p.Path] = *newFileRecord(p.App, hashOf(p.Content), st)
	return true, nil
}

func (s *syncer) remove() ([]string, error) {
	for _, p := range s.gone {
		if err := s.disk.remove(s.o.file(p)); err != nil {
			return nil, err
		}
		s.touched[areaOf(p)] = true
	}
	return s.gone, nil
}

// setAside moves edited files to where they do no harm and are not lost.
func (s *syncer) setAside() ([]string, error) {
	var moved []string
	for _, p := range s.aside {
		to, err := s.moveAside(p)
		if err != nil {
			return moved, fmt.Errorf("cannot put %s aside: %w", s.o.file(p), err)
		}
		moved = append(moved, to)
		s.touched[areaOf(p)] = true
	}
	return moved, nil
}

func (s *syncer) moveAside(p string) (string, error) {
	to := filepath.Join(s.dir.dir, "edited", p)
	if _, err := s.disk.mkdirAll(filepath.Dir(to), 0o755); err != nil {
		return "", err
	}
	from := s.o.file(p)
	for n := 1; ; n++ {
		free := to
		if n > 1 {
			free += "." + strconv.Itoa(n)
		}
		err := s.disk.renameNew(from, free)
		if errors.Is(err, unix.EXDEV) {
			// On another file system. A copy first, so that it is always somewhere.
			var data []byte
			if data, err = os.ReadFile(from); err != nil {
				return "", err
			}
			if exists(free) {
				continue
			}
			tmp := filepath.Join(filepath.Dir(free), ".glick.tmp")
			if _, err = s.disk.create(tmp, data, 0o644); err == nil {
				if err = s.disk.renameNew(tmp, free); err == nil {
					err = s.disk.remove(from)
				}
			}
		}
		if err == nil {
			return free, nil
		}
		if !errors.Is(err, fs.ErrExist) || n > 1000 {
			return "", err
		}
	}
}

// tell lets the desktop know of the areas that have changed. An area that could not be told does not keep the others
// from being told.
func (s *syncer) tell(ctx context.Context) error {
	var g errgroup.Group
	if s.o.before != nil {
		g.SetLimit(1)
	}
	errs := make([]error, len(areas))
	for i, a := range areas {
		if s.touched[a] {
			g.Go(func() error {
				errs[i] = a.tell(ctx, s.o)
				return nil
			})
		}
	}
	_ = g.Wait()
	return errors.Join(errs...)
}

// finish puts the final record in place, and takes away what is empty now and was not there before us.
func (s *syncer) finish(untold bool) error {
	r := emptyRecord()
	r.Untold, r.Host, r.Apps = untold, s.host, s.apps
	for _, a := range []area{entriesArea, typesArea} {
		r.Caches[a] = s.old.Caches[a]
		if !s.old.Caches[a] || !s.touched[a] {
			continue
		}
		shown := false
		for _, app := range s.apps {
			shown = shown || app.has(a)
		}
		if !shown {
			r.Caches[a] = false
			if err := a.sweep(s.o); err != nil {
				return err
			}
		}
	}
	// Only where a file has gone can a folder be empty.
	kept := len(r.Apps) > 0 || r.Untold
	emptied := map[string]bool{}
	for _, p := range s.leaves {
		for dir := filepath.Dir(s.o.file(p)); !emptied[dir] && dir != "/"; dir = filepath.Dir(dir) {
			emptied[dir] = true
		}
	}
	full := map[string]bool{} // for there is a folder in it that is not empty
	above := func(dir string) bool { return strings.HasPrefix(s.dir.dir+"/", dir+"/") }
	dirs := slices.Clone(s.dirs)
	slices.SortFunc(dirs, func(a, b string) int { return strings.Compare(b, a) }) // the inner ones first
	for _, dir := range dirs {
		if !above(dir) && (emptied[dir] || !kept) && !full[dir] {
			err := s.disk.remove(dir)
			if err == nil {
				continue
			}
			if !inUse(err) {
				return err
			}
			for up := filepath.Dir(dir); !full[up] && up != "/"; up = filepath.Dir(up) {
				full[up] = true
			}
			if !kept {
				continue // it has become somebody else's
			}
		}
		r.Dirs = append(r.Dirs, dir)
	}
	if kept {
		s.newStamps(r)
		ids, gone := s.changes()
		if err := s.dir.commit(r, ids, gone); err != nil {
			return err
		}
		s.dir.remember(r)
		return nil
	}
	// The record is the last to go: as long as it is there, the next sync knows what is left to do.
	if err := s.dir.drop(); err != nil {
		return err
	}
	for _, dir := range dirs {
		if above(dir) {
			if err := s.disk.remove(dir); err != nil && !inUse(err) {
				return err
			}
		}
	}
	return nil
}

// changes tells of which applications there is something new, in comparison to the record as it is now, and which are
// gone from it.
func (s *syncer) changes() (ids, gone []string) {
	for id, a := range s.apps {
		if s.begun[id] || s.old.Apps[id] != a {
			ids = append(ids, id)
		}
	}
	for id := range s.old.Apps {
		if s.apps[id] == nil {
			gone = append(gone, id)
		}
	}
	slices.Sort(ids)
	slices.Sort(gone)
	return ids, gone
}

// expect notes down, before anything is changed, how many files the folders in question are to have afterwards.
func (s *syncer) expect() {
	count := func(p string, by int) {
		dir := path.Dir(p)
		if _, ok := s.expected[dir]; !ok {
			if now := s.stamps[dir]; now != (stamp{}) {
				s.expected[dir] = now.Files
			} else {
				s.expected[dir] = s.count(dir)
			}
		}
		s.expected[dir] += by
	}
	for _, p := range s.puts {
		if p.replaces {
			count(p.Path, 0)
		} else {
			count(p.Path, 1)
		}
	}
	for _, p := range slices.Concat(s.gone, s.aside) {
		count(p, -1)
	}
}

// count counts the files of a folder, but for those that come and go beside ours.
func (s *syncer) count(dir string) int {
	n := 0
	s.readDir(dir, func(name []byte, _ uint64) {
		if string(name) != "mimeinfo.cache" && !bytes.HasPrefix(name, []byte(".glick-")) {
			n++
		}
	})
	return n
}

// newStamps puts on record in what state the folders are. One that has other files than expected, because somebody
// else was at it at the same time, gets none: the next sync looks at each of ours.
func (s *syncer) newStamps(r *record) {
	for dir := range s.old.Stamps {
		r.Stamps[dir] = s.stamps[dir]
	}
	for p := range s.files {
		if dir := path.Dir(p); r.Stamps[dir] == (stamp{}) {
			r.Stamps[dir] = stamp{}
		}
	}
	for dir := range r.Stamps {
		want, ok := s.expected[dir]
		if !ok {
			continue
		}
		now := s.stampOf(dir)
		n := s.count(dir)
		switch {
		case n == 0 && want == 0:
			delete(r.Stamps, dir)
		case n == want && now != (stamp{}):
			now.Files = n
			r.Stamps[dir] = now
		default:
			r.Stamps[dir] = stamp{}
		}
	}
}

// inUse tells whether a folder could not be removed because it is somebody's, who has put something into it or on it.
func inUse(err error) bool {
	return errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, fs.ErrExist) || errors.Is(err, unix.EBUSY)
}

func newFileRecord(app, hash string, st unix.Stat_t) *fileRecord {
	return &fileRecord{App: app, Hashes: []string{hash}, Size: st.Size, Mtime: st.Mtim.Nano(), Ino: st.Ino}
}

// hashOf is the digest of a file, as long as it has to be so that nobody can make another file with it.
func hashOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:16])
}

// appKey is equal when the same is to be derived. suffix is that of the options.
func appKey(a apps.App, o Options, suffix string) string {
	return hex.EncodeToString(a.Digest[:]) + suffix + flag(slices.Contains(o.Autostart, a.ID), "a") +
		flag(len(o.Off) > 0 && slices.Contains(o.Excepted, a.ID), "e")
}

func (o Options) keySuffix() string {
	key := fmt.Appendf(nil, "%d %q %t %t", planFormat, o.Glick, o.System, o.ConfigHome != "")
	if len(o.Off) > 0 {
		key = fmt.Appendf(key, " %q", o.Off)
	}
	return hashOf(key)[:16]
}
