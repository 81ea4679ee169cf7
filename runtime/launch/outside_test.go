// SPDX-License-Identifier: MIT

package launch_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"glick.org/glick/runtime/launch"
	"glick.org/glick/runtime/session"
)

// outside is a bundle's program that has another one started outside of its instance.
func outside(args []string) int {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	dir, _ := os.Getwd()
	o := session.Outside{Args: args, Dir: dir, Env: launch.WithoutBundle(os.Environ())}
	status, err := session.RunOutside(o, [3]*os.File{os.Stdin, os.Stdout, os.Stderr}, signals)
	var failure *session.OutsideError
	switch {
	case errors.As(err, &failure):
		fmt.Fprintln(os.Stderr, err)
		return failure.Status
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		return 125
	case status.Signaled():
		return 100 + int(status.Signal())
	}
	return status.ExitStatus()
}

func TestOutside(t *testing.T) {
	file := makeBundle(t, nil, nil)
	w := service(t, launch.Answer)
	here, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		t.Fatal(err)
	}
	dir := folder(t)
	run := func(args ...string) (string, string, int) {
		cmd := command(w, file, append([]string{"outside"}, args...)...)
		cmd.Dir = dir
		cmd.Stdin = strings.NewReader("input")
		return finish(t, cmd)
	}
	out, messages, status := run("sh", "-c", `readlink /proc/$$/ns/mnt; pwd; cat; echo; env | grep -c BUNDLE_; echo message >&2; exit 42`)
	if want := here + "\n" + dir + "\ninput\n0\n"; out != want || messages != "message\n" || status != 42 {
		t.Errorf("%q, %q, %d; want %q", out, messages, status, want)
	}
	if _, _, status := run("sh", "-c", "kill -KILL $$"); status != 109 {
		t.Errorf("killed: %d", status)
	}
	if _, messages, status := run("no-such-program"); status != 127 || !strings.Contains(messages, "no-such-program") {
		t.Errorf("%q, %d", messages, status)
	}
	if _, messages, status := run("/etc/passwd"); status != 126 || strings.Count(messages, "/etc/passwd") != 1 {
		t.Errorf("%q, %d", messages, status)
	}
	// It need not be short.
	if out, _, status := run("sh", "-c", `echo ${#1}`, "sh", strings.Repeat("x", 100_000)); out != "100000\n" || status != 0 {
		t.Errorf("%q, %d", out, status)
	}

	// A signal gets there; and what was started outside does not keep the instance.
	cmd := command(w, file, "outside", "sh", "-c", `trap 'echo caught; exit 7' TERM; echo ready; while :; do sleep 0.05; done`)
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(stdout)
	if line, _ := lines.ReadString('\n'); line != "ready\n" {
		t.Fatalf("%q", line)
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	if line, _ := lines.ReadString('\n'); line != "caught\n" {
		t.Errorf("%q", line)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 7 {
		t.Errorf("%v, want status 7", err)
	}
	pidFile := filepath.Join(dir, "pid")
	if _, messages, status := run("sh", "-c", `sleep 60 >/dev/null 2>&1 <&1 & echo $! >`+pidFile); status != 0 {
		t.Errorf("%q, %d", messages, status)
	}
	text, err := os.ReadFile(pidFile)
	var pid int
	if _, scanErr := fmt.Sscan(string(text), &pid); err != nil || scanErr != nil {
		t.Fatal(err, scanErr)
	}
	defer func() { _ = syscall.Kill(pid, syscall.SIGKILL) }()
	// service's cleanup, with the rest of the test, fails when an instance is left.
}

func TestOutsideWithoutService(t *testing.T) {
	file := makeBundle(t, nil, nil)
	cmd := command(way{env: []string{"XDG_RUNTIME_DIR=" + folder(t), "DBUS_SESSION_BUS_ADDRESS=unix:path=/does/not/exist"}}, file, "outside", "true")
	if _, messages, status := finish(t, cmd); status != 125 || !strings.Contains(messages, "not running") {
		t.Errorf("%q, %d", messages, status)
	}
}
