// SPDX-License-Identifier: MIT

package bundle_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"glick.org/glick/bundle"
)

// fakeStub is the smallest ELF file that can be a stub; it is the same for ever.
func fakeStub() []byte {
	p := make([]byte, 5000)
	le := binary.LittleEndian
	copy(p, "\x7fELF\x02\x01\x01")
	le.PutUint16(p[16:], uint16(elf.ET_EXEC))
	le.PutUint16(p[18:], uint16(elf.EM_X86_64))
	le.PutUint32(p[20:], 1)
	le.PutUint64(p[24:], 0x401000)
	le.PutUint64(p[32:], 64)
	le.PutUint16(p[52:], 64)
	le.PutUint16(p[54:], 56)
	le.PutUint16(p[56:], 1)
	load := p[64:]
	le.PutUint32(load, uint32(elf.PT_LOAD))
	le.PutUint32(load[4:], uint32(elf.PF_R|elf.PF_X))
	le.PutUint64(load[16:], 0x400000)
	le.PutUint64(load[24:], 0x400000)
	le.PutUint64(load[32:], 5000)
	le.PutUint64(load[40:], 5000)
	le.PutUint64(load[48:], 4096)
	for i := 4096; i < len(p); i++ {
		p[i] = 0x90
	}
	return p
}

