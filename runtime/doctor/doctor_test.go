// SPDX-License-Identifier: MIT

package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"glick.org/glick/runtime/launch"
	"glick.org/glick/runtime/session"
)

// The test's own program takes things away from itself, then looks: what these variables say.
const (
	reportVariable = "DOCTOR_TEST_REPORT" // time limit of a check
	takeVariable   = "DOCTOR_TEST_TAKE"   // "namespaces", "seccomp", or a setting to be 0 in a user namespace of its own
	stageVariable  = "DOCTOR_TEST_STAGE"
)

func TestMain(m *testing.M) {
	if os.Getenv(takeVariable) != "" {
		if err := take(os.Getenv(takeVariable)); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(1)
	}
	if os.Getenv(reportVariable) != "" {
		if err := report(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	code := m.Run()
	if stubDir != "" {
		os.RemoveAll(stubDir)
	}
	os.Exit(code)
}

// seen is a check as a report prints it.
type seen struct {
	ID, Detail, Used, Mend string
	State                  State
}

func report() error {
	limit, err := time.ParseDuration(os.Getenv(reportVariable))
	if err != nil {
		return err
	}
	home := os.Getenv("HOME")
	var list []seen
	for _, c := range Run(context.Background(), Options{
		Version: "1", BusName: "org.glick.Session", Apps: filepath.Join(home, "Apps"), DataHome: filepath.Join(home, ".local/share"),
		DataDirs: []string{"/usr/share"}, Cache: filepath.Join(home, ".cache"), Limit: limit,
	}) {
		list = append(list, seen{c.ID, c.Detail, c.Used, c.Mend, c.State})
	}
	return json.NewEncoder(os.Stdout).Encode(list)
}

// take takes something away from this process and becomes the report.
func take(what string) error {
	runtime.LockOSThread()
	self := "/proc/self/exe"
	env := slices.DeleteFunc(os.Environ(), func(kv string) bool {
		return strings.HasPrefix(kv, takeVariable+"=") || strings.HasPrefix(kv, stageVariable+"=")
	})
	if what == "seccomp" {
		if err := forbidNamespaces(); err != nil {
			return err
		}
		return syscall.Exec(self, os.Args, env)
	}
	if os.Getenv(stageVariable) == "" {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), stageVariable+"=1")
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  unix.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: os.Getuid(), HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: os.Getgid(), HostID: os.Getgid(), Size: 1}},
			AmbientCaps: []uintptr{unix.CAP_SYS_RESOURCE},
		}
		if err := cmd.Run(); err != nil {
			return err
		}
		os.Exit(0)
	}
	if err := os.WriteFile("/proc/sys/user/"+what, []byte("0"), 0); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return err
	}
	return syscall.Exec(self, os.Args, env)
}

// forbidNamespaces puts a filter on this thread, as containers have one: unshare is not permitted.
func forbidNamespaces() error {
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // the number of the system call
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_UNSHARE, Jt: 0, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&program))); errno != 0 {
		return errno
	}
	return nil
}

var (
	stubOnce sync.Once
	stubDir  string
	stubErr  error
)

// stubs is a folder with the stub program: $GLICK_STUB_DIR, or a freshly built one.
func stubs(t *testing.T) string {
	t.Helper()
	stubOnce.Do(func() {
		if os.Getenv("GLICK_STUB_DIR") != "" {
			return
		}
		if stubDir, stubErr = os.MkdirTemp("", "glick-stub"); stubErr != nil {
			return
		}
		os.Chmod(stubDir, 0o755)
		cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w -E _rt0_glick", "-o", filepath.Join(stubDir, "stub-"+launch.Arch()), "glick.org/glick/cmd/glick-stub")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			stubErr = fmt.Errorf("%w: %s", err, out)
		}
		os.Setenv("GLICK_STUB_DIR", stubDir)
	})
	if stubErr != nil {
		t.Fatalf("cannot build the stub: %v", stubErr)
	}
	return os.Getenv("GLICK_STUB_DIR")
}

// place is a user's environment.
type place struct {
	t     *testing.T
	home  string
	run   string // XDG_RUNTIME_DIR
	env   map[string]string
	wrap  []string // command line in front
	limit time.Duration
}

