// SPDX-License-Identifier: MIT

// Package sshkey makes the signatures that package signature checks: with a private key in a file, or with one that an ssh agent holds. It
// takes the same files as "ssh-keygen -Y sign -f" does.
package sshkey

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"

	"glick.org/glick/bundle/signature"
)

// maxFile is the largest key file in bytes.
const maxFile = 64 << 10

// Why there is no Signer, for errors.Is. Others are signature.ErrUnsupported and those of the file, as fs.ErrNotExist.
var (
	ErrNoAgent    = errors.New("no ssh agent is running")
	ErrNotInAgent = errors.New("the ssh agent does not hold the key")
	ErrPassphrase = errors.New("wrong passphrase")
)

// Options says how to get at a key.
type Options struct {
	// Passphrase asks a person for the passphrase of an encrypted file that the agent does not hold. The prompt is a line for them without line
	// end. The result is overwritten after use. It is asked once; nil is for when there is nobody to ask.
	Passphrase func(prompt string) ([]byte, error)
	// AgentSocket is the path of the agent's socket, or empty for the one that SSH_AUTH_SOCK names.
	AgentSocket string
}

type signer struct {
	key    signature.Key
	signer ssh.Signer
}

var _ signature.Signer = (*signer)(nil)

// NewSigner returns a Signer for the key in file: a private key, or a public key whose private half the agent holds or the file without ".pub"
// contains. A private key that cannot be used by itself, because it is encrypted, belongs to a security key or cannot be read, is looked for in
// the agent, by the public half that its file or the one with ".pub" tells.
// Ed25519 and RSA keys make equal signatures of equal messages, others do not.
func NewSigner(file string, o Options) (signature.Signer, error) {
	s, err := load(file, o)
	if err != nil {
		return nil, err
	}
	return s, nil
}

func load(file string, o Options) (*signer, error) {
	data, err := readFile(file)
	switch {
	case err != nil:
		if public, _ := beside(file); public != nil {
			if s, err := fromAgent(file, public, o); err == nil {
				return s, nil
			}
		}
		return nil, err
	case isPrivate(data):
		return fromPrivate(file, data, o)
	default:
		return fromPublic(file, data, o)
	}
}

func (s *signer) Key() signature.Key { return s.key }

func (s *signer) Sign(message []byte) ([]byte, error) {
	if len(message) > signature.MaxMessage {
		return nil, fmt.Errorf("content of %d bytes, more than %d: %w", len(message), signature.MaxMessage, signature.ErrUnsupported)
	}
	sig, err := sshsig.Sign(bytes.NewReader(message), s.signer, sshsig.HashSHA512, signature.Namespace)
	if err != nil {
		return nil, fmt.Errorf("cannot sign with %s: %w", s.key.Fingerprint, err)
	}
	armored := signature.Armor(sig.Marshal())
	// An agent is another program: an old one signs with SHA-1 whatever it is asked for.
	if _, err := signature.Verify(message, armored); err != nil {
		return nil, fmt.Errorf("the signature of %s is not usable: %w", s.key.Fingerprint, err)
	}
	return armored, nil
}

// fromPrivate makes a signer of a private key's file.
func fromPrivate(file string, data []byte, o Options) (*signer, error) {
	private, err := ssh.ParsePrivateKey(data)
	if err == nil {
		return newSigner(file, private)
	}
	public := publicHalf(file, data)
	var encrypted *ssh.PassphraseMissingError
	if !errors.As(err, &encrypted) {
		return fromUnread(file, public, o, err)
	}
	notHeld := ErrNotInAgent
	if public != nil {
		s, err := fromAgent(file, public, o)
		if err == nil || errors.Is(err, signature.ErrUnsupported) {
			return s, err
		}
		notHeld = err
	}
	if o.Passphrase == nil {
		return nil, fmt.Errorf("the private key %s is encrypted: %w", file, notHeld)
	}
	passphrase, err := o.Passphrase("Passphrase for " + file + ": ")
	if err != nil {
		return nil, fmt.Errorf("no passphrase for %s: %w", file, err)
	}
	defer clear(passphrase)
	private, err = ssh.ParsePrivateKeyWithPassphrase(data, passphrase)
	switch {
	case len(passphrase) == 0 || errors.Is(err, x509.IncorrectPasswordError):
		return nil, fmt.Errorf("cannot open the private key %s: %w", file, ErrPassphrase)
	case err != nil:
		return nil, fmt.Errorf("cannot open the private key %s: %w", file, err)
	}
	return newSigner(file, private)
}

