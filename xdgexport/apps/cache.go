// SPDX-License-Identifier: MIT

package apps

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/adrg/xdg"
	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"

	"glick.org/glick/bundle"
)

const (
	cacheFormat = 1
	// maxCache bounds what is read back: some hundred bytes for each of many thousand bundles.
	maxCache = 32 << 20
	// settled is the age from which a file's change time tells it from a later state of the same file: older kernels
	// stamp files with the time of the last timer tick only.
	settled = 50 * time.Millisecond
)

// stamp says that a file is still the one that was looked at.
type stamp struct {
	Dev   uint64 `json:"dev"`
	Ino   uint64 `json:"ino"`
	Size  int64  `json:"size"`
	Mtime int64  `json:"mtime"`
	Ctime int64  `json:"ctime"`
}

func stampOf(st *unix.Stat_t) stamp {
	return stamp{Dev: st.Dev, Ino: st.Ino, Size: st.Size, Mtime: st.Mtim.Nano(), Ctime: st.Ctim.Nano()}
}

type cached struct {
	stamp
	ID      string `json:"id"`
	Version string `json:"version"`
	Name    string `json:"name"`
	Digest  string `json:"digest"`
}

// cache remembers the identities of bundle files, so that a thousand known ones cost a thousand stats. It is only a
// cache: losing it, or having it damaged, costs time.
type cache struct {
	Format int               `json:"format"`
	Files  map[string]cached `json:"files"`

	used    map[string]cached
	changed bool
}

func cacheFile() string { return filepath.Join(xdg.CacheHome, "glick", "apps.json") }

func loadCache() *cache {
	c := &cache{used: map[string]cached{}}
	if f, err := os.Open(cacheFile()); err == nil {
		defer f.Close()
		if json.NewDecoder(io.LimitReader(f, maxCache)).Decode(c) != nil || c.Format != cacheFormat {
			c.Files = nil
		}
	}
	return c
}

// look is look with memory.
func (c *cache) look(path string) (App, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return App{}, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return App{}, errSkip
	}
	if k, ok := c.Files[path]; ok && k.stamp == stampOf(&st) {
		if d, err := hex.DecodeString(k.Digest); err == nil && len(d) == len(bundle.Digest{}) && bundle.ValidID(k.ID) == nil {
			c.used[path] = k
			return App{ID: k.ID, Version: k.Version, Name: k.Name, File: path, Size: k.Size, Digest: bundle.Digest(d)}, nil
		}
	}
	f, fst, err := open(path)
	if err != nil {
		return App{}, err
	}
	defer f.Close()
	app, err := identify(f, fst, path)
	if err != nil {
		return App{}, err
	}
	if time.Since(time.Unix(fst.Ctim.Unix())) > settled {
		c.used[path] = cached{stampOf(fst), app.ID, app.Version, app.Name, hex.EncodeToString(app.Digest[:])}
		c.changed = true
	}
	return app, nil
}

// save writes the cache when it has changed; when there is nothing to remember, it leaves no file.
func (c *cache) save() {
	if !c.changed && len(c.used) == len(c.Files) {
		return
	}
	name := cacheFile()
	if len(c.used) == 0 {
		if err := os.Remove(name); err == nil || errors.Is(err, os.ErrNotExist) {
			_ = os.Remove(filepath.Dir(name)) // only when nothing else is there
		}
		return
	}
	if os.MkdirAll(filepath.Dir(name), 0o700) != nil {
		return
	}
	data, err := json.Marshal(cache{Format: cacheFormat, Files: c.used})
	if err != nil {
		return
	}
	_ = renameio.WriteFile(name, data, 0o600, renameio.WithTempDir(filepath.Dir(name)))
}