func newPlace(t *testing.T) *place {
	t.Helper()
	if os.Geteuid() == 0 {
		t.Skip("root needs no user namespace: this is about other users")
	}
	p := &place{t: t, home: t.TempDir(), run: t.TempDir(), limit: 20 * time.Second}
	if err := os.Chmod(p.run, 0o700); err != nil {
		t.Fatal(err)
	}
	p.env = map[string]string{
		"HOME": p.home, "XDG_RUNTIME_DIR": p.run, "PATH": "/usr/bin:/bin", "GLICK_STUB_DIR": stubs(t), "DBUS_SESSION_BUS_ADDRESS": "unix:path=" + p.run + "/bus",
	}
	return p
}

// bubble wraps it in bubblewrap: the host's file system, with changes.
func (p *place) bubble(args ...string) {
	bwrap, err := exec.LookPath("bwrap")
	if err != nil {
		p.t.Skip("bubblewrap is not installed")
	}
	p.wrap = append([]string{bwrap, "--dev-bind", "/", "/"}, args...)
}

// look runs all checks there.
func (p *place) look() []Check {
	p.t.Helper()
	self, err := os.Executable()
	if err != nil {
		p.t.Fatal(err)
	}
	before := p.mounts()
	line := append(slices.Clone(p.wrap), self)
	cmd := exec.Command(line[0], line[1:]...)
	// Under the race detector a program sleeps a second at its end, for the sake of other threads.
	cmd.Env = []string{reportVariable + "=" + p.limit.String(), "GORACE=atexit_sleep_ms=0"}
	for name, value := range p.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		p.t.Fatalf("%v: %s", err, errs.String())
	}
	var list []seen
	if err := json.Unmarshal(out, &list); err != nil {
		p.t.Fatalf("%v: %s", err, out)
	}
	var checks []Check
	for i, c := range list {
		if c.ID != probes[i].id || c.Detail == "" || c.Used == "" || c.State != OK && c.State != Degraded && c.State != Missing && c.State != Unknown {
			p.t.Errorf("not a whole check: %+v", c)
		}
		checks = append(checks, Check{ID: c.ID, State: c.State, Detail: c.Detail, Used: c.Used, Mend: c.Mend})
	}
	if len(list) != len(probes) {
		p.t.Fatalf("%d checks, want %d", len(list), len(probes))
	}
	if after := p.mounts(); after != before {
		p.t.Errorf("mounts before: %d, afterwards: %d", before, after)
	}
	for _, dir := range []string{p.home, p.run} {
		if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 {
			p.t.Errorf("left over: %q", left)
		}
	}
	return checks
}

// mounts counts the mounts in the place's folders that this process sees.
func (p *place) mounts() int {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		p.t.Fatal(err)
	}
	return strings.Count(string(b), p.home) + strings.Count(string(b), p.run)
}

