// SPDX-License-Identifier: MIT

package xdgexport

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
)

const (
	mimeSpace = "http://www.freedesktop.org/standards/shared-mime-info"
	xmlSpace  = "http://www.w3.org/XML/1998/namespace"
	// ownType is the type of bundles. No bundle has a say in what a bundle is, or who opens it.
	ownType = "application/vnd.glick.bundle"
	// maxWeight keeps the patterns of bundles far below those of the system and the user, whose default is 50.
	maxWeight   = 20
	maxXML      = 1 << 20
	maxXMLDepth = 32
	maxTypes    = 64  // in one package
	maxComments = 512 // of one type, in all languages
	maxPatterns = 32  // of one type
	maxText     = 1024
)

var (
	mimeType = newPattern(`^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}$`)
	// language is how xml:lang and localised keys name languages.
	language = newPattern(`^[A-Za-z]{1,8}([-_.@][A-Za-z0-9]{1,16}){0,4}$`)
	// extension is what a pattern may have after "*.". Real ones are plain.
	extension = newPattern(`^[A-Za-z0-9][A-Za-z0-9_+-]{0,31}(\.[A-Za-z0-9][A-Za-z0-9_+-]{0,31}){0,2}$`)
	// scheme is that of a URI (RFC 3986, 3.1), in small letters.
	scheme = newPattern(`^[a-z][a-z0-9+.-]{0,63}$`)
)

// media are the kinds of types that a bundle may define. Folders, devices and URI schemes are not files.
var media = []string{"application", "audio", "chemical", "font", "image", "model", "text", "video"}

// baseTypes are those that a type may be built upon: containers and notations, whose programs can look into a file and
// do not run it.
var baseTypes = []string{
	"application/gzip", "application/json", "application/octet-stream", "application/vnd.sqlite3", "application/x-compressed-tar",
	"application/x-yaml", "application/xml", "application/yaml", "application/zip", "text/plain",
}

// keptSchemes are URI schemes that mean something to the desktop itself or are not addresses at all.
var keptSchemes = []string{"about", "admin", "blob", "computer", "data", "file", "glick", "javascript", "recent", "trash", "vbscript"}

// validType tells whether a bundle may name a MIME type or a URI scheme.
func validType(t string) bool {
	if s, ok := strings.CutPrefix(t, "x-scheme-handler/"); ok {
		return scheme.MatchString(s) && !slices.Contains(keptSchemes, s)
	}
	return mimeType.MatchString(t) && !strings.EqualFold(t, ownType)
}

// typeDef is what a bundle may say of a type. Magic, treemagic and root-XML find types by content and are not in it:
// they could take any file; neither are aliases, which rename the types of others.
type typeDef struct {
	name     string
	texts    []typeText
	icon     string
	generic  string
	patterns []typePattern
	supers   []string
}

// typeText is a comment, acronym or expanded-acronym.
type typeText struct{ element, lang, text string }

type typePattern struct {
	text   string // *.ext
	weight int
	cased  bool
}

