// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/adrg/xdg"

	"glick.org/glick/internal/sample"
	"glick.org/glick/xdgexport/apps"
	"glick.org/glick/xdgexport/sessionbus"
)

// TestAddedFolders adds a folder to a real service, takes it away as a disk is taken away, and brings it back.
func TestAddedFolders(t *testing.T) {
	h := newHome(t, true)
	h.enter()
	_, log := h.start()
	h.looked(log)
	desktop := h.showNotifications()
	const other = "org.example.Other"
	disk := filepath.Join(t.TempDir(), "disk")
	dir := filepath.Join(disk, "apps")
	must := func(errs ...error) {
		t.Helper()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(dir, 0o755))
	file := sample.Build(t, dir, id, "1", sample.App(id))
	sync := func() {
		t.Helper()
		must(sessionbus.Sync(t.Context(), func() error { return errors.New("not asked") }))
	}
	folder, err := sessionbus.AddFolder(dir)
	if err != nil || folder != dir {
		t.Fatal(folder, err)
	}
	sync()
	if !h.exists(entry) {
		t.Error("the desktop does not show what is in the folder")
	}
	for range 2 {
		must(os.Rename(disk, disk+"-away"))
		h.eventually("the end of the entry", func() bool { return !h.exists(entry) })
		must(os.Rename(disk+"-away", disk))
		h.eventually("the entry", func() bool { return h.exists(entry) })
	}
	if list, problems, err := sessionbus.List(); err != nil || len(list) != 1 || list[0].File != file || !list[0].Default || len(problems) > 0 {
		t.Errorf("%+v, %v, %v", list, problems, err)
	}
	sync()
	if len(desktop.calls) > 0 {
		t.Errorf("the user was told %+v, and knows it", take(t, "notification", desktop.calls))
	}
	// What somebody puts there later is news, and broken files are.
	h.copy(sample.Build(t, t.TempDir(), other, "1", sample.App(other)), filepath.Join(dir, "other.bundle"))
	take(t, "notification of a new application", desktop.calls)
	h.copy("/bin/sh", filepath.Join(dir, "broken.bundle"))
	take(t, "notification of a broken file", desktop.calls)

	if err := sessionbus.Remove(t.Context(), file); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the uninstalled file: %v", err)
	}
	h.eventually("the end of the entry", func() bool { return !h.exists(entry) })

	// Another process writes the setting, without the service.
	otherEntry := filepath.Join(filepath.Dir(entry), other+".desktop")
	must(apps.RemoveFolder(dir))
	h.eventually("the end of the other entry", func() bool { return !h.exists(otherEntry) })
	_, err = apps.AddFolder(dir)
	must(err)
	if d := h.eventually("the other entry", func() bool { return h.exists(otherEntry) }); d > 2*time.Second {
		t.Errorf("it was there after %v", d)
	}
	if _, err := os.Stat(filepath.Join(xdg.DataHome, "glick", "apps.folders")); err != nil {
		t.Error(err)
	}
	must(sessionbus.RemoveFolder(dir))
	sync()
	if h.exists(otherEntry) {
		t.Error("the desktop still shows what is in the folder")
	}
}
