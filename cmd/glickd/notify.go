// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/adrg/xdg"
	"github.com/godbus/dbus/v5"

	"glick.org/glick/gui/tr"
	"glick.org/glick/xdgexport/apps"
)

// Desktop Notifications Specification 1.2, https://specifications.freedesktop.org/notification-spec/latest/
const (
	notifyName      = "org.freedesktop.Notifications"
	notifyPath      = "/org/freedesktop/Notifications"
	notifyInterface = "org.freedesktop.Notifications"

	guiName = "org.glick.Glick"
	guiPath = "/org/glick/Glick"

	// notifyTime is how long the desktop may take to show something, and how long the windows may take to come.
	notifyTime = 25 * time.Second
	// maxShown is how many notifications are followed at once; a click on older ones does nothing.
	maxShown = 64
)

// notifier tells the user what has become of the folders, through the desktop.
type notifier struct {
	bus     *bus
	log     *slog.Logger
	noticer *noticer
	states  chan state // the latest one

	// Owned by run.
	signals   chan *dbus.Signal
	shown     map[uint32]shown
	byFile    map[string]uint32
	owner     string            // of the desktop's name on the bus, while listening
	tokens    map[uint32]string // to bring a window to the front
	undone    []notice          // that nobody could show yet
	listening bool
}

// state is what is in the folders.
type state struct {
	list     []apps.App
	problems []apps.Problem
}

type shown struct {
	file string
	at   time.Time
}

func newNotifier(b *bus, log *slog.Logger, o *own) *notifier {
	return &notifier{
		bus: b, log: log, states: make(chan state, 1), signals: make(chan *dbus.Signal, 64),
		noticer: newNoticer(o, &reported{path: filepath.Join(xdg.DataHome, "glick", "reported")}),
		shown:   map[uint32]shown{}, byFile: map[string]uint32{}, tokens: map[uint32]string{},
	}
}

// look says what there is now, after the desktop shows it. Neither list is changed.
func (n *notifier) look(list []apps.App, problems []apps.Problem) {
	for {
		select {
		case n.states <- state{list, problems}:
			return
		default:
		}
		select {
		case <-n.states: // an older one
		default:
		}
	}
}

// run tells until ctx ends.
func (n *notifier) run(ctx context.Context) {
	heard := make(chan *dbus.Signal, 64)
	n.bus.conn.Signal(heard)
	go n.filter(heard)
	timer := time.NewTimer(0)
	timer.Stop()
	defer timer.Stop()
	var now state
	for {
		select {
		case <-ctx.Done():
			n.closeAll()
			return
		case now = <-n.states:
		case <-timer.C:
		case s := <-n.signals:
			n.signal(ctx, s)
			continue
		}
		show, over, wait := n.noticer.look(time.Now(), now.list, now.problems)
		for _, file := range over {
			n.closeFor(file)
		}
		if len(show) > 0 {
			n.listen(ctx, true) // what is shown may be over before the answer comes
		}
		for _, one := range show {
			n.show(ctx, one)
		}
		timer.Stop()
		if wait > 0 {
			timer.Reset(wait)
		}
		n.listen(ctx, false)
	}
}

// filter passes on what run may want to hear, as long as it hears. Anybody can send any number of signals, and the library keeps each of them until
// it is taken.
func (n *notifier) filter(heard <-chan *dbus.Signal) {
	for s := range heard { // until the connection is closed
		if s.Name != "org.freedesktop.DBus.NameOwnerChanged" && !strings.HasPrefix(s.Name, notifyInterface+".") {
			continue
		}
		select {
		case n.signals <- s:
		default:
		}
	}
}

func (n *notifier) object() dbus.BusObject { return n.bus.conn.Object(notifyName, notifyPath) }

