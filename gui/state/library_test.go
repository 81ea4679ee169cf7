// SPDX-License-Identifier: MIT

package state

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"glick.org/glick/bundle"
	"glick.org/glick/xdgexport/apps/trust"
)

var noon = time.Date(2030, 5, 20, 12, 0, 0, 0, time.UTC)

func appFile(id, name, version string, size int64) AppFile {
	return AppFile{ID: id, Name: name, Version: version, File: "/home/ann/Apps/" + id + "-" + version + ".bundle", Size: size, Trust: trust.Unsigned, Default: true}
}

// shelf is a library of three applications, one of them in two versions, and a file that is none.
func shelf() Library {
	old := appFile("org.example.Meadow", "Meadow", "1.0", 100)
	old.Default = false
	return Library{Loaded: true, Now: noon, Apps: GroupApps([]AppFile{
		old,
		appFile("org.example.Tidepool", "tidepool", "0.9", 5000),
		appFile("org.example.Meadow", "Meadow", "2.0", 200),
		appFile("org.example.Echo", "Écho", "3", 1000),
		{File: "/home/ann/Apps/half.bundle", Err: bundle.ErrTruncated, Incomplete: true, Size: 7},
	})}
}

func titles(v LibraryView) string {
	var out []string
	for _, r := range v.Rows {
		out = append(out, r.Title)
	}
	return strings.Join(out, " ")
}

func TestLibraryPages(t *testing.T) {
	for _, c := range []struct {
		name string
		l    Library
		page LibraryPage
	}{
		{"before it is read", Library{}, LibraryLoading},
		{"nothing", Library{Loaded: true}, LibraryEmpty},
		{"an error", Library{Loaded: true, Err: errors.New("no")}, LibraryProblem},
		{"applications", shelf(), LibraryList},
	} {
		v := c.l.View()
		if v.Page != c.page {
			t.Errorf("%s: page %v, want %v", c.name, v.Page, c.page)
		}
		if c.page != LibraryList && c.page != LibraryLoading && (v.Title == "" || v.Text == "") {
			t.Errorf("%s: the page says nothing: %+v", c.name, v)
		}
	}
	l := shelf()
	l.Query = "nothing has this"
	if v := l.View(); v.Page != LibraryNothingFound || !v.Search {
		t.Errorf("finding nothing shows %+v", v)
	}
}

func TestLibraryOrder(t *testing.T) {
	l := shelf()
	l.Running = map[string]bool{"org.example.Echo": true}
	l.Used = map[string]time.Time{"org.example.Meadow": noon.Add(-time.Hour)}
	for sort, want := range map[LibrarySort]string{
		SortByName:    "Écho half.bundle Meadow tidepool",
		SortBySize:    "tidepool Écho Meadow half.bundle",
		SortByLastUse: "Écho Meadow half.bundle tidepool",
	} {
		l.Sort = sort
		if got := titles(l.View()); got != want {
			t.Errorf("by %s: %s, want %s", sort, got, want)
		}
	}
	l.Sort, l.Query = SortByName, "example ME"
	if got := titles(l.View()); got != "Meadow" {
		t.Errorf("searching for words of id and name finds %s", got)
	}
}

func TestLibraryRow(t *testing.T) {
	l := shelf()
	l.Running = map[string]bool{"org.example.Echo": true}
	l.Used = map[string]time.Time{"org.example.Meadow": noon.AddDate(0, 0, -1)}
	rows := map[string]LibraryRow{}
	for _, r := range l.View().Rows {
		rows[r.Key] = r
	}
	plain := func(s string) string { return strings.ReplaceAll(s, "\u00a0", " ") }
	meadow := rows["org.example.Meadow"]
	if got, want := plain(meadow.Text), "2.0 · 300 bytes · 2 versions · Used yesterday"; got != want {
		t.Errorf("the row says %q, want %q", got, want)
	}
	if want := "Meadow, 2.0, 300 bytes, 2 versions, Used yesterday"; meadow.Spoken != want {
		t.Errorf("the row is read as %q, want %q", meadow.Spoken, want)
	}
	// That one of several versions is not used is seen before the details are opened.
	other := appFile("org.example.Meadow", "Meadow", "3.0", 300)
	other.Default, other.Trust = false, trust.Changed
	mixed := Library{Loaded: true, Now: noon, Apps: GroupApps([]AppFile{appFile("org.example.Meadow", "Meadow", "2.0", 200), other})}
	if r := mixed.View().Rows[0]; !strings.Contains(plain(r.Text), "2 versions · 1 not used") || r.Fault != "" || !strings.HasPrefix(r.Spoken, "Meadow, 2.0") {
		t.Errorf("with a version that is not used the row says %+v", r)
	}
	if !strings.HasSuffix(meadow.File, "Meadow-2.0.bundle") {
		t.Errorf("the row is of %s, not of the version in use", meadow.File)
	}
	echo := rows["org.example.Echo"]
	if !echo.Running || !strings.Contains(echo.Spoken, "Running") || strings.Contains(echo.Text, "Used") {
		t.Errorf("what runs is shown as %+v", echo)
	}
	half := rows["/home/ann/Apps/half.bundle"]
	if half.Fault == "" || !strings.Contains(half.Spoken, half.Fault) {
		t.Errorf("what cannot be used is shown as %+v", half)
	}
}

