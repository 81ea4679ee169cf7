// SPDX-License-Identifier: MIT

package gui

import (
	"context"
	_ "embed" // ui
	"reflect"

	"github.com/diamondburned/gotk4-adwaita/pkg/adw"
	"github.com/diamondburned/gotk4/pkg/gdk/v4"
	"github.com/diamondburned/gotk4/pkg/glib/v2"
	"github.com/diamondburned/gotk4/pkg/gtk/v4"

	"glick.org/glick/gui/state"
	"glick.org/glick/gui/tr"
	"glick.org/glick/gui/work"
)

//go:embed ui/details.ui
var detailsUI string

// detailsPage shows one application. Everything on it is made when it is opened: that happens seldom, and the window opens sooner.
type detailsPage struct {
	w       *libraryWindow
	content *gtk.Box // below the header bar
	title   *adw.WindowTitle

	page   *gtk.ScrolledWindow // nil when nothing is open
	app    state.App
	facts  state.AppFacts
	shown  state.DetailsView
	icon   *gtk.Image
	labels map[string]*gtk.Label
	groups map[string]*group
	bar    *gtk.FlowBox // of open and remove
	open   *gtk.Button
	remove *gtk.Button
	expert *adw.ExpanderRow
	lines  []*adw.ActionRow // of expert

	exception *adw.ActionRow  // of adds; nil, or no longer shown, when there is nothing to except
	wishes    map[string]bool // by id: whether it is to be an exception, while that is being carried out
	cancel    context.CancelFunc
}

// group is a group of rows that is filled anew when it changes.
type group struct {
	*adw.PreferencesGroup
	children []gtk.Widgetter
}

func (g *group) clear() {
	for _, c := range g.children {
		g.Remove(c)
	}
	g.children = nil
}

func (g *group) add(c gtk.Widgetter) {
	g.Add(c)
	g.children = append(g.children, c)
}

func newDetailsPage(w *libraryWindow, content *gtk.Box, title *adw.WindowTitle) *detailsPage {
	return &detailsPage{w: w, content: content, title: title, wishes: map[string]bool{}}
}

func (p *detailsPage) show(a state.App) {
	p.close()
	b := build(detailsUI)
	p.page = object[*gtk.ScrolledWindow](b, "page")
	p.icon = object[*gtk.Image](b, "icon")
	p.labels, p.groups = map[string]*gtk.Label{}, map[string]*group{}
	for _, name := range []string{"name", "summary", "byline"} {
		p.labels[name] = object[*gtk.Label](b, name)
	}
	for _, name := range []string{"fault", "versions", "facts", "adds", "data"} {
		p.groups[name] = &group{PreferencesGroup: object[*adw.PreferencesGroup](b, name)}
	}
	p.expert = object[*adw.ExpanderRow](b, "expert")
	decorate(&p.icon.Widget)
	p.bar = object[*gtk.FlowBox](b, "buttons")
	p.open = newButton(tr.T("_Open"))
	p.open.AddCSSClass("suggested-action")
	p.open.ConnectClicked(func() { p.w.start(p.app.Current().File, p.app.Title()) })
	p.remove = newButton(tr.T("_Uninstall…"))
	p.remove.AddCSSClass("uninstall")
	p.remove.ConnectClicked(func() { p.w.askUninstall(p.app.Key, "") })
	for _, button := range []*gtk.Button{p.open, p.remove} {
		button.AddCSSClass("pill")
	}
	flow(p.bar, p.open, tr.T("Open"))
	flow(p.bar, p.remove, tr.T("Uninstall…"))
	p.content.Append(p.page)
	p.app = a
	p.render()
	p.read()
	if p.shown.CanOpen {
		p.open.GrabFocus()
	}
}

// onDelete calls f when the Delete key is pressed and no text wanted it.
func onDelete(w *gtk.Widget, f func()) {
	keys := gtk.NewEventControllerKey()
	keys.ConnectKeyPressed(func(keyval, _ uint, mods gdk.ModifierType) bool {
		if keyval != gdk.KEY_Delete && keyval != gdk.KEY_KP_Delete || mods&gtk.AcceleratorGetDefaultModMask() != 0 {
			return false
		}
		f()
		return true
	})
	w.AddController(keys)
}

func (p *detailsPage) close() {
	if p.page == nil {
		return
	}
	p.cancel()
	p.content.Remove(p.page)
	p.page, p.icon, p.labels, p.groups, p.bar, p.open, p.remove, p.expert, p.lines, p.exception = nil, nil, nil, nil, nil, nil, nil, nil, nil, nil
	p.app, p.facts, p.shown = state.App{}, state.AppFacts{}, state.DetailsView{}
}

