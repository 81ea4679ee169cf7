// SPDX-License-Identifier: MIT

// Package trust decides whether a bundle is from whom the application's earlier ones were, and remembers what a user has decided of it.
//
// It is trust on first use: the first bundle of an id says whose signature the later ones must have. What is remembered stays when the bundle
// is deleted, so that deleting it is no way to be trusted anew.
//
//	remembered     bundle is unsigned      signed by a remembered key      signed by another key
//	nothing        Unsigned, remembered    –                               FirstSeen, remembered
//	no key         Unsigned                –                               FirstSeen, remembered
//	keys           Changed                 Verified                        Changed
//
// An id without a key has no protection: whoever wants to pass for its maker leaves his bundle unsigned. So the first signed bundle of
// such an id is taken as the beginning of protection, and is not asked about; unsigned ones that are there already stay accepted.
//
// Everything here is pure. A Book is a list of lines in a file that only grows: a later line about an id replaces the earlier ones.
package trust

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"glick.org/glick/bundle"
	"glick.org/glick/bundle/signature"
)

// State is what is known of a bundle's origin.
type State int

const (
	// Unknown is when nothing has been compared.
	Unknown State = iota
	// Unsigned is a bundle without a signature, of an id that never had one, or that the user has accepted.
	Unsigned
	// FirstSeen is a signed bundle by which its key has become the one of its id.
	FirstSeen
	// Verified is a bundle signed by a key that is remembered from another bundle, or that the user has accepted.
	Verified
	// Changed is a bundle that is signed by another key than is remembered, or by none. It is not used until the user accepts it.
	Changed
	// Damaged is a bundle that is not what its own digests or its signature say. It is never used.
	Damaged
)

var names = [...]string{"unknown", "unsigned", "first seen", "verified", "changed", "damaged"}

func (s State) String() string {
	if s < 0 || int(s) >= len(names) {
		return names[Unknown]
	}
	return names[s]
}

// Usable tells whether a bundle in this state may be shown and started by its id.
func (s State) Usable() bool { return s == Unsigned || s == FirstSeen || s == Verified }

// Key is a public key that signs. The zero value stands for none.
type Key struct {
	Fingerprint string `json:"fingerprint"` // "SHA256:…"
	Type        string `json:"type,omitempty"`
	Comment     string `json:"comment,omitempty"` // what the user calls it
	Public      string `json:"public,omitempty"`  // type and base64
}

// KeyOf turns the key of a signature into one to be remembered. A nil one is none.
func KeyOf(k *signature.Key) Key {
	if k == nil {
		return Key{}
	}
	return Key{Fingerprint: k.Fingerprint, Type: k.Type, Comment: k.Comment, Public: string(k.Public)}
}

// None tells whether there is no key.
func (k Key) None() bool { return k.Fingerprint == "" }

// Most that is remembered of one id, so that nothing grows without end. What is oldest goes first.
const (
	maxKeys     = 64
	maxAccepted = 512
	maxText     = 4096
)

// Record is what is remembered of an id.
type Record struct {
	ID string `json:"id"`
	// Known says that a bundle was seen. Without it, the record is only of what the user wants.
	Known bool  `json:"known,omitempty"`
	Keys  []Key `json:"keys,omitempty"` // whose signature is as expected; none for an id without signatures
	// First is the digest of the bundle that brought the only key, as long as nothing else has confirmed it.
	First    string    `json:"first,omitempty"`
	Since    time.Time `json:"since,omitzero"`
	Accepted []string  `json:"accepted,omitempty"` // digests of bundles that the user has accepted as they are
	Version  string    `json:"version,omitempty"`  // that the user wants; empty for the newest
	// Autostart says that the user wants it to be started with the session.
	Autostart bool `json:"autostart,omitempty"`
	// Excepted says that the user wants shown of it also what is switched off for applications in general.
	Excepted bool `json:"excepted,omitempty"`
}

func (r *Record) clone() *Record {
	c := *r
	c.Keys, c.Accepted = slices.Clone(r.Keys), slices.Clone(r.Accepted)
	return &c
}

// key returns the place of a key by its fingerprint, or -1.
func (r *Record) key(fingerprint string) int {
	return slices.IndexFunc(r.Keys, func(k Key) bool { return k.Fingerprint == fingerprint })
}

// Line writes the record as a line of the file, with its end.
func (r *Record) Line() []byte {
	line, err := json.Marshal(r)
	if err != nil {
		return []byte("\n") // no value of a Record cannot be written
	}
	return append(line, '\n')
}

// Book is all that is remembered. The zero value is empty. It is not for several goroutines at once.
type Book struct {
	records map[string]*Record
}

