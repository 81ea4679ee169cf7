// SPDX-License-Identifier: MIT

package xdgexport

import (
	"encoding/xml"
	"fmt"
	"slices"
	"strings"
)

// componentTypes are the types of AppStream components that an application can be (AppStream 1.0, "Metainfo files").
// The others extend or describe something of somebody else.
var componentTypes = []string{"", "desktop", "desktop-application", "console-application"}

// metainfoElements are the elements that are taken over, with the attributes that are. Left out is what speaks for
// other software (extends, replaces, pkgname, bundle), and icons, which come from the theme.
var metainfoElements = map[string][]string{
	"component": {"type", "xml:lang", "date_eol"}, "id": nil, "metadata_license": nil, "project_license": nil, "project_group": nil, "update_contact": nil,
	"name": {"xml:lang"}, "summary": {"xml:lang"}, "description": {"xml:lang"}, "developer_name": {"xml:lang"}, "developer": {"id"}, "name_variant_suffix": {"xml:lang"},
	"p": {"xml:lang"}, "ul": {"xml:lang"}, "ol": {"xml:lang"}, "li": {"xml:lang"}, "em": nil, "code": nil,
	"url": {"type"}, "launchable": {"type"}, "provides": nil, "mediatype": nil, "mimetype": nil, "dbus": {"type"}, "binary": nil,
	"categories": nil, "category": nil, "keywords": {"xml:lang"}, "keyword": {"xml:lang"}, "content_rating": {"type"}, "content_attribute": {"id"},
	"screenshots": nil, "screenshot": {"type", "environment"}, "caption": {"xml:lang"}, "image": {"type", "width", "height", "scale", "xml:lang"},
	"releases": nil, "release": {"version", "date", "timestamp", "type", "urgency", "date_eol"}, "issues": nil, "issue": {"type", "url"},
	"branding": nil, "color": {"type", "scheme_preference"}, "languages": nil, "lang": {"percentage"}, "translation": {"type"},
	"requires": nil, "recommends": nil, "supports": nil, "display_length": {"compare", "side"}, "control": nil, "internet": {"bandwidth_mbitps"},
}

// metainfoParents are those that have other elements in them. All others have text, which is looked at as a whole.
var metainfoParents = []string{
	"component", "developer", "description", "p", "ul", "ol", "li", "provides", "categories", "keywords", "content_rating", "screenshots", "screenshot",
	"releases", "release", "issues", "branding", "languages", "requires", "recommends", "supports",
}

// rewriteMetainfo makes the metainfo that is shown of that in the bundle.
func rewriteMetainfo(data []byte, id string, entry func(stem string) bool, commands []string) ([]byte, []string, error) {
	isMe := func(text string) bool { return text == id || text == id+".desktop" }
	found, ids := false, 0
	web := func(s string) bool { return strings.HasPrefix(s, "https://") || strings.HasPrefix(s, "http://") }
	rules := xmlRules{
		root: "component", deep: maxXMLDepth,
		element: func(name, above string, attrs []xml.Attr) bool {
			if name == "component" {
				kind := ""
				for _, a := range attrs {
					if rawName(a.Name) == "type" {
						kind = a.Value
					}
				}
				return above == "" && slices.Contains(componentTypes, kind)
			}
			_, ok := metainfoElements[name]
			return ok && slices.Contains(metainfoParents, above) && (name != "id" || above == "component")
		},
		attr: func(element, name, value string) bool {
			return slices.Contains(metainfoElements[element], name) && len(value) <= maxText && printable(value) && (name != "url" || web(value))
		},
		text: func(element, _, text string, attrs []xml.Attr) bool {
			switch element {
			case "id":
				if ids++; ids == 1 {
					found = isMe(text)
				}
				return ids == 1
			case "launchable":
				stem, ok := strings.CutSuffix(text, ".desktop")
				return ok && entry(stem) && slices.ContainsFunc(attrs, func(a xml.Attr) bool { return a.Name.Local == "type" && a.Value == "desktop-id" })
			case "dbus":
				return allowedName(text, id)
			case "binary":
				return slices.Contains(commands, text)
			case "mediatype", "mimetype":
				return validType(text)
			case "url", "image":
				return web(text) || element == "url" && strings.HasPrefix(text, "mailto:")
			}
			return true
		},
	}
	out, dropped, err := rewriteXML(data, rules)
	switch {
	case err != nil:
		return nil, nil, err
	case !found:
		return nil, nil, fmt.Errorf("its id is not the bundle's, %s", id)
	}
	notes := make([]string, len(dropped))
	for i, d := range dropped {
		notes[i] = fmt.Sprintf("its element %.80q is not taken over", d)
	}
	return out, notes, nil
}

func (p *planner) planMetainfo() {
	const origin = ".xdg.metainfo"
	data, err := p.b.Metainfo()
	if err != nil {
		p.leave(origin, err.Error())
		return
	}
	if len(data) == 0 {
		return
	}
	out, notes, err := rewriteMetainfo(data, p.id, func(stem string) bool { return p.entries[stem] }, p.b.Manifest().Commands)
	p.leaveAll(origin, notes)
	if err != nil {
		p.leave(origin, err.Error())
		return
	}
	p.add("metainfo/"+p.id+".metainfo.xml", origin, out)
}
