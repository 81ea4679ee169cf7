// SPDX-License-Identifier: MIT

package work

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"glick.org/glick/runtime/launch"
)

const (
	// settle is how long a started application is watched; one that is alive after it has started.
	settle = 4 * time.Second
	// maxWords is how much of the end of its standard error is kept, in bytes.
	maxWords = 16 << 10
)

// ErrEnded says that an application ended within its first seconds, with a status that means failure.
var ErrEnded = errors.New("it ended at once")

// Start starts a bundle as a process of its own, and returns when it has come up, with nil, or has failed, with an error and the
// last that it wrote to its standard error. It outlives the caller. env is added to the environment.
func Start(file string, env ...string) (words string, err error) {
	argv, err := launch.Argv(file, nil)
	if err != nil {
		return "", fmt.Errorf("cannot start %s: %w", file, err)
	}
	return start(argv, env, settle)
}

func start(argv, env []string, settle time.Duration) (words string, err error) {
	r, w, err := os.Pipe()
	if err != nil {
		return "", fmt.Errorf("cannot start %s: %w", argv[0], err)
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = w
	if home, err := os.UserHomeDir(); err == nil {
		cmd.Dir = home
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	w.Close()
	if err != nil {
		r.Close()
		return "", fmt.Errorf("cannot start %s: %w", argv[0], err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	tail := newTail(r)
	select {
	case err := <-ended:
		// Children that it left behind may hold the pipe, so its end is not waited for long.
		words := tail.finish(200 * time.Millisecond)
		if err != nil && !wasEnded(err) {
			return words, fmt.Errorf("%w: %w", ErrEnded, err)
		}
		return "", nil
	case <-time.After(settle):
		tail.handOver()
		return "", nil
	}
}

// wasEnded tells whether a program ended because somebody wanted it to: its user, or the session that is over.
func wasEnded(err error) bool {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && slices.Contains([]syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP}, status.Signal())
}

// tail keeps the last lines of a pipe.
type tail struct {
	r    *os.File
	done chan struct{}

	mu  sync.Mutex
	buf []byte // guarded by mu
}

func newTail(r *os.File) *tail {
	t := &tail{r: r, done: make(chan struct{})}
	go t.read()
	return t
}

func (t *tail) read() {
	defer close(t.done)
	p := make([]byte, 4096)
	for {
		n, err := t.r.Read(p)
		t.mu.Lock()
		t.buf = append(t.buf, p[:n]...)
		if len(t.buf) > maxWords {
			t.buf = append(t.buf[:0], t.buf[len(t.buf)-maxWords:]...)
		}
		t.mu.Unlock()
		_, _ = os.Stderr.Write(p[:n]) // the journal of the session keeps it, as for any application
		if err != nil {
			return
		}
	}
}

func (t *tail) finish(patience time.Duration) string {
	select {
	case <-t.done:
		t.r.Close()
	case <-time.After(patience):
		t.handOver()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf)
}

// handOver gives the pipe to a small process that outlives this one. Otherwise an application that writes to its standard
// error after the window is closed would be killed by SIGPIPE.
func (t *tail) handOver() {
	// A read deadline wakes the reader without losing what is in the pipe.
	_ = t.r.SetReadDeadline(time.Now())
	<-t.done
	defer t.r.Close()
	// Fd makes the pipe blocking again, which cat needs.
	_ = unix.SetNonblock(int(t.r.Fd()), false)
	cat := exec.Command("cat")
	cat.Stdin, cat.Stdout = t.r, os.Stderr
	cat.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if cat.Start() == nil {
		go func() { _ = cat.Wait() }()
	}
}
