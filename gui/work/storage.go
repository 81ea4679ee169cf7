// SPDX-License-Identifier: MIT

package work

import (
	"cmp"
	"context"
	"encoding/binary"
	"slices"

	"golang.org/x/sys/unix"

	"glick.org/glick/bundle"
	"glick.org/glick/gui/state"
	"glick.org/glick/xdgexport/apps"
)

const (
	// maxContents is how many contents are compared, of all applications together: 24 bytes of memory each.
	maxContents = 4_000_000
	// maxGroups is how many groups of applications are told of that have contents in common.
	maxGroups = 12
)

// held says that an application has a content.
type held struct {
	digest uint64 // its first bytes: enough to tell contents apart for a picture
	size   int64  // in bytes
	app    int32
}

// Storage measures what takes the space, and what is shared between which applications. progress is called with the number of applications that
// have been read and that there are.
func Storage(ctx context.Context, list []state.App, progress func(done, total int64)) (state.StorageFacts, error) {
	var facts state.StorageFacts
	var all []held
	for i, a := range list {
		if ctx.Err() != nil {
			return facts, ctx.Err()
		}
		s := state.StorageApp{Key: a.Key, Title: a.Title()}
		own := map[uint64]int64{}
		for _, f := range a.Files {
			s.Disk += f.Size
			if f.Err != nil || len(all) > maxContents {
				s.Unread = true
				continue
			}
			eachContent(f.File, func(d bundle.Digest, info bundle.Info) { own[binary.LittleEndian.Uint64(d[:])] = info.Size })
		}
		for d, n := range own {
			s.Content += n
			all = append(all, held{d, n, int32(i)})
		}
		if id := a.Current().ID; id != "" {
			for _, d := range DataFolders(ctx, id) {
				s.Data += d.Size
			}
		}
		facts.Apps = append(facts.Apps, s)
		progress(int64(i+1), int64(len(list)))
	}
	facts.Groups = shared(facts.Apps, all, list)
	if home, err := apps.Home(); err == nil {
		var st unix.Statfs_t
		if unix.Statfs(home, &st) == nil && st.Bsize > 0 {
			facts.Free = int64(st.Bavail) * st.Bsize
		}
	}
	return facts, nil
}

// shared finds contents that several applications have. It notes in apps how much of each is shared.
func shared(list []state.StorageApp, all []held, of []state.App) []state.StorageGroup {
	slices.SortFunc(all, func(x, y held) int { return cmp.Or(cmp.Compare(x.digest, y.digest), cmp.Compare(x.app, y.app)) })
	type group struct {
		state.StorageGroup
		largest held
	}
	groups := map[string]*group{}
	for begin := 0; begin < len(all); {
		end := begin + 1
		for end < len(all) && all[end].digest == all[begin].digest {
			end++
		}
		same := all[begin:end]
		begin = end
		if len(same) < 2 {
			continue
		}
		key := make([]byte, 0, 4*len(same))
		for _, h := range same {
			list[h.app].Shared += h.size
			key = binary.LittleEndian.AppendUint32(key, uint32(h.app))
		}
		g := groups[string(key)]
		if g == nil {
			g = &group{}
			for _, h := range same {
				g.Keys = append(g.Keys, list[h.app].Key)
			}
			groups[string(key)] = g
		}
		g.Size += same[0].size
		g.Files++
		if same[0].size > g.largest.size {
			g.largest = same[0]
		}
	}
	largest := make([]*group, 0, len(groups))
	for _, g := range groups {
		largest = append(largest, g)
	}
	slices.SortFunc(largest, func(x, y *group) int { return cmp.Or(cmp.Compare(y.Size, x.Size), slices.Compare(x.Keys, y.Keys)) })
	var out []state.StorageGroup
	for _, g := range largest[:min(len(largest), maxGroups)] {
		g.Example = nameOf(of[g.largest.app], g.largest.digest)
		out = append(out, g.StorageGroup)
	}
	return out
}

// nameOf finds the name of a content of an application.
func nameOf(a state.App, digest uint64) string {
	for _, f := range a.Files {
		name := ""
		eachContent(f.File, func(d bundle.Digest, info bundle.Info) {
			if binary.LittleEndian.Uint64(d[:]) == digest {
				name = info.Name
			}
		})
		if name != "" {
			return name
		}
	}
	return ""
}

func eachContent(file string, visit func(bundle.Digest, bundle.Info)) {
	f, size, err := open(file)
	if err != nil {
		return
	}
	defer f.Close()
	b, err := bundle.Read(f, size)
	if err != nil {
		return
	}
	t, err := b.Tree()
	if err != nil {
		return
	}
	for n := range t.Len() {
		if info := t.Info(bundle.Node(n)); info.IsFile() && info.Size > 0 {
			visit(info.Digest, info)
		}
	}
}
