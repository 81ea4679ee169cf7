// SPDX-License-Identifier: MIT

package xdgexport

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"glick.org/glick/internal/sample"
	"glick.org/glick/xdgexport/apps"
	"glick.org/glick/xdgexport/apps/trust"
)

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Error(err)
	}
	return string(data)
}

// What somebody deletes comes back, whatever it is, and the removal finds all of it.
func TestDeletedComesBack(t *testing.T) {
	noTools(t)
	a := appOf(t, id, "1", full(t), "own")
	for _, gone := range []string{
		".local/share/applications", ".local/share/applications/" + id + ".desktop", ".local/share/icons", ".local/share/glick/exports", ".local/share/glick",
		".local/bin", ".config", ".local/share/mime/packages/" + id + ".xml", ".local",
	} {
		t.Run(gone, func(t *testing.T) {
			top := t.TempDir()
			o := faultOptions(top)
			for range 2 { // and no matter whether the folders are as old as the record
				if _, err := Sync(t.Context(), []apps.App{a}, o); err != nil {
					t.Fatal(err)
				}
				want := state(t, top)
				if err := os.RemoveAll(filepath.Join(top, gone)); err != nil {
					t.Fatal(err)
				}
				if _, err := Sync(t.Context(), []apps.App{a}, o); err != nil {
					t.Fatal(err)
				}
				same(t, state(t, top), want)
				if res, err := Sync(t.Context(), []apps.App{a}, o); err != nil || res.Changed() {
					t.Errorf("it left work: %+v, %v", res, err)
				}
			}
			if _, err := Sync(t.Context(), nil, o); err != nil {
				t.Fatal(err)
			}
			for p, what := range find(t, top) {
				if !strings.HasPrefix(what, "d") {
					t.Errorf("left behind: %s", p)
				}
			}
		})
	}
}

// The desktop's own caches come back, too.
func TestDeletedCacheComesBack(t *testing.T) {
	noBus(t)
	if _, err := exec.LookPath("update-desktop-database"); err != nil {
		t.Skip("update-desktop-database is not installed")
	}
	home := t.TempDir()
	a := app(t, id, "1", sample.App(id))
	mustSync(t, home, a)
	for _, cache := range []string{"applications/mimeinfo.cache", "mime/mime.cache"} {
		if err := os.Remove(filepath.Join(home, cache)); err != nil {
			t.Fatal(err)
		}
		mustSync(t, home, a)
		if !exists(filepath.Join(home, cache)) {
			t.Errorf("%s is gone", cache)
		}
	}
}

