// SPDX-License-Identifier: MIT

package apps

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// What inotify(7) is asked for. Of a file it is the end of writing that counts, not each write.
const (
	inFolder = unix.IN_CREATE | unix.IN_CLOSE_WRITE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO | unix.IN_DELETE | unix.IN_ATTRIB | inItself
	inNames  = unix.IN_CREATE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO | unix.IN_DELETE
	inItself = unix.IN_DELETE_SELF | unix.IN_MOVE_SELF
)

// eyes watch the folders of a library: each folder, and above it what must be there for it to be there. All of it is guarded by the library's mutex but
// wake and the file, which does not change.
type eyes struct {
	file *os.File // of inotify; nil without one
	raw  syscall.RawConn
	wake chan struct{} // gets one when there is something to do

	watches map[uint32]*watch
	rearm   bool  // something has come or gone that a watch is or was on
	setting bool  // the file of the folders that were added has, or what must be there for it to be there
	lost    bool  // events were lost
	blind   bool  // all folders must be polled
	limit   error // why there are not enough watches
	buf     []byte
}

// watch is a watch on a folder. It can be a bundle folder, and be above others.
type watch struct {
	id      fileID
	path    string
	mask    uint32
	folders []*folder
	names   map[string]bool // what comes or goes under these names matters; false for what does for the setting only
	unseen  []*folder       // that cannot be watched without this one
}

// pending is a file to be looked at.
type pending struct {
	since, due time.Time
	writing    bool
}

// later puts off the next look at a file that somebody writes.
func (l *library) later(path string) {
	now := time.Now()
	l.dirty[path] = &pending{since: now, due: now.Add(writingTime), writing: true}
}

// touch notes down that a file has changed.
func (l *library) touch(path string) {
	now := time.Now()
	p := l.dirty[path]
	if p == nil || p.writing {
		p = &pending{since: now}
		l.dirty[path] = p
	}
	p.due = now.Add(quiet)
	if last := p.since.Add(patience); last.Before(p.due) {
		p.due = last
	}
}

// openEyes begins to watch, unless somebody does already.
func (l *library) openEyes(pollAll bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.eyes != nil {
		return false
	}
	e := &eyes{wake: make(chan struct{}, 1), watches: map[uint32]*watch{}, rearm: true, blind: pollAll}
	l.eyes = e
	if pollAll {
		return true
	}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err == nil {
		e.file = os.NewFile(uintptr(fd), "inotify")
		e.raw, err = e.file.SyscallConn()
	}
	if err != nil {
		e.blind, e.limit = true, err
	}
	return true
}

func (l *library) closeEyes() {
	l.mu.Lock()
	file := l.eyes.file
	l.eyes = nil
	l.mu.Unlock()
	// Closing waits for whoever reads, which may wait for the mutex.
	if file != nil {
		file.Close()
	}
}

// wait notes down what happens until the file is closed.
func (e *eyes) wait(l *library) {
	if e.file == nil {
		return
	}
	for {
		// Reading and noting down are one step for everybody else: who asks for the list never misses what has been read already.
		err := e.raw.Read(func(uintptr) bool {
			l.mu.Lock()
			defer l.mu.Unlock()
			return e.drain(l)
		})
		if err != nil {
			return
		}
		e.rouse()
	}
}

