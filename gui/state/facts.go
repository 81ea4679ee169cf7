// SPDX-License-Identifier: MIT

package state

import (
	"net/url"
	"path/filepath"
	"sort"
	"strings"
	"unicode/utf8"

	"glick.org/glick/bundle"
	"glick.org/glick/gui/tr"
	"glick.org/glick/xdgexport/apps/trust"
)

// rows are the facts that help to decide, the most important first.
func (m Model) rows() []Row {
	var rows []Row
	for _, l := range m.Lacks {
		rows = append(rows, m.lackRow(l))
	}
	if m.lacks(LackFormat) {
		return append(rows, m.sizeRow())
	}
	from, check := m.trustRow(), m.checkRow()
	facts := []Row{from, check}
	if r, ok := m.installedRow(); ok {
		facts = []Row{r, from, check}
	}
	// What speaks against it comes before all else.
	sort.SliceStable(facts, func(i, j int) bool { return facts[i].Tone == Bad && facts[j].Tone != Bad })
	rows = append(rows, facts...)
	if m.Identity.Origin != "" {
		rows = append(rows, originRow(m.Identity.Origin))
	}
	return append(rows, m.sizeRow())
}

func (m Model) lackRow(l Lack) Row {
	r := Row{ID: "lack-" + string(rune('a'+int(l.Kind))), Icon: "dialog-warning-symbolic", Tone: Warning}
	detail, mend := Clean(l.Detail, 200), Clean(l.Mend, 200)
	switch l.Kind {
	case LackFormat:
		r.Tone = Bad
		r.Title, r.Text = foreignText(l.Detail)
	case LackArchitecture:
		r.Tone = Bad
		r.Title = tr.T("Made for another kind of computer")
		r.Text = tr.F("It is for {arch} processors and cannot run here. Look for a version for this computer.", "arch", Clean(m.Identity.Arch, 20))
	case LackStart:
		r.Tone = Bad
		r.Title = tr.T("Bundles cannot be started on this computer")
		r.Text = joinSentences(detail, mend)
	case LackLoader:
		r.Title = tr.T("Made for another kind of system")
		r.Text = tr.F("Its program needs {file}, which this system does not have. It will probably not start.", "file", detail)
	case LackLibc:
		r.Title = tr.T("Made for a newer system")
		r.Text = tr.F("It needs version {need} of the C library, this system has {have}. It will probably not start.", "need", detail, "have", Clean(l.Here, 20))
	case LackLibraries:
		r.Title = tr.T("Something that it needs is missing here")
		r.Text = tr.F("It needs {files}, which is neither in the bundle nor on this computer. It will probably not start.", "files", detail)
	case LackNamespaces:
		r.Title = tr.T("May not work on this computer")
		r.Text = joinSentences(tr.T("User namespaces are switched off, so that it cannot have its files where it expects them."), mend)
	case LackFUSE:
		r.Icon, r.Tone = "dialog-information-symbolic", Plain
		r.Title = tr.T("Slow at its first start here")
		r.Text = joinSentences(tr.T("This computer has no FUSE, so its files are unpacked before it starts."), mend)
	}
	return r
}

// joinSentences puts the sentences that are there one after the other.
func joinSentences(sentences ...string) string {
	var out []string
	for _, s := range sentences {
		if s = strings.TrimSpace(s); s == "" {
			continue
		}
		if last, _ := utf8.DecodeLastRuneInString(s); !strings.ContainsRune(".!?…。！？", last) {
			s += "."
		}
		out = append(out, s)
	}
	return tr.Sentences(out...)
}

// foreignText is for a file of another program, of a format by package bundle's name.
func foreignText(format string) (title, text string) {
	switch format {
	case bundle.FormatAppImage1, bundle.FormatAppImage2:
		return tr.T("This is an AppImage"), tr.T("Glick can show what is in it, but not start or install it. It can start by itself.")
	case bundle.FormatGlick02, bundle.FormatGlick2:
		return tr.T("Made for an old version of Glick"), tr.T("It can be shown, but no longer started or installed. Ask its maker for a new one.")
	}
	return tr.T("This is no application bundle"), tr.T("Glick can show what is in it, but not start or install it.")
}

