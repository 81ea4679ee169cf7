// SPDX-License-Identifier: MIT

package xdgexport

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
	"time"

	"github.com/godbus/dbus/v5"
)

// area is a part of what we show, named by the first word of the paths in it. Each has a folder of its own, and readers
// that are told of changes in one way.
type area string

const (
	noArea        area = ""
	entriesArea   area = "applications"
	iconsArea     area = "icons"
	typesArea     area = "mime"
	busArea       area = "dbus-1"
	infoArea      area = "metainfo"
	searchArea    area = "gnome-shell"
	pagesArea     area = "man"
	bashArea      area = "bash-completion"
	zshArea       area = "zsh"
	fishArea      area = "fish"
	fontsArea     area = "fonts"
	commandsArea  area = "bin"       // not in the data folder
	autostartArea area = "autostart" // nor this one
)

var areas = []area{
	entriesArea, iconsArea, typesArea, busArea, infoArea, searchArea, pagesArea, bashArea, zshArea, fishArea, fontsArea, commandsArea, autostartArea,
}

// toolTime is far more than the tools that build the desktop's caches take; one that hangs must not stop us.
const toolTime = 30 * time.Second

func areaOf(p string) area {
	first, rest, _ := strings.Cut(p, "/")
	if rest != "" && slices.Contains(areas, area(first)) {
		return area(first)
	}
	return noArea
}

// file gives the place of a file, or of a folder, that we show.
func (o Options) file(p string) string {
	first, rest, _ := strings.Cut(p, "/")
	switch area(first) {
	case commandsArea:
		return filepath.Join(o.BinHome, rest)
	case autostartArea:
		return filepath.Join(o.ConfigHome, p)
	}
	return filepath.Join(o.DataHome, p)
}

// tell makes running programs see that an area has changed. What is not installed here has no readers, so that a
// missing tool is not an error. Readers of the other areas look by themselves.
func (a area) tell(ctx context.Context, o Options) error {
	dir := o.file(string(a))
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) && a != busArea {
		return nil
	}
	switch a {
	case entriesArea:
		return runTool(ctx, o, "update-desktop-database", "-q", dir)
	case typesArea:
		if _, err := os.Stat(filepath.Join(dir, "packages")); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return runTool(ctx, o, "update-mime-database", dir)
	case iconsArea:
		// GTK and GNOME Shell look at the time of the theme's folder only.
		if err := o.disk().touch(filepath.Join(dir, "hicolor")); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	case busArea:
		if o.System {
			return nil // the buses of all sessions watch the folder; root's is not among them
		}
		if err := o.disk().step("reload", dir); err != nil {
			return err
		}
		return reloadBus(ctx)
	}
	return nil
}

// runTool runs a program of the desktop, if it is there.
func runTool(ctx context.Context, o Options, name string, args ...string) error {
	path, err := exec.LookPath(name)
	if err != nil {
		return nil
	}
	if err := o.disk().step("run", path); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, toolTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	if o.System {
		// What it makes is for all users as well, and a process has only one umask for all that it does at a time.
		cmd = exec.CommandContext(ctx, "/bin/sh", append([]string{"-c", `umask 022; exec "$0" "$@"`, path}, args...)...)
	}
	// Debian's update-mime-database syncs the whole file system otherwise.
	cmd.Env = append(os.Environ(), "PKGSYSTEM_ENABLE_FSYNC=0")
	cmd.WaitDelay = time.Second
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		first, _, _ := strings.Cut(strings.TrimSpace(stderr.String()), "\n")
		return fmt.Errorf("%s failed: %w: %.200s", name, err, first)
	}
	return nil
}

// reloadBus makes the session bus read its service files; it notices those in new folders only then.
func reloadBus(ctx context.Context) error {
	conn, err := sessionBus(ctx)
	if err != nil {
		return nil // no bus, nobody to tell
	}
	defer conn.Close()
	if err := conn.BusObject().CallWithContext(ctx, "org.freedesktop.DBus.ReloadConfig", 0).Err; err != nil {
		return fmt.Errorf("cannot make the session bus read its services: %w", err)
	}
	return nil
}

// sessionBus connects to the session bus that is there; it never starts one.
func sessionBus(ctx context.Context) (*dbus.Conn, error) {
	conn, err := dbus.SessionBusPrivateNoAutoStartup(dbus.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	if err := conn.Auth(nil); err != nil {
		conn.Close()
		return nil, err
	}
	if err := conn.Hello(); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// generated names the tool of an area, and the file that it always makes: ok is false for areas that have none.
func (a area) generated(o Options) (tool, file string, ok bool) {
	switch a {
	case entriesArea:
		return "update-desktop-database", filepath.Join(o.DataHome, "applications/mimeinfo.cache"), true
	case typesArea:
		return "update-mime-database", filepath.Join(o.DataHome, "mime/mime.cache"), true
	}
	return "", "", false
}

// mimeGenerated are the files that update-mime-database writes beside the folders of the types.
var mimeGenerated = []string{
	"XMLnamespaces", "aliases", "generic-icons", "globs", "globs2", "icons", "magic", "mime.cache", "subclasses", "treemagic",
	"types", "version",
}

// sweep removes the generated files of an area in which nothing is left that they could be made of. It is called only
// for areas that had none before us.
func (a area) sweep(o Options) error {
	dir := filepath.Join(o.DataHome, string(a))
	d := o.disk()
	switch a {
	case entriesArea:
		// One that lists entries of others may have been made for them meanwhile.
		name := filepath.Join(dir, "mimeinfo.cache")
		if data, err := os.ReadFile(name); err == nil && !bytes.Contains(data, []byte("=")) {
			return d.remove(name)
		}
	case typesArea:
		if entries, err := os.ReadDir(filepath.Join(dir, "packages")); err == nil && len(entries) > 0 {
			return nil
		}
		for _, name := range mimeGenerated {
			if err := d.remove(filepath.Join(dir, name)); err != nil {
				return err
			}
		}
		types, _ := filepath.Glob(filepath.Join(dir, "*", "*.xml"))
		for _, t := range types {
			data, err := os.ReadFile(t)
			if err == nil && bytes.Contains(data, []byte("Created automatically by update-mime-database")) {
				if err := d.remove(t); err != nil {
					return err
				}
			}
		}
		if entries, err := os.ReadDir(dir); err == nil {
			for _, e := range entries {
				if e.IsDir() && e.Name() != "packages" {
					_ = d.remove(filepath.Join(dir, e.Name())) // only when empty
				}
			}
		}
	}
	return nil
}

// Autostart tells whether the file makes a program start with the session.
func (f File) Autostart() bool { return areaOf(f.Path) == autostartArea }
