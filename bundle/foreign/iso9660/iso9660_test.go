// SPDX-License-Identifier: MIT

package iso9660

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"glick.org/glick/bundle"
)

// sample has what a reader must know: links of all lengths and kinds, strange names and modes, contents that zisofs compresses well and badly.
func sample() map[string]entry {
	tree := map[string]entry{
		"AppRun":                 {mode: modeFile | 0o755, content: "#!app"},
		"empty":                  {mode: modeFile | 0o600},
		"setuid":                 {mode: modeFile | 0o4711, content: "s"},
		"private":                {mode: modeDir | 0o700},
		"private/x":              text("x"),
		"sector":                 text(strings.Repeat("1", sectorSize)),
		"more":                   text(strings.Repeat("0123456789abcdef", 1000)),
		"32k":                    text(strings.Repeat("0123456789abcde\n", 2048)),
		"large":                  text(strings.Repeat("fedcba987654321\n", 20000) + "end"),
		"zeros":                  text(strings.Repeat("\x00", 500000)),
		"zeros and more":         text(strings.Repeat("\x00", 300000) + "x" + strings.Repeat("\x00", 300000) + "y"),
		"noise":                  text(noise(150000)),
		"short":                  link("bin/app"),
		"absolute":               link("/usr/bin/app"),
		"root":                   link("/"),
		"here":                   link("."),
		"dots":                   link("./.././../x"),
		"long":                   link(strings.Repeat("../some folder/", 60) + "x"),
		"one component":          link(strings.Repeat("c", 255)),
		"bad\xff\xfename":        text("not UTF-8"),
		"with\nline":             text("strange"),
		"same.;1":                text("a name that looks like a plain one"),
		strings.Repeat("n", 255): text("long name"),
		"a/b/c/d/e/f/g/h/i/j/k":  text("deep"),
		"a/b/c/d/e/f/g/h/i/l":    link("j/k"),
	}
	for i := range 100 {
		tree[fmt.Sprintf("many/file%03d", i)] = text(fmt.Sprintf("content %d\n", i))
	}
	return tree
}

// noise returns bytes that cannot be compressed.
func noise(n int) string {
	b := make([]byte, n)
	x := uint32(1)
	for i := range b {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		b[i] = byte(x)
	}
	return string(b)
}

// reading opens an image that must be sound.
func reading(t testing.TB, data []byte) *Image {
	t.Helper()
	im, err := Open(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return im
}

// compare checks that the image holds exactly the tree, apart from rr_moved.
func compare(t *testing.T, im *Image, tree map[string]entry) {
	t.Helper()
	seen := 0
	var walk func(dir string, i bundle.Inode)
	walk = func(dir string, i bundle.Inode) {
		list, err := im.ReadDir(i)
		if err != nil {
			t.Fatalf("%q: %v", dir, err)
		}
		for k, e := range list {
			if k > 0 && list[k-1].Name >= e.Name {
				t.Errorf("%q comes after %q", e.Name, list[k-1].Name)
			}
			name := path.Join(dir, e.Name)
			s, err := im.Stat(e.Inode)
			if err != nil {
				t.Fatalf("%q: %v", name, err)
			}
			want, ok := tree[name]
			if !ok && s.Mode&^0o222 == plainDir {
				walk(name, e.Inode)
				continue
			}
			seen++
			if !ok || s.Mode != want.mode || s.Size != int64(len(want.content)) || s.Target != want.target {
				t.Fatalf("%q is %o, %d bytes, %q; want %o, %d bytes, %q", name, s.Mode, s.Size, s.Target, want.mode, len(want.content), want.target)
			}
			switch s.Mode & modeType {
			case modeDir:
				walk(name, e.Inode)
			case modeFile:
				compareContent(t, im, e.Inode, name, want.content)
			}
		}
	}
	walk(".", im.Root())
	if seen != len(tree) {
		t.Errorf("%d files, want %d", seen, len(tree))
	}
}

func compareContent(t *testing.T, im *Image, i bundle.Inode, name, want string) {
	t.Helper()
	got := make([]byte, len(want)+1)
	if n, err := im.ReadAt(i, got, 0); n != len(want) || !errors.Is(err, io.EOF) || string(got[:n]) != want {
		t.Fatalf("%q: %d bytes, %v", name, n, err)
	}
	buf := make([]byte, 50000) // reads begin and end within blocks
	for off := 0; off < len(want); off += len(buf) {
		n, err := im.ReadAt(i, buf, int64(off))
		if err != nil && !errors.Is(err, io.EOF) || string(buf[:n]) != want[off:min(off+len(buf), len(want))] {
			t.Fatalf("%q at %d: %d bytes, %v", name, off, n, err)
		}
	}
	if n, err := im.ReadAt(i, buf[:1], int64(len(want))); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("%q at its end: %d, %v", name, n, err)
	}
	if _, err := im.ReadAt(i, buf[:1], -1); err == nil {
		t.Errorf("%q can be read before its beginning", name)
	}
}

