// SPDX-License-Identifier: MIT

package hold

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	protocolVersion = 1

	messageHello  = 'H'
	messageOrder  = 'R'
	messagePut    = 'P'
	messageDrop   = 'D'
	messageList   = 'L'
	messageFinish = 'F'
	messageLeave  = 'C'
	replyItem     = 'I'
	replyOK       = 'K'
	replyError    = 'E'
)

const (
	socketName = "holder"
	lockName   = "holder.lock"

	// A packet has room for an item's data, its name and what comes before.
	maxPacket = maxData + 512
	// The most descriptors that the kernel lets one packet carry (SCM_MAX_FD). There is always room for all of them, so
	// that descriptors are cut off for one reason only: this process can have no more.
	maxRights = 253
)

// message is a received packet.
type message struct {
	kind byte
	body []byte // a part of the buffer that it was received into
	fds  []int  // to be closed by who got it
	// bad is set when the message cannot be used: EMSGSIZE when it is too long, EMFILE when its descriptors could not all
	// be opened. There are no descriptors then.
	bad syscall.Errno
}

func (m *message) close() {
	for _, fd := range m.fds {
		unix.Close(fd)
	}
	m.fds = nil
}

// conn is a packet socket.
type conn struct {
	file *os.File
	raw  syscall.RawConn
}

// newConn takes over a descriptor of a packet socket.
func newConn(fd int) (*conn, error) {
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	file := os.NewFile(uintptr(fd), "socket")
	raw, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return nil, err
	}
	return &conn{file, raw}, nil
}

func (c *conn) close() { c.file.Close() }

// deadline limits what is sent and received from now on; zero takes the limit away.
func (c *conn) deadline(d time.Duration) {
	var t time.Time
	if d != 0 {
		t = time.Now().Add(d)
	}
	_ = c.file.SetDeadline(t)
}

// uninterrupted makes a system call until no signal gets in its way.
func uninterrupted(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// send sends one packet. When it fails nothing of it has been sent.
func (c *conn) send(packet []byte, fds ...int) error {
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	var sendErr error
	err := c.raw.Write(func(fd uintptr) bool {
		sendErr = uninterrupted(func() error { return unix.Sendmsg(int(fd), packet, rights, nil, unix.MSG_NOSIGNAL) })
		return !errors.Is(sendErr, unix.EAGAIN)
	})
	if err != nil {
		return err
	}
	return os.NewSyscallError("sendmsg", sendErr)
}

// receive takes one packet into buf. The error is io.EOF when the other side has closed.
func (c *conn) receive(buf []byte) (message, error) {
	var control [maxRights*4 + unix.SizeofCmsghdr + 8]byte
	var n, controlSize, flags int
	var receiveErr error
	err := c.raw.Read(func(fd uintptr) bool {
		receiveErr = uninterrupted(func() (err error) {
			n, controlSize, flags, _, err = unix.Recvmsg(int(fd), buf, control[:], unix.MSG_CMSG_CLOEXEC)
			return err
		})
		return !errors.Is(receiveErr, unix.EAGAIN)
	})
	if err == nil {
		err = os.NewSyscallError("recvmsg", receiveErr)
	}
	if err != nil {
		return message{}, err
	}
	var m message
	m.fds, err = descriptors(control[:controlSize])
	if err == nil && n == 0 {
		err = io.EOF // or an empty packet, which nobody of ours sends
	}
	if err != nil {
		m.close()
		return message{}, err
	}
	m.kind, m.body = buf[0], buf[1:n]
	switch {
	case flags&unix.MSG_TRUNC != 0:
		m.bad = unix.EMSGSIZE
	case flags&unix.MSG_CTRUNC != 0:
		m.bad = unix.EMFILE
	case len(m.fds) > maxFiles:
		m.bad = unix.EMSGSIZE
	}
	if m.bad != 0 {
		m.close()
	}
	return m, nil
}

func descriptors(control []byte) ([]int, error) {
	if len(control) == 0 {
		return nil, nil
	}
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return nil, fmt.Errorf("cannot read a control message: %w", err)
	}
	var all []int
	for _, m := range messages {
		if m.Header.Level != unix.SOL_SOCKET || m.Header.Type != unix.SCM_RIGHTS {
			continue
		}
		fds, err := unix.ParseUnixRights(&m)
		all = append(all, fds...)
		if err != nil {
			return all, err
		}
	}
	return all, nil
}

// accept takes a connection from a listening socket. The error is EAGAIN when there is none.
func (c *conn) accept() (*conn, error) {
	var fd int
	var acceptErr error
	err := c.raw.Control(func(listener uintptr) {
		acceptErr = uninterrupted(func() (err error) {
			fd, _, err = unix.Accept4(int(listener), unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
			return err
		})
	})
	if err == nil {
		err = os.NewSyscallError("accept", acceptErr)
	}
	if err != nil {
		return nil, err
	}
	return newConn(fd)
}

// readable waits until there is something to receive or to accept.
func (c *conn) readable() error {
	return c.raw.Read(func(fd uintptr) bool {
		n, _ := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		return n != 0 // also when it cannot be said
	})
}

// own says whether this user is at the other end.
func (c *conn) own() bool {
	var cred *unix.Ucred
	var credErr error
	err := c.raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	return err == nil && credErr == nil && cred.Uid == uint32(os.Geteuid())
}

// address is the socket in an open folder. By way of the descriptor it is short enough wherever the folder is, and is in the
// folder that was checked.
func address(folder int) *unix.SockaddrUnix {
	return &unix.SockaddrUnix{Name: "/proc/self/fd/" + strconv.Itoa(folder) + "/" + socketName}
}

// openFolder opens the folder of the socket. It refuses one that others could have prepared or could write to.
func openFolder(dir string) (int, error) {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("cannot open the folder %s: %w", dir, err)
	}
	var st unix.Stat_t
	err = unix.Fstat(fd, &st)
	switch {
	case err != nil:
		err = fmt.Errorf("cannot examine %s: %w", dir, err)
	case st.Uid != uint32(os.Geteuid()):
		err = fmt.Errorf("%s belongs to somebody else", dir)
	case st.Mode&0o077 != 0:
		err = fmt.Errorf("%s is open to others; make it private with \"chmod 700\"", dir)
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}
