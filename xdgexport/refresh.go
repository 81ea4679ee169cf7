// SPDX-License-Identifier: MIT

package xdgexport

import (
	"context"
	"errors"
	"time"

	"github.com/godbus/dbus/v5"

	"glick.org/glick/xdgexport/apps"
)

// The session service on the session bus.
const (
	BusName      = "org.glick.Session"
	BusPath      = "/org/glick/Session"
	BusInterface = "org.glick.Session"
)

// serviceTime is how long the session service may take for a sync before it counts as absent.
const serviceTime = 20 * time.Second

// Refresh makes the desktop match the bundle folders, and returns when it does. The session service is asked to, and
// started if the bus can start it, so that it watches the folders from then on; where there is none, this process does it.
func Refresh(ctx context.Context) error {
	if conn, err := sessionBus(ctx); err == nil {
		defer conn.Close()
		asked, cancel := context.WithTimeout(ctx, serviceTime)
		defer cancel()
		err := conn.Object(BusName, BusPath).CallWithContext(asked, BusInterface+".Sync", 0).Err
		var failed dbus.Error
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &failed) && failed.Name == BusInterface+".Error.Failed":
			return err
		}
		// Not there, cannot be started, or does not answer.
	}
	_, _, err := SyncFolders(ctx, Options{})
	return err
}

// SyncFolders looks into the bundle folders and syncs what it finds.
func SyncFolders(ctx context.Context, o Options) (Result, []apps.Problem, error) {
	list, problems, err := apps.List()
	if err != nil {
		return Result{}, problems, err
	}
	res, err := Sync(ctx, list, o)
	return res, problems, err
}
