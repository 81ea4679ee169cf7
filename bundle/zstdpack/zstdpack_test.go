// SPDX-License-Identifier: MIT

package zstdpack

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// decode unpacks a frame.
func decode(t testing.TB, frame []byte, size int) []byte {
	t.Helper()
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	out, err := d.DecodeAll(frame, make([]byte, 0, size))
	if err != nil {
		t.Fatalf("the frame of %d bytes, %d packed, cannot be unpacked: %v", size, len(frame), err)
	}
	return out
}

func samples(t testing.TB) map[string][]byte {
	r := rand.New(rand.NewSource(1))
	noise := make([]byte, 300<<10)
	r.Read(noise)
	skewed := make([]byte, 200<<10)
	for i := range skewed {
		skewed[i] = byte(r.ExpFloat64() * 5)
	}
	sparse := make([]byte, 1<<20)
	for range 2000 {
		sparse[r.Intn(len(sparse))] = byte(r.Intn(256))
	}
	mixed := append(append(bytes.Clone(noise[:70<<10]), strings.Repeat("some text that comes again and again, ", 5000)...), skewed...)
	// Behind what is all matches, digits are cheapest as literals: a block without a match.
	var alone []byte
	for i := range 10000 {
		alone = fmt.Appendf(alone, "folder%03d/file%05d.txt\n", i/100, i)
	}
	alone = hex.AppendEncode(alone, noise)
	program, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	list := map[string][]byte{
		"nothing": nil, "a byte": {7}, "two": []byte("ab"), "three": []byte("aaa"), "short text": []byte("hello, hello, hello, hello"), "zeros": make([]byte, 4<<20),
		"one byte again": bytes.Repeat([]byte{9}, 70000), "noise": noise, "skewed": skewed, "sparse": sparse, "mixed": mixed, "literals alone": alone,
		"program": program[:min(len(program), 2<<20)], "period of 3": bytes.Repeat([]byte("abc"), 50000), "255": noise[:255], "256": noise[:256], "65791": skewed[:65791],
		"65792": skewed[:65792], "all bytes": func() []byte {
			var b []byte
			for i := range 4096 {
				b = append(b, byte(i), byte(i>>3))
			}
			return b
		}(),
	}
	for _, n := range []int{1000, 1023, 1024, 16383, 16384, 128 << 10, 128<<10 + 1} {
		list["mixed "+string(rune('a'+len(list)))] = mixed[len(mixed)-n:]
	}
	if testing.Short() {
		for name, data := range list {
			list[name] = data[:min(len(data), maxBlock+70<<10)]
		}
	}
	return list
}

func TestRoundTrip(t *testing.T) {
	var e Encoder
	for name, data := range samples(t) {
		frame := e.Encode([]byte("before"), data)
		if string(frame[:6]) != "before" {
			t.Fatalf("%s: what was there is gone", name)
		}
		frame = frame[6:]
		if got := decode(t, frame, len(data)); !bytes.Equal(got, data) {
			t.Errorf("%s: %d bytes come back as %d others", name, len(data), len(got))
		}
		if len(frame) > len(data)+3*(len(data)/maxBlock+1)+10 {
			t.Errorf("%s: %d bytes become %d", name, len(data), len(frame))
		}
		var other Encoder
		if !bytes.Equal(other.Encode(nil, data), frame) {
			t.Errorf("%s: another encoder gives another frame", name)
		}
	}
}

// TestReference lets the original's program unpack, and compares sizes with one of its highest levels.
func TestReference(t *testing.T) {
	if testing.Short() {
		t.Skip("compares sizes, which are those of whole samples")
	}
	if _, err := exec.LookPath("zstd"); err != nil {
		t.Skipf("zstd is not installed: %v", err)
	}
	var e Encoder
	var ours, theirs int
	for name, data := range samples(t) {
		frame := e.Encode(nil, data)
		cmd := exec.Command("zstd", "-dc")
		cmd.Stdin = bytes.NewReader(frame)
		got, err := cmd.Output()
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: zstd gives %d bytes of %d, %v", name, len(got), len(data), err)
		}
		if name == "noise" {
			continue
		}
		cmd = exec.Command("zstd", "-18", "-c", "--no-check")
		cmd.Stdin = bytes.NewReader(data)
		if got, err = cmd.Output(); err != nil {
			t.Fatal(err)
		}
		ours += len(frame)
		theirs += len(got)
	}
	if ours > theirs*106/100 {
		t.Errorf("%d bytes, zstd -18 makes %d", ours, theirs)
	}
	t.Logf("%d bytes, zstd -18 makes %d", ours, theirs)
}

func TestShrinks(t *testing.T) {
	list := samples(t)
	for name, want := range map[string]bool{
		"nothing": false, "short text": false, "noise": false, "skewed": true, "zeros": true, "program": true, "255": false,
	} {
		if got := Shrinks(list[name], 40); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestEndOfBuffer has matches that end at every place near the end, where the finder reads into the padding: it must not take that for content. With the
// build tag zstdpack_safe the test also fails when anything behind the padding is read.
func TestEndOfBuffer(t *testing.T) {
	var e Encoder
	e.Encode(nil, bytes.Repeat([]byte{0xff}, 4096)) // leaves something where the next padding is
	for n := range 200 {
		for _, data := range [][]byte{make([]byte, n), append(bytes.Repeat([]byte("abcdefgh\x00"), 3), make([]byte, n)...), bytes.Repeat([]byte("0123456789"), 30)[:n+50]} {
			frame := e.Encode(nil, data)
			if got := decode(t, frame, len(data)); !bytes.Equal(got, data) {
				t.Fatalf("%d bytes %q come back as others", len(data), data)
			}
		}
	}
}

func FuzzRoundTrip(f *testing.F) {
	for _, data := range samples(f) {
		f.Add(data[:min(len(data), 4000)], uint8(1))
	}
	var e Encoder
	f.Fuzz(func(t *testing.T, data []byte, times uint8) {
		data = bytes.Repeat(data, int(times%8)+1)
		if len(data) > MaxSize {
			return
		}
		if got := decode(t, e.Encode(nil, data), len(data)); !bytes.Equal(got, data) {
			t.Fatalf("%d bytes come back as others", len(data))
		}
	})
}
