// SPDX-License-Identifier: MIT

package signature

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// maxAllowed is the largest list of allowed signers in bytes.
const maxAllowed = 4 << 20

// ErrNotAllowed is when a key is not among the allowed signers, or not at that time or for our namespace.
var ErrNotAllowed = errors.New("the key is not among the allowed signers")

// AllowedSigners is a list of keys that a person trusts. The zero value is an empty one.
type AllowedSigners struct {
	signers []allowedSigner
}

// allowedSigner is one line of the list.
type allowedSigner struct {
	principals    string
	public        []byte // as in Key
	namespaces    string
	anyNamespace  bool
	after, before time.Time // zero: no limit
}

// ParseAllowedSigners reads a list as "ssh-keygen -Y verify -f" takes it (ssh-keygen(1), "ALLOWED SIGNERS"). Times without a zone are local.
// Keys of certificate authorities, and of types that Verify does not accept, are left out. Other than ssh-keygen, which passes over lines that
// it cannot read, it returns an error that names the first such line: who wrote it means to trust, or to restrict, somebody. Errors of r are
// wrapped.
func ParseAllowedSigners(r io.Reader) (AllowedSigners, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxAllowed+1))
	if err != nil {
		return AllowedSigners{}, fmt.Errorf("cannot read the allowed signers: %w", err)
	}
	if len(data) > maxAllowed {
		return AllowedSigners{}, fmt.Errorf("the list of allowed signers is larger than %d bytes", maxAllowed)
	}
	var a AllowedSigners
	n := 0
	for line := range bytes.Lines(data) {
		n++
		signer, err := parseAllowed(strings.TrimSpace(string(line)))
		if err != nil {
			return AllowedSigners{}, fmt.Errorf("line %d of the allowed signers: %w", n, err)
		}
		if signer != nil {
			a.signers = append(a.signers, *signer)
		}
	}
	return a, nil
}

// Find returns the principals, separated by commas as the list has them, of the first line that allows the key to sign bundles at that time.
// The error is ErrNotAllowed and says why.
func (a AllowedSigners) Find(key *Key, at time.Time) (principals string, err error) {
	err = ErrNotAllowed
	for _, s := range a.signers {
		if !bytes.Equal(s.public, key.Public) {
			continue
		}
		switch {
		case !s.anyNamespace && !matchList(Namespace, s.namespaces):
			err = fmt.Errorf("the key of %s may sign for %q and not for %q: %w", s.principals, s.namespaces, Namespace, ErrNotAllowed)
		case !s.after.IsZero() && at.Before(s.after):
			err = fmt.Errorf("the key of %s is valid from %s: %w", s.principals, s.after.Format(time.RFC3339), ErrNotAllowed)
		case !s.before.IsZero() && at.After(s.before):
			err = fmt.Errorf("the key of %s was valid until %s: %w", s.principals, s.before.Format(time.RFC3339), ErrNotAllowed)
		default:
			return s.principals, nil
		}
	}
	return "", err
}

// parseAllowed reads "principals [options] type base64 [comment]". It returns nil for what is left out.
func parseAllowed(line string) (*allowedSigner, error) {
	if line == "" || line[0] == '#' {
		return nil, nil
	}
	principals, rest, err := cutPrincipals(line)
	if err != nil {
		return nil, err
	}
	s := &allowedSigner{principals: principals, anyNamespace: true}
	field, rest, err := cutField(rest)
	if err != nil {
		return nil, err
	}
	authority := false
	if isOption(field) {
		if authority, err = s.setOptions(field); err != nil {
			return nil, err
		}
		if field, rest, err = cutField(rest); err != nil {
			return nil, err
		}
	}
	// What is no name of a type is taken for an option, so that a new option which restricts is not passed over.
	if strings.ContainsAny(field, `=",`) {
		return nil, fmt.Errorf("unknown option %s", field)
	}
	if rest == "" {
		return nil, errors.New("no key")
	}
	if authority || !slices.Contains(keyTypes, field) {
		return nil, nil
	}
	public, _, options, _, err := ssh.ParseAuthorizedKey([]byte(field + " " + rest))
	if err != nil || len(options) > 0 || public.Type() != field {
		return nil, errors.New("the key cannot be read")
	}
	key, err := KeyOf(public, "")
	if errors.Is(err, ErrUnsupported) {
		return nil, nil
	}
	s.public = key.Public
	return s, err
}

// cutPrincipals takes the first field, which may be in quotes.
func cutPrincipals(line string) (principals, rest string, err error) {
	if quoted, ok := strings.CutPrefix(line, `"`); ok {
		principals, rest, ok = strings.Cut(quoted, `"`)
		if !ok {
			return "", "", errors.New("a quote is not closed")
		}
	} else if i := strings.IndexAny(line, " \t"); i >= 0 {
		principals, rest = line[:i], line[i:]
	} else {
		principals = line
	}
	if principals == "" {
		return "", "", errors.New("no principals")
	}
	return principals, strings.TrimLeft(rest, " \t"), nil
}

