// SPDX-License-Identifier: MIT

package bundle_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"glick.org/glick/bundle"
	"glick.org/glick/bundle/icon"
)

// program builds a small static program for the processor, once.
var program = sync.OnceValues(func() (map[string][]byte, error) {
	dir, err := os.MkdirTemp("", "glick-test-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	source := filepath.Join(dir, "main.go")
	text := "package main\n\nimport \"os\"\n\nfunc main() {\n\tos.Stdout.WriteString(\"hello \" + os.Args[1] + \"\\n\")\n\tos.Exit(7)\n}\n"
	if err := os.WriteFile(source, []byte(text), 0o666); err != nil {
		return nil, err
	}
	all := make(map[string][]byte)
	for arch, goarch := range map[string]string{"x86_64": "amd64", "aarch64": "arm64"} {
		out := filepath.Join(dir, arch)
		cmd := exec.Command(goCommand(), "build", "-trimpath", "-ldflags=-s -w", "-o", out, source)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+goarch, "GOFLAGS=", "GO111MODULE=off", "GOCACHE="+goCache(dir))
		if message, err := cmd.CombinedOutput(); err != nil {
			return nil, &buildError{string(message), err}
		}
		if all[arch], err = os.ReadFile(out); err != nil {
			return nil, err
		}
	}
	return all, nil
})

type buildError struct {
	message string
	err     error
}

func (e *buildError) Error() string { return e.err.Error() + ": " + e.message }

// goCommand finds the Go toolchain, or nothing when a test binary runs where there is none.
func goCommand() string {
	if p, err := exec.LookPath("go"); err == nil {
		return p
	}
	return ""
}

// goCache is the caller's build cache when there is one.
func goCache(dir string) string {
	if c := os.Getenv("GOCACHE"); c != "" {
		return c
	}
	if c, err := os.UserCacheDir(); err == nil {
		return filepath.Join(c, "go-build")
	}
	return filepath.Join(dir, "cache")
}

func stub(t testing.TB, arch string) []byte {
	t.Helper()
	if goCommand() == "" {
		t.Skip("no Go toolchain to build a stub with")
	}
	all, err := program()
	if err != nil {
		t.Fatal(err)
	}
	return all[arch]
}

// write makes a file of the tree under test.
func write(t testing.TB, dir, name, text string, mode os.FileMode) {
	t.Helper()
	name = filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, mode); err != nil { // not by WriteFile, which the umask changes
		t.Fatal(err)
	}
}

const desktop = `[Desktop Entry]
Type=Application
Name=Hello
Name[de]=Hallo
Exec=hello %U
Icon=org.example.Hello
`

const metainfo = `<?xml version="1.0" encoding="UTF-8"?>
<component type="desktop-application">
  <id>org.example.Hello</id>
  <releases>
    <release version="1.2" date="2020-01-01"/>
    <release version="1.10" date="2021-02-03"/>
    <release version="1.9" date="2020-06-01"/>
  </releases>
</component>
`

// sample makes a tree with one of everything.
func sample(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, "bin/hello", "#!/bin/sh\necho hello\n", 0o755)
	write(t, dir, "share/applications/org.example.Hello.desktop", desktop, 0o644)
	write(t, dir, "share/metainfo/org.example.Hello.metainfo.xml", metainfo, 0o644)
	write(t, dir, "share/icons/hicolor/64x64/apps/org.example.Hello.png", string(picture(t, 64)), 0o644)
	write(t, dir, "share/empty", "", 0o644)
	write(t, dir, "share/big", strings.Repeat("The quick brown fox jumps over the lazy dog.\n", 30000), 0o644)
	write(t, dir, "share/name-\xff\xfe-of no encoding", "bytes\n", 0o640)
	write(t, dir, "lib/libhello.so", "\x7fELF"+strings.Repeat("code\x00\x01\x02", 40000), 0o755)
	for _, d := range []string{"share/empty folder", "lib"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{"lib/libhello.so.1": "libhello.so", "bin/dangling": "/no/such/place", "up": ".."} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Link(filepath.Join(dir, "share/big"), filepath.Join(dir, "share/big-again")); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "share/big-copy", strings.Repeat("The quick brown fox jumps over the lazy dog.\n", 30000), 0o600)
	sparse, err := os.Create(filepath.Join(dir, "share/sparse"))
	if err != nil {
		t.Fatal(err)
	}
	defer sparse.Close()
	if err := sparse.Truncate(5<<20 + 123); err != nil {
		t.Fatal(err)
	}
	if _, err := sparse.WriteAt([]byte("here"), 3<<20); err != nil {
		t.Fatal(err)
	}
	return dir
}

// picture returns a PNG of that size.
func picture(t testing.TB, size int) []byte {
	t.Helper()
	data, err := os.ReadFile("plain-48.png")
	if err != nil {
		t.Fatal(err)
	}
	if size == 48 {
		return data
	}
	if data, err = (icon.Maker{}).Scale(data, size); err != nil {
		t.Fatal(err)
	}
	return data
}