func TestLastUse(t *testing.T) {
	for ago, want := range map[time.Duration]string{
		-time.Hour: "Used today", 0: "Used today", 11 * time.Hour: "Used today", 13 * time.Hour: "Used yesterday", 3 * 24 * time.Hour: "Used 3 days ago",
		15 * 24 * time.Hour: "Used 2 weeks ago", 70 * 24 * time.Hour: "Used 2 months ago", 800 * 24 * time.Hour: "Used 2 years ago",
	} {
		if got := lastUse(noon, noon.Add(-ago)); got != want {
			t.Errorf("%v ago: %q, want %q", ago, got, want)
		}
	}
	if got := lastUse(noon, time.Time{}); got != "" {
		t.Errorf("of what nobody knows it says %q", got)
	}
}

func TestLibraryFaults(t *testing.T) {
	for name, f := range map[string]AppFile{
		"damaged":    {Trust: trust.Damaged},
		"truncated":  {Err: bundle.ErrTruncated},
		"arch":       {Err: fmt.Errorf("x: %w", bundle.ErrArch)},
		"newer":      {Err: bundle.ErrVersion},
		"changed":    {Trust: trust.Changed, Fingerprint: "SHA256:x"},
		"unsigned":   {Trust: trust.Changed},
		"incomplete": {Err: bundle.ErrTruncated, Incomplete: true},
		"other":      {Err: errors.New("odd")},
	} {
		f.File, f.ID, f.Name = "/home/ann/Apps/x.bundle", "org.example.X", "X"
		l := Library{Loaded: true, Now: noon, Apps: GroupApps([]AppFile{f})}
		v := l.Details(l.Apps[0], AppFacts{})
		if v.CanOpen || v.Fault.Title == "" || v.Fault.Text == "" || len(v.FaultActions) == 0 {
			t.Errorf("%s: no reason or nothing to do: %+v", name, v)
		}
		keys := map[string]bool{}
		for _, b := range v.FaultActions {
			if b.Default {
				t.Errorf("%s: Enter alone does %s", name, b.Label)
			}
			_, key, _ := strings.Cut(strings.ToLower(b.Label), "_")
			if key = key[:1]; keys[key] {
				t.Errorf("%s: two buttons have the key %q", name, key)
			}
			keys[key] = true
		}
		if slices.ContainsFunc(v.Facts, func(r Row) bool { return r.Title == v.Fault.Title }) {
			t.Errorf("%s: %q is said twice", name, v.Fault.Title)
		}
		f.ID = ""
		nameless := Library{Loaded: true, Now: noon, Apps: GroupApps([]AppFile{f})}
		if none := nameless.Details(nameless.Apps[0], AppFacts{}); !v.CanUninstall || none.CanUninstall != none.CanOpen || none.DataText != "" {
			t.Errorf("%s: can be uninstalled: %v; without an id: %+v", name, v.CanUninstall, none)
		}
		trustable := slices.ContainsFunc(v.FaultActions, func(b Button) bool { return b.Action == ActTrust })
		if want := f.Trust == trust.Changed; trustable != want {
			t.Errorf("%s: can be accepted: %v", name, trustable)
		}
	}
}

func TestDetails(t *testing.T) {
	l := shelf()
	meadow, _ := l.App("org.example.Meadow")
	facts := AppFacts{File: meadow.Current().File, Loaded: true, Summary: "Notes", Developer: "Ann", Adds: &Adds{Commands: []string{"meadow", "meadow-tool"}}, Data: []DataFolder{{DataFiles, "/home/ann/.local/share/org.example.Meadow", "~/.local/share/org.example.Meadow", 2000, false}}}
	v := l.Details(meadow, facts)
	if v.Summary != "Notes" || !strings.Contains(v.Byline, "Ann") || len(v.Data) != 1 || !v.CanOpen || !v.CanUninstall {
		t.Errorf("the page shows %+v", v)
	}
	if len(v.Versions) != 2 || !v.Versions[0].Used || v.Versions[0].Version != "" || v.Versions[1].Version != "1.0" || v.Versions[1].Used {
		t.Errorf("versions %+v; the newest is chosen as \"\"", v.Versions)
	}
	if len(v.Adds) != 1 || v.Adds[0].Text != "meadow, meadow-tool" {
		t.Errorf("adds %+v", v.Adds)
	}
	facts.File = "another"
	if v := l.Details(meadow, facts); v.Summary != "" || v.Data != nil {
		t.Errorf("facts of another file are shown: %+v", v)
	}
	hostile := appFile("org.example.X", "a\u202e\nb<b>"+strings.Repeat("x", 500), "1", 1)
	if title := GroupApps([]AppFile{hostile})[0].Title(); strings.ContainsAny(title, "\u202e\n") || len([]rune(title)) > maxName {
		t.Errorf("a hostile name is shown as %q", title)
	}
}