// read finds out what takes longer than a moment.
func (p *detailsPage) read() {
	if p.cancel != nil {
		p.cancel()
	}
	ctx, cancel := context.WithCancel(p.w.ctx)
	p.cancel = cancel
	f := p.app.Current()
	go func() {
		facts := work.Facts(ctx, f)
		icon := work.Icon(f.File, detailsIcon)
		inMain(func() {
			if ctx.Err() != nil || p.page == nil {
				return
			}
			p.facts = facts
			setIcon(p.icon, icon)
			p.render()
		})
	}()
}

// detailsIcon is the side of the icon that is read, in pixels: twice what is shown.
const detailsIcon = 192

// reload follows a change of the folders.
func (p *detailsPage) reload() {
	if p.page == nil {
		return
	}
	a, ok := p.w.model.App(p.app.Key)
	if !ok {
		p.w.back()
		return
	}
	changed := !reflect.DeepEqual(a.Files, p.app.Files)
	p.app = a
	p.render()
	if changed {
		p.read()
	}
}

func (p *detailsPage) render() {
	if p.page == nil {
		return
	}
	v := p.w.model.Details(p.app, p.facts)
	old := p.shown
	p.shown = v
	p.title.SetTitle(glib.MarkupEscapeText(v.Title, -1))
	for name, text := range map[string]string{"name": v.Title, "summary": v.Summary, "byline": v.Byline} {
		p.labels[name].SetText(text)
		p.labels[name].SetVisible(text != "")
	}
	if p.icon.Paintable() == nil && p.icon.IconName() == "" {
		setIcon(p.icon, nil)
	}
	p.open.SetSensitive(v.CanOpen)
	p.remove.SetSensitive(v.CanUninstall)
	p.bar.SetVisible(v.CanOpen || v.CanUninstall)
	if !reflect.DeepEqual(old.Fault, v.Fault) || !reflect.DeepEqual(old.FaultActions, v.FaultActions) {
		p.renderFault(v)
	}
	if !reflect.DeepEqual(old.Versions, v.Versions) {
		p.renderVersions(v)
	}
	if !reflect.DeepEqual(old.Facts, v.Facts) {
		p.renderRows("facts", v.Facts)
	}
	if !reflect.DeepEqual(old.Adds, v.Adds) || old.CanExcept != v.CanExcept || old.Excepted != v.Excepted {
		p.renderRows("adds", v.Adds)
	}
	if !reflect.DeepEqual(old.Data, v.Data) || old.DataText != v.DataText {
		p.renderData(v)
	}
	if !reflect.DeepEqual(old.Details, v.Details) {
		p.renderExpert(v)
	}
	p.groups["fault"].SetVisible(v.Fault.Title != "")
	p.groups["versions"].SetVisible(len(v.Versions) > 0)
	p.groups["adds"].SetVisible(len(v.Adds) > 0)
	p.groups["data"].SetVisible(len(v.Data) > 0 || v.DataText != "")
}

func (p *detailsPage) renderRows(name string, rows []state.Row) {
	g := p.groups[name]
	focused := p.exception != nil && (p.exception.HasFocus() || p.exception.FocusChild() != nil)
	g.clear()
	for _, r := range rows {
		row := newFactRow()
		row.show(r)
		if r.ID == "off" && p.shown.CanExcept {
			p.addException(row.ActionRow)
		}
		if r.ID == "file" {
			file := p.app.Current().File
			row.AddSuffix(p.suffix("folder-open-symbolic", tr.T("Show in Files"), tr.T("Show in Files"), func() { p.w.showInFiles(file) }))
		}
		g.add(row)
		if r.ID == "off" && focused {
			row.GrabFocus()
		}
	}
}

// suffix is a small button at the end of a row.
func (p *detailsPage) suffix(icon, tip, name string, f func()) *gtk.Button {
	button := gtk.NewButtonFromIconName(icon)
	button.SetVAlign(gtk.AlignCenter)
	button.AddCSSClass("flat")
	button.SetTooltipText(tip)
	describe(&button.Widget, name)
	button.ConnectClicked(f)
	return button
}

func (p *detailsPage) renderFault(v state.DetailsView) {
	g := p.groups["fault"]
	g.clear()
	if v.Fault.Title == "" {
		return
	}
	row := newFactRow()
	row.show(v.Fault)
	g.add(row)
	box := gtk.NewBox(gtk.OrientationHorizontal, 12)
	box.SetHomogeneous(true)
	box.SetMarginTop(12)
	for _, b := range v.FaultActions {
		button := newButton(b.Label)
		button.SetSensitive(b.Enabled)
		if b.Style == state.Destructive {
			button.AddCSSClass("uninstall")
		}
		action := b.Action
		button.ConnectClicked(func() { p.act(action) })
		wrapLabel(button)
		button.SetHExpand(true)
		box.Append(button)
	}
	g.add(box)
}

