// SPDX-License-Identifier: MIT

package doctor

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"glick.org/glick/runtime/launch"
)

const profileFile = "../../data/apparmor/glick"

// TestProfilePaths: the profile is for the stub programs where they are installed, and for nothing that a pattern could match.
func TestProfilePaths(t *testing.T) {
	text, err := os.ReadFile(profileFile)
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^profile glick (\S+) flags=\(unconfined\) \{$`).FindSubmatch(text)
	if found == nil {
		t.Fatal("there is no such profile")
	}
	pattern := string(found[1])
	if strings.ContainsAny(pattern, "*?[@") {
		t.Errorf("%s matches more than the stubs", pattern)
	}
	got := expand(pattern)
	if len(got) != 4 {
		t.Errorf("%q", got)
	}
	for _, prefix := range []string{"/usr", "/usr/local"} {
		want := filepath.Join(prefix, "libexec/glick/stub-"+launch.Arch())
		if !strings.Contains(" "+strings.Join(got, " ")+" ", " "+want+" ") {
			t.Errorf("%s is not in %q", want, got)
		}
	}
}

// expand writes out the alternatives of a pattern, {a,b}.
func expand(s string) []string {
	before, rest, found := strings.Cut(s, "{")
	if !found {
		return []string{s}
	}
	inner, after, _ := strings.Cut(rest, "}")
	var all []string
	for word := range strings.SplitSeq(inner, ",") {
		all = append(all, expand(before+word+after)...)
	}
	return all
}

// TestProfileSyntax has the profile compiled, which needs no AppArmor in the kernel.
func TestProfileSyntax(t *testing.T) {
	t.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin")
	parser, err := exec.LookPath("apparmor_parser")
	if err != nil {
		t.Skip("apparmor_parser is not installed")
	}
	out, err := exec.Command(parser, "--version").Output()
	version := regexp.MustCompile(`version (\d+)\.`).FindSubmatch(out)
	if err != nil || version == nil {
		t.Skipf("apparmor_parser does not tell its version: %q, %v", out, err)
	}
	compile := func(file string) {
		t.Helper()
		out, err := exec.Command(parser, "--skip-kernel-load", "--skip-cache", file).CombinedOutput()
		if err != nil {
			t.Errorf("%v: %s", err, out)
		}
	}
	if major, _ := strconv.Atoi(string(version[1])); major >= 4 {
		compile(profileFile)
		return
	}
	// Older ones know neither this ABI nor the rule.
	text, err := os.ReadFile(profileFile)
	if err != nil {
		t.Fatal(err)
	}
	old := regexp.MustCompile(`(?m)^(abi <abi/4\.0>|  userns),$`).ReplaceAll(text, nil)
	if len(old) >= len(text) {
		t.Error("the profile has no rule")
	}
	file := filepath.Join(t.TempDir(), "glick")
	if err := os.WriteFile(file, old, 0o600); err != nil {
		t.Fatal(err)
	}
	compile(file)
	t.Skipf("apparmor_parser %s is too old for the rule for namespaces; the rest of the profile was compiled", version[1])
}