// A file of ours that the user has edited stays as long as the application does, and is put aside when it would start
// nothing any more.
func TestEditedFile(t *testing.T) {
	noTools(t)
	top := t.TempDir()
	o := faultOptions(top)
	entry := o.mustComplete().file("applications/" + id + ".desktop")
	icon := o.mustComplete().file("icons/hicolor/48x48/apps/" + id + ".png")
	sync := func(version string) Result {
		t.Helper()
		var list []apps.App
		if version != "" {
			tree := full(t)
			tree["share/applications/"+id+".desktop"] += "Comment=" + version + "\n"
			list = append(list, appOf(t, id, version, tree, "own"))
		}
		res, err := Sync(t.Context(), list, o)
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	sync("1")
	edited := read(t, entry) + "NoDisplay=true\n"
	write(t, entry, edited)
	write(t, icon, "mine")
	for _, version := range []string{"2", "2", "3"} {
		res := sync(version)
		if got := read(t, entry); got != edited {
			t.Errorf("version %s: the entry became %s", version, got)
		}
		if got := read(t, icon); got != "mine" {
			t.Errorf("version %s: the icon became %s", version, got)
		}
		if !slices.ContainsFunc(res.Left, func(l LeftOut) bool { return strings.Contains(l.Reason, "edited") && strings.Contains(l.Reason, entry) }) {
			t.Errorf("version %s: nothing is said of it: %v", version, res.Left)
		}
	}
	// Deleted, it is ours again.
	if err := os.Remove(entry); err != nil {
		t.Fatal(err)
	}
	if sync("3"); read(t, entry) == edited {
		t.Error("it is the edited one")
	}
	write(t, entry, edited)
	res := sync("")
	aside := filepath.Join(top, ".local/share/glick/edited/applications", id+".desktop")
	if exists(entry) || read(t, aside) != edited || !slices.Equal(res.Aside, []string{aside}) {
		t.Errorf("the entry is not put aside: %+v", res)
	}
	if read(t, icon) != "mine" {
		t.Error("the user's icon is gone")
	}
	// A second time it gets another name.
	os.Remove(icon)
	sync("1")
	write(t, entry, edited+"# again\n")
	if res := sync(""); !slices.Equal(res.Aside, []string{aside + ".2"}) || read(t, aside) != edited {
		t.Errorf("put aside as %q", res.Aside)
	}
}

// Without a record, files that say that they are ours are put aside: nobody knows whether somebody has edited them.
func TestLostRecord(t *testing.T) {
	noTools(t)
	top := t.TempDir()
	o := faultOptions(top)
	a, other := appOf(t, id, "1", full(t), "own"), appOf(t, "org.example.Other", "1", sample.App("org.example.Other"))
	if _, err := Sync(t.Context(), []apps.App{a, other}, o); err != nil {
		t.Fatal(err)
	}
	mine := filepath.Join(top, ".local/share/applications/mine.desktop")
	write(t, mine, "[Desktop Entry]\n")
	if err := os.Remove(filepath.Join(top, ".local/share/glick/exports")); err != nil {
		t.Fatal(err)
	}
	tree := full(t)
	tree["share/applications/"+id+".desktop"] += "Comment=New\n"
	res, err := Sync(t.Context(), []apps.App{appOf(t, id, "2", tree, "own")}, o)
	if err != nil {
		t.Fatal(err)
	}
	entry := read(t, o.mustComplete().file("applications/"+id+".desktop"))
	if !strings.Contains(entry, "Comment=New") || len(res.Aside) != 3 || !exists(mine) {
		t.Errorf("put aside %q, and the entry is\n%s", res.Aside, entry)
	}
}

// Of what only one can have, the one that has it keeps it; it is free when that one goes.
func TestOneOwner(t *testing.T) {
	noTools(t)
	top := t.TempDir()
	o := faultOptions(top)
	tree := sample.App(id)
	tree["bin/own"] = "x"
	first := appOf(t, id, "1", tree, "own")
	evil := sample.App("org.aaa.Sample")
	evil["bin/own"] = "y"
	second := appOf(t, "org.aaa.Sample", "1", evil, "own")
	owner := func(list ...apps.App) string {
		t.Helper()
		if _, err := Sync(t.Context(), list, o); err != nil {
			t.Fatal(err)
		}
		if res, err := Sync(t.Context(), list, o); err != nil || res.Changed() {
			t.Errorf("it left work: %+v, %v", res, err)
		}
		var owners []string
		for _, id := range []string{first.ID, second.ID} {
			if strings.Contains(read(t, filepath.Join(top, ".local/bin/own")), id) && exists(filepath.Join(top, ".local/share/mime/packages", id+".xml")) {
				owners = append(owners, id)
			}
		}
		return strings.Join(owners, " ")
	}
	for i, step := range []struct {
		list []apps.App
		want string
	}{{[]apps.App{first}, first.ID}, {[]apps.App{second, first}, first.ID}, {[]apps.App{second}, second.ID}, {[]apps.App{second, first}, second.ID}} {
		if got := owner(step.list...); got != step.want {
			t.Errorf("step %d: %q has them, not %q", i, got, step.want)
		}
	}
	// Planned without a record, the first by its id has it.
	w, err := Plan([]apps.App{second, first}, o)
	if err != nil || !strings.Contains(w.String(), "write bin/own (") || !strings.Contains(w.String(), "leave out bin/own of "+first.ID) {
		t.Errorf("%v\n%s", err, w)
	}
}

// A command that the computer gets later takes the name back.
func TestCommandOfTheHost(t *testing.T) {
	noTools(t)
	top, host := t.TempDir(), t.TempDir()
	o := faultOptions(top)
	o.CommandDirs = []string{host}
	a := appOf(t, id, "1", full(t), "own")
	for i, taken := range []bool{false, true, true, false} {
		if taken {
			write(t, filepath.Join(host, "own"), "x")
		} else {
			os.Remove(filepath.Join(host, "own"))
		}
		if _, err := Sync(t.Context(), []apps.App{a}, o); err != nil {
			t.Fatal(err)
		}
		for _, p := range []string{"bin/own", "man/man1/own.1", "bash-completion/completions/own"} {
			if exists(o.mustComplete().file(p)) == taken {
				t.Errorf("step %d: %s", i, p)
			}
		}
	}
	// The launcher of all users' Glick for the same application does as well, and is no reason to complain.
	write(t, filepath.Join(host, "own"), "#!/bin/sh\n# X-Glick-Id="+id+"\nexec glick\n")
	res, err := Sync(t.Context(), []apps.App{a}, o)
	if err != nil || exists(o.mustComplete().file("bin/own")) || len(res.Left) > 0 {
		t.Errorf("%+v, %v", res, err)
	}
}

// Nothing starts with the session unless the user says so.
func TestAutostart(t *testing.T) {
	noTools(t)
	top := t.TempDir()
	o := faultOptions(top)
	a := appOf(t, id, "1", full(t), "own")
	file := filepath.Join(top, ".config/autostart", id+".desktop")
	for i, want := range []bool{false, true, true, false} {
		o.Autostart = nil
		if want {
			o.Autostart = []string{id}
		}
		if _, err := Sync(t.Context(), []apps.App{a}, o); err != nil {
			t.Fatal(err)
		}
		if exists(file) != want {
			t.Errorf("step %d: the file is there: %t", i, !want)
		}
	}
}

// For all users: modes whatever the umask, a program that all can start, and only applications that all share.
func TestSystemWide(t *testing.T) {
	noTools(t)
	// Below a folder that all can enter, which temporary folders of tests are not.
	top, err := os.MkdirTemp("/var/tmp", "xdgexport")
	if err != nil {
		t.Skip(err)
	}
	defer os.RemoveAll(top)
	if err := os.Chmod(top, 0o755); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(top, "glick")
	if err := os.WriteFile(program, []byte("x"), 0o700); err != nil {
		t.Fatal(err)
	}
	old := appOf(t, id, "1", full(t), "own")
	old.System, old.Default = true, false
	newer := appOf(t, id, "2", sample.App(id))
	mine := appOf(t, "org.example.Mine", "1", sample.App("org.example.Mine"))
	list := []apps.App{mine, newer, old}
	o := Options{System: true, DataHome: filepath.Join(top, "local/share"), Glick: program, DataDirs: []string{}, CommandDirs: []string{}}
	if _, err := Sync(t.Context(), list, o); err == nil || !strings.Contains(err.Error(), "other users") || exists(filepath.Join(top, "local")) {
		t.Errorf("a program of one user: %v", err)
	}
	if err := os.Chmod(program, 0o755); err != nil {
		t.Fatal(err)
	}
	umask := syscall.Umask(0o077)
	res, err := Sync(t.Context(), list, o)
	syscall.Umask(umask)
	if err != nil || len(res.Written) != len(fullFiles)-1 { // no autostart
		t.Fatalf("%+v, %v", res, err)
	}
	for p := range find(t, top) {
		info, err := os.Lstat(filepath.Join(top, p))
		want := os.FileMode(0o644)
		if err == nil && (info.IsDir() || strings.HasPrefix(p, "local/bin/") || p == "glick") {
			want = 0o755
		}
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s has the mode %o, not %o (%v)", p, info.Mode().Perm(), want, err)
		}
		if strings.Contains(p, "Mine") {
			t.Errorf("%s is shown", p)
		}
	}
	if got := read(t, filepath.Join(top, "local/bin/own")); !strings.Contains(got, "exec "+program+" run "+id+" --exec bin/own -- \"$@\"") {
		t.Errorf("the launcher is\n%s", got)
	}
	// The users' own folders need not have it again, unless a user has another version.
	user := faultOptions(t.TempDir())
	user.Autostart, user.DataDirs = nil, []string{o.DataHome}
	old.Default = true
	if res, err := Sync(t.Context(), []apps.App{old}, user); err != nil || res.Changed() || len(res.Left) > 0 {
		t.Errorf("for one user: %+v, %v", res, err)
	}
	if res, err := Sync(t.Context(), []apps.App{newer, old}, user); err != nil || len(res.Written) == 0 {
		t.Errorf("another version for one user: %+v, %v", res, err)
	}
	user.Autostart = []string{id}
	if _, err := Sync(t.Context(), []apps.App{old}, user); err != nil || !exists(user.mustComplete().file("autostart/"+id+".desktop")) {
		t.Errorf("to be started with the session of one user: %v", err)
	}
	old.Default = false
	for _, state := range []trust.State{trust.Changed, trust.Damaged, trust.Unknown} {
		list[2].State = state
		if w, err := Plan(list, o); err != nil || len(w.Files) > 0 {
			t.Errorf("one that is %v: %v\n%s", state, err, w)
		}
	}
	list[2].State = trust.Verified
	if err := os.Chmod(old.File, 0o700); err != nil {
		t.Fatal(err)
	}
	w, err := Plan(list, o)
	if err != nil || len(w.Files) > 0 || !strings.Contains(w.String(), "may not read") {
		t.Errorf("a bundle of one user: %v\n%s", err, w)
	}
	if _, err := Sync(t.Context(), nil, o); err != nil || exists(filepath.Join(top, "local")) {
		t.Errorf("left behind: %v", err)
	}
}

