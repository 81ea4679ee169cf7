// SPDX-License-Identifier: MIT

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// windowTime is how long a window may take.
const windowTime = 60 * time.Second

// application is what shows the window, in all its forms.
type application struct {
	b      *bench
	screen *screen
	env    []string
	bundle string
	tree   string // what is laid over /usr
	image  string // squashfs of the tree, or ""
	noDisk string // why there is none
}

// application prepares the demonstration's application and a display. The caller calls stop.
func (b *bench) application(ctx context.Context) (a *application, stop func(), err error) {
	demo := filepath.Join(b.Work, "demo")
	a = &application{b: b, bundle: filepath.Join(demo, "TextEditor.bundle"), tree: filepath.Join(demo, "usr")}
	if _, err := os.Stat(a.bundle); err != nil {
		return nil, nil, skipped("there is no demonstration; \"./dev demo\" makes it, --demo says where it is")
	}
	if _, err := exec.LookPath("Xvfb"); err != nil {
		return nil, nil, skipped("it needs Xvfb")
	}
	server, display, err := b.startX(ctx)
	if err != nil {
		return nil, nil, err
	}
	a.screen, err = openScreen("/tmp/.X11-unix/X" + display)
	stop = func() {
		if a.screen != nil {
			a.screen.close()
		}
		_ = server.Process.Signal(syscall.SIGTERM) // it takes its socket and its lock away
		_ = server.Wait()
	}
	if err != nil {
		stop()
		return nil, nil, err
	}
	// Nothing but the application and its files: what else a session would start takes its own time.
	a.env = []string{
		"DISPLAY=:" + display, "GDK_BACKEND=x11", "GSK_RENDERER=cairo", "GTK_A11Y=none", "GSETTINGS_BACKEND=memory", "GIO_USE_VFS=local",
		"GIO_USE_PORTALS=0", "XDG_SESSION_TYPE=x11",
	}
	if a.image, err = b.squashfs(ctx, a.tree, "app"); err != nil {
		a.noDisk = err.Error()
	}
	return a, stop, nil
}

// startX starts an X server without a screen, on a number that it chooses.
func (b *bench) startX(ctx context.Context) (*exec.Cmd, string, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, "", err
	}
	defer r.Close()
	cmd := b.command(context.WithoutCancel(ctx), "Xvfb", "-displayfd", "3", "-nolisten", "tcp", "-screen", "0", "1280x1024x24")
	cmd.ExtraFiles = []*os.File{w}
	err = cmd.Start()
	w.Close()
	if err != nil {
		return nil, "", err
	}
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		_ = cmd.Wait()
		return nil, "", errors.New("Xvfb does not start")
	}
	return cmd, strings.TrimSpace(line), nil
}

const editor = "/usr/bin/gnome-text-editor"

// untilWindow starts a program and waits for its window; begin is when it began, when the program itself says so.
func (a *application) untilWindow(ctx context.Context, cmd *exec.Cmd, began func() (time.Duration, error)) (float64, error) {
	a.screen.drain()
	cmd.Env = append(cmd.Env, a.env...)
	var said strings.Builder
	cmd.Stderr = &said
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	fail := func(err error) (float64, error) {
		return 0, fmt.Errorf("%w: %s", err, strings.TrimSpace(said.String()))
	}
	var took float64
	select {
	case m, ok := <-a.screen.mapped:
		if !ok {
			return fail(errors.New("the X server has ended"))
		}
		took = m.at.Sub(start).Seconds()
	case err := <-ended:
		return fail(fmt.Errorf("it has ended without a window: %w", err))
	case <-time.After(windowTime):
		_ = cmd.Process.Kill()
		<-ended
		return fail(errors.New("no window comes"))
	case <-ctx.Done():
		_ = cmd.Process.Kill()
		<-ended
		return 0, context.Cause(ctx)
	}
	_ = cmd.Process.Kill()
	<-ended
	if began != nil {
		late, err := began()
		if err != nil {
			return fail(err)
		}
		took -= late.Seconds()
	}
	return took, pause(ctx, 50*time.Millisecond) // for what notices its end
}

func (a *application) glick(ctx context.Context) (float64, error) {
	return a.untilWindow(ctx, a.b.command(context.WithoutCancel(ctx), a.bundle), nil)
}

