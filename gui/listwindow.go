// SPDX-License-Identifier: MIT

package gui

import (
	"context"
	_ "embed" // ui
	"errors"
	"time"

	"github.com/diamondburned/gotk4-adwaita/pkg/adw"
	"github.com/diamondburned/gotk4/pkg/gio/v2"
	"github.com/diamondburned/gotk4/pkg/glib/v2"
	"github.com/diamondburned/gotk4/pkg/gtk/v4"

	"glick.org/glick/gui/state"
	"glick.org/glick/gui/work"
	"glick.org/glick/xdgexport/apps"
)

//go:embed ui/list.ui
var listUI string

// rowIcon is the side of the icons in the list, in pixels.
const rowIcon = 48

// listWindow shows several bundles that were opened at once.
type listWindow struct {
	app   *application
	model state.Batch
	undos []*work.Undo // of what was installed, the last one last

	window *adw.ApplicationWindow
	title  *adw.WindowTitle
	toasts *adw.ToastOverlay
	toast  *adw.Toast // the one with Undo, nil when there is none
	hint   *gtk.Label
	bar    buttonBar
	rows   []*bundleRow

	ctx        context.Context // ends with the window
	end        context.CancelFunc
	cancelTask context.CancelFunc
	closed     bool
}

// bundleRow shows one of the bundles.
type bundleRow struct {
	*adw.ActionRow
	icon *gtk.Image
	mark *gtk.Image
	bar  *gtk.ProgressBar
	busy *gtk.Spinner
	tone state.Tone
}

func newListWindow(app *application, paths []string) {
	for i, p := range paths {
		paths[i] = work.Absolute(p)
	}
	b := build(listUI)
	w := &listWindow{
		app:    app,
		model:  state.NewBatch(paths, installMoves()),
		window: object[*adw.ApplicationWindow](b, "window"),
		title:  object[*adw.WindowTitle](b, "title"),
		toasts: object[*adw.ToastOverlay](b, "toasts"),
		hint:   object[*gtk.Label](b, "hint"),
	}
	w.ctx, w.end = context.WithCancel(context.Background())
	w.window.SetApplication(&app.Application.Application)
	w.bar = newButtonBar(&w.window.Window, object[*gtk.Box](b, "buttons"), func(a state.Action) { w.send(state.BatchPressed{Action: a}) })
	w.window.ConnectCloseRequest(func() bool {
		w.closed = true
		w.end()
		w.forget()
		return false
	})
	onEscape(&w.window.Widget, func() { w.send(state.BatchPressed{Action: state.Cancel}) })
	undo := gio.NewSimpleAction("undo", nil)
	undo.ConnectActivate(func(*glib.Variant) { w.send(state.BatchPressed{Action: state.Undo}) })
	w.window.AddAction(undo)

	list := object[*gtk.ListBox](b, "rows")
	for n := range w.model.Items {
		r := newBundleRow()
		r.ConnectActivated(func() { app.openBundle(w.model.Items[n].File) }) // which may have been moved since
		list.Append(r)
		w.rows = append(w.rows, r)
	}
	w.render()
	w.window.Present()
	go w.load(w.model.Items)
}

func newBundleRow() *bundleRow {
	r := &bundleRow{ActionRow: plainRow(), icon: gtk.NewImageFromIconName(fallbackIcon), mark: gtk.NewImage(), bar: gtk.NewProgressBar(), busy: gtk.NewSpinner()}
	r.SetActivatable(true)
	r.icon.SetPixelSize(rowIcon)
	r.icon.SetMarginTop(6)
	r.icon.SetMarginBottom(6)
	r.AddPrefix(r.icon)
	r.bar.SetVAlign(gtk.AlignCenter)
	r.bar.SetSizeRequest(64, -1)
	r.bar.SetVisible(false)
	r.mark.AddCSSClass("fact")
	r.mark.SetVisible(false)
	r.AddSuffix(r.bar)
	r.AddSuffix(r.busy)
	r.AddSuffix(r.mark)
	next := gtk.NewImageFromIconName("go-next-symbolic")
	r.AddSuffix(next)
	decorate(&next.Widget)
	decorate(&r.icon.Widget)
	return r
}

// load reads the files one after the other, so that the first rows are there soon however many follow.
func (w *listWindow) load(items []state.Item) {
	for n, i := range items {
		if w.ctx.Err() != nil {
			return
		}
		look, err := work.Load(i.File, 2*rowIcon)
		if err != nil {
			w.post(n, state.LoadFailed{Err: err})
			continue
		}
		if !look.Loaded.Related {
			look.Loaded.Installed, look.Loaded.Trust = work.Relate(i.File, look.Loaded.Identity)
			look.Loaded.Related = true
		}
		inMain(func() {
			if w.closed {
				return
			}
			if look.Icon != nil {
				setIcon(w.rows[n].icon, look.Icon)
			}
			w.send(state.ItemEvent{Item: n, Event: look.Loaded})
		})
	}
	_ = work.Watch(w.ctx, func() { inMain(w.refresh) })
}

