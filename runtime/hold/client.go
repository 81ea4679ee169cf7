// SPDX-License-Identifier: MIT

package hold

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	defaultWait = 10 * time.Second
	// A holder has nothing to do but to answer: one that takes longer is stopped, or the machine is as good as.
	answerPeriod = 20 * time.Second
	// Holders that end as soon as they are started will not do better.
	maxStarts = 3
)

// Options say how to connect, and what the holder does when its client has gone.
type Options struct {
	// Command is the service's program, an absolute path, and its arguments: what the holder executes when its client
	// has gone other than by [Client.Finish] and something live is held (see [Item]). The path is what counts, so that it
	// may be a newer version by then. Standard input and output are /dev/null, the working folder is /. When it is empty
	// the holder starts nothing, and waits as long as something live is held.
	Command []string
	// Env is the environment for Command, complete.
	Env []string
	// Grace is how long the holder waits for another client first, an hour at most; after [Client.Close] at least ten
	// seconds. When nothing live is held then, it ends instead. A service that dies again and again is started at once,
	// then with pauses that double up to ten seconds.
	Grace time.Duration
	// Wait is how long [Connect] waits for another client to go. Zero means ten seconds.
	Wait time.Duration
}

// Client is the connection of a service to its holder. Its methods may be called from several goroutines.
type Client struct {
	conn    *conn
	replies chan message
	stop    chan struct{} // closed when nobody waits for replies any more
	done    chan struct{} // closed when the connection is over
	lost    chan struct{}
	end     func()      // closes stop and the connection, once
	let     atomic.Bool // the client has ended the connection by intention
	asking  sync.Mutex  // held from a request to its last reply
}

// Connect connects to the holder that listens in a folder, or starts one there. The folder must exist and be this user's
// alone. The error is [ErrBusy] when the holder has another client.
func Connect(dir string, o Options) (*Client, error) {
	restart, err := order{o.Grace, o.Command, o.Env}.encode()
	if err != nil {
		return nil, err
	}
	folder, err := openFolder(dir)
	if err != nil {
		return nil, err
	}
	defer unix.Close(folder)
	if o.Wait <= 0 {
		o.Wait = defaultWait
	}
	limit := time.Now().Add(o.Wait)
	for starts := 0; ; {
		c, err := dial(folder)
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ECONNREFUSED) {
			if starts == maxStarts {
				return nil, errors.New("cannot start the holder of open files: it ends at once")
			}
			if c, err = startHolder(folder, dir); err == nil {
				starts++
			} else if !errors.Is(err, errLocked) {
				return nil, err
			}
		}
		if err == nil {
			if err = c.hello(max(time.Until(limit), time.Millisecond)); err == nil {
				return c.begin(restart)
			}
			c.close()
		}
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil, ErrBusy
		case errors.Is(err, errLocked), errors.Is(err, io.EOF), errors.Is(err, unix.ECONNRESET), errors.Is(err, unix.EPIPE), errors.Is(err, unix.EAGAIN):
			// A holder begins or ends just now, or its queue is full.
		default:
			return nil, fmt.Errorf("cannot talk to the holder of open files: %w", err)
		}
		if time.Now().After(limit) {
			return nil, fmt.Errorf("%w: %w", ErrBusy, err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// dial connects to the socket in an open folder.
func dial(folder int) (*conn, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if err := unix.Connect(fd, address(folder)); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("connect", err)
	}
	return newConn(fd)
}

// hello waits until the holder has time for this client.
func (c *conn) hello(limit time.Duration) error {
	if !c.own() {
		return errors.New("somebody else's program listens in its place")
	}
	c.deadline(limit)
	defer c.deadline(0)
	if err := c.send([]byte{messageHello, protocolVersion}); err != nil {
		return err
	}
	m, err := c.receive(make([]byte, maxPacket))
	if err != nil {
		return err
	}
	m.close()
	if m.bad != 0 || m.kind != messageHello || len(m.body) == 0 {
		return errNoSense
	}
	return nil
}

var errNoSense = errors.New("its answer makes no sense")

// begin makes a client of a connection, and gives the holder its orders.
func (c *conn) begin(restart []byte) (*Client, error) {
	client := &Client{
		conn: c, replies: make(chan message), stop: make(chan struct{}), done: make(chan struct{}), lost: make(chan struct{}),
	}
	client.end = sync.OnceFunc(func() {
		close(client.stop)
		c.close()
	})
	go client.read()
	if err := client.ask(restart, nil, nil); err != nil {
		client.let.Store(true)
		client.end()
		<-client.done
		return nil, err
	}
	return client, nil
}

// read takes what the holder says to who waits for it, until the connection is over.
func (c *Client) read() {
	defer func() {
		c.end()
		close(c.done)
		if !c.let.Load() {
			close(c.lost)
		}
	}()
	buf := make([]byte, maxPacket)
	for {
		m, err := c.conn.receive(buf)
		if err != nil {
			return
		}
		m.body = bytes.Clone(m.body)
		select {
		case c.replies <- m:
		case <-c.stop:
			m.close()
			return
		}
	}
}

// ask sends a request and waits until it is done. Items that come before are given to each.
func (c *Client) ask(packet []byte, files []*os.File, each func(message)) error {
	c.asking.Lock()
	defer c.asking.Unlock()
	if err := c.request(packet, files); err != nil {
		return err
	}
	return c.answers(each)
}

// request sends a request. The caller holds asking.
func (c *Client) request(packet []byte, files []*os.File) error {
	_ = c.conn.file.SetWriteDeadline(time.Now().Add(answerPeriod))
	if err := c.send(packet, files, nil); err != nil {
		select {
		case <-c.done:
			return ErrLost
		default:
		}
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			c.end()
			return fmt.Errorf("%w: it does not listen", ErrLost)
		case errors.Is(err, unix.EPIPE), errors.Is(err, unix.ECONNRESET), errors.Is(err, os.ErrClosed):
			return ErrLost
		}
		return fmt.Errorf("cannot ask the holder of open files: %w", err)
	}
	return nil
}

