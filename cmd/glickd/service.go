// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/adrg/xdg"
	"golang.org/x/sys/unix"

	"glick.org/glick/runtime/launch"
	"glick.org/glick/runtime/session"
	"glick.org/glick/xdgexport"
	"glick.org/glick/xdgexport/apps"
	"glick.org/glick/xdgexport/sessionbus"
)

// errRunning says that the session has a service already.
var errRunning = errors.New("another one is running")

// cleanTime is the time between two looks at files that were put aside and may be brought back by their window.
const cleanTime = time.Minute

// service ties the parts together: the folders, the desktop, the bus, the running instances.
type service struct {
	log *slog.Logger
	bus *bus // nil without a session bus

	syncs chan syncRequest // to the one goroutine that syncs

	notifier *notifier // nil without a session bus
	checks   *checks

	// Owned by the goroutine that syncs.
	looked   bool              // that there was a look at the folders
	list     []apps.App        // what it found
	reported map[string]string // files that were reported, with what
	left     map[xdgexport.LeftOut]bool
	shown    map[string]string // file and version of each shown id
	exports  map[string]string // what the desktop shows, see xdgexport.Shown
	off      []apps.Export     // kinds that are switched off
	gone     bool              // something was uninstalled, and may have left a note of its use

	uses *uses

	pool session.Pool // what running applications see of all that
}

type syncRequest struct {
	done chan<- error // nil when nobody waits
}

// serve runs the service until ctx ends, and then until no instance needs it any more.
func serve(ctx context.Context, log *slog.Logger, replace bool) error {
	lock, err := lockSession()
	if errors.Is(err, errRunning) && replace {
		lock, err = takeOver(ctx)
	}
	if err != nil {
		return err
	}
	defer lock.Close()
	// Bundles can be copied to ~/Apps only if it is there.
	if home, err := apps.Home(); err != nil {
		log.Warn("no folder for applications", "error", err)
	} else if err := os.MkdirAll(home, 0o755); err != nil {
		log.Warn("cannot make the folder for applications", "error", err)
	}
	ctx, end := context.WithCancel(ctx)
	defer end()
	s := &service{
		log: log, syncs: make(chan syncRequest, 16),
		reported: map[string]string{}, left: map[xdgexport.LeftOut]bool{}, shown: map[string]string{}, uses: newUses(log),
	}
	if s.exports, err = xdgexport.Shown(); err != nil {
		log.Warn("what the desktop shows is not known before the first sync", "error", err)
	}
	// A service that takes over knows what its predecessor has shown before it is asked for it.
	s.pool.Set(session.Installed{Exports: maps.Clone(s.exports)})
	s.checks = newChecks(s.damageFound, func(err error) { log.Warn("large bundles are not checked", "error", err) })
	var running *running
	own := &own{}
	serving := make(chan struct{}) // closed when instances can be asked for, or never will
	ready := sync.OnceFunc(func() { close(serving) })
	instances := func(ctx context.Context) ([]session.Instance, error) {
		select {
		case <-serving:
		case <-ctx.Done():
		}
		return session.Instances(ctx)
	}
	if s.bus, err = connectBus(ctx, sessionbus.ServerOptions{Version: version, Sync: s.requestSync, Begin: own.begin, Instances: instances}); errors.Is(err, errRunning) {
		return err
	} else if err != nil {
		log.Info("no session bus; other programs cannot ask for a sync", "error", err)
	} else {
		defer s.bus.close()
		// Without its bus the session is over.
		context.AfterFunc(s.bus.gone(), end)
		running = newRunning(s.bus)
		s.notifier = newNotifier(s.bus, log, own)
	}

	var parts sync.WaitGroup
	parts.Go(func() { s.checks.run(ctx) })
	uses := s.uses
	parts.Go(func() { uses.run(ctx) })
	if s.bus != nil {
		useCatalogue(os.Getenv, localeDir())
		parts.Go(func() { s.notifier.run(ctx) })
		parts.Go(func() { running.follow(ctx) })
	}
	parts.Go(func() { s.syncLoop(ctx) })
	parts.Go(func() {
		warn := func(err error) { log.Warn("changes of the bundle folders are seen late", "error", err) }
		if err := apps.Follow(ctx, apps.WatchOptions{Changed: s.folderChanged, Warn: warn}); err != nil {
			log.Error("changes of the bundle folders are not seen", "error", err)
		}
	})
	parts.Go(func() {
		o := session.Options{Log: log, Installed: &s.pool, Plan: launch.Answer, Succession: succession(log), Replace: replace}
		o.Started, o.Ended = func(_ string, i session.Instance) { uses.started(i) }, uses.ended
		if s.bus != nil {
			managed := s.bus.managed()
			o.Ready = func() { ready(); running.changed() }
			o.Ended = func(i session.Instance) {
				uses.ended(i)
				running.ended(i)
			}
			o.Started = func(folder string, i session.Instance) {
				uses.started(i)
				running.started(i)
				if !managed {
					return
				}
				if err := s.bus.place(folder, i); err != nil {
					log.Warn("an instance stays where it was started", "folder", folder, "error", err)
				}
			}
		}
		err := session.Serve(ctx, o)
		ready()
		if errors.Is(err, session.ErrReplaced) {
			end()
			return
		}
		if err != nil && ctx.Err() == nil {
			// Bundles then serve themselves; the folders still want watching.
			log.Error("cannot serve the files of bundles", "error", err)
		}
	})
	log.Info("started", "version", version, "pid", os.Getpid())
	parts.Wait()
	log.Info("ended")
	return nil
}

