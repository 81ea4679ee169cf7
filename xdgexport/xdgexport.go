// SPDX-License-Identifier: MIT

// Package xdgexport shows the installed bundles to the desktop: menu entries, icons, file types, D-Bus services, commands
// and what else doc/exports.md lists.
//
// It works in two steps. Plan derives from the installed bundles the files that should be there, as a list that can be
// printed. Sync makes the folders so: it writes what is missing, removes what is ours and no longer wanted, and tells the
// desktop. What is ours is on record ($XDG_DATA_HOME/glick/exports), with the digest of each file. A file that is not on
// record is somebody else's and is never touched; one of ours that the user has edited stays as it is.
//
// Everything in a bundle is untrusted. A bundle shows files only under its own id, or names that begin with it, or under
// names of its commands that nobody else has; files are made anew from what an allow-list lets through, and what they
// start is always "glick run" of that bundle.
package xdgexport

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/adrg/xdg"

	"glick.org/glick/xdgexport/apps"
)

// File is one file to be shown to the desktop.
type File struct {
	// Path is a slash path relative to the data folder; "bin/…" is in the folder for commands, "autostart/…" in the one
	// for settings.
	Path    string
	Content []byte
	Mode    fs.FileMode
	App     string // id of the bundle that it is from
	Origin  string // where in the bundle it is from
}

// LeftOut is something that a bundle has and that is not shown, or not as it is there.
type LeftOut struct {
	App    string `json:"app"`
	Origin string `json:"origin"` // where in the bundle it is
	Reason string `json:"reason"` // a clause, for "ORIGIN is left out: REASON"
}

func (l LeftOut) String() string { return fmt.Sprintf("%s: %s: %s", l.App, l.Origin, l.Reason) }

// Wanted is the state that the installed bundles ask for.
type Wanted struct {
	Files []File // sorted by path, each path once
	Left  []LeftOut
}

// String prints the plan, one file a line.
func (w Wanted) String() string {
	var b strings.Builder
	for _, f := range w.Files {
		fmt.Fprintf(&b, "write %s (%d bytes) from %s of %s\n", f.Path, len(f.Content), f.Origin, f.App)
	}
	for _, l := range w.Left {
		fmt.Fprintf(&b, "leave out %s of %s: %s\n", l.Origin, l.App, l.Reason)
	}
	return b.String()
}

// Options say where to and what for. The zero value is right for a normal session.
type Options struct {
	// System shows to all users of the computer what is in the folders that they share, and nothing else. Files and
	// folders get modes that let all users read them, whatever the umask.
	System bool
	// DataHome is the folder to show files in. When empty: $XDG_DATA_HOME, or /usr/local/share for all users.
	DataHome string
	// BinHome is the folder for commands. When empty: ~/.local/bin, or "bin" beside a data folder that is given or for all
	// users.
	BinHome string
	// ConfigHome is where the folder autostart is. When empty: $XDG_CONFIG_HOME, or /etc/xdg for all users; with a
	// data folder given, nothing is started with the session unless this is given as well.
	ConfigHome string
	// Glick is the absolute path of the glick program that entries start; found by itself when empty.
	Glick string
	// Autostart lists ids of applications that are started with the session, besides those of which apps.List says that the user wants it. What
	// one user wants is never done to all: with System it is only these.
	Autostart []string
	// Off lists the kinds of export that are not shown, of all applications. When nil, these are the ones that the user has switched off, see
	// [apps.SwitchedOff]; with System, or with a data folder given, all kinds are shown.
	Off []apps.Export
	// Excepted lists ids of applications of which everything is shown all the same, besides those of which apps.List says that the user wants it;
	// with System it is only these.
	Excepted []string
	// DataDirs are the data folders of the host ($XDG_DATA_DIRS when nil), CommandDirs those for its commands (the usual
	// ones when nil). What is there keeps its names, types and commands.
	DataDirs, CommandDirs []string

	before func(call, path string) error // see disk
}

func (o Options) disk() disk { return disk{before: o.before, exact: o.System} }

