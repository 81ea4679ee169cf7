// SPDX-License-Identifier: MIT

package main

import (
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// FuzzCatalogue also runs with what gettext itself has made, where it is installed.
func FuzzCatalogue(f *testing.F) {
	f.Add([]byte("\xde\x12\x04\x95"))
	head := func(order binary.ByteOrder) []byte {
		var b []byte
		for _, n := range []uint32{0x950412de, 0, 1, 28, 36, 0, 0, 1, 44, 1, 46} {
			b = append(b, 0, 0, 0, 0)
			order.PutUint32(b[len(b)-4:], n)
		}
		return append(b, "a\x00b\x00"...)
	}
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		b := head(order)
		if c, err := parseCatalogue(b); err != nil || c.Get("a") != "b" || c.Get("x") != "x" || c.Get("") != "" {
			f.Errorf("%v: %v", c, err)
		}
		f.Add(b)
		f.Add(b[:len(b)-3])
	}
	f.Fuzz(func(_ *testing.T, data []byte) { _, _ = parseCatalogue(data) })
}

func TestCatalogueOfGettext(t *testing.T) {
	msgfmt, err := exec.LookPath("msgfmt")
	if err != nil {
		t.Skip("msgfmt is not installed")
	}
	dir := filepath.Join(t.TempDir(), "de", "LC_MESSAGES")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(msgfmt, "-o", filepath.Join(dir, "glick.mo"), "../../po/de.po").CombinedOutput(); err != nil {
		t.Fatal(err, string(out))
	}
	c, err := openCatalogue(filepath.Join(dir, "glick.mo"))
	if err != nil || c.Get("Open") != "Öffnen" {
		t.Errorf("%q, %v", c.Get("Open"), err)
	}
}

func TestLanguages(t *testing.T) {
	for _, c := range []struct {
		env  map[string]string
		want []string
	}{
		{nil, nil},
		{map[string]string{"LANG": "C.UTF-8", "LANGUAGE": "de"}, nil},
		{map[string]string{"LANG": "de_AT.UTF-8"}, []string{"de_AT", "de"}},
		{map[string]string{"LANG": "de_AT.UTF-8", "LC_MESSAGES": "fr"}, []string{"fr", "fr"}},
		{map[string]string{"LANG": "sr_RS@latin", "LANGUAGE": "../x:pt"}, []string{"pt", "pt", "sr_RS@latin", "sr_RS", "sr@latin", "sr"}},
	} {
		if got := languages(func(name string) string { return c.env[name] }); !slices.Equal(got, c.want) {
			t.Errorf("%v: %q", c.env, got)
		}
	}
}
