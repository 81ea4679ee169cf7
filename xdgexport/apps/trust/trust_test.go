// SPDX-License-Identifier: MIT

package trust

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

const id = "org.example.App"

var (
	now  = time.Date(2026, 11, 26, 12, 0, 0, 5, time.UTC)
	none Key
	keyA = Key{Fingerprint: "SHA256:" + base64.RawStdEncoding.EncodeToString(make([]byte, 32)), Type: "ssh-ed25519", Public: "ssh-ed25519 AAAA"}
	keyB = Key{Fingerprint: "SHA256:" + base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("b", 32))), Comment: "B"}
)

func digest(n int) string { return fmt.Sprintf("%064x", n) }

// put does what the caller does: writes the line and reads it back.
func put(t *testing.T, b *Book, r *Record, err error) {
	t.Helper()
	if err == nil && r != nil {
		_, err = b.Add(r.Line())
	}
	if err != nil {
		t.Fatal(err)
	}
}

func want(t *testing.T, b *Book, key Key, d int, want State) {
	t.Helper()
	if got := b.Judge(id, key, digest(d)); got != want {
		t.Errorf("bundle %d is %v, want %v", d, got, want)
	}
}

func TestFirstUse(t *testing.T) {
	var b Book
	want(t, &b, keyA, 1, FirstSeen)
	want(t, &b, none, 1, Unsigned)
	put(t, &b, b.Learn(id, keyA, digest(1), nil, now), nil)
	want(t, &b, keyA, 1, FirstSeen)
	want(t, &b, keyA, 2, Verified)
	want(t, &b, keyB, 3, Changed)
	want(t, &b, none, 4, Changed)
	for _, k := range []Key{none, keyA, keyB} {
		if r := b.Learn(id, k, digest(9), nil, now); r != nil {
			t.Errorf("learned %+v", r)
		}
	}

	r, err := b.AcceptKey(id, keyB, now)
	put(t, &b, r, err)
	want(t, &b, keyB, 3, Verified)
	want(t, &b, keyA, 1, Verified)
	want(t, &b, none, 4, Changed)
	if c := b.Comment(id, keyB.Fingerprint); c != "B" {
		t.Errorf("the comment is %q", c)
	}
	r, err = b.AcceptDigest(id, digest(4), now)
	put(t, &b, r, err)
	want(t, &b, none, 4, Unsigned)
	want(t, &b, none, 5, Changed)

	put(t, &b, b.Forget(id), nil)
	want(t, &b, none, 5, Unsigned)
	if b.Len() != 0 || b.Forget(id) != nil {
		t.Error("not forgotten")
	}
}

// Signing begins with some version: it is not asked about, and what is there stays usable.
func TestUnsignedBecomesSigned(t *testing.T) {
	var b Book
	put(t, &b, b.Learn(id, none, digest(1), nil, now), nil)
	if r := b.Record(id); r == nil || !r.Known || len(r.Keys) != 0 {
		t.Fatalf("that it is unsigned is not remembered: %+v", r)
	}
	want(t, &b, none, 2, Unsigned)
	want(t, &b, keyA, 3, FirstSeen)
	put(t, &b, b.Learn(id, keyA, digest(3), []string{digest(1)}, now), nil)
	want(t, &b, none, 1, Unsigned)
	want(t, &b, none, 2, Changed)
	want(t, &b, keyB, 4, Changed)
}

func TestChoice(t *testing.T) {
	var b Book
	put(t, &b, b.Learn(id, keyA, digest(1), nil, now), nil)
	r, err := b.Choose(id, "1.0")
	put(t, &b, r, err)
	put(t, &b, b.Forget(id), nil)
	if b.Choice(id) != "1.0" || b.Record(id).Known {
		t.Errorf("forgetting the key left %+v", b.Record(id))
	}
	put(t, &b, b.Learn(id, keyB, digest(2), nil, now), nil)
	if b.Choice(id) != "1.0" {
		t.Error("learning a key forgot the choice")
	}
	r, err = b.Choose(id, "")
	put(t, &b, r, err)
	if r, err := b.Choose(id, ""); r != nil || err != nil {
		t.Errorf("chosen again: %+v, %v", r, err)
	}
}

func TestRefused(t *testing.T) {
	var b Book
	for _, line := range []string{
		"", "x", "[]", `{"id":"x"}`, `{"id":"../../x.y"}`, `{"id":"a.b","keys":[{"fingerprint":"MD5:x"}]}`, `{"id":"a.b","accepted":["../x"]}`,
		`{"id":"a.b","first":"ABCD"}`, `{"id":"a.b","version":"` + strings.Repeat("x", maxText+1) + `"}`,
		`{"id":"a.b","keys":[` + strings.Repeat(`{"fingerprint":"`+keyA.Fingerprint+`"},`, maxKeys) + `{"fingerprint":"` + keyA.Fingerprint + `"}]}`,
		strings.Repeat("[", 100_000),
	} {
		if _, err := b.Add([]byte(line)); err == nil {
			t.Errorf("accepted %.80q", line)
		}
	}
	if b.Len() != 0 {
		t.Error("something was taken over")
	}
	if _, err := b.AcceptKey(id, Key{Fingerprint: "x"}, now); err == nil {
		t.Error("accepted a key x")
	}
	if _, err := b.AcceptKey("x", keyA, now); err == nil {
		t.Error("accepted an id x")
	}
	if _, err := b.AcceptDigest(id, digest(1)[1:], now); err == nil {
		t.Error("accepted half a digest")
	}
	if _, err := b.Choose(id, "\xff"); err == nil {
		t.Error("chose what is no text")
	}
}

func TestBounds(t *testing.T) {
	var b Book
	put(t, &b, b.Learn(id, keyA, digest(0), nil, now), nil)
	for i := range maxAccepted + 10 {
		r, err := b.AcceptDigest(id, digest(i), now)
		put(t, &b, r, err)
	}
	for i := range maxKeys + 10 {
		sum := slices.Repeat([]byte{byte(i)}, 32)
		r, err := b.AcceptKey(id, Key{Fingerprint: "SHA256:" + base64.RawStdEncoding.EncodeToString(sum)}, now)
		put(t, &b, r, err)
	}
	r := b.Record(id)
	if len(r.Accepted) != maxAccepted || len(r.Keys) != maxKeys || r.Accepted[maxAccepted-1] != digest(maxAccepted+9) {
		t.Errorf("%d accepted, %d keys", len(r.Accepted), len(r.Keys))
	}
	var again Book
	for _, l := range b.Lines() {
		_, err := again.Add(l)
		put(t, &again, nil, err)
	}
	if again.Len() != 1 || !slices.Equal(again.Record(id).Keys, r.Keys) {
		t.Error("written and read back it is another")
	}
}

func FuzzAdd(f *testing.F) {
	f.Add([]byte(`{"id":"org.example.App","known":true,"keys":[{"fingerprint":"SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"}]}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		var b Book
		if _, err := b.Add(line); err != nil {
			return
		}
		for _, l := range b.Lines() {
			if _, err := b.Add(l); err != nil {
				t.Fatal(err)
			}
		}
	})
}
