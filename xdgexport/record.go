// SPDX-License-Identifier: MIT

package xdgexport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	recordHead = "glick exports 2"
	recordEnd  = "end"
	maxRecord  = 256 << 20
	// maxHashes bounds what is remembered of one file while syncs are interrupted again and again.
	maxHashes = 16
)

// record is what we know to be ours. It is written before anything is changed, with everything that may be ours during
// the change, and again afterwards: whenever the power goes, the next sync knows what is whose.
//
// The file is lines of fields that tabs separate. A thousand applications have some thousand files, and every sync
// reads them all: this takes a tenth of the time that JSON would.
type record struct {
	// Busy says that a sync has begun and not ended: the desktop may not have been told.
	Busy  bool
	Apps  map[string]*appRecord
	Files map[string]*fileRecord
	// Dirs are folders that we have made, as absolute paths.
	Dirs []string
	// Caches are the areas whose generated files were not there before us.
	Caches map[area]bool

	lost bool // there was none, or it could not be read
}

// appRecord says what was derived from a bundle, so that it need not be derived again.
type appRecord struct {
	Key    string // empty: derive again
	Left   []LeftOut
	Asked  []answer // what the planner asked about the host and the other applications
	Claims []string // what this application alone may use
}

// answer is a question that was asked during planning, with its answer at that time.
type answer struct{ question, text string }

type fileRecord struct {
	App    string
	Hashes []string // of what we have written or are about to; the last is the newest
	// What the file was when it had the last hash, or when it was found to be edited: as long as it is still so, it
	// need not be read.
	Size  int64
	Mtime int64 // in nanoseconds
	Ino   uint64
	// Edited says that somebody has changed the file since we wrote it.
	Edited bool
}

func emptyRecord() *record {
	return &record{Apps: map[string]*appRecord{}, Files: map[string]*fileRecord{}, Caches: map[area]bool{}}
}

