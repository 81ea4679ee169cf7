// SPDX-License-Identifier: MIT

package gui

import (
	"context"
	_ "embed" // ui
	"image"
	"slices"

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

// listIcon is the side of an icon in the list, in pixels; twice that is asked for.
const listIcon = 32

// libraryWindow shows what is installed.
type libraryWindow struct {
	app   *application
	model state.Library
	undo  *work.Undo

	window *adw.ApplicationWindow
	toasts *adw.ToastOverlay
	stack  *gtk.Stack
	page   *adw.StatusPage
	list   *gtk.ListBox
	search *gtk.SearchEntry
	toggle *gtk.ToggleButton
	rows   []*adw.ActionRow
	shown  []state.LibraryRow
	icons  map[string]*image.NRGBA // by file; nil while it is being read or when there is none
	images map[string]*gtk.Image   // by file, in the rows that are shown

	ctx    context.Context // ends with the window
	end    context.CancelFunc
	closed bool
}

func newLibraryWindow(app *application) *libraryWindow {
	b := build(libraryUI)
	w := &libraryWindow{
		app:    app,
		window: object[*adw.ApplicationWindow](b, "window"),
		toasts: object[*adw.ToastOverlay](b, "toasts"),
		stack:  object[*gtk.Stack](b, "stack"),
		page:   object[*adw.StatusPage](b, "page"),
		list:   object[*gtk.ListBox](b, "list"),
		search: object[*gtk.SearchEntry](b, "search"),
		toggle: object[*gtk.ToggleButton](b, "search_button"),
		icons:  map[string]*image.NRGBA{},
		images: map[string]*gtk.Image{},
	}
	w.ctx, w.end = context.WithCancel(context.Background())
	w.window.SetApplication(&app.Application.Application)
	w.window.SetHelpOverlay(object[*gtk.ShortcutsWindow](build(shortcutsUI), "shortcuts"))
	remember := rememberSize(&w.window.Window, "library-window-size")
	w.window.ConnectCloseRequest(func() bool {
		remember()
		w.closed = true
		w.end()
		app.library = nil
		return false
	})
	bar := object[*gtk.SearchBar](b, "search_bar")
	bar.ConnectEntry(w.search)
	bar.SetKeyCaptureWidget(w.window)
	w.search.ConnectSearchChanged(func() {
		w.model.Query = w.search.Text()
		w.render()
	})
	find := gio.NewSimpleAction("search", nil)
	find.ConnectActivate(func(*glib.Variant) {
		bar.SetSearchMode(true)
		w.search.GrabFocus()
	})
	w.window.AddAction(find)
	app.SetAccelsForAction("win.search", []string{"<Control>f"})
	undo := gio.NewSimpleAction("undo", nil)
	undo.ConnectActivate(func(*glib.Variant) { w.takeBack() })
	w.window.AddAction(undo)
	onEscape(&w.window.Widget, func() { w.window.Close() })
	onDrop(&w.window.Widget, func(path string) bool {
		app.openBundle(path)
		return true
	}).ConnectEnter(func(_, _ float64) gdk.DragAction { return gdk.ActionCopy })
	w.render()
	go w.watch()
	return w
}

// watch keeps the list true while the window is open.
func (w *libraryWindow) watch() {
	w.reload()
	_ = work.Watch(w.ctx, w.reload) // without it the list is as it was when the window opened
}

// reload reads the folders again, from any goroutine.
func (w *libraryWindow) reload() {
	entries, err := work.List()
	inMain(func() {
		if !w.closed {
			w.model.Loaded, w.model.Entries, w.model.Err = true, entries, err
			w.render()
		}
	})
}

func (w *libraryWindow) render() {
	v := w.model.View()
	w.toggle.SetSensitive(v.Search)
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
	w.stack.SetVisibleChildName("page")
}

func (w *libraryWindow) renderList(rows []state.LibraryRow) {
	w.stack.SetVisibleChildName("list")
	if slices.Equal(rows, w.shown) {
		return // the same rows keep the focus
	}
	first := w.shown == nil
	w.shown = rows
	for _, r := range w.rows {
		w.list.Remove(r)
	}
	clear(w.images)
	w.rows = w.rows[:0]
	for _, r := range rows {
		row := w.newRow(r)
		w.list.Append(row)
		w.rows = append(w.rows, row)
	}
	if first {
		w.rows[0].GrabFocus()
	}
}

func (w *libraryWindow) newRow(r state.LibraryRow) *adw.ActionRow {
	row := plainRow()
	row.SetTitle(r.Title)
	row.SetTitleLines(2)
	row.SetSubtitle(r.Text)

	icon := gtk.NewImage()
	icon.SetPixelSize(listIcon)
	icon.AddCSSClass("lowres-icon")
	decorate(&icon.Widget)
	w.showIcon(icon, r.File)
	row.AddPrefix(icon)

	open := newNamedButton(tr.T("Open"), tr.F("Open {name}", "name", r.Title))
	open.SetVAlign(gtk.AlignCenter)
	open.ConnectClicked(func() { w.start(r) })
	row.AddSuffix(open)

	if r.CanUninstall {
		remove := gtk.NewButtonFromIconName("user-trash-symbolic")
		remove.SetVAlign(gtk.AlignCenter)
		remove.AddCSSClass("flat")
		remove.SetTooltipText(tr.T("Uninstall"))
		describe(&remove.Widget, tr.F("Uninstall {name}", "name", r.Title))
		remove.ConnectClicked(func() { w.uninstall(r) })
		row.AddSuffix(remove)
	}
	row.SetActivatable(true)
	row.ConnectActivated(func() { w.app.openBundle(r.File) })
	return row
}

// showIcon shows the icon of a bundle file as soon as it has been read.
func (w *libraryWindow) showIcon(widget *gtk.Image, file string) {
	w.images[file] = widget
	img, known := w.icons[file]
	setIcon(widget, img)
	if known {
		return
	}
	w.icons[file] = nil
	go func() {
		img := work.Icon(file, 2*listIcon)
		inMain(func() {
			w.icons[file] = img
			// The list may have been made anew in the meantime.
			if widget := w.images[file]; widget != nil {
				setIcon(widget, img)
			}
		})
	}()
}

func (w *libraryWindow) start(r state.LibraryRow) {
	t := toast(w.toasts, tr.F("Starting {name}…", "name", r.Title), "")
	env := launchEnv(&w.window.Widget)
	go func() {
		words, err := work.Start(r.File, env...)
		inMain(func() {
			t.Dismiss()
			if err != nil && !w.closed {
				showCause(&w.window.Window, state.StartCause(r.Title, err, words))
			}
		})
	}()
}

func (w *libraryWindow) uninstall(r state.LibraryRow) {
	w.app.work(func() func() {
		undo, err := work.Uninstall(context.Background(), r.File)
		w.reload()
		return func() {
			switch {
			case w.closed:
			case err != nil:
				showCause(&w.window.Window, state.FailedCause(tr.F("Could Not Uninstall {name}", "name", r.Title), err, r.File))
			default:
				w.undo = undo
				toast(w.toasts, tr.F("{name} uninstalled", "name", r.Title), "win.undo")
			}
		}
	})
}

func (w *libraryWindow) takeBack() {
	undo := w.undo
	w.undo = nil
	if undo == nil {
		return
	}
	w.app.work(func() func() {
		err := undo.Back(context.Background())
		w.reload()
		return func() {
			if err != nil && !w.closed {
				showCause(&w.window.Window, state.FailedCause(tr.T("Could Not Undo"), err, ""))
			}
		}
	})
}
