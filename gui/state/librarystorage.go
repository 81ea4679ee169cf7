// SPDX-License-Identifier: MIT

package state

import (
	"cmp"
	"slices"
	"strings"

	"glick.org/glick/gui/tr"
)

// StorageFacts is what takes the space, measured.
type StorageFacts struct {
	Apps   []StorageApp
	Groups []StorageGroup // the largest first
	Free   int64          // bytes on the disk of the user's applications; 0 when not known
}

// StorageApp is what one application takes, in bytes.
type StorageApp struct {
	Key, Title string
	Disk       int64 // its bundle files
	Data       int64 // its folders of data
	Content    int64 // its different contents, unpacked
	Shared     int64 // of these, what other applications contain too
	Unread     bool  // contents of it are missing in these figures
}

// StorageGroup is contents that the same applications have in common.
type StorageGroup struct {
	Keys    []string // of the applications
	Size    int64    // unpacked, in bytes
	Files   int
	Example string // name of the largest of these files; may be hostile
}

// Storage is what the storage page knows.
type Storage struct {
	Facts StorageFacts
	Ready bool
	Done  int64 // applications that have been read
	Total int64
}

// StorageView is what the storage page shows.
type StorageView struct {
	Ready      bool
	Progress   string
	Fraction   float64
	Title      string // how much it is
	Text       string
	Parts      []StoragePart // of the picture, from the start
	Rows       []StorageRow
	Groups     []Row
	GroupsText string
	Spoken     string // the picture in words
}

// StoragePart is a part of the picture.
type StoragePart struct {
	Key      string // of the application; empty for all others together
	Fraction float64
	Color    int // which of the colors; -1 for the others
}

// StorageRow is an application in the table.
type StorageRow struct {
	Key, Title, Text string
	Size             string
	Length           float64 // of its bar, 0 … 1, the largest has 1
	Shared           float64 // of the bar, 0 … 1
	Color            int     // as in the picture
}

// StorageColors is how many applications have a color of their own. More cannot be told apart by everybody.
const StorageColors = 6

// maxStorageRows is how many applications the table lists; it is for finding what is large.
const maxStorageRows = 50

// View is what to show for s.
func (s Storage) View() StorageView {
	if !s.Ready {
		v := StorageView{Progress: tr.T("Measuring…")}
		if s.Total > 0 {
			v.Fraction = float64(s.Done) / float64(s.Total)
			v.Progress = tr.F("Measuring… {done} of {total}", "done", itoa(int(s.Done)), "total", itoa(int(s.Total)))
		}
		return v
	}
	list := slices.Clone(s.Facts.Apps)
	slices.SortStableFunc(list, func(x, y StorageApp) int { return cmp.Or(cmp.Compare(y.all(), x.all()), cmp.Compare(x.Title, y.Title)) })
	v := StorageView{Ready: true}
	titles := map[string]string{}
	var disk, data int64
	for _, a := range list {
		disk, data = disk+a.Disk, data+a.Data
		titles[a.Key] = Clean(a.Title, maxName)
	}
	total := disk + data
	v.Title = tr.N("{size} in {n} application", "{size} in {n} applications", len(list), "n", itoa(len(list)), "size", Size(total))
	text := []string{tr.F("{size} bundle files", "size", Size(disk)), tr.F("{size} data", "size", Size(data))}
	if s.Facts.Free > 0 {
		text = append(text, tr.F("{size} free on this disk", "size", Size(s.Facts.Free)))
	}
	v.Text = joinFacts(text)
	var spoken []string
	var others int64
	for i, a := range list {
		color := i
		if i >= StorageColors {
			color = -1
			others += a.all()
		} else if total > 0 {
			fraction := float64(a.all()) / float64(total)
			v.Parts = append(v.Parts, StoragePart{Key: a.Key, Fraction: fraction, Color: i})
			spoken = append(spoken, tr.F("{name} {percent} %", "name", titles[a.Key], "percent", itoa(int(100*fraction+0.5))))
		}
		if i < maxStorageRows {
			v.Rows = append(v.Rows, a.row(list[0].all(), color))
		}
	}
	if others > 0 {
		fraction := float64(others) / float64(total)
		v.Parts = append(v.Parts, StoragePart{Fraction: fraction, Color: -1})
		spoken = append(spoken, tr.F("others {percent} %", "percent", itoa(int(100*fraction+0.5))))
	}
	v.Spoken = tr.List(spoken)
	for _, g := range s.Facts.Groups {
		v.Groups = append(v.Groups, g.row(titles))
	}
	v.GroupsText = tr.T("Files that several applications contain are in memory once, however many of these run. On the disk every bundle is complete by itself.")
	if len(v.Groups) == 0 {
		v.GroupsText = tr.T("No two applications here contain the same files.")
	}
	return v
}

// all is what it takes on the disk.
func (a StorageApp) all() int64 { return a.Disk + a.Data }

func (a StorageApp) row(largest int64, color int) StorageRow {
	r := StorageRow{Key: a.Key, Title: Clean(a.Title, maxName), Size: Size(a.all()), Color: color}
	if largest > 0 {
		r.Length = float64(a.all()) / float64(largest)
	}
	var parts []string
	if a.Data > 0 {
		parts = append(parts, tr.F("{size} of it data", "size", Size(a.Data)))
	}
	switch {
	case a.Content > 0 && a.Shared > 0:
		fraction := min(1, float64(a.Shared)/float64(a.Content))
		if a.all() > 0 {
			r.Shared = fraction * float64(a.Disk) / float64(a.all())
		}
		parts = append(parts, tr.F("{percent} % also in other applications", "percent", itoa(int(100*fraction+0.5))))
	case a.Unread:
		parts = append(parts, tr.T("content not measured"))
	}
	r.Text = strings.Join(parts, " · ")
	return r
}

func (g StorageGroup) row(titles map[string]string) Row {
	const most = 4
	var names []string
	for _, k := range g.Keys {
		names = append(names, titles[k])
	}
	r := Row{ID: strings.Join(g.Keys, " "), Icon: "emblem-shared-symbolic", Title: tr.List(names)}
	if more := len(names) - most; more > 1 {
		r.Title = tr.N("{names} and {n} more", "{names} and {n} more", more, "names", tr.List(names[:most]), "n", itoa(more))
	}
	example := Clean(g.Example, maxSmall)
	switch {
	case example == "":
		r.Text = Size(g.Size)
	case g.Files == 1:
		r.Text = joinFacts([]string{Size(g.Size), example})
	default:
		r.Text = tr.N("{size} · {file} and {n} more file", "{size} · {file} and {n} more files", g.Files-1,
			"size", Size(g.Size), "file", example, "n", itoa(g.Files-1))
	}
	return r
}
