// SPDX-License-Identifier: MIT

//go:build desktop

package desktop

import (
	"bytes"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// random is data that does not compress, the same each time.
func random(n int) []byte {
	r := rand.NewChaCha8([32]byte{})
	b := make([]byte, n)
	_, _ = r.Read(b)
	return b
}

// ways are the ways to start a bundle file: by itself, and by glick; with nothing of Glick running, and with the session service.
func ways(t *testing.T, test func(t *testing.T, start func(file string, args ...string) *exec.Cmd)) {
	for _, service := range []bool{false, true} {
		name := "without service"
		if service {
			name = "with service"
		}
		t.Run(name, func(t *testing.T) {
			run, home := t.TempDir(), t.TempDir()
			if err := os.Chmod(run, 0o700); err != nil {
				t.Fatal(err)
			}
			env := []string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + home, "XDG_RUNTIME_DIR=" + run, "COLOUR=blue"}
			if service {
				startService(t, run, env)
			}
			for _, way := range []string{"itself", "glick run"} {
				t.Run(way, func(t *testing.T) {
					test(t, func(file string, args ...string) *exec.Cmd {
						cmd := exec.Command(file, args...)
						if way == "glick run" {
							cmd = exec.Command("glick", append([]string{"run", file, "--"}, args...)...)
						}
						cmd.Env = env
						return cmd
					})
				})
			}
		})
	}
}

func startService(t *testing.T, run string, env []string) {
	t.Helper()
	d := exec.Command("glickd")
	d.Env = env
	var log bytes.Buffer
	d.Stdout, d.Stderr = &log, &log
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = d.Process.Signal(syscall.SIGTERM)
		if err := d.Wait(); err != nil {
			t.Errorf("glickd ended badly: %v: %s", err, log.String())
		}
		if data, _ := os.ReadFile("/proc/self/mountinfo"); strings.Contains(string(data), run+"/") {
			t.Errorf("glickd left a mount below %s", run)
		}
	})
	socket := filepath.Join(run, "glick/socket")
	for range 100 {
		if _, err := os.Stat(socket); err == nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("glickd has not come up: %s", log.String())
}

func TestRun(t *testing.T) {
	t.Parallel()
	file := build(t, tree(t, `case "$1" in
	status) exit 42 ;;
	signal) kill -TERM $$ ;;
	args) shift; printf '<%s>' "$@" ;;
	stdin) cat ;;
	env) env ;;
	cwd) pwd ;;
	pid) echo $$ ;;
	tree) cat /opt/bundle/share/greeting ;;
	esac`))
	ways(t, func(t *testing.T, start func(string, ...string) *exec.Cmd) {
		output := func(t *testing.T, cmd *exec.Cmd) string {
			t.Helper()
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			if err != nil || stderr.Len() > 0 {
				t.Fatalf("%v; on standard error: %q", err, stderr.String())
			}
			return string(out)
		}
		expect := func(t *testing.T, got, want string) {
			t.Helper()
			if got != want {
				t.Errorf("got %q, not %q", got, want)
			}
		}
		t.Run("exit status", func(t *testing.T) {
			cmd := start(file, "status")
			_ = cmd.Run()
			if got := cmd.ProcessState.ExitCode(); got != 42 {
				t.Errorf("status %d", got)
			}
		})
		t.Run("death by signal", func(t *testing.T) {
			cmd := start(file, "signal")
			_ = cmd.Run()
			if s, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || s.Signal() != syscall.SIGTERM {
				t.Errorf("ended with %v", cmd.ProcessState)
			}
		})
		t.Run("arguments", func(t *testing.T) {
			expect(t, output(t, start(file, "args", "a b", "", "--help", "*", "ä\n")), "<a b><><--help><*><ä\n>")
		})
		t.Run("standard input", func(t *testing.T) {
			cmd := start(file, "stdin")
			data := random(1 << 20)
			cmd.Stdin = bytes.NewReader(data)
			expect(t, output(t, cmd), string(data))
		})
		t.Run("working directory", func(t *testing.T) {
			cmd := start(file, "cwd")
			cmd.Dir = t.TempDir()
			expect(t, output(t, cmd), cmd.Dir+"\n")
		})
		t.Run("process id", func(t *testing.T) {
			cmd := start(file, "pid")
			out := output(t, cmd)
			expect(t, strings.TrimSpace(out), strconv.Itoa(cmd.Process.Pid))
		})
		t.Run("environment", func(t *testing.T) {
			cmd := start(file, "env")
			cmd.Env = append(cmd.Env, "BUNDLE_ID=of.another")
			got := map[string]string{}
			for _, line := range strings.Split(strings.TrimSpace(output(t, cmd)), "\n") {
				k, v, _ := strings.Cut(line, "=")
				got[k] = v
			}
			for _, kv := range cmd.Env {
				k, v, _ := strings.Cut(kv, "=")
				if strings.HasPrefix(k, "BUNDLE_") {
					continue
				}
				if got[k] != v {
					t.Errorf("%s is %q, not %q", k, got[k], v)
				}
				delete(got, k)
			}
			expect(t, got["BUNDLE_ID"], "org.example.Report")
			expect(t, got["BUNDLE_FILE"], file)
			for _, k := range []string{"BUNDLE_ID", "BUNDLE_VERSION", "BUNDLE_FILE", "BUNDLE_PREFIX"} {
				if _, ok := got[k]; !ok {
					t.Errorf("no %s", k)
				}
				delete(got, k)
			}
			for _, shell := range []string{"PWD", "OLDPWD", "SHLVL", "_"} {
				delete(got, shell)
			}
			if len(got) > 0 {
				t.Errorf("more than that: %v", got)
			}
		})
		t.Run("tree at its prefix, and nowhere else", func(t *testing.T) {
			expect(t, output(t, start(file, "tree")), "hello from the bundle\n")
			if entries, _ := os.ReadDir("/opt/bundle"); len(entries) > 0 {
				t.Errorf("outside there is %v", entries)
			}
		})
	})
}
