// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/adrg/xdg"
	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"glick.org/glick/bundle"
	"glick.org/glick/internal/sample"
	"glick.org/glick/runtime/session"
	"glick.org/glick/xdgexport/apps"
	"glick.org/glick/xdgexport/sessionbus"
)

// address of the home's bus.
func (h *home) address() string { return h.env[3][len("DBUS_SESSION_BUS_ADDRESS="):] }

// enter makes the home and its session this process's own.
func (h *home) enter() {
	h.t.Helper()
	h.t.Cleanup(xdg.Reload) // cleanups run last to first: after the environment is as it was
	for _, v := range h.env {
		name, value, _ := strings.Cut(v, "=")
		h.t.Setenv(name, value)
	}
	h.t.Setenv("PATH", h.bin+":"+os.Getenv("PATH"))
	xdg.Reload()
}

// looked waits until the service has looked at the folders for the first time: what is there then is nothing new.
func (h *home) looked(log *logBuffer) {
	h.t.Helper()
	h.eventually("the start", func() bool { return strings.Contains(log.String(), "started") })
	if err := h.conn.Object(sessionbus.Name, sessionbus.Path).Call(sessionbus.Interface+".Sync", 0).Err; err != nil {
		h.t.Fatal(err)
	}
}

func (h *home) join(name string) *dbus.Conn {
	h.t.Helper()
	conn, err := dbus.Connect(h.address())
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { conn.Close() })
	if reply, err := conn.RequestName(name, dbus.NameFlagDoNotQueue); err != nil || reply != dbus.RequestNameReplyPrimaryOwner {
		h.t.Fatal(reply, err)
	}
	return conn
}

// shower is a desktop's side of notifications, on a real bus.
type shower struct {
	conn   *dbus.Conn
	calls  chan shownNotice
	closed chan uint32

	mu   sync.Mutex
	last uint32 // guarded by mu
}

type shownNotice struct {
	id, replaces           uint32
	app, icon, title, body string
	actions                []string
	hints                  map[string]dbus.Variant
}

func (s *shower) GetCapabilities() ([]string, *dbus.Error) {
	return []string{"body", "body-markup", "actions"}, nil
}

func (s *shower) Notify(app string, replaces uint32, icon, title, body string, actions []string, hints map[string]dbus.Variant, _ int32) (uint32, *dbus.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := replaces
	if id == 0 {
		s.last++
		id = s.last
	}
	s.calls <- shownNotice{id, replaces, app, icon, title, body, actions, hints}
	return id, nil
}

func (s *shower) CloseNotification(id uint32) *dbus.Error {
	s.closed <- id
	return nil
}

func (h *home) showNotifications() *shower {
	h.t.Helper()
	// Everything is in place before the name is.
	conn, err := dbus.Connect(h.address())
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { conn.Close() })
	s := &shower{conn: conn, calls: make(chan shownNotice, 100), closed: make(chan uint32, 100)}
	if err := conn.Export(s, notifyPath, notifyInterface); err != nil {
		h.t.Fatal(err)
	}
	if reply, err := conn.RequestName(notifyName, dbus.NameFlagDoNotQueue); err != nil || reply != dbus.RequestNameReplyPrimaryOwner {
		h.t.Fatal(reply, err)
	}
	return s
}

func take[T any](t *testing.T, what string, from <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(20 * time.Second):
		t.Fatal("there was no ", what)
	}
	return v
}

// windows is what the windows' program has on the bus.
type windows struct{ opened chan []any }

func (w windows) Open(uris []string, platform map[string]dbus.Variant) *dbus.Error {
	w.opened <- []any{uris, platform}
	return nil
}

func (w windows) Activate(platform map[string]dbus.Variant) *dbus.Error {
	w.opened <- []any{nil, platform}
	return nil
}

