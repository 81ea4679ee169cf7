// SPDX-License-Identifier: MIT

package sessionbus

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/godbus/dbus/v5"

	"glick.org/glick/xdgexport/apps"
)

// AddFolder is [apps.AddFolder].
func AddFolder(path string) (folder string, err error) {
	before := apps.AddedFolders()
	local := func() (err error) {
		folder, err = apps.AddFolder(path)
		if errors.Is(err, fs.ErrExist) {
			// A service that could not answer any more may have done it.
			for _, f := range apps.AddedFolders() {
				if !slices.Contains(before, f) {
					folder, err = f, nil
				}
			}
		}
		return err
	}
	if !filepath.IsAbs(path) {
		err = local()
		return folder, err
	}
	err = ask(context.Background(), "AddFolder", []any{path}, local, &folder)
	return folder, err
}

// RemoveFolder is [apps.RemoveFolder].
func RemoveFolder(path string) error {
	before := apps.AddedFolders()
	local := func() error {
		err := apps.RemoveFolder(path)
		if errors.Is(err, fs.ErrNotExist) && len(apps.AddedFolders()) < len(before) {
			return nil
		}
		return err
	}
	if !filepath.IsAbs(path) {
		return local()
	}
	return ask(context.Background(), "RemoveFolder", []any{path}, local)
}

// The methods do not wait for the desktop: reading what is in a folder takes its time. The service notices by itself.

func (m *methods) AddFolder(message dbus.Message, path string) (string, *dbus.Error) {
	_, done, failed := m.s.begin(message)
	if failed != nil {
		return "", failed
	}
	defer done()
	if failed := checkPath(path); failed != nil {
		return "", failed
	}
	folder, err := apps.AddFolder(path)
	if err != nil {
		return "", encodeError(err)
	}
	m.s.EmitFolders()
	return text(folder), nil
}

func (m *methods) RemoveFolder(message dbus.Message, path string) *dbus.Error {
	_, done, failed := m.s.begin(message)
	if failed != nil {
		return failed
	}
	defer done()
	if failed := checkPath(path); failed != nil {
		return failed
	}
	if err := apps.RemoveFolder(path); err != nil {
		return encodeError(err)
	}
	m.s.EmitFolders()
	return nil
}

// folderProperties are those of the properties that change.
func folderProperties() map[string]dbus.Variant {
	return map[string]dbus.Variant{"Folders": dbus.MakeVariant(texts(apps.Folders())), "AddedFolders": dbus.MakeVariant(texts(apps.AddedFolders()))}
}

func texts(all []string) []string {
	out := make([]string, len(all))
	for i, s := range all {
		out[i] = text(s)
	}
	return out
}

// EmitFolders tells whoever listens of other bundle folders, if there are others than it has told of.
func (s *Server) EmitFolders() {
	s.foldersMu.Lock()
	defer s.foldersMu.Unlock()
	now := apps.Folders()
	if slices.Equal(now, s.told) {
		return
	}
	s.told = now
	_ = s.conn.Emit(Path, "org.freedesktop.DBus.Properties.PropertiesChanged", Interface, folderProperties(), []string{}) // as in Emit
}
