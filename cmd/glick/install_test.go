// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/adrg/xdg"

	"glick.org/glick/internal/sample"
)

// cli runs a command line in this process.
func cli(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	root := newRootCommand()
	root.SetOut(&out)
	root.SetErr(&err)
	root.SetArgs(args)
	cmd, failure := root.ExecuteContextC(t.Context())
	if failure != nil {
		code = reportError(&err, cmd, failure)
	}
	return code, out.String(), err.String()
}

// Without any session: no bus, no service.
func TestInstallListUninstall(t *testing.T) {
	home := t.TempDir()
	t.Cleanup(xdg.Reload) // cleanups run last to first: after the environment is as it was
	t.Setenv("HOME", home)
	for _, name := range []string{"XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR"} {
		t.Setenv(name, "")
	}
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/does/not/exist")
	// Entries need a glick to start.
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "glick"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	xdg.Reload()

	const id = "org.example.Sample"
	src := sample.Build(t, t.TempDir(), id, "1.0", sample.App(id))
	broken := filepath.Join(t.TempDir(), "broken")
	if err := os.WriteFile(broken, []byte("no"), 0o600); err != nil {
		t.Fatal(err)
	}
	entry := filepath.Join(home, ".local/share/applications", id+".desktop")

	code, out, errs := cli(t, "install", broken, src)
	if code != exitDamaged || !strings.HasPrefix(out, "Installed Sample 1.0 as ") || strings.Count(errs, "\n") != 1 || !strings.HasPrefix(errs, "glick: cannot install ") {
		t.Errorf("install: %d %q %q", code, out, errs)
	}
	if _, err := os.Stat(entry); err != nil {
		t.Error(err)
	}
	code, out, errs = cli(t, "list", "--json")
	var listed []map[string]any
	if err := json.Unmarshal([]byte(out), &listed); err != nil || code != 0 || errs != "" || len(listed) != 1 || listed[0]["id"] != id {
		t.Errorf("list: %d %q %q %v", code, out, errs, err)
	}
	if code, out, _ = cli(t, "list"); code != 0 || !strings.Contains(out, id+"  1.0") {
		t.Errorf("list: %d %q", code, out)
	}
	code, out, errs = cli(t, "uninstall", id)
	if code != 0 || out != "Uninstalled Sample 1.0\n" || errs != "" {
		t.Errorf("uninstall: %d %q %q", code, out, errs)
	}
	if _, err := os.Stat(entry); err == nil {
		t.Error("the entry is still there")
	}
	for _, c := range []struct {
		want int
		args []string
	}{
		{exitNotFound, []string{"uninstall", id}}, {exitNotFound, []string{"install", "/does/not/exist"}}, {exitUsage, []string{"install"}},
		{exitUsage, []string{"list", "x"}}, {exitUsage, []string{"install", "--nonsense", src}}, {exitFailed, []string{"uninstall", src}},
	} {
		if code, _, errs := cli(t, c.args...); code != c.want || errs == "" {
			t.Errorf("%q: %d %q", c.args, code, errs)
		}
	}
	if code, out, _ := cli(t, "list", "--json"); code != 0 || strings.TrimSpace(out) != "[]" {
		t.Errorf("list: %d %q", code, out)
	}
}
