// SPDX-License-Identifier: MIT

package xdgexport

import (
	"bytes"
	"errors"
	"fmt"
	"image/png"
	"path"
	"slices"
	"strconv"
	"strings"
)

// maxPixels is the greatest width and height of an icon. A small file can hold a picture that fills the memory of the
// program that draws it.
const maxPixels = 1024

// themeSizes are the folders for applications' icons that the hicolor theme has; icons elsewhere are not found.
var themeSizes = []int{16, 22, 24, 32, 36, 48, 64, 72, 96, 128, 192, 256, 512}

var (
	sizeFolder    = newPattern(`^([1-9][0-9]{0,3}x[1-9][0-9]{0,3}(@[1-9])?|scalable(@[1-9])?|symbolic)$`)
	contextFolder = newPattern(`^[a-z]{1,32}$`)
)

func (p *planner) planIcons() {
	const theme = "share/icons/hicolor"
	n := 0
	for _, size := range p.tree.folders(theme) {
		if !sizeFolder.MatchString(size) {
			continue
		}
		for _, context := range p.tree.folders(path.Join(theme, size)) {
			if !contextFolder.MatchString(context) {
				continue
			}
			dir := path.Join(theme, size, context)
			for _, e := range p.tree.list(dir, isIcon) {
				if n++; n > maxIcons {
					p.leave(theme, "the bundle has too many icons")
					return
				}
				p.planIcon(path.Join("icons/hicolor", size, context), path.Join(dir, e.name), e, context)
			}
		}
	}
	if !p.icons[p.id] {
		p.planOwnIcons()
	}
}

func (p *planner) planIcon(folder, origin string, e entry, context string) {
	ext := path.Ext(e.name)
	stem := strings.TrimSuffix(e.name, ext)
	name := stem
	if own := p.renamed[stem]; own != "" && context == typeIcons {
		name = own
	}
	if why := p.mayUse(name); why != "" {
		p.leave(origin, why)
		return
	}
	data, err := p.tree.read(e.node, maxContent)
	if err == nil {
		data, err = checkIcon(data, ext)
	}
	if err != nil {
		p.leave(origin, err.Error())
		return
	}
	if !p.add(path.Join(folder, name+ext), origin, data) {
		return
	}
	switch context {
	case "apps":
		p.icons[name] = true
	case typeIcons:
		p.typeIcon[name] = true
	}
}

// planOwnIcons shows the icons that every bundle has for file managers as those of the application.
func (p *planner) planOwnIcons() {
	show := func(folder, origin, ext string, data []byte, err error) {
		if err == nil && len(data) > 0 {
			data, err = checkIcon(data, ext)
		}
		switch {
		case err != nil:
			p.leave(origin, err.Error())
		case len(data) > 0 && p.add("icons/hicolor/"+folder+"/apps/"+p.id+ext, origin, data):
			p.icons[p.id] = true
		}
	}
	for _, size := range p.b.IconSizes() {
		if slices.Contains(themeSizes, size) {
			data, err := p.b.Icon(size)
			s := strconv.Itoa(size)
			show(s+"x"+s, ".xdg.icon."+s, ".png", data, err)
		}
	}
	data, err := p.b.SVGIcon()
	show("scalable", ".xdg.icon.svg", ".svg", data, err)
}

func isIcon(name string) bool {
	return strings.HasSuffix(name, ".png") || strings.HasSuffix(name, ".svg")
}

// checkIcon accepts pictures that are what their names say and that are safe to draw, and gives what is shown of them.
func checkIcon(data []byte, ext string) ([]byte, error) {
	switch ext {
	case ".png":
		c, err := png.DecodeConfig(bytes.NewReader(data))
		if err != nil {
			return nil, errors.New("it is not a PNG picture")
		}
		if c.Width < 1 || c.Height < 1 || c.Width > maxPixels || c.Height > maxPixels {
			return nil, fmt.Errorf("it has %d×%d pixels, at most %d×%d are shown", c.Width, c.Height, maxPixels, maxPixels)
		}
		return data, nil
	case ".svg":
		out, _, err := rewriteXML(data, svgRules)
		return out, err
	}
	return nil, errors.New("it is neither a PNG nor an SVG picture")
}
