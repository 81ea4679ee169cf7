// SPDX-License-Identifier: MIT

package hold

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// Who connects and says nothing keeps others waiting.
	helloPeriod = 5 * time.Second
	// Whoever has started the holder connects at once.
	firstPeriod = 10 * time.Second
	// A service that has let go by intention is followed by somebody.
	handoverPeriod = 10 * time.Second

	firstPause = 250 * time.Millisecond
	maxPause   = 10 * time.Second
	longLife   = 300 * time.Millisecond // of a service that has got as far as to work: starting it again so often is no harm

	// Descriptors that this process needs for itself, so that it can be talked to and can start the service also when it
	// holds all that it can.
	reserve = 64
	// An item takes some memory beside its data; all items together may take so much.
	itemOverhead = 256
	maxMemory    = 64 << 20

	// Memory is given back when so much was used for messages.
	churnLimit = 1 << 20
)

// held is an item. The descriptors are never looked at: to put them in Go's poller, or to change whether they block, would
// be felt by those who share them.
type held struct {
	flags byte
	data  []byte
	fds   []int
}

func (h *held) memory(name string) int { return len(name) + len(h.data) + itemOverhead }

type holder struct {
	items  map[string]*held
	files  int // descriptors in items
	memory int // of items

	order   order
	due     time.Time     // when to look after the service, while no client is connected; zero for never
	started time.Time     // when the service was last started
	pause   time.Duration // at least so much later it may be started again
	running *os.Process   // the service that was started and has not connected; nil when there is none
	exits   chan *os.Process
	wake    func() // makes the holder look at exits

	buf   []byte
	churn int
}

// serve holds what clients give it, until the last one has finished, or has gone and nothing is live.
func serve() error {
	// Before anything is allocated: garbage is collected when there may be some, not by Go's clock.
	debug.SetGCPercent(-1)
	runtime.GOMAXPROCS(1)
	// For people who look at their processes: it would be "exe". Nothing depends on it.
	_ = os.WriteFile("/proc/self/comm", []byte("glick-holder"), 0)

	listener, err := newConn(fdListener)
	if err != nil {
		return err
	}
	h := &holder{
		items: make(map[string]*held), buf: make([]byte, maxPacket), due: time.Now().Add(firstPeriod), exits: make(chan *os.Process, 1),
	}
	freeMemory()
	err = h.run(listener)
	// Until the lock is removed nobody starts another holder; afterwards nothing in the folder is ours.
	removeFiles(fdFolder)
	return err
}

// run is the holder's life. While a client is connected nothing else happens.
func (h *holder) run(listener *conn) error {
	h.wake = func() { _ = listener.file.SetReadDeadline(time.Unix(1, 0)) }
	for {
		c, err := listener.accept()
		switch {
		case err == nil:
			if h.attend(c) {
				return nil // the client sees the connection's end when this process has ended
			}
			c.close()
		case errors.Is(err, unix.EAGAIN):
			done, err := h.wait(listener)
			if done || err != nil {
				return err
			}
		case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE), errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.ENOMEM):
			time.Sleep(100 * time.Millisecond) // for want of anything to wait for
		default:
			return fmt.Errorf("cannot listen any more: %w", err)
		}
	}
}

// wait looks after the service when it is time, then waits until somebody may have come or the time is there. It says true
// when the holder is to end.
func (h *holder) wait(listener *conn) (done bool, err error) {
	if !h.due.IsZero() && time.Until(h.due) <= 0 {
		if !h.live() {
			return true, nil
		}
		h.due = time.Time{}
		if h.running == nil && len(h.order.args) > 0 {
			h.start()
		}
	}
	// Whoever tells an exit does so first, and wakes afterwards.
	_ = listener.file.SetReadDeadline(h.due)
	select {
	case p := <-h.exits:
		if p == h.running {
			h.running = nil
			h.due = h.started.Add(h.pause)
		}
		return false, nil
	default:
	}
	if err := listener.readable(); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return false, fmt.Errorf("cannot listen any more: %w", err)
	}
	return false, nil
}

func (h *holder) live() bool {
	for _, item := range h.items {
		if item.flags&flagLive != 0 {
			return true
		}
	}
	return false
}

// start executes the service.
func (h *holder) start() {
	h.started = time.Now()
	h.pause = nextPause(h.pause)
	p, err := h.execute()
	if err != nil {
		// Its file may be on the way: it is tried like a service that dies.
		h.due = h.started.Add(h.pause)
		return
	}
	h.running = p
	go func() {
		_, _ = p.Wait()
		h.exits <- p
		h.wake()
	}()
}

func (h *holder) execute() (*os.Process, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	return os.StartProcess(h.order.args[0], h.order.args, &os.ProcAttr{
		Dir: "/", Env: h.order.env, Files: []*os.File{null, null, null}, Sys: &syscall.SysProcAttr{Setsid: true},
	})
}

func nextPause(pause time.Duration) time.Duration {
	if pause == 0 {
		return firstPause
	}
	return min(2*pause, maxPause)
}

