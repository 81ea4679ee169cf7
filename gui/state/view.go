// SPDX-License-Identifier: MIT

package state

import (
	"net/url"
	"path/filepath"
	"strings"

	"glick.org/glick/gui/tr"
)

// View is what the bundle window shows, word for word.
type View struct {
	Title   string // of the window
	Page    Page
	Problem Cause // for ProblemPage

	Name, Summary, Byline string
	Hint                  string // under the drag scene
	CanDrag               bool
	InPlace               bool // the application is in the folder already
	Rows                  []Row
	Details               []Detail // for experts, folded away
	Buttons               []Button // the default one last
	Progress              *Progress
}

// Page is which of the window's pages is shown.
type Page int

// The pages.
const (
	LoadingPage Page = iota
	BundlePage
	ProblemPage
)

// Row is one fact: a short sentence and what it means.
type Row struct {
	ID    string // stays the same while the words change
	Icon  string
	Title string
	Text  string // may be empty
	Tone  Tone
	Busy  bool // still being found out
}

// Tone is how a row is meant.
type Tone int

// The tones.
const (
	Plain Tone = iota
	Good
	Warning
	Bad
)

// Detail is a name and a value.
type Detail struct{ Name, Value string }

// Button is a button of the window's bottom.
type Button struct {
	Action  Action
	Label   string // with an underscore before the mnemonic
	Enabled bool
	Default bool // Enter presses it, and it has the focus at first
	Style   Style
}

// Style is how a button looks.
type Style int

// The styles.
const (
	Normal Style = iota
	Suggested
	Destructive
)

// Progress is how far a task is.
type Progress struct {
	Text     string
	Fraction float64 // 0 … 1; negative when not known
	Cancel   bool    // there is a Cancel button
	Enabled  bool    // and it can be pressed
}

// How much of a text of the file is shown. A metainfo summary is at most 35 words or so; a hostile one is anything.
const (
	maxName    = 120
	maxSummary = 200
	maxSmall   = 60
)

// name is the application's name, or what comes nearest.
func (m Model) name() string {
	for _, s := range []string{m.Identity.Name, m.Identity.ID, filepath.Base(m.File)} {
		if s = Clean(s, maxName); s != "" {
			return s
		}
	}
	return tr.T("Application")
}

// View is what to show for m.
func (m Model) View() View {
	switch m.Phase {
	case Refused:
		return View{Title: Clean(filepath.Base(m.File), maxName), Page: ProblemPage, Problem: m.Cause,
			Buttons: []Button{{Action: Close, Label: tr.T("_Close"), Enabled: true, Default: true}}}
	case Loading:
		return View{Title: Clean(filepath.Base(m.File), maxName), Page: LoadingPage}
	}
	rel, _ := m.Relation()
	return View{
		Title:    m.name(),
		Page:     BundlePage,
		Name:     m.name(),
		Summary:  Clean(m.Identity.Summary, maxSummary),
		Byline:   m.byline(),
		Hint:     m.hint(),
		CanDrag:  m.dropAction() != NoAction,
		InPlace:  rel == SameInstalled,
		Rows:     m.rows(),
		Details:  m.details(),
		Buttons:  m.buttons(),
		Progress: m.progress(),
	}
}

func (m Model) byline() string {
	version, developer := Clean(m.Identity.Version, maxSmall), Clean(m.Identity.Developer, maxSmall)
	switch {
	case version != "" && developer != "":
		return tr.F("Version {version} · by {developer}", "version", version, "developer", developer)
	case version != "":
		return tr.F("Version {version}", "version", version)
	case developer != "":
		return tr.F("By {developer}", "developer", developer)
	}
	return ""
}

func (m Model) hint() string {
	switch m.dropAction() {
	case Install:
		return tr.T("Drag the icon onto Applications, or press Install.")
	case Update:
		return tr.T("Drag the icon onto Applications, or press Update.")
	case KeepBoth:
		return tr.T("Drag the icon onto Applications, or press Keep Both.")
	}
	return ""
}

