// SPDX-License-Identifier: MIT

package signature

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

var message = []byte("the manifest of a bundle\n")

// blob is an SSHSIG (PROTOCOL.sshsig, section 3), for changing one field at a time.
type blob struct {
	Magic     [6]byte
	Version   uint32
	Key       []byte
	Namespace string
	Reserved  string
	Hash      string
	Signature []byte
}

// inner is the signature within.
type inner struct {
	Algorithm string
	Numbers   []byte
	Rest      []byte `ssh:"rest"`
}

// signedBlob is what the key signs (PROTOCOL.sshsig, section 2).
func signedBlob(namespace, reserved, hash string) []byte {
	digest := sha512.Sum512(message)
	sum := digest[:]
	switch hash {
	case "sha256":
		short := sha256.Sum256(message)
		sum = short[:]
	case "sha1":
		short := sha1.Sum(message)
		sum = short[:]
	}
	return append([]byte("SSHSIG"), ssh.Marshal(struct {
		Namespace, Reserved, Hash string
		Sum                       []byte
	}{namespace, reserved, hash, sum})...)
}

func newBlob(key, sig []byte) blob {
	return blob{[6]byte([]byte("SSHSIG")), 1, key, "glick", "", "sha512", sig}
}

// plain makes a signature with an ordinary key.
func plain(t *testing.T, key crypto.Signer, algorithm string, change func(*blob)) blob {
	t.Helper()
	signer, err := ssh.NewSignerFromSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	b := newBlob(signer.PublicKey().Marshal(), nil)
	if change != nil {
		change(&b)
	}
	sig, err := signer.(ssh.AlgorithmSigner).SignWithAlgorithm(rand.Reader, signedBlob(b.Namespace, b.Reserved, b.Hash), algorithm)
	if err != nil {
		t.Fatal(err)
	}
	if b.Signature == nil {
		b.Signature = ssh.Marshal(sig)
	}
	return b
}

// touchData is what a security key signs (PROTOCOL.u2f, "SSH U2F signatures").
func touchData(flags byte) []byte {
	application, data := sha256.Sum256([]byte("ssh:")), sha256.Sum256(signedBlob("glick", "", "sha512"))
	out := append(application[:], flags)
	out = binary.BigEndian.AppendUint32(out, 7)
	return append(out, data[:]...)
}

func skEd25519(flags byte) blob {
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32))
	const name = "sk-ssh-ed25519@openssh.com"
	public := ssh.Marshal(struct {
		Type        string
		Public      []byte
		Application string
	}{name, key.Public().(ed25519.PublicKey), "ssh:"})
	return newBlob(public, ssh.Marshal(inner{name, ed25519.Sign(key, touchData(flags)), []byte{flags, 0, 0, 0, 7}}))
}

func skECDSA(t *testing.T, flags byte) blob {
	t.Helper()
	key := newECDSA(t)
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	const name = "sk-ecdsa-sha2-nistp256@openssh.com"
	public := ssh.Marshal(struct {
		Type, Curve string
		Point       []byte
		Application string
	}{name, "nistp256", point, "ssh:"})
	sum := sha256.Sum256(touchData(flags))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return newBlob(public, ssh.Marshal(inner{name, ssh.Marshal(struct{ R, S *big.Int }{r, s}), []byte{flags, 0, 0, 0, 7}}))
}

func newECDSA(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newRSA(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newEd25519() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, 32)) }

func wantError(t *testing.T, err, want error) {
	t.Helper()
	if want == nil && err != nil || want != nil && !errors.Is(err, want) {
		t.Errorf("error is %v, want %v", err, want)
	}
}

