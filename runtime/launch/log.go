// SPDX-License-Identifier: MIT

package launch

import (
	"fmt"
	"io"
	"log/slog"
	"os"

	"golang.org/x/sys/unix"
)

// systemLog is where a server without a terminal says that a bundle is damaged: the system log, when there is one.
func systemLog() io.Writer {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return io.Discard
	}
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: "/dev/log"}); err != nil {
		unix.Close(fd)
		return io.Discard
	}
	return &logSocket{fd}
}

type logSocket struct{ fd int }

// Write sends one message. A log that is full or has gone is no reason to stop serving.
func (l *logSocket) Write(line []byte) (int, error) {
	const userError = 1<<3 | 3 // facility user, severity error, as in RFC 3164
	packet := fmt.Appendf(nil, "<%d>glick[%d]: %s", userError, os.Getpid(), line)
	_ = unix.Sendmsg(l.fd, packet, nil, nil, unix.MSG_NOSIGNAL)
	return len(line), nil
}

// withoutTime leaves out the time, which the system log adds itself.
func withoutTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}
