// SPDX-License-Identifier: MIT

package state

import (
	"sort"
	"strings"

	"glick.org/glick/bundle"
	"glick.org/glick/gui/tr"
)

// Entry is one installed application in the library window.
type Entry struct {
	ID, Name, Version, File string
	Size                    int64 // of the file, in bytes
	System                  bool  // for all users, not ours to remove
}

// Library is what the library window knows.
type Library struct {
	Loaded  bool
	Entries []Entry
	Query   string // what is searched for
	Err     error  // the folders could not be read
}

// LibraryPage is which of the library window's pages is shown.
type LibraryPage int

// The pages. No applications and none found are two different things.
const (
	LibraryLoading LibraryPage = iota
	LibraryList
	LibraryEmpty
	LibraryNothingFound
	LibraryProblem
)

// LibraryRow is one application as shown.
type LibraryRow struct {
	Entry
	Title, Text  string
	CanUninstall bool
}

// LibraryView is what the library window shows.
type LibraryView struct {
	Page        LibraryPage
	Rows        []LibraryRow
	Title, Text string // of the pages that are not the list
	Search      bool   // searching makes sense
}

// View is what to show for l.
func (l Library) View() LibraryView {
	v := LibraryView{Search: len(l.Entries) > 0}
	switch {
	case l.Err != nil:
		v.Page, v.Title, v.Text = LibraryProblem, tr.T("The Applications Cannot Be Read"), Clean(l.Err.Error(), 300)
		return v
	case !l.Loaded:
		v.Page = LibraryLoading
		return v
	case len(l.Entries) == 0:
		v.Page, v.Title = LibraryEmpty, tr.T("No Applications Yet")
		v.Text = tr.T("Drop a bundle here, or open one in Files, to install it.")
		return v
	}
	entries := append([]Entry(nil), l.Entries...)
	sort.SliceStable(entries, func(i, j int) bool {
		a, b := entries[i], entries[j]
		if x, y := strings.ToLower(a.Name), strings.ToLower(b.Name); x != y {
			return x < y
		}
		if a.ID != b.ID {
			return a.ID < b.ID
		}
		return bundle.CompareVersions(a.Version, b.Version) > 0
	})
	words := strings.Fields(strings.ToLower(l.Query))
	for _, e := range entries {
		if !matches(e, words) {
			continue
		}
		row := LibraryRow{Entry: e, Title: Clean(e.Name, maxName), CanUninstall: !e.System}
		if row.Title == "" {
			row.Title = Clean(e.ID, maxName)
		}
		row.Text = Size(e.Size)
		if version := Clean(e.Version, maxSmall); version != "" {
			row.Text = tr.F("{version} · {size}", "version", version, "size", Size(e.Size))
		}
		if e.System {
			row.Text = tr.F("{facts} · for all users", "facts", row.Text)
		}
		v.Rows = append(v.Rows, row)
	}
	v.Page = LibraryList
	if len(v.Rows) == 0 {
		v.Page, v.Title = LibraryNothingFound, tr.T("Nothing Found")
		v.Text = tr.T("No installed application has these words in its name.")
	}
	return v
}

// matches says whether every word occurs in the name or the id.
func matches(e Entry, words []string) bool {
	text := strings.ToLower(e.Name + "\n" + e.ID)
	for _, w := range words {
		if !strings.Contains(text, w) {
			return false
		}
	}
	return true
}
