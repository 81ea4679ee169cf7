// SPDX-License-Identifier: MIT

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"glick.org/glick/internal/sample"
	"glick.org/glick/runtime/launch"
)

// TestUsesAreNoted starts bundles with a real service: when installed ones ran last is noted until they are deleted, and nothing depends on that it can be.
func TestUsesAreNoted(t *testing.T) {
	stub, err := launch.StubPath(launch.Arch())
	if err != nil {
		t.Skip("there is no stub; set GLICK_STUB_DIR")
	}
	tree := sample.App(id)
	tree["bin/app"] = "#!/bin/sh\nprintf %s \"$BUNDLE_PREFIX\"\n[ $# = 0 ] || read line || :\n"
	dir := t.TempDir()
	built, other := sample.Build(t, dir, id, "1", tree), sample.Build(t, dir, "org.example.Other", "1", tree)
	for _, withBus := range []bool{true, false} {
		name := "without a bus"
		if withBus {
			name = "with a bus"
		}
		t.Run(name, func(t *testing.T) {
			h := newHome(t, withBus)
			_, log := h.start()
			file := filepath.Join(h.dir, "Apps", "sample.bundle")
			h.copy(built, file)
			h.eventually("the entry", func() bool { return h.exists(entry) })
			note := filepath.Join(h.dir, ".local/share/glick/used", id)
			used := func() time.Time {
				info, err := os.Lstat(note)
				if err != nil {
					return time.Time{}
				}
				return info.ModTime()
			}
			run := func() string { return h.run(stub, file) }
			h.eventually("the service serves", func() bool { return strings.Contains(h.run(stub, other), "/glick/fs/") })
			run()
			h.eventually("the note", func() bool { return !used().IsZero() })
			old := time.Now().Add(-48 * time.Hour)
			begin := time.Now()
			if err := os.Chtimes(note, old, old); err != nil {
				t.Fatal(err)
			}

			cmd := exec.Command(stub, file, "wait")
			cmd.Env = h.env
			in, err := cmd.StdinPipe()
			if err == nil {
				err = cmd.Start()
			}
			if err != nil {
				t.Fatal(err)
			}
			h.eventually("the note of the start", func() bool { return !used().Before(begin.Truncate(time.Second)) })
			// It was used as long as it ran.
			if err := os.Chtimes(note, old, old); err != nil {
				t.Fatal(err)
			}
			in.Close()
			if err := cmd.Wait(); err != nil {
				t.Error(err)
			}
			h.eventually("the note of the end", func() bool { return !used().Before(begin.Truncate(time.Second)) })

			if _, err := os.Lstat(filepath.Join(filepath.Dir(note), "org.example.Other")); err == nil {
				t.Error("the use of what is not installed is noted")
			}
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
			h.eventually("nothing is left", func() bool { return used().IsZero() && !h.exists(".local/share/glick/used") })
			h.copy(built, file)
			h.eventually("the entry again", func() bool { return h.exists(entry) })
			run()
			h.eventually("the note again", func() bool { return !used().IsZero() })

			// Where it cannot be noted, all else goes on.
			if err := os.RemoveAll(filepath.Dir(note)); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Dir(note), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if got := run(); !strings.Contains(got, "/glick/fs/") {
					t.Errorf("it says %q", got)
				}
			}
			h.eventually("the warning", func() bool { return strings.Count(log.String(), "used last is not remembered") == 1 })
		})
	}
}
