// SPDX-License-Identifier: MIT

package bundle_test

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"glick.org/glick/bundle"
)

// library makes a slice of a tree.
func library(t testing.TB, dir string, o bundle.SliceOptions) []byte {
	t.Helper()
	var out bytes.Buffer
	if _, err := bundle.BuildSlice(context.Background(), &out, dir, o); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func readSlice(t testing.TB, data []byte) *bundle.Bundle {
	t.Helper()
	b, err := bundle.ReadSlice(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// libraryTree makes a tree of a library that is the same for ever.
func libraryTree(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, "lib/libfoo.so.1.0", strings.Repeat("not quite a library\n", 4000), 0o755)
	write(t, dir, "share/text", "the library's text", 0o644)
	write(t, dir, "share/foo/data", "data", 0o644)
	for _, d := range []string{"lib", "share", "share/foo"} {
		if err := os.Chmod(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("libfoo.so.1.0", filepath.Join(dir, "lib/libfoo.so.1")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestSliceFile(t *testing.T) {
	data := library(t, libraryTree(t), bundle.SliceOptions{Name: "libfoo", Version: "1.0", Arch: "x86_64", Optional: true})
	b := readSlice(t, data)
	s := b.Manifest().Slices[0]
	if b.Format() != bundle.FormatSlice || b.Manifest().ID != "" || s.Name != "libfoo" || s.Version != "1.0" || s.Arch != "x86_64" || !s.Optional || s.Exported || s.Platform {
		t.Errorf("%s, %+v", b.Format(), s)
	}
	if _, err := b.Verify(context.Background(), nil); err != nil {
		t.Error(err)
	}
	tr, err := b.Tree()
	if err != nil {
		t.Fatal(err)
	}
	n, err := tr.Resolve("lib/libfoo.so.1")
	if err != nil || tr.Info(n).Size != 80000 {
		t.Errorf("%+v, %v", tr.Info(n), err)
	}
	if _, err := bundle.Read(bytes.NewReader(data), int64(len(data))); !errors.Is(err, bundle.ErrNotBundle) || !strings.Contains(err.Error(), "a slice") {
		t.Errorf("as a bundle: %v", err)
	}
	whole := build(t, smallTree(t), bundle.BuildOptions{Stub: fakeStub()})
	if _, err := bundle.ReadSlice(bytes.NewReader(whole), int64(len(whole))); !errors.Is(err, bundle.ErrNotSlice) {
		t.Errorf("a bundle as a slice: %v", err)
	}
	// Other people's tools.
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{".note.glick", ".glick.data", ".glick.slice.0", ".glick.manifest"} {
		if f.Section(name) == nil {
			t.Errorf("no section %s", name)
		}
	}
	if _, err := exec.LookPath("readelf"); err != nil {
		t.Skipf("binutils are not installed: %v", err)
	}
	file := filepath.Join(t.TempDir(), "libfoo.slice")
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("readelf", "-hlSnW", file).CombinedOutput(); err != nil || bytes.Contains(out, []byte("arning")) || !bytes.Contains(out, []byte(" .glick.data ")) {
		t.Errorf("readelf: %v\n%s", err, out)
	}
}

func TestSliceArch(t *testing.T) {
	for _, c := range []struct {
		files []string
		want  string
	}{{nil, ""}, {[]string{"x86_64"}, "x86_64"}, {[]string{"aarch64"}, "aarch64"}, {[]string{"x86_64", "aarch64"}, ""}} {
		dir := libraryTree(t)
		for _, arch := range c.files {
			write(t, dir, "lib/"+arch, string(stub(t, arch)), 0o755)
		}
		if got := readSlice(t, library(t, dir, bundle.SliceOptions{Name: "lib"})).Manifest().Slices[0].Arch; got != c.want {
			t.Errorf("%v: %q, want %q", c.files, got, c.want)
		}
	}
}

// TestCombine builds bundles with slices: the same slice is the same in every bundle.
func TestCombine(t *testing.T) {
	lib := readSlice(t, library(t, libraryTree(t), bundle.SliceOptions{Name: "libfoo", Version: "1.0"}))
	langDir := t.TempDir()
	write(t, langDir, "share/locale/fr/hello.mo", strings.Repeat("bonjour ", 100), 0o644)
	lang := readSlice(t, library(t, langDir, bundle.SliceOptions{Name: "lang-fr", Optional: true}))
	upDir := t.TempDir()
	write(t, upDir, "share/foo/data", "newer data", 0o644)
	upper := readSlice(t, library(t, upDir, bundle.SliceOptions{Name: "libfoo-fix", Platform: true, Exported: true}))

	o := bundle.BuildOptions{Stub: fakeStub(), Slices: []*bundle.Bundle{lib, lang, upper}, Export: []string{"share/foo/data"}}
	data := build(t, smallTree(t), o)
	b := read(t, data)
	m := b.Manifest()
	var names []string
	for _, s := range m.Slices {
		names = append(names, s.Name)
	}
	if strings.Join(names, " ") != "libfoo lang-fr libfoo-fix org.example.Hello" {
		t.Fatalf("slices %v", names)
	}
	for i, s := range []*bundle.Bundle{lib, lang, upper} {
		want := s.Manifest().Slices[0]
		got := m.Slices[i]
		got.DataOffset = want.DataOffset
		if got != want {
			t.Errorf("slice %d is %+v, not %+v", i, got, want)
		}
	}
	if !m.Slices[3].Exported || m.Slices[1].DataOffset+m.Slices[1].DataSize != dataSize(b) {
		t.Errorf("%+v", m.Slices)
	}
	if _, err := b.Verify(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	tr := tree(t, data)
	for name, want := range map[string]string{
		"share/foo/data": "newer data", "share/text": strings.Repeat("all work and no play\n", 5000), "share/locale/fr/hello.mo": strings.Repeat("bonjour ", 100),
	} {
		n, ok := tr.Find(name)
		text, err := io.ReadAll(tr.Open(n))
		if !ok || err != nil || string(text) != want {
			t.Errorf("%s: %.40q, %v", name, text, err)
		}
	}
	// In another bundle.
	other := t.TempDir()
	write(t, other, "bin/x", "#!/bin/sh\n", 0o755)
	b2 := read(t, build(t, other, bundle.BuildOptions{Stub: fakeStub(), ID: "org.example.X", Exec: "bin/x", Slices: []*bundle.Bundle{lib}}))
	if b2.Manifest().Slices[0].Digest != m.Slices[0].Digest {
		t.Error("the library has another digest in another bundle")
	}
	t2, err := b2.Tree()
	if err != nil {
		t.Fatal(err)
	}
	shared := tr.Shared(t2)
	if shared[0].Shared != shared[0].Size || shared[0].Size != m.Slices[0].Size || shared[3].Shared != 0 {
		t.Errorf("shared %+v", shared)
	}
	// The program may be the library's.
	b3 := read(t, build(t, other, bundle.BuildOptions{Stub: fakeStub(), ID: "org.example.Y", Exec: "lib/libfoo.so.1", Slices: []*bundle.Bundle{lib}}))
	if b3.Manifest().Exec != "lib/libfoo.so.1" {
		t.Errorf("program %q", b3.Manifest().Exec)
	}

	for name, c := range map[string]struct {
		slices []*bundle.Bundle
		want   string
	}{
		"twice":       {[]*bundle.Bundle{lib, lib}, "given twice"},
		"a bundle":    {[]*bundle.Bundle{b}, "not a slice"},
		"other arch":  {[]*bundle.Bundle{readSlice(t, library(t, langDir, bundle.SliceOptions{Name: "l", Arch: "aarch64"}))}, "is for aarch64"},
		"damaged":     {[]*bundle.Bundle{damagedSlice(t)}, "damaged"},
		"without end": {[]*bundle.Bundle{shortSlice(t)}, "incomplete"},
	} {
		o := bundle.BuildOptions{Stub: fakeStub(), Slices: c.slices}
		if _, err := bundle.Build(context.Background(), io.Discard, smallTree(t), o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func dataSize(b *bundle.Bundle) int64 {
	for _, s := range b.Sections() {
		if s.Name == ".glick.data" {
			return s.Size
		}
	}
	return -1
}

// damagedSlice has a wrong byte in its data.
func damagedSlice(t *testing.T) *bundle.Bundle {
	data := library(t, libraryTree(t), bundle.SliceOptions{Name: "libfoo"})
	data[4096+20] ^= 1
	return readSlice(t, data)
}

// shortSlice ends while it is read.
func shortSlice(t *testing.T) *bundle.Bundle {
	data := library(t, libraryTree(t), bundle.SliceOptions{Name: "libfoo"})
	b := readSlice(t, data)
	r := &failingReader{data: data}
	b, err := bundle.ReadSlice(r, b.Size())
	if err != nil {
		t.Fatal(err)
	}
	r.from, r.to = 4096, 4100
	return b
}

// failingReader ends where it is told to.
type failingReader struct {
	data     []byte
	from, to int64
}

func (r *failingReader) ReadAt(p []byte, off int64) (int, error) {
	if off < r.to && off+int64(len(p)) > r.from {
		return 0, io.EOF
	}
	return bytes.NewReader(r.data).ReadAt(p, off)
}

func TestBuildSliceRefuses(t *testing.T) {
	for name, o := range map[string]bundle.SliceOptions{
		"no name": {}, "name of two lines": {Name: "a\nb"}, "version": {Name: "a", Version: "1 2"}, "architecture": {Name: "a", Arch: "i386"},
	} {
		var out bytes.Buffer
		if _, err := bundle.BuildSlice(context.Background(), &out, libraryTree(t), o); err == nil || out.Len() != 0 {
			t.Errorf("%s: %v, %d bytes", name, err, out.Len())
		}
	}
	if _, err := bundle.BuildSlice(context.Background(), io.Discard, filepath.Join(t.TempDir(), "none"), bundle.SliceOptions{Name: "a"}); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// TestRewrite takes slices out and signs: what is left is the bundle that it was.
func TestRewrite(t *testing.T) {
	langDir := t.TempDir()
	write(t, langDir, "share/locale/fr/hello.mo", strings.Repeat("bonjour ", 100), 0o644)
	lang := readSlice(t, library(t, langDir, bundle.SliceOptions{Name: "lang-fr", Optional: true}))
	lib := readSlice(t, library(t, libraryTree(t), bundle.SliceOptions{Name: "libfoo"}))
	// What stands for a signature is of no matter here.
	sign := func(manifest []byte) ([]byte, error) {
		return fmt.Appendf(nil, "signature of %d bytes", len(manifest)), nil
	}
	for _, arch := range []string{"x86_64", "aarch64"} {
		t.Run(arch, func(t *testing.T) {
			o := bundle.BuildOptions{Stub: stub(t, arch), Slices: []*bundle.Bundle{lang, lib}}
			plain := build(t, smallTree(t), o)
			o.Sign = sign
			signed := build(t, smallTree(t), o)
			b := read(t, signed)
			if s, err := b.Signature(); err != nil || string(s) != fmt.Sprintf("signature of %d bytes", len(b.ManifestText())) {
				t.Errorf("signature %q, %v", s, err)
			}
			rewrite := func(data []byte, o bundle.RewriteOptions) []byte {
				t.Helper()
				var out bytes.Buffer
				if err := read(t, data).Rewrite(context.Background(), &out, o); err != nil {
					t.Fatal(err)
				}
				return out.Bytes()
			}
			if !bytes.Equal(rewrite(plain, bundle.RewriteOptions{}), plain) {
				t.Error("copied it differs")
			}
			if !bytes.Equal(rewrite(plain, bundle.RewriteOptions{Sign: sign}), signed) || !bytes.Equal(rewrite(signed, bundle.RewriteOptions{}), signed) {
				t.Error("signed afterwards it differs")
			}
			slim := rewrite(signed, bundle.RewriteOptions{Without: []string{"lang-fr"}})
			s := read(t, slim)
			if _, err := s.Verify(context.Background(), nil); err != nil {
				t.Error(err)
			}
			if s.Digest() != b.Digest() || len(slim) >= len(signed) || !s.Manifest().Slices[0].Missing {
				t.Errorf("digest %v, %d bytes of %d, %+v", s.Digest(), len(slim), len(signed), s.Manifest().Slices[0])
			}
			tr := tree(t, slim)
			if _, ok := tr.Find("share/locale"); ok {
				t.Error("the slice is still there")
			}
			if n, ok := tr.Find("lib/libfoo.so.1.0"); !ok || tr.Info(n).Slice != 1 {
				t.Errorf("%+v, %v", tr.Info(n), ok)
			}
			if !bytes.Equal(rewrite(slim, bundle.RewriteOptions{Without: []string{"lang-fr"}}), slim) {
				t.Error("taken out twice it differs")
			}
			for _, name := range []string{"libfoo", "none"} {
				if err := b.Rewrite(context.Background(), io.Discard, bundle.RewriteOptions{Without: []string{name}}); err == nil {
					t.Errorf("%s was taken out", name)
				}
			}
			if arch == "x86_64" && runtime.GOARCH == "amd64" {
				file := filepath.Join(t.TempDir(), "slim")
				if err := os.WriteFile(file, slim, 0o755); err != nil {
					t.Fatal(err)
				}
				if out, _ := exec.Command(file, "you").CombinedOutput(); string(out) != "hello you\n" {
					t.Errorf("it says %q", out)
				}
			}
		})
	}
	data := library(t, libraryTree(t), bundle.SliceOptions{Name: "libfoo"})
	var out bytes.Buffer
	if err := readSlice(t, data).Rewrite(context.Background(), &out, bundle.RewriteOptions{Sign: sign}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Bytes(), library(t, libraryTree(t), bundle.SliceOptions{Name: "libfoo", Sign: sign})) {
		t.Error("a slice that is signed afterwards differs")
	}
}

// TestContents packs what file systems can have, and takes it out again.
func TestContents(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "bin/x", "#!/bin/sh\n", 0o755)
	write(t, dir, "empty", "", 0o600)
	write(t, dir, "name with \n and \xff\xfe", "not UTF-8", 0o640)
	write(t, dir, "grüße/日本語", "UTF-8", 0o444)
	large := strings.Repeat("0123456789abcdef", 30000)
	write(t, dir, "large", large, 0o644)
	write(t, dir, "copy of large", large, 0o644)
	write(t, dir, "as large", strings.Repeat("fedcba9876543210", 30000), 0o644)
	if err := os.Link(filepath.Join(dir, "large"), filepath.Join(dir, "link to large")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("\xff target", filepath.Join(dir, "dangling")); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "folder/without/anything"), 0o700); err != nil {
		t.Fatal(err)
	}
	data := build(t, dir, bundle.BuildOptions{Stub: fakeStub(), ID: "org.example.X", Exec: "bin/x"})
	b := read(t, data)
	if _, err := b.Verify(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	if want := int64(10 + 9 + 5 + 2*len(large)); b.Manifest().Slices[0].Size != want {
		t.Errorf("%d bytes of content, want %d", b.Manifest().Slices[0].Size, want)
	}
	out := filepath.Join(t.TempDir(), "out")
	if err := tree(t, data).Extract(context.Background(), 0, out, bundle.ExtractOptions{}); err != nil {
		t.Fatal(err)
	}
	sameTrees(t, dir, out)
}

// sameTrees compares names, types, permissions, contents and targets.
func sameTrees(t *testing.T, a, b string) {
	t.Helper()
	list := func(dir string) []string {
		var all []string
		err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
			if err != nil || p == dir {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			what := ""
			switch {
			case info.Mode().IsRegular():
				text, err := os.ReadFile(p)
				if err != nil {
					return err
				}
				what = string(text)
			case info.Mode()&os.ModeSymlink != 0:
				if what, err = os.Readlink(p); err != nil {
					return err
				}
			}
			all = append(all, fmt.Sprintf("%q %v %.1000q %d", p[len(dir):], info.Mode(), what, len(what)))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	la, lb := list(a), list(b)
	if slices.Equal(la, lb) {
		return
	}
	for i := range max(len(la), len(lb)) {
		if i >= len(la) || i >= len(lb) || la[i] != lb[i] {
			t.Fatalf("they differ from entry %d on:\n%.300s\n%.300s", i, append(la, "end")[min(i, len(la))], append(lb, "end")[min(i, len(lb))])
		}
	}
}

// TestExtendedAttributes keeps those of users, and says what else it drops.
func TestExtendedAttributes(t *testing.T) {
	dir := smallTree(t)
	file := filepath.Join(dir, "bin/hello")
	set := func(name, value string) {
		t.Helper()
		if err := unix.Setxattr(file, name, []byte(value), 0); err != nil {
			if errors.Is(err, unix.ENOTSUP) {
				t.Skipf("the file system of temporary files has no extended attributes: %v", err)
			}
			t.Fatal(err)
		}
	}
	want := build(t, dir, bundle.BuildOptions{Stub: fakeStub()})
	set("user.xdg.origin.url", "https://example.org/x")
	if !bytes.Equal(build(t, dir, bundle.BuildOptions{Stub: fakeStub()}), want) {
		t.Error("where a file came from is kept")
	}
	set("user.zulu", "last")
	set("user.mime_type", "text/plain")
	set("user.empty", "")
	set("user.overlay.redirect", "/etc/passwd")
	if err := unix.Setxattr(filepath.Join(dir, "share"), "user.folder", []byte{0, 0xff}, 0); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	report, err := bundle.Build(context.Background(), &out, dir, bundle.BuildOptions{Stub: fakeStub()})
	if err != nil {
		t.Fatal(err)
	}
	if notes := strings.Join(report.Notes, "\n"); !strings.HasPrefix(notes, "bin/hello is stored without its extended attribute user.overlay.redirect\n") || strings.Contains(notes, "origin") {
		t.Errorf("notes %q", notes)
	}
	tr := tree(t, out.Bytes())
	n, _ := tr.Find("bin/hello")
	if x := tr.Info(n).Xattrs; len(x) != 3 || x["user.zulu"] != "last" || x["user.mime_type"] != "text/plain" || x["user.empty"] != "" {
		t.Errorf("%q", x)
	}
	to := filepath.Join(t.TempDir(), "out")
	if err := tr.Extract(context.Background(), 0, to, bundle.ExtractOptions{}); err != nil {
		t.Fatal(err)
	}
	value := make([]byte, 100)
	if n, err := unix.Getxattr(filepath.Join(to, "share"), "user.folder", value); err != nil || string(value[:n]) != "\x00\xff" {
		t.Errorf("%q, %v", value[:max(n, 0)], err)
	}
	if !bytes.Equal(build(t, to, bundle.BuildOptions{Stub: fakeStub()}), out.Bytes()) {
		t.Error("built again it differs")
	}
}

// TestHugeFile has a file of over 4 GiB, most of it a hole.
func TestHugeFile(t *testing.T) {
	if testing.Short() {
		t.Skip("reads several gigabytes")
	}
	dir := t.TempDir()
	write(t, dir, "bin/x", "#!/bin/sh\n", 0o755)
	const size = 4<<30 + 12345
	f, err := os.Create(filepath.Join(dir, "huge"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for off, text := range map[int64]string{0: "begin", 4<<30 - 3: "over the edge", size - 3: "end"} {
		if _, err := f.WriteAt([]byte(text), off); err != nil {
			t.Fatal(err)
		}
	}
	data := build(t, dir, bundle.BuildOptions{Stub: fakeStub(), ID: "org.example.X", Exec: "bin/x"})
	if len(data) > 1<<20 {
		t.Errorf("the bundle has %d bytes", len(data))
	}
	tr := tree(t, data)
	n, ok := tr.Find("huge")
	if !ok || tr.Info(n).Size != size {
		t.Fatalf("%+v", tr.Info(n))
	}
	for off, want := range map[int64]string{0: "begin\x00", 4<<30 - 3: "over the edge\x00", 4<<30 - 5: "\x00\x00over", size - 3: "end", 1 << 31: "\x00\x00"} {
		p := make([]byte, len(want))
		if _, err := tr.ReadAt(n, p, off); err != nil || string(p) != want {
			t.Errorf("at %d: %q, %v", off, p, err)
		}
	}
	out := filepath.Join(t.TempDir(), "out")
	if err := tr.Extract(context.Background(), 0, out, bundle.ExtractOptions{}); err != nil {
		t.Fatal(err)
	}
	var stat unix.Stat_t
	if err := unix.Stat(filepath.Join(out, "huge"), &stat); err != nil || stat.Size != size || stat.Blocks*512 > 16<<20 {
		t.Errorf("%d bytes in %d blocks, %v", stat.Size, stat.Blocks, err)
	}
}
