// SPDX-License-Identifier: MIT

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The work folder. All but user belongs to who has started the benchmark.
func programOf(work, name string) string { return filepath.Join(work, "bin", name) }
func imageOf(work string) string         { return filepath.Join(userDir(work), "ext4.img") }
func ext4Of(work string) string          { return filepath.Join(work, "ext4") }
func mountsOf(work string) string        { return filepath.Join(work, "mounts") }
func userDir(work string) string         { return filepath.Join(work, "user") }

func stubName() string {
	if runtime.GOARCH == "arm64" {
		return "stub-aarch64"
	}
	return "stub-x86_64"
}

// prepare makes the work folder and copies into it what is measured: the user may not be able to read where that is.
func prepare(s *settings, uid int) error {
	for _, d := range []string{"bin", "ext4", "mounts", "user", "demo"} {
		if err := os.MkdirAll(filepath.Join(s.Work, d), 0o755); err != nil {
			return err
		}
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	copies := map[string]string{"run-bench": self}
	for _, name := range []string{"glick", "glickd", guiName} {
		copies[name] = filepath.Join(s.Glick, name)
	}
	copies[stubName()] = filepath.Join(s.Glick, stubName())
	for name, from := range copies {
		err := copyFile(from, programOf(s.Work, name))
		if name == guiName && errors.Is(err, fs.ErrNotExist) {
			continue // the rows that need it say so
		}
		if err != nil {
			return fmt.Errorf("%w; \"./dev build\" makes the programs, --glick says where they are", err)
		}
	}
	if uid >= 0 && !readable(s.Work) {
		return fmt.Errorf("other users cannot enter %s; use another --dir", s.Dir)
	}
	bundleFile, tree := filepath.Join(s.Demo, "TextEditor.bundle"), filepath.Join(s.Demo, ".tree", "usr")
	if _, err := os.Stat(bundleFile); err != nil {
		return nil // the rows that need it say so
	}
	if err := copyFile(bundleFile, filepath.Join(s.Work, "demo", "TextEditor.bundle")); err != nil {
		return err
	}
	out, err := exec.Command("cp", "-a", "--no-preserve=ownership", tree, filepath.Join(s.Work, "demo")).CombinedOutput()
	if err != nil {
		return fmt.Errorf("cannot copy the demonstration: %w: %s", err, out)
	}
	return nil
}

// readable says whether everybody can come to a folder.
func readable(dir string) bool {
	for {
		info, err := os.Stat(dir)
		if err != nil || info.Mode()&1 == 0 {
			return false
		}
		if dir == "/" {
			return true
		}
		dir = filepath.Dir(dir)
	}
}

func copyFile(from, to string) error {
	r, err := os.Open(from)
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	return errors.Join(err, w.Close())
}

// mountsBelow lists mount points that are at one of the folders or below, the last made first.
func mountsBelow(dirs ...string) ([]string, error) {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var found []string
	for line := range bytes.Lines(table) {
		f := strings.Fields(string(line))
		for _, dir := range dirs {
			if len(f) > 4 && (f[4] == dir || strings.HasPrefix(f[4], dir+"/")) {
				found = append(found, f[4])
				break
			}
		}
	}
	slices.Reverse(found)
	return found, nil
}

func unmountBelow(dirs ...string) error {
	list, err := mountsBelow(dirs...)
	for _, m := range list {
		if e := unix.Unmount(m, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); e != nil {
			if out, e := exec.Command("fusermount3", "-u", "-z", m).CombinedOutput(); e != nil {
				err = errors.Join(err, fmt.Errorf("cannot unmount %s: %w: %s", m, e, out))
			}
		}
	}
	return err
}

// removeWork takes the work folder away, but never through a mount.
func removeWork(work string) {
	err := unmountBelow(work)
	if err == nil {
		var left []string
		if left, err = mountsBelow(work); err == nil && len(left) > 0 {
			err = fmt.Errorf("there are mounts in it: %s", strings.Join(left, " "))
		}
	}
	if err == nil {
		err = os.RemoveAll(work)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "run-bench: %s is left: %v\n", work, err)
	}
}

