// SPDX-License-Identifier: MIT

package work

import (
	"context"

	"glick.org/glick/xdgexport"
	"glick.org/glick/xdgexport/apps"
	"glick.org/glick/xdgexport/sessionbus"
)

// SwitchExports switches kinds of export on or off, for all applications, and returns when the desktop shows it. off is what is switched off then,
// also after an error.
func SwitchExports(ctx context.Context, shown map[apps.Export]bool) (off []apps.Export, err error) {
	if err = sessionbus.SetExports(shown); err == nil {
		err = xdgexport.Refresh(ctx)
	}
	return apps.SwitchedOff(), err
}

// Except shows everything of an application, or only what is switched on, and returns when the desktop does.
func Except(ctx context.Context, id string, on bool) error {
	if err := sessionbus.SetExcepted(id, on); err != nil {
		return err
	}
	return xdgexport.Refresh(ctx)
}

// WatchExports calls changed with what is switched off, now and each time that it may have become something else, until ctx ends.
func WatchExports(ctx context.Context, changed func(off []apps.Export)) {
	tell := func() { changed(apps.SwitchedOff()) }
	tell()
	_ = WatchRunning(ctx, tell) // without the service nobody else switches, or it is seen the next time
}
