// SPDX-License-Identifier: MIT

package session

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"glick.org/glick/bundle"
	"glick.org/glick/runtime/fuse/mount"
)

const serveVariable = "GLICK_TEST_SERVE"

func TestMain(m *testing.M) {
	if os.Getenv(serveVariable) != "" {
		err := Serve(context.Background(), Options{Log: slog.New(slog.DiscardHandler), Ready: func() { os.Stdout.WriteString("ready\n") }})
		os.Stdout.WriteString(err.Error())
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// place makes an XDG_RUNTIME_DIR of the test's own, in which nothing may be mounted afterwards.
func place(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("XDG_RUNTIME_DIR", dir)
	t.Cleanup(func() {
		mounts, _ := os.ReadFile("/proc/self/mountinfo")
		if strings.Contains(string(mounts), dir) {
			mount.Unmount(filepath.Join(dir, "glick", mountName))
			t.Errorf("something is still mounted in %s", dir)
		}
	})
	return filepath.Join(dir, "glick")
}

func serve(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- Serve(ctx, Options{Log: slog.New(slog.DiscardHandler), Ready: func() { close(ready) }, Drain: 3 * time.Second})
	}()
	select {
	case <-ready:
	case err := <-done:
		cancel()
		t.Fatal(err)
	}
	stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		done <- nil
	}
	t.Cleanup(stop)
	return stop
}

func testBundle(t *testing.T) *os.File {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	stub, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "run"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.CreateTemp(t.TempDir(), "bundle")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := bundle.Build(t.Context(), f, dir, bundle.BuildOptions{ID: "org.example.S", Version: "1", Name: "S", Exec: "run", Stub: stub}); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestOneServicePerUser(t *testing.T) {
	place(t)
	serve(t)
	if err := Serve(t.Context(), Options{}); !errors.Is(err, ErrRunning) {
		t.Errorf("a second service: %v", err)
	}
	if list, err := Instances(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
}

func TestNoService(t *testing.T) {
	place(t)
	if _, err := Instances(t.Context()); !errors.Is(err, ErrNotRunning) {
		t.Error(err)
	}
	t.Setenv("XDG_RUNTIME_DIR", "")
	if _, err := Instances(t.Context()); !errors.Is(err, ErrNotRunning) {
		t.Error(err)
	}
	if err := Serve(t.Context(), Options{}); err == nil {
		t.Error("a service without a place")
	}
}

func TestStrangeFoldersAreRefused(t *testing.T) {
	for name, prepare := range map[string]func(dir string) error{
		"open to others": func(dir string) error { return errors.Join(os.Mkdir(dir, 0o755), os.Chmod(dir, 0o755)) },
		"a link":         func(dir string) error { return os.Symlink(t.TempDir(), dir) },
		"a file":         func(dir string) error { return os.WriteFile(dir, nil, 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := place(t)
			if err := prepare(dir); err != nil {
				t.Fatal(err)
			}
			if err := Serve(t.Context(), Options{}); err == nil {
				t.Error("the service accepts it")
			}
			if _, err := Begin(testBundle(t), "x"); !errors.Is(err, ErrNotRunning) {
				t.Errorf("the client accepts it: %v", err)
			}
		})
	}
}

func TestLeaseEndsWithItsConnection(t *testing.T) {
	dir := place(t)
	serve(t)
	lease, err := Begin(testBundle(t), "/some/file")
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(dir, "fs", "org.example.S-1"); lease.Folder != want {
		t.Errorf("folder %s, want %s", lease.Folder, want)
	}
	if b, err := os.ReadFile(filepath.Join(lease.Folder, "run")); string(b) != "#!/bin/sh\n" {
		t.Errorf("%q, %v", b, err)
	}
	if list, _ := Instances(t.Context()); len(list) != 0 {
		t.Errorf("what has not begun runs: %v", list)
	}
	unix.Close(lease.FD)
	for range 100 {
		if _, err = os.Lstat(lease.Folder); err != nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is still there: %v", err)
	}
	if names, err := os.ReadDir(filepath.Join(dir, "fs", "trees")); err != nil || len(names) != 0 {
		t.Errorf("the tree is still there: %v, %v", names, err)
	}
}

// TestHostileClients sends what no client of ours sends. The service must stay as it was.
func TestHostileClients(t *testing.T) {
	place(t)
	serve(t)
	v := string(rune(protocolVersion))
	file := testBundle(t)
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	text, err := os.Open("/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	defer text.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	type packet struct {
		kind byte
		body string
		fds  []int
	}
	for name, packets := range map[string][]packet{
		"nothing":            nil,
		"garbage":            {{0xff, strings.Repeat("x", 9000), nil}},
		"too long":           {{messageStart, v + strings.Repeat("x", maxMessage), nil}},
		"no version":         {{messageStart, "", nil}},
		"other version":      {{messageStart, "\x63file", []int{int(file.Fd())}}},
		"start without file": {{messageStart, v + "x", nil}},
		"start with device":  {{messageStart, v + "x", []int{int(null.Fd())}}},
		"start with pipe":    {{messageStart, v + "x", []int{int(r.Fd())}}},
		"start with text":    {{messageStart, v + "x", []int{int(text.Fd())}}},
		"many descriptors":   {{messageStart, v + "x", []int{int(null.Fd()), int(null.Fd()), int(null.Fd())}}},
		"very many":          {{messageStart, v + "x", []int{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}}},
		"no sign of life":    {{messageStart, v + "x", []int{int(file.Fd())}}, {messageFuse, "", nil}},
		"false sign of life": {{messageStart, v + "x", []int{int(file.Fd())}}, {messageFuse, "", []int{int(null.Fd())}}},
		"twice":              {{messageStart, v + "x", []int{int(file.Fd())}}, {messageStart, v + "x", []int{int(file.Fd())}}},
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			c, err := dial()
			if err != nil {
				t.Fatal(err)
			}
			defer c.close()
			for _, p := range packets {
				if err := c.send(p.kind, p.body, p.fds...); err != nil && !errors.Is(err, unix.EPIPE) && !errors.Is(err, unix.ECONNRESET) {
					t.Fatal(err)
				}
			}
			if len(packets) > 0 {
				for {
					kind, _, _, err := c.receive()
					if err != nil {
						if !errors.Is(err, io.EOF) && !errors.Is(err, unix.ECONNRESET) {
							t.Error(err)
						}
						break
					}
					if kind == replyServing {
						t.Error("the service serves it")
					}
				}
			}
		})
	}
	if list, err := Instances(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("afterwards: %v, %v", list, err)
	}
	lease, err := Begin(file, "x")
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(lease.FD)
}