// parseMIME reads a package of MIME types. The second result says what was left out.
func parseMIME(data []byte) ([]typeDef, []string, error) {
	if len(data) > maxXML {
		return nil, nil, fmt.Errorf("it is too large (%d bytes, at most %d)", len(data), maxXML)
	}
	d := xml.NewDecoder(bytes.NewReader(data))
	var (
		types []typeDef
		notes noteList
		now   *typeDef // in which the decoder is
		depth int
	)
	broken := func(err error) ([]typeDef, []string, error) {
		return nil, nil, fmt.Errorf("it is not well-formed XML: %w", err)
	}
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return broken(err)
		}
		switch t := tok.(type) {
		case xml.Directive:
			if bytes.Contains(bytes.ToUpper(t), []byte("ENTITY")) {
				return nil, nil, errors.New("it declares XML entities")
			}
		case xml.EndElement:
			if depth--; depth == 1 {
				now = nil
			}
		case xml.StartElement:
			ours := t.Name.Space == mimeSpace
			switch {
			case depth == 0 && ours && t.Name.Local == "mime-info":
				depth++
			case depth == 0:
				return nil, nil, errors.New("it is not a MIME package")
			case depth == 1 && ours && t.Name.Local == "mime-type" && len(types) < maxTypes:
				name := attr(t, "", "type")
				kind, _, _ := strings.Cut(name, "/")
				if !validType(name) || !slices.Contains(media, kind) || slices.ContainsFunc(types, func(o typeDef) bool { return strings.EqualFold(o.name, name) }) {
					notes.add(fmt.Sprintf("the type %.80q is not one that a bundle may define", name))
					if err := d.Skip(); err != nil {
						return broken(err)
					}
					continue
				}
				depth++
				types = append(types, typeDef{name: name})
				now = &types[len(types)-1]
			case now != nil && ours && t.Name.Local != "mime-type":
				text, err := textOf(d)
				if err != nil {
					return nil, nil, err
				}
				if why := now.take(t, text); why != "" {
					notes.add(why)
				}
			default:
				if depth == 1 && len(types) == maxTypes {
					notes.add(fmt.Sprintf("it defines more than %d types", maxTypes))
				}
				if err := d.Skip(); err != nil {
					return broken(err)
				}
			}
		}
	}
	if len(types) == 0 {
		return nil, notes.list, errors.New("it defines no type")
	}
	return types, notes.list, nil
}

// take adds what an element says, or tells why not.
func (d *typeDef) take(t xml.StartElement, text string) string {
	switch t.Name.Local {
	case "comment", "acronym", "expanded-acronym":
		lang := attr(t, xmlSpace, "lang")
		if lang != "" && !language.MatchString(lang) || text == "" || len(text) > maxText || !printable(text) || len(d.texts) >= maxComments {
			return "a " + t.Name.Local + " is not a line of text"
		}
		d.texts = append(d.texts, typeText{t.Name.Local, lang, text})
	case "icon", "generic-icon":
		name := attr(t, "", "name")
		if !iconName.MatchString(name) {
			return fmt.Sprintf("the icon %.80q is not a name", name)
		}
		if t.Name.Local == "icon" {
			d.icon = name
		} else {
			d.generic = name
		}
	case "sub-class-of":
		super := attr(t, "", "type")
		if !slices.Contains(baseTypes, super) || slices.Contains(d.supers, super) {
			return fmt.Sprintf("the type %.80q cannot be built upon", super)
		}
		d.supers = append(d.supers, super)
	case "glob":
		pattern := attr(t, "", "pattern")
		if !ownPattern(pattern) || len(d.patterns) >= maxPatterns || slices.ContainsFunc(d.patterns, func(p typePattern) bool { return p.text == pattern }) {
			return fmt.Sprintf("the pattern %.80q would take in files of others", pattern)
		}
		weight := maxWeight
		if n, err := strconv.Atoi(attr(t, "", "weight")); err == nil {
			weight = max(0, min(n, maxWeight))
		}
		d.patterns = append(d.patterns, typePattern{pattern, weight, attr(t, "", "case-sensitive") == "true"})
	default:
		return fmt.Sprintf("the element %.80q is not taken over", t.Name.Local)
	}
	return ""
}

// ownPattern accepts extensions. Names without a star would beat all extensions, whatever their weight, and wild cards
// say too little.
func ownPattern(p string) bool {
	ext, ok := strings.CutPrefix(p, "*.")
	return ok && extension.MatchString(ext) && !strings.EqualFold(ext, "bundle") && !strings.HasSuffix(strings.ToLower(ext), ".bundle")
}