func (m Model) installedRow() (Row, bool) {
	rel, i := m.Relation()
	r := Row{ID: "installed", Icon: "view-app-grid-symbolic"}
	version, own := Clean(i.Version, maxSmall), Clean(m.Identity.Version, maxSmall)
	same := ""
	if m.Trust.State == trust.Verified {
		same = tr.T("It is from the same publisher.")
	}
	switch rel {
	case NotInstalled:
		return r, false
	case SameInstalled:
		r.Icon, r.Tone = "object-select-symbolic", Good
		r.Title = tr.T("Installed")
		r.Text = tr.F("As “{file}” in {folder}. Uninstalling leaves what you have made with it.", "file", Clean(filepath.Base(i.File), maxSmall), "folder", folderName(i.File))
		if i.System {
			r.Text = tr.T("For all users of this computer. Only whoever looks after it can uninstall it.")
		}
	case OlderInstalled:
		r.Title = tr.F("Installed is {old}, this file is {new}", "old", version, "new", own)
		r.Text = joinSentences(same, tr.T("Update replaces it, Keep Both puts this one beside it. Your data stays either way."))
	case NewerInstalled:
		r.Tone = Warning
		r.Title = tr.F("Installed is {old}, this file is older: {new}", "old", version, "new", own)
		r.Text = tr.T("Keep Both puts this one beside it, Downgrade replaces it. Data of the newer version may not open in the older one.")
	case OtherInstalled:
		r.Title = tr.F("Another build of version {version} is installed", "version", version)
		r.Text = joinSentences(same, tr.T("Update replaces it, Keep Both puts this one beside it. Your data stays either way."))
	}
	return r, true
}

// trustRow says who made it, as far as that is known. That the file is whole is another question, which checkRow answers.
func (m Model) trustRow() Row {
	r := Row{ID: "signature"}
	name := m.name()
	if !m.Related {
		r.Icon, r.Busy = "content-loading-symbolic", true
		r.Title = tr.T("Looking who signed it…")
		return r
	}
	switch m.Trust.State {
	case trust.Verified:
		r.Icon, r.Tone = "security-high-symbolic", Good
		r.Title = tr.T("From the publisher that you know")
		if who := Clean(m.Trust.Key.Comment, maxSmall); who != "" {
			r.Title = tr.F("Signed by {publisher}", "publisher", who)
		}
		r.Text = tr.F("The signature is by the same key as before, known since {date}.", "date", Date(m.Trust.Since))
		if m.Trust.Since.IsZero() {
			r.Text = tr.T("The signature is by the same key as before.")
		}
	case trust.FirstSeen:
		r.Icon = "security-medium-symbolic"
		r.Title = tr.T("Signed by a publisher seen for the first time")
		r.Text = tr.F("This does not tell who that is. But from now on, another {name} must have the same signature.", "name", name)
	case trust.Changed:
		r.Icon, r.Tone = "security-low-symbolic", Bad
		r.Title = tr.T("Signed by somebody else than before")
		if m.Trust.Key.None() {
			r.Title = tr.T("The signature is missing")
		}
		r.Text = m.changedText() + " " + tr.T("It may be made to look like it. Do not use it unless the maker has told of the change.")
	case trust.Damaged:
		r.Icon, r.Tone = "security-low-symbolic", Bad
		r.Title = tr.T("The signature is wrong")
		r.Text = tr.T("The file is not as its maker has signed it. Download it again.")
	default:
		r.Icon, r.Tone = "security-low-symbolic", Warning
		r.Title = tr.T("Not signed")
		r.Text = tr.T("Nothing tells who made it. Use it only if you trust where you got it.")
	}
	return r
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
		r.Text = tr.T("A part of it is not what its maker put in. It cannot be installed. Download it again.")
	case Checking:
		r.Icon, r.Busy = "content-loading-symbolic", true
		r.Title = tr.T("Checking the file…")
		r.Text = tr.T("You need not wait: every part is checked again when it is used.")
		if m.CheckTotal > 0 {
			r.Text = tr.F("{done} of {total}. You need not wait: every part is checked again when it is used.", "done", Size(m.CheckDone), "total", Size(m.CheckTotal))
		}
	default:
		r.Icon = "dialog-question-symbolic"
		r.Title = tr.T("Not checked")
		r.Text = tr.T("Every part is still checked when it is used.")
	}
	return r
}

