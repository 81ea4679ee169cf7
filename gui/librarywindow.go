// SPDX-License-Identifier: MIT

package gui

import (
	"context"
	_ "embed" // ui
	"reflect"
	"slices"
	"time"

	"github.com/diamondburned/gotk4-adwaita/pkg/adw"
	"github.com/diamondburned/gotk4/pkg/gdk/v4"
	"github.com/diamondburned/gotk4/pkg/gio/v2"
	"github.com/diamondburned/gotk4/pkg/glib/v2"
	"github.com/diamondburned/gotk4/pkg/gtk/v4"

	"glick.org/glick/gui/state"
	"glick.org/glick/gui/tr"
	"glick.org/glick/gui/work"
)

//go:embed ui/library.ui
var libraryUI string

//go:embed ui/library.css
var libraryCSS string

// listIcon is the side of an icon in the list, in pixels; twice that is read, for screens with small pixels.
const listIcon = 48

// libraryWindow shows what is installed.
type libraryWindow struct {
	app   *application
	model state.Library
	undo  undoer     // what Undo takes back; nil when there is nothing
	toast *adw.Toast // the one with Undo

	window   *adw.ApplicationWindow
	toasts   *adw.ToastOverlay
	pages    *gtk.Stack
	views    *adw.ViewStack
	stack    *gtk.Stack
	page     *adw.StatusPage
	pageOpen *gtk.Button
	loading  *gtk.Spinner
	list     *gtk.ListView
	scroller *gtk.ScrolledWindow // of list
	keys     *gtk.StringList     // of the rows that are shown, in order
	search   *gtk.SearchEntry
	bar      *gtk.SearchBar
	toggle   *gtk.ToggleButton
	shown    []string                    // what keys holds
	rows     map[string]state.LibraryRow // by key
	bound    map[uintptr]*libraryRow     // widgets by their list item
	icons    *iconReader
	middle   int // the row in the middle of the view
	details  *detailsPage
	storage  *storagePage

	ctx    context.Context // ends with the window
	end    context.CancelFunc
	closed bool
}

func newLibraryWindow(app *application) *libraryWindow {
	first := app.listed
	app.listed = nil
	if first == nil {
		first = listLater()
	}
	b := build(libraryUI)
	w := &libraryWindow{
		app:      app,
		window:   object[*adw.ApplicationWindow](b, "window"),
		toasts:   object[*adw.ToastOverlay](b, "toasts"),
		pages:    object[*gtk.Stack](b, "pages"),
		views:    object[*adw.ViewStack](b, "views"),
		stack:    object[*gtk.Stack](b, "stack"),
		page:     object[*adw.StatusPage](b, "page"),
		pageOpen: object[*gtk.Button](b, "page_open"),
		loading:  object[*gtk.Spinner](b, "loading"),
		list:     object[*gtk.ListView](b, "list"),
		scroller: object[*gtk.ScrolledWindow](b, "scroller"),
		search:   object[*gtk.SearchEntry](b, "search"),
		bar:      object[*gtk.SearchBar](b, "search_bar"),
		toggle:   object[*gtk.ToggleButton](b, "search_button"),
		keys:     gtk.NewStringList(nil),
		rows:     map[string]state.LibraryRow{},
		bound:    map[uintptr]*libraryRow{},
	}
	w.ctx, w.end = context.WithCancel(context.Background())
	w.icons = newIconReader(w.ctx, 2*listIcon, w.iconReady)
	w.window.SetApplication(&app.Application.Application)
	app.addShortcuts(w.window)
	remember := rememberSize(&w.window.Window, "library-window-size")
	w.window.ConnectCloseRequest(func() bool {
		remember()
		w.closed = true
		w.end()
		w.undo = nil
		app.library = nil
		return false
	})
	w.pageOpen.SetChild(gtk.NewLabelWithMnemonic(tr.T("_Open a Bundle…")))
	describe(&w.pageOpen.Widget, tr.T("Open a Bundle"))
	w.connectList()
	w.connectSearch(object[*gtk.Box](b, "main"))
	w.connectActions()
	w.details = newDetailsPage(w, object[*gtk.Box](b, "details"), object[*adw.WindowTitle](b, "details_title"))
	w.storage = newStoragePage(w, object[*gtk.Stack](b, "storage"))
	object[*gtk.Button](b, "back").ConnectClicked(w.back)
	w.views.NotifyProperty("visible-child", func() {
		storage := w.views.VisibleChildName() == "storage"
		w.toggle.SetSensitive(!storage && len(w.model.Apps) > 0)
		if storage {
			w.bar.SetSearchMode(false)
			w.storage.show()
		}
	})
	w.pages.NotifyProperty("visible-child", func() {
		if w.pages.VisibleChildName() == "main" {
			w.details.close()
			if w.views.VisibleChildName() == "applications" {
				w.list.GrabFocus() // to the row from which it was left
			}
		}
	})
	onEscape(&w.window.Widget, w.escape)
	onDelete(&w.window.Widget, func() {
		if w.pages.VisibleChildName() == "details" {
			w.askUninstall(w.details.app.Key, "")
		}
	})
	onDropFiles(&w.window.Widget, func(paths []string) bool {
		app.openBundles(paths)
		return true
	}).ConnectEnter(func(_, _ float64) gdk.DragAction { return gdk.ActionCopy })
	w.render()
	// Known bundles are listed in some milliseconds: then the first picture of the window has them.
	select {
	case l := <-first:
		w.take(l)
	case <-time.After(firstPicture):
		go func() {
			l := <-first
			inMain(func() { w.take(l) })
		}()
	}
	go w.watch()
	return w
}

