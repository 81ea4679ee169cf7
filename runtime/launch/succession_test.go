// SPDX-License-Identifier: MIT

package launch_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"glick.org/glick/runtime/hold"
	"glick.org/glick/runtime/launch"
	"glick.org/glick/runtime/session"
)

// serviceName is the name under which the test program is a session service; its first argument is the mode.
const serviceName = "test-service"

const (
	modeServe   = "serve"
	modeLinger  = "linger"
	modeReplace = "replace"
)

// exitReplaced is the status of a service that another one has replaced.
const exitReplaced = 7

// serve is the service of these tests: it writes its process id where the test finds it.
func serve(mode string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	dir := os.Getenv("XDG_RUNTIME_DIR")
	logFile, err := os.OpenFile(filepath.Join(dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return session.Serve(ctx, session.Options{
		Log:  slog.New(slog.NewTextHandler(logFile, nil)),
		Plan: launch.Answer,
		// The holder gives no other first argument than the program's path.
		Succession: &session.Succession{Command: []string{self, serviceName, modeServe}, Last: []string{self, serviceName, modeLinger}, Env: os.Environ()},
		Replace:    mode == modeReplace,
		Linger:     mode == modeLinger,
		Ready: func() {
			_ = os.WriteFile(filepath.Join(dir, "pid.new"), []byte(strconv.Itoa(os.Getpid())), 0o600)
			_ = os.Rename(filepath.Join(dir, "pid.new"), filepath.Join(dir, "pid"))
		},
	})
}

// verified is what a reader has seen.
type verified struct {
	Reads, Errors int
	Longest       time.Duration
}

// verify reads the files of a folder, whose names are the digests of their contents, until the file stop exists.
func verify(dir, stop string) int {
	var v verified
	entries, err := os.ReadDir(dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for {
		if _, err := os.Stat(stop); err == nil {
			break
		}
		e := entries[rand.IntN(len(entries))]
		begin := time.Now()
		sum, err := readAnew(filepath.Join(dir, e.Name()))
		v.Longest = max(v.Longest, time.Since(begin))
		v.Reads++
		if v.Reads == 1 {
			_ = os.WriteFile(fmt.Sprintf("%s.%d", stop, os.Getpid()), nil, 0o600)
		}
		if err != nil || sum != e.Name() {
			fmt.Fprintln(os.Stderr, e.Name(), sum, err)
			v.Errors++
		}
	}
	json.NewEncoder(os.Stdout).Encode(v)
	return 0
}

// readAnew reads a file that the kernel has forgotten before, as far as it does.
func readAnew(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// succession is a session whose services come and go.
type succession struct {
	t    *testing.T
	run  string // XDG_RUNTIME_DIR
	self string
}

func newSuccession(t *testing.T) *succession {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := &succession{t, folder(t), self}
	os.Chmod(s.run, 0o700)
	t.Setenv("XDG_RUNTIME_DIR", s.run)
	t.Cleanup(func() {
		if t.Failed() {
			text, _ := os.ReadFile(filepath.Join(s.run, "log"))
			t.Logf("the services said:\n%s", text)
		}
		s.clean()
	})
	return s
}

// clean ends what is left of the session, when a test has failed.
func (s *succession) clean() {
	for _, pid := range s.processes() {
		s.t.Errorf("left running: %d", pid)
		syscall.Kill(pid, syscall.SIGKILL)
	}
	exec.Command("fusermount3", "-u", "-z", filepath.Join(s.run, "glick/fs")).Run()
}

// processes lists the services and holders of the session.
func (s *succession) processes() []int {
	var list []int
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range all {
		line, _ := os.ReadFile(p + "/cmdline")
		env, _ := os.ReadFile(p + "/environ")
		if strings.Contains(string(line), s.run) && strings.HasPrefix(string(line), hold.Marker) ||
			strings.Contains(string(line), "\x00"+serviceName+"\x00") && strings.Contains("\x00"+string(env), "\x00XDG_RUNTIME_DIR="+s.run+"\x00") {
			pid, _ := strconv.Atoi(filepath.Base(p))
			list = append(list, pid)
		}
	}
	return list
}

func (s *succession) until(what string, ask func() bool) {
	s.t.Helper()
	for limit := time.Now().Add(30 * time.Second); !ask(); {
		if time.Now().After(limit) {
			s.t.Fatalf("not so within 30 seconds: %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// service waits for another service than the one with this process id.
func (s *succession) service(than int) (pid int) {
	s.t.Helper()
	s.until("another service runs", func() bool {
		text, _ := os.ReadFile(filepath.Join(s.run, "pid"))
		pid, _ = strconv.Atoi(string(text))
		return pid != 0 && pid != than
	})
	return pid
}

func (s *succession) start(mode string) *exec.Cmd {
	s.t.Helper()
	cmd := exec.Command(s.self, serviceName, mode)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	return cmd
}

// readers starts instances that read until the returned function is called, which then gives what they have seen.
func (s *succession) readers(n int) func() []verified {
	s.t.Helper()
	const files = 20
	content := map[string]string{}
	for range files {
		raw := make([]byte, 200<<10)
		for i := range raw {
			raw[i] = byte(rand.Uint32())
		}
		sum := sha256.Sum256(raw)
		content["data/"+hex.EncodeToString(sum[:])] = string(raw)
	}
	file := makeBundle(s.t, content, nil)
	stop := filepath.Join(s.run, "stop")
	os.Remove(stop)
	var outs []*strings.Builder
	var cmds []*exec.Cmd
	for range n {
		cmd := exec.Command(file, "verify", "/opt/bundle/data", stop)
		cmd.Env = []string{"PATH=/usr/bin:/bin", "XDG_RUNTIME_DIR=" + s.run}
		out := new(strings.Builder)
		cmd.Stdout, cmd.Stderr = out, os.Stderr
		if err := cmd.Start(); err != nil {
			s.t.Fatal(err)
		}
		cmds, outs = append(cmds, cmd), append(outs, out)
	}
	s.until("all instances read", func() bool {
		list, _ := filepath.Glob(stop + ".*")
		return len(list) >= n
	})
	return func() []verified {
		s.t.Helper()
		if err := os.WriteFile(stop, nil, 0o600); err != nil {
			s.t.Fatal(err)
		}
		all := make([]verified, n)
		for i, cmd := range cmds {
			if err := cmd.Wait(); err != nil {
				s.t.Errorf("a reader has failed: %v", err)
			}
			if err := json.Unmarshal([]byte(outs[i].String()), &all[i]); err != nil || all[i].Errors > 0 || all[i].Reads == 0 {
				s.t.Errorf("a reader has seen %+v (%v)", all[i], err)
			}
		}
		return all
	}
}

// gone waits until nothing of the session runs any more.
func (s *succession) gone() {
	s.t.Helper()
	s.until("nothing of the session runs", func() bool { return len(s.processes()) == 0 })
}

// TestServiceIsKilled kills the service again and again while instances read.
func TestServiceIsKilled(t *testing.T) {
	s := newSuccession(t)
	first := s.start(modeServe)
	pid := s.service(0)
	end := s.readers(3)
	before, _ := session.Instances(t.Context())
	for range 4 {
		time.Sleep(300 * time.Millisecond)
		syscall.Kill(pid, syscall.SIGKILL)
		pid = s.service(pid)
	}
	first.Wait()
	after, err := session.Instances(t.Context())
	slices.SortFunc(before, func(a, b session.Instance) int { return strings.Compare(a.Prefix, b.Prefix) })
	slices.SortFunc(after, func(a, b session.Instance) int { return strings.Compare(a.Prefix, b.Prefix) })
	if err != nil || len(after) != len(before) {
		t.Fatalf("before: %v; after: %v (%v)", before, after, err)
	}
	for i := range after {
		if !after[i].Started.Equal(before[i].Started) {
			t.Errorf("started at %v, later at %v", before[i].Started, after[i].Started)
		}
		after[i].Started = before[i].Started
		if after[i] != before[i] {
			t.Errorf("before: %v; after: %v", before[i], after[i])
		}
	}
	t.Logf("%+v", end())
	s.until("the service knows that all have ended", func() bool {
		list, err := session.Instances(t.Context())
		return err == nil && len(list) == 0
	})
	// It serves new ones like the first did.
	if out, err := exec.Command(makeBundle(t, nil, nil), "0").CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	// Also with nothing running it comes back; asked to end, it ends.
	syscall.Kill(pid, syscall.SIGKILL)
	syscall.Kill(s.service(pid), syscall.SIGTERM)
	s.gone()
}

// TestServiceIsAskedToEnd: what runs goes on, and what serves it ends with it.
func TestServiceIsAskedToEnd(t *testing.T) {
	s := newSuccession(t)
	first := s.start(modeServe)
	pid := s.service(0)
	end := s.readers(2)
	syscall.Kill(pid, syscall.SIGTERM)
	if err := first.Wait(); err != nil {
		t.Error(err)
	}
	pid = s.service(pid)
	time.Sleep(200 * time.Millisecond)
	// A new service takes over from one that only lingers, without being told to replace it.
	second := s.start(modeServe)
	if next := s.service(pid); next != second.Process.Pid {
		t.Errorf("%d serves, not %d", next, second.Process.Pid)
	}
	syscall.Kill(second.Process.Pid, syscall.SIGTERM)
	second.Wait()
	s.service(second.Process.Pid)
	time.Sleep(200 * time.Millisecond)
	t.Logf("%+v", end())
	s.gone()
}

// TestServiceIsReplaced: a new version takes over. Without being told so, a second service ends.
func TestServiceIsReplaced(t *testing.T) {
	s := newSuccession(t)
	first := s.start(modeServe)
	s.service(0)
	end := s.readers(2)
	if err := session.Serve(t.Context(), session.Options{}); !errors.Is(err, session.ErrRunning) {
		t.Errorf("a second service: %v", err)
	}
	second := s.start(modeReplace)
	if err := first.Wait(); err == nil || first.ProcessState.ExitCode() != exitReplaced {
		t.Errorf("the first service: %v", err)
	}
	if pid := s.service(first.Process.Pid); pid != second.Process.Pid {
		t.Errorf("%d serves, not %d", pid, second.Process.Pid)
	}
	time.Sleep(300 * time.Millisecond)
	t.Logf("%+v", end())
	s.until("the service knows that all have ended", func() bool {
		list, err := session.Instances(t.Context())
		return err == nil && len(list) == 0
	})
	syscall.Kill(second.Process.Pid, syscall.SIGTERM)
	if err := second.Wait(); err != nil {
		t.Error(err)
	}
	s.gone()
}

// TestHolderIsKilled: the service starts another holder, and can be killed afterwards.
func TestHolderIsKilled(t *testing.T) {
	s := newSuccession(t)
	first := s.start(modeServe)
	pid := s.service(0)
	end := s.readers(2)
	holder := func() int {
		for _, p := range s.processes() {
			if p != pid {
				return p
			}
		}
		return 0
	}
	old := holder()
	syscall.Kill(old, syscall.SIGKILL)
	s.until("there is another holder, with everything", func() bool {
		text, _ := os.ReadFile(filepath.Join(s.run, "log"))
		h := holder()
		return h != 0 && h != old && strings.Contains(string(text), "another holder has")
	})
	syscall.Kill(pid, syscall.SIGKILL)
	first.Wait()
	pid = s.service(pid)
	time.Sleep(200 * time.Millisecond)
	t.Logf("%+v", end())
	syscall.Kill(pid, syscall.SIGTERM)
	s.gone()
}
