// SPDX-License-Identifier: MIT

package gui

import (
	"context"
	_ "embed" // ui
	"image"
	"log/slog"
	"time"

	"github.com/diamondburned/gotk4-adwaita/pkg/adw"
	"github.com/diamondburned/gotk4/pkg/gdk/v4"
	"github.com/diamondburned/gotk4/pkg/gio/v2"
	"github.com/diamondburned/gotk4/pkg/glib/v2"
	"github.com/diamondburned/gotk4/pkg/gtk/v4"

	"glick.org/glick/gui/state"
	"glick.org/glick/gui/work"
	"glick.org/glick/xdgexport/apps"
)

//go:embed ui/bundle.ui
var bundleUI string

const (
	// iconPixels is the side of the icon that is asked for: twice what is shown, for screens with small pixels.
	iconPixels = 256
	// pictureWidth is that of screenshots, likewise.
	pictureWidth = 1120
	// blink is how long a window waits for what it is about before it is shown, in milliseconds: a spinner for a blink is worse than none.
	blink = 120
)

// bundleWindow shows one bundle file.
type bundleWindow struct {
	app   *application
	model state.Model
	shown state.View
	undo  *work.Undo // of the last install or uninstall; nil when there is none

	window  *adw.ApplicationWindow
	title   *adw.WindowTitle
	toasts  *adw.ToastOverlay
	toast   *adw.Toast // the one with Undo, nil when there is none
	stack   *gtk.Stack
	problem *adw.StatusPage

	problemExpander *gtk.Expander
	problemDetail   *gtk.Label

	icon, arrow, emblem   *gtk.Image
	picture               gdk.Paintabler // the icon; nil when there is none
	source, target        *gtk.Box
	name, summary, byline *gtk.Label
	hint                  *gtk.Label
	rows, adds            factList
	sourceList            *gtk.ListBox
	sourceRow             *adw.ActionRow
	sourceSwitch          *gtk.Switch
	gallery               *gtk.Box
	carousel              *adw.Carousel
	pager                 *gtk.Box
	previous, next        *gtk.Button
	aboutBox, aboutTexts  *gtk.Box
	addsBox               *gtk.Box
	links                 *gtk.ListBox
	details               *adw.ExpanderRow
	detailRows            []*adw.ActionRow

	bottom       *adw.Clamp
	progressBox  *gtk.Box
	progressText *gtk.Label
	progressHow  *gtk.Label
	progressBar  *gtk.ProgressBar
	spinner      *gtk.Spinner
	cancel       *gtk.Button
	bar          buttonBar

	ctx        context.Context // ends with the window
	end        context.CancelFunc
	cancelTask context.CancelFunc // nil when no task can be cancelled
	closed     bool
	loaded     bool
	then       []func() // what waits for the bundle to be loaded
	flying     bool     // the icon is on its way into the folder
	carried    bool     // by hand
	movedFrom  string   // where the file was before it was installed by moving it; "" when it was not
	remember   func()   // the size of the window
}

