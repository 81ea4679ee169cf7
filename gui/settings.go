// SPDX-License-Identifier: MIT

package gui

import (
	"github.com/diamondburned/gotk4/pkg/gio/v2"
	"github.com/diamondburned/gotk4/pkg/glib/v2"
	"github.com/diamondburned/gotk4/pkg/gtk/v4"
)

// settings are what is remembered from one time to the next, nil when the schema is not installed, or that of an older version: GLib
// would end the program.
func settings() *gio.Settings {
	source := gio.SettingsSchemaSourceGetDefault()
	if source == nil {
		return nil
	}
	schema := source.Lookup(AppID, true)
	if schema == nil || !schema.HasKey("double-click") || !schema.HasKey("install-mode") || !schema.HasKey("library-sort") {
		return nil
	}
	return gio.NewSettings(AppID)
}

// rememberSize gives a window the size it had when it was last closed, under a key of the settings. Call remember when it is closed.
func rememberSize(w *gtk.Window, key string) (remember func()) {
	s := settings()
	if s == nil {
		return func() {}
	}
	size := s.Value(key)
	if size.NChildren() == 2 {
		w.SetDefaultSize(int(size.ChildValue(0).Int32()), int(size.ChildValue(1).Int32()))
	}
	return func() {
		if width, height := w.DefaultSize(); !w.IsMaximized() && width > 0 && height > 0 {
			s.SetValue(key, glib.NewVariantTuple([]*glib.Variant{glib.NewVariantInt32(int32(width)), glib.NewVariantInt32(int32(height))}))
		}
	}
}