func TestServiceAfterAKilledOne(t *testing.T) {
	dir := place(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), serveVariable+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 6)
	if _, err := io.ReadFull(out, line); err != nil || string(line) != "ready\n" {
		t.Fatalf("%q, %v", line, err)
	}
	cmd.Process.Kill()
	cmd.Wait()
	if _, err := os.ReadDir(filepath.Join(dir, "fs")); err == nil {
		t.Fatal("the killed service's file system still works")
	}
	if _, err := Instances(t.Context()); !errors.Is(err, ErrNotRunning) {
		t.Errorf("nobody listens, but: %v", err)
	}
	stop := serve(t)
	if _, err := os.ReadDir(filepath.Join(dir, "fs")); err != nil {
		t.Error(err)
	}
	stop()
	if names, err := os.ReadDir(filepath.Join(dir, "fs")); err != nil || len(names) != 0 {
		t.Errorf("after the end: %v, %v", names, err)
	}
}

func TestInstanceText(t *testing.T) {
	want := Instance{ID: "a.b", Version: "1", File: "/x\n", PID: 7, Started: time.Unix(5, 6), Prefix: "/p"}
	if got, err := decodeInstance(want.encode()); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []string{"", "a", "a\x00b\x00c\x00x\x005\x00p", "a\x00b\x00c\x001\x00x\x00p", strings.Repeat("\x00", 9)} {
		if _, err := decodeInstance(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}