// answers waits until a request is done. Items that come before are given to each. The caller holds asking.
func (c *Client) answers(each func(message)) error {
	timer := time.NewTimer(answerPeriod)
	defer timer.Stop()
	for {
		select {
		case m := <-c.replies:
			switch {
			case m.kind == replyItem && each != nil:
				each(m)
				timer.Reset(answerPeriod)
				continue
			case m.kind == replyOK && m.bad == 0:
				m.close()
				return nil
			case m.kind == replyError && m.bad == 0:
				m.close()
				return fmt.Errorf("the holder of open files refuses: %w", decodeError(m.body))
			}
			m.close()
			c.end()
			return fmt.Errorf("%w: %w", ErrLost, errNoSense)
		case <-c.done:
			return ErrLost
		case <-timer.C:
			c.end()
			return fmt.Errorf("%w: it does not answer", ErrLost)
		}
	}
}

// send sends a packet with files. It takes their descriptors in a way that leaves them as they are: [os.File.Fd] may change
// the file for all who share it.
func (c *Client) send(packet []byte, files []*os.File, fds []int) error {
	if len(files) == 0 {
		return c.conn.send(packet, fds...)
	}
	raw, err := files[0].SyscallConn()
	if err != nil {
		return err
	}
	var sendErr error
	err = raw.Control(func(fd uintptr) { sendErr = c.send(packet, files[1:], append(fds, int(fd))) })
	if err != nil {
		return err
	}
	return sendErr
}

// Items returns all that is held, ordered by name. The caller closes the files. They share their state, such as the position,
// with those of everybody else who has them. The error wraps EMFILE when this process cannot open so many.
func (c *Client) Items() ([]Item, error) {
	var list []Item
	var bad syscall.Errno
	err := c.ask([]byte{messageList}, nil, func(m message) {
		flags, name, data, ok := decodeItem(m.body)
		if m.bad != 0 || !ok {
			m.close()
			if bad = m.bad; bad == 0 {
				bad = unix.EPROTO
			}
			return
		}
		item := Item{Name: string(name), Live: flags&flagLive != 0, Data: data}
		for _, fd := range m.fds {
			item.Files = append(item.Files, os.NewFile(uintptr(fd), item.Name))
		}
		list = append(list, item)
	})
	if err == nil && bad != 0 {
		err = fmt.Errorf("cannot take what the holder of open files has: %w", bad)
	}
	if err != nil {
		for i := range list {
			list[i].Close()
		}
		return nil, err
	}
	slices.SortFunc(list, func(a, b Item) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// Put gives an item to the holder, instead of one of the same name, and returns when the holder has it. The caller keeps its
// own files. When it fails what was held before still is, unless the error is [ErrLost]. The error wraps EMFILE when the
// holder can have no more files, ENOSPC when it has too much data, and EMSGSIZE when the item is too large.
func (c *Client) Put(item Item) error {
	packet, err := item.encode()
	if err != nil {
		return err
	}
	return c.ask(packet, item.Files, nil)
}

// PutSoon is Put in two steps: when it returns the holder has the item or is sure to get it, even if this process is killed at
// once. The error of the returned function, which must be called and waits for the holder's answer, is that of Put.
func (c *Client) PutSoon(item Item) (func() error, error) {
	packet, err := item.encode()
	if err != nil {
		return nil, err
	}
	c.asking.Lock()
	if err := c.request(packet, item.Files); err != nil {
		c.asking.Unlock()
		return nil, err
	}
	return func() error {
		defer c.asking.Unlock()
		return c.answers(nil)
	}, nil
}

// Drop makes the holder let go of items. Names that it does not have do not matter.
func (c *Client) Drop(names ...string) error {
	for some := range slices.Chunk(names, maxData/(1+maxName)) {
		packet := []byte{messageDrop}
		for _, name := range some {
			if name != "" && len(name) <= maxName {
				packet = append(append(packet, byte(len(name))), name...)
			}
		}
		if err := c.ask(packet, nil, nil); err != nil {
			return err
		}
	}
	return nil
}

// Finish makes the holder let go of everything and end: the service stops for good. The client cannot be used afterwards.
func (c *Client) Finish() error {
	c.let.Store(true)
	err := c.ask([]byte{messageFinish}, nil, nil)
	if err == nil {
		select {
		case <-c.done: // the holder closes it by ending
		case <-time.After(answerPeriod):
		}
	}
	c.end()
	<-c.done
	return err
}

// Close leaves the holder with what it has: a successor will connect. The client cannot be used afterwards.
func (c *Client) Close() error {
	if !c.let.Swap(true) {
		// When there is no room for it just now, the holder takes the end for a sudden one, which is no harm.
		_ = c.conn.file.SetWriteDeadline(time.Now().Add(time.Second))
		_ = c.conn.send([]byte{messageLeave})
	}
	c.end()
	<-c.done
	return nil
}

// Lost returns a channel that is closed when the holder has gone, by itself and not by Finish or Close. The service then
// closes the client, connects again, which starts a new holder, and puts everything again.
func (c *Client) Lost() <-chan struct{} { return c.lost }