func TestGenerated(t *testing.T) {
	for name, g := range map[string]generator{
		"simple":              {},
		"bytes to skip":       {skip: 5},
		"zisofs, 32 KiB":      {shift: 15},
		"zisofs, 64 KiB":      {shift: 16, piece: 4 * sectorSize},
		"zisofs, 128 KiB":     {shift: 17},
		"pieces":              {piece: sectorSize * 8},
		"many continuations":  {record: 120, area: 300},
		"large continuations": {area: 2000},
		"moved":               {moved: "a/b/c/d/e/f/g"},
	} {
		t.Run(name, func(t *testing.T) {
			tree := sample()
			tree["longest"] = link(strings.Repeat("../some folder/", 272) + "12345678901234x") // 4095 bytes
			compare(t, reading(t, g.generate(tree).data), tree)
		})
	}
}

// TestPlain: without Rock Ridge there are only the names of ISO 9660.
func TestPlain(t *testing.T) {
	plain := func(s string) entry { return entry{mode: plainFile, content: s} }
	tree := map[string]entry{"README.TXT": plain("text"), "NAME": plain("no dot"), "DIR/FILE.A": plain("below"), "DIR/EMPTY": plain("")}
	compare(t, reading(t, generator{plain: true}.generate(tree).data), tree)
}

func TestTypes(t *testing.T) {
	tree := map[string]entry{"d": folder()}
	for _, mode := range []uint32{modePipe, modeChar, modeBlock, modeSocket} {
		tree[fmt.Sprintf("%o", mode)] = entry{mode: mode | 0o640}
	}
	made := generator{}.generate(tree)
	im := reading(t, made.data)
	compare(t, im, tree)
	if _, err := im.ReadDir(bundle.Inode(made.record["10000"])); !errors.Is(err, bundle.ErrUnsupported) {
		t.Errorf("a pipe is listed: %v", err)
	}
	if _, err := im.ReadAt(im.Root(), make([]byte, 1), 0); !errors.Is(err, bundle.ErrUnsupported) {
		t.Errorf("a folder is read: %v", err)
	}
	for _, i := range []bundle.Inode{0, 17 * sectorSize, bundle.Inode(len(made.data)), 1 << 40, 1<<64 - 1} {
		if _, err := im.Stat(i); !errors.Is(err, bundle.ErrDamaged) {
			t.Errorf("inode %d: %v", i, err)
		}
	}
}

// TestParallel: readers of several blocks at once do not get one another's.
func TestParallel(t *testing.T) {
	tree := sample()
	made := generator{shift: 15}.generate(tree)
	im := reading(t, made.data)
	var wg sync.WaitGroup
	for _, name := range []string{"large", "noise", "32k", "zeros and more"} {
		wg.Go(func() {
			want := tree[name].content
			buf := make([]byte, 7000)
			for off := 0; off+len(buf) < len(want); off += 3 * len(buf) {
				if _, err := im.ReadAt(bundle.Inode(made.record[name]), buf, int64(off)); err != nil || string(buf) != want[off:off+len(buf)] {
					t.Errorf("%q at %d differs, %v", name, off, err)
				}
			}
		})
	}
	wg.Wait()
}

// onDisk writes the tree into a folder.
func onDisk(t *testing.T, tree map[string]entry) string {
	t.Helper()
	dir := t.TempDir()
	must := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	made, private := map[string]bool{}, map[string]os.FileMode{}
	for name, f := range tree {
		p := filepath.Join(dir, name)
		if parent := filepath.Dir(p); !made[parent] {
			must(os.MkdirAll(parent, 0o755))
			made[parent] = true
		}
		switch f.mode & modeType {
		case modeDir:
			must(os.MkdirAll(p, 0o755))
			private[p] = os.FileMode(f.mode & 0o777)
		case modeLink:
			must(os.Symlink(f.target, p))
		default:
			must(os.WriteFile(p, []byte(f.content), 0o600))
			mode := os.FileMode(f.mode & 0o777)
			if f.mode&0o4000 != 0 {
				mode |= os.ModeSetuid
			}
			must(os.Chmod(p, mode))
		}
	}
	for p, mode := range private {
		must(os.Chmod(p, mode))
	}
	return dir
}

