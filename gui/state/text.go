// SPDX-License-Identifier: MIT

package state

import (
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"glick.org/glick/gui/tr"
)

// Clean makes text from a file fit to be shown on one line: valid UTF-8, no control characters, no characters that reorder or
// hide what surrounds them, runs of space folded, at most limit characters.
func Clean(s string, limit int) string {
	var out []rune
	space := false
	for _, r := range s {
		switch {
		case unicode.IsSpace(r):
			space = len(out) > 0
			continue
		case r == utf8.RuneError, unicode.IsControl(r), unicode.Is(unicode.Co, r), isBidiControl(r), isInvisible(r):
			continue
		}
		if space {
			out = append(out, ' ')
			space = false
		}
		if out = append(out, r); len(out) > limit {
			return string(append(out[:limit-1], '…'))
		}
	}
	return string(out)
}

// isBidiControl knows the characters that could make a name read backwards (Unicode Standard Annex 9, explicit formatting).
func isBidiControl(r rune) bool {
	return unicode.Is(unicode.Bidi_Control, r)
}

// isInvisible knows format characters that show nothing. The joiners stay: Persian and Indic scripts and emoji need them.
func isInvisible(r rune) bool {
	return unicode.Is(unicode.Cf, r) && r != '\u200c' && r != '\u200d'
}

// Size says a number of bytes as people do, in powers of ten like the file manager.
func Size(n int64) string {
	if n < 1000 {
		return tr.N("{n} byte", "{n} bytes", int(n), "n", strconv.FormatInt(n, 10))
	}
	units := []string{
		// Translators: thousands of bytes; keep the no-break space.
		tr.T("{n} kB"),
		tr.T("{n} MB"), tr.T("{n} GB"), tr.T("{n} TB"), tr.T("{n} PB"), tr.T("{n} EB"),
	}
	f, i := float64(n)/1000, 0
	for f >= 999.95 && i < len(units)-1 {
		f /= 1000
		i++
	}
	// Translators: the decimal point of numbers, "." or ",".
	num := strings.Replace(strconv.FormatFloat(f, 'f', 1, 64), ".", tr.T("."), 1)
	return strings.ReplaceAll(units[i], "{n}", num)
}

// Date says a day as people do everywhere: in figures that sort.
func Date(t time.Time) string { return t.Local().Format("2006-01-02") }