// Add takes over a line of the file, with or without its end, and returns the id that it is about. A line that cannot be one of ours is an error,
// and changes nothing.
func (b *Book) Add(line []byte) (id string, err error) {
	var r Record
	if err := json.Unmarshal(line, &r); err != nil {
		return "", errors.New("not a record of keys")
	}
	if err := r.check(); err != nil {
		return "", err
	}
	b.Put(&r)
	return r.ID, nil
}

func (r *Record) check() error {
	if err := bundle.ValidID(r.ID); err != nil {
		return err
	}
	if len(r.Keys) > maxKeys || len(r.Accepted) > maxAccepted || len(r.Version) > maxText {
		return fmt.Errorf("more about %s than can be", r.ID)
	}
	for _, k := range r.Keys {
		if !validFingerprint(k.Fingerprint) || len(k.Type)+len(k.Comment)+len(k.Public) > 3*maxText {
			return fmt.Errorf("a key of %s cannot be read", r.ID)
		}
	}
	for _, d := range r.Accepted {
		if !validDigest(d) {
			return fmt.Errorf("a digest of %s cannot be read", r.ID)
		}
	}
	if r.First != "" && !validDigest(r.First) {
		return fmt.Errorf("a digest of %s cannot be read", r.ID)
	}
	return nil
}

func validFingerprint(s string) bool {
	text, ok := strings.CutPrefix(s, "SHA256:")
	if !ok {
		return false
	}
	sum, err := base64.RawStdEncoding.DecodeString(text)
	return err == nil && len(sum) == 32
}

func validDigest(s string) bool {
	sum, err := hex.DecodeString(s)
	return err == nil && len(sum) == len(bundle.Digest{}) && strings.ToLower(s) == s
}

// Put takes over a record that one of the methods below has returned.
func (b *Book) Put(r *Record) {
	if b.records == nil {
		b.records = map[string]*Record{}
	}
	if !r.Known && r.Version == "" && !r.Autostart && !r.Excepted {
		delete(b.records, r.ID)
		return
	}
	b.records[r.ID] = r
}

// Reset forgets all, to read the file anew.
func (b *Book) Reset() { b.records = nil }

// Len is the number of ids of which something is remembered.
func (b *Book) Len() int { return len(b.records) }

// Lines writes the whole book, one line for each id.
func (b *Book) Lines() [][]byte {
	lines := make([][]byte, 0, len(b.records))
	for _, id := range slices.Sorted(maps.Keys(b.records)) {
		lines = append(lines, b.records[id].Line())
	}
	return lines
}

// Record returns what is remembered of an id; nil for nothing. The caller must not change it.
func (b *Book) Record(id string) *Record { return b.records[id] }

// Judge compares a bundle, of which digest is the identity in hexadecimal, to what is remembered.
func (b *Book) Judge(id string, key Key, digest string) State {
	r := b.records[id]
	signed := FirstSeen
	switch {
	case r == nil || !r.Known:
	case key.None():
		if len(r.Keys) > 0 && !slices.Contains(r.Accepted, digest) {
			return Changed
		}
	case r.key(key.Fingerprint) >= 0:
		if r.First != digest {
			signed = Verified
		}
	case slices.Contains(r.Accepted, digest):
		signed = Verified
	case len(r.Keys) > 0:
		return Changed
	}
	if key.None() {
		return Unsigned
	}
	return signed
}

// Comment is what the user calls a key.
func (b *Book) Comment(id, fingerprint string) string {
	if r := b.records[id]; r != nil {
		if i := r.key(fingerprint); i >= 0 {
			return r.Keys[i].Comment
		}
	}
	return ""
}

// Learn returns what is to be remembered now that a bundle was seen, or nil when nothing new is. earlier are the digests of the unsigned bundles of
// the id that were there before it; where an id becomes signed only now, they stay accepted.
func (b *Book) Learn(id string, key Key, digest string, earlier []string, now time.Time) *Record {
	r := &Record{ID: id}
	if old := b.records[id]; old != nil {
		if old.Known && (key.None() || len(old.Keys) > 0 || slices.Contains(old.Accepted, digest)) {
			return nil
		}
		r = old.clone()
	}
	r.Known, r.Since = true, now.UTC().Truncate(time.Second)
	if !key.None() {
		r.Keys, r.First = []Key{key}, digest
		for _, d := range earlier {
			r.accept(d)
		}
	}
	return r
}

