// SPDX-License-Identifier: MIT

package bundle

import (
	"bytes"
	"encoding/hex"
	"math/rand"
	"os"
	"testing"
)

// TestFilterX86 has one case for each line of the table in doc/format.md, with a distance of 0x10 and with one that is none.
func TestFilterX86(t *testing.T) {
	for _, c := range []struct{ name, plain, filtered string }{
		{"call", "e810000000909090", "e800000015909090"},
		{"jmp, backwards", "e9f0ffffff909090", "e9fffffff5909090"},
		{"jump on a condition", "0f84100000009090", "0f84000000169090"},
		{"call of what is addressed", "ff15100000009090", "ff15000000169090"},
		{"mov from memory", "488b051000000090", "488b050000001790"},
		{"mov from another register", "488b041000000090", "488b041000000090"},
		{"far away", "e844332211909090", "e811223344909090"},
		{"too near to the end", "e81000000090", "e81000000090"},
		{"second instruction", "90e81000000090909090", "90e80000001690909090"},
	} {
		p, err := hex.DecodeString(c.plain)
		if err != nil {
			t.Fatal(err)
		}
		filterX86Code(p)
		if got := hex.EncodeToString(p); got != c.filtered {
			t.Errorf("%s: %s, want %s", c.name, got, c.filtered)
		}
		unfilterX86Code(p)
		if got := hex.EncodeToString(p); got != c.plain {
			t.Errorf("%s: it comes back as %s", c.name, got)
		}
	}
}

func TestFilterComesBack(t *testing.T) {
	program, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewSource(1))
	dense := make([]byte, 1<<20)
	for i := range dense {
		dense[i] = []byte{0xe8, 0x0f, 0x84, 0x48, 0x8b, 0x05, 0xff, 0x15, 0, 0xff, 0xe9}[r.Intn(11)]
	}
	for name, p := range map[string][]byte{"program": program, "dense": dense} {
		q := bytes.Clone(p)
		filterX86Code(q)
		if bytes.Equal(p, q) {
			t.Errorf("%s: nothing changes", name)
		}
		unfilterX86Code(q)
		if !bytes.Equal(p, q) {
			t.Errorf("%s: it comes back as something else", name)
		}
	}
}

func FuzzFilter(f *testing.F) {
	f.Add([]byte("\xe8\x10\x00\x00\x00\x0f\x84\x01\x02\x03\x04\x48\x8b\x05\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p := bytes.Clone(data)
		filterX86Code(p)
		unfilterX86Code(p)
		if !bytes.Equal(p, data) {
			t.Fatalf("%x comes back as %x", data, p)
		}
	})
}
