// SPDX-License-Identifier: MIT

package apps

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"glick.org/glick/xdgexport/apps/trust"
)

// Export is a kind of what applications show to the desktop, as far as the user can switch it off. doc/exports.md says what is of each kind.
type Export string

// The kinds. Their names are written into files, and sent over the bus.
const (
	ExportCommands    Export = "commands"
	ExportCommandHelp Export = "command-help"
	ExportFileTypes   Export = "file-types"
	ExportLinks       Export = "links"
	ExportServices    Export = "services"
	ExportSearch      Export = "search"
	ExportFonts       Export = "fonts"
)

var exports = []Export{ExportFileTypes, ExportLinks, ExportCommands, ExportCommandHelp, ExportServices, ExportSearch, ExportFonts}

// Exports lists all kinds, in the order in which people are shown them.
func Exports() []Export { return slices.Clone(exports) }

// Valid tells whether there is such a kind.
func (e Export) Valid() bool { return slices.Contains(exports, e) }

// SwitchedOff lists the kinds that the user has switched off, in the order of Exports. When that cannot be read it is none, and List tells of the
// problem.
func SwitchedOff() []Export {
	off, _ := current().switches.read()
	return slices.DeleteFunc(Exports(), func(e Export) bool { return !slices.Contains(off, e) })
}

// SetExports says of kinds whether they are shown, of all applications. Those that are not named stay as they are. A kind that is none is an error,
// and changes nothing.
//
// Call xdgexport.Refresh afterwards.
func SetExports(shown map[Export]bool) error {
	for _, e := range slices.Sorted(maps.Keys(shown)) {
		if !e.Valid() {
			return fmt.Errorf("cannot switch %.80q on or off: there is no such kind of export", string(e))
		}
	}
	if err := current().switches.set(shown); err != nil {
		return fmt.Errorf("cannot remember what is switched off: %w", plain(err))
	}
	return nil
}

// SetExcepted says whether everything of an application is shown, whatever is switched off for applications in general. The choice is the id's, and lasts
// when the bundle is replaced or deleted. The error is fs.ErrNotExist when it is to be an exception and no bundle of the id can be used.
//
// Call xdgexport.Refresh afterwards.
func SetExcepted(id string, on bool) error {
	what := "show of the application only what is switched on"
	if on {
		what = "show everything of the application"
		if err := usable(id); err != nil {
			return fmt.Errorf("cannot show everything of %s: %w", id, err)
		}
	}
	return current().decide(what, func(b *trust.Book) (*trust.Record, error) { return b.ChooseExcepted(id, on) })
}

// switches are what the user has switched off, in a file of its own: every line says all of it, and the last one counts.
type switches struct {
	mu   sync.Mutex
	file journal  // guarded by mu, as is all that follows
	off  []Export // sorted; also kinds that only newer versions know
	bad  int      // lines that cannot be read
}

// switchesLine is a line of the file.
type switchesLine struct {
	Off []Export `json:"off"`
}

// maxSwitches is how many kinds a line may name, and maxSwitch the length of a name: what is beyond is not by our hand.
const (
	maxSwitches = 64
	maxSwitch   = 64
)

func exportsFile(knownFile string) string {
	return filepath.Join(filepath.Dir(knownFile), "apps.exports")
}

func (s *switches) reset() { s.off, s.bad = nil, 0 }

func (s *switches) line(line []byte) {
	var l switchesLine
	err := json.Unmarshal(line, &l)
	strange := func(e Export) bool {
		return e == "" || len(e) > maxSwitch || strings.ContainsFunc(string(e), func(r rune) bool { return (r < 'a' || r > 'z') && r != '-' })
	}
	if err != nil || len(l.Off) > maxSwitches || slices.ContainsFunc(l.Off, strange) {
		s.bad++
		return
	}
	slices.Sort(l.Off)
	s.off = slices.Compact(l.Off)
}

// read reads what this process or others have written.
func (s *switches) read() ([]Export, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.file.read(s.reset, s.line)
	return slices.Clone(s.off), err
}

// problem is why the file is not what counts, nil when it is.
func (s *switches) problem() error {
	_, err := s.read()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err != nil:
		return fmt.Errorf("cannot tell what is switched off, everything is shown: %w", plain(err))
	case s.bad > 0:
		return fmt.Errorf("%d lines cannot be read; what they have switched off is shown, unless a later one says it too", s.bad)
	}
	return nil
}

func (s *switches) set(shown map[Export]bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.file.add(s.reset, s.line, func() [][]byte {
		now := slices.DeleteFunc(slices.Clone(s.off), func(e Export) bool { return shown[e] })
		for e, show := range shown {
			if !show {
				now = append(now, e)
			}
		}
		slices.Sort(now)
		now = slices.Compact(now)
		if slices.Equal(now, s.off) && s.bad == 0 {
			return nil
		}
		return switchLines(now)
	})
	if err != nil {
		return err
	}
	if s.file.lines == 0 || len(s.off) > 0 && s.file.lines <= slack && s.bad == 0 {
		return nil
	}
	// The file is written anew, or goes when it says nothing any more. It says what it should already, so failing to do this is not failing.
	_ = s.file.replace(s.reset, s.line, func() [][]byte {
		if len(s.off) == 0 {
			return nil
		}
		return switchLines(s.off)
	})
	return s.file.read(s.reset, s.line)
}

func switchLines(off []Export) [][]byte {
	if off == nil {
		off = []Export{}
	}
	line, err := json.Marshal(switchesLine{off})
	if err != nil {
		return nil // names can always be written
	}
	return [][]byte{append(line, '\n')}
}
