// SPDX-License-Identifier: MIT

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The units for all users are valid, and what they allow is next to nothing.
func TestSystemUnits(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "glick")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"glick-system-sync.service.in", "glick-system-sync.path"} {
		text, err := os.ReadFile(filepath.Join("../../data", name))
		if err != nil {
			t.Fatal(err)
		}
		unit := strings.ReplaceAll(string(text), "@bindir@", dir)
		if err := os.WriteFile(filepath.Join(dir, strings.TrimSuffix(name, ".in")), []byte(unit), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	service, path := filepath.Join(dir, "glick-system-sync.service"), filepath.Join(dir, "glick-system-sync.path")
	// Only what it says of our own units counts: those of this computer are none of our business.
	out, err := exec.Command(analyze, "verify", "--man=no", service, path).CombinedOutput()
	if err != nil && strings.Contains(string(out), "glick-system-sync") || strings.Contains(string(out), dir) {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err := exec.Command(analyze, "security", "--offline=yes", "--threshold=20", service).CombinedOutput(); err != nil {
		t.Errorf("it may do too much: %v\n%s", err, out)
	}
}