// bench is the place where all is measured.
type bench struct {
	*settings
	root   *rootHelper
	dir    string // the user's part of the work folder
	prefix string // at which the small bundles appear
	env    []string
	made   map[string]string // what was made once and is used by several rows
	bus    *exec.Cmd
}

func newBench(s *settings, root *rootHelper) (*bench, error) {
	// What loses its parent becomes a child of ours, so that nothing gets away.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, os.NewSyscallError("prctl", err)
	}
	b := &bench{settings: s, root: root, dir: userDir(s.Work), made: map[string]string{}, prefix: "/opt/bundle"}
	for name, mode := range map[string]fs.FileMode{"home": 0o755, "run": 0o700, "alone": 0o700, "tmp": 0o700, "opt/bundle": 0o755} {
		dir := filepath.Join(b.dir, name)
		if err := errors.Join(os.MkdirAll(dir, 0o755), os.Chmod(dir, mode)); err != nil {
			return nil, err
		}
	}
	// An installed Glick has made the usual prefix; otherwise a folder of ours, so that all contenders find one.
	if info, err := os.Stat(b.prefix); err != nil || !info.IsDir() {
		b.prefix = filepath.Join(b.dir, "opt", "bundle")
	}
	b.env = []string{
		"HOME=" + filepath.Join(b.dir, "home"), "XDG_RUNTIME_DIR=" + filepath.Join(b.dir, "run"), "TMPDIR=" + filepath.Join(b.dir, "tmp"),
		"GLICK_STUB_DIR=" + filepath.Join(s.Work, "bin"), "PATH=/usr/bin:/bin:/usr/sbin:/sbin", "LANG=C.UTF-8",
		"DBUS_SESSION_BUS_ADDRESS=" + b.busAddress(),
	}
	if err := b.startBus(); err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

func (b *bench) busAddress() string { return "unix:path=" + filepath.Join(b.dir, "bus") }

// startBus starts a session bus on which nothing is started by being asked for, if there is a program for it.
func (b *bench) startBus() error {
	program, err := exec.LookPath("dbus-daemon")
	if err != nil {
		return nil
	}
	config := filepath.Join(b.dir, "bus.conf")
	text := `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:path=` + filepath.Join(b.dir, "bus") + `</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>
`
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return err
	}
	b.bus = b.command(context.Background(), program, "--nofork", "--nopidfile", "--config-file="+config)
	if err := b.bus.Start(); err != nil {
		return err
	}
	return b.await(context.Background(), "the session bus", func() bool { _, err := os.Stat(filepath.Join(b.dir, "bus")); return err == nil })
}

// command is a command in the benchmark's session.
func (b *bench) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = slices.Clone(b.env)
	cmd.Dir = "/"
	return cmd
}

// capture runs a command, whose failure is explained by what it said.
func capture(cmd *exec.Cmd) ([]byte, error) {
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, bytes.TrimSpace(said.Bytes()))
	}
	return out, nil
}

// await waits until something is so.
func (b *bench) await(ctx context.Context, what string, so func() bool) error {
	for end := time.Now().Add(time.Minute); !so(); {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s does not come", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
	return nil
}

// endRow ends all that a row has started and forgotten.
func (b *bench) endRow() error {
	keep := []int{os.Getpid()}
	if b.bus != nil {
		keep = append(keep, b.bus.Process.Pid)
	}
	err := killDescendants(keep)
	err = errors.Join(err, unmountBelow(b.dir))
	if b.root != nil {
		err = errors.Join(err, b.root.ask(askUnmounted))
	}
	return err
}

func (b *bench) close() error {
	if b.bus != nil {
		_ = b.bus.Process.Kill()
		_ = b.bus.Wait()
		b.bus = nil
	}
	return b.endRow()
}

// killDescendants ends all processes that descend from this one and are not to be kept, and waits for them.
func killDescendants(keep []int) error {
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		// They are our children: whoever was waited for elsewhere is gone already.
		for {
			if pid, _ := unix.Wait4(-1, nil, unix.WNOHANG, nil); pid <= 0 {
				break
			}
		}
		left := 0
		for _, pid := range descendants(os.Getpid()) {
			if !slices.Contains(keep, pid) {
				left++
				_ = unix.Kill(pid, unix.SIGKILL)
			}
		}
		if left == 0 {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("%d processes do not end", left)
		}
	}
}

