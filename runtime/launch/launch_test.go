// SPDX-License-Identifier: MIT

package launch_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"glick.org/glick/bundle"
	"glick.org/glick/runtime/hold"
	"glick.org/glick/runtime/launch"
	"glick.org/glick/runtime/session"
)

// reporter is the name under which the test program is a bundle's program: it tells what a program sees.
const reporter = "report"

func TestMain(m *testing.M) {
	if os.Args[0] == hold.Marker {
		if hold.Main(os.Args) != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	if len(os.Args) == 3 && os.Args[1] == serviceName {
		switch err := serve(os.Args[2]); {
		case errors.Is(err, session.ErrReplaced):
			os.Exit(exitReplaced)
		case err != nil:
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if len(os.Args) > 3 && os.Args[1] == filteredName {
		fmt.Fprintln(os.Stderr, filtered(os.Args[2], os.Args[3:]))
		os.Exit(1)
	}
	if filepath.Base(os.Args[0]) == reporter {
		os.Exit(report(os.Args[1:]))
	}
	code := m.Run()
	if stubDir != "" {
		os.RemoveAll(stubDir)
	}
	os.Exit(code)
}

// seen is what a program sees of itself.
type seen struct {
	PID    int
	Args   []string
	Env    []string
	Dir    string
	Stdin  string
	Files  map[string]string // descriptor → what it is
	Status map[string]string // lines of /proc/self/status that a launcher could spoil
	Limits string
}

func report(args []string) int {
	if len(args) == 3 && args[0] == "verify" {
		return verify(args[1], args[2])
	}
	if len(args) > 1 && args[0] == "outside" {
		return outside(args[1:])
	}
	s := seen{PID: os.Getpid(), Args: os.Args, Env: os.Environ(), Files: map[string]string{}, Status: map[string]string{}}
	s.Dir, _ = os.Getwd()
	in, _ := io.ReadAll(os.Stdin)
	s.Stdin = string(in)
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		target, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err == nil && !strings.HasPrefix(target, "anon_inode:") && !strings.HasSuffix(target, "/fd") {
			s.Files[e.Name()] = target
		}
	}
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if slices.Contains([]string{"SigBlk", "SigIgn", "Umask", "Uid", "Gid", "PPid", "NoNewPrivs"}, key) {
			s.Status[key] = strings.TrimSpace(value)
		}
	}
	limits, _ := os.ReadFile("/proc/self/limits")
	s.Limits = string(limits)
	json.NewEncoder(os.Stdout).Encode(s)
	if len(args) > 0 {
		if n, err := strconv.Atoi(args[0]); err == nil {
			return n
		}
	}
	return 0
}

var (
	stubOnce sync.Once
	stubDir  string
	stubErr  error
)

// stub gives the bytes of the stub program: those of $GLICK_STUB_DIR, or freshly built ones.
func stub(t *testing.T) []byte {
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
	path, err := launch.StubPath(launch.Arch())
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// folder is a temporary one that other users could enter as well.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "glick-test")
	if err != nil {
		t.Fatal(err)
	}
	os.Chmod(dir, 0o755)
	t.Cleanup(func() {
		noLeftovers(t, dir)
		os.RemoveAll(dir)
	})
	return dir
}

// noLeftovers waits until no process serves a bundle below dir, and nothing is mounted there.
func noLeftovers(t *testing.T, dir string) {
	t.Helper()
	var left []string
	for range 100 {
		left = nil
		lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, l := range lines {
			if b, err := os.ReadFile(l); err == nil && bytes.HasPrefix(b, []byte("glick:")) && bytes.Contains(b, []byte(dir)) {
				left = append(left, string(b))
			}
		}
		mounts, _ := os.ReadFile("/proc/self/mountinfo")
		for line := range strings.Lines(string(mounts)) {
			if strings.Contains(line, dir) {
				left = append(left, line)
			}
		}
		if left == nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Errorf("left over: %q", left)
}

// tree writes a tree: names that end in "*" are executable, values that begin with "-> " are links.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(folder(t), "tree")
	for name, content := range files {
		mode := os.FileMode(0o644)
		if n, ok := strings.CutSuffix(name, "*"); ok {
			name, mode = n, 0o755
		}
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, ok := strings.CutPrefix(content, "-> "); ok {
			err = os.Symlink(target, path)
		} else if err = os.WriteFile(path, []byte(content), mode); err == nil {
			err = os.Chmod(path, mode)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// makeBundle makes a bundle whose main program is bin/report, unless exec says otherwise.
func makeBundle(t *testing.T, files map[string]string, change func(*bundle.BuildOptions)) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{"bin/" + reporter + "*": string(program)}
	for k, v := range files {
		all[k] = v
	}
	o := bundle.BuildOptions{ID: "org.example.Test", Version: "1.2", Name: "Test", Exec: "bin/" + reporter, Arch: launch.Arch(), Stub: stub(t)}
	if change != nil {
		change(&o)
	}
	file := filepath.Join(folder(t), "X.bundle")
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bundle.Build(t.Context(), f, tree(t, all), o); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Chmod(0o755), f.Close()); err != nil {
		t.Fatal(err)
	}
	return file
}

// way is a way in which a bundle's files are served.
type way struct {
	name string
	env  []string
	log  *lockedBuffer // of the service
	fast *atomic.Int32 // how many plans the service has made for processes on the fast way
	pool *session.Pool // what is installed
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// allWays runs a test without a session service, with one that makes no plans, and with one that does.
func allWays(t *testing.T, test func(t *testing.T, w way)) {
	t.Run("self", func(t *testing.T) { test(t, way{name: "self"}) })
	t.Run("service", func(t *testing.T) { test(t, service(t, nil)) })
	t.Run("fast", func(t *testing.T) {
		w := service(t, launch.Answer)
		test(t, w)
		// Root's processes keep to the plain way.
		if made := w.fast.Load(); (made > 0) != (os.Geteuid() != 0) {
			t.Errorf("the service has made %d plans: %s", made, w.log)
		}
	})
}

func service(t *testing.T, plan func(*bundle.Tree, session.Request) ([]byte, error)) way {
	t.Helper()
	run := folder(t)
	os.Chmod(run, 0o700)
	t.Setenv("XDG_RUNTIME_DIR", run)
	w := way{name: "service", env: []string{"XDG_RUNTIME_DIR=" + run}, log: new(lockedBuffer), fast: new(atomic.Int32), pool: new(session.Pool)}
	o := session.Options{Installed: w.pool, Log: slog.New(slog.NewTextHandler(w.log, nil)), Drain: 5 * time.Second}
	if plan != nil {
		o.Plan = func(t *bundle.Tree, r session.Request) ([]byte, error) {
			image, err := plan(t, r)
			if err == nil {
				w.fast.Add(1)
			}
			return image, err
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready := make(chan struct{})
	o.Ready = func() { close(ready) }
	done := make(chan error, 1)
	go func() { done <- session.Serve(ctx, o) }()
	select {
	case <-ready:
	case err := <-done:
		cancel()
		t.Fatalf("the service ended: %v", err)
	}
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the service failed: %v", err)
		}
	})
	return w
}

// command makes a command with only the variables that the test knows.
func command(w way, name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Env = append([]string{"PATH=/usr/bin:/bin", "LANG=C"}, w.env...)
	return cmd
}

// finish runs a command and returns its output, its messages and its exit status.
func finish(t *testing.T, cmd *exec.Cmd) (string, string, int) {
	t.Helper()
	var out, messages bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &messages
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), messages.String(), cmd.ProcessState.ExitCode()
}

func decode(t *testing.T, out string) seen {
	t.Helper()
	var s seen
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		t.Fatalf("the program has not reported: %v: %q", err, out)
	}
	return s
}