// show has the desktop show a notice. One about the same file takes the place of the one before.
func (n *notifier) show(ctx context.Context, one notice) {
	ctx, cancel := context.WithTimeout(ctx, notifyTime)
	defer cancel()
	body := one.body
	var capabilities []string
	if err := n.object().CallWithContext(ctx, notifyInterface+".GetCapabilities", 0).Store(&capabilities); err == nil && slices.Contains(capabilities, "body-markup") {
		body = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(body)
	}
	hints := map[string]dbus.Variant{
		"desktop-entry": dbus.MakeVariant(guiName),
		"image-path":    dbus.MakeVariant(iconOf(one.id)),
	}
	// GNOME Shell pops up nothing of low urgency.
	hints["urgency"] = dbus.MakeVariant(byte(1))
	if one.warning {
		hints["category"] = dbus.MakeVariant("transfer.error")
	} else {
		hints["category"] = dbus.MakeVariant("transfer.complete")
	}
	replaces := n.byFile[one.file]
	if one.file == "" {
		replaces = 0
	}
	var id uint32
	err := n.object().CallWithContext(ctx, notifyInterface+".Notify", 0, tr.T("Glick"), replaces, guiName, one.summary, body,
		[]string{"default", tr.T("Show")}, hints, int32(-1)).Store(&id)
	if err != nil {
		n.log.Info("the desktop shows no notifications", "text", one.summary, "error", err)
		if len(n.undone) < maxShown {
			n.undone = append(n.undone, one)
		}
		return
	}
	delete(n.shown, replaces)
	n.shown[id] = shown{one.file, time.Now()}
	if one.file != "" {
		n.byFile[one.file] = id
	}
	if len(n.shown) > maxShown {
		n.forget(n.oldest())
	}
	if one.remember != "" {
		one.others = append(one.others, one.remember)
	}
	if err := n.noticer.reported.add(one.others...); err != nil {
		n.log.Warn("cannot remember what was told; it will be told again", "error", err)
	}
}

func (n *notifier) oldest() (id uint32) {
	var at time.Time
	for i, s := range n.shown {
		if at.IsZero() || s.at.Before(at) {
			id, at = i, s.at
		}
	}
	return id
}

func (n *notifier) forget(id uint32) {
	if s, ok := n.shown[id]; ok && n.byFile[s.file] == id {
		delete(n.byFile, s.file)
	}
	delete(n.shown, id)
	delete(n.tokens, id)
}

// closeFor takes back what was told of a file, shown or not.
func (n *notifier) closeFor(file string) {
	n.undone = slices.DeleteFunc(n.undone, func(one notice) bool { return one.file == file })
	if id, ok := n.byFile[file]; ok {
		n.object().Go(notifyInterface+".CloseNotification", dbus.FlagNoReplyExpected|dbus.FlagNoAutoStart, nil, id)
		n.forget(id)
	}
}

// closeAll takes everything back: without this process a click does nothing.
func (n *notifier) closeAll() {
	for id := range n.shown {
		n.object().Go(notifyInterface+".CloseNotification", dbus.FlagNoReplyExpected|dbus.FlagNoAutoStart, nil, id)
	}
}

// clicks and owners are what the bus tells of while something is shown, or waits for somebody who shows it.
var (
	clicks = []dbus.MatchOption{dbus.WithMatchSender(notifyName), dbus.WithMatchInterface(notifyInterface)}
	owners = []dbus.MatchOption{
		dbus.WithMatchSender("org.freedesktop.DBus"), dbus.WithMatchInterface("org.freedesktop.DBus"), dbus.WithMatchMember("NameOwnerChanged"),
		dbus.WithMatchArg(0, notifyName),
	}
)

// listen makes the bus tell of these or not: at rest the notifications of others must not wake this process. soon says that something is about to
// be shown.
func (n *notifier) listen(ctx context.Context, soon bool) {
	want := soon || len(n.shown) > 0 || len(n.undone) > 0
	if want == n.listening {
		return
	}
	n.listening = want
	n.owner = ""
	conn := n.bus.conn
	if !want {
		_ = errors.Join(conn.RemoveMatchSignalContext(ctx, clicks...), conn.RemoveMatchSignalContext(ctx, owners...)) // fail only when the bus is gone
		return
	}
	if err := errors.Join(conn.AddMatchSignalContext(ctx, clicks...), conn.AddMatchSignalContext(ctx, owners...)); err != nil {
		n.log.Info("clicks on notifications are not seen", "error", err)
	}
	var owner string
	if conn.BusObject().CallWithContext(ctx, "org.freedesktop.DBus.GetNameOwner", 0, notifyName).Store(&owner) == nil {
		n.owner = owner
	}
}

