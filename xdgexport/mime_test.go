// SPDX-License-Identifier: MIT

package xdgexport

import (
	"encoding/xml"
	"strings"
	"testing"
)

func TestMIME(t *testing.T) {
	const in = `<?xml version="1.0"?>
<!DOCTYPE mime-info>
<mime-info xmlns="http://www.freedesktop.org/standards/shared-mime-info">
 <mime-type type="application/x-example">
  <comment>Example &lt;file&gt;</comment><comment xml:lang="de">Beispiel</comment>
  <icon name="org.example.App-doc"/><icon name="text-x-generic"/>
  <magic priority="100"><match type="string" offset="0" value="PK"/></magic>
  <glob pattern="*.exm" weight="80"/><glob pattern="*.exn" weight="10"/><glob pattern="*"/><glob pattern="*.bundle"/><glob pattern="[a-z]*"/>
  <glob-deleteall/><alias type="text/plain"/><sub-class-of type="text/plain"/><sub-class-of type="application/vnd.glick.bundle"/>
  <root-XML namespaceURI="http://www.w3.org/1999/xhtml" localName="html"/>
  <foreign xmlns="http://example.org/"><glob pattern="*.txt"/></foreign>
 </mime-type>
 <mime-type type="application/vnd.glick.bundle"><glob pattern="*.x"/></mime-type>
 <mime-type type='bad"/type'><glob pattern="*.y"/></mime-type>
</mime-info>`
	types, notes, err := parseMIME([]byte(in))
	if err != nil {
		t.Fatal(err)
	}
	const want = `<?xml version="1.0" encoding="UTF-8"?>
<mime-info xmlns="http://www.freedesktop.org/standards/shared-mime-info">
  <mime-type type="application/x-example">
    <comment>Example &lt;file&gt;</comment>
    <comment xml:lang="de">Beispiel</comment>
    <icon name="text-x-generic"/>
    <sub-class-of type="text/plain"/>
    <glob pattern="*.exm" weight="20"/>
    <glob pattern="*.exn" weight="10"/>
  </mime-type>
</mime-info>
`
	if out := writeMIME(types); string(out) != want {
		t.Errorf("got\n%s\nwant\n%s", out, want)
	}
	for _, n := range []string{"magic", "glob-deleteall", "alias", "root-XML", "vnd.glick.bundle"} {
		if !strings.Contains(strings.Join(notes, "\n"), n) {
			t.Errorf("nothing is said of %s", n)
		}
	}
}

func TestMIMERefuses(t *testing.T) {
	const open = `<mime-info xmlns="http://www.freedesktop.org/standards/shared-mime-info">`
	for name, in := range map[string]string{
		"nothing":   "",
		"not XML":   "[Desktop Entry]",
		"other":     "<svg/>",
		"no type":   open + "</mime-info>",
		"cut off":   open + `<mime-type type="a/b"><comment>x`,
		"entities":  `<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>` + open + `<mime-type type="a/b"><comment>&b;</comment></mime-type></mime-info>`,
		"namespace": `<mime-info><mime-type type="a/b"/></mime-info>`,
		"deep":      open + `<mime-type type="a/b"><comment>` + strings.Repeat("<x>", 100000),
	} {
		if types, _, err := parseMIME([]byte(in)); err == nil {
			t.Errorf("%s: accepted as %s", name, writeMIME(types))
		}
	}
}

func TestPictures(t *testing.T) {
	for in, want := range map[string]string{
		`<svg xmlns="http://www.w3.org/2000/svg"><g/></svg>`:                                     `<svg xmlns="http://www.w3.org/2000/svg"><g></g></svg>`,
		`<?xml version="1.0"?><!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "x"><svg>a</svg>`:   `<svg>a</svg>`,
		`<svg onload="x()"><script>x()</script><a:script xmlns:a="x"/><g OnClick="x"/></svg>`:    `<svg><g></g></svg>`,
		`<svg><image xlink:href="file:///etc/passwd"/><use href="#a" xlink:href=" #b"/></svg>`:   `<svg><image></image><use href="#a" xlink:href=" #b"></use></svg>`,
		`<svg><style>@import "http://x";</style><style>a{fill:url(#b)}</style></svg>`:            `<svg><style>a{fill:url(#b)}</style></svg>`,
		`<svg><style>a{fill:url( "http://x/")}</style><g style="fill:url(x)" fill="red"/></svg>`: `<svg><g fill="red"></g></svg>`,
		`<svg><style><g/>@import "x"</style></svg>`:                                              `<svg></svg>`,
		`<!DOCTYPE svg [<!ENTITY a "b">]><svg/>`:                                                 ``,
		`<html/>`:                                                                                ``,
		``:                                                                                       ``,
		`<svg>`:                                                                                  ``,
		`<svg`:                                                                                   ``,
		`<svg></g>`:                                                                              ``,
		`<svg/><svg/>`:                                                                           ``,
		"<svg>" + strings.Repeat("<g>", 300) + strings.Repeat("</g>", 300) + "</svg>": ``,
	} {
		out, _, err := rewriteXML([]byte(in), svgRules)
		got, _ := strings.CutPrefix(strings.TrimSpace(string(out)), xml.Header)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%.200s became %s, %v; want %s", in, got, err, want)
		}
	}
}

func FuzzMIME(f *testing.F) {
	f.Add([]byte(`<mime-info xmlns="http://www.freedesktop.org/standards/shared-mime-info"><mime-type type="text/b"><glob pattern="*.x"/></mime-type></mime-info>`))
	seed(f, "share/mime/packages/", ".xml")
	f.Fuzz(func(t *testing.T, in []byte) {
		types, _, err := parseMIME(in)
		if err != nil {
			return
		}
		out := writeMIME(types)
		again, notes, err := parseMIME(out)
		if err != nil || len(notes) > 0 || string(writeMIME(again)) != string(out) {
			t.Errorf("not stable: %v %v\n%s\n%s", err, notes, out, writeMIME(again))
		}
		for _, typ := range types {
			if !validType(typ.name) || strings.HasPrefix(typ.name, "x-scheme") {
				t.Errorf("defines %s", typ.name)
			}
		}
	})
}

func FuzzXML(f *testing.F) {
	f.Add([]byte(`<svg xmlns="http://www.w3.org/2000/svg" a:b="c"><g style="fill:url(#a)">&lt;<![CDATA[<x>]]></g></svg>`))
	seed(f, "share/icons/", ".svg")
	f.Fuzz(func(t *testing.T, in []byte) {
		out, _, err := rewriteXML(in, svgRules)
		if err != nil {
			return
		}
		again, dropped, err := rewriteXML(out, svgRules)
		if err != nil || len(dropped) > 0 || string(again) != string(out) {
			t.Errorf("not stable: %v %v\n%s\n%s", err, dropped, out, again)
		}
	})
}