// firstPicture is how long a new window waits for the list before it shows that it is looking.
const firstPicture = 60 * time.Millisecond

// escape goes one step back: out of the details, out of the search.
func (w *libraryWindow) escape() {
	if w.pages.VisibleChildName() == "details" {
		w.back()
		return
	}
	w.bar.SetSearchMode(false)
}

func (w *libraryWindow) back() { w.pages.SetVisibleChildName("main") }

func (w *libraryWindow) connectSearch(main *gtk.Box) {
	w.bar.ConnectEntry(w.search)
	w.bar.SetKeyCaptureWidget(main)
	w.search.ConnectSearchChanged(func() {
		w.model.Query = w.search.Text()
		w.render()
		if len(w.shown) > 0 {
			w.list.ActivateAction("list.scroll-to-item", glib.NewVariantUint32(0))
		}
	})
	// Typing can go on with the results.
	w.search.ConnectActivate(func() {
		if len(w.shown) > 0 {
			w.open(w.shown[0])
		}
	})
}

func (w *libraryWindow) connectActions() {
	action := func(name string, f func()) {
		a := gio.NewSimpleAction(name, nil)
		a.ConnectActivate(func(*glib.Variant) { f() })
		w.window.AddAction(a)
	}
	action("search", func() {
		if w.pages.VisibleChildName() == "main" {
			w.views.SetVisibleChildName("applications")
			w.bar.SetSearchMode(true)
			w.search.GrabFocus()
		}
	})
	action("undo", w.takeBack)
	action("open", w.choose)
	action("back", w.back)
	action("applications", func() {
		w.back()
		w.views.SetVisibleChildName("applications")
		w.list.GrabFocus()
	})
	action("storage", func() { w.back(); w.views.SetVisibleChildName("storage") })

	details := gio.NewSimpleAction("details", glib.NewVariantType("s"))
	details.ConnectActivate(func(key *glib.Variant) { w.open(key.String()) })
	w.window.AddAction(details)

	order := state.SortByName
	s := settings()
	if s != nil {
		order = state.LibrarySort(s.String("library-sort"))
	}
	w.model.Sort = order
	sort := gio.NewSimpleActionStateful("sort", glib.NewVariantType("s"), glib.NewVariantString(string(order)))
	sort.ConnectActivate(func(by *glib.Variant) {
		sort.SetState(by)
		w.model.Sort = state.LibrarySort(by.String())
		if s != nil {
			s.SetString("library-sort", by.String())
		}
		w.render()
	})
	w.window.AddAction(sort)
	for name, keys := range map[string][]string{
		"win.search": {"<Control>f"}, "win.open": {"<Control>o"}, "win.back": {"<Alt>Left", "Back"},
		"win.applications": {"<Alt>1"}, "win.storage": {"<Alt>2"},
	} {
		w.app.SetAccelsForAction(name, keys)
	}
}