// process is what /proc/PID/stat says.
type process struct {
	parent int
	state  byte
}

func readProcess(pid int) (process, bool) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	_, rest, ok := strings.Cut(string(data), ") ")
	if i := strings.LastIndex(string(data), ") "); ok && i >= 0 {
		rest = string(data)[i+2:]
	}
	f := strings.Fields(rest)
	if err != nil || len(f) < 2 {
		return process{}, false
	}
	parent, err := strconv.Atoi(f[1])
	return process{parent, f[0][0]}, err == nil
}

func allProcesses() []int {
	entries, _ := os.ReadDir("/proc")
	var pids []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// descendants lists the processes that descend from one.
func descendants(of int) []int {
	parents := map[int]int{}
	for _, pid := range allProcesses() {
		if p, ok := readProcess(pid); ok {
			parents[pid] = p.parent
		}
	}
	var found []int
	for pid := range parents {
		for up, steps := parents[pid], 0; up > 1 && steps < 1000; up, steps = parents[up], steps+1 {
			if up == of {
				found = append(found, pid)
				break
			}
		}
	}
	return found
}

// program is a running program with pipes to and from it.
type program struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func (b *bench) begin(cmd *exec.Cmd) (*program, error) {
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if cmd.Stderr == nil {
		cmd.Stderr = os.Stderr
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &program{cmd, in, bufio.NewReader(out)}, nil
}

// line reads a line that the program says.
func (p *program) line() (string, error) {
	line, err := p.out.ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("%s has ended: %w", filepath.Base(p.cmd.Path), err)
	}
	return strings.TrimSpace(line), nil
}

// ask sends a line and reads the answer.
func (p *program) ask(question string) (string, error) {
	if _, err := fmt.Fprintln(p.in, question); err != nil {
		return "", err
	}
	return p.line()
}

// kill ends a program and waits for it.
func (p *program) kill() {
	_ = p.cmd.Process.Signal(syscall.SIGKILL)
	_ = p.cmd.Wait()
}

// inBundle is a command that starts a bundle.
func (b *bench) inBundle(ctx context.Context, file, exec string, args ...string) *exec.Cmd {
	cmd := b.command(ctx, file, args...)
	if exec != "" {
		cmd.Env = append(cmd.Env, "GLICK_EXEC="+exec)
	}
	return cmd
}

// once makes something that several rows use.
func (b *bench) once(name string, make func(at string) error) (string, error) {
	if at := b.made[name]; at != "" {
		return at, nil
	}
	at := filepath.Join(b.dir, name)
	if err := make(at); err != nil {
		return "", fmt.Errorf("cannot make %s: %w", name, err)
	}
	b.made[name] = at
	return at, nil
}

// build makes a bundle of a tree.
func (b *bench) build(ctx context.Context, id, exec, tree, file string) error {
	_, err := capture(b.command(ctx, programOf(b.Work, "glick"), "build", "--id", id, "--bundle-version", "1", "--name", id, "--exec", exec,
		"--prefix", b.prefix, tree, file))
	return err
}

// runs is how often something is measured.
func (b *bench) runs(usual int) int {
	if b.Runs > 0 {
		return b.Runs
	}
	return usual
}
