// SPDX-License-Identifier: MIT

package state

import (
	"strconv"
	"strings"
	"time"

	"glick.org/glick/bundle"
	"glick.org/glick/gui/tr"
	"glick.org/glick/xdgexport/apps/trust"
)

// AppFacts is what has to be read from files to tell about an application.
type AppFacts struct {
	File    string // which bundle file they are of
	Loaded  bool
	Summary string

	Developer, License string
	Prefix, Arch       string
	Slices             int
	Unpacked           int64     // of all contents, in bytes
	Adds               *Adds     // nil when not known
	Excepted           bool      // also what is switched off is shown of it
	Since              time.Time // when the id was seen first; zero when not known
	Data               []DataFolder
	// Elsewhere says that the application is installed in another way as well, and uses the same data.
	Elsewhere bool
}

// DataKind is what a folder of data is for.
type DataKind int

// The kinds.
const (
	DataSettings DataKind = iota
	DataFiles
	DataCache
)

// DataFolder is a folder of an application's data.
type DataFolder struct {
	Kind  DataKind
	Path  string // absolute
	Shown string // the path as people write it, with ~
	Size  int64  // of the files in it, in bytes
	More  bool   // there is more: counting was given up
}

// DetailsView is what the page of an application shows.
type DetailsView struct {
	Title, Summary, Byline string
	Running                bool
	Fault                  Row      // why it cannot be used; empty title when it can
	FaultActions           []Button // what can be done about it
	CanOpen                bool
	CanUninstall           bool
	Versions               []VersionRow // empty when there is but one, and nothing to choose
	Facts                  []Row
	Adds                   []Row
	CanExcept, Excepted    bool // of Adds the row "off" is a switch, which is on
	Data                   []DataRow
	DataText               string // under the heading
	Details                []Detail
}

// VersionRow is one version of several.
type VersionRow struct {
	File, Version string // what choosing it needs; the empty version is the newest
	Title, Text   string
	Used          bool
	CanChoose     bool
	CanRemove     bool
	Fault         bool
}

// DataRow is a folder of data as shown.
type DataRow struct{ Title, Text, Path string }

// Actions for files that cannot be used.
const (
	ActTrust    Action = 1000 + iota // accept the signature as it is
	ActDiscard                       // move the file to the Trash
	ActOpenFile                      // open the bundle window
)

// Details is what to show for an application. facts may be of another file, or not loaded yet: then what they tell is left out.
func (l Library) Details(a App, facts AppFacts) DetailsView {
	f := a.Current()
	if facts.File != f.File {
		facts = AppFacts{}
	}
	v := DetailsView{
		Title: a.Title(), Summary: Clean(facts.Summary, maxSummary), Running: l.Running[a.Key],
		CanOpen: a.Usable(),
		// What is no bundle was never installed: it can only be moved to the Trash.
		CanUninstall: len(a.Own()) > 0 && (a.Usable() || f.ID != ""),
	}
	var by []string
	if version := Clean(f.Version, maxSmall); version != "" {
		by = append(by, tr.F("Version {version}", "version", version))
	}
	if developer := Clean(facts.Developer, maxSmall); developer != "" {
		by = append(by, tr.F("by {developer}", "developer", developer))
	}
	if f.Size > 0 {
		by = append(by, Size(f.Size))
	}
	v.Byline = joinFacts(by)
	v.Fault, v.FaultActions = f.faultRow()
	if len(a.Files) > 1 {
		newest := a.newest()
		for _, f := range a.Files {
			v.Versions = append(v.Versions, versionRow(a, f, newest))
		}
	}
	v.Facts = l.facts(a, facts)
	v.Adds = Model{Adds: facts.Adds}.addsRows()
	if a.Usable() {
		v.offerException(facts)
	}
	if f.ID != "" {
		v.Data, v.DataText = dataRows(facts)
	}
	v.Details = fileDetails(f, facts)
	return v
}

// newest is the newest version that can be used.
func (a App) newest() string {
	newest := ""
	for _, f := range a.Files {
		if f.usable() && bundle.CompareVersions(f.Version, newest) > 0 {
			newest = f.Version
		}
	}
	return newest
}

func versionRow(a App, f AppFile, newest string) VersionRow {
	r := VersionRow{
		File: f.File, Version: f.Version, Title: Clean(f.Version, maxSmall), Used: f.usable() && f.File == a.Current().File,
		CanChoose: f.usable(), CanRemove: !f.System, Fault: !f.usable(),
	}
	if r.Title == "" {
		r.Title = tr.T("Without a version")
	}
	if f.Version == newest {
		r.Version = "" // so that later versions are used as they come
	}
	var parts []string
	switch {
	case r.Fault:
		parts = append(parts, f.fault())
	case r.Used:
		parts = append(parts, tr.T("In use"))
	}
	parts = append(parts, Size(f.Size))
	if f.System {
		parts = append(parts, tr.T("for all users"))
	}
	r.Text = joinFacts(append(parts, fileName(f.File)))
	return r
}

