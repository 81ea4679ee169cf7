// SPDX-License-Identifier: MIT

package xdgexport

import (
	"strings"
	"testing"
)

func TestRewriteMIME(t *testing.T) {
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
	out, notes, err := rewriteMIME([]byte(in), "org.example.App")
	if err != nil {
		t.Fatal(err)
	}
	const want = `<?xml version="1.0" encoding="UTF-8"?>
<mime-info xmlns="http://www.freedesktop.org/standards/shared-mime-info">
  <mime-type type="application/x-example">
    <comment>Example &lt;file&gt;</comment>
    <comment xml:lang="de">Beispiel</comment>
    <icon name="org.example.App-doc"></icon>
    <glob pattern="*.exm" weight="49"></glob>
    <glob pattern="*.exn" weight="10"></glob>
    <sub-class-of type="text/plain"></sub-class-of>
  </mime-type>
</mime-info>
`
	if string(out) != want {
		t.Errorf("got\n%s\nwant\n%s", out, want)
	}
	for _, n := range []string{"magic", "glob-deleteall", "alias", "root-XML", "text-x-generic", "vnd.glick.bundle"} {
		if !strings.Contains(strings.Join(notes, "\n"), n) {
			t.Errorf("nothing is said of %s", n)
		}
	}
}

func TestRewriteMIMERefuses(t *testing.T) {
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
		if out, _, err := rewriteMIME([]byte(in), "org.example.App"); err == nil {
			t.Errorf("%s: accepted as %s", name, out)
		}
	}
}

func TestCheckXML(t *testing.T) {
	for in, ok := range map[string]bool{
		`<svg xmlns="http://www.w3.org/2000/svg"><g/></svg>`:                                  true,
		`<?xml version="1.0"?><!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "x"><svg></svg>`: true,
		`<!DOCTYPE svg [<!ENTITY a "b">]><svg/>`:                                              false,
		`<html/>`:                                                                             false, ``: false, `<svg>`: false, `<svg`: false,
	} {
		if err := checkXML([]byte(in), "svg"); (err == nil) != ok {
			t.Errorf("checkXML(%s) = %v", in, err)
		}
	}
}

func FuzzMIME(f *testing.F) {
	f.Add([]byte(`<mime-info xmlns="http://www.freedesktop.org/standards/shared-mime-info"><mime-type type="a/b"><glob pattern="*.x"/></mime-type></mime-info>`))
	f.Fuzz(func(t *testing.T, in []byte) {
		out, _, err := rewriteMIME(in, "org.example.App")
		if err != nil {
			return
		}
		again, notes, err := rewriteMIME(out, "org.example.App")
		if err != nil || len(notes) > 0 || string(again) != string(out) {
			t.Errorf("not stable: %v %v\n%s\n%s", err, notes, out, again)
		}
	})
}
