// SPDX-License-Identifier: MIT

package squashfs

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"glick.org/glick/bundle"
)

// sourceTree makes a folder with what is difficult.
func sourceTree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name string, data []byte) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range 800 {
		write(fmt.Sprintf("small/%d/%s-%d", i%7, strings.Repeat("n", i%90), i), prose(i*3))
	}
	for i := range 5000 {
		write(fmt.Sprintf("names/a name among very many %d", i*7919), nil)
	}
	write("large", slices.Concat(prose(500_000), make([]byte, 600_000), noise(200_001)))
	write("blocks", prose(1<<20))
	write("empty", nil)
	write("not UTF-8/\xe4\xf6\xfc\xff", []byte("\xff"))
	write("deep/a/b/c/d/e/f/g/h", []byte("deep"))
	write("program", machineCode(t))
	check(os.Chmod(filepath.Join(dir, "program"), 0o4755))
	check(os.Mkdir(filepath.Join(dir, "empty folder"), 0o700))
	check(os.Symlink("large", filepath.Join(dir, "link")))
	check(os.Symlink(strings.Repeat("../", 1300)+"long", filepath.Join(dir, "long link")))
	check(os.Link(filepath.Join(dir, "large"), filepath.Join(dir, "small", "hard link")))
	check(syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600))
	f, err := os.Create(filepath.Join(dir, "sparse"))
	check(err)
	_, err = f.WriteAt(prose(5000), 3<<20)
	check(err)
	check(f.Truncate(4<<20 + 1))
	check(f.Close())
	return dir
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
	src := sourceTree(t)
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
		{compression: "gzip", args: "-Xcompression-level 1 -Xwindow-size 8"},
		{compression: "xz"},
		{compression: "xz", args: "-b 4K"},
		{compression: "xz", args: "-b 1M"},
		{compression: "xz", args: "-b 16K -Xdict-size 100%"}, // as appimagetool
		{compression: "xz", args: "-Xbcj x86", want: bundle.ErrUnsupported},
		{compression: "zstd"},
		{compression: "zstd", args: "-b 4K -Xcompression-level 1"},
		{compression: "zstd", args: "-b 1M -no-duplicates -nopad"},
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
			compareDir(t, m, m.Root(), src)
			if child(t, m, m.Root(), "large") != child(t, m, child(t, m, m.Root(), "small"), "hard link") {
				t.Error("a hard link is another inode")
			}
		})
	}
}

func compareDir(t *testing.T, m *Image, dir bundle.Inode, path string) {
	t.Helper()
	want, err := os.ReadDir(path) // in order
	if err != nil {
		t.Fatal(err)
	}
	got, err := m.ReadDir(dir)
	if err != nil || len(got) != len(want) {
		t.Fatalf("%s: %d names, %v", path, len(got), err)
	}
	for k, e := range got {
		path := filepath.Join(path, want[k].Name())
		if e.Name != want[k].Name() {
			t.Fatalf("%s: %q", path, e.Name)
		}
		info, err := want[k].Info()
		if err != nil {
			t.Fatal(err)
		}
		st, err := m.Stat(e.Inode)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if mode := info.Sys().(*syscall.Stat_t).Mode; st.Mode != mode {
			t.Errorf("%s: mode %o instead of %o", path, st.Mode, mode)
		}
		switch info.Mode().Type() {
		case fs.ModeDir:
			compareDir(t, m, e.Inode, path)
		case fs.ModeSymlink:
			if target, err := os.Readlink(path); err != nil || st.Target != target {
				t.Errorf("%s: %q", path, st.Target)
			}
		case 0:
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := content(m, e.Inode, 50_000); err != nil || st.Size != int64(len(data)) || !bytes.Equal(got, data) {
				t.Errorf("%s: %d of %d bytes, %v", path, len(got), st.Size, err)
			}
		}
	}
}