// writeMIME makes the package of some types.
func writeMIME(types []typeDef) []byte {
	var b bytes.Buffer
	b.WriteString(xml.Header)
	b.WriteString(`<mime-info xmlns="` + mimeSpace + `">` + "\n")
	for _, t := range types {
		fmt.Fprintf(&b, "  <mime-type type=\"%s\">\n", escape(t.name))
		for _, c := range t.texts {
			lang := ""
			if c.lang != "" {
				lang = ` xml:lang="` + escape(c.lang) + `"`
			}
			fmt.Fprintf(&b, "    <%s%s>%s</%s>\n", c.element, lang, escape(c.text), c.element)
		}
		if t.icon != "" {
			fmt.Fprintf(&b, "    <icon name=\"%s\"/>\n", escape(t.icon))
		}
		if t.generic != "" {
			fmt.Fprintf(&b, "    <generic-icon name=\"%s\"/>\n", escape(t.generic))
		}
		for _, s := range t.supers {
			fmt.Fprintf(&b, "    <sub-class-of type=\"%s\"/>\n", escape(s))
		}
		for _, p := range t.patterns {
			cased := ""
			if p.cased {
				cased = ` case-sensitive="true"`
			}
			fmt.Fprintf(&b, "    <glob pattern=\"%s\" weight=\"%d\"%s/>\n", escape(p.text), p.weight, cased)
		}
		b.WriteString("  </mime-type>\n")
	}
	b.WriteString("</mime-info>\n")
	return b.Bytes()
}

// typePackage is a file of definitions on its way.
type typePackage struct {
	stem, origin string
	types        []typeDef
}

// readTypes reads the definitions and finds out which types and patterns are the application's own.
func (p *planner) readTypes() {
	defined := map[string]bool{}
	p.each("share/mime/packages", ".xml", maxXML, func(stem, origin string, data []byte) {
		types, notes, err := parseMIME(data)
		p.leaveAll(origin, notes)
		if err != nil {
			p.leave(origin, err.Error())
			return
		}
		types = slices.DeleteFunc(types, func(t typeDef) bool {
			name := strings.ToLower(t.name)
			switch {
			case p.ask(askType, name) != "":
				p.leave(origin, fmt.Sprintf("the type %s is known to the system; entries can name it", t.name))
			case defined[name]:
				p.leave(origin, fmt.Sprintf("the type %s is defined already", t.name))
			case !p.claim("type " + name):
				p.leave(origin, fmt.Sprintf("the type %s belongs to %s", t.name, p.s.owner["type "+name]))
			default:
				defined[name] = true
				return false
			}
			return true
		})
		for i := range types {
			types[i].patterns = slices.DeleteFunc(types[i].patterns, func(g typePattern) bool {
				if other := p.ask(askPattern, g.text); other != "" {
					p.leave(origin, fmt.Sprintf("the pattern %s is for files of the type %s", g.text, other))
					return true
				}
				if c := "pattern " + strings.ToLower(g.text); !p.claim(c) {
					p.leave(origin, fmt.Sprintf("the pattern %s belongs to %s", g.text, p.s.owner[c]))
					return true
				}
				return false
			})
			// Applications name the icon of a type after the type; two of them could be at odds over such a name.
			usual := strings.ReplaceAll(types[i].name, "/", "-")
			own := p.id + "-" + usual
			p.renamed[usual] = own
			if types[i].icon == "" || types[i].icon == usual {
				types[i].icon = own
			}
		}
		if len(types) == 0 {
			p.leave(origin, "it defines no type of the application's own")
			return
		}
		p.packages = append(p.packages, typePackage{stem, origin, types})
	})
}

// planTypes shows the definitions, after it is known which icons there are.
func (p *planner) planTypes() {
	for _, f := range p.packages {
		name := path.Join("mime/packages", f.stem+".xml")
		if p.leaveOff(name, f.origin) {
			continue // its icons are left out as well
		}
		for i := range f.types {
			t := &f.types[i]
			if t.icon != "" && !p.typeIcon[t.icon] {
				if t.icon != p.renamed[strings.ReplaceAll(t.name, "/", "-")] {
					p.leave(f.origin, fmt.Sprintf("the icon %.80q of a type is not the bundle's own", t.icon))
				}
				t.icon = ""
			}
		}
		p.add(name, f.origin, writeMIME(f.types))
	}
}

func attr(t xml.StartElement, space, name string) string {
	for _, a := range t.Attr {
		if a.Name.Local == name && a.Name.Space == space {
			return a.Value
		}
	}
	return ""
}

// noteList is a list of reasons, each once.
type noteList struct{ list []string }

func (n *noteList) add(s string) {
	if len(n.list) < maxLeft && !slices.Contains(n.list, s) {
		n.list = append(n.list, s)
	}
}
