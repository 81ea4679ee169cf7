// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// tree says which packages a tree is made of: those wanted and all that they need, but for what the base needs. A system or a
// runtime has the base already.
type tree struct {
	name, what string
	wanted     []string
	alone      bool // nothing that the wanted ones need
	base       []string
	id, exec   string // of an application in it
}

var system = []string{
	"apt", "bash", "coreutils", "perl", "systemd", "passwd", "procps", "libpam-runtime", "debconf", "tar", "gzip", "mount", "util-linux",
	"login", "sed", "dbus", "dbus-user-session", "libpam-systemd", "e2fsprogs",
}

var trees = []tree{
	{
		name: "gtk", what: "gnome-text-editor with GTK 4 and its other libraries", wanted: []string{"gnome-text-editor"}, base: system,
		id: "org.gnome.TextEditor", exec: "bin/gnome-text-editor",
	},
	{
		name: "python", what: "meld and virt-manager with Python and its modules, on top of GTK 3",
		wanted: []string{"meld", "virt-manager", "python3-numpy", "python3-lxml", "python3-cryptography"},
		base:   append([]string{"libgtk-3-0", "gir1.2-gtk-3.0", "dconf-gsettings-backend", "gsettings-desktop-schemas"}, system...),
		id:     "org.gnome.Meld", exec: "bin/meld",
	},
	{
		name: "game", what: "Wesnoth with its pictures, sounds, maps and translations",
		wanted: []string{"wesnoth-1.16-core", "wesnoth-1.16-data"}, alone: true,
		id: "org.wesnoth.Wesnoth", exec: "games/wesnoth-1.16",
	},
}

// left is what bundles do without.
var left = []string{"share/doc", "share/man", "share/lintian"}

// make makes the tree below root, when it is not there yet, and returns its folder: what the packages have in /usr.
func (t tree) make(ctx context.Context, root string) (string, error) {
	folder := filepath.Join(root, t.name, "usr")
	ready := filepath.Join(root, t.name, "ready")
	if _, err := os.Stat(ready); err == nil {
		return folder, nil
	}
	if err := os.RemoveAll(filepath.Dir(folder)); err != nil {
		return "", err
	}
	debs := filepath.Join(root, t.name, "deb")
	if err := os.MkdirAll(debs, 0o777); err != nil {
		return "", err
	}
	names := t.wanted
	if !t.alone {
		var err error
		if names, err = resolve(ctx, debs, t.wanted); err != nil {
			return "", err
		}
		base, err := resolve(ctx, debs, t.base)
		if err != nil {
			return "", err
		}
		names = slices.DeleteFunc(names, func(n string) bool { return slices.Contains(base, n) })
	}
	if _, err := output(ctx, debs, "apt-get", append([]string{"-q", "download"}, names...)...); err != nil {
		return "", err
	}
	files, err := filepath.Glob(filepath.Join(debs, "*.deb"))
	if err != nil {
		return "", err
	}
	if len(files) < len(names) {
		return "", fmt.Errorf("%d of %d packages came", len(files), len(names))
	}
	for _, f := range files {
		if _, err := output(ctx, debs, "dpkg-deb", "-x", f, filepath.Dir(folder)); err != nil {
			return "", err
		}
	}
	for _, name := range left {
		if err := os.RemoveAll(filepath.Join(folder, name)); err != nil {
			return "", err
		}
	}
	if err := os.RemoveAll(debs); err != nil {
		return "", err
	}
	return folder, os.WriteFile(ready, nil, 0o666)
}

// resolve returns the packages that apt-get would install on an empty system.
func resolve(ctx context.Context, dir string, names []string) ([]string, error) {
	status := filepath.Join(dir, "status")
	if err := os.WriteFile(status, nil, 0o666); err != nil {
		return nil, err
	}
	args := append([]string{"-s", "--no-install-recommends", "-o", "Dir::State::status=" + status, "install"}, names...)
	out, err := output(ctx, dir, "apt-get", args...)
	if err != nil {
		return nil, err
	}
	var all []string
	for line := range bytes.Lines(out) {
		if f := strings.Fields(string(line)); len(f) > 1 && f[0] == "Inst" {
			all = append(all, f[1])
		}
	}
	if len(all) == 0 {
		return nil, errors.New("apt-get knows no packages; apt-get update may help")
	}
	return all, nil
}

func output(ctx context.Context, dir, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w\n%s", name, args[0], err, errs.Bytes())
	}
	return out, nil
}

// count counts the regular files of a tree and their bytes.
func count(folder string) (files int, size int64, err error) {
	err = filepath.WalkDir(folder, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		files++
		size += info.Size()
		return err
	})
	return files, size, err
}
