// SPDX-License-Identifier: MIT

package xdgexport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// The record is a log. Its first line is recordHead; entries follow, each a line with its kind, the number of bytes that
// follow it, and their checksum. An entry says of an application all that is on record of it, in place of what earlier
// ones say, so that one more application costs the same however many there are.
//
// Before a sync changes anything, it adds an unfinished entry about the applications whose files will change, with
// everything that may be theirs during the change; when all is done, a finished one. Either is on the disk before the
// sync goes on: whenever the power goes, the next sync knows what is whose. An entry that was cut short, which only the
// last one can be, counts as not written. When most of the log is old, it is written anew under another name, and renamed.
const (
	recordHead = "glick exports 3"
	maxRecord  = 256 << 20
	finished   = "done"
	unfinished = "begun"
	// slack is how much of a log may be old whatever its size, in bytes.
	slack = 64 << 10

	recordName = "exports"
	// Before the log, the record was one entry, written anew with each sync, and the unfinished one a file of its own.
	oldHead        = "glick exports 2"
	oldPendingName = "exports.pending"
)

var errRecord = errors.New("the record is damaged")

// addEntry adds an entry to a log.
func addEntry(b *bytes.Buffer, kind string, body []byte) {
	line(b, kind, strconv.Itoa(len(body)), strconv.FormatUint(uint64(crc32.ChecksumIEEE(body)), 16))
	b.Write(body)
}

type logEntry struct {
	kind string
	body []byte
}

// cutEntry reads the first entry of what a log has from some place on.
func cutEntry(log []byte) (e logEntry, rest []byte, ok bool) {
	const longest = len(unfinished) + 1 + 10 + 1 + 8 + 1
	at := bytes.IndexByte(log[:min(len(log), longest)], '\n')
	if at < 0 {
		return e, nil, false
	}
	f := bytes.Split(log[:at], []byte{'\t'})
	if len(f) != 3 || string(f[0]) != finished && string(f[0]) != unfinished {
		return e, nil, false
	}
	size, e1 := strconv.ParseUint(string(f[1]), 10, 31)
	sum, e2 := strconv.ParseUint(string(f[2]), 16, 32)
	rest = log[at+1:]
	if e1 != nil || e2 != nil || size > uint64(len(rest)) || crc32.ChecksumIEEE(rest[:size]) != uint32(sum) {
		return e, nil, false
	}
	return logEntry{string(f[0]), rest[:size]}, rest[size:], true
}

// hasEntry tells whether there is a whole entry anywhere in a part of a log.
func hasEntry(log []byte) bool {
	for _, kind := range []string{finished, unfinished} {
		for rest := log; ; rest = rest[1:] {
			at := bytes.Index(rest, []byte(kind+"\t"))
			if at < 0 {
				break
			}
			rest = rest[at:]
			if _, _, ok := cutEntry(rest); ok {
				return true
			}
		}
	}
	return false
}

// parseRecord reads a log, and says how many bytes of it count: none when it is of the old kind, and must be written anew
// before something can be added. Who only wants to know what is so, and holds no lock, asks for what is settled: without
// the unfinished entries at the end.
func parseRecord(log []byte, settled bool) (r *record, end int64, err error) {
	head, rest, _ := bytes.Cut(log, []byte{'\n'})
	if string(head) == oldHead {
		r, err := parseOld(log)
		return r, 0, err
	}
	if string(head) != recordHead {
		return nil, 0, errRecord
	}
	var all []logEntry
	for len(rest) > 0 {
		e, after, ok := cutEntry(rest)
		if !ok {
			if hasEntry(rest) {
				return nil, 0, errRecord // it is not the last one that is bad
			}
			break
		}
		all, rest = append(all, e), after
	}
	end = int64(len(log) - len(rest))
	for settled && len(all) > 0 && all[len(all)-1].kind == unfinished {
		all = all[:len(all)-1]
	}
	if len(all) == 0 {
		return nil, 0, errRecord
	}
	r = emptyRecord()
	for _, e := range all {
		if err := r.apply(e.body, e.kind == unfinished); err != nil {
			return nil, 0, err
		}
	}
	return r, end, nil
}

