// SPDX-License-Identifier: MIT

package xdgexport

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"glick.org/glick/bundle/keyfile"
	"glick.org/glick/xdgexport/apps"
)

const (
	entryGroup   = "Desktop Entry"
	actionPrefix = "Desktop Action "
	maxEntry     = 1 << 20
	maxActions   = 32
	maxValue     = 16 << 10
)

// The keys of a desktop entry that are taken over as they are, by what their values may be (Desktop Entry Specification
// 1.5, "Recognized desktop entry keys", and those in common use that only tell about the application). Not taken over:
// Path, URL and what runs or loads something in the programs that read the entry. Exec, TryExec, Icon, MimeType, Actions
// and DBusActivatable are rewritten.
var (
	textKeys = []string{"Name", "GenericName", "Comment", "Keywords", "X-GNOME-FullName"} // may be translated
	wordKeys = []string{
		"Version", "Categories", "OnlyShowIn", "NotShowIn", "StartupWMClass", "Implements", "X-Purism-FormFactor", "X-KDE-FormFactors",
	}
	boolKeys = []string{
		"NoDisplay", "Terminal", "StartupNotify", "PrefersNonDefaultGPU", "SingleMainWindow", "X-GNOME-SingleWindow", "X-GNOME-UsesNotifications",
	}
)

var (
	actionName = newPattern(`^[A-Za-z0-9-]{1,64}$`)
	localised  = newPattern(`^([A-Za-z0-9-]+)\[([A-Za-z0-9_.@-]{1,40})\]$`)
	dotted     = newPattern(`^[A-Za-z][A-Za-z0-9_-]*(\.[A-Za-z_-][A-Za-z0-9_-]*){2,}$`)
	iconName   = newPattern(`^[A-Za-z0-9][A-Za-z0-9._+-]{0,199}$`)
)

// isWMClass knows what a StartupWMClass may be. As a regular expression, classes of Unicode two hundred times over would take every program
// that has this package megabytes to prepare.
func isWMClass(s string) bool {
	length := 0
	for _, r := range s {
		if !unicode.IsLetter(r) && !unicode.IsNumber(r) && !strings.ContainsRune(" ._:;/+*()@-", r) {
			return false
		}
		length++
	}
	return length >= 1 && length <= 200
}

// planEntries shows the desktop entries that carry the bundle's name. Without any, the one that every bundle has for
// file managers becomes the application's.
func (p *planner) planEntries() {
	p.each("share/applications", ".desktop", maxEntry, func(stem, origin string, data []byte) {
		p.planEntry(stem, origin, data)
	})
	if !p.paths["applications/"+p.id+".desktop"] {
		const origin = ".xdg.desktop"
		data, err := p.b.DesktopFile()
		switch {
		case err != nil:
			p.leave(origin, err.Error())
		case len(data) > 0:
			p.planEntry(p.id, origin, data)
		}
	}
}

func (p *planner) planEntry(stem, origin string, data []byte) {
	content, notes, err := p.rewriteEntry(stem, data)
	for _, n := range notes {
		p.leave(origin, n)
	}
	if err != nil {
		p.leave(origin, err.Error())
		return
	}
	if p.add("applications/"+stem+".desktop", origin, content) {
		p.entries[stem] = true
	}
}

// planAutostart shows what is to be started with the session: entries of the bundle for that, or its main program. It
// does so only when the user wants it.
func (p *planner) planAutostart() {
	if !slices.Contains(p.o.Autostart, p.id) {
		return
	}
	if p.o.ConfigHome == "" {
		p.leave("autostart", "there is no folder for what is started with the session")
		return
	}
	found := false
	for _, dir := range []string{"etc/xdg/autostart", "share/autostart"} {
		p.each(dir, ".desktop", maxEntry, func(stem, origin string, data []byte) {
			content, notes, err := p.rewriteAutostart(data, stem)
			p.leaveAll(origin, notes)
			if err != nil {
				p.leave(origin, err.Error())
				return
			}
			found = p.add("autostart/"+stem+".desktop", origin, content) || found
		})
	}
	if found {
		return
	}
	const origin = ".xdg.desktop"
	data, err := p.b.DesktopFile()
	if err == nil {
		var content []byte
		if content, _, err = p.rewriteAutostart(data, p.id); err == nil {
			p.add("autostart/"+p.id+".desktop", origin, content)
			return
		}
	}
	p.leave("autostart", err.Error())
}