// mounts rouses the one who watches when file systems come or go, until ctx ends: what is mounted over a folder, no watch on the folder tells.
func (e *eyes) mounts(ctx context.Context) {
	// Not os.Open: each change is told to one who asks only, and that would be the runtime.
	table, err := unix.Open("/proc/self/mountinfo", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(table)
	var ends [2]int
	if unix.Pipe2(ends[:], unix.O_CLOEXEC|unix.O_NONBLOCK) != nil {
		return
	}
	defer unix.Close(ends[0])
	// Closing one end of a pipe wakes who waits at the other.
	stop := context.AfterFunc(ctx, func() { unix.Close(ends[1]) })
	defer func() {
		if stop() {
			unix.Close(ends[1])
		}
	}()
	e.rouse() // what came before the table was open is not told
	var first [1]byte
	for ctx.Err() == nil {
		// A change is an error condition of this file, proc_pid_mountinfo(5).
		fds := []unix.PollFd{{Fd: int32(table), Events: unix.POLLPRI}, {Fd: int32(ends[0]), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, -1); err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
		if fds[0].Revents != 0 {
			// It is told before it is done. Reading the table waits until it is.
			_, _ = unix.Pread(table, first[:], 0)
			e.rouse()
		}
	}
}

// rouse makes the one who watches look at what there is to do.
func (e *eyes) rouse() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// see takes note of all that has happened until now. It tells whether the files that were noted are all that can have changed.
func (e *eyes) see(l *library) bool {
	if e.file == nil {
		e.rearm = false
		return false
	}
	e.drain(l)
	l.readFolders()
	for _, f := range l.folders {
		var st unix.Stat_t
		id := fileID{}
		if unix.Stat(f.path, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR {
			id = fileID{st.Dev, st.Ino}
		}
		e.rearm = e.rearm || id != f.id
	}
	all := !e.rearm && !e.lost
	if e.rearm || e.lost || e.setting {
		e.rearm, e.lost, e.setting = false, false, false
		e.arm(l)
	}
	return all
}

// drain reads all events that are there.
func (e *eyes) drain(l *library) (some bool) {
	if e.buf == nil {
		e.buf = make([]byte, 64<<10)
	}
	buf := e.buf
	for {
		var n int
		var err error
		cerr := e.raw.Control(func(fd uintptr) { n, err = unix.Read(int(fd), buf) })
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if cerr != nil || err != nil || n <= 0 {
			return some || cerr != nil
		}
		some = true
		for data := buf[:n]; len(data) >= unix.SizeofInotifyEvent; {
			wd := binary.NativeEndian.Uint32(data)
			mask := binary.NativeEndian.Uint32(data[4:])
			size := int(binary.NativeEndian.Uint32(data[12:]))
			data = data[unix.SizeofInotifyEvent:]
			if size > len(data) {
				break
			}
			name, _, _ := bytes.Cut(data[:size], []byte{0})
			data = data[size:]
			e.note(l, wd, mask, string(name))
		}
	}
}

func (e *eyes) note(l *library, wd, mask uint32, name string) {
	if mask&unix.IN_Q_OVERFLOW != 0 {
		e.lost = true
		return
	}
	w := e.watches[wd]
	if w == nil {
		return
	}
	switch {
	case mask&unix.IN_IGNORED != 0:
		delete(e.watches, wd)
		e.rearm = true
	case mask&(inItself|unix.IN_UNMOUNT) != 0:
		e.rearm = true
	case w.names[name]:
		e.rearm = true
	case name == "" && mask&unix.IN_ATTRIB != 0 && slices.ContainsFunc(w.folders, func(f *folder) bool { return f.added }):
		e.rearm = true // whether it is used depends on who can write there
	}
	if matters, known := w.names[name]; known && !matters {
		e.setting = true
	}
	if name == "" || strings.HasPrefix(name, ".") || mask&unix.IN_ISDIR != 0 {
		return
	}
	for _, f := range w.folders {
		l.touch(filepath.Join(f.path, name))
	}
}

// watched are the folders and the file of those that were added, which is replaced by another one whenever it changes.
func (l *library) watched() []*folder {
	return append(slices.Clone(l.folders), &folder{path: l.folderFile.path, setting: true})
}

// arm puts watches where they are needed.
func (e *eyes) arm(l *library) {
	for range 5 {
		for _, f := range l.folders {
			f.unseen = false
		}
		wanted := plan(l.watched())
		kept := map[uint32]*watch{}
		for _, w := range wanted {
			e.add(w, kept)
		}
		for wd := range e.watches {
			if kept[wd] == nil {
				_ = e.raw.Control(func(fd uintptr) { _, _ = unix.InotifyRmWatch(int(fd), wd) })
			}
		}
		e.watches = kept
		// What has come or gone meanwhile may not have been seen.
		if maps.EqualFunc(wanted, plan(l.watched()), func(a, b *watch) bool { return a.path == b.path && maps.Equal(a.names, b.names) }) {
			break
		}
	}
}

func (e *eyes) add(w *watch, kept map[uint32]*watch) {
	var wd int
	var err error
	_ = e.raw.Control(func(fd uintptr) { wd, err = unix.InotifyAddWatch(int(fd), w.path, w.mask|unix.IN_ONLYDIR) })
	switch {
	case err == nil:
		kept[uint32(wd)] = w
		return
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.ENOMEM):
		e.limit = err
	}
	for _, f := range w.unseen {
		f.unseen = true
	}
}

// plan finds out which folders must be watched, by identity.
func plan(folders []*folder) map[fileID]*watch {
	wanted := map[fileID]*watch{}
	for _, f := range folders {
		dir := "/"
		for _, part := range strings.Split(strings.Trim(f.path, "/"), "/") {
			next := filepath.Join(dir, part)
			var st, target unix.Stat_t
			err := unix.Lstat(next, &st)
			link := err == nil && st.Mode&unix.S_IFMT == unix.S_IFLNK
			there := err == nil && unix.Stat(next, &target) == nil && target.Mode&unix.S_IFMT == unix.S_IFDIR
			w := want(wanted, dir)
			if w == nil {
				break
			}
			if dir != "/" {
				w.mask |= inItself
			}
			if link || !there {
				w.mask |= inNames
				if w.names == nil {
					w.names = map[string]bool{}
				}
				w.names[part] = w.names[part] || !f.setting
				w.unseen = append(w.unseen, f)
			}
			dir = next
			if !there {
				if link {
					f.unseen = true // what would have to come is somewhere else
				}
				dir = ""
				break
			}
		}
		if dir == "" {
			continue
		}
		if w := want(wanted, dir); w != nil {
			w.mask |= inFolder
			w.folders = append(w.folders, f)
			w.unseen = append(w.unseen, f)
		}
	}
	for id, w := range wanted {
		if w.mask == 0 {
			delete(wanted, id)
		}
	}
	return wanted
}

// want returns the watch on a folder, nil when it has just gone.
func want(wanted map[fileID]*watch, dir string) *watch {
	var st unix.Stat_t
	if unix.Stat(dir, &st) != nil {
		return nil
	}
	id := fileID{st.Dev, st.Ino}
	if wanted[id] == nil {
		wanted[id] = &watch{id: id, path: dir}
	}
	return wanted[id]
}