// parseOld reads a record from before the log.
func parseOld(data []byte) (*record, error) {
	end := bytes.LastIndex(data, []byte("end\t"))
	if end < 0 || string(data[end:]) != "end\t"+strconv.FormatUint(uint64(crc32.ChecksumIEEE(data[:end])), 16)+"\n" {
		return nil, errRecord
	}
	first, rest, _ := bytes.Cut(data[:end], []byte{'\n'})
	if string(first) != oldHead {
		return nil, errRecord
	}
	r := emptyRecord()
	return r, r.apply(rest, false)
}

// log writes the whole record as a new log.
func (r *record) log() []byte {
	var settled, open []string
	for _, id := range sortedKeys(r.Apps) {
		if r.Apps[id].pending {
			open = append(open, id)
		} else {
			settled = append(settled, id)
		}
	}
	var b bytes.Buffer
	line(&b, recordHead)
	addEntry(&b, finished, r.body(settled, nil))
	if r.pending {
		addEntry(&b, unfinished, r.body(open, nil))
	}
	return b.Bytes()
}

// folder is where the record lies; whoever holds a lock on it may sync.
type folder struct {
	disk disk
	dir  string
	mode fs.FileMode
	lock *os.File
	made []string // folders that had to be made
	end  int64    // how much of the log counts, in bytes; 0 when there is none to which something can be added
}

// The record that this process has read or written last: what serves a session syncs again and again, and need not read
// the whole log each time.
var (
	lastMu sync.Mutex
	last   struct { // guarded by lastMu
		name  string
		state logState
		r     *record
	}
)

// logState tells states of a log's file apart. All who change it hold the lock.
type logState struct {
	dev, ino           uint64
	size, mtime, ctime int64
}

func (f *folder) state() (logState, bool) {
	var st unix.Stat_t
	if unix.Lstat(f.file(recordName), &st) != nil || exists(f.file(oldPendingName)) {
		return logState{}, false
	}
	return logState{st.Dev, st.Ino, st.Size, st.Mtim.Nano(), st.Ctim.Nano()}, true
}

// remembered takes out the record of the last sync, if it is still what is in the file. It is nobody else's then.
func (f *folder) remembered() *record {
	lastMu.Lock()
	defer lastMu.Unlock()
	now, ok := f.state()
	if last.r == nil || last.name != f.file(recordName) || !ok || now != last.state || now.size != last.r.end {
		return nil
	}
	r := last.r
	last.r = nil
	return r
}

// remember keeps the record for the next sync of this process. The caller does not use it any more.
func (f *folder) remember(r *record) {
	if f.end == 0 || r.pending || r.lost {
		return
	}
	for _, a := range r.Apps {
		a.close()
	}
	r.end = f.end
	lastMu.Lock()
	defer lastMu.Unlock()
	last.name, last.r = f.file(recordName), r
	last.state, _ = f.state()
}

func stateFolder(dataHome string) string { return filepath.Join(dataHome, "glick") }

