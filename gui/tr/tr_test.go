// SPDX-License-Identifier: MIT

package tr

import "testing"

type shouting struct{}

func (shouting) Get(msg string) string               { return "<" + msg + ">" }
func (shouting) Plural(_, many string, _ int) string { return "<" + many + ">" }

func TestTranslate(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{T("a"), "a"},
		{F("{a} and {b}", "b", "2", "a", "{b}"), "{b} and 2"},
		{F("{a} and {c}", "a"), "{a} and {c}"},
		{N("{n} byte", "{n} bytes", 1, "n", "1"), "1 byte"},
		{N("{n} byte", "{n} bytes", 0, "n", "0"), "0 bytes"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
	Use(shouting{})
	defer Use(english{})
	if got := F("{a}", "a", "1"); got != "<1>" {
		t.Errorf("a catalogue is not asked: %q", got)
	}
	if got := N("one", "many", 3); got != "<many>" {
		t.Errorf("a catalogue is not asked: %q", got)
	}
}
