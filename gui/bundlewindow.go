// SPDX-License-Identifier: MIT

package gui

import (
	"context"
	_ "embed" // ui
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

//go:embed ui/bundle.ui
var bundleUI string

//go:embed ui/dialog.ui
var dialogUI string

// iconPixels is the side of the icon that is asked for: twice what is shown, for screens with small pixels.
const iconPixels = 192

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
	rows                  *gtk.ListBox
	rowOf                 map[string]*factRow
	details               *adw.ExpanderRow
	detailRows            []*adw.ActionRow

	bottom       *adw.Clamp
	progressBox  *gtk.Box
	progressText *gtk.Label
	progressBar  *gtk.ProgressBar
	spinner      *gtk.Spinner
	cancel       *gtk.Button
	buttons      *gtk.Box
	buttonOf     map[state.Action]*gtk.Button

	ctx        context.Context // ends with the window
	end        context.CancelFunc
	cancelTask context.CancelFunc // nil when no task can be cancelled
	closed     bool
	remember   func() // the size of the window
}

func newBundleWindow(app *application, path string) *bundleWindow {
	b := build(bundleUI)
	w := &bundleWindow{
		app:             app,
		model:           state.New(path),
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
		rows:            object[*gtk.ListBox](b, "rows"),
		rowOf:           map[string]*factRow{},
		details:         object[*adw.ExpanderRow](b, "details"),
		bottom:          object[*adw.Clamp](b, "bottom"),
		progressBox:     object[*gtk.Box](b, "progress_box"),
		progressText:    object[*gtk.Label](b, "progress_text"),
		progressBar:     object[*gtk.ProgressBar](b, "progress_bar"),
		spinner:         object[*gtk.Spinner](b, "progress_spinner"),
		cancel:          object[*gtk.Button](b, "cancel"),
		buttons:         object[*gtk.Box](b, "buttons"),
		buttonOf:        map[state.Action]*gtk.Button{},
	}
	w.ctx, w.end = context.WithCancel(context.Background())
	w.window.SetApplication(&app.Application.Application)
	w.window.SetHelpOverlay(object[*gtk.ShortcutsWindow](build(shortcutsUI), "shortcuts"))
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
	w.connectDrag()
	w.render()
	go w.load()
	return w
}

// closing lets go of everything. What is being installed is cancelled, which leaves nothing behind.
func (w *bundleWindow) closing() bool {
	w.remember()
	w.closed = true
	w.end()
	w.undo.Forget()
	delete(w.app.bundles, w.model.File)
	return false
}

// send changes the model by ev, shows it and has the effects done. Only from the main loop.
func (w *bundleWindow) send(ev state.Event) {
	if w.closed {
		return
	}
	var effects []state.Effect
	w.model, effects = w.model.Update(ev)
	w.render()
	for _, e := range effects {
		w.do(e)
	}
}

// post is send from any goroutine.
func (w *bundleWindow) post(ev state.Event) {
	inMain(func() { w.send(ev) })
}

func (w *bundleWindow) load() {
	look, err := work.Load(w.model.File, iconPixels)
	inMain(func() {
		if w.closed {
			return
		}
		if err != nil {
			w.send(state.LoadFailed{Err: err})
			return
		}
		if look.Icon != nil {
			w.picture = texture(look.Icon)
			w.icon.SetFromPaintable(w.picture)
		}
		w.send(look.Loaded)
		go w.watch(look.Loaded.Identity.ID, look.Loaded.Identity.Digest)
	})
}

// watch keeps what the window says about installed versions true, also when somebody else installs or deletes them.
func (w *bundleWindow) watch(id, digest string) {
	_ = work.Watch(w.ctx, func() { w.post(state.Refreshed{Installed: work.InstalledOf(id, digest)}) })
}

