// SPDX-License-Identifier: MIT

package session

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The protocol. Each message is one packet on a SOCK_SEQPACKET socket.
//
//	client → service  'S' version [bundle descriptor]  file   start an instance of the bundle; file is its path, for people
//	service → client  'K' path of the instance's folder          or 'E' text      or 'V' version
//	client → service  'F' [descriptor of /dev/fuse]               mounted in the instance's namespace, never answered
//	service → client  'k'
//
//	client → service  'P' version … [bundle descriptor]           the same in one step, see package premain
//	service → client  'P' … image of a plan                       or anything else: start it with 'S'
//	client → service  'F' …, and so on, as the plan says
//
//	client → service  'L' version                                 list the instances
//	service → client  'I' id NUL version NUL … for each, then 'K'
//
//	client → service  'Q' version force                           leave, I take over; a service that lingers does so also without force
//	service → client  'K', or 'E' text
//
//	client → service  'O' version [description, three streams]    start a program outside of the instance, see RunOutside
//	service → client  'K' process id, or 'E' status text
//	client → service  'G' signal                                  any number of times
//	service → client  'X' wait status
//
// Who serves a single bundle (see ServeOne) begins with 'K' or 'E', takes the same 'F', and answers the same 'k'; but that
// descriptor is the file system to be served.
const protocolVersion = 1

const (
	messageStart    = 'S'
	messageList     = 'L'
	messagePlan     = 'P' // package premain sends it before the Go runtime starts
	messageLeave    = 'Q'
	messageOutside  = 'O'
	messageSignal   = 'G'
	replyExit       = 'X'
	messageFuse     = 'F' // package launch sends it before the Go runtime starts
	replyOK         = 'K'
	replyServing    = 'k'
	replyPlan       = 'P'
	replyError      = 'E'
	replyVersion    = 'V'
	replyInstance   = 'I'
	maxMessage      = 16 << 10
	handshakePeriod = 10 * time.Second
)

// errVersion says that client and service do not speak the same version of the protocol.
var errVersion = errors.New("the session service is of another version")

// conn is a connected packet socket.
type conn struct{ file *os.File }

// newConn takes over a descriptor of a connected packet socket.
func newConn(fd int) (*conn, error) {
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	return &conn{os.NewFile(uintptr(fd), "socket")}, nil
}

func (c *conn) close() { c.file.Close() }

func (c *conn) deadline(d time.Duration) { _ = c.file.SetDeadline(time.Now().Add(d)) }

// send sends one packet.
func (c *conn) send(kind byte, body string, fds ...int) error {
	packet := append([]byte{kind}, body...)
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	raw, err := c.file.SyscallConn()
	if err != nil {
		return err
	}
	var sendErr error
	err = raw.Write(func(fd uintptr) bool {
		sendErr = unix.Sendmsg(int(fd), packet, rights, nil, unix.MSG_NOSIGNAL)
		return sendErr != unix.EAGAIN && sendErr != unix.EINTR
	})
	if err != nil {
		return err
	}
	if sendErr != nil {
		return os.NewSyscallError("sendmsg", sendErr)
	}
	return nil
}

// receive takes one packet and the descriptor that came with it, which the caller closes; it is nil when there was none.
// More than one is not accepted. The error is io.EOF when the other side has closed.
func (c *conn) receive() (kind byte, body string, file *os.File, err error) {
	kind, body, files, err := c.receiveFiles(1)
	if len(files) == 1 {
		file = files[0]
	}
	return kind, body, file, err
}

// receivePlain is receive for packets without descriptors.
func (c *conn) receivePlain() (kind byte, body string, err error) {
	kind, body, _, err = c.receiveFiles(0)
	return kind, body, err
}

const maxFiles = 4 // that come with one packet

// receiveFiles is receive for packets with so many descriptors at most.
func (c *conn) receiveFiles(most int) (kind byte, body string, files []*os.File, err error) {
	raw, err := c.file.SyscallConn()
	if err != nil {
		return 0, "", nil, err
	}
	packet := make([]byte, maxMessage)
	control := make([]byte, unix.CmsgSpace(maxFiles*4))
	var n, controlSize, flags int
	var receiveErr error
	err = raw.Read(func(fd uintptr) bool {
		n, controlSize, flags, _, receiveErr = unix.Recvmsg(int(fd), packet, control, unix.MSG_CMSG_CLOEXEC)
		return receiveErr != unix.EAGAIN && receiveErr != unix.EINTR
	})
	if err == nil && receiveErr != nil {
		err = os.NewSyscallError("recvmsg", receiveErr)
	}
	if err != nil {
		return 0, "", nil, err
	}
	fds, err := descriptors(control[:controlSize])
	switch {
	case err != nil:
	case flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0:
		err = fmt.Errorf("a message is too long: %w", syscall.EMSGSIZE)
	case len(fds) > most:
		err = fmt.Errorf("a message carries too many descriptors: %w", syscall.EMSGSIZE)
	case n == 0:
		err = io.EOF
	}
	if err != nil {
		for _, fd := range fds {
			unix.Close(fd)
		}
		return 0, "", nil, err
	}
	for _, fd := range fds {
		files = append(files, os.NewFile(uintptr(fd), "received"))
	}
	return packet[0], string(packet[1:n]), files, nil
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

// peer returns who is at the other end.
func (c *conn) peer() (*unix.Ucred, error) {
	raw, err := c.file.SyscallConn()
	if err != nil {
		return nil, err
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return nil, err
	}
	return cred, os.NewSyscallError("getsockopt", credErr)
}

// splitVersion takes the version off a message's body.
func splitVersion(body string) (version byte, rest string) {
	if body == "" {
		return 0, ""
	}
	return body[0], body[1:]
}

// oneLine makes a text that another program has sent fit for a message.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}
