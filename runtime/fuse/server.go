// SPDX-License-Identifier: MIT

package fuse

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

const (
	// maxWorkers is how many requests are worked on at once. More wait in the kernel.
	maxWorkers = 32
	// maxIdle is how many workers wait for requests when there are none. Each takes a thread.
	maxIdle = 4
)

// silence is a Logger that drops all messages.
type silence struct{}

func (silence) Warn(string, ...any)  {}
func (silence) Error(string, ...any) {}

// Logger takes messages, each with alternating names and values that belong to it. A *slog.Logger is one.
type Logger interface {
	Warn(message string, args ...any)
	Error(message string, args ...any)
}

// Server serves one mounted file system. Its methods may be called by many goroutines at once.
type Server struct {
	files    FileSystem
	log      Logger
	fd       int
	settings settings
	resumed  bool         // another process has served it before
	settling atomic.Int32 // how many Settle calls are under way

	closing sync.RWMutex // held for reading while fd is written to by others than the workers
	closed  bool         // guarded by closing

	done sync.WaitGroup // counts workers

	mu      sync.Mutex
	workers []*worker // guarded by mu
	idle    int       // guarded by mu: how many of them wait for a request, or soon will
	spare   []*worker // guarded by mu: were workers, and can be again
	ended   bool      // guarded by mu: no more requests will come
	err     error     // guarded by mu: why not, unless it was unmounted
}

// New makes a server for a file system that was just mounted with this descriptor of /dev/fuse, and agrees with the
// kernel on what both can do. The server owns the descriptor when there is no error. Without a log nobody hears of what goes
// wrong.
func New(fd int, files FileSystem, log Logger) (*Server, error) {
	if err := unix.SetNonblock(fd, false); err != nil {
		return nil, fmt.Errorf("cannot serve a file system: %w", os.NewSyscallError("fcntl", err))
	}
	s := newServer(fd, files, log)
	buf := make([]byte, inputSize)
	for again := true; again; {
		n, err := read(fd, buf)
		if err != nil {
			return nil, fmt.Errorf("cannot serve a file system: %w", os.NewSyscallError("read", err))
		}
		r, err := parse(buf[:n])
		if err != nil {
			return nil, fmt.Errorf("cannot serve a file system: %w", err)
		}
		var reply []byte
		var refused error
		s.settings, reply, again, refused = negotiate(r, os.Getpagesize())
		if reply != nil {
			if _, err := unix.Write(fd, reply); err != nil {
				return nil, fmt.Errorf("cannot serve a file system: %w", os.NewSyscallError("write", err))
			}
		}
		if refused != nil {
			return nil, fmt.Errorf("cannot serve a file system: %w", refused)
		}
	}
	files.Init(s)
	return s, nil
}

func newServer(fd int, files FileSystem, log Logger) *Server {
	if log == nil {
		log = silence{}
	}
	return &Server{files: files, log: log, fd: fd}
}

// Resume makes a server for a file system that another process has served until it ended, from its [Server.State] and a
// copy of its descriptor. The server owns the descriptor when there is no error.
func Resume(fd int, state []byte, files FileSystem, log Logger) (*Server, error) {
	settings, err := decodeState(state)
	if err != nil {
		return nil, fmt.Errorf("cannot take over a file system: %w", err)
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		return nil, fmt.Errorf("cannot take over a file system: %w", os.NewSyscallError("fcntl", err))
	}
	if settings.maxWrite > inputSize-4096 {
		return nil, errors.New("cannot take over a file system: the service before has asked for larger requests")
	}
	s := newServer(fd, files, log)
	s.settings, s.resumed = settings, true
	files.Init(s)
	// Nothing has been read yet: all that the kernel waits for was taken by the process before.
	if settings.flags&flagHasResend != 0 {
		if err := s.notify(notifyResend, nil); err != nil {
			return nil, fmt.Errorf("cannot take over a file system: %w", err)
		}
	}
	return s, nil
}

// State is what a successor in another process needs for [Resume], besides the descriptor. It never changes.
func (s *Server) State() []byte { return s.settings.encode() }

// Resumable says whether the kernel can deliver again what a process had taken that has ended. Without that (before Linux
// 6.9) whoever waited for an answer of that process waits until it is killed.
func (s *Server) Resumable() bool { return s.settings.flags&flagHasResend != 0 }

// FD is the descriptor, for giving a copy to somebody who keeps it for a successor. It stays the server's.
func (s *Server) FD() int { return s.fd }

