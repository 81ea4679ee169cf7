// SPDX-License-Identifier: MIT

package apps

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"glick.org/glick/bundle"
	"glick.org/glick/bundle/signature"
	"glick.org/glick/xdgexport/apps/trust"
)

// Origin is where a file was downloaded from, as browsers write it down (freedesktop.org, "Common extended attributes"). Nothing vouches for it.
type Origin struct {
	URL      string `json:"url,omitempty"`
	Referrer string `json:"referrer,omitempty"`
}

const (
	originURL      = "user.xdg.origin.url"
	originReferrer = "user.xdg.referrer.url"
	maxOrigin      = 4096

	// stillWriting is how long after the last write a file that is open for writing is taken for one that is on its way.
	stillWriting = 2 * time.Second
)

var (
	// errSkip marks what is not a file.
	errSkip = errors.New("not a regular file")
	// errWriting marks a file that somebody is writing.
	errWriting = errors.New("it is being written")

	// ErrOutside is a symbolic link to a file outside of the bundle folders: whoever may write that file is not asked, and nobody sees when it goes.
	ErrOutside = errors.New("it is a link to a file outside of the bundle folders; put the file itself there")
	// ErrOwner is a file in a folder for all users that others than root can change.
	ErrOwner = errors.New("others than root can change it; in a folder for all users a file must belong to root and be writable by root only")
	// ErrName is a name that cannot be shown or handed to other programs.
	ErrName = errors.New("its name is not UTF-8; give it another")
)

// small is how many bytes of contents are compared to their digests whenever a file is looked at first. Of larger bundles Check does it. Tests have
// it smaller.
var small int64 = 32 << 20

// systemOwner owns the applications of all users. Tests, which cannot be root, put another here.
var systemOwner = 0

// open opens a regular file for reading, without being held up by a pipe or a device of that name.
func open(path string, flags int) (*os.File, *unix.Stat_t, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|flags, 0)
	if err != nil {
		if errors.Is(err, unix.ENXIO) || errors.Is(err, unix.ELOOP) && flags&unix.O_NOFOLLOW != 0 { // a socket; a link
			return nil, nil, errSkip
		}
		return nil, nil, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		f.Close()
		return nil, nil, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		f.Close()
		return nil, nil, errSkip
	}
	return f, &st, nil
}

// busy tells whether somebody has a file open for writing, if that can be known: only by a file's owner, and not on every file system.
func busy(f *os.File) (busy, known bool) {
	// The kernel grants a lease for reading only on a file that nobody can write, fcntl(2).
	_, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_RDLCK)
	if err == nil {
		_, _ = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_UNLCK)
	}
	busy = errors.Is(err, unix.EAGAIN)
	return busy, busy || err == nil
}

// justWritten tells whether a file may be in the middle of being written. A time to come is a wrong clock's, and tells nothing.
func (s stamp) justWritten() bool {
	age := time.Since(time.Unix(0, s.Mtime))
	return -stillWriting < age && age < stillWriting
}

// seen is what a look at a file has found.
type seen struct {
	stamp stamp
	facts *facts // nil when err is not nil
	err   error  // errSkip, errWriting, fs.ErrNotExist, or one of reading the file
}

// looker looks at the files of folders.
type looker struct {
	cache   *cache
	folders []string // real paths, for links
	looks   int      // at contents, that is not answered by the cache
}

// look finds out what a file in a bundle folder is. Links are not followed.
func (l *looker) look(path string, f *folder) seen {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return seen{err: &fs.PathError{Op: "stat", Path: path, Err: err}}
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
	case unix.S_IFLNK:
		return seen{stamp: stampOf(&st), err: l.judgeLink(path)}
	default:
		return seen{err: errSkip}
	}
	s := stampOf(&st)
	if !utf8.ValidString(path) {
		return seen{stamp: s, err: ErrName}
	}
	if err := f.judgeOwner(path, &st); err != nil {
		return seen{stamp: s, err: err}
	}
	if known := l.cache.known[s]; known != nil {
		return seen{stamp: s, facts: known}
	}
	in, now, err := open(path, unix.O_NOFOLLOW)
	if err != nil {
		return seen{stamp: s, err: err}
	}
	defer in.Close()
	if err := f.judgeOwner(path, now); err != nil {
		return seen{stamp: s, err: err}
	}
	s = stampOf(now)
	writing, sure := busy(in)
	if writing && s.justWritten() {
		return seen{stamp: s, err: errWriting}
	}
	l.looks++
	found, err := examine(in, now)
	if err != nil {
		return seen{stamp: s, err: err}
	}
	if found.Fault != "" && s.justWritten() && (!sure || f.remote) {
		// Who writes it may be out of sight, and not have finished.
		return seen{stamp: s, err: errWriting}
	}
	// What was read is one file's only if that file has stayed as it was, and is still the one of that name.
	var after, there unix.Stat_t
	if unix.Fstat(int(in.Fd()), &after) != nil || stampOf(&after) != s || unix.Lstat(path, &there) != nil || there.Dev != s.Dev || there.Ino != s.Ino {
		return seen{stamp: s, err: errWriting}
	}
	l.cache.remember(s, found, f.settled())
	return seen{stamp: s, facts: found}
}

