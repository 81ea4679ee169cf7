// SPDX-License-Identifier: MIT

package gui

import (
	"context"
	_ "embed" // ui
	"reflect"

	"github.com/diamondburned/gotk4-adwaita/pkg/adw"
	"github.com/diamondburned/gotk4/pkg/cairo"
	coreglib "github.com/diamondburned/gotk4/pkg/core/glib"
	"github.com/diamondburned/gotk4/pkg/glib/v2"
	"github.com/diamondburned/gotk4/pkg/gtk/v4"
	"github.com/diamondburned/gotk4/pkg/pango"

	"glick.org/glick/gui/state"
	"glick.org/glick/gui/tr"
	"glick.org/glick/gui/work"
)

//go:embed ui/storage.ui
var storageUI string

// storageColors can be told apart by people with any kind of color vision, on light and on dark (Okabe and Ito, "Color Universal Design").
var storageColors = [state.StorageColors][3]float64{
	{0.00, 0.45, 0.70}, {0.90, 0.62, 0.00}, {0.00, 0.62, 0.45}, {0.80, 0.47, 0.65}, {0.34, 0.71, 0.91}, {0.84, 0.37, 0.00},
}

// storagePage shows what takes the space. It is made, and measured, when it is first looked at.
type storagePage struct {
	w     *libraryWindow
	stack *gtk.Stack
	model state.Storage
	shown state.StorageView

	made    bool
	visible bool
	cancel  context.CancelFunc // of the measurement; nil when there is none

	measuring *gtk.Label
	bar       *gtk.ProgressBar
	title     *gtk.Label
	text      *gtk.Label
	picture   *gtk.DrawingArea
	table     *group
	shared    *group
}

func newStoragePage(w *libraryWindow, stack *gtk.Stack) *storagePage {
	return &storagePage{w: w, stack: stack}
}

func (p *storagePage) make() {
	b := build(storageUI)
	p.measuring = object[*gtk.Label](b, "measuring_text")
	p.bar = object[*gtk.ProgressBar](b, "measuring_bar")
	p.title, p.text = object[*gtk.Label](b, "title"), object[*gtk.Label](b, "text")
	p.picture = object[*gtk.DrawingArea](b, "picture")
	p.table = &group{PreferencesGroup: object[*adw.PreferencesGroup](b, "applications")}
	p.shared = &group{PreferencesGroup: object[*adw.PreferencesGroup](b, "shared")}
	p.stack.AddNamed(object[*gtk.Box](b, "measuring"), "measuring")
	p.stack.AddNamed(object[*gtk.ScrolledWindow](b, "page"), "page")
	p.picture.SetDrawFunc(func(area *gtk.DrawingArea, cr *cairo.Context, width, height int) {
		drawParts(cr, p.shown.Parts, float64(width), float64(height), area.Direction() == gtk.TextDirRTL)
	})
	p.made = true
}

// show measures, unless it is known already.
func (p *storagePage) show() {
	if !p.made {
		p.make()
	}
	p.visible = true
	if !p.model.Ready && p.cancel == nil {
		p.measure()
	}
}

// changed is told when other applications are installed.
func (p *storagePage) changed() {
	if !p.made {
		return
	}
	p.measure()
}

func (p *storagePage) measure() {
	if p.cancel != nil {
		p.cancel()
	}
	if !p.w.model.Loaded {
		p.cancel = nil
		p.render()
		return // changed comes when it is
	}
	ctx, cancel := context.WithCancel(p.w.ctx)
	p.cancel = cancel
	list := p.w.model.Apps
	p.render()
	progress := seldom(func(done, total int64) {
		inMain(func() {
			if ctx.Err() == nil && !p.model.Ready {
				p.model.Done, p.model.Total = done, total
				p.render()
			}
		})
	})
	go func() {
		facts, err := work.Storage(ctx, list, progress)
		inMain(func() {
			if err != nil || ctx.Err() != nil {
				return
			}
			p.model.Facts, p.model.Ready = facts, true
			p.render()
		})
	}()
}

func (p *storagePage) render() {
	v := p.model.View()
	if !v.Ready {
		p.measuring.SetText(v.Progress)
		p.bar.SetFraction(v.Fraction)
		p.stack.SetVisibleChildName("measuring")
		return
	}
	p.stack.SetVisibleChildName("page")
	if reflect.DeepEqual(v, p.shown) {
		return
	}
	p.shown = v
	p.title.SetText(v.Title)
	p.text.SetText(v.Text)
	describe(&p.picture.Widget, v.Spoken)
	p.picture.QueueDraw()
	p.table.clear()
	for _, r := range v.Rows {
		p.table.add(p.row(r))
	}
	p.table.SetVisible(len(v.Rows) > 0)
	p.shared.clear()
	p.shared.SetDescription(glib.MarkupEscapeText(v.GroupsText, -1))
	for _, r := range v.Groups {
		row := newFactRow()
		row.show(r)
		p.shared.add(row)
	}
}

