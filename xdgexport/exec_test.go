// SPDX-License-Identifier: MIT

package xdgexport

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

func TestSplitExec(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []string
	}{
		{`app`, []string{"app"}},
		{`app %U`, []string{"app", "%U"}},
		{`  app   -x  `, []string{"app", "-x"}},
		{`"/opt/My App/run" --file=%f`, []string{"/opt/My App/run", "--file=%f"}},
		{`app "a \"b\" \$c \` + "`" + ` \\ d"`, []string{"app", "a \"b\" $c ` \\ d"}},
		{`app ""`, []string{"app", ""}},
		{`a"b c"d`, []string{"ab cd"}},
		{`app $(touch /tmp/x) ; rm -rf ~ | sh`, []string{"app", "$(touch", "/tmp/x)", ";", "rm", "-rf", "~", "|", "sh"}},
	} {
		got, err := splitExec(c.in)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("splitExec(%q) = %q, %v; want %q", c.in, got, err, c.want)
		}
	}
	for _, bad := range []string{"", "   ", `app "open`, "app\nExec=evil", "app\x00", `app "\`, `""`, strings.Repeat("a", maxExec+1), "app \xff"} {
		if got, err := splitExec(bad); err == nil {
			t.Errorf("splitExec(%q) = %q, want an error", bad, got)
		}
	}
}

func TestCleanArgs(t *testing.T) {
	got := cleanArgs([]string{"app", "%d", "%U", "%N", "100%%", "--x=%f", "%", "a%zb", "%i", ""})
	want := []string{"app", "%U", "100%%", "--x=%f", "", "ab", "%i", ""}
	if !slices.Equal(got, want) {
		t.Errorf("cleanArgs = %q, want %q", got, want)
	}
}

func TestJoinExecIsSplitExecBackwards(t *testing.T) {
	words := []string{"/home/a b/glick", "run", "org.example.App", "--", "it's", `q"u`, "$HOME", "`x`", `back\slash`, "", "a;b", "%U", "x=%f", "100%%"}
	got, err := splitExec(joinExec(words))
	if err != nil || !slices.Equal(got, words) {
		t.Errorf("came back as %q, %v", got, err)
	}
	if s := joinExec([]string{"a", "%U"}); s != "a %U" {
		t.Errorf("a field code is quoted: %s", s)
	}
}

// A shell is the strictest reader that there is of D-Bus service lines.
func TestJoinShell(t *testing.T) {
	words := []string{"printf", `%s\n`, "it's", `q"u`, "$HOME", "`x`", `back\slash`, "", "a;b", "a b", "#c", "~", "!", "{a,b}"}
	out, err := exec.Command("sh", "-c", joinShell(words)).Output()
	if want := strings.Join(words[2:], "\n") + "\n"; err != nil || string(out) != want {
		t.Errorf("a shell reads %q, %v; want %q", out, err, want)
	}
}

func TestAllowedName(t *testing.T) {
	const id = "org.example.App"
	for _, ok := range []string{id, id + "-symbolic", id + ".Extra", id + "-2.x"} {
		if !allowedName(ok, id) {
			t.Errorf("%q is refused", ok)
		}
	}
	for _, bad := range []string{
		"", "org.example", id + "lication", id + ".", id + "-", id + "/x", "../" + id, id + "/../x", id + "\n", id + " x", "Org.example.App",
		"x" + id, id + "_x", id + ".\u202ex", id + "." + strings.Repeat("x", 250),
	} {
		if allowedName(bad, id) {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func FuzzExec(f *testing.F) {
	for _, s := range []string{`app %U`, `"a b" \x`, `a "\$"`, `%%`, `"%f"`, `a=b`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		words, err := splitExec(line)
		if err != nil {
			return
		}
		words = cleanArgs(words)
		if len(words) == 0 || words[0] == "" {
			return
		}
		again, err := splitExec(joinExec(words))
		if err == nil && !slices.Equal(again, words) {
			t.Errorf("%q: %q became %q", line, words, again)
		}
		if err != nil && len(joinExec(words)) <= maxExec {
			t.Errorf("%q: cannot be read again: %v", line, err)
		}
	})
}
