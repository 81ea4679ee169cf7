// SPDX-License-Identifier: MIT

package signature

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"golang.org/x/crypto/ssh"
)

func publicOf(t *testing.T) (*Key, string) {
	t.Helper()
	public, err := ssh.NewPublicKey(newEd25519().Public())
	if err != nil {
		t.Fatal(err)
	}
	key, err := KeyOf(public, "")
	if err != nil {
		t.Fatal(err)
	}
	return &key, string(key.Public)
}

func utc(t *testing.T, s string) time.Time {
	t.Helper()
	at, err := time.Parse("2006-01-02T15:04:05", s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestAllowedSigners(t *testing.T) {
	const other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDO0VQD9TIdICZLWFWwtf7s8/aENve8twGTEmNV0myh5"
	key, public := publicOf(t)
	now := "2026-06-15T12:00:00"
	for _, test := range []struct {
		name, list, at, principals string // no principals: not allowed
	}{
		{"plain", "a@example.com " + public, now, "a@example.com"},
		{"comment after the key", "a@example.com " + public + " my key", now, "a@example.com"},
		{"several principals", "a@example.com,*@example.org " + public, now, "a@example.com,*@example.org"},
		{"quoted principals", `"A B" ` + public, now, "A B"},
		{"comments, empty lines, CRLF", "# x\r\n\r\n\t\r\n  a " + public + "\r\n", now, "a"},
		{"tabs", "a\t" + strings.ReplaceAll(public, " ", "\t"), now, "a"},
		{"second line", "b " + other + "\na " + public, now, "a"},
		{"other key", "b " + other, now, ""},
		{"empty", "", now, ""},
		{"namespace", `a namespaces="glick" ` + public, now, "a"},
		{"namespaces", `a namespaces="file,g*k" ` + public, now, "a"},
		{"other namespace", `a namespaces="git,file" ` + public, now, ""},
		{"namespace excluded", `a namespaces="*,!glick" ` + public, now, ""},
		{"no namespace", `a namespaces="" ` + public, now, ""},
		{"capital option", `a NameSpaces="glick" ` + public, now, "a"},
		{"later line allows", `a namespaces="git" ` + public + "\nb " + public, now, "b"},
		{"after", `a valid-after="20260615Z" ` + public, now, "a"},
		{"at the first moment", `a valid-after="20260615120000Z" ` + public, now, "a"},
		{"too early", `a valid-after="20260615120001Z" ` + public, now, ""},
		{"before", `a valid-before="202606151201Z" ` + public, now, "a"},
		{"at the last moment", `a valid-before="20260615120000Z" ` + public, now, "a"},
		{"too late", `a valid-before="20260615115959Z" ` + public, now, ""},
		{"local time", `a valid-after="20260613",valid-before="20260617" ` + public, now, "a"},
		{"all options", `a namespaces="glick",valid-after="20260101Z",valid-before="20270101Z" ` + public, now, "a"},
		{"space in quotes", `a namespaces="x y,glick" ` + public, now, "a"},
		{"authority", "a cert-authority " + public, now, ""},
		{"authority with namespaces", `a cert-authority,namespaces="glick" ` + public, now, ""},
		{"unknown key type before", "b ssh-new AAAA\na " + public, now, "a"},
		{"DSA key before", "b ssh-dss AAAA\na " + public, now, "a"},
	} {
		t.Run(test.name, func(t *testing.T) {
			list, err := ParseAllowedSigners(strings.NewReader(test.list))
			if err != nil {
				t.Fatal(err)
			}
			principals, err := list.Find(key, utc(t, test.at))
			if principals != test.principals {
				t.Errorf("principals %q, want %q: %v", principals, test.principals, err)
			}
			if (err != nil) != (test.principals == "") || err != nil && !errors.Is(err, ErrNotAllowed) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestAllowedSignersBad(t *testing.T) {
	_, public := publicOf(t)
	for _, test := range []struct{ name, line string }{
		{"only principals", "a"},
		{"no key", "a ssh-ed25519"},
		{"options without key", `a namespaces="glick"`},
		{"no principals", public},
		{"empty principals", `"" ` + public},
		{"open quote", `"a ` + public},
		{"open quote in option", `a namespaces="glick ` + public},
		{"value without quotes", "a namespaces=glick " + public},
		{"option without value", "a namespaces " + public},
		{"value for none", `a cert-authority="x" ` + public},
		{"unknown option", `a namespaces="glick",verify-required ` + public},
		{"unknown option alone", `a from="x" ` + public},
		{"comma at the end", `a namespaces="glick", ` + public},
		{"text after the value", `a namespaces="glick"x ` + public},
		{"twice", `a namespaces="glick",namespaces="git" ` + public},
		{"bad time", `a valid-after="2026" ` + public},
		{"month 13", `a valid-after="20261301" ` + public},
		{"sign in time", `a valid-after="+2026101" ` + public},
		{"times in wrong order", `a valid-after="20270101",valid-before="20260101" ` + public},
		{"damaged key", "a " + public[:len(public)-8]},
		{"other type than in the key", "a ssh-rsa " + strings.Fields(public)[1]},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := ParseAllowedSigners(strings.NewReader("# first\n" + test.line + "\n"))
			if err == nil || !strings.HasPrefix(err.Error(), "line 2 of the allowed signers: ") {
				t.Errorf("error %v", err)
			}
		})
	}
	if _, err := ParseAllowedSigners(strings.NewReader(strings.Repeat("#", maxAllowed+1))); err == nil {
		t.Error("too large a list is accepted")
	}
	if _, err := ParseAllowedSigners(iotest.ErrReader(os.ErrPermission)); !errors.Is(err, os.ErrPermission) {
		t.Errorf("error of the reader: %v", err)
	}
}

// TestAllowedSignersReal compares our answer to that of ssh-keygen.
func TestAllowedSignersReal(t *testing.T) {
	if _, err := exec.LookPath("ssh-keygen"); err != nil {
		t.Skip("ssh-keygen is not installed")
	}
	armored := Armor(ssh.Marshal(plain(t, newEd25519(), "", nil)))
	key, err := Verify(message, armored)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	sig, list := filepath.Join(dir, "sig"), filepath.Join(dir, "list")
	if err := os.WriteFile(sig, armored, 0o600); err != nil {
		t.Fatal(err)
	}
	public := string(key.Public)
	for _, line := range []string{
		"a@example.com " + public,
		`"a@example.com" ` + public,
		`a@example.com namespaces="g*" ` + public,
		`a@example.com namespaces="*,!gl?ck" ` + public,
		`a@example.com namespaces="git" ` + public,
		`a@example.com namespaces="" ` + public,
		`a@example.com Valid-After="20200101" ` + public,
		`a@example.com valid-after="29990101Z" ` + public,
		`a@example.com valid-before="202001010000" ` + public,
		`a@example.com valid-after="20200101",valid-before="29990101000000" ` + public,
		"a@example.com cert-authority " + public,
	} {
		if err := os.WriteFile(list, []byte(line+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("ssh-keygen", "-Y", "verify", "-n", "glick", "-I", "a@example.com", "-f", list, "-s", sig)
		cmd.Stdin = strings.NewReader(string(message))
		out, theirs := cmd.CombinedOutput()
		signers, err := ParseAllowedSigners(strings.NewReader(line))
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		if _, ours := signers.Find(key, time.Now()); (ours == nil) != (theirs == nil) {
			t.Errorf("%s: we say %v, ssh-keygen says %v\n%s", line, ours, theirs, out)
		}
	}
}

func TestMatch(t *testing.T) {
	for _, test := range []struct {
		s, pattern string
		want       bool
	}{
		{"glick", "glick", true}, {"glick", "*", true}, {"glick", "g*", true}, {"glick", "*k", true}, {"glick", "?????", true},
		{"glick", "g**i*ck**", true}, {"glick", "*?*", true}, {"", "*", true}, {"", "", true},
		{"glick", "", false}, {"glick", "Glick", false}, {"glick", "????", false}, {"glick", "??????", false},
		{"glick", "g*x", false}, {"glick", "glick*x", false}, {"", "?", false}, {"aab", "*ab", true}, {"abab", "*ab", true}, {"aba", "*ab", false},
		{strings.Repeat("a", 1000), strings.Repeat("*a", 500) + "b", false},
	} {
		if got := match(test.s, test.pattern); got != test.want {
			t.Errorf("match(%q, %q) is %v", test.s, test.pattern, got)
		}
	}
}

func FuzzParseAllowedSigners(f *testing.F) {
	f.Add(`a@example.com,"b" namespaces="file,g\"*",valid-after="20200101",cert-authority ssh-ed25519 AAAA x`)
	f.Add(`"a b" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDO0VQD9TIdICZLWFWwtf7s8/aENve8twGTEmNV0myh5 c`)
	f.Fuzz(func(t *testing.T, text string) {
		list, err := ParseAllowedSigners(strings.NewReader(text))
		if err != nil && len(list.signers) > 0 {
			t.Error("a list and an error")
		}
		for _, s := range list.signers {
			if s.principals == "" || len(s.public) == 0 {
				t.Errorf("%+v", s)
			}
			list.Find(&Key{Public: s.public}, time.Unix(0, 0))
		}
	})
}
