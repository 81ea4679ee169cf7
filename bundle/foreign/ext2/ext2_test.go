// SPDX-License-Identifier: MIT

package ext2

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"glick.org/glick/bundle"
)

// sample has what a reader must know: direct, indirect and double indirect blocks, holes, links of all lengths, strange names and modes.
func sample() map[string]file {
	tree := map[string]file{
		"bin/app":                {mode: modeFile | 0o755, size: 5, pieces: map[int64]string{0: "#!app"}},
		"empty":                  {mode: modeFile | 0o600},
		"setuid":                 {mode: modeFile | 0o4711, size: 1, pieces: map[int64]string{0: "s"}},
		"private":                {mode: modeDir | 0o700},
		"private/x":              text("x"),
		"one":                    text(strings.Repeat("1", 1024)),
		"direct":                 text(strings.Repeat("0123456789abcdef", 12*64)),
		"indirect":               text(strings.Repeat("0123456789abcde\n", 13*64)),
		"double":                 text(strings.Repeat("fedcba987654321\n", 300*64) + "end"),
		"sparse":                 {mode: modeFile | 0o644, size: 9<<20 + 7, pieces: map[int64]string{5 << 20: "here", 9 << 20: "there"}},
		"hole":                   {mode: modeFile | 0o644, size: 100000},
		"short":                  link("bin/app"),
		"59":                     link(strings.Repeat("5", 59)),
		"60":                     link(strings.Repeat("6", 60)),
		"long":                   link(strings.Repeat("../", 300) + "x"),
		"bad\xff\xfename":        text("not UTF-8"),
		"with\nline":             text("strange"),
		strings.Repeat("n", 255): text("long name"),
		"a/b/c/d/e/f/g/h/i/j":    text("deep"),
	}
	for i := range 100 {
		tree[fmt.Sprintf("many/file%03d", i)] = text(fmt.Sprintf("content %d\n", i))
	}
	return tree
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

// compare checks that the image holds exactly the tree, apart from lost+found.
func compare(t *testing.T, im *Image, tree map[string]file) {
	t.Helper()
	seen := 0
	buf := make([]byte, 1<<20-1000) // reads do not begin with blocks
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
			if name == "lost+found" {
				continue
			}
			s, err := im.Stat(e.Inode)
			if err != nil {
				t.Fatalf("%q: %v", name, err)
			}
			want, ok := tree[name]
			if !ok && s.Mode == modeDir|0o755 {
				walk(name, e.Inode)
				continue
			}
			seen++
			if !ok || s.Mode != want.mode || s.Size != want.size || s.Target != want.target {
				t.Fatalf("%q is %o, %d bytes, %q; want %o, %d bytes, %q", name, s.Mode, s.Size, s.Target, want.mode, want.size, want.target)
			}
			switch s.Mode & modeType {
			case modeDir:
				walk(name, e.Inode)
			case modeFile:
				compareContent(t, im, e.Inode, name, want, buf)
			}
		}
	}
	walk(".", im.Root())
	if seen != len(tree) {
		t.Errorf("%d files, want %d", seen, len(tree))
	}
}

func compareContent(t *testing.T, im *Image, i bundle.Inode, name string, want file, buf []byte) {
	t.Helper()
	step := int64(len(buf))
	for off := int64(0); off <= want.size; off += step {
		n, err := im.ReadAt(i, buf, off)
		if err != nil && !errors.Is(err, io.EOF) || (n < len(buf)) != errors.Is(err, io.EOF) {
			t.Fatalf("%q at %d: %d bytes, %v", name, off, n, err)
		}
		if !bytes.Equal(buf[:n], want.content(off, step)) {
			t.Fatalf("%q differs in the %d bytes from %d", name, n, off)
		}
	}
	if n, err := im.ReadAt(i, buf[:1], want.size); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("%q at its end: %d, %v", name, n, err)
	}
	if want.size > 0 {
		if n, err := im.ReadAt(i, buf[:1], want.size-1); n != 1 || err != nil || buf[0] != want.content(want.size-1, 1)[0] {
			t.Errorf("%q, last byte: %d, %v", name, n, err)
		}
	}
	if _, err := im.ReadAt(i, buf[:1], -1); err == nil {
		t.Errorf("%q can be read before its beginning", name)
	}
}

