// SPDX-License-Identifier: MIT

package xdgexport

import (
	"context"
	"os"
	"slices"
	"time"

	"glick.org/glick/xdgexport/apps"
)

const (
	// quiet is how long the bundle folders must have been as they are before SyncSettled leaves them alone. Whoever started
	// it because of a change may not have seen the changes since.
	quiet = 500 * time.Millisecond
	// stalled is how long a file that is incomplete may go without growing until nobody waits for it any more.
	stalled = 5 * time.Second
)

// SyncSettled looks into the bundle folders and syncs what it finds, until nothing changes any more: files that are still
// being copied are waited for. The result is that of all syncs together, what is left out that of the last one.
func SyncSettled(ctx context.Context, o Options) (Result, []apps.Problem, error) {
	var all Result
	for {
		list, problems, err := apps.List()
		if err != nil {
			return all, problems, err
		}
		res, err := Sync(ctx, list, o)
		all.Written, all.Removed = append(all.Written, res.Written...), append(all.Removed, res.Removed...)
		all.Aside, all.Left = append(all.Aside, res.Aside...), res.Left
		if err != nil {
			return all, problems, err
		}
		for {
			select {
			case <-ctx.Done():
				return all, problems, ctx.Err()
			case <-time.After(quiet):
			}
			now, still, err := apps.List()
			if err != nil {
				return all, problems, err
			}
			if !slices.Equal(now, list) {
				break
			}
			if !slices.ContainsFunc(still, arriving) {
				return all, still, nil
			}
		}
	}
}

// arriving tells whether a file is incomplete because it is being written.
func arriving(p apps.Problem) bool {
	if !p.Incomplete() {
		return false
	}
	info, err := os.Stat(p.File)
	if err != nil {
		return false
	}
	age := time.Since(info.ModTime())
	return -stalled < age && age < stalled
}