// lockFolder opens the record's folder, waiting for other syncs until ctx ends. The caller calls close.
func lockFolder(ctx context.Context, o Options) (*folder, error) {
	f := &folder{disk: o.disk(), dir: stateFolder(o.DataHome), mode: 0o600}
	dirMode := fs.FileMode(0o700)
	if o.System {
		f.mode, dirMode = 0o644, 0o755
	}
	for {
		made, err := f.disk.mkdirAll(f.dir, dirMode)
		f.made = append(f.made, made...)
		if err != nil {
			return nil, err
		}
		if f.lock, err = os.Open(f.dir); errors.Is(err, fs.ErrNotExist) {
			continue // the sync before us has just cleaned up
		}
		if err != nil {
			return nil, err
		}
		for {
			err = unix.Flock(int(f.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
			if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
				break
			}
			select {
			case <-ctx.Done():
				f.lock.Close()
				return nil, fmt.Errorf("another program is busy with it: %w", ctx.Err())
			case <-time.After(5 * time.Millisecond):
			}
		}
		if err != nil {
			f.lock.Close()
			return nil, err
		}
		// A folder that was removed while we waited is not the one that the next comer locks.
		if held, err := f.lock.Stat(); err == nil {
			if now, err := os.Stat(f.dir); err == nil && os.SameFile(held, now) {
				return f, nil
			}
		}
		f.lock.Close()
	}
}

func (f *folder) close() { f.lock.Close() }

func (f *folder) file(name string) string { return filepath.Join(f.dir, name) }
func (f *folder) temp(name string) string { return filepath.Join(f.dir, "."+name+".tmp") }

// files are all that can be of ours in the folder, the record last.
func (f *folder) files() []string {
	return []string{f.temp(oldPendingName), f.file(oldPendingName), f.temp(recordName), f.file(recordName)}
}

// load reads the record. A missing or unreadable one is as good as none: what we wrote in the past is then adopted
// where it is still what is wanted, put aside where it says itself that it is ours, and otherwise left alone.
func (f *folder) load() *record {
	if r := f.remembered(); r != nil {
		f.end = r.end
		return r
	}
	r, end, err := f.read(false)
	f.end = end
	if err != nil {
		r = emptyRecord()
		r.lost = true
	}
	if end > 0 {
		return r
	}
	log, err := f.content(oldPendingName)
	if err != nil {
		return r
	}
	p, err := parseOld(log)
	if err != nil {
		return r
	}
	// What it has of an application is all that may be there now.
	for id, a := range p.Apps {
		a.pending = true
		r.Apps[id] = a
	}
	r.Dirs, r.Caches, r.Stamps, r.pending, r.lost = p.Dirs, p.Caches, p.Stamps, true, false
	return r
}

// read reads the record; see parseRecord.
func (f *folder) read(settled bool) (*record, int64, error) {
	log, err := f.content(recordName)
	if err != nil {
		return nil, 0, err
	}
	return parseRecord(log, settled)
}

func (f *folder) content(name string) ([]byte, error) {
	in, err := os.OpenFile(f.file(name), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxRecord {
		return nil, errRecord
	}
	data := make([]byte, info.Size())
	n, err := io.ReadFull(in, data)
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		err = nil // who writes has just taken back what did not fit
	}
	return data[:n], err
}

// begin notes down what will change: intent is the unfinished entry, old what load gave.
func (f *folder) begin(old, intent *record) error {
	var b bytes.Buffer
	ids := sortedKeys(intent.Apps)
	if f.end > 0 {
		addEntry(&b, unfinished, intent.body(ids, nil))
		return f.add(b.Bytes())
	}
	if old.lost {
		line(&b, recordHead)
	} else {
		b.Write(old.log())
	}
	addEntry(&b, unfinished, intent.body(ids, nil))
	return f.replace(b.Bytes())
}

// commit notes down that all is as r says; that is something new of the applications ids, and that others are gone.
func (f *folder) commit(r *record, ids, gone []string) error {
	live := int64(0)
	for _, a := range r.Apps {
		live += int64(len(a.text)) + 200
	}
	if f.end == 0 || f.end > 2*live+slack {
		err := f.replace(r.log())
		if err == nil || f.end == 0 {
			return err
		}
		// On a full disk there may still be room for a few lines more.
	}
	var b bytes.Buffer
	addEntry(&b, finished, r.body(ids, gone))
	return f.add(b.Bytes())
}

// add makes the log longer.
func (f *folder) add(entry []byte) error {
	if err := f.disk.append(f.file(recordName), f.end, entry); err != nil {
		return err
	}
	f.end += int64(len(entry))
	return nil
}

// replace puts a new log in the place of any other. A crash leaves the one or the other.
func (f *folder) replace(log []byte) error {
	tmp := f.temp(recordName)
	_, err := f.disk.create(tmp, log, f.mode)
	if err == nil {
		err = f.disk.rename(tmp, f.file(recordName))
	}
	if err != nil {
		_ = f.disk.remove(tmp)
		return err
	}
	f.end = int64(len(log))
	return f.disk.remove(f.file(oldPendingName))
}

// drop removes the record, and the folder unless something else is in it.
func (f *folder) drop() error {
	for _, name := range f.files() {
		if err := f.disk.remove(name); err != nil {
			return err
		}
	}
	if err := f.disk.remove(f.dir); err != nil && !inUse(err) {
		return err
	}
	return nil
}
