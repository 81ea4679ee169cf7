// SPDX-License-Identifier: MIT

package xdgexport

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/adrg/xdg"

	"glick.org/glick/internal/sample"
	"glick.org/glick/xdgexport/apps"
)

// everything is an application with files of all kinds, and types and links that it opens.
func everything(t testing.TB) apps.App {
	tree := full(t)
	desktop := "share/applications/" + id + ".desktop"
	tree[desktop] = strings.Replace(tree[desktop], "MimeType=", "DBusActivatable=true\nMimeType=text/plain;x-scheme-handler/sample;X-Scheme-Handler/other;", 1)
	tree["share/icons/hicolor/48x48/mimetypes/application-x-sample.png"] = sample.Icon(48)
	return appOf(t, id, "1", tree, "own")
}

// What is switched off goes, and comes back as it was; everything else stays.
func TestSwitchedOff(t *testing.T) {
	noTools(t)
	a := everything(t)
	const entry = "applications/" + id + ".desktop"
	const command, pages, types = "bin/own", "man/man1/own.1 bash-completion/completions/own zsh/site-functions/_own fish/vendor_completions.d/own.fish",
		"mime/packages/" + id + ".xml icons/hicolor/48x48/mimetypes/" + id + "-application-x-sample.png"
	const service, search, fonts = "dbus-1/services/" + id + ".service", "gnome-shell/search-providers/" + id + ".ini", "fonts/" + id + "/own.ttf"
	const types3, schemes = "text/plain;application/x-sample;", "x-scheme-handler/sample;X-Scheme-Handler/other;"
	const activatable, mime = "DBusActivatable=true\n", "MimeType=text/plain;x-scheme-handler/sample;X-Scheme-Handler/other;application/x-sample;\n"
	for _, c := range []struct {
		off   []apps.Export
		gone  string
		entry string // what is in the entry of what may change in it
		left  []string
	}{
		{nil, "", activatable + mime, nil},
		{[]apps.Export{apps.ExportCommands}, command + " " + pages, activatable + mime, []string{"bin/own: ", "share/man/man1/own.1: ", "share/zsh/site-functions/_own: "}},
		{[]apps.Export{apps.ExportCommandHelp}, pages, activatable + mime, []string{"share/man/man1/own.1: ", "share/fish/vendor_completions.d/own.fish: "}},
		{
			[]apps.Export{apps.ExportFileTypes}, types, activatable + "MimeType=" + schemes + "\n",
			[]string{"share/mime/packages/" + id + ".xml: ", "share/icons/hicolor/48x48/mimetypes/application-x-sample.png: ", "share/" + entry + ": the types of files that it opens are "},
		},
		{[]apps.Export{apps.ExportLinks}, "", activatable + "MimeType=" + types3 + "\n", []string{"share/" + entry + ": the links that it opens are "}},
		{[]apps.Export{apps.ExportServices}, service + " " + search, mime, []string{"share/" + service + ": ", "share/" + search + ": "}},
		{[]apps.Export{apps.ExportSearch}, search, activatable + mime, []string{"share/" + search + ": "}},
		{[]apps.Export{apps.ExportFonts}, fonts, activatable + mime, []string{"share/fonts/own.ttf: "}},
		{apps.Exports(), strings.Join([]string{command, pages, types, service, search, fonts}, " "), "", nil},
	} {
		t.Run(fmt.Sprint(c.off), func(t *testing.T) {
			top := t.TempDir()
			on := faultOptions(top)
			off := on
			off.Off = c.off
			do := func(o Options) Result {
				t.Helper()
				res, err := Sync(t.Context(), []apps.App{a}, o)
				if err != nil {
					t.Fatal(err)
				}
				if again, err := Sync(t.Context(), []apps.App{a}, o); err != nil || again.Changed() || !slices.Equal(again.Left, res.Left) {
					t.Errorf("the next sync: %+v, %v, after %+v", again, err, res)
				}
				return res
			}
			if res := do(on); len(res.Left) > 0 {
				t.Errorf("left out: %v", res.Left)
			}
			before := state(t, top)

			w, err := Preview(a, []apps.App{a}, off)
			if err != nil {
				t.Fatal(err)
			}
			res := do(off)
			gone := strings.Fields(c.gone)
			slices.Sort(gone)
			changed := []string{entry}
			if c.entry == activatable+mime {
				changed = nil
			}
			if !slices.Equal(res.Removed, gone) || !slices.Equal(res.Written, changed) {
				t.Errorf("removed %q, want %q; written %q, want %q", res.Removed, gone, res.Written, changed)
			}
			if !slices.Equal(w.Left, res.Left) {
				t.Errorf("the preview leaves out %v, the sync %v", w.Left, res.Left)
			}
			for _, p := range gone {
				if exists(off.mustComplete().file(p)) {
					t.Errorf("%s is still there", p)
				}
			}
			text := read(t, filepath.Join(on.DataHome, entry))
			var has string
			for line := range strings.Lines(text) {
				if strings.HasPrefix(line, "MimeType=") || strings.HasPrefix(line, "DBusActivatable=") {
					has += line
				}
			}
			if sortedLines(has) != sortedLines(c.entry) {
				t.Errorf("the entry has %q, want %q", has, c.entry)
			}
			for _, l := range res.Left {
				if !strings.Contains(l.Reason, "switched off in the preferences") || !slices.Contains(c.off, l.SwitchedOff()) {
					t.Errorf("left out for another reason: %v", l)
				}
			}
			for _, want := range c.left {
				if !slices.ContainsFunc(res.Left, func(l LeftOut) bool { return strings.HasPrefix(l.Origin+": "+l.Reason, want) }) {
					t.Errorf("nothing is said of %s, but %v", want, res.Left)
				}
			}
			if want := len(gone) + len(changed); len(c.off) == 1 && c.off[0] != apps.ExportServices && len(res.Left) != want {
				t.Errorf("%d are left out, want %d: %v", len(res.Left), want, res.Left)
			}

			if res := do(on); !slices.Equal(res.Written, sorted(gone, changed)) || len(res.Removed)+len(res.Left) > 0 {
				t.Errorf("on again: %+v", res)
			}
			same(t, state(t, top), before)
			// Installed while it is off.
			other := off
			other.DataHome, other.ConfigHome = filepath.Join(top, "other/share"), filepath.Join(top, "other/config")
			res = do(other)
			for _, p := range gone {
				if slices.Contains(res.Written, p) || exists(other.mustComplete().file(p)) {
					t.Errorf("%s is written", p)
				}
			}
			if len(res.Written) != len(fullFiles)+1-len(gone) {
				t.Errorf("written %q", res.Written)
			}
		})
	}
}