func TestGenerated(t *testing.T) {
	for name, g := range map[string]generator{
		"revision 0":    {},
		"2 KiB":         {shift: 1},
		"4 KiB":         {shift: 2, revision: 1, features: featureFiletype, inodeSize: 256},
		"64 KiB":        {shift: 6, revision: 1, features: featureFiletype},
		"many groups":   {groups: 17},
		"slow links":    {slowLinks: true},
		"hash trees":    {revision: 1, indexed: true, lostFound: true},
		"64 KiB, trees": {shift: 6, indexed: true},
		"1 KiB, 1024":   {revision: 1, inodeSize: 1024, groups: 3},
		"harmless":      {revision: 1, features: featuresReadable},
	} {
		t.Run(name, func(t *testing.T) {
			tree := sample()
			compare(t, reading(t, g.generate(tree).data), tree)
		})
	}
}

func TestTypes(t *testing.T) {
	tree := map[string]file{}
	for _, mode := range []uint32{modePipe, modeChar, modeBlock, modeSocket} {
		tree[fmt.Sprintf("%o", mode)] = file{mode: mode | 0o640}
	}
	im := reading(t, generator{}.generate(tree).data)
	compare(t, im, tree)
	if _, err := im.ReadDir(12); !errors.Is(err, bundle.ErrUnsupported) {
		t.Errorf("a device is listed: %v", err)
	}
	if _, err := im.ReadAt(im.Root(), make([]byte, 1), 0); !errors.Is(err, bundle.ErrUnsupported) {
		t.Errorf("a folder is read: %v", err)
	}
	for _, i := range []bundle.Inode{0, 1 << 20, 1 << 40} {
		if _, err := im.Stat(i); !errors.Is(err, bundle.ErrDamaged) {
			t.Errorf("inode %d: %v", i, err)
		}
	}
}

// TestTriple has a file of 64 GiB with a few bytes near each border between the depths of indirect blocks.
func TestTriple(t *testing.T) {
	const per = 256
	borders := []int64{0, 12, 12 + per, 12 + per + per*per, 12 + per + per*per + 5*per*per + 3*per + 1}
	f := file{mode: modeFile | 0o644, pieces: map[int64]string{}}
	for _, b := range borders {
		f.pieces[max(0, b*1024-5)] = "0123456789"
	}
	f.size = borders[len(borders)-1]*1024 + 100
	g := generator{revision: 1}
	data := g.generate(map[string]file{"big": f})
	// Behind the data there is only a hole: it needs no blocks to be far larger.
	binary.LittleEndian.PutUint32(data.data[data.inode["big"]+108:], 3)
	im := reading(t, data.data)
	f.size += 3 << 32
	i := bundle.Inode(data.number["big"])
	if s, err := im.Stat(i); err != nil || s.Size != f.size {
		t.Fatalf("%d bytes, %v; want %d", s.Size, err, f.size)
	}
	buf := make([]byte, 4096)
	for _, b := range borders {
		for _, off := range []int64{b*1024 - 2048, b*1024 - 7, b * 1024, b*1024 + 3} {
			if off < 0 {
				continue
			}
			if n, err := im.ReadAt(i, buf, off); n != len(buf) || err != nil || !bytes.Equal(buf, f.content(off, int64(len(buf)))) {
				t.Errorf("at %d: %d bytes, %v", off, n, err)
			}
		}
	}
	if n, err := im.ReadAt(i, buf, f.size-1000); n != 1000 || !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %d, %v", n, err)
	}
}