// choose lets the user pick a bundle file: what dropping one does, by keyboard.
func (w *libraryWindow) choose() {
	chooser := gtk.NewFileChooserNative(tr.T("Open a Bundle"), &w.window.Window, gtk.FileChooserActionOpen, tr.T("_Open"), tr.T("_Cancel"))
	bundles := gtk.NewFileFilter()
	bundles.SetName(tr.T("Bundles"))
	for _, t := range []string{"application/vnd.glick.bundle", "application/vnd.glick2.bundle", "application/vnd.appimage", "application/x-iso9660-appimage"} {
		bundles.AddMIMEType(t)
	}
	all := gtk.NewFileFilter()
	all.SetName(tr.T("All Files"))
	all.AddPattern("*")
	chooser.AddFilter(bundles)
	chooser.AddFilter(all)
	chooser.SetModal(true)
	chooser.ConnectResponse(func(response int) {
		if response == int(gtk.ResponseAccept) {
			if f := chooser.File(); f != nil && f.Path() != "" {
				w.app.openBundle(f.Path())
			}
		}
		chooser.Destroy()
	})
	chooser.Show()
}

// watch keeps the list true while the window is open.
func (w *libraryWindow) watch() {
	go func() { _ = work.WatchRunning(w.ctx, w.reloadRunning) }() // without it what runs is as it was when the list was read
	_ = work.Watch(w.ctx, w.reload)                               // without it the list is as it was when the window opened
}

// listed is what is installed at a time.
type listed struct {
	apps    []state.App
	err     error
	running map[string]bool
	used    map[string]time.Time
}

// listLater begins to look at what is installed.
func listLater() chan listed {
	first := make(chan listed, 1)
	go func() { first <- list(context.Background()) }()
	return first
}

func list(ctx context.Context) listed {
	l := listed{running: work.Running(ctx), used: work.LastUsed()}
	l.apps, l.err = work.Apps()
	return l
}

// take shows what was found out.
func (w *libraryWindow) take(l listed) {
	if w.closed {
		return
	}
	same := w.model.Loaded && reflect.DeepEqual(w.model.Apps, l.apps)
	w.model.Loaded, w.model.Apps, w.model.Err = true, l.apps, l.err
	w.model.Running, w.model.Used, w.model.Now = l.running, l.used, time.Now()
	w.render()
	w.details.reload()
	if !same {
		w.storage.changed()
	}
}

// reload reads the folders again, from any goroutine but the main loop's.
func (w *libraryWindow) reload() {
	l := list(w.ctx)
	inMain(func() { w.take(l) })
}

// reloadLater is reload for the main loop, which must not wait for it.
func (w *libraryWindow) reloadLater() { go w.reload() }

func (w *libraryWindow) reloadRunning() {
	running, used := work.Running(w.ctx), work.LastUsed()
	inMain(func() {
		if !w.closed {
			w.model.Running, w.model.Used, w.model.Now = running, used, time.Now()
			w.render()
			w.details.render()
		}
	})
}