// flow appends a button to a box that breaks its line when it is narrow. Only the button takes the focus.
func flow(box *gtk.FlowBox, button *gtk.Button, name string) {
	child := gtk.NewFlowBoxChild()
	child.SetFocusable(false)
	child.SetChild(button)
	describe(&child.Widget, name)
	box.Insert(child, -1)
}

// act does what can be done about a file that cannot be used.
func (p *detailsPage) act(action state.Action) {
	f := p.app.Current()
	switch action {
	case state.ActOpenFile:
		p.w.app.openBundle(f.File)
	case state.ActTrust:
		p.w.askTrust(f)
	case state.ActDiscard:
		name := p.app.Title()
		p.w.app.work(func() func() {
			removal, err := work.Discard(context.Background(), f.File)
			p.w.reload()
			return func() {
				switch {
				case p.w.closed:
				case err != nil:
					showCause(&p.w.window.Window, state.FailedCause(tr.F("Could Not Remove {name}", "name", name), err, f.File))
				default:
					p.w.offerUndo(removal, tr.F("{name} moved to the Trash", "name", name))
				}
			}
		})
	}
}

func (p *detailsPage) renderVersions(v state.DetailsView) {
	g := p.groups["versions"]
	focused := g.FocusChild() != nil
	g.clear()
	var first *gtk.CheckButton
	for _, version := range v.Versions {
		row := plainRow()
		row.SetTitle(version.Title)
		row.SetSubtitle(version.Text)
		switch {
		case version.CanChoose:
			radio := gtk.NewCheckButton()
			radio.SetVAlign(gtk.AlignCenter)
			if first == nil {
				first = radio
			} else {
				radio.SetGroup(first)
			}
			radio.SetActive(version.Used)
			radio.ConnectToggled(func() {
				if radio.Active() && !version.Used {
					p.choose(version)
				}
			})
			row.AddPrefix(radio)
			row.SetActivatableWidget(radio)
		default:
			icon := gtk.NewImageFromIconName("dialog-warning-symbolic")
			decorate(&icon.Widget)
			row.AddPrefix(icon)
			row.AddCSSClass("bad")
			row.SetActivatable(true)
			row.ConnectActivated(func() { p.w.app.openBundle(version.File) })
		}
		if version.CanRemove {
			row.AddSuffix(p.suffix("user-trash-symbolic", tr.T("Uninstall This Version"),
				tr.F("Uninstall version {version}", "version", version.Title), func() { p.w.askUninstall(p.app.Key, version.File) }))
		}
		g.add(row)
		if focused && version.Used {
			row.GrabFocus()
		}
	}
}

func (p *detailsPage) choose(version state.VersionRow) {
	id, name := p.app.Key, p.app.Title()
	p.w.app.work(func() func() {
		err := work.Choose(context.Background(), id, version.Version)
		p.w.reload()
		return func() {
			switch {
			case p.w.closed:
			case err != nil:
				p.shown.Versions = nil // the choice is shown as it was
				p.render()
				showCause(&p.w.window.Window, state.FailedCause(tr.F("Could Not Change the Version of {name}", "name", name), err, version.File))
			default:
				toast(p.w.toasts, tr.F("{name} {version} is used now", "name", name, "version", version.Title), "")
			}
		}
	})
}

func (p *detailsPage) renderData(v state.DetailsView) {
	g := p.groups["data"]
	g.clear()
	g.SetDescription(glib.MarkupEscapeText(v.DataText, -1))
	for _, d := range v.Data {
		row := plainRow()
		row.SetTitle(d.Title)
		row.SetSubtitle(d.Text)
		path := d.Path
		row.AddSuffix(p.suffix("folder-open-symbolic", tr.T("Open Folder"), tr.F("Open {folder}", "folder", d.Text), func() { p.w.openFolder(path) }))
		g.add(row)
	}
}

func (p *detailsPage) renderExpert(v state.DetailsView) {
	for _, l := range p.lines {
		p.expert.Remove(l)
	}
	p.lines = nil
	for _, d := range v.Details {
		row := plainRow()
		row.SetTitle(d.Name)
		row.SetSubtitle(d.Value)
		value := d.Value
		row.AddSuffix(p.suffix("edit-copy-symbolic", tr.T("Copy"), tr.F("Copy {what}", "what", d.Name), func() {
			p.page.Display().Clipboard().SetText(value)
			toast(p.w.toasts, tr.T("Copied"), "")
		}))
		p.expert.AddRow(row)
		p.lines = append(p.lines, row)
	}
}