// line makes a line of fields. What is in them came through printable, or is a message; either has no business with
// tabs and line ends.
func line(b *bytes.Buffer, fields ...string) {
	for i, f := range fields {
		if i > 0 {
			b.WriteByte('\t')
		}
		if strings.ContainsAny(f, "\t\n\r") {
			f = strings.NewReplacer("\t", " ", "\n", " ", "\r", " ").Replace(f)
		}
		b.WriteString(f)
	}
	b.WriteByte('\n')
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func (r *record) bytes() []byte {
	var b bytes.Buffer
	b.Grow(200*len(r.Files) + 1000)
	line(&b, recordHead)
	if r.Busy {
		line(&b, "busy")
	}
	for _, d := range r.Dirs {
		line(&b, "dir", d)
	}
	for _, a := range areas {
		if r.Caches[a] {
			line(&b, "cache", string(a))
		}
	}
	for _, id := range sortedKeys(r.Apps) {
		a := r.Apps[id]
		line(&b, "app", id, a.Key)
		for _, q := range a.Asked {
			line(&b, "asked", q.question, q.text)
		}
		for _, c := range a.Claims {
			line(&b, "claim", c)
		}
		for _, l := range a.Left {
			line(&b, "left", l.App, l.Origin, l.Reason)
		}
	}
	for _, p := range sortedKeys(r.Files) {
		f := r.Files[p]
		edited := ""
		if f.Edited {
			edited = "edited"
		}
		line(&b, "file", p, f.App, strings.Join(f.Hashes, ","), strconv.FormatInt(f.Size, 10), strconv.FormatInt(f.Mtime, 10),
			strconv.FormatUint(f.Ino, 10), edited)
	}
	line(&b, recordEnd)
	return b.Bytes()
}

var errRecord = errors.New("the record is damaged")

// parseRecord reads what bytes has written.
func parseRecord(data string) (*record, error) {
	r := emptyRecord()
	var app *appRecord
	ended := false
	first, data, _ := strings.Cut(data, "\n")
	if first != recordHead {
		return nil, errRecord
	}
	var fields [8]string
	for !ended && data != "" {
		var text string
		text, data, _ = strings.Cut(data, "\n")
		n := 0
		for more := true; more && n < len(fields); n++ {
			fields[n], text, more = strings.Cut(text, "\t")
		}
		f := fields[:n]
		switch {
		case f[0] == "busy" && n == 1:
			r.Busy = true
		case f[0] == "dir" && n == 2 && filepath.IsAbs(f[1]):
			r.Dirs = append(r.Dirs, f[1])
		case f[0] == "cache" && n == 2 && slices.Contains(areas, area(f[1])):
			r.Caches[area(f[1])] = true
		case f[0] == "app" && n == 3:
			app = &appRecord{Key: f[2]}
			r.Apps[f[1]] = app
		case f[0] == "asked" && n == 3 && app != nil:
			app.Asked = append(app.Asked, answer{f[1], f[2]})
		case f[0] == "claim" && n == 2 && app != nil:
			app.Claims = append(app.Claims, f[1])
		case f[0] == "left" && n == 4 && app != nil:
			app.Left = append(app.Left, LeftOut{f[1], f[2], f[3]})
		case f[0] == "file" && n == 8 && ownPath(f[1]):
			file := &fileRecord{App: f[2], Edited: f[7] == "edited"}
			if f[3] == "" {
				return nil, errRecord
			}
			file.Hashes = strings.Split(f[3], ",")
			var e1, e2, e3 error
			file.Size, e1 = strconv.ParseInt(f[4], 10, 64)
			file.Mtime, e2 = strconv.ParseInt(f[5], 10, 64)
			file.Ino, e3 = strconv.ParseUint(f[6], 10, 64)
			if e1 != nil || e2 != nil || e3 != nil {
				return nil, errRecord
			}
			r.Files[f[1]] = file
		case f[0] == recordEnd && n == 1:
			ended = true
		default:
			return nil, errRecord
		}
	}
	if !ended {
		return nil, errRecord
	}
	return r, nil
}

// folder is where the record lies; whoever holds a lock on it may sync.
type folder struct {
	disk disk
	dir  string
	mode fs.FileMode
	lock *os.File
	made []string // folders that had to be made
}

func stateFolder(dataHome string) string { return filepath.Join(dataHome, "glick") }

// lockFolder opens the record's folder, waiting for other syncs until ctx ends. The caller calls close.
func lockFolder(ctx context.Context, o Options) (*folder, error) {
	f := &folder{disk: o.disk(), dir: stateFolder(o.DataHome), mode: 0o600}
	dirMode := fs.FileMode(0o700)
	if o.System {
		f.mode, dirMode = 0o644, 0o755
	}
	for {
		made, err := f.disk.mkdirAll(f.dir, dirMode)
		f.made = append(f.made, made...)
		if err != nil {
			return nil, err
		}
		if f.lock, err = os.Open(f.dir); errors.Is(err, fs.ErrNotExist) {
			continue // the sync before us has just cleaned up
		}
		if err != nil {
			return nil, err
		}
		for {
			err = unix.Flock(int(f.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
			if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
				break
			}
			select {
			case <-ctx.Done():
				f.lock.Close()
				return nil, fmt.Errorf("another program is busy with it: %w", ctx.Err())
			case <-time.After(5 * time.Millisecond):
			}
		}
		if err != nil {
			f.lock.Close()
			return nil, err
		}
		// A folder that was removed while we waited is not the one that the next comer locks.
		if held, err := f.lock.Stat(); err == nil {
			if now, err := os.Stat(f.dir); err == nil && os.SameFile(held, now) {
				return f, nil
			}
		}
		f.lock.Close()
	}
}

func (f *folder) close() { f.lock.Close() }

const recordName = "exports"

func (f *folder) file() string { return filepath.Join(f.dir, recordName) }
func (f *folder) temp() string { return filepath.Join(f.dir, "."+recordName+".tmp") }

// load reads the record. A missing or unreadable one is as good as none: what we wrote in the past is then adopted
// where it is still what is wanted, put aside where it says itself that it is ours, and otherwise left alone.
func (f *folder) load() *record {
	none := emptyRecord()
	none.lost = true
	in, err := os.Open(f.file())
	if err != nil {
		return none
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil || info.Size() > maxRecord {
		return none
	}
	var text strings.Builder
	text.Grow(int(info.Size()))
	if _, err := io.Copy(&text, io.LimitReader(in, maxRecord)); err != nil {
		return none
	}
	r, err := parseRecord(text.String())
	if err != nil {
		return none
	}
	return r
}

func (f *folder) save(r *record) error {
	if _, err := f.disk.create(f.temp(), r.bytes(), f.mode); err != nil {
		_ = f.disk.remove(f.temp())
		return err
	}
	if err := f.disk.rename(f.temp(), f.file()); err != nil {
		_ = f.disk.remove(f.temp())
		return err
	}
	return nil
}

// drop removes the record, and the folder unless something else is in it.
func (f *folder) drop() error {
	if err := f.disk.remove(f.temp()); err != nil {
		return err
	}
	if err := f.disk.remove(f.file()); err != nil {
		return err
	}
	if err := f.disk.remove(f.dir); err != nil && !inUse(err) {
		return err
	}
	return nil
}

// ownPath accepts the paths that a record may name: below one of the areas, without detours.
func ownPath(p string) bool {
	return path.IsAbs("/"+p) && path.Clean(p) == p && !strings.HasPrefix(p, "../") && areaOf(p) != noArea
}