// buttons are what can be done, the default one last.
func (m Model) buttons() []Button {
	if m.Phase != Ready {
		return nil
	}
	rel, installed := m.Relation()
	// While the application starts there is no reason to wait with installing it.
	can := m.runnable() && (m.Task == Idle || m.Task == Starting)
	open := Button{Action: Open, Label: tr.T("_Open"), Enabled: can && m.Task == Idle}
	var bs []Button
	switch rel {
	case NotInstalled:
		bs = []Button{open, {Action: Install, Label: tr.T("_Install"), Enabled: can, Style: Suggested}}
	case SameInstalled:
		open.Style = Suggested
		uninstall := Button{Action: Uninstall, Label: tr.T("_Uninstall"), Enabled: m.Task == Idle && !installed.System, Style: Destructive}
		bs = []Button{uninstall, open}
	case NewerInstalled:
		bs = []Button{open, {Action: Downgrade, Label: tr.T("_Downgrade"), Enabled: can},
			{Action: KeepBoth, Label: tr.T("_Keep Both"), Enabled: can, Style: Suggested}}
	default:
		bs = []Button{open, {Action: KeepBoth, Label: tr.T("_Keep Both"), Enabled: can},
			{Action: Update, Label: tr.T("_Update"), Enabled: can, Style: Suggested}}
	}
	bs[len(bs)-1].Default = true
	return bs
}

func (m Model) progress() *Progress {
	p := Progress{Fraction: -1}
	switch m.Task {
	case Idle:
		return nil
	case Starting:
		p.Text = tr.F("Starting {name}…", "name", m.name())
	case Uninstalling:
		p.Text = tr.F("Uninstalling {name}…", "name", m.name())
	case Undoing:
		p.Text = tr.T("Undoing…")
	case Installing:
		m.copying(&p, tr.T("Installing {name}…"), tr.T("Installing {name}: {done} of {total}"))
	case Updating:
		m.copying(&p, tr.T("Updating {name}…"), tr.T("Updating {name}: {done} of {total}"))
	}
	return &p
}

// copying fills in the progress of a task that copies the file: begun says that it has begun, amount how far it is.
func (m Model) copying(p *Progress, begun, amount string) {
	p.Cancel, p.Enabled = true, !m.Cancelling
	if m.Cancelling {
		p.Text = tr.T("Cancelling…")
		return
	}
	if p.Text = tr.Fill(begun, "name", m.name()); m.Total > 0 {
		p.Fraction = min(1, max(0, float64(m.Done)/float64(m.Total)))
		if m.Done > 0 {
			p.Text = tr.Fill(amount, "name", m.name(), "done", Size(m.Done), "total", Size(m.Total))
		}
	}
}

// rows are the facts that help to decide, the most important first.
func (m Model) rows() []Row {
	var rows []Row
	for _, l := range m.Lacks {
		rows = append(rows, lackRow(l, m.Identity.Arch))
	}
	if r, ok := m.installedRow(); ok {
		rows = append(rows, r)
	}
	rows = append(rows, m.checkRow(), m.signatureRow(), m.sizeRow())
	if m.Identity.Origin != "" {
		rows = append(rows, originRow(m.Identity.Origin))
	}
	if _, installed := m.Relation(); installed.File == m.File {
		return rows // the row about what is installed says it
	}
	return append(rows, m.fileRow())
}

func lackRow(l Lack, arch string) Row {
	r := Row{ID: "lack", Icon: "dialog-warning-symbolic", Tone: Warning}
	switch l {
	case LackArchitecture:
		r.ID, r.Tone = "lack-architecture", Bad
		r.Title = tr.T("Made for another kind of computer")
		r.Text = tr.F("It is for {arch} processors and cannot run here. Look for a version for this computer.", "arch", Clean(arch, 20))
	case LackFUSE:
		r.ID = "lack-fuse"
		r.Title = tr.T("This computer cannot show bundles to programs")
		r.Text = tr.T("The device /dev/fuse is missing or closed to you. Installing the package “fuse3” usually mends it.")
	case LackNamespaces:
		r.ID = "lack-namespaces"
		r.Title = tr.T("User namespaces are switched off here")
		r.Text = tr.T("Without them most bundles cannot be started. Whoever looks after this computer can switch them on.")
	}
	return r
}

func (m Model) installedRow() (Row, bool) {
	rel, i := m.Relation()
	r := Row{ID: "installed", Icon: "view-app-grid-symbolic"}
	version, own := Clean(i.Version, maxSmall), Clean(m.Identity.Version, maxSmall)
	switch rel {
	case NotInstalled:
		return r, false
	case SameInstalled:
		r.Tone = Good
		r.Title = tr.T("Installed")
		r.Text = tr.F("As “{file}” in {folder}.", "file", Clean(filepath.Base(i.File), maxSmall), "folder", m.folder(i.File))
		if i.System {
			r.Text = tr.T("For all users of this computer, by whoever looks after it.")
		}
	case OlderInstalled:
		r.Title = tr.F("Installed is {old}, this file is {new}", "old", version, "new", own)
		r.Text = tr.T("Update replaces it, Keep Both puts this one beside it. Your data stays either way.")
	case NewerInstalled:
		r.Tone = Warning
		r.Title = tr.F("Installed is {old}, this file is older: {new}", "old", version, "new", own)
		r.Text = tr.T("Keep Both puts this one beside it, Downgrade replaces it. Data of the newer version may not open in the older one.")
	case OtherInstalled:
		r.Title = tr.F("Another build of version {version} is installed", "version", version)
		r.Text = tr.T("Update replaces it, Keep Both puts this one beside it. Your data stays either way.")
	}
	return r, true
}

