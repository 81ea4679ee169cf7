// SPDX-License-Identifier: MIT

package xdgexport

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"glick.org/glick/internal/sample"
	"glick.org/glick/xdgexport/apps"
)

// A hostile export is a txtar archive in testdata/hostile. Its comment says in prose what is tried, and in lines that
// begin with a word and a colon what the bundle is and what must become of it:
//
//	commands: a b       commands of the manifest
//	fill: PATH N        a file of N letters
//	png: PATH N         a picture of N×N pixels
//	gzip: PATH N        a packed file of N zeros
//	bare:               the bundle has only what is here, not what every sample has
//	left: TEXT          something is left out, with TEXT in what is said of it
//	none: PATH          no file of that path is shown; a path that ends in / is a folder
//	file: PATH          such a file is shown
//	has: PATH TEXT      and has TEXT in it
//	lacks: PATH TEXT    or has not
//
// The files of the archive are files of the bundle. One whose content begins with "-> " is a symbolic link.
type hostile struct {
	name     string
	tree     sample.Tree
	commands []string
	checks   [][]string
	bare     bool
}

func readHostile(t testing.TB, file string) hostile {
	t.Helper()
	a, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	h := hostile{name: strings.TrimSuffix(filepath.Base(file), ".txtar"), tree: sample.Tree{}}
	for _, f := range a.Files {
		content := string(f.Data)
		if strings.HasPrefix(content, "-> ") {
			content = strings.TrimSpace(content)
		}
		h.tree[f.Name] = content
	}
	for text := range strings.Lines(string(a.Comment)) {
		key, rest, ok := strings.Cut(strings.TrimSpace(text), ":")
		words := strings.Fields(rest)
		number := func() int {
			n, err := strconv.Atoi(words[1])
			if err != nil {
				t.Fatalf("%s: %s", file, text)
			}
			return n
		}
		switch {
		case !ok || strings.Contains(key, " "):
		case key == "bare":
			h.bare = true
		case key == "commands":
			h.commands = words
		case key == "fill":
			h.tree[words[0]] += strings.Repeat("x", number())
		case key == "png":
			h.tree[words[0]] = sample.Icon(number())
		case key == "gzip":
			var b bytes.Buffer
			z := gzip.NewWriter(&b)
			z.Write(make([]byte, number()))
			z.Close()
			h.tree[words[0]] = b.String()
		case slices.Contains([]string{"left", "none", "file", "has", "lacks"}, key):
			path, text, _ := strings.Cut(strings.TrimSpace(rest), " ")
			if key == "left" {
				path, text = "", strings.TrimSpace(rest)
			}
			h.checks = append(h.checks, []string{key, path, text})
		}
	}
	return h
}

func hostiles(t testing.TB) []hostile {
	t.Helper()
	files, err := filepath.Glob("testdata/hostile/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no hostile exports", err)
	}
	var all []hostile
	for _, f := range files {
		all = append(all, readHostile(t, f))
	}
	return all
}

// seed gives a fuzzer what the hostile exports have in a folder.
func seed(f *testing.F, dir, suffix string) {
	f.Helper()
	for _, h := range hostiles(f) {
		for name, content := range h.tree {
			if strings.HasPrefix(name, dir) && strings.HasSuffix(name, suffix) {
				f.Add([]byte(content))
			}
		}
	}
}

