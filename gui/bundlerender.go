// SPDX-License-Identifier: MIT

package gui

import (
	"math"
	"slices"

	"github.com/diamondburned/gotk4/pkg/gdk/v4"
	"github.com/diamondburned/gotk4/pkg/glib/v2"
	"github.com/diamondburned/gotk4/pkg/gtk/v4"
	"github.com/diamondburned/gotk4/pkg/pango"

	"glick.org/glick/gui/state"
	"glick.org/glick/gui/tr"
	"glick.org/glick/gui/work"
)

// render makes the widgets show the model.
func (w *bundleWindow) render() {
	v := w.model.View()
	w.window.SetTitle(v.Title)
	w.title.SetTitle(v.Title)
	switch v.Page {
	case state.LoadingPage:
		w.title.SetVisible(true)
		w.stack.SetVisibleChildName("loading")
		w.bottom.SetVisible(false)
	case state.ProblemPage:
		w.renderProblem(v)
	case state.BundlePage:
		if w.shown.Page != state.BundlePage {
			w.title.SetVisible(false) // it is below, in large letters
		}
		w.renderBundle(v)
	}
	w.shown = v
}

func (w *bundleWindow) renderProblem(v state.View) {
	w.title.SetVisible(true)
	w.problem.SetIconName(v.Problem.Icon)
	w.problem.SetTitle(glib.MarkupEscapeText(v.Problem.Title, -1))
	w.problem.SetDescription(glib.MarkupEscapeText(v.Problem.Advice, -1))
	w.problemDetail.SetText(v.Problem.Detail)
	w.problemExpander.SetVisible(v.Problem.Detail != "")
	w.stack.SetVisibleChildName("problem")
	w.bar.show(v.Buttons)
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
	w.arrow.SetVisible(v.Scene)
	w.target.SetVisible(v.Scene)
	w.renderScene(v.InPlace && !w.flying)
	w.rows.show(v.Rows)
	w.renderSource(v.Source)
	w.renderAbout(v.About)
	w.addsBox.SetVisible(len(v.Adds) > 0)
	w.adds.show(v.Adds)
	w.renderLinks(v)
	if !slices.Equal(v.Details, w.shown.Details) {
		for _, r := range w.detailRows {
			w.details.Remove(r)
		}
		w.detailRows = nil
		for _, d := range v.Details {
			r := plainRow()
			r.SetTitle(d.Name)
			r.SetSubtitle(d.Value)
			r.SetSubtitleLines(0)
			w.details.AddRow(r)
			w.detailRows = append(w.detailRows, r)
		}
	}
	w.stack.SetVisibleChildName("bundle")
	w.renderProgress(v.Progress)
	w.bar.show(v.Buttons)
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
			w.emblem.SetPixelSize(44)
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
	showText(w.progressText, p.Text)
	showText(w.progressHow, p.Amount)
	known := p.Fraction >= 0
	if known {
		w.progressBar.SetFraction(p.Fraction)
	}
	w.progressBar.SetVisible(known)
	w.spinner.SetVisible(!known)
	w.spinner.SetSpinning(!known)
	w.cancel.SetVisible(p.Cancel)
	w.cancel.SetSensitive(p.Enabled)
	if p.Cancel && w.shown.Progress == nil {
		w.cancel.GrabFocus() // the buttons cannot be pressed now
	}
}

// renderSource shows what becomes of the file, with a switch where that is a choice.
func (w *bundleWindow) renderSource(s *state.Source) {
	w.sourceList.SetVisible(s != nil)
	if s == nil {
		return
	}
	w.sourceRow.SetTitle(s.Title)
	w.sourceRow.SetSubtitle(s.Text)
	w.sourceSwitch.SetVisible(s.CanChoose)
	if w.sourceSwitch.Active() != s.Keep {
		w.sourceSwitch.SetActive(s.Keep)
	}
}

func (w *bundleWindow) renderAbout(about []state.Block) {
	if slices.Equal(about, w.shown.About) {
		return
	}
	// A box that was empty when it was first looked at may go on to be laid out as if its texts had one line (GTK 4.8): it is shown when it is full.
	if w.aboutTexts != nil {
		w.aboutBox.Remove(w.aboutTexts)
	}
	w.aboutTexts = gtk.NewBox(gtk.OrientationVertical, 9)
	for _, b := range about {
		text := gtk.NewLabel(b.Text)
		text.SetXAlign(0)
		text.SetWrap(true)
		text.SetWrapMode(pango.WrapWordChar)
		text.SetHExpand(true)
		if !b.Item {
			w.aboutTexts.Append(text)
			continue
		}
		line := gtk.NewBox(gtk.OrientationHorizontal, 6)
		dot := gtk.NewLabel("•")
		dot.SetVAlign(gtk.AlignStart)
		decorate(&dot.Widget)
		line.Append(dot)
		line.Append(text)
		w.aboutTexts.Append(line)
	}
	w.aboutBox.Append(w.aboutTexts)
	w.aboutBox.SetVisible(len(about) > 0)
}

