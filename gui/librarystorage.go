// SPDX-License-Identifier: MIT

package gui

import "github.com/diamondburned/gotk4/pkg/gtk/v4"

// storagePage shows what takes the space.
type storagePage struct{ w *libraryWindow }

func newStoragePage(w *libraryWindow, _ *gtk.Stack) *storagePage { return &storagePage{w} }

func (p *storagePage) show()    {}
func (p *storagePage) changed() {}
