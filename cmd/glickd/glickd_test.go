// SPDX-License-Identifier: MIT

package main

import (
	"bufio"
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/adrg/xdg"
	"github.com/godbus/dbus/v5"

	"glick.org/glick/internal/sample"
	"glick.org/glick/runtime/hold"
	"glick.org/glick/xdgexport"
	"glick.org/glick/xdgexport/apps"
	"glick.org/glick/xdgexport/sessionbus"
)

// The test's own program is glickd when it is told so: real processes, without building anything.
func TestMain(m *testing.M) {
	if os.Getenv("GLICKD_TEST_SERVE") != "" || os.Args[0] == hold.Marker {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// home is a user's home with a session bus.
type home struct {
	t    *testing.T
	dir  string
	bin  string
	env  []string
	conn *dbus.Conn // nil without a bus

	stopBus func()
}

func newHome(t *testing.T, withBus bool) *home {
	t.Helper()
	h := &home{t: t, dir: t.TempDir(), bin: t.TempDir()}
	runtimeDir := t.TempDir()
	if err := os.Chmod(runtimeDir, 0o700); err != nil {
		t.Fatal(err)
	}
	// The service finds the program that entries start beside itself.
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { endAll(t, filepath.Join(h.bin, "glickd"), runtimeDir) })
	h.copy(self, filepath.Join(h.bin, "glickd"))
	if err := os.WriteFile(filepath.Join(h.bin, "glick"), []byte("#!/bin/sh\necho \"$@\" >>"+filepath.Join(h.bin, "calls")+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	address := "unix:path=/does/not/exist"
	if withBus {
		address = h.startBus(runtimeDir)
	}
	h.env = []string{
		"HOME=" + h.dir, "PATH=" + os.Getenv("PATH"), "XDG_RUNTIME_DIR=" + runtimeDir, "DBUS_SESSION_BUS_ADDRESS=" + address, "LC_ALL=C.UTF-8",
		"XDG_DATA_DIRS=/usr/local/share:/usr/share",
	}
	if withBus {
		h.conn, err = dbus.Connect(address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { h.conn.Close() })
	}
	return h
}

// endAll ends the services that a program runs as, until nothing of them is left, and nothing mounted below a folder. Of one that was killed the holder
// starts another, which nobody waits for.
func endAll(t *testing.T, program, dir string) {
	t.Helper()
	for begin := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		left := mountsBelow(t, dir)
		links, _ := filepath.Glob("/proc/[0-9]*/exe")
		for _, link := range links {
			if exe, _ := os.Readlink(link); strings.TrimSuffix(exe, " (deleted)") != program {
				continue
			}
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(link)))
			left = append(left, "process "+strconv.Itoa(pid))
			args, _ := os.ReadFile(filepath.Join(filepath.Dir(link), "cmdline"))
			if !bytes.HasPrefix(args, []byte(hold.Marker)) { // the holder ends with what it holds
				_ = syscall.Kill(pid, syscall.SIGTERM)
			}
		}
		if len(left) == 0 {
			return
		}
		if time.Since(begin) > time.Minute {
			t.Errorf("it is left: %q", left)
			return
		}
	}
}

func mountsBelow(t *testing.T, dir string) (found []string) {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Error(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 1 && strings.HasPrefix(f[1], dir+"/") {
			found = append(found, f[1])
		}
	}
	return found
}

// startBus starts a bus whose service folder is the home's.
func (h *home) startBus(runtimeDir string) string {
	h.t.Helper()
	daemon, err := exec.LookPath("dbus-daemon")
	if err != nil {
		h.t.Skip("dbus-daemon is not installed")
	}
	config := filepath.Join(runtimeDir, "bus.conf")
	err = os.WriteFile(config, []byte(`<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:path=`+runtimeDir+`/bus</listen><servicedir>`+h.dir+`/.local/share/dbus-1/services</servicedir>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>`), 0o600)
	if err != nil {
		h.t.Fatal(err)
	}
	cmd := exec.Command(daemon, "--nofork", "--print-address", "--config-file="+config)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		h.t.Fatal(err)
	}
	h.stopBus = sync.OnceFunc(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	h.t.Cleanup(h.stopBus)
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		h.t.Fatal("the bus does not start: ", err)
	}
	return strings.TrimSpace(address)
}

