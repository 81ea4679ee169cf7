// SPDX-License-Identifier: MIT

package xdgexport

import (
	"errors"

	"glick.org/glick/bundle/keyfile"
)

const (
	searchGroup     = "Shell Search Provider"
	maxSearchConfig = 64 << 10
)

// objectPath is a path as the D-Bus specification has it.
var objectPath = newPattern(`^/([A-Za-z0-9_]+(/[A-Za-z0-9_]+)*)?$`)

// provider is what GNOME Shell knows of a search provider.
type provider struct{ entry, bus, path, version string }

// parseProvider reads the description of a search provider.
func parseProvider(data []byte) (provider, error) {
	f, err := keyfile.Parse(data)
	if err != nil {
		return provider{}, err
	}
	g := f.Group(searchGroup)
	v := provider{g.String("DesktopId"), g.String("BusName"), g.String("ObjectPath"), g.String("Version")}
	switch {
	case g == nil:
		return provider{}, errors.New("it is not a search provider")
	case len(v.path) > 255 || !objectPath.MatchString(v.path):
		return provider{}, errors.New("its ObjectPath is not a path")
	case v.version != "1" && v.version != "2":
		return provider{}, errors.New("its Version is neither 1 nor 2")
	}
	return v, nil
}

// planSearch shows the search providers of GNOME Shell that are services of the bundle. They get all that the user
// types into the overview, so that they are off until the user turns them on in the settings.
func (p *planner) planSearch() {
	p.each("share/gnome-shell/search-providers", ".ini", maxSearchConfig, func(stem, origin string, data []byte) {
		v, err := parseProvider(data)
		if err != nil {
			p.leave(origin, err.Error())
			return
		}
		name := "gnome-shell/search-providers/" + stem + ".ini"
		if p.leaveOff(name, origin) {
			return // its service may be left out as well
		}
		const suffix = ".desktop"
		switch {
		case len(v.entry) <= len(suffix) || v.entry[len(v.entry)-len(suffix):] != suffix || !p.entries[v.entry[:len(v.entry)-len(suffix)]]:
			p.leave(origin, "its DesktopId is not an entry of the bundle")
			return
		case !p.names[v.bus]:
			p.leave(origin, "its BusName is not a service of the bundle")
			return
		}
		out := &keyfile.File{}
		o := out.Add(searchGroup)
		o.Set("DesktopId", v.entry)
		o.Set("BusName", v.bus)
		o.Set("ObjectPath", v.path)
		o.Set("Version", v.version)
		o.Set("DefaultDisabled", "true")
		o.Set(mark, p.id)
		p.add(name, origin, out.Bytes())
	})
}
