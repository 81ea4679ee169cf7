// SPDX-License-Identifier: MIT

package sessionbus

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/godbus/dbus/v5"

	"glick.org/glick/runtime/session"
	"glick.org/glick/xdgexport/apps"
	"glick.org/glick/xdgexport/apps/trust"
)

const (
	// answerTime is how long the service may take for what is done in a moment before it counts as absent.
	answerTime = 20 * time.Second
	// cancelTime is how long the service may take to cancel. After that the connection is closed, which cancels as well.
	cancelTime = 10 * time.Second
	// undoTime is for how long an uninstalled bundle can be brought back, as long as the process lives.
	undoTime = time.Hour
)

var (
	// errAbsent says that there is no service to ask, and nothing was done.
	errAbsent = errors.New("there is no session service on the bus")
	// errLost says that the service has ended while it was asked.
	errLost = errors.New("the session service has ended meanwhile; \"glick list\" shows what is installed")
)

// client is a connection to the service.
type client struct{ conn *dbus.Conn }

// dial connects to the service, which the bus starts if it can. The error is errAbsent, or ctx's.
func dial(ctx context.Context) (*client, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	absent := func(why error) error {
		if errors.Is(ctx.Err(), context.Canceled) {
			return ctx.Err()
		}
		return fmt.Errorf("%w: %w", errAbsent, why)
	}
	conn, err := Connect(ctx)
	if err != nil {
		return nil, absent(err)
	}
	c := &client{conn}
	var properties map[string]dbus.Variant
	err = conn.Object(Name, Path).CallWithContext(ctx, "org.freedesktop.DBus.Properties.GetAll", 0, Interface).Store(&properties)
	if err == nil {
		// The session's bus and the home may be of different users, or tests.
		var theirs folders
		if take(properties, "Folders", &theirs.Bundles) != nil || take(properties, "DataFolder", &theirs.Data) != nil || !theirs.serves(foldersNow()) {
			err = errors.New("it serves another home")
		}
	}
	if err != nil {
		conn.Close()
		return nil, absent(err)
	}
	return c, nil
}

func (c *client) close() { c.conn.Close() }

// call calls a method and stores what it returns. The error is what it was in the service; errAbsent when the service has not been asked; errLost
// when it has not answered; or ctx's.
//
// there and here are the beginnings of the message, see decodeError.
func (c *client) call(ctx context.Context, there, here, method string, args []any, results ...any) error {
	return c.result(ctx, there, here, c.conn.Object(Name, Path).CallWithContext(ctx, Interface+"."+method, 0, args...), results...)
}

func (c *client) result(ctx context.Context, there, here string, call *dbus.Call, results ...any) error {
	err := call.Err
	if err == nil {
		if err = call.Store(results...); err != nil {
			return fmt.Errorf("%w: %w", errLost, err)
		}
		return nil
	}
	err, ours := decodeError(err, there, here)
	var remote dbus.Error
	switch {
	case ours:
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &remote):
		switch strings.TrimPrefix(remote.Name, "org.freedesktop.DBus.Error.") {
		case "InvalidArgs", "LimitsExceeded":
			return err
		case "NoReply", "Disconnected", "TimedOut", "Timeout":
			return fmt.Errorf("%w: %w", errLost, err)
		}
		// It is not there, or is an older one that does not know the method.
		return fmt.Errorf("%w: %w", errAbsent, err)
	}
	return fmt.Errorf("%w: %w", errLost, err)
}

// ask has the service do what is done in a moment, and local otherwise. Doing it twice must do no harm.
func ask(ctx context.Context, method string, args []any, local func() error, results ...any) error {
	for _, a := range args {
		// The bus carries nothing else.
		if s, ok := a.(string); ok && text(s) != s {
			return local()
		}
	}
	c, err := dial(ctx)
	if err == nil {
		defer c.close()
		limited, cancel := context.WithTimeout(ctx, answerTime)
		defer cancel()
		err = c.call(limited, "", "", method, args, results...)
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, errAbsent), errors.Is(err, errLost), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return local() // the last is a service that was asked to end
	}
	return err
}

// Sync makes the desktop match the bundle folders: the service does, or else local.
func Sync(ctx context.Context, local func() error) error { return ask(ctx, "Sync", nil, local) }

