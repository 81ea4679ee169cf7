// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"

	"glick.org/glick/bundle"
)

// example is an application that does nothing but be there.
type example struct {
	id, name, version, summary, developer string
	hue                                   float64 // of its icon, in degrees
	shape                                 int
	own                                   int      // MB of contents that nobody else has
	libraries                             []string // that it has in common with others
	mime                                  string
	command                               string
}

// libraries are what applications have in common, with their sizes in MB.
var libraries = map[string]int{"toolkit": 14, "media": 22, "python": 9, "speech": 6}

var examples = []example{
	{"org.example.Meadow", "Meadow Notes", "2.4.1", "Write short notes and find them again", "Ann Field", 145, 0, 3, []string{"toolkit"}, "text/plain;text/markdown;", "meadow"},
	{"org.example.Meadow", "Meadow Notes", "2.5.0", "Write short notes and find them again", "Ann Field", 145, 0, 4, []string{"toolkit"}, "text/plain;text/markdown;", "meadow"},
	{"org.example.Tidepool", "Tidepool", "0.9", "Look into pictures of any size", "Shore Software", 205, 1, 8, []string{"toolkit", "media"}, "image/png;image/jpeg;image/webp;", ""},
	{"org.example.Lantern", "Lantern", "12.1", "Watch films without a network", "Lantern Team", 32, 2, 19, []string{"toolkit", "media"}, "video/mp4;video/webm;", ""},
	{"org.example.Orchard", "Orchard", "1.0.3", "Plan a garden through the year", "Pia Baum", 95, 3, 6, []string{"python", "toolkit"}, "", ""},
	{"org.example.Ferry", "Ferry", "3.2", "Send files to computers nearby", "Kay Quay", 250, 1, 5, nil, "x-scheme-handler/ferry;", "ferry"},
	{"org.example.Quill", "Quill", "2026.1", "Set texts for print", "Typographers’ Guild", 345, 0, 27, []string{"python"}, "application/pdf;", ""},
	{"org.example.Echo", "Echo", "0.3", "Practise a language aloud", "Echo Project", 285, 2, 4, []string{"speech", "python"}, "", ""},
	{"org.example.Granite", "Granite", "5.0", "Keep and check backups", "Granite", 15, 3, 2, nil, "", "granite"},
}

// many makes n applications that are as small as can be.
func many(n int) []example {
	list := make([]example, n)
	for i := range list {
		list[i] = example{
			id: fmt.Sprintf("org.example.App%04d", i), name: fmt.Sprintf("Application %d", i), version: fmt.Sprintf("1.%d", i%17), summary: "One of many",
			hue: float64(i * 37 % 360), shape: i % 4,
		}
	}
	return list
}

func (e example) make(ctx context.Context, dir string, stub []byte) error {
	tree, err := os.MkdirTemp("", "glick-example-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tree)
	put := func(name string, data []byte) {
		path := filepath.Join(tree, name)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(path), 0o755)
		}
		if err == nil {
			err = os.WriteFile(path, data, 0o755)
		}
	}
	put("bin/app", []byte("#!/bin/sh\nexec sleep 1000\n"))
	put("share/applications/"+e.id+".desktop", []byte("[Desktop Entry]\nType=Application\nName="+e.name+"\nComment="+e.summary+"\nExec=app %U\nIcon="+e.id+
		"\nMimeType="+e.mime+"\n"))
	put("share/metainfo/"+e.id+".metainfo.xml", []byte(`<?xml version="1.0" encoding="UTF-8"?><component type="desktop-application"><id>`+e.id+`</id><name>`+e.name+
		`</name><summary>`+e.summary+`</summary><project_license>MIT</project_license><developer_name>`+e.developer+`</developer_name></component>`))
	for _, side := range []int{48, 192} {
		put(fmt.Sprintf("share/icons/hicolor/%dx%d/apps/%s.png", side, side, e.id), e.icon(side))
	}
	put("lib/own", noise(e.id+e.version, e.own))
	for _, l := range e.libraries {
		put("lib/lib"+l+".so", noise(l, libraries[l]))
	}
	var commands []string
	if e.command != "" {
		put("bin/"+e.command, []byte("#!/bin/sh\n"))
		commands = []string{e.command}
	}
	if err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(dir, fmt.Sprintf("%s-%s.bundle", e.id[len("org.example."):], e.version)), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = bundle.Build(ctx, f, tree, bundle.BuildOptions{
		ID: e.id, Version: e.version, Name: e.name, Exec: "bin/app", Stub: stub, Commands: commands,
	})
	return err
}

// noise is data that cannot be compressed, the same for the same name.
func noise(name string, mb int) []byte {
	var seed [32]byte
	copy(seed[:], name)
	data := make([]byte, mb<<20)
	_, _ = rand.NewChaCha8(seed).Read(data)
	return data
}

// icon draws a rounded square with a white shape on it.
func (e example) icon(side int) []byte {
	const fine = 3 // samples in each direction
	img := image.NewNRGBA(image.Rect(0, 0, side, side))
	for y := range side {
		for x := range side {
			var r, g, b, a float64
			for i := range fine * fine {
				u := (float64(x) + (float64(i%fine)+0.5)/fine) / float64(side)
				v := (float64(y) + (float64(i/fine)+0.5)/fine) / float64(side)
				if !rounded(u, v, 0.06, 0.2) {
					continue
				}
				a++
				cr, cg, cb := hsv(e.hue, 0.72, 0.92-0.25*v)
				if inShape(e.shape, u, v) {
					cr, cg, cb = 1, 1, 1
				}
				r, g, b = r+cr, g+cg, b+cb
			}
			if a > 0 {
				img.SetNRGBA(x, y, color.NRGBA{uint8(255 * r / a), uint8(255 * g / a), uint8(255 * b / a), uint8(255 * a / (fine * fine))})
			}
		}
	}
	var out bytes.Buffer
	_ = png.Encode(&out, img) // a buffer takes everything
	return out.Bytes()
}

// rounded says whether a point is in a square with a margin and round corners.
func rounded(u, v, margin, radius float64) bool {
	du, dv := math.Abs(u-0.5)-(0.5-margin-radius), math.Abs(v-0.5)-(0.5-margin-radius)
	return math.Hypot(max(du, 0), max(dv, 0)) <= radius
}

func inShape(shape int, u, v float64) bool {
	switch shape {
	case 0: // lines of text
		for i, end := range []float64{0.74, 0.74, 0.56} {
			if math.Abs(v-(0.36+0.14*float64(i))) < 0.035 && u > 0.26 && u < end {
				return true
			}
		}
		return false
	case 1: // a ring
		d := math.Hypot(u-0.5, v-0.5)
		return d > 0.15 && d < 0.25
	case 2: // a triangle that points on
		return u > 0.38 && u < 0.7 && math.Abs(v-0.5) < (0.7-u)*0.72
	}
	// three columns
	for i, height := range []float64{0.16, 0.28, 0.4} {
		if math.Abs(u-(0.33+0.17*float64(i))) < 0.055 && v < 0.72 && v > 0.72-height {
			return true
		}
	}
	return false
}

func hsv(h, s, v float64) (r, g, b float64) {
	part := func(n float64) float64 {
		k := math.Mod(n+h/60, 6)
		return v - v*s*max(0, min(k, 4-k, 1))
	}
	return part(5), part(3), part(1)
}
