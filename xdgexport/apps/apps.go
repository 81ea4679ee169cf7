// SPDX-License-Identifier: MIT

// Package apps knows the installed applications: the bundles that lie in the bundle folders.
//
// There is no registry. A bundle is installed when its file is in one of the folders, and it is gone when the file is
// gone; whoever put or deleted it, by whatever means. Names that begin with a dot are not looked at: under such names
// files are on their way in (being copied) or out (removed, and may come back).
//
// What is remembered is whose signature an id has (package trust), which version the user wants, and whether it is started
// with the session, in $XDG_DATA_HOME/glick/apps.known; which kinds of export the user has switched off, in apps.exports beside it; which folders the
// user has added, in apps.folders; and what files say that have not changed since, in a cache that may be lost.
package apps

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"glick.org/glick/bundle"
	"glick.org/glick/xdgexport/apps/trust"
)

// Suffix ends the names of installed bundles. Files without it are looked at as well.
const Suffix = ".bundle"

// systemFolders hold the applications that all users of the computer share. Tests put others here.
var systemFolders = []string{"/usr/local/lib/bundles", "/usr/lib/bundles"}

// Home is the folder of the user's own applications. It may not exist yet.
func Home() (string, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("cannot tell where the applications are: %w", err)
	}
	return filepath.Join(home, "Apps"), nil
}

// App is one bundle in a bundle folder. Two are equal when nothing about them differs.
type App struct {
	ID, Version, Name string
	File              string        // absolute path
	Size              int64         // of the file, in bytes
	Digest            bundle.Digest // identity of the whole bundle
	System            bool          // it lies in a folder that all users share
	Default           bool          // of all usable versions of this id, the one that is used and exported
	Autostart         bool          // the user wants its id to be started with the session
	Excepted          bool          // the user wants shown of its id also what is switched off for applications in general

	State  trust.State // whether its signature is the expected one; what is not State.Usable is never Default
	Key    trust.Key   // whose signature it has, with the user's comment on the key; the zero value for none
	Origin Origin      // where it was downloaded from
	Damage string      // why it is trust.Damaged, a clause
}

// Problem is a file in a bundle folder that is not a usable bundle, or not yet.
type Problem struct {
	File string
	Err  error // bundle's errors (errors.Is) or those of reading the file
	// Content tells apart the contents that a broken file had, so that each can be reported once; empty when it could not be read. Touching or
	// renaming a file leaves it as it is.
	Content string
}

func (p Problem) Error() string { return fmt.Sprintf("%s: %v", p.File, p.Err) }

// Unwrap gives the reason.
func (p Problem) Unwrap() error { return p.Err }

// Incomplete tells whether the file may be on its way: being copied or downloaded into the folder.
func (p Problem) Incomplete() bool {
	return errors.Is(p.Err, bundle.ErrTruncated) || errors.Is(p.Err, errWriting)
}

// ErrChanged is when a bundle is signed by another key than its id had until now, or by none. Accept, or InstallOptions.Accept, allows it.
var ErrChanged = errors.New("its signature is not by the key of the version that you have")

// List looks into all bundle folders. Applications are sorted by id, of one id the default first, then by falling
// version. Bundles that cannot be used because of their state are among them, and never the default; damaged ones are among the problems too. Files
// that are no bundles are passed over, unless their name claims that they are. Nothing of a bundle is executed; what is read of it is its identity,
// its signature, and all that the desktop shows; for files known from earlier, nothing at all.
//
// The first bundle of an id decides which key the later ones must have, see package trust. The caller must not change the applications, which
// others may be given too.
func List() ([]App, []Problem, error) { return current().List() }

// Find gives the application that a person means by an id or by a path of a bundle file. A word with a slash is a
// path; other words are ids first. An unknown one is an error that is fs.ErrNotExist; an id of which nothing can be used, because its signature is
// another one, is ErrChanged.
//
// Of a file that is named by its path only the identity and the signature are read. Nothing is remembered of it.
func Find(idOrPath string) (App, error) {
	lib := current()
	var changed *App
	if !strings.Contains(idOrPath, "/") && bundle.ValidID(idOrPath) == nil {
		all, _, err := lib.List()
		if err != nil {
			return App{}, err
		}
		for _, a := range all {
			if a.ID == idOrPath && a.Default {
				return a, nil
			}
			if a.ID == idOrPath && a.State == trust.Changed {
				changed = &a
			}
		}
	}
	path, err := filepath.Abs(idOrPath)
	if err != nil {
		return App{}, fmt.Errorf("cannot find %s: %w", idOrPath, err)
	}
	app, err := lib.identify(path)
	switch {
	case errors.Is(err, errSkip):
		return App{}, fmt.Errorf("cannot use %s: %w", idOrPath, bundle.ErrNotBundle)
	case errors.Is(err, fs.ErrNotExist) && changed != nil:
		return App{}, fmt.Errorf("cannot use %s: %w", idOrPath, ErrChanged)
	case errors.Is(err, fs.ErrNotExist) && !strings.Contains(idOrPath, "/"):
		return App{}, fmt.Errorf("no application %s is installed, and there is no such file: %w", idOrPath, fs.ErrNotExist)
	case err != nil:
		return App{}, fmt.Errorf("cannot use %s: %w", idOrPath, plain(err))
	}
	return app, nil
}

