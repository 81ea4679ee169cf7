// SPDX-License-Identifier: MIT

// Package desk starts real desktop sessions without a screen: X11 with a small window manager, or GNOME Shell on Wayland, each
// with a home folder, buses and displays of its own. What a session leaves behind is found, removed and reported.
package desk

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/godbus/dbus/v5"

	"glick.org/glick/tests/desktop/atspi"
)

// Kind is a kind of session.
type Kind int

// The kinds of session.
const (
	X11   Kind = iota // Xvfb with openbox
	GNOME             // GNOME Shell on Wayland, with a system bus of its own, open to org.gnome.Shell.Eval
)

// marker is the environment variable by which a session's processes are known, however far they have wandered.
const marker = "GLICK_TEST_DESK"

const width, height = 1280, 800

// Session is a running session.
type Session struct {
	Kind Kind
	Home string // the home folder, empty at the start but for the XDG folders
	Bus  *dbus.Conn
	A11y *atspi.Tree

	dir    string
	env    []string
	system []*exec.Cmd // started by Start, ended last, in reverse
}

// Start starts a session. The caller closes it. Env holds more variables for its programs, as "NAME=value".
//
// Now and then GNOME Shell hangs when it starts, once so that not even the kernel could end it for half a minute. What it does then is no
// business of these tests: they begin anew, with another bus and another home.
func Start(kind Kind, env ...string) (*Session, error) {
	const attempts = 3
	for attempt := 1; ; attempt++ {
		s, err := startOnce(kind, env...)
		if err == nil || attempt == attempts {
			return s, err
		}
	}
}

func startOnce(kind Kind, env ...string) (*Session, error) {
	dir, err := os.MkdirTemp("", "glick-desk-")
	if err != nil {
		return nil, err
	}
	s := &Session{Kind: kind, dir: dir, Home: filepath.Join(dir, "home")}
	run := filepath.Join(dir, "run")
	s.env = append([]string{
		"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8", marker + "=" + dir, "HOME=" + s.Home, "USER=" + os.Getenv("USER"),
		"XDG_RUNTIME_DIR=" + run, "XDG_DATA_HOME=" + s.Home + "/.local/share", "XDG_CACHE_HOME=" + s.Home + "/.cache",
		"XDG_CONFIG_HOME=" + s.Home + "/.config", "XDG_STATE_HOME=" + s.Home + "/.local/state",
		"XDG_DATA_DIRS=/usr/local/share:/usr/share", "XDG_CONFIG_DIRS=/etc/xdg", "XDG_CURRENT_DESKTOP=GNOME",
		"GSETTINGS_BACKEND=memory", "LIBGL_ALWAYS_SOFTWARE=1", "NO_AT_BRIDGE=0", "SHELL=/bin/bash",
		"DBUS_SESSION_BUS_ADDRESS=unix:path=" + run + "/bus",
		// No system bus of the machine: its services are not part of the test.
		"DBUS_SYSTEM_BUS_ADDRESS=unix:path=" + run + "/system-bus",
	}, env...)
	if err := s.start(run); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Session) start(run string) error {
	for _, d := range []string{run, s.Home, s.Home + "/.local/share", s.Home + "/.local/state", s.Home + "/.cache", s.Home + "/.config"} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return err
		}
	}
	display := s.startX11
	if s.Kind == GNOME {
		display = s.startGNOME
	}
	if err := display(run); err != nil {
		return err
	}
	tree, err := atspi.Connect(s.Bus)
	if err != nil {
		return err
	}
	s.A11y = tree
	return nil
}

