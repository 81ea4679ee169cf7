// SPDX-License-Identifier: MIT

package work

import (
	"context"

	"glick.org/glick/bundle"
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
		if known := apps.Known(f.ID); known != nil {
			facts.Since = known.Since
		}
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
	o := elsewhere()
	if plan, err := xdgexport.Plan([]apps.App{app}, o); err == nil {
		facts.Adds = addsOf(plan, Languages())
	}
	if facts.Excepted = app.Excepted; facts.Excepted && facts.Adds != nil && len(o.Off) > 0 {
		app.Excepted = false
		if plan, err := xdgexport.Plan([]apps.App{app}, o); err == nil {
			facts.Adds.Off = addsOf(plan, nil).Off
		}
	}
	return facts
}

// elsewhere plans for folders that cannot be there: in the user's own, what is shown already would count as taken.
func elsewhere() xdgexport.Options {
	return xdgexport.Options{DataHome: "/dev/null/share", BinHome: "/dev/null/bin", Glick: "/usr/bin/glick", Off: apps.SwitchedOff()}
}
