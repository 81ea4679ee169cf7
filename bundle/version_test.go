// SPDX-License-Identifier: MIT

package bundle_test

import (
	"strings"
	"testing"

	"glick.org/glick/bundle"
)

func TestCompareVersions(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"1.0", "1.0", 0}, {"1.0", "2.0", -1}, {"2.0.1", "2.0", 1}, {"1.9", "1.10", -1}, {"1.010", "1.10", 0},
		{"1.0a", "1.0", 1}, {"1.0a", "1.0b", -1}, {"1.0.1", "1.0a", 1}, {"a", "1", -1}, {"1.0~rc1", "1.0", -1}, {"1.0~rc1", "1.0~rc2", -1},
		{"1.0~~", "1.0~", -1}, {"1.0^git1", "1.0", 1}, {"1.0^git1", "1.0.1", -1}, {"1.0^a", "1.0^b", -1}, {"1.0^a~1", "1.0^a", -1},
		{"1_0", "1.0", 0}, {"", "", 0}, {"", "1", -1}, {"1:1.0", "2.0", 1}, {"0:1.0", "1.0", 0}, {"1.0-1", "1.0-2", -1}, {"1.0-1", "1.0", 0},
		{"99999999999999999999999", "99999999999999999999998", 1}, {"1..0", "1.0", 0}, {"1.0.", "1.0", 0},
	} {
		if got := bundle.CompareVersions(c.a, c.b); got != c.want {
			t.Errorf("%q and %q: %d, want %d", c.a, c.b, got, c.want)
		}
		if got := bundle.CompareVersions(c.b, c.a); got != -c.want {
			t.Errorf("%q and %q: %d, want %d", c.b, c.a, got, -c.want)
		}
	}
}

func TestValidID(t *testing.T) {
	for _, id := range []string{"org.example.App", "a.b", "org.example._7zip", "org.gnome.TextEditor", "com.a-b.c"} {
		if err := bundle.ValidID(id); err != nil {
			t.Errorf("%q: %v", id, err)
		}
	}
	for _, id := range []string{"", "app", ".a.b", "a.b.", "a..b", "org.7zip", "a/b.c", "../a.b", "a.b c", "a.ü", "a.b\n", "-a.b", strings.Repeat("a.", 128) + "a"} {
		if bundle.ValidID(id) == nil {
			t.Errorf("%q is accepted", id)
		}
	}
}