// smallTree makes a tree that is the same for ever.
func smallTree(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, "bin/hello", "#!/bin/sh\necho hello\n", 0o755)
	write(t, dir, "share/applications/org.example.Hello.desktop", desktop, 0o644)
	write(t, dir, "share/icons/hicolor/48x48/apps/org.example.Hello.png", string(picture(t, 48)), 0o644)
	write(t, dir, "share/text", strings.Repeat("all work and no play\n", 5000), 0o644)
	for _, d := range []string{"bin", "share", "share/applications", "share/icons", "share/icons/hicolor", "share/icons/hicolor/48x48", "share/icons/hicolor/48x48/apps"} {
		if err := os.Chmod(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("hello", filepath.Join(dir, "bin/hi")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestPinned says when a change of this program changes the bytes that it makes. Then the slices of everybody's libraries get other digests:
// it must be meant.
func TestPinned(t *testing.T) {
	data := build(t, smallTree(t), bundle.BuildOptions{Stub: fakeStub()})
	sum := sha256.Sum256(data)
	const want = "750da0fc0547a368c3591010dd81bc29ac5cadaed837d8dcc523747d47fe2952"
	if got := hex.EncodeToString(sum[:]); got != want {
		t.Errorf("digest %s, want %s", got, want)
	}
}

func TestDeterministic(t *testing.T) {
	dir := sample(t)
	want := build(t, dir, bundle.BuildOptions{})
	for name, change := range map[string]func(t *testing.T){
		"again":             func(*testing.T) {},
		"umask":             func(t *testing.T) { old := syscall.Umask(0o077); t.Cleanup(func() { syscall.Umask(old) }) },
		"one processor":     func(t *testing.T) { old := runtime.GOMAXPROCS(1); t.Cleanup(func() { runtime.GOMAXPROCS(old) }) },
		"many processors":   func(t *testing.T) { old := runtime.GOMAXPROCS(16); t.Cleanup(func() { runtime.GOMAXPROCS(old) }) },
		"locale, time zone": func(t *testing.T) { t.Setenv("LC_ALL", "tr_TR.UTF-8"); t.Setenv("TZ", "Asia/Kathmandu") },
	} {
		t.Run(name, func(t *testing.T) {
			change(t)
			if !bytes.Equal(build(t, dir, bundle.BuildOptions{}), want) {
				t.Error("the file differs")
			}
		})
	}
	t.Run("copy", func(t *testing.T) {
		out := filepath.Join(t.TempDir(), "copy")
		if text, err := exec.Command("cp", "-a", dir, out).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		if !bytes.Equal(build(t, out, bundle.BuildOptions{}), want) {
			t.Error("the file differs")
		}
	})
	t.Run("extracted", func(t *testing.T) {
		out := filepath.Join(t.TempDir(), "out")
		if err := tree(t, want).Extract(context.Background(), 0, out, bundle.ExtractOptions{}); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(build(t, out, bundle.BuildOptions{}), want) {
			t.Error("the file differs")
		}
	})
	t.Run("writer that cannot seek", func(t *testing.T) {
		name := filepath.Join(t.TempDir(), "f")
		f, err := os.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteString("before"); err != nil {
			t.Fatal(err)
		}
		if _, err := bundle.Build(context.Background(), f, dir, bundle.BuildOptions{Stub: stub(t, "x86_64"), Icon: noIcons{t}}); err == nil {
			t.Fatal("an icon was not needed")
		}
	})
}

// noIcons is an IconMaker that cannot.
type noIcons struct{ t *testing.T }

func (noIcons) Scale([]byte, int) ([]byte, error)  { return nil, errors.New("no scaling") }
func (noIcons) Render([]byte, int) ([]byte, error) { return nil, errors.New("no drawing") }

// TestSections lets other people's tools read the file.
func TestSections(t *testing.T) {
	dir := sample(t)
	for _, arch := range []string{"x86_64", "aarch64"} {
		t.Run(arch, func(t *testing.T) {
			data := build(t, dir, bundle.BuildOptions{Stub: stub(t, arch)})
			f, err := elf.NewFile(bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{".note.glick", ".text", ".glick.data", ".xdg.desktop", ".xdg.icon.48", ".xdg.icon.64", ".xdg.metainfo", ".glick.slice.0", ".glick.manifest", ".shstrtab"} {
				if f.Section(name) == nil {
					t.Errorf("no section %s", name)
				}
			}
			if text, err := f.Section(".xdg.desktop").Data(); string(text) != desktop || err != nil {
				t.Errorf("desktop file %q, %v", text, err)
			}
			if s := f.Section(".glick.data"); s.Offset%4096 != 0 || s.Flags&elf.SHF_ALLOC != 0 {
				t.Errorf("data at %d, flags %v", s.Offset, s.Flags)
			}
			note := f.Section(".note.glick")
			text, err := note.Data()
			if err != nil || string(text) != "\x06\x00\x00\x00\x08\x00\x00\x00\x01\x00\x00\x00Glick\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00" {
				t.Errorf("note %q, %v", text, err)
			}
			if note.Offset < 64 || note.Offset+note.Size > 4096 || note.Offset%4 != 0 {
				t.Errorf("note at %d", note.Offset)
			}
			found := false
			for _, p := range f.Progs {
				found = found || p.Type == elf.PT_NOTE && p.Off == note.Offset && p.Vaddr == note.Addr && p.Filesz == 28
			}
			if !found {
				t.Error("no program header leads to the note")
			}
			// All that is loaded is as it was, but for the headers.
			was, err := elf.NewFile(bytes.NewReader(stub(t, arch)))
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range was.Sections {
				if s.Flags&elf.SHF_ALLOC == 0 || s.Type == elf.SHT_NOBITS {
					continue
				}
				want, _ := s.Data()
				got, err := f.Section(s.Name).Data()
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("section %s of the stub differs, %v", s.Name, err)
				}
			}
			if m := read(t, data).Manifest(); m.Arch != arch {
				t.Errorf("architecture %s", m.Arch)
			}
		})
	}
}

func TestBinutils(t *testing.T) {
	for _, tool := range []string{"readelf", "objcopy", "strip"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("binutils are not installed: %v", err)
		}
	}
	if runtime.GOARCH != "amd64" {
		t.Skip("the stub of this test is for x86_64")
	}
	dir := sample(t)
	data := build(t, dir, bundle.BuildOptions{})
	b := read(t, data)
	file := filepath.Join(t.TempDir(), "Hello.bundle")
	if err := os.WriteFile(file, data, 0o755); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("readelf", "-SW", file).CombinedOutput()
	if err != nil || bytes.Contains(out, []byte("arning")) {
		t.Errorf("readelf: %v\n%s", err, out)
	}
	for _, name := range []string{" .glick.manifest ", " .glick.data ", " .xdg.icon.48 ", " .xdg.desktop ", " .note.glick "} {
		if !bytes.Contains(out, []byte(name)) {
			t.Errorf("readelf does not list%s", name)
		}
	}
	icon, err := b.Icon(48)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]byte{".xdg.icon.48": icon, ".xdg.desktop": []byte(desktop)} {
		part := filepath.Join(t.TempDir(), "part")
		out, err := exec.Command("objcopy", "-O", "binary", "--only-section="+name, "--set-section-flags", name+"=alloc", file, part).CombinedOutput()
		if err != nil {
			t.Fatalf("objcopy: %v\n%s", err, out)
		}
		if got, err := os.ReadFile(part); err != nil || !bytes.Equal(got, want) {
			t.Errorf("objcopy gets %d bytes of %s, %v, want %d", len(got), name, err, len(want))
		}
	}
	// What strip writes is laid out anew, but must still be a bundle and run.
	stripped := filepath.Join(t.TempDir(), "stripped")
	if out, err := exec.Command("strip", "-o", stripped, file).CombinedOutput(); err != nil {
		t.Fatalf("strip: %v\n%s", err, out)
	}
	text, err := os.ReadFile(stripped)
	if err != nil {
		t.Fatal(err)
	}
	if m := read(t, text).Manifest(); m.ID != "org.example.Hello" {
		t.Errorf("manifest %+v", m)
	}
	if out, _ := exec.Command(stripped, "you").CombinedOutput(); string(out) != "hello you\n" {
		t.Errorf("it says %q", out)
	}
}

// TestTruncated cuts a bundle at many places: never a panic, never a success.
func TestTruncated(t *testing.T) {
	data := build(t, smallTree(t), bundle.BuildOptions{Stub: fakeStub()})
	classes := []error{bundle.ErrNotBundle, bundle.ErrTruncated, bundle.ErrDamaged}
	step := max(1, len(data)/640)
	for n := 0; n < len(data); n += step {
		b, err := bundle.Read(bytes.NewReader(data[:n]), int64(n))
		if b != nil || !oneOf(err, classes) {
			t.Errorf("cut at %d of %d: %v", n, len(data), err)
		}
		if n >= 4096 && !errors.Is(err, bundle.ErrTruncated) {
			t.Errorf("cut at %d of %d: %v, want that it is incomplete", n, len(data), err)
		}
		// The size may be right when the content is not there, as with a download that reserved its space.
		if b, err := bundle.Read(bytes.NewReader(data[:n]), int64(len(data))); b != nil || !oneOf(err, classes) {
			t.Errorf("only %d of %d readable: %v", n, len(data), err)
		}
		padded := make([]byte, len(data))
		copy(padded, data[:n])
		b, err = bundle.Read(bytes.NewReader(padded), int64(len(data)))
		if err == nil {
			_, err = b.Verify(context.Background(), nil)
		}
		// Of the last header, that of the section names, what follows the two low bytes of the size is zero but for an alignment that nobody needs.
		if !oneOf(err, classes) && n < len(data)-30 {
			t.Errorf("zeros from %d of %d: %v", n, len(data), err)
		}
	}
}

func oneOf(err error, classes []error) bool {
	for _, c := range classes {
		if errors.Is(err, c) {
			return true
		}
	}
	return false
}

// TestEveryByte changes bytes one by one: verify must see every one that is not padding or a header that only leads to what is checked.
func TestEveryByte(t *testing.T) {
	data := build(t, smallTree(t), bundle.BuildOptions{Stub: fakeStub()})
	b := read(t, data)
	covered := make([]bool, len(data))
	for _, s := range b.Sections() {
		for i := s.Offset; i < s.Offset+s.Size; i++ {
			covered[i] = true
		}
	}
	for i := range 4096 {
		covered[i] = i < 40 || i >= 48 && i < 58 || i >= 64
	}
	missed := 0
	for i := 0; i < len(data); i += 1 + i%3 {
		if !covered[i] {
			continue
		}
		bad := bytes.Clone(data)
		bad[i] ^= 0x41
		b, err := bundle.Read(bytes.NewReader(bad), int64(len(bad)))
		if err == nil {
			_, err = b.Verify(context.Background(), nil)
		}
		if err == nil {
			if missed++; missed < 10 {
				t.Errorf("a change of byte %d is not seen", i)
			}
		}
	}
}

func TestVerifyNamesFiles(t *testing.T) {
	dir := sample(t)
	data := build(t, dir, bundle.BuildOptions{})
	b := read(t, data)
	if v, err := b.Verify(context.Background(), nil); err != nil || v.Chunks == 0 || len(v.Problems) != 0 {
		t.Fatalf("%+v, %v", v, err)
	}
	tr := tree(t, data)
	n, _ := tr.Find("lib/libhello.so")
	c, _, err := tr.ChunkAt(n, 70000)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range b.Sections() {
		if s.Name == ".glick.data" {
			data[s.Offset+c.Offset+int64(c.Stored)/2] ^= 1
		}
	}
	v, err := read(t, data).Verify(context.Background(), nil)
	if !errors.Is(err, bundle.ErrDamaged) || len(v.Problems) != 1 || v.Problems[0].Slice != 0 || strings.Join(v.Problems[0].Files, " ") != "lib/libhello.so" {
		t.Errorf("%+v, %v", v, err)
	}
	if _, err := tree(t, data).ReadAt(n, make([]byte, 10), 70000); !errors.Is(err, bundle.ErrDamaged) {
		t.Errorf("reading gives %v", err)
	}
	out := filepath.Join(t.TempDir(), "out")
	if err := tree(t, data).Extract(context.Background(), 0, out, bundle.ExtractOptions{}); !errors.Is(err, bundle.ErrDamaged) {
		t.Errorf("extracting gives %v", err)
	}
	if _, err := os.Lstat(out); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("something is left: %v", err)
	}
}

