// SPDX-License-Identifier: MIT

package work

import (
	"bytes"
	"encoding/xml"
	"io"
	"strings"

	"glick.org/glick/gui/state"
)

// What is looked at of a bundle's metainfo at most. Real ones are far below.
const (
	maxMetainfo    = 1 << 20 // bytes
	maxDepth       = 64      // elements in each other
	maxBlocks      = 200     // paragraphs and items of a description
	maxScreenshots = 6
	maxURLs        = 32
)

// metainfo is what an AppStream component says of an application, in the person's language (freedesktop.org, AppStream specification, 2.1 and 2.2).
type metainfo struct {
	name, summary, developer, license ranked
	blocks                            []block
	links                             []state.Link
	screenshots                       []screenshot
}

// ranked is a text and how well its language suits: 0 is best. The zero value is no text.
type ranked struct {
	text string
	rank int
}

func (r *ranked) offer(text string, rank int) {
	if text = strings.TrimSpace(text); text != "" && rank >= 0 && (r.text == "" || rank < r.rank) {
		*r = ranked{text, rank}
	}
}

// block is a paragraph or item. Its translations follow it.
type block struct {
	item bool
	text ranked
}

// screenshot names the files that a picture may be in, the best first.
type screenshot struct {
	files   []string
	caption ranked
}

// metainfoReader walks through the elements. Text is collected per element and used when it ends, so that markup in it does no harm.
type metainfoReader struct {
	out       metainfo
	languages []string
	rank      int  // how well the language of the description suits that out has
	skip      bool // a description that does not suit
	path      []string
	langs     []string // of the element and of those around it
	text      [][]byte
	attrs     []map[string]string
}

// parseMetainfo reads as far as it can: a mistake at the end does not hide what was before it.
func parseMetainfo(data []byte, languages []string) *metainfo {
	r := metainfoReader{languages: languages}
	if len(data) > maxMetainfo {
		return &r.out
	}
	d := xml.NewDecoder(bytes.NewReader(data))
	d.Strict = false
	// Other encodings than UTF-8 are shown as well as they can be.
	d.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil }
	for {
		t, err := d.Token()
		if err != nil {
			return &r.out
		}
		switch t := t.(type) {
		case xml.StartElement:
			if len(r.path) == maxDepth {
				return &r.out
			}
			r.begin(t)
		case xml.EndElement:
			r.end()
		case xml.CharData:
			if n := len(r.text); n > 0 {
				r.text[n-1] = append(r.text[n-1], t...)
			}
		}
	}
}

func (r *metainfoReader) begin(t xml.StartElement) {
	lang := ""
	if n := len(r.langs); n > 0 {
		lang = r.langs[n-1]
	}
	attrs := map[string]string{}
	for _, a := range t.Attr {
		if a.Name.Local == "lang" {
			a.Value = strings.ReplaceAll(a.Value, "-", "_")
			lang = a.Value
		}
		attrs[a.Name.Local] = a.Value
	}
	r.path, r.langs = append(r.path, t.Name.Local), append(r.langs, lang)
	r.text, r.attrs = append(r.text, []byte(nil)), append(r.attrs, attrs)
	switch r.at() {
	case "component/description":
		r.description(attrs["lang"])
	case "component/screenshots/screenshot":
		if len(r.out.screenshots) < maxScreenshots {
			r.out.screenshots = append(r.out.screenshots, screenshot{})
		}
	}
}

func (r *metainfoReader) at() string { return strings.Join(r.path, "/") }

func (r *metainfoReader) end() {
	n := len(r.path) - 1
	if n < 0 {
		return
	}
	r.use(r.at(), string(r.text[n]), r.attrs[n], rankOf(r.langs[n], r.languages))
	if name := r.path[n]; n > 0 && (name == "em" || name == "code") {
		r.text[n-1] = append(r.text[n-1], r.text[n]...) // emphasis inside a paragraph
	}
	r.path, r.langs, r.text, r.attrs = r.path[:n], r.langs[:n], r.text[:n], r.attrs[:n]
}

// use takes over an element that has ended.
func (r *metainfoReader) use(at, text string, attrs map[string]string, rank int) {
	switch at {
	case "component/name":
		r.out.name.offer(text, rank)
	case "component/summary":
		r.out.summary.offer(text, rank)
	case "component/developer_name", "component/developer/name":
		r.out.developer.offer(text, rank)
	case "component/project_license":
		r.out.license.offer(text, rank)
	case "component/url":
		if text = strings.TrimSpace(text); len(r.out.links) < maxURLs && text != "" {
			r.out.links = append(r.out.links, state.Link{Kind: attrs["type"], URL: text})
		}
	case "component/description/p":
		r.block(false, text, attrs["lang"])
	case "component/description/ul/li", "component/description/ol/li":
		r.block(true, text, attrs["lang"])
	case "component/screenshots/screenshot/image", "component/screenshots/screenshot/caption":
		shots := r.out.screenshots
		if len(shots) == 0 {
			return
		}
		s := &shots[len(shots)-1]
		switch text = strings.TrimSpace(text); {
		case r.path[len(r.path)-1] == "caption":
			s.caption.offer(text, rank)
		case text != "" && rank >= 0 && len(s.files) < maxURLs:
			s.files = append(s.files, text)
		}
	}
}

// description begins a description. Files have one of which each text is followed by its translations, or one for each language: then the one
// that suits best is used.
func (r *metainfoReader) description(own string) {
	rank := rankOf(own, r.languages)
	if r.skip = rank < 0 || len(r.out.blocks) > 0 && rank >= r.rank; !r.skip {
		r.out.blocks, r.rank = nil, rank
	}
}

// block adds a paragraph or item; one that has a language of its own is a translation of the one before.
func (r *metainfoReader) block(item bool, text, own string) {
	n := len(r.out.blocks)
	switch {
	case r.skip:
	case own == "" && n < maxBlocks:
		b := block{item: item}
		if b.text.offer(text, len(r.languages)); b.text.text != "" {
			r.out.blocks = append(r.out.blocks, b)
		}
	case own != "" && n > 0 && r.out.blocks[n-1].item == item:
		r.out.blocks[n-1].text.offer(text, rankOf(own, r.languages))
	}
}

// describe gives an identity what the metainfo says.
func (m *metainfo) describe(id *state.Identity) {
	set := func(to *string, r ranked) {
		if r.text != "" {
			*to = r.text
		}
	}
	set(&id.Summary, m.summary)
	set(&id.Developer, m.developer)
	set(&id.License, m.license)
	if id.Name == "" {
		set(&id.Name, m.name)
	}
	for _, b := range m.blocks {
		id.Description = append(id.Description, state.Block{Item: b.item, Text: b.text.text})
	}
	id.Links = m.links
}
