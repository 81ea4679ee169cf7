// SPDX-License-Identifier: MIT

package state

import (
	"glick.org/glick/gui/tr"
	"glick.org/glick/xdgexport/apps/trust"
)

// Question is what a person has to decide before something happens that cannot be known to be safe. The safe answer is No, and it is the
// default: Enter and Escape both give it.
type Question struct {
	Title, Body string
	Detail      string // for experts; may be empty
	No, Yes     string // labels with an underscore before the mnemonic
}

// question is what is asked before a is done; nothing when there is no need.
func (m Model) question(a Action) (Question, bool) {
	q := Question{No: tr.T("_Cancel")}
	changed := m.Trust.State == trust.Changed
	switch a {
	case Open:
		q.Yes = tr.T("_Open Anyway")
		switch {
		case m.agreed:
			return Question{}, false
		case m.damaged():
			q.Title = tr.F("Open Damaged {name}?", "name", m.name())
			q.Body = tr.T("The file is not what its maker made. The application may end in the middle of your work. It is better to download it again.")
			q.Detail = m.damageDetail()
		case changed:
			q.Title = tr.F("Open {name} From Somebody Else?", "name", m.name())
			q.Body = m.changedText() + " " + tr.T("It could be made to look like the application that you know, and could read and change your files.")
			q.Detail = m.keysDetail()
		case m.Trust.State == trust.Unsigned && !m.Trust.Accepted:
			q.Title = tr.F("Open {name}?", "name", m.name())
			q.Body = m.unsignedText()
		default:
			return Question{}, false
		}
	case Install, Update, Downgrade, KeepBoth:
		if !changed {
			return Question{}, false
		}
		q.Title = tr.F("Trust the New Signature of {name}?", "name", m.name())
		q.Body = m.changedText() + " " + tr.T("Accept it only if the maker has said that the key has changed. From then on, files with this signature count as the maker’s.")
		q.Yes = tr.T("_Accept and Install")
		if m.Trust.Key.None() {
			q.Title = tr.F("Install {name} Without Its Signature?", "name", m.name())
			q.Body = m.changedText() + " " + tr.T("Accept it only if you know for sure where this file is from. Other files without a signature will still be asked about.")
		}
		q.Detail = m.keysDetail()
	default:
		return Question{}, false
	}
	return q, true
}

func (m Model) unsignedText() string {
	if host, _ := originHost(m.Identity.Origin); host != "" {
		return tr.F("It is not signed, so nothing tells who made it. It was downloaded from {host}. An application can read and change your files: open it only if you trust where you got it.",
			"host", host)
	}
	return tr.T("It is not signed, so nothing tells who made it. An application can read and change your files: open it only if you trust where you got it.")
}

func (m Model) changedText() string {
	if m.Trust.Key.None() {
		return tr.F("The {name} that you know is signed by its maker. This file is not signed.", "name", m.name())
	}
	return tr.F("The {name} that you know is signed by its maker. This file is signed by somebody else.", "name", m.name())
}

// keysDetail puts the key of the file beside those that were expected.
func (m Model) keysDetail() string {
	s := tr.F("This file: {key}", "key", keyText(m.Trust.Key))
	for _, k := range m.Trust.Expected {
		s += "\n" + tr.F("Expected: {key}", "key", keyText(k))
	}
	return s
}

func keyText(k trust.Key) string {
	if k.None() {
		return tr.T("not signed")
	}
	return Clean(k.Fingerprint+" "+k.Comment, 200)
}

func (m Model) damageDetail() string {
	if m.Damage != "" {
		return Clean(m.Damage, 400)
	}
	return Clean(m.Trust.Damage, 400)
}
