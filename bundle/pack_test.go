// SPDX-License-Identifier: MIT

package bundle

import (
	"bytes"
	"math/rand"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// TestCompress has one chunk for each way to pack one.
func TestCompress(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	noise := make([]byte, 100<<10)
	r.Read(noise)
	c, err := newCompressor()
	if err != nil {
		t.Fatal(err)
	}
	d, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	text := []byte(strings.Repeat("some words, and then others; ", 1000))
	for _, x := range []struct {
		name        string
		raw         []byte
		least, most int // bytes stored
	}{
		{"zeros", make([]byte, 4096), 0, 0},
		{"noise", noise, len(noise), len(noise)},
		{"text", text, 1, len(text) / 50},
		// Its bytes are as good as random, but half of it is known from the other half.
		{"noise twice", append(bytes.Clone(noise), noise...), len(noise), len(noise) + 1000},
		// Little of it can be packed: what the quick look has found is taken.
		{"a little text and noise", append(bytes.Clone(text[:4800]), noise...), len(noise), len(noise) + 300},
	} {
		p := c.compress(x.raw, false)
		if n := len(p.stored); n < x.least || n > x.most {
			t.Errorf("%s: %d bytes are stored as %d", x.name, len(x.raw), n)
		}
		if n := len(p.stored); n > 0 && n < len(x.raw) {
			if got, err := d.DecodeAll(p.stored, nil); err != nil || !bytes.Equal(got, x.raw) {
				t.Errorf("%s: it comes back as %d other bytes, %v", x.name, len(got), err)
			}
		}
	}
}
