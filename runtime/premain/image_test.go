// SPDX-License-Identifier: MIT

package premain

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestImageRoundTrip(t *testing.T) {
	var m Image
	m.Call("first", false, 0, syscall.SYS_GETPID)
	m.Open("second", true, "/dev/null", 0, 0, 9)
	m.WriteFile("third", "/dev/null", "data")
	m.Call("fourth", false, 1, syscall.SYS_WRITE, 1, m.Words(m.CString("x"), 7, uint64(8)), m.Strings([]string{"a", "b"}))
	raw, err := m.Encode([]string{"one", "", "three\x00"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ReadFailure(bytes.NewReader(raw)); err == nil {
		t.Error("an image without a failure has one")
	}
	binary.LittleEndian.PutUint64(raw[headOutcome*8:], 3)
	binary.LittleEndian.PutUint64(raw[headOutcome*8+8:], uint64(syscall.EPERM))
	f, err := ReadFailure(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	if f.Op != 2 || f.Note != "third" || f.Errno != syscall.EPERM || !slices.Equal(f.Context, []string{"one", "", "three\x00"}) {
		t.Errorf("%+v", f)
	}
}

func TestImageIsBounded(t *testing.T) {
	var m Image
	m.CString(strings.Repeat("x", maxImage))
	if _, err := m.Encode(nil); err == nil {
		t.Error("a too big image is accepted")
	}
}

func FuzzReadFailure(f *testing.F) {
	var m Image
	m.Call("note", false, 0, syscall.SYS_GETPID)
	raw, err := m.Encode([]string{"a"})
	if err != nil {
		f.Fatal(err)
	}
	binary.LittleEndian.PutUint64(raw[headOutcome*8:], 1)
	f.Add(raw)
	f.Add(raw[:headSize])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) { ReadFailure(bytes.NewReader(b)) })
}
