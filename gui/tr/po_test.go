// SPDX-License-Identifier: MIT

package tr

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var placeholder = regexp.MustCompile(`\{[a-z0-9_]+\}`)

// TestCatalogues: a translation has the placeholders of its text, each as often, and an underscore for a key where that has one.
func TestCatalogues(t *testing.T) {
	files, err := filepath.Glob("../../po/*.po")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	sorted := func(s string) string {
		all := placeholder.FindAllString(s, -1)
		slices.Sort(all)
		return strings.Join(all, " ")
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for entry := range strings.SplitSeq(string(data), "\n\n") {
			one, many, translations := readEntry(t, entry)
			if one == "" {
				continue
			}
			for _, text := range translations {
				// The singular may say its number as a word.
				fits := sorted(text) == sorted(one) || many != "" && sorted(text) == sorted(many)
				if !fits {
					t.Errorf("%s: %q is translated as %q: other placeholders", filepath.Base(file), one, text)
				}
				if many == "" && !strings.Contains(one, "{") && strings.Count(one, "_") == 1 && strings.Count(text, "_") != 1 {
					t.Errorf("%s: %q is translated as %q: no key", filepath.Base(file), one, text)
				}
			}
		}
	}
}

// readEntry reads an entry of a catalogue.
func readEntry(t *testing.T, entry string) (one, many string, translations []string) {
	t.Helper()
	var into *string
	for line := range strings.SplitSeq(entry, "\n") {
		keyword, rest, _ := strings.Cut(line, " ")
		switch {
		case strings.HasPrefix(line, "#") || line == "":
			continue
		case keyword == "msgid":
			into = &one
		case keyword == "msgid_plural":
			into = &many
		case strings.HasPrefix(keyword, "msgstr"):
			translations = append(translations, "")
			into = &translations[len(translations)-1]
		case strings.HasPrefix(line, `"`):
			rest = line
		case keyword == "msgctxt":
			var context string
			into = &context
		}
		text, err := strconv.Unquote(rest)
		if err != nil || into == nil {
			t.Fatalf("%q: %v", line, err)
		}
		*into += text
	}
	return one, many, translations
}
