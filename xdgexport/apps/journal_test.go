// SPDX-License-Identifier: MIT

package apps

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// A file in the place of another may have got its number, and be as long: what is read is what is there all the same.
func TestJournalReplaced(t *testing.T) {
	var got []string
	reset, line := func() { got = nil }, func(l []byte) { got = append(got, string(l)) }
	j := journal{path: filepath.Join(t.TempDir(), "journal")}
	want := func(lines ...string) {
		t.Helper()
		if err := j.read(reset, line); err != nil || !slices.Equal(got, lines) {
			t.Errorf("read %q, %v, want %q", got, err, lines)
		}
	}
	write := func(text string) {
		t.Helper()
		mustDo(t, os.RemoveAll(j.path), os.WriteFile(j.path, []byte(text), 0o600))
	}
	for range 5 {
		write("one\ntwo\n")
		want("one", "two")
		write("two\none\n")
		want("two", "one")
		write("three\nfour\nfive\n")
		want("three", "four", "five")
		mustDo(t, os.Remove(j.path))
		want()
	}
	// The lock goes with who held it, not with who has read the file.
	add := func(j *journal, text string) {
		t.Helper()
		mustDo(t, j.add(func() {}, func([]byte) {}, func() [][]byte { return [][]byte{[]byte(text + "\n")} }))
	}
	other := journal{path: j.path}
	add(&j, "one")
	add(&other, "two")
	add(&j, "three")
	got = nil
	fresh := journal{path: j.path}
	if err := fresh.read(reset, line); err != nil || !slices.Equal(got, []string{"one", "two", "three"}) {
		t.Errorf("written by two: %q, %v", got, err)
	}
}