func TestAskUninstall(t *testing.T) {
	l := shelf()
	meadow, _ := l.App("org.example.Meadow")
	facts := AppFacts{Data: []DataFolder{{DataSettings, "/c", "~/.config/org.example.Meadow", 2000, false}}}
	all := l.AskUninstall(meadow, "", facts)
	if len(all.Files) != 2 || !all.CanDelete || !strings.Contains(all.DataLabel, "2.0") || !strings.Contains(all.Heading, "Meadow") {
		t.Errorf("of the application: %+v", all)
	}
	one := l.AskUninstall(meadow, meadow.Files[1].File, facts)
	if len(one.Files) != 1 || one.CanDelete || one.Data != nil || !strings.Contains(one.Heading, "1.0") {
		t.Errorf("of a version while others stay: %+v", one)
	}
	l.Running = map[string]bool{"org.example.Meadow": true}
	if q := l.AskUninstall(meadow, "", facts); q.CanDelete || q.DataWarning == "" {
		t.Errorf("data of a running application can be moved: %+v", q)
	}
	l.Running = nil
	shared := facts
	shared.Elsewhere = true
	if q := l.AskUninstall(meadow, "", shared); q.DataWarning == "" || !q.CanDelete {
		t.Errorf("nothing is said of another installation: %+v", q)
	}
	meadow.Files[1].System = true
	if q := l.AskUninstall(meadow, "", facts); len(q.Files) != 1 || q.CanDelete {
		t.Errorf("while one for all users stays: %+v", q)
	}
}

func TestOpened(t *testing.T) {
	unsigned := Standing{Readable: true, Trust: trust.Unsigned, Version: "2"}
	same, verified, changed, update := unsigned, unsigned, unsigned, unsigned
	same.Same, same.Newest = true, "2"
	verified.Trust = trust.Verified
	changed.Trust = trust.Changed
	update.Newest = "1"
	older := update
	older.Newest = "3"
	for _, c := range []struct {
		wish string
		s    Standing
		want OnOpen
	}{
		{"window", same, OpenWindow},
		{"run", unsigned, OpenWindow}, {"run", same, OpenRun}, {"run", verified, OpenRun}, {"run", changed, OpenWindow}, {"run", Standing{}, OpenWindow},
		{"install", unsigned, OpenInstall}, {"install", update, OpenInstall}, {"install", older, OpenWindow}, {"install", same, OpenWindow},
		{"install", changed, OpenWindow}, {"install", Standing{}, OpenWindow}, {"nonsense", same, OpenWindow},
	} {
		if got := Opened(c.wish, c.s); got != c.want {
			t.Errorf("%s, %+v: %v, want %v", c.wish, c.s, got, c.want)
		}
	}
}

func TestStorageView(t *testing.T) {
	s := Storage{Ready: true, Facts: StorageFacts{Free: 1}}
	for i := range 9 {
		s.Facts.Apps = append(s.Facts.Apps, StorageApp{Key: fmt.Sprint(i), Title: fmt.Sprint("App", i), Disk: int64(i) * 1000, Content: 2000, Shared: 1000})
	}
	s.Facts.Groups = []StorageGroup{{Keys: []string{"1", "2", "3", "4", "5", "6"}, Size: 5000, Files: 3, Example: "libx.so"}}
	v := s.View()
	sum := 0.0
	for _, p := range v.Parts {
		sum += p.Fraction
	}
	if len(v.Parts) != StorageColors+1 || sum < 0.999 || sum > 1.001 {
		t.Errorf("the parts are not the whole: %+v", v.Parts)
	}
	if r := v.Rows[0]; r.Title != "App8" || r.Length != 1 || r.Shared != 0.5 || !strings.Contains(r.Text, "50 %") {
		t.Errorf("the largest is shown as %+v", r)
	}
	if !strings.Contains(v.Spoken, "App8 22 %") || !strings.Contains(v.Spoken, "others") {
		t.Errorf("in words: %s", v.Spoken)
	}
	if r := v.Groups[0]; !strings.Contains(r.Title, "and 2 more") || !strings.Contains(r.Text, "libx.so and 2 more files") {
		t.Errorf("a group is shown as %+v", r)
	}
	if v := (Storage{Ready: true}).View(); len(v.Parts) != 0 || v.Title == "" {
		t.Errorf("nothing is shown as %+v", v)
	}
	if v := (Storage{Done: 1, Total: 4}).View(); v.Ready || v.Fraction != 0.25 {
		t.Errorf("measuring is shown as %+v", v)
	}
}