// List is [apps.List].
func List() (list []apps.App, problems []apps.Problem, err error) {
	var gotApps, gotProblems []map[string]dbus.Variant
	here := false
	err = ask(context.Background(), "List", nil, func() (err error) {
		here = true
		list, problems, err = apps.List()
		return err
	}, &gotApps, &gotProblems)
	if err != nil || here {
		return list, problems, err
	}
	list = make([]apps.App, 0, len(gotApps))
	for _, d := range gotApps {
		list = append(list, decodeApp(d))
	}
	for _, d := range gotProblems {
		problems = append(problems, decodeProblem(d))
	}
	return list, problems, nil
}

// Instances is [session.Instances].
func Instances(ctx context.Context) (list []session.Instance, err error) {
	var got []map[string]dbus.Variant
	here := false
	err = ask(ctx, "Instances", nil, func() (err error) {
		here = true
		list, err = session.Instances(ctx)
		return err
	}, &got)
	if err != nil || here {
		return list, err
	}
	list = make([]session.Instance, 0, len(got))
	for _, d := range got {
		list = append(list, decodeInstance(d))
	}
	return list, nil
}

// SetDefault is [apps.SetDefault].
func SetDefault(id, version string) error {
	return ask(context.Background(), "SetDefault", []any{id, version}, func() error { return apps.SetDefault(id, version) })
}

// SetAutostart is [apps.SetAutostart].
func SetAutostart(id string, on bool) error {
	return ask(context.Background(), "SetAutostart", []any{id, on}, func() error { return apps.SetAutostart(id, on) })
}

// Accept is [apps.Accept].
func Accept(id, what string) error {
	return ask(context.Background(), "Accept", []any{id, what, map[string]dbus.Variant{}}, func() error { return apps.Accept(id, what) })
}

// AcceptKey is [apps.AcceptKey].
func AcceptKey(id string, key trust.Key) error {
	d := dict{}
	d.put(optionComment, key.Comment)
	d.put(optionType, key.Type)
	d.put(optionPublic, key.Public)
	return ask(context.Background(), "Accept", []any{id, key.Fingerprint, map[string]dbus.Variant(d)}, func() error { return apps.AcceptKey(id, key) })
}

// Forget is [apps.Forget].
func Forget(id string) error {
	return ask(context.Background(), "Forget", []any{id}, func() error { return apps.Forget(id) })
}

// Install is [apps.Install]. When the process dies, the service cancels.
func Install(ctx context.Context, src string, o apps.InstallOptions) (apps.App, error) {
	app, err := install(ctx, src, o)
	if errors.Is(err, errAbsent) {
		return apps.Install(ctx, src, o)
	}
	return app, err
}

func install(ctx context.Context, src string, o apps.InstallOptions) (apps.App, error) {
	path, err := filepath.Abs(src)
	if err != nil || len(path) > maxPath || !utf8.ValidString(path) {
		return apps.App{}, errAbsent // the bus does not carry such a name
	}
	info, err := os.Stat(path)
	st, ok := (*syscall.Stat_t)(nil), false
	if err == nil {
		st, ok = info.Sys().(*syscall.Stat_t)
	}
	if !ok {
		return apps.App{}, errAbsent // package apps says best what is wrong
	}
	c, err := dial(ctx)
	what := cannotInstall(src)
	if err != nil {
		return apps.App{}, named(what, err)
	}
	defer c.close()

	const token = "1" // there is one installation on this connection
	signals := make(chan *dbus.Signal, 16)
	c.conn.Signal(signals)
	args := []any{path, map[string]dbus.Variant(encodeInstall(o, token, uint64(st.Dev), st.Ino))} //nolint:unconvert // Dev is uint32 on some processors
	call := c.conn.Object(Name, Path).Go(Interface+".Install", 0, make(chan *dbus.Call, 1), args...)
	cancelled := ctx.Done()
	var late <-chan time.Time
	var most uint64
	for {
		select {
		case s, open := <-signals:
			if !open {
				signals = nil
				continue
			}
			var (
				of          string
				done, total uint64
			)
			if s.Name == Interface+"."+SignalProgress && dbus.Store(s.Body, &of, &done, &total) == nil && of == token && o.Progress != nil && done >= most {
				most = done // the library may hand over signals in another order
				o.Progress(int64(done), int64(total))
			}
		case <-cancelled:
			// What was begun is taken back before the answer comes.
			cancelled, late = nil, time.After(cancelTime)
			c.conn.Object(Name, Path).Go(Interface+".Cancel", dbus.FlagNoReplyExpected, nil, token)
		case <-late:
			return apps.App{}, named(what, ctx.Err())
		case done := <-call.Done:
			return installed(ctx, c, path, src, done)
		}
	}
}

