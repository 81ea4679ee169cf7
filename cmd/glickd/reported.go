// SPDX-License-Identifier: MIT

package main

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"
)

// maxReported is how many things that were told are remembered beyond the end of the service; the oldest go first.
const maxReported = 256

// reported remembers what the user was told and must not be told again. It is for one goroutine.
type reported struct {
	path string
	keys []string // digests, one a line in the file; nil when it was not read yet
	read bool
}

func reportedKey(what string) string {
	sum := sha256.Sum256([]byte(what))
	return hex.EncodeToString(sum[:16])
}

func (r *reported) load() {
	if r.read {
		return
	}
	r.read = true
	f, err := os.OpenFile(r.path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return
	}
	defer f.Close()
	const line = 33
	data, err := io.ReadAll(io.LimitReader(f, maxReported*line))
	if err != nil {
		return
	}
	for key := range strings.Lines(string(data)) {
		if len(key) == line {
			r.keys = append(r.keys, key[:line-1])
		}
	}
}

// has tells whether the user was told.
func (r *reported) has(what string) bool {
	r.load()
	return slices.Contains(r.keys, reportedKey(what))
}

// add remembers what the user was told. When it cannot be written, it is remembered by this process.
func (r *reported) add(all ...string) error {
	added := false
	for _, what := range all {
		if !r.has(what) {
			r.keys = append(r.keys, reportedKey(what))
			added = true
		}
	}
	if !added {
		return nil
	}
	if n := len(r.keys) - maxReported; n > 0 {
		r.keys = slices.Delete(r.keys, 0, n)
	}
	if err := os.MkdirAll(filepath.Dir(r.path), 0o700); err != nil {
		return err
	}
	return renameio.WriteFile(r.path, []byte(strings.Join(r.keys, "\n")+"\n"), 0o600)
}
