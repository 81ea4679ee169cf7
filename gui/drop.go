// SPDX-License-Identifier: MIT

package gui

// #cgo pkg-config: gtk4
// #include <gtk/gtk.h>
//
// static GSList *dropped_files(guintptr value) {
//   GValue *v = (GValue *)value;
//   if (!G_VALUE_HOLDS(v, GDK_TYPE_FILE_LIST)) return NULL;
//   GdkFileList *l = g_value_get_boxed(v);
//   return l ? gdk_file_list_get_files(l) : NULL;
// }
// static char *file_path(gpointer f) { return g_file_get_path(f); }
// static GType file_list_type(void) { return GDK_TYPE_FILE_LIST; }
import "C"

import (
	"runtime"

	coreglib "github.com/diamondburned/gotk4/pkg/core/glib"
	"github.com/diamondburned/gotk4/pkg/gdk/v4"
	"github.com/diamondburned/gotk4/pkg/gtk/v4"
)

// maxDropped is how many files of one drop are looked at.
const maxDropped = 500

// onDropFiles calls f with the paths of the files that are dropped on the widget; f says whether it took them. The bindings do not know lists of
// files, hence the C.
func onDropFiles(w *gtk.Widget, f func(paths []string) bool) *gtk.DropTarget {
	target := gtk.NewDropTarget(coreglib.Type(C.file_list_type()), gdk.ActionCopy)
	target.ConnectDrop(func(value *coreglib.Value, _, _ float64) bool {
		paths := droppedPaths(value)
		return len(paths) > 0 && f(paths)
	})
	w.AddController(target)
	return target
}

// droppedPaths are the paths of the files in a value that holds a GdkFileList. Files that are not on this computer have none.
func droppedPaths(value *coreglib.Value) []string {
	list := C.dropped_files(C.guintptr(value.Native()))
	defer C.g_slist_free(list) // the files belong to the value
	var paths []string
	for l := list; l != nil && len(paths) < maxDropped; l = l.next {
		if p := C.file_path(l.data); p != nil {
			paths = append(paths, C.GoString(p))
			C.g_free(C.gpointer(p))
		}
	}
	runtime.KeepAlive(value)
	return paths
}
