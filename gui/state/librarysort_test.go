// SPDX-License-Identifier: MIT

package state

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/language"
)

func TestNamesAreInOrder(t *testing.T) {
	for tag, want := range map[string]string{
		"en": "_private|App 1|App 9|App 64|App 64 Pro|App 640|app 641|App 0642|écho|Echo 2|Éclair|eclipse|élan|Œuvre|Ölmühle|Ordner|Writer 7.9|Writer 7.10|Zebra",
		"de": "Apfel|Ölmühle|Ordner|Österreich|Zebra",
		"sv": "Apfel|Ordner|Zebra|Ölmühle|Österreich",
	} {
		names := strings.Split(want, "|")
		rand.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		c := newCollator(language.MustParse(tag))
		slices.SortFunc(names, func(a, b string) int { return cmp.Compare(c.key(a), c.key(b)) })
		if got := strings.Join(names, "|"); got != want {
			t.Errorf("%s: %s\nwant %s", tag, got, want)
		}
	}
}

func TestLibraryOrderOfNumbers(t *testing.T) {
	var files []AppFile
	for i, n := range []int{640, 64, 9, 1000, 65} {
		files = append(files, appFile(fmt.Sprint("org.example.App", i), fmt.Sprint("App ", n), "1", 1))
	}
	l := Library{Loaded: true, Now: noon, Apps: GroupApps(files), Sort: SortByName}
	if got, want := titles(l.View()), "App 9 App 64 App 65 App 640 App 1000"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	// Where the setting's own order leaves things alike, their names decide.
	l.Sort = SortByLastUse
	if got, want := titles(l.View()), "App 9 App 64 App 65 App 640 App 1000"; got != want {
		t.Errorf("never used: %s, want %s", got, want)
	}
}

func TestCollationLanguage(t *testing.T) {
	for env, want := range map[string]string{
		"": "und", "LANG=C": "und", "LANG=POSIX": "und", "LANG=de_DE.UTF-8": "de-DE", "LANG=sr_RS.UTF-8@latin": "sr-RS", "LANG=sv": "sv",
		"LANG=de_DE LC_COLLATE=sv_SE.UTF-8": "sv-SE", "LANG=de_DE LC_COLLATE=sv_SE LC_ALL=C.UTF-8": "und", "LANG=\xff/..%%": "und",
	} {
		values := map[string]string{}
		for one := range strings.FieldsSeq(env) {
			name, value, _ := strings.Cut(one, "=")
			values[name] = value
		}
		if got := collationLanguage(func(name string) string { return values[name] }); got.String() != want {
			t.Errorf("%q: %v, want %s", env, got, want)
		}
	}
}

// Names come from strangers.
func FuzzCollation(f *testing.F) {
	for _, s := range []string{"", "App 64", strings.Repeat("9", 400), "\xff\xfe0", "٣٤ Ǆ ﬀ", "0000000000", "1\u03021", "\u0301\u0301"} {
		f.Add(s)
	}
	c := newCollator(language.English)
	f.Fuzz(func(t *testing.T, s string) {
		if a, b := c.key(Clean(s, maxName)), c.key(Clean(s, maxName)); a != b {
			t.Errorf("%q has two places", s)
		}
	})
}

func BenchmarkLibrarySort(b *testing.B) {
	files := make([]AppFile, 1000)
	for i, n := range rand.Perm(1000) {
		files[i] = appFile(fmt.Sprint("org.example.App", i), fmt.Sprintf("Größere Anwendung %d für Ähnliches", n), "1", 1)
	}
	b.Run("keys", func(b *testing.B) {
		for b.Loop() {
			c := sessionCollator()
			for _, f := range files {
				c.key(f.Name)
			}
		}
	})
	l := Library{Loaded: true, Now: time.Now(), Apps: GroupApps(files), Sort: SortByName}
	b.Run("sort", func(b *testing.B) {
		for b.Loop() {
			l.sorted()
		}
	})
}
