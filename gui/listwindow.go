// SPDX-License-Identifier: MIT

package gui

func newListWindow(a *application, paths []string) {
	for _, p := range paths {
		a.openBundle(p)
	}
}
