// SPDX-License-Identifier: MIT

package work

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/adrg/xdg"

	"glick.org/glick/bundle/keyfile"
	"glick.org/glick/gui/state"
	"glick.org/glick/xdgexport"
	"glick.org/glick/xdgexport/apps"
	"glick.org/glick/xdgexport/apps/trust"
)

// adds says what installing the bundle in file would show to the desktop. Nothing is changed.
func adds(file string) (*state.Adds, error) {
	app, err := apps.Find(file)
	if err != nil {
		return nil, fmt.Errorf("cannot find out what it adds: %w", err)
	}
	// As if it were installed and nothing spoke against it.
	app.Default, app.State = true, trust.Verified
	o := xdgexport.Options{}
	if len(InstalledOf(app.ID, "")) > 0 {
		o = elsewhere() // what it shows already does not stand in its own way
	}
	want, err := xdgexport.Plan([]apps.App{app}, o)
	if err != nil {
		return nil, fmt.Errorf("cannot find out what it adds: %w", err)
	}
	return addsOf(want, Languages()), nil
}

// addsOf sorts a plan into kinds that people know.
func addsOf(want xdgexport.Wanted, languages []string) *state.Adds {
	a := &state.Adds{}
	own := map[string]string{} // what the bundle's own types are called
	var types []string
	for _, f := range want.Files {
		base := path.Base(f.Path)
		switch dir, _, _ := strings.Cut(f.Path, "/"); {
		case dir == "applications":
			name, mimes, shown := entryOf(f.Content, languages)
			if shown && name != "" {
				a.Entries = append(a.Entries, name)
			}
			for _, m := range mimes {
				if scheme, ok := strings.CutPrefix(m, "x-scheme-handler/"); ok {
					a.Schemes = appendNew(a.Schemes, scheme+":")
				} else {
					types = appendNew(types, m)
				}
			}
		case dir == "mime":
			for t, comment := range typeComments(strings.NewReader(string(f.Content)), languages) {
				own[t] = comment
			}
		case dir == "bin":
			a.Commands = append(a.Commands, base)
		case dir == "dbus-1":
			a.Services = append(a.Services, strings.TrimSuffix(base, ".service"))
		case dir == "gnome-shell":
			a.Search = true
		case dir == "fonts":
			a.Fonts++
		}
	}
	for _, t := range types {
		name := own[t]
		if name == "" {
			name = typeName(t, languages)
		}
		a.Types = appendNew(a.Types, name)
	}
	for _, l := range want.Left {
		a.Left = append(a.Left, fmt.Sprintf("%s: %s", l.Origin, l.Reason))
	}
	for _, kind := range apps.Exports() {
		if slices.ContainsFunc(want.Left, func(l xdgexport.LeftOut) bool { return l.SwitchedOff() == kind }) {
			a.Off = append(a.Off, kind)
		}
	}
	return a
}

func appendNew(list []string, s string) []string {
	if slices.Contains(list, s) {
		return list
	}
	return append(list, s)
}

// entryOf reads of a desktop entry what it is called, which types it opens, and whether menus show it.
func entryOf(data []byte, languages []string) (name string, mimes []string, shown bool) {
	f, err := keyfile.Parse(data)
	if err != nil {
		return "", nil, false
	}
	g := f.Group("Desktop Entry")
	if g == nil {
		return "", nil, false
	}
	for _, m := range strings.Split(g.String("MimeType"), ";") {
		if m != "" {
			mimes = append(mimes, m)
		}
	}
	return localString(g, "Name", languages), mimes, g.String("NoDisplay") != "true"
}

// plainType is what may be used as the name of a file.
var plainType = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.+_-]*/[A-Za-z0-9][A-Za-z0-9.+_-]*$`)

// typeName is what people call a file type that the host knows (shared-mime-info specification, 2.3), or its own name.
func typeName(t string, languages []string) string {
	if !plainType.MatchString(t) {
		return t
	}
	for _, dir := range append([]string{xdg.DataHome}, xdg.DataDirs...) {
		f, err := os.Open(filepath.Join(dir, "mime", t+".xml"))
		if err != nil {
			continue
		}
		name := typeComments(io.LimitReader(f, maxMetainfo), languages)[t]
		f.Close()
		if name != "" {
			return name
		}
	}
	return t
}

// typeComments reads what file types are called from definitions of them.
func typeComments(r io.Reader, languages []string) map[string]string {
	found := map[string]ranked{}
	d := xml.NewDecoder(r)
	current := ""
	for {
		t, err := d.Token()
		if err != nil {
			break
		}
		s, ok := t.(xml.StartElement)
		if !ok {
			continue
		}
		lang := ""
		for _, a := range s.Attr {
			switch a.Name.Local {
			case "type":
				if s.Name.Local == "mime-type" {
					current = a.Value
				}
			case "lang":
				lang = strings.ReplaceAll(a.Value, "-", "_")
			}
		}
		if s.Name.Local != "comment" || current == "" {
			continue
		}
		var text string
		if err := d.DecodeElement(&text, &s); err != nil {
			var syntax *xml.SyntaxError
			if errors.As(err, &syntax) {
				break
			}
			continue
		}
		c := found[current]
		c.offer(text, rankOf(lang, languages))
		found[current] = c
	}
	names := map[string]string{}
	for t, c := range found {
		names[t] = c.text
	}
	return names
}
