// SPDX-License-Identifier: MIT

package work

import (
	"context"
	"path"
	"slices"
	"strings"

	"glick.org/glick/bundle"
	"glick.org/glick/bundle/keyfile"
	"glick.org/glick/gui/state"
	"glick.org/glick/xdgexport"
	"glick.org/glick/xdgexport/apps"
)

// Facts reads what there is to tell of an application: of the bundle, of what it shows to the desktop, and of its data.
func Facts(ctx context.Context, f state.AppFile) state.AppFacts {
	facts := state.AppFacts{File: f.File, Loaded: true}
	if f.ID != "" {
		facts.Data = DataFolders(ctx, f.ID)
		facts.Elsewhere = installedElsewhere(f.ID)
	}
	file, size, err := open(f.File)
	if err != nil {
		return facts
	}
	defer file.Close()
	b, err := bundle.Read(file, size)
	if err != nil {
		return facts
	}
	m := b.Manifest()
	facts.Prefix, facts.Arch, facts.Slices = m.Prefix, m.Arch, len(m.Slices)
	for _, s := range m.Slices {
		facts.Unpacked += s.Size
	}
	var id state.Identity
	if data, err := b.DesktopFile(); err == nil && data != nil {
		describeFromDesktop(&id, data, Languages())
	}
	if data, err := b.Metainfo(); err == nil && data != nil {
		info := parseMetainfo(data, Languages())
		if info.summary.text != "" {
			id.Summary = info.summary.text
		}
		facts.Developer, facts.License = info.developer.text, info.license.text
	}
	facts.Summary = id.Summary
	// The plan is made as if this version were the one in use.
	app, err := apps.Find(f.File)
	if err != nil {
		return facts
	}
	app.Default, app.State = true, f.Trust
	if plan, err := xdgexport.Plan([]apps.App{app}, elsewhere); err == nil {
		facts.Adds = addsByKind(plan.Files)
	}
	return facts
}

// elsewhere plans for folders that cannot be there: in the user's own, what is shown already would count as taken.
var elsewhere = xdgexport.Options{DataHome: "/dev/null/share", BinHome: "/dev/null/bin", Glick: "/usr/bin/glick"}

// addsByKind sorts what is shown to the desktop by what people know it as.
func addsByKind(files []xdgexport.File) []state.AppAdd {
	names := map[state.AddKind][]string{}
	add := func(kind state.AddKind, name string) {
		if name != "" && !slices.Contains(names[kind], name) {
			names[kind] = append(names[kind], name)
		}
	}
	for _, f := range files {
		dir, base := path.Split(f.Path)
		switch {
		case dir == "applications/":
			addEntry(f.Content, add)
		case dir == "bin/":
			add(state.AddCommand, base)
		case dir == "dbus-1/services/":
			add(state.AddService, strings.TrimSuffix(base, ".service"))
		case dir == "gnome-shell/search-providers/":
			add(state.AddSearch, strings.TrimSuffix(base, ".ini"))
		case strings.HasPrefix(dir, "fonts/"):
			add(state.AddFont, base)
		}
	}
	var list []state.AppAdd
	for kind := state.AddEntry; kind <= state.AddFont; kind++ {
		if len(names[kind]) > 0 {
			list = append(list, state.AppAdd{Kind: kind, Names: names[kind]})
		}
	}
	return list
}

// addEntry tells of a desktop entry: its name, and what it opens.
func addEntry(content []byte, add func(state.AddKind, string)) {
	k, err := keyfile.Parse(content)
	if err != nil {
		return
	}
	g := k.Group("Desktop Entry")
	if g == nil {
		return
	}
	if g.String("NoDisplay") != "true" {
		name := g.String("Name")
		for _, l := range slices.Backward(Languages()) {
			if v := g.String("Name[" + l + "]"); v != "" {
				name = v
			}
		}
		add(state.AddEntry, name)
	}
	for _, t := range strings.Split(g.String("MimeType"), ";") {
		if scheme, ok := strings.CutPrefix(t, "x-scheme-handler/"); ok {
			add(state.AddScheme, scheme+":")
		} else {
			add(state.AddType, t)
		}
	}
}
