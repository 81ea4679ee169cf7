// SPDX-License-Identifier: MIT

package sessionbus

import (
	"crypto/rand"
	"runtime"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"

	"glick.org/glick/xdgexport/apps"
)

// callers knows when callers leave the bus. It listens only while somebody wants to know: else every program that comes or goes would wake the
// service.
type callers struct {
	conn *dbus.Conn

	mu   sync.Mutex
	of   map[string]map[*watch]bool // guarded by mu, by name on the bus
	rule sync.Mutex                 // held while the bus's rules are made to match
}

// watch is one who wants to know.
type watch struct{ gone func() }

func newCallers(conn *dbus.Conn) *callers {
	c := &callers{conn: conn, of: map[string]map[*watch]bool{}}
	signals := make(chan *dbus.Signal, 64)
	conn.Signal(signals)
	go func() {
		for s := range signals { // until the connection is closed
			var name, before, after string
			// Anybody can send a signal of any name.
			if s.Sender == "org.freedesktop.DBus" && s.Name == "org.freedesktop.DBus.NameOwnerChanged" &&
				dbus.Store(s.Body, &name, &before, &after) == nil && after == "" {
				c.left(name)
			}
		}
	}()
	return c
}

// watch calls gone, once, when the caller has left the bus, or has already. stop ends it, and waits for nothing.
func (c *callers) watch(caller string, gone func()) (stop func()) {
	w := &watch{sync.OnceFunc(gone)}
	c.mu.Lock()
	first := len(c.of[caller]) == 0
	if first {
		c.of[caller] = map[*watch]bool{}
	}
	c.of[caller][w] = true
	c.mu.Unlock()
	if first {
		c.match(caller)
	}
	var there bool
	if err := c.conn.BusObject().Call("org.freedesktop.DBus.NameHasOwner", 0, caller).Store(&there); err != nil || !there {
		c.left(caller)
	}
	return func() {
		c.mu.Lock()
		delete(c.of[caller], w)
		last := c.of[caller] != nil && len(c.of[caller]) == 0
		if last {
			delete(c.of, caller)
		}
		c.mu.Unlock()
		if last {
			c.match(caller)
		}
	}
}

func (c *callers) left(name string) {
	c.mu.Lock()
	gone := c.of[name]
	delete(c.of, name)
	c.mu.Unlock()
	for w := range gone {
		w.gone()
	}
	if gone != nil {
		c.match(name)
	}
}

// match makes the bus tell of a caller if somebody wants to know, and not otherwise.
func (c *callers) match(caller string) {
	c.rule.Lock()
	defer c.rule.Unlock()
	c.mu.Lock()
	wanted := c.of[caller] != nil
	c.mu.Unlock()
	options := []dbus.MatchOption{
		dbus.WithMatchSender("org.freedesktop.DBus"), dbus.WithMatchInterface("org.freedesktop.DBus"), dbus.WithMatchMember("NameOwnerChanged"),
		dbus.WithMatchArg(0, caller),
	}
	// Whatever was before: one rule, or none. These fail only when the bus is gone, or there was no rule.
	_ = c.conn.RemoveMatchSignal(options...)
	if wanted {
		_ = c.conn.AddMatchSignal(options...)
	}
}

// kept are the files that Uninstall has put aside.
type kept struct {
	mu    sync.Mutex
	of    map[string]*keptFile // guarded by mu
	order []string             // guarded by mu: the oldest first
}

type keptFile struct {
	undo func() error
	app  apps.App

	mu    sync.Mutex
	timer *time.Timer // guarded by mu
	stop  func()      // guarded by mu: ends watching the caller; nil for none
	gone  bool        // guarded by mu
}

// letGo ends what waits for the file's end.
func (f *keptFile) letGo() {
	f.mu.Lock()
	timer, stop := f.timer, f.stop
	f.timer, f.stop, f.gone = nil, nil, true
	f.mu.Unlock()
	if timer != nil {
		timer.Stop()
	}
	if stop != nil {
		stop()
	}
}

// add keeps a file for a time, and names it.
func (k *kept) add(f *keptFile, d time.Duration) (id string) {
	id = rand.Text()
	k.mu.Lock()
	k.of[id] = f
	k.order = append(k.order, id)
	oldest := ""
	if len(k.order) > maxKept {
		oldest = k.order[0]
	}
	k.mu.Unlock()
	if oldest != "" {
		k.drop(oldest)
	}
	f.mu.Lock()
	f.timer = time.AfterFunc(d, func() { k.drop(id) })
	f.mu.Unlock()
	return id
}

// holdFor keeps how to end the watch of the caller for whom the file is kept.
func (f *keptFile) holdFor(stop func()) {
	f.mu.Lock()
	gone := f.gone
	if !gone {
		f.stop = stop
	}
	f.mu.Unlock()
	if gone {
		stop()
	}
}

// take gives a file to the one who brings it back; nil when it is not kept any more.
func (k *kept) take(id string) *keptFile {
	k.mu.Lock()
	defer k.mu.Unlock()
	f := k.of[id]
	delete(k.of, id)
	for i, o := range k.order {
		if o == id {
			k.order = append(k.order[:i], k.order[i+1:]...)
			break
		}
	}
	return f
}

// drop lets go of a file, if it is still kept.
func (k *kept) drop(id string) {
	f := k.take(id)
	if f == nil {
		return
	}
	f.letGo()
	// The file's lock falls when the garbage collector finds that nobody can call undo any more; until then it would not be deleted.
	f.undo = nil
	runtime.GC()
}