// Accept allows bundles of an id to be used although their signature is not the expected one. what is the fingerprint of a key ("SHA256:…"),
// which then counts like the earlier ones; or the digest of one bundle in hexadecimal, which is accepted as it is, signed or not. Accepting
// the key that is known confirms it.
//
// Call xdgexport.Refresh afterwards.
func Accept(id, what string) error {
	if !strings.HasPrefix(what, "SHA256:") {
		return current().decide("accept the bundle", func(b *trust.Book) (*trust.Record, error) { return b.AcceptDigest(id, what, time.Now()) })
	}
	key := trust.Key{Fingerprint: what}
	if all, _, err := List(); err == nil {
		for _, a := range all {
			if a.Key.Fingerprint == what {
				key = a.Key
				key.Comment = ""
			}
		}
	}
	return AcceptKey(id, key)
}

// AcceptKey is Accept for a key, which may bring the comment by which the user knows it.
func AcceptKey(id string, key trust.Key) error {
	return current().decide("accept the key", func(b *trust.Book) (*trust.Record, error) { return b.AcceptKey(id, key, time.Now()) })
}

// Forget forgets whose signature an id has: the next bundle of it that is seen decides anew. Deleting the bundle does not do this.
func Forget(id string) error {
	return current().decide("forget the key", func(b *trust.Book) (*trust.Record, error) { return b.Forget(id), bundle.ValidID(id) })
}

// Known tells what is remembered of an id: its keys, and what the user wants of it. Nil is nothing. The caller must not change it.
func Known(id string) *trust.Record {
	lib := current()
	lib.mu.Lock()
	defer lib.mu.Unlock()
	lib.readBook()
	return lib.book.Record(id)
}

// SetDefault chooses the version of an application that is used and exported as long as it is there, whatever else is: going back to an
// earlier one is this as well. The empty version chooses the newest. The error is fs.ErrNotExist when no such version can be used.
//
// Call xdgexport.Refresh afterwards.
func SetDefault(id, version string) error {
	if version != "" {
		all, _, err := List()
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(all, func(a App) bool { return a.ID == id && a.Version == version && a.State.Usable() }) {
			return fmt.Errorf("cannot choose version %s of %s: no such version can be used: %w", version, id, fs.ErrNotExist)
		}
	}
	return current().decide("choose the version", func(b *trust.Book) (*trust.Record, error) { return b.Choose(id, version) })
}

// SetAutostart says whether an application is started with the user's session; none is unless this was called. The choice is the id's, and lasts
// when the bundle is replaced or deleted. The error is fs.ErrNotExist when it is to be started and no bundle of the id can be used.
//
// Call xdgexport.Refresh afterwards.
func SetAutostart(id string, on bool) error {
	what := "keep the application from starting with the session"
	if on {
		what = "have the application started with the session"
		if err := usable(id); err != nil {
			return fmt.Errorf("cannot have %s started with the session: %w", id, err)
		}
	}
	return current().decide(what, func(b *trust.Book) (*trust.Record, error) { return b.ChooseAutostart(id, on) })
}

// usable makes sure that there is an application that can be used.
func usable(id string) error {
	if err := bundle.ValidID(id); err != nil {
		return err
	}
	all, _, err := List()
	if err == nil && !slices.ContainsFunc(all, func(a App) bool { return a.ID == id && a.Default }) {
		err = fmt.Errorf("no application of that id can be used: %w", fs.ErrNotExist)
	}
	return err
}

// rank sorts the bundles of one id and marks the default: of those that can be used the version that is chosen, or else the highest; of equal ones a
// signed one, the user's own, and the first by name.
func rank(all []App, choice string) {
	better := func(a, b App) int {
		return cmp.Or(
			-bundle.CompareVersions(a.Version, b.Version),
			-boolCompare(!a.Key.None(), !b.Key.None()),
			boolCompare(a.System, b.System),
			strings.Compare(a.File, b.File),
		)
	}
	slices.SortStableFunc(all, better)
	best := -1
	for i, a := range all {
		all[i].Default = false
		if !a.State.Usable() {
			continue
		}
		if best < 0 || choice != "" && a.Version == choice && all[best].Version != choice {
			best = i
		}
	}
	if best >= 0 {
		first := all[best]
		first.Default = true
		copy(all[1:best+1], all[:best])
		all[0] = first
	}
}

func boolCompare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}
