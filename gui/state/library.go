// SPDX-License-Identifier: MIT

package state

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"time"

	"glick.org/glick/bundle"
	"glick.org/glick/gui/tr"
	"glick.org/glick/xdgexport/apps"
	"glick.org/glick/xdgexport/apps/trust"
)

// AppFile is one bundle file in the bundle folders. Texts are as the file has them, so they may be hostile; views clean them.
type AppFile struct {
	ID, Name, Version string // empty when the file cannot be read
	File              string // absolute path
	Digest            string // identity of the bundle, in hex
	Size              int64  // of the file, in bytes
	System            bool   // for all users, not ours to change
	Default           bool   // the version that is used
	Trust             trust.State
	Signer            string // what the user calls the key; may be empty
	Fingerprint       string // of the key; empty without a signature
	Origin            string // URL that it was downloaded from; empty when not known
	Err               error  // why it cannot be read; nil when it can
	Incomplete        bool   // it may be on its way: being copied or downloaded
	Folder            string // that it lies in, as it is shown, if the user has added that one
	Whole             bool   // it is a folder that the user has added, and nothing in it is used
}

// usable says whether the file can be started by its id.
func (f AppFile) usable() bool { return f.Err == nil && f.Trust.Usable() }

// App is an installed application: all files of one id, the one in use first, then by falling version, then those that cannot be used.
type App struct {
	Key   string // the id; the path of a file that has none
	Files []AppFile

	words string // what searching looks at
	order string // the place of its title among others
}

// Current is the file that stands for the application.
func (a App) Current() AppFile { return a.Files[0] }

// Usable says whether any version can be started.
func (a App) Usable() bool { return a.Files[0].usable() }

// Title is the application's name, or what comes nearest.
func (a App) Title() string { return a.Files[0].title() }

func (f AppFile) title() string {
	for _, s := range []string{f.Name, f.ID, fileName(f.File)} {
		if s = Clean(s, maxName); s != "" {
			return s
		}
	}
	return tr.T("Application")
}

// fileName is the last part of a path, fit to be shown.
func fileName(path string) string { return Clean(path[strings.LastIndexByte(path, '/')+1:], maxSmall) }

// Own lists the files that the user may remove.
func (a App) Own() []AppFile {
	var own []AppFile
	for _, f := range a.Files {
		if !f.System {
			own = append(own, f)
		}
	}
	return own
}

// GroupApps makes applications of files.
func GroupApps(files []AppFile) []App {
	at := map[string]int{}
	var list []App
	for _, f := range files {
		key := f.ID
		if key == "" {
			key = f.File
		}
		i, ok := at[key]
		if !ok {
			i = len(list)
			at[key] = i
			list = append(list, App{Key: key})
		}
		list[i].Files = append(list[i].Files, f)
	}
	rank := func(f AppFile) int {
		switch {
		case f.Default:
			return 0
		case f.usable():
			return 1
		}
		return 2
	}
	titles := sessionCollator()
	for i, a := range list {
		slices.SortStableFunc(a.Files, func(x, y AppFile) int {
			return cmp.Or(cmp.Compare(rank(x), rank(y)), bundle.CompareVersions(y.Version, x.Version), cmp.Compare(x.File, y.File))
		})
		title := a.Title()
		list[i].words = strings.ToLower(title + "\n" + a.Key)
		list[i].order = titles.key(title)
	}
	return list
}

// LibrarySort is how applications are ordered. Its values are those of the setting "library-sort".
type LibrarySort string

// The orders.
const (
	SortByName    LibrarySort = "name"
	SortBySize    LibrarySort = "size"     // the largest first
	SortByLastUse LibrarySort = "last-use" // the latest first
)

// Library is what the library window knows.
type Library struct {
	Loaded  bool
	Apps    []App
	Running map[string]bool      // ids that run now
	Used    map[string]time.Time // when ids were used last, as far as anybody knows
	Now     time.Time
	Query   string // what is searched for
	Sort    LibrarySort
	Err     error // the folders could not be read
}

// App finds an application by its key.
func (l Library) App(key string) (App, bool) {
	i := slices.IndexFunc(l.Apps, func(a App) bool { return a.Key == key })
	if i < 0 {
		return App{}, false
	}
	return l.Apps[i], true
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
	Key, File, Digest string // of what the icon is
	Title, Text       string
	Fault             string // why it cannot be used; empty when it can
	Running           bool
	Spoken            string // the whole row, for assistive technology
}

// LibraryView is what the library window shows.
type LibraryView struct {
	Page        LibraryPage
	Rows        []LibraryRow
	Title, Text string // of the pages that are not the list
	Search      bool   // searching and sorting make sense
}

// View is what to show for l.
func (l Library) View() LibraryView {
	v := LibraryView{Search: len(l.Apps) > 0}
	switch {
	case l.Err != nil:
		v.Page, v.Title, v.Text = LibraryProblem, tr.T("The Applications Cannot Be Read"), Clean(l.Err.Error(), 300)
		return v
	case !l.Loaded:
		v.Page = LibraryLoading
		return v
	case len(l.Apps) == 0:
		v.Page, v.Title = LibraryEmpty, tr.T("No Applications Yet")
		v.Text = tr.T("Drop a bundle here, or open one in Files, to install it.")
		return v
	}
	for _, a := range l.sorted() {
		v.Rows = append(v.Rows, l.row(a))
	}
	v.Page = LibraryList
	if len(v.Rows) == 0 {
		v.Page, v.Title = LibraryNothingFound, tr.T("Nothing Found")
		v.Text = tr.T("No installed application has these words in its name.")
	}
	return v
}