// native starts the same files at the same place, without Glick: an overlay of the unpacked tree on /usr, as the bundle has.
// Time counts from when that is there.
func (a *application) native(ctx context.Context) (float64, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer r.Close()
	defer w.Close()
	cmd := a.b.command(context.WithoutCancel(ctx), programOf(a.b.Work, "run-bench"), "overlay", a.tree, editor)
	cmd.Args[0] = insideName
	cmd.ExtraFiles = []*os.File{w}
	uid, gid := os.Getuid(), os.Getgid()
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: gid, HostID: gid, Size: 1}},
		AmbientCaps: []uintptr{unix.CAP_SYS_ADMIN},
	}
	var before unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &before); err != nil {
		return 0, err
	}
	return a.untilWindow(ctx, cmd, func() (time.Duration, error) {
		w.Close()
		line, err := bufio.NewReader(r).ReadString('\n')
		if err != nil {
			return 0, err
		}
		n, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
		return time.Duration(n - before.Nano()), err
	})
}

// squashfuse starts it as the AppImages do: mount, then find everything through the environment.
func (a *application) squashfuse(ctx context.Context) (float64, error) {
	at := filepath.Join(a.b.dir, "app.mounted")
	begin := time.Now()
	if err := a.b.mountSquashfuse(ctx, a.image, at); err != nil {
		return 0, err
	}
	mounted := time.Since(begin)
	defer unmountBelow(at)
	cmd := a.b.command(context.WithoutCancel(ctx), filepath.Join(at, "bin", "gnome-text-editor"))
	arch := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]
	cmd.Env = append(cmd.Env,
		"LD_LIBRARY_PATH="+filepath.Join(at, "lib", arch+"-linux-gnu"), "XDG_DATA_DIRS="+filepath.Join(at, "share")+":/usr/local/share:/usr/share",
		"GSETTINGS_SCHEMA_DIR="+filepath.Join(at, "share", "glib-2.0", "schemas"))
	took, err := a.untilWindow(ctx, cmd, nil)
	return took + mounted.Seconds(), err
}

func windowWarm(b *bench, ctx context.Context, r *result) error {
	a, stop, err := b.application(ctx)
	if err != nil {
		return err
	}
	defer stop()
	s, err := b.startService(ctx)
	if err != nil {
		return err
	}
	defer s.stop()
	who := []contender{{"glick", a.glick}, {"native", a.native}}
	if a.image != "" {
		who = append(who, contender{"squashfuse", a.squashfuse})
	} else {
		r.note("without squashfuse: %s", a.noDisk)
	}
	if r.Series, err = turns(ctx, "s", 2, b.runs(15), who); err != nil {
		return err
	}
	r.compare("glick", "native", 1.05)
	return nil
}

func windowCold(b *bench, ctx context.Context, r *result) error {
	if b.root == nil {
		return skipped("only root can drop caches; start the benchmark as root")
	}
	a, stop, err := b.application(ctx)
	if err != nil {
		return err
	}
	defer stop()
	s, err := b.startService(ctx)
	if err != nil {
		return err
	}
	defer func() { s.stop() }()
	// The service begins anew each time, because it has a cache of its own.
	cold := func(run func(context.Context) (float64, error)) func(context.Context) (float64, error) {
		return func(ctx context.Context) (float64, error) {
			s.stop()
			if err := b.root.ask(askDrop); err != nil {
				return 0, err
			}
			var err error
			if s, err = b.startService(ctx); err != nil {
				return 0, err
			}
			if err := pause(ctx, 300*time.Millisecond); err != nil {
				return 0, err
			}
			return run(ctx)
		}
	}
	who := []contender{{"glick", cold(a.glick)}, {"native", cold(a.native)}}
	if a.image != "" {
		who = append(who, contender{"squashfuse", cold(a.squashfuse)})
	} else {
		r.note("without squashfuse: %s", a.noDisk)
	}
	if r.Series, err = turns(ctx, "s", 1, b.runs(7), who); err != nil {
		return err
	}
	r.compare("glick", "native", 1.3)
	r.compare("glick", "squashfuse", 0.5)
	return nil
}

// squashfs packs a tree with mksquashfs, as AppImages are.
func (b *bench) squashfs(ctx context.Context, tree, name string) (string, error) {
	for _, tool := range []string{"squashfuse", "mksquashfs"} {
		if _, err := exec.LookPath(tool); err != nil {
			return "", fmt.Errorf("%s is not installed", tool)
		}
	}
	return b.once(name+".squashfs", func(at string) error {
		_, err := capture(b.command(ctx, "mksquashfs", tree, at, "-comp", "zstd", "-noappend", "-no-progress"))
		return err
	})
}

// mountSquashfuse mounts an image on a folder; squashfuse is then in the background.
func (b *bench) mountSquashfuse(ctx context.Context, image, at string) error {
	if err := os.MkdirAll(at, 0o755); err != nil {
		return err
	}
	_, err := capture(b.command(ctx, "squashfuse", image, at))
	return err
}
