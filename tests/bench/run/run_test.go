// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
)

func TestStatistics(t *testing.T) {
	s := newSeries("x", "s", []float64{5, 1, 4, 2, 3})
	if s.Median != 3 || s.P10 != 1.4 || s.P90 != 4.6 || s.Samples[0] != 5 {
		t.Errorf("got %+v", s)
	}
	if q := quantile(nil, 0.5); q != 0 {
		t.Errorf("nothing has the median %v", q)
	}
	slow := newSeries("y", "s", []float64{10, 2, 8, 4, 6})
	c := ratio("y / x", slow, s).atMost(1.9)
	if c.Value != 2 || c.Low != 2 || c.High != 2 || c.Met {
		t.Errorf("got %+v", c)
	}
	if !atMost("z", "MB", 0, 0).Met {
		t.Error("nothing is not at most nothing")
	}
}

// All run equally often, the first rounds do not count, and one that fails is named.
func TestTurns(t *testing.T) {
	var order string
	say := func(name string) contender {
		return contender{name, func(context.Context) (float64, error) {
			order += name
			return float64(len(order)), nil
		}}
	}
	all, err := turns(t.Context(), "s", 1, 2, []contender{say("a"), say("b")})
	if err != nil || order != "abbaab" || len(all) != 2 || len(all[0].Samples) != 2 || all[0].Samples[0] != 4 {
		t.Errorf("%q, %+v, %v", order, all, err)
	}
	broken := contender{"broken", func(context.Context) (float64, error) { return 0, io.ErrUnexpectedEOF }}
	if _, err := turns(t.Context(), "s", 0, 1, []contender{broken}); !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), "broken") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := turns(ctx, "s", 0, 1, []contender{say("a")}); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}

func TestReport(t *testing.T) {
	r := &report{Rows: []*result{
		{Row: "one", What: "a <row>", Claims: []claim{atMost("a & b", "MB", 20, 10), atMost("c", "", 0, 0), {What: "free", Unit: "×", Value: 3}}},
		{Row: "two"},
	}}
	r.Rows[1].finish(skipped("it needs root"))
	var text, drawing bytes.Buffer
	for _, row := range r.Rows {
		row.print(&text)
	}
	r.foot(&text)
	for _, want := range []string{"20.0 MB, at most 10.0: NOT MET", "0, at most 0: met", "3.00 ×, no target", "SKIPPED: it needs root", "1 of 2 targets are met; 1 rows skipped"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is missing in:\n%s", want, text.String())
		}
	}
	r.draw(&drawing)
	bars := 0
	for d := xml.NewDecoder(&drawing); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "rect" {
			bars++
		}
	}
	if bars != 1+2 {
		t.Errorf("%d rectangles for the background and two figures", bars)
	}
	if a, b := place(1), place(0.1); math.Abs(a-b-drawScale/3.0) > 0.01 {
		t.Errorf("a factor of ten is %v pixels", a-b)
	}
}

// fakeX answers a handshake.
type fakeX struct {
	io.Reader
	io.Writer
}

func TestX11Setup(t *testing.T) {
	answer := func(vendor, formats, words int) []byte {
		body := make([]byte, 4*words)
		if len(body) >= setupFixed {
			binary.LittleEndian.PutUint16(body[setupVendorLength:], uint16(vendor))
			body[setupFormats] = byte(formats)
		}
		if at := setupFixed + (vendor+3)/4*4 + 8*formats; at+4 <= len(body) {
			binary.LittleEndian.PutUint32(body[at:], 0x123)
		}
		return append([]byte{1, 0, 11, 0, 0, 0, byte(words), byte(words >> 8)}, body...)
	}
	if root, err := setup(fakeX{bytes.NewReader(answer(5, 2, 100)), io.Discard}); err != nil || root != 0x123 {
		t.Errorf("got %#x, %v", root, err)
	}
	for name, bad := range map[string][]byte{
		"nothing": nil, "short": answer(5, 2, 100)[:20], "refused": append([]byte{0}, answer(5, 2, 100)[1:]...),
		"no room": answer(0, 0, 4), "vendor beyond the end": answer(60000, 0, 10), "formats beyond the end": answer(0, 255, 10),
	} {
		if _, err := setup(fakeX{bytes.NewReader(bad), io.Discard}); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func TestSizes(t *testing.T) {
	got := sizes([]byte("55d-55e r--p\nRss:    12 kB\nPss: 3 kB\nRss: 4 kB\nVmFlags: rd\n"))
	if got["Rss"] != 16<<10 || got["Pss"] != 3<<10 {
		t.Errorf("got %v", got)
	}
}

func TestArguments(t *testing.T) {
	s, err := parse([]string{"--rows", "end,launch", "--runs", "3"})
	if err != nil || len(s.Rows) != 2 || s.Runs != 3 {
		t.Errorf("got %+v, %v", s, err)
	}
	if _, err := parse([]string{"--rows", "nothing"}); err == nil || !strings.Contains(err.Error(), "launch") {
		t.Errorf("got %v", err)
	}
	if _, err := parse([]string{"--dir", "/a:b"}); err == nil {
		t.Error("a folder that mount options cannot have is taken")
	}
}
