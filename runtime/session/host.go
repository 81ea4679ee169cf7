// SPDX-License-Identifier: MIT

package session

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A process of a bundle is in a namespace of its own, and so are the programs that it starts: they keep the instance running, see the
// bundle's files, and gain no privileges by set-user-ID bits. What must run outside of it is started by the service.
//
// This opens no door: nothing of a bundle is shut in, and whoever can reach the service's socket is the user.

// Outside describes a program to be started outside of all instances.
type Outside struct {
	Args []string // the first is the program; without a slash it is looked for in the PATH of Env
	Dir  string   // working folder; the home folder when it is not there outside
	Env  []string
}

// OutsideError says that a program could not be started.
type OutsideError struct {
	Status int // by the custom of env(1): 126 when it is there but cannot be executed, 127 when it is not there
	Err    error
}

func (e *OutsideError) Error() string { return e.Err.Error() }

// Unwrap gives the reason.
func (e *OutsideError) Unwrap() error { return e.Err }

const (
	statusNotRunnable = 126
	statusNoProgram   = 127

	maxOutside = 4 << 20 // bytes of arguments and environment; the kernel takes less
)

// RunOutside has the service start a program and waits for its end. The program has the given standard streams, and gets the signals
// that come from the channel. The error is [ErrNotRunning] when there is no service, or an *[OutsideError].
func RunOutside(o Outside, streams [3]*os.File, signals <-chan os.Signal) (syscall.WaitStatus, error) {
	spec, err := o.write()
	if err != nil {
		return 0, err
	}
	defer spec.Close()
	c, err := dial()
	if err != nil {
		return 0, err
	}
	defer c.close()
	fds := []int{int(spec.Fd())}
	for _, f := range streams {
		fds = append(fds, int(f.Fd()))
	}
	if err := c.send(messageOutside, string(rune(protocolVersion)), fds...); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrNotRunning, err)
	}
	answer, err := c.answer()
	if err != nil {
		if status, text, ok := strings.Cut(err.Error(), " "); ok {
			if n, numberErr := strconv.Atoi(status); numberErr == nil {
				return 0, &OutsideError{n, errors.New(text)}
			}
		}
		return 0, err
	}
	if answer == "" {
		return 0, errors.New("the session service's answer makes no sense")
	}
	_ = c.file.SetDeadline(time.Time{})
	done := make(chan struct{})
	defer close(done)
	go func() {
		for {
			select {
			case sig := <-signals:
				if n, ok := sig.(syscall.Signal); ok {
					_ = c.send(messageSignal, string(rune(n)))
				}
			case <-done:
				return
			}
		}
	}()
	kind, body, err := c.receivePlain()
	if err != nil || kind != replyExit || len(body) != 4 {
		return 0, errors.New("the session service has ended; the program goes on")
	}
	return syscall.WaitStatus(binary.LittleEndian.Uint32([]byte(body))), nil
}