// copy puts a file somewhere as file managers do: under its final name, the mode last.
func (h *home) copy(from, to string) {
	h.t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(to), 0o755)
	}
	if err == nil {
		err = os.WriteFile(to, data, 0o644)
	}
	if err == nil {
		err = os.Chmod(to, 0o755)
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

// logBuffer takes what a process says.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// start runs glickd until the test ends.
func (h *home) start() (*exec.Cmd, *logBuffer) {
	h.t.Helper()
	cmd := exec.Command(filepath.Join(h.bin, "glickd"))
	cmd.Env = append(slices.Clone(h.env), "GLICKD_TEST_SERVE=1")
	log := &logBuffer{}
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Signal(syscall.SIGTERM)
			timer := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
			_ = cmd.Wait()
			timer.Stop()
		}
		if h.t.Failed() {
			h.t.Log(log)
		}
	})
	return cmd, log
}

// eventually waits for something, and tells how long it took.
func (h *home) eventually(what string, ok func() bool) time.Duration {
	h.t.Helper()
	begin := time.Now()
	for !ok() {
		if time.Since(begin) > 10*time.Second {
			h.t.Fatalf("%s: not within ten seconds", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return time.Since(begin)
}

func (h *home) exists(name string) bool {
	_, err := os.Lstat(filepath.Join(h.dir, name))
	return err == nil
}

func (h *home) find() []string {
	var all []string
	_ = filepath.WalkDir(h.dir, func(path string, _ fs.DirEntry, _ error) error {
		all = append(all, path)
		return nil
	})
	return all
}

// run runs a program in the home's session.
func (h *home) run(name string, args ...string) string {
	h.t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = h.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		h.t.Logf("%s %q: %v", name, args, err)
	}
	return string(out)
}

const (
	id    = "org.example.Sample"
	entry = ".local/share/applications/" + id + ".desktop"
)

func build(t *testing.T, version string) string {
	t.Helper()
	return sample.Build(t, t.TempDir(), id, version, sample.App(id))
}

func TestDroppedAndDeleted(t *testing.T) {
	h := newHome(t, true)
	good := build(t, "1.0")
	_, log := h.start()
	h.eventually("the folder", func() bool { return h.exists("Apps") })
	h.looked(log)
	service := h.conn.Object(sessionbus.Name, sessionbus.Path)
	changed := make(chan *dbus.Signal, 10)
	if err := h.conn.AddMatchSignal(dbus.WithMatchInterface(sessionbus.Interface)); err != nil {
		t.Fatal(err)
	}
	h.conn.Signal(changed)
	if err := os.MkdirAll(filepath.Join(h.dir, ".cache"), 0o700); err != nil { // every home has one
		t.Fatal(err)
	}
	before := h.find()

	h.copy(good, filepath.Join(h.dir, "Apps", "a.bundle"))
	if d := h.eventually("the entry", func() bool { return h.exists(entry) }); d > 250*time.Millisecond {
		t.Logf("the entry was there after %v", d)
	}
	for _, want := range []string{sessionbus.SignalInstalled, sessionbus.SignalChanged} {
		select {
		case s := <-changed:
			if s.Name != sessionbus.Interface+"."+want || want == sessionbus.SignalInstalled && s.Body[0] != id {
				t.Errorf("got %v, want %s", s, want)
			}
		case <-time.After(5 * time.Second):
			t.Error("no signal", want)
		}
	}
	if err := service.Call(sessionbus.Interface+".Sync", 0).Err; err != nil {
		t.Error(err)
	}
	var list, problems []map[string]dbus.Variant
	if err := service.Call(sessionbus.Interface+".List", 0).Store(&list, &problems); err != nil || len(list) != 1 || len(problems) != 0 ||
		list[0]["id"].Value() != id || list[0]["default"].Value() != true {
		t.Errorf("listed %+v, %+v, %v", list, problems, err)
	}
	var xml string
	if err := service.Call("org.freedesktop.DBus.Introspectable.Introspect", 0).Store(&xml); err != nil || !strings.Contains(xml, `name="Changed"`) {
		t.Errorf("introspection says %s, %v", xml, err)
	}

	t.Run("GIO", func(t *testing.T) {
		if _, err := exec.LookPath("gio"); err != nil {
			t.Skip("gio is not installed")
		}
		if _, err := exec.LookPath("update-mime-database"); err != nil {
			t.Skip("update-mime-database is not installed")
		}
		document := filepath.Join(h.dir, "x.sample")
		if err := os.WriteFile(document, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		defer os.Remove(document)
		if out := h.run("gio", "info", "-a", "standard::content-type", document); !strings.Contains(out, "application/x-sample") {
			t.Errorf("the type is %s", out)
		}
		if out := h.run("gio", "mime", "application/x-sample"); !strings.Contains(out, id+".desktop") {
			t.Errorf("the handlers are %s", out)
		}
		h.run("gio", "open", document)
		calls := filepath.Join(h.bin, "calls")
		h.eventually("the call", func() bool { _, err := os.Stat(calls); return err == nil })
		if out, err := os.ReadFile(calls); err != nil || !strings.Contains(string(out), "run "+id+" -- ") || !strings.Contains(string(out), "x.sample") {
			t.Errorf("glick was called with %s, %v", out, err)
		}
		_ = os.RemoveAll(filepath.Join(h.dir, ".local/share/recently-used.xbel"))
	})
	t.Run("D-Bus activation", func(t *testing.T) {
		// The stand-in for glick does not take the name; that it was called is what counts.
		h.conn.BusObject().Go("org.freedesktop.DBus.StartServiceByName", dbus.FlagNoReplyExpected, nil, id, uint32(0))
		h.eventually("the call", func() bool {
			out, err := os.ReadFile(filepath.Join(h.bin, "calls"))
			return err == nil && strings.Contains(string(out), "run "+id+" -- --gapplication-service")
		})
	})

	if err := os.Remove(filepath.Join(h.dir, "Apps", "a.bundle")); err != nil {
		t.Fatal(err)
	}
	h.eventually("the end of the entry", func() bool { return !h.exists(entry) })
	if err := service.Call(sessionbus.Interface+".Sync", 0).Err; err != nil {
		t.Error(err)
	}
	// The key that an application had is remembered beyond its end.
	var after []string
	for _, f := range h.find() {
		switch strings.TrimPrefix(f, h.dir+"/") {
		case ".local", ".local/share", ".local/share/glick", ".local/share/glick/apps.known":
		default:
			after = append(after, f)
		}
	}
	if !slices.Equal(after, before) {
		t.Errorf("before:\n%s\nafter:\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
	}
}

func TestIncompleteAndBroken(t *testing.T) {
	h := newHome(t, true)
	data, err := os.ReadFile(build(t, "1.0"))
	if err != nil {
		t.Fatal(err)
	}
	_, log := h.start()
	h.eventually("the folder", func() bool { return h.exists("Apps") })
	file := filepath.Join(h.dir, "Apps", "slow.bundle")
	if err := os.WriteFile(file, data[:len(data)/2], 0o644); err != nil {
		t.Fatal(err)
	}
	h.eventually("the note", func() bool { return strings.Contains(log.String(), "not complete yet") })
	if h.exists(entry) {
		t.Error("half a bundle is shown")
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(data[len(data)/2:]); err != nil {
		t.Fatal(err)
	}
	f.Close()
	h.eventually("the entry", func() bool { return h.exists(entry) })
	if err := os.WriteFile(filepath.Join(h.dir, "Apps", "broken.bundle"), []byte("no"), 0o644); err != nil {
		t.Fatal(err)
	}
	h.eventually("the report", func() bool { return strings.Contains(log.String(), "not a usable bundle") })
	service := h.conn.Object(sessionbus.Name, sessionbus.Path)
	for range 3 {
		if err := service.Call(sessionbus.Interface+".Sync", 0).Err; err != nil {
			t.Error(err)
		}
	}
	if n := strings.Count(log.String(), "not a usable bundle"); n != 1 {
		t.Errorf("reported %d times", n)
	}
}

func TestOneServiceAndItsEnd(t *testing.T) {
	for name, withBus := range map[string]bool{"bus": true, "no bus": false} {
		t.Run(name, func(t *testing.T) {
			h := newHome(t, withBus)
			first, log := h.start()
			h.eventually("the start", func() bool { return strings.Contains(log.String(), "started") })
			second, said := h.start()
			if err := second.Wait(); err != nil || !strings.Contains(said.String(), "already") {
				t.Errorf("the second: %v: %s", err, said)
			}
			h.copy(build(t, "1"), filepath.Join(h.dir, "Apps", "x"))
			h.eventually("the entry", func() bool { return h.exists(entry) })
			if err := first.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			begin := time.Now()
			if err := first.Wait(); err != nil || time.Since(begin) > 3*time.Second {
				t.Errorf("ended after %v with %v: %s", time.Since(begin), err, log)
			}
			if mounts, err := os.ReadFile("/proc/self/mounts"); err != nil || strings.Contains(string(mounts), h.env[2][len("XDG_RUNTIME_DIR="):]) {
				t.Errorf("mounts are left: %v", err)
			}
		})
	}
}

// Refresh is what glick and the windows call after a change: with a service and without.
func TestRefresh(t *testing.T) {
	for name, withService := range map[string]bool{"service": true, "no service": false} {
		t.Run(name, func(t *testing.T) {
			h := newHome(t, true)
			for _, v := range h.env {
				name, value, _ := strings.Cut(v, "=")
				t.Setenv(name, value)
			}
			t.Setenv("PATH", h.bin+":"+os.Getenv("PATH"))
			xdg.Reload()
			t.Cleanup(xdg.Reload)
			if withService {
				_, log := h.start()
				h.eventually("the start", func() bool { return strings.Contains(log.String(), "started") })
			}
			app, err := apps.Install(t.Context(), build(t, "1"), apps.InstallOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if err := xdgexport.Refresh(t.Context()); err != nil || !h.exists(entry) {
				t.Errorf("after installing: %v, entry %v", err, h.exists(entry))
			}
			undo, err := apps.Uninstall(t.Context(), app.File)
			if err != nil {
				t.Fatal(err)
			}
			if err := xdgexport.Refresh(t.Context()); err != nil || h.exists(entry) {
				t.Errorf("after uninstalling: %v, entry %v", err, h.exists(entry))
			}
			if err := undo(); err != nil {
				t.Fatal(err)
			}
			if err := xdgexport.Refresh(t.Context()); err != nil || !h.exists(entry) {
				t.Errorf("after bringing it back: %v, entry %v", err, h.exists(entry))
			}
		})
	}
}

// When the session's bus ends, the session has.
func TestEndsWithTheBus(t *testing.T) {
	h := newHome(t, true)
	service, log := h.start()
	h.eventually("the start", func() bool { return strings.Contains(log.String(), "started") })
	h.stopBus()
	done := make(chan error, 1)
	go func() { done <- service.Wait() }()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		_ = service.Process.Kill()
		t.Error("it goes on")
	}
}

// Bundles that came or went while no service ran are noticed by the next one.
func TestCatchesUp(t *testing.T) {
	h := newHome(t, false)
	file := filepath.Join(h.dir, "Apps", "x.bundle")
	h.copy(build(t, "1"), file)
	first, _ := h.start()
	h.eventually("the entry", func() bool { return h.exists(entry) })
	_ = first.Process.Kill()
	_ = first.Wait()
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	h.start()
	h.eventually("the end of the entry", func() bool { return !h.exists(entry) })
}
