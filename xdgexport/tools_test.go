// SPDX-License-Identifier: MIT

package xdgexport

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"glick.org/glick/internal/sample"
	"glick.org/glick/xdgexport/apps"
)

// shownHome syncs a full application to a home of its own, and makes that the session's.
func shownHome(t *testing.T, tree sample.Tree, glick string) string {
	t.Helper()
	noBus(t)
	home := t.TempDir()
	o := faultOptions(home)
	o.Glick = glick
	if _, err := Sync(t.Context(), []apps.App{appOf(t, id, "1", tree, "own")}, o); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"HOME": home, "XDG_DATA_HOME": filepath.Join(home, ".local/share"), "XDG_CONFIG_HOME": filepath.Join(home, ".config"),
		"XDG_CACHE_HOME": filepath.Join(home, ".cache"), "XDG_RUNTIME_DIR": home, "LC_ALL": "C.UTF-8", "MANPATH": "", "MANOPT": "",
	} {
		t.Setenv(name, value)
	}
	return home
}

// tool runs a program that reads what is shown, and gives what it says.
func tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skip(name + " is not installed")
	}
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Errorf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// The readers of what is shown find nothing wrong with it, and find what is meant.
func TestReaders(t *testing.T) {
	tree := full(t)
	tree["share/icons/hicolor/64x64/mimetypes/application-x-sample.png"] = sample.Icon(64)
	const font = "/usr/share/fonts/truetype/dejavu/DejaVuSansMono.ttf"
	if data, err := os.ReadFile(font); err == nil {
		tree["share/fonts/own.ttf"] = string(data)
	}
	glick, _ := recorder(t)
	home := shownHome(t, tree, glick)
	data := filepath.Join(home, ".local/share")
	has := func(t *testing.T, out, want string) {
		t.Helper()
		if !strings.Contains(out, want) {
			t.Errorf("%q does not have %q", out, want)
		}
	}
	t.Run("desktop entries", func(t *testing.T) {
		for _, f := range []string{"applications/" + id + ".desktop", "../../.config/autostart/" + id + ".desktop"} {
			if out := tool(t, "desktop-file-validate", filepath.Join(data, f)); out != "" {
				t.Error(out)
			}
		}
	})
	t.Run("metainfo", func(t *testing.T) {
		tool(t, "appstreamcli", "validate", "--no-net", filepath.Join(data, "metainfo", id+".metainfo.xml"))
	})
	t.Run("types", func(t *testing.T) {
		file := filepath.Join(home, "x.sample")
		if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		out := tool(t, "gio", "info", "-a", "standard::content-type,standard::icon", file)
		has(t, out, "content-type: application/x-sample")
		has(t, out, "icon: "+id+"-application-x-sample,")
		has(t, tool(t, "gio", "mime", "application/x-sample"), id+".desktop")
		if _, err := os.Stat(filepath.Join(data, "icons/hicolor/64x64/mimetypes", id+"-application-x-sample.png")); err != nil {
			t.Error(err)
		}
	})
	t.Run("fonts", func(t *testing.T) {
		has(t, tool(t, "fc-list", ":family=DejaVu Sans Mono", "file"), filepath.Join(data, "fonts", id, "own.ttf"))
	})
	t.Run("manual", func(t *testing.T) {
		t.Setenv("PATH", filepath.Join(home, ".local/bin")+":"+os.Getenv("PATH"))
		has(t, tool(t, "man", "-w", "own"), filepath.Join(data, "man/man1/own.1"))
	})
	t.Run("bash", func(t *testing.T) {
		tool(t, "bash", "-n", filepath.Join(data, "bash-completion/completions/own"))
	})
}

// recorder is a program in the place of glick that writes down how it was started.
func recorder(t *testing.T) (program, log string) {
	t.Helper()
	dir := t.TempDir()
	log = filepath.Join(dir, "log")
	program = filepath.Join(dir, "a glick")
	script := "#!/bin/sh\nfor a; do printf '[%s]' \"$a\"; done >>'" + log + "'\necho >>'" + log + "'\nexit 3\n"
	if err := os.WriteFile(program, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return program, log
}

// A launcher hands its arguments on as they are.
func TestLauncher(t *testing.T) {
	glick, log := recorder(t)
	home := shownHome(t, full(t), glick)
	args := []string{"a b", "", "$(id)", "--exec", "*"}
	cmd := exec.Command(filepath.Join(home, ".local/bin/own"), args...)
	if out, _ := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != 3 {
		t.Fatalf("%v: %s", cmd.ProcessState, out)
	}
	got, err := os.ReadFile(log)
	if want := "[run][" + id + "][--exec][bin/own][--][a b][][$(id)][--exec][*]\n"; err != nil || string(got) != want {
		t.Errorf("started with %s, want %s (%v)", got, want, err)
	}
}

// A bus starts the bundle for a call to its name.
func TestActivation(t *testing.T) {
	if _, err := exec.LookPath("dbus-daemon"); err != nil {
		t.Skip("dbus-daemon is not installed")
	}
	glick, log := recorder(t)
	tree := full(t)
	tree["share/dbus-1/services/"+id+".Two.service"] = "[D-BUS Service]\nName=" + id + ".Two\nExec=/usr/bin/app --name='a b' %U $HOME\n"
	home := shownHome(t, tree, glick)
	config := filepath.Join(home, "bus.conf")
	text := `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:dir=` + home + `</listen><standard_session_servicedirs/>
<policy context="default"><allow send_destination="*"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>`
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	bus := exec.CommandContext(t.Context(), "dbus-daemon", "--nofork", "--nopidfile", "--print-address", "--config-file="+config)
	out, err := bus.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := bus.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		bus.Process.Kill()
		bus.Wait()
	}()
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", strings.TrimSpace(address))
	conn, err := sessionBus(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for name, want := range map[string]string{
		id:          "[run][" + id + "][--][--gapplication-service]\n",
		id + ".Two": "[run][" + id + "][--][--name=a b][%U][$HOME]\n",
	} {
		os.Remove(log)
		// The recorder takes no name and ends: the bus says so, which is the end of the start.
		err := conn.Object(name, "/").Call("org.freedesktop.DBus.Peer.Ping", 0).Err
		if err == nil || strings.Contains(err.Error(), "not provided") {
			t.Fatalf("%s: %v", name, err)
		}
		var got []byte
		for range 100 {
			if got, err = os.ReadFile(log); err == nil && strings.HasSuffix(string(got), "\n") {
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
		if string(got) != want {
			t.Errorf("%s is started with %s, want %s (%v)", name, got, want, err)
		}
	}
}