// faultRow says why a file cannot be used and offers what can be done.
func (f AppFile) faultRow() (Row, []Button) {
	if f.usable() {
		return Row{}, nil
	}
	r := Row{ID: "fault", Icon: "dialog-warning-symbolic", Title: f.fault(), Tone: Bad}
	open := Button{Action: ActOpenFile, Label: tr.T("Open _Its Window"), Enabled: true}
	discard := Button{Action: ActDiscard, Label: tr.T("Move to _Trash"), Enabled: !f.System, Style: Destructive}
	switch {
	case f.Incomplete:
		r.Tone = Warning
		r.Text = tr.T("It is still being copied or downloaded, or that was interrupted. Wait until it is finished, or get the file again.")
		return r, []Button{discard}
	case f.Trust == trust.Changed && f.Fingerprint == "":
		r.Text = tr.T("Earlier versions were signed, this file is not. Somebody else may have made it. Ask its maker before you use it.")
		return r, []Button{discard, {Action: ActTrust, Label: tr.T("_Use Anyway…"), Enabled: true}}
	case f.Trust == trust.Changed:
		r.Text = tr.T("This version has another signature than the one that you had. Its maker may have a new key, or somebody else made it. Ask before you use it.")
		return r, []Button{discard, {Action: ActTrust, Label: tr.T("Trust New _Signature…"), Enabled: true}}
	}
	if f.Whole {
		r.Text = tr.F("{text} None of the applications in this folder is used.", "text", causeOf(f.Err, f.File).Advice)
		return r, nil
	}
	if f.Err != nil {
		r.Text = causeOf(f.Err, f.File).Advice
	} else {
		r.Text = tr.F("The content of “{file}” is not what its maker put in. Download it again.", "file", fileName(f.File))
	}
	if f.System {
		r.Text = tr.F("{text} It is for all users of this computer: whoever looks after it can replace it.", "text", r.Text)
	}
	return r, []Button{discard, open}
}

// facts are whose it is, where it is from and when it was used.
func (l Library) facts(a App, facts AppFacts) []Row {
	f := a.Current()
	var rows []Row
	if f.usable() { // otherwise the row above says what is wrong
		rows = append(rows, f.trustRow(facts.Since))
	}
	if f.Origin != "" {
		rows = append(rows, originRow(f.Origin))
	}
	used := Row{ID: "used", Icon: "document-open-recent-symbolic", Title: tr.T("Last use")}
	switch {
	case l.Running[a.Key]:
		used.Title, used.Text, used.Tone = tr.T("Running"), tr.T("It is open now."), Good
	default:
		used.Title = lastUse(l.Now, l.Used[a.Key])
	}
	if used.Title != "" {
		rows = append(rows, used)
	}
	if license := Clean(facts.License, maxSmall); license != "" {
		rows = append(rows, Row{ID: "license", Icon: "text-x-generic-symbolic", Title: tr.T("License"), Text: license})
	}
	file := Row{ID: "file", Icon: "folder-symbolic", Title: fileName(f.File), Text: tr.T("In your applications folder")}
	switch {
	case f.Folder != "":
		file.Text = tr.F("In {folder}", "folder", Clean(f.Folder, 300))
	case f.Whole:
		file.Text = tr.T("A folder that you have added")
	case f.System:
		file.Text = tr.T("For all users of this computer, by whoever looks after it")
	}
	return append(rows, file)
}

// trustRow says who made it, in the words of the bundle window.
func (f AppFile) trustRow(since time.Time) Row {
	key := trust.Key{Fingerprint: f.Fingerprint, Comment: f.Signer}
	return Model{Related: true, Identity: Identity{Name: f.title()}, Trust: Trust{State: f.Trust, Key: key, Since: since}}.trustRow()
}

func (d DataFolder) title() string {
	switch d.Kind {
	case DataSettings:
		return tr.T("Settings")
	case DataCache:
		return tr.T("Cache")
	default:
		return tr.T("Data")
	}
}

func (d DataFolder) size() string {
	if d.More {
		return tr.F("more than {size}", "size", Size(d.Size))
	}
	return Size(d.Size)
}

func dataRows(facts AppFacts) ([]DataRow, string) {
	if !facts.Loaded {
		return nil, ""
	}
	var rows []DataRow
	for _, d := range facts.Data {
		rows = append(rows, DataRow{Title: tr.F("{kind} · {size}", "kind", d.title(), "size", d.size()), Text: Clean(d.Shown, 300), Path: d.Path})
	}
	if len(rows) == 0 {
		return nil, tr.T("It has no folder of its own in your settings and data.")
	}
	return rows, ""
}