func TestExtract(t *testing.T) {
	dir := sample(t)
	tr := tree(t, build(t, dir, bundle.BuildOptions{}))
	out := filepath.Join(t.TempDir(), "out")
	if err := tr.Extract(context.Background(), 0, out, bundle.ExtractOptions{}); err != nil {
		t.Fatal(err)
	}
	if text, err := exec.Command("diff", "-r", "--no-dereference", dir, out).CombinedOutput(); err != nil {
		t.Errorf("it differs: %v\n%s", err, text)
	}
	var stat unix.Stat_t
	if err := unix.Lstat(filepath.Join(out, "share/sparse"), &stat); err != nil || stat.Blocks*512 > 1<<20 || stat.Mtim.Sec != bundle.ModTime {
		t.Errorf("%d blocks, time %d, %v", stat.Blocks, stat.Mtim.Sec, err)
	}
	if err := unix.Lstat(filepath.Join(out, "bin/dangling"), &stat); err != nil || stat.Mtim.Sec != bundle.ModTime {
		t.Errorf("link's time %d, %v", stat.Mtim.Sec, err)
	}
	// Not into a folder that holds something, nor through a file.
	if err := tr.Extract(context.Background(), 0, out, bundle.ExtractOptions{}); err == nil {
		t.Error("extracted over something")
	}
	if err := tr.Extract(context.Background(), 0, filepath.Join(out, "share/text-that-is-not-there/x"), bundle.ExtractOptions{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	part := filepath.Join(t.TempDir(), "part")
	err := tr.Extract(ctx, 0, part, bundle.ExtractOptions{Progress: func(int64, int64) { cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if _, err := os.Lstat(part); !errors.Is(err, fs.ErrNotExist) {
		t.Error("something is left of what was stopped")
	}
}

// TestExtractStaysInside replays an attack: somebody puts a link where a folder was made.
func TestExtractStaysInside(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "bin/x", "x", 0o755)
	for i := range 200 {
		write(t, dir, fmt.Sprintf("a/%03d", i), fmt.Sprint("text ", i), 0o644)
		write(t, dir, fmt.Sprintf("b/sub/%03d", i), fmt.Sprint("more ", i), 0o644)
	}
	tr := tree(t, build(t, dir, bundle.BuildOptions{ID: "org.example.X", Exec: "bin/x"}))
	victim := t.TempDir()
	out := filepath.Join(t.TempDir(), "out")
	swapped := false
	err := tr.Extract(context.Background(), 0, out, bundle.ExtractOptions{Progress: func(int64, int64) {
		if !swapped && os.Rename(filepath.Join(out, "b"), filepath.Join(out, "gone")) == nil {
			swapped = os.Symlink(victim, filepath.Join(out, "b")) == nil
		}
	}})
	if !swapped || err == nil {
		t.Errorf("swapped %v, error %v", swapped, err)
	}
	if list, _ := os.ReadDir(victim); len(list) != 0 {
		t.Errorf("%d names are outside", len(list))
	}
}

func TestBuildRefuses(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(t *testing.T, dir string, o *bundle.BuildOptions)
		want   string
	}{
		{"program missing", func(_ *testing.T, _ string, o *bundle.BuildOptions) { o.Exec = "bin/none" }, `"bin/none"`},
		{"program outside", func(_ *testing.T, _ string, o *bundle.BuildOptions) { o.Exec = "../../bin/sh" }, "relative to the prefix"},
		{"program not executable", func(t *testing.T, dir string, _ *bundle.BuildOptions) {
			if err := os.Chmod(filepath.Join(dir, "bin/hello"), 0o644); err != nil {
				t.Fatal(err)
			}
		}, "is not executable"},
		{"id", func(_ *testing.T, _ string, o *bundle.BuildOptions) { o.ID = "noDots" }, "no dot"},
		{"id with a path", func(_ *testing.T, _ string, o *bundle.BuildOptions) { o.ID = "org.example/../x" }, "not like org.example.App"},
		{"version", func(_ *testing.T, _ string, o *bundle.BuildOptions) { o.Version = "1 2" }, "version"},
		{"prefix", func(_ *testing.T, _ string, o *bundle.BuildOptions) { o.Prefix = "/proc/x" }, "prefix"},
		{"relative prefix", func(_ *testing.T, _ string, o *bundle.BuildOptions) { o.Prefix = "opt" }, "prefix"},
		{"architecture", func(_ *testing.T, _ string, o *bundle.BuildOptions) { o.Arch = "aarch64" }, "another processor"},
		{"command", func(_ *testing.T, _ string, o *bundle.BuildOptions) { o.Commands = []string{"none"} }, "not in bin"},
		{"export", func(_ *testing.T, _ string, o *bundle.BuildOptions) { o.Export = []string{"share/none"} }, "not there"},
		{"socket", func(t *testing.T, dir string, _ *bundle.BuildOptions) {
			l, err := net.Listen("unix", filepath.Join(dir, "s"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
		}, "s is a socket"},
		{"pipe", func(t *testing.T, dir string, _ *bundle.BuildOptions) {
			if err := syscall.Mkfifo(filepath.Join(dir, "share/p"), 0o644); err != nil {
				t.Fatal(err)
			}
		}, "share/p is a named pipe"},
		{"two desktop files", func(t *testing.T, dir string, _ *bundle.BuildOptions) {
			write(t, dir, "share/applications/other.desktop", desktop, 0o644)
		}, "several desktop files"},
		{"wrong desktop file", func(t *testing.T, dir string, _ *bundle.BuildOptions) {
			write(t, dir, "share/applications/org.example.Hello.desktop", "Name=Hello\n", 0o644)
		}, "line 1"},
		{"icon that is none", func(t *testing.T, dir string, o *bundle.BuildOptions) {
			o.Icons = []string{"bin/hello"}
		}, "neither a PNG nor an SVG"},
		{"stub", func(_ *testing.T, _ string, o *bundle.BuildOptions) { o.Stub = []byte("#!/bin/sh\n") }, "not an ELF program"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := smallTree(t)
			o := bundle.BuildOptions{Stub: fakeStub()}
			c.change(t, dir, &o)
			var out bytes.Buffer
			_, err := bundle.Build(context.Background(), &out, dir, o)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
			if out.Len() != 0 {
				t.Errorf("%d bytes were written", out.Len())
			}
		})
	}
}

func TestBuildFindsIDOfSeveral(t *testing.T) {
	dir := smallTree(t)
	write(t, dir, "share/applications/org.example.Other.desktop", desktop, 0o644)
	b := read(t, build(t, dir, bundle.BuildOptions{Stub: fakeStub(), ID: "org.example.Hello", Prefix: "/usr"}))
	if m := b.Manifest(); m.Exec != "bin/hello" || m.Prefix != "/usr" {
		t.Errorf("%+v", m)
	}
}

func FuzzRead(f *testing.F) {
	data := build(f, smallTree(f), bundle.BuildOptions{Stub: fakeStub()})
	f.Add(data)
	f.Add(data[:4096])
	f.Add(fakeStub())
	files := corpus(f)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		f.Add(files[name])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := bundle.Read(bytes.NewReader(data), int64(len(data)))
		classes := []error{bundle.ErrNotBundle, bundle.ErrTruncated, bundle.ErrDamaged, bundle.ErrVersion}
		if err != nil {
			if !oneOf(err, classes) {
				t.Fatalf("error %v is of no class", err)
			}
			return
		}
		for _, read := range []func() ([]byte, error){b.DesktopFile, b.Metainfo, b.SVGIcon, func() ([]byte, error) { return b.Icon(48) }} {
			if _, err := read(); err != nil && !oneOf(err, classes) {
				t.Fatalf("error %v is of no class", err)
			}
		}
		if _, err := b.Verify(context.Background(), nil); err != nil && !oneOf(err, classes) {
			t.Fatalf("error %v is of no class", err)
		}
	})
}

func TestBuildDropsSetID(t *testing.T) {
	dir := smallTree(t)
	want := build(t, dir, bundle.BuildOptions{Stub: fakeStub()})
	if err := os.Chmod(filepath.Join(dir, "bin/hello"), 0o755|os.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	report, err := bundle.Build(context.Background(), &out, dir, bundle.BuildOptions{Stub: fakeStub()})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(strings.Join(report.Notes, "\n"), "bin/hello is stored without its set-id bit") {
		t.Errorf("notes %q", report.Notes)
	}
	if !bytes.Equal(out.Bytes(), want) {
		t.Error("the file differs")
	}
}

// TestIdentityIsCheap counts what is read to know a bundle: its size must not matter.
func TestIdentityIsCheap(t *testing.T) {
	data := build(t, sample(t), bundle.BuildOptions{})
	r := &countingReader{data: data}
	b, err := bundle.Read(r, int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Icon(48); err != nil {
		t.Fatal(err)
	}
	if _, err := b.DesktopFile(); err != nil {
		t.Fatal(err)
	}
	if r.n > 64<<10 {
		t.Errorf("%d bytes were read", r.n)
	}
}

type countingReader struct {
	data []byte
	n    int
}

func (r *countingReader) ReadAt(p []byte, off int64) (int, error) {
	n, err := bytes.NewReader(r.data).ReadAt(p, off)
	r.n += n
	return n, err
}
