// SPDX-License-Identifier: MIT

// Package keyfile reads and writes key files: the syntax of desktop entries, of D-Bus service files and of a bundle's manifest
// (Desktop Entry Specification, "Basic format of the file").
//
// Everything is kept as it stands, in its order: comments, empty lines, unknown groups and keys. A file that is parsed and written
// again without a change is the same bytes, except for a missing last line end.
//
// The parser is strict, because its input comes from untrusted files: what is neither a comment, a group header nor key=value is an error,
// and so are a key or group that appears twice, a key before the first group, NUL bytes and text that is not UTF-8.
package keyfile

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxSize is the largest key file, in bytes, that Parse accepts.
const MaxSize = 4 << 20

// File is a parsed key file. The zero value is an empty one, ready for use.
type File struct {
	head   []string // comments and empty lines before the first group
	groups []*Group
	index  map[string]*Group
}

// Group is one [group] of a file with its keys.
type Group struct {
	name  string
	lines []line
	index map[string]int // key to its place in lines
}

// line is a key with its value, or, with an empty key, a comment kept as it is.
type line struct {
	key, value string
}

// SyntaxError tells in which line (counted from 1) a key file is wrong.
type SyntaxError struct {
	Line int
	What string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.What) }

// Parse reads a key file. An error is a *SyntaxError. The file keeps nothing of data.
func Parse(data []byte) (*File, error) {
	if len(data) > MaxSize {
		return nil, &SyntaxError{1, fmt.Sprintf("the file is larger than %d bytes", MaxSize)}
	}
	f := &File{}
	var group *Group
	// An application's file may begin with a byte order mark; it says nothing.
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	for n := 1; len(data) > 0; n++ {
		var raw []byte
		raw, data, _ = bytes.Cut(data, []byte{'\n'})
		raw = bytes.TrimRight(raw, "\r")
		if !utf8.Valid(raw) || bytes.IndexByte(raw, 0) >= 0 {
			return nil, &SyntaxError{n, "not UTF-8 text"}
		}
		text := string(raw)
		trimmed := strings.TrimSpace(text)
		switch {
		case trimmed == "" || trimmed[0] == '#':
			if group == nil {
				f.head = append(f.head, text)
			} else {
				group.lines = append(group.lines, line{value: text})
			}
		case trimmed[0] == '[':
			name, ok := strings.CutSuffix(trimmed[1:], "]")
			if !ok || !validGroup(name) {
				return nil, &SyntaxError{n, "not a group header"}
			}
			if f.index[name] != nil {
				return nil, &SyntaxError{n, fmt.Sprintf("group %q appears twice", name)}
			}
			group = f.Add(name)
		default:
			key, value, ok := strings.Cut(text, "=")
			key = strings.TrimSpace(key)
			switch {
			case !ok || !validKey(key):
				return nil, &SyntaxError{n, "neither key=value, nor a group header, nor a comment"}
			case group == nil:
				return nil, &SyntaxError{n, "a key before the first group"}
			}
			if _, twice := group.index[key]; twice {
				return nil, &SyntaxError{n, fmt.Sprintf("key %q appears twice", key)}
			}
			group.put(key, strings.TrimSpace(value))
		}
	}
	return f, nil
}

// validGroup follows the specification: any text but brackets and control characters.
func validGroup(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool { return r == '[' || r == ']' || r < ' ' || r == 0x7f })
}

// validKey accepts more than the specification's A-Za-z0-9- because manifests have file names as keys, and real files keys like X-Foo_Bar.
func validKey(key string) bool {
	return key != "" && !strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r == '=' || r == '#' || r == 0x7f })
}

// Groups returns the groups in the order of the file. The caller may change the groups, not the slice.
func (f *File) Groups() []*Group { return f.groups }

// Group returns the group of that name, or nil. A nil Group can be read and is empty.
func (f *File) Group(name string) *Group { return f.index[name] }

// Add returns the group of that name and makes it, at the end, when it does not exist. The name is a program's own choice: no control characters, no brackets.
func (f *File) Add(name string) *Group {
	if g := f.index[name]; g != nil {
		return g
	}
	g := &Group{name: name, index: make(map[string]int)}
	if f.index == nil {
		f.index = make(map[string]*Group)
	}
	f.index[name] = g
	f.groups = append(f.groups, g)
	return g
}

// Remove deletes a group with all its keys; it is no error when it does not exist.
func (f *File) Remove(name string) {
	if f.index[name] == nil {
		return
	}
	delete(f.index, name)
	for i, g := range f.groups {
		if g.name == name {
			f.groups = append(f.groups[:i], f.groups[i+1:]...)
			return
		}
	}
}