// rewriteAutostart makes an entry that does nothing but start the program once, without a file.
func (p *planner) rewriteAutostart(data []byte, stem string) ([]byte, []string, error) {
	content, notes, err := p.rewriteEntry(stem, data)
	if err != nil {
		return nil, nil, err
	}
	f, err := keyfile.Parse(content)
	if err != nil {
		return nil, nil, err
	}
	words, err := splitExec(f.Group(entryGroup).String("Exec"))
	if err != nil {
		return nil, nil, err
	}
	words = slices.DeleteFunc(words, fieldCode)
	out := &keyfile.File{}
	o := out.Add(entryGroup)
	for _, key := range f.Group(entryGroup).Keys() {
		switch key {
		case "MimeType", "Actions", "DBusActivatable":
		case "Exec":
			o.Set(key, keyfile.Escape(joinExec(words)))
		default:
			value, _ := f.Group(entryGroup).Get(key)
			o.Set(key, value)
		}
	}
	// What it opens is no matter of its start.
	notes = slices.DeleteFunc(notes, func(note string) bool { return switchedOff(note) != "" })
	return out.Bytes(), notes, nil
}

// rewriteEntry makes the entry that is shown of one in the bundle. stem is the name it will have.
func (p *planner) rewriteEntry(stem string, data []byte) (content []byte, notes []string, err error) {
	if len(data) > maxEntry {
		return nil, nil, fmt.Errorf("it is too large (%d bytes, at most %d)", len(data), maxEntry)
	}
	f, err := keyfile.Parse(data)
	if err != nil {
		return nil, nil, err
	}
	g := f.Group(entryGroup)
	switch {
	case g == nil:
		return nil, nil, errors.New("it is not a desktop entry")
	case g.String("Type") != "Application":
		return nil, nil, errors.New("it is not the entry of an application")
	case g.String("Hidden") == "true":
		return nil, nil, errors.New("it says that it is deleted (Hidden)")
	case strings.TrimSpace(g.String("Name")) == "":
		return nil, nil, errors.New("it has no name")
	}
	out := &keyfile.File{}
	o := out.Add(entryGroup)
	o.Set("Type", "Application")
	copyKeys(o, g)
	if class := o.String("StartupWMClass"); class != "" {
		// Windows of other applications must not appear as this one's.
		if dotted.MatchString(class) && !allowedName(class, p.id) || !allowedName(class, p.id) && printable(class) && p.ask(askEntry, class) != "" {
			o.Delete("StartupWMClass")
			notes = append(notes, fmt.Sprintf("the windows of the class %s belong to another application", class))
		}
	}

	// What it starts.
	activatable := g.String("DBusActivatable") == "true" && p.names[stem]
	words, note, err := p.entryCommand(g, stem)
	if err != nil {
		return nil, nil, err
	}
	if note != "" {
		notes = append(notes, note)
	}
	o.Set("Exec", keyfile.Escape(joinExec(words)))
	o.Set("TryExec", keyfile.Escape(p.start.glick))
	if activatable {
		o.Set("DBusActivatable", "true")
	}

	if icon := p.icon(g.String("Icon"), true); icon != "" {
		o.Set("Icon", icon)
	}
	types, off := p.withoutOff(p.types(g.List("MimeType")))
	notes = append(notes, off...)
	if len(types) > 0 {
		o.SetList("MimeType", types)
	}

	var actions []string
	for _, name := range g.List("Actions") {
		a := f.Group(actionPrefix + name)
		if a == nil || !actionName.MatchString(name) || slices.Contains(actions, name) || a.String("Name") == "" {
			continue
		}
		if len(actions) == maxActions {
			notes = append(notes, "it has too many actions")
			break
		}
		cmd, ok := p.actionCommand(a, activatable)
		if _, has := a.Get("Exec"); !ok && !has && p.isOff(apps.ExportServices) {
			notes = append(notes, "its action "+name+" would be done by its D-Bus service, "+offReason(apps.ExportServices))
			continue
		}
		if !ok {
			notes = append(notes, "the program of its action "+name+" is not in the bundle")
			continue
		}
		actions = append(actions, name)
		ao := out.Add(actionPrefix + name)
		copyKeys(ao, a)
		if icon := p.icon(a.String("Icon"), false); icon != "" {
			ao.Set("Icon", icon)
		}
		if len(cmd) > 0 {
			ao.Set("Exec", keyfile.Escape(joinExec(cmd)))
		}
	}
	if len(actions) > 0 {
		o.SetList("Actions", actions)
	}
	o.Set(mark, p.id)
	return out.Bytes(), notes, nil
}