// onDisk writes the tree into a folder.
func onDisk(t *testing.T, tree map[string]file) string {
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
			w, err := os.Create(p)
			must(err)
			for at, s := range f.pieces {
				_, err = w.WriteAt([]byte(s), at)
				must(err)
			}
			must(w.Truncate(f.size))
			must(w.Close())
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

// tool finds a program also where users who are not root do not look.
func tool(t *testing.T, name string) string {
	t.Helper()
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/sbin") {
		if p := filepath.Join(dir, name); dir != "" {
			if _, err := os.Stat(p); err == nil {
				return p
			}
		}
	}
	t.Skipf("%s is not installed", name)
	return ""
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

// large is sample with 3,000 names in one folder, and a file with triple indirect blocks.
func large() map[string]file {
	tree := sample()
	for i := range 3000 {
		tree[fmt.Sprintf("full/a rather long name of a file, number %04d", i)] = link(fmt.Sprint(i))
	}
	tree["triple"] = file{mode: modeFile | 0o644, size: 80 << 20, pieces: map[int64]string{0: "begin", 30 << 20: "middle", 80<<20 - 3: "end"}}
	return tree
}

func TestTools(t *testing.T) {
	trees := map[bool]map[string]file{false: sample(), true: large()}
	dirs := map[bool]string{false: onDisk(t, trees[false]), true: onDisk(t, trees[true])}
	for name, c := range map[string]struct {
		program string
		args    string
		large   bool
		tree    bool // let e2fsck make hash trees
	}{
		"revision 0":       {program: "mke2fs", args: "-r 0 -b 1024"},
		"1 KiB":            {program: "mke2fs", args: "-b 1024 -I 128"},
		"2 KiB":            {program: "mke2fs", args: "-b 2048 -I 256"},
		"4 KiB":            {program: "mke2fs", args: "-b 4096", large: true},
		"64 KiB":           {program: "mke2fs", args: "-b 65536"},
		"hash trees":       {program: "mke2fs", args: "-b 1024 -O dir_index", large: true, tree: true},
		"sparse_super":     {program: "mke2fs", args: "-b 1024 -O sparse_super,large_file,resize_inode"},
		"no file types":    {program: "mke2fs", args: "-b 4096 -O ^filetype"},
		"ext3":             {program: "mke2fs", args: "-b 1024 -t ext3"},
		"checksums":        {program: "mke2fs", args: "-b 1024 -O metadata_csum,flex_bg"},
		"genext2fs":        {program: "genext2fs", args: "-b 32768 -z"},
		"genext2fs, 4 KiB": {program: "genext2fs", args: "-B 4096 -b 16384 -z", large: true},
	} {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "image")
			args := append(strings.Fields(c.args), "-N", "6000", "-d", dirs[c.large], out)
			if c.program == "mke2fs" {
				args = append(args, "32M", "-q", "-F")
			}
			run(t, tool(t, c.program), args...)
			if c.tree {
				// 1: it has changed something, as it should.
				var exit *exec.ExitError
				if err := exec.Command(tool(t, "e2fsck"), "-fyD", out).Run(); err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
					t.Fatal(err)
				}
			}
			data, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			compare(t, reading(t, data), trees[c.large])
		})
	}
}

