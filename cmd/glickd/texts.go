// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"path/filepath"
	"strings"
	"unicode"

	"glick.org/glick/bundle"
	"glick.org/glick/gui/tr"
	"glick.org/glick/xdgexport/apps"
)

// maxName is how much of a stranger's text is shown, in characters.
const maxName = 60

// plainText takes out of a stranger's text what could pass for something else: control characters, line breaks, and those that turn the direction of writing.
func plainText(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > maxName {
		s = string(r[:maxName-1]) + "…"
	}
	return s
}

// nameOf is what an application is called, or its file when it has no name.
func nameOf(a apps.App) string {
	for _, s := range []string{a.Name, a.ID} {
		if s = plainText(s); s != "" {
			return s
		}
	}
	return plainText(filepath.Base(a.File))
}

func installedText(a apps.App) (summary, body string) {
	return tr.F("{name} Installed", "name", nameOf(a)), tr.T("It is among your applications now.")
}

// addedText is for another version of an application that is there already.
func addedText(a apps.App) (summary, body string) {
	if a.Default {
		return tr.F("{name} Updated", "name", nameOf(a)), tr.F("Version {version} is used from now on.", "version", plainText(a.Version))
	}
	return tr.F("{name} {version} Installed", "name", nameOf(a), "version", plainText(a.Version)), tr.T("The version that you have is still the one in use.")
}

func severalText(list []string) (summary, body string) {
	return tr.T("Several Applications Installed"), tr.List(list)
}

func severalBadText(list []string) (summary, body string) {
	return tr.T("Several Files Cannot Be Used"), tr.List(list)
}

func changedText(a apps.App) (summary, body string) {
	summary = tr.F("{name} Is Not Used", "name", nameOf(a))
	if a.Key.None() {
		return summary, tr.T("The file is not signed, other than the version that you had. Look at it before you trust it.")
	}
	return summary, tr.T("The file is not signed by the publisher of the version that you had. Look at it before you trust it.")
}

// brokenText says what is wrong with a file, and what to do. app is what is known of it.
func brokenText(app apps.App, err error) (summary, body string) {
	switch {
	case errors.Is(err, bundle.ErrTruncated):
		body = tr.T("The file is incomplete. Copy or download it again.")
	case errors.Is(err, bundle.ErrDamaged):
		body = tr.T("The file is damaged. Copy or download it again.")
	case errors.Is(err, bundle.ErrNotBundle):
		body = tr.T("The file is not an application.")
	case errors.Is(err, bundle.ErrArch):
		body = tr.T("It is made for computers with another kind of processor.")
	case errors.Is(err, bundle.ErrVersion):
		body = tr.T("It needs a newer version of Glick.")
	case errors.Is(err, bundle.ErrUnsupported):
		body = tr.T("It is of a kind that cannot be used here.")
	case errors.Is(err, apps.ErrOutside):
		body = tr.T("It is a link to a file elsewhere. Put the file itself into the folder.")
	case errors.Is(err, apps.ErrOwner):
		body = tr.T("Others than the administrator can change the file.")
	case errors.Is(err, apps.ErrName):
		body = tr.T("Its file name is not readable text. Give it another name.")
	default:
		body = tr.T("The file cannot be read.")
	}
	return tr.F("{name} Cannot Be Used", "name", nameOf(app)), body
}
