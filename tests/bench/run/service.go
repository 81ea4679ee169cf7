// SPDX-License-Identifier: MIT

package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// service is the session service, as many processes as it may be: those that execute our copy of glickd.
type service struct {
	b   *bench
	cmd *exec.Cmd
	log string // file
}

// startService starts glickd and returns when it takes bundles.
func (b *bench) startService(ctx context.Context) (*service, error) {
	s := &service{b: b, log: filepath.Join(b.dir, "glickd.log")}
	if err := s.start(ctx); err != nil {
		return nil, err
	}
	return s, s.ready(ctx)
}

func (s *service) start(ctx context.Context) error {
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	s.cmd = s.b.command(context.WithoutCancel(ctx), programOf(s.b.Work, "glickd"))
	s.cmd.Stdout, s.cmd.Stderr = log, log
	return s.cmd.Start()
}

// ready waits until somebody listens.
func (s *service) ready(ctx context.Context) error {
	err := s.b.await(ctx, "the service", s.listens)
	if err != nil {
		said, _ := os.ReadFile(s.log)
		return fmt.Errorf("%w; it says: %s", err, said)
	}
	return nil
}

func (s *service) listens() bool {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	return unix.Connect(fd, &unix.SockaddrUnix{Name: filepath.Join(s.b.dir, "run", "glick", "socket")}) == nil
}

// processes lists the service's processes that live.
func (s *service) processes() []int {
	exe := programOf(s.b.Work, "glickd")
	return slices.DeleteFunc(allProcesses(), func(pid int) bool {
		at, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/exe")
		return err != nil || at != exe
	})
}

// main is the process that serves files: of those that there are, the one that uses most memory.
func (s *service) main() int {
	best, most := 0, int64(-1)
	for _, pid := range s.processes() {
		if m := rollup(pid)["Rss"]; m > most {
			best, most = pid, m
		}
	}
	return best
}

func (s *service) signal(sig syscall.Signal) {
	for _, pid := range s.processes() {
		_ = unix.Kill(pid, sig)
	}
}

// stop ends the service and its helpers.
func (s *service) stop() {
	s.signal(syscall.SIGTERM)
	for end := time.Now().Add(3 * time.Second); len(s.alive()) > 0 && time.Now().Before(end); {
		time.Sleep(2 * time.Millisecond)
	}
	s.signal(syscall.SIGKILL)
	_ = s.cmd.Wait()
	_ = unmountBelow(filepath.Join(s.b.dir, "run"))
}

// alive is processes without those that only want to be waited for.
func (s *service) alive() []int {
	return slices.DeleteFunc(s.processes(), func(pid int) bool {
		p, ok := readProcess(pid)
		return !ok || p.state == 'Z'
	})
}

// rollup reads the memory use of a process in bytes, by the kernel's names for it.
func rollup(pid int) map[string]int64 {
	data, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/smaps_rollup")
	return sizes(data)
}

// sizes reads lines like "Rss:   12 kB".
func sizes(data []byte) map[string]int64 {
	m := map[string]int64{}
	for line := range bytes.Lines(data) {
		f := strings.Fields(string(line))
		if len(f) == 3 && f[2] == "kB" {
			n, _ := strconv.ParseInt(f[1], 10, 64)
			m[strings.TrimSuffix(f[0], ":")] += n << 10
		}
	}
	return m
}

// memory sums up one kind of memory of all processes of the service.
func (s *service) memory(kind string) int64 {
	var sum int64
	for _, pid := range s.processes() {
		sum += rollup(pid)[kind]
	}
	return sum
}

// wakeups counts how often threads of the service have begun to wait: each time they had been awake.
func (s *service) wakeups() int64 {
	var sum int64
	for _, pid := range s.processes() {
		tasks, _ := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/status")
		for _, t := range tasks {
			f, err := os.Open(t)
			if err != nil {
				continue
			}
			for lines := bufio.NewScanner(f); lines.Scan(); {
				if v, ok := strings.CutPrefix(lines.Text(), "voluntary_ctxt_switches:"); ok {
					n, _ := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
					sum += n
				}
			}
			f.Close()
		}
	}
	return sum
}

// holds says whether the service has a file open.
func (s *service) holds(file string) bool {
	for _, pid := range s.processes() {
		links, _ := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/fd/*")
		for _, l := range links {
			if at, err := os.Readlink(l); err == nil && at == file {
				return true
			}
		}
	}
	return false
}
