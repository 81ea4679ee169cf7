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
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	recordHead = "glick exports 2"
	maxRecord  = 256 << 20
	// maxHashes bounds what is remembered of one file while syncs are interrupted again and again.
	maxHashes = 16
)

// record is what we know to be ours. Before anything is changed, a second record is written beside it, of the
// applications whose files will change, with everything that may be theirs during the change; the record itself follows
// when all is done. Whenever the power goes, the next sync knows what is whose.
//
// Each is a file of lines of fields that tabs separate. A line for each application says how many bytes of lines about it
// follow: those of an application at which nothing has changed are neither read nor written anew. So a sync with a
// thousand applications takes little more time than one with ten.
type record struct {
	// Untold says that files have changed and the desktop does not know.
	Untold bool
	// Host is the state of the host's file types when the answers about them were given.
	Host string
	Apps map[string]*appRecord
	// Dirs are folders that we have made, as absolute paths.
	Dirs []string
	// Stamps are those of the folders that our files are in.
	Stamps map[string]stamp
	// Caches are the areas whose generated files were not there before us.
	Caches map[area]bool

	lost    bool // there was none, or it could not be read
	pending bool // a sync was interrupted
}

// stamp tells a state of a folder from all later ones in which it has other files. It is the zero value when that
// cannot be told.
type stamp struct {
	Ino   uint64
	Mtime int64 // in nanoseconds
	Files int   // how many it has
}

// appRecord says what was derived from a bundle, so that it need not be derived again.
type appRecord struct {
	id  string
	Key string // empty: derive again
	// Watch says that there is something to look at in every sync.
	Watch bool

	Left   []LeftOut
	Asked  []answer // what the planner asked about the host and the other applications
	Claims []string // what this application alone may use
	Files  map[string]*fileRecord

	pending bool // its files were about to change when a sync was interrupted

	text   []byte // all that, as long as nobody has asked for it
	closed bool   // it is still to be read from text
}

// answer is a question that was asked during planning, with its answer at that time.
type answer struct{ question, text string }

type fileRecord struct {
	App    string
	Hashes []string // of what we have written or are about to; the last is the newest
	// What the file was when it had the last hash, or when it was found to be edited: as long as it is still so, it
	// need not be read.
	Size  int64
	Mtime int64 // in nanoseconds
	Ino   uint64
	// Edited says that somebody has changed the file since we wrote it.
	Edited bool
}

func emptyRecord() *record {
	return &record{Apps: map[string]*appRecord{}, Stamps: map[string]stamp{}, Caches: map[area]bool{}}
}

