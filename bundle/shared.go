// SPDX-License-Identifier: MIT

package bundle

import "bytes"

// SliceSizes says how much of a slice is in other trees too. Sizes are uncompressed bytes of different contents.
type SliceSizes struct {
	Size   int64 // of the slice
	Shared int64 // of its contents that are in one of the others
}

// Shared compares the contents of a tree to those of others, slice by slice, by the digests that the indexes name. It reads no content, so that
// a lying index can make it wrong: it is for showing sizes to people, not for deciding what may be shared (see Identity). Others may be nil or foreign; of a
// foreign tree nothing is known to be shared.
func (t *Tree) Shared(others ...*Tree) []SliceSizes {
	sizes := make([]SliceSizes, len(t.slices))
	for s, x := range t.slices {
		sizes[s].Size = x.size
		if t.files != nil {
			continue
		}
		found := make([]bool, x.contentCount())
		for _, other := range others {
			if other == nil || other.files != nil {
				continue
			}
			for _, y := range other.slices {
				x.common(y, found)
			}
		}
		for i, yes := range found {
			if yes {
				sizes[s].Shared += int64(x.content(i).size)
			}
		}
	}
	return sizes
}

// common marks the contents that another index has too. Both are in the order of their digests.
func (x *index) common(y *index, found []bool) {
	digest := func(x *index, i int) []byte { return x.contents[i*contentSize:][:len(Digest{})] }
	for i, k := 0, 0; i < x.contentCount() && k < y.contentCount(); {
		switch c := bytes.Compare(digest(x, i), digest(y, k)); {
		case c < 0:
			i++
		case c > 0:
			k++
		default:
			found[i] = true
			i, k = i+1, k+1
		}
	}
}