// Bytes returns the file's text, every line ended by a line feed.
func (f *File) Bytes() []byte {
	var b bytes.Buffer
	for _, s := range f.head {
		b.WriteString(s)
		b.WriteByte('\n')
	}
	for _, g := range f.groups {
		b.WriteString("[" + g.name + "]\n")
		for _, l := range g.lines {
			if l.key != "" {
				b.WriteString(l.key)
				b.WriteByte('=')
			}
			b.WriteString(l.value)
			b.WriteByte('\n')
		}
	}
	return b.Bytes()
}

// Name returns the group's name without brackets.
func (g *Group) Name() string { return g.name }

// Keys returns the keys in the order of the file, localised ones (Name[de]) included.
func (g *Group) Keys() []string {
	if g == nil {
		return nil
	}
	keys := make([]string, 0, len(g.index))
	for _, l := range g.lines {
		if l.key != "" {
			keys = append(keys, l.key)
		}
	}
	return keys
}

// Get returns the value of a key exactly as it stands, escapes included, and whether the key is there.
func (g *Group) Get(key string) (string, bool) {
	if g == nil {
		return "", false
	}
	i, ok := g.index[key]
	if !ok {
		return "", false
	}
	return g.lines[i].value, true
}

// String returns the value of a key with its escapes (\s \n \t \r \\) resolved, or "".
func (g *Group) String(key string) string {
	v, _ := g.Get(key)
	return Unescape(v)
}

// List returns the values of a key that is a list separated by semicolons, escapes resolved, empty ones left out.
func (g *Group) List(key string) []string {
	v, ok := g.Get(key)
	if !ok {
		return nil
	}
	var list []string
	var item strings.Builder
	add := func() {
		if item.Len() > 0 {
			list = append(list, Unescape(item.String()))
		}
		item.Reset()
	}
	for i := 0; i < len(v); i++ {
		switch {
		case v[i] == ';':
			add()
		case v[i] == '\\' && i+1 < len(v) && v[i+1] == ';':
			i++
			item.WriteByte(';')
		case v[i] == '\\' && i+1 < len(v):
			item.WriteString(v[i : i+2])
			i++
		default:
			item.WriteByte(v[i])
		}
	}
	add()
	return list
}

// Set gives a key a value, written as it is; use Escape for arbitrary text. A new key comes after the group's last key. Line ends in the
// value would make other lines: they are replaced by spaces.
func (g *Group) Set(key, value string) {
	value = strings.Map(func(r rune) rune {
		if r == '\n' || r == '\r' || r == 0 {
			return ' '
		}
		return r
	}, value)
	if i, ok := g.index[key]; ok {
		g.lines[i].value = value
		return
	}
	g.put(key, value)
}

// SetList gives a key a list of values, each escaped and ended by a semicolon.
func (g *Group) SetList(key string, list []string) {
	var b strings.Builder
	for _, s := range list {
		b.WriteString(strings.ReplaceAll(Escape(s), ";", `\;`))
		b.WriteByte(';')
	}
	g.Set(key, b.String())
}

// put appends a new key before the empty lines that separate this group from the next.
func (g *Group) put(key, value string) {
	at := len(g.lines)
	g.lines = append(g.lines, line{key, value})
	g.index[key] = at
}

// Delete removes a key; it is no error when it does not exist.
func (g *Group) Delete(key string) {
	i, ok := g.index[key]
	if !ok {
		return
	}
	g.lines = append(g.lines[:i], g.lines[i+1:]...)
	delete(g.index, key)
	for k, at := range g.index {
		if at > i {
			g.index[k] = at - 1
		}
	}
}

var unescaper = strings.NewReplacer(`\s`, " ", `\n`, "\n", `\t`, "\t", `\r`, "\r", `\\`, `\`)

// Unescape resolves the escapes of a string value. An escape that the specification does not know stays as it is.
func Unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	return unescaper.Replace(s)
}

var escaper = strings.NewReplacer("\n", `\n`, "\t", `\t`, "\r", `\r`, `\`, `\\`)

// Escape makes any UTF-8 text a string value that Unescape turns back. Space at its two ends is kept by \s.
func Escape(s string) string {
	e := escaper.Replace(s)
	if strings.HasPrefix(e, " ") {
		e = `\s` + e[1:]
	}
	if strings.HasSuffix(e, " ") {
		e = e[:len(e)-1] + `\s`
	}
	return e
}