// line makes a line of fields. What is in them came through printable, or is a message; either has no business with
// tabs and line ends.
func line(b *bytes.Buffer, fields ...string) {
	for i, f := range fields {
		if i > 0 {
			b.WriteByte('\t')
		}
		if strings.ContainsAny(f, "\t\n\r") {
			f = strings.NewReplacer("\t", " ", "\n", " ", "\r", " ").Replace(f)
		}
		b.WriteString(f)
	}
	b.WriteByte('\n')
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func flag(set bool, name string) string {
	if set {
		return name
	}
	return ""
}

func (r *record) bytes() []byte {
	size := 4 << 10
	for _, a := range r.Apps {
		size += len(a.text) + 200
	}
	var b bytes.Buffer
	b.Grow(size)
	line(&b, recordHead)
	if r.Untold {
		line(&b, "untold")
	}
	line(&b, "host", r.Host)
	for _, d := range r.Dirs {
		line(&b, "dir", d)
	}
	for _, d := range sortedKeys(r.Stamps) {
		line(&b, "stamp", d, strconv.FormatUint(r.Stamps[d].Ino, 10), strconv.FormatInt(r.Stamps[d].Mtime, 10), strconv.Itoa(r.Stamps[d].Files))
	}
	for _, a := range areas {
		if r.Caches[a] {
			line(&b, "cache", string(a))
		}
	}
	for _, id := range sortedKeys(r.Apps) {
		a := r.Apps[id]
		text := a.lines()
		line(&b, "app", id, a.Key, flag(a.Watch, "watch"), strconv.Itoa(len(text)))
		b.Write(text)
	}
	line(&b, "end", strconv.FormatUint(uint64(crc32.ChecksumIEEE(b.Bytes())), 16))
	return b.Bytes()
}

// lines is what follows an application's line.
func (a *appRecord) lines() []byte {
	if a.closed {
		return a.text
	}
	var b bytes.Buffer
	for _, q := range a.Asked {
		line(&b, "asked", q.question, q.text)
	}
	for _, c := range a.Claims {
		line(&b, "claim", c)
	}
	for _, l := range a.Left {
		line(&b, "left", l.App, l.Origin, l.Reason)
	}
	for _, p := range sortedKeys(a.Files) {
		f := a.Files[p]
		line(&b, "file", p, strings.Join(f.Hashes, ","), strconv.FormatInt(f.Size, 10), strconv.FormatInt(f.Mtime, 10),
			strconv.FormatUint(f.Ino, 10), flag(f.Edited, "edited"))
	}
	return b.Bytes()
}

// open reads what is on record of an application.
func (a *appRecord) open() *appRecord {
	if !a.closed {
		return a
	}
	a.closed = false
	a.Files = map[string]*fileRecord{}
	for text := range bytes.Lines(a.text) {
		f := strings.Split(strings.TrimSuffix(string(text), "\n"), "\t")
		switch n := len(f); {
		case f[0] == "asked" && n == 3:
			a.Asked = append(a.Asked, answer{f[1], f[2]})
		case f[0] == "claim" && n == 2:
			a.Claims = append(a.Claims, f[1])
		case f[0] == "left" && n == 4:
			a.Left = append(a.Left, LeftOut{f[1], f[2], f[3]})
		case f[0] == "file" && n == 7 && ownPath(f[1]) && f[2] != "":
			file := &fileRecord{App: a.id, Hashes: strings.Split(f[2], ","), Edited: f[6] == "edited"}
			var e1, e2, e3 error
			file.Size, e1 = strconv.ParseInt(f[3], 10, 64)
			file.Mtime, e2 = strconv.ParseInt(f[4], 10, 64)
			file.Ino, e3 = strconv.ParseUint(f[5], 10, 64)
			if errors.Join(e1, e2, e3) == nil {
				a.Files[f[1]] = file
				continue
			}
			a.Key = ""
		default:
			a.Key = "" // not by our hand
		}
	}
	return a
}

// claims calls use with all that the application has for itself.
func (a *appRecord) claims(use func(string)) {
	if !a.closed {
		for _, c := range a.Claims {
			use(c)
		}
		return
	}
	word := []byte("claim\t")
	for rest := a.text; ; {
		at := bytes.Index(rest, word)
		if at < 0 {
			return
		}
		inLine := at > 0 && rest[at-1] != '\n'
		rest = rest[at+len(word):]
		if claim, _, ok := bytes.Cut(rest, []byte{'\n'}); ok && !inLine {
			use(string(claim))
		}
	}
}

// has tells whether the application has files in an area.
func (a *appRecord) has(in area) bool {
	if a.closed {
		return bytes.Contains(a.text, []byte("file\t"+string(in)+"/"))
	}
	for p := range a.Files {
		if areaOf(p) == in {
			return true
		}
	}
	return false
}

var errRecord = errors.New("the record is damaged")

// parseRecord reads what bytes has written.
func parseRecord(data []byte) (*record, error) {
	end := bytes.LastIndex(data, []byte("end\t"))
	if end < 0 || string(data[end:]) != "end\t"+strconv.FormatUint(uint64(crc32.ChecksumIEEE(data[:end])), 16)+"\n" {
		return nil, errRecord
	}
	r := emptyRecord()
	first, rest, _ := bytes.Cut(data[:end], []byte{'\n'})
	if string(first) != recordHead {
		return nil, errRecord
	}
	for len(rest) > 0 {
		var text []byte
		text, rest, _ = bytes.Cut(rest, []byte{'\n'})
		f := strings.Split(string(text), "\t")
		switch n := len(f); {
		case f[0] == "untold" && n == 1:
			r.Untold = true
		case f[0] == "host" && n == 2:
			r.Host = f[1]
		case f[0] == "dir" && n == 2 && filepath.IsAbs(f[1]):
			r.Dirs = append(r.Dirs, f[1])
		case f[0] == "cache" && n == 2 && slices.Contains(areas, area(f[1])):
			r.Caches[area(f[1])] = true
		case f[0] == "stamp" && n == 5 && (areaOf(f[1]) != noArea || slices.Contains(areas, area(f[1]))):
			ino, e1 := strconv.ParseUint(f[2], 10, 64)
			mtime, e2 := strconv.ParseInt(f[3], 10, 64)
			files, e3 := strconv.Atoi(f[4])
			if errors.Join(e1, e2, e3) != nil {
				return nil, errRecord
			}
			r.Stamps[f[1]] = stamp{ino, mtime, files}
		case f[0] == "app" && n == 5:
			size, err := strconv.Atoi(f[4])
			if err != nil || size < 0 || size > len(rest) {
				return nil, errRecord
			}
			r.Apps[f[1]] = &appRecord{id: f[1], Key: f[2], Watch: f[3] != "", text: rest[:size], closed: true}
			rest = rest[size:]
		default:
			return nil, errRecord
		}
	}
	return r, nil
}

// folder is where the record lies; whoever holds a lock on it may sync.
type folder struct {
	disk disk
	dir  string
	mode fs.FileMode
	lock *os.File
	made []string // folders that had to be made
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

// The record, and the one of a sync that is under way.
const (
	recordName  = "exports"
	pendingName = "exports.pending"
)

func (f *folder) file(name string) string { return filepath.Join(f.dir, name) }
func (f *folder) temp(name string) string { return filepath.Join(f.dir, "."+name+".tmp") }

// files are all that can be of ours in the folder, the record last.
func (f *folder) files() []string {
	return []string{f.temp(pendingName), f.file(pendingName), f.temp(recordName), f.file(recordName)}
}

// load reads the record. A missing or unreadable one is as good as none: what we wrote in the past is then adopted
// where it is still what is wanted, put aside where it says itself that it is ours, and otherwise left alone.
func (f *folder) load() *record {
	r, err := f.read(recordName)
	if err != nil {
		r = emptyRecord()
		r.lost = true
	}
	p, err := f.read(pendingName)
	if err != nil {
		return r
	}
	// What it has of an application is all that may be there now.
	for id, a := range p.Apps {
		a.pending = true
		r.Apps[id] = a
	}
	r.Dirs, r.Caches, r.Stamps, r.pending = p.Dirs, p.Caches, p.Stamps, true
	r.lost = r.lost && p.lost
	return r
}

func (f *folder) read(name string) (*record, error) {
	in, err := os.Open(f.file(name))
	if err != nil {
		return nil, err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil || info.Size() > maxRecord {
		return nil, errRecord
	}
	data := make([]byte, info.Size())
	if _, err := io.ReadFull(in, data); err != nil {
		return nil, err
	}
	return parseRecord(data)
}

func (f *folder) save(name string, r *record) error {
	tmp := f.temp(name)
	_, err := f.disk.create(tmp, r.bytes(), f.mode)
	if err == nil {
		err = f.disk.rename(tmp, f.file(name))
	}
	if err != nil {
		_ = f.disk.remove(tmp)
	}
	return err
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

// ownPath accepts the paths that a record may name: below one of the areas, without detours.
func ownPath(p string) bool {
	return path.IsAbs("/"+p) && path.Clean(p) == p && !strings.HasPrefix(p, "../") && areaOf(p) != noArea
}