// again tells what could not be told.
func (n *notifier) again(ctx context.Context) {
	undone := n.undone
	n.undone = nil
	for _, one := range undone {
		n.show(ctx, one)
	}
}

func (n *notifier) signal(ctx context.Context, s *dbus.Signal) {
	// Anybody can send a signal of any name.
	if s.Sender == "org.freedesktop.DBus" && s.Name == "org.freedesktop.DBus.NameOwnerChanged" {
		var name, before, after string
		if dbus.Store(s.Body, &name, &before, &after) != nil || name != notifyName || !n.listening {
			return
		}
		n.owner = after
		clear(n.shown) // with him who showed them
		clear(n.byFile)
		clear(n.tokens)
		if after != "" {
			n.again(ctx)
		}
		n.listen(ctx, false)
		return
	}
	if s.Sender != n.owner || n.owner == "" {
		return
	}
	member, ok := strings.CutPrefix(s.Name, notifyInterface+".")
	if !ok || len(s.Body) != 2 {
		return
	}
	id, ok := s.Body[0].(uint32)
	one, known := n.shown[id]
	if !ok || !known {
		return
	}
	switch member {
	case "ActivationToken":
		n.tokens[id], _ = s.Body[1].(string)
	case "ActionInvoked":
		token := n.tokens[id]
		go n.open(ctx, one.file, token)
	case "NotificationClosed":
		n.forget(id)
		n.listen(ctx, false)
	}
}

// open shows the window of a file, or the library's when there is none.
func (n *notifier) open(ctx context.Context, file, token string) {
	ctx, cancel := context.WithTimeout(ctx, notifyTime)
	defer cancel()
	platform := map[string]dbus.Variant{}
	if token != "" {
		platform["activation-token"] = dbus.MakeVariant(token)
		platform["desktop-startup-id"] = dbus.MakeVariant(token)
	}
	gui := n.bus.conn.Object(guiName, guiPath)
	var err error
	if file == "" {
		err = gui.CallWithContext(ctx, "org.freedesktop.Application.Activate", 0, platform).Err
	} else {
		err = gui.CallWithContext(ctx, "org.freedesktop.Application.Open", 0, []string{fileURI(file)}, platform).Err
	}
	if err == nil {
		return
	}
	var remote dbus.Error
	if errors.As(err, &remote) && remote.Name == "org.freedesktop.DBus.Error.ServiceUnknown" {
		err = startWindows(file, token)
	}
	if err != nil {
		n.log.Warn("cannot show the window of a notification", "file", file, "error", err)
	}
}

// startWindows starts the program of the windows, where the bus does not know how to.
func startWindows(file, token string) error {
	program := "glick-gui"
	if self, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(self), program)
		if _, err := os.Stat(beside); err == nil {
			program = beside
		}
	}
	cmd := exec.Command(program)
	if file != "" {
		cmd.Args = append(cmd.Args, file)
	}
	cmd.Env = os.Environ()
	if token != "" {
		cmd.Env = append(cmd.Env, "XDG_ACTIVATION_TOKEN="+token, "DESKTOP_STARTUP_ID="+token)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("cannot start the windows: %w", err)
	}
	go func() { _ = cmd.Wait() }()
	return nil
}

// fileURI writes an absolute path as a URI.
func fileURI(path string) string { return (&url.URL{Scheme: "file", Path: path}).String() }

// iconOf is the picture of an application: a file, as running desktops find a new icon by its name only after seconds.
func iconOf(id string) string {
	if id != "" {
		for _, data := range []string{xdg.DataHome, "/usr/local/share"} {
			for _, size := range []string{"128x128", "256x256", "64x64", "512x512", "48x48", "scalable"} {
				for _, suffix := range []string{".png", ".svg"} {
					path := filepath.Join(data, "icons", "hicolor", size, "apps", id+suffix)
					if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() {
						return fileURI(path)
					}
				}
			}
		}
	}
	return guiName
}