func (r *Record) accept(digest string) {
	if slices.Contains(r.Accepted, digest) {
		return
	}
	r.Accepted = append(r.Accepted, digest)
	if n := len(r.Accepted) - maxAccepted; n > 0 {
		r.Accepted = slices.Delete(r.Accepted, 0, n)
	}
}

// AcceptKey returns the record of an id with one more key, which the earlier ones stay beside. Where the key is there already, it is confirmed, and
// takes the comment.
func (b *Book) AcceptKey(id string, key Key, now time.Time) (*Record, error) {
	if !validFingerprint(key.Fingerprint) {
		return nil, fmt.Errorf("%q is not the fingerprint of a key; it must be like SHA256:…", key.Fingerprint)
	}
	if !utf8.ValidString(key.Comment) || len(key.Comment) > maxText {
		return nil, errors.New("the comment is too long, or is not text")
	}
	r, err := b.begin(id, now)
	if err != nil {
		return nil, err
	}
	r.First = ""
	if i := r.key(key.Fingerprint); i >= 0 {
		if key.Comment == "" {
			key.Comment = r.Keys[i].Comment
		}
		if key.Public == "" {
			key.Type, key.Public = r.Keys[i].Type, r.Keys[i].Public
		}
		r.Keys = slices.Delete(r.Keys, i, i+1)
	}
	r.Keys = append(r.Keys, key)
	if n := len(r.Keys) - maxKeys; n > 0 {
		r.Keys = slices.Delete(r.Keys, 0, n)
	}
	return r, nil
}

// AcceptDigest returns the record of an id with one bundle accepted as it is, whoever has signed it or not.
func (b *Book) AcceptDigest(id, digest string, now time.Time) (*Record, error) {
	if !validDigest(digest) {
		return nil, fmt.Errorf("%q is not the digest of a bundle", digest)
	}
	r, err := b.begin(id, now)
	if err != nil {
		return nil, err
	}
	r.accept(digest)
	if r.First == digest {
		r.First = ""
	}
	return r, nil
}

func (b *Book) begin(id string, now time.Time) (*Record, error) {
	if err := bundle.ValidID(id); err != nil {
		return nil, err
	}
	r := &Record{ID: id}
	if old := b.records[id]; old != nil {
		r = old.clone()
	}
	if !r.Known {
		r.Known, r.Since = true, now.UTC().Truncate(time.Second)
	}
	return r, nil
}

// Forget returns the record of an id without keys: the next bundle of it is the first one. As it may be anybody's, it is not started with the
// session, and is no exception to what is switched off. Nil when nothing is remembered.
func (b *Book) Forget(id string) *Record {
	old := b.records[id]
	if old == nil || !old.Known {
		return nil
	}
	return &Record{ID: id, Version: old.Version}
}

// Choose returns the record of an id with the version that the user wants, empty for the newest; nil when it is so already.
func (b *Book) Choose(id, version string) (*Record, error) {
	if err := bundle.ValidID(id); err != nil {
		return nil, err
	}
	if len(version) > maxText || !utf8.ValidString(version) {
		return nil, errors.New("that cannot be a version")
	}
	r := &Record{ID: id}
	if old := b.records[id]; old != nil {
		r = old.clone()
	}
	if r.Version == version {
		return nil, nil
	}
	r.Version = version
	return r, nil
}

// Choice is the version that the user wants of an id, empty for the newest.
func (b *Book) Choice(id string) string {
	if r := b.records[id]; r != nil {
		return r.Version
	}
	return ""
}

// ChooseAutostart returns the record of an id that is to be started with the session, or is not; nil when it is so already.
func (b *Book) ChooseAutostart(id string, on bool) (*Record, error) {
	return b.choose(id, on, func(r *Record) *bool { return &r.Autostart })
}

// ChooseExcepted returns the record of an id of which everything is to be shown, or is not; nil when it is so already.
func (b *Book) ChooseExcepted(id string, on bool) (*Record, error) {
	return b.choose(id, on, func(r *Record) *bool { return &r.Excepted })
}

func (b *Book) choose(id string, on bool, what func(*Record) *bool) (*Record, error) {
	if err := bundle.ValidID(id); err != nil {
		return nil, err
	}
	r := &Record{ID: id}
	if old := b.records[id]; old != nil {
		r = old.clone()
	}
	if *what(r) == on {
		return nil, nil
	}
	*what(r) = on
	return r, nil
}

// Excepted tells whether the user wants everything of an id shown.
func (b *Book) Excepted(id string) bool {
	r := b.records[id]
	return r != nil && r.Excepted
}

// Autostart tells whether the user wants an id to be started with the session.
func (b *Book) Autostart(id string) bool {
	r := b.records[id]
	return r != nil && r.Autostart
}
