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
	{"SourceLeft", apps.ErrSourceLeft},
	{"InstalledForAll", apps.ErrNotOurs},
	{"LinkOutside", apps.ErrOutside},
	{"Owner", apps.ErrOwner},
	{"Name", apps.ErrName},
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

// namesOf lists the names that hold for an error, without the prefix.
func namesOf(err error) []string {
	var names []string
	for _, e := range errorNames {
		if errors.Is(err, e.err) {
			names = append(names, e.name)
		}
	}
	return names
}

// details of an error on the bus.
const (
	detailReason      = "reason"
	detailNames       = "names"
	detailApplication = "application"
)

// encodeError makes what goes over the bus. what is what the message begins with that the reason does without, like "cannot install FILE: ".
func encodeError(err error, what string, details dict) *dbus.Error {
	names := namesOf(err)
	name := errorFailed
	if len(names) > 0 {
		name = errorPrefix + names[0]
	}
	message := text(err.Error())
	if details == nil {
		details = dict{}
	}
	details[detailNames] = dbus.MakeVariant(append([]string{}, names...))
	if reason, ok := strings.CutPrefix(message, text(what)); ok && what != "" {
		details[detailReason] = dbus.MakeVariant(reason)
	}
	return dbus.NewError(name, []any{message, map[string]dbus.Variant(details)})
}

func invalid(format string, args ...any) *dbus.Error {
	return dbus.NewError(errorInvalidArgs, []any{text(fmt.Sprintf(format, args...))})
}

// failure is an error that came over the bus: errors.Is finds in it what it was on the other side.
type failure struct {
	message string
	is      []error
	app     dict // what is installed nevertheless
}

func (f *failure) Error() string   { return f.message }
func (f *failure) Unwrap() []error { return f.is }

// decodeError turns an error of a call into what it was in the service. ours says that the service has answered; otherwise the error is one of the
// bus. Where the service names a reason, what is put before it.
func decodeError(err error, what string) (decoded error, ours bool) {
	var remote dbus.Error
	if !errors.As(err, &remote) {
		return err, false
	}
	first, known := strings.CutPrefix(remote.Name, errorPrefix)
	if !known {
		return err, false
	}
	f := &failure{message: remote.Error()}
	names := []string{first}
	if len(remote.Body) > 1 {
		if m, ok := remote.Body[1].(map[string]dbus.Variant); ok {
			d := dict(m)
			if reason := d.text(detailReason); reason != "" && what != "" {
				f.message = what + reason
			}
			if more, ok := d[detailNames].Value().([]string); ok {
				names = append(names, more...)
			}
			if app, ok := d[detailApplication].Value().(map[string]dbus.Variant); ok {
				f.app = app
			}
		}
	}
	for _, e := range errorNames {
		for _, n := range names {
			if e.name == n && !errors.Is(f, e.err) {
				f.is = append(f.is, e.err)
			}
		}
	}
	return f, true
}