// sorted lists the applications that are searched for, in order.
func (l Library) sorted() []App {
	words := strings.Fields(strings.ToLower(l.Query))
	var list []App
	for _, a := range l.Apps {
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(a.words, w) }) {
			list = append(list, a)
		}
	}
	slices.SortStableFunc(list, func(x, y App) int {
		order := 0
		switch l.Sort {
		case SortBySize:
			order = cmp.Compare(y.size(), x.size())
		case SortByLastUse:
			order = l.used(y).Compare(l.used(x))
		}
		return cmp.Or(order, cmp.Compare(x.order, y.order), cmp.Compare(x.words, y.words), cmp.Compare(x.Key, y.Key))
	})
	return list
}

// size is that of all its files.
func (a App) size() int64 {
	var n int64
	for _, f := range a.Files {
		n += f.Size
	}
	return n
}

// used is when it was used last, now when it runs; the zero time when nobody knows.
func (l Library) used(a App) time.Time {
	if l.Running[a.Key] {
		return l.Now
	}
	return l.Used[a.Key]
}

// faults is how many of the files have something wrong.
func (a App) faults() (n int) {
	for _, f := range a.Files {
		if f.fault() != "" {
			n++
		}
	}
	return n
}

func (l Library) row(a App) LibraryRow {
	f := a.Current()
	r := LibraryRow{Key: a.Key, File: f.File, Digest: f.Digest, Title: a.Title(), Running: l.Running[a.Key], Fault: f.fault()}
	var parts []string
	if version := Clean(f.Version, maxSmall); version != "" {
		parts = append(parts, version)
	}
	if f.Size > 0 {
		parts = append(parts, Size(a.size()))
	}
	if n := len(a.Files); n > 1 {
		parts = append(parts, tr.N("{n} version", "{n} versions", n, "n", itoa(n)))
	}
	if n := a.faults(); n > 0 && r.Fault == "" {
		parts = append(parts, tr.N("{n} not used", "{n} not used", n, "n", itoa(n)))
	}
	if r.Fault == "" && !r.Running {
		if used := lastUse(l.Now, l.Used[a.Key]); used != "" {
			parts = append(parts, used)
		}
	}
	r.Text = joinFacts(parts)
	spoken := append([]string{r.Title}, parts...)
	if r.Running {
		spoken = append(spoken, tr.T("Running"))
	}
	if r.Fault != "" {
		spoken = append(spoken, r.Fault)
	}
	r.Spoken = tr.List(spoken)
	return r
}

// joinFacts puts short facts on one line. The parts of a fact stay together when the line is broken.
func joinFacts(parts []string) string {
	whole := make([]string, len(parts))
	for i, p := range parts {
		whole[i] = strings.ReplaceAll(p, " ", "\u00a0")
	}
	return strings.Join(whole, " · ")
}

// fault says in a few words why a file cannot be used.
func (f AppFile) fault() string {
	switch {
	case f.usable():
		return ""
	case f.Incomplete:
		return tr.T("Not complete yet")
	case f.Trust == trust.Damaged || errors.Is(f.Err, bundle.ErrDamaged):
		return tr.T("The file is damaged")
	case errors.Is(f.Err, apps.ErrStrangers):
		return tr.T("Others can change it")
	case errors.Is(f.Err, bundle.ErrTruncated):
		return tr.T("The end of the file is missing")
	case errors.Is(f.Err, bundle.ErrArch):
		return tr.T("Made for another kind of computer")
	case errors.Is(f.Err, bundle.ErrVersion):
		return tr.T("Needs a newer Glick")
	case f.Trust == trust.Changed && f.Fingerprint == "":
		return tr.T("No longer signed")
	case f.Trust == trust.Changed:
		return tr.T("Signed by somebody else than before")
	}
	return tr.T("Cannot be used")
}

// lastUse says when something was used last, in days as people count them; nothing for the zero time.
func lastUse(now, t time.Time) string {
	if t.IsZero() {
		return ""
	}
	day := func(t time.Time) time.Time {
		y, m, d := t.In(now.Location()).Date()
		return time.Date(y, m, d, 12, 0, 0, 0, time.UTC)
	}
	const hours = 24
	switch days := int(day(now).Sub(day(t)).Hours()) / hours; {
	case days <= 0:
		return tr.T("Used today")
	case days == 1:
		return tr.T("Used yesterday")
	case days < 14:
		return tr.N("Used {n} day ago", "Used {n} days ago", days, "n", itoa(days))
	case days < 60:
		return tr.N("Used {n} week ago", "Used {n} weeks ago", days/7, "n", itoa(days/7))
	case days < 730:
		return tr.N("Used {n} month ago", "Used {n} months ago", days/30, "n", itoa(days/30))
	default:
		return tr.N("Used {n} year ago", "Used {n} years ago", days/365, "n", itoa(days/365))
	}
}
