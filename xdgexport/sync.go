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
	list = pick(list, o)
	if len(list) == 0 {
		// Nothing to show and nothing on record: leave no trace, not even a folder. An empty one is what a sync has left that
		// was killed.
		f := folder{dir: stateFolder(o.DataHome)}
		if rest, err := os.ReadDir(f.dir); !exists(f.file()) && !exists(f.temp()) && (err != nil || len(rest) > 0) {
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
		return res, s.tell(ctx)
	}
	// What is only to be removed is on record already; and a full disk must not keep things from being removed.
	if len(s.puts) > 0 {
		if err := dir.save(s.intent()); err != nil {
			return res, fmt.Errorf("cannot keep the record: %w", err)
		}
	}
	if err := s.cleanTemps(); err != nil {
		return res, err
	}
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
	forget  bool     // files are to be taken off the record only
	dirs    []string // made by us, absolute; those of this sync included
	touched map[area]bool
	listed  map[string]map[string]uint64 // inodes of the files in a folder, by name
}

type put struct {
	File
	replaces bool // a file of ours
}

func newSyncer(o Options, dir *folder) *syncer {
	s := &syncer{
		o: o, disk: o.disk(), dir: dir, old: dir.load(),
		apps: map[string]*appRecord{}, files: map[string]*fileRecord{}, touched: map[area]bool{}, listed: map[string]map[string]uint64{},
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
	byApp := map[string][]string{} // paths on record of each application
	for p, f := range s.old.Files {
		byApp[f.App] = append(byApp[f.App], p)
	}
	env := newSurroundings(s.o)
	env.ours = func(p string) bool { return s.old.Files[p] != nil }
	for _, a := range list {
		if was := s.old.Apps[a.ID]; was != nil {
			for _, c := range was.Claims {
				env.grant(c, a.ID)
			}
		}
	}
	all := derive(list, env, func(a apps.App) *appRecord {
		was := s.old.Apps[a.ID]
		if was == nil || s.old.Busy || was.Key != appKey(a, s.o) || !s.intact(byApp[a.ID]) {
			return nil
		}
		return was
	})
	for _, d := range all {
		s.apps[d.app.ID] = d.record
		s.left = append(s.left, d.record.Left...)
		if d.reused {
			for _, p := range byApp[d.app.ID] {
				s.keep(p, s.old.Files[p], p)
			}
			continue
		}
		for _, f := range d.files {
			s.want(f)
		}
	}
	for p, was := range s.old.Files {
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
	if s.old.Busy {
		// What the interrupted sync had touched is not known.
		for _, a := range areas {
			s.touched[a] = true
		}
	}
	s.checkGenerated()
}

// keep takes a file over as it is.
func (s *syncer) keep(p string, f *fileRecord, origin string) {
	s.files[p] = f
	if f.Edited {
		s.left = append(s.left, LeftOut{f.App, origin, "the file has been edited and stays as it is: " + s.o.file(p)})
	}
}

// want finds out what is to be done to have one file.
func (s *syncer) want(f File) {
	hash := hashOf(f.Content)
	was := s.old.Files[f.Path]
	now, err := s.look(f.Path, was)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.puts = append(s.puts, put{File: f})
	case err == nil && now.hash == hash:
		s.files[f.Path] = newFileRecord(f.App, hash, now.st)
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
	s.files[f.Path] = &fileRecord{App: f.App, Hashes: []string{hash}}
}

// blocked notes down that somebody else has the place of a file; as soon as it is free, it is used.
func (s *syncer) blocked(f File) {
	s.left = append(s.left, LeftOut{f.App, f.Origin, "there is another file of that name: " + s.o.file(f.Path)})
	a := *s.apps[f.App]
	a.Asked = append(slices.Clip(a.Asked), answer{askFree + " " + f.Path, "taken"})
	a.Left = append(slices.Clip(a.Left), s.left[len(s.left)-1])
	s.apps[f.App] = &a
}

// unwanted finds out what is to become of a file on record.
func (s *syncer) unwanted(p string, was *fileRecord) {
	now, err := s.look(p, was)
	switch {
	case err == nil && !now.edited && slices.Contains(was.Hashes, now.hash):
		s.gone = append(s.gone, p)
	case err == nil && s.isMarked(p, was.App):
		s.aside = append(s.aside, p)
	default:
		// Gone, perhaps by a sync that was interrupted, or somebody else's by now.
		s.forget = true
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
		for p := range s.files {
			if areaOf(p) == a {
				_, err := exec.LookPath(tool)
				s.touched[a] = err == nil
				break
			}
		}
	}
}

// intact tells whether files on record are as they were written, or as they were when they were found to be edited. One
// that is changed in place is not found out here: it matters only when it is to be replaced or removed.
func (s *syncer) intact(paths []string) bool {
	for _, p := range paths {
		f := s.old.Files[p]
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
	fd, err := unix.Open(s.o.file(dir), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return m
	}
	defer unix.Close(fd)
	buf := make([]byte, 64<<10)
	for {
		n, err := unix.Getdents(fd, buf)
		if n <= 0 || err != nil {
			return m
		}
		// struct linux_dirent64: inode, offset (8 bytes each), length (2), type (1), name ended by NUL (getdents64(2)).
		const header = 19
		for rest := buf[:n]; len(rest) > header; {
			size := int(binary.NativeEndian.Uint16(rest[16:]))
			if size <= header || size > len(rest) {
				break
			}
			if name, _, ok := bytes.Cut(rest[header:size], []byte{0}); ok && rest[18] == unix.DT_REG {
				m[string(name)] = binary.NativeEndian.Uint64(rest)
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
	if s.old.lost || s.old.Busy || s.forget || len(s.puts)+len(s.gone)+len(s.aside)+len(s.dir.made) > 0 || len(s.apps) != len(s.old.Apps) {
		return false
	}
	for id, a := range s.apps {
		was := s.old.Apps[id]
		if was == a {
			continue
		}
		if was == nil || was.Key != a.Key || !slices.Equal(was.Left, a.Left) || !slices.Equal(was.Asked, a.Asked) || !slices.Equal(was.Claims, a.Claims) {
			return false
		}
	}
	for p, f := range s.files {
		was := s.old.Files[p]
		if was == f {
			continue
		}
		if was == nil || was.App != f.App || !slices.Equal(was.Hashes, f.Hashes) || was.Ino != f.Ino || was.Mtime != f.Mtime || was.Edited != f.Edited {
			return false
		}
	}
	return true
}

// intent is the record for the time of the change: all that is ours before or after it.
func (s *syncer) intent() *record {
	r := emptyRecord()
	r.Busy = true
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
	r.Dirs = s.dirs
	for _, a := range []area{entriesArea, typesArea} {
		_, file, _ := a.generated(s.o)
		r.Caches[a] = s.old.Caches[a] || !exists(file)
	}
	s.old.Caches = r.Caches
	for p, f := range s.old.Files {
		c := *f
		c.Hashes = slices.Clone(f.Hashes)
		r.Files[p] = &c
	}
	for p, f := range s.files {
		was := r.Files[p]
		if was == nil {
			was = &fileRecord{}
			r.Files[p] = was
		}
		was.App = f.App
		for _, h := range f.Hashes {
			if !slices.Contains(was.Hashes, h) {
				// What a file is known by now was written with the hash that is no longer the last.
				was.Hashes, was.Ino = append(was.Hashes, h), 0
			}
		}
		if n := len(was.Hashes); n > maxHashes {
			was.Hashes = was.Hashes[n-maxHashes:]
		}
		if f.Edited {
			*was = *f
		}
	}
	for id, a := range s.apps {
		r.Apps[id] = &appRecord{Claims: a.Claims}
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
	if !s.old.Busy {
		return nil
	}
	for p := range s.old.Files {
		if err := s.disk.remove(s.temp(p)); err != nil {
			return err
		}
	}
	return nil
}

func (s *syncer) write(ctx context.Context) ([]string, error) {
	checked := map[string]bool{}
	for _, p := range s.puts {
		if dir := filepath.Dir(s.o.file(p.Path)); !checked[dir] {
			checked[dir] = true
			if _, err := s.disk.mkdirAll(dir, 0o755); err != nil {
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
	has := map[area]bool{}
	needed := map[string]bool{}
	for p := range s.files {
		has[areaOf(p)] = true
		for dir := filepath.Dir(s.o.file(p)); !needed[dir]; dir = filepath.Dir(dir) {
			needed[dir] = true
		}
	}
	r := emptyRecord()
	r.Busy = untold
	r.Apps, r.Files = s.apps, s.files
	for _, a := range []area{entriesArea, typesArea} {
		switch {
		case has[a]:
			r.Caches[a] = s.old.Caches[a]
		case s.old.Caches[a] && s.touched[a]:
			if err := a.sweep(s.o); err != nil {
				return err
			}
		}
	}
	kept := len(r.Apps)+len(r.Files) > 0 || r.Busy
	if kept {
		for dir := s.dir.dir; !needed[dir]; dir = filepath.Dir(dir) {
			needed[dir] = true
		}
	}
	dirs := slices.Clone(s.dirs)
	slices.SortFunc(dirs, func(a, b string) int { return strings.Compare(b, a) }) // the inner ones first
	above := func(dir string) bool { return strings.HasPrefix(s.dir.dir+"/", dir+"/") }
	for _, dir := range dirs {
		if !needed[dir] && (kept || !above(dir)) {
			err := s.disk.remove(dir)
			if err == nil {
				continue // it was empty
			}
			if !inUse(err) {
				return err
			}
			if len(s.files) == 0 {
				continue // it has become somebody else's
			}
		}
		r.Dirs = append(r.Dirs, dir)
	}
	if kept {
		return s.dir.save(r)
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

// inUse tells whether a folder could not be removed because it is somebody's, who has put something into it or on it.
func inUse(err error) bool {
	return errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, fs.ErrExist) || errors.Is(err, unix.EBUSY)
}

func newFileRecord(app, hash string, st unix.Stat_t) *fileRecord {
	return &fileRecord{App: app, Hashes: []string{hash}, Size: st.Size, Mtime: st.Mtim.Nano(), Ino: st.Ino}
}

func hashOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// appKey is equal when the same is to be derived.
func appKey(a apps.App, o Options) string {
	return hashOf(fmt.Appendf(nil, "%d\n%s\n%s\n%s\n%t %t %t\n", planFormat, a.ID, a.Digest, o.Glick, o.System,
		slices.Contains(o.Autostart, a.ID), o.ConfigHome != ""))
}
