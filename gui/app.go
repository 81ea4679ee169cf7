// SPDX-License-Identifier: MIT

// Package gui is Glick's windows: one for each bundle file that is opened, and the library of what is installed.
//
// Widgets only show what package state decides. Whatever may take time is done by package work in goroutines; their results
// come back to the main loop as events. All functions here that touch widgets run in the main loop.
package gui

import (
	_ "embed" // the windows are described in .ui files
	"strings"
	"time"

	"github.com/diamondburned/gotk4-adwaita/pkg/adw"
	"github.com/diamondburned/gotk4/pkg/gdk/v4"
	"github.com/diamondburned/gotk4/pkg/gio/v2"
	"github.com/diamondburned/gotk4/pkg/glib/v2"
	"github.com/diamondburned/gotk4/pkg/gtk/v4"

	"glick.org/glick/gui/tr"
	"glick.org/glick/gui/work"
)

// AppID is the name of the application on the session bus and of its desktop file.
const AppID = "org.glick.Glick"

//go:embed ui/style.css
var styleCSS string

//go:embed ui/shortcuts.ui
var shortcutsUI string

// application is the one process that shows all windows.
type application struct {
	*adw.Application
	version string
	bundles map[string]*bundleWindow // by absolute path
	library *libraryWindow           // nil when it is not open

	// What the command line asks for is read while GTK begins. Both are nil when that is something else, or the window has taken it.
	early  *firstLook
	listed chan listed
}

// Run shows the windows until the last one is closed, and returns the exit status. args is the whole command line.
func Run(args []string, version string) int {
	useGettext()
	a := &application{
		Application: adw.NewApplication(AppID, gio.ApplicationHandlesOpen),
		version:     version,
		bundles:     map[string]*bundleWindow{},
	}
	glib.SetApplicationName(tr.T("Glick"))
	switch {
	case len(args) == 1:
		a.listed = listLater()
	case len(args) == 2 && !strings.HasPrefix(args[1], "-") && !strings.Contains(args[1], "://"):
		a.early = lookAt(work.Absolute(args[1]))
	}
	drawn := drawPlainly()
	a.ConnectWindowAdded(func(w *gtk.Window) { w.ConnectRealize(drawn) })
	a.ConnectStartup(a.startup)
	a.ConnectActivate(a.showLibrary)
	a.ConnectOpen(func(files []gio.Filer, _ string) {
		paths := make([]string, len(files))
		for i, f := range files {
			if paths[i] = f.Path(); paths[i] == "" {
				// Not a local file, and nothing mounts it as one: the window says so with the address.
				paths[i] = f.URI()
			}
		}
		if len(paths) == 1 {
			a.opened(paths[0])
		} else {
			a.openBundles(paths)
		}
	})
	return a.Application.Run(args)
}

func (a *application) startup() {
	css := gtk.NewCSSProvider()
	css.LoadFromData(styleCSS + libraryCSS)
	gtk.StyleContextAddProviderForDisplay(gdk.DisplayGetDefault(), css, uint(gtk.STYLE_PROVIDER_PRIORITY_APPLICATION))
	gtk.WindowSetDefaultIconName(AppID)

	a.addAction("quit", func() {
		for _, w := range a.Windows() {
			w.Close()
		}
	})
	a.addAction("library", a.showLibrary)
	a.addAction("about", a.showAbout)
	a.addAction("preferences", a.showPreferences)
	a.SetAccelsForAction("app.quit", []string{"<Control>q"})
	a.SetAccelsForAction("app.preferences", []string{"<Control>comma"})
	a.SetAccelsForAction("window.close", []string{"<Control>w"})
	a.SetAccelsForAction("win.undo", []string{"<Control>z"})
	a.SetAccelsForAction("win.shortcuts", []string{"<Control>question"})
}

func (a *application) addAction(name string, f func()) {
	action := gio.NewSimpleAction(name, nil)
	action.ConnectActivate(func(*glib.Variant) { f() })
	a.AddAction(action)
}

// addShortcuts lets a window show its keyboard shortcuts. They are made when they are asked for: that takes as long as a window.
func (a *application) addShortcuts(w *adw.ApplicationWindow) {
	action := gio.NewSimpleAction("shortcuts", nil)
	action.ConnectActivate(func(*glib.Variant) {
		help := object[*gtk.ShortcutsWindow](build(shortcutsUI), "shortcuts")
		help.SetTransientFor(&w.Window)
		help.SetModal(true)
		help.Present()
	})
	w.AddAction(action)
}

// openBundles shows the window of a file, or one list of several.
func (a *application) openBundles(paths []string) {
	if len(paths) > 1 {
		newListWindow(a, paths)
		return
	}
	for _, p := range paths {
		a.openBundle(p)
	}
}

// openBundle shows the window of a file; the same file again raises its window.
func (a *application) openBundle(path string) {
	a.bundleWindow(path).present()
}

// bundleWindow is the window of a file, which is made if there is none.
func (a *application) bundleWindow(path string) *bundleWindow {
	path = work.Absolute(path)
	w, ok := a.bundles[path]
	if !ok {
		w = newBundleWindow(a, path)
		a.bundles[path] = w
	}
	return w
}

func (a *application) showLibrary() {
	if a.library == nil {
		a.library = newLibraryWindow(a)
	}
	a.library.window.Present()
}

// inMain runs f in the main loop, soon: before the next frame is drawn. With the priority of idle functions a spinner on a slow
// screen would hold it up for ever.
func inMain(f func()) {
	glib.IdleAddPriority(glib.PriorityDefault, f)
}

// work has job done in a goroutine, and what it returns in the main loop. The program does not end before, even without a window:
// a task that was cancelled still has to clean up.
func (a *application) work(job func() (then func())) {
	a.Hold()
	go func() {
		then := job()
		inMain(func() {
			then()
			a.Release()
		})
	}()
}

// seldom lets at most ten calls a second through to f, and always the last one: done == total.
func seldom(f func(done, total int64)) func(done, total int64) {
	var last time.Time
	return func(done, total int64) {
		if now := time.Now(); done >= total || now.Sub(last) >= 100*time.Millisecond {
			last = now
			f(done, total)
		}
	}
}

// launchEnv lets a started application come to the front and end the busy pointer.
func launchEnv(widget *gtk.Widget) []string {
	context := widget.Display().AppLaunchContext()
	info, err := gio.AppInfoCreateFromCommandline("true", "bundle", gio.AppInfoCreateSupportsStartupNotification)
	if err != nil {
		return nil
	}
	id := context.StartupNotifyID(info, nil)
	if id == "" {
		return nil
	}
	return []string{"DESKTOP_STARTUP_ID=" + id, "XDG_ACTIVATION_TOKEN=" + id}
}
