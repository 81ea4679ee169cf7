// SPDX-License-Identifier: MIT

package sshkey

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"glick.org/glick/bundle/signature"
)

var message = []byte("the manifest of a bundle\n")

const passphrase = "correct horse"

// keygen runs ssh-keygen.
func keygen(t *testing.T, stdin []byte, args ...string) []byte {
	t.Helper()
	if _, err := exec.LookPath("ssh-keygen"); err != nil {
		t.Skip("ssh-keygen is not installed")
	}
	cmd := exec.Command("ssh-keygen", args...)
	cmd.Stdin = bytes.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("ssh-keygen %s: %v\n%s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return out
}

// newKey makes a key pair with the comment "sample" and returns the private one's file.
func newKey(t *testing.T, passphrase string, args ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key")
	// Few rounds: it is only a test.
	keygen(t, nil, append([]string{"-q", "-N", passphrase, "-C", "sample", "-f", file, "-a", "1"}, args...)...)
	return file
}

// noAgent is a socket that nobody listens to.
func noAgent(t *testing.T) string { return filepath.Join(t.TempDir(), "none") }

// startAgent starts a real agent that holds the keys in files, and returns its socket.
func startAgent(t *testing.T, files ...string) string {
	t.Helper()
	for _, program := range []string{"ssh-agent", "ssh-add"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(program + " is not installed")
		}
	}
	// A socket's path has at most 107 bytes, fewer than some test's folder has.
	dir, err := os.MkdirTemp("", "glick")
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "s")
	cmd := exec.Command("ssh-agent", "-D", "-a", socket)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		os.RemoveAll(dir)
	})
	for range 500 {
		if conn, err := net.Dial("unix", socket); err == nil {
			conn.Close()
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	for _, file := range files {
		add := exec.Command("ssh-add", "-q", file)
		add.Env = append(os.Environ(), "SSH_AUTH_SOCK="+socket)
		if out, err := add.CombinedOutput(); err != nil {
			t.Fatalf("ssh-add: %v\n%s", err, out)
		}
	}
	return socket
}

// checkSigner signs, and lets ssh-keygen and package signature check it.
func checkSigner(t *testing.T, s signature.Signer) []byte {
	t.Helper()
	armored, err := s.Sign(message)
	if err != nil {
		t.Fatal(err)
	}
	key, err := signature.Verify(message, armored)
	if err != nil {
		t.Fatal(err)
	}
	if key.Fingerprint != s.Key().Fingerprint || key.Type != s.Key().Type || !bytes.Equal(key.Public, s.Key().Public) {
		t.Errorf("made by %+v, should be by %+v", key, s.Key())
	}
	dir := t.TempDir()
	sig, list := filepath.Join(dir, "sig"), filepath.Join(dir, "list")
	write(t, sig, armored)
	write(t, list, fmt.Appendf(nil, "a@example.com %s\n", key.Public))
	keygen(t, message, "-Y", "check-novalidate", "-n", "glick", "-s", sig)
	keygen(t, message, "-Y", "verify", "-n", "glick", "-I", "a@example.com", "-f", list, "-s", sig)
	return armored
}

func write(t *testing.T, file string, data []byte) {
	t.Helper()
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestTypes signs with each type of key, with its file and through an agent, and checks what ssh-keygen signs.
func TestTypes(t *testing.T) {
	t.Setenv("SSH_AUTH_SOCK", "")
	for _, test := range []struct {
		name  string
		args  []string
		equal bool // the same signature each time
	}{
		{"ed25519", []string{"-t", "ed25519"}, true},
		{"ecdsa 256", []string{"-t", "ecdsa", "-b", "256"}, false},
		{"ecdsa 384", []string{"-t", "ecdsa", "-b", "384"}, false},
		{"ecdsa 521", []string{"-t", "ecdsa", "-b", "521"}, false},
		{"rsa", []string{"-t", "rsa", "-b", "2048"}, true},
		{"ecdsa in PEM", []string{"-t", "ecdsa", "-m", "PEM"}, false},
		{"ecdsa in PKCS8", []string{"-t", "ecdsa", "-m", "PKCS8"}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			file := newKey(t, "", test.args...)
			theirs := keygen(t, message, "-q", "-Y", "sign", "-n", "glick", "-f", file)
			key, err := signature.Verify(message, theirs)
			if err != nil {
				t.Fatalf("what ssh-keygen signed: %v", err)
			}
			if line := string(keygen(t, nil, "-l", "-f", file)); !strings.Contains(line, " "+key.Fingerprint+" ") {
				t.Errorf("fingerprint %s, ssh-keygen says %s", key.Fingerprint, line)
			}

			s, err := NewSigner(file, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if s.Key().Comment != "sample" {
				t.Errorf("comment %q", s.Key().Comment)
			}
			ours := checkSigner(t, s)
			if equal := bytes.Equal(ours, theirs); equal != test.equal {
				t.Errorf("equal to the signature of ssh-keygen: %v", equal)
			}

			public := file + ".pub"
			socket := startAgent(t, file)
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
			if s, err = NewSigner(file, Options{AgentSocket: socket}); err != nil {
				t.Fatal(err)
			}
			checkSigner(t, s)
			if s, err = NewSigner(public, Options{AgentSocket: socket}); err != nil {
				t.Fatal(err)
			}
			if s.Key().Comment != "sample" {
				t.Errorf("comment of the public key %q", s.Key().Comment)
			}
			if equal := bytes.Equal(checkSigner(t, s), ours); equal != test.equal {
				t.Errorf("equal to the signature of the agent: %v", equal)
			}
		})
	}
}

func TestEncrypted(t *testing.T) {
	t.Setenv("SSH_AUTH_SOCK", "")
	file := newKey(t, passphrase, "-t", "ed25519")
	legacy := newKey(t, passphrase, "-t", "ecdsa", "-m", "PEM")
	copied := filepath.Join(t.TempDir(), "alone")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	write(t, copied, data)
	refused := errors.New("refused")
	for _, test := range []struct {
		name, file, answer string
		askErr, err        error
	}{
		{"right", file, passphrase, nil, nil},
		{"right, through the public key", file + ".pub", passphrase, nil, nil},
		{"right, no public key beside", copied, passphrase, nil, nil},
		{"right, PEM", legacy, passphrase, nil, nil},
		{"wrong", file, "wrong", nil, ErrPassphrase},
		{"wrong, PEM", legacy, "wrong", nil, ErrPassphrase},
		{"empty", file, "", nil, ErrPassphrase},
		{"refused", file, passphrase, refused, refused},
	} {
		t.Run(test.name, func(t *testing.T) {
			answer := []byte(test.answer)
			asked := 0
			s, err := NewSigner(test.file, Options{AgentSocket: noAgent(t), Passphrase: func(prompt string) ([]byte, error) {
				asked++
				if !strings.Contains(prompt, strings.TrimSuffix(test.file, ".pub")) {
					t.Errorf("prompt %q", prompt)
				}
				return answer, test.askErr
			}})
			if !errors.Is(err, test.err) {
				t.Fatalf("error is %v, want %v", err, test.err)
			}
			if asked != 1 {
				t.Errorf("asked %d times", asked)
			}
			if test.askErr == nil && len(bytes.Trim(answer, "\x00")) > 0 {
				t.Errorf("the passphrase is still there: %q", answer)
			}
			if err == nil {
				checkSigner(t, s)
			}
		})
	}
	if _, err := NewSigner(file, Options{AgentSocket: noAgent(t)}); !errors.Is(err, ErrNoAgent) || !strings.Contains(err.Error(), "encrypted") {
		t.Errorf("nobody to ask: %v", err)
	}
}

// TestEncryptedInAgent takes an encrypted key from the agent and asks nobody.
func TestEncryptedInAgent(t *testing.T) {
	file := newKey(t, "", "-t", "ed25519")
	socket := startAgent(t, file)
	keygen(t, nil, "-q", "-p", "-a", "1", "-P", "", "-N", passphrase, "-f", file)
	t.Setenv("SSH_AUTH_SOCK", socket)
	s, err := NewSigner(file, Options{Passphrase: func(string) ([]byte, error) {
		t.Error("asked for a passphrase")
		return nil, errors.New("not there")
	}})
	if err != nil {
		t.Fatal(err)
	}
	checkSigner(t, s)
}

func TestErrors(t *testing.T) {
	t.Setenv("SSH_AUTH_SOCK", "")
	dir := t.TempDir()
	key := newKey(t, "", "-t", "ed25519")
	alone := filepath.Join(dir, "alone.pub")
	public, err := os.ReadFile(key + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	write(t, alone, public)

	// mixed.pub is not the public half of mixed.
	mixed := filepath.Join(dir, "mixed")
	for from, to := range map[string]string{newKey(t, "", "-t", "ed25519"): mixed, key + ".pub": mixed + ".pub"} {
		data, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		write(t, to, data)
	}

	certified := newKey(t, "", "-t", "ed25519")
	keygen(t, nil, "-q", "-s", key, "-I", "id", "-n", "name", certified+".pub")
	small := newKey(t, "", "-t", "rsa", "-b", "1024")
	armored, err := os.ReadFile("../testdata/dsa.sig")
	if err != nil {
		t.Fatal(err)
	}
	dsa, err := sshsig.Unarmor(armored)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "dsa"), privateFile(dsa.PublicKey.Marshal()))
	write(t, filepath.Join(dir, "dsa.pub"), ssh.MarshalAuthorizedKey(dsa.PublicKey))
	half, _, _, _, err := ssh.ParseAuthorizedKey(public)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "half"), privateFile(half.Marshal()))
	write(t, filepath.Join(dir, "half.pub"), public)
	write(t, filepath.Join(dir, "text"), []byte("hello\n"))
	write(t, filepath.Join(dir, "text.pub"), public)
	write(t, filepath.Join(dir, "pem"), []byte("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n"))
	write(t, filepath.Join(dir, "large"), make([]byte, maxFile+1))
	empty := startAgent(t)
	for _, test := range []struct {
		name, file, socket string
		err                error
		text               string
	}{
		{"no such file", filepath.Join(dir, "missing"), "", fs.ErrNotExist, "missing"},
		{"folder", dir, "", nil, "is a directory"},
		{"no agent", alone, "", ErrNoAgent, "SSH_AUTH_SOCK is not set"},
		{"agent gone", alone, noAgent(t), ErrNoAgent, "none"},
		{"not in the agent", alone, empty, ErrNotInAgent, "alone.pub"},
		{"halves of two keys", mixed + ".pub", empty, nil, "is not the private half of"},
		{"certificate", certified + "-cert.pub", empty, signature.ErrUnsupported, "ssh-ed25519-cert-v01@openssh.com"},
		{"RSA key of 1024 bits", small, empty, signature.ErrUnsupported, "1024 bits"},
		{"DSA key", filepath.Join(dir, "dsa"), empty, signature.ErrUnsupported, "ssh-dss"},
		{"DSA key's public half", filepath.Join(dir, "dsa.pub"), empty, signature.ErrUnsupported, "ssh-dss"},
		{"text", filepath.Join(dir, "text"), "", nil, "neither a private nor a public ssh key"},
		{"damaged, public half readable", filepath.Join(dir, "half"), empty, ErrNotInAgent, "cannot read the private key"},
		{"private half damaged", filepath.Join(dir, "half.pub"), empty, nil, "cannot read the private key"},
		{"private half is something else", filepath.Join(dir, "text.pub"), empty, ErrNotInAgent, "text.pub"},
		{"damaged", filepath.Join(dir, "pem"), "", nil, "cannot read the private key"},
		{"large", filepath.Join(dir, "large"), "", nil, "larger than 65536 bytes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, err := NewSigner(test.file, Options{AgentSocket: test.socket})
			if err == nil || s != nil {
				t.Fatalf("signer %v, error %v", s, err)
			}
			if test.err != nil && !errors.Is(err, test.err) || !strings.Contains(err.Error(), test.text) {
				t.Errorf("error %v", err)
			}
		})
	}
	s, err := NewSigner(key, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Sign(make([]byte, signature.MaxMessage+1)); !errors.Is(err, signature.ErrUnsupported) {
		t.Errorf("too much to sign: %v", err)
	}
}