func TestProgramSeesItsCaller(t *testing.T) {
	file := makeBundle(t, nil, nil)
	dir := t.TempDir()
	native := filepath.Join(folder(t), reporter)
	self, _ := os.Executable()
	if err := os.Link(self, native); err != nil {
		b, _ := os.ReadFile(self)
		if err := os.WriteFile(native, b, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	allWays(t, func(t *testing.T, w way) {
		// The shell makes a state that careless launchers change; what the program sees must be what it sees without one.
		const script = `trap '' USR1 PIPE TERM HUP; umask 027; ulimit -n 200; exec 7</dev/zero; exec "$@"`
		start := func(program string) (seen, int, int) {
			cmd := command(w, "sh", "-c", script, "sh", program, "42", "a b", "", "--glick", "*")
			cmd.Env = append(cmd.Env, "GLICK_EXEC=bin/"+reporter, "BUNDLE_ID=old", "BUNDLE_GEMFILE=kept", "ODD=a=b\nc", "LC_ALL=")
			cmd.Dir = dir
			cmd.Stdin = strings.NewReader("some\x00input")
			var out bytes.Buffer
			cmd.Stdout = &out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			pid := cmd.Process.Pid
			cmd.Wait()
			return decode(t, out.String()), cmd.ProcessState.ExitCode(), pid
		}
		want, _, _ := start(native)
		got, status, pid := start(file)

		if status != 42 {
			t.Errorf("exit status %d, want 42", status)
		}
		if got.PID != pid {
			t.Errorf("the program is process %d, its caller started %d", got.PID, pid)
		}
		if wantArgs := append([]string{"/opt/bundle/bin/" + reporter}, want.Args[1:]...); !slices.Equal(got.Args, wantArgs) {
			t.Errorf("arguments %q, want %q", got.Args, wantArgs)
		}
		if got.Stdin != "some\x00input" || got.Dir != dir {
			t.Errorf("input %q in %s", got.Stdin, got.Dir)
		}
		prefix := "/proc/" + strconv.Itoa(pid) + "/root/opt/bundle"
		if w.name == "service" {
			prefix = strings.TrimPrefix(w.env[0], "XDG_RUNTIME_DIR=") + "/glick/fs/org.example.Test-1"
		}
		var env []string
		for _, kv := range want.Env {
			if !strings.HasPrefix(kv, "GLICK_EXEC=") && !strings.HasPrefix(kv, "BUNDLE_ID=") {
				env = append(env, kv)
			}
		}
		env = append(env, "BUNDLE_ID=org.example.Test", "BUNDLE_VERSION=1.2", "BUNDLE_FILE="+file, "BUNDLE_PREFIX="+prefix)
		slices.Sort(env)
		slices.Sort(got.Env)
		if !slices.Equal(got.Env, env) {
			t.Errorf("environment\n%q, want\n%q", got.Env, env)
		}
		for _, s := range []*seen{&want, &got} {
			for n := range s.Files {
				if n == "0" || n == "1" {
					delete(s.Files, n) // pipes of their own
				}
			}
		}
		if fmt.Sprint(got.Files) != fmt.Sprint(want.Files) {
			t.Errorf("open files %v, want %v", got.Files, want.Files)
		}
		if fmt.Sprint(got.Status) != fmt.Sprint(want.Status) {
			t.Errorf("state %v, want %v", got.Status, want.Status)
		}
		if got.Limits != want.Limits {
			t.Errorf("limits\n%s, want\n%s", got.Limits, want.Limits)
		}
	})
}

func TestDeathBySignal(t *testing.T) {
	file := makeBundle(t, map[string]string{"bin/die*": "#!/bin/sh\nkill -TERM $$\n"}, nil)
	allWays(t, func(t *testing.T, w way) {
		cmd := command(w, file)
		cmd.Env = append(cmd.Env, "GLICK_EXEC=bin/die")
		cmd.Run()
		status := cmd.ProcessState.Sys().(syscall.WaitStatus)
		if !status.Signaled() || status.Signal() != syscall.SIGTERM {
			t.Errorf("ended with %v, want SIGTERM", cmd.ProcessState)
		}
	})
}

func TestRunnerStartsFiles(t *testing.T) {
	file := makeBundle(t, nil, nil)
	allWays(t, func(t *testing.T, w way) {
		argv, err := launch.Argv(filepath.Base(file), []string{"3", "x"})
		if err != nil {
			t.Fatal(err)
		}
		cmd := command(w, argv[0], argv[1:]...)
		cmd.Dir = filepath.Dir(file)
		out, messages, status := finish(t, cmd)
		if got := decode(t, out); status != 3 || messages != "" || !slices.Contains(got.Env, "BUNDLE_FILE="+file) {
			t.Errorf("status %d, %q, %q", status, messages, got.Env)
		}
	})
}

func TestPrefixIsPrivate(t *testing.T) {
	if _, err := os.Stat("/opt/bundle/bin"); err == nil {
		t.Skip("this computer has a folder /opt/bundle/bin of its own")
	}
	file := makeBundle(t, map[string]string{"share/data": "content", "bin/wait*": "#!/bin/sh\ncat /opt/bundle/share/data; read x; cat $x\n"}, nil)
	allWays(t, func(t *testing.T, w way) {
		before, _ := os.ReadFile("/proc/self/mountinfo")
		cmd := command(w, file)
		cmd.Env = append(cmd.Env, "GLICK_EXEC=bin/wait")
		in, _ := cmd.StdinPipe()
		out, _ := cmd.StdoutPipe()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer cmd.Wait()
		defer in.Close()
		buf := make([]byte, 7)
		if _, err := io.ReadFull(out, buf); err != nil || string(buf) != "content" {
			t.Fatalf("inside: %q, %v", buf, err)
		}
		if _, err := os.Stat("/opt/bundle/share"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the prefix shows something outside: %v", err)
		}
		if after, _ := os.ReadFile("/proc/self/mountinfo"); string(after) != string(before) {
			t.Errorf("mounts outside changed:\n%s", after)
		}
		// Others reach the files by BUNDLE_PREFIX.
		fmt.Fprintln(in, "/proc/self/environ")
		env, _ := io.ReadAll(out)
		for kv := range strings.SplitSeq(string(env), "\x00") {
			if prefix, ok := strings.CutPrefix(kv, "BUNDLE_PREFIX="); ok && w.name == "service" {
				// The instance is ending now; its folder must be gone soon.
				for range 100 {
					if _, err := os.Stat(prefix); err != nil {
						return
					}
					time.Sleep(20 * time.Millisecond)
				}
				t.Errorf("%s is still there", prefix)
			}
		}
	})
}

func TestBundlePrefixShowsFiles(t *testing.T) {
	file := makeBundle(t, map[string]string{"share/data": "content", "bin/wait*": "#!/bin/sh\necho $BUNDLE_PREFIX; read x\n"}, nil)
	allWays(t, func(t *testing.T, w way) {
		cmd := command(w, file)
		cmd.Env = append(cmd.Env, "GLICK_EXEC=bin/wait")
		in, _ := cmd.StdinPipe()
		out, _ := cmd.StdoutPipe()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer cmd.Wait()
		defer in.Close()
		buf := make([]byte, 4096)
		n, _ := out.Read(buf)
		b, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(buf[:n])), "share/data"))
		if err != nil || string(b) != "content" {
			t.Errorf("%q, %v", b, err)
		}
	})
}