// refresh looks again how the files relate to what is installed.
func (w *listWindow) refresh() {
	if w.closed {
		return
	}
	items := w.model.Items
	go func() {
		for n, i := range items {
			if i.Phase == state.Ready && w.ctx.Err() == nil {
				installed, from := work.Relate(i.File, i.Identity)
				w.post(n, state.Refreshed{Installed: installed, Trust: from})
			}
		}
	}()
}

func (w *listWindow) post(n int, ev state.Event) {
	inMain(func() { w.send(state.ItemEvent{Item: n, Event: ev}) })
}

func (w *listWindow) send(ev state.Event) {
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

func (w *listWindow) do(e state.Effect) {
	switch e := e.(type) {
	case state.ItemInstall:
		w.install(e)
	case state.DoUndo:
		w.undo()
	case state.DoCancel:
		if w.cancelTask != nil {
			w.cancelTask()
		}
	case state.DoClose:
		w.window.Close()
	case state.Toast:
		action := ""
		if e.Undo && len(w.undos) > 0 {
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

func (w *listWindow) install(e state.ItemInstall) {
	if w.toast != nil {
		w.toast.Dismiss()
		w.toast = nil
		w.forget()
	}
	i := w.model.Items[e.Item]
	ctx, cancel := context.WithCancel(w.ctx)
	w.cancelTask = cancel
	begin := time.Now()
	progress := seldom(func(done, total int64) {
		w.post(e.Item, state.TaskProgress{Done: done, Total: total, At: time.Since(begin)})
	})
	w.app.work(func() func() {
		undo, now, err := work.Install(ctx, i.File, apps.InstallOptions{Move: e.Move, Progress: progress})
		at := i.File
		if e.Move && undo != nil {
			at = now
		}
		if errors.Is(err, apps.ErrSourceLeft) {
			err = nil // it is installed
		}
		installed, from := work.Relate(at, i.Identity)
		return func() {
			cancel()
			if w.closed {
				undo.Forget()
				return
			}
			if undo != nil {
				w.undos = append(w.undos, undo)
			}
			w.send(state.ItemEvent{Item: e.Item, Event: state.InstallEnded{Err: err, Installed: installed, Trust: from, File: at}})
		}
	})
}

// undo takes back what was installed, the last one first.
func (w *listWindow) undo() {
	undos := w.undos
	w.undos, w.toast = nil, nil
	items := w.model.Items
	w.app.work(func() func() {
		var errs []error
		for n := len(undos) - 1; n >= 0; n-- {
			errs = append(errs, undos[n].Back(context.Background()))
		}
		files := make([]string, len(items))
		for n, i := range items {
			if files[n] = i.File; i.From != "" && work.There(i.From) {
				files[n] = i.From // it was moved, and is back
			}
		}
		return func() {
			w.send(state.BatchUndone{Err: errors.Join(errs...), Files: files})
			w.refresh()
		}
	})
}

// forget gives up what could be undone.
func (w *listWindow) forget() {
	for _, u := range w.undos {
		u.Forget()
	}
	w.undos = nil
}

func (w *listWindow) render() {
	v := w.model.View()
	w.window.SetTitle(v.Title)
	w.title.SetTitle(v.Title)
	showText(w.hint, v.Hint)
	for n, r := range v.Rows {
		w.rows[n].show(r)
	}
	w.bar.show(v.Buttons)
}

var toneIcon = map[state.Tone]string{state.Good: "object-select-symbolic", state.Warning: "security-low-symbolic", state.Bad: "dialog-warning-symbolic"}

func (r *bundleRow) show(v state.BatchRow) {
	r.SetTitle(v.Title)
	r.SetSubtitle(v.Text)
	r.bar.SetVisible(v.Fraction >= 0)
	if v.Fraction >= 0 {
		r.bar.SetFraction(v.Fraction)
	}
	describe(&r.bar.Widget, v.Title)
	r.busy.SetVisible(v.Busy && v.Fraction < 0)
	r.busy.SetSpinning(v.Busy && v.Fraction < 0)
	icon := toneIcon[v.Tone]
	r.mark.SetVisible(icon != "" && !v.Busy)
	if icon != "" {
		r.mark.SetFromIconName(icon)
	}
	decorate(&r.mark.Widget)
	decorate(&r.busy.Widget)
	if r.tone != v.Tone {
		for t, class := range toneClass {
			r.RemoveCSSClass(class)
			if t == v.Tone {
				r.AddCSSClass(class)
			}
		}
		r.tone = v.Tone
	}
}
