// SPDX-License-Identifier: MIT

package apps

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/adrg/xdg"
	"golang.org/x/sys/unix"

	"glick.org/glick/internal/sample"
)

func wantOff(t *testing.T, what string, want ...Export) {
	t.Helper()
	if got := SwitchedOff(); !slices.Equal(got, want) {
		t.Errorf("%s: switched off are %q, want %q", what, got, want)
	}
	fresh()
	if got := SwitchedOff(); !slices.Equal(got, want) {
		t.Errorf("%s: for another process switched off are %q, want %q", what, got, want)
	}
}

func TestSetExports(t *testing.T) {
	newHome(t)
	file := exportsFile(knownFile())
	wantOff(t, "in the beginning")
	mustDo(t, SetExports(map[Export]bool{ExportFonts: true}))
	if _, err := os.Lstat(file); err == nil {
		t.Error("there is a file that says nothing")
	}
	mustDo(t, SetExports(map[Export]bool{ExportFonts: false}))
	mustDo(t, SetExports(map[Export]bool{ExportCommands: false, ExportFonts: false, ExportSearch: true}))
	wantOff(t, "two", ExportCommands, ExportFonts)
	if err := SetExports(map[Export]bool{ExportFonts: true, "nonsense": false}); err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("a kind that is none: %v", err)
	}
	wantOff(t, "still two", ExportCommands, ExportFonts)
	mustDo(t, SetExports(map[Export]bool{ExportFonts: true}))
	wantOff(t, "one", ExportCommands)
	if st, err := os.Stat(file); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", st, err)
	}
	mustDo(t, SetExports(map[Export]bool{ExportCommands: true}))
	wantOff(t, "none")
	if _, err := os.Lstat(file); err == nil {
		t.Error("there is a file that says nothing")
	}
	for _, e := range Exports() {
		mustDo(t, SetExports(map[Export]bool{e: false}))
	}
	wantOff(t, "all", Exports()...)
	// It stays small, whatever is done.
	for i := range 2 * slack {
		mustDo(t, SetExports(map[Export]bool{ExportFonts: i%2 == 0}))
	}
	data, err := os.ReadFile(file)
	if n := strings.Count(string(data), "\n"); err != nil || n > slack+1 {
		t.Errorf("%d lines, %v", n, err)
	}
	wantNames(t, filepath.Dir(file), filepath.Base(file))
}

// What is not known here, not ours, or cut short.
func TestExportsFileOfOthers(t *testing.T) {
	newHome(t)
	file := exportsFile(knownFile())
	put := func(text string, mode os.FileMode) {
		t.Helper()
		fresh()
		_ = os.Remove(file)
		mustDo(t, os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(text), 0o600), os.Chmod(file, mode))
	}
	problems := func() (all []string) {
		t.Helper()
		_, list, err := List()
		mustDo(t, err)
		for _, p := range list {
			if p.File != file {
				t.Errorf("problem of %s", p.File)
			}
			all = append(all, p.Err.Error())
		}
		return all
	}
	put(`{"off":["newer-kind","fonts"],"since":1}`+"\n"+`{"off":["comm`, 0o600)
	if got := SwitchedOff(); !slices.Equal(got, []Export{ExportFonts}) || len(problems()) != 0 {
		t.Errorf("%q, %q", got, problems())
	}
	mustDo(t, SetExports(map[Export]bool{ExportLinks: false, ExportFonts: true}))
	if data, _ := os.ReadFile(file); !strings.Contains(string(data), `{"off":["links","newer-kind"]}`) || strings.Contains(string(data), `"comm`) {
		t.Errorf("it says %s", data)
	}
	wantOff(t, "what is known of it", ExportLinks)

	for _, bad := range []string{`{"off":["fonts","../x"]}`, `{"off":"fonts"}`, `x`, `{"off":[""]}`, `{"off":["` + strings.Repeat("a", 100) + `"]}`} {
		put(`{"off":["fonts"]}`+"\n"+bad+"\n", 0o600)
		if got := SwitchedOff(); !slices.Equal(got, []Export{ExportFonts}) {
			t.Errorf("%s: %q", bad, got)
		}
		if p := problems(); len(p) != 1 || !strings.Contains(p[0], "1 lines cannot be read") {
			t.Errorf("%s: problems %q", bad, p)
		}
		mustDo(t, SetExports(map[Export]bool{ExportFonts: false})) // which is not new, and mends it
		if p := problems(); len(p) != 0 {
			t.Errorf("%s: problems %q", bad, p)
		}
		wantOff(t, bad, ExportFonts)
	}

	put(`{"off":["fonts"]}`+"\n", 0o666)
	if got := SwitchedOff(); len(got) > 0 {
		t.Errorf("others say what is switched off: %q", got)
	}
	if p := problems(); len(p) != 1 || !strings.Contains(p[0], "does not belong to you alone") {
		t.Errorf("problems %q", p)
	}
	if err := SetExports(map[Export]bool{ExportFonts: false}); !errors.Is(err, errJournal) {
		t.Errorf("set: %v", err)
	}
	mustDo(t, os.Remove(file), os.Symlink("/dev/zero", file))
	if got := SwitchedOff(); len(got) > 0 || len(problems()) != 1 {
		t.Errorf("%q, %q", got, problems())
	}
}

