// SPDX-License-Identifier: MIT

package launch

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"glick.org/glick/runtime/bundlefs"
)

// systemLog is where a server without a terminal says that a bundle is damaged.
type systemLog struct{ fd int }

var _ bundlefs.Logger = systemLog{}

// openSystemLog connects to the system log. Without one, messages go nowhere.
func openSystemLog() systemLog {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return systemLog{-1}
	}
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: "/dev/log"}); err != nil {
		unix.Close(fd)
		return systemLog{-1}
	}
	return systemLog{fd}
}

// Severities, and the facility of programs of users, as in RFC 3164.
const (
	severityError   = 3
	severityWarning = 4
	severityInfo    = 6
	facilityUser    = 1 << 3
)

func (l systemLog) Info(message string, args ...any)  { l.send(severityInfo, message, args) }
func (l systemLog) Warn(message string, args ...any)  { l.send(severityWarning, message, args) }
func (l systemLog) Error(message string, args ...any) { l.send(severityError, message, args) }

// send sends one message. A log that is full or has gone is no reason to stop serving.
func (l systemLog) send(severity int, message string, args []any) {
	_ = unix.Sendmsg(l.fd, logPacket(os.Getpid(), severity, message, args), nil, nil, unix.MSG_NOSIGNAL)
}

// logPacket is one message with what belongs to it. Quoting keeps the names of strangers from looking like more messages.
func logPacket(pid, severity int, message string, args []any) []byte {
	packet := fmt.Appendf(nil, "<%d>glick[%d]: %s", facilityUser|severity, pid, message)
	for i := 0; i+1 < len(args); i += 2 {
		packet = fmt.Appendf(packet, " %v=%q", args[i], fmt.Sprint(args[i+1]))
	}
	return packet
}
