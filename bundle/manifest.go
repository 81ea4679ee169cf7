// SPDX-License-Identifier: MIT

package bundle

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"glick.org/glick/bundle/keyfile"
)

const (
	maxSlices  = 4096
	maxContent = 1 << 50 // largest sum of file sizes in a slice, in bytes; far beyond any disk, so that sums cannot overflow
)

// manifestEnd begins the last group of a manifest.
const manifestEnd = "[Manifest]\nDigest="

// Manifest is what a bundle says about itself.
type Manifest struct {
	ID       string   // reverse-DNS, see ValidID
	Version  string   // see CompareVersions; may be empty
	Name     string   // for people, in no particular language
	Exec     string   // main program, a slash path relative to the prefix
	Prefix   string   // absolute path at which the tree appears
	Arch     string   // "x86_64" or "aarch64"
	Commands []string // names of programs in bin that shall be commands of the user
	Export   []string // paths relative to the prefix that shall be shown to the desktop besides those found by rule
	Slices   []SliceInfo

	digests map[string]Digest // of the small sections by name, and of the stub as "stub"
}

// SliceInfo describes a slice: a file tree inside a bundle.
type SliceInfo struct {
	Name       string
	Version    string // may be empty
	Arch       string // of the programs in it; empty when it has none
	Digest     Digest // of the index
	DataOffset int64  // within .glick.data, in bytes
	DataSize   int64  // stored bytes
	Size       int64  // bytes of all its different contents, uncompressed
	Exported   bool   // installed bundles show it to the desktop
	Optional   bool   // the application works without it
	Platform   bool   // stands for something that a host may have itself
	Missing    bool   // an optional slice that has been taken out of this file
}

// parseManifest reads and checks the text of a bundle's manifest, or that of a slice in a file of its own. Keys and groups that it does not know
// are left alone: what a reader must not ignore changes the format version.
func parseManifest(text []byte, kind fileKind) (*Manifest, error) {
	fail := func(format string, a ...any) (*Manifest, error) {
		return nil, fmt.Errorf("its manifest is wrong: %s: %w", fmt.Sprintf(format, a...), ErrDamaged)
	}
	// The last group has the digest of all before it, so that no accident to the manifest goes unseen. (It protects from nobody.)
	end := bytes.LastIndex(text, []byte(manifestEnd))
	if end < 0 {
		return fail("its end is missing")
	}
	if tail := string(text[end+len(manifestEnd):]); tail != Digest(sha256.Sum256(text[:end])).String()+"\n" {
		return fail("it differs from its own digest")
	}
	f, err := keyfile.Parse(text)
	if err != nil {
		return fail("%v", err)
	}
	m := &Manifest{digests: make(map[string]Digest)}
	if kind == kindBundle {
		if err := m.parseBundle(f); err != nil {
			return fail("%v", err)
		}
	} else if f.Group("Bundle") != nil {
		return fail("a slice has a group [Bundle]")
	}
	for i := range maxSlices {
		g := f.Group("Slice " + strconv.Itoa(i))
		if g == nil {
			break
		}
		s, err := parseSlice(g)
		if err != nil {
			return fail("slice %d: %v", i, err)
		}
		m.Slices = append(m.Slices, s)
	}
	numbered := 0
	for _, g := range f.Groups() {
		if strings.HasPrefix(g.Name(), "Slice ") {
			numbered++
		}
	}
	switch {
	case len(m.Slices) == 0:
		return fail("no slice")
	case f.Group("Slice "+strconv.Itoa(len(m.Slices))) != nil:
		return fail("more than %d slices", maxSlices)
	case numbered != len(m.Slices):
		return fail("the numbers of the slices have a gap")
	case kind == kindSlice && len(m.Slices) != 1:
		return fail("several slices in the file of one")
	}
	return m, nil
}

// parseBundle reads the groups that only a bundle has.
func (m *Manifest) parseBundle(f *keyfile.File) error {
	g := f.Group("Bundle")
	if g == nil {
		return errors.New("no group [Bundle]")
	}
	m.ID, m.Version, m.Name, m.Exec = g.String("Id"), g.String("Version"), g.String("Name"), g.String("Exec")
	m.Prefix, m.Arch = g.String("Prefix"), g.String("Architecture")
	m.Commands, m.Export = g.List("Commands"), g.List("Export")
	if m.Prefix == "" {
		m.Prefix = DefaultPrefix
	}
	if err := m.check(); err != nil {
		return err
	}
	if g = f.Group("Digests"); g == nil {
		return errors.New("no group [Digests]")
	}
	for _, key := range g.Keys() {
		d, err := parseDigest(g.String(key))
		if err != nil {
			return err
		}
		m.digests[key] = d
	}
	if _, ok := m.digests["stub"]; !ok {
		return errors.New("no digest of the stub")
	}
	return nil
}

func parseSlice(g *keyfile.Group) (SliceInfo, error) {
	s := SliceInfo{Name: g.String("Name"), Version: g.String("Version"), Arch: g.String("Architecture")}
	for _, flag := range []struct {
		key string
		to  *bool
	}{{"Exported", &s.Exported}, {"Optional", &s.Optional}, {"Platform", &s.Platform}} {
		value, set := g.Get(flag.key)
		if set && value != "true" {
			return s, fmt.Errorf("%s is %q, neither true nor missing", flag.key, value)
		}
		*flag.to = set
	}
	var err error
	if s.Digest, err = parseDigest(g.String("Digest")); err != nil {
		return s, err
	}
	for _, n := range []struct {
		key string
		to  *int64
	}{{"Data-Offset", &s.DataOffset}, {"Data-Size", &s.DataSize}, {"Size", &s.Size}} {
		if *n.to, err = parseSize(g.String(n.key)); err != nil {
			return s, fmt.Errorf("%s: %w", n.key, err)
		}
	}
	return s, s.check()
}