func TestUnsupported(t *testing.T) {
	for bit, name := range featureNames {
		data := generator{revision: 1, features: featureFiletype | bit}.generate(map[string]file{"file": text("x")}).data
		_, err := Open(bytes.NewReader(data), int64(len(data)))
		if !errors.Is(err, bundle.ErrUnsupported) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	mke2fs := tool(t, "mke2fs")
	out := filepath.Join(t.TempDir(), "image")
	run(t, mke2fs, "-q", "-F", "-t", "ext4", out, "8M")
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(bytes.NewReader(data), int64(len(data))); !errors.Is(err, bundle.ErrUnsupported) || !strings.Contains(err.Error(), "extents") {
		t.Errorf("ext4: %v", err)
	}
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

// hostile are images that somebody has made to do harm, each with the class of the error that it must give.
var hostile = []struct {
	name  string
	want  error
	g     generator
	spoil func(im *image)
}{
	{name: "no superblock", want: bundle.ErrDamaged, spoil: func(im *image) { im.sb16(56, 0) }},
	{name: "shorter than a superblock", want: bundle.ErrTruncated, spoil: func(im *image) { im.data = im.data[:2000] }},
	{name: "cut off", want: bundle.ErrTruncated, spoil: func(im *image) { im.data = im.data[:len(im.data)-1] }},
	{name: "revision 2", want: bundle.ErrUnsupported, spoil: func(im *image) { im.sb32(76, 2) }},
	{name: "unknown feature", want: bundle.ErrUnsupported, spoil: func(im *image) { im.sb32(96, 1<<31) }},
	{name: "blocks of 128 KiB", want: bundle.ErrDamaged, spoil: func(im *image) { im.sb32(24, 7) }},
	{name: "blocks of 1024 << 0xffffffff", want: bundle.ErrDamaged, spoil: func(im *image) { im.sb32(24, 0xffffffff) }},
	{name: "too many blocks", want: bundle.ErrTruncated, spoil: func(im *image) { im.sb32(4, 0xffffffff) }},
	{name: "no blocks", want: bundle.ErrDamaged, spoil: func(im *image) { im.sb32(4, 0) }},
	{name: "no blocks in a group", want: bundle.ErrDamaged, spoil: func(im *image) { im.sb32(32, 0) }},
	{name: "no inodes in a group", want: bundle.ErrDamaged, spoil: func(im *image) { im.sb32(40, 0) }},
	{name: "one block in a group", want: bundle.ErrDamaged, spoil: func(im *image) { im.sb32(32, 1); im.sb32(20, 0); im.sb32(4, 40) }},
	{name: "too many inodes", want: bundle.ErrDamaged, spoil: func(im *image) { im.sb32(0, 0xffffffff) }},
	{name: "one inode", want: bundle.ErrDamaged, spoil: func(im *image) { im.sb32(0, 1) }},
	{name: "first block is the last", want: bundle.ErrDamaged, spoil: func(im *image) { im.sb32(20, 0xffffffff) }},
	{name: "inodes of 0 bytes", want: bundle.ErrDamaged, g: generator{revision: 1}, spoil: func(im *image) { im.sb16(88, 0) }},
	{name: "inodes of 200 bytes", want: bundle.ErrDamaged, g: generator{revision: 1}, spoil: func(im *image) { im.sb16(88, 200) }},
	{name: "inodes larger than blocks", want: bundle.ErrDamaged, g: generator{revision: 1}, spoil: func(im *image) { im.sb16(88, 2048) }},
	{name: "inode table outside", want: bundle.ErrDamaged, spoil: func(im *image) { im.put32(2048+8, 0xffffffff) }},
	{name: "inode table at 0", want: bundle.ErrDamaged, spoil: func(im *image) { im.put32(2048+8, 0) }},
	{name: "root is a file", want: bundle.ErrDamaged, spoil: func(im *image) { im.put16(im.inode["."], modeFile) }},
	{name: "no type", want: bundle.ErrDamaged, spoil: func(im *image) { im.put16(im.inode["one"], 0o644) }},
	{name: "size of 2^63", want: bundle.ErrDamaged, spoil: func(im *image) { im.put32(im.inode["one"]+108, 1<<31) }},
	{name: "size of 2^34 and 64 MiB more than fit", want: bundle.ErrDamaged, spoil: func(im *image) { im.put32(im.inode["one"]+108, 5) }},
	{name: "extents", want: bundle.ErrUnsupported, spoil: func(im *image) { im.put32(im.inode["one"]+32, 0x80000) }},
	{name: "block outside", want: bundle.ErrDamaged, spoil: func(im *image) { im.put32(im.inode["one"]+40, 0xfffffff0) }},
	{name: "block at the end", want: bundle.ErrDamaged, spoil: func(im *image) { im.put32(im.inode["one"]+40, uint32(len(im.data)/1024)) }},
	{name: "indirect block outside", want: bundle.ErrDamaged, spoil: func(im *image) { im.put32(im.inode["double"]+40+48, 0xfffffff0) }},
	{name: "indirect block leads outside", want: bundle.ErrDamaged, spoil: func(im *image) { im.fill(im.table["double"], 0xfffffff0) }},
	{name: "indirect block is its own", want: bundle.ErrDamaged, spoil: func(im *image) {
		im.fill(im.table["indirect"], uint32(im.table["indirect"]/1024))
	}},
	{name: "triple indirect block is its own", want: bundle.ErrDamaged, spoil: func(im *image) {
		at := im.inode["indirect"]
		im.put32(at+108, 1)
		im.put32(at+40+4*14, uint32(im.table["indirect"]/1024))
		im.fill(im.table["indirect"], uint32(im.table["indirect"]/1024))
	}},
	{name: "folder as large as can be", want: bundle.ErrDamaged, spoil: func(im *image) { im.put32(im.inode["private"]+4, 0xfffffc00) }},
	{name: "folder of half a block", want: bundle.ErrDamaged, spoil: func(im *image) { im.put32(im.inode["private"]+4, 512) }},
	{name: "folder of holes", want: bundle.ErrDamaged, spoil: func(im *image) {
		im.put32(im.inode["private"]+4, uint32(len(im.data)/1024*1024))
	}},
	{name: "folder of one block again and again", want: bundle.ErrDamaged, spoil: func(im *image) {
		for k := range 12 {
			im.put32(im.inode["private"]+40+4*k, uint32(im.block["many"]/1024))
		}
		im.put32(im.inode["private"]+4, 12*1024)
	}},
	{name: "folder with a hole", want: bundle.ErrDamaged, spoil: func(im *image) { im.put32(im.inode["many"]+44, 0) }},
	{name: "entry of 0 bytes", want: bundle.ErrDamaged, spoil: func(im *image) { im.put16(im.entry["one"]+4, 0) }},
	{name: "entry of 4 bytes", want: bundle.ErrDamaged, spoil: func(im *image) { im.put16(im.entry["one"]+4, 4) }},
	{name: "entry of 13 bytes", want: bundle.ErrDamaged, spoil: func(im *image) { im.put16(im.entry["one"]+4, 13) }},
	{name: "entry over the end", want: bundle.ErrDamaged, spoil: func(im *image) { im.put16(im.entry["one"]+4, 2048) }},
	{name: "entry ends within a header", want: bundle.ErrDamaged, spoil: func(im *image) {
		im.put16(im.block["private"]+12+4, 1024-12-4)
	}},
	{name: "name over the end of its entry", want: bundle.ErrDamaged, spoil: func(im *image) { im.data[im.entry["one"]+6] = 200 }},
	{name: "name twice", want: bundle.ErrDamaged, spoil: func(im *image) { copy(im.data[im.entry["60"]+8:], "59") }},
	{name: "name with a slash", want: bundle.ErrDamaged, spoil: func(im *image) { copy(im.data[im.entry["one"]+8:], "a/b") }},
	{name: "name with a zero", want: bundle.ErrDamaged, spoil: func(im *image) { copy(im.data[im.entry["one"]+8:], "a\x00b") }},
	{name: "name of no bytes", want: bundle.ErrDamaged, spoil: func(im *image) { im.data[im.entry["one"]+6] = 0 }},
	{name: "name ..", want: bundle.ErrDamaged, spoil: func(im *image) { copy(im.data[im.entry["60"]+8:], "..") }},
	{name: "name without an inode", want: bundle.ErrDamaged, spoil: func(im *image) { im.put32(im.entry["one"], 0xffffffff) }},
	{name: "link without target", want: bundle.ErrDamaged, spoil: func(im *image) { im.put32(im.inode["short"]+4, 0) }},
	{name: "link of 4 GiB", want: bundle.ErrDamaged, spoil: func(im *image) { im.put32(im.inode["long"]+4, 0xffffffff) }},
	{name: "link of 4096 bytes", want: bundle.ErrDamaged, spoil: func(im *image) { im.put32(im.inode["long"]+4, 4096) }},
	{name: "link to a hole", want: bundle.ErrDamaged, spoil: func(im *image) { im.put32(im.inode["long"]+40, 0) }},
	{name: "link with a zero", want: bundle.ErrDamaged, spoil: func(im *image) { im.data[im.inode["short"]+42] = 0 }},
}

func (im *image) put16(at int, v uint16) { binary.LittleEndian.PutUint16(im.data[at:], v) }
func (im *image) put32(at int, v uint32) { binary.LittleEndian.PutUint32(im.data[at:], v) }
func (im *image) sb16(at int, v uint16)  { im.put16(superblockOffset+at, v) }
func (im *image) sb32(at int, v uint32)  { im.put32(superblockOffset+at, v) }

// fill makes all numbers of an indirect block the same.
func (im *image) fill(at int, v uint32) {
	for k := range 256 {
		im.put32(at+4*k, v)
	}
}

func TestHostile(t *testing.T) {
	for _, c := range hostile {
		t.Run(c.name, func(t *testing.T) {
			made := c.g.generate(sample())
			c.spoil(made)
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

// TestLoop: a folder can be in itself; listing one takes no notice.
func TestLoop(t *testing.T) {
	made := generator{}.generate(sample())
	made.put32(made.entry["one"], rootInode)
	im := reading(t, made.data)
	if err := visit(im); err != nil {
		t.Error(err)
	}
}

// TestReader: what the reader reports comes through, and an end before the size is an incomplete file.
func TestReader(t *testing.T) {
	data := generator{}.generate(sample()).data
	if _, err := Open(bytes.NewReader(data[:1500]), int64(len(data))); !errors.Is(err, bundle.ErrTruncated) {
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

// TestMemory: an image that says it has 2^32 blocks, in a file that is as large, takes no more memory than another one.
func TestMemory(t *testing.T) {
	made := generator{shift: 2, revision: 1}.generate(sample())
	made.sb32(4, 0xffffffff)
	made.sb32(32, 8*4096) // blocks of a group
	// The group descriptors of so many groups overlap what is there; only that of the first one is used.
	for name, spoil := range map[string]func(){
		"as it is":    func() {},
		"huge folder": func() { made.put32(made.inode["private"]+4, 0xfffff000) },
		"same block":  func() { made.fillFolder("private") },
		"huge file":   func() { made.put32(made.inode["hole"]+108, 900) },
		"huge link":   func() { made.put32(made.inode["long"]+4, 0xffffffff) },
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

// fillFolder makes all blocks of a folder the first one of "many", as many as an indirect block can hold.
func (im *image) fillFolder(name string) {
	many := uint32(im.block["many"] / 4096)
	table := len(im.data)
	im.data = append(im.data, make([]byte, 4096)...)
	for k := range 1024 {
		im.put32(table+4*k, many)
	}
	at := im.inode[name]
	for k := range 12 {
		im.put32(at+40+4*k, many)
	}
	im.put32(at+40+4*12, uint32(table/4096))
	im.put32(at+4, (12+1024)*4096)
}

func FuzzOpen(f *testing.F) {
	small := map[string]file{
		"dir/file": text("content"), "link": link("dir/file"), "slow": link(strings.Repeat("l", 70)),
		"holes": {mode: modeFile | 0o644, size: 1 << 20, pieces: map[int64]string{600 << 10: "x", 14 << 10: "y"}},
	}
	for _, g := range []generator{{}, {revision: 1, features: featureFiletype, indexed: true}, {groups: 3}} {
		f.Add(g.generate(small).data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		im, err := Open(bytes.NewReader(data), int64(len(data)))
		if err == nil {
			err = visit(im)
		}
		if err != nil && !errors.Is(err, bundle.ErrDamaged) && !errors.Is(err, bundle.ErrTruncated) && !errors.Is(err, bundle.ErrUnsupported) {
			t.Fatalf("error %v is of no class", err)
		}
	})
}