func cannotInstall(file string) string   { return "cannot install " + file + ": " }
func cannotUninstall(file string) string { return "cannot uninstall " + file + ": " }
func cannotRestore(file string) string   { return "cannot bring " + file + " back: " }

// installed reads the answer to Install for a path, which the caller calls src.
func installed(ctx context.Context, c *client, path, src string, call *dbus.Call) (apps.App, error) {
	var got map[string]dbus.Variant
	err := c.result(context.Background(), cannotInstall(path), cannotInstall(src), call, &got)
	if err == nil {
		return decodeApp(got), decodeLeft(got, cannotInstall(src))
	}
	if _, ours := errors.AsType[*failure](err); ours {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			// The client has seen the file. The service is somewhere else.
			return apps.App{}, errAbsent
		case errors.Is(err, context.Canceled) && ctx.Err() == nil:
			return apps.App{}, named(cannotInstall(src), errLost) // it was asked to end
		}
		return apps.App{}, err
	}
	if ctx.Err() != nil && !errors.Is(err, errAbsent) {
		err = ctx.Err()
	}
	return apps.App{}, named(cannotInstall(src), err)
}

// named puts the file's name before an error, unless the error is for this package only.
func named(what string, err error) error {
	if errors.Is(err, errAbsent) {
		return err
	}
	return fmt.Errorf("%s%w", what, err)
}

// Remove is [apps.Remove].
func Remove(ctx context.Context, file string) error {
	c, _, err := uninstall(ctx, file, 0)
	if errors.Is(err, errAbsent) {
		return apps.Remove(ctx, file)
	}
	if c != nil {
		c.close()
	}
	return err
}

// Uninstall is [apps.Uninstall]. undo works for an hour at most, and as long as the service lives.
func Uninstall(ctx context.Context, file string) (undo func() error, err error) {
	c, kept, err := uninstall(ctx, file, undoTime)
	if errors.Is(err, errAbsent) {
		return apps.Uninstall(ctx, file)
	}
	if err != nil {
		return nil, err
	}
	path, err := filepath.Abs(file)
	if err != nil {
		return nil, err
	}
	// The service keeps the file as long as the connection is there, and that is as long as somebody can call undo.
	h := &held{c}
	runtime.AddCleanup(h, func(c *client) { c.close() }, c)
	return func() error {
		limited, cancel := context.WithTimeout(context.Background(), answerTime)
		defer cancel()
		if err := h.call(limited, cannotRestore(path), cannotRestore(file), "Restore", []any{kept}); err != nil {
			if _, ours := errors.AsType[*failure](err); ours {
				return err
			}
			return fmt.Errorf("%s%w", cannotRestore(file), err)
		}
		h.close()
		return nil
	}, nil
}

// held is a connection whose end lets go of an uninstalled file.
type held struct{ *client }

// uninstall has the service uninstall a file. The client is nil when err is not.
func uninstall(ctx context.Context, file string, keep time.Duration) (*client, string, error) {
	path, err := filepath.Abs(file)
	if err != nil || len(path) > maxPath || !utf8.ValidString(path) {
		return nil, "", errAbsent
	}
	c, err := dial(ctx)
	if err != nil {
		return nil, "", named(cannotUninstall(file), err)
	}
	options := map[string]dbus.Variant{
		optionSync: dbus.MakeVariant(false), optionKeep: dbus.MakeVariant(uint32(keep / time.Second)), optionHold: dbus.MakeVariant(true),
	}
	limited, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	var (
		app  map[string]dbus.Variant
		kept string
	)
	if err := c.call(limited, cannotUninstall(path), cannotUninstall(file), "Uninstall", []any{path, options}, &app, &kept); err != nil {
		c.close()
		if _, ours := errors.AsType[*failure](err); !ours {
			err = named(cannotUninstall(file), err)
		}
		return nil, "", err
	}
	return c, kept, nil
}