// renderLinks shows the addresses that the bundle names, and its license. Nothing is opened but by a press.
func (w *bundleWindow) renderLinks(v state.View) {
	w.links.SetVisible(len(v.Links) > 0 || v.License != "")
	if slices.Equal(v.Links, w.shown.Links) && v.License == w.shown.License {
		return
	}
	for child := w.links.FirstChild(); child != nil; child = w.links.FirstChild() {
		w.links.Remove(child)
	}
	if v.License != "" {
		r := plainRow()
		r.SetTitle(tr.T("License"))
		r.SetSubtitle(v.License)
		w.links.Append(r)
	}
	for _, l := range v.Links {
		r := plainRow()
		r.SetTitle(l.Title)
		r.SetSubtitle(l.Host)
		icon := gtk.NewImageFromIconName("adw-external-link-symbolic")
		decorate(&icon.Widget)
		r.AddSuffix(icon)
		r.SetActivatable(true)
		r.ConnectActivated(func() { gtk.ShowURI(&w.window.Window, l.URL, uint32(gdk.CURRENT_TIME)) })
		w.links.Append(r)
	}
}

// addPicture adds a screenshot.
func (w *bundleWindow) addPicture(p work.Picture) {
	if w.closed {
		return
	}
	const most = 200
	picture := gtk.NewPictureForPaintable(texture(p.Image))
	picture.SetCanShrink(true)
	picture.SetSizeRequest(-1, 260)
	picture.AddCSSClass("screenshot")
	caption := state.Clean(p.Caption, most)
	name := caption
	if name == "" {
		name = tr.F("Picture of {name}", "name", w.shown.Name)
	}
	picture.SetAlternativeText(name)
	describe(&picture.Widget, name)
	box := gtk.NewBox(gtk.OrientationVertical, 6)
	box.SetHExpand(true) // as wide as the window, one at a time
	box.Append(picture)
	if caption != "" {
		text := gtk.NewLabel(caption)
		text.SetWrap(true)
		text.SetWrapMode(pango.WrapWordChar)
		text.SetJustify(gtk.JustifyCenter)
		text.AddCSSClass("caption")
		decorate(&text.Widget)
		box.Append(text)
	}
	w.carousel.Append(box)
	w.gallery.SetVisible(true)
	w.pager.SetVisible(w.carousel.NPages() > 1)
	w.renderPager()
}

// connectPager lets the pictures be turned without a pointer that can swipe.
func (w *bundleWindow) connectPager() {
	turn := func(by int) {
		if to := w.page() + by; to >= 0 && to < int(w.carousel.NPages()) {
			w.carousel.ScrollTo(w.carousel.NthPage(uint(to)), w.animated())
		}
	}
	w.previous.ConnectClicked(func() { turn(-1) })
	w.next.ConnectClicked(func() { turn(1) })
	w.carousel.ConnectPageChanged(func(uint) { w.renderPager() })
}

// page is the picture that is shown, from 0.
func (w *bundleWindow) page() int { return int(math.Round(w.carousel.Position())) }

func (w *bundleWindow) renderPager() {
	w.previous.SetSensitive(w.page() > 0)
	w.next.SetSensitive(w.page() < int(w.carousel.NPages())-1)
}

// factList shows facts in a list and changes with them.
type factList struct {
	list  *gtk.ListBox
	shown []string
	rows  map[string]*factRow // by id
}

func newFactList(list *gtk.ListBox) factList {
	return factList{list: list, rows: map[string]*factRow{}}
}

// show shows the facts. Rows that stay are kept, so that a screen reader that is at one of them stays there.
func (l *factList) show(facts []state.Row) {
	ids := make([]string, len(facts))
	for i, f := range facts {
		ids[i] = f.ID
	}
	if !slices.Equal(ids, l.shown) {
		for _, id := range l.shown {
			l.list.Remove(l.rows[id])
		}
		for _, id := range ids {
			if l.rows[id] == nil {
				l.rows[id] = newFactRow()
			}
			l.list.Append(l.rows[id])
		}
		l.shown = ids
	}
	for _, f := range facts {
		l.rows[f.ID].show(f)
	}
}

// showText shows a label only when it has something to say.
func showText(l *gtk.Label, text string) {
	l.SetText(text)
	l.SetVisible(text != "")
}