// fileDetails are for experts.
func fileDetails(f AppFile, facts AppFacts) []Detail {
	var d []Detail
	add := func(name, value string) {
		if value = Clean(value, 300); value != "" {
			d = append(d, Detail{Name: name, Value: value})
		}
	}
	add(tr.T("Id"), f.ID)
	add(tr.T("File"), f.File)
	add(tr.T("Identity"), f.Digest)
	add(tr.T("Key"), f.Fingerprint)
	add(tr.T("Processor"), facts.Arch)
	add(tr.T("Appears at"), facts.Prefix)
	if facts.Unpacked > 0 {
		add(tr.T("Content"), tr.N("{size} in {n} slice", "{size} in {n} slices", facts.Slices, "size", Size(facts.Unpacked), "n", itoa(facts.Slices)))
	}
	if f.Err != nil {
		add(tr.T("Error"), f.Err.Error())
	}
	return d
}

// itoa writes a number as people read it; there is nothing to translate below a thousand.
func itoa(n int) string { return strconv.Itoa(n) }

// UninstallQuestion is what is asked before an application, or one version of it, is removed.
type UninstallQuestion struct {
	Heading, Body string
	Files         []string     // the bundle files that go
	Data          []DataFolder // that may go too
	DataLabel     string       // of the choice
	DataText      string       // which folders these are, one a line
	DataWarning   string       // what speaks against it; may be empty
	CanDelete     bool
	name          string
}

// AskUninstall makes the question. file is one version, or empty for all that are the user's own.
func (l Library) AskUninstall(a App, file string, facts AppFacts) UninstallQuestion {
	q := UninstallQuestion{name: a.Title()}
	left := 0
	for _, f := range a.Files {
		if f.System || file != "" && f.File != file {
			left++
			continue
		}
		q.Files = append(q.Files, f.File)
	}
	q.Heading = tr.F("Uninstall {name}?", "name", q.name)
	if file != "" && left > 0 {
		version := ""
		for _, f := range a.Files {
			if f.File == file {
				version = Clean(f.Version, maxSmall)
			}
		}
		q.Heading = tr.F("Uninstall {name} {version}?", "name", q.name, "version", version)
		q.Body = tr.T("The other versions and your data stay.")
		return q
	}
	switch {
	case left > 0:
		q.Body = tr.T("Your own version is removed. The one for all users of this computer stays, and so does your data.")
		return q
	case len(q.Files) > 1:
		q.Body = tr.N("Its {n} version and its menu entry are removed. Documents that you made with it stay.",
			"Its {n} versions and its menu entry are removed. Documents that you made with it stay.", len(q.Files), "n", itoa(len(q.Files)))
	default:
		q.Body = tr.T("The application and its menu entry are removed. Documents that you made with it stay.")
	}
	q.Data = facts.Data
	var size int64
	var lines []string
	for _, d := range q.Data {
		size += d.Size
		lines = append(lines, tr.F("{path} ({size})", "path", Clean(d.Shown, 300), "size", d.size()))
	}
	switch {
	case len(q.Data) == 0:
		return q
	case l.Running[a.Key]:
		q.DataWarning = tr.T("It is running: close it first to move its data to the Trash as well.")
	case facts.Elsewhere:
		q.DataWarning = tr.T("The same application is also installed in another way, and uses these folders too.")
		q.CanDelete = true
	default:
		q.CanDelete = true
	}
	q.DataLabel = tr.F("Also move its data to the _Trash ({size})", "size", Size(size))
	q.DataText = strings.Join(lines, "\n")
	return q
}

// Done says what was done, for the toast that offers to undo it.
func (q UninstallQuestion) Done(withData bool) string {
	if withData {
		return tr.F("{name} uninstalled, its data is in the Trash", "name", q.name)
	}
	return tr.F("{name} uninstalled", "name", q.name)
}

// TrustQuestion is what is asked before a changed signature is accepted.
type TrustQuestion struct{ Heading, Body, Detail, Accept string }

// AskTrust makes the question for a file that is trust.Changed.
func AskTrust(f AppFile) TrustQuestion {
	q := TrustQuestion{
		Heading: tr.F("Trust the New Signature of {name}?", "name", f.title()),
		Body:    tr.T("Whoever signed this version will be able to update the application, and it can read and change your files. Trust it only if you know from its maker that the key has changed."),
		Detail:  f.Fingerprint,
		Accept:  tr.T("_Trust"),
	}
	if f.Fingerprint == "" {
		q.Heading = tr.F("Use {name} Without a Signature?", "name", f.title())
		q.Body = tr.T("Nobody can tell who made this file. It can read and change your files. Use it only if you know where it comes from.")
		q.Accept = tr.T("_Use Anyway")
	}
	return q
}