// TestTakenAway takes away what Glick uses, one thing at a time, and looks whether that is found.
func TestTakenAway(t *testing.T) {
	const mend = "Mend: "
	for name, tc := range map[string]struct {
		take func(*place)
		want map[string]string // state, or "Mend: " and a part of what mends it
		way  Way
	}{
		"nothing": {func(*place) {}, map[string]string{IDNamespaces: "ok", IDNamespaceLimits: "ok", IDFuseDevice: "ok", IDFuseMount: "ok",
			IDOverlay: "ok", IDSeccomp: "ok", IDAppArmor: "ok", IDFusermount: "ok", IDRuntimeDir: "ok", IDHome: "ok", IDCache: "ok", IDDataHome: "ok",
			IDService: "missing", IDBus: "missing", IDSystemd: "missing", IDApps: "degraded"}, WaySelf},
		"fuse device": {func(p *place) { p.bubble("--dev", "/dev") },
			map[string]string{IDFuseDevice: "missing", IDFuseMount: "missing", IDNamespaces: "ok", IDOverlay: "ok"}, WayExtract},
		"fuse device is another one": {func(p *place) { p.bubble("--dev-bind", "/dev/null", "/dev/fuse") },
			map[string]string{IDFuseDevice: "ok", IDFuseMount: "missing", IDNamespaces: "ok"}, WayExtract},
		"fuse device is not permitted": {func(p *place) {
			file := filepath.Join(p.home, "fuse")
			os.WriteFile(file, nil, 0)
			p.bubble("--bind", file, "/dev/fuse")
		}, map[string]string{IDFuseDevice: "missing", IDFuseMount: "missing"}, WayExtract},
		"fuse device and cache": {func(p *place) { p.bubble("--dev", "/dev", "--ro-bind", p.home, p.home) },
			map[string]string{IDFuseDevice: "missing", IDCache: "missing"}, WayNone},
		"namespaces, by a setting": {func(p *place) { p.env[takeVariable] = "max_user_namespaces" },
			map[string]string{IDNamespaces: mend + "user.max_user_namespaces", IDNamespaceLimits: mend + "user.max_user_namespaces", IDFuseMount: "unknown",
				IDOverlay: "missing", IDFuseDevice: "ok", IDSeccomp: "ok"}, WayFixed},
		"namespaces, by a filter": {func(p *place) { p.env[takeVariable] = "seccomp" },
			map[string]string{IDNamespaces: "missing", IDNamespaceLimits: "ok", IDSeccomp: "missing", IDFusermount: mend + "sandbox"}, WayFixed},
		"namespaces and files": {func(p *place) {
			p.env[takeVariable], p.env["HOME"] = "max_user_namespaces", "/proc/1"
		}, map[string]string{IDNamespaces: "missing", IDCache: "missing", IDHome: "missing"}, WayNone},
		"stub": {func(p *place) { p.env["GLICK_STUB_DIR"] = p.home },
			map[string]string{IDStub: mend + "Install", IDNamespaces: "ok", IDFuseMount: "unknown", IDOverlay: "unknown"}, WayNone},
		"stub and namespaces": {func(p *place) { p.env["GLICK_STUB_DIR"], p.env[takeVariable] = p.home, "max_user_namespaces" },
			map[string]string{IDStub: "missing", IDNamespaces: "missing"}, WayNone},
		"stub is another program": {func(p *place) {
			os.Symlink("/bin/true", filepath.Join(p.home, "stub-"+launch.Arch()))
			p.env["GLICK_STUB_DIR"] = p.home
		}, map[string]string{IDStub: "degraded", IDNamespaces: "unknown", IDFuseMount: "unknown", IDOverlay: "unknown"}, WayNone},
		"fusermount and tools": {func(p *place) { p.env["PATH"] = p.home },
			map[string]string{IDFusermount: mend + "fuse3", IDDesktopDatabase: mend + "desktop-file-utils", IDMimeDatabase: mend + "shared-mime-info"}, WaySelf},
		"fusermount's right": {func(p *place) {
			os.WriteFile(filepath.Join(p.home, "fusermount3"), []byte("#!/bin/sh\n"), 0o755)
			p.env["PATH"] = p.home
		}, map[string]string{IDFusermount: mend + "chmod u+s"}, WaySelf},
		"runtime folder": {func(p *place) { delete(p.env, "XDG_RUNTIME_DIR") },
			map[string]string{IDRuntimeDir: mend + "Log in", IDService: "missing"}, WaySelf},
		"runtime folder is not absolute": {func(p *place) { p.env["XDG_RUNTIME_DIR"] = "run" }, map[string]string{IDRuntimeDir: "missing"}, WaySelf},
		"runtime folder is open":         {func(p *place) { os.Chmod(p.run, 0o755) }, map[string]string{IDRuntimeDir: mend + "chmod 0700"}, WaySelf},
		"runtime folder is another's":    {func(p *place) { p.env["XDG_RUNTIME_DIR"] = "/" }, map[string]string{IDRuntimeDir: mend + "su and sudo"}, WaySelf},
		"home can only be read": {func(p *place) { p.bubble("--ro-bind", p.home, p.home) },
			map[string]string{IDHome: mend + "for writing", IDCache: "missing", IDDataHome: "missing", IDApps: "missing", IDNamespaces: "ok", IDFuseMount: "ok"}, WaySelf},
		"home": {func(p *place) { delete(p.env, "HOME") }, map[string]string{IDHome: mend + "HOME", IDCache: "missing", IDDataHome: "missing"}, WaySelf},
		"watches": {func(p *place) { p.env[takeVariable] = "max_inotify_instances" },
			map[string]string{IDApps: mend + "max_user_instances", IDNamespaces: "ok"}, WaySelf},
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			p := newPlace(t)
			tc.take(p)
			checks := p.look()
			for id, want := range tc.want {
				c := find(checks, id)
				if part, mends := strings.CutPrefix(want, mend); mends && (c.State == OK || !strings.Contains(c.Mend, part)) || !mends && string(c.State) != want {
					t.Errorf("%s: %+v, want %s", id, c, want)
				}
			}
			if d := Decide(checks); d.Way != tc.way {
				t.Errorf("way %s, want %s: %+v", d.Way, tc.way, d)
			}
		})
	}
}

