// SPDX-License-Identifier: MIT

package bundle

import (
	"errors"
	"fmt"
	"strings"
)

// CompareVersions orders two versions as rpm does, and returns -1, 0 or 1: runs of digits compare as numbers, runs of letters as text, a
// number is newer than letters, "~" is older than the end ("1.0~rc1" < "1.0"), "^" is newer than the end but older than anything more
// ("1.0" < "1.0^git1" < "1.0.1"); all other characters only separate. An optional number before a colon (the epoch) counts first, and
// what follows the last hyphen (the release) counts last, and only when both have one.
func CompareVersions(a, b string) int {
	epochA, a := cutEpoch(a)
	epochB, b := cutEpoch(b)
	if c := compareRuns(epochA, epochB); c != 0 {
		return c
	}
	a, releaseA := cutRelease(a)
	b, releaseB := cutRelease(b)
	if c := compareRuns(a, b); c != 0 || releaseA == "" || releaseB == "" {
		return c
	}
	return compareRuns(releaseA, releaseB)
}

func cutEpoch(v string) (epoch, rest string) {
	head, tail, ok := strings.Cut(v, ":")
	if !ok || head == "" || strings.Trim(head, "0123456789") != "" {
		return "0", v
	}
	return head, tail
}

func cutRelease(v string) (version, release string) {
	i := strings.LastIndexByte(v, '-')
	if i < 0 {
		return v, ""
	}
	return v[:i], v[i+1:]
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
func isAlpha(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }

// compareRuns is rpm's rpmvercmp: the strings fall into runs of one kind, and the first run that differs decides.
func compareRuns(a, b string) int {
	separator := func(r rune) bool {
		return r > 0x7f || !isDigit(byte(r)) && !isAlpha(byte(r)) && r != '~' && r != '^'
	}
	for a != "" || b != "" {
		a, b = strings.TrimLeftFunc(a, separator), strings.TrimLeftFunc(b, separator)
		if c, both := compareMark(a, b, '~', -1); c != 0 {
			return c
		} else if both {
			a, b = a[1:], b[1:]
			continue
		}
		if strings.HasPrefix(a, "^") || strings.HasPrefix(b, "^") {
			switch {
			case a == "":
				return -1
			case b == "":
				return 1
			case a[0] != '^':
				return 1
			case b[0] != '^':
				return -1
			}
			a, b = a[1:], b[1:]
			continue
		}
		if a == "" || b == "" {
			break
		}
		kind, digits := isAlpha, isDigit(a[0])
		if digits {
			kind = isDigit
		}
		runA, runB := run(a, kind), run(b, kind)
		switch {
		case runB == "" && digits:
			return 1 // a number is newer than letters
		case runB == "":
			return -1
		}
		a, b = a[len(runA):], b[len(runB):]
		if digits {
			runA, runB = strings.TrimLeft(runA, "0"), strings.TrimLeft(runB, "0")
			if len(runA) != len(runB) {
				return sign(len(runA) - len(runB))
			}
		}
		if c := strings.Compare(runA, runB); c != 0 {
			return c
		}
	}
	return sign(len(a) - len(b))
}

// compareMark compares two strings of which any may begin with a mark; the one that does is as much as result says.
func compareMark(a, b string, mark byte, result int) (c int, both bool) {
	inA, inB := a != "" && a[0] == mark, b != "" && b[0] == mark
	switch {
	case inA && inB:
		return 0, true
	case inA:
		return result, false
	case inB:
		return -result, false
	}
	return 0, false
}

func run(s string, kind func(byte) bool) string {
	n := 0
	for n < len(s) && kind(s[n]) {
		n++
	}
	return s[:n]
}

func sign(n int) int {
	switch {
	case n < 0:
		return -1
	case n > 0:
		return 1
	}
	return 0
}

// ValidID says whether id can be a bundle's id: reverse-DNS as D-Bus well-known names are, with at least one dot, each part of
// A-Z a-z 0-9 _ - and not beginning with a digit, at most 255 bytes. So an id is always a safe file name.
func ValidID(id string) error {
	switch {
	case id == "":
		return errors.New("the id is empty; it must be like org.example.App")
	case len(id) > 255:
		return errors.New("the id is longer than 255 characters")
	case !strings.Contains(id, "."):
		return fmt.Errorf("the id %q has no dot; it must be like org.example.App", id)
	}
	for part := range strings.SplitSeq(id, ".") {
		bad := strings.ContainsFunc(part, func(r rune) bool {
			return r > 0x7f || !isAlpha(byte(r)) && !isDigit(byte(r)) && r != '_' && r != '-'
		})
		if part == "" || bad || isDigit(part[0]) || part[0] == '-' {
			return fmt.Errorf("the id %q is not like org.example.App: letters, digits, _ and -, no part empty or beginning with a digit or hyphen", id)
		}
	}
	return nil
}