func tool(t *testing.T, name string) string {
	t.Helper()
	p, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	return p
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
}

func TestTools(t *testing.T) {
	trees := map[bool]map[string]entry{false: sample(), true: sample()}
	for i := range 3000 {
		trees[true][fmt.Sprintf("full/%04d is the number of a file with a rather long name", i)] = link(fmt.Sprint(i))
	}
	dirs := map[bool]string{false: onDisk(t, trees[false]), true: onDisk(t, trees[true])}
	packed := filepath.Join(t.TempDir(), "packed")
	image := func(t *testing.T, program string, args ...string) []byte {
		t.Helper()
		out := filepath.Join(t.TempDir(), "image")
		for i := range args {
			switch args[i] {
			case "OUT":
				args[i] = out
			case "PACKED":
				args[i] = packed
			}
		}
		run(t, tool(t, program), args...)
		data, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	for name, c := range map[string]struct {
		args  string
		large bool
		moves bool // a folder that is too deep
		short bool // genisoimage does not end when a link is long
	}{
		"xorriso":                 {args: "xorriso -as mkisofs -quiet -R -o OUT DIR"},
		"xorriso with relocation": {args: "xorriso -as mkisofs -quiet -R -J -rr_reloc_dir /moved -iso-level 3 -o OUT DIR", moves: true},
		"genisoimage":             {args: "genisoimage -quiet -R -m long -o OUT DIR", large: true, moves: true, short: true},
		"genisoimage, not deep":   {args: "genisoimage -quiet -R -D -m long -o OUT DIR", short: true},
		"genisoimage, mkzftree":   {args: "genisoimage -quiet -R -z -m long -o OUT PACKED", moves: true, short: true},
		"zisofs, 32 KiB":          {args: "xorriso -outdev OUT -map DIR / -zisofs level=9:block_size=32k -set_filter_r --zisofs /"},
		"zisofs, 64 KiB":          {args: "xorriso -outdev OUT -map DIR / -zisofs level=1:block_size=64k -set_filter_r --zisofs /"},
		"as an AppImage": {
			args: "xorriso -joliet on -volid AppImage -padding 0 -outdev OUT -map DIR / " +
				"-zisofs level=9:block_size=128k:by_magic=off -set_filter_r --zisofs /",
			large: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			if strings.Contains(c.args, "PACKED") {
				run(t, tool(t, "mkzftree"), dirs[c.large], packed)
			}
			args := strings.Fields(c.args)
			if i := slices.Index(args, "DIR"); i >= 0 {
				args[i] = dirs[c.large]
			}
			data := image(t, args[0], args[1:]...)
			want := maps.Clone(trees[c.large])
			if c.short {
				delete(want, "long")
			}
			compare(t, reading(t, data), want)
			if c.moves != bytes.Contains(data, []byte("CL\x0c\x01")) {
				t.Errorf("folders are moved: %v, want %v", !c.moves, c.moves)
			}
			if zisofs := strings.Contains(c.args, "-z"); zisofs != bytes.Contains(data, []byte("ZF\x10\x01pz")) {
				t.Errorf("files are compressed: %v, want %v", !zisofs, zisofs)
			}
		})
	}
	t.Run("plain", func(t *testing.T) {
		small := map[string]entry{"dir/below.txt": text("below"), "readme.txt": text("text"), "noext": text("")}
		want := map[string]entry{}
		for name, f := range small {
			f.mode = plainFile
			want[strings.ToUpper(name)] = f
		}
		compare(t, reading(t, image(t, "genisoimage", "-quiet", "-o", "OUT", onDisk(t, small))), want)
	})
}

// TestELF: an AppImage's first 32 KiB are a program, and are not looked at.
func TestELF(t *testing.T) {
	tree := sample()
	data := generator{shift: 17}.generate(tree).data
	copy(data, "\x7fELF\x02\x01\x01\x00AI\x01")
	copy(data[64:], noise(firstDescriptor*sectorSize-64))
	compare(t, reading(t, data), tree)
}