// linger serves the instances that still run after a service was asked to end, until they have ended or another service comes.
func linger(ctx context.Context, log *slog.Logger) error {
	err := session.Serve(ctx, session.Options{Log: log, Plan: launch.Answer, Succession: succession(log), Linger: true})
	if errors.Is(err, session.ErrReplaced) {
		return nil
	}
	if errors.Is(err, session.ErrRunning) {
		return errRunning
	}
	return err
}

// systemdGrace is how long systemd has time to start the service again, before the holder does; see glickd.service.
const systemdGrace = 2 * time.Second

// succession says how this service is started again. The path of the program may be a newer version's by then.
func succession(log *slog.Logger) *session.Succession {
	program, err := os.Executable()
	if err != nil {
		log.Error("running applications would not survive the end of this service", "error", err)
		return nil
	}
	o := &session.Succession{Command: []string{program}, Last: []string{program, "--linger"}, Env: os.Environ()}
	if os.Getenv("INVOCATION_ID") != "" {
		o.Grace = systemdGrace
	}
	return o
}

// takeOver makes the running service leave, and takes its lock.
func takeOver(ctx context.Context) (*os.File, error) {
	if err := session.Leave(); err != nil {
		return nil, fmt.Errorf("cannot take over from the running service: %w", err)
	}
	const patience, pause = 15 * time.Second, 20 * time.Millisecond
	for limit := time.Now().Add(patience); ; {
		lock, err := lockSession()
		if !errors.Is(err, errRunning) || ctx.Err() != nil || time.Now().After(limit) {
			return lock, err
		}
		time.Sleep(pause)
	}
}

// lockSession makes sure that there is one service in a session. The lock falls with the process.
func lockSession() (*os.File, error) {
	dir, err := session.Dir()
	if err != nil {
		// No XDG_RUNTIME_DIR: no running bundles to serve, but folders to watch.
		dir = filepath.Join(xdg.CacheHome, "glick")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the service's folder: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "glickd.lock"), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot make the service's lock: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errRunning
		}
		return nil, fmt.Errorf("cannot lock the session: %w", err)
	}
	return f, nil
}

// folderChanged asks for a sync that nobody waits for.
func (s *service) folderChanged() {
	select {
	case s.syncs <- syncRequest{}:
	default: // enough of them wait already
	}
}

