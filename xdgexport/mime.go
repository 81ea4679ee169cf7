// SPDX-License-Identifier: MIT

package xdgexport

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
)

const (
	mimeSpace = "http://www.freedesktop.org/standards/shared-mime-info"
	xmlSpace  = "http://www.w3.org/XML/1998/namespace"
	// ownType is the type of bundles. No bundle has a say in what a bundle is, or who opens it.
	ownType = "application/vnd.glick.bundle"
	// maxWeight keeps the patterns of bundles below those of the system, whose default is 50.
	maxWeight   = 49
	maxXMLDepth = 32
)

var mimeType = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}$`)

// validType tells whether a bundle may name a MIME type or a URI scheme.
func validType(t string) bool { return mimeType.MatchString(t) && !strings.EqualFold(t, ownType) }

// mimeElements are the elements of a MIME definition that are taken over, with the attributes that are. Left out is
// what changes how files of other types are seen: magic, treemagic and root-XML find types by content, alias renames
// a type that may be another's, the delete-all elements take away what others have defined.
var mimeElements = map[string][]string{
	"comment": {"lang"}, "acronym": {"lang"}, "expanded-acronym": {"lang"},
	"icon": {"name"}, "generic-icon": {"name"}, "sub-class-of": {"type"},
	"glob": {"pattern", "weight", "case-sensitive"},
}

// rewriteMIME makes the package of MIME types that a bundle may add. id is the bundle's: icons of types must be its
// own. The second result says what was left out.
func rewriteMIME(data []byte, id string) ([]byte, []string, error) {
	d := xml.NewDecoder(bytes.NewReader(data))
	var (
		out    bytes.Buffer
		notes  []string
		noted  = map[string]bool{}
		types  int
		depth  int
		inType bool
	)
	note := func(s string) {
		if !noted[s] {
			noted[s] = true
			notes = append(notes, s)
		}
	}
	out.WriteString(xml.Header)
	out.WriteString(`<mime-info xmlns="` + mimeSpace + `">` + "\n")
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, nil, fmt.Errorf("it is not well-formed XML: %w", err)
		}
		switch t := tok.(type) {
		case xml.Directive:
			if bytes.Contains(bytes.ToUpper(t), []byte("ENTITY")) {
				return nil, nil, errors.New("it declares XML entities")
			}
		case xml.EndElement:
			if depth--; depth == 1 && inType {
				out.WriteString("  </mime-type>\n")
				inType = false
			}
		case xml.StartElement:
			switch {
			case depth == 0 && t.Name.Local == "mime-info" && t.Name.Space == mimeSpace:
				depth++
			case depth == 0:
				return nil, nil, errors.New("it is not a MIME package")
			case depth == 1 && t.Name.Local == "mime-type" && t.Name.Space == mimeSpace:
				name := attr(t, "", "type")
				if !validType(name) {
					note(fmt.Sprintf("the type %.80q is not one that a bundle may define", name))
					if err := d.Skip(); err != nil {
						return nil, nil, fmt.Errorf("it is not well-formed XML: %w", err)
					}
					continue
				}
				depth++
				types++
				inType = true
				out.WriteString(`  <mime-type type="` + escape(name) + "\">\n")
			case inType && t.Name.Space == mimeSpace && mimeElements[t.Name.Local] != nil:
				text, err := textOf(d)
				if err != nil {
					return nil, nil, err
				}
				attrs, why := mimeAttrs(t, id)
				if why != "" {
					note(why)
					continue
				}
				fmt.Fprintf(&out, "    <%s%s>%s</%s>\n", t.Name.Local, attrs, escape(text), t.Name.Local)
			default:
				if inType && t.Name.Space == mimeSpace {
					note("the element " + t.Name.Local + " is not taken over")
				}
				if err := d.Skip(); err != nil {
					return nil, nil, fmt.Errorf("it is not well-formed XML: %w", err)
				}
			}
		}
	}
	if types == 0 {
		return nil, notes, errors.New("it defines no type")
	}
	out.WriteString("</mime-info>\n")
	return out.Bytes(), notes, nil
}

