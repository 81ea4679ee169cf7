// SPDX-License-Identifier: MIT

package gui

import (
	"path/filepath"

	"github.com/diamondburned/gotk4/pkg/gdk/v4"
	"github.com/diamondburned/gotk4/pkg/gtk/v4"
	"github.com/diamondburned/gotk4/pkg/pango"

	"glick.org/glick/gui/state"
	"glick.org/glick/gui/tr"
)

// libraryRow is the widget of one application. The list view makes as many as fit into it, and shows other applications in them as it is
// scrolled.
type libraryRow struct {
	w   *libraryWindow
	key string // of the application that is shown
	v   state.LibraryRow

	item  *gtk.ListItem
	drawn state.LibraryRow // what the widgets below show; they are made when the row comes near the view

	box     *gtk.Box
	icon    *gtk.Image
	title   *gtk.Label
	running *gtk.Label
	facts   *gtk.Label
	fault   *gtk.Label
	open    *gtk.Button
}

func (w *libraryWindow) connectList() {
	factory := gtk.NewSignalListItemFactory()
	factory.ConnectSetup(func(item *gtk.ListItem) {
		r := &libraryRow{w: w, item: item, box: gtk.NewBox(gtk.OrientationHorizontal, 12)}
		r.box.AddCSSClass("application-row")
		w.bound[item.Native()] = r
		item.SetChild(r.box)
	})
	factory.ConnectBind(func(item *gtk.ListItem) {
		r := w.bound[item.Native()]
		r.key = w.keys.String(item.Position())
		r.v = state.LibraryRow{}
		r.show(w.rows[r.key])
	})
	factory.ConnectUnbind(func(item *gtk.ListItem) {
		if r := w.bound[item.Native()]; r != nil {
			w.icons.forget(iconKey(r.v))
			r.key = ""
		}
	})
	factory.ConnectTeardown(func(item *gtk.ListItem) { delete(w.bound, item.Native()) })
	w.list.SetFactory(&factory.ListItemFactory)
	w.list.SetModel(gtk.NewNoSelection(w.keys))
	scroll := w.scroller.VAdjustment()
	look := func() {
		if upper := scroll.Upper(); upper > 0 {
			w.middle = int((scroll.Value() + scroll.PageSize()/2) / upper * float64(len(w.shown)))
			w.icons.look(w.middle)
			w.drawRows()
		}
	}
	scroll.ConnectValueChanged(look)
	scroll.ConnectChanged(look)
	w.list.ConnectActivate(func(position uint) { w.open(w.keys.String(position)) })

	keys := gtk.NewEventControllerKey()
	keys.ConnectKeyPressed(func(keyval, _ uint, mods gdk.ModifierType) bool {
		r := w.focused()
		mods &= gtk.AcceleratorGetDefaultModMask()
		switch {
		case r == nil:
			return false
		case mods == 0 && (keyval == gdk.KEY_Delete || keyval == gdk.KEY_KP_Delete):
			w.askUninstall(r.key, "")
		case mods == gdk.ControlMask && (keyval == gdk.KEY_Return || keyval == gdk.KEY_KP_Enter):
			r.start()
		default:
			return false
		}
		return true
	})
	w.list.AddController(keys)
}

// focused is the row that has the focus, or nil.
func (w *libraryWindow) focused() *libraryRow {
	for _, r := range w.bound {
		if row := gtk.BaseWidget(r.box.Parent()); r.key != "" && row != nil && row.StateFlags()&gtk.StateFlagFocused != 0 {
			return r
		}
	}
	return nil
}