func (s *Session) startX11(run string) error {
	// Xvfb chooses the display and tells it through a pipe.
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	xvfb := s.Command("Xvfb", "-displayfd", "3", "-screen", "0", fmt.Sprintf("%dx%dx24", width, height), "-nolisten", "tcp", "-noreset")
	xvfb.ExtraFiles = []*os.File{w}
	err = s.startSystem(xvfb)
	w.Close()
	if err != nil {
		return err
	}
	number, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		return fmt.Errorf("cannot start Xvfb: %w; %s", err, s.Log("Xvfb"))
	}
	s.env = append(s.env, "DISPLAY=:"+strings.TrimSpace(number), "GDK_BACKEND=x11", "XDG_SESSION_TYPE=x11")
	if err := s.startBus(run); err != nil {
		return err
	}
	if err := s.startSystem(s.Command("openbox")); err != nil {
		return err
	}
	return Until(10*time.Second, "openbox runs", func() (bool, error) {
		out, _ := s.Command("xprop", "-root", "_NET_SUPPORTING_WM_CHECK").Output()
		return strings.Contains(string(out), "window id"), nil
	})
}

func (s *Session) startGNOME(run string) error {
	// Without any system bus GNOME Shell ends when it starts; one of the user's own is enough.
	conf := filepath.Join(s.dir, "system-bus.conf")
	text := `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path=` + run + `/system-bus</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>
`
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return err
	}
	if err := s.startSystem(s.Command("dbus-daemon", "--nofork", "--config-file="+conf)); err != nil {
		return err
	}
	s.env = append(s.env, "XDG_SESSION_TYPE=wayland", "XDG_SESSION_CLASS=user", "XDG_SESSION_DESKTOP=gnome")
	shellEnv := slices.Clone(s.env)
	s.env = append(s.env, "WAYLAND_DISPLAY=wayland-0", "GDK_BACKEND=wayland")
	if err := s.startBus(run); err != nil {
		return err
	}
	if err := s.startShell(shellEnv); err != nil {
		return fmt.Errorf("%w; it waits in %s; %s", err, s.Waits(), s.Log("gnome-shell"))
	}
	// It starts with the overview, and with a notice that there is no display manager.
	_, err := s.Eval("Main.overview.hide(); Main.messageTray.getSources().forEach(s => s.destroy()); true")
	return err
}

// startShell starts GNOME Shell and waits for it.
func (s *Session) startShell(env []string) error {
	shell := s.Command("gnome-shell", "--headless", "--unsafe-mode", "--wayland-display=wayland-0",
		fmt.Sprintf("--virtual-monitor=%dx%d", width, height))
	shell.Env = env
	if err := s.startSystem(shell); err != nil {
		return err
	}
	ended := func() bool {
		return !slices.ContainsFunc(s.processes(), func(p process) bool { return p.pid == shell.Process.Pid })
	}
	return Until(40*time.Second, "GNOME Shell runs", func() (bool, error) {
		if ended() {
			return false, errors.New("GNOME Shell ended")
		}
		// Without a screen nothing asks for frames, and the animation goes on with frames only.
		out, err := s.Eval("global.stage.queue_redraw(); !Main.layoutManager._startingUp")
		return err == nil && out == "true", nil
	})
}

func (s *Session) startBus(run string) error {
	address := "unix:path=" + run + "/bus"
	if err := s.startSystem(s.Command("dbus-daemon", "--session", "--nofork", "--nopidfile", "--address="+address)); err != nil {
		return err
	}
	return Until(10*time.Second, "the session bus runs", func() (bool, error) {
		conn, err := dbus.Connect(address)
		if err == nil {
			s.Bus = conn
		}
		return err == nil, nil
	})
}

// Command is a program of the session, not yet started, in the home folder.
func (s *Session) Command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	if p := s.lookPath(name); p != "" {
		cmd.Path, cmd.Err = p, nil
	}
	cmd.Env, cmd.Dir = append([]string(nil), s.env...), s.Home
	// A hung session must not keep a pipe of the test open.
	cmd.WaitDelay = time.Second
	return cmd
}

func (s *Session) lookPath(name string) string {
	if strings.Contains(name, "/") {
		return ""
	}
	for _, d := range []string{"/usr/local/bin", "/usr/bin", "/bin"} {
		if p := filepath.Join(d, name); syscall.Access(p, 1) == nil {
			return p
		}
	}
	return ""
}