// Two processes that change different kinds at the same time both have their way.
func TestSetExportsAtOnce(t *testing.T) {
	newHome(t)
	var all sync.WaitGroup
	for _, e := range Exports() {
		all.Go(func() {
			l := newLibrary(settingsNow()) // as another process has it
			for i := range 21 {
				if err := l.switches.set(map[Export]bool{e: i%2 == 1}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	wantOff(t, "after all", Exports()...)
}

// switching switches some off and others on, where one is off before.
var switching = scenario{name: "switch", run: func(context.Context, string, string) error {
	return SetExports(map[Export]bool{ExportCommands: true, ExportFonts: false})
}}

// At every call that changes something the disk fails, or the process is killed: what is switched off is what was, or what is to be.
func TestSwitchingInterrupted(t *testing.T) {
	self, err := os.Executable()
	mustDo(t, err)
	inMemory(t)
	newHome(t)
	file := exportsFile(knownFile())
	before := `{"off":["commands"]}` + "\n"
	for _, long := range []bool{false, true} { // the file is written anew
		reset := func() {
			fresh()
			mustDo(t, os.RemoveAll(xdg.DataHome), os.MkdirAll(filepath.Dir(file), 0o700))
			text := before
			if long {
				text = strings.Repeat(before, slack)
			}
			mustDo(t, os.WriteFile(file, []byte(text), 0o600))
		}
		after := func(what string, done bool) {
			t.Helper()
			fresh()
			got := SwitchedOff()
			if !slices.Equal(got, []Export{ExportFonts}) && (done || !slices.Equal(got, []Export{ExportCommands})) {
				t.Errorf("%s: switched off are %q", what, got)
			}
			if _, problems, _ := List(); len(problems) > 0 {
				t.Errorf("%s: %v", what, problems)
			}
			mustDo(t, switching.run(t.Context(), "", ""))
			wantOff(t, what+", and again", ExportFonts)
		}
		for n, done := 1, false; !done; n++ {
			reset()
			calls, at := 0, ""
			stop := failing(t, func(op string) error {
				if calls++; calls == n {
					at = op
					return unix.ENOSPC
				}
				return nil
			})
			err := switching.run(t.Context(), "", "")
			stop()
			done = at == ""
			if err != nil && !errors.Is(err, unix.ENOSPC) {
				t.Errorf("call %d, %s: %v", n, at, err)
			}
			after(fmt.Sprintf("call %d, %s: %v", n, at, err), err == nil)
			if done && n < 3 {
				t.Errorf("only %d calls", n)
			}
		}
		for n, done := 1, false; !done; n++ {
			reset()
			cmd := exec.Command(self)
			cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s|%d|", killEnv, switching.name, n))
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			killed := errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == unix.SIGKILL
			if done = !killed; done && err != nil {
				t.Errorf("not killed at call %d: %v: %s", n, err, out)
			}
			after(fmt.Sprintf("killed before call %d", n), done)
		}
	}
}

// An exception is the id's, like what is started with the session, and not for who comes in its place.
func TestSetExcepted(t *testing.T) {
	home := newHome(t)
	is := func(want bool) {
		t.Helper()
		for range 2 {
			for _, a := range list(t) {
				if a.Excepted != want {
					t.Errorf("%s %s: everything is shown: %t", a.ID, a.Version, a.Excepted)
				}
			}
			fresh() // another process
		}
	}
	if err := SetExcepted(id, true); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is not there: %v", err)
	}
	mustDo(t, os.MkdirAll(home, 0o755))
	sample.Build(t, home, id, "1", sample.App(id))
	is(false)
	mustDo(t, SetExcepted(id, true), SetExcepted(id, true))
	is(true)
	mustDo(t, os.Remove(filepath.Join(home, id+"-1.bundle")))
	list(t)
	sample.Build(t, home, id, "2", sample.App(id))
	is(true)
	mustDo(t, SetAutostart(id, true), SetAutostart(id, false))
	is(true)
	mustDo(t, SetExcepted(id, false))
	is(false)
	mustDo(t, SetExcepted(id, true), Forget(id))
	is(false)
	mustDo(t, SetExcepted("org.example.None", false))
	if err := SetExcepted("no id", false); err == nil {
		t.Error("no id can be no exception")
	}
}
