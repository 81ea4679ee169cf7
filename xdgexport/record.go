// SPDX-License-Identifier: MIT

package xdgexport

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"
)

const (
	recordFormat = 1
	maxRecord    = 64 << 20
)

// record is what we know to be ours. It is written before anything is changed, with everything that may be ours during
// the change, and again afterwards: whenever the power goes, the next sync knows what is whose.
type record struct {
	Format int `json:"format"`
	// Busy says that a sync has begun and not ended: the desktop may not have been told.
	Busy  bool                   `json:"busy,omitempty"`
	Apps  map[string]appRecord   `json:"apps"`
	Files map[string]*fileRecord `json:"files"`
	// Dirs are folders that we have made, relative to the data folder. Above are those made to have the data folder.
	Dirs  []string `json:"dirs,omitempty"`
	Above []string `json:"above,omitempty"`
	// Caches are the areas whose generated files were not there before us.
	Caches map[area]bool `json:"caches,omitempty"`
}

// appRecord says what was derived from a bundle, so that it need not be derived again.
type appRecord struct {
	Key  string    `json:"key"` // empty: derive again
	Left []LeftOut `json:"left,omitempty"`
}

type fileRecord struct {
	App    string   `json:"app"`
	Hashes []string `json:"hashes"` // of what we have written or are about to; the last is the newest
	// What the file was when it had the last hash: as long as it is still so, it need not be read.
	Size  int64  `json:"size,omitempty"`
	Mtime int64  `json:"mtime,omitempty"`
	Ino   uint64 `json:"ino,omitempty"`
}

func emptyRecord() *record {
	return &record{Format: recordFormat, Apps: map[string]appRecord{}, Files: map[string]*fileRecord{}, Caches: map[area]bool{}}
}

// folder is where the record lies; whoever holds a lock on it may sync.
type folder struct {
	dir  string
	lock *os.File
	made []string // folders that had to be made
}

// lockFolder opens the record's folder, waiting for other syncs until ctx ends. The caller calls close.
func lockFolder(ctx context.Context, dataHome string) (*folder, error) {
	f := &folder{dir: filepath.Join(dataHome, "glick")}
	for {
		made, err := mkdirAll(f.dir, 0o700)
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

func (f *folder) file() string { return filepath.Join(f.dir, "exports.json") }

// load reads the record. A missing or unreadable one is as good as none: what we wrote in the past is then adopted
// where it is still what is wanted, and otherwise left alone.
func (f *folder) load() *record {
	r := emptyRecord()
	in, err := os.Open(f.file())
	if err != nil {
		return r
	}
	defer in.Close()
	read := emptyRecord()
	if json.NewDecoder(io.LimitReader(in, maxRecord)).Decode(read) != nil || read.Format != recordFormat {
		return r
	}
	for p, file := range read.Files {
		if file == nil || !ownPath(p) {
			delete(read.Files, p)
		}
	}
	return read
}

func (f *folder) save(r *record) error {
	data, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return renameio.WriteFile(f.file(), append(data, '\n'), 0o600, renameio.WithTempDir(f.dir))
}

// drop removes the record, and the folder unless something else is in it.
func (f *folder) drop() error {
	if err := os.Remove(f.file()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	_ = os.Remove(f.dir)
	return nil
}

// ownPath accepts the paths that a record may name: below one of the areas, without detours.
func ownPath(p string) bool {
	return path.IsAbs("/"+p) && path.Clean(p) == p && !strings.HasPrefix(p, "../") && areaOf(p) != noArea
}

// mkdirAll makes a folder and what is missing above it, and tells what it made, outermost first.
func mkdirAll(dir string, mode fs.FileMode) ([]string, error) {
	err := os.Mkdir(dir, mode)
	switch {
	case err == nil:
		return []string{dir}, nil
	case errors.Is(err, fs.ErrExist):
		return nil, nil
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	above, err := mkdirAll(filepath.Dir(dir), mode)
	if err != nil {
		return above, err
	}
	if err := os.Mkdir(dir, mode); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return above, nil
		}
		return above, err
	}
	return append(above, dir), nil
}
