// SPDX-License-Identifier: MIT

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/adrg/xdg"

	"glick.org/glick/internal/sample"
	"glick.org/glick/runtime/session"
	"glick.org/glick/xdgexport"
	"glick.org/glick/xdgexport/apps"
	"glick.org/glick/xdgexport/sessionbus"
)

// serveSession is a session service on the bus until its standard input ends: the real interface, with instances that are made up. It says what it
// has done.
func serveSession() {
	if err := serveBus(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serveBus() error {
	ctx, end := context.WithCancel(context.Background())
	defer end()
	conn, err := sessionbus.Connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = sessionbus.Serve(ctx, conn, sessionbus.ServerOptions{
		Version: version,
		Sync: func(ctx context.Context) error {
			fmt.Println("sync")
			_, _, err := xdgexport.SyncFolders(ctx, xdgexport.Options{})
			return err
		},
		Begin: func() func(*apps.App) {
			fmt.Println("begin")
			return func(*apps.App) {}
		},
		Instances: func(context.Context) ([]session.Instance, error) {
			return []session.Instance{{ID: "a.b.C", Version: "1", File: "/x\x1b[1m", PID: 12, Started: time.Unix(1, 5), Prefix: "/p"}}, nil
		},
	})
	if err != nil {
		return err
	}
	fmt.Println("serving")
	_, _ = os.Stdin.Read(make([]byte, 1))
	return nil
}

// newServiceHome makes a home this process's own, with a session bus or without one.
func newServiceHome(t *testing.T, withBus bool) (home string) {
	t.Helper()
	home = t.TempDir()
	runtimeDir := t.TempDir()
	if err := os.Chmod(runtimeDir, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(xdg.Reload) // cleanups run last to first: after the environment is as it was
	t.Setenv("HOME", home)
	for _, name := range []string{"XDG_CACHE_HOME", "XDG_DATA_HOME"} {
		t.Setenv(name, "")
	}
	t.Setenv("XDG_RUNTIME_DIR", runtimeDir)
	address := "unix:path=/does/not/exist"
	if withBus {
		address = startBus(t, runtimeDir)
	}
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", address)
	// Entries need a glick to start.
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "glick"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	xdg.Reload()
	return home
}

func startBus(t *testing.T, dir string) (address string) {
	t.Helper()
	daemon, err := exec.LookPath("dbus-daemon")
	if err != nil {
		t.Skip("dbus-daemon is not installed")
	}
	config := filepath.Join(dir, "bus.conf")
	err = os.WriteFile(config, []byte(`<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:path=`+dir+`/bus</listen>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(daemon, "--nofork", "--print-address", "--config-file="+config)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	address, err = bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal("the bus does not start: ", err)
	}
	return strings.TrimSpace(address)
}

// startService starts a service until the test ends. stop ends it and tells what it has done.
func startService(t *testing.T) (stop func() []string) {
	t.Helper()
	cmd := exec.Command("session-service")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	lines.Scan() // that it serves
	stop = func() (did []string) {
		in.Close()
		for lines.Scan() {
			did = append(did, lines.Text())
		}
		_ = cmd.Wait()
		return did
	}
	t.Cleanup(func() { stop() })
	return stop
}

// The commands say the same, word by word, and end the same, whether a service does the work or they do.
func TestSameWithAndWithoutService(t *testing.T) {
	const id = "org.example.Sample"
	sources := t.TempDir()
	first, second := sample.Build(t, sources, id, "1.0", sample.App(id)), sample.Build(t, sources, id, "2.0", sample.App(id))
	broken := filepath.Join(sources, "broken")
	if err := os.WriteFile(broken, []byte("no"), 0o600); err != nil {
		t.Fatal(err)
	}
	commands := [][]string{
		{"install", broken, first, "/does/not/exist"}, {"install", "--keep-both", second}, {"install", "--move", second}, {"list"}, {"list", "--json"},
		{"exports"}, {"exports", "--off", "services,fonts"}, {"exports", "--json"}, {"exports", "--off", "x"}, {"exports", "--on", "services", "--json"},
		{"exports", "--except", id}, {"exports", "--except", "a.b.None"}, {"exports", "--except", "no id"}, {"exports"}, {"exports", "--no-except", id},
		{"default", id, "1.0"}, {"default", id, "3"}, {"default", "no id"}, {"list"}, {"accept", id}, {"uninstall", "org.example.None", first},
		{"uninstall", id}, {"list"}, {"uninstall", "HOME/Apps/moved.bundle"}, {"list", "--json"}, {"install", broken}, {"ps", "x"},
	}
	said := map[string]string{}
	for _, way := range []string{"no bus", "no service", "service"} {
		t.Run(way, func(t *testing.T) {
			home := newServiceHome(t, way != "no bus")
			var stop func() []string
			if way == "service" {
				stop = startService(t)
			}
			var all strings.Builder
			for _, words := range commands {
				if words[0] == "install" && words[1] == "--move" {
					// It is moved from a place that both ways have.
					data, err := os.ReadFile(second)
					if err == nil {
						err = os.WriteFile(filepath.Join(sources, "moved"), data, 0o755)
					}
					if err != nil {
						t.Fatal(err)
					}
					words = []string{"install", "--move", filepath.Join(sources, "moved")}
				}
				args := make([]string, len(words))
				for i, w := range words {
					args[i] = strings.ReplaceAll(w, "HOME", home)
				}
				code, out, errs := cli(t, args...)
				fmt.Fprintf(&all, "glick %s\n%d\n%s%s", strings.Join(words, " "), code, out, errs)
			}
			said[way] = strings.ReplaceAll(all.String(), home, "HOME")
			if _, err := os.Stat(filepath.Join(sources, "moved")); err == nil {
				t.Error("the file that was to be moved is still there")
			}
			if entries, err := os.ReadDir(filepath.Join(home, ".local/share/applications")); err == nil && len(entries) > 0 {
				t.Errorf("left in the desktop: %v", entries)
			}
			if stop != nil {
				if did := strings.Join(stop(), " "); strings.Count(did, "begin") < 5 || strings.Count(did, "sync") < 5 {
					t.Errorf("the service has done %s", did)
				}
			}
		})
	}
	for _, way := range []string{"no service", "service"} {
		want, got := strings.Split(said["no bus"], "\n"), strings.Split(said[way], "\n")
		for n := range min(len(want), len(got)) {
			if want[n] != got[n] {
				t.Errorf("%s: line %d: %q, want %q", way, n, got[n], want[n])
			}
		}
		if len(want) != len(got) {
			t.Errorf("%s: %d lines, want %d", way, len(got), len(want))
		}
	}
}

func TestPs(t *testing.T) {
	newServiceHome(t, true)
	code, out, errs := cli(t, "ps")
	if code != 0 || out != "" || !strings.Contains(errs, "the session service is not running") {
		t.Errorf("without a service: %d %q %q", code, out, errs)
	}
	startService(t)
	code, out, errs = cli(t, "ps")
	if code != 0 || !regexp.MustCompile(`(?m)^12 +a\.b\.C +1 +\S+ \S+ +/x\x{FFFD}\[1m$`).MatchString(out) || errs != "" {
		t.Errorf("%d %q %q", code, out, errs)
	}
	code, out, errs = cli(t, "ps", "--json")
	var list []session.Instance
	if err := json.Unmarshal([]byte(out), &list); err != nil || code != 0 || errs != "" || len(list) != 1 || !list[0].Started.Equal(time.Unix(1, 5)) ||
		list[0].PID != 12 || list[0].Prefix != "/p" {
		t.Errorf("%d %q %q %v", code, out, errs, err)
	}
}
