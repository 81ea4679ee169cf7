// SPDX-License-Identifier: MIT

package main

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"glick.org/glick/gui/tr"
)

// The texts of notifications are translated with those of the windows. The C library's gettext is not in a static program, so the catalogue is read
// here: https://www.gnu.org/software/gettext/manual/html_node/MO-Files.html

// maxCatalogue bounds what is read of a catalogue.
const maxCatalogue = 4 << 20

// catalogue has the translation of each message that it knows.
type catalogue map[string]string

func (c catalogue) Get(msg string) string {
	if t := c[msg]; t != "" && msg != "" { // the empty message has the catalogue's header
		return t
	}
	return msg
}

// Plural knows English only: no text of the service depends on a number.
func (c catalogue) Plural(one, many string, n int) string {
	if n == 1 {
		return one
	}
	return many
}

// useCatalogue makes the language of the environment that of all texts, as far as there is a catalogue.
func useCatalogue(getenv func(string) string, localeDir string) {
	for _, language := range languages(getenv) {
		if c, err := openCatalogue(filepath.Join(localeDir, language, "LC_MESSAGES", tr.Domain+".mo")); err == nil {
			tr.Use(c)
			return
		}
		if language == "en" {
			return
		}
	}
}

// localeDir is where the catalogues are: beside the program, PREFIX/bin and PREFIX/share/locale. GLICK_LOCALE_DIR names another place.
func localeDir() string {
	if dir := os.Getenv("GLICK_LOCALE_DIR"); dir != "" {
		return dir
	}
	program, err := os.Executable()
	if err != nil {
		return ""
	}
	return filepath.Join(filepath.Dir(filepath.Dir(program)), "share", "locale")
}

// languages are the names of the folders to look into, the best first; see gettext(3).
func languages(getenv func(string) string) []string {
	locale := ""
	for _, name := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		if locale = getenv(name); locale != "" {
			break
		}
	}
	plain, _, _ := strings.Cut(locale, ".")
	if plain == "" || plain == "C" || plain == "POSIX" {
		return nil
	}
	var all []string
	for one := range strings.SplitSeq(getenv("LANGUAGE")+":"+locale, ":") {
		one, modifier, _ := strings.Cut(one, "@")
		one, _, _ = strings.Cut(one, ".")
		if one == "" || strings.ContainsAny(one+modifier, "/\x00") || strings.HasPrefix(one, ".") {
			continue
		}
		short, _, _ := strings.Cut(one, "_")
		for _, name := range []string{one, short} {
			if modifier != "" {
				all = append(all, name+"@"+modifier)
			}
			all = append(all, name)
		}
	}
	return all
}

func openCatalogue(path string) (catalogue, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxCatalogue))
	if err != nil {
		return nil, err
	}
	return parseCatalogue(data)
}

var errCatalogue = errors.New("not a catalogue of messages")

// parseCatalogue reads a file of gettext. Of a message with several forms it takes the first.
func parseCatalogue(data []byte) (catalogue, error) {
	const head, magic = 28, 0x950412de
	if len(data) < head {
		return nil, errCatalogue
	}
	var order binary.ByteOrder = binary.LittleEndian
	if order.Uint32(data) != magic {
		order = binary.BigEndian
	}
	if order.Uint32(data) != magic || order.Uint32(data[4:])>>16 > 1 {
		return nil, errCatalogue
	}
	number := func(at uint64) (uint64, bool) {
		if at+4 > uint64(len(data)) {
			return 0, false
		}
		return uint64(order.Uint32(data[at:])), true
	}
	text := func(table, i uint64) (string, bool) {
		size, ok := number(table + 8*i)
		at, ok2 := number(table + 8*i + 4)
		if !ok || !ok2 || at+size > uint64(len(data)) {
			return "", false
		}
		first, _, _ := strings.Cut(string(data[at:at+size]), "\x00")
		return first, true
	}
	count, _ := number(8)
	originals, _ := number(12)
	translations, _ := number(16)
	c := catalogue{}
	for i := range count {
		original, ok := text(originals, i)
		translation, ok2 := text(translations, i)
		if !ok || !ok2 {
			return nil, errCatalogue
		}
		c[original] = translation
	}
	return c, nil
}