// do starts what an effect asks for.
func (w *bundleWindow) do(e state.Effect) {
	file, id, digest := w.model.File, w.model.Identity.ID, w.model.Identity.Digest
	installed := func() []state.Installed { return work.InstalledOf(id, digest) }
	switch e := e.(type) {
	case state.DoCheck:
		go w.check(file)
	case state.DoInstall:
		w.dropUndo()
		ctx := w.startTask()
		progress := seldom(func(done, total int64) { w.post(state.TaskProgress{Done: done, Total: total}) })
		w.app.work(func() func() {
			undo, err := work.Install(ctx, file, e.KeepBoth, progress)
			now := installed()
			return func() {
				w.keepUndo(undo)
				w.send(state.InstallEnded{Err: err, Installed: now})
				if err == nil {
					w.landed()
				}
			}
		})
	case state.DoUninstall:
		w.dropUndo()
		ctx := w.startTask()
		w.app.work(func() func() {
			undo, err := work.Uninstall(ctx, e.File)
			now := installed()
			return func() {
				w.keepUndo(undo)
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
			return func() { w.send(state.UndoEnded{Err: err, Installed: now}) }
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
		for _, f := range e.Files {
			w.app.openBundle(f)
		}
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

// landed shows that the application has arrived in the folder.
func (w *bundleWindow) landed() {
	w.target.AddCSSClass("landed")
	glib.TimeoutAdd(700, func() { w.target.RemoveCSSClass("landed") })
}

// connectDrag makes the icon something to be dragged, and the folder and the window something to drop on.
func (w *bundleWindow) connectDrag() {
	file := gio.NewFileForPath(w.model.File)
	drag := gtk.NewDragSource()
	drag.SetActions(gdk.ActionCopy)
	drag.ConnectPrepare(func(x, y float64) *gdk.ContentProvider {
		if !w.shown.CanDrag {
			return nil
		}
		drag.SetIcon(gtk.NewWidgetPaintable(w.icon).CurrentImage(), int(x), int(y))
		// The same as the file manager gives, so the icon can be dragged into a folder or a letter as well.
		return gdk.NewContentProviderForBytes("text/uri-list", glib.NewBytesWithGo([]byte(file.URI()+"\r\n")))
	})
	drag.ConnectDragBegin(func(gdk.Dragger) { w.source.AddCSSClass("dragging") })
	drag.ConnectDragEnd(func(gdk.Dragger, bool) { w.source.RemoveCSSClass("dragging") })
	w.icon.AddController(drag)

	target := onDrop(&w.target.Widget, func(path string) bool {
		w.target.RemoveCSSClass("over") // not every drop is followed by a leave
		w.send(state.Dropped{Files: []string{path}, OnTarget: true})
		return true
	})
	target.ConnectEnter(func(_, _ float64) gdk.DragAction {
		w.target.AddCSSClass("over")
		return gdk.ActionCopy
	})
	target.ConnectLeave(func() { w.target.RemoveCSSClass("over") })
	onDrop(&w.window.Widget, func(path string) bool {
		w.send(state.Dropped{Files: []string{path}})
		return true
	})
}

// render makes the widgets show the model.
func (w *bundleWindow) render() {
	v := w.model.View()
	w.window.SetTitle(v.Title)
	w.title.SetTitle(v.Title)
	switch v.Page {
	case state.LoadingPage:
		w.stack.SetVisibleChildName("loading")
		w.bottom.SetVisible(false)
	case state.ProblemPage:
		w.renderProblem(v)
	case state.BundlePage:
		w.renderBundle(v)
	}
	w.shown = v
}

func (w *bundleWindow) renderProblem(v state.View) {
	w.problem.SetIconName(v.Problem.Icon)
	w.problem.SetTitle(glib.MarkupEscapeText(v.Problem.Title, -1))
	w.problem.SetDescription(glib.MarkupEscapeText(v.Problem.Advice, -1))
	w.problemDetail.SetText(v.Problem.Detail)
	w.problemExpander.SetVisible(v.Problem.Detail != "")
	w.stack.SetVisibleChildName("problem")
	w.hint.SetVisible(false)
	w.renderButtons(v.Buttons)
	w.bottom.SetVisible(true)
}

func (w *bundleWindow) renderBundle(v state.View) {
	showText(w.name, v.Name)
	showText(w.summary, v.Summary)
	showText(w.byline, v.Byline)
	showText(w.hint, v.Hint)
	if v.CanDrag {
		w.icon.SetCursorFromName("grab")
		w.source.AddCSSClass("grab")
		describe(&w.icon.Widget, tr.F("Icon of {name}. Drag it onto Applications to install.", "name", v.Name))
	} else {
		w.icon.SetCursorFromName("default")
		w.source.RemoveCSSClass("grab")
		describe(&w.icon.Widget, tr.F("Icon of {name}", "name", v.Name))
	}
	w.renderScene(v.InPlace)
	if !slices.Equal(rowIDs(v.Rows), rowIDs(w.shown.Rows)) {
		for _, r := range w.shown.Rows {
			w.rows.Remove(w.rowOf[r.ID])
		}
		for _, r := range v.Rows {
			if w.rowOf[r.ID] == nil {
				w.rowOf[r.ID] = newFactRow()
			}
			w.rows.Append(w.rowOf[r.ID])
		}
	}
	for _, r := range v.Rows {
		w.rowOf[r.ID].show(r)
	}
	if !slices.Equal(v.Details, w.shown.Details) {
		for _, r := range w.detailRows {
			w.details.Remove(r)
		}
		w.detailRows = nil
		for _, d := range v.Details {
			r := plainRow()
			r.SetTitle(d.Name)
			r.SetSubtitle(d.Value)
			w.details.AddRow(r)
			w.detailRows = append(w.detailRows, r)
		}
	}
	w.stack.SetVisibleChildName("bundle")
	w.renderProgress(v.Progress)
	w.renderButtons(v.Buttons)
	w.bottom.SetVisible(true)
}

// renderScene shows whether the application is outside the folder or in it.
func (w *bundleWindow) renderScene(inPlace bool) {
	if inPlace {
		w.arrow.SetFromIconName("object-select-symbolic")
		w.arrow.AddCSSClass("installed")
		w.source.AddCSSClass("installed")
		if w.picture != nil {
			w.emblem.SetFromPaintable(w.picture)
			w.emblem.SetPixelSize(48)
			w.emblem.RemoveCSSClass("emblem")
		}
		return
	}
	w.arrow.SetFromIconName("go-next-symbolic")
	w.arrow.RemoveCSSClass("installed")
	w.source.RemoveCSSClass("installed")
	w.emblem.SetFromIconName("view-app-grid-symbolic")
	w.emblem.SetPixelSize(32)
	w.emblem.AddCSSClass("emblem")
}

func (w *bundleWindow) renderProgress(p *state.Progress) {
	w.progressBox.SetVisible(p != nil)
	if p == nil {
		return
	}
	w.hint.SetVisible(false)
	w.progressText.SetText(p.Text)
	known := p.Fraction >= 0
	if known {
		w.progressBar.SetFraction(p.Fraction)
	}
	w.progressBar.SetVisible(known)
	w.spinner.SetVisible(!known)
	w.spinner.SetSpinning(!known)
	w.cancel.SetVisible(p.Cancel)
	w.cancel.SetSensitive(p.Enabled)
}

// renderButtons keeps the buttons that stay, so that the focus does, and puts new ones in the place of others.
func (w *bundleWindow) renderButtons(bs []state.Button) {
	same := slices.EqualFunc(bs, w.shown.Buttons, func(a, b state.Button) bool {
		return a.Action == b.Action && a.Label == b.Label && a.Style == b.Style && a.Default == b.Default
	})
	if !same {
		w.rebuildButtons(bs)
	}
	for _, b := range bs {
		w.buttonOf[b.Action].SetSensitive(b.Enabled)
	}
	// Focus and default button are the same one; a button that cannot be pressed keeps neither.
	for i, b := range bs {
		wasEnabled := same && w.shown.Buttons[i].Enabled
		if b.Default && b.Enabled && !wasEnabled {
			w.window.SetDefaultWidget(w.buttonOf[b.Action])
			w.buttonOf[b.Action].GrabFocus()
		}
	}
	if len(bs) > 0 && w.shown.Progress == nil && w.cancel.IsVisible() && w.progressBox.IsVisible() {
		w.cancel.GrabFocus()
	}
}

func (w *bundleWindow) rebuildButtons(bs []state.Button) {
	w.window.SetDefaultWidget(nil)
	for child := w.buttons.FirstChild(); child != nil; child = w.buttons.FirstChild() {
		w.buttons.Remove(child)
	}
	clear(w.buttonOf)
	row := func() *gtk.Box {
		box := gtk.NewBox(gtk.OrientationHorizontal, 6)
		box.SetHomogeneous(true)
		w.buttons.Append(box)
		return box
	}
	line := row()
	for i, b := range bs {
		if len(bs) > 2 && i == len(bs)-1 {
			line = row() // three in one line do not fit a narrow window in every language
		}
		button := newButton(b.Label)
		switch b.Style {
		case state.Suggested:
			button.AddCSSClass("suggested-action")
		case state.Destructive:
			button.AddCSSClass("uninstall") // quieter than the theme's: it can be undone
		}
		button.AddCSSClass("pill")
		button.SetHExpand(true)
		button.ConnectClicked(func() { w.send(state.Pressed{Action: b.Action}) })
		line.Append(button)
		w.buttonOf[b.Action] = button
	}
}

func rowIDs(rows []state.Row) []string {
	ids := make([]string, len(rows))
	for i, r := range rows {
		ids[i] = r.ID
	}
	return ids
}

// showText shows a label only when it has something to say.
func showText(l *gtk.Label, text string) {
	l.SetText(text)
	l.SetVisible(text != "")
}

// showCause says what went wrong and waits for the person.
func showCause(parent *gtk.Window, c state.Cause) {
	b := build(dialogUI)
	// The bindings do not know this class; to them it is a window.
	dialog := object[*gtk.Window](b, "dialog")
	dialog.SetObjectProperty("heading", c.Title)
	dialog.SetObjectProperty("body", c.Advice)
	detail := object[*gtk.Label](b, "detail")
	detail.SetText(c.Detail)
	object[*gtk.ScrolledWindow](b, "scroller").SetVisible(c.Detail != "")
	dialog.SetTransientFor(parent)
	dialog.Present()
}
