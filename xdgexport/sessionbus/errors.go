// SPDX-License-Identifier: MIT

package sessionbus

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"github.com/godbus/dbus/v5"

	"glick.org/glick/bundle"
	"glick.org/glick/runtime/session"
	"glick.org/glick/xdgexport/apps"
)

const (
	errorPrefix = Interface + ".Error."
	errorFailed = errorPrefix + "Failed"

	errorInvalidArgs = "org.freedesktop.DBus.Error.InvalidArgs"
	errorLimits      = "org.freedesktop.DBus.Error.LimitsExceeded"
)

// errorNames says by which names errors go over the bus. Of several that hold the first is the error's name, so the more precise ones come first.
var errorNames = []struct {
	name string
	err  error
}{
	{"SignatureChanged", apps.ErrChanged},
	{"InstalledForAll", apps.ErrNotOurs},
	{"LinkOutside", apps.ErrOutside},
	{"Owner", apps.ErrOwner},
	{"Name", apps.ErrName},
	{"Strangers", apps.ErrStrangers},
	{"Unsuitable", apps.ErrUnsuitable},
	{"TooMany", apps.ErrTooMany},
	{"Version", bundle.ErrVersion},
	{"Architecture", bundle.ErrArch},
	{"Unsupported", bundle.ErrUnsupported},
	{"NotBundle", bundle.ErrNotBundle},
	{"Incomplete", bundle.ErrTruncated},
	{"Damaged", bundle.ErrDamaged},
	{"NotServing", session.ErrNotRunning},
	{"Cancelled", context.Canceled},
	{"TimedOut", context.DeadlineExceeded},
	{"NoSpace", syscall.ENOSPC},
	{"Quota", syscall.EDQUOT},
	{"TooLarge", syscall.EFBIG},
	{"ReadOnly", syscall.EROFS},
	{"Device", syscall.EIO},
	{"NotFound", fs.ErrNotExist},
	{"Exists", fs.ErrExist},
	{"Denied", fs.ErrPermission},
}

// nameOf is the closest name of an error.
func nameOf(err error) string {
	for _, e := range errorNames {
		if errors.Is(err, e.err) {
			return errorPrefix + e.name
		}
	}
	return errorFailed
}

// byName is the error that a name stands for, nil for none.
func byName(name string) error {
	short, ours := strings.CutPrefix(name, errorPrefix)
	for _, e := range errorNames {
		if ours && e.name == short {
			return e.err
		}
	}
	return nil
}

// encodeError makes what goes over the bus: the name, and the message alone, as clients of GLib show no message that comes with anything else.
func encodeError(err error) *dbus.Error { return dbus.NewError(nameOf(err), []any{text(err.Error())}) }

func invalid(format string, args ...any) *dbus.Error {
	return dbus.NewError(errorInvalidArgs, []any{text(fmt.Sprintf(format, args...))})
}

// failure is an error that came over the bus: errors.Is finds in it what it was on the other side.
type failure struct {
	message string
	is      error // nil for none that has a name
}

func (f *failure) Error() string { return f.message }
func (f *failure) Unwrap() error { return f.is }

// decodeError turns an error of a call into what it was in the service. ours says that the service has answered; otherwise the error is one of the
// bus. The message begins with here, in the place of there with which the service begins it: a person may have called the file otherwise.
func decodeError(err error, there, here string) (decoded error, ours bool) {
	var remote dbus.Error
	if !errors.As(err, &remote) || !strings.HasPrefix(remote.Name, errorPrefix) {
		return err, false
	}
	return &failure{here + strings.TrimPrefix(remote.Error(), there), byName(remote.Name)}, true
}
