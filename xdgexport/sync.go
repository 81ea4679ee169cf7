// SPDX-License-Identifier: MIT

package xdgexport

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"glick.org/glick/xdgexport/apps"
)

// planFormat changes when the same bundle would be shown in another way than before.
const planFormat = 1

// Result says what a sync has done.
type Result struct {
	Written, Removed []string // paths relative to the data folder, sorted
	Left             []LeftOut
}

// Changed tells whether anything was written or removed.
func (r Result) Changed() bool { return len(r.Written)+len(r.Removed) > 0 }

// Sync makes the data folder show the given applications and nothing else of ours, and tells the desktop. It waits
// for other syncs of the same folder. After an error, or a crash, the next sync does the rest.
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
	list = slices.DeleteFunc(slices.Clone(list), func(a apps.App) bool { return !a.Default })
	if len(list) == 0 {
		// Nothing to show and nothing on record: leave no trace, not even a folder.
		if _, err := os.Lstat(filepath.Join(o.DataHome, "glick", "exports.json")); errors.Is(err, fs.ErrNotExist) {
			return Result{}, nil
		}
	}
	dir, err := lockFolder(ctx, o.DataHome)
	if err != nil {
		return Result{}, err
	}
	defer dir.close()
	s := &syncer{o: o, dir: dir, old: dir.load()}
	s.compare(list)
	res := Result{Left: s.left}
	if s.idle() {
		return res, nil
	}
	if err := dir.save(s.intent()); err != nil {
		return res, fmt.Errorf("cannot keep the record: %w", err)
	}
	if res.Written, err = s.write(ctx); err != nil {
		return res, err
	}
	if res.Removed, err = s.remove(); err != nil {
		return res, err
	}
	toldErr := s.tell(ctx)
	if err := s.finish(toldErr != nil); err != nil {
		return res, fmt.Errorf("cannot keep the record: %w", err)
	}
	return res, toldErr
}

// syncer carries one sync from step to step.
type syncer struct {
	o   Options
	dir *folder
	old *record // as loaded

	apps  map[string]appRecord
	files map[string]*fileRecord // what will be on record for the files that are wanted
	left  []LeftOut

	puts    []put    // files to write
	gone    []string // files to remove
	forget  bool     // files are to be taken off the record only
	newDirs []string // made by us during this sync, relative
	touched map[area]bool
}

type put struct {
	File
	replaces bool // a file of ours
}

// compare finds what has to be done. It changes nothing.
func (s *syncer) compare(list []apps.App) {
	s.apps, s.files, s.touched = map[string]appRecord{}, map[string]*fileRecord{}, map[area]bool{}
	var w Wanted
	theirs := map[string][]string{} // paths on record of each application
	for p, f := range s.old.Files {
		theirs[f.App] = append(theirs[f.App], p)
	}
	unchanged := map[string]bool{} // applications whose files are all there as they were
	for _, a := range list {
		key := appKey(a, s.o)
		if was, ok := s.old.Apps[a.ID]; ok && was.Key == key && !s.old.Busy && s.intact(theirs[a.ID]) {
			unchanged[a.ID] = true
			w.Left = append(w.Left, was.Left...)
			s.apps[a.ID] = was
			continue
		}
		files, left, err := planApp(a, s.o)
		if err != nil {
			key = "" // it may be readable next time
		}
		w.Files = append(w.Files, files...)
		w.Left = append(w.Left, left...)
		s.apps[a.ID] = appRecord{Key: key, Left: left}
	}
	// Names that an unchanged application has are settled against the new ones like any others.
	for p, f := range s.old.Files {
		if unchanged[f.App] {
			w.Files = append(w.Files, File{Path: p, App: f.App})
		}
	}
	settled := len(w.Left)
	w.settle()
	for _, l := range w.Left[settled:] {
		s.again(l.App)
	}
	for _, f := range w.Files {
		was := s.old.Files[f.Path]
		if unchanged[f.App] {
			s.files[f.Path] = was
			continue
		}
		hash := hashOf(f.Content)
		now, stat, err := s.onDisk(f.Path, was)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			s.puts = append(s.puts, put{File: f})
		case err == nil && now == hash:
			s.files[f.Path] = newFileRecord(f.App, hash, stat)
			continue
		case err == nil && was != nil && slices.Contains(was.Hashes, now):
			s.puts = append(s.puts, put{f, true})
		default:
			w.Left = append(w.Left, LeftOut{f.App, f.Origin, "there is another file of that name: " + filepath.Join(s.o.DataHome, f.Path)})
			s.again(f.App)
			continue
		}
		s.files[f.Path] = &fileRecord{App: f.App, Hashes: []string{hash}}
	}
	for p, was := range s.old.Files {
		if s.files[p] != nil {
			continue
		}
		if now, _, err := s.onDisk(p, was); err == nil && slices.Contains(was.Hashes, now) {
			s.gone = append(s.gone, p)
		} else {
			s.forget = true
		}
	}
	slices.Sort(s.gone)
	s.left = w.Left
}