// privateFile is a private key in OpenSSH's format (PROTOCOL.key) of which only the public half can be read.
func privateFile(public []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "OPENSSH PRIVATE KEY", Bytes: append([]byte("openssh-key-v1\x00"), ssh.Marshal(struct {
		Cipher, KDF, Options string
		Keys                 uint32
		Public, Private      []byte
	}{"none", "none", "", 1, public, make([]byte, 64)})...)})
}

// fakeAgent is an agent with one key, which may be of a kind that needs hardware.
type fakeAgent struct {
	agent.ExtendedAgent
	public []byte
	sign   func(data []byte) *ssh.Signature
}

func (a *fakeAgent) List() ([]*agent.Key, error) {
	var kind struct {
		Type string
		Rest []byte `ssh:"rest"`
	}
	if err := ssh.Unmarshal(a.public, &kind); err != nil {
		return nil, err
	}
	return []*agent.Key{{Format: kind.Type, Blob: a.public, Comment: "fake"}}, nil
}

func (a *fakeAgent) SignWithFlags(_ ssh.PublicKey, data []byte, _ agent.SignatureFlags) (*ssh.Signature, error) {
	if sig := a.sign(data); sig != nil {
		return sig, nil
	}
	return nil, errors.New("refused")
}

func (a *fakeAgent) Sign(key ssh.PublicKey, data []byte) (*ssh.Signature, error) {
	return a.SignWithFlags(key, data, 0)
}