func TestDaemonKeepsInstance(t *testing.T) {
	// A process that has left its parent, its session and its files behind still sees the bundle; then all is gone.
	file := makeBundle(t, map[string]string{"share/data": "content",
		"bin/daemon*": "#!/bin/sh\n(setsid sh -c 'exec >/dev/null 2>&1 </dev/null; cd /; sleep 1; cat /opt/bundle/share/data >'\"$1\" &)\n"}, nil)
	allWays(t, func(t *testing.T, w way) {
		result := filepath.Join(t.TempDir(), "result")
		cmd := command(w, file, result)
		cmd.Env = append(cmd.Env, "GLICK_EXEC=bin/daemon")
		if _, messages, status := finish(t, cmd); status != 0 {
			t.Fatal(status, messages)
		}
		if w.name == "service" {
			if list, err := session.Instances(t.Context()); err != nil || len(list) != 1 || list[0].ID != "org.example.Test" || list[0].File != file {
				t.Errorf("instances %+v, %v", list, err)
			}
		}
		time.Sleep(1500 * time.Millisecond)
		if b, err := os.ReadFile(result); string(b) != "content" {
			t.Errorf("the daemon saw %q, %v", b, err)
		}
		if w.name == "service" {
			if list, err := session.Instances(t.Context()); err != nil || len(list) != 0 {
				t.Errorf("instances %+v, %v", list, err)
			}
		}
		noLeftovers(t, file)
	})
}

