// SPDX-License-Identifier: MIT

package gui

import (
	"context"

	"github.com/diamondburned/gotk4-adwaita/pkg/adw"
	"github.com/diamondburned/gotk4/pkg/gio/v2"
	"github.com/diamondburned/gotk4/pkg/glib/v2"
	"github.com/diamondburned/gotk4/pkg/gtk/v4"

	"glick.org/glick/gui/state"
	"glick.org/glick/gui/tr"
	"glick.org/glick/gui/work"
)

// folderRows are the bundle folders in the preferences, and the row that adds one.
type folderRows struct {
	app    *application
	window *adw.PreferencesWindow
	group  *adw.PreferencesGroup
	rows   []*adw.ActionRow
	add    *adw.ActionRow
	closed bool
}

func newFolderRows(a *application, w *adw.PreferencesWindow, group *adw.PreferencesGroup) *folderRows {
	r := &folderRows{app: a, window: w, group: group}
	r.add = plainRow()
	r.add.SetTitle(tr.T("Add Folder…"))
	r.add.SetActivatable(true)
	plus := gtk.NewImageFromIconName("list-add-symbolic")
	r.add.AddPrefix(plus)
	decorate(&plus.Widget)
	r.add.ConnectActivated(r.choose)
	w.ConnectCloseRequest(func() bool {
		r.closed = true
		return false
	})
	r.show(work.Folders())
	return r
}

// show puts the folders into the group. The row that adds one is the last.
func (r *folderRows) show(folders []state.BundleFolder) {
	if r.closed {
		return
	}
	focused := r.focused()
	if r.rows != nil {
		r.group.Remove(r.add)
	}
	for _, row := range r.rows {
		r.group.Remove(row)
	}
	r.rows = nil
	for _, f := range folders {
		row := r.row(f)
		r.rows = append(r.rows, row)
		r.group.Add(row)
	}
	r.group.Add(r.add)
	switch {
	case focused < 0:
	case focused < len(r.rows):
		r.rows[focused].GrabFocus()
	default:
		r.add.GrabFocus()
	}
}

// focused is which row has the focus, or something in it; -1 for none, a number beyond the folders for the last.
func (r *folderRows) focused() int {
	has := func(row *adw.ActionRow) bool { return row.HasFocus() || row.FocusChild() != nil }
	for i, row := range r.rows {
		if has(row) {
			return i
		}
	}
	if has(r.add) {
		return len(r.rows) + 1
	}
	return -1
}

func (r *folderRows) row(f state.BundleFolder) *adw.ActionRow {
	row := plainRow()
	title, text := f.Words()
	row.SetTitle(title)
	row.SetSubtitle(text)
	if f.Problem != nil {
		warning := gtk.NewImageFromIconName("dialog-warning-symbolic")
		warning.AddCSSClass("warning")
		row.AddPrefix(warning)
		decorate(&warning.Widget)
	}
	if f.There {
		r.button(row, "folder-open-symbolic", tr.T("Open Folder"), tr.F("Open {folder}", "folder", f.Shown), func() { r.open(f.Path) })
	}
	if f.Added {
		r.button(row, "list-remove-symbolic", tr.T("Remove From the List"), tr.F("Remove {folder} from the list", "folder", f.Shown), func() { r.remove(f) })
	}
	return row
}

func (r *folderRows) button(row *adw.ActionRow, icon, tip, name string, clicked func()) {
	button := gtk.NewButtonFromIconName(icon)
	button.SetVAlign(gtk.AlignCenter)
	button.AddCSSClass("flat")
	button.SetTooltipText(tip)
	describe(&button.Widget, name)
	button.ConnectClicked(clicked)
	row.AddSuffix(button)
}

func (r *folderRows) open(path string) {
	context := gtk.BaseWidget(r.window).Display().AppLaunchContext()
	if err := gio.AppInfoLaunchDefaultForURI(work.FileURI(path), &context.AppLaunchContext); err != nil {
		showCause(&r.window.Window.Window, state.FailedCause(tr.T("Could Not Open the Folder"), err, path))
	}
}

// choose lets the user pick a folder to be added.
func (r *folderRows) choose() {
	chooser := gtk.NewFileChooserNative(tr.T("Add a Folder of Applications"), &r.window.Window.Window, gtk.FileChooserActionSelectFolder, tr.T("_Add"), tr.T("_Cancel"))
	chooser.SetModal(true)
	chooser.ConnectResponse(func(response int) {
		if response == int(gtk.ResponseAccept) {
			path := "" // of a place that is not on this computer
			if f := chooser.File(); f != nil {
				path = f.Path()
			}
			r.change(func() error { return work.AddFolder(path) }, func(err error) {
				if err != nil {
					showCause(&r.window.Window.Window, state.FolderCause(err, path))
				}
			})
		}
		chooser.Destroy()
	})
	chooser.Show()
}

func (r *folderRows) remove(f state.BundleFolder) {
	r.change(func() error { return work.RemoveFolder(f.Path) }, func(err error) {
		if err != nil {
			showCause(&r.window.Window.Window, state.FailedCause(tr.T("Could Not Remove the Folder"), err, f.Path))
			return
		}
		t := adw.NewToast(glib.MarkupEscapeText(f.RemovedWords(), -1))
		t.SetButtonLabel(tr.T("U_ndo"))
		t.SetTimeout(10)
		t.Connect("button-clicked", func() {
			r.change(func() error { return work.AddFolder(f.Path) }, func(err error) {
				if err != nil && !r.closed {
					showCause(&r.window.Window.Window, state.FolderCause(err, f.Path))
				}
			})
		})
		r.window.AddToast(t)
		whileShown(t, r.nameToasts)
	})
}

// change has something done about the folders, shows what has come of it at once, and again when the bundles have been read and the desktop shows them.
func (r *folderRows) change(do func() error, done func(error)) {
	r.app.work(func() func() {
		err := do()
		folders := work.FoldersUncounted()
		return func() {
			if err == nil {
				r.show(folders)
				r.refresh()
			}
			if !r.closed {
				done(err)
			}
		}
	})
}

func (r *folderRows) refresh() {
	r.app.work(func() func() {
		work.Refresh(context.Background())
		folders := work.Folders()
		return func() { r.show(folders) }
	})
}

// nameToasts is nameToastButtons for a window whose overlay is its own.
func (r *folderRows) nameToasts() {
	overlay := toastOverlay(&r.window.Widget)
	if r.closed || overlay == nil {
		return
	}
	for child := overlay.FirstChild(); child != nil; {
		base := gtk.BaseWidget(child)
		if content := overlay.Child(); content == nil || !base.Eq(gtk.BaseWidget(content)) {
			nameToastButtons(base)
		}
		child = base.NextSibling()
	}
}

func toastOverlay(w *gtk.Widget) *adw.ToastOverlay {
	for child := w.FirstChild(); child != nil; {
		base := gtk.BaseWidget(child)
		if o, ok := base.Cast().(*adw.ToastOverlay); ok {
			return o
		}
		if o := toastOverlay(base); o != nil {
			return o
		}
		child = base.NextSibling()
	}
	return nil
}
