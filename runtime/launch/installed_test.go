// SPDX-License-Identifier: MIT

package launch_test

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"glick.org/glick/bundle"
	"glick.org/glick/runtime/launch"
	"glick.org/glick/runtime/session"
)

// asker is a running instance whose shell is asked questions.
type asker struct {
	t   *testing.T
	in  *bufio.Writer
	out *bufio.Reader
}

func newAsker(t *testing.T, w way, file string) *asker {
	t.Helper()
	cmd := command(w, file)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Wait()
	})
	return &asker{t, bufio.NewWriter(in), bufio.NewReader(out)}
}

// ask runs a line of shell and returns what it prints, without the last end of line.
func (a *asker) ask(line string) string {
	a.t.Helper()
	_, _ = a.in.WriteString(line + "\nprintf '\\n=end\\n'\n") // what it prints may lack an end of line
	if err := a.in.Flush(); err != nil {
		a.t.Fatal(err)
	}
	var all strings.Builder
	for {
		l, err := a.out.ReadString('\n')
		if err != nil {
			a.t.Fatalf("%s: %v", line, err)
		}
		if l == "=end\n" {
			return strings.TrimRight(all.String(), "\n")
		}
		all.WriteString(l)
	}
}

func (a *asker) want(line, want string) {
	a.t.Helper()
	if got := a.ask(line); got != want {
		a.t.Errorf("%s: %q, want %q", line, got, want)
	}
}

// installedBundle describes a bundle file as the service's owner does.
func installedBundle(t *testing.T, file string) session.Bundle {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Read(f, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	return session.Bundle{File: file, Digest: b.Digest()}
}

// TestInstalledAreSeen: a running application sees what installed ones export, and their files, as they come and go.
func TestInstalledAreSeen(t *testing.T) {
	shell := map[string]string{"bin/sh*": "#!/bin/sh\nexec /bin/sh\n", "share/mixed/own": "own", "share/mixed/both": "own", "file": "own"}
	file := makeBundle(t, shell, func(o *bundle.BuildOptions) { o.Exec = "bin/sh" })
	other := makeBundle(t, map[string]string{"data/text": "from the other"}, func(o *bundle.BuildOptions) { o.ID = "org.example.Other" })
	third := makeBundle(t, map[string]string{"data/text": "from the third"}, func(o *bundle.BuildOptions) { o.ID = "org.example.Third" })
	host := folder(t)
	if err := os.WriteFile(filepath.Join(host, "exported"), []byte("exported"), 0o644); err != nil {
		t.Fatal(err)
	}
	target := filepath.Join(host, "exported")

	for name, plan := range map[string]bool{"service": false, "fast": true} {
		t.Run(name, func(t *testing.T) {
			var w way
			if w = service(t, nil); plan {
				w = service(t, launch.Answer)
			}
			root := filepath.Join(strings.TrimPrefix(w.env[0], "XDG_RUNTIME_DIR="), "glick", "fs")
			a := newAsker(t, w, file)
			const at = "/opt/bundle"
			// Nothing is installed: the kernel learns what is not there.
			a.want("ls -A "+at, "bin\nfile\nshare")
			a.want("ls "+at+"/share/mixed", "both\nown")
			a.want("cat "+at+"/share/new/deep/name 2>&1 || test -e "+at+"/share/mixed/guest || echo absent", "cat: "+at+"/share/new/deep/name: No such file or directory\nabsent")
			a.want("ls "+at+"/.bundles/", "org.example.Test")
			a.want("cat "+at+"/.bundles/org.example.Test/file", "own")

			w.pool.Set(session.Installed{
				Bundles: map[string]session.Bundle{"org.example.Other": installedBundle(t, other)},
				Exports: map[string]string{
					"share/mixed/guest": target, "share/mixed/both": "/hidden", "share/new/deep/name": target, "file/below": target, "top": target,
					"../outside": target, "/absolute": target, "a/../b": target, "": target,
				},
			})
			a.want("cat "+at+"/share/new/deep/name", "exported")
			a.want("cat "+at+"/share/mixed/guest", "exported")
			a.want("cat "+at+"/share/mixed/both", "own")
			a.want("ls "+at+"/share/mixed", "both\nguest\nown")
			a.want("ls -A "+at, "bin\nfile\nshare\ntop")
			a.want("ls "+at+"/share", "mixed\nnew")
			a.want("readlink "+at+"/share/mixed/guest", target)
			a.want("stat -c %F "+at+"/share/new/deep", "directory")
			a.want("ls "+at+"/.bundles/", "org.example.Other\norg.example.Test")
			a.want("cat "+at+"/.bundles/org.example.Other/data/text", "from the other")
			a.want("cat "+at+"/.bundles/org.example.Other/share/new/deep/name", "exported")
			// From outside.
			if list, err := os.ReadDir(filepath.Join(root, "exports", "share")); err != nil || len(list) != 2 {
				t.Errorf("exports: %v, %v", list, err)
			}
			if link, err := os.Readlink(filepath.Join(root, "bundles", "org.example.Other")); err != nil || !strings.HasPrefix(link, "../trees/") {
				t.Errorf("the link to the bundle: %q, %v", link, err)
			}
			if data, err := os.ReadFile(filepath.Join(root, "bundles", "org.example.Other", "data", "text")); err != nil || string(data) != "from the other" {
				t.Errorf("%q, %v", data, err)
			}

			// One goes, another one comes, while a file of the one that goes is open.
			a.ask("exec 7<" + at + "/.bundles/org.example.Other/data/text")
			w.pool.Set(session.Installed{
				Bundles: map[string]session.Bundle{"org.example.Third": installedBundle(t, third)},
				Exports: map[string]string{"share/mixed/later": target, "share/new": target},
			})
			a.want("ls "+at+"/share/mixed", "both\nlater\nown")
			a.want("cat "+at+"/share/new", "exported")
			a.want("test -e "+at+"/share/mixed/guest || test -e "+at+"/top || echo gone", "gone")
			a.want("ls "+at+"/.bundles/", "org.example.Test\norg.example.Third")
			a.want("cat "+at+"/.bundles/org.example.Third/data/text", "from the third")
			a.want("cat <&7", "from the other")
			a.ask("exec 7<&-")
			// Nobody looks at it any more: the service lets go of the file.
			deadline := time.Now().Add(10 * time.Second)
			for holds(t, other) {
				if time.Now().After(deadline) {
					t.Fatal("the service still has the bundle open that was uninstalled")
				}
				time.Sleep(10 * time.Millisecond)
			}
			w.pool.Set(session.Installed{})
			a.want("ls -A "+at+"; ls "+at+"/share "+at+"/share/mixed", "bin\nfile\nshare\n"+at+"/share:\nmixed\n\n"+at+"/share/mixed:\nboth\nown")
			if _, err := os.Stat(filepath.Join(root, "exports", "share")); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("exports: %v", err)
			}
		})
	}
}

// holds says whether this process has a file open.
func holds(t *testing.T, file string) bool {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if target, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && target == file {
			return true
		}
	}
	return false
}