// attend serves one client until it has gone. It says true when the client has finished.
func (h *holder) attend(c *conn) (finished bool) {
	if !c.own() || !h.greet(c) {
		return false
	}
	h.running = nil // whoever it was, somebody has come
	began := time.Now()
	left := false
	for !finished {
		m, err := c.receive(h.buf)
		if err != nil {
			break
		}
		if left = m.kind == messageLeave; left {
			m.close()
			break
		}
		finished = m.kind == messageFinish && m.bad == 0
		if h.answer(c, &m) != nil {
			break
		}
		h.collect(len(m.body))
	}
	h.due = h.nextDue(time.Now(), began, left)
	freeMemory()
	h.churn = 0
	return finished
}

// nextDue says when to look after the service whose connection was from began to ended.
func (h *holder) nextDue(ended, began time.Time, left bool) time.Time {
	if ended.Sub(began) >= longLife {
		h.pause = 0
	}
	grace := h.order.grace
	if left {
		grace = max(grace, handoverPeriod)
	}
	due := ended.Add(grace)
	if again := h.started.Add(h.pause); again.After(due) {
		return again
	}
	return due
}

// greet exchanges what comes first. Who does not get as far is no client, and changes nothing.
func (h *holder) greet(c *conn) bool {
	c.deadline(helloPeriod)
	m, err := c.receive(h.buf)
	if err != nil {
		return false
	}
	m.close()
	if m.kind != messageHello || m.bad != 0 || len(m.body) == 0 {
		return false
	}
	// Some have waited too long and gone: this fails for them.
	if err := c.send([]byte{messageHello, protocolVersion}); err != nil {
		return false
	}
	m, err = c.receive(h.buf)
	if err != nil {
		return false
	}
	defer m.close()
	if m.kind != messageOrder {
		return false
	}
	ok := h.handle(c, &m) == 0
	c.deadline(0)
	return ok && c.send([]byte{replyOK}) == nil
}

// answer does what a message asks for. Descriptors that are left in it are not needed.
func (h *holder) answer(c *conn, m *message) error {
	defer m.close()
	if errno := h.handle(c, m); errno != 0 {
		return c.send(encodeError(errno))
	}
	return c.send([]byte{replyOK})
}

func (h *holder) handle(c *conn, m *message) syscall.Errno {
	if m.bad != 0 {
		return m.bad
	}
	switch m.kind {
	case messageOrder:
		o, ok := decodeOrder(m.body)
		if !ok {
			return unix.EINVAL
		}
		h.order = o
	case messagePut:
		return h.put(m)
	case messageDrop:
		return h.drop(m.body)
	case messageList:
		return h.list(c)
	case messageFinish:
		for name := range h.items {
			h.remove(name)
		}
	default:
		return unix.ENOSYS
	}
	return 0
}

// put takes an item over with the message's descriptors.
func (h *holder) put(m *message) syscall.Errno {
	flags, key, data, ok := decodeItem(m.body)
	if !ok {
		return unix.EINVAL
	}
	name := string(key)
	item := &held{flags, bytes.Clone(data), m.fds}
	files, memory := h.files+len(item.fds), h.memory+item.memory(name)
	if old := h.items[name]; old != nil {
		files -= len(old.fds)
		memory -= old.memory(name)
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || uint64(files)+reserve > limit.Cur {
		return unix.EMFILE
	}
	if memory > maxMemory {
		return unix.ENOSPC
	}
	m.fds = nil
	h.remove(name)
	h.items[name] = item
	h.files, h.memory = files, memory
	return 0
}

func (h *holder) drop(body []byte) syscall.Errno {
	for rest := body; len(rest) > 0; {
		_, after, ok := cutName(rest)
		if !ok {
			return unix.EINVAL
		}
		rest = after
	}
	for len(body) > 0 {
		name, rest, _ := cutName(body)
		h.remove(string(name))
		body = rest
	}
	return 0
}

func (h *holder) remove(name string) {
	item := h.items[name]
	if item == nil {
		return
	}
	for _, fd := range item.fds {
		unix.Close(fd)
	}
	h.files -= len(item.fds)
	h.memory -= item.memory(name)
	delete(h.items, name)
}

func (h *holder) list(c *conn) syscall.Errno {
	for name, item := range h.items {
		packet := appendItem(h.buf[:0], replyItem, item.flags, name, item.data)
		if err := c.send(packet, item.fds...); err != nil {
			var errno syscall.Errno
			if errors.As(err, &errno) {
				return errno
			}
			return unix.EIO
		}
		h.collect(0)
	}
	return 0
}

// collect counts what a message leaves for the garbage collector.
func (h *holder) collect(size int) {
	h.churn += size + 2<<10
	if h.churn > max(churnLimit, h.memory/2) {
		h.churn = 0
		freeMemory()
	}
}

// freeMemory collects the garbage. While Go thinks that it never has to, it takes the heap for one that may grow without end, and gives huge pages to what it
// notes about it: eight megabytes.
func freeMemory() {
	debug.SetGCPercent(100)
	debug.FreeOSMemory()
	debug.SetGCPercent(-1)
}