// visit does what a careful reader does with an image: it lists each folder once, and reads a bit of each file. It returns the first error.
func visit(im *Image) error {
	var first error
	keep := func(err error) bool {
		if err != nil && !errors.Is(err, io.EOF) && first == nil {
			first = err
		}
		return err == nil
	}
	done := map[bundle.Inode]bool{}
	todo := []bundle.Inode{im.Root()}
	buf := make([]byte, 3000)
	for len(todo) > 0 && len(done) < 3000 {
		i := todo[0]
		todo = todo[1:]
		if done[i] {
			continue
		}
		done[i] = true
		s, err := im.Stat(i)
		if !keep(err) {
			continue
		}
		switch s.Mode & modeType {
		case modeDir:
			list, err := im.ReadDir(i)
			keep(err)
			for _, e := range list {
				todo = append(todo, e.Inode)
			}
		case modeFile:
			for _, off := range []int64{0, s.Size / 2, s.Size - 1} {
				_, err := im.ReadAt(i, buf, max(0, off))
				keep(err)
			}
		}
	}
	return first
}

const descriptor = firstDescriptor * sectorSize

// hostile are images that somebody has made to do harm, each with the class of the error that it must give.
var hostile = []struct {
	name  string
	want  error
	g     generator
	spoil func(im *image)
}{
	{name: "no descriptor", want: bundle.ErrDamaged, spoil: func(im *image) { im.data[descriptor+1] = 'X' }},
	{name: "no primary descriptor", want: bundle.ErrDamaged, spoil: func(im *image) { im.data[descriptor] = 2 }},
	{name: "descriptors without an end", want: bundle.ErrDamaged, spoil: func(im *image) {
		d := bytes.Clone(im.data[descriptor:][:sectorSize])
		d[0] = 2
		im.data = append(im.data[:descriptor], bytes.Repeat(d, 200)...)
	}},
	{name: "only a system area", want: bundle.ErrTruncated, spoil: func(im *image) { im.data = im.data[:descriptor] }},
	{name: "cut off", want: bundle.ErrTruncated, spoil: func(im *image) { im.data = im.data[:len(im.data)-1] }},
	{name: "more sectors than there are", want: bundle.ErrTruncated, spoil: func(im *image) { im.put32(descriptor+80, 0xffffffff) }},
	{name: "version 9", want: bundle.ErrUnsupported, spoil: func(im *image) { im.data[descriptor+6] = 9 }},
	{name: "blocks of 512 bytes", want: bundle.ErrUnsupported, spoil: func(im *image) { im.data[descriptor+129] = 2 }},
	{name: "blocks of 0 bytes", want: bundle.ErrUnsupported, spoil: func(im *image) { im.data[descriptor+129] = 0 }},
	{name: "root outside", want: bundle.ErrDamaged, spoil: func(im *image) { im.put32(descriptor+156+2, 0xffffffff) }},
	{name: "root in the system area", want: bundle.ErrDamaged, spoil: func(im *image) { im.put32(descriptor+156+2, 0) }},
	{name: "root is a content", want: bundle.ErrDamaged, spoil: func(im *image) {
		im.put32(descriptor+156+2, uint32(im.place["more"]/sectorSize))
	}},
	{name: "root of 4 GiB", want: bundle.ErrDamaged, spoil: func(im *image) { im.put32(im.place["."]+10, 0xffffffff) }},
	{name: "folder of 4 GiB", want: bundle.ErrDamaged, spoil: func(im *image) { im.put32(im.record["private"]+10, 0xffffffff) }},
	{name: "folder outside", want: bundle.ErrDamaged, spoil: func(im *image) { im.put32(im.record["private"]+2, 0xfffffff0) }},
	{name: "folder in pieces", want: bundle.ErrDamaged, spoil: func(im *image) { im.data[im.record["private"]+25] |= flagMore }},
	{name: "folder that is a file", want: bundle.ErrDamaged, spoil: func(im *image) { im.data[im.record["private"]+25] = 0 }},
	{name: "file that is a folder", want: bundle.ErrDamaged, spoil: func(im *image) { im.data[im.record["more"]+25] = flagDir }},
	{name: "file that is a link", want: bundle.ErrDamaged, spoil: func(im *image) { im.put32(im.entry("more", "PX")+4, modeLink) }},
	{name: "link that is a file", want: bundle.ErrDamaged, spoil: func(im *image) { im.put32(im.entry("short", "PX")+4, modeFile) }},
	{name: "no type", want: bundle.ErrDamaged, spoil: func(im *image) { im.put32(im.entry("more", "PX")+4, 0o644) }},
	{name: "content outside", want: bundle.ErrDamaged, spoil: func(im *image) { im.put32(im.record["more"]+2, 0xfffffff0) }},
	{name: "content of 4 GiB", want: bundle.ErrDamaged, spoil: func(im *image) { im.put32(im.record["more"]+10, 0xffffffff) }},
	{name: "content after attributes outside", want: bundle.ErrDamaged, spoil: func(im *image) {
		im.data[im.record["noise"]+1] = 255
		im.put32(im.record["noise"]+10, 1<<20)
	}},
	{name: "interleaved", want: bundle.ErrUnsupported, spoil: func(im *image) { im.data[im.record["more"]+26] = 1 }},
	{name: "missing piece", want: bundle.ErrDamaged, spoil: func(im *image) { im.data[im.record["more"]+25] |= flagMore }},
	{name: "pieces without an end", want: bundle.ErrDamaged, spoil: func(im *image) { im.endless("private") }},
	{name: "record of 20 bytes", want: bundle.ErrDamaged, spoil: func(im *image) { im.data[im.record["more"]] = 20 }},
	{name: "record over the end of a sector", want: bundle.ErrDamaged, spoil: func(im *image) {
		at := im.place["private"]
		for im.data[at] != 0 {
			at += int(im.data[at])
		}
		last := im.place["private"] + sectorSize - 10
		im.data[at] = byte(last - at)
		for rest := last - at; rest > 250; rest = last - at {
			copy(im.data[at:], directoryRecord("\x01", im.place["."], sectorSize, flagDir, make([]byte, 180)))
			at += int(im.data[at])
		}
		copy(im.data[at:], directoryRecord("\x01", im.place["."], sectorSize, flagDir, make([]byte, last-at-34)))
		im.data[last] = 100
	}},
	{name: "name over the end of its record", want: bundle.ErrDamaged, spoil: func(im *image) { im.data[im.record["more"]+32] = 250 }},
	{name: "name of no bytes", want: bundle.ErrDamaged, spoil: func(im *image) { im.data[im.record["more"]+32] = 0 }},
	{name: "no Rock Ridge name", want: bundle.ErrDamaged, spoil: func(im *image) { im.data[im.entry("more", "NM")+2] = 5 }},
	{name: "name twice", want: bundle.ErrDamaged, spoil: func(im *image) { copy(im.data[im.entry("here", "NM")+5:], "more") }},
	{name: "plain name twice", want: bundle.ErrDamaged, g: generator{plain: true}, spoil: func(im *image) {
		copy(im.data[im.record["here"]+33:], "more")
	}},
	{name: "name with a slash", want: bundle.ErrDamaged, spoil: func(im *image) { copy(im.data[im.entry("more", "NM")+5:], "../x") }},
	{name: "name with a zero", want: bundle.ErrDamaged, spoil: func(im *image) { copy(im.data[im.entry("more", "NM")+5:], "a\x00bc") }},
	{name: "name ..", want: bundle.ErrDamaged, spoil: func(im *image) {
		at := im.entry("more", "NM")
		im.data[at+2] = 7
		copy(im.data[at+5:], "..\x00\x00")
	}},
	{name: "plain name ..", want: bundle.ErrDamaged, g: generator{plain: true}, spoil: func(im *image) {
		copy(im.data[im.record["more"]+33:], "..;1")
	}},
	{name: "name of 400 bytes", want: bundle.ErrDamaged, spoil: func(im *image) {
		at := im.areas["."]
		for range 2 {
			copy(im.data[at:], use("NM", append([]byte{nameContinues}, bytes.Repeat([]byte{'n'}, 200)...)...))
			at += 205
		}
		im.data[at] = 0
		im.continueAt("more", im.areas["."], 500)
	}},
	{name: "entry of 0 bytes", want: bundle.ErrDamaged, spoil: func(im *image) { im.data[im.entry("more", "TF")+2] = 0 }},
	{name: "entry over the end", want: bundle.ErrDamaged, spoil: func(im *image) { im.data[im.entry("more", "TF")+2] = 255 }},
	{name: "short PX", want: bundle.ErrDamaged, spoil: func(im *image) {
		im.data[im.entry("more", "PX")+2] = 8
		im.data[im.entry("more", "PX")+8] = 0
	}},
	{name: "continuation outside", want: bundle.ErrDamaged, spoil: func(im *image) { im.continueAt("more", 0xfffffff<<11, 100) }},
	{name: "continuation in the system area", want: bundle.ErrDamaged, spoil: func(im *image) { im.continueAt("more", 0, 100) }},
	{name: "continuation of 4 GiB", want: bundle.ErrDamaged, spoil: func(im *image) { im.continueAt("more", im.areas["."], 0xffffffff) }},
	{name: "continuation over a sector's end", want: bundle.ErrDamaged, spoil: func(im *image) {
		im.continueAt("more", im.areas["."]+2000, 100)
	}},
	{name: "continuation of itself", want: bundle.ErrDamaged, spoil: func(im *image) {
		im.loop(im.areas["."])
		im.continueAt("more", im.areas["."], 28)
	}},
	{name: "target without an end", want: bundle.ErrDamaged, spoil: func(im *image) { im.data[im.entry("short", "SL")+4] = 1 }},
	{name: "component without an end", want: bundle.ErrDamaged, spoil: func(im *image) { im.data[im.entry("root", "SL")+5] = 1 }},
	{name: "component over the end", want: bundle.ErrDamaged, spoil: func(im *image) { im.data[im.entry("short", "SL")+6] = 100 }},
	{name: "component of two kinds", want: bundle.ErrDamaged, spoil: func(im *image) { im.data[im.entry("here", "SL")+5] = 6 }},
	{name: "component of a host", want: bundle.ErrUnsupported, spoil: func(im *image) { im.data[im.entry("short", "SL")+5] = 0x20 }},
	{name: "root within a target", want: bundle.ErrDamaged, spoil: func(im *image) { im.data[im.entry("dots", "SL")+5+2] = componentRoot }},
	{name: "target with a zero", want: bundle.ErrDamaged, spoil: func(im *image) { im.data[im.entry("short", "SL")+7] = 0 }},
	{name: "target of no bytes", want: bundle.ErrDamaged, spoil: func(im *image) {
		at := im.entry("root", "SL")
		im.data[at+2] = 5
		im.data[at+5] = 0
	}},
	{name: "target of 6 KB", want: bundle.ErrDamaged, spoil: func(im *image) {
		// Each of the continuations is 2000 bytes of targets and leads to the same ones again.
		at := im.areas["."]
		for range 7 {
			sl := use("SL", append([]byte{linkContinues, 0, 240}, bytes.Repeat([]byte{'t'}, 240)...)...)
			at += copy(im.data[at:], sl)
		}
		im.loop(at)
		ce := im.data[at:][:28]
		copy(ce[12:], both(0))
		copy(ce[20:], both(at+28-im.areas["."]))
		im.continueAt("short", im.areas["."], at+28-im.areas["."])
	}},
	{name: "moved folder outside", want: bundle.ErrDamaged, g: generator{moved: "a/b"}, spoil: func(im *image) {
		im.put32(im.entry("a/b", "CL")+4, 0xffffffff)
	}},
	{name: "moved folder at 0", want: bundle.ErrDamaged, g: generator{moved: "a/b"}, spoil: func(im *image) {
		im.put32(im.entry("a/b", "CL")+4, 0)
	}},
	{name: "moved folder is a content", want: bundle.ErrDamaged, g: generator{moved: "a/b"}, spoil: func(im *image) {
		im.put32(im.entry("a/b", "CL")+4, uint32(im.place["32k"]/sectorSize))
	}},
	{name: "unknown compression", want: bundle.ErrUnsupported, g: generator{shift: 15}, spoil: func(im *image) {
		im.data[im.entry("more", "ZF")+4] = 'x'
	}},
	{name: "zisofs2", want: bundle.ErrUnsupported, g: generator{shift: 15}, spoil: func(im *image) { im.data[im.entry("more", "ZF")+3] = 2 }},
	{name: "zisofs2 as Z2", want: bundle.ErrUnsupported, g: generator{shift: 15}, spoil: func(im *image) {
		copy(im.data[im.entry("more", "ZF"):], "Z2")
	}},
	{name: "compressed blocks of 2^255", want: bundle.ErrUnsupported, g: generator{shift: 15}, spoil: func(im *image) {
		im.data[im.entry("more", "ZF")+7] = 255
	}},
	{name: "short ZF", want: bundle.ErrDamaged, g: generator{shift: 15}, spoil: func(im *image) { im.data[im.entry("more", "ZF")+2] = 8 }},
	{name: "compressed with another size", want: bundle.ErrDamaged, g: generator{shift: 15}, spoil: func(im *image) {
		im.put32(im.entry("more", "ZF")+8, 15999)
	}},
	{name: "compressed 4 GiB", want: bundle.ErrDamaged, g: generator{shift: 15}, spoil: func(im *image) {
		im.put32(im.entry("more", "ZF")+8, 0xffffffff)
	}},
	{name: "compressed with another header", want: bundle.ErrDamaged, g: generator{shift: 15}, spoil: func(im *image) {
		im.data[im.place["more"]] = 0
	}},
	{name: "compressed with a header of 8 bytes", want: bundle.ErrDamaged, g: generator{shift: 15}, spoil: func(im *image) {
		im.data[im.entry("more", "ZF")+6] = 2
	}},
	{name: "compressed block outside", want: bundle.ErrDamaged, g: generator{shift: 15}, spoil: func(im *image) {
		im.put32(im.place["more"]+20, 0xffffffff)
	}},
	{name: "compressed block backwards", want: bundle.ErrDamaged, g: generator{shift: 15}, spoil: func(im *image) {
		im.put32(im.place["more"]+20, 20)
	}},
	{name: "compressed block in its table", want: bundle.ErrDamaged, g: generator{shift: 15}, spoil: func(im *image) {
		im.put32(im.place["more"]+16, 16)
	}},
	{name: "compressed block cut off", want: bundle.ErrDamaged, g: generator{shift: 15}, spoil: func(im *image) {
		im.put32(im.place["more"]+20, binary.LittleEndian.Uint32(im.data[im.place["more"]+20:])-5)
	}},
	{name: "compressed block damaged", want: bundle.ErrDamaged, g: generator{shift: 15}, spoil: func(im *image) {
		im.data[im.place["more"]+40] ^= 0xff
	}},
	{name: "compressed block too long", want: bundle.ErrDamaged, g: generator{shift: 15}, spoil: func(im *image) {
		im.put32(im.place["more"]+8, 10000)
		im.put32(im.entry("more", "ZF")+8, 10000)
	}},
	{name: "compressed block too short", want: bundle.ErrDamaged, g: generator{shift: 15}, spoil: func(im *image) {
		im.put32(im.place["more"]+8, 20000)
		im.put32(im.entry("more", "ZF")+8, 20000)
	}},
}