// Files of a record that somebody has made up are not touched.
func TestHostileRecord(t *testing.T) {
	for _, p := range []string{"../x", "/etc/passwd", "applications/../../x", "glick/trust", "applications", "applications//x", "./applications/x"} {
		r := emptyRecord()
		r.Apps[id] = &appRecord{id: id, Key: "k", Files: map[string]*fileRecord{p: {App: id, Hashes: []string{hashOf(nil)}}}}
		back, _, err := parseRecord(r.log(), false)
		if err != nil {
			t.Fatal(err)
		}
		if a := back.Apps[id].open(); len(a.Files) > 0 || a.Key != "" {
			t.Errorf("%s is taken for ours", p)
		}
	}
}

func FuzzRecord(f *testing.F) {
	r := emptyRecord()
	r.Dirs, r.Caches[typesArea], r.Stamps["bin"] = []string{"/home/x"}, true, stamp{1, 2, 3}
	r.Apps[id] = &appRecord{id: id, Key: "k", Claims: []string{"c"}, Left: []LeftOut{{id, "o", "r"}}, Asked: []answer{{"q", "a"}}, Files: map[string]*fileRecord{
		"applications/x.desktop": {App: id, Hashes: []string{"a", "b"}, Size: 1, Mtime: 2, Ino: 3, Edited: true},
	}}
	r.Apps["org.example.Other"] = &appRecord{id: "org.example.Other", Key: "", pending: true}
	r.pending = true
	f.Add([]byte(""), r.body([]string{id}, []string{"gone"}))
	f.Add(r.log(), r.body(nil, nil))
	f.Fuzz(func(t *testing.T, head, in []byte) {
		var b bytes.Buffer
		line(&b, recordHead)
		b.Write(head)
		addEntry(&b, unfinished, in)
		r, _, err := parseRecord(b.Bytes(), false)
		if err != nil {
			return
		}
		for _, a := range r.Apps {
			a.claims()
			for p := range a.open().Files {
				if !ownPath(p) {
					t.Errorf("path %q", p)
				}
			}
		}
		out := r.log()
		again, end, err := parseRecord(out, false)
		if err != nil || end != int64(len(out)) {
			t.Fatalf("cannot be read again: %d of %d, %v\n%s", end, len(out), err, out)
		}
		for _, a := range again.Apps {
			a.open()
		}
		if got := again.log(); string(got) != string(out) {
			t.Errorf("not stable:\n%s\n%s", out, got)
		}
	})
}