func newBundleWindow(app *application, path string) *bundleWindow {
	b := build(bundleUI)
	w := &bundleWindow{
		app:             app,
		model:           state.New(path, installMoves()),
		window:          object[*adw.ApplicationWindow](b, "window"),
		title:           object[*adw.WindowTitle](b, "title"),
		toasts:          object[*adw.ToastOverlay](b, "toasts"),
		stack:           object[*gtk.Stack](b, "stack"),
		problem:         object[*adw.StatusPage](b, "problem"),
		problemExpander: object[*gtk.Expander](b, "problem_expander"),
		problemDetail:   object[*gtk.Label](b, "problem_detail"),
		icon:            object[*gtk.Image](b, "icon"),
		arrow:           object[*gtk.Image](b, "arrow"),
		emblem:          object[*gtk.Image](b, "emblem"),
		source:          object[*gtk.Box](b, "source"),
		target:          object[*gtk.Box](b, "target"),
		name:            object[*gtk.Label](b, "name"),
		summary:         object[*gtk.Label](b, "summary"),
		byline:          object[*gtk.Label](b, "byline"),
		hint:            object[*gtk.Label](b, "hint"),
		rows:            newFactList(object[*gtk.ListBox](b, "rows")),
		adds:            newFactList(object[*gtk.ListBox](b, "adds")),
		sourceList:      object[*gtk.ListBox](b, "source_list"),
		sourceRow:       object[*adw.ActionRow](b, "source_row"),
		sourceSwitch:    object[*gtk.Switch](b, "source_switch"),
		gallery:         object[*gtk.Box](b, "gallery"),
		carousel:        object[*adw.Carousel](b, "carousel"),
		pager:           object[*gtk.Box](b, "pager"),
		previous:        object[*gtk.Button](b, "previous"),
		next:            object[*gtk.Button](b, "next"),
		aboutBox:        object[*gtk.Box](b, "about"),
		addsBox:         object[*gtk.Box](b, "adds_box"),
		links:           object[*gtk.ListBox](b, "links"),
		details:         object[*adw.ExpanderRow](b, "details"),
		bottom:          object[*adw.Clamp](b, "bottom"),
		progressBox:     object[*gtk.Box](b, "progress_box"),
		progressText:    object[*gtk.Label](b, "progress_text"),
		progressHow:     object[*gtk.Label](b, "progress_how"),
		progressBar:     object[*gtk.ProgressBar](b, "progress_bar"),
		spinner:         object[*gtk.Spinner](b, "progress_spinner"),
		cancel:          object[*gtk.Button](b, "cancel"),
	}
	w.bar = newButtonBar(&w.window.Window, object[*gtk.Box](b, "buttons"), func(a state.Action) { w.send(state.Pressed{Action: a}) })
	w.ctx, w.end = context.WithCancel(context.Background())
	w.window.SetApplication(&app.Application.Application)
	app.addShortcuts(w.window)
	w.remember = rememberSize(&w.window.Window, "bundle-window-size")
	w.window.ConnectCloseRequest(w.closing)
	// The window that an application opens over this one is the sign that it has started.
	w.window.NotifyProperty("is-active", func() {
		if !w.window.IsActive() {
			w.send(state.Started{})
		}
	})
	onEscape(&w.window.Widget, func() { w.send(state.Pressed{Action: state.Cancel}) })
	for name, action := range map[string]state.Action{"cancel": state.Cancel, "undo": state.Undo} {
		a := gio.NewSimpleAction(name, nil)
		a.ConnectActivate(func(*glib.Variant) { w.send(state.Pressed{Action: action}) })
		w.window.AddAction(a)
	}
	w.sourceSwitch.NotifyProperty("active", func() { w.send(state.MoveChosen{Move: !w.sourceSwitch.Active()}) })
	w.connectPager()
	w.titleWhenScrolled(object[*gtk.ScrolledWindow](b, "scroller"))
	w.connectDrag()
	w.render()
	first := app.early
	app.early = nil
	if first == nil || first.file != path {
		first = lookAt(path)
	}
	go w.load(first)
	return w
}

// present shows the window, and if it is shown already, brings it to the front. A new one waits a moment for what it is about.
func (w *bundleWindow) present() {
	if w.loaded || w.window.IsVisible() {
		w.window.Present()
		return
	}
	glib.TimeoutAdd(blink, func() bool {
		if !w.closed && !w.window.IsVisible() {
			w.window.Present()
		}
		return false
	})
}

// titleWhenScrolled shows the name in the title when the one below it is out of sight.
func (w *bundleWindow) titleWhenScrolled(scroller *gtk.ScrolledWindow) {
	at := scroller.VAdjustment()
	at.ConnectValueChanged(func() {
		const sceneHeight = 190
		w.title.SetVisible(at.Value() > sceneHeight || w.shown.Page != state.BundlePage)
	})
}

