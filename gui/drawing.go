// SPDX-License-Identifier: MIT

package gui

import (
	"os"
	"path/filepath"

	"github.com/diamondburned/gotk4/pkg/glib/v2"
	"github.com/diamondburned/gotk4/pkg/gtk/v4"
)

// graphics are what computers with hardware for drawing have at least one of.
var graphics = []string{"/dev/dri/renderD*", "/dev/nvidia[0-9]*", "/dev/dxg", "/dev/mali*", "/dev/kgsl-*"}

// drawPlainly has GTK draw without OpenGL where no hardware would do it: to load what does that by the processor takes longer than all else that a
// window needs, and draws no faster. Whoever has chosen a way to draw keeps it. end is for when GTK has taken notice, which is when a window has been
// realized: programs that are started later are not concerned. Those that Go starts never are, as the variables are set behind its back.
func drawPlainly() (end func()) {
	const (
		// disabling is the first minor version of GTK 4 that reads GDK_DISABLE, and complains about this value of GDK_DEBUG.
		disabling = 16
		renderer  = "GSK_RENDERER"
		cairo     = "cairo"
	)
	if hasAny(graphics) {
		return func() {}
	}
	choice := map[string]string{"GDK_DEBUG": "gl-disable"}
	if gtk.GetMinorVersion() >= disabling {
		choice = map[string]string{"GDK_DISABLE": "gl,vulkan"}
	}
	if chosen, set := os.LookupEnv(renderer); !set {
		choice[renderer] = cairo
	} else if chosen != cairo {
		return func() {}
	}
	for name := range choice {
		if _, set := os.LookupEnv(name); set {
			return func() {}
		}
	}
	for name, value := range choice {
		glib.Setenv(name, value, true)
	}
	return func() {
		for name := range choice {
			glib.Unsetenv(name)
		}
	}
}

func hasAny(patterns []string) bool {
	for _, p := range patterns {
		if found, _ := filepath.Glob(p); len(found) > 0 {
			return true
		}
	}
	return false
}
