// SPDX-License-Identifier: MIT

package foreign

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"glick.org/glick/bundle"
	"glick.org/glick/internal/sample"
)

const (
	svg     = `<?xml version="1.0"?><!-- drawn --><svg xmlns="http://www.w3.org/2000/svg" width="&size;"/>`
	desktop = "[Desktop Entry]\nType=Application\nName=Sample\nExec=sample %U\nIcon=sample\nX-AppImage-Version=1.2\n"
)

var icon48, icon256 = sample.Icon(48), sample.Icon(256)

// application is the tree of a usual AppImage.
func application() tree {
	return tree{
		"AppRun":                                 "#!/bin/sh\nexec \"$APPDIR/usr/bin/sample\" \"$@\"\n",
		".DirIcon":                               "-> sample.png",
		"sample.png":                             "-> usr/share/icons/hicolor/256x256/apps/sample.png",
		"sample.desktop":                         "-> usr/share/applications/sample.desktop",
		"usr/bin/sample":                         "#!/bin/sh\necho sample\n",
		"usr/share/applications/sample.desktop":  desktop,
		"usr/share/metainfo/sample.metainfo.xml": xmlOf("org.example.Sample"),
		"usr/share/icons/hicolor/256x256/apps/sample.png":  icon256,
		"usr/share/icons/hicolor/48x48/apps/sample.png":    icon48,
		"usr/share/icons/hicolor/scalable/apps/sample.svg": svg,
	}
}

func open(b []byte) (*bundle.Bundle, error) { return Read(bytes.NewReader(b), int64(len(b))) }

// describe returns in a line what a bundle says of itself.
func describe(f *bundle.Foreign) string {
	m := f.Manifest
	icons := slices.Sorted(maps.Keys(f.Icons))
	return fmt.Sprintf("%s id=%s version=%s name=%s exec=%s prefix=%s arch=%s icons=%v svg=%t desktop=%t metainfo=%t",
		f.Format, m.ID, m.Version, m.Name, m.Exec, m.Prefix, m.Arch, icons, f.SVG != nil, f.DesktopFile != nil, f.Metainfo != nil)
}

func TestKinds(t *testing.T) {
	mark := func(m string) generator { g := amd64; g.mark = m; return g }
	i386 := generator{layout: &elf32, order: binary.LittleEndian, put: binary.LittleEndian, machine: 3}
	ppc := generator{layout: &elf32, order: binary.BigEndian, put: binary.BigEndian, machine: 20}
	glick02 := func(g generator) func(*testing.T) []byte {
		return func(t *testing.T) []byte {
			image := ext2Image(t, tree{"start": "-> bin/sample", "bin/sample": "#!/bin/sh\n"})
			return g.file(section{name: ".text", content: "code"}, section{name: ".glick.image", content: string(image)},
				section{name: ".xdg.icon.48", content: icon48}, section{name: ".xdg.desktop", content: desktop})
		}
	}
	const old = "id= version=1.2 name=Sample exec=start prefix=/proc/self/fd/1023"
	const all = "id=org.example.Sample version=1.2 name=Sample exec=AppRun prefix= arch=x86_64 icons=[48 256] svg=true desktop=true metainfo=true"
	for _, c := range []struct {
		name, want, file string
		make             func(t *testing.T) []byte
	}{
		{"AppImage 2", "appimage-2 " + all, "usr/bin/sample", func(t *testing.T) []byte {
			return append(mark("AI\x02").file(section{name: ".upd_info", content: "zsync|x"}), squash(t, application())...)
		}},
		{"AppImage 1", "appimage-1 " + all, "usr/bin/sample", func(t *testing.T) []byte {
			return iso(t, application(), mark("AI\x01").file())
		}},
		{"Glick 0.2", "glick-0.2 " + old + " arch=x86_64 icons=[48] svg=false desktop=true metainfo=false", "bin/sample", glick02(amd64)},
		{"Glick 0.2, 32 bits", "glick-0.2 " + old + " arch=i686 icons=[48] svg=false desktop=true metainfo=false", "bin/sample", glick02(i386)},
		{"Glick 0.2, big endian", "glick-0.2 " + old + " arch= icons=[48] svg=false desktop=true metainfo=false", "bin/sample", glick02(ppc)},
		{"Glick 2", "glick-2 id=org.example.Hello version=1.0-1 name=Hello exec=bin/hello prefix=/opt/bundle arch= icons=[] svg=false " +
			"desktop=true metainfo=false", "bin/hello", func(t *testing.T) []byte {
			return readFile(t, "glick2/testdata/mkbundle.bundle")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			data := c.make(t)
			r := &counting{ReaderAt: bytes.NewReader(data)}
			f, err := detect(r, int64(len(data)))
			if err != nil || f == nil {
				t.Fatalf("it is %v, %v", f, err)
			}
			if got := describe(f); got != c.want {
				t.Errorf("it is\n%s, not\n%s", got, c.want)
			}
			b, err := open(data)
			if err != nil {
				t.Fatal(err)
			}
			if b.Manifest().Name != f.Manifest.Name {
				t.Errorf("its name is %q", b.Manifest().Name)
			}
			files, err := b.Tree()
			if err != nil {
				t.Fatal(err)
			}
			n, ok := files.Find(c.file)
			content := make([]byte, len("#!/bin/sh\n"))
			if _, err := files.ReadAt(n, content, 0); !ok || err != nil || string(content) != "#!/bin/sh\n" {
				t.Errorf("its program is %q, %v", content, err)
			}
		})
	}
}