// continueAt makes TF and what follows an entry CE, which leads to a place.
func (im *image) continueAt(name string, at, size int) {
	px := im.use[name]
	copy(im.data[px:], use("CE", bytes.Join([][]byte{both(at / sectorSize), both(at % sectorSize), both(size)}, nil)...))
	// PX had 36 bytes, 8 more than this one.
	copy(im.data[px+28:], use("XX", 0, 0, 0, 0))
}

// loop writes an entry CE that leads to itself.
func (im *image) loop(at int) {
	copy(im.data[at:], use("CE", bytes.Join([][]byte{both(at / sectorSize), both(at % sectorSize), both(28)}, nil)...))
}

// endless fills a folder with pieces of one file, and what follows it too.
func (im *image) endless(dir string) {
	at := im.place[dir]
	for im.data[at] != 0 && im.data[at+32] == 1 {
		at += int(im.data[at])
	}
	piece := directoryRecord("PIECE", im.place["more"], sectorSize, flagMore, nil)
	for ; at+4*sectorSize < len(im.data); at += copy(im.data[at:], piece) {
		if at%sectorSize+len(piece) > sectorSize {
			at += copy(im.data[at:], make([]byte, sectorSize-at%sectorSize))
		}
	}
}

func TestHostile(t *testing.T) {
	sound := map[string]*image{}
	for _, c := range hostile {
		t.Run(c.name, func(t *testing.T) {
			key := fmt.Sprint(c.g)
			if sound[key] == nil {
				sound[key] = c.g.generate(sample())
			}
			made := *sound[key]
			made.data = bytes.Clone(made.data)
			c.spoil(&made)
			im, err := Open(bytes.NewReader(made.data), int64(len(made.data)))
			if err == nil {
				err = visit(im)
			}
			if !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
		})
	}
}

