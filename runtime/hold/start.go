// SPDX-License-Identifier: MIT

package hold

import (
	"errors"
	"fmt"
	"math"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

const self = "/proc/self/exe"

// What follows [Marker]: the process that ends at once, and the holder. The folder comes third, for people.
const (
	stageSpawn = "spawn"
	stageServe = "serve"
)

// The descriptors with which both begin.
const (
	fdLock = 3 + iota
	fdListener
	fdFolder
	fdEnd
)

const backlog = 16

var errLocked = errors.New("another holder is about to begin or to end")

// startHolder starts a holder for an open folder, and connects to it: before there is a process, so that nobody else comes
// first. Others who connect are queued until the holder has come up, or refused when it has not.
func startHolder(folder int, dir string) (*conn, error) {
	lock, err := takeLock(folder)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	c, err := startWith(lock, folder, dir)
	if err != nil {
		removeFiles(folder)
		return nil, fmt.Errorf("cannot start the holder of open files: %w", err)
	}
	return c, nil
}

func startWith(lock *os.File, folder int, dir string) (*conn, error) {
	listener, err := listen(folder)
	if err != nil {
		return nil, err
	}
	defer listener.Close()
	c, err := dial(folder)
	if err != nil {
		return nil, err
	}
	if err := startDetached(stageSpawn, dir, lock, listener, folder); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// takeLock takes the lock that a holder keeps as long as it lives. Who has it may remove the file.
func takeLock(folder int) (*os.File, error) {
	for {
		fd, err := unix.Openat(folder, lockName, unix.O_RDWR|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
		if err != nil {
			return nil, fmt.Errorf("cannot make the lock of the holder of open files: %w", err)
		}
		f := os.NewFile(uintptr(fd), lockName)
		var st unix.Stat_t
		err = unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			err = unix.Fstat(fd, &st)
		}
		switch {
		case err == nil && st.Nlink > 0:
			return f, nil
		case err == nil: // its owner has just ended and removed it
			f.Close()
		case errors.Is(err, unix.EWOULDBLOCK):
			f.Close()
			return nil, errLocked
		default:
			f.Close()
			return nil, fmt.Errorf("cannot take the lock of the holder of open files: %w", err)
		}
	}
}

// listen makes the socket. The caller has the lock, so that one which is there is a dead holder's.
func listen(folder int) (*os.File, error) {
	if err := unix.Unlinkat(folder, socketName, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return nil, fmt.Errorf("cannot take away the old socket: %w", err)
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	err = os.NewSyscallError("bind", unix.Bind(fd, address(folder)))
	if err == nil {
		err = os.NewSyscallError("listen", unix.Listen(fd, backlog))
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), socketName), nil
}

// removeFiles takes away what is in the folder, the lock last. The caller has it.
func removeFiles(folder int) {
	_ = unix.Unlinkat(folder, socketName, 0)
	_ = unix.Unlinkat(folder, lockName, 0)
}

// startDetached executes this program as the next stage. The holder is no child of the service, which has not to wait for it,
// and has nothing of the service's terminal, files and environment. See setsid(2) for why there are two.
func startDetached(stage, dir string, lock, listener *os.File, folder int) error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	attr := &syscall.ProcAttr{
		Dir: "/", Env: []string{},
		Files: []uintptr{null.Fd(), null.Fd(), null.Fd(), lock.Fd(), listener.Fd(), uintptr(folder)},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	}
	pid, err := syscall.ForkExec(self, []string{Marker, stage, dir}, attr)
	if err != nil {
		return os.NewSyscallError("execve", err)
	}
	if stage == stageServe {
		return nil
	}
	process, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	// When the caller ignores SIGCHLD there is nothing to wait for.
	if state, err := process.Wait(); err == nil && !state.Success() {
		return errors.New("its process cannot be started")
	}
	return nil
}

// Main is the holder's program, for a process that was executed with [Marker] as its first argument; args is its command line.
// It returns when the holder is to end: the caller exits, with success when the error is nil.
func Main(args []string) error {
	if len(args) != 3 || args[0] != Marker {
		return errors.New("this is for Glick's own use")
	}
	if listens, err := unix.GetsockoptInt(fdListener, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err != nil || listens != 1 {
		return errors.New("this is for Glick's own use")
	}
	for fd := fdLock; fd < fdEnd; fd++ {
		unix.CloseOnExec(fd)
	}
	switch args[1] {
	case stageSpawn:
		// What the service has inherited by somebody's oversight is not to stay open in here; kernels before 5.11 cannot.
		_ = unix.CloseRange(fdEnd, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
		lock, listener := os.NewFile(fdLock, lockName), os.NewFile(fdListener, socketName)
		defer lock.Close()
		defer listener.Close()
		return startDetached(stageServe, args[2], lock, listener, fdFolder)
	case stageServe:
		return serve()
	}
	return errors.New("this is for Glick's own use")
}