// A record from before the log is taken over, also the two of an interrupted sync.
func TestOldRecord(t *testing.T) {
	noTools(t)
	a, b := appOf(t, id, "1", full(t), "own"), appOf(t, "org.example.Other", "1", sample.App("org.example.Other"))
	for _, interrupted := range []bool{false, true} {
		top := t.TempDir()
		o := faultOptions(top)
		file := filepath.Join(top, ".local/share/glick/exports")
		if _, err := Sync(t.Context(), []apps.App{a}, o); err != nil {
			t.Fatal(err)
		}
		want := state(t, top)
		makeOld(t, file)
		was := read(t, file)
		if res, err := Sync(t.Context(), []apps.App{a}, o); err != nil || res.Changed() || read(t, file) != was {
			t.Errorf("nothing was to be done: %+v, %v", res, err)
		}
		if interrupted {
			r, _, err := parseRecord([]byte(was), false)
			if err != nil {
				t.Fatal(err)
			}
			r.Apps[id].Key = ""
			write(t, filepath.Join(top, ".local/share/glick", oldPendingName), oldRecord(r))
			write(t, file, oldRecord(emptyRecord()))
			if _, err := Sync(t.Context(), []apps.App{a}, o); err != nil {
				t.Fatal(err)
			}
			same(t, state(t, top), want)
		}
		if res, err := Sync(t.Context(), []apps.App{a, b}, o); err != nil || len(res.Written) != 5 || !strings.HasPrefix(read(t, file), recordHead+"\n") {
			t.Errorf("%+v, %v", res, err) // the type is the first one's
		}
		if _, err := Sync(t.Context(), nil, o); err != nil {
			t.Fatal(err)
		}
		for p, what := range find(t, top) {
			if !strings.HasPrefix(what, "d") {
				t.Errorf("left behind: %s", p)
			}
		}
	}
}

