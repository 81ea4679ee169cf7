// SPDX-License-Identifier: MIT

package apps

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"time"
	"unicode/utf8"

	"github.com/adrg/xdg"
	"golang.org/x/sys/unix"

	"glick.org/glick/bundle"
	"glick.org/glick/xdgexport/apps/trust"
)

const (
	cacheFormat = 2
	// settled is the age from which a file's change time tells it from a later state of the same file: older kernels
	// stamp files with the time of the last timer tick only. coarse is the same for file systems like FAT.
	settled = 50 * time.Millisecond
	coarse  = 3 * time.Second
	// slack is how many lines the cache may have beyond those that are used before it is written anew.
	slack = 200
	// maxField bounds what is taken from a cache.
	maxField = 16 << 10
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

// age is the time since the file was changed last, in any way. Other than the time of the last writing, nobody can set it.
func (s stamp) age() time.Duration { return time.Since(time.Unix(0, s.Ctime)) }

// facts is what a file says, all by itself. Two are equal when they say the same.
type facts struct {
	ID      string    `json:"id,omitempty"`
	Version string    `json:"version,omitempty"`
	Name    string    `json:"name,omitempty"`
	Digest  string    `json:"digest,omitempty"` // hexadecimal
	Key     trust.Key `json:"key,omitzero"`
	Origin  Origin    `json:"origin,omitzero"`
	// Whole says that every byte was compared to its digest.
	Whole bool `json:"whole,omitempty"`
	// Fault is why the file cannot be used, of the kind Kind; empty for a sound bundle. Without an ID, nothing else is known of it.
	Fault string `json:"fault,omitempty"`
	Kind  int    `json:"kind,omitempty"`
	// Content tells apart the contents of files that have a fault.
	Content string `json:"content,omitempty"`
}

// kinds are the errors that a fault can be (errors.Is), by the number that the cache has.
var kinds = []error{
	1: bundle.ErrNotBundle, 2: bundle.ErrTruncated, 3: bundle.ErrDamaged, 4: bundle.ErrVersion, 5: bundle.ErrArch, 6: bundle.ErrUnsupported,
}

func kindOf(err error) int {
	for k, e := range kinds {
		if k > 0 && errors.Is(err, e) {
			return k
		}
	}
	return 0
}

// fault is an error that was remembered.
type fault struct {
	text string
	kind error
}

func (f *fault) Error() string { return f.text }
func (f *fault) Unwrap() error { return f.kind }

// err is the fault as an error, nil for a sound bundle.
func (f *facts) err() error {
	if f.Fault == "" {
		return nil
	}
	return &fault{f.Fault, kinds[f.Kind]}
}

func (f *facts) valid() bool {
	if f.Kind < 0 || f.Kind >= len(kinds) || (f.Fault != "") != (f.Kind != 0) || f.Fault == "" && f.ID == "" {
		return false
	}
	for _, s := range []string{f.Version, f.Name, f.Key.Comment, f.Key.Public, f.Origin.URL, f.Origin.Referrer, f.Fault, f.Content} {
		if len(s) > maxField || !utf8.ValidString(s) {
			return false
		}
	}
	if f.ID == "" {
		return true
	}
	_, ok := parseDigest(f.Digest)
	return ok && bundle.ValidID(f.ID) == nil
}

// cacheLine is a line of the cache. There is room for more about a file, as when it was used last: fields that are not known are passed over.
type cacheLine struct {
	Format int `json:"format"`
	stamp
	facts
}

// cache remembers what files say, so that a thousand known ones cost a thousand stats. It is only a cache: losing it, or
// having it damaged, costs time. Lines that are not ours are passed over, and so is a file that others can write.
//
// Files are known by their stamps alone, not by their names, which may be no text.
type cache struct {
	file  journal
	known map[stamp]*facts
	fresh []cacheLine // not written yet
}

func cacheFile() string { return filepath.Join(xdg.CacheHome, "glick", "apps.cache") }

func newCache(path string) *cache {
	return &cache{file: journal{path: path}, known: map[stamp]*facts{}}
}

func (c *cache) reset() {}

func (c *cache) line(data []byte) {
	var l cacheLine
	if json.Unmarshal(data, &l) == nil && l.Format == cacheFormat && l.facts.valid() {
		if f := c.known[l.stamp]; f == nil || *f != l.facts {
			c.known[l.stamp] = &l.facts
		}
	}
}

// load reads what this process or others have written since it was read last.
func (c *cache) load() {
	if err := c.file.read(c.reset, c.line); err != nil {
		_ = onDisk.remove(c.file.path) // nobody can use it
	}
}

// remember keeps what a file says, unless the file may still be changing.
func (c *cache) remember(s stamp, f *facts, wait time.Duration) {
	if s.age() <= wait {
		return
	}
	c.known[s] = f
	c.fresh = append(c.fresh, cacheLine{cacheFormat, s, *f})
}

// save writes what is new. n is the number of files that are there, and live gives what they say: when most of the cache is about others, it is
// written anew, and when there are none, it goes.
func (c *cache) save(n int, live func() map[stamp]*facts) {
	none := func() [][]byte { return nil }
	switch {
	case n == 0:
		if c.file.ino != 0 {
			_ = c.file.replace(c.reset, c.line, none)
		}
		_ = os.Remove(filepath.Dir(c.file.path)) // only when nothing else is there
		c.known = map[stamp]*facts{}
	case c.file.lines > 2*n+slack:
		all := live()
		maps.DeleteFunc(all, func(s stamp, f *facts) bool { return c.known[s] != f })
		c.known = all
		_ = c.file.replace(c.reset, func([]byte) {}, func() (lines [][]byte) {
			for s, f := range all {
				lines = append(lines, encode(cacheLine{cacheFormat, s, *f}))
			}
			return lines
		})
	case len(c.fresh) > 0:
		fresh := c.fresh
		_ = c.file.add(c.reset, c.line, func() (lines [][]byte) {
			for _, l := range fresh {
				lines = append(lines, encode(l))
			}
			return lines
		})
	}
	c.fresh = nil
}

func encode(l cacheLine) []byte {
	data, err := json.Marshal(l)
	if err != nil {
		return nil // no value of a cacheLine cannot be written
	}
	return append(data, '\n')
}
