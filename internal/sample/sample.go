// SPDX-License-Identifier: MIT

// Package sample makes small bundles for tests.
package sample

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"glick.org/glick/bundle"
)

// Tree maps slash paths to contents. A content that begins with "-> " is a symbolic link; files below bin/ are
// executable.
type Tree map[string]string

// App is the tree of an ordinary application of the given id.
func App(id string) Tree {
	return Tree{
		"bin/app": "#!/bin/sh\n",
		"share/applications/" + id + ".desktop": "[Desktop Entry]\nType=Application\nName=Sample\nName[de]=Muster\nExec=app %U\nIcon=" + id +
			"\nMimeType=application/x-sample;\nActions=new;\n\n[Desktop Action new]\nName=New Window\nExec=app --new\n",
		"share/icons/hicolor/48x48/apps/" + id + ".png":             Icon(48),
		"share/icons/hicolor/256x256/apps/" + id + ".png":           Icon(256),
		"share/icons/hicolor/symbolic/apps/" + id + "-symbolic.svg": `<svg xmlns="http://www.w3.org/2000/svg" width="16" height="16"/>`,
		"share/mime/packages/" + id + ".xml": `<mime-info xmlns="http://www.freedesktop.org/standards/shared-mime-info">` +
			`<mime-type type="application/x-sample"><comment>Sample</comment><glob pattern="*.sample"/></mime-type></mime-info>`,
		"share/dbus-1/services/" + id + ".service": "[D-BUS Service]\nName=" + id + "\nExec=/usr/bin/app --gapplication-service\n",
	}
}

// Icon is a PNG picture of size×size pixels with a corner to tell where up is.
func Icon(size int) string {
	img := image.NewNRGBA(image.Rect(0, 0, size, size))
	for y := range size {
		for x := range size {
			c := color.NRGBA{R: 30, G: 140, B: 150, A: 255}
			if x < size/2 && y < size/2 {
				c = color.NRGBA{R: 240, G: 180, B: 30, A: 255}
			}
			img.SetNRGBA(x, y, c)
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		panic(err)
	}
	return b.String()
}

// Build writes a bundle of the tree into dir and returns its file, named by id and version. Its main program is bin/app.
func Build(t testing.TB, dir, id, version string, tree Tree) string {
	t.Helper()
	return BuildCommands(t, dir, id, version, tree)
}

// BuildCommands is Build for a bundle that has commands.
func BuildCommands(t testing.TB, dir, id, version string, tree Tree, commands ...string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range tree {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if target, ok := strings.CutPrefix(content, "-> "); ok {
			if err := os.Symlink(target, path); err != nil {
				t.Fatal(err)
			}
			continue
		}
		mode := os.FileMode(0o644)
		if strings.HasPrefix(name, "bin/") {
			mode = 0o755
		}
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, fmt.Sprintf("%s-%s.bundle", id, version))
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	o := bundle.BuildOptions{ID: id, Version: version, Name: "Sample", Exec: "bin/app", Stub: Stub(), Arch: arch(), Commands: commands}
	if _, err := bundle.Build(t.Context(), f, root, o); err != nil {
		t.Fatal(err)
	}
	return file
}

func arch() string {
	if runtime.GOARCH == "arm64" {
		return "aarch64"
	}
	return "x86_64"
}

// Stub is the least ELF program that can begin a bundle. It is never started.
func Stub() []byte {
	const code = 0x1000
	machine := elf.EM_X86_64
	if arch() == "aarch64" {
		machine = elf.EM_AARCH64
	}
	var b bytes.Buffer
	put := func(v any) {
		if err := binary.Write(&b, binary.LittleEndian, v); err != nil {
			panic(err)
		}
	}
	h := elf.Header64{
		Type: uint16(elf.ET_EXEC), Machine: uint16(machine), Version: 1, Entry: 0x400000 + code, Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 3,
		Shentsize: 64,
	}
	copy(h.Ident[:], "\x7fELF\x02\x01\x01")
	put(h)
	put(elf.Prog64{
		Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X), Vaddr: 0x400000, Paddr: 0x400000, Filesz: code + 16, Memsz: code + 16, Align: 0x1000,
	})
	put(elf.Prog64{Type: uint32(elf.PT_NOTE), Flags: uint32(elf.PF_R), Off: 0xf00, Vaddr: 0x400f00, Paddr: 0x400f00, Filesz: 32, Memsz: 32, Align: 4})
	put(elf.Prog64{Type: uint32(elf.PT_GNU_STACK), Flags: uint32(elf.PF_R | elf.PF_W), Align: 8})
	b.Write(make([]byte, code+16-b.Len()))
	return b.Bytes()
}