// write puts the description where the service can read it, whatever its size.
func (o Outside) write() (*os.File, error) {
	fd, err := unix.MemfdCreate("glick-outside", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	f := os.NewFile(uintptr(fd), "glick-outside")
	parts := append([]string{o.Dir, strconv.Itoa(len(o.Args))}, append(o.Args, o.Env...)...)
	if _, err := f.WriteString(strings.Join(parts, "\x00")); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// readOutside reads what write has written. The file comes from a client.
func readOutside(f *os.File) (o Outside, err error) {
	info, err := f.Stat()
	if err != nil {
		return o, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxOutside {
		return o, errors.New("the description of a program makes no sense, or is too long")
	}
	text, err := io.ReadAll(io.NewSectionReader(f, 0, info.Size()))
	if err != nil {
		return o, err
	}
	parts := strings.Split(string(text), "\x00")
	if len(parts) < 3 {
		return o, errors.New("the description of a program makes no sense")
	}
	n, err := strconv.Atoi(parts[1])
	if err != nil || n < 1 || n > len(parts)-2 {
		return o, errors.New("the description of a program makes no sense")
	}
	return Outside{Args: parts[2 : 2+n], Dir: parts[0], Env: parts[2+n:]}, nil
}

// outside starts a program for a client, and takes over the connection if that succeeds.
func (s *service) outside(c *conn, files []*os.File) error {
	if len(files) != 4 {
		return c.send(replyError, "the session service does not understand the request")
	}
	o, err := readOutside(files[0])
	if err != nil {
		return c.send(replyError, err.Error())
	}
	process, err := o.start(files[1:])
	var failure *OutsideError
	if errors.As(err, &failure) {
		return c.send(replyError, fmt.Sprintf("%d %s", failure.Status, failure.Err))
	}
	if err != nil {
		return c.send(replyError, err.Error())
	}
	if err := c.send(replyOK, strconv.Itoa(process.Pid)); err != nil {
		s.log.Info("nobody waits for a program that was started", "program", o.Args[0], "error", err)
	}
	_ = c.file.SetDeadline(time.Time{})
	go func() {
		for {
			kind, body, err := c.receivePlain()
			if err != nil {
				return // its client has gone, or it has ended
			}
			if n := []rune(body); kind == messageSignal && len(n) == 1 {
				_ = unix.Kill(-process.Pid, syscall.Signal(n[0]))
			}
		}
	}()
	go func() {
		defer c.close()
		state, err := process.Wait()
		if err != nil {
			return
		}
		if status, ok := state.Sys().(syscall.WaitStatus); ok {
			_ = c.send(replyExit, string(binary.LittleEndian.AppendUint32(nil, uint32(status))))
		}
	}()
	return errHandedOver
}

// errHandedOver says that a connection belongs to somebody else now.
var errHandedOver = errors.New("the connection was handed over")

func (o Outside) start(streams []*os.File) (*os.Process, error) {
	if info, err := os.Stat(o.Dir); err != nil || !info.IsDir() || !filepath.IsAbs(o.Dir) {
		if o.Dir, err = os.UserHomeDir(); err != nil {
			o.Dir = "/"
		}
	}
	program, err := o.find()
	if err != nil {
		return nil, err
	}
	// A session of its own: it has nothing to do with the service's terminal, and signals reach all of its processes.
	process, err := os.StartProcess(program, o.Args, &os.ProcAttr{Dir: o.Dir, Env: o.Env, Files: streams, Sys: &syscall.SysProcAttr{Setsid: true}})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, &OutsideError{statusNoProgram, plainError("cannot start "+program, err)}
	case err != nil:
		return nil, &OutsideError{statusNotRunnable, plainError("cannot start "+program, err)}
	}
	return process, nil
}

// find finds the program as a shell does.
func (o Outside) find() (string, error) {
	name := o.Args[0]
	if strings.Contains(name, "/") {
		if !filepath.IsAbs(name) {
			name = filepath.Join(o.Dir, name)
		}
		return name, nil
	}
	path := "/usr/local/bin:/usr/bin:/bin"
	for _, kv := range o.Env {
		if value, ok := strings.CutPrefix(kv, "PATH="); ok {
			path = value
		}
	}
	for _, dir := range filepath.SplitList(path) {
		at := filepath.Join(dir, name)
		if info, err := os.Stat(at); err == nil && filepath.IsAbs(dir) && info.Mode().IsRegular() && unix.Access(at, unix.X_OK) == nil {
			return at, nil
		}
	}
	return "", &OutsideError{statusNoProgram, fmt.Errorf("no program %q is there outside of the bundle; see PATH", name)}
}

// plainError says what could not be done without naming the file twice.
func plainError(what string, err error) error {
	var number syscall.Errno
	if errors.As(err, &number) {
		return fmt.Errorf("%s: %w", what, number)
	}
	return fmt.Errorf("%s: %w", what, err)
}