// again makes the next sync derive an application's files anew, because what it got depends on others.
func (s *syncer) again(id string) {
	a := s.apps[id]
	a.Key = ""
	s.apps[id] = a
}

// intact tells whether files on record are as they were written.
func (s *syncer) intact(paths []string) bool {
	for _, p := range paths {
		f := s.old.Files[p]
		if now, _, err := s.onDisk(p, f); err != nil || now != f.Hashes[len(f.Hashes)-1] {
			return false
		}
	}
	return true
}

// onDisk gives the digest of a file in the data folder, from the record if the file has not been touched since.
func (s *syncer) onDisk(p string, was *fileRecord) (string, unix.Stat_t, error) {
	var st unix.Stat_t
	name := filepath.Join(s.o.DataHome, p)
	if err := unix.Lstat(name, &st); err != nil {
		return "", st, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return "", st, errors.New("not a file")
	}
	if was != nil && len(was.Hashes) > 0 && was.Ino == st.Ino && was.Size == st.Size && was.Mtime == st.Mtim.Nano() {
		return was.Hashes[len(was.Hashes)-1], st, nil
	}
	if st.Size > maxContent {
		return "", st, errors.New("too large to be ours")
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return "", st, err
	}
	return hashOf(data), st, nil
}

// idle tells whether there is nothing to do and nothing to note down.
func (s *syncer) idle() bool {
	if len(s.madeAbove()) > 0 {
		return false // that is to be noted down, even where another sync has done the rest meanwhile
	}
	if s.old.Busy || s.forget || len(s.puts)+len(s.gone) > 0 || len(s.apps) != len(s.old.Apps) {
		return false
	}
	for id, a := range s.apps {
		was, ok := s.old.Apps[id]
		if !ok || was.Key != a.Key || !slices.Equal(was.Left, a.Left) {
			return false
		}
	}
	for p, f := range s.files {
		was, ok := s.old.Files[p]
		if !ok || was.App != f.App || !slices.Equal(was.Hashes, f.Hashes) || was.Ino != f.Ino || was.Mtime != f.Mtime {
			return false
		}
	}
	return true
}

// madeAbove are the folders that had to be made to have the data folder.
func (s *syncer) madeAbove() []string {
	return slices.DeleteFunc(slices.Clone(s.dir.made), func(dir string) bool { return dir == s.dir.dir })
}

// intent is the record for the time of the change: all that is ours before or after it.
func (s *syncer) intent() *record {
	r := emptyRecord()
	r.Busy = true
	r.Above = append(s.old.Above, s.madeAbove()...)
	r.Dirs = slices.Clone(s.old.Dirs)
	for _, p := range s.puts {
		for dir := filepath.Dir(p.Path); dir != "."; dir = filepath.Dir(dir) {
			if _, err := os.Lstat(filepath.Join(s.o.DataHome, dir)); errors.Is(err, fs.ErrNotExist) && !slices.Contains(r.Dirs, dir) {
				r.Dirs = append(r.Dirs, dir)
			}
		}
	}
	for _, a := range areas {
		r.Caches[a] = s.old.Caches[a] || !a.generated(s.o.DataHome)
	}
	for p, f := range s.old.Files {
		r.Files[p] = &fileRecord{App: f.App, Hashes: slices.Clone(f.Hashes)}
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
				was.Hashes = append(was.Hashes, h)
			}
		}
	}
	s.newDirs, s.old.Dirs, s.old.Above, s.old.Caches = r.Dirs, r.Dirs, r.Above, r.Caches
	if s.old.Busy {
		// What the interrupted sync had touched is not known.
		for _, a := range areas {
			s.touched[a] = true
		}
		for p := range r.Files {
			_ = os.Remove(s.temp(p))
		}
	}
	return r
}

