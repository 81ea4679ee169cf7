// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"html"
	"io"
	"math"
)

// Sizes of the drawing in pixels.
const (
	drawLine  = 22
	drawText  = 430 // width of the names
	drawScale = 420 // width of the scale
	drawTail  = 190 // width of the figures
	drawTop   = 56
)

// The scale shows figures from a hundredth of their targets to ten times as much; what is beyond is at the edge.
const (
	scaleLeast = 0.01
	scaleMost  = 10
)

// place says where on the scale a share of a target is.
func place(share float64) float64 {
	share = min(max(share, scaleLeast), scaleMost)
	return drawText + drawScale*math.Log(share/scaleLeast)/math.Log(scaleMost/scaleLeast)
}

// share is a figure as a part of its target. Where the target is zero all that is more is too much.
func share(value, limit float64) float64 {
	switch {
	case limit > 0:
		return value / limit
	case value > 0:
		return scaleMost
	}
	return scaleLeast
}

// draw draws all figures that have a target, as shares of it on a logarithmic scale, as SVG 1.1.
func (r *report) draw(out io.Writer) {
	lines := 0
	for _, row := range r.Rows {
		for _, c := range row.Claims {
			if c.Bound {
				lines++
			}
		}
	}
	width, height := drawText+drawScale+drawTail, drawTop+lines*drawLine+20
	fmt.Fprintf(out, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">
<rect width="100%%" height="100%%" fill="#ffffff"/>
<text x="10" y="20" font-size="14" font-weight="bold">What running bundles costs, as a share of what it may cost</text>
`, width, height, width, height)
	for _, tick := range []float64{0.01, 0.1, 1, 10} {
		x := place(tick)
		color, wide := "#dddddd", 1
		if tick == 1 {
			color, wide = "#333333", 2
		}
		fmt.Fprintf(out, "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\" stroke=\"%s\" stroke-width=\"%d\"/>\n", x, x, drawTop-8, height-16, color, wide)
		fmt.Fprintf(out, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%g</text>\n", x, drawTop-14, tick)
	}
	y := drawTop
	for _, row := range r.Rows {
		for _, c := range row.Claims {
			if !c.Bound {
				continue
			}
			color := "#2e7d32"
			if !c.Met {
				color = "#c62828"
			}
			middle := float64(y) + drawLine/2
			at := place(share(c.Value, c.Limit))
			fmt.Fprintf(out, "<text x=\"10\" y=\"%.1f\">%s</text>\n", middle+4, html.EscapeString(row.Row+": "+c.What))
			fmt.Fprintf(out, "<rect x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\" fill=\"%s\"/>\n", drawText, y+4, max(at-drawText, 1), drawLine-8, color)
			if c.Low != c.High {
				fmt.Fprintf(out, "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#000000\"/>\n",
					place(share(c.Low, c.Limit)), place(share(c.High, c.Limit)), middle, middle)
			}
			fmt.Fprintf(out, "<text x=\"%d\" y=\"%.1f\">%s, at most %s</text>\n", drawText+drawScale+10, middle+4,
				html.EscapeString(amount(c.Value, c.Unit)), number(c.Limit))
			y += drawLine
		}
	}
	fmt.Fprintln(out, "</svg>")
}