// fromUnread makes a signer of a private key that package ssh does not read, for the reason given, when the agent holds it.
func fromUnread(file string, public ssh.PublicKey, o Options, reason error) (*signer, error) {
	reason = fmt.Errorf("cannot read the private key %s: %w", file, reason)
	if public == nil {
		return nil, reason
	}
	s, err := fromAgent(file, public, o)
	switch {
	case err == nil:
		return s, nil
	case errors.Is(err, signature.ErrUnsupported):
		return nil, err
	case public.Type() == ssh.KeyAlgoSKED25519 || public.Type() == ssh.KeyAlgoSKECDSA256:
		// Nothing is wrong with the file: of a security key it has only a handle.
		return nil, fmt.Errorf("a security key signs only through the ssh agent: %w", err)
	}
	return nil, fmt.Errorf("%w; %w", reason, err)
}

// fromPublic makes a signer of a public key's file.
func fromPublic(file string, data []byte, o Options) (*signer, error) {
	public, comment, _, _, err := ssh.ParseAuthorizedKey(data)
	if err != nil {
		return nil, fmt.Errorf("%s is neither a private nor a public ssh key", file)
	}
	s, agentErr := fromAgent(file, public, o)
	if agentErr == nil {
		s.key.Comment = comment
		return s, nil
	}
	if errors.Is(agentErr, signature.ErrUnsupported) {
		return nil, agentErr
	}
	private, named := strings.CutSuffix(file, ".pub")
	if !named {
		return nil, agentErr
	}
	data, err = readFile(private)
	if errors.Is(err, os.ErrNotExist) {
		return nil, agentErr
	}
	if err != nil {
		return nil, err
	}
	if !isPrivate(data) {
		return nil, agentErr
	}
	if s, err = fromPrivate(private, data, o); err != nil {
		return nil, err
	}
	if !equal(s.signer.PublicKey(), public) {
		return nil, fmt.Errorf("%s is not the private half of %s", private, file)
	}
	return s, nil
}

// newSigner takes the comment, which package ssh does not tell of a private key, from the public one beside it.
func newSigner(file string, private ssh.Signer) (*signer, error) {
	public, comment := beside(file)
	if public == nil || !equal(public, private.PublicKey()) {
		comment = ""
	}
	key, err := signature.KeyOf(private.PublicKey(), comment)
	if err != nil {
		return nil, fmt.Errorf("cannot sign with %s: %w", file, err)
	}
	return &signer{key, private}, nil
}

// publicHalf returns the public key that belongs to a private one which cannot be read, or nil: files in OpenSSH's own format have it in plain
// (PROTOCOL.key), for others there may be a file beside it.
func publicHalf(file string, data []byte) ssh.PublicKey {
	const magic = "openssh-key-v1\x00"
	if block, _ := pem.Decode(data); block != nil {
		var head struct {
			Cipher, KDF, KDFOptions string
			Keys                    uint32
			Public                  []byte
			Rest                    []byte `ssh:"rest"`
		}
		raw, ok := bytes.CutPrefix(block.Bytes, []byte(magic))
		if ok && ssh.Unmarshal(raw, &head) == nil && head.Keys == 1 {
			if public, err := ssh.ParsePublicKey(head.Public); err == nil {
				return public
			}
		}
	}
	public, _ := beside(file)
	return public
}

// beside reads the public key in file.pub, or returns nil.
func beside(file string) (public ssh.PublicKey, comment string) {
	data, err := readFile(file + ".pub")
	if err != nil {
		return nil, ""
	}
	public, comment, _, _, err = ssh.ParseAuthorizedKey(data)
	if err != nil {
		return nil, ""
	}
	return public, comment
}

func equal(a, b ssh.PublicKey) bool { return bytes.Equal(a.Marshal(), b.Marshal()) }

func isPrivate(data []byte) bool {
	return bytes.HasPrefix(bytes.TrimSpace(data), []byte("-----BEGIN "))
}

func readFile(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("cannot read the key: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read the key: %w", err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s is no key: it is larger than %d bytes", file, maxFile)
	}
	return data, nil
}