// A bundle of Glick 0.2 as its mkglick makes it, with the tools of today.
func TestMkglick(t *testing.T) {
	image := ext2Image(t, tree{"start": "#!/bin/sh\n"})
	dir := t.TempDir()
	file := func(name, content string) string {
		full := filepath.Join(dir, name)
		if err := os.WriteFile(full, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return full
	}
	objects := []string{"-o", filepath.Join(dir, "out"), "-z", "noexecstack", "-e", "0"}
	for _, part := range []struct{ name, content, section string }{
		{"image", string(image), ".glick.image,alloc,load,readonly,data,contents"},
		{"icon", icon48, ".xdg.icon.48,readonly,contents"},
		{"desktop_file", desktop, ".xdg.desktop,readonly,contents"},
	} {
		object := filepath.Join(dir, part.name+".o")
		run(t, "ld", "-r", "-b", "binary", "-o", object, file(part.name, part.content))
		run(t, "objcopy", "--rename-section", ".data="+part.section, object)
		objects = append(objects, object)
	}
	run(t, "ld", objects...)
	run(t, "strip", objects[1])
	data := readFile(t, objects[1])
	f, err := detect(bytes.NewReader(data), int64(len(data)))
	if err != nil || f == nil {
		t.Fatalf("it is %v, %v", f, err)
	}
	if f.Format != bundle.FormatGlick02 || f.Manifest.Name != "Sample" || f.Icons[48] == nil {
		t.Errorf("it is %s", describe(f))
	}
	if content, err := newWalker(f.Files, "").read("start", 100); err != nil || string(content) != "#!/bin/sh\n" {
		t.Errorf("its program is %q, %v", content, err)
	}
}

func TestNative(t *testing.T) {
	file := sample.Build(t, t.TempDir(), "org.example.Native", "1", sample.App("org.example.Native"))
	data := readFile(t, file)
	b, err := open(data)
	if err != nil || b.Manifest().ID != "org.example.Native" || b.Format() != bundle.FormatBundle {
		t.Errorf("it is %v, %v", b, err)
	}
	if _, err := open(data[:len(data)-1]); !errors.Is(err, bundle.ErrTruncated) {
		t.Errorf("an incomplete one: %v", err)
	}
}

// put returns data with a number of 16 or 64 bits changed.
func put(data []byte, off int, v any) []byte {
	data = slices.Clone(data)
	switch v := v.(type) {
	case int:
		binary.LittleEndian.PutUint16(data[off:], uint16(v))
	case uint64:
		binary.LittleEndian.PutUint64(data[off:], v)
	}
	return data
}

func TestHostile(t *testing.T) {
	g2, g1 := amd64, amd64
	g2.mark, g1.mark = "AI\x02", "AI\x01"
	second, plain := g2.file(), amd64.file()
	image := amd64.file(section{name: sectionImage, content: "no file system"})
	headers := len(image) - 3*64 // its section table: none, the image, the names
	hsqs := func(b []byte) []byte { return append(slices.Clone(b), "hsqs"+strings.Repeat("\x00", 200)...) }
	for _, c := range []struct {
		name string
		data []byte
		want error
	}{
		{"nothing", nil, bundle.ErrNotBundle},
		{"text", []byte("#!/bin/sh\n"), bundle.ErrNotBundle},
		{"beginning of an ELF file", plain[:40], bundle.ErrNotBundle},
		{"program", plain, bundle.ErrNotBundle},
		{"program with squashfs behind it", hsqs(plain), bundle.ErrNotBundle},
		{"program without its end", plain[:len(plain)-1], bundle.ErrNotBundle},
		{"program of no class", append([]byte("\x7fELF\x03"), plain[5:]...), bundle.ErrNotBundle},
		{"AppImage of type 3", func() []byte { g := amd64; g.mark = "AI\x03"; return g.file() }(), bundle.ErrNotBundle},

		{"nothing behind", second, bundle.ErrTruncated},
		{"text behind", append(slices.Clone(second), "some text"...), bundle.ErrUnsupported},
		{"squashfs of no version", hsqs(second), bundle.ErrUnsupported},
		{"short squashfs", append(slices.Clone(second), "hsqs"...), bundle.ErrTruncated},
		{"no class", append([]byte("\x7fELF\x03"), second[5:]...), bundle.ErrDamaged},
		{"no byte order", append([]byte("\x7fELF\x02\x03"), second[6:]...), bundle.ErrDamaged},
		{"header only", second[:60], bundle.ErrDamaged},
		{"section table beyond the end", put(second, 40, uint64(1<<40)), bundle.ErrTruncated},
		{"section table overflows", put(second, 40, uint64(math.MaxUint64)), bundle.ErrTruncated},
		{"section headers of other size", put(second, 58, 63), bundle.ErrDamaged},
		{"too many sections", put(second, 60, 0xffff), bundle.ErrDamaged},
		{"section names elsewhere", put(second, 62, 0xffff), bundle.ErrTruncated},
		{"too many segments", put(second, 56, 0xffff), bundle.ErrDamaged},
		{"segments beyond the end", put(second, 32, uint64(math.MaxUint64-8)), bundle.ErrTruncated},
		{"segment overflows", put(put(second, 64+8, uint64(math.MaxUint64)), 64+32, uint64(math.MaxUint64)), bundle.ErrTruncated},
		{"section overflows", put(put(hsqs(second)[:len(second)+100], len(second)-64+24, uint64(math.MaxUint64-9)),
			len(second)-64+32, uint64(math.MaxUint64)), bundle.ErrUnsupported},

		{"no ISO", g1.file(), bundle.ErrTruncated},
		{"bad ISO", append(g1.file(), make([]byte, 64<<10)...), bundle.ErrDamaged},

		{"no ext2", image, bundle.ErrTruncated},
		{"bad ext2", amd64.file(section{name: sectionImage, content: strings.Repeat("x", 8192)}), bundle.ErrDamaged},
		{"image without content", amd64.file(section{name: sectionImage, content: "x", kind: nobits}), bundle.ErrNotBundle},
		{"image beyond the end", put(image, headers+64+24, uint64(1<<40)), bundle.ErrTruncated},
		{"image size overflows", put(image, headers+64+32, uint64(math.MaxUint64)), bundle.ErrNotBundle},
		{"image of 2^61 bytes", put(image, headers+64+32, uint64(1<<61)), bundle.ErrTruncated},
		{"names beyond the end", put(image, headers+128+24, uint64(1<<40)), bundle.ErrNotBundle},
		{"names of 2^40 bytes", put(image, headers+128+32, uint64(1<<40)), bundle.ErrNotBundle},

		{"Glick 2, nothing else", []byte("\x8cGLK\r\n\x1a\n"), bundle.ErrTruncated},
		{"Glick 2, newer", append([]byte("\x8cGLK\r\n\x1a\n\x02"), make([]byte, 100)...), bundle.ErrUnsupported},
	} {
		t.Run(c.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			b, err := open(c.data)
			runtime.ReadMemStats(&after)
			if b != nil || !errors.Is(err, c.want) {
				t.Errorf("it is %v, %v, not %v", b, err, c.want)
			}
			if n := after.TotalAlloc - before.TotalAlloc; n > 16<<20 {
				t.Errorf("took %d bytes", n)
			}
		})
	}
}

