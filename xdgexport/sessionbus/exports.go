// SPDX-License-Identifier: MIT

package sessionbus

import (
	"context"
	"slices"

	"github.com/godbus/dbus/v5"

	"glick.org/glick/xdgexport/apps"
)

// SetExports is [apps.SetExports].
func SetExports(shown map[apps.Export]bool) error {
	kinds := map[string]bool{}
	for e, on := range shown {
		if !e.Valid() {
			return apps.SetExports(shown) // which says what is wrong
		}
		kinds[string(e)] = on
	}
	return ask(context.Background(), "SetExports", []any{kinds}, func() error { return apps.SetExports(shown) })
}

func (m *methods) Exports(message dbus.Message) (map[string]bool, *dbus.Error) {
	_, done, failed := m.s.begin(message)
	if failed != nil {
		return nil, failed
	}
	defer done()
	kinds, off := map[string]bool{}, apps.SwitchedOff()
	for _, e := range apps.Exports() {
		kinds[string(e)] = !slices.Contains(off, e)
	}
	return kinds, nil
}

func (m *methods) SetExports(message dbus.Message, kinds map[string]bool) *dbus.Error {
	_, done, failed := m.s.begin(message)
	if failed != nil {
		return failed
	}
	defer done()
	shown := map[apps.Export]bool{}
	for name, on := range kinds {
		if !apps.Export(name).Valid() {
			return invalid("%.80q is not a kind of export that can be switched off", name)
		}
		shown[apps.Export(name)] = on
	}
	if err := apps.SetExports(shown); err != nil {
		return encodeError(err)
	}
	m.s.sync()
	return nil
}

// SetExcepted is [apps.SetExcepted].
func SetExcepted(id string, on bool) error {
	return ask(context.Background(), "SetExcepted", []any{id, on}, func() error { return apps.SetExcepted(id, on) })
}

func (m *methods) SetExcepted(message dbus.Message, id string, on bool) *dbus.Error {
	done, failed := m.beginDecision(message, id, "")
	if failed != nil {
		return failed
	}
	defer done()
	return m.decided(id, apps.SetExcepted(id, on))
}