// closing lets go of everything. What is being installed is cancelled, which leaves nothing behind.
func (w *bundleWindow) closing() bool {
	w.remember()
	w.closed = true
	w.end()
	w.undo.Forget()
	if w.app.bundles[w.model.File] == w {
		delete(w.app.bundles, w.model.File)
	}
	return false
}

// send changes the model by ev, shows it and has the effects done. Only from the main loop.
func (w *bundleWindow) send(ev state.Event) {
	if w.closed {
		return
	}
	before := w.model.File
	var effects []state.Effect
	w.model, effects = w.model.Update(ev)
	if w.model.File != before && w.app.bundles[before] == w {
		delete(w.app.bundles, before)
		w.app.bundles[w.model.File] = w
	}
	w.render()
	for _, e := range effects {
		w.do(e)
	}
}

// post is send from any goroutine.
func (w *bundleWindow) post(ev state.Event) {
	inMain(func() { w.send(ev) })
}

// load shows what the bundle is, and then, if it was not known as soon, how it relates to what is installed.
func (w *bundleWindow) load(l *firstLook) {
	<-l.done
	if l.err != nil {
		inMain(func() { w.arrived(nil, state.LoadFailed{Err: l.err}) })
		return
	}
	inMain(func() { w.arrived(l.look.Icon, l.look.Loaded) })
	if l.related != nil {
		w.post(<-l.related)
	}
}

// arrived shows what was read first, and goes on behind it.
func (w *bundleWindow) arrived(icon *image.NRGBA, ev state.Event) {
	if w.closed {
		return
	}
	w.loaded = true
	if icon != nil {
		w.picture = texture(icon)
		w.icon.SetFromPaintable(w.picture)
	}
	w.send(ev)
	if !w.window.IsVisible() {
		w.window.Present()
	}
	then := w.then
	w.then = nil
	for _, f := range then {
		f()
	}
	if _, ok := ev.(state.Loaded); ok && !w.closed {
		go func() { _ = work.Watch(w.ctx, func() { inMain(w.refresh) }) }()
	}
}

// whenLoaded calls f when the window shows what its file is, at once if it does.
func (w *bundleWindow) whenLoaded(f func()) {
	if !w.loaded {
		w.then = append(w.then, f)
		return
	}
	f()
}

// refresh keeps what the window says about installed versions true, also when somebody else installs or deletes them.
func (w *bundleWindow) refresh() {
	if w.closed {
		return
	}
	file, id := w.model.File, w.model.Identity
	go func() {
		installed, from := work.Relate(file, id)
		w.post(state.Refreshed{Installed: installed, Trust: from})
	}()
}