// The world around the hostile bundles.
func hostWorld(t testing.TB) Options {
	t.Helper()
	top := t.TempDir()
	for name, content := range map[string]string{
		"share/mime/types":                        "text/plain\napplication/pdf\ntext/html\n",
		"share/mime/aliases":                      "application/x-pdf application/pdf\n",
		"share/mime/globs2":                       "# x\n50:application/pdf:*.pdf\n50:text/plain:*.txt\n50:application/x-troff-man:*.[1-9]\n50:text/x-makefile:makefile\n50:application/gzip:*.gz\n",
		"share/applications/files.desktop":        "[Desktop Entry]\n",
		"share/man/man1/taken-page.1.gz":          "x",
		"bin/taken":                               "x",
		"share/applications/org.gnome.Eg.desktop": "[Desktop Entry]\n",
	} {
		name = filepath.Join(top, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return Options{
		DataHome: "/nowhere/share", BinHome: "/nowhere/bin", ConfigHome: "/nowhere/config", Glick: "/usr/bin/glick", Autostart: []string{id},
		DataDirs: []string{filepath.Join(top, "share")}, CommandDirs: []string{filepath.Join(top, "bin")},
	}
}

func TestHostile(t *testing.T) {
	all := hostiles(t)
	if len(all) < 40 {
		t.Errorf("%d hostile exports", len(all))
	}
	o := hostWorld(t)
	for _, h := range all {
		t.Run(h.name, func(t *testing.T) {
			tree := sample.App(id)
			if h.bare {
				tree = sample.Tree{"bin/app": "#!/bin/sh\n"}
			}
			for name, content := range h.tree {
				tree[name] = content
			}
			a, err := apps.Find(sample.BuildCommands(t, t.TempDir(), id, "1", tree, h.commands...))
			if err != nil {
				t.Fatal(err)
			}
			a.Default = true
			w, err := Plan([]apps.App{a}, o)
			if err != nil {
				t.Fatal(err)
			}
			checkShown(t, w)
			files := map[string]string{}
			for _, f := range w.Files {
				files[f.Path] = string(f.Content)
			}
			if len(h.checks) == 0 {
				t.Error("nothing is expected")
			}
			for _, c := range h.checks {
				key, path, text := c[0], c[1], c[2]
				content, shown := files[path]
				switch {
				case key == "left":
					if !slices.ContainsFunc(w.Left, func(l LeftOut) bool { return strings.Contains(l.String(), text) }) {
						t.Errorf("nothing is said of %q", text)
					}
				case key == "none" && strings.HasSuffix(path, "/"):
					for p := range files {
						if strings.HasPrefix(p, path) {
							t.Errorf("%s is shown", p)
						}
					}
				case key == "none" && shown:
					t.Errorf("%s is shown as\n%s", path, content)
				case key == "none":
				case !shown:
					t.Errorf("%s is not shown", path)
				case key == "has" && !strings.Contains(content, text), key == "lacks" && strings.Contains(content, text):
					t.Errorf("%s %s %q:\n%s", path, key, text, content)
				}
			}
			if t.Failed() {
				t.Logf("planned\n%s", w)
			}
		})
	}
}

// checkShown holds what is shown to the rules that have no exception, whatever the bundle.
func checkShown(t *testing.T, w Wanted) {
	t.Helper()
	var commands []string
	for _, f := range w.Files {
		if name, ok := strings.CutPrefix(f.Path, "bin/"); ok {
			commands = append(commands, name)
		}
	}
	for _, f := range w.Files {
		base := filepath.Base(f.Path)
		stem := strings.TrimPrefix(base, "_")
		if !ownPath(f.Path) || len(f.Content) > maxFont || !printable(f.Path) {
			t.Errorf("path %q", f.Path)
		}
		switch areaOf(f.Path) {
		case fontsArea:
			if !strings.HasPrefix(f.Path, "fonts/"+id+"/") {
				t.Errorf("a font in %s", f.Path)
			}
		case commandsArea, pagesArea, bashArea, zshArea, fishArea:
			if !slices.Contains(commands, stem) && !slices.Contains(commands, strings.TrimSuffix(stem, filepath.Ext(stem))) {
				t.Errorf("%s is of no command", f.Path)
			}
		default:
			if !strings.HasPrefix(base, id+".") && !strings.HasPrefix(base, id+"-") {
				t.Errorf("%s does not begin with the id", f.Path)
			}
		}
		if (f.Mode == 0o755) != (areaOf(f.Path) == commandsArea) || f.Mode&^0o755 != 0 {
			t.Errorf("%s has the mode %o", f.Path, f.Mode)
		}
		for text := range strings.Lines(string(f.Content)) {
			text = strings.TrimRight(text, "\n")
			switch areaOf(f.Path) {
			case entriesArea, autostartArea, busArea:
				if line, ok := strings.CutPrefix(text, "Exec="); ok && !strings.HasPrefix(line, "/usr/bin/glick run "+id+" ") {
					t.Errorf("%s starts %s", f.Path, line)
				}
			case commandsArea:
				if !strings.HasPrefix(text, "#") && !strings.HasPrefix(text, "exec /usr/bin/glick run "+id+" ") {
					t.Errorf("%s starts %s", f.Path, text)
				}
			case typesArea, iconsArea, infoArea:
				if strings.Contains(text, "<!") && !strings.HasSuffix(f.Path, ".png") {
					t.Errorf("%s declares %s", f.Path, text)
				}
			}
		}
	}
}
