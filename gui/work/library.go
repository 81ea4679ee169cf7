// SPDX-License-Identifier: MIT

package work

import (
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/adrg/xdg"
	"github.com/godbus/dbus/v5"

	"glick.org/glick/gui/state"
	"glick.org/glick/runtime/session"
	"glick.org/glick/xdgexport"
	"glick.org/glick/xdgexport/apps"
	"glick.org/glick/xdgexport/sessionbus"
)

// Apps lists what lies in the bundle folders, also what cannot be used.
func Apps() ([]state.App, error) {
	list, problems, err := apps.List()
	if err != nil {
		return nil, err
	}
	at, added := map[string]int{}, apps.AddedFolders()
	files := make([]state.AppFile, 0, len(list)+len(problems))
	for _, a := range list {
		at[a.File] = len(files)
		files = append(files, state.AppFile{
			ID: a.ID, Name: a.Name, Version: a.Version, File: a.File, Digest: a.Digest.String(), Size: a.Size, System: a.System, Default: a.Default,
			Trust: a.State, Signer: a.Key.Comment, Fingerprint: a.Key.Fingerprint, Origin: a.Origin.URL,
			Folder: addedFolder(a.File, added),
		})
	}
	for _, p := range problems {
		if i, ok := at[p.File]; ok {
			files[i].Err = p.Err
			continue
		}
		f := state.AppFile{File: p.File, Err: p.Err, Incomplete: p.Incomplete(), System: !apps.OwnFolder(filepath.Dir(p.File)), Folder: addedFolder(p.File, added)}
		f.Whole = slices.Contains(added, p.File)
		if info, err := os.Lstat(p.File); err == nil && info.Mode().IsRegular() {
			f.Size = info.Size()
		}
		files = append(files, f)
	}
	return state.GroupApps(files), nil
}

// addedFolder is the folder of a file as it is shown, when it is one that the user has added.
func addedFolder(file string, added []string) string {
	if dir := filepath.Dir(file); slices.Contains(added, dir) {
		return tilde(dir)
	}
	return ""
}

// Running tells which applications run, by their ids; none when there is no session service.
func Running(ctx context.Context) map[string]bool {
	list, err := session.Instances(ctx)
	if err != nil {
		return nil
	}
	running := make(map[string]bool, len(list))
	for _, i := range list {
		running[i.ID] = true
	}
	return running
}

// WatchRunning calls changed each time that the session service says that something has started or ended, until ctx ends. It does not start
// the service.
func WatchRunning(ctx context.Context, changed func()) error {
	conn, err := dbus.SessionBusPrivateNoAutoStartup(dbus.WithContext(ctx))
	if err != nil {
		return fmt.Errorf("cannot hear of running applications: %w", err)
	}
	defer conn.Close()
	if err := conn.Auth(nil); err != nil {
		return fmt.Errorf("cannot hear of running applications: %w", err)
	}
	if err := conn.Hello(); err != nil {
		return fmt.Errorf("cannot hear of running applications: %w", err)
	}
	signals := make(chan *dbus.Signal, 16)
	conn.Signal(signals)
	err = conn.AddMatchSignal(dbus.WithMatchInterface(sessionbus.Interface), dbus.WithMatchMember("Changed"), dbus.WithMatchObjectPath(sessionbus.Path))
	if err != nil {
		return fmt.Errorf("cannot hear of running applications: %w", err)
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case s := <-signals:
			if s == nil {
				return nil // the bus is gone
			}
			changed()
		}
	}
}

// maxUsed is how much of GNOME Shell's memory is looked at, in bytes; a real one has some kilobytes.
const maxUsed = 4 << 20

// LastUsed tells when applications were used last, by their ids: the latest of what the session service has noted and what GNOME Shell remembers.
func LastUsed() map[string]time.Time {
	used := apps.AllUsed()
	for id, when := range shellUsed() {
		if when.After(used[id]) {
			used[id] = when
		}
	}
	return used
}

// shellUsed is what GNOME Shell remembers: it writes down when a window of an application had the focus last (shell_app_usage.c), every few minutes.
func shellUsed() map[string]time.Time {
	f, err := os.Open(filepath.Join(xdg.DataHome, "gnome-shell", "application_state"))
	if err != nil {
		return nil
	}
	defer f.Close()
	return readUsed(io.LimitReader(f, maxUsed))
}

func readUsed(r io.Reader) map[string]time.Time {
	used := map[string]time.Time{}
	d := xml.NewDecoder(r)
	for {
		t, err := d.Token()
		if err != nil {
			return used // what came before it counts
		}
		e, ok := t.(xml.StartElement)
		if !ok || e.Name.Local != "application" {
			continue
		}
		var id string
		var seen int64
		for _, a := range e.Attr {
			switch a.Name.Local {
			case "id":
				id = strings.TrimSuffix(a.Value, ".desktop")
			case "last-seen":
				seen, _ = strconv.ParseInt(a.Value, 10, 64)
			}
		}
		if now := time.Now(); id != "" && seen > 0 && seen <= now.Unix() {
			if when := time.Unix(seen, 0); when.After(used[id]) {
				used[id] = when
			}
		}
	}
}

// Choose makes a version the one that is used and shown in the desktop.
func Choose(ctx context.Context, id, version string) error {
	if err := sessionbus.SetDefault(id, version); err != nil {
		return err
	}
	return xdgexport.Refresh(ctx)
}

// Trust accepts a bundle whose signature has changed: its key, or the bundle as it is when it has none. f is what the user was shown; a file that
// is another one by now is not accepted.
func Trust(ctx context.Context, f state.AppFile) error {
	what := f.Fingerprint
	if what == "" {
		what = f.Digest
	}
	if err := sessionbus.Accept(f.ID, what); err != nil {
		return err
	}
	return xdgexport.Refresh(ctx)
}
