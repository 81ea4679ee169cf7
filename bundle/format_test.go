// SPDX-License-Identifier: MIT

package bundle_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"glick.org/glick/bundle"
)

// update makes tests write the files anew that they compare to.
var update = flag.Bool("update", false, "write the files that the tests compare to")

// The example in the format's description lies between these lines.
const (
	exampleBegin = "<!-- example: made by the tests of package bundle -->\n```\n"
	exampleEnd   = "```\n<!-- end of example -->\n"
)

// TestWorkedExample makes the slice that doc/format.md shows, and compares it to what is shown.
func TestWorkedExample(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "bin/hi", "#!/bin/sh\necho hi\n", 0o755)
	write(t, dir, "empty", "", 0o644)
	for _, d := range []string{"bin"} {
		if err := os.Chmod(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("hi", filepath.Join(dir, "bin/hello")); err != nil {
		t.Fatal(err)
	}
	want := hexDump(library(t, dir, bundle.SliceOptions{Name: "hi", Version: "1.0"}))
	const doc = "../doc/format.md"
	text, err := os.ReadFile(doc)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), exampleBegin)
	got, after, ok2 := strings.Cut(rest, exampleEnd)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the example", doc)
	}
	if got == want {
		return
	}
	if !*update {
		t.Fatalf("the example in %s is not what is written now; run with -update", doc)
	}
	if err := os.WriteFile(doc, []byte(before+exampleBegin+want+exampleEnd+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// hexDump is what hexdump -C prints.
func hexDump(data []byte) string {
	var b strings.Builder
	var last []byte
	same := false
	for at := 0; at < len(data); at += 16 {
		line := data[at:min(at+16, len(data))]
		if at > 0 && bytes.Equal(line, last) {
			if !same {
				b.WriteString("*\n")
			}
			same = true
			continue
		}
		last, same = line, false
		fmt.Fprintf(&b, "%08x ", at)
		for i := range 16 {
			if i == 8 {
				b.WriteByte(' ')
			}
			if i < len(line) {
				fmt.Fprintf(&b, " %02x", line[i])
			} else {
				b.WriteString("   ")
			}
		}
		b.WriteString("  |")
		for _, c := range line {
			if c < ' ' || c > '~' {
				c = '.'
			}
			b.WriteByte(c)
		}
		b.WriteString("|\n")
	}
	fmt.Fprintf(&b, "%08x\n", len(data))
	return b.String()
}

// TestSamples opens the sample of each version of the format: they must open for ever. A new version gets a file of its own here; an existing
// file is never written again.
func TestSamples(t *testing.T) {
	for _, c := range []struct{ file, digest string }{
		{"testdata/format-1.bundle", "format-1"},
	} {
		data, err := os.ReadFile(c.file)
		if os.IsNotExist(err) && *update {
			lang := t.TempDir()
			write(t, lang, "share/locale/fr/hello.mo", strings.Repeat("bonjour ", 100), 0o644)
			o := bundle.BuildOptions{Stub: fakeStub(), Version: "1.0", Slices: []*bundle.Bundle{
				readSlice(t, library(t, libraryTree(t), bundle.SliceOptions{Name: "libfoo", Version: "1.0"})),
				readSlice(t, library(t, lang, bundle.SliceOptions{Name: "lang-fr", Optional: true})),
			}}
			data = build(t, smallTree(t), o)
			err = os.WriteFile(c.file, data, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
		b := read(t, data)
		if m := b.Manifest(); m.ID != "org.example.Hello" || m.Version != "1.0" || m.Exec != "bin/hello" || len(m.Slices) != 3 {
			t.Errorf("%s: %+v", c.file, m)
		}
		if icon, err := b.Icon(48); err != nil || len(icon) == 0 {
			t.Errorf("%s: icon %d bytes, %v", c.file, len(icon), err)
		}
		if text, err := b.DesktopFile(); string(text) != desktop || err != nil {
			t.Errorf("%s: desktop file %q, %v", c.file, text, err)
		}
		if _, err := b.Verify(context.Background(), nil); err != nil {
			t.Errorf("%s: %v", c.file, err)
		}
		out := filepath.Join(t.TempDir(), "out")
		if err := tree(t, data).Extract(context.Background(), 0, out, bundle.ExtractOptions{}); err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]string{
			"bin/hi": "#!/bin/sh\necho hello\n", "share/text": strings.Repeat("all work and no play\n", 5000), "share/foo/data": "data",
			"share/locale/fr/hello.mo": strings.Repeat("bonjour ", 100), "lib/libfoo.so.1": strings.Repeat("not quite a library\n", 4000),
		} {
			if text, err := os.ReadFile(filepath.Join(out, name)); err != nil || string(text) != want {
				t.Errorf("%s: %s is %.50q, %v", c.file, name, text, err)
			}
		}
	}
}
