// SPDX-License-Identifier: MIT

package apps

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/adrg/xdg"
	"golang.org/x/sys/unix"
)

func mustAdd(t *testing.T, path string) {
	t.Helper()
	if got, err := AddFolder(path); err != nil || got != path {
		t.Fatal(got, err)
	}
}

func mkdir(t *testing.T, parts ...string) string {
	t.Helper()
	dir := filepath.Join(parts...)
	mustDo(t, os.MkdirAll(dir, 0o755))
	return dir
}

func TestAddFolderRules(t *testing.T) {
	home := newHome(t)
	user, places := filepath.Dir(home), t.TempDir()
	mkdir(t, home, "inside")
	mkdir(t, user, "Downloads")
	added := mkdir(t, places, "added")
	mkdir(t, places, "added", "inside")
	open := mkdir(t, places, "open")
	mkdir(t, open, "below")
	mustDo(t, os.Chmod(open, 0o777))
	severalInGroup(t)
	group := mkdir(t, places, "group")
	mustDo(t, os.Chmod(group, 0o775))
	mustDo(t, os.WriteFile(filepath.Join(places, "file"), nil, 0o600))
	mustDo(t, os.Symlink(home, filepath.Join(places, "to-home")), os.Symlink(open, filepath.Join(places, "to-open")))
	mkdir(t, places, "\xff")
	mustAdd(t, added)
	for _, c := range []struct {
		path string
		want error // nil for any
		says string
	}{
		{"relative", nil, "slash"},
		{"", nil, "slash"},
		{filepath.Join(places, "none"), fs.ErrNotExist, ""},
		{filepath.Join(places, "file"), unix.ENOTDIR, "not a folder"},
		{"/", ErrUnsuitable, "whole system"},
		{"/..", ErrUnsuitable, "whole system"},
		{user, ErrUnsuitable, "your home"},
		{filepath.Dir(user), ErrUnsuitable, "lies inside of it"},
		{filepath.Join(user, "Downloads"), ErrUnsuitable, "browser"},
		{home, fs.ErrExist, "already"},
		{filepath.Join(places, "to-home"), fs.ErrExist, "already"},
		{filepath.Join(home, "inside"), ErrUnsuitable, "inside of"},
		{added, fs.ErrExist, "already"},
		{added + "/../added/", fs.ErrExist, "already"},
		{filepath.Join(added, "inside"), ErrUnsuitable, "inside of"},
		{places, ErrUnsuitable, "lies inside of it"},
		{open, ErrStrangers, "mode is 0777"},
		{filepath.Join(places, "to-open"), ErrStrangers, "mode is 0777"},
		{filepath.Join(open, "below"), ErrStrangers, "in which it lies"},
		{group, ErrStrangers, "go-w"},
		{"/dev/shm", ErrStrangers, ""},
		{filepath.Join(places, "\xff"), ErrName, ""},
	} {
		_, err := AddFolder(c.path)
		if err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) || !strings.HasPrefix(err.Error(), "cannot add the folder ") {
			t.Errorf("%q: %v, want %v", c.path, err, c.want)
		}
		if strings.Count(err.Error(), "\n") > 0 || errors.Is(err, ErrStrangers) != errors.Is(err, fs.ErrPermission) {
			t.Errorf("%q: %v", c.path, err)
		}
	}
	if got, want := Folders(), []string{home, added, systemFolders[0]}; !slices.Equal(got, want) {
		t.Errorf("folders: %q, want %q", got, want)
	}
	for i := range maxAdded - 1 {
		mustAdd(t, mkdir(t, places, "many", strconv.Itoa(i)))
	}
	if _, err := AddFolder(mkdir(t, places, "one-more")); !errors.Is(err, ErrTooMany) {
		t.Errorf("one too many: %v", err)
	}
	for path, want := range map[string]error{home: nil, systemFolders[0]: nil, places: fs.ErrNotExist, "/": fs.ErrNotExist} {
		if err := RemoveFolder(path); err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("removing %s: %v", path, err)
		}
	}
	for _, path := range Folders()[1 : 1+maxAdded] {
		mustDo(t, RemoveFolder(path+"/"))
	}
	if got := Folders(); len(got) != 2 {
		t.Errorf("left: %q", got)
	}
	if _, err := os.Lstat(foldersFile()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file is left: %v", err)
	}
}

