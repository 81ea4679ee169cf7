// SPDX-License-Identifier: MIT

// Package signature checks signatures that were made with ssh keys, in the SSHSIG format of OpenSSH (its file PROTOCOL.sshsig), and reads the
// lists of keys that a person trusts. "ssh-keygen -Y sign -n glick" makes the same signatures, and "ssh-keygen -Y verify -n glick" accepts ours.
//
// Everything here is pure: no file is opened and no agent is asked. Package sshkey, below this one, makes signatures.
//
// The format leaves freedom that this package does not: a field that is reserved must be empty, numbers and keys must be encoded in their
// shortest way, nothing may follow, and certificates, DSA keys, RSA keys below 2048 bits and signatures with SHA-1 are refused.
package signature

import (
	"bytes"
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"

	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"
)

// Namespace is the purpose that is part of each signature, so that one which was made for something else is not taken for ours.
const Namespace = "glick"

// Largest sizes, in bytes, of what Verify and a Signer accept.
const (
	MaxMessage = 1 << 20
	MaxArmored = 64 << 10
)

// minRSA is the smallest modulus, in bits, of an RSA key. The largest is 16384, OpenSSH's own limit, which package ssh keeps to.
const minRSA = 2048

// What can be wrong with a signature, for errors.Is.
var (
	ErrFormat      = errors.New("not a signature that can be read")
	ErrWrong       = errors.New("the signature does not belong to this content")
	ErrUnsupported = errors.New("this version of Glick does not accept it")
)

// keyTypes are the types of keys that may sign.
var keyTypes = []string{
	ssh.KeyAlgoED25519,
	ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521,
	ssh.KeyAlgoRSA,
	ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256,
}

// Key is a public key, the only name that a signature gives its maker.
type Key struct {
	Type        string // as "ssh-ed25519"
	Fingerprint string // "SHA256:…", as ssh-keygen -l prints it
	Comment     string // what the key's owner calls it; nothing vouches for it, and a signature has none
	Public      []byte // type and base64, as in authorized_keys, without comment and line end
}

// Signer makes signatures with one key.
type Signer interface {
	// Sign returns the armored signature of a message of at most MaxMessage bytes, which Verify accepts. It may take as long as a person
	// needs to touch a security key.
	Sign(message []byte) (armored []byte, err error)
	// Key returns the key that signs.
	Key() Key
}

// KeyOf describes a public key. The error is ErrUnsupported when Verify would refuse its signatures.
func KeyOf(public ssh.PublicKey, comment string) (Key, error) {
	if err := checkType(public.Type()); err != nil {
		return Key{}, err
	}
	if public.Type() == ssh.KeyAlgoRSA {
		if bits, ok := rsaBits(public); !ok || bits < minRSA {
			return Key{}, fmt.Errorf("an RSA key of %d bits, fewer than %d: %w", bits, minRSA, ErrUnsupported)
		}
	}
	return Key{
		Type:        public.Type(),
		Fingerprint: ssh.FingerprintSHA256(public),
		Comment:     comment,
		Public:      bytes.TrimSuffix(ssh.MarshalAuthorizedKey(public), []byte("\n")),
	}, nil
}

func checkType(name string) error {
	if !slices.Contains(keyTypes, name) {
		return fmt.Errorf("a key of type %q: %w", name, ErrUnsupported)
	}
	return nil
}

func rsaBits(public ssh.PublicKey) (int, bool) {
	wrapped, ok := public.(ssh.CryptoPublicKey)
	if !ok {
		return 0, false
	}
	key, ok := wrapped.CryptoPublicKey().(*rsa.PublicKey)
	if !ok {
		return 0, false
	}
	return key.N.BitLen(), true
}

// Verify checks that armored is a signature of message in our namespace, and returns the key that made it. Whether that key is one to trust is
// for the caller to find out; AllowedSigners can tell. The arguments are not kept.
//
// Errors are ErrFormat, ErrWrong and ErrUnsupported. A security key's signature is ErrUnsupported when it was made without a touch.
func Verify(message, armored []byte) (*Key, error) {
	if len(message) > MaxMessage {
		return nil, fmt.Errorf("content of %d bytes, more than %d: %w", len(message), MaxMessage, ErrUnsupported)
	}
	raw, err := dearmor(armored)
	if err != nil {
		return nil, err
	}
	sig, err := parse(raw)
	if err != nil {
		return nil, err
	}
	key, err := KeyOf(sig.PublicKey, "")
	if err != nil {
		return nil, err
	}
	if sig.Namespace != Namespace {
		return nil, fmt.Errorf("made for %q and not for %q: %w", sig.Namespace, Namespace, ErrWrong)
	}
	if err := sshsig.Verify(bytes.NewReader(message), sig, sig.PublicKey, sig.HashAlgorithm, Namespace); err != nil {
		// The library's own words add nothing for a person: whatever it was, the numbers do not fit.
		return nil, ErrWrong
	}
	return &key, nil
}

// parse reads a signature and makes sure of all that can be known without the message.
func parse(raw []byte) (*sshsig.Signature, error) {
	// The start is looked at first, because the library would read certificates, and names what it does not know only in a text.
	var head struct {
		Magic   [6]byte
		Version uint32
		Key     []byte
		Rest    []byte `ssh:"rest"`
	}
	var key struct {
		Type string
		Rest []byte `ssh:"rest"`
	}
	if err := ssh.Unmarshal(raw, &head); err != nil || string(head.Magic[:]) != "SSHSIG" {
		return nil, fmt.Errorf("no SSHSIG: %w", ErrFormat)
	}
	if head.Version != 1 {
		return nil, fmt.Errorf("version %d of the format: %w", head.Version, ErrUnsupported)
	}
	if err := ssh.Unmarshal(head.Key, &key); err != nil {
		return nil, fmt.Errorf("its key is cut off: %w", ErrFormat)
	}
	if err := checkType(key.Type); err != nil {
		return nil, err
	}

	sig, err := sshsig.ParseSignature(raw)
	switch {
	case errors.Is(err, sshsig.ErrUnsupportedHashAlgorithm):
		return nil, fmt.Errorf("%w: %w", err, ErrUnsupported)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", err, ErrFormat)
	}
	// This also finds what the library passes over: the reserved field.
	if !bytes.Equal(sig.Marshal(), raw) {
		return nil, fmt.Errorf("a field that must be empty is not, or a number is not in its shortest form: %w", ErrFormat)
	}
	return sig, checkAlgorithm(sig)
}

// checkAlgorithm compares the algorithm to the key's type, and looks at what follows the signature proper.
func checkAlgorithm(sig *sshsig.Signature) error {
	name, algorithm := sig.PublicKey.Type(), sig.Signature.Format
	// For RSA the library has refused all but rsa-sha2-256 and rsa-sha2-512.
	if name != ssh.KeyAlgoRSA && algorithm != name {
		return fmt.Errorf("algorithm %q with a key of type %q: %w", algorithm, name, ErrFormat)
	}
	rest := sig.Signature.Rest
	switch name {
	case ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256:
		// One byte of flags and four of a counter (PROTOCOL.u2f, "SSH U2F signatures").
		if len(rest) != 5 {
			return fmt.Errorf("%d bytes after the signature instead of 5: %w", len(rest), ErrFormat)
		}
		const touched = 1
		if rest[0]&touched == 0 {
			return fmt.Errorf("made without a touch of the security key: %w", ErrUnsupported)
		}
	default:
		if len(rest) != 0 {
			return fmt.Errorf("%d bytes after the signature: %w", len(rest), ErrFormat)
		}
	}
	return nil
}
