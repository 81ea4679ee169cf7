// SPDX-License-Identifier: MIT

package work

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/godbus/dbus/v5"
)

// FileURI is the address of a file.
func FileURI(path string) string { return (&url.URL{Scheme: "file", Path: path}).String() }

// ShowInFiles has the file manager show a file in its folder (freedesktop.org, File Manager D-Bus Interface). startup is for the window to come to the front. The
// error means that there is no file manager that can do so.
func ShowInFiles(ctx context.Context, file, startup string) error {
	const patience = 15 * time.Second // it may have to be started first
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := dbus.SessionBusPrivateNoAutoStartup(dbus.WithContext(ctx))
	if err != nil {
		return fmt.Errorf("cannot show %s in the file manager: %w", file, err)
	}
	defer conn.Close()
	if err = conn.Auth(nil); err == nil {
		if err = conn.Hello(); err == nil {
			const name = "org.freedesktop.FileManager1"
			err = conn.Object(name, "/org/freedesktop/FileManager1").CallWithContext(ctx, name+".ShowItems", 0, []string{FileURI(file)}, startup).Err
		}
	}
	if err != nil {
		return fmt.Errorf("cannot show %s in the file manager: %w", file, err)
	}
	return nil
}