// check says what is wrong with the values that a person may have given.
func (s *SliceInfo) check() error {
	if err := checkText(s.Name); err != nil {
		return fmt.Errorf("the slice's name %w", err)
	}
	if s.Name == "" {
		return errors.New("the slice's name is missing")
	}
	if s.Arch != "" && !validArch(s.Arch) {
		return fmt.Errorf("the architecture %q is neither x86_64 nor aarch64", s.Arch)
	}
	return checkVersion(s.Version)
}

func validArch(arch string) bool { return arch == "x86_64" || arch == "aarch64" }

func parseSize(s string) (int64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil || n > maxContent || strconv.FormatUint(n, 10) != s {
		return 0, fmt.Errorf("%q is not a possible size", s)
	}
	return int64(n), nil
}

// check says what is wrong with the values that a person may have given.
func (m *Manifest) check() error {
	if err := ValidID(m.ID); err != nil {
		return err
	}
	if err := checkText(m.Name); err != nil {
		return fmt.Errorf("the name %w", err)
	}
	if err := checkVersion(m.Version); err != nil {
		return err
	}
	if err := checkPrefix(m.Prefix); err != nil {
		return err
	}
	if err := checkRelative(m.Exec); err != nil {
		return fmt.Errorf("the program %q %w", m.Exec, err)
	}
	if !validArch(m.Arch) {
		return fmt.Errorf("the architecture %q is neither x86_64 nor aarch64", m.Arch)
	}
	for _, c := range m.Commands {
		if strings.Contains(c, "/") || checkRelative(c) != nil {
			return fmt.Errorf("the command %q is not the name of a program", c)
		}
	}
	for _, e := range m.Export {
		if err := checkRelative(e); err != nil {
			return fmt.Errorf("the exported path %q %w", e, err)
		}
	}
	return nil
}

// checkText accepts a line of text that can be shown to people.
func checkText(s string) error {
	switch {
	case len(s) > 1024:
		return fmt.Errorf("is longer than 1024 bytes")
	case !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl):
		return fmt.Errorf("is not a line of text")
	}
	return nil
}

// checkVersion accepts what can stand in a file name and in an environment variable.
func checkVersion(v string) error {
	if len(v) > 255 || strings.ContainsFunc(v, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '/' || r == '\\' }) {
		return fmt.Errorf("the version %q is not a version: no spaces, slashes or special characters", v)
	}
	return nil
}

// checkPrefix accepts an absolute path in its shortest form that is not a folder that every process needs as it is.
func checkPrefix(p string) error {
	if !strings.HasPrefix(p, "/") || path.Clean(p) != p || len(p) > 1024 || checkText(p) != nil {
		return fmt.Errorf("the prefix %q is not an absolute path in its shortest form", p)
	}
	top, _, _ := strings.Cut(p[1:], "/")
	switch {
	case top == "", top == "proc", top == "dev", top == "sys", p == "/run", p == "/tmp", p == "/home", p == "/etc", p == "/var":
		return fmt.Errorf("the prefix %q would hide what every program needs", p)
	}
	return nil
}

// checkRelative accepts a slash path below the prefix in its shortest form.
func checkRelative(p string) error {
	switch {
	case p == "":
		return fmt.Errorf("is missing")
	case strings.HasPrefix(p, "/"), path.Clean(p) != p, p == ".", p == "..", strings.HasPrefix(p, "../"):
		return fmt.Errorf("is not a path relative to the prefix in its shortest form")
	case len(p) > maxPath, strings.IndexByte(p, 0) >= 0:
		return fmt.Errorf("is not a possible path")
	}
	return nil
}

// bytes returns the text of the manifest; the same manifest gives the same text. Without an id it is that of a slice in a file of its own.
func (m *Manifest) bytes(digests []string) []byte {
	f := &keyfile.File{}
	if m.ID != "" {
		g := f.Add("Bundle")
		g.Set("Id", keyfile.Escape(m.ID))
		g.Set("Version", keyfile.Escape(m.Version))
		g.Set("Name", keyfile.Escape(m.Name))
		g.Set("Exec", keyfile.Escape(m.Exec))
		g.Set("Prefix", keyfile.Escape(m.Prefix))
		g.Set("Architecture", m.Arch)
		if len(m.Commands) > 0 {
			g.SetList("Commands", m.Commands)
		}
		if len(m.Export) > 0 {
			g.SetList("Export", m.Export)
		}
		g = f.Add("Digests")
		for _, name := range digests {
			g.Set(name, m.digests[name].String())
		}
	}
	for i, s := range m.Slices {
		g := f.Add("Slice " + strconv.Itoa(i))
		g.Set("Name", keyfile.Escape(s.Name))
		if s.Version != "" {
			g.Set("Version", keyfile.Escape(s.Version))
		}
		if s.Arch != "" {
			g.Set("Architecture", s.Arch)
		}
		g.Set("Digest", s.Digest.String())
		g.Set("Data-Offset", strconv.FormatInt(s.DataOffset, 10))
		g.Set("Data-Size", strconv.FormatInt(s.DataSize, 10))
		g.Set("Size", strconv.FormatInt(s.Size, 10))
		for _, flag := range []struct {
			key string
			set bool
		}{{"Exported", s.Exported}, {"Optional", s.Optional}, {"Platform", s.Platform}} {
			if flag.set {
				g.Set(flag.key, "true")
			}
		}
	}
	text := f.Bytes()
	return fmt.Appendf(text, "%s%s\n", manifestEnd, Digest(sha256.Sum256(text)))
}
