// SPDX-License-Identifier: MIT

package state

import (
	"glick.org/glick/bundle"
	"glick.org/glick/xdgexport/apps/trust"
)

// DoubleClicks are the values of the setting "double-click", in the order in which they are offered.
var DoubleClicks = []string{"window", "run", "install"}

// InstallModes are the values of the setting "install-mode", in the order in which they are offered.
var InstallModes = []string{"copy", "move"}

// Standing is how a bundle file that is opened stands to what is installed.
type Standing struct {
	Readable bool        // it is a bundle for this computer
	Trust    trust.State // of the file
	Same     bool        // this very bundle is installed, and may be used
	Version  string
	Newest   string // of the installed versions; empty when none is
}

// OnOpen is what opening a bundle file does, in the end.
type OnOpen int

// What it can do.
const (
	OpenWindow OnOpen = iota
	OpenRun
	OpenInstall
)

// Opened decides what opening a bundle does. The wish is only followed when there is nothing to ask: what was never used runs at once only if its maker
// is known, and an older version never takes a newer one's place by itself.
func Opened(doubleClick string, s Standing) OnOpen {
	trusted := s.Trust.Usable()
	switch {
	case !s.Readable || !trusted:
		return OpenWindow
	case doubleClick == "run" && (s.Same || s.Trust == trust.Verified):
		return OpenRun
	case doubleClick == "install" && !s.Same && (s.Newest == "" || bundle.CompareVersions(s.Version, s.Newest) > 0):
		return OpenInstall
	}
	return OpenWindow
}
