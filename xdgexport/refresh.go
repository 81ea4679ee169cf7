// SPDX-License-Identifier: MIT

package xdgexport

import (
	"context"

	"glick.org/glick/xdgexport/apps"
	"glick.org/glick/xdgexport/sessionbus"
)

// BusName is the session service's name on the session bus.
const BusName = sessionbus.Name

// Refresh makes the desktop match the bundle folders, and returns when it does. The session service is asked to, and
// started if the bus can start it, so that it watches the folders from then on; where there is none, this process does it.
func Refresh(ctx context.Context) error {
	return sessionbus.Sync(ctx, func() error {
		_, _, err := SyncFolders(ctx, Options{})
		return err
	})
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