// TestUnreadable: a file of an unknown compression is no reason not to list its folder.
func TestUnreadable(t *testing.T) {
	made := generator{shift: 15}.generate(sample())
	made.data[made.entry("more", "ZF")+4] = 'x'
	im := reading(t, made.data)
	if list, err := im.ReadDir(im.Root()); err != nil || len(list) < 20 {
		t.Errorf("%d names, %v", len(list), err)
	}
}

// TestLoop: a folder can be in itself; listing one takes no notice.
func TestLoop(t *testing.T) {
	made := generator{}.generate(sample())
	made.put32(made.record["private"]+2, uint32(made.place["."]/sectorSize))
	if _, err := reading(t, made.data).ReadDir(bundle.Inode(made.record["private"])); err != nil {
		t.Error(err)
	}
}

// TestReader: what the reader reports comes through, and an end before the size is an incomplete file.
func TestReader(t *testing.T) {
	data := generator{}.generate(sample()).data
	if _, err := Open(bytes.NewReader(data[:descriptor+100]), int64(len(data))); !errors.Is(err, bundle.ErrTruncated) {
		t.Errorf("a file that became shorter: %v", err)
	}
	own := errors.New("no disk")
	if _, err := Open(failing{own}, int64(len(data))); !errors.Is(err, own) {
		t.Errorf("a reader that fails: %v", err)
	}
}