// entryCommand gives what an entry starts. The main entry of a bundle always starts something: its Exec may be a
// wrapper of the host (env, sh) that the bundle's own program is started by.
func (p *planner) entryCommand(g *keyfile.Group, stem string) (words []string, note string, err error) {
	line, has := g.Get("Exec")
	if has {
		words, err = splitExec(keyfile.Unescape(line))
		if err == nil {
			if cmd, ok := p.start.command(cleanArgs(words)); ok {
				return cmd, "", nil
			}
			err = errors.New("the program that it starts is not in the bundle")
		}
	} else {
		err = errors.New("it starts nothing (no Exec)")
	}
	if stem != p.id || !p.tree.program(p.start.main) {
		return nil, "", err
	}
	codes := slices.DeleteFunc(slices.Clone(words), func(w string) bool { return w != "%f" && w != "%F" && w != "%u" && w != "%U" })
	if !has {
		codes = []string{"%U"}
	}
	return p.start.start(p.start.main, codes), err.Error() + "; the bundle's main program is used", nil
}

// actionCommand gives what an action starts: nothing, if it is activated by D-Bus and says nothing itself.
func (p *planner) actionCommand(a *keyfile.Group, activatable bool) ([]string, bool) {
	line, has := a.Get("Exec")
	if !has {
		return nil, activatable
	}
	words, err := splitExec(keyfile.Unescape(line))
	if err != nil {
		return nil, false
	}
	return p.start.command(cleanArgs(words))
}

// icon gives the name to show for an Icon key. A name of the bundle's own stays; for the application itself any other
// becomes the bundle's icon; an action may have one of the desktop's.
func (p *planner) icon(name string, app bool) string {
	switch {
	case p.icons[name]:
		return name
	case app && p.icons[p.id]:
		return p.id
	case !app && iconName.MatchString(name):
		return name
	}
	return ""
}

// types gives the MIME types that an entry may ask to open, each once.
func (p *planner) types(list []string) []string {
	var kept []string
	for _, t := range list {
		if validType(t) && !slices.Contains(kept, t) && len(kept) < 1000 {
			kept = append(kept, t)
		}
	}
	return kept
}

// copyKeys takes over the keys of the allow-list whose values are what they should be.
func copyKeys(to, from *keyfile.Group) {
	for _, key := range from.Keys() {
		value, _ := from.Get(key)
		base := key
		if m := localised.FindStringSubmatch(key); m != nil {
			base = m[1]
			if !slices.Contains(textKeys, base) {
				continue
			}
		}
		ok := false
		switch {
		case len(value) > maxValue || !printable(value):
		case slices.Contains(textKeys, base):
			// Escaped control characters are no more welcome than plain ones.
			ok = printable(keyfile.Unescape(value))
		case slices.Contains(boolKeys, base):
			ok = value == "true" || value == "false"
		case slices.Contains(wordKeys, base):
			ok = isWMClass(value)
		}
		if ok {
			to.Set(key, value)
		}
	}
}
