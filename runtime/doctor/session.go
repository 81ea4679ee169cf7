// SPDX-License-Identifier: MIT

package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"glick.org/glick/runtime/launch"
	"glick.org/glick/runtime/session"
)

// checkRuntimeDir checks what the XDG Base Directory Specification wants of the folder.
func checkRuntimeDir(context.Context, *host) Check {
	const without = "The session service serves no files; each bundle serves its own."
	const mend = "Log in through a display manager, or by pam_systemd or elogind, which make it."
	dir := os.Getenv("XDG_RUNTIME_DIR")
	var st unix.Stat_t
	var err error
	detail := ""
	switch {
	case dir == "":
		detail = "XDG_RUNTIME_DIR is not set."
	case !filepath.IsAbs(dir):
		detail = fmt.Sprintf("XDG_RUNTIME_DIR is no absolute path: %q.", dir)
	default:
		if err = unix.Stat(dir, &st); err != nil {
			detail = sentence(fmt.Errorf("%s cannot be used: %w", dir, err))
		}
	}
	if detail != "" {
		return Check{State: Missing, Detail: detail, Used: without, Mend: mend, Err: err}
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		return Check{State: Missing, Detail: dir + " is not a folder.", Used: without, Mend: mend}
	case st.Uid != uint32(os.Geteuid()):
		return Check{State: Missing, Detail: dir + " belongs to another user, with number " + strconv.Itoa(int(st.Uid)) + ".", Used: without,
			Mend: "Unset XDG_RUNTIME_DIR, or log in as this user: su and sudo keep the other one's."}
	case unix.Access(dir, unix.W_OK|unix.X_OK) != nil:
		return Check{State: Missing, Detail: dir + " cannot be written to.", Used: without, Mend: mend}
	case st.Mode&0o777 != 0o700:
		return Check{State: Degraded, Detail: fmt.Sprintf("%s has mode %04o instead of 0700.", dir, st.Mode&0o777), Used: "Glick's own folder in it is private.",
			Mend: "chmod 0700 " + dir}
	}
	return Check{State: OK, Detail: dir + " is there, and private.", Used: "The session service's socket and file system are in it."}
}

func checkService(ctx context.Context, h *host) Check {
	const without = "Each bundle serves its own files; what two have in common is in memory twice."
	mend := "Log out and in again, or start it: glickd &"
	if !h.works(IDRuntimeDir) {
		mend = "It needs XDG_RUNTIME_DIR, see above."
	}
	list, err := session.Instances(ctx)
	switch {
	case err == nil && len(list) == 1:
		return Check{State: OK, Detail: "It answers, and serves one running bundle.", Used: "It serves the files of running bundles."}
	case err == nil:
		return Check{State: OK, Detail: fmt.Sprintf("It answers, and serves %d running bundles.", len(list)), Used: "It serves the files of running bundles."}
	case errors.Is(err, session.ErrNotRunning):
		return Check{State: Missing, Detail: sentence(err), Used: without, Mend: mend, Err: err}
	case ctx.Err() != nil:
		return Check{State: Degraded, Detail: "It is there, but does not answer.", Used: without, Mend: "End glickd and start it.", Err: err}
	}
	return Check{State: Degraded, Detail: sentence(err), Used: without, Mend: "Log out and in again, or end glickd and start it.", Err: err}
}

// servicePID is the process that listens on the session service's socket, 0 when there is none or it is somebody else's.
func servicePID() int {
	dir, err := session.Dir()
	if err != nil {
		return 0
	}
	folder, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0
	}
	defer unix.Close(folder)
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return 0
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: "/proc/self/fd/" + strconv.Itoa(folder) + "/socket"}); err != nil {
		return 0
	}
	cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil || cred.Uid != uint32(os.Geteuid()) {
		return 0
	}
	return int(cred.Pid)
}