type failing struct{ err error }

func (f failing) ReadAt([]byte, int64) (int, error) { return 0, f.err }

// zeros is a file of zeros with something at its beginning: terabytes that need no memory.
type zeros struct{ begin []byte }

func (z zeros) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	if off < int64(len(z.begin)) {
		copy(p, z.begin[off:])
	}
	return len(p), nil
}

// TestMemory: what an image says of itself, in a file that is as large, takes no memory.
func TestMemory(t *testing.T) {
	made := generator{shift: 15}.generate(sample())
	for name, spoil := range map[string]func(){
		"as it is":   func() {},
		"huge image": func() { made.put32(descriptor+80, 0xffffffff) },
		"huge file":  func() { made.put32(made.record["setuid"]+10, 0xffffffff) },
		"huge compressed file": func() {
			made.put32(made.entry("more", "ZF")+8, 0xffffffff)
			made.put32(made.place["more"]+8, 0xffffffff)
		},
		"huge block": func() { made.put32(made.place["32k"]+20, 0xffffffff); made.put32(made.record["32k"]+10, 0xffffffff) },
		"pieces":     func() { made.endless("many") },
	} {
		spoil()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		im, err := Open(zeros{made.data}, 1<<62)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_ = visit(im)
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 64<<20 {
			t.Errorf("%s: %d MiB", name, n>>20)
		}
	}
}

