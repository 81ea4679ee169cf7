// SPDX-License-Identifier: MIT

package work

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"strings"

	"glick.org/glick/bundle/keyfile"
	"glick.org/glick/gui/state"
)

// maxDescription is how much metainfo is looked at, in bytes. Real ones are far below.
const maxDescription = 1 << 20

// Languages lists the person's languages, the best first, as LANGUAGE, LC_ALL, LC_MESSAGES and LANG say (gettext's rules): for
// de_AT.UTF-8 that is de_AT, de.
func Languages() []string {
	locale := ""
	for _, v := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		if locale = os.Getenv(v); locale != "" {
			break
		}
	}
	if locale == "" || locale == "C" || locale == "POSIX" {
		return nil
	}
	list := append(strings.Split(os.Getenv("LANGUAGE"), ":"), locale)
	var out []string
	for _, l := range list {
		l, modifier, _ := strings.Cut(l, "@")
		l, _, _ = strings.Cut(l, ".")
		if l == "" || l == "C" || l == "POSIX" {
			continue
		}
		lang, _, country := strings.Cut(l, "_")
		if modifier != "" {
			if country {
				out = append(out, l+"@"+modifier)
			}
			out = append(out, lang+"@"+modifier)
		}
		if country {
			out = append(out, l)
		}
		out = append(out, lang)
	}
	return out
}

// describeFromDesktop takes name and comment from a desktop entry.
func describeFromDesktop(id *state.Identity, data []byte, languages []string) {
	f, err := keyfile.Parse(data)
	if err != nil {
		return
	}
	g := f.Group("Desktop Entry")
	if g == nil {
		return
	}
	get := func(key string) string {
		for _, l := range languages {
			if v := g.String(key + "[" + l + "]"); v != "" {
				return v
			}
		}
		return g.String(key)
	}
	if v := get("Name"); v != "" {
		id.Name = v
	}
	id.Summary = get("Comment")
}

// describeFromMetainfo takes what an AppStream component says of the application (freedesktop.org, AppStream specification, 2.1).
func describeFromMetainfo(id *state.Identity, data []byte, languages []string) {
	if len(data) > maxDescription {
		return
	}
	d := xml.NewDecoder(bytes.NewReader(data))
	d.Strict = false
	// Other encodings than UTF-8 are shown as well as they can be.
	d.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil }
	var path []string
	var lang string
	texts := map[string]ranked{}
	for {
		t, err := d.Token()
		if err != nil {
			if !errors.Is(err, io.EOF) {
				return
			}
			break
		}
		switch t := t.(type) {
		case xml.StartElement:
			path = append(path, t.Name.Local)
			lang = ""
			for _, a := range t.Attr {
				if a.Name.Local == "lang" {
					lang = strings.ReplaceAll(a.Value, "-", "_")
				}
			}
			if len(path) > 64 {
				return
			}
		case xml.EndElement:
			if len(path) > 0 {
				path = path[:len(path)-1]
			}
		case xml.CharData:
			if len(path) < 2 || path[0] != "component" {
				continue
			}
			key := strings.Join(path[1:], "/")
			rank := rankOf(lang, languages)
			if old, ok := texts[key]; rank >= 0 && (!ok || rank < old.rank) {
				if s := strings.TrimSpace(string(t)); s != "" {
					texts[key] = ranked{s, rank}
				}
			}
		}
	}
	set := func(to *string, keys ...string) {
		for _, k := range keys {
			if v := texts[k].text; v != "" {
				*to = v
				return
			}
		}
	}
	set(&id.Summary, "summary")
	set(&id.Developer, "developer/name", "developer_name")
	set(&id.License, "project_license")
	if id.Name == "" {
		set(&id.Name, "name")
	}
}

// ranked is a text and how well its language suits: 0 is best.
type ranked struct {
	text string
	rank int
}

// rankOf says how well lang suits; no language at all comes after all wanted ones, an unwanted one is -1.
func rankOf(lang string, languages []string) int {
	if lang == "" {
		return len(languages)
	}
	for i, l := range languages {
		if l == lang {
			return i
		}
	}
	return -1
}
