// SPDX-License-Identifier: MIT

package xdgexport

import (
	"errors"
	"fmt"
	"path"
	"strings"
)

const maxExec = 4096

var errExec = errors.New("its Exec cannot be understood")

// splitExec takes an Exec value apart (Desktop Entry Specification 1.5, "The Exec key"). The value has its string
// escapes undone already. Field codes stay as they are. %% stays too, so that arguments can be told from field codes.
func splitExec(value string) ([]string, error) { return splitWords(value, false) }

// splitShell takes the Exec value of a D-Bus service apart, in which single quotes count as well (D-Bus Specification
// 0.41, "Message Bus Starting Services").
func splitShell(value string) ([]string, error) { return splitWords(value, true) }

func splitWords(value string, single bool) ([]string, error) {
	if len(value) > maxExec {
		return nil, fmt.Errorf("%w: it is too long", errExec)
	}
	if !printable(value) {
		return nil, fmt.Errorf("%w: it has control characters", errExec)
	}
	var (
		words  []string
		word   strings.Builder
		inWord bool
		quoted bool
		raw    bool // within single quotes
	)
	for i := 0; i < len(value); i++ {
		c := value[i]
		switch {
		case raw && c == '\'':
			raw = false
		case raw:
			word.WriteByte(c)
		case single && !quoted && c == '\'':
			raw, inWord = true, true
		case quoted && c == '"':
			quoted = false
		case quoted && c == '\\':
			if i++; i == len(value) {
				return nil, fmt.Errorf("%w: it ends in a backslash", errExec)
			}
			if strings.IndexByte("\"`$\\", value[i]) < 0 {
				word.WriteByte('\\')
			}
			word.WriteByte(value[i])
		case quoted:
			word.WriteByte(c)
		case c == '"':
			quoted, inWord = true, true
		case c == ' ':
			if inWord {
				words = append(words, word.String())
				word.Reset()
				inWord = false
			}
		case c == '\\' && i+1 < len(value):
			// Not in the specification, but GLib parses as a shell does, and files rely on it.
			i++
			word.WriteByte(value[i])
			inWord = true
		default:
			word.WriteByte(c)
			inWord = true
		}
	}
	if quoted || raw {
		return nil, fmt.Errorf("%w: a quote is not closed", errExec)
	}
	if inWord {
		words = append(words, word.String())
	}
	if len(words) == 0 || words[0] == "" {
		return nil, fmt.Errorf("%w: it is empty", errExec)
	}
	return words, nil
}

// fieldCode tells whether a word is one of the field codes that stand alone.
func fieldCode(word string) bool {
	switch word {
	case "%f", "%F", "%u", "%U", "%i", "%c", "%k":
		return true
	}
	return false
}

// cleanArgs takes the deprecated field codes out, and those that the specification does not know. Codes within a
// word (--file=%f) stay.
func cleanArgs(words []string) []string {
	var kept []string
	for _, w := range words {
		if fieldCode(w) {
			kept = append(kept, w)
			continue
		}
		var b strings.Builder
		dropped := false
		for i := 0; i < len(w); i++ {
			if w[i] != '%' {
				b.WriteByte(w[i])
				continue
			}
			if i++; i == len(w) {
				break
			}
			switch w[i] {
			case '%', 'f', 'u', 'c', 'k':
				b.WriteByte('%')
				b.WriteByte(w[i])
			default:
				dropped = true
			}
		}
		if b.Len() > 0 || !dropped {
			kept = append(kept, b.String())
		}
	}
	return kept
}

// joinExec writes an Exec value. Words that are field codes are not quoted, as the specification asks.
func joinExec(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = w
		if !fieldCode(w) {
			quoted[i] = quoteWord(w)
		}
	}
	return strings.Join(quoted, " ")
}

func quoteWord(w string) string {
	if w != "" && !strings.ContainsAny(w, " \t\n\"'\\><~|&;$*?#()`=") {
		return w
	}
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i < len(w); i++ {
		if strings.IndexByte("\"`$\\", w[i]) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(w[i])
	}
	b.WriteByte('"')
	return b.String()
}

// literal protects a path from being read as a field code.
func literal(s string) string { return strings.ReplaceAll(s, "%", "%%") }

// starter makes command lines that start programs of one bundle.
type starter struct {
	glick string
	id    string
	main  string // the bundle's own Exec, relative to the prefix
	tree  tree
}

// command gives the words that start what words start in the bundle: nil, false when it is not in the bundle.
func (s starter) command(words []string) ([]string, bool) {
	program, ok := s.find(words[0])
	if !ok {
		return nil, false
	}
	return s.start(program, words[1:]), true
}

// start gives the words that start a program of the bundle with arguments.
func (s starter) start(program string, args []string) []string {
	cmd := []string{literal(s.glick), "run", s.id}
	if program != s.main {
		cmd = append(cmd, "--exec", literal(program))
	}
	return append(append(cmd, "--"), args...)
}

// find maps the first word of an Exec line to a program of the bundle, relative to the prefix.
func (s starter) find(word string) (string, bool) {
	word = strings.ReplaceAll(word, "%%", "%")
	var candidates []string
	switch {
	case strings.HasPrefix(word, "/"):
		if rel, ok := s.tree.inside(word); ok {
			candidates = append(candidates, rel)
		}
		// Packages often name the place they were built for, while the bundle's prefix is another.
		for _, usual := range []string{"/usr/local/", "/usr/", "/app/", "/opt/bundle/", "/"} {
			if rel, ok := strings.CutPrefix(path.Clean(word), usual); ok {
				candidates = append(candidates, rel)
			}
		}
	case strings.Contains(word, "/"):
		candidates = append(candidates, path.Clean(word))
	default:
		if path.Base(s.main) == word {
			candidates = append(candidates, s.main)
		}
		for _, dir := range []string{"bin", "usr/bin", "usr/local/bin", "sbin", "games", "usr/games"} {
			candidates = append(candidates, path.Join(dir, word))
		}
	}
	for _, c := range candidates {
		if c != "" && !strings.HasPrefix(c, "../") && s.tree.program(c) {
			return c, true
		}
	}
	return "", false
}

// joinShell writes a command line for a D-Bus service file, which the bus takes apart as a shell would, without
// field codes.
func joinShell(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = w
		if w == "" || strings.ContainsAny(w, " \t\"'\\><~|&;$*?#()`=") {
			quoted[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}