// connectBus connects to the session bus that is there; it starts none. The caller closes the connection.
func connectBus(ctx context.Context) (*dbus.Conn, error) {
	conn, err := dbus.SessionBusPrivateNoAutoStartup(dbus.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	if err = conn.Auth(nil); err == nil {
		err = conn.Hello()
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

func checkBus(ctx context.Context, h *host) Check {
	const without = "\"glick install\" shows applications to the desktop by itself; open windows do not hear of changes."
	conn, err := connectBus(ctx)
	if err != nil {
		return Check{State: Missing, Detail: sentence(fmt.Errorf("no session bus answers: %w", err)), Used: without,
			Mend: "Log in to a desktop, or start a session with: dbus-run-session", Err: err}
	}
	defer conn.Close()
	var running, startable []string
	bus := conn.BusObject()
	if err = bus.CallWithContext(ctx, "org.freedesktop.DBus.ListNames", 0).Store(&running); err == nil {
		err = bus.CallWithContext(ctx, "org.freedesktop.DBus.ListActivatableNames", 0).Store(&startable)
	}
	switch {
	case err != nil:
		return Check{State: Degraded, Detail: sentence(fmt.Errorf("the session bus does not tell its names: %w", err)), Used: without, Err: err}
	case slices.Contains(running, h.BusName):
		return Check{State: OK, Detail: "It answers, and the session service is on it.", Used: "Programs ask the session service through it."}
	case slices.Contains(startable, h.BusName):
		return Check{State: OK, Detail: "It answers, and can start the session service.", Used: "The session service is started when it is needed."}
	}
	return Check{State: Degraded, Detail: "It answers, but does not know the session service.", Used: without,
		Mend: "Install Glick below /usr or /usr/local, so that the bus finds " + h.BusName + ".service; then log out and in again."}
}

func checkSystemd(ctx context.Context, h *host) Check {
	const without = "Applications get no scope of their own; portals and the shell know them by their windows only."
	if !h.works(IDBus) {
		return Check{State: Missing, Detail: "It needs the session bus.", Used: without}
	}
	conn, err := connectBus(ctx)
	if err != nil {
		return Check{State: Missing, Detail: sentence(err), Used: without, Err: err}
	}
	defer conn.Close()
	const name, path = "org.freedesktop.systemd1", "/org/freedesktop/systemd1"
	var version dbus.Variant
	call := conn.Object(name, path).CallWithContext(ctx, "org.freedesktop.DBus.Properties.Get", dbus.FlagNoAutoStart, name+".Manager", "Version")
	if err := call.Store(&version); err != nil {
		return Check{State: Missing, Detail: "systemd does not manage this session.", Used: without,
			Mend: "Log in through pam_systemd, on a system that runs systemd.", Err: err}
	}
	text, _ := version.Value().(string)
	return Check{State: OK, Detail: "It answers (" + text + ").", Used: "Each application gets a scope of its own."}
}

// checkVersions compares the parts of Glick that are installed, and the session service that runs.
func checkVersions(ctx context.Context, h *host) Check {
	const mend = "Install all parts of Glick from the same release."
	glickd := beside("glickd")
	if glickd == "" {
		return Check{State: Degraded, Detail: "The session service, glickd, is not installed.", Used: "Each bundle serves its own files; nobody watches the bundle folders.",
			Mend: mend}
	}
	parts := []struct{ name, version string }{{"glick", h.Version}, {"glickd", askVersion(ctx, glickd, glickd, "--version")}}
	if stub, err := launch.StubPath(launch.Arch()); err == nil {
		// A stub of a version that does not tell it ends with a message; what it can do was tried.
		if v := askVersion(ctx, stub, "glick:version"); v != "" {
			parts = append(parts, struct{ name, version string }{"stub", v})
		}
	}
	different := false
	var list []string
	for _, p := range parts {
		if p.version == "" {
			p.version = "unknown"
		}
		different = different || p.version != parts[0].version
		list = append(list, p.name+" "+p.version)
	}
	found := strings.Join(list, ", ")
	if different {
		return Check{State: Degraded, Detail: "The parts of Glick are of different versions: " + found + ".",
			Used: "They may not understand each other; bundles serve themselves then.", Mend: mend}
	}
	if pid := servicePID(); pid != 0 && !samePrograms(fmt.Sprintf("/proc/%d/exe", pid), glickd) {
		return Check{State: Degraded, Detail: "The session service that runs is not the one that is installed (" + found + ").",
			Used: "What is new in the installed one begins when it is started.", Mend: "Log out and in again, or end glickd and start it."}
	}
	return Check{State: OK, Detail: "All parts are of the same version: " + found + ".", Used: "They understand each other."}
}

// beside finds another program of Glick: beside this one, or else in PATH. It is "" when there is none.
func beside(name string) string {
	if self, err := os.Executable(); err == nil {
		if real, err := filepath.EvalSymlinks(self); err == nil {
			self = real
		}
		path := filepath.Join(filepath.Dir(self), name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && unix.Access(path, unix.X_OK) == nil {
			return path
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return ""
	}
	return path
}

// askVersion is the last word of what a program of Glick says when it is asked for its version; "" when it does not tell.
func askVersion(ctx context.Context, path string, argv ...string) string {
	cmd := exec.CommandContext(ctx, path)
	cmd.Args = argv
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	words := strings.Fields(firstLine(string(out)))
	if err != nil || len(words) != 2 || !strings.HasPrefix(words[0], "glick") {
		return ""
	}
	return words[1]
}

func samePrograms(a, b string) bool {
	first, err := os.Stat(a)
	second, err2 := os.Stat(b)
	return err == nil && err2 == nil && os.SameFile(first, second)
}
