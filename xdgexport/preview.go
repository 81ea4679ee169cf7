// SPDX-License-Identifier: MIT

package xdgexport

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"path"
	"slices"
	"strings"

	"glick.org/glick/bundle/keyfile"
	"glick.org/glick/xdgexport/apps"
)

// Preview derives what a sync would show of one bundle, installed or not, beside the applications of the list: what is left
// out of it because others have it counts as well. It changes nothing, and reads no other bundle.
func Preview(a apps.App, list []apps.App, o Options) (Wanted, error) {
	o, err := o.complete()
	if err != nil {
		return Wanted{}, fmt.Errorf("cannot tell what of %s would be shown: %w", a.File, err)
	}
	a.Default = true // as it is, or would be
	o = o.forList([]apps.App{a})
	f := folder{dir: stateFolder(o.DataHome)}
	r, _, err := f.read(true)
	if err != nil {
		r = emptyRecord()
	}
	mine := map[string]*fileRecord{}
	if was := r.Apps[a.ID]; was != nil {
		mine = was.open().Files
	}
	env := newSurroundings(o)
	env.ours = func(p string) bool { return mine[p] != nil }
	env.ids[a.ID] = true
	for _, other := range list {
		env.ids[other.ID] = env.ids[other.ID] || other.Default
	}
	env.incumbents = func(use func(id string, claims []string)) {
		for id, other := range r.Apps {
			if id != a.ID {
				use(id, other.claims())
			}
		}
	}
	files, rec := planApp(a, env)
	s := &syncer{o: o, old: r, was: mine, apps: map[string]*appRecord{a.ID: rec}, files: map[string]*fileRecord{}}
	rec.Files = map[string]*fileRecord{}
	for _, f := range files {
		s.want(f)
	}
	w := Wanted{Left: append(rec.Left, s.edited()...)}
	for _, f := range files {
		if rec.Files[f.Path] != nil {
			w.Files = append(w.Files, f)
		}
	}
	slices.SortFunc(w.Files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return w, nil
}

// edited gives those of the files left out that are the user's own versions of ours.
func (s *syncer) edited() []LeftOut {
	return slices.DeleteFunc(slices.Clone(s.left), func(l LeftOut) bool { return slices.Contains(s.apps[l.App].Left, l) })
}

// Summary is in short what the files of one bundle add to the desktop. All lists are sorted.
type Summary struct {
	Entries   []string `json:"entries,omitempty"`          // ids of menu entries
	Opens     []string `json:"opens,omitempty"`            // types of files that entries open
	Schemes   []string `json:"schemes,omitempty"`          // of URIs that entries open
	Types     []string `json:"types,omitempty"`            // of files that become known
	Services  []string `json:"services,omitempty"`         // names on the session bus that can be started
	Search    []string `json:"search-providers,omitempty"` // names of search providers
	Commands  []string `json:"commands,omitempty"`
	Fonts     []string `json:"fonts,omitempty"`     // names of files
	Autostart []string `json:"autostart,omitempty"` // what is started with the session
	Icons     int      `json:"icons,omitempty"`
	Pages     int      `json:"manual-pages,omitempty"`
	Complete  int      `json:"completions,omitempty"`
	Metainfo  bool     `json:"metainfo,omitempty"`
}

// Summary tells in short what the plan shows.
func (w Wanted) Summary() Summary {
	var s Summary
	for _, f := range w.Files {
		base := path.Base(f.Path)
		stem := strings.TrimSuffix(base, path.Ext(base))
		switch areaOf(f.Path) {
		case entriesArea:
			s.Entries = append(s.Entries, stem)
			s.addTypes(f.Content)
		case autostartArea:
			s.Autostart = append(s.Autostart, stem)
		case iconsArea:
			s.Icons++
		case typesArea:
			s.Types = append(s.Types, definedTypes(f.Content)...)
		case busArea:
			s.Services = append(s.Services, stem)
		case searchArea:
			s.Search = append(s.Search, stem)
		case commandsArea:
			s.Commands = append(s.Commands, base)
		case pagesArea:
			s.Pages++
		case bashArea, zshArea, fishArea:
			s.Complete++
		case fontsArea:
			s.Fonts = append(s.Fonts, base)
		case infoArea:
			s.Metainfo = true
		}
	}
	for _, all := range []*[]string{&s.Entries, &s.Opens, &s.Schemes, &s.Types, &s.Services, &s.Search, &s.Commands, &s.Fonts, &s.Autostart} {
		slices.Sort(*all)
		*all = slices.Compact(*all)
	}
	return s
}

func (s *Summary) addTypes(entry []byte) {
	f, err := keyfile.Parse(entry)
	if err != nil {
		return
	}
	for _, t := range strings.Split(f.Group(entryGroup).String("MimeType"), ";") {
		if scheme, ok := strings.CutPrefix(t, "x-scheme-handler/"); ok {
			s.Schemes = append(s.Schemes, scheme)
		} else if t != "" {
			s.Opens = append(s.Opens, t)
		}
	}
}

// definedTypes lists the types that a definition of ours is of.
func definedTypes(definition []byte) []string {
	var all []string
	d := xml.NewDecoder(bytes.NewReader(definition))
	for {
		token, err := d.Token()
		if err != nil {
			return all
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "mime-type" {
			for _, a := range e.Attr {
				if a.Name.Local == "type" {
					all = append(all, a.Value)
				}
			}
		}
	}
}
