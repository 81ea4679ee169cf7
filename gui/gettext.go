// SPDX-License-Identifier: MIT

package gui

// #include <libintl.h>
// #include <locale.h>
// #include <stdlib.h>
import "C"

import (
	"os"
	"path/filepath"
	"unsafe"

	"glick.org/glick/gui/tr"
)

// gettext is the C library's message catalogues, which GTK uses for the .ui files too.
type gettext struct{ domain *C.char }

// useGettext makes the person's language the one of all windows. The catalogues lie beside the program: PREFIX/bin and
// PREFIX/share/locale. GLICK_LOCALE_DIR names another place, for a program that is not installed.
func useGettext() {
	empty := C.CString("")
	defer C.free(unsafe.Pointer(empty))
	C.setlocale(C.LC_ALL, empty)

	dir := os.Getenv("GLICK_LOCALE_DIR")
	if exe, err := os.Executable(); err == nil && dir == "" {
		dir = filepath.Join(filepath.Dir(filepath.Dir(exe)), "share", "locale")
	}
	g := gettext{domain: C.CString(tr.Domain)} // never freed: it is used until the end
	cDir, utf8 := C.CString(dir), C.CString("UTF-8")
	defer C.free(unsafe.Pointer(cDir))
	defer C.free(unsafe.Pointer(utf8))
	C.bindtextdomain(g.domain, cDir)
	C.bind_textdomain_codeset(g.domain, utf8)
	tr.Use(g)
}

func (g gettext) Get(msg string) string {
	if msg == "" {
		return "" // gettext answers the empty message with the catalogue's header
	}
	c := C.CString(msg)
	defer C.free(unsafe.Pointer(c))
	return C.GoString(C.dgettext(g.domain, c))
}

func (g gettext) Plural(one, many string, n int) string {
	c1, c2 := C.CString(one), C.CString(many)
	defer C.free(unsafe.Pointer(c1))
	defer C.free(unsafe.Pointer(c2))
	return C.GoString(C.dngettext(g.domain, c1, c2, C.ulong(max(n, 0))))
}
