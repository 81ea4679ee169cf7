// SPDX-License-Identifier: MIT

package premain

import (
	"bytes"
	"math/rand/v2"
	"os"
	"testing"
	"unsafe"

	"github.com/pierrec/lz4/v4"
)

func block(t testing.TB, raw []byte) []byte {
	t.Helper()
	out := make([]byte, lz4.CompressBlockBound(len(raw)))
	n, err := lz4.CompressBlockHC(raw, out, lz4.Level9, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return out[:n]
}

func decodeSlice(src []byte, size int) ([]byte, bool) {
	dst := make([]byte, size)
	ok := decode(unsafe.Pointer(unsafe.SliceData(src)), uintptr(len(src)), unsafe.Pointer(unsafe.SliceData(dst)), uintptr(size))
	return dst, ok
}

func TestDecode(t *testing.T) {
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	overlapping := bytes.Repeat([]byte("ab"), 100)
	overlapping = append(overlapping, bytes.Repeat([]byte("abcdefghijk"), 1000)...)
	overlapping = append(overlapping, bytes.Repeat([]byte("x"), 70000)...)
	for name, raw := range map[string][]byte{"program": self[:1<<20], "repetitions": overlapping} {
		packed := block(t, raw)
		if got, ok := decodeSlice(packed, len(raw)); !ok || !bytes.Equal(got, raw) {
			t.Errorf("%s: not the same", name)
		}
		if _, ok := decodeSlice(packed, len(raw)-1); ok {
			t.Errorf("%s: fits into less", name)
		}
		if _, ok := decodeSlice(packed, len(raw)+1); ok {
			t.Errorf("%s: fills more", name)
		}
		if _, ok := decodeSlice(packed[:len(packed)-1], len(raw)); ok {
			t.Errorf("%s: is whole without its end", name)
		}
	}
}

// FuzzDecode damages blocks. The guards around both memories tell whether anything outside was touched.
func FuzzDecode(f *testing.F) {
	raw := bytes.Repeat([]byte("what is said once, is said again. "), 50)
	f.Add(block(f, raw), uint16(len(raw)))
	f.Add([]byte{0xf0, 0xff}, uint16(300))
	f.Add([]byte{0x10, 'a', 1, 0}, uint16(5))
	f.Fuzz(func(t *testing.T, src []byte, size uint16) {
		const guard = 64
		memory := make([]byte, guard+int(size)+guard)
		for i := range memory {
			memory[i] = byte(rand.Uint32())
		}
		before := bytes.Clone(memory)
		decode(unsafe.Pointer(unsafe.SliceData(src)), uintptr(len(src)), unsafe.Pointer(&memory[guard]), uintptr(size))
		if !bytes.Equal(memory[:guard], before[:guard]) || !bytes.Equal(memory[guard+int(size):], before[guard+int(size):]) {
			t.Fatal("it writes outside of its memory")
		}
	})
}

func TestCalls(t *testing.T) {
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	edges := []byte{0xe8, 0, 0, 0, 0, 0xe9, 0xff, 0xff, 0xff, 0xff, 0xe8, 11, 0, 0, 0, 0xe8, 0x10, 0, 0, 0, 0xe9, 0xff, 0xff, 0xff, 0x7f, 0xe8, 0, 0, 0, 0x80, 0xe8}
	for name, raw := range map[string][]byte{"program": self[:1<<20], "edges": edges, "short": {0xe8, 1, 2}, "empty": nil} {
		code := bytes.Clone(raw)
		EncodeCalls(code)
		if name == "program" && bytes.Equal(code, raw) {
			t.Errorf("%s: nothing has changed", name)
		}
		decodeCalls(unsafe.Pointer(unsafe.SliceData(code)), uintptr(len(code)))
		if !bytes.Equal(code, raw) {
			t.Errorf("%s: not the same", name)
		}
	}
}

func FuzzCalls(f *testing.F) {
	f.Add([]byte{0xe8, 1, 0, 0, 0, 0xe9, 0xfb, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, raw []byte) {
		code := bytes.Clone(raw)
		EncodeCalls(code)
		decodeCalls(unsafe.Pointer(unsafe.SliceData(code)), uintptr(len(code)))
		if !bytes.Equal(code, raw) {
			t.Fatal("not the same")
		}
	})
}
