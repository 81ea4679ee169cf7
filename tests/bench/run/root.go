// SPDX-License-Identifier: MIT

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	measureName = "bench-measure" // argv[0] of the process that measures, when root has started it
	privateMark = "GLICK_BENCH_PRIVATE"
	extraMounts = 300
)

// runAsRoot begins again in a mount namespace of its own, from where nothing is seen outside and where everything ends with the last
// process; there it starts the process that measures, as the unprivileged user, and does for it what only root can.
func runAsRoot(ctx context.Context, s *settings, args []string) error {
	if os.Getenv(privateMark) == "" {
		cmd := exec.Command("/proc/self/exe", args...)
		cmd.Env = append(os.Environ(), privateMark+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
		return follow(ctx, cmd)
	}
	uid, gid, err := lookup(s.User)
	if err != nil {
		return err
	}
	output, err := openOutput(s)
	if err != nil {
		return err
	}
	defer output.close()
	if s.Work, err = os.MkdirTemp(s.Dir, "glick-bench."); err != nil {
		return err
	}
	defer removeWork(s.Work)
	if err := errors.Join(os.Chmod(s.Work, 0o755), prepare(s, uid), os.Chown(userDir(s.Work), uid, gid)); err != nil {
		return err
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socketpair", err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "helper"), os.NewFile(uintptr(pair[1]), "helper")
	defer ours.Close()
	go serveRoot(ours, s.Work)
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	cmd := exec.Command(programOf(s.Work, "run-bench"), string(data))
	cmd.Args[0] = measureName
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "LANG=C.UTF-8"}
	cmd.ExtraFiles = []*os.File{theirs, orNull(output.json), orNull(output.svg)}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	err = follow(ctx, cmd)
	theirs.Close()
	return err
}

// lookup finds the user to measure as.
func lookup(name string) (uid, gid int, err error) {
	u, err := user.Lookup(name)
	if err != nil {
		return 0, 0, fmt.Errorf("there is no user to measure as: %w; \"./dev bench run\" makes it, or name another by --user", err)
	}
	uid, err = strconv.Atoi(u.Uid)
	if err == nil {
		gid, err = strconv.Atoi(u.Gid)
	}
	if err == nil && uid == 0 {
		err = errors.New("root is not the user to measure as; name another by --user")
	}
	return uid, gid, err
}

func orNull(f *os.File) *os.File {
	if f == nil {
		f, _ = os.Open(os.DevNull)
	}
	return f
}

// follow runs a command that ends by itself when it is told to, and tells it when this process is.
func follow(ctx context.Context, cmd *exec.Cmd) error {
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr.Pdeathsig = syscall.SIGTERM
	if err := cmd.Start(); err != nil {
		return err
	}
	// A second signal shall not end this process before its child has cleaned up.
	signal.Notify(make(chan os.Signal, 1), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Signal(syscall.SIGTERM) })
	defer stop()
	if err := cmd.Wait(); err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.ExitCode() == 1 {
			os.Stdout.Sync()
			return errSaid
		}
		return err
	}
	return nil
}

// errSaid is for what the child has explained already.
var errSaid = errors.New("not everything could be measured, see above")

// measureAsUser is the process that measures, when root has started it.
func measureAsUser(ctx context.Context, args []string) error {
	s := &settings{}
	if len(args) != 1 {
		return errors.New("this is for the benchmark's own use")
	}
	if err := json.Unmarshal([]byte(args[0]), s); err != nil {
		return err
	}
	for fd := 3; fd <= 5; fd++ {
		unix.CloseOnExec(fd)
	}
	o := &output{json: os.NewFile(4, s.JSON), svg: os.NewFile(5, s.SVG)}
	if s.JSON == "" {
		o.json = nil
	}
	if s.SVG == "" {
		o.svg = nil
	}
	f := os.NewFile(3, "helper")
	return measure(ctx, s, &rootHelper{f, bufio.NewReader(f)}, o)
}

// rootHelper asks root for what only root can do. It is nil when there is none.
type rootHelper struct {
	w io.Writer
	r *bufio.Reader
}

// What can be asked for. None has an argument: root does not work on paths that others name.
const (
	askDrop      = "drop"      // caches
	askExt4      = "ext4"      // mount the image
	askMounts    = "mounts"    // make many
	askUnmounted = "unmounted" // undo both
)

func (h *rootHelper) ask(what string) error {
	if h == nil {
		return skipped("it needs root")
	}
	if _, err := fmt.Fprintln(h.w, what); err != nil {
		return err
	}
	answer, err := h.r.ReadString('\n')
	if err != nil {
		return fmt.Errorf("root does not answer: %w", err)
	}
	if answer = strings.TrimSpace(answer); answer != "ok" {
		return errors.New(answer)
	}
	return nil
}

// serveRoot answers until the other side ends.
func serveRoot(conn *os.File, work string) {
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		answer := "ok"
		if err := doAsRoot(lines.Text(), work); err != nil {
			answer = strings.ReplaceAll(err.Error(), "\n", " ")
		}
		if _, err := fmt.Fprintln(conn, answer); err != nil {
			return
		}
	}
}

func doAsRoot(what, work string) error {
	switch what {
	case askDrop:
		unix.Sync()
		return os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0)
	case askExt4:
		out, err := exec.Command("mount", "-o", "loop,ro,nosuid,nodev", imageOf(work), ext4Of(work)).CombinedOutput()
		if err != nil {
			return fmt.Errorf("cannot mount the ext4 image: %w: %s", err, out)
		}
		return nil
	case askMounts:
		for i := range extraMounts {
			dir := filepath.Join(mountsOf(work), strconv.Itoa(i))
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return err
			}
			if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "size=64k,mode=755"); err != nil {
				return fmt.Errorf("cannot mount on %s: %w", dir, err)
			}
		}
		return nil
	case askUnmounted:
		return unmountBelow(mountsOf(work), ext4Of(work))
	}
	return fmt.Errorf("%q is not understood", what)
}