// TestSharedNames: a folder of many records whose names are all in one continuation is refused before it takes much memory and time.
func TestSharedNames(t *testing.T) {
	made := generator{}.generate(map[string]entry{"dir": folder(), strings.Repeat("n", 255): text("x")})
	area := made.areas["."]
	ce := use("CE", bytes.Join([][]byte{both(area / sectorSize), both(0), both(600)}, nil)...)
	name := use("NM", append([]byte{nameContinues}, bytes.Repeat([]byte{'n'}, 200)...)...)
	copy(made.data[area:], append(name, use("NM", append([]byte{0}, bytes.Repeat([]byte{'n'}, 50)...)...)...))
	rec := directoryRecord("F", 0, 0, 0, ce)
	dir := len(made.data)
	for range 100000 {
		if len(made.data)%sectorSize+len(rec) > sectorSize {
			made.data = append(made.data, make([]byte, -len(made.data)&(sectorSize-1))...)
		}
		made.data = append(made.data, rec...)
	}
	made.data = append(made.data, make([]byte, -len(made.data)&(sectorSize-1))...)
	made.put32(made.record["dir"]+2, uint32(dir/sectorSize))
	made.put32(made.record["dir"]+10, uint32(len(made.data)-dir))
	im := reading(t, made.data)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := im.ReadDir(bundle.Inode(made.record["dir"]))
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; !errors.Is(err, bundle.ErrDamaged) || n > 8<<20 {
		t.Errorf("%v, %d MiB", err, n>>20)
	}
}

// FuzzOpen leaves the system area out, which nobody reads.
func FuzzOpen(f *testing.F) {
	small := map[string]entry{
		"dir/file": text("content"), "link": link("../dir/./file"), "slow": link("/" + strings.Repeat("l", 250)),
		"zeros": text(strings.Repeat("\x00", 40000) + "x"), strings.Repeat("n", 250): text("x"), "long": text(strings.Repeat("long", 2000)),
	}
	system := make([]byte, firstDescriptor*sectorSize)
	for _, g := range []generator{{}, {shift: 15}, {moved: "dir", record: 130, area: 300}, {piece: sectorSize, skip: 3}} {
		f.Add(g.generate(small).data[len(system):])
	}
	f.Add(generator{plain: true}.generate(map[string]entry{"A.B": text("x"), "C/D": text("y")}).data[len(system):])
	f.Fuzz(func(t *testing.T, data []byte) {
		data = append(system[:len(system):len(system)], data...)
		im, err := Open(bytes.NewReader(data), int64(len(data)))
		if err == nil {
			err = visit(im)
		}
		if err != nil && !errors.Is(err, bundle.ErrDamaged) && !errors.Is(err, bundle.ErrTruncated) && !errors.Is(err, bundle.ErrUnsupported) {
			t.Fatalf("error %v is of no class", err)
		}
	})
}