// Each beginning of a file is refused without a panic, and an AppImage never as something else than what it is.
func TestTruncated(t *testing.T) {
	g := amd64
	g.mark = "AI\x02"
	b := g.file()
	program := len(b)
	b = append(b, squash(t, tree{"AppRun": "x", "a.desktop": desktop})...)
	for n := range len(b) {
		if n > program+8 && n%61 != 0 {
			continue
		}
		_, err := open(b[:n])
		switch {
		case n < elfHeader32:
			if !errors.Is(err, bundle.ErrNotBundle) {
				t.Fatalf("%d bytes: %v", n, err)
			}
		case n >= len(b)-4095 && err == nil: // the image is filled up to 4096 bytes
		case !errors.Is(err, bundle.ErrTruncated) && !errors.Is(err, bundle.ErrDamaged):
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
}

type failing struct{ error }

func (f failing) ReadAt([]byte, int64) (int, error) { return 0, f.error }

func TestReaderError(t *testing.T) {
	want := errors.New("no such disk")
	if _, err := Read(failing{want}, 1000); !errors.Is(err, want) {
		t.Errorf("the error is %v", err)
	}
}

// Sparse files of a terabyte cost no more than others.
func TestMemory(t *testing.T) {
	g2, g1 := amd64, amd64
	g2.mark, g1.mark = "AI\x02", "AI\x01"
	names := put(amd64.file(section{name: sectionImage}), len(amd64.file(section{name: sectionImage}))-64+32, uint64(maxNames))
	for name, data := range map[string][]byte{
		"AppImage 2": append(g2.file(), "hsqs"...), "AppImage 1": g1.file(), "Glick 0.2": amd64.file(section{name: sectionImage}), "names": names,
		"desktop file": amd64.file(section{name: sectionDesktop}),
	} {
		r := &counting{ReaderAt: endless(data)}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		b, err := Read(r, 1<<40)
		runtime.ReadMemStats(&after)
		if b != nil || err == nil {
			t.Errorf("%s: it is %v, %v", name, b, err)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 64<<20 || r.bytes > 16<<20 {
			t.Errorf("%s: took %d bytes, read %d", name, n, r.bytes)
		}
	}
}

func TestIdentity(t *testing.T) {
	with := func(change tree) tree {
		tr := application()
		for name, content := range change {
			if delete(tr, name); content != "" {
				tr[name] = content
			}
		}
		return tr
	}
	entry := func(old, new string) tree {
		return with(tree{"sample.desktop": strings.Replace(desktop, old, new, 1)})
	}
	const usual = "appimage-2 id=org.example.Sample version=1.2 name=Sample exec=AppRun prefix= arch= icons=[48 256] svg=true desktop=true metainfo=true"
	change := func(pairs ...string) string { return strings.NewReplacer(pairs...).Replace(usual) }
	long := func(n int) string { return strings.Repeat("n", n) }
	loop := tree{"sample.desktop": "-> l0"}
	for i := range 41 {
		loop[fmt.Sprintf("l%d", i)] = fmt.Sprintf("-> l%d", i+1)
	}
	loop["l41"] = desktop
	none := "appimage-2 id= version= name= exec=AppRun prefix= arch= icons=[256] svg=false desktop=false metainfo=false"
	for _, c := range []struct {
		name string
		tree tree
		want string
	}{
		{"usual", application(), usual},
		{"empty", tree{"x": "x"}, "appimage-2 id= version= name= exec= prefix= arch= icons=[] svg=false desktop=false metainfo=false"},
		{"nothing but the desktop file", tree{"org.example.Two.desktop": desktop},
			"appimage-2 id=org.example.Two version=1.2 name=Sample exec=sample prefix= arch= icons=[] svg=false desktop=true metainfo=false"},
		{"no id", with(tree{"usr/share/metainfo/sample.metainfo.xml": ""}), change("org.example.Sample", "", "metainfo=true", "metainfo=false")},
		{"id of a desktop file", with(tree{"usr/share/metainfo/sample.metainfo.xml": xmlOf("org.example.Sample.desktop")}), usual},
		{"id that is none", with(tree{"usr/share/metainfo/sample.metainfo.xml": xmlOf("../../etc")}), change("org.example.Sample", "")},
		{"id that is a file name", with(tree{"usr/share/metainfo/sample.metainfo.xml": xmlOf("sample.desktop")}), change("org.example.Sample", "")},
		{"old folder", with(tree{"usr/share/metainfo/sample.metainfo.xml": "", "usr/share/appdata/sample.appdata.xml": xmlOf("org.example.Sample")}), usual},
		{"metainfo of others too", with(tree{"usr/share/metainfo/a.metainfo.xml": xmlOf("org.example.A")}), usual},
		{"metainfo of others only", with(tree{"usr/share/metainfo/sample.metainfo.xml": "", "usr/share/metainfo/a.metainfo.xml": xmlOf("a.b"),
			"usr/share/metainfo/b.metainfo.xml": xmlOf("a.c")}), change("org.example.Sample", "", "metainfo=true", "metainfo=false")},
		{"metainfo that is no XML", with(tree{"usr/share/metainfo/sample.metainfo.xml": "<component><id>a.b</id>"}),
			change("org.example.Sample", "", "metainfo=true", "metainfo=false")},
		{"metainfo in deep elements", with(tree{"usr/share/metainfo/sample.metainfo.xml": "<component>" + strings.Repeat("<a>", 1<<20)}),
			change("org.example.Sample", "", "metainfo=true", "metainfo=false")},
		{"version of the metainfo", entry("X-AppImage-Version=1.2\n", ""), change("version=1.2", "version=9")},
		{"version that is none", entry("Version=1.2", "Version=1/../2"), change("version=1.2", "version=9")},
		{"long version", entry("Version=1.2", "Version="+long(256)), change("version=1.2", "version=9")},
		{"long name", entry("Name=Sample", "Name="+long(1025)), change("name=Sample", "name=")},
		{"name of two lines", entry("Name=Sample", `Name=a\nb`), change("name=Sample", "name=")},
		{"desktop file that is none", with(tree{"sample.desktop": "\x00"}), "appimage-2 id=org.example.Sample version=9 name= exec=AppRun prefix= arch= " +
			"icons=[256] svg=false desktop=true metainfo=true"},
		{"large desktop file", with(tree{"sample.desktop": desktop + strings.Repeat("#\n", 1<<19), "usr/share/metainfo/sample.metainfo.xml": ""}), none},
		{"desktop file outside", with(tree{"sample.desktop": "-> ../sample.desktop", "usr/share/metainfo/sample.metainfo.xml": ""}), none},
		{"desktop file on the machine", with(tree{"sample.desktop": "-> /usr/share/applications/sample.desktop",
			"usr/share/metainfo/sample.metainfo.xml": ""}), none},
		{"desktop file is its own link", with(tree{"sample.desktop": "-> sample.desktop", "usr/share/metainfo/sample.metainfo.xml": ""}), none},
		{"41 links", with(tree{"usr/share/metainfo/sample.metainfo.xml": "", "sample.desktop": "-> l0", "l0": "-> l1"}), none},
		{"two desktop files", with(tree{"a.desktop": "[Desktop Entry]\nName=First\n"}),
			"appimage-2 id=org.example.Sample version=9 name=First exec=AppRun prefix= arch= icons=[256] svg=false desktop=true metainfo=true"},
		{"no program in the root", with(tree{"AppRun": ""}), change("exec=AppRun", "exec=sample")},
		{"program on the machine", func() tree { tr := entry("Exec=sample", "Exec=/bin/sh"); delete(tr, "AppRun"); return tr }(),
			change("exec=AppRun", "exec=")},
		{"program outside", func() tree { tr := entry("Exec=sample", "Exec=../../sh"); delete(tr, "AppRun"); return tr }(), change("exec=AppRun", "exec=")},

		{"icon in the root only", tree{"AppRun": "x", "a.desktop": "[Desktop Entry]\nIcon=pic.png\n", "pic.png": sample.Icon(64), "pic.svg": svg},
			"appimage-2 id= version= name= exec=AppRun prefix= arch= icons=[64] svg=true desktop=true metainfo=false"},
		{"icon is SVG", with(tree{".DirIcon": svg, "usr/share/icons/hicolor/scalable/apps/sample.svg": ""}), usual},
		{"icon is text", with(tree{".DirIcon": "text"}), usual},
		{"icon is not square", with(tree{"usr/share/icons/hicolor/256x256/apps/sample.png": icon256[:20] + "\x00\x00\x00\x10" +
			icon256[24:]}), change("[48 256]", "[48]")},
		{"icon is huge", with(tree{"usr/share/icons/hicolor/256x256/apps/sample.png": icon256 + long(4<<20)}), change("[48 256]", "[48]")},
		{"icon leads out and back", with(tree{".DirIcon": "-> ../" + "sample.png", "usr/share/icons/hicolor/256x256/apps/sample.png": ""}),
			change("[48 256]", "[48]")},
		{"icon name is a path", entry("Icon=sample", "Icon=/usr/share/icons/hicolor/48x48/apps/sample.png"), usual},
		{"icon name leads out", entry("Icon=sample", "Icon=.."), change("[48 256]", "[256]", "svg=true", "svg=false")},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.name == "41 links" {
				maps.Copy(c.tree, loop)
			}
			f := &bundle.Foreign{Format: bundle.FormatAppImage2, Files: c.tree.files(), Icons: make(map[int][]byte)}
			if err := appDir(f); err != nil {
				t.Fatal(err)
			}
			if got := describe(f); got != c.want {
				t.Errorf("it is\n%s, not\n%s", got, c.want)
			}
		})
	}
}

// Links that lead from folder to folder for ever, and folders without end, do not take for ever.
func TestWalk(t *testing.T) {
	tr := tree{"d/x": "x", "up/l": "-> ../d/../up/../d/x", "end": "-> d/x/y", "abs": "-> /opt/bundle/d/x", "out": "-> /d/x", "prefix": "-> /opt/bundle"}
	tr["long"] = "-> " + strings.Repeat("d/../", 800) + "long"
	w := newWalker(tr.files(), "/opt/bundle")
	for _, c := range []struct{ path, want string }{
		{"d/x", "x"}, {"/d//./x", "x"}, {"up/l", "x"}, {"abs", "x"}, {"d/../d/x", "x"},
		{"end", ""}, {"out", ""}, {"long", ""}, {"..", ""}, {"d/../../d/x", ""}, {"d", ""}, {"", ""}, {"d/x/", ""}, {"nothing", ""}, {"prefix", ""},
	} {
		got, err := w.read(c.path, 10)
		if string(got) != c.want || err != nil {
			t.Errorf("%s: %q, %v", c.path, got, err)
		}
	}
	if _, _, err := w.find("nothing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a path that leads nowhere: %v", err)
	}
	w.room = 100
	w.folders = map[bundle.Inode][]bundle.DirEntry{}
	if _, err := w.read("d/x", 10); !errors.Is(err, bundle.ErrUnsupported) {
		t.Errorf("folders that are too large: %v", err)
	}
}