func build(t testing.TB, dir string, o bundle.BuildOptions) []byte {
	t.Helper()
	if o.Stub == nil {
		o.Stub = stub(t, "x86_64")
	}
	if o.Icon == nil {
		o.Icon = icon.Maker{}
	}
	var out bytes.Buffer
	if _, err := bundle.Build(context.Background(), &out, dir, o); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func read(t testing.TB, data []byte) *bundle.Bundle {
	t.Helper()
	b, err := bundle.Read(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func tree(t testing.TB, data []byte) *bundle.Tree {
	t.Helper()
	tr, err := read(t, data).Tree()
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func TestIdentity(t *testing.T) {
	dir := sample(t)
	b := read(t, build(t, dir, bundle.BuildOptions{}))
	m := b.Manifest()
	if m.ID != "org.example.Hello" || m.Version != "1.10" || m.Name != "Hello" || m.Exec != "bin/hello" ||
		m.Prefix != "/opt/bundle" || m.Arch != "x86_64" || len(m.Slices) != 1 {
		t.Errorf("manifest %+v", m)
	}
	if d, err := b.DesktopFile(); string(d) != desktop || err != nil {
		t.Errorf("desktop file %q, %v", d, err)
	}
	if d, err := b.Metainfo(); string(d) != metainfo || err != nil {
		t.Errorf("metainfo %q, %v", d, err)
	}
	if s := b.IconSizes(); len(s) != 2 || s[0] != 48 || s[1] != 64 {
		t.Errorf("icon sizes %v", s)
	}
	if d, err := b.Icon(64); !bytes.Equal(d, picture(t, 64)) || err != nil {
		t.Errorf("icon of 64: %v", err)
	}
	if d, err := b.Icon(32); d != nil || err != nil {
		t.Errorf("icon of 32: %v, %v", d, err)
	}
	if d, err := b.SVGIcon(); d != nil || err != nil {
		t.Errorf("SVG icon: %v, %v", d, err)
	}
}

// TestTree compares every node to the file that it was made of.
func TestTree(t *testing.T) {
	dir := sample(t)
	tr := tree(t, build(t, dir, bundle.BuildOptions{}))
	nodes := 0
	err := filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		nodes++
		rel, _ := filepath.Rel(dir, name)
		n, ok := tr.Find(rel)
		if !ok {
			t.Errorf("%q is missing", rel)
			return nil
		}
		info := tr.Info(n)
		if tr.Path(n) != rel {
			t.Errorf("path %q, want %q", tr.Path(n), rel)
		}
		stat, err := d.Info()
		if err != nil {
			return err
		}
		switch {
		case d.Type()&os.ModeSymlink != 0:
			target, _ := os.Readlink(name)
			if !info.IsLink() || info.Target != target {
				t.Errorf("link %q: %+v", rel, info)
			}
			return nil
		case d.IsDir():
			list, _ := os.ReadDir(name)
			if !info.IsDir() || tr.ChildCount(n) != len(list) {
				t.Errorf("folder %q: %+v with %d children, not %d", rel, info, tr.ChildCount(n), len(list))
			}
			for i := range tr.ChildCount(n) {
				c := tr.Child(n, i)
				if tr.Info(c).Name != list[i].Name() || tr.Info(c).Parent != n {
					t.Errorf("child %d of %q is %+v, not %q", i, rel, tr.Info(c), list[i].Name())
				}
			}
		default:
			want, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			got, err := io.ReadAll(tr.Open(n))
			if err != nil || !bytes.Equal(got, want) || info.Size != int64(len(want)) || !info.IsFile() {
				t.Errorf("file %q: %d bytes, %v, want %d", rel, len(got), err, len(want))
			}
			for _, off := range []int64{0, 1, 65535, 65536, 262143, 262145, info.Size - 1} {
				if off < 0 || off >= info.Size {
					continue
				}
				p := make([]byte, 300000)
				k, err := tr.ReadAt(n, p, off)
				if !bytes.Equal(p[:k], want[off:min(len(want), int(off)+len(p))]) || err != nil && !errors.Is(err, io.EOF) {
					t.Errorf("file %q at %d: %d bytes, %v", rel, off, k, err)
				}
			}
		}
		if rel != "." && os.FileMode(info.Mode&0o777) != stat.Mode().Perm() {
			t.Errorf("%q has mode %o, want %o", rel, info.Mode, stat.Mode())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if tr.Len() != nodes {
		t.Errorf("%d nodes, want %d", tr.Len(), nodes)
	}
	a, _ := tr.Find("share/big")
	b, _ := tr.Find("share/big-copy")
	if tr.Info(a).Digest != tr.Info(b).Digest {
		t.Error("equal files have different digests")
	}
}

// TestRuns starts a bundle: the mark must leave the stub the program that it was.
func TestRuns(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("the stub of this test is for x86_64")
	}
	data := build(t, sample(t), bundle.BuildOptions{})
	name := filepath.Join(t.TempDir(), "hello")
	if err := os.WriteFile(name, data, 0o755); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(name, "there").CombinedOutput()
	if string(out) != "hello there\n" || err == nil || err.Error() != "exit status 7" {
		t.Fatalf("it said %q and ended with %v", out, err)
	}
}
