// SPDX-License-Identifier: MIT

// Package tr translates what the windows say. It knows no library of its own: the program installs one with Use, and
// without one everything stays English, as in tests.
package tr

import "strings"

// Domain is the name of the message catalogues.
const Domain = "glick"

// Catalogue looks messages up, as gettext(3) and ngettext(3) do.
type Catalogue interface {
	Get(msg string) string
	Plural(one, many string, n int) string
}

type english struct{}

func (english) Get(msg string) string { return msg }

func (english) Plural(one, many string, n int) string {
	if n == 1 {
		return one
	}
	return many
}

var current Catalogue = english{}

// Use makes c the catalogue. Call it before anything is translated, from one goroutine.
func Use(c Catalogue) { current = c }

// T translates msg.
func T(msg string) string { return current.Get(msg) }

// F translates msg and puts the values in the place of {name}; pairs are name, value, name, value. Names instead of verbs let
// a language order them as it needs.
func F(msg string, pairs ...string) string { return Fill(current.Get(msg), pairs...) }

// N is F with the plural form for n.
func N(one, many string, n int, pairs ...string) string {
	return Fill(current.Plural(one, many, n), pairs...)
}

// List says several things one after the other.
func List(things []string) string {
	// Translators: what is between the parts of a list.
	return strings.Join(things, T(", "))
}

// Sentences puts whole sentences behind each other.
func Sentences(all ...string) string {
	text := ""
	for _, s := range all {
		switch {
		case s == "":
		case text == "":
			text = s
		default:
			// Translators: two sentences; some languages want nothing between them.
			text = F("{before} {after}", "before", text, "after", s)
		}
	}
	return text
}

// Fill puts the values into a message that is translated already. All names are replaced in one pass, so a value that itself looks
// like {name} stays as it is.
func Fill(msg string, pairs ...string) string {
	braced := make([]string, len(pairs)&^1)
	for i := 0; i+1 < len(pairs); i += 2 {
		braced[i], braced[i+1] = "{"+pairs[i]+"}", pairs[i+1]
	}
	return strings.NewReplacer(braced...).Replace(msg)
}