// judgeLink says what is wrong with a symbolic link. One to another file in a bundle folder is nothing new; one to nowhere is nothing.
func (l *looker) judgeLink(path string) error {
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return errSkip
	}
	info, err := os.Lstat(target)
	if err != nil || !info.Mode().IsRegular() {
		return errSkip
	}
	for _, f := range l.folders {
		if filepath.Dir(target) == f {
			return errSkip
		}
	}
	if !strings.HasSuffix(path, Suffix) && !strings.HasSuffix(target, Suffix) {
		return errSkip
	}
	return ErrOutside
}

// examine reads what a file says about itself, its signature and all that is small. An error is one of reading, which another look may not have.
func examine(f *os.File, st *unix.Stat_t) (*facts, error) {
	found := &facts{}
	err := found.read(f, st)
	if err == nil {
		return found, nil
	}
	if found.Kind = kindOf(err); found.Kind == 0 {
		return nil, err
	}
	found.Fault = plain(err).Error()
	if len(found.Fault) > maxField {
		found.Fault = found.Fault[:maxField]
	}
	found.Fault = strings.ToValidUTF8(found.Fault, "\uFFFD")
	found.Content = contentOf(f, st.Size)
	return found, nil
}

func (found *facts) read(f *os.File, st *unix.Stat_t) error {
	b, err := bundle.Read(f, st.Size)
	if err != nil {
		return err
	}
	m := b.Manifest()
	found.ID, found.Version, found.Name, found.Digest = m.ID, m.Version, m.Name, b.Digest().String()
	found.Origin = originOf(f)
	if found.Key, err = keyOf(b); err != nil {
		return err
	}
	if host := hostArch(); m.Arch != host {
		return fmt.Errorf("%w: it is made for %s, this computer is %s", bundle.ErrArch, m.Arch, host)
	}
	if err := checkSections(b); err != nil {
		return err
	}
	t, err := b.Tree()
	if err != nil {
		return err
	}
	var size int64
	for n := range t.Len() {
		if size += t.Info(bundle.Node(n)).Size; size < 0 || size > small {
			return nil
		}
	}
	if _, err := b.Verify(context.Background(), nil); err != nil {
		return err
	}
	found.Whole = true
	return nil
}

// keyOf checks the signature and returns the key that made it. A signature that is wrong, or cannot be checked, is ErrDamaged.
func keyOf(b *bundle.Bundle) (trust.Key, error) {
	text, err := b.Signature()
	if err != nil || text == nil {
		return trust.Key{}, err
	}
	key, err := signature.Verify(b.ManifestText(), text)
	if err != nil {
		return trust.Key{}, fmt.Errorf("its signature is wrong: %w: %w", err, bundle.ErrDamaged)
	}
	return trust.KeyOf(key), nil
}

// checkSections compares what the desktop shows of a bundle to its digests.
func checkSections(b *bundle.Bundle) error {
	if _, err := b.DesktopFile(); err != nil {
		return err
	}
	if _, err := b.Metainfo(); err != nil {
		return err
	}
	if _, err := b.SVGIcon(); err != nil {
		return err
	}
	for _, size := range b.IconSizes() {
		if _, err := b.Icon(size); err != nil {
			return err
		}
	}
	return nil
}

// contentOf tells contents of files apart by their size, beginning and end, so that a touched file is not another one.
func contentOf(f *os.File, size int64) string {
	const part = 64 << 10
	hash := sha256.New()
	fmt.Fprintln(hash, size)
	_, _ = io.Copy(hash, io.NewSectionReader(f, 0, part))
	if size > part {
		_, _ = io.Copy(hash, io.NewSectionReader(f, max(part, size-part), part))
	}
	return hex.EncodeToString(hash.Sum(nil)[:16])
}

func originOf(f *os.File) Origin {
	get := func(name string) string {
		buf := make([]byte, maxOrigin)
		n, err := unix.Fgetxattr(int(f.Fd()), name, buf)
		if err != nil || !utf8.Valid(buf[:n]) {
			return ""
		}
		return strings.TrimRight(string(buf[:n]), "\x00")
	}
	return Origin{get(originURL), get(originReferrer)}
}

func parseDigest(s string) (bundle.Digest, bool) {
	var d bundle.Digest
	if hex.DecodedLen(len(s)) != len(d) {
		return d, false
	}
	_, err := hex.Decode(d[:], []byte(s))
	return d, err == nil
}

// plain takes the path out of an error of the os package, for messages that name the file already.
func plain(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		var errno syscall.Errno
		if errors.As(pe.Err, &errno) {
			return errno
		}
		return pe.Err
	}
	return err
}