// What lies in a folder that was added is installed, and the user's own; what is installed goes to ~/Apps all the same.
func TestAddedFolder(t *testing.T) {
	home := newHome(t)
	added := mkdir(t, t.TempDir(), "disk", "apps")
	file := filepath.Join(added, "a.bundle")
	mustDo(t, os.Rename(build(t, added, id, "1", nil), file))
	if all := list(t); len(all) != 0 {
		t.Fatalf("before: %+v", all)
	}
	mustAdd(t, added)
	if all := list(t); len(all) != 1 || all[0].File != file || all[0].System || !all[0].Default {
		t.Fatalf("added: %+v", all)
	}
	fresh() // another process
	if all := list(t); len(all) != 1 || !OwnFolder(added) || !OwnFolder(home) || OwnFolder(systemFolders[0]) {
		t.Fatalf("another process: %+v", all)
	}
	second := mustInstall(t, build(t, t.TempDir(), id, "2", nil), InstallOptions{})
	if filepath.Dir(second.File) != home || len(list(t)) != 2 {
		t.Errorf("installed %+v, there are %+v", second, list(t))
	}

	undo, err := Uninstall(t.Context(), file)
	mustDo(t, err)
	if all := list(t); len(all) != 1 {
		t.Errorf("uninstalled: %+v", all)
	}
	if held := Clean(); held != 1 {
		t.Errorf("%d files are held", held)
	}
	mustDo(t, undo())
	if all := list(t); len(all) != 2 {
		t.Errorf("brought back: %+v", all)
	}
	mustDo(t, os.WriteFile(filepath.Join(added, removedPrefix+"1-0-x"), nil, 0o600))
	mustDo(t, Remove(t.Context(), file))
	if left := names(t, added); len(left) != 0 {
		t.Errorf("left: %q", left)
	}

	mustDo(t, os.Rename(build(t, added, "org.example.Other", "1", nil), file), RemoveFolder(added))
	if all := list(t); len(all) != 1 || all[0].File != second.File {
		t.Errorf("removed: %+v", all)
	}
	wantNames(t, added, "a.bundle")
	if err := Remove(t.Context(), file); err == nil {
		t.Error("a file of a folder that is none any more was uninstalled")
	}
}

// A folder stays safe, or is not used.
func TestAddedFolderOfStrangers(t *testing.T) {
	newHome(t)
	disk := mkdir(t, t.TempDir(), "disk")
	added := mkdir(t, disk, "apps")
	file := build(t, added, id, "1", nil)
	mustAdd(t, added)
	refused := func(what, where string) {
		t.Helper()
		fresh()
		all, problems, err := List()
		if err != nil || len(all) > 0 || len(problems) != 1 || problems[0].File != where {
			t.Errorf("%s: %+v, %v, %v", what, all, problems, err)
			return
		}
		if states := FolderStates(); (states[1].Err != nil) != (where == added) || !states[1].There || !states[1].Added {
			t.Errorf("%s: %+v", what, states)
		}
	}
	good := func() {
		t.Helper()
		fresh()
		if all := list(t); len(all) != 1 {
			t.Errorf("%+v", all)
		}
	}
	good()
	mustDo(t, os.Chmod(added, 0o777))
	refused("a folder for all", added)
	mustDo(t, os.Chmod(added, 0o755))
	good()
	mustDo(t, os.Chmod(disk, 0o777))
	refused("the one above", added)
	mustDo(t, os.Chmod(disk, 0o777|os.ModeSticky))
	good()
	mustDo(t, os.Chmod(file, 0o777))
	refused("a file", file)
	mustDo(t, os.Chmod(file, 0o755))
	good()
	mustDo(t, os.Chmod(file, 0o775), os.Chmod(added, 0o775))
	aloneInGroup(t)
	good()
	severalInGroup(t)
	refused("a folder for a group", added)
	mustDo(t, os.Chmod(added, 0o755))
	refused("a file for a group", file)
	mustDo(t, os.Chmod(file, 0o755))
	good()
	mustDo(t, os.Rename(disk, disk+"2"), os.Symlink(disk+"2", disk))
	refused("a link on the way", added)
}

