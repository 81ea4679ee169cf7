// SPDX-License-Identifier: MIT

package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const socketName = "socket"

// dial connects to the service of this user. The error is [ErrNotRunning] when there is none that could be trusted.
func dial() (*conn, error) {
	dir, err := Dir()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotRunning, err)
	}
	folder, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("%w: cannot open %s: %w", ErrNotRunning, dir, err)
	}
	defer unix.Close(folder)
	if err := checkFolder(folder, dir); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotRunning, err)
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot talk to the session service: %w", os.NewSyscallError("socket", err))
	}
	// By way of the descriptor the path is short enough for any XDG_RUNTIME_DIR, and is in the folder that was checked.
	address := &unix.SockaddrUnix{Name: "/proc/self/fd/" + strconv.Itoa(folder) + "/" + socketName}
	if err := unix.Connect(fd, address); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("%w: %w", ErrNotRunning, os.NewSyscallError("connect", err))
	}
	c, err := newConn(fd)
	if err != nil {
		return nil, err
	}
	cred, err := c.peer()
	if err != nil || cred.Uid != uint32(os.Geteuid()) {
		c.close()
		return nil, fmt.Errorf("%w: somebody else's program listens in %s", ErrNotRunning, dir)
	}
	c.deadline(handshakePeriod)
	return c, nil
}

// checkFolder refuses a folder that others could have prepared or could write to.
func checkFolder(fd int, path string) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("cannot examine %s: %w", path, err)
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		return fmt.Errorf("%s is not a folder", path)
	case st.Uid != uint32(os.Geteuid()):
		return fmt.Errorf("%s belongs to somebody else", path)
	case st.Mode&0o077 != 0:
		return fmt.Errorf("%s is open to others; remove it, or make it private with \"chmod 700\"", path)
	}
	return nil
}

// Lease is the service's promise to serve an instance's files, as long as its socket or its namespace lives.
type Lease struct {
	Folder string // path of the instance's folder
	FD     int    // socket to send the instance's /dev/fuse descriptor on; the caller closes it
}

// Begin asks the service to serve a bundle. It keeps no hold of the file. The error is [ErrNotRunning] when there is no
// service that can be used.
func Begin(bundle *os.File, path string) (*Lease, error) {
	c, err := dial()
	if err != nil {
		return nil, err
	}
	defer c.close()
	if err := c.send(messageStart, string(rune(protocolVersion))+path, int(bundle.Fd())); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotRunning, err)
	}
	folder, err := c.answer()
	if err != nil {
		return nil, err
	}
	if !filepath.IsAbs(folder) || strings.ContainsRune(folder, 0) {
		return nil, fmt.Errorf("%w: its answer makes no sense", ErrNotRunning)
	}
	fd, err := c.plain()
	if err != nil {
		return nil, err
	}
	return &Lease{Folder: folder, FD: fd}, nil
}

// answer waits for the service's reply to a request.
func (c *conn) answer() (string, error) {
	kind, body, file, err := c.receive()
	if file != nil {
		file.Close()
	}
	switch {
	case errors.Is(err, io.EOF):
		return "", fmt.Errorf("%w: it has closed the connection", ErrNotRunning)
	case err != nil:
		return "", fmt.Errorf("%w: %w", ErrNotRunning, err)
	case kind == replyOK:
		return body, nil
	case kind == replyError:
		return "", errors.New(oneLine(body))
	case kind == replyVersion:
		return "", fmt.Errorf("%w: %w", ErrNotRunning, errVersion)
	}
	return "", fmt.Errorf("%w: its answer makes no sense", ErrNotRunning)
}

// plain gives a blocking descriptor of the connection that outlives it, with the handshake's time limit.
func (c *conn) plain() (int, error) {
	raw, err := c.file.SyscallConn()
	if err != nil {
		return -1, err
	}
	fd := -1
	var opErr error
	err = raw.Control(func(old uintptr) {
		if fd, opErr = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 3); opErr != nil {
			return
		}
		limit := unix.NsecToTimeval(int64(handshakePeriod))
		if opErr = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit); opErr == nil {
			opErr = unix.SetNonblock(fd, false)
		}
	})
	if err == nil {
		err = opErr
	}
	if err != nil {
		if fd >= 0 {
			unix.Close(fd)
		}
		return -1, fmt.Errorf("cannot talk to the session service: %w", err)
	}
	return fd, nil
}

// Instances asks the service what runs, oldest first. The error is [ErrNotRunning] when there is no service.
func Instances(ctx context.Context) ([]Instance, error) {
	c, err := dial()
	if err != nil {
		return nil, err
	}
	defer c.close()
	stop := context.AfterFunc(ctx, func() { c.deadline(-time.Second) })
	defer stop()
	if err := c.send(messageList, string(rune(protocolVersion))); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotRunning, err)
	}
	list := []Instance{}
	for {
		kind, body, file, err := c.receive()
		if file != nil {
			file.Close()
		}
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil:
			return nil, fmt.Errorf("cannot hear from the session service: %w", err)
		case kind == replyVersion:
			return nil, errVersion
		case kind == replyOK:
			return list, nil
		case kind != replyInstance:
			return nil, errors.New("the session service's answer makes no sense")
		}
		one, err := decodeInstance(body)
		if err != nil {
			return nil, err
		}
		list = append(list, one)
	}
}

func (i Instance) encode() string {
	return strings.Join([]string{
		i.ID, i.Version, i.File, strconv.Itoa(i.PID), strconv.FormatInt(i.Started.UnixNano(), 10), i.Prefix,
	}, "\x00")
}

func decodeInstance(body string) (Instance, error) {
	f := strings.Split(body, "\x00")
	if len(f) != 6 {
		return Instance{}, errors.New("the session service's answer makes no sense")
	}
	pid, err := strconv.Atoi(f[3])
	started, err2 := strconv.ParseInt(f[4], 10, 64)
	if err := errors.Join(err, err2); err != nil {
		return Instance{}, fmt.Errorf("the session service's answer makes no sense: %w", err)
	}
	return Instance{ID: f[0], Version: f[1], File: f[2], PID: pid, Started: time.Unix(0, started), Prefix: f[5]}, nil
}