// TestSamples checks signatures that OpenSSH's ssh-keygen made once.
func TestSamples(t *testing.T) {
	for _, test := range []struct {
		name, kind, fingerprint string
		err                     error
	}{
		{"ed25519", "ssh-ed25519", "SHA256:mF0wysH/6+4I3a+KFmOKewECjyY3ETFswtkYIFXqM7Q", nil},
		{"sha256", "ssh-ed25519", "SHA256:mF0wysH/6+4I3a+KFmOKewECjyY3ETFswtkYIFXqM7Q", nil},
		{"ecdsa-256", "ecdsa-sha2-nistp256", "SHA256:xuJBQVZfNxDbChu2wSQ9tl6BrofAIOnR3G0v8nvBLLQ", nil},
		{"ecdsa-384", "ecdsa-sha2-nistp384", "SHA256:UjnYQzL62twIRWHkFstOot36Dtgzdyjpj9G2nQm0Yi4", nil},
		{"ecdsa-521", "ecdsa-sha2-nistp521", "SHA256:/Oy2OFXs4uszA52S0QJuUNojTRXXlBO/OoRwxt+DmAc", nil},
		{"rsa-2048", "ssh-rsa", "SHA256:F6yuHd5V9po/dmPdToukQTGlWJWHY7uy4RuK3TUnFI0", nil},
		{"rsa-1024", "", "", ErrUnsupported},
		{"dsa", "", "", ErrUnsupported},
		{"certificate", "", "", ErrUnsupported},
		{"namespace", "", "", ErrWrong},
	} {
		t.Run(test.name, func(t *testing.T) {
			armored, err := os.ReadFile(filepath.Join("testdata", test.name+".sig"))
			if err != nil {
				t.Fatal(err)
			}
			key, err := Verify(message, armored)
			wantError(t, err, test.err)
			if err != nil {
				return
			}
			if key.Type != test.kind || key.Fingerprint != test.fingerprint {
				t.Errorf("made by %s %s", key.Type, key.Fingerprint)
			}
			public, _, _, _, err := ssh.ParseAuthorizedKey(key.Public)
			if err != nil || ssh.FingerprintSHA256(public) != test.fingerprint {
				t.Errorf("public key %s: %v", key.Public, err)
			}
			raw, err := dearmor(armored)
			if err != nil || !bytes.Equal(Armor(raw), armored) {
				t.Errorf("armored again it differs: %v", err)
			}
			_, err = Verify([]byte("the manifest of a bundlf\n"), armored)
			wantError(t, err, ErrWrong)
			_, err = Verify(nil, armored)
			wantError(t, err, ErrWrong)
		})
	}
}

func TestSecurityKeys(t *testing.T) {
	for _, test := range []struct {
		name string
		blob blob
		err  error
	}{
		{"ed25519", skEd25519(1), nil},
		{"ed25519 with PIN", skEd25519(5), nil},
		{"ed25519 without touch", skEd25519(0), ErrUnsupported},
		{"ed25519 with PIN, without touch", skEd25519(4), ErrUnsupported},
		{"ecdsa", skECDSA(t, 1), nil},
		{"ecdsa without touch", skECDSA(t, 0), ErrUnsupported},
	} {
		t.Run(test.name, func(t *testing.T) {
			armored := Armor(ssh.Marshal(test.blob))
			key, err := Verify(message, armored)
			wantError(t, err, test.err)
			if err == nil && !strings.HasPrefix(key.Type, "sk-") {
				t.Errorf("made by a key of type %s", key.Type)
			}
			if err == nil {
				acceptedBySSH(t, armored)
			}
		})
	}
}

// acceptedBySSH asks ssh-keygen about a signature.
func acceptedBySSH(t *testing.T, armored []byte) {
	t.Helper()
	if _, err := exec.LookPath("ssh-keygen"); err != nil {
		t.Skip("ssh-keygen is not installed")
	}
	file := filepath.Join(t.TempDir(), "sig")
	if err := os.WriteFile(file, armored, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("ssh-keygen", "-Y", "check-novalidate", "-n", "glick", "-s", file)
	cmd.Stdin = bytes.NewReader(message)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("ssh-keygen does not accept it: %v\n%s", err, out)
	}
}

