// SPDX-License-Identifier: MIT

package keyfile_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"glick.org/glick/bundle/keyfile"
)

const entry = `# a comment

[Desktop Entry]
Name=Hello
Name[de]=Hallo
# another
Exec = hello %U
Actions=new;

Path=\sa\tb\\n
List=a;b\;c;d\\;;

[Desktop Action new]
Name=New
`

func TestParse(t *testing.T) {
	f, err := keyfile.Parse([]byte(entry))
	if err != nil {
		t.Fatal(err)
	}
	g := f.Group("Desktop Entry")
	if v, ok := g.Get("Exec"); v != "hello %U" || !ok {
		t.Errorf("Exec %q", v)
	}
	if v := g.String("Path"); v != " a\tb\\n" {
		t.Errorf("Path %q", v)
	}
	if v := g.List("List"); !slices.Equal(v, []string{"a", "b;c", `d\`}) {
		t.Errorf("List %q", v)
	}
	if k := g.Keys(); !slices.Equal(k, []string{"Name", "Name[de]", "Exec", "Actions", "Path", "List"}) {
		t.Errorf("keys %q", k)
	}
	if len(f.Groups()) != 2 || f.Groups()[1].Name() != "Desktop Action new" {
		t.Error("groups")
	}
	if v, ok := f.Group("none").Get("x"); v != "" || ok {
		t.Error("a group that is not there has a key")
	}
	g.Set("Name", "Bye")
	g.Set("New", "a\nb")
	g.Delete("Actions")
	f.Remove("Desktop Action new")
	want := "# a comment\n\n[Desktop Entry]\nName=Bye\nName[de]=Hallo\n# another\nExec=hello %U\n\nPath=\\sa\\tb\\\\n\nList=a;b\\;c;d\\\\;;\n\nNew=a b\n"
	if got := string(f.Bytes()); got != want {
		t.Errorf("written:\n%s", got)
	}
	if v, _ := g.Get("List"); v == "" {
		t.Error("a key is lost after Delete")
	}
}

func TestParseRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		line int
	}{
		"key before a group": {"a=b\n", 1},
		"no key":             {"[a]\n=b\n", 2},
		"no equals sign":     {"[a]\n\nword\n", 3},
		"group twice":        {"[a]\n[b]\n[a]\n", 3},
		"key twice":          {"[a]\nx=1\nx=2\n", 3},
		"open header":        {"[a\n", 1},
		"empty header":       {"[]\n", 1},
		"nested header":      {"[a[b]]\n", 1},
		"zero byte":          {"[a]\nx=\x00\n", 2},
		"not UTF-8":          {"[a]\nx=\xff\n", 2},
		"space in a key":     {"[a]\nx y=1\n", 2},
	} {
		_, err := keyfile.Parse([]byte(c.text))
		var syntax *keyfile.SyntaxError
		if !errors.As(err, &syntax) || syntax.Line != c.line {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEscape(t *testing.T) {
	for _, s := range []string{"", " ", "  a  ", "a\nb\tc\\d", `\s`, "ü;", " \n"} {
		if got := keyfile.Unescape(keyfile.Escape(s)); got != s {
			t.Errorf("%q becomes %q", s, got)
		}
		var f keyfile.File
		g := f.Add("g")
		g.Set("k", keyfile.Escape(s))
		g.SetList("l", []string{s + "x", ";" + s})
		again, err := keyfile.Parse(f.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if got := again.Group("g").String("k"); got != s {
			t.Errorf("%q is read as %q", s, got)
		}
		if got := again.Group("g").List("l"); !slices.Equal(got, []string{s + "x", ";" + s}) {
			t.Errorf("list of %q is read as %q", s, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(entry))
	f.Add([]byte("[a]\nb=c"))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := keyfile.Parse(data)
		if err != nil {
			return
		}
		text := file.Bytes()
		again, err := keyfile.Parse(text)
		if err != nil || !bytes.Equal(again.Bytes(), text) {
			t.Fatalf("written again: %v\n%q\n%q", err, text, again.Bytes())
		}
	})
}