func (m Model) checkRow() Row {
	r := Row{ID: "check"}
	switch m.Check {
	case Whole:
		r.Icon, r.Tone = "emblem-ok-symbolic", Good
		r.Title = tr.T("The file is whole")
		r.Text = tr.T("Nothing was lost or changed on the way. This does not tell who made it.")
	case Damaged:
		r.Icon, r.Tone = "dialog-error-symbolic", Bad
		r.Title = tr.T("The file is damaged")
		r.Text = tr.T("A part of it is not what its maker put in. Download it again.")
	case Checking:
		r.Icon, r.Busy = "content-loading-symbolic", true
		r.Title = tr.T("Checking the file…")
		if m.CheckTotal > 0 {
			r.Text = tr.F("{done} of {total}", "done", Size(m.CheckDone), "total", Size(m.CheckTotal))
		}
	default:
		r.Icon = "dialog-question-symbolic"
		r.Title = tr.T("Not checked")
		r.Text = tr.T("Every part is still checked when it is used.")
	}
	return r
}

func (m Model) signatureRow() Row {
	return Row{ID: "signature", Icon: "security-low-symbolic",
		Title: tr.T("Not signed"),
		Text:  tr.T("Nobody vouches for who made it. Open it only if you trust where you got it.")}
}

func (m Model) sizeRow() Row {
	r := Row{ID: "size", Icon: "drive-harddisk-symbolic", Title: tr.F("Takes {size} on disk", "size", Size(m.Identity.Size))}
	switch {
	case m.Shared > 0 && m.Identity.Unpacked > 0:
		r.Text = tr.F("Of its {unpacked} of files, {shared} are already on this computer.", "unpacked", Size(m.Identity.Unpacked), "shared", Size(m.Shared))
	case m.Identity.Unpacked > m.Identity.Size:
		r.Text = tr.F("It holds {unpacked} of files, compressed.", "unpacked", Size(m.Identity.Unpacked))
	}
	return r
}

func originRow(origin string) Row {
	r := Row{ID: "origin", Icon: "folder-download-symbolic", Text: Clean(origin, 200)}
	u, err := url.Parse(strings.TrimSpace(origin))
	if err != nil || u.Hostname() == "" {
		r.Title = tr.T("Downloaded")
		return r
	}
	u.User = nil // a password is not for the screen
	r.Text = Clean(u.String(), 200)
	r.Title = tr.F("Downloaded from {host}", "host", Clean(u.Hostname(), maxSmall))
	if u.Scheme != "https" {
		r.Tone = Warning
		r.Text = tr.F("The connection was not protected. {url}", "url", r.Text)
	}
	return r
}

func (m Model) fileRow() Row {
	r := Row{ID: "file", Icon: "text-x-generic-symbolic", Title: Clean(filepath.Base(m.File), maxName)}
	r.Text = tr.F("In {folder}.", "folder", m.folder(m.File))
	if rel, _ := m.Relation(); rel != SameInstalled && m.runnable() {
		r.Text = tr.F("In {folder}. It stays there: installing makes a copy.", "folder", m.folder(m.File))
	}
	return r
}

// folder is the name of the folder that holds file, as a person knows it.
func (m Model) folder(file string) string {
	name := Clean(filepath.Base(filepath.Dir(file)), maxSmall)
	if name == "" || name == "." {
		return "/"
	}
	return name
}

func (m Model) details() []Detail {
	var ds []Detail
	for _, d := range []Detail{
		{tr.T("Identifier"), m.Identity.ID},
		{tr.T("Licence"), m.Identity.License},
		{tr.T("Processor"), m.Identity.Arch},
		{tr.T("Digest"), m.Identity.Digest},
		{tr.T("Damage"), m.Damage},
		{tr.T("Path"), m.File},
	} {
		if d.Value = Clean(d.Value, 400); d.Value != "" {
			ds = append(ds, d)
		}
	}
	return ds
}
