// SPDX-License-Identifier: MIT

package main

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/adrg/xdg"

	"glick.org/glick/runtime/doctor"
	"glick.org/glick/runtime/launch"
)

// TestDoctor examines this computer, with a session taken away. Bundles can be started wherever the tests run.
func TestDoctor(t *testing.T) {
	if os.Getenv("GLICK_STUB_DIR") == "" {
		dir := t.TempDir()
		cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w -E _rt0_glick", "-o", filepath.Join(dir, "stub-"+launch.Arch()), "glick.org/glick/cmd/glick-stub")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("cannot build the stub: %v: %s", err, out)
		}
		os.Chmod(dir, 0o755)
		t.Setenv("GLICK_STUB_DIR", dir)
	}
	home := t.TempDir()
	t.Cleanup(xdg.Reload) // cleanups run last to first: after the environment is as it was
	t.Setenv("HOME", home)
	for _, name := range []string{"XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_DATA_DIRS", "XDG_RUNTIME_DIR"} {
		t.Setenv(name, "")
	}
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/does/not/exist")
	xdg.Reload()

	code, out, errs := cli(t, "doctor", "--json")
	var f findings
	if err := json.Unmarshal([]byte(out), &f); err != nil || code != exitOK || errs != "" {
		t.Fatalf("%d %v %q\n%s", code, err, errs, out)
	}
	if f.Way != "self" || !f.CanStart || f.Version != version || len(f.Because) != 1 || f.Because[0] != "session-service" {
		t.Errorf("%+v", f)
	}
	states := map[string]string{}
	for _, c := range f.Checks {
		states[c.ID] = c.State
		if c.Title == "" || c.Detail == "" || c.Used == "" || utf8.RuneCountInString(c.Title) >= titleWidth {
			t.Errorf("%+v", c)
		}
	}
	for id, want := range map[string]string{"user-namespaces": "ok", "fuse-mount": "ok", "home": "ok", "data-home": "ok", "session-bus": "missing", "session-service": "missing"} {
		if states[id] != want {
			t.Errorf("%s is %s, want %s", id, states[id], want)
		}
	}
	// Nothing is left, and nothing was made.
	if left, err := os.ReadDir(home); err != nil || len(left) > 0 {
		t.Errorf("%v, %v", left, err)
	}

	code, out, errs = cli(t, "doctor")
	if code != exitOK || errs != "" || !strings.HasPrefix(out, "Bundles start here with namespaces and FUSE; each serves its own files.\n\n") {
		t.Errorf("%d %q\n%s", code, errs, out)
	}
}

func TestPrintFindings(t *testing.T) {
	checks := []doctor.Check{
		{ID: "a", Title: "First", State: doctor.OK, Detail: "All is well.", Used: "Not shown."},
		{ID: "b", Title: "Second", State: doctor.Missing, Detail: "In \x1b[31m/run/\u202euser\nthere is\tnothing that anybody could want, and that is a pity indeed.",
			Used: "Something else is done, which takes longer and needs much more than one line of text.", Mend: "As root: mkdir " + strings.Repeat("/folder", 11),
			Err: errors.New("not shown")},
	}
	var out strings.Builder
	if err := printFindings(&out, doctor.Decision{Summary: "Bundles start here. " + strings.Repeat("word ", 20)}, checks, false); err != nil {
		t.Fatal(err)
	}
	const want = `Bundles start here. word word word word word word word word word word word word
word word word word word word word word

ok        First               All is well.
missing   Second              In �[31m/run/�user�there is�nothing that anybody
                              could want, and that is a pity indeed.
          So: Something else is done, which takes longer and needs much more
            than one line of text.
          Mend: As root: mkdir
            /folder/folder/folder/folder/folder/folder/folder/folder/folder/folder/folder
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
	for line := range strings.Lines(out.String()) {
		if n := utf8.RuneCountInString(line) - 1; n > 80 && strings.Contains(strings.TrimSpace(line), " ") {
			t.Errorf("%d columns: %s", n, line)
		}
	}

	out.Reset()
	if err := printFindings(&out, doctor.Decision{}, checks[:1], true); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "\x1b[32mok        \x1b[0mFirst               All is well.\n") {
		t.Errorf("%q", out.String())
	}
}