// do starts what an effect asks for.
func (w *bundleWindow) do(e state.Effect) {
	file, id := w.model.File, w.model.Identity
	installed := func() []state.Installed { return work.InstalledOf(id.ID, id.Digest) }
	switch e := e.(type) {
	case state.DoCheck:
		whenPainted(&w.window.Widget, func() { go w.check(file) })
	case state.DoInstall:
		w.dropUndo()
		ctx := w.startTask()
		begin := time.Now()
		progress := seldom(func(done, total int64) { w.post(state.TaskProgress{Done: done, Total: total, At: time.Since(begin)}) })
		w.app.work(func() func() {
			undo, now, err := work.Install(ctx, file, apps.InstallOptions{KeepBoth: e.KeepBoth, Move: e.Move, Accept: e.Accept, Progress: progress})
			at := file
			if e.Move && undo != nil {
				at = now
			}
			list, from := work.Relate(at, id)
			return func() {
				w.keepUndo(undo)
				w.movedFrom = ""
				if at != file {
					w.movedFrom = file
				}
				w.flying = undo != nil && !w.carried && w.animated()
				w.carried = false
				w.send(state.InstallEnded{Err: err, Installed: list, Trust: from, File: at})
				if undo != nil {
					w.land()
				}
			}
		})
	case state.DoRemember:
		go func() {
			if err := work.Remember(e.ID, e.Digest); err != nil {
				slog.Warn("the answer cannot be remembered, so it will be asked again", "err", err)
			}
		}()
	case state.DoRememberMove:
		rememberInstallMoves(e.Move)
	case state.Ask:
		ask(&w.window.Window, e.Question, func(yes bool) { w.send(state.Answered{Yes: yes}) })
	case state.DoUninstall:
		w.dropUndo()
		ctx := w.startTask()
		w.app.work(func() func() {
			undo, err := work.Uninstall(ctx, e.File)
			now := installed()
			return func() {
				w.keepUndo(undo)
				w.movedFrom = ""
				w.send(state.UninstallEnded{Err: err, Installed: now})
			}
		})
	case state.DoUndo:
		undo := w.undo
		w.undo = nil
		w.dropUndo()
		w.app.work(func() func() {
			err := undo.Back(context.Background()) // closing the window does not leave it half undone
			now := installed()
			return func() {
				at := ""
				if err == nil {
					at, w.movedFrom = w.movedFrom, ""
				}
				w.send(state.UndoEnded{Err: err, Installed: now, File: at})
			}
		})
	case state.DoStart:
		env := launchEnv(&w.window.Widget)
		go func() {
			words, err := work.Start(e.File, env...)
			if err != nil {
				w.post(state.StartFailed{Err: err, Words: words})
				return
			}
			w.post(state.Started{})
		}()
	case state.DoCancel:
		if w.cancelTask != nil {
			w.cancelTask()
		}
	case state.DoClose:
		w.window.Close()
	case state.OpenFiles:
		w.app.openBundles(e.Files)
	case state.Toast:
		action := ""
		if e.Undo && w.undo != nil {
			action = "win.undo"
		}
		t := toast(w.toasts, e.Text, action)
		if action != "" {
			w.toast = t
		}
	case state.Dialog:
		showCause(&w.window.Window, e.Cause)
	}
}

func (w *bundleWindow) check(file string) {
	w.post(work.Examine(w.ctx, file))
	work.Pictures(w.ctx, file, pictureWidth, func(p work.Picture) { inMain(func() { w.addPicture(p) }) })
	progress := seldom(func(done, total int64) { w.post(state.CheckProgress{Done: done, Total: total}) })
	err := work.Check(w.ctx, file, progress)
	w.post(state.CheckEnded{Err: err})
	if err != nil {
		return
	}
	if n, err := work.Shared(w.ctx, file); err == nil {
		w.post(state.SharedKnown{Bytes: n})
	}
}

// startTask is the context of a task that Cancel and closing the window end.
func (w *bundleWindow) startTask() context.Context {
	ctx, cancel := context.WithCancel(w.ctx)
	w.cancelTask = cancel
	return ctx
}

// keepUndo keeps what could be undone, unless the window that would offer it is closed.
func (w *bundleWindow) keepUndo(undo *work.Undo) {
	if w.closed {
		undo.Forget()
		return
	}
	w.undo = undo
}

// dropUndo gives up what could be undone so far, and the toast that offers it.
func (w *bundleWindow) dropUndo() {
	w.undo.Forget()
	w.undo = nil
	if w.toast != nil {
		w.toast.Dismiss()
		w.toast = nil
	}
}

// settingOf is the value of a key of the settings, "" when there is no such key.
func settingOf(key string) string {
	if s := settings(); s != nil && hasSetting(key) {
		return s.String(key)
	}
	return ""
}

// hasSetting asks first: GLib ends the program for a key that the installed schema does not have.
func hasSetting(key string) bool {
	schema := gio.SettingsSchemaSourceGetDefault().Lookup(AppID, true)
	return schema != nil && schema.HasKey(key)
}

// installMoves says whether installing takes the file away from where it is.
func installMoves() bool { return settingOf("install-mode") == "move" }

func rememberInstallMoves(move bool) {
	s := settings()
	if s == nil || !hasSetting("install-mode") {
		return
	}
	mode := "copy"
	if move {
		mode = "move"
	}
	s.SetString("install-mode", mode)
}
