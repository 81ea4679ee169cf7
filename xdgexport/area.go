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

// area is a part of the data folder whose readers are told of changes in one way.
type area string

const (
	noArea      area = ""
	entriesArea area = "applications"
	iconsArea   area = "icons"
	typesArea   area = "mime"
	busArea     area = "dbus-1"
	infoArea    area = "metainfo"
)

var areas = []area{entriesArea, iconsArea, typesArea, busArea, infoArea}

// toolTime is far more than the tools that build the desktop's caches take; one that hangs must not stop us.
const toolTime = 30 * time.Second

func areaOf(p string) area {
	first, rest, _ := strings.Cut(p, "/")
	if rest != "" && slices.Contains(areas, area(first)) {
		return area(first)
	}
	return noArea
}

// tell makes running programs see that an area of the data folder has changed. What is not installed here has no
// readers, so that a missing tool is not an error.
func (a area) tell(ctx context.Context, dataHome string) error {
	dir := filepath.Join(dataHome, string(a))
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) && a != busArea {
		return nil
	}
	switch a {
	case entriesArea:
		return runTool(ctx, "update-desktop-database", "-q", dir)
	case typesArea:
		if _, err := os.Stat(filepath.Join(dir, "packages")); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return runTool(ctx, "update-mime-database", dir)
	case iconsArea:
		// GTK and GNOME Shell look at the time of the theme's folder only.
		theme := filepath.Join(dir, "hicolor")
		now := time.Now()
		if err := os.Chtimes(theme, now, now); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	case busArea:
		return reloadBus(ctx)
	}
	return nil
}

// runTool runs a program of the desktop, if it is there.
func runTool(ctx context.Context, name string, args ...string) error {
	path, err := exec.LookPath(name)
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, toolTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
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

// generated tells whether an area has the files that the desktop's tools make of it.
func (a area) generated(dataHome string) bool {
	var name string
	switch a {
	case entriesArea:
		name = "applications/mimeinfo.cache"
	case typesArea:
		name = "mime/mime.cache"
	default:
		return false
	}
	_, err := os.Lstat(filepath.Join(dataHome, name))
	return err == nil
}

// mimeGenerated are the files that update-mime-database writes beside the folders of the types.
var mimeGenerated = []string{
	"XMLnamespaces", "aliases", "generic-icons", "globs", "globs2", "icons", "magic", "mime.cache", "subclasses", "treemagic",
	"types", "version",
}

// sweep removes the generated files of an area in which nothing is left that they could be made of. It is called only
// for areas that had none before us.
func (a area) sweep(dataHome string) {
	dir := filepath.Join(dataHome, string(a))
	switch a {
	case entriesArea:
		// One that lists entries of others may have been made for them meanwhile.
		name := filepath.Join(dir, "mimeinfo.cache")
		if data, err := os.ReadFile(name); err == nil && !bytes.Contains(data, []byte("=")) {
			_ = os.Remove(name)
		}
	case typesArea:
		if entries, err := os.ReadDir(filepath.Join(dir, "packages")); err == nil && len(entries) > 0 {
			return
		}
		for _, name := range mimeGenerated {
			_ = os.Remove(filepath.Join(dir, name))
		}
		types, _ := filepath.Glob(filepath.Join(dir, "*", "*.xml"))
		for _, t := range types {
			data, err := os.ReadFile(t)
			if err == nil && bytes.Contains(data, []byte("Created automatically by update-mime-database")) {
				_ = os.Remove(t)
			}
		}
		if entries, err := os.ReadDir(dir); err == nil {
			for _, e := range entries {
				if e.IsDir() && e.Name() != "packages" {
					_ = os.Remove(filepath.Join(dir, e.Name())) // only when empty
				}
			}
		}
	}
}