// make makes the widgets of the row.
func (r *libraryRow) make() {
	r.icon, r.title, r.running = gtk.NewImage(), gtk.NewLabel(""), gtk.NewLabel(tr.T("Running"))
	r.facts, r.fault, r.open = gtk.NewLabel(""), gtk.NewLabel(""), newNamedButton(tr.T("Open"), tr.T("Open"))
	r.icon.SetPixelSize(listIcon)
	r.icon.AddCSSClass("lowres-icon")
	decorate(&r.icon.Widget)
	for _, l := range []*gtk.Label{r.title, r.facts, r.fault} {
		l.SetXAlign(0)
		l.SetWrap(true)
		l.SetWrapMode(pango.WrapWordChar)
		l.SetLines(2)
		l.SetEllipsize(pango.EllipsizeEnd)
	}
	r.facts.SetLines(-1) // they are short, and none may be lost
	r.facts.SetEllipsize(pango.EllipsizeNone)
	r.title.AddCSSClass("heading")
	for _, l := range []*gtk.Label{r.running, r.facts, r.fault} {
		l.AddCSSClass("caption")
	}
	r.facts.AddCSSClass("facts")
	r.running.AddCSSClass("running")
	r.running.SetXAlign(0)
	r.fault.AddCSSClass("fault-words")

	second := gtk.NewBox(gtk.OrientationHorizontal, 6)
	second.Append(r.running)
	second.Append(r.facts)
	text := gtk.NewBox(gtk.OrientationVertical, 2)
	text.SetHExpand(true)
	text.SetVAlign(gtk.AlignCenter)
	text.Append(r.title)
	text.Append(second)
	text.Append(r.fault)

	r.open.SetVAlign(gtk.AlignCenter)
	r.open.ConnectClicked(r.start)
	arrow := gtk.NewImageFromIconName("go-next-symbolic")
	decorate(&arrow.Widget)
	r.box.Append(r.icon)
	r.box.Append(text)
	r.box.Append(r.open)
	r.box.Append(arrow)
}

func (r *libraryRow) start() {
	if r.v.Fault == "" {
		r.w.start(r.v.File, r.v.Title)
	}
}

func iconKey(v state.LibraryRow) string { return v.Digest + v.File }

func (r *libraryRow) show(v state.LibraryRow) {
	if v != r.v {
		r.v = v
		if row := gtk.BaseWidget(r.box.Parent()); row != nil {
			describe(row, v.Spoken)
		}
	}
	r.draw()
}

// drawRows has the rows that have come near the view show what they are.
func (w *libraryWindow) drawRows() {
	for _, r := range w.bound {
		if r.key != "" {
			r.draw()
		}
	}
}

// draw fills the row, if it is near the view: a list view keeps two hundred rows, and making all of their widgets takes a second.
func (r *libraryRow) draw() {
	v := r.v
	if v == r.drawn && r.title != nil {
		return
	}
	if at := int(r.item.Position()); max(at-r.w.middle, r.w.middle-at) > nearView {
		return
	}
	if r.title == nil {
		r.make()
	}
	r.drawn = v
	r.title.SetText(v.Title)
	r.facts.SetText(v.Text)
	r.facts.SetVisible(v.Text != "")
	r.fault.SetText(v.Fault)
	r.fault.SetVisible(v.Fault != "")
	r.running.SetVisible(v.Running)
	r.open.SetVisible(v.Fault == "")
	describe(&r.open.Widget, tr.F("Open {name}", "name", v.Title))
	r.showIcon()
}

func (r *libraryRow) showIcon() {
	icon, _ := r.w.icons.want(iconKey(r.v), r.v.File, int(r.item.Position()))
	if icon == nil {
		r.icon.SetFromIconName(fallbackIcon)
		return
	}
	r.icon.SetFromPaintable(icon)
}

// iconReady shows an icon that has been read.
func (w *libraryWindow) iconReady(key string) {
	for _, r := range w.bound {
		if r.key != "" && r.title != nil && iconKey(r.drawn) == key {
			r.showIcon()
		}
	}
}

func folderOf(file string) string { return filepath.Dir(file) }

// fileName is the name of a file as it is shown.
func fileName(path string) string {
	const most = 60
	return state.Clean(filepath.Base(path), most)
}
