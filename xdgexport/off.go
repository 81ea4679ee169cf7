// SPDX-License-Identifier: MIT

package xdgexport

import (
	"slices"
	"strings"

	"glick.org/glick/xdgexport/apps"
)

// kindsOf says for which kinds of export a file is left out when they are switched off; none for what always stays.
func kindsOf(p string) []apps.Export {
	switch areaOf(p) {
	case commandsArea:
		return []apps.Export{apps.ExportCommands}
	case pagesArea, bashArea, zshArea, fishArea:
		return []apps.Export{apps.ExportCommandHelp, apps.ExportCommands}
	case typesArea:
		return []apps.Export{apps.ExportFileTypes}
	case iconsArea:
		if folders := strings.Split(p, "/"); len(folders) == 5 && folders[3] == typeIcons {
			return []apps.Export{apps.ExportFileTypes}
		}
	case busArea:
		return []apps.Export{apps.ExportServices}
	case searchArea:
		return []apps.Export{apps.ExportSearch, apps.ExportServices}
	case fontsArea:
		return []apps.Export{apps.ExportFonts}
	}
	return nil
}

// typeIcons is the folder of an icon theme that has the icons of file types.
const typeIcons = "mimetypes"

func offReason(kind apps.Export) string {
	return "switched off in the preferences (" + string(kind) + ")"
}

// SwitchedOff is the kind of export that the user has switched off, if it is left out for that; otherwise it is empty.
func (l LeftOut) SwitchedOff() apps.Export { return switchedOff(l.Reason) }

func switchedOff(reason string) apps.Export {
	for _, e := range apps.Exports() {
		if strings.HasSuffix(reason, offReason(e)) {
			return e
		}
	}
	return ""
}

// isOff tells whether a kind is switched off for the application.
func (p *planner) isOff(kind apps.Export) bool {
	return slices.Contains(p.o.Off, kind) && !slices.Contains(p.o.Excepted, p.id)
}

// leaveOff leaves a file out when its kind is switched off.
func (p *planner) leaveOff(name, origin string) bool {
	kinds := kindsOf(name)
	i := slices.IndexFunc(kinds, p.isOff)
	if i < 0 {
		return false
	}
	p.leave(origin, offReason(kinds[i]))
	return true
}

// withoutOff takes the types that are switched off from those that an entry opens, and says which kinds these were.
func (p *planner) withoutOff(types []string) (kept, notes []string) {
	for _, t := range types {
		kind, what := apps.ExportFileTypes, "the types of files that it opens are "
		if strings.HasPrefix(strings.ToLower(t), "x-scheme-handler/") {
			kind, what = apps.ExportLinks, "the links that it opens are "
		}
		switch note := what + offReason(kind); {
		case !p.isOff(kind):
			kept = append(kept, t)
		case !slices.Contains(notes, note):
			notes = append(notes, note)
		}
	}
	return kept, notes
}