// temp is the name under which a file is written. It follows from the path, so that what a crash leaves is found.
func (s *syncer) temp(p string) string {
	dir, base := filepath.Split(filepath.Join(s.o.DataHome, p))
	sum := sha256.Sum256([]byte(base))
	return filepath.Join(dir, ".glick-"+hex.EncodeToString(sum[:8])+".tmp")
}

func (s *syncer) write(ctx context.Context) ([]string, error) {
	for _, p := range s.puts {
		if _, err := mkdirAll(filepath.Dir(filepath.Join(s.o.DataHome, p.Path)), 0o755); err != nil {
			return nil, err
		}
		s.touched[areaOf(p.Path)] = true
	}
	// Each file is synced before it gets its name; a file that a crash has emptied would no longer be known as ours.
	// Side by side these waits cost as much as one.
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(16)
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
			s.again(p.App)
			continue
		}
		written = append(written, p.Path)
	}
	slices.Sort(written)
	return written, nil
}

// put writes one file; false when somebody else has taken the name meanwhile.
func (s *syncer) put(p put) (bool, error) {
	name, tmp := filepath.Join(s.o.DataHome, p.Path), s.temp(p.Path)
	_ = os.Remove(tmp)
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, p.Mode)
	if err != nil {
		return false, err
	}
	defer f.Close()
	if _, err = f.Write(p.Content); err == nil {
		err = f.Sync()
	}
	var st unix.Stat_t
	if err == nil {
		err = unix.Fstat(int(f.Fd()), &st)
	}
	if err == nil {
		if p.replaces {
			err = os.Rename(tmp, name)
		} else {
			// Never over a file that has come since we looked.
			err = unix.Renameat2(unix.AT_FDCWD, tmp, unix.AT_FDCWD, name, unix.RENAME_NOREPLACE)
			if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
				if err = os.Link(tmp, name); err == nil {
					_ = os.Remove(tmp)
				}
			}
		}
	}
	if err != nil {
		_ = os.Remove(tmp)
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
		if err := os.Remove(filepath.Join(s.o.DataHome, p)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		s.touched[areaOf(p)] = true
	}
	return s.gone, nil
}

// tell lets the desktop know of the areas that have changed. An area that could not be told does not keep the others
// from being told.
func (s *syncer) tell(ctx context.Context) error {
	var g errgroup.Group
	errs := make([]error, len(areas))
	for i, a := range areas {
		if s.touched[a] {
			g.Go(func() error {
				errs[i] = a.tell(ctx, s.o.DataHome)
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
		for dir := filepath.Dir(p); dir != "."; dir = filepath.Dir(dir) {
			needed[dir] = true
		}
	}
	r := emptyRecord()
	r.Busy = untold
	r.Apps, r.Files, r.Above = s.apps, s.files, s.old.Above
	for _, a := range areas {
		switch {
		case has[a]:
			r.Caches[a] = s.old.Caches[a]
		case s.old.Caches[a] && !has[a] && s.touched[a]:
			a.sweep(s.o.DataHome)
		}
	}
	dirs := slices.Clone(s.newDirs)
	slices.SortFunc(dirs, func(a, b string) int { return strings.Compare(b, a) }) // the inner ones first
	for _, dir := range dirs {
		if !needed[dir] {
			if err := os.Remove(filepath.Join(s.o.DataHome, dir)); err == nil || errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if len(s.files) == 0 {
				continue // it has become somebody else's
			}
		}
		r.Dirs = append(r.Dirs, dir)
	}
	if len(r.Apps)+len(r.Files) > 0 || r.Busy {
		return s.dir.save(r)
	}
	if err := s.dir.drop(); err != nil {
		return err
	}
	for _, dir := range slices.Backward(r.Above) {
		if strings.HasPrefix(s.o.DataHome+"/", dir+"/") {
			_ = os.Remove(dir) // only when empty
		}
	}
	return nil
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
	return hashOf(fmt.Appendf(nil, "%d\n%s\n%s\n%s\n", planFormat, a.ID, a.Digest, o.Glick))
}
