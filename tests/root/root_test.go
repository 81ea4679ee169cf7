// SPDX-License-Identifier: MIT

//go:build root

// Package root tests what only root can do to a running bundle: mount and unmount around it. The bundle itself runs, as always,
// as an unprivileged user: the test user, whom ./dev test makes.
package root

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// shell is a shell in a bundle: one line in, one line out.
type shell struct {
	t   *testing.T
	in  io.Writer
	out *bufio.Reader
}

// ask runs a command in the bundle and returns its last line.
func (s shell) ask(command string) string {
	s.t.Helper()
	fmt.Fprintln(s.in, command+" | tail -n 1")
	line, err := s.out.ReadString('\n')
	if err != nil {
		s.t.Fatalf("the bundle has ended: %v", err)
	}
	return strings.TrimSpace(line)
}

func testUser(t *testing.T) *syscall.Credential {
	t.Helper()
	u, err := user.Lookup("glicktest")
	if err != nil {
		t.Fatalf("no user to run bundles as: %v; ./dev test makes it", err)
	}
	uid, _ := strconv.ParseUint(u.Uid, 10, 32)
	gid, _ := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// start makes a bundle that is a shell, and starts it.
func start(t *testing.T) shell {
	t.Helper()
	dir := t.TempDir()
	for d := dir; d != "/tmp" && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	tree := filepath.Join(dir, "tree")
	write := func(name, content string) {
		p := filepath.Join(tree, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write("bin/shell", "#!/bin/sh\nexec sh\n")
	write("greeting", "hello\n")
	write("share/applications/org.example.Shell.desktop", "[Desktop Entry]\nType=Application\nName=Shell\nExec=shell\n")
	file := filepath.Join(dir, "shell.bundle")
	icon := filepath.Join(dir, "icon.png")
	for _, c := range [][]string{
		{"convert", "-size", "48x48", "xc:red", icon},
		{"glick", "build", "--icon", icon, tree, file},
	} {
		if out, err := exec.Command(c[0], c[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", c, err, out)
		}
	}
	home := filepath.Join(dir, "home")
	cred := testUser(t)
	if err := os.Mkdir(home, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(home, int(cred.Uid), int(cred.Gid)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(file)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cred}
	cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + home, "XDG_RUNTIME_DIR=" + home}
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the bundle ended badly: %v", err)
		}
	})
	s := shell{t, in, bufio.NewReader(out)}
	if got := s.ask("cat /opt/bundle/greeting"); got != "hello" {
		t.Fatalf("the bundle is not at its prefix: %q", got)
	}
	return s
}

// TestLaterMount: a mount that the host makes while the bundle runs is seen inside, as a USB stick should be.
func TestLaterMount(t *testing.T) {
	media := t.TempDir()
	for d := media; d != "/tmp" && d != "/"; d = filepath.Dir(d) {
		_ = os.Chmod(d, 0o755)
	}
	mount := func(source, target, kind string, flags uintptr) {
		t.Helper()
		if err := unix.Mount(source, target, kind, flags, ""); err != nil {
			t.Fatalf("cannot mount %s: %v", target, err)
		}
		t.Cleanup(func() { _ = unix.Unmount(target, unix.MNT_DETACH) })
	}
	// systemd makes every mount shared; small machines and containers do not.
	mount(media, media, "", unix.MS_BIND)
	if err := unix.Mount("", media, "", unix.MS_SHARED, ""); err != nil {
		t.Fatal(err)
	}
	stick := filepath.Join(media, "stick")
	if err := os.Mkdir(stick, 0o755); err != nil {
		t.Fatal(err)
	}
	s := start(t)
	mount("tmpfs", stick, "tmpfs", 0)
	if err := os.WriteFile(filepath.Join(stick, "photo"), []byte("smile\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := s.ask("cat " + stick + "/photo 2>&1"); got != "smile" {
		t.Errorf("inside the bundle: %q", got)
	}
}

// TestMountOnPrefix: what the host mounts on the prefix, and takes away again, leaves running bundles alone.
func TestMountOnPrefix(t *testing.T) {
	s := start(t)
	if entries, _ := os.ReadDir("/opt/bundle"); len(entries) > 0 {
		t.Errorf("outside the bundle the prefix shows %v", entries)
	}
	if err := unix.Mount("tmpfs", "/opt/bundle", "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	during := s.ask("cat /opt/bundle/greeting 2>&1")
	if err := unix.Unmount("/opt/bundle", 0); err != nil {
		t.Fatal(err)
	}
	if after := s.ask("cat /opt/bundle/greeting 2>&1"); during != "hello" || after != "hello" {
		t.Errorf("with a mount there: %q; after it: %q", during, after)
	}
}
