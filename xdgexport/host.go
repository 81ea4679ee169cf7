// SPDX-License-Identifier: MIT

package xdgexport

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// The questions that planning asks about what is outside the bundle. Their answers are on record, so that a bundle is
// looked at again when one of them has changed. An empty answer is the one that allows.
const (
	askCommand = "command" // which program of the host has this name
	askPage    = "page"    // which manual page of the host has this place
	askEntry   = "entry"   // which desktop entry of the host has this name
	askType    = "type"    // does the host define this type
	askPattern = "pattern" // which type of the host has files of such names
	askClaim   = "claim"   // which other application has this for itself
	askName    = "name"    // which other application has an id that fits the name better
	askFree    = "free"    // is there a file of somebody else
)

// sameApp answers askCommand when the host's command starts the very application: one for all users, made by a
// system-wide sync.
const sameApp = "the same"

// surroundings answer questions during one plan.
type surroundings struct {
	o     Options
	ids   map[string]bool   // applications that are shown
	owner map[string]string // who has a claim; see claims
	has   map[string][]string
	// incumbents tells who has claims from earlier; it is asked when the first one matters.
	incumbents func(use func(id string, claims []string))
	ours       func(p string) bool
	known      map[string]string // answers that cannot change during the plan

	loaded   bool
	types    map[string]bool
	suffixes map[string]string // of patterns like *.ext, without the star, in small letters
	patterns [][2]string       // all others, with their types
}

func newSurroundings(o Options) *surroundings {
	return &surroundings{o: o, ids: map[string]bool{}, owner: map[string]string{}, has: map[string][]string{}, known: map[string]string{}, ours: func(string) bool { return false }}
}

// answer answers a question of the application id.
func (s *surroundings) answer(id, question string) string {
	kind, what, _ := strings.Cut(question, " ")
	switch kind {
	case askClaim:
		s.claims()
		if by := s.owner[what]; by != id {
			return by
		}
		return ""
	case askName:
		return s.better(id, what)
	case askFree:
		if _, err := os.Lstat(s.o.file(what)); err == nil && !s.ours(what) {
			return "taken"
		}
		return ""
	}
	key := question
	if kind == askCommand {
		key = id + " " + question
	}
	if text, ok := s.known[key]; ok {
		return text
	}
	var text string
	switch kind {
	case askCommand:
		text = s.command(id, what)
	case askPage:
		text = s.page(what)
	case askEntry:
		text = s.inDataDirs("applications/" + what + ".desktop")
	case askType:
		s.load()
		if s.types[strings.ToLower(what)] {
			text = "known"
		}
	case askPattern:
		text = s.typeOf(what)
	}
	s.known[key] = text
	return text
}

// claims makes known who has what from earlier.
func (s *surroundings) claims() {
	if s.incumbents != nil {
		ask := s.incumbents
		s.incumbents = nil
		ask(func(id string, claims []string) {
			for _, c := range claims {
				s.owner[c] = id
			}
			s.has[id] = slices.Clip(claims)
		})
	}
}

// stamp is equal when what the host knows of types is.
func (s *surroundings) stamp() string {
	var b strings.Builder
	for _, dir := range s.o.DataDirs {
		for _, name := range []string{"types", "aliases", "globs2"} {
			if info, err := os.Stat(filepath.Join(dir, "mime", name)); err == nil {
				fmt.Fprintf(&b, "%s %d %d\n", dir, info.Size(), info.ModTime().UnixNano())
			}
		}
	}
	return hashOf([]byte(b.String()))[:16]
}

// grant gives an application something for itself.
func (s *surroundings) grant(claim, id string) {
	s.owner[claim] = id
	s.has[id] = append(s.has[id], claim)
}

// release takes all from an application that it had for itself.
func (s *surroundings) release(id string) {
	s.claims()
	for _, c := range s.has[id] {
		delete(s.owner, c)
	}
	delete(s.has, id)
}

// unchanged tells whether all answers are as they were.
func (s *surroundings) unchanged(id string, asked []answer) bool {
	for _, a := range asked {
		if s.answer(id, a.question) != a.text {
			return false
		}
	}
	return true
}

// better gives the application with the longest id that a name begins with, if that is not id itself.
func (s *surroundings) better(id, name string) string {
	for end := len(name); end > len(id); end-- {
		if (end == len(name) || name[end] == '.' || name[end] == '-') && s.ids[name[:end]] {
			return name[:end]
		}
	}
	return ""
}

// inDataDirs gives the file of that name in one of the host's data folders.
func (s *surroundings) inDataDirs(name string) string {
	for _, dir := range s.o.DataDirs {
		file := filepath.Join(dir, name)
		if _, err := os.Lstat(file); err == nil {
			return file
		}
	}
	return ""
}

func (s *surroundings) command(id, name string) string {
	for _, dir := range s.o.CommandDirs {
		file := filepath.Join(dir, name)
		info, err := os.Lstat(file)
		if err != nil {
			continue
		}
		if info.Mode().IsRegular() && info.Size() < maxLauncher {
			if data, err := os.ReadFile(file); err == nil && marked(data, id) {
				return sameApp
			}
		}
		return file
	}
	return ""
}

// page looks for a manual page, packed in any way.
func (s *surroundings) page(name string) string {
	for _, packed := range []string{"", ".gz", ".bz2", ".xz", ".zst", ".lz"} {
		if file := s.inDataDirs("man/" + name + packed); file != "" {
			return file
		}
	}
	return ""
}

// load reads what types the host knows (Shared MIME-info Database specification 0.21, "types" and "globs2").
func (s *surroundings) load() {
	if s.loaded {
		return
	}
	s.loaded = true
	s.types, s.suffixes = map[string]bool{}, map[string]string{}
	for _, dir := range s.o.DataDirs {
		dir = filepath.Join(dir, "mime")
		for _, name := range []string{"types", "aliases"} {
			lines(filepath.Join(dir, name), func(text string) {
				t, _, _ := strings.Cut(text, " ")
				s.types[strings.ToLower(t)] = true
			})
		}
		lines(filepath.Join(dir, "globs2"), func(text string) {
			fields := strings.Split(text, ":")
			if len(fields) < 3 || strings.HasPrefix(text, "#") {
				return
			}
			t, pattern := fields[1], strings.ToLower(fields[2])
			if strings.HasPrefix(pattern, "*.") && !strings.ContainsAny(pattern[1:], "*?[\\") {
				s.suffixes[pattern[1:]] = t
			} else {
				s.patterns = append(s.patterns, [2]string{pattern, t})
			}
		})
	}
}

// lines reads a file of the host line by line; nothing when it is not there.
func lines(file string, use func(string)) {
	f, err := os.Open(file)
	if err != nil {
		return
	}
	defer f.Close()
	for sc := bufio.NewScanner(io.LimitReader(f, maxTotal)); sc.Scan(); {
		use(sc.Text())
	}
}

// typeOf gives the type that the host takes files for whose names a pattern *.ext stands for.
func (s *surroundings) typeOf(pattern string) string {
	s.load()
	ext := strings.ToLower(strings.TrimPrefix(pattern, "*"))
	for rest := ext; rest != ""; {
		if t := s.suffixes[rest]; t != "" {
			return t
		}
		next := strings.IndexByte(rest[1:], '.')
		if next < 0 {
			break
		}
		rest = rest[1+next:]
	}
	for _, p := range s.patterns {
		if ok, err := path.Match(p[0], "x"+ext); err == nil && ok {
			return p[1]
		}
	}
	return ""
}