func (w *libraryWindow) render() {
	v := w.model.View()
	applications := w.views.VisibleChildName() != "storage"
	w.toggle.SetSensitive(v.Search && applications)
	w.loading.SetSpinning(v.Page == state.LibraryLoading)
	icon := AppID
	switch v.Page {
	case state.LibraryLoading:
		w.stack.SetVisibleChildName("loading")
		return
	case state.LibraryList:
		w.renderList(v.Rows)
		return
	case state.LibraryNothingFound:
		icon = "system-search-symbolic"
	case state.LibraryProblem:
		icon = "dialog-error-symbolic"
	}
	w.page.SetIconName(icon)
	w.page.SetTitle(glib.MarkupEscapeText(v.Title, -1))
	w.page.SetDescription(glib.MarkupEscapeText(v.Text, -1))
	w.pageOpen.SetVisible(v.Page == state.LibraryEmpty)
	w.stack.SetVisibleChildName("page")
}

// renderList changes as little as possible, so that what stays keeps its place and the focus.
func (w *libraryWindow) renderList(rows []state.LibraryRow) {
	first := len(w.shown) == 0
	keys := make([]string, len(rows))
	clear(w.rows)
	for i, r := range rows {
		keys[i] = r.Key
		w.rows[r.Key] = r
	}
	if !slices.Equal(keys, w.shown) {
		begin := 0
		for begin < min(len(keys), len(w.shown)) && keys[begin] == w.shown[begin] {
			begin++
		}
		end := 0
		for end < min(len(keys), len(w.shown))-begin && keys[len(keys)-1-end] == w.shown[len(w.shown)-1-end] {
			end++
		}
		removed := len(w.shown) - begin - end
		w.shown = keys
		if begin == 0 {
			w.middle = 0
		}
		w.keys.Splice(uint(begin), uint(removed), keys[begin:len(keys)-end])
	}
	for _, r := range w.bound {
		if v, ok := w.rows[r.key]; ok {
			r.show(v)
		}
	}
	w.stack.SetVisibleChildName("list")
	if first && !w.bar.SearchMode() {
		w.list.GrabFocus()
	}
}

// start starts an application.
func (w *libraryWindow) start(file, name string) {
	t := toast(w.toasts, tr.F("Starting {name}…", "name", name), "")
	env := launchEnv(&w.window.Widget)
	go func() {
		words, err := work.Start(file, env...)
		inMain(func() {
			t.Dismiss()
			if err != nil && !w.closed {
				showCause(&w.window.Window, state.StartCause(name, err, words))
			}
		})
	}()
}

// open shows the details of an application.
func (w *libraryWindow) open(key string) {
	if a, ok := w.model.App(key); ok {
		w.details.show(a)
		w.pages.SetVisibleChildName("details")
	}
}

// showInFiles has the file manager show a file, or at least its folder.
func (w *libraryWindow) showInFiles(file string) {
	go func() {
		err := work.ShowInFiles(w.ctx, file, "")
		if err == nil {
			return
		}
		inMain(func() { w.openFolder(folderOf(file)) })
	}()
}

func (w *libraryWindow) openFolder(folder string) {
	display := w.list.Display().AppLaunchContext()
	if err := gio.AppInfoLaunchDefaultForURI(work.FileURI(folder), &display.AppLaunchContext); err != nil && !w.closed {
		showCause(&w.window.Window, state.FailedCause(tr.T("Could Not Open the Folder"), err, folder))
	}
}

// undoer is something that can be taken back, once.
type undoer interface {
	Back(ctx context.Context) error
}

// offerUndo says what was done, and keeps what takes it back as long as the toast offers to.
func (w *libraryWindow) offerUndo(u undoer, text string) {
	if w.toast != nil {
		w.toast.Dismiss()
	}
	w.undo = u
	t := toast(w.toasts, text, "win.undo")
	w.toast = t
	t.ConnectDismissed(func() {
		// The action of its button runs after this signal.
		inMain(func() {
			if w.toast == t {
				w.toast, w.undo = nil, nil
			}
		})
	})
}

func (w *libraryWindow) takeBack() {
	u := w.undo
	w.undo = nil
	if u == nil {
		return
	}
	w.app.work(func() func() {
		err := u.Back(context.Background())
		w.reload()
		return func() {
			if err != nil && !w.closed {
				showCause(&w.window.Window, state.FailedCause(tr.T("Could Not Undo"), err, ""))
			}
		}
	})
}
