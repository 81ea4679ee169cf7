// SPDX-License-Identifier: MIT

package apps

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const (
	maxJournal = 64 << 20
	maxLine    = 128 << 10
	// journalTime is how long another process may hold a journal. Holding one takes milliseconds.
	journalTime = 10 * time.Second
)

// journal is a file of lines that only grows, so that adding one costs the same however many there are. Several processes may add at once: each
// holds a lock meanwhile. A line that a crash cut short has no end, and is passed over by all who read later.
type journal struct {
	path    string
	durable bool // lines last when add has returned

	// What has been read: all lines before off of that file.
	dev, ino uint64
	off      int64
	lines    int      // that were read, and so are in the file
	held     *os.File // that file: while it is open, no other can have its number; nil when it cannot be held
}

// errJournal is when a journal's file cannot be ours: another user's, or one that others can write.
var errJournal = errors.New("it does not belong to you alone")

// read gives line every line that was added since the last read. When the file is another one than before, or gone, reset comes first. A line is
// valid only during the call.
func (j *journal) read(reset func(), line func([]byte)) error {
	var st unix.Stat_t
	if err := unix.Lstat(j.path, &st); err == nil && j.is(&st) && st.Size == j.off {
		return nil
	}
	f, err := os.OpenFile(j.path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		j.forget(reset)
		return nil
	}
	if err != nil {
		j.forget(reset)
		return err
	}
	defer f.Close()
	return j.readFrom(f, reset, line)
}

func (j *journal) forget(reset func()) {
	if j.ino != 0 {
		reset()
	}
	j.held.Close() // nil is fine
	j.dev, j.ino, j.off, j.lines, j.held = 0, 0, 0, 0, nil
}

// is tells whether a file is the one that was read.
func (j *journal) is(st *unix.Stat_t) bool {
	return j.held != nil && st.Dev == j.dev && st.Ino == j.ino
}

// hold remembers which file is read. A descriptor of its own keeps it, as one that shares the file's lock would keep that too.
func (j *journal) hold(f *os.File, st *unix.Stat_t) {
	j.dev, j.ino = st.Dev, st.Ino
	fd, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), unix.O_PATH|unix.O_CLOEXEC, 0)
	if err == nil {
		j.held = os.NewFile(uintptr(fd), j.path)
	}
}

func (j *journal) readFrom(f *os.File, reset func(), line func([]byte)) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Mode&0o022 != 0 || int(st.Uid) != os.Geteuid() || st.Size > maxJournal {
		j.forget(reset)
		return errJournal
	}
	if !j.is(&st) || st.Size < j.off {
		j.forget(reset)
		j.hold(f, &st)
	}
	buf := make([]byte, st.Size-j.off)
	n, err := f.ReadAt(buf, j.off)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	buf = buf[:n]
	for {
		i := bytes.IndexByte(buf, '\n')
		if i < 0 {
			return nil
		}
		if i > 0 && i <= maxLine {
			line(buf[:i])
		}
		buf = buf[i+1:]
		j.off += int64(i + 1)
		j.lines++
	}
}

// add appends lines, which end in newlines. what says them after everything that others have added was read, under the lock; no lines is fine.
func (j *journal) add(reset func(), line func([]byte), what func() [][]byte) error {
	f, err := j.lock(journalTime)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := j.readFrom(f, reset, line); err != nil {
		return err
	}
	lines := bytes.Join(what(), nil)
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if len(lines) == 0 {
		if info.Size() == 0 {
			j.forget(reset)
			return onDisk.remove(j.path)
		}
		return nil
	}
	if info.Size() > j.off { // a line that was cut short
		if err := onDisk.truncate(f, j.off); err != nil {
			return err
		}
	}
	if _, err := onDisk.write(f, lines, j.off); err != nil {
		_ = onDisk.truncate(f, j.off)
		return err
	}
	if j.durable {
		if err := onDisk.sync(f); err != nil {
			return err
		}
		if info.Size() == 0 {
			syncDir(filepath.Dir(j.path))
		}
	}
	return j.readFrom(f, reset, line)
}

// lock opens the file, which is made if it is not there, and waits for whoever holds it.
func (j *journal) lock(patience time.Duration) (*os.File, error) {
	if _, err := os.Stat(filepath.Dir(j.path)); err != nil {
		if err := onDisk.mkdir(filepath.Dir(j.path), 0o700); err != nil {
			return nil, err
		}
	}
	for begin := time.Now(); ; {
		f, err := os.OpenFile(j.path, os.O_RDWR|os.O_APPEND|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
		if errors.Is(err, fs.ErrNotExist) {
			f, err = onDisk.create(j.path, os.O_RDWR|os.O_APPEND, 0o600)
		}
		if err != nil {
			return nil, err
		}
		for {
			err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
			if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
				break
			}
			if time.Since(begin) > patience {
				f.Close()
				return nil, fmt.Errorf("another program holds %s", j.path)
			}
			time.Sleep(2 * time.Millisecond)
		}
		if err != nil {
			f.Close()
			return nil, err
		}
		// Whoever held it may have put another file in its place.
		held, err := f.Stat()
		if err == nil {
			if now, err := os.Lstat(j.path); err == nil && os.SameFile(held, now) {
				return f, nil
			}
		}
		f.Close()
		if time.Since(begin) > patience {
			return nil, fmt.Errorf("another program keeps replacing %s", j.path)
		}
	}
}

// replace writes the file anew, with what's lines only, or removes it when there are none. what is called like add's. The new file is put in place
// at once: a crash leaves the old or the new one.
func (j *journal) replace(reset func(), line func([]byte), what func() [][]byte) error {
	f, err := j.lock(journalTime)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := j.readFrom(f, reset, line); err != nil {
		return err
	}
	lines := what()
	if len(lines) == 0 {
		j.forget(reset)
		return onDisk.remove(j.path)
	}
	// Whoever holds the lock is alone, so one name will do, and what a crash leaves under it is written over.
	name := j.path + ".new"
	_ = os.Remove(name)
	out, err := onDisk.create(name, os.O_RDWR|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	_, err = onDisk.write(out, bytes.Join(lines, nil), 0)
	if err == nil && j.durable {
		err = onDisk.sync(out)
	}
	if err == nil {
		err = onDisk.rename(name, j.path)
	}
	if err != nil {
		_ = os.Remove(name)
		return err
	}
	if j.durable {
		syncDir(filepath.Dir(j.path))
	}
	return nil
}