// What a crash has cut short at a log's end counts as not written; a log that is damaged in the middle counts as lost.
func TestDamagedLog(t *testing.T) {
	var b bytes.Buffer
	r := emptyRecord()
	line(&b, recordHead)
	for _, id := range []string{"one", "two", "three"} {
		r.Apps[id] = &appRecord{id: id, Key: "k"}
		addEntry(&b, finished, r.body([]string{id}, nil))
	}
	log := b.Bytes()
	third := bytes.LastIndex(log, []byte("done\t"))
	for end := third; end < len(log); end++ {
		for _, more := range []int{0, len(log) - end} { // as much as was written, or as much as was to be written
			r, n, err := parseRecord(slices.Concat(log[:end], make([]byte, more)), false)
			if err != nil || len(r.Apps) != 2 || n != int64(third) {
				t.Fatalf("cut at %d of %d: %v", end, len(log), err)
			}
		}
	}
	for at := range third {
		bad := bytes.Clone(log)
		bad[at] ^= 0x80
		if r, _, err := parseRecord(bad, false); err == nil {
			t.Fatalf("damaged at %d of %d: %d are known", at, len(log), len(r.Apps))
		}
	}
}

// A log does not grow without end.
func TestLogStaysShort(t *testing.T) {
	noTools(t)
	o := Options{DataHome: memory(t), Glick: glick, DataDirs: []string{}, CommandDirs: []string{}}
	a, b := appOf(t, id, "1", sample.App(id)), appOf(t, "org.example.Other", "1", sample.Tree{"bin/app": "x"})
	for range 100 {
		for _, list := range [][]apps.App{{a, b}, {a}} {
			if _, err := Sync(t.Context(), list, o); err != nil {
				t.Fatal(err)
			}
			if info, err := os.Stat(filepath.Join(o.DataHome, "glick/exports")); err != nil || info.Size() > 2*slack {
				t.Fatalf("it has %d bytes (%v)", info.Size(), err)
			}
		}
	}
}

// Other programs make files beside ours all the time; the next sync still knows what is missing.
func TestOthersAtWork(t *testing.T) {
	noTools(t)
	top := t.TempDir()
	o := faultOptions(top)
	a := appOf(t, id, "1", full(t), "own")
	dir := filepath.Join(top, ".local/share/applications")
	if _, err := Sync(t.Context(), []apps.App{a}, o); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		write(t, filepath.Join(dir, fmt.Sprint(i, ".desktop")), "x")
		if err := os.Remove(filepath.Join(dir, id+".desktop")); err != nil {
			t.Fatal(err)
		}
		if res, err := Sync(context.Background(), []apps.App{a}, o); err != nil || len(res.Written) != 1 {
			t.Fatalf("%d: %+v, %v", i, res, err)
		}
	}
	// Also during the sync, when its own changes hide theirs.
	b := full(t)
	b["share/man/man1/own.1"] = "new"
	b["share/applications/"+id+".Two.desktop"] = "[Desktop Entry]\nType=Application\nName=x\nExec=app\n"
	list := []apps.App{appOf(t, id, "2", b, "own")}
	o.before = func(call, path string) error {
		if call == "rename" && strings.HasSuffix(path, "own.1") {
			return os.Remove(filepath.Join(dir, id+".desktop"))
		}
		return nil
	}
	if _, err := Sync(t.Context(), list, o); err != nil {
		t.Fatal(err)
	}
	o.before = nil
	if res, err := Sync(t.Context(), list, o); err != nil || len(res.Written) != 1 {
		t.Errorf("%+v, %v", res, err)
	}
}