// cutField takes a field that ends at white space outside of quotes.
func cutField(s string) (field, rest string, err error) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ' ' || c == '\t'):
			return s[:i], strings.TrimLeft(s[i:], " \t"), nil
		}
	}
	if quoted {
		return "", "", errors.New("a quote is not closed")
	}
	return s, "", nil
}

// isOption says whether a field begins with the name of an option.
func isOption(field string) bool {
	name := field
	if i := strings.IndexAny(field, "=,"); i >= 0 {
		name = field[:i]
	}
	switch strings.ToLower(name) {
	case "cert-authority", "namespaces", "valid-after", "valid-before":
		return true
	}
	return false
}

// setOptions takes over the options, and says whether the key is that of a certificate authority.
func (s *allowedSigner) setOptions(text string) (authority bool, err error) {
	seen := map[string]bool{}
	for more := true; more; {
		var name, value string
		if name, value, text, more, err = cutOption(text); err != nil {
			return false, err
		}
		if seen[name] {
			return false, fmt.Errorf("option %s is there twice", name)
		}
		seen[name] = true
		switch name {
		case "cert-authority":
			authority = true
		case "namespaces":
			s.namespaces, s.anyNamespace = value, false
		case "valid-after":
			s.after, err = parseTime(value)
		case "valid-before":
			s.before, err = parseTime(value)
		default:
			err = fmt.Errorf("unknown option %q", name)
		}
		if err != nil {
			return false, err
		}
	}
	if !s.after.IsZero() && !s.before.IsZero() && !s.after.Before(s.before) {
		return false, errors.New("valid-after is not before valid-before")
	}
	return authority, nil
}

// cutOption takes the first of some options: name, or name="value", where the value may contain \". After a comma there must be one more.
func cutOption(text string) (name, value, rest string, more bool, err error) {
	i := strings.IndexAny(text, "=,")
	if i < 0 {
		i = len(text)
	}
	name, rest = strings.ToLower(text[:i]), text[i:]
	valued := strings.HasPrefix(rest, "=")
	if valued != (name != "cert-authority") {
		return "", "", "", false, fmt.Errorf("option %q has a value and needs none, or the other way round", name)
	}
	if valued {
		if value, rest, err = unquote(rest[1:]); err != nil {
			return "", "", "", false, fmt.Errorf("option %s: %w", name, err)
		}
	}
	if rest == "" {
		return name, value, "", false, nil
	}
	rest, more = strings.CutPrefix(rest, ",")
	if !more {
		return "", "", "", false, fmt.Errorf("no comma after option %s", name)
	}
	return name, value, rest, true, nil
}

// unquote takes a text in quotes.
func unquote(s string) (value, rest string, err error) {
	if !strings.HasPrefix(s, `"`) {
		return "", "", errors.New("the value is not in quotes")
	}
	var out strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return out.String(), s[i+1:], nil
		case s[i] == '\\' && i+1 < len(s) && s[i+1] == '"':
			i++
			out.WriteByte('"')
		default:
			out.WriteByte(s[i])
		}
	}
	return "", "", errors.New("a quote is not closed")
}

// parseTime reads YYYYMMDD[HHMM[SS]], in local time or followed by Z.
func parseTime(s string) (time.Time, error) {
	digits, utc := strings.CutSuffix(s, "Z")
	zone := time.Local
	if utc {
		zone = time.UTC
	}
	for _, layout := range []string{"20060102", "200601021504", "20060102150405"} {
		if len(layout) != len(digits) {
			continue
		}
		if t, err := time.ParseInLocation(layout, digits, zone); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is not a time", s)
}

// matchList says whether a pattern of the list matches and none that begins with ! does (ssh_config(5), "PATTERNS").
func matchList(s, list string) bool {
	found := false
	for pattern := range strings.SplitSeq(list, ",") {
		pattern, negated := strings.CutPrefix(pattern, "!")
		if !match(s, pattern) {
			continue
		}
		if negated {
			return false
		}
		found = true
	}
	return found
}

// match compares s to a pattern, in which * stands for any bytes and ? for one. When the rest does not fit, the last * takes one byte more; no
// earlier one needs to be tried again.
func match(s, pattern string) bool {
	star, from := -1, 0
	i, j := 0, 0
	for i < len(s) {
		switch {
		case j < len(pattern) && pattern[j] == '*':
			star, from = j, i
			j++
		case j < len(pattern) && (pattern[j] == '?' || pattern[j] == s[i]):
			i++
			j++
		case star >= 0:
			from++
			i, j = from, star+1
		default:
			return false
		}
	}
	return strings.Trim(pattern[j:], "*") == ""
}
