// SPDX-License-Identifier: MIT

package zstdpack

// Shrinks says whether coding each byte for itself, which is quickly tried, already makes src smaller by one part in so many or more. When it is not so,
// matches may still make it small.
func Shrinks(src []byte, part int) bool {
	var c [256]uint32
	count(&c, src)
	// Somewhat more than the table of the code takes.
	const table = 128
	return entropy(c[:], 0)/(8*logOne)+table < uint64(len(src)-len(src)/part)
}

// count counts bytes. Four tables let the processor count the next byte before the last one is done.
//
//go:norace
func count(c *[256]uint32, p []byte) {
	var a, b, d [256]uint32
	for ; len(p) >= 4; p = p[4:] {
		c[p[0]]++
		a[p[1]]++
		b[p[2]]++
		d[p[3]]++
	}
	for _, x := range p {
		c[x]++
	}
	for i := range c {
		c[i] += a[i] + b[i] + d[i]
	}
}
