// SPDX-License-Identifier: MIT

package xdgexport

import "testing"

// A pattern with a mistake would be noticed only when it is used.
func TestPatterns(t *testing.T) {
	for _, p := range []pattern{
		commandName, pageFolder, pageLocale, actionName, localised, dotted, iconName, fontName, sizeFolder, contextFolder, mimeType, language, extension,
		scheme, plainName, objectPath, busName,
	} {
		if p.MatchString("") {
			t.Errorf("%s allows an empty name", p())
		}
	}
}
