// SPDX-License-Identifier: MIT

package work

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/adrg/xdg"

	"glick.org/glick/bundle"
	"glick.org/glick/gui/state"
)

// Sizes are for people to decide by. Counting a huge folder is given up when it has become clear that it is huge.
const (
	maxCounted   = 500_000
	countingTime = 10 * time.Second
)

var errEnough = errors.New("enough counted")

// dataBases are the folders in which applications keep their data under their own names (freedesktop.org, XDG Base Directory Specification).
func dataBases() map[state.DataKind]string {
	return map[state.DataKind]string{state.DataSettings: xdg.ConfigHome, state.DataFiles: xdg.DataHome, state.DataCache: xdg.CacheHome}
}

// DataFolders lists the folders of an application's data: those that have exactly its id as their name, and are folders of this user, no links.
func DataFolders(ctx context.Context, id string) []state.DataFolder {
	if bundle.ValidID(id) != nil {
		return nil
	}
	var found []state.DataFolder
	bases := dataBases()
	for _, kind := range []state.DataKind{state.DataSettings, state.DataFiles, state.DataCache} {
		if d, ok := dataFolder(ctx, kind, bases[kind], id); ok {
			found = append(found, d)
		}
	}
	return found
}

func dataFolder(ctx context.Context, kind state.DataKind, base, id string) (state.DataFolder, bool) {
	d := state.DataFolder{Kind: kind, Path: filepath.Join(base, id)}
	root, err := os.OpenRoot(base)
	if err != nil {
		return d, false
	}
	defer root.Close()
	info, err := root.Lstat(id)
	if err != nil || !ownFolder(info) {
		return d, false
	}
	d.Shown = tilde(d.Path)
	begin, count := time.Now(), 0
	err = fs.WalkDir(root.FS(), id, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil // a folder that cannot be read: what is in it is not counted
		}
		if count++; count > maxCounted || ctx.Err() != nil || count%1000 == 0 && time.Since(begin) > countingTime {
			return errEnough
		}
		if e.Type().IsRegular() {
			if info, err := e.Info(); err == nil {
				d.Size += info.Size()
			}
		}
		return nil
	})
	d.More = err != nil
	return d, true
}

// ownFolder says whether something is a folder that belongs to this user.
func ownFolder(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && info.IsDir() && int(st.Uid) == os.Geteuid()
}

// tilde writes a path as people do, with ~ for the home folder.
func tilde(path string) string {
	home, err := os.UserHomeDir()
	if err != nil || home == "" {
		return path
	}
	if rest, ok := strings.CutPrefix(path, filepath.Clean(home)+"/"); ok {
		return "~/" + rest
	}
	return path
}

// installedElsewhere says whether the host has an application of this id that is not a bundle: a package of the distribution, say, whose data is in
// the same folders. Flatpak's and snap's have their own.
func installedElsewhere(id string) bool {
	for _, dir := range xdg.DataDirs {
		if strings.Contains(dir, "flatpak") || strings.Contains(dir, "snapd") {
			continue
		}
		file := filepath.Join(dir, "applications", id+".desktop")
		if info, err := os.Stat(file); err != nil || !info.Mode().IsRegular() || info.Size() > maxMetainfo {
			continue
		}
		data, err := os.ReadFile(file)
		if err == nil && !strings.Contains(string(data), "\nX-Glick-Id="+id) {
			return true
		}
	}
	return false
}