// Serve answers requests until the file system is unmounted everywhere, and closes the descriptor. It may be called once.
// The error says why requests can no longer be read.
func (s *Server) Serve() error {
	s.mu.Lock()
	s.grow()
	s.mu.Unlock()
	s.done.Wait()
	s.closing.Lock()
	s.closed = true
	unix.Close(s.fd)
	s.closing.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// settleName is a file in the root folder that is only there for Settle. Its node is settleNode.
const (
	settleName = ".glick-settle"
	settleNode = ^uint64(0)
)

// Settle makes the kernel learn that files of this file system cannot be polled. Go's runtime polls each file that it
// opens, in a way that holds up its scheduler until the kernel has an answer: without this, a process that opens a file of
// its own server may wait for itself for ever. It also learns that files need not be flushed: who has a copy of the
// descriptor for a successor and closes a file, be it by exec or by being killed, would otherwise wait for a server that
// may have ended. dir is where the file system is mounted; Serve must be running.
func (s *Server) Settle(dir string) error {
	s.settling.Add(1)
	defer s.settling.Add(-1)
	path := filepath.Join(dir, settleName)
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return fmt.Errorf("the file system at %s does not answer: %w", dir, os.NewSyscallError("open", err))
	}
	defer unix.Close(fd)
	for {
		_, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		if !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("poll", err)
		}
	}
}

// InvalidateEntry tells the kernel that it must ask again for a name in a folder. It may have to wait for requests that are
// being answered: the caller holds no lock that the file system's methods need. The error is ENOENT when the kernel
// does not know the folder or the name, and ENODEV when the file system is no longer mounted.
func (s *Server) InvalidateEntry(folder uint64, name string) error {
	b := binary.NativeEndian.AppendUint64(nil, folder)
	b = binary.NativeEndian.AppendUint32(b, uint32(len(name)))
	b = binary.NativeEndian.AppendUint32(b, 0)
	b = append(b, name...)
	return s.notify(notifyInvalEntry, append(b, 0))
}

// InvalidateNode tells the kernel to drop what it keeps of a node: attributes, and content or entries. As for the rest, it is
// like InvalidateEntry.
func (s *Server) InvalidateNode(node uint64) error {
	b := binary.NativeEndian.AppendUint64(nil, node)
	return s.notify(notifyInvalInode, append(b, make([]byte, 16)...)) // from the beginning, all
}

// notify writes a message that is no answer.
func (s *Server) notify(code int32, body []byte) error {
	s.closing.RLock()
	defer s.closing.RUnlock()
	if s.closed {
		return unix.ENODEV
	}
	size := replySize + len(body)
	message := append(appendReply(make([]byte, 0, size), size, code, 0), body...)
	if _, err := unix.Write(s.fd, message); err != nil {
		return os.NewSyscallError("write", err)
	}
	return nil
}

// grow adds a worker that waits for a request. The caller holds mu.
func (s *Server) grow() {
	var w *worker
	if n := len(s.spare); n > 0 {
		w, s.spare = s.spare[n-1], s.spare[:n-1]
	} else {
		w = &worker{server: s, in: make([]byte, inputSize), cancel: make(chan struct{})}
	}
	s.workers = append(s.workers, w)
	s.idle++
	s.done.Go(w.run)
}

// take notes that a worker has got a request, and lets another one wait for the next.
func (s *Server) take(w *worker, unique uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.unique = unique
	s.idle--
	if s.idle == 0 && len(s.workers) < maxWorkers && !s.ended {
		s.grow()
	}
}

// release notes that a worker is done with its request. It returns false when enough others wait for the next one.
func (s *Server) release(w *worker) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.unique = 0
	if w.cancelled {
		w.cancelled = false
		w.cancel = make(chan struct{})
	}
	if s.idle < maxIdle {
		s.idle++
		return true
	}
	s.leave(w)
	s.spare = append(s.spare, w)
	return false
}

// leave takes a worker off the list. The caller holds mu.
func (s *Server) leave(w *worker) {
	i := slices.Index(s.workers, w)
	s.workers = slices.Delete(s.workers, i, i+1)
}

// stop ends an idle worker, which has got an error instead of a request, and with it the others.
func (s *Server) stop(w *worker, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.idle--
	s.leave(w)
	if s.ended {
		return
	}
	s.ended = true
	if !errors.Is(err, unix.ENODEV) {
		s.err = fmt.Errorf("cannot take requests from the kernel: %w", os.NewSyscallError("read", err))
	}
	for _, other := range s.workers {
		other.interrupt()
	}
}

// interrupt cancels a request. It returns false when nobody works on it, perhaps because it was just read.
func (s *Server) interrupt(unique uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.workers {
		if w.unique == unique && unique != 0 {
			w.interrupt()
			return true
		}
	}
	return false
}

// read reads one request.
func read(fd int, buf []byte) (int, error) {
	for {
		n, err := unix.Read(fd, buf)
		switch {
		case err == nil:
			return n, nil
		// A request that was withdrawn while it was being read, or a signal.
		case errors.Is(err, unix.ENOENT), errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN):
		default:
			return 0, err
		}
	}
}
