// SPDX-License-Identifier: MIT

package state

import (
	"os"
	"strings"

	"golang.org/x/text/collate"
	"golang.org/x/text/language"
)

// collationLanguage is the language whose order of letters the session wants, as setlocale(3) finds it; the order of all languages together (the root
// of CLDR) when it says none.
func collationLanguage(env func(string) string) language.Tag {
	for _, name := range []string{"LC_ALL", "LC_COLLATE", "LANG"} {
		value := env(name)
		if value == "" {
			continue
		}
		value, _, _ = strings.Cut(value, ".")
		value, _, _ = strings.Cut(value, "@")
		tag, err := language.Parse(value)
		if err != nil {
			return language.Und // "C" and "POSIX" too
		}
		return tag
	}
	return language.Und
}

// collator makes keys whose order, as bytes, is that in which people of a language expect names: numbers by their value, capitals and accents only
// where all else is the same. It is for one goroutine.
type collator struct {
	c   *collate.Collator
	buf collate.Buffer
}

func newCollator(tag language.Tag) *collator {
	return &collator{c: collate.New(tag, collate.Numeric)}
}

// sessionCollator is the one for the session's language.
func sessionCollator() *collator { return newCollator(collationLanguage(os.Getenv)) }

func (c *collator) key(s string) string {
	c.buf.Reset()
	return string(c.c.KeyFromString(&c.buf, s))
}