func TestOneInodePerContent(t *testing.T) {
	w := service(t, launch.Answer)
	script := "#!/bin/sh\ncd /opt/bundle; stat -c %d:%i lib/same lib/other lib; read x\n"
	var got []string
	for i := range 2 {
		id := fmt.Sprintf("org.example.Test%d", i)
		file := makeBundle(t, map[string]string{"lib/same": "equal content", "lib/other": id, "bin/inodes*": script},
			func(o *bundle.BuildOptions) { o.ID = id })
		cmd := command(w, file)
		cmd.Env = append(cmd.Env, "GLICK_EXEC=bin/inodes")
		in, _ := cmd.StdinPipe()
		out, _ := cmd.StdoutPipe()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer cmd.Wait()
		defer in.Close()
		buf := make([]byte, 4096)
		n, _ := out.Read(buf)
		for len(strings.Fields(string(buf[:n]))) < 3 {
			more, err := out.Read(buf[n:])
			if err != nil {
				t.Fatal(err)
			}
			n += more
		}
		got = append(got, strings.Fields(string(buf[:n]))...)
	}
	if got[0] != got[3] || got[1] == got[4] || got[2] == got[5] {
		t.Errorf("same, other, folder of both bundles: %q", got)
	}
}

func TestTwoInstancesOfOneBundle(t *testing.T) {
	w := service(t, launch.Answer)
	file := makeBundle(t, map[string]string{"bin/wait*": "#!/bin/sh\necho $BUNDLE_PREFIX; read x; cat /opt/bundle/share/data\n", "share/data": "content"}, nil)
	var ends []func() string
	for i := range 3 {
		cmd := command(w, file)
		cmd.Env = append(cmd.Env, "GLICK_EXEC=bin/wait")
		in, _ := cmd.StdinPipe()
		out, _ := cmd.StdoutPipe()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 4096)
		n, _ := out.Read(buf)
		if got, want := strings.TrimSpace(filepath.Base(string(buf[:n]))), fmt.Sprintf("org.example.Test-%d", i+1); got != want {
			t.Errorf("folder %q, want %q", got, want)
		}
		ends = append(ends, func() string {
			in.Close()
			b, _ := io.ReadAll(out)
			cmd.Wait()
			return string(b)
		})
	}
	// The end of one does not disturb the others.
	for _, end := range ends {
		if got := end(); got != "content" {
			t.Errorf("saw %q", got)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func TestUsrOverlay(t *testing.T) {
	file := makeBundle(t, map[string]string{"share/glick-test/data": "content", "bin/try*": "#!/bin/sh\ncat /usr/share/glick-test/data; ls /usr/bin/env; cat > /dev/null\n"},
		func(o *bundle.BuildOptions) { o.Prefix = "/usr" })
	allWays(t, func(t *testing.T, w way) {
		cmd := command(w, file)
		cmd.Env = append(cmd.Env, "GLICK_EXEC=bin/try")
		out, messages, status := finish(t, cmd)
		if out != "content/usr/bin/env\n" || messages != "" || status != 0 {
			t.Errorf("%q, %q, %d", out, messages, status)
		}
	})
}

// TestUsrWithMounts: a host may have other file systems below /usr. The kernel lets no overlay be made of folders with mounts
// of another namespace in them, and an overlay would not show them.
func TestUsrWithMounts(t *testing.T) {
	file := makeBundle(t, map[string]string{
		"share/glick-test/data": "content", "local/glick-test": "ours\n", "glick-link": "-> share/glick-test",
		"bin/try*": "#!/bin/sh\ncat /usr/glick-link/data; ls /usr/bin/env; cat /usr/local/there /usr/local/glick-test /usr/share/$1/there; touch /usr/x 2>/dev/null || echo sealed\n",
	}, func(o *bundle.BuildOptions) { o.Prefix = "/usr" })
	const script = `
		mount -t tmpfs none /usr/local; echo local >/usr/local/there
		d=$(ls -d /usr/share/*/ | head -n 1); mount -t tmpfs none "$d"; echo share >"$d/there"
		export GLICK_EXEC=bin/try
		$2 "$1" "$(basename "$d")"`
	for _, how := range []struct{ name, command string }{
		{"locked", "setpriv --bounding-set=-all,+setfcap --inh-caps=-all"}, {"own", ""}} {
		t.Run(how.name, func(t *testing.T) {
			out, messages, status := inNamespace(t, way{}, script, file, how.command)
			if out != "content/usr/bin/env\nlocal\nours\nshare\nsealed\n" || messages != "" || status != 0 {
				t.Errorf("%q, %q, %d", out, messages, status)
			}
		})
	}
}

func TestOtherPrefixes(t *testing.T) {
	for _, prefix := range []string{"/glick-nowhere/deep/prefix", "/opt/glick-test/app", "/srv", "/var/lib/glick-test"} {
		t.Run(strings.ReplaceAll(prefix[1:], "/", "-"), func(t *testing.T) {
			file := makeBundle(t, map[string]string{"share/data": "content", "bin/try*": "#!/bin/sh\ncat \"${0%/bin/try}/share/data\"; ls -d /usr /etc /dev/null; pwd\n"},
				func(o *bundle.BuildOptions) { o.Prefix = prefix })
			allWays(t, func(t *testing.T, w way) {
				dir := t.TempDir()
				cmd := command(w, file)
				cmd.Dir = dir
				cmd.Env = append(cmd.Env, "GLICK_EXEC=bin/try")
				out, messages, status := finish(t, cmd)
				if out != "content/dev/null\n/etc\n/usr\n"+dir+"\n" || messages != "" || status != 0 {
					t.Errorf("%q, %q, %d", out, messages, status)
				}
				if strings.Contains(prefix, "glick") {
					if _, err := os.Stat(prefix); err == nil {
						t.Errorf("%s is there now", prefix)
					}
				}
			})
		})
	}
}

func TestRefusals(t *testing.T) {
	good := makeBundle(t, map[string]string{
		"bin/plain": "no program", "bin/folder/x": "", "bin/loader*": "#!/nowhere/interpreter\n", "bin/garbage*": "\x7fELF garbage",
		"bin/gone*": "-> nowhere",
	}, nil)
	content, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, b []byte, mode os.FileMode) string {
		path := filepath.Join(folder(t), name)
		if err := os.WriteFile(path, b, mode); err != nil {
			t.Fatal(err)
		}
		os.Chmod(path, mode)
		return path
	}
	foreignArch := "aarch64"
	if runtime.GOARCH == "arm64" {
		foreignArch = "x86_64"
	}
	runner, err := launch.StubPath(launch.Arch())
	if err != nil {
		t.Fatal(err)
	}
	pipe := filepath.Join(folder(t), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		argv   []string
		exec   string
		status int
		says   string
	}{
		{"missing program", []string{good}, "bin/none", 127, "there is no program /opt/bundle/bin/none"},
		{"dangling link", []string{good}, "bin/gone", 127, "there is no program"},
		{"file as folder", []string{good}, "bin/plain/x", 127, "there is no program"},
		{"outside", []string{good}, "../../bin/sh", 127, "not the path of a program"},
		{"absolute", []string{good}, "/bin/sh", 127, "not the path of a program"},
		{"not executable", []string{good}, "bin/plain", 126, "is not executable"},
		{"folder", []string{good}, "bin/folder", 126, "is a folder"},
		{"interpreter", []string{good}, "bin/loader", 126, "needs an interpreter"},
		{"garbage", []string{good}, "bin/garbage", 126, "cannot execute"},
		{"no file", []string{runner, "/nowhere/X.bundle"}, "", 125, "no such file"},
		{"nothing", []string{runner}, "", 125, "no bundle file"},
		{"no bundle", []string{runner, "/etc/passwd"}, "", 125, "not a bundle"},
		{"folder as bundle", []string{runner, "/etc"}, "", 125, "not a bundle"},
		{"pipe", []string{runner, pipe}, "", 125, "not a bundle"},
		{"truncated", []string{runner, write("cut", content[:len(content)*2/3], 0o644)}, "", 125, "cut"},
		{"truncated, itself", []string{write("cut", content[:len(content)-100], 0o755)}, "", 125, "cannot start"},
		{"empty", []string{runner, write("empty", nil, 0o644)}, "", 125, "not a bundle"},
	}
	if os.Geteuid() != 0 {
		tests = append(tests, struct {
			name   string
			argv   []string
			exec   string
			status int
			says   string
		}{"unreadable", []string{runner, write("secret", content, 0o000)}, "", 125, "permission denied"})
	}
	foreign := foreignBundle(t, foreignArch)
	if foreign != "" {
		tests = append(tests, struct {
			name   string
			argv   []string
			exec   string
			status int
			says   string
		}{"foreign", []string{runner, foreign}, "", 126, "another processor"})
	}
	allWays(t, func(t *testing.T, w way) {
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				cmd := command(w, test.argv[0], test.argv[1:]...)
				if test.exec != "" {
					cmd.Env = append(cmd.Env, "GLICK_EXEC="+test.exec)
				}
				out, messages, status := finish(t, cmd)
				if status != test.status || out != "" || !strings.Contains(messages, test.says) ||
					!strings.HasPrefix(messages, "glick: ") || strings.Count(messages, "\n") != 1 {
					t.Errorf("status %d, want %d: %q", status, test.status, messages)
				}
			})
		}
	})
}

