// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"glick.org/glick/internal/sample"
	"glick.org/glick/runtime/launch"
)

// TestBundleStartsService starts bundles while the service does not run: the bus starts it, and it serves them.
func TestBundleStartsService(t *testing.T) {
	stub, err := launch.StubPath(launch.Arch())
	if err != nil {
		t.Skip("there is no stub; set GLICK_STUB_DIR")
	}
	const id = "org.example.Sample"
	tree := sample.App(id)
	tree["bin/app"] = "#!/bin/sh\necho \"$BUNDLE_PREFIX\"\n"
	file := sample.Build(t, t.TempDir(), id, "1", tree)

	run := func(h *home) string {
		t.Helper()
		cmd := exec.Command(stub, file)
		cmd.Env = h.env
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("the bundle cannot be started: %v: %s", err, out)
		}
		return strings.TrimSpace(string(out))
	}

	t.Run("activatable", func(t *testing.T) {
		h := newHome(t, true)
		services := filepath.Join(h.dir, ".local/share/dbus-1/services")
		if err := os.MkdirAll(services, 0o755); err != nil {
			t.Fatal(err)
		}
		pidFile := filepath.Join(h.dir, "pid")
		script := filepath.Join(h.bin, "start-glickd")
		lines := "#!/bin/sh\necho $$ >" + pidFile + "\nexport GLICKD_TEST_SERVE=1\n"
		for _, kv := range h.env {
			lines += "export '" + kv + "'\n"
		}
		lines += "exec '" + filepath.Join(h.bin, "glickd") + "' 2>'" + filepath.Join(h.dir, "log") + "'\n"
		service := "[D-BUS Service]\nName=org.glick.Session\nExec=" + script + "\n"
		for name, content := range map[string]string{script: lines, filepath.Join(services, "org.glick.Session.service"): service} {
			if err := os.WriteFile(name, []byte(content), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := h.conn.BusObject().Call("org.freedesktop.DBus.ReloadConfig", 0).Err; err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			var pid int
			if text, err := os.ReadFile(pidFile); err == nil {
				_, _ = fmt.Sscan(string(text), &pid)
			}
			if pid > 0 {
				if p, err := os.FindProcess(pid); err == nil {
					_ = p.Signal(os.Interrupt)
				}
			}
			h.eventually("the service ends", func() bool {
				mounts, err := os.ReadFile("/proc/self/mountinfo")
				_, gone := os.Stat(fmt.Sprintf("/proc/%d/exe", pid))
				return err == nil && gone != nil && !strings.Contains(string(mounts), h.dir)
			})
			if t.Failed() {
				log, _ := os.ReadFile(filepath.Join(h.dir, "log"))
				t.Logf("%s", log)
			}
		})
		for range 2 {
			if prefix := run(h); !strings.HasSuffix(prefix, "/glick/fs/"+id+"-1") {
				t.Fatalf("its files are at %s: the service does not serve them", prefix)
			}
		}
	})
	t.Run("not activatable", func(t *testing.T) {
		h := newHome(t, true)
		begin := time.Now()
		if prefix := run(h); !strings.HasPrefix(prefix, "/proc/") {
			t.Errorf("its files are at %s: who serves them?", prefix)
		}
		if took := time.Since(begin); took > 4*time.Second {
			t.Errorf("it has waited %v for a service that is not there", took)
		}
	})
}
