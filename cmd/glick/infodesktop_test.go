// SPDX-License-Identifier: MIT

package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/adrg/xdg"
	"golang.org/x/sys/unix"

	"glick.org/glick/internal/sample"
	"glick.org/glick/xdgexport"
)

// newHome gives the test a home of its own without any session, and a program glick that entries can start.
func newHome(t *testing.T) string {
	t.Helper()
	home := t.TempDir()
	t.Cleanup(xdg.Reload) // cleanups run last to first: after the environment is as it was
	t.Setenv("HOME", home)
	for _, name := range []string{"XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR"} {
		t.Setenv(name, "")
	}
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/does/not/exist")
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "glick"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	xdg.Reload()
	return home
}

func mustCLI(t *testing.T, args ...string) string {
	t.Helper()
	code, out, errs := cli(t, args...)
	if code != 0 || errs != "" {
		t.Fatalf("%q: %d %s%s", args, code, out, errs)
	}
	return out
}

// info says what the desktop would show of a bundle, and then what it shows; nothing in it moves a terminal's cursor.
func TestInfoOfTheDesktop(t *testing.T) {
	newHome(t)
	const id = "org.example.Sample"
	tree := sample.App(id)
	tree["share/applications/x\x1b[31m\u009b31m.desktop"] = tree["share/applications/"+id+".desktop"]
	tree["share/applications/other.desktop"] = tree["share/applications/"+id+".desktop"]
	for _, n := range []string{"a", "b", "c"} {
		tree["share/icons/hicolor/48x48/actions/"+n+".png"] = sample.Icon(48)
	}
	tree["bin/own"], tree["bin/sh"] = "#!/bin/sh\n", "#!/bin/sh\n"
	file := sample.BuildCommands(t, t.TempDir(), id, "1", tree, "own", "sh")
	const from = "https://example.org/\x1b]0;x\x07\u009b"
	if err := unix.Setxattr(file, "user.xdg.origin.url", []byte(from), 0); err != nil {
		t.Skip("no attributes of files here: ", err)
	}
	has := func(out string, want ...string) {
		t.Helper()
		for _, w := range want {
			if !strings.Contains(strings.Join(strings.Fields(out), " "), w) {
				t.Errorf("%q is not in\n%s", w, out)
			}
		}
		if at := strings.IndexFunc(out, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }); at >= 0 {
			t.Errorf("%q gets to the terminal", out[at:at+2])
		}
	}
	adds := []string{
		"Menu entries: " + id, "Opens: application/x-sample", "New file types: application/x-sample", "D-Bus services: " + id, "Adds commands: own",
		"Adds icons: 3", "Left out: share/applications/other.desktop: the name is not the bundle's id", "Left out: 3 of share/icons/hicolor/48x48/actions: the name is not the bundle's id",
		"Downloaded from: https://example.org/",
	}
	has(mustCLI(t, "info", file), append(adds, "Shown: no, it is not installed", "Trust: unsigned, and the first of "+id+" here")...)
	var facts bundleFacts
	out := mustCLI(t, "info", "--json", file)
	has(out)
	if err := json.Unmarshal([]byte(out), &facts); err != nil || facts.Origin == nil || facts.Origin.URL != from || facts.Desktop == nil ||
		len(facts.Desktop.Files) != 7 || len(facts.Desktop.Left) != 5 || facts.Trust.State != "unsigned" {
		t.Errorf("%v\n%s", err, out)
	}

	mustCLI(t, "install", file)
	has(mustCLI(t, "info", id), append(adds, "Shown: yes, in your desktop", "Trust: unsigned, as "+id+" has been here")...)
	mustCLI(t, "autostart", id)
	has(mustCLI(t, "info", id), "Autostart: yes", "Starts: "+id)
	newer := sample.Build(t, t.TempDir(), id, "2", sample.App(id))
	has(mustCLI(t, "info", newer), "Shown: no, version 1 is installed", "Autostart: yes")
	mustCLI(t, "install", "--keep-both", newer)
	has(mustCLI(t, "info", filepath.Join(os.Getenv("HOME"), "Apps", filepath.Base(file))), "Shown: no, version 2 is in use")
}

// info compares signatures to what is remembered.
func TestInfoOfTrust(t *testing.T) {
	if _, err := exec.LookPath("ssh-keygen"); err != nil {
		t.Skip("ssh-keygen is not installed")
	}
	newHome(t)
	const id = "org.example.Sample"
	dir := t.TempDir()
	signed := func(key, version string) string {
		t.Helper()
		file := filepath.Join(dir, key)
		if _, err := os.Stat(file); err != nil {
			if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}
		bundle := sample.Build(t, t.TempDir(), id, version, sample.App(id))
		if code, _, errs := cli(t, "sign", "--key", file, bundle); code != 0 {
			t.Fatal(errs)
		}
		return bundle
	}
	trust := func(what, want string) {
		t.Helper()
		if out := strings.Join(strings.Fields(mustCLI(t, "info", what)), " "); !strings.Contains(out, "Trust: "+want) {
			t.Errorf("not %q: %s", want, out)
		}
	}
	first := signed("mine", "1")
	trust(first, "the first of "+id+" here; its key is remembered")
	mustCLI(t, "install", first)
	trust(id, "first seen")
	trust(signed("mine", "2"), "verified: signed by the key of "+id)
	other := signed("other", "2")
	trust(other, "changed: it is not signed by the key of "+id+", which is SHA256:")
	trust(sample.Build(t, t.TempDir(), id, "3", sample.App(id)), "changed")
	if code, _, _ := cli(t, "install", other); code == 0 {
		t.Error("it is installed nevertheless")
	}
}

func TestAutostartCommand(t *testing.T) {
	home := newHome(t)
	const id = "org.example.Sample"
	if code, _, errs := cli(t, "autostart", id); code != exitNotFound || !strings.Contains(errs, "no application of that id") {
		t.Errorf("%d %q", code, errs)
	}
	mustCLI(t, "install", sample.Build(t, t.TempDir(), id, "1", sample.App(id)))
	entry := filepath.Join(home, ".config/autostart", id+".desktop")
	for _, on := range []bool{true, true, false, false} {
		args := []string{"autostart", id}
		if !on {
			args = append(args, "--off")
		}
		mustCLI(t, args...)
		if _, err := os.Stat(entry); (err == nil) != on {
			t.Errorf("%q: it is there: %t", args, err == nil)
		}
	}
	// One without a menu entry still has a program, but nobody has said how it is to be started.
	const plain = "org.example.Plain"
	mustCLI(t, "install", sample.Build(t, t.TempDir(), plain, "1", sample.Tree{"bin/app": "x"}))
	code, _, errs := cli(t, "autostart", plain)
	if code == 0 || !strings.Contains(errs, "nothing that could be started") {
		t.Errorf("%d %q", code, errs)
	}
	if _, _, err := xdgexport.SyncFolders(t.Context(), xdgexport.Options{}); err != nil {
		t.Error(err)
	}
}