// What is in the file is the user's, but is not believed blindly.
func TestFoldersFile(t *testing.T) {
	home := newHome(t)
	places := t.TempDir()
	one, two := mkdir(t, places, "one"), mkdir(t, places, "two")
	mkdir(t, filepath.Dir(foldersFile()))
	write := func(mode os.FileMode, lines ...string) []Problem {
		t.Helper()
		mustDo(t, os.WriteFile(foldersFile(), []byte(strings.Join(lines, "\n")), 0o600), os.Chmod(foldersFile(), mode))
		fresh()
		_, problems, err := List()
		mustDo(t, err)
		return problems
	}
	line := func(path string) string { return strings.TrimSuffix(string(folderRecord{path}.line()), "\n") }
	folders := func(want ...string) {
		t.Helper()
		if got := Folders(); !slices.Equal(got, append(append([]string{home}, want...), systemFolders...)) {
			t.Errorf("folders: %q, want %q", got, want)
		}
	}
	problems := write(0o600, `{"folder":"`+one+`","later":1}`, "{", "[]", line("/"), line(home), line(filepath.Dir(home)), line("relative"), line(two+"/."),
		line(one), line(two), line(places+"/cut short"))
	folders(one, two)
	if len(problems) != 1 || problems[0].File != foldersFile() || !strings.HasPrefix(problems[0].Err.Error(), "8 lines ") {
		t.Errorf("%v", problems)
	}
	// The next change leaves what could be read.
	mustDo(t, RemoveFolder(one))
	folders(two)
	if got := string(readFile(t, foldersFile())); got != line(two)+"\n" {
		t.Errorf("the file says %s", got)
	}
	var many []string
	for i := range 1000 {
		many = append(many, line(filepath.Join(places, strconv.Itoa(i))))
	}
	if problems := write(0o600, many...); len(problems) != 1 || len(Folders()) != 2+maxAdded {
		t.Errorf("many: %v, %d", problems, len(Folders()))
	}
	if problems := write(0o666, line(one), ""); len(problems) != 1 {
		t.Errorf("%v", problems)
	}
	folders()
	if _, err := AddFolder(two); !errors.Is(err, errJournal) {
		t.Errorf("added: %v", err)
	}
}

func TestWatchAddedFolders(t *testing.T) {
	newHome(t)
	top := t.TempDir()
	added := mkdir(t, top, "disk", "apps")
	mustDo(t, os.Rename(build(t, added, id, "1", nil), filepath.Join(added, "a.bundle")))
	e := follow(t, WatchOptions{})
	// Another process adds it.
	other := func() *library { return newLibrary(settingsNow()) }
	_, err := other().addFolder(added)
	mustDo(t, err)
	e.wait("added by another process", versions("1"))
	mustDo(t, other().removeFolder(added))
	e.wait("removed by another process", versions())
	mustAdd(t, added)
	e.wait("added", versions("1"))

	mustDo(t, os.Rename(filepath.Join(top, "disk"), filepath.Join(top, "away")))
	e.wait("a disk that goes", versions())
	if s := FolderStates()[1]; s.There || s.Err != nil || s.Path != added {
		t.Errorf("%+v", s)
	}
	mustDo(t, os.Rename(filepath.Join(top, "away"), filepath.Join(top, "disk")))
	e.wait("and comes back", versions("1"))
	mustDo(t, os.Rename(build(t, t.TempDir(), id, "2", nil), filepath.Join(added, "b.bundle")))
	e.wait("another version", versions("2", "1"))
	mustDo(t, os.Chmod(added, 0o777))
	e.wait("a folder for all", versions())
	mustDo(t, os.Chmod(added, 0o755))
	e.wait("and not any more", versions("2", "1"))
	mustDo(t, RemoveFolder(added))
	e.wait("removed", versions())
	e.drained()
	mustDo(t, os.Remove(filepath.Join(added, "b.bundle")))
	e.still("what is in it", 3*quiet)
}