// foreignBundle makes a bundle for another processor, from that one's stub when it has been built.
func foreignBundle(t *testing.T, arch string) string {
	path, err := launch.StubPath(arch)
	if err != nil {
		t.Logf("the stub for %s is not built, so a bundle for it is not tried", arch)
		return ""
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return makeBundle(t, map[string]string{"bin/script*": "#!/bin/sh\n"}, func(o *bundle.BuildOptions) { o.Arch, o.Stub, o.Exec = arch, b, "bin/script" })
}

func TestDamagedContentIsAnError(t *testing.T) {
	marker := strings.Repeat("marked content that is long enough to find ", 40)
	rnd := make([]byte, 400000) // more than what shares a chunk with other files
	for i := range rnd {        // not compressible, so it is stored as it is
		rnd[i] = byte((i * i * 31) >> (i % 11))
	}
	file := makeBundle(t, map[string]string{"share/bad": marker + string(rnd), "bin/try*": "#!/bin/sh\ncat /opt/bundle/share/bad >/dev/null || echo failed\ncat /opt/bundle/share/good\n", "share/good": "good"}, nil)
	content, _ := os.ReadFile(file)
	b, err := bundle.Read(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	tr, err := b.Tree()
	if err != nil {
		t.Fatal(err)
	}
	n, _ := tr.Find("share/bad")
	c, _, err := tr.ChunkAt(n, 1000)
	if err != nil {
		t.Fatal(err)
	}
	var data bundle.Section
	for _, s := range b.Sections() {
		if s.Name == ".glick.data" {
			data = s
		}
	}
	at := data.Offset + b.Manifest().Slices[c.Slice].DataOffset + c.Offset + int64(c.Stored)/2
	content[at] ^= 1
	os.Remove(file) // what runs now keeps its file
	if err := os.WriteFile(file, content, 0o755); err != nil {
		t.Fatal(err)
	}
	allWays(t, func(t *testing.T, w way) {
		cmd := command(w, file)
		cmd.Env = append(cmd.Env, "GLICK_EXEC=bin/try")
		out, messages, status := finish(t, cmd)
		if out != "failed\ngood" || !strings.Contains(messages, "Input/output error") || status != 0 {
			t.Errorf("%q, %q, %d", out, messages, status)
		}
		if w.log != nil && (!strings.Contains(w.log.String(), "share/bad") || !strings.Contains(w.log.String(), file)) {
			t.Errorf("the log does not name the file: %s", w.log)
		}
	})
}

// dropAll is the end of a script that executes its argument without any capabilities.
const dropAll = `exec setpriv --bounding-set=-all --inh-caps=-all `

// asOther is dropAll by way of a user who is not root.
const asOther = `exec unshare --user --map-user=1000 --map-group=1000 `

// inNamespace runs a shell script as root of a user namespace of its own, where it may mount.
func inNamespace(t *testing.T, w way, script string, args ...string) (string, string, int) {
	t.Helper()
	for _, program := range []string{"unshare", "setpriv"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("this computer has no %s", program)
		}
	}
	return finish(t, command(w, "unshare", append([]string{"--user", "--map-root-user", "--mount", "--propagation", "shared", "sh", "-c", script, "sh"}, args...)...))
}

// TestMissingFacilities takes away what starting a bundle needs. As long as there is a place for its files it starts all the same;
// without one, the message says what is missing, and what can be done.
func TestMissingFacilities(t *testing.T) {
	file := makeBundle(t, map[string]string{"share/text": "content"}, nil)
	all := func(t *testing.T, w way) {
		for _, test := range []struct{ name, script, at, says, hint string }{
			{"no user namespaces", `echo 0 >/proc/sys/user/max_user_namespaces; `, "/proc/self/fd/1023", "does not allow new user namespaces", "user.max_user_namespaces"},
			{"no fuse", `mount -t tmpfs none /dev; `, "/opt/bundle", "has no /dev/fuse", "modprobe fuse"},
			{"fuse for root only", `mount -t tmpfs none /mnt; touch /mnt/fuse; chmod 000 /mnt/fuse; mount --bind /mnt/fuse /dev/fuse; `, "/opt/bundle", "/dev/fuse cannot be used", "chmod 0666"},
			{"neither", `echo 0 >/proc/sys/user/max_user_namespaces; mount -t tmpfs none /dev; `, "/proc/self/fd/1023", "has no /dev/fuse", "modprobe fuse"},
		} {
			t.Run(test.name, func(t *testing.T) {
				home := folder(t)
				t.Cleanup(func() { exec.Command("chmod", "-R", "u+w", home).Run() })
				drop := dropAll
				if test.at != "/proc/self/fd/1023" {
					// The kernel lets root without capabilities have no namespaces in which it is root.
					drop = asOther
				}
				script := test.script + drop + `"$@"`
				for range 2 { // the second time everything is unpacked
					withHome := w
					withHome.env = append(slices.Clone(w.env), "HOME="+home)
					out, messages, status := inNamespace(t, withHome, script, file, "7", "a b", "")
					if status != 7 || messages != "" {
						t.Fatalf("status %d: %q", status, messages)
					}
					s := decode(t, out)
					if want := []string{test.at + "/bin/" + reporter, "7", "a b", ""}; !slices.Equal(s.Args, want) {
						t.Errorf("arguments %q, want %q", s.Args, want)
					}
					i := slices.IndexFunc(s.Env, func(v string) bool { return strings.HasPrefix(v, "BUNDLE_PREFIX=") })
					if i < 0 {
						t.Fatalf("no prefix in %q", s.Env)
					}
					text, err := os.ReadFile(strings.TrimPrefix(s.Env[i], "BUNDLE_PREFIX=") + "/share/text")
					if err != nil || string(text) != "content" {
						t.Errorf("%q (%v)", text, err)
					}
				}
				w := w
				w.env = slices.DeleteFunc(slices.Clone(w.env), func(v string) bool { return strings.HasPrefix(v, "XDG_RUNTIME_DIR=") })
				out, messages, status := inNamespace(t, w, script, file)
				if status != 125 || out != "" || !strings.Contains(messages, test.says) || !strings.Contains(messages, test.hint) || !strings.HasPrefix(messages, "glick: cannot start "+file) {
					t.Errorf("status %d: %q", status, messages)
				}
			})
		}
	}
	t.Run("self", func(t *testing.T) { all(t, way{name: "self"}) })
	t.Run("service", func(t *testing.T) { all(t, service(t, launch.Answer)) })
}

// TestUnpackedOnce: two that start at the same time use the same folder; one that was left in the midst is made anew, and one
// that nobody has started for long goes.
func TestUnpackedOnce(t *testing.T) {
	file := makeBundle(t, nil, nil)
	home := folder(t)
	t.Cleanup(func() { exec.Command("chmod", "-R", "u+w", home).Run() })
	w := way{env: []string{"HOME=" + home}}
	start := func() {
		if _, messages, status := inNamespace(t, w, `mount -t tmpfs none /dev; `+asOther+`"$1"`, file); status != 0 || messages != "" {
			t.Errorf("status %d: %q", status, messages)
		}
	}
	var both sync.WaitGroup
	both.Go(start)
	both.Go(start)
	both.Wait()
	trees := filepath.Join(home, ".cache/glick/trees")
	marks := must(filepath.Glob(trees + "/*.used"))
	if len(marks) != 1 {
		t.Fatalf("%q", marks)
	}
	tree := strings.TrimSuffix(marks[0], ".used")

	os.Remove(marks[0])
	os.Chmod(filepath.Join(tree, "bin"), 0o700)
	if err := os.Remove(filepath.Join(tree, "bin", reporter)); err != nil {
		t.Fatal(err)
	}
	old := filepath.Join(trees, "old")
	long := time.Now().Add(-40 * 24 * time.Hour)
	if err := errors.Join(os.Mkdir(old, 0o500), os.WriteFile(old+".used", nil, 0o600), os.Chtimes(old+".used", long, long)); err != nil {
		t.Fatal(err)
	}
	start()
	if _, err := os.Stat(old); err == nil {
		t.Error("a tree that was not used for long is still there")
	}

	os.Chmod(trees, 0o777)
	if _, messages, status := inNamespace(t, w, `mount -t tmpfs none /dev; `+asOther+`"$1"`, file); status != 125 || !strings.Contains(messages, "others can write") {
		t.Errorf("status %d: %q", status, messages)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestLaterMountsAreSeen(t *testing.T) {
	// The host of this test is a namespace whose mounts are shared, as a host's are, and which may mount. The bundle runs in
	// it with the host's capabilities or without any.
	file := makeBundle(t, map[string]string{"share/data": "content",
		"bin/wait*": "#!/bin/sh\nread x\ncat \"$1\"/later/hello; cat /opt/bundle/share/data; read x\ncat /opt/bundle/share/data\n"}, nil)
	const script = `
		mkdir -p "$2/later"; mkfifo "$2/in"
		# A host may have the prefix, and mount something on it.
		mount -t tmpfs none /opt; mkdir -p /opt/bundle
		export GLICK_EXEC=bin/wait
		$3 "$1" "$2" <"$2/in" & program=$!
		exec 9>"$2/in"
		sleep 0.5
		mount -t tmpfs none "$2/later"; echo hello >"$2/later/hello"
		echo go >&9
		sleep 0.3
		mount -t tmpfs none /opt/bundle; umount /opt/bundle
		echo go >&9
		wait $program; status=$?
		umount "$2/later"
		exit $status`
	for _, how := range []struct{ name, command string }{
		// Without this one capability the kernel maps root into no further namespace.
		{"without capabilities", "setpriv --bounding-set=-all,+setfcap --inh-caps=-all"}, {"with capabilities", ""}} {
		t.Run(how.name, func(t *testing.T) {
			dir := folder(t)
			out, messages, status := inNamespace(t, way{}, script, file, dir, how.command)
			if out != "hello\ncontentcontent" || status != 0 {
				t.Errorf("%q, %q, %d", out, messages, status)
			}
		})
	}
}

func TestServerOutlivesTerminal(t *testing.T) {
	// A hangup of the terminal reaches neither the server's process group nor its session.
	file := makeBundle(t, map[string]string{"share/data": "content", "bin/try*": "#!/bin/sh\ntrap '' HUP; kill -HUP 0; sleep 0.2; cat /opt/bundle/share/data\n"}, nil)
	cmd := command(way{}, file)
	cmd.Env = append(cmd.Env, "GLICK_EXEC=bin/try")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if out, messages, status := finish(t, cmd); out != "content" || status != 0 {
		t.Errorf("%q, %q, %d", out, messages, status)
	}
}

func TestShell(t *testing.T) {
	stub(t)
	if os.Getenv("GLICK_TEST_SHELL") != "" {
		p, err := launch.Shell(os.Getenv("GLICK_TEST_SHELL"), "/opt/bundle", []string{"hello", "a b"})
		if err != nil {
			t.Fatal(err)
		}
		path, _ := launch.StubPath(launch.Arch())
		t.Fatal(p.Run(path))
	}
	dir := tree(t, map[string]string{"bin/hello*": "#!/bin/sh\necho hello from $0 \"$@\"; echo x >/opt/bundle/made\n"})
	cmd := exec.Command(must(os.Executable()), "-test.run=^TestShell$")
	cmd.Env = append(os.Environ(), "GLICK_TEST_SHELL="+dir)
	out, messages, status := finish(t, cmd)
	if out != "hello from /opt/bundle/bin/hello a b\n" || status != 0 {
		t.Errorf("%q, %q, %d", out, messages, status)
	}
	if _, err := os.Stat(filepath.Join(dir, "made")); err != nil {
		t.Error(err)
	}
}

func TestManyStarts(t *testing.T) {
	file := makeBundle(t, map[string]string{"bin/true*": "#!/bin/sh\ntest -f /opt/bundle/bin/true\n"}, nil)
	allWays(t, func(t *testing.T, w way) {
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for range 10 {
					cmd := command(w, file)
					cmd.Env = append(cmd.Env, "GLICK_EXEC=bin/true")
					if out, err := cmd.CombinedOutput(); err != nil {
						t.Errorf("%v: %s", err, out)
					}
				}
			})
		}
		all.Wait()
	})
}
