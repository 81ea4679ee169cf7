// SPDX-License-Identifier: MIT

package state

import (
	"net/url"
	"strconv"
	"strings"

	"glick.org/glick/gui/tr"
)

// How much of what a bundle tells about itself is shown.
const (
	maxBlocks = 60
	maxBlock  = 2000 // characters
	maxLinks  = 8
	maxListed = 4 // names in one sentence
)

// about is the description, fit to be shown.
func (m Model) about() []Block {
	var out []Block
	for _, b := range m.Identity.Description {
		if b.Text = Clean(b.Text, maxBlock); b.Text == "" {
			continue
		}
		if out = append(out, b); len(out) == maxBlocks {
			break
		}
	}
	return out
}

// links are the addresses that can be opened, and the license.
func (m Model) links() []ShownLink {
	titles := map[string]string{
		"homepage": tr.T("Website"), "bugtracker": tr.T("Report a Problem"), "help": tr.T("Help"), "faq": tr.T("Questions and Answers"),
		"donation": tr.T("Donate"), "translate": tr.T("Translate"), "contact": tr.T("Contact"), "vcs-browser": tr.T("Source Code"),
		"contribute": tr.T("Contribute"),
	}
	var out []ShownLink
	seen := map[string]bool{}
	for _, l := range m.Identity.Links {
		u, err := url.Parse(strings.TrimSpace(l.URL))
		// Only what a browser or a mail program opens. Everything else could start anything.
		if err != nil || titles[l.Kind] == "" || seen[l.Kind] || u.User != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Hostname() == "" {
			continue
		}
		seen[l.Kind] = true
		out = append(out, ShownLink{Kind: l.Kind, Title: titles[l.Kind], Host: Clean(u.Hostname(), maxSmall), URL: u.String()})
		if len(out) == maxLinks {
			break
		}
	}
	return out
}

// license is the license in words.
func (m Model) license() string { return Clean(m.Identity.License, 200) }

// addsRows says what installing shows to the desktop. Nil when that is not known.
func (m Model) addsRows() []Row {
	if m.Adds == nil {
		return nil
	}
	a := m.Adds
	var rows []Row
	add := func(id, icon, title, text string) {
		rows = append(rows, Row{ID: id, Icon: icon, Title: title, Text: text})
	}
	if n := len(a.Entries); n > 0 {
		add("entries", "view-app-grid-symbolic", tr.N("An entry in the menu of applications", "{n} entries in the menu of applications", n, "n", strconv.Itoa(n)), listed(a.Entries))
	}
	if n := len(a.Types); n > 0 {
		add("types", "text-x-generic-symbolic", tr.T("Opens files"), listed(a.Types))
	}
	if n := len(a.Schemes); n > 0 {
		add("schemes", "web-browser-symbolic", tr.T("Opens links"), listed(a.Schemes))
	}
	if n := len(a.Commands); n > 0 {
		add("commands", "utilities-terminal-symbolic", tr.N("A command for the terminal", "{n} commands for the terminal", n, "n", strconv.Itoa(n)), listed(a.Commands))
	}
	if n := len(a.Services); n > 0 {
		add("services", "system-run-symbolic", tr.T("Other programs can start it"), tr.F("By the name {names} on the session bus, also in the background.", "names", listed(a.Services)))
	}
	if a.Search {
		add("search", "system-search-symbolic", tr.T("Answers searches in the overview"), tr.T("Once you switch it on in Settings. It is then told what you type there."))
	}
	if a.Fonts > 0 {
		add("fonts", "font-x-generic-symbolic", tr.N("A font", "{n} fonts", a.Fonts, "n", strconv.Itoa(a.Fonts)), tr.T("For all applications."))
	}
	if len(rows) == 0 {
		add("nothing", "dialog-information-symbolic", tr.T("Nothing in the desktop"), tr.T("It can be started from its file and from the list of applications."))
	}
	if len(a.Off) > 0 {
		var kinds []string
		for _, kind := range a.Off {
			title, _ := exportWords(kind)
			kinds = append(kinds, title)
		}
		add("off", "action-unavailable-symbolic", tr.T("Switched off in the preferences"), listed(kinds))
	}
	return rows
}

// listed puts names into a sentence: the first ones, and how many more there are.
func listed(names []string) string {
	var out []string
	for i, n := range names {
		if i == maxListed {
			break
		}
		out = append(out, Clean(n, maxSmall))
	}
	// Translators: between the items of a list.
	s := tr.List(out)
	if more := len(names) - len(out); more > 0 {
		return tr.N("{names} and {n} more", "{names} and {n} more", more, "names", s, "n", strconv.Itoa(more))
	}
	return s
}