func TestNotifications(t *testing.T) {
	h := newHome(t, true)
	h.enter()
	_, log := h.start()
	h.looked(log)
	h.copy(build(t, "1.0"), filepath.Join(h.dir, "Apps", "a.bundle"))
	// Nobody shows notifications yet.
	h.eventually("the try", func() bool { return strings.Contains(log.String(), "shows no notifications") })
	desktop := h.showNotifications()
	n := take(t, "notification", desktop.calls)
	if n.title != "Sample Installed" || n.app != "Glick" || n.icon != guiName || n.hints["desktop-entry"].Value() != guiName || n.actions[0] != "default" {
		t.Errorf("%+v", n)
	}
	icon, _ := n.hints["image-path"].Value().(string)
	if _, err := os.Stat(strings.TrimPrefix(icon, "file://")); err != nil || !strings.Contains(icon, id) {
		t.Errorf("the picture %s: %v", icon, err)
	}

	w := windows{make(chan []any, 10)}
	gui := h.join(guiName)
	if err := gui.Export(w, guiPath, "org.freedesktop.Application"); err != nil {
		t.Fatal(err)
	}
	emit := func(from *dbus.Conn, member string, body ...any) {
		t.Helper()
		if err := from.Emit(notifyPath, notifyInterface+"."+member, body...); err != nil {
			t.Fatal(err)
		}
	}
	// Listening begins when the answer has come.
	file := filepath.Join(h.dir, "Apps", "a.bundle")
	h.eventually("the click", func() bool {
		emit(h.conn, "ActionInvoked", n.id, "default") // a stranger's click is none
		emit(desktop.conn, "ActivationToken", n.id, "token-1")
		emit(desktop.conn, "ActionInvoked", n.id, "default")
		select {
		case got := <-w.opened:
			uris, _ := got[0].([]string)
			platform := got[1].(map[string]dbus.Variant)
			if !slices.Equal(uris, []string{"file://" + file}) || platform["activation-token"].Value() != "token-1" {
				t.Errorf("opened %v", got)
			}
			return true
		case <-time.After(200 * time.Millisecond):
			return false
		}
	})
	// Without the windows on the bus, their program is started.
	if _, err := gui.ReleaseName(guiName); err != nil {
		t.Fatal(err)
	}
	called := filepath.Join(h.bin, "gui-calls")
	script := "#!/bin/sh\necho \"$@\" $XDG_ACTIVATION_TOKEN >" + called + ".new && mv " + called + ".new " + called + "\n"
	if err := os.WriteFile(filepath.Join(h.bin, "glick-gui"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	emit(desktop.conn, "ActionInvoked", n.id, "default")
	h.eventually("the program's start", func() bool { _, err := os.Stat(called); return err == nil })
	if out, err := os.ReadFile(called); err != nil || string(out) != file+" token-1\n" {
		t.Errorf("started with %q, %v", out, err)
	}

	// What a caller does, it says itself.
	other := sample.Build(t, t.TempDir(), "org.example.Other", "1", sample.App("org.example.Other"))
	app, err := sessionbus.Install(t.Context(), other, apps.InstallOptions{})
	if err != nil {
		t.Fatal(err)
	}
	undo, err := sessionbus.Uninstall(t.Context(), app.File)
	if err == nil {
		err = sessionbus.Sync(t.Context(), func() error { return errors.New("not asked") })
	}
	if err == nil {
		err = undo()
	}
	if err != nil {
		t.Fatal(err)
	}
	// A broken file is told of once, and what is next comes after all that was before.
	broken := filepath.Join(h.dir, "Apps", "<b>broken.bundle")
	if err := os.WriteFile(broken, []byte("no"), 0o644); err != nil {
		t.Fatal(err)
	}
	n = take(t, "notification", desktop.calls)
	if n.title != "<b>broken.bundle Cannot Be Used" || n.body != "The file is not an application." || n.hints["image-path"].Value() != guiName {
		t.Errorf("%+v", n)
	}
	now := time.Now()
	if err := os.Chtimes(broken, now, now); err != nil {
		t.Fatal(err)
	}
	if err := sessionbus.Sync(t.Context(), func() error { return errors.New("not asked") }); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(broken); err != nil {
		t.Fatal(err)
	}
	if id := take(t, "end of the notification", desktop.closed); id != n.id {
		t.Errorf("closed %d, want %d", id, n.id)
	}
	if len(desktop.calls) > 0 {
		t.Errorf("told too much: %+v", <-desktop.calls)
	}
}

// Without a desktop that shows anything, and nothing to do, the service does nothing.
func TestRest(t *testing.T) {
	if testing.Short() {
		t.Skip("it looks for some seconds")
	}
	h := newHome(t, true)
	h.enter()
	cmd, log := h.start()
	h.looked(log)
	desktop := h.showNotifications()
	h.copy(build(t, "1.0"), filepath.Join(h.dir, "Apps", "a.bundle"))
	n := take(t, "notification", desktop.calls)
	if err := desktop.conn.Emit(notifyPath, notifyInterface+".NotificationClosed", n.id, uint32(2)); err != nil {
		t.Fatal(err)
	}
	if _, err := sessionbus.Install(t.Context(), build(t, "2.0"), apps.InstallOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := sessionbus.Sync(t.Context(), func() error { return errors.New("not asked") }); err != nil {
		t.Fatal(err)
	}
	time.Sleep(checkRest + 2*time.Second) // large bundles are looked for, once
	// From here on others come and go, and others' notifications. Go's runtime itself has something to do now and then.
	const awake = 60
	var ran int
	for range 3 {
		before := switches(t, cmd.Process.Pid)
		for range 20 {
			conn, err := dbus.Connect(h.address())
			if err != nil {
				t.Fatal(err)
			}
			conn.Close()
			if err := desktop.conn.Emit(notifyPath, notifyInterface+".NotificationClosed", uint32(77), uint32(2)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(50 * time.Millisecond)
		}
		if ran = switches(t, cmd.Process.Pid) - before; ran <= awake {
			t.Logf("%d context switches", ran)
			return
		}
	}
	t.Errorf("it has run %d times", ran)
}

// switches counts how often the threads of a process have waited for something.
func switches(t *testing.T, pid int) (sum int) {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		for line := range strings.Lines(string(data)) {
			var n int
			if _, err := fmt.Sscanf(line, "voluntary_ctxt_switches: %d", &n); err == nil {
				sum += n
			}
		}
	}
	return sum
}

// The texts are in the user's language, from the catalogues of the windows.
func TestNotificationsAreTranslated(t *testing.T) {
	msgfmt, err := exec.LookPath("msgfmt")
	if err != nil {
		t.Skip("msgfmt is not installed")
	}
	h := newHome(t, true)
	catalogues := t.TempDir()
	po := filepath.Join(catalogues, "x.po")
	text := "msgid \"\"\nmsgstr \"Content-Type: text/plain; charset=UTF-8\\n\"\n\nmsgid \"{name} Installed\"\nmsgstr \"{name} ist jetzt verfügbar\"\n"
	if err := errors.Join(os.MkdirAll(filepath.Join(catalogues, "de/LC_MESSAGES"), 0o755), os.WriteFile(po, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(msgfmt, "-o", filepath.Join(catalogues, "de/LC_MESSAGES/glick.mo"), po).CombinedOutput(); err != nil {
		t.Fatal(err, string(out))
	}
	h.env = append(slices.DeleteFunc(h.env, func(v string) bool { return strings.HasPrefix(v, "LC_ALL=") }), "LANG=de_AT.UTF-8", "GLICK_LOCALE_DIR="+catalogues)
	desktop := h.showNotifications()
	_, log := h.start()
	h.looked(log)
	h.copy(build(t, "1.0"), filepath.Join(h.dir, "Apps", "a.bundle"))
	if n := take(t, "notification", desktop.calls); n.title != "Sample ist jetzt verfügbar" || n.body != "It is among your applications now." {
		t.Errorf("%+v", n)
	}
}

// A large bundle is shown at once, and taken away when its contents turn out to be damaged.
func TestDamageInLargeBundle(t *testing.T) {
	h := newHome(t, true)
	tree := sample.App(id)
	noise := make([]byte, 33<<20)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(noise)
	tree["share/noise"] = string(noise)
	file := sample.Build(t, t.TempDir(), id, "1.0", tree)
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
	desktop := h.showNotifications()
	_, log := h.start()
	h.looked(log)
	h.copy(file, filepath.Join(h.dir, "Apps", "a.bundle"))
	h.eventually("the entry", func() bool { return h.exists(entry) })
	if n := take(t, "notification", desktop.calls); n.title != "Sample Installed" {
		t.Errorf("%+v", n)
	}
	if n := take(t, "notification of the damage", desktop.calls); n.title != "Sample Cannot Be Used" || n.body != "The file is damaged. Copy or download it again." {
		t.Errorf("%+v", n)
	}
	if h.exists(entry) {
		t.Error("the entry is still there")
	}
	// The next service knows.
	h.enter()
	list, problems, err := apps.List()
	if err != nil || len(problems) != 1 || !errors.Is(problems[0], bundle.ErrDamaged) || list[0].State.Usable() {
		t.Errorf("%+v %+v %v", list, problems, err)
	}
}

func TestChecksOnceForAllThatIsNew(t *testing.T) {
	checked := make(chan string, 10)
	found := make(chan bool, 10)
	c := newChecks(func(context.Context) { found <- true }, func(error) { checked <- "failed" })
	c.rest = 100 * time.Millisecond
	results := []error{nil, errors.New("x"), nil}
	c.check = func(context.Context) (bool, error) {
		err := results[0]
		results = results[1:]
		checked <- "checked"
		return len(results) == 0, err
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { c.run(ctx); close(ended) }()
	a, b := sampleApp("a.b.C", "1"), sampleApp("a.b.D", "1")
	for range 5 {
		c.look([]apps.App{a})
	}
	take(t, "check", checked)
	c.look([]apps.App{a}) // nothing new
	c.look(nil)
	time.Sleep(3 * c.rest)
	if len(checked) > 0 {
		t.Error("it checks again what has not changed")
	}
	c.look([]apps.App{a, b})
	take(t, "check", checked)
	if take(t, "failure", checked) != "failed" {
		t.Error("a failure is not told")
	}
	c.look([]apps.App{a, b}) // not done yet
	take(t, "check", checked)
	take(t, "damage", found)
	cancel()
	take(t, "end", ended)
}

// What is started to check runs only when nothing else wants to.
func TestLowPriority(t *testing.T) {
	done := make(chan string, 1)
	go func() {
		// As in checkApart: the thread ends with the goroutine.
		runtime.LockOSThread()
		if err := lowPriority(); err != nil {
			done <- err.Error()
			return
		}
		out, err := exec.Command("sh", "-c", "cut -d' ' -f41 /proc/self/stat; ionice 2>/dev/null || echo idle").CombinedOutput()
		if err != nil {
			done <- err.Error()
			return
		}
		done <- string(out)
	}()
	if got := take(t, "result", done); got != fmt.Sprintf("%d\nidle\n", unix.SCHED_IDLE) {
		t.Errorf("policy and class: %s", got)
	}
}

func TestInstancesAreTold(t *testing.T) {
	h := newHome(t, true)
	conn, err := dbus.Connect(h.address())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	server, err := sessionbus.Serve(t.Context(), conn, sessionbus.ServerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	signals := make(chan *dbus.Signal, 100)
	if err := h.conn.AddMatchSignal(dbus.WithMatchInterface(sessionbus.Interface)); err != nil {
		t.Fatal(err)
	}
	h.conn.Signal(signals)
	var mu sync.Mutex
	live := map[string]session.Instance{}
	r := newRunning(&bus{conn, server})
	r.list = func(context.Context) (list []session.Instance, err error) {
		mu.Lock()
		defer mu.Unlock()
		for _, i := range live {
			list = append(list, i)
		}
		return list, nil
	}
	set := func(place string, i *session.Instance) {
		mu.Lock()
		defer mu.Unlock()
		delete(live, place)
		if i != nil {
			live[place] = *i
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	old := session.Instance{ID: "a.b.Old", PID: 7, Prefix: "/fs/old", Started: time.Unix(0, 1)}
	set("old", &old)
	r.changed() // as when the service begins
	go func() { r.follow(ctx); close(ended) }()
	h.eventually("the first look", func() bool { r.mu.Lock(); defer r.mu.Unlock(); return len(r.prefix) == 1 })
	want := func(all ...string) {
		t.Helper()
		for _, w := range all {
			s := take(t, w, signals)
			got := strings.TrimPrefix(s.Name, sessionbus.Interface+".")
			if len(s.Body) > 1 {
				got += fmt.Sprint(" ", s.Body[0], " ", s.Body[1])
			}
			if got != w {
				t.Errorf("got %q, want %q", got, w)
			}
		}
	}
	a := session.Instance{ID: "a.b.C", PID: 8, Prefix: "/fs/a", Started: time.Now()}
	set("a", &a)
	r.started(a)
	want("InstanceStarted a.b.C 8", "Changed")
	r.changed()
	// The next one gets the same folder before anybody has looked.
	b := session.Instance{ID: "a.b.C", PID: 9, Prefix: "/fs/a", Started: time.Now()}
	set("a", &b)
	r.started(b)
	r.changed()
	first := take(t, "signal", signals)
	if first.Name != sessionbus.Interface+".InstanceEnded" || first.Body[1] != uint32(8) {
		t.Errorf("%v", first)
	}
	// The end may have been seen by the look, which says so.
	second := take(t, "signal", signals)
	if second.Name == sessionbus.Interface+".Changed" {
		second = take(t, "signal", signals)
	}
	if second.Name != sessionbus.Interface+".InstanceStarted" || second.Body[1] != uint32(9) {
		t.Errorf("%v", second)
	}
	want("Changed")
	set("a", nil)
	r.changed()
	want("InstanceEnded a.b.C 9", "Changed")
	set("old", nil)
	r.changed()
	want("InstanceEnded a.b.Old 7", "Changed")
	cancel()
	take(t, "end", ended)
	if len(r.prefix) > 0 || len(signals) > 0 {
		t.Errorf("left: %v", r.prefix)
	}
}

// The bus starts the service when glick asks it something.
func TestActivation(t *testing.T) {
	h := newHome(t, true)
	h.enter()
	services := filepath.Join(h.dir, ".local/share/dbus-1/services")
	if err := os.MkdirAll(services, 0o755); err != nil {
		t.Fatal(err)
	}
	template, err := os.ReadFile("../../data/org.glick.Session.service.in")
	if err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(h.bin, "log")
	// The bus of the test has no environment of the home.
	wrapper := "#!/bin/sh\nexec env GLICKD_TEST_SERVE=1 '" + strings.Join(h.env, "' '") + "' " + filepath.Join(h.bin, "glickd") + " 2>>" + log + "\n"
	wrapperDir := t.TempDir()
	if err := os.WriteFile(filepath.Join(wrapperDir, "glickd"), []byte(wrapper), 0o755); err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(template), "@bindir@", wrapperDir)
	if err := os.WriteFile(filepath.Join(services, "org.glick.Session.service"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := h.conn.BusObject().Call("org.freedesktop.DBus.ReloadConfig", 0).Err; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		var pid uint32
		if h.conn.BusObject().Call("org.freedesktop.DBus.GetConnectionUnixProcessID", 0, sessionbus.Name).Store(&pid) == nil {
			_ = unix.Kill(int(pid), unix.SIGTERM)
			h.eventually("the end", func() bool { return unix.Kill(int(pid), 0) != nil })
		}
	})
	// Many at once start one.
	var asking sync.WaitGroup
	for range 8 {
		asking.Go(func() {
			if err := sessionbus.Sync(t.Context(), func() error { return errors.New("not asked") }); err != nil {
				t.Error(err)
			}
		})
	}
	asking.Wait()
	app, err := sessionbus.Install(t.Context(), build(t, "1"), apps.InstallOptions{})
	if err != nil {
		t.Fatal(err)
	}
	list, _, err := sessionbus.List()
	if err != nil || len(list) != 1 || list[0] != app {
		t.Errorf("%+v %+v %v", list, app, err)
	}
	if running, err := sessionbus.Instances(t.Context()); err != nil || running == nil || len(running) != 0 {
		t.Errorf("%v %v", running, err)
	}
	said, err := os.ReadFile(log)
	if err != nil || strings.Count(string(said), "msg=started") != 1 {
		t.Errorf("%s %v", said, err)
	}
}
