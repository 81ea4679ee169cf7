// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// walks are what is done with 20,000 files; %s is their folder.
var walks = []struct{ name, command string }{
	{"find", "find %s >/dev/null"},
	{"ls -lR", "ls -lR %s >/dev/null"},
	{"cat", "find %s -type f -print0 | xargs -0 cat >/dev/null"},
}

// walker is a shell that sees the files in a folder.
type walker struct {
	name   string
	shell  *program
	folder string
}

func (w *walker) run(command string) (float64, error) {
	begin := time.Now()
	answer, err := w.shell.ask(fmt.Sprintf(command, w.folder) + " && echo done || echo failed")
	took := time.Since(begin).Seconds()
	if err == nil && answer != "done" {
		err = errors.New(answer)
	}
	return took, err
}

func warmFiles(b *bench, ctx context.Context, r *result) error {
	file, tree, err := b.filesBundle(ctx)
	if err != nil {
		return err
	}
	s, err := b.startService(ctx)
	if err != nil {
		return err
	}
	defer s.stop()
	var who []*walker
	defer func() {
		for _, w := range who {
			w.shell.kill()
		}
	}()
	add := func(name string, cmd *exec.Cmd, folder string) error {
		shell, err := b.begin(cmd)
		if err == nil {
			who = append(who, &walker{name, shell, folder})
		}
		return err
	}
	if err := add("glick", b.inBundle(ctx, file, "bin/shell"), filepath.Join(b.prefix, "data")); err != nil {
		return err
	}
	peer, plain := "ext4", filepath.Join(ext4Of(b.Work), "data")
	if err := b.ext4(ctx, tree); err != nil {
		peer, plain = "plain", filepath.Join(tree, "data")
		r.note("compared with the file system of %s in place of an ext4 of its own: %v", b.Dir, err)
	}
	if err := add(peer, b.command(ctx, "sh"), plain); err != nil {
		return err
	}
	for _, walk := range walks {
		var cs []contender
		for _, w := range who {
			cs = append(cs, contender{w.name, func(context.Context) (float64, error) { return w.run(walk.command) }})
		}
		all, err := turns(ctx, "s", 2, b.runs(15), cs)
		if err != nil {
			return fmt.Errorf("%s: %w", walk.name, err)
		}
		r.claim(ratio(walk.name+": glick / "+peer, all[0], all[1]).atMost(1.1))
		for _, one := range all {
			one.Name = walk.name + ", " + one.Name
			r.Series = append(r.Series, one)
		}
	}
	waits, err := waitsForService(ctx, s, who[0])
	if err != nil {
		return err
	}
	r.claim(atMost("walks that wait for the service", "of 3", float64(len(waits)), 0))
	for _, w := range waits {
		r.note("waits for the service although all is in memory: %s", w)
	}
	return nil
}

// waitsForService does each walk while the service is stopped, and returns those that did not go on without it, with what they waited
// for.
func waitsForService(ctx context.Context, s *service, w *walker) ([]string, error) {
	var waits []string
	for _, walk := range walks {
		if _, err := w.run(walk.command); err != nil {
			return nil, err
		}
		s.signal(syscall.SIGSTOP)
		done := make(chan error, 1)
		go func() {
			_, err := w.run(walk.command)
			done <- err
		}()
		why, err := blocked(ctx, w.shell.cmd.Process.Pid, done)
		s.signal(syscall.SIGCONT)
		if why != "" || ctx.Err() != nil {
			err = <-done
			waits = append(waits, walk.name+": "+why)
		}
		if err = errors.Join(err, ctx.Err()); err != nil {
			return nil, err
		}
	}
	return waits, nil
}

// blocked waits until done says something, which it returns, or a process below a shell waits for a FUSE file system; why then says
// which one does.
func blocked(ctx context.Context, shell int, done <-chan error) (why string, err error) {
	const waiting = "request_wait_answer" // the kernel's function, as /proc/PID/wchan names it
	seen := map[int]int{}
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end) && ctx.Err() == nil; {
		select {
		case err := <-done:
			return "", err
		case <-time.After(50 * time.Millisecond):
		}
		for _, pid := range descendants(shell) {
			proc := "/proc/" + strconv.Itoa(pid)
			if where, _ := os.ReadFile(proc + "/wchan"); string(where) != waiting {
				continue
			}
			// One that is only about to be answered is gone the next time.
			if seen[pid]++; seen[pid] < 10 {
				continue
			}
			name, _ := os.ReadFile(proc + "/comm")
			at, _ := os.ReadFile(proc + "/syscall")
			cwd, _ := os.Readlink(proc + "/cwd")
			return fmt.Sprintf("%s in %s, system call %s", bytes.TrimSpace(name), cwd, bytes.TrimSpace(at)), nil
		}
	}
	return "it does not end", nil
}

// ext4 shows a tree in an ext4 file system of its own.
func (b *bench) ext4(ctx context.Context, tree string) error {
	if b.root == nil {
		return errors.New("only root can mount one")
	}
	if _, err := capture(b.command(ctx, "mke2fs", "-q", "-t", "ext4", "-d", tree, "-N", "30000", imageOf(b.Work), "400M")); err != nil {
		return err
	}
	return b.root.ask(askExt4)
}