// Run runs a program to its end and returns what it printed; what it said on standard error is in the error.
func (s *Session) Run(name string, args ...string) (string, error) {
	cmd := s.Command(name, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return string(out), err
}

// Launch starts a program that lives as long as the session, or until its window is closed. Its output is in Log(name).
func (s *Session) Launch(name string, args ...string) (*exec.Cmd, error) {
	cmd := s.Command(name, args...)
	return cmd, s.startLogged(cmd)
}

func (s *Session) startSystem(cmd *exec.Cmd) error {
	if err := s.startLogged(cmd); err != nil {
		return err
	}
	s.system = append(s.system, cmd)
	return nil
}

func (s *Session) startLogged(cmd *exec.Cmd) error {
	log, err := os.OpenFile(filepath.Join(s.dir, filepath.Base(cmd.Args[0])+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("cannot start %s: %w", cmd.Args[0], err)
	}
	go func() { _ = cmd.Wait() }()
	return nil
}

// Log returns the last lines that a program of the session printed.
func (s *Session) Log(name string) string {
	data, err := os.ReadFile(filepath.Join(s.dir, name+".log"))
	if err != nil {
		return err.Error()
	}
	const most = 4000
	if len(data) > most {
		data = data[len(data)-most:]
	}
	return name + " said: " + strings.TrimSpace(string(data))
}

// Until asks every 100 ms until the answer is yes. What is the sentence that should become true.
func Until(timeout time.Duration, what string, ask func() (bool, error)) error {
	deadline := time.Now().Add(timeout)
	for {
		ok, err := ask()
		switch {
		case err != nil:
			return fmt.Errorf("%s: %w", what, err)
		case ok:
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("not so within %v: %s", timeout, what)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// Warnings lists what GLib and GTK have complained of in a program of the session, whoever started it.
func (s *Session) Warnings(program string) []string {
	logs, _ := filepath.Glob(filepath.Join(s.dir, "*.log"))
	var found []string
	for _, log := range logs {
		data, err := os.ReadFile(log)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(data)) {
			plain := strings.Contains(line, "("+program+":") && (strings.Contains(line, "-WARNING **") || strings.Contains(line, "-CRITICAL **"))
			// gotk4 writes what GLib says in Go's way; only our windows are made with it.
			logged := strings.Contains(line, " glib_domain=") && (strings.Contains(line, " WARN ") || strings.Contains(line, " ERROR "))
			if plain || logged {
				found = append(found, strings.TrimSpace(line))
			}
		}
	}
	return found
}

// Eval runs JavaScript inside GNOME Shell and returns its value as JSON.
func (s *Session) Eval(script string) (string, error) {
	var ok bool
	var value string
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	err := s.Bus.Object("org.gnome.Shell", "/org/gnome/Shell").CallWithContext(ctx, "org.gnome.Shell.Eval", 0, script).Store(&ok, &value)
	if err != nil {
		return "", fmt.Errorf("cannot ask GNOME Shell: %w", err)
	}
	if !ok {
		return "", fmt.Errorf("GNOME Shell could not do %q: %s", script, value)
	}
	return value, nil
}

// Screenshot writes a picture of the whole screen to a PNG file.
func (s *Session) Screenshot(file string) error {
	if s.Kind == X11 {
		_, err := s.Run("import", "-window", "root", file)
		return err
	}
	var ok bool
	var used string
	const cursor, flash = false, false
	err := s.Bus.Object("org.gnome.Shell.Screenshot", "/org/gnome/Shell/Screenshot").
		Call("org.gnome.Shell.Screenshot.Screenshot", 0, cursor, flash, file).Store(&ok, &used)
	if err == nil && !ok {
		err = errors.New("GNOME Shell made none")
	}
	if err != nil {
		return fmt.Errorf("cannot take a picture of the screen: %w", err)
	}
	return nil
}

// Window is a window on the screen, without its shadow.
type Window struct {
	ID    string
	Title string
	PID   int
	X, Y  int
	W, H  int
}

// Windows lists the visible windows.
func (s *Session) Windows() ([]Window, error) {
	if s.Kind == GNOME {
		out, err := s.Eval(`global.get_window_actors().map(a => { let w = a.meta_window, r = w.get_frame_rect();
			return {ID: '' + w.get_stable_sequence(), Title: w.title, PID: w.get_pid(), X: r.x, Y: r.y, W: r.width, H: r.height}; })`)
		if err != nil {
			return nil, err
		}
		var windows []Window
		if err := json.Unmarshal([]byte(out), &windows); err != nil {
			return nil, fmt.Errorf("cannot understand GNOME Shell's list of windows: %w", err)
		}
		return windows, nil
	}
	out, err := s.Command("xdotool", "search", "--onlyvisible", "--name", ".").Output()
	if err != nil && len(out) > 0 {
		return nil, fmt.Errorf("cannot list the windows: %w", err)
	}
	var windows []Window
	for _, id := range strings.Fields(string(out)) {
		w := Window{ID: id}
		// A window may close between the two questions: then it is not listed.
		geometry, err := s.Run("xdotool", "getwindowgeometry", "--shell", id)
		if err != nil {
			continue
		}
		for _, line := range strings.Fields(geometry) {
			key, value, _ := strings.Cut(line, "=")
			n, _ := strconv.Atoi(value)
			switch key {
			case "X":
				w.X = n
			case "Y":
				w.Y = n
			case "WIDTH":
				w.W = n
			case "HEIGHT":
				w.H = n
			}
		}
		var left, right, top, bottom int
		frame, _ := s.Run("xprop", "-id", id, "-notype", "_GTK_FRAME_EXTENTS")
		if n, _ := fmt.Sscanf(frame, "_GTK_FRAME_EXTENTS = %d, %d, %d, %d", &left, &right, &top, &bottom); n == 4 {
			w.X, w.Y, w.W, w.H = w.X+left, w.Y+top, w.W-left-right, w.H-top-bottom
		}
		title, _ := s.Run("xdotool", "getwindowname", id)
		pid, _ := s.Run("xdotool", "getwindowpid", id)
		w.Title = strings.TrimSpace(title)
		w.PID, _ = strconv.Atoi(strings.TrimSpace(pid))
		windows = append(windows, w)
	}
	return windows, nil
}

// Place is the middle of an object on the screen. Of a program with several windows it is the one whose title assistive technology gives to the
// object's window, or the first.
func (s *Session) Place(n atspi.Node) (x, y int, err error) {
	nx, ny, nw, nh, err := n.Extents()
	if err != nil {
		return 0, 0, err
	}
	pid, err := n.PID()
	if err != nil {
		return 0, 0, err
	}
	windows, err := s.Windows()
	if err != nil {
		return 0, 0, err
	}
	windows = slices.DeleteFunc(windows, func(w Window) bool { return w.PID != pid || w.W <= 10 })
	if len(windows) == 0 {
		return 0, 0, fmt.Errorf("%q is in no window on the screen", n.Name())
	}
	w := windows[0]
	if title := n.Window().Name(); len(windows) > 1 {
		if i := slices.IndexFunc(windows, func(w Window) bool { return w.Title == title }); i >= 0 {
			w = windows[i]
		}
	}
	return w.X + nx + nw/2, w.Y + ny + nh/2, nil
}

// Arrange gives a window another place and size, which it may refuse.
func (s *Session) Arrange(w Window, x, y, width, height int) error {
	if s.Kind == X11 {
		_, err := s.Run("xdotool", "windowsize", w.ID, strconv.Itoa(width), strconv.Itoa(height), "windowmove", w.ID, strconv.Itoa(x), strconv.Itoa(y))
		return err
	}
	_, err := s.Eval(fmt.Sprintf(`global.get_window_actors().map(a => a.meta_window).filter(w => '' + w.get_stable_sequence() === '%s').
		forEach(w => { w.unmaximize(3); w.move_resize_frame(true, %d, %d, %d, %d); }); true`, w.ID, x, y, width, height))
	return err
}

// Close ends the session and removes its folder. The error tells what was left: mounts, files that cannot be removed,
// processes that would not end.
func (s *Session) Close() error {
	var errs []error
	if s.A11y != nil {
		s.A11y.Close()
	}
	if s.Bus != nil {
		s.Bus.Close()
	}
	// First all that was started in the session, so that services say goodbye to living buses; then the session itself.
	own := map[int]bool{}
	for _, c := range s.system {
		own[c.Process.Pid] = true
	}
	s.end(func(pid int) bool { return !own[pid] })
	for i := len(s.system) - 1; i >= 0; i-- {
		_ = s.system[i].Process.Signal(syscall.SIGTERM)
	}
	s.end(func(int) bool { return true })
	if left := s.processes(); len(left) > 0 {
		errs = append(errs, fmt.Errorf("left running: %v", left))
	}
	for _, m := range mountsBelow(s.dir) {
		errs = append(errs, fmt.Errorf("left mounted: %s", m))
		_ = exec.Command("fusermount3", "-u", "-z", m).Run()
	}
	if err := removeAll(s.dir); err != nil {
		errs = append(errs, fmt.Errorf("left behind: %w", err))
	}
	return errors.Join(errs...)
}

// End ends the programs whose command lines have one of the words in them.
func (s *Session) End(words ...string) error {
	named := map[int]bool{}
	for _, p := range s.processes() {
		if slices.ContainsFunc(words, func(w string) bool { return strings.Contains(p.name, w) }) {
			named[p.pid] = true
		}
	}
	s.end(func(pid int) bool { return named[pid] })
	for _, p := range s.processes() {
		if named[p.pid] {
			return fmt.Errorf("cannot end %v", p)
		}
	}
	return nil
}

// Waits tells what each thread of the session's programs waits for in the kernel, to find out why one hangs.
func (s *Session) Waits() string {
	var b strings.Builder
	for _, p := range s.processes() {
		fmt.Fprintf(&b, "%v:", p)
		threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", p.pid))
		for _, t := range threads {
			name, _ := os.ReadFile(t + "/comm")
			place, _ := os.ReadFile(t + "/wchan")
			call, _ := os.ReadFile(t + "/syscall")
			number, _, _ := strings.Cut(string(call), " ")
			fmt.Fprintf(&b, " %s=%s(%s)", strings.TrimSpace(string(name)), place, strings.TrimSpace(number))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// end asks processes to end, and makes them after three seconds.
func (s *Session) end(which func(pid int) bool) {
	for round := range 40 {
		left := 0
		for _, p := range s.processes() {
			if !which(p.pid) {
				continue
			}
			left++
			switch round {
			case 0:
				_ = syscall.Kill(p.pid, syscall.SIGTERM)
			case 30:
				_ = syscall.Kill(p.pid, syscall.SIGKILL)
			}
		}
		if left == 0 {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

type process struct {
	pid  int
	name string
}

func (p process) String() string { return fmt.Sprintf("%s (%d)", p.name, p.pid) }

// processes lists what runs in the session, by the marker in the environment that each got when it was started.
func (s *Session) processes() []process {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var found []process
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		env, err := os.ReadFile("/proc/" + e.Name() + "/environ")
		if err != nil || !strings.Contains("\x00"+string(env), "\x00"+marker+"="+s.dir+"\x00") {
			continue
		}
		line, _ := os.ReadFile("/proc/" + e.Name() + "/cmdline")
		name := strings.TrimSpace(strings.ReplaceAll(string(line), "\x00", " "))
		if name == "" {
			continue // it has ended and waits for its parent
		}
		found = append(found, process{pid, name})
	}
	return found
}

// Processes lists the command lines of all that runs in the session, for tests that look for what should have ended.
func (s *Session) Processes() []string {
	var lines []string
	for _, p := range s.processes() {
		lines = append(lines, p.String())
	}
	return lines
}

func mountsBelow(dir string) []string {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	defer f.Close()
	data, _ := io.ReadAll(f)
	var found []string
	for _, line := range strings.Split(string(data), "\n") {
		fields := strings.Fields(line)
		if len(fields) > 4 && strings.HasPrefix(fields[4], dir+"/") {
			found = append(found, fields[4])
		}
	}
	return found
}

// removeAll removes a tree whose folders may have lost their write permission.
func removeAll(dir string) error {
	_ = filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			_ = os.Chmod(p, 0o700)
		}
		return nil
	})
	return os.RemoveAll(dir)
}
