// SPDX-License-Identifier: MIT

package state

import (
	"path/filepath"

	"glick.org/glick/gui/tr"
	"glick.org/glick/xdgexport/apps/trust"
)

// View is what the bundle window shows, word for word.
type View struct {
	Title   string // of the window
	Page    Page
	Problem Cause // for ProblemPage

	Name, Summary, Byline string
	Hint                  string // under the drag scene
	Scene                 bool   // the folder is shown: the bundle could go there, on this computer
	CanDrag               bool
	InPlace               bool // the application is in the folder already
	Rows                  []Row
	Source                *Source // what becomes of the file when it is installed; nil when that is no question
	About                 []Block // the description
	Adds                  []Row   // what installing shows to the desktop
	Links                 []ShownLink
	License               string
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

// Source says what becomes of the file. Keep is the position of a switch, which is there when CanChoose is set.
type Source struct {
	Title, Text     string
	Keep, CanChoose bool
}

// ShownLink is a link as it is shown. Kind is AppStream's word.
type ShownLink struct{ Kind, Title, Host, URL string }

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
	Amount   string  // how far it is in bytes, and how fast; may be empty
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
		Scene:    !m.lacks(LackFormat) && !m.lacks(LackArchitecture),
		CanDrag:  m.dropAction() != NoAction,
		InPlace:  rel == SameInstalled,
		Rows:     m.rows(),
		Source:   m.source(),
		About:    m.about(),
		Adds:     m.addsRows(),
		Links:    m.links(),
		License:  m.license(),
		Details:  m.details(),
		Buttons:  m.buttons(),
		Progress: m.progress(),
	}
}

func (m Model) byline() string {
	version, developer := Clean(m.Identity.Version, maxSmall), Clean(m.Identity.Developer, maxSmall)
	switch {
	case version != "" && developer != "":
		return tr.F("Version {version} · {developer}", "version", version, "developer", developer)
	case version != "":
		return tr.F("Version {version}", "version", version)
	}
	return developer
}

func (m Model) hint() string {
	if m.Gone {
		return tr.F("{name} is uninstalled. Undo brings it back.", "name", m.name())
	}
	if !m.trusted() {
		return "" // it can be done, but nobody is told to
	}
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

// buttons are what can be done, the default one last. What is not trusted has no default: Enter alone does nothing then.
func (m Model) buttons() []Button {
	switch {
	case m.Phase != Ready:
		return nil
	case m.Gone, m.lacks(LackFormat):
		return []Button{{Action: Close, Label: tr.T("_Close"), Enabled: m.Task == Idle, Default: true}}
	}
	rel, installed := m.Relation()
	// While the application starts there is no reason to wait with installing it.
	can := m.installable() && (m.Task == Idle || m.Task == Starting)
	open := Button{Action: Open, Label: tr.T("_Open"), Enabled: m.startable() && m.Task == Idle}
	var bs []Button
	switch rel {
	case NotInstalled:
		bs = []Button{open, {Action: Install, Label: tr.T("_Install"), Enabled: can}}
	case SameInstalled:
		uninstall := Button{Action: Uninstall, Label: tr.T("_Uninstall"), Enabled: m.Related && m.Task == Idle && !installed.System, Style: Destructive}
		bs = []Button{uninstall, open}
	case NewerInstalled:
		bs = []Button{open, {Action: Downgrade, Label: tr.T("_Downgrade"), Enabled: can}, {Action: KeepBoth, Label: tr.T("_Keep Both"), Enabled: can}}
	default:
		bs = []Button{open, {Action: KeepBoth, Label: tr.T("_Keep Both"), Enabled: can}, {Action: Update, Label: tr.T("_Update"), Enabled: can}}
	}
	if m.trusted() {
		bs[len(bs)-1].Default, bs[len(bs)-1].Style = true, Suggested
	}
	return bs
}

// trusted says whether nothing speaks against the bundle.
func (m Model) trusted() bool { return m.Trust.State != trust.Changed && !m.damaged() }

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
		m.copying(&p, tr.T("Installing {name}…"))
	case Updating:
		m.copying(&p, tr.T("Updating {name}…"))
	}
	return &p
}

// copying fills in the progress of a task that copies and checks the file.
func (m Model) copying(p *Progress, text string) {
	p.Cancel, p.Enabled = true, !m.Cancelling
	if m.Cancelling {
		p.Text = tr.T("Cancelling…")
		return
	}
	if p.Text = tr.Fill(text, "name", m.name()); m.Total > 0 {
		p.Fraction = min(1, max(0, float64(m.Done)/float64(m.Total)))
		p.Amount = amount(m.Done, m.Total, m.speed)
	}
}

// amount says how far copying or checking a file of total bytes is, and how fast.
func amount(done, total int64, s speed) string {
	if done <= 0 || total <= 0 {
		return ""
	}
	text, done := tr.T("Copying: {done} of {total}"), 2*done
	if copied(done/2, total) {
		text, done = tr.T("Checking: {done} of {total}"), done-total
	}
	text = tr.Fill(text, "done", Size(min(done, total)), "total", Size(total))
	if s.rate >= 1 {
		// Translators: how far it is, and bytes a second, such as "12.0 MB/s".
		text = tr.F("{amount} · {rate}/s", "amount", text, "rate", Size(int64(s.rate)))
	}
	return text
}
