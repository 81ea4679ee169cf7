// SPDX-License-Identifier: MIT

package xdgexport

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

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
				return strings.Join(strings.Fields(b.String()), " "), nil
			}
		}
	}
}

var xmlEscaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;")

// escape makes text, or a value within quotes, of an XML document.
func escape(s string) string { return xmlEscaper.Replace(s) }

// xmlRules say what of a document is taken over.
type xmlRules struct {
	root string
	// element tells whether an element is taken over, with all in it that the rules let through. above is the element
	// that it is in, empty for the root.
	element func(name, above string, attrs []xml.Attr) bool
	// attr tells whether an attribute is.
	attr func(element, name, value string) bool
	// text tells whether an element with this text is. Only elements that have no other elements in them are asked for;
	// nil accepts all.
	text func(element, above, text string, attrs []xml.Attr) bool
	// deep is how deep elements may be nested.
	deep int
}

// frame is an element on the way to where the rewriting is.
type frame struct {
	name  string
	attrs []xml.Attr
	start int // in the output, of its start tag
	body  int // in the output, of what follows it
	inner bool
}

// rewriteXML writes a document anew, with what the rules let through: no document type, no entities, no processing
// instructions, no comments. Names keep their prefixes. dropped are the names of the elements that were left out.
func rewriteXML(data []byte, rules xmlRules) (out []byte, dropped []string, err error) {
	if len(data) > maxContent {
		return nil, nil, fmt.Errorf("it is too large (%d bytes, at most %d)", len(data), maxContent)
	}
	d := xml.NewDecoder(bytes.NewReader(data))
	var (
		b     bytes.Buffer
		stack []frame
		skip  []string // within an element that is left out
		seen  bool
		notes noteList
	)
	b.WriteString(xml.Header)
	for {
		tok, err := d.RawToken()
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
		case xml.StartElement:
			name := rawName(t.Name)
			if len(stack)+len(skip) >= rules.deep {
				return nil, nil, errors.New("its elements are nested too deep")
			}
			if len(skip) > 0 {
				skip = append(skip, name)
				continue
			}
			above := ""
			if len(stack) > 0 {
				above = stack[len(stack)-1].name
			} else if seen || name != rules.root {
				return nil, nil, fmt.Errorf("it is not a %s document", rules.root)
			}
			if !rules.element(name, above, t.Attr) {
				if !seen {
					return nil, nil, fmt.Errorf("it is not a %s document that an application may have", rules.root)
				}
				notes.add(name)
				skip = append(skip, name)
				continue
			}
			seen = true
			if len(stack) > 0 {
				stack[len(stack)-1].inner = true
			}
			f := frame{name: name, start: b.Len()}
			b.WriteString("<" + name)
			for _, a := range t.Attr {
				if an := rawName(a.Name); rules.attr(name, an, a.Value) {
					f.attrs = append(f.attrs, a)
					b.WriteString(" " + an + `="` + attrEscaper.Replace(a.Value) + `"`)
				}
			}
			b.WriteString(">")
			f.body = b.Len()
			stack = append(stack, f)
		case xml.EndElement:
			name := rawName(t.Name)
			if n := len(skip); n > 0 {
				if skip[n-1] != name {
					return nil, nil, errors.New("it is not well-formed XML: its elements overlap")
				}
				skip = skip[:n-1]
				continue
			}
			n := len(stack)
			if n == 0 || stack[n-1].name != name {
				return nil, nil, errors.New("it is not well-formed XML: its elements overlap")
			}
			f := stack[n-1]
			stack = stack[:n-1]
			if rules.text != nil && !f.inner {
				above := ""
				if n > 1 {
					above = stack[n-2].name
				}
				if !rules.text(name, above, unescapeXML(b.String()[f.body:]), f.attrs) {
					notes.add(name)
					b.Truncate(f.start)
					continue
				}
			}
			b.WriteString("</" + name + ">")
		case xml.CharData:
			if len(skip) == 0 && len(stack) > 0 {
				b.WriteString(escape(string(t)))
			}
		}
	}
	if !seen || len(stack)+len(skip) > 0 {
		return nil, nil, fmt.Errorf("it is not a %s document", rules.root)
	}
	b.WriteByte('\n')
	return b.Bytes(), notes.list, nil
}

var (
	attrEscaper  = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "\t", "&#9;", "\n", "&#10;", "\r", "&#13;")
	xmlUnescaper = strings.NewReplacer("&amp;", "&", "&lt;", "<", "&gt;", ">", "&quot;", `"`)
)

func unescapeXML(s string) string { return strings.TrimSpace(xmlUnescaper.Replace(s)) }

// rawName is a name as it stands in the document.
func rawName(n xml.Name) string {
	if n.Space == "" {
		return n.Local
	}
	return n.Space + ":" + n.Local
}

func localName(name string) string { return name[strings.IndexByte(name, ':')+1:] }

// svgNever are the elements of SVG that do more than draw.
var svgNever = []string{"script", "foreignObject", "iframe", "audio", "video", "animate", "set", "animateTransform", "animateMotion", "handler", "listener"}

var svgRules = xmlRules{
	root: "svg", deep: 256,
	element: func(name, above string, _ []xml.Attr) bool {
		return !slices.Contains(svgNever, localName(name)) && localName(above) != "style"
	},
	attr: func(_, name, value string) bool {
		local := localName(name)
		value = strings.ToLower(strings.TrimSpace(value))
		switch {
		case strings.HasPrefix(strings.ToLower(local), "on"): // code
			return false
		case local == "href" || local == "src": // other files
			return strings.HasPrefix(value, "#") || strings.HasPrefix(value, "data:image/png;") || strings.HasPrefix(value, "data:image/jpeg;")
		case name == "xml:base":
			return false
		case name == "xmlns" || strings.HasPrefix(name, "xmlns:"):
			return true
		}
		return !foreignURL(value)
	},
	text: func(name, _, text string, _ []xml.Attr) bool {
		text = strings.ToLower(text)
		return localName(name) != "style" || !strings.Contains(text, "\\") && !foreignURL(text) && !strings.Contains(text, "@import")
	},
}

// foreignURL tells whether a style or an attribute refers to something outside the picture.
func foreignURL(s string) bool {
	for {
		_, rest, ok := strings.Cut(s, "url(")
		if !ok {
			return false
		}
		rest = strings.TrimLeft(rest, " \t\r\n\"'")
		if !strings.HasPrefix(rest, "#") && !strings.HasPrefix(rest, "data:image/") {
			return true
		}
		s = rest
	}
}
