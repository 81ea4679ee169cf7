// SPDX-License-Identifier: MIT

package squashfs

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"glick.org/glick/bundle"
)

// sourceTree returns a tree with what is difficult.
func sourceTree(t *testing.T) *thing {
	small, names := folder("small"), folder("names")
	for i := range 7 {
		sub := folder(fmt.Sprint(i))
		for k := range 40 {
			sub.children = append(sub.children, regular(fmt.Sprintf("%02d%s", k, strings.Repeat("n", k*6)), prose(k*i*30)))
		}
		small.children = append(small.children, sub)
	}
	for i := range 5000 {
		names.children = append(names.children, regular(fmt.Sprintf("a name among very many, number %06d", i*199), nil))
	}
	large := regular("large", slices.Concat(prose(500_000), make([]byte, 600_000), noise(200_001)))
	program := regular("program", machineCode(t))
	program.mode = modeFile | 0o4755
	private := folder("an empty folder")
	private.mode = modeDir | 0o700
	small.children = append(small.children, &thing{name: "hard link", same: large})
	return folder("",
		private,
		regular("blocks", prose(1<<20)),
		folder("deep", folder("a", folder("b", folder("c", folder("d", regular("e", []byte("deep"))))))),
		regular("empty", nil),
		large,
		symlink("link", "large"),
		symlink("long link", strings.Repeat("../", 1300)+"long"),
		names,
		folder("not UTF-8", regular("\xe4\xf6\xfc\xff", []byte("\xff"))),
		&thing{name: "pipe", mode: modePipe | 0o600},
		program,
		small,
		regular("sparse", slices.Concat(make([]byte, 3<<20), prose(5000), make([]byte, 1<<20+1))),
	)
}

// write makes the tree in a folder. Zeros at the start and the end of a file are holes.
func write(t *testing.T, path string, x *thing) {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	if x.same != nil {
		check(os.Link(filepath.Join(filepath.Dir(filepath.Dir(path)), x.same.name), path)) // it is in the folder above
		return
	}
	switch x.mode & modeType {
	case modeDir:
		if x.name != "" {
			check(os.Mkdir(path, 0o700))
		}
		for _, c := range x.children {
			write(t, filepath.Join(path, c.name), c)
		}
	case modeLink:
		check(os.Symlink(x.target, path))
		return
	case modePipe:
		check(syscall.Mkfifo(path, 0o600))
	case modeFile:
		f, err := os.Create(path)
		check(err)
		data := bytes.Trim(x.data, "\x00")
		_, err = f.WriteAt(data, int64(max(0, bytes.Index(x.data, data))))
		check(err)
		check(f.Truncate(int64(len(x.data))))
		check(f.Close())
	}
	check(syscall.Chmod(path, x.mode&modePerm))
	if x.name == "large" {
		// mksquashfs takes two names for hard links when all is equal, even the time of the last access, which another one that runs may change.
		check(os.Chtimes(path, time.Now().Add(time.Hour), time.Now()))
	}
}

// machineCode returns some of this program, for which a filter is worth it.
func machineCode(t *testing.T) []byte {
	t.Helper()
	f, err := elf.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := make([]byte, 200_000)
	if _, err := f.Section(".text").ReadAt(p, 0); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestMksquashfs(t *testing.T) {
	tool, err := exec.LookPath("mksquashfs")
	if err != nil {
		t.Skip("mksquashfs is not installed")
	}
	tree, src := sourceTree(t), t.TempDir()
	write(t, src, tree)
	for _, c := range []struct {
		compression string
		args        string
		want        error
	}{
		{compression: "gzip"},
		{compression: "gzip", args: "-b 4K"},
		{compression: "gzip", args: "-b 1M -no-fragments"},
		{compression: "gzip", args: "-noI -noD -noF -noX"},
		{compression: "gzip", args: "-noD -always-use-fragments -no-exports -no-xattrs"},
		{compression: "xz", args: "-b 1M"},
		{compression: "xz", args: "-b 16K -Xdict-size 100%"}, // as appimagetool
		{compression: "xz", args: "-Xbcj x86", want: bundle.ErrUnsupported},
		{compression: "zstd", args: "-b 4K"},
		{compression: "zstd", args: "-Xcompression-level 1"},
		{compression: "zstd", args: "-b 1M -no-duplicates -nopad -Xcompression-level 3"},
		{compression: "lzo", want: bundle.ErrUnsupported},
		{compression: "lz4", want: bundle.ErrUnsupported},
		{compression: "lzma", want: bundle.ErrUnsupported},
	} {
		t.Run(strings.TrimSpace(c.compression+" "+c.args), func(t *testing.T) {
			t.Parallel()
			src, image := src, filepath.Join(t.TempDir(), "image")
			if c.want != nil {
				src = filepath.Join(src, "program")
			}
			args := append([]string{src, image, "-noappend", "-no-progress", "-quiet", "-comp", c.compression}, strings.Fields(c.args)...)
			if out, err := exec.Command(tool, args...).CombinedOutput(); err != nil {
				if bytes.Contains(out, []byte("ompressor")) || bytes.Contains(out, []byte("nvalid option")) {
					t.Skipf("this mksquashfs cannot: %s", out)
				}
				t.Fatalf("%v\n%s", err, out)
			}
			f, err := os.Open(image)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			st, err := f.Stat()
			if err != nil {
				t.Fatal(err)
			}
			if c.want != nil {
				if err := walk(f, st.Size(), 10000, 1<<20); !errors.Is(err, c.want) {
					t.Fatalf("got %v", err)
				}
				return
			}
			m, err := Open(f, st.Size())
			if err != nil {
				t.Fatal(err)
			}
			compare(t, m, m.Root(), tree, "")
			if child(t, m, m.Root(), "large") != child(t, m, child(t, m, m.Root(), "small"), "hard link") {
				t.Error("a hard link is another inode")
			}
		})
	}
}