// TestRefused makes signatures whose numbers are right and that break one rule.
func TestRefused(t *testing.T) {
	ed, rsaKey := newEd25519(), newRSA(t)
	resign := func(change func(*inner)) func(*blob) {
		return func(b *blob) {
			var in inner
			if err := ssh.Unmarshal(plain(t, ed, "", nil).Signature, &in); err != nil {
				t.Fatal(err)
			}
			change(&in)
			b.Signature = ssh.Marshal(in)
		}
	}
	for _, test := range []struct {
		name      string
		key       crypto.Signer
		algorithm string
		change    func(*blob)
		err       error
	}{
		{"nothing", ed, "", nil, nil},
		{"sha256", ed, "", func(b *blob) { b.Hash = "sha256" }, nil},
		{"rsa-sha2-512", rsaKey, "rsa-sha2-512", nil, nil},
		{"rsa-sha2-256", rsaKey, "rsa-sha2-256", nil, nil},
		{"rsa with SHA-1", rsaKey, "ssh-rsa", nil, ErrFormat},
		{"hash sha1", ed, "", func(b *blob) { b.Hash = "sha1" }, ErrUnsupported},
		{"hash md5", ed, "", func(b *blob) { b.Hash = "md5" }, ErrUnsupported},
		{"hash empty", ed, "", func(b *blob) { b.Hash = "" }, ErrUnsupported},
		{"hash in capitals", ed, "", func(b *blob) { b.Hash = "SHA512" }, ErrUnsupported},
		{"namespace of git", ed, "", func(b *blob) { b.Namespace = "git" }, ErrWrong},
		{"namespace empty", ed, "", func(b *blob) { b.Namespace = "" }, ErrWrong},
		{"namespace with NUL", ed, "", func(b *blob) { b.Namespace = "glick\x00" }, ErrWrong},
		{"reserved", ed, "", func(b *blob) { b.Reserved = "x" }, ErrFormat},
		{"version 0", ed, "", func(b *blob) { b.Version = 0 }, ErrUnsupported},
		{"version 2", ed, "", func(b *blob) { b.Version = 2 }, ErrUnsupported},
		{"magic", ed, "", func(b *blob) { b.Magic[5] = 'g' }, ErrFormat},
		{"no key", ed, "", func(b *blob) { b.Key = nil }, ErrFormat},
		{"unknown key", ed, "", func(b *blob) { b.Key = ssh.Marshal(struct{ Type string }{"ssh-ed448"}) }, ErrUnsupported},
		{"ML-DSA key", ed, "", func(b *blob) { b.Key = ssh.Marshal(struct{ Type string }{"ssh-mldsa-44"}) }, ErrUnsupported},
		{"key of 31 bytes", ed, "", func(b *blob) { b.Key = ssh.Marshal(struct{ Type, Key string }{"ssh-ed25519", strings.Repeat("x", 31)}) }, ErrFormat},
		{"bytes after the key", ed, "", func(b *blob) { b.Key = append(b.Key, 0) }, ErrFormat},
		{"other key", ed, "", func(b *blob) {
			b.Key = plain(t, ed25519.NewKeyFromSeed(bytes.Repeat([]byte{3}, 32)), "", nil).Key
		}, ErrWrong},
		{"key of other type", ed, "", func(b *blob) { b.Key = plain(t, rsaKey, "rsa-sha2-512", nil).Key }, ErrFormat},
		{"no signature", ed, "", func(b *blob) { b.Signature = []byte{} }, ErrFormat},
		{"other algorithm", ed, "", resign(func(in *inner) { in.Algorithm = "sk-ssh-ed25519@openssh.com" }), ErrFormat},
		{"empty algorithm", ed, "", resign(func(in *inner) { in.Algorithm = "" }), ErrFormat},
		{"bytes after the signature", ed, "", resign(func(in *inner) { in.Rest = []byte{1, 0, 0, 0, 7} }), ErrFormat},
		{"longer numbers", ed, "", resign(func(in *inner) { in.Numbers = append(in.Numbers, 0) }), ErrWrong},
		{"shorter numbers", ed, "", resign(func(in *inner) { in.Numbers = in.Numbers[:63] }), ErrWrong},
		{"no numbers", ed, "", resign(func(in *inner) { in.Numbers = nil }), ErrWrong},
		{"large namespace", ed, "", func(b *blob) { b.Namespace = strings.Repeat("g", MaxArmored) }, ErrFormat},
	} {
		t.Run(test.name, func(t *testing.T) {
			key, err := Verify(message, Armor(ssh.Marshal(plain(t, test.key, test.algorithm, test.change))))
			wantError(t, err, test.err)
			if (key == nil) != (err != nil) {
				t.Errorf("key %v with error %v", key, err)
			}
		})
	}
}

// TestRSAKeys refuses RSA keys whose numbers are not those of a key, quickly.
func TestRSAKeys(t *testing.T) {
	large := new(big.Int).Lsh(big.NewInt(1), 16385)
	even := new(big.Int).Lsh(big.NewInt(1), 2047)
	good := new(big.Int).Add(even, big.NewInt(1))
	for _, test := range []struct {
		name string
		e, n *big.Int
		err  error
	}{
		{"modulus too large", big.NewInt(65537), large, ErrFormat},
		{"modulus too small", big.NewInt(65537), big.NewInt(15), ErrUnsupported},
		{"modulus even", big.NewInt(65537), even, ErrWrong},
		{"modulus 0", big.NewInt(65537), big.NewInt(0), ErrUnsupported},
		{"modulus negative", big.NewInt(65537), new(big.Int).Neg(good), ErrWrong},
		{"exponent 1", big.NewInt(1), good, ErrFormat},
		{"exponent 0", big.NewInt(0), good, ErrFormat},
		{"exponent even", big.NewInt(65536), good, ErrFormat},
		{"exponent too large", good, good, ErrFormat},
		{"exponent negative", big.NewInt(-3), good, ErrFormat},
	} {
		t.Run(test.name, func(t *testing.T) {
			key := ssh.Marshal(struct {
				Type string
				E, N *big.Int
			}{"ssh-rsa", test.e, test.n})
			sig := ssh.Marshal(inner{"rsa-sha2-512", bytes.Repeat([]byte{1}, 256), nil})
			_, err := Verify(message, Armor(ssh.Marshal(newBlob(key, sig))))
			wantError(t, err, test.err)
		})
	}
}