// mimeAttrs writes the attributes of an element that are taken over, or says why the element is not.
func mimeAttrs(t xml.StartElement, id string) (string, string) {
	var b strings.Builder
	put := func(name, value string) { fmt.Fprintf(&b, ` %s="%s"`, name, escape(value)) }
	switch t.Name.Local {
	case "comment", "acronym", "expanded-acronym":
		if lang := attr(t, xmlSpace, "lang"); lang != "" {
			put("xml:lang", lang)
		}
	case "icon", "generic-icon":
		name := attr(t, "", "name")
		if t.Name.Local == "icon" && !allowedName(name, id) {
			return "", fmt.Sprintf("the icon %.80q of a type is not the bundle's own", name)
		}
		put("name", name)
	case "sub-class-of":
		super := attr(t, "", "type")
		if !mimeType.MatchString(super) || super == ownType {
			return "", fmt.Sprintf("the type %.80q cannot be built upon", super)
		}
		put("type", super)
	case "glob":
		pattern := attr(t, "", "pattern")
		if !ownPattern(pattern) {
			return "", fmt.Sprintf("the pattern %.80q would take in files of others", pattern)
		}
		put("pattern", pattern)
		weight := maxWeight
		if n, err := strconv.Atoi(attr(t, "", "weight")); err == nil {
			weight = max(0, min(n, maxWeight))
		}
		put("weight", strconv.Itoa(weight))
		if attr(t, "", "case-sensitive") == "true" {
			put("case-sensitive", "true")
		}
	}
	return b.String(), ""
}

// ownPattern accepts patterns that say something: an extension or a name, but not "any file", and not bundles.
func ownPattern(p string) bool {
	if len(p) > 128 || !printable(p) || strings.Contains(p, "/") || strings.EqualFold(p, "*.bundle") {
		return false
	}
	ext, ok := strings.CutPrefix(p, "*.")
	if !ok {
		ext = p
	}
	return ext != "" && !strings.ContainsAny(ext, "*?[]\\")
}

func attr(t xml.StartElement, space, name string) string {
	for _, a := range t.Attr {
		if a.Name.Local == name && a.Name.Space == space {
			return a.Value
		}
	}
	return ""
}

// textOf reads an element's text to its end, without elements in it.
func textOf(d *xml.Decoder) (string, error) {
	var b strings.Builder
	for depth := 0; ; {
		tok, err := d.Token()
		if err != nil {
			return "", fmt.Errorf("it is not well-formed XML: %w", err)
		}
		switch t := tok.(type) {
		case xml.CharData:
			if depth == 0 {
				b.Write(t)
			}
		case xml.StartElement:
			if depth++; depth > maxXMLDepth {
				return "", errors.New("its elements are nested too deep")
			}
		case xml.EndElement:
			if depth--; depth < 0 {
				return strings.TrimSpace(b.String()), nil
			}
		}
	}
}

func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a strings.Builder does not fail
	return b.String()
}

// checkXML accepts a well-formed document with the given root element that does not declare entities: what reads it
// later may expand them without limit.
func checkXML(data []byte, root string) error {
	d := xml.NewDecoder(bytes.NewReader(data))
	d.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil }
	seen := false
	depth := 0
	for {
		tok, err := d.RawToken()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("it is not well-formed XML: %w", err)
		}
		switch t := tok.(type) {
		case xml.Directive:
			if bytes.Contains(bytes.ToUpper(t), []byte("ENTITY")) {
				return errors.New("it declares XML entities")
			}
		case xml.StartElement:
			if !seen && t.Name.Local != root {
				return fmt.Errorf("it is not a %s document", root)
			}
			seen = true
			if depth++; depth > 1000 {
				return errors.New("its elements are nested too deep")
			}
		case xml.EndElement:
			depth--
		}
	}
	if !seen || depth != 0 {
		return fmt.Errorf("it is not a %s document", root)
	}
	return nil
}