// A disk is mounted, taken away and mounted again.
func TestWatchAddedDisk(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	old := rootOwner
	rootOwner = 65534 // what belongs to root outside
	t.Cleanup(func() { rootOwner = old })
	newHome(t)
	point, stick := mkdir(t, t.TempDir(), "disk"), t.TempDir()
	apps := mkdir(t, stick, "apps")
	build(t, apps, id, "1", nil)
	plug := func() {
		t.Helper()
		if err := unix.Mount(stick, point, "", unix.MS_BIND, ""); err != nil {
			t.Skip("nothing can be mounted: ", err)
		}
	}
	plug()
	t.Cleanup(func() { _ = unix.Unmount(point, unix.MNT_DETACH) })
	mustAdd(t, filepath.Join(point, "apps"))
	if _, err := AddFolder(apps); !errors.Is(err, fs.ErrExist) {
		t.Errorf("the same by another path: %v", err)
	}
	e := follow(t, WatchOptions{})
	for range 2 {
		mustDo(t, unix.Unmount(point, 0)) // nobody holds it
		e.wait("taken away", versions())
		plug()
		e.wait("mounted", versions("1"))
	}
}

// Every call that writes the setting fails, or is the last one before the process is killed: there is the state before or the state after.
func TestFoldersCrash(t *testing.T) {
	const env = "GLICK_TEST_FOLDERS"
	changes := map[string]func(one, two string) error{
		"first":  func(one, _ string) error { _, err := AddFolder(one); return err },
		"second": func(_, two string) error { _, err := AddFolder(two); return err },
		"remove": func(one, _ string) error { return RemoveFolder(one) },
	}
	if words := strings.Split(os.Getenv(env), "|"); len(words) == 4 {
		n, _ := strconv.Atoi(words[1])
		calls := 0
		onDisk = &faulty{disk: onDisk, step: func(string) error {
			if calls++; calls == n {
				_ = unix.Kill(os.Getpid(), unix.SIGKILL)
				select {}
			}
			return nil
		}}
		mustDo(t, changes[words[0]](words[2], words[3]))
		return
	}
	self, err := os.Executable()
	mustDo(t, err)
	inMemory(t)
	home := newHome(t)
	t.Setenv("XDG_DATA_HOME", filepath.Join(home, "data"))
	xdg.Reload()
	one, two := mkdir(t, t.TempDir(), "one"), mkdir(t, t.TempDir(), "two")
	for name, change := range changes {
		before, after := []string{}, []string{one}
		switch name {
		case "second":
			before, after = []string{one}, []string{one, two}
		case "remove":
			before, after = []string{one}, []string{}
		}
		reset := func() {
			t.Helper()
			fresh()
			mustDo(t, os.RemoveAll(xdg.DataHome))
			for _, path := range before {
				mustAdd(t, path)
			}
			fresh()
		}
		check := func(what string, failed bool) {
			t.Helper()
			same := slices.Clone(current().added) // what this process believes
			fresh()
			all, problems, err := List()
			got := slices.DeleteFunc(Folders(), func(f string) bool { return f != one && f != two })
			if err != nil || len(all)+len(problems) > 0 || !slices.Equal(got, before) && !slices.Equal(got, after) || !failed && !slices.Equal(got, after) {
				t.Errorf("%s %s: %q, %v, %v", name, what, got, problems, err)
			}
			if !strings.HasPrefix(what, "killed") && !slices.Equal(same, got) {
				t.Errorf("%s %s: the process believes in %q, the file says %q", name, what, same, got)
			}
			// It can be done the next time.
			if err := change(one, two); err != nil && !errors.Is(err, fs.ErrExist) && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s %s: again: %v", name, what, err)
			}
		}
		for _, errno := range []syscall.Errno{unix.ENOSPC, unix.EIO} {
			for n, failed := 1, true; failed; n++ {
				reset()
				calls := 0
				failed = false
				stop := failing(t, func(string) error {
					if calls++; calls == n {
						failed = true
						return errno
					}
					return nil
				})
				err := change(one, two)
				stop()
				if err != nil && !errors.Is(err, errno) || err != nil && !failed {
					t.Errorf("%s, call %d: %v", name, n, err)
				}
				check(fmt.Sprintf("%v at call %d", errno, n), failed)
			}
		}
		for n := 1; ; n++ {
			reset()
			cmd := exec.Command(self, "-test.run=^TestFoldersCrash$")
			cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s|%d|%s|%s", env, name, n, one, two))
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == unix.SIGKILL {
				check(fmt.Sprintf("killed before call %d", n), true)
				continue
			}
			if err != nil || n < 2 {
				t.Errorf("%s: not killed at call %d: %v: %s", name, n, err, out)
			}
			check("killed not at all", false)
			break
		}
	}
}
