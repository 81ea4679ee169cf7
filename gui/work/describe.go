// SPDX-License-Identifier: MIT

package work

import (
	"os"
	"strings"

	"glick.org/glick/bundle/keyfile"
	"glick.org/glick/gui/state"
)

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
	if v := localString(g, "Name", languages); v != "" {
		id.Name = v
	}
	id.Summary = localString(g, "Comment", languages)
}

// localString is the value of a key in the language that suits best.
func localString(g *keyfile.Group, key string, languages []string) string {
	for _, l := range languages {
		if v := g.String(key + "[" + l + "]"); v != "" {
			return v
		}
	}
	return g.String(key)
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