// systemCommandDirs are the folders in which a host has commands. $PATH is of no use: the service's is not the one of the
// user's shell.
var systemCommandDirs = []string{
	"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/games", "/usr/games", "/snap/bin",
	"/var/lib/flatpak/exports/bin",
}

func (o Options) complete() (Options, error) {
	given := o.DataHome != ""
	switch {
	case o.System && !given:
		o.DataHome = "/usr/local/share"
	case !given:
		o.DataHome = xdg.DataHome
	}
	if o.BinHome == "" {
		if o.BinHome = xdg.BinHome; o.System || given {
			o.BinHome = filepath.Join(filepath.Dir(filepath.Clean(o.DataHome)), "bin")
		}
	}
	if o.ConfigHome == "" && !given {
		if o.ConfigHome = xdg.ConfigHome; o.System {
			o.ConfigHome = "/etc/xdg"
		}
	}
	if o.Off == nil && !given && !o.System {
		o.Off = apps.SwitchedOff()
	}
	o.Off = slices.Compact(slices.Sorted(slices.Values(o.Off)))
	if o.DataDirs == nil {
		o.DataDirs = xdg.DataDirs
	}
	o.DataDirs = slices.DeleteFunc(slices.Clone(o.DataDirs), func(dir string) bool {
		return !filepath.IsAbs(dir) || filepath.Clean(dir) == filepath.Clean(o.DataHome)
	})
	if o.CommandDirs == nil {
		o.CommandDirs = systemCommandDirs
		if home, err := os.UserHomeDir(); err == nil && !o.System {
			o.CommandDirs = append(slices.Clip(o.CommandDirs), filepath.Join(home, "bin"))
		}
	}
	o.CommandDirs = slices.DeleteFunc(slices.Clone(o.CommandDirs), func(dir string) bool {
		return filepath.Clean(dir) == filepath.Clean(o.BinHome)
	})
	if o.Glick == "" {
		glick, err := findGlick()
		if err != nil {
			return o, err
		}
		o.Glick = glick
	}
	for _, dir := range []string{o.DataHome, o.BinHome, o.Glick} {
		if !filepath.IsAbs(dir) || !printable(dir) {
			return o, fmt.Errorf("%q is not an absolute path", dir)
		}
	}
	if o.ConfigHome != "" && !filepath.IsAbs(o.ConfigHome) {
		return o, fmt.Errorf("%q is not an absolute path", o.ConfigHome)
	}
	if o.System {
		return o, usableByAll(o.Glick)
	}
	return o, nil
}

// forList is what the options are for a list of applications.
func (o Options) forList(list []apps.App) Options {
	if o.System {
		return o
	}
	o.Autostart, o.Excepted = slices.Clone(o.Autostart), slices.Clone(o.Excepted)
	for _, a := range list {
		if a.Excepted && a.Default && !slices.Contains(o.Excepted, a.ID) {
			o.Excepted = append(o.Excepted, a.ID)
		}
		if a.Autostart && a.Default && !slices.Contains(o.Autostart, a.ID) {
			o.Autostart = append(o.Autostart, a.ID)
		}
	}
	return o
}

// usableByAll makes sure that other users can start a program.
func usableByAll(program string) error {
	fail := func(what string) error {
		return fmt.Errorf("other users of this computer cannot start %s (%s); install Glick where all can, in /usr/local for example", program, what)
	}
	real, err := filepath.EvalSymlinks(program)
	if err != nil {
		return fail(err.Error())
	}
	for _, name := range []string{program, real} {
		for at := name; ; at = filepath.Dir(at) {
			info, err := os.Stat(at)
			switch {
			case err != nil:
				return fail(err.Error())
			case info.IsDir() && info.Mode().Perm()&0o001 == 0:
				return fail("they may not enter " + at)
			case !info.IsDir() && info.Mode().Perm()&0o005 != 0o005:
				return fail("its mode is " + info.Mode().Perm().String())
			}
			if at == filepath.Dir(at) {
				break
			}
		}
	}
	return nil
}