// TestFlips turns over each bit of signatures, and each length into a large one.
func TestFlips(t *testing.T) {
	for name, b := range map[string]blob{
		"ed25519":    plain(t, newEd25519(), "", nil),
		"ecdsa":      plain(t, newECDSA(t), "", nil),
		"sk-ed25519": skEd25519(1),
		"sk-ecdsa":   skECDSA(t, 1),
	} {
		t.Run(name, func(t *testing.T) {
			raw := ssh.Marshal(b)
			if _, err := Verify(message, Armor(raw)); err != nil {
				t.Fatal(err)
			}
			for i := range raw {
				for bit := range 8 {
					refuse(t, raw, i, raw[i]^1<<bit)
				}
				refuse(t, raw, i, 0xff)
			}
			for n := range raw {
				if _, err := Verify(message, Armor(raw[:n])); err == nil {
					t.Errorf("the first %d of %d bytes are accepted", n, len(raw))
				}
			}
			if _, err := Verify(message, Armor(append(raw, 0))); !errors.Is(err, ErrFormat) {
				t.Errorf("with a byte after it: %v", err)
			}
		})
	}
}

func refuse(t *testing.T, raw []byte, i int, c byte) {
	t.Helper()
	if raw[i] == c {
		return
	}
	changed := bytes.Clone(raw)
	changed[i] = c
	if key, err := Verify(message, Armor(changed)); err == nil || key != nil {
		t.Errorf("accepted with byte %d of %d changed from %#x to %#x", i, len(raw), raw[i], c)
	} else if !errors.Is(err, ErrFormat) && !errors.Is(err, ErrWrong) && !errors.Is(err, ErrUnsupported) {
		t.Errorf("error of no class: %v", err)
	}
}

func TestArmor(t *testing.T) {
	good := string(Armor(ssh.Marshal(plain(t, newEd25519(), "", nil))))
	body := strings.TrimSuffix(strings.TrimPrefix(good, armorBegin), armorEnd+"\n")
	oneLine := strings.ReplaceAll(body, "\n", "")
	for _, test := range []struct {
		name, text string
		err        error
	}{
		{"as it is", good, nil},
		{"no last line end", strings.TrimSpace(good), nil},
		{"white space around", "\n\t " + good + "\r\n\r\n", nil},
		{"line ends of Windows", strings.ReplaceAll(good, "\n", "\r\n"), nil},
		{"one line", armorBegin + oneLine + armorEnd, nil},
		{"empty", "", ErrFormat},
		{"nothing between", armorBegin + armorEnd, ErrFormat},
		{"only begin", armorBegin, ErrFormat},
		{"begin and end share a line end", strings.TrimSuffix(armorBegin, "\n") + armorEnd, ErrFormat},
		{"text before", "x\n" + good, ErrFormat},
		{"text after", good + "x", ErrFormat},
		{"twice", good + good, ErrFormat},
		{"header", armorBegin + "Comment: x\n\n" + body + armorEnd, ErrFormat},
		{"other kind", strings.ReplaceAll(good, "SSH SIGNATURE", "SSH2 SIGNATURE"), ErrFormat},
		{"space within", armorBegin + " " + body + armorEnd, ErrFormat},
		{"base64 of another alphabet", armorBegin + "-_" + oneLine[2:] + armorEnd, ErrFormat},
		{"only white space", strings.Repeat(" ", MaxArmored), ErrFormat},
		{"too large", good + strings.Repeat("\n", MaxArmored), ErrFormat},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Verify(message, []byte(test.text))
			wantError(t, err, test.err)
		})
	}
	for n := range len(good) - 1 {
		if _, err := Verify(message, []byte(good[:n])); err == nil {
			t.Errorf("the first %d of %d bytes are accepted", n, len(good))
		}
	}
	_, err := Verify(make([]byte, MaxMessage+1), []byte(good))
	wantError(t, err, ErrUnsupported)
}

func FuzzVerify(f *testing.F) {
	files, err := filepath.Glob("testdata/*.sig")
	if err != nil || len(files) == 0 {
		f.Fatalf("no samples: %v", err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		raw, err := dearmor(text)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(message, text)
		f.Add(message, raw)
	}
	f.Add(message, ssh.Marshal(skEd25519(1)))
	f.Fuzz(func(t *testing.T, message, data []byte) {
		for _, armored := range [][]byte{data, Armor(data)} {
			key, err := Verify(message, armored)
			switch {
			case err == nil:
				if _, _, _, _, err := ssh.ParseAuthorizedKey(key.Public); err != nil {
					t.Errorf("key %q: %v", key.Public, err)
				}
			case key != nil:
				t.Error("a key and an error")
			case !errors.Is(err, ErrFormat) && !errors.Is(err, ErrWrong) && !errors.Is(err, ErrUnsupported):
				t.Errorf("error of no class: %v", err)
			}
		}
	})
}