func sortedLines(s string) string {
	all := strings.SplitAfter(s, "\n")
	slices.Sort(all)
	return strings.Join(all, "")
}

func sorted(all ...[]string) []string {
	s := slices.Concat(all...)
	slices.Sort(s)
	return s
}

// What only one application can have stays its own while it is switched off.
func TestSwitchedOffKeepsOwners(t *testing.T) {
	noTools(t)
	a := everything(t)
	tree := sample.App("org.aaa.Sample")
	tree["bin/own"] = "y"
	earlier := appOf(t, "org.aaa.Sample", "1", tree, "own") // by its id
	o := faultOptions(t.TempDir())
	launcher := o.mustComplete().file("bin/own")
	owner := func(off []apps.Export, want bool, list ...apps.App) {
		t.Helper()
		o.Off = off
		if _, err := Sync(t.Context(), list, o); err != nil {
			t.Fatal(err)
		}
		if exists(launcher) != want || want && !marked([]byte(read(t, launcher)), id) {
			t.Errorf("with %q switched off it is there: %t", off, exists(launcher))
		}
	}
	owner(nil, true, a)
	owner([]apps.Export{apps.ExportCommands}, false, a)
	owner([]apps.Export{apps.ExportCommands}, false, earlier, a)
	owner(nil, true, earlier, a)
}

// A command that the user has edited is put aside, as when its application goes.
func TestSwitchedOffEdited(t *testing.T) {
	noTools(t)
	o := faultOptions(t.TempDir())
	list := []apps.App{everything(t)}
	launcher := o.mustComplete().file("bin/own")
	if _, err := Sync(t.Context(), list, o); err != nil {
		t.Fatal(err)
	}
	ours := read(t, launcher)
	write(t, launcher, ours+"# mine\n")
	o.Off = []apps.Export{apps.ExportCommands}
	res, err := Sync(t.Context(), list, o)
	if err != nil || len(res.Aside) != 1 || read(t, res.Aside[0]) != ours+"# mine\n" || exists(launcher) {
		t.Errorf("%+v, %v", res, err)
	}
	o.Off = nil
	if _, err := Sync(t.Context(), list, o); err != nil || read(t, launcher) != ours {
		t.Errorf("%v: %s", err, read(t, launcher))
	}
}