// findGlick looks beside the running program first: all of Glick's programs lie in one folder.
func findGlick() (string, error) {
	if self, err := os.Executable(); err == nil {
		// Not the target of links: /usr/bin/glick may stay while what it points to changes with each version.
		beside := filepath.Join(filepath.Dir(self), "glick")
		if info, err := os.Stat(beside); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return beside, nil
		}
	}
	path, err := exec.LookPath("glick")
	if err != nil {
		return "", fmt.Errorf("cannot find the program glick: %w", err)
	}
	return filepath.Abs(path)
}

// pick gives the applications that are to be shown: of each id the default, but for those that all users see already; and
// for all users the newest that all share.
func pick(list []apps.App, o Options) []apps.App {
	all := make([]apps.App, 0, len(list))
	seen := make(map[string]bool, len(list))
	shown := shownToAll(list, o)
	for _, a := range list { // of one id the default comes first, then the others by falling version
		if (o.System && a.System && a.State.Usable() || !o.System && a.Default && !shown(a)) && !seen[a.ID] {
			seen[a.ID] = true
			all = append(all, a)
		}
	}
	byID := func(a, b apps.App) int { return strings.Compare(a.ID, b.ID) }
	if !slices.IsSortedFunc(all, byID) {
		slices.SortFunc(all, byID)
	}
	return all
}

// shownToAll tells which applications a system-wide sync has shown already, so that this user's folders need not.
func shownToAll(list []apps.App, o Options) func(apps.App) bool {
	var records []*record
	if !o.System && slices.ContainsFunc(list, func(a apps.App) bool { return a.System && a.Default }) {
		for _, dir := range o.DataDirs {
			f := folder{dir: stateFolder(dir)}
			if r, _, err := f.read(true); err == nil {
				records = append(records, r)
			}
		}
	}
	return func(a apps.App) bool {
		return a.System && !slices.Contains(o.Autostart, a.ID) && slices.ContainsFunc(records, func(r *record) bool {
			known := r.Apps[a.ID]
			return known != nil && strings.HasPrefix(known.Key, a.Digest.String())
		})
	}
}

// Plan derives what should be shown for the given applications: of each id its default. It changes nothing. A bundle
// that cannot be read is left out; the rest is planned. Of what only one can have, a command's name or a file type, the
// application that comes first by its id has it; a Sync leaves it to the one that had it before.
func Plan(list []apps.App, o Options) (Wanted, error) {
	o, err := o.complete()
	if err != nil {
		return Wanted{}, fmt.Errorf("cannot plan what to show: %w", err)
	}
	o = o.forList(list)
	all := derive(pick(list, o), newSurroundings(o), nil)
	var w Wanted
	for _, d := range all {
		w.Files = append(w.Files, d.files...)
		w.Left = append(w.Left, d.record.Left...)
	}
	slices.SortFunc(w.Files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return w, nil
}

// derived is what one application shows.
type derived struct {
	app    apps.App
	record *appRecord
	files  []File
	reused bool // nothing has changed: record is the old one, and files is empty
}

// maxRounds ends a search for an order in which all can be satisfied. Each round settles what the one before has freed.
const maxRounds = 8

// derive plans all applications. For those that reuse gives a record, that is taken as long as the answers in it hold.
func derive(list []apps.App, s *surroundings, reuse func(apps.App) *appRecord) []derived {
	all := make([]derived, len(list))
	for i, a := range list {
		all[i].app = a
		s.ids[a.ID] = true
		if reuse != nil {
			all[i].record = reuse(a)
			all[i].reused = all[i].record != nil
		}
	}
	for range maxRounds {
		stable := true
		for i := range all {
			d := &all[i]
			if d.record != nil && s.unchanged(d.app.ID, d.record.Asked) {
				continue
			}
			stable = false
			d.reused = false
			d.files, d.record = planApp(d.app, s)
		}
		if stable {
			break
		}
	}
	return all
}

var (
	errOther   = errors.New("it has become another application")
	errVersion = errors.New("it has become another version; it will be looked at again")
)