// row is an application in the table: its color, its name and size, and a bar whose length can be compared with the others.
func (p *storagePage) row(r state.StorageRow) *adw.PreferencesRow {
	title, size, text := gtk.NewLabel(r.Title), gtk.NewLabel(r.Size), gtk.NewLabel(r.Text)
	title.SetXAlign(0)
	title.SetHExpand(true)
	title.SetWrap(true)
	title.SetWrapMode(pango.WrapWordChar)
	size.AddCSSClass("numeric")
	text.SetXAlign(0)
	text.SetWrap(true)
	text.AddCSSClass("caption")
	text.AddCSSClass("byline")
	text.SetVisible(r.Text != "")
	bar := gtk.NewDrawingArea()
	bar.SetContentHeight(8)
	decorate(&bar.Widget)
	bar.SetDrawFunc(func(area *gtk.DrawingArea, cr *cairo.Context, width, height int) {
		drawBar(cr, r, float64(width), float64(height), area.Direction() == gtk.TextDirRTL)
	})
	head := gtk.NewBox(gtk.OrientationHorizontal, 12)
	head.Append(title)
	head.Append(size)
	box := gtk.NewBox(gtk.OrientationVertical, 6)
	box.AddCSSClass("storage-row")
	box.Append(head)
	box.Append(bar)
	box.Append(text)
	row := adw.NewPreferencesRow()
	row.SetChild(box)
	row.SetActivatable(true)
	row.SetActionTargetValue(glib.NewVariantString(r.Key))
	row.SetActionName("win.details")
	name := tr.F("{name}, {size}", "name", r.Title, "size", r.Size)
	if r.Text != "" {
		name = tr.F("{name}, {size}, {facts}", "name", r.Title, "size", r.Size, "facts", r.Text)
	}
	row.UpdateProperty([]gtk.AccessibleProperty{gtk.AccessiblePropertyLabel}, []coreglib.Value{*coreglib.NewValue(name)})
	return row
}

// setColor is one of the colors, or gray for all others.
func setColor(cr *cairo.Context, i int) {
	if i < 0 || i >= len(storageColors) {
		cr.SetSourceRGBA(0.5, 0.5, 0.5, 0.8)
		return
	}
	c := storageColors[i]
	cr.SetSourceRGB(c[0], c[1], c[2])
}

// drawParts draws parts of a whole beside each other, with gaps, so that they can be told apart without colors too.
func drawParts(cr *cairo.Context, parts []state.StoragePart, width, height float64, rtl bool) {
	const gap, least = 2, 2
	space := width - gap*float64(max(len(parts)-1, 0))
	mirror(cr, width, rtl)
	roundedRectangle(cr, 0, 0, width, height, 8)
	cr.Clip()
	x := 0.0
	for _, p := range parts {
		w := max(p.Fraction*space, least)
		setColor(cr, p.Color)
		cr.Rectangle(x, 0, w, height)
		cr.Fill()
		x += w + gap
	}
}

// drawBar draws a bar of which a part is hatched.
func drawBar(cr *cairo.Context, r state.StorageRow, width, height float64, rtl bool) {
	mirror(cr, width, rtl)
	length := max(r.Length*width, height)
	roundedRectangle(cr, 0, 0, length, height, height/2)
	cr.Clip()
	own := length * (1 - r.Shared)
	setColor(cr, r.Color)
	cr.Rectangle(0, 0, own, height)
	cr.Fill()
	cr.Rectangle(own, 0, length-own, height)
	cr.Clip()
	cr.SetLineWidth(2.5)
	for x := own - height; x < length+height; x += 6 {
		cr.MoveTo(x, height+1)
		cr.LineTo(x+height+2, -1)
	}
	cr.Stroke()
}

// mirror turns the picture round for languages that are written from right to left.
func mirror(cr *cairo.Context, width float64, rtl bool) {
	if rtl {
		cr.Translate(width, 0)
		cr.Scale(-1, 1)
	}
}

func roundedRectangle(cr *cairo.Context, x, y, w, h, r float64) {
	const quarter = 1.5707963267948966
	r = min(r, w/2, h/2)
	cr.NewPath()
	cr.Arc(x+w-r, y+r, r, -quarter, 0)
	cr.Arc(x+w-r, y+h-r, r, 0, quarter)
	cr.Arc(x+r, y+h-r, r, quarter, 2*quarter)
	cr.Arc(x+r, y+r, r, 2*quarter, 3*quarter)
	cr.ClosePath()
}
