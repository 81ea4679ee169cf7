// SPDX-License-Identifier: MIT

// Package mount mounts FUSE file systems, by itself or through libfuse's fusermount3.
package mount

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Options are for a file system that is read-only, and has neither device files nor programs with the rights of others.
type Options struct {
	Name       string // its source and subtype in the mount table; a word
	AllowOther bool   // other users may use it; without privileges, /etc/fuse.conf must allow that
}

const device = "/dev/fuse"

// Mount mounts a file system on a folder and returns the descriptor that it is to be served on, which the caller closes.
func Mount(dir string, o Options) (fd int, err error) {
	if os.Geteuid() == 0 {
		fd, err = direct(dir, o)
		// Without the capability, as in a container, fusermount3 may still be able to.
		if err == nil || !errors.Is(err, unix.EPERM) {
			return fd, err
		}
	}
	return throughHelper(dir, o)
}

// direct mounts with mount(2).
func direct(dir string, o Options) (int, error) {
	fd, err := unix.Open(device, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("cannot use %s: %w", device, err)
	}
	data := fmt.Sprintf("fd=%d,rootmode=40755,user_id=%d,group_id=%d", fd, os.Geteuid(), os.Getegid())
	if o.AllowOther {
		data += ",allow_other"
	}
	if err := unix.Mount(o.Name, dir, "fuse."+o.Name, unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, data); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("cannot mount on %s: %w", dir, err)
	}
	return fd, nil
}

// throughHelper has fusermount3 mount, which sends the descriptor on a socket that it finds by _FUSE_COMMFD.
func throughHelper(dir string, o Options) (int, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socketpair", err)
	}
	defer unix.Close(pair[0])
	theirs := os.NewFile(uintptr(pair[1]), "socket")
	options := "ro,nosuid,nodev,fsname=" + o.Name + ",subtype=" + o.Name
	if o.AllowOther {
		options += ",allow_other"
	}
	err = help([]string{"-o", options, "--", dir}, theirs)
	theirs.Close() // so that receiving ends when nothing was sent
	if err != nil {
		return -1, fmt.Errorf("cannot mount on %s: %w", dir, err)
	}
	fd, err := receive(pair[0])
	if err != nil {
		return -1, fmt.Errorf("cannot mount on %s: %w", dir, err)
	}
	return fd, nil
}

// receive takes a descriptor from a socket.
func receive(socket int) (int, error) {
	buf, control := make([]byte, 16), make([]byte, unix.CmsgSpace(4))
	for {
		_, n, _, _, err := unix.Recvmsg(socket, buf, control, unix.MSG_CMSG_CLOEXEC)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return -1, os.NewSyscallError("recvmsg", err)
		}
		messages, err := unix.ParseSocketControlMessage(control[:n])
		if err != nil || len(messages) == 0 {
			return -1, errors.New("fusermount has sent no descriptor")
		}
		fds, err := unix.ParseUnixRights(&messages[0])
		if err != nil || len(fds) == 0 {
			return -1, errors.New("fusermount has sent no descriptor")
		}
		return fds[0], nil
	}
}

// Unmount takes a mount of ours out of sight. Who still uses it keeps it.
func Unmount(dir string) error {
	if unix.Unmount(dir, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW) == nil {
		return nil
	}
	if err := help([]string{"-u", "-z", "--", dir}, nil); err != nil {
		return fmt.Errorf("cannot unmount %s: %w", dir, err)
	}
	return nil
}

// help runs fusermount3, or fusermount where there is none, with a socket to answer on.
func help(args []string, socket *os.File) error {
	program, err := find("fusermount3", "fusermount")
	if err != nil {
		return err
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer null.Close()
	said, say, err := os.Pipe()
	if err != nil {
		return err
	}
	defer said.Close()
	// Package os/exec would make every bundle larger.
	attr := &os.ProcAttr{Env: []string{"LC_ALL=C"}, Files: []*os.File{null, say, say}}
	if socket != nil {
		attr.Env = append(attr.Env, "_FUSE_COMMFD="+strconv.Itoa(len(attr.Files)))
		attr.Files = append(attr.Files, socket)
	}
	process, err := os.StartProcess(program, append([]string{program}, args...), attr)
	say.Close()
	if err != nil {
		return fmt.Errorf("cannot run fusermount: %w", err)
	}
	text, _ := io.ReadAll(io.LimitReader(said, 4<<10))
	state, err := process.Wait()
	if err != nil {
		return fmt.Errorf("cannot wait for fusermount: %w", err)
	}
	if !state.Success() {
		return fmt.Errorf("%s has failed (%s): %s", filepath.Base(program), state, oneLine(string(text)))
	}
	return nil
}

// find finds a program.
func find(names ...string) (string, error) {
	for _, name := range names {
		for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/bin", "/bin") {
			path := filepath.Join(dir, name)
			if filepath.IsAbs(path) && unix.Access(path, unix.X_OK) == nil {
				return path, nil
			}
		}
	}
	return "", fmt.Errorf("there is no program %s; please install fuse3", names[0])
}

// oneLine makes a text that another program has written fit for a message.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.TrimSpace(s))
}
