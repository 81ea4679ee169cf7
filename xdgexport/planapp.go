// SPDX-License-Identifier: MIT

package xdgexport

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"glick.org/glick/bundle"
	"glick.org/glick/xdgexport/apps"
)

// What one bundle may show at most. Real applications stay far below.
const (
	maxContent  = 4 << 20  // one file, in bytes
	maxTotal    = 64 << 20 // all files together, in bytes
	maxPerKind  = 128
	maxIcons    = 512
	maxNameSize = 200
	maxLeft     = 1000
)

var plainName = newPattern(`^[A-Za-z0-9_][A-Za-z0-9._-]*$`)

// allowedName tells whether a bundle may use a name: its id, or its id followed by '.' or '-' and more.
func allowedName(name, id string) bool {
	if len(name) > maxNameSize || !plainName.MatchString(name) {
		return false
	}
	rest, ok := strings.CutPrefix(name, id)
	return ok && (rest == "" || len(rest) > 1 && (rest[0] == '.' || rest[0] == '-'))
}

const notItsName = "the name is not the bundle's id and does not begin with it"

// mark is in every text file that we make and that starts something, with the application's id. A file that has it was
// made by us, whatever became of it since.
const mark = "X-Glick-Id"

// marked tells whether a file says that it was made by us for an application; for any when id is empty.
func marked(data []byte, id string) bool {
	for text := range strings.Lines(string(data)) {
		rest, ok := strings.CutPrefix(strings.TrimPrefix(text, "# "), mark+"=")
		if ok && (id == "" || strings.TrimRight(rest, "\r\n") == id) {
			return true
		}
	}
	return false
}

// planner collects what one bundle shows.
type planner struct {
	id    string
	o     Options
	b     *bundle.Bundle
	tree  tree
	start starter
	s     *surroundings

	files  []File
	left   []LeftOut
	asked  []answer
	claims []string
	paths  map[string]bool
	total  int

	packages []typePackage
	icons    map[string]bool   // names of the bundle's icons for applications that are shown
	renamed  map[string]string // icons of its own types: the names that they get
	typeIcon map[string]bool   // those of the new names that are shown
	names    map[string]bool   // D-Bus names that are shown
	entries  map[string]bool   // names of desktop entries that are shown
	commands map[string]bool   // commands that are shown
}

// planApp derives the files of one application. What it had claimed before is free again for the time. A bundle that
// could not be read gets a record that does not count the next time.
func planApp(a apps.App, s *surroundings) ([]File, *appRecord) {
	s.release(a.ID)
	p := &planner{
		id: a.ID, o: s.o, s: s, paths: map[string]bool{}, icons: map[string]bool{}, names: map[string]bool{}, entries: map[string]bool{},
		commands: map[string]bool{}, renamed: map[string]string{}, typeIcon: map[string]bool{},
	}
	f, err := os.Open(a.File)
	if err == nil {
		defer f.Close()
		err = p.open(f, a)
	}
	if err != nil {
		p.leave(a.File, "it cannot be read: "+err.Error())
		return nil, &appRecord{id: a.ID, Left: p.left}
	}
	// Some need to know what others have shown: icons of types are renamed, entries have icons, types and services.
	p.readTypes()
	p.planIcons()
	p.planTypes()
	p.planServices()
	p.planEntries()
	p.planAutostart()
	p.planSearch()
	p.planCommands()
	p.planPages()
	p.planCompletions()
	p.planFonts()
	p.planMetainfo()
	return p.files, &appRecord{id: a.ID, Key: appKey(a, s.o, s.o.keySuffix()), Left: p.left, Asked: p.asked, Claims: p.claims}
}

func (p *planner) open(f *os.File, a apps.App) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if p.o.System && info.Mode().Perm()&0o004 == 0 {
		return fmt.Errorf("other users of this computer may not read it")
	}
	if p.b, err = bundle.Read(f, info.Size()); err != nil {
		return err
	}
	m := p.b.Manifest()
	if m.ID != a.ID {
		return fmt.Errorf("%w, %s", errOther, m.ID)
	}
	if p.b.Digest() != a.Digest {
		return errVersion
	}
	t, err := p.b.Tree()
	if err != nil {
		return err
	}
	p.tree = tree{t, m.Prefix}
	p.start = starter{glick: p.o.Glick, id: m.ID, main: path.Clean(m.Exec), tree: p.tree}
	return nil
}

func (p *planner) leave(origin, reason string) {
	if len(p.left) < maxLeft {
		p.left = append(p.left, LeftOut{p.id, origin, reason})
	}
}

// leaveAll notes several reasons down.
func (p *planner) leaveAll(origin string, reasons []string) {
	for _, r := range reasons {
		p.leave(origin, r)
	}
}

// ask asks about the world outside the bundle, and keeps the answer for the record.
func (p *planner) ask(kind, what string) string {
	q := kind + " " + what
	a := p.s.answer(p.id, q)
	if !slices.Contains(p.asked, answer{q, a}) {
		p.asked = append(p.asked, answer{q, a})
	}
	return a
}

// claim takes something for this application alone; false when another one has it.
func (p *planner) claim(what string) bool {
	if p.ask(askClaim, what) != "" {
		return false
	}
	if !slices.Contains(p.claims, what) {
		p.s.grant(what, p.id)
		p.claims = append(p.claims, what)
	}
	return true
}

// mayUse says why the application may not use a name: empty when it may.
func (p *planner) mayUse(name string) string {
	if !allowedName(name, p.id) {
		return notItsName
	}
	if name != p.id {
		if by := p.ask(askName, name); by != "" {
			return "the name belongs to " + by
		}
	}
	return ""
}

// add puts a file on the list, unless it is one too many, or of a kind that is switched off.
func (p *planner) add(name, origin string, content []byte) bool {
	return p.addMode(name, origin, content, maxContent, 0o644)
}

func (p *planner) addMode(name, origin string, content []byte, most int, mode os.FileMode) bool {
	switch {
	case p.paths[name]:
		p.leave(origin, "another file of the bundle has the same name already")
		return false
	case p.leaveOff(name, origin):
		return false
	case len(content) > most:
		p.leave(origin, fmt.Sprintf("it is too large (%d bytes, at most %d)", len(content), most))
		return false
	case p.total+len(content) > maxTotal:
		p.leave(origin, "the bundle shows too much already")
		return false
	}
	p.paths[name] = true
	p.total += len(content)
	p.files = append(p.files, File{Path: name, Content: content, Mode: mode, App: p.id, Origin: origin})
	return true
}

// each reads the files of a folder of the tree whose names end in suffix and are allowed.
func (p *planner) each(dir, suffix string, most int64, use func(stem, origin string, data []byte)) {
	n := 0
	for _, e := range p.tree.list(dir, func(name string) bool { return strings.HasSuffix(name, suffix) }) {
		stem, origin := strings.TrimSuffix(e.name, suffix), path.Join(dir, e.name)
		if n++; n > maxPerKind {
			p.leave(dir, "the bundle has too many of this kind")
			return
		}
		if why := p.mayUse(stem); why != "" {
			p.leave(origin, why)
			continue
		}
		data, err := p.tree.read(e.node, most)
		if err != nil {
			p.leave(origin, err.Error())
			continue
		}
		use(stem, origin, data)
	}
}