// serve lets the agent answer at a socket until the test ends.
func (a *fakeAgent) serve(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "glick")
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		listener.Close()
		os.RemoveAll(dir)
	})
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			agent.ServeAgent(a, conn)
			conn.Close()
		}
	}()
	return filepath.Join(dir, "s")
}

// TestSecurityKey signs with a key of which the file has only a handle.
func TestSecurityKey(t *testing.T) {
	const name = "sk-ssh-ed25519@openssh.com"
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32))
	public := ssh.Marshal(struct {
		Type        string
		Public      []byte
		Application string
	}{name, key.Public().(ed25519.PublicKey), "ssh:"})
	flags := byte(1)
	fake := &fakeAgent{public: public, sign: func(data []byte) *ssh.Signature {
		application, sum := sha256.Sum256([]byte("ssh:")), sha256.Sum256(data)
		rest := binary.BigEndian.AppendUint32([]byte{flags}, 9)
		signed := append(append(application[:], rest...), sum[:]...)
		return &ssh.Signature{Format: name, Blob: ed25519.Sign(key, signed), Rest: rest}
	}}
	file := filepath.Join(t.TempDir(), "sk")
	write(t, file, privateFile(public))
	socket := fake.serve(t)
	s, err := NewSigner(file, Options{AgentSocket: socket})
	if err != nil {
		t.Fatal(err)
	}
	if s.Key().Type != name || s.Key().Comment != "fake" {
		t.Errorf("key %+v", s.Key())
	}
	checkSigner(t, s)
	flags = 0
	if _, err := s.Sign(message); !errors.Is(err, signature.ErrUnsupported) {
		t.Errorf("without touch: %v", err)
	}
	if _, err := NewSigner(file, Options{AgentSocket: startAgent(t)}); !errors.Is(err, ErrNotInAgent) {
		t.Errorf("not in the agent: %v", err)
	}
}

