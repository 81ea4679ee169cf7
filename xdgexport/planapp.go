// SPDX-License-Identifier: MIT

package xdgexport

import (
	"fmt"
	"os"
	"path"
	"regexp"
	"strings"

	"glick.org/glick/bundle"
	"glick.org/glick/xdgexport/apps"
)

// What one bundle may show at most. Real applications stay far below.
const (
	maxContent  = 4 << 20 // one file
	maxTotal    = 64 << 20
	maxPerKind  = 128
	maxIcons    = 512
	maxNameSize = 200
)

var plainName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]*$`)

// allowedName tells whether a bundle may use a name: its id, or its id followed by '.' or '-' and more.
func allowedName(name, id string) bool {
	if len(name) > maxNameSize || !plainName.MatchString(name) {
		return false
	}
	rest, ok := strings.CutPrefix(name, id)
	return ok && (rest == "" || len(rest) > 1 && (rest[0] == '.' || rest[0] == '-'))
}

const notItsName = "the name is not the bundle's id and does not begin with it"

// planner collects what one bundle shows.
type planner struct {
	id    string
	b     *bundle.Bundle
	tree  tree
	start starter

	files []File
	left  []LeftOut
	paths map[string]bool
	total int
	icons map[string]bool // names of the bundle's icons that are shown
	names map[string]bool // D-Bus names that are
}

// planApp derives the files of one application. The error is that of a bundle that could not be read; it is among what
// is left out as well.
func planApp(a apps.App, o Options) ([]File, []LeftOut, error) {
	p := &planner{id: a.ID, paths: map[string]bool{}, icons: map[string]bool{}, names: map[string]bool{}}
	f, err := os.Open(a.File)
	if err == nil {
		defer f.Close()
		err = p.open(f, a, o)
	}
	if err != nil {
		p.leave(a.File, "it cannot be read: "+err.Error())
		return nil, p.left, err
	}
	// Entries need to know which icons and services there are.
	p.planIcons()
	p.planServices()
	p.planTypes()
	p.planMetainfo()
	p.planEntries()
	return p.files, p.left, nil
}

func (p *planner) open(f *os.File, a apps.App, o Options) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if p.b, err = bundle.Read(f, info.Size()); err != nil {
		return err
	}
	m := p.b.Manifest()
	if m.ID != a.ID {
		return fmt.Errorf("it has become another application, %s", m.ID)
	}
	t, err := p.b.Tree()
	if err != nil {
		return err
	}
	p.tree = tree{t, m.Prefix}
	p.start = starter{glick: o.Glick, id: m.ID, main: path.Clean(m.Exec), tree: p.tree}
	return nil
}

func (p *planner) leave(origin, reason string) {
	if len(p.left) < 1000 {
		p.left = append(p.left, LeftOut{p.id, origin, reason})
	}
}

// add puts a file on the list, unless it is one too many.
func (p *planner) add(name, origin string, content []byte) bool {
	switch {
	case p.paths[name]:
		p.leave(origin, "another file of the bundle has the same name already")
		return false
	case len(content) > maxContent:
		p.leave(origin, fmt.Sprintf("it is too large (%d bytes, at most %d)", len(content), maxContent))
		return false
	case p.total+len(content) > maxTotal:
		p.leave(origin, "the bundle shows too much already")
		return false
	}
	p.paths[name] = true
	p.total += len(content)
	p.files = append(p.files, File{Path: name, Content: content, Mode: 0o644, App: p.id, Origin: origin})
	return true
}

// each reads the files of a folder of the tree whose names end in suffix and are allowed.
func (p *planner) each(dir, suffix string, use func(stem, origin string, data []byte)) {
	n := 0
	for _, e := range p.tree.list(dir, func(name string) bool { return strings.HasSuffix(name, suffix) }) {
		stem, origin := strings.TrimSuffix(e.name, suffix), path.Join(dir, e.name)
		if !allowedName(stem, p.id) {
			p.leave(origin, notItsName)
			continue
		}
		if n++; n > maxPerKind {
			p.leave(origin, "the bundle has too many of this kind")
			continue
		}
		data, err := p.tree.read(e.node, maxContent)
		if err != nil {
			p.leave(origin, err.Error())
			continue
		}
		use(stem, origin, data)
	}
}

func (p *planner) planTypes() {
	p.each("share/mime/packages", ".xml", func(stem, origin string, data []byte) {
		content, notes, err := rewriteMIME(data, p.id)
		for _, n := range notes {
			p.leave(origin, n)
		}
		if err != nil {
			p.leave(origin, err.Error())
			return
		}
		p.add("mime/packages/"+stem+".xml", origin, content)
	})
}

func (p *planner) planMetainfo() {
	const origin = ".xdg.metainfo"
	data, err := p.b.Metainfo()
	if err != nil {
		p.leave(origin, err.Error())
		return
	}
	if len(data) == 0 {
		return
	}
	if err := checkXML(data, "component"); err != nil {
		p.leave(origin, err.Error())
		return
	}
	p.add("metainfo/"+p.id+".metainfo.xml", origin, data)
}
