// SPDX-License-Identifier: MIT

//go:build desktop

package desktop

import (
	"bytes"
	"debug/elf"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, stderr.String())
	}
	return string(out)
}

// tree makes a small application: a script that reports how it was started.
func tree(t *testing.T, script string) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{"bin", "share/applications", "share/icons/hicolor/48x48/apps"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write := func(name, content string, mode os.FileMode) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("bin/report", "#!/bin/sh\n"+script+"\n", 0o755)
	write("share/applications/org.example.Report.desktop",
		"[Desktop Entry]\nType=Application\nName=Report\nExec=report %F\nIcon=org.example.Report\n", 0o644)
	write("share/greeting", "hello from the bundle\n", 0o644)
	command(t, "convert", "-size", "48x48", "xc:#3584e4", "-define", "png:exclude-chunks=date,time",
		filepath.Join(dir, "share/icons/hicolor/48x48/apps/org.example.Report.png"))
	return dir
}

func build(t *testing.T, dir string, options ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "report.bundle")
	command(t, "glick", append([]string{"build", dir, file}, options...)...)
	return file
}

func TestFile(t *testing.T) {
	t.Parallel()
	dir := tree(t, "true")
	file := build(t, dir)

	t.Run("is an executable ELF file with the sections", func(t *testing.T) {
		sections := command(t, "readelf", "--wide", "--section-headers", file)
		for _, name := range []string{".xdg.desktop", ".xdg.icon.48", ".glick.manifest", ".glick.slice.0", ".glick.data"} {
			if !strings.Contains(sections, " "+name+" ") {
				t.Errorf("readelf lists no %s:\n%s", name, sections)
			}
		}
		f, err := elf.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if f.Entry == 0 || f.Machine != elf.EM_X86_64 {
			t.Errorf("entry %#x, machine %v", f.Entry, f.Machine)
		}
		if info, _ := os.Stat(file); info.Mode()&0o111 == 0 {
			t.Errorf("mode is %v", info.Mode())
		}
	})

	for section, source := range map[string]string{
		".xdg.desktop": "share/applications/org.example.Report.desktop",
		".xdg.icon.48": "share/icons/hicolor/48x48/apps/org.example.Report.png",
	} {
		t.Run("objcopy extracts "+section, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "out")
			command(t, "objcopy", "-O", "binary", "--only-section="+section, "--set-section-flags", section+"=alloc", file, out)
			same(t, out, filepath.Join(dir, source))
		})
	}

	t.Run("is the same when made again", func(t *testing.T) {
		same(t, file, build(t, dir))
	})

	t.Run("info reads it back", func(t *testing.T) {
		var info map[string]any
		text := command(t, "glick", "info", "--json", file)
		if err := json.Unmarshal([]byte(text), &info); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		if !strings.Contains(text, `"org.example.Report"`) {
			t.Errorf("no id in %s", text)
		}
	})

	t.Run("extract gives everything back", func(t *testing.T) {
		out := filepath.Join(t.TempDir(), "out")
		command(t, "glick", "extract", file, "--tree", out)
		if d := command(t, "diff", "--recursive", dir, out); d != "" {
			t.Error(d)
		}
	})
}

func same(t *testing.T, a, b string) {
	t.Helper()
	x, err := os.ReadFile(a)
	if err != nil {
		t.Fatal(err)
	}
	y, err := os.ReadFile(b)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(x, y) {
		t.Errorf("%s and %s differ", a, b)
	}
}

// TestBadFiles: each gives one clear sentence, the documented status, and leaves nothing.
func TestBadFiles(t *testing.T) {
	t.Parallel()
	good := build(t, tree(t, "true"))
	data, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := func(name string, content []byte) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, content, 0o755); err != nil {
			t.Fatal(err)
		}
		return p
	}
	unreadable := file("unreadable.bundle", data)
	if err := os.Chmod(unreadable, 0); err != nil {
		t.Fatal(err)
	}
	foreign := filepath.Join(dir, "foreign.bundle")
	command(t, "glick", "build", "--arch", "aarch64", tree(t, "true"), foreign)
	for _, c := range []struct {
		what, file  string
		info, start int // documented status of `glick info` and of `glick run`; -1: not tried
	}{
		{"text", file("text", []byte("just text\n")), 3, 125},
		{"empty", file("empty", nil), 3, 125},
		{"another ELF program", "/bin/true", 3, 125},
		{"half a download", file("half.bundle", data[:len(data)/2]), 3, 125},
		{"unreadable", unreadable, 6, 125},
		{"missing", filepath.Join(dir, "missing.bundle"), 5, 125},
		{"other processor", foreign, 0, 126},
	} {
		t.Run(c.what, func(t *testing.T) {
			check := func(want int, args ...string) {
				cmd := exec.Command("glick", args...)
				var out, said bytes.Buffer
				cmd.Stdout, cmd.Stderr = &out, &said
				_ = cmd.Run()
				if got := cmd.ProcessState.ExitCode(); got != want {
					t.Errorf("glick %s: status %d, not %d; it said %q", args[0], got, want, said.String())
				}
				message := strings.TrimSpace(said.String())
				if want != 0 && (!strings.HasPrefix(message, "glick: ") || strings.Contains(message, "\n") || strings.Contains(message, "goroutine")) {
					t.Errorf("glick %s: not one clear sentence: %q", args[0], message)
				}
			}
			check(c.info, "info", c.file)
			check(c.start, "run", c.file)
		})
	}
}

// TestFullDisk builds onto a file system that is too small: the old file stays, and nothing else.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	dir := tree(t, "true")
	const most = 4 << 20 // bytes that a file may have: RLIMIT_FSIZE, which an unprivileged test can set
	if err := os.WriteFile(filepath.Join(dir, "share/big"), random(most), 0o644); err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	old := filepath.Join(out, "x.bundle")
	if err := os.WriteFile(old, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", `ulimit -f 2048; trap '' XFSZ; exec glick build "$1" "$2"`, "sh", dir, old)
	said, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 7 {
		t.Errorf("%v, not status 7: %s", err, said)
	}
	if data, _ := os.ReadFile(old); string(data) != "old" {
		t.Error("the old file was lost")
	}
	if entries, _ := os.ReadDir(out); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}
