// SPDX-License-Identifier: MIT

package xdgexport

import (
	"bytes"
	"errors"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// maxHashes bounds what is remembered of one file while syncs are interrupted again and again.
const maxHashes = 16

// record is what we know to be ours. It is kept in a file of entries, see log.go.
//
// An entry has lines of fields that tabs separate. A line for each application says how many bytes of lines about it
// follow: those of an application at which nothing has changed are neither read nor written anew.
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

	end int64 // of the log when the record was remembered, see folder
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

	text    []byte // all that, as long as nobody has asked for it
	closed  bool   // it is still to be read from text
	claimed bool   // all but Claims, which somebody has asked for
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

// body is what an entry says: all that is not of a single application, the applications ids, and which are gone.
func (r *record) body(ids, gone []string) []byte {
	size := 4 << 10
	for _, id := range ids {
		size += len(r.Apps[id].text) + 200
	}
	var b bytes.Buffer
	b.Grow(size)
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
	for _, id := range ids {
		a := r.Apps[id]
		text := a.lines()
		line(&b, "app", id, a.Key, flag(a.Watch, "watch"), strconv.Itoa(len(text)))
		b.Write(text)
	}
	for _, id := range gone {
		line(&b, "gone", id)
	}
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
	a.closed, a.claimed = false, false
	a.Claims, a.Files = nil, map[string]*fileRecord{}
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

// close takes back what open has done, with what has become of it.
func (a *appRecord) close() {
	if !a.closed {
		*a = appRecord{id: a.id, Key: a.Key, Watch: a.Watch, text: a.lines(), closed: true}
	}
}

// claims gives all that the application has for itself. The caller does not change it.
func (a *appRecord) claims() []string {
	if !a.closed || a.claimed {
		return a.Claims
	}
	a.claimed = true
	word := []byte("claim\t")
	for rest := a.text; ; {
		at := bytes.Index(rest, word)
		if at < 0 {
			return a.Claims
		}
		inLine := at > 0 && rest[at-1] != '\n'
		rest = rest[at+len(word):]
		if claim, _, ok := bytes.Cut(rest, []byte{'\n'}); ok && !inLine {
			a.Claims = append(a.Claims, string(claim))
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

// apply takes over what an entry says. The record keeps parts of the text.
func (r *record) apply(body []byte, unfinished bool) error {
	r.Untold, r.Host, r.Dirs, r.pending = false, "", nil, unfinished
	r.Stamps, r.Caches = map[string]stamp{}, map[area]bool{}
	for len(body) > 0 {
		var text []byte
		text, body, _ = bytes.Cut(body, []byte{'\n'})
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
				return errRecord
			}
			r.Stamps[f[1]] = stamp{ino, mtime, files}
		case f[0] == "app" && n == 5:
			size, err := strconv.Atoi(f[4])
			if err != nil || size < 0 || size > len(body) {
				return errRecord
			}
			r.Apps[f[1]] = &appRecord{id: f[1], Key: f[2], Watch: f[3] != "", pending: unfinished, text: body[:size], closed: true}
			body = body[size:]
		case f[0] == "gone" && n == 2:
			delete(r.Apps, f[1])
		default:
			return errRecord
		}
	}
	return nil
}

// ownPath accepts the paths that a record may name: below one of the areas, without detours.
func ownPath(p string) bool {
	return path.IsAbs("/"+p) && path.Clean(p) == p && !strings.HasPrefix(p, "../") && areaOf(p) != noArea
}