func TestWithService(t *testing.T) {
	p := newPlace(t)
	t.Setenv("XDG_RUNTIME_DIR", p.run)
	ctx, cancel := context.WithCancel(t.Context())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- session.Serve(ctx, session.Options{Log: slog.New(slog.DiscardHandler), Ready: func() { close(ready) }, Drain: 3 * time.Second})
	}()
	select {
	case <-ready:
	case err := <-done:
		t.Fatal(err)
	}
	checks := p.look()
	if pid := servicePID(); pid != os.Getpid() {
		t.Errorf("the service is process %d, not %d", pid, os.Getpid())
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if c := find(checks, IDService); c.State != OK {
		t.Errorf("%+v", c)
	}
	// The service is this process, whose data are elsewhere than the report's.
	if c := find(checks, IDDataHome); c.State != Degraded || c.Mend == "" {
		t.Errorf("%+v", c)
	}
	if d := Decide(checks); d.Way != WayService || d.Because != nil {
		t.Errorf("%+v", d)
	}
}

// TestSilence: nothing makes it wait for ever.
func TestSilence(t *testing.T) {
	p := newPlace(t)
	p.limit = 500 * time.Millisecond
	// A stub that never ends, and can be told from others.
	nap := fmt.Sprintf("300.%d", os.Getpid())
	if err := os.WriteFile(filepath.Join(p.home, "stub-"+launch.Arch()), []byte("#!/bin/sh\nexec sleep "+nap+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	// A service that never answers.
	if err := os.Mkdir(filepath.Join(p.run, "glick"), 0o700); err != nil {
		t.Fatal(err)
	}
	service, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(service)
	t.Chdir(p.run) // paths of sockets must be short
	if err := errors.Join(unix.Bind(service, &unix.SockaddrUnix{Name: "glick/socket"}), unix.Listen(service, 8)); err != nil {
		t.Fatal(err)
	}
	// A bus that never answers.
	bus, err := net.Listen("unix", "bus")
	if err != nil {
		t.Fatal(err)
	}
	defer bus.Close()
	for _, tc := range []struct {
		stub string
		ids  []string
	}{{p.env["GLICK_STUB_DIR"], []string{IDService, IDBus, IDSystemd}}, {p.home, []string{IDNamespaces, IDFuseMount, IDOverlay}}} {
		p.env["GLICK_STUB_DIR"] = tc.stub
		begin := time.Now()
		checks := p.look()
		if took := time.Since(begin); took > 20*time.Second {
			t.Errorf("it took %v", took)
		}
		for _, id := range tc.ids {
			if c := find(checks, id); c.State == OK {
				t.Errorf("%+v", c)
			}
		}
	}
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lines {
		if b, err := os.ReadFile(l); err == nil && strings.Contains(string(b), nap) {
			t.Errorf("still there: %q", b)
		}
	}
}

// TestGivenUp: what keeps to no limit by itself is left alone, with or without time for others.
func TestGivenUp(t *testing.T) {
	forever := make(chan struct{})
	defer close(forever)
	p := probe{"x", "X", func(context.Context, *host) Check { <-forever; return Check{} }}
	if c := tryFor(t.Context(), p, &host{Options: Options{Limit: 10 * time.Millisecond}}); c.State != Unknown || !errors.Is(c.Err, context.DeadlineExceeded) {
		t.Errorf("%+v", c)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range Run(over, Options{}) {
		if c.State != Unknown || c.ID == "" || c.Title == "" || c.Detail == "" || !errors.Is(c.Err, context.Canceled) {
			t.Errorf("%+v", c)
		}
	}
}

func TestBus(t *testing.T) {
	daemon, err := exec.LookPath("dbus-daemon")
	if err != nil {
		t.Skip("dbus-daemon is not installed")
	}
	p := newPlace(t)
	services := t.TempDir()
	config := filepath.Join(p.home, "bus.conf")
	err = os.WriteFile(config, []byte(`<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:path=`+p.run+`/bus</listen><servicedir>`+services+`</servicedir>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	start := func() (stop func()) {
		cmd := exec.Command(daemon, "--nofork", "--print-address", "--config-file="+config)
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 256)); err != nil {
			t.Fatal("the bus does not start: ", err)
		}
		return func() { cmd.Process.Kill(); cmd.Wait() }
	}
	stop := start()
	checks := p.look()
	if c := find(checks, IDBus); c.State != Degraded {
		t.Errorf("without Glick: %+v", c)
	}
	if c := find(checks, IDSystemd); c.State != Missing {
		t.Errorf("without systemd: %+v", c)
	}
	stop()
	if err := os.WriteFile(filepath.Join(services, "x.service"), []byte("[D-BUS Service]\nName=org.glick.Session\nExec=/bin/false\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	stop = start()
	defer stop()
	if c := find(p.look(), IDBus); c.State != OK {
		t.Errorf("with Glick: %+v", c)
	}
}

func TestVersions(t *testing.T) {
	p := newPlace(t)
	write := func(name, says string) {
		if err := os.WriteFile(filepath.Join(p.home, name), []byte("#!/bin/sh\necho "+says+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	p.env["PATH"] = p.home + ":/usr/bin:/bin"
	// The real stub has a version of its own.
	write("stub-"+launch.Arch(), "glick-stub 1")
	p.env["GLICK_STUB_DIR"] = p.home
	for _, tc := range []struct {
		says string
		want State
	}{{"glickd 1", OK}, {"glickd 2", Degraded}, {"nothing of use", Degraded}} {
		write("glickd", tc.says)
		if c := find(p.look(), IDVersions); c.State != tc.want {
			t.Errorf("%s: %+v", tc.says, c)
		}
	}
	write("glickd", "glickd 1")
	write("stub-"+launch.Arch(), "glick-stub 3")
	if c := find(p.look(), IDVersions); c.State != Degraded || !strings.Contains(c.Detail, "stub 3") {
		t.Errorf("%+v", c)
	}
	os.Remove(filepath.Join(p.home, "glickd"))
	p.env["PATH"] = "/usr/bin:/bin"
	if _, err := os.Stat("/usr/bin/glickd"); err == nil {
		return
	}
	if c := find(p.look(), IDVersions); c.State != Degraded || c.Mend == "" {
		t.Errorf("without glickd: %+v", c)
	}
}

// TestAsBundle: a bundle is no installed program, and may be treated otherwise.
func TestAsBundle(t *testing.T) {
	stubs(t)
	if err := tryAsBundle(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestSettings: kernels have settings that this one may not have.
func TestSettings(t *testing.T) {
	t.Cleanup(func(old string) func() { return func() { settings = old } }(settings))
	settings = t.TempDir()
	set := func(name, value string) {
		file := filepath.Join(settings, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(value+"\n"), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	limits := func(want State, mend string) {
		t.Helper()
		if c := checkNamespaceLimits(t.Context(), &host{}); c.State != want || !strings.Contains(c.Mend, mend) {
			t.Errorf("%+v", c)
		}
	}
	limits(OK, "")
	set(debianNamespaces, "0")
	limits(Missing, "kernel.unprivileged_userns_clone=1")
	set(debianNamespaces, "1")
	set(maxNamespaces, "10")
	limits(OK, "")
	set(maxNamespaces, "0")
	limits(Missing, "user.max_user_namespaces=")

	h := &host{seen: []Check{{ID: IDNamespaces, State: Missing}}}
	if c := checkAppArmor(t.Context(), h); c.State != OK {
		t.Errorf("without AppArmor: %+v", c)
	}
	set(appArmorRestricts, "0")
	if c := checkAppArmor(t.Context(), h); c.State != OK {
		t.Errorf("without restriction: %+v", c)
	}
	set(appArmorRestricts, "1")
	if !launch.NeedsUserNamespace() {
		return // root is not restricted
	}
	if c := checkAppArmor(t.Context(), h); c.State != Missing || !strings.Contains(c.Mend, "/etc/apparmor.d/glick") {
		t.Errorf("without a profile: %+v", c)
	}
	stubs(t)
	h.seen[0].State = OK
	if c := checkAppArmor(t.Context(), h); c.State != OK {
		t.Errorf("with all that is needed: %+v", c)
	}
	if c := judgeAppArmor(true, syscall.EPERM); c.State != Degraded || !strings.Contains(c.Mend, "glick run") {
		t.Errorf("with a profile for the stub: %+v", c)
	}
	if c := judgeAppArmor(true, launch.ErrStub); c.State != Unknown {
		t.Errorf("not tried: %+v", c)
	}
}

func TestRelease(t *testing.T) {
	for in, want := range map[string]string{"6.18.44-x": "6 18 true", "5.4": "5 4 true", "6.9-rc1": "6 9 true", "": "0 0 false", "x.y": "0 0 false", "6": "6 0 false"} {
		major, minor, ok := parseRelease(in)
		if got := fmt.Sprint(major, minor, ok); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

func TestSentences(t *testing.T) {
	for in, want := range map[string]string{
		"it is so": "It is so.", "/opt/x is not": "/opt/x is not.", "": "", "ändern": "ändern.", "fusermount is.": "Fusermount is.",
	} {
		if got := sentenceText(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