// requestSync asks for a sync and waits for it.
func (s *service) requestSync(ctx context.Context) error {
	done := make(chan error, 1)
	select {
	case s.syncs <- syncRequest{done}:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *service) syncLoop(ctx context.Context) {
	clean := time.NewTimer(0)
	defer clean.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-clean.C:
			if apps.Clean() > 0 {
				clean.Reset(cleanTime)
			}
		case r := <-s.syncs:
			// One sync answers all who have asked until it begins.
			waiting := []syncRequest{r}
			for more := true; more; {
				select {
				case r := <-s.syncs:
					waiting = append(waiting, r)
				default:
					more = false
				}
			}
			err := s.sync(ctx)
			for _, r := range waiting {
				if r.done != nil {
					r.done <- err
				}
			}
			clean.Reset(cleanTime)
		}
	}
}

func (s *service) sync(ctx context.Context) error {
	list, problems, err := apps.List()
	if err != nil {
		s.log.Error("cannot look into the bundle folders", "error", err)
		return err
	}
	before, first, earlier := s.reported, !s.looked, s.list
	s.looked, s.list, s.reported = true, list, map[string]string{}
	s.uses.installed(list)
	for _, p := range problems {
		s.reported[p.File] = p.Err.Error()
		if before[p.File] == p.Err.Error() {
			continue // said once
		}
		if p.Incomplete() {
			s.log.Info("not complete yet", "file", p.File)
		} else {
			s.log.Warn("not a usable bundle", "file", p.File, "error", p.Err)
		}
	}
	shown := map[string]string{}
	for _, a := range list {
		if a.Default {
			shown[a.ID] = a.File + " " + a.Version
			if s.shown[a.ID] != shown[a.ID] {
				s.log.Info("installed", "id", a.ID, "version", a.Version, "file", a.File)
			}
		}
	}
	for id := range s.shown {
		if shown[id] == "" {
			s.log.Info("uninstalled", "id", id)
			s.gone = true
		}
	}
	changed := len(shown) != len(s.shown)
	for id, v := range shown {
		changed = changed || s.shown[id] != v
	}
	s.shown = shown

	wasOff := s.off
	s.off = apps.SwitchedOff()
	res, err := xdgexport.Sync(ctx, list, xdgexport.Options{Off: s.off})
	if err != nil {
		s.log.Error("cannot show all applications in the desktop", "error", err)
	}
	for _, aside := range res.Aside {
		s.log.Warn("a changed file of an application that is gone was put aside", "path", aside)
	}
	left := map[xdgexport.LeftOut]bool{}
	for _, l := range res.Left {
		left[l] = true
		if !s.left[l] {
			s.log.Info("left out", "id", l.App, "what", l.Origin, "why", l.Reason)
		}
	}
	s.left = left
	if res.Changed() {
		s.log.Info("synced", "written", len(res.Written), "removed", len(res.Removed))
	}
	// A file that is incomplete may be the next version of what seems to be gone.
	if (first || s.gone) && !slices.ContainsFunc(problems, apps.Problem.Incomplete) {
		s.gone = !apps.CleanUsed(list)
	}
	if first || changed || res.Changed() {
		res.Update(s.exports)
		s.show(list)
	}
	if s.bus != nil {
		var all []change
		if !first {
			all = changes(earlier, list)
			s.bus.emit(all)
		}
		if changed || len(all) > 0 || res.Changed() || !maps.Equal(before, s.reported) || !first && !slices.Equal(wasOff, s.off) {
			s.bus.server.Emit(sessionbus.SignalChanged)
		}
		s.bus.server.EmitFolders()
		s.notifier.look(list, problems)
	}
	s.checks.look(list)
	return err
}

// show tells running applications what is installed now.
func (s *service) show(list []apps.App) {
	i := session.Installed{Bundles: map[string]session.Bundle{}, Exports: maps.Clone(s.exports)}
	for _, a := range list {
		if a.Default {
			i.Bundles[a.ID] = session.Bundle{File: a.File, Digest: a.Digest}
		}
	}
	s.pool.Set(i)
}

// damageFound has a bundle that turned out to be damaged taken out of the desktop. What has found it was another process, whose word is not enough
// for package apps: it reads the bundle again here, which happens once in the life of such a file.
func (s *service) damageFound(ctx context.Context) {
	defer debug.FreeOSMemory()
	if _, err := apps.Check(ctx); err == nil {
		s.folderChanged()
	}
}