// Without being told, a sync for the user does what the user has chosen; others do not.
func TestSwitchedOffByTheUser(t *testing.T) {
	noTools(t)
	home := t.TempDir()
	t.Cleanup(xdg.Reload) // cleanups run last to first: after the environment is as it was
	t.Setenv("HOME", home)
	for _, name := range []string{"XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"} {
		t.Setenv(name, "")
	}
	xdg.Reload()
	a := everything(t)
	if err := apps.SetExports(map[apps.Export]bool{apps.ExportFonts: false}); err != nil {
		t.Fatal(err)
	}
	has := func(o Options) bool {
		t.Helper()
		o.Glick, o.DataDirs, o.CommandDirs = "/bin/true", []string{}, []string{}
		w, err := Plan([]apps.App{a}, o)
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(w.Files, func(f File) bool { return areaOf(f.Path) == fontsArea })
	}
	if has(Options{}) || !has(Options{Off: []apps.Export{}}) || !has(Options{DataHome: "/nowhere/share"}) {
		t.Error("fonts are shown where they are switched off, or not where they are on")
	}
	a.System = true
	if !has(Options{System: true}) {
		t.Error("fonts are not shown to all users")
	}
	if has(Options{System: true, Off: []apps.Export{apps.ExportFonts}}) {
		t.Error("fonts are shown to all users")
	}
}

// Of one application everything is shown all the same, when its user wants it.
func TestExcepted(t *testing.T) {
	noTools(t)
	other := sample.App("org.aaa.Sample")
	other["bin/other"] = "y"
	delete(other, "share/mime/packages/org.aaa.Sample.xml") // the type is the other's
	a, b := everything(t), appOf(t, "org.aaa.Sample", "1", other, "other")
	o := faultOptions(t.TempDir())
	o.Off = []apps.Export{apps.ExportCommands, apps.ExportFileTypes}
	do := func(want Result) {
		t.Helper()
		w, err := Preview(a, []apps.App{b, a}, o)
		if err != nil {
			t.Fatal(err)
		}
		res, err := Sync(t.Context(), []apps.App{b, a}, o)
		if err != nil || !slices.Equal(res.Written, want.Written) || !slices.Equal(res.Removed, want.Removed) {
			t.Errorf("%v: written %q, removed %q", err, res.Written, res.Removed)
		}
		for what, left := range map[string][]LeftOut{"preview": w.Left, "sync": res.Left} {
			if slices.ContainsFunc(left, func(l LeftOut) bool { return l.App == a.ID }) == a.Excepted {
				t.Errorf("the %s leaves out %v", what, left)
			}
		}
		if again, err := Sync(t.Context(), []apps.App{b, a}, o); err != nil || again.Changed() {
			t.Errorf("the next sync: %+v, %v", again, err)
		}
	}
	if _, err := Sync(t.Context(), []apps.App{b, a}, o); err != nil {
		t.Fatal(err)
	}
	hidden := []string{
		"bash-completion/completions/own", "bin/own", "fish/vendor_completions.d/own.fish",
		"icons/hicolor/48x48/mimetypes/" + id + "-application-x-sample.png", "man/man1/own.1", "mime/packages/" + id + ".xml", "zsh/site-functions/_own",
	}
	entry := []string{"applications/" + id + ".desktop"}
	a.Excepted = true
	do(Result{Written: sorted(entry, hidden)})
	a.Excepted = false
	do(Result{Written: entry, Removed: hidden})
	// It is the user's own wish.
	a.Excepted, a.System, b.System = true, true, true
	all := faultOptions(t.TempDir())
	all.System, all.Autostart, all.Glick, all.Off = true, nil, "/bin/true", o.Off
	w, err := Plan([]apps.App{a}, all)
	if err != nil || slices.ContainsFunc(w.Files, func(f File) bool { return areaOf(f.Path) == commandsArea }) {
		t.Errorf("it is an exception for all users: %v\n%s", err, w)
	}
	all.Excepted = []string{id}
	if w, err = Plan([]apps.App{a}, all); err != nil || !slices.ContainsFunc(w.Files, func(f File) bool { return areaOf(f.Path) == commandsArea }) {
		t.Errorf("it is no exception: %v\n%s", err, w)
	}
}

// An action without a program of its own goes with the service that does it.
func TestSwitchedOffService(t *testing.T) {
	tree := sample.App(id)
	desktop := "share/applications/" + id + ".desktop"
	tree[desktop] = strings.Replace(tree[desktop], "Actions=", "DBusActivatable=true\nActions=by-bus;", 1) + "[Desktop Action by-bus]\nName=By Bus\n"
	list := shown(t, tree)
	for _, off := range [][]apps.Export{nil, {apps.ExportServices}} {
		w, err := Plan(list, Options{DataHome: "/nowhere", Glick: glick, Off: off})
		if err != nil {
			t.Fatal(err)
		}
		has := strings.Contains(string(w.Files[0].Content), "[Desktop Action by-bus]")
		said := slices.ContainsFunc(w.Left, func(l LeftOut) bool {
			return strings.Contains(l.Reason, "action by-bus") && l.SwitchedOff() == apps.ExportServices
		})
		if has != (off == nil) || said != (off != nil) {
			t.Errorf("with %q switched off:\n%s", off, w)
		}
	}
}