// TestAgentAnswers gives out no signature that an agent made wrongly.
func TestAgentAnswers(t *testing.T) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key.pub")
	write(t, file, ssh.MarshalAuthorizedKey(pub))
	for _, test := range []struct {
		name string
		sign func(data []byte) *ssh.Signature
		err  error
	}{
		{"refuses", func([]byte) *ssh.Signature { return nil }, nil},
		{"other data", func([]byte) *ssh.Signature {
			return &ssh.Signature{Format: "ssh-ed25519", Blob: ed25519.Sign(private, []byte("x"))}
		}, signature.ErrWrong},
		{"other algorithm", func(data []byte) *ssh.Signature {
			return &ssh.Signature{Format: "ssh-rsa", Blob: ed25519.Sign(private, data)}
		}, signature.ErrFormat},
		{"more than a signature", func(data []byte) *ssh.Signature {
			return &ssh.Signature{Format: "ssh-ed25519", Blob: ed25519.Sign(private, data), Rest: make([]byte, signature.MaxArmored)}
		}, signature.ErrFormat},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, err := NewSigner(file, Options{AgentSocket: (&fakeAgent{public: pub.Marshal(), sign: test.sign}).serve(t)})
			if err != nil {
				t.Fatal(err)
			}
			armored, err := s.Sign(message)
			if err == nil || armored != nil || test.err != nil && !errors.Is(err, test.err) {
				t.Errorf("error %v", err)
			}
		})
	}
}