func FuzzRead(f *testing.F) {
	g := amd64
	g.mark = "AI\x02"
	f.Add(append(g.file(), "hsqs"+strings.Repeat("\x00", 100)...))
	g.mark = "AI\x01"
	f.Add(g.file())
	f.Add(amd64.file(section{name: sectionImage, content: strings.Repeat("\x00", 1100)}, section{name: sectionDesktop, content: desktop}))
	small := generator{layout: &elf32, order: binary.BigEndian, put: binary.BigEndian, machine: 20}
	f.Add(small.file(section{name: sectionImage, content: "x"}))
	f.Add([]byte("\x8cGLK\r\n\x1a\n\x01"))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := open(data)
		if err == nil {
			if b.Manifest() == nil {
				t.Fatal("a bundle without manifest")
			}
			return
		}
		for _, class := range []error{bundle.ErrNotBundle, bundle.ErrTruncated, bundle.ErrDamaged, bundle.ErrVersion, bundle.ErrUnsupported} {
			if errors.Is(err, class) {
				return
			}
		}
		t.Fatalf("an error of no class: %v", err)
	})
}

// What is in an image is as hostile as the file around it.
func FuzzIdentity(f *testing.F) {
	f.Add(desktop, xmlOf("a.b"), svg, "sample.desktop")
	f.Fuzz(func(t *testing.T, entry, metainfo, icon, link string) {
		file := &bundle.Foreign{Icons: make(map[int][]byte), Files: tree{
			"sample.desktop": entry, "usr/share/metainfo/sample.metainfo.xml": metainfo, ".DirIcon": icon, "a.desktop": "-> " + link,
		}.files()}
		if err := appDir(file); err != nil {
			t.Fatal(err)
		}
		if id := file.Manifest.ID; id != "" && bundle.ValidID(id) != nil {
			t.Fatalf("the id is %q", id)
		}
		for size, data := range file.Icons {
			if pngSide(data) != size {
				t.Fatalf("no icon of %d pixels", size)
			}
		}
	})
}