func (m Model) sizeRow() Row {
	r := Row{ID: "size", Icon: "drive-harddisk-symbolic", Title: tr.F("Takes {size} on disk", "size", Size(m.Identity.Size))}
	unpacked := Size(m.Identity.Unpacked)
	switch {
	case m.Shared > 0 && m.Shared >= m.Identity.Unpacked/50: // less says nothing
		r.Text = tr.F("Of {unpacked} of files in it, {shared} are already on this computer, and take no more memory.", "unpacked", unpacked, "shared", Size(m.Shared))
	case m.Identity.Unpacked > m.Identity.Size:
		r.Text = tr.F("It holds {unpacked} of files, compressed.", "unpacked", unpacked)
	case m.Identity.Unpacked > 0:
		r.Text = tr.F("It holds {unpacked} of files.", "unpacked", unpacked)
	}
	return r
}

// originHost is the host of the address that a file was downloaded from, and the address without what is not for the screen.
func originHost(origin string) (host, address string) {
	u, err := url.Parse(strings.TrimSpace(origin))
	if err != nil || u.Hostname() == "" {
		return "", Clean(origin, 200)
	}
	u.User = nil // a password is not for the screen
	return Clean(u.Hostname(), maxSmall), Clean(u.String(), 200)
}

func originRow(origin string) Row {
	r := Row{ID: "origin", Icon: "folder-download-symbolic"}
	host, address := originHost(origin)
	r.Text = address
	if host == "" {
		r.Title = tr.T("Downloaded")
		return r
	}
	r.Title = tr.F("Downloaded from {host}", "host", host)
	if !strings.HasPrefix(strings.ToLower(strings.TrimSpace(origin)), "https:") {
		r.Tone = Warning
		r.Text = tr.F("The connection was not protected. {url}", "url", address)
	}
	return r
}

// source says what becomes of the file. Of one that lies among the applications the row about what is installed says it.
func (m Model) source() *Source {
	rel, _ := m.Relation()
	if rel == SameInstalled || m.Gone || !m.Related {
		return nil
	}
	name, folder := Clean(filepath.Base(m.File), maxName), folderName(m.File)
	s := &Source{Keep: !m.moves(), CanChoose: m.Identity.CanMove && m.installable() && m.Task == Idle}
	s.Title = tr.F("Keep the file in {folder}", "folder", folder)
	s.Text = tr.F("Installing makes a copy of “{file}”.", "file", name)
	if !s.Keep {
		s.Text = tr.F("Installing moves “{file}” to Applications.", "file", name)
	}
	if !s.CanChoose && m.Task == Idle {
		s.Title = tr.F("In {folder}", "folder", folder)
		s.Text = name
		if m.installable() {
			s.Text = tr.F("“{file}” stays there: installing makes a copy.", "file", name)
		}
	}
	return s
}

// folderName is the name of the folder that holds file, as a person knows it.
func folderName(file string) string {
	name := Clean(filepath.Base(filepath.Dir(file)), maxSmall)
	if name == "" || name == "." {
		return "/"
	}
	return name
}

func (m Model) details() []Detail {
	var ds []Detail
	add := func(name, value string) {
		if value = Clean(value, 400); value != "" {
			ds = append(ds, Detail{name, value})
		}
	}
	add(tr.T("Identifier"), m.Identity.ID)
	add(tr.T("Processor"), m.Identity.Arch)
	if !m.Trust.Key.None() {
		add(tr.T("Signed with"), m.Trust.Key.Type+" "+m.Trust.Key.Fingerprint)
	}
	for _, k := range m.Trust.Expected {
		if k.Fingerprint != m.Trust.Key.Fingerprint {
			add(tr.T("Key known from before"), k.Type+" "+k.Fingerprint)
		}
	}
	add(tr.T("Digest"), m.Identity.Digest)
	add(tr.T("Damage"), m.damageDetail())
	add(tr.T("Path"), m.File)
	if m.Adds != nil {
		const most = 20
		for i, l := range m.Adds.Left {
			if i == most {
				break
			}
			add(tr.T("Not shown in the desktop"), l)
		}
	}
	return ds
}
