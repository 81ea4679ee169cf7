// SPDX-License-Identifier: MIT

package launch

import (
	"bufio"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"glick.org/glick/bundle"
)

// overlay plans the tree laid over what is at the prefix.
func (p *Plan) overlay(v view, n *numbers) error {
	host, err := n.reserve()
	if err != nil {
		return err
	}
	tree, err := n.reserve()
	if err != nil {
		return err
	}
	points, err := mountPoints()
	if err != nil {
		return err
	}
	p.add(openAs{v.prefix, unix.O_PATH | unix.O_DIRECTORY, host})
	if v.tree != "" {
		p.add(openAs{v.tree, unix.O_PATH | unix.O_DIRECTORY, tree})
	}
	if v.device >= 0 {
		p.fuse(v)
	}
	if v.tree == "" {
		p.add(openAs{v.prefix, unix.O_PATH | unix.O_DIRECTORY, tree})
	}
	o := layers{p: p, host: fdPath(host), tree: fdPath(tree), prefix: v.prefix, list: v.list, points: points}
	if !o.mountsBelow("") {
		o.overlay("")
	} else {
		p.add(emptyFolder(v.prefix))
		if err := o.assemble(""); err != nil {
			return err
		}
		p.seal(v.prefix)
	}
	p.taken(v)
	p.enterAgain(v.cwd, v.prefix)
	return nil
}

// layers lays a tree over a folder of the host that may have mounts in it. An overlay shows no mounts of its layers; and in
// a user namespace the kernel refuses a layer with mounts of the namespace that it came from (locked mounts, see
// mount_namespaces(7)), because one could look below them. So folders with mounts in them are put together entry by
// entry, and only what has none becomes an overlay.
type layers struct {
	p          *Plan
	host, tree string // by which paths the two are reached when the plan is carried out
	prefix     string // where the host's folder is now, and both together shall be
	list       func(folder string) ([]entry, error)
	points     []string // all mount points
}

// mountsBelow says whether the host has a mount point below a folder of the prefix.
func (o *layers) mountsBelow(folder string) bool {
	dir := path.Join(o.prefix, folder) + "/"
	for _, point := range o.points {
		if strings.HasPrefix(point, dir) {
			return true
		}
	}
	return false
}

func (o *layers) overlay(folder string) {
	o.p.add(mount{"glick", path.Join(o.prefix, folder), "overlay", unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV,
		fmt.Sprintf("userxattr,lowerdir=%s:%s", path.Join(o.tree, folder), path.Join(o.host, folder))})
}

// assemble plans the entries of a folder that exists, empty and writable, in the new view.
func (o *layers) assemble(folder string) error {
	theirs, err := listFolder(path.Join(o.prefix, folder))
	if err != nil {
		return err
	}
	ours, err := o.list(folder)
	if err != nil {
		return err
	}
	if len(theirs)+len(ours) > maxEntries {
		return fmt.Errorf("something is mounted in %s, which has too many entries to lay the bundle's files over it",
			path.Join(o.prefix, folder))
	}
	hosts := make(map[string]entry)
	for _, e := range theirs {
		hosts[e.name] = e
	}
	var onlyOurs []entry
	for _, e := range ours {
		there, both := hosts[e.name]
		delete(hosts, e.name)
		if !both || !e.kind.IsDir() || !there.kind.IsDir() {
			onlyOurs = append(onlyOurs, e)
			continue
		}
		inner := path.Join(folder, e.name)
		o.p.add(makeDir{path.Join(o.prefix, inner)})
		if !o.mountsBelow(inner) {
			o.overlay(inner)
		} else if err := o.assemble(inner); err != nil {
			return err
		}
	}
	var onlyTheirs []entry
	for _, e := range theirs {
		if _, left := hosts[e.name]; left {
			onlyTheirs = append(onlyTheirs, e)
		}
	}
	here := path.Join(o.prefix, folder)
	o.p.bindBack(onlyOurs, path.Join(o.tree, folder), here)
	o.p.bindBack(onlyTheirs, path.Join(o.host, folder), here)
	return nil
}

// listPlain lists the folders of a tree that is a plain folder.
func listPlain(dir string) func(string) ([]entry, error) {
	return func(folder string) ([]entry, error) { return listFolder(filepath.Join(dir, folder)) }
}

// listBundle lists the folders of a bundle's tree.
func listBundle(b *bundle.Bundle) func(string) ([]entry, error) {
	var t *bundle.Tree
	return func(folder string) ([]entry, error) {
		if t == nil {
			var err error
			if t, err = b.Tree(); err != nil {
				return nil, err
			}
		}
		return listTree(t, folder)
	}
}

func listTree(t *bundle.Tree, folder string) ([]entry, error) {
	dir, ok := t.Find(folder)
	if !ok {
		return nil, fmt.Errorf("the folder %s is not in the bundle: %w", folder, fs.ErrNotExist)
	}
	var entries []entry
	for child := range t.Children(dir) {
		info := t.Info(child)
		e := entry{name: info.Name, link: info.Target}
		switch {
		case info.IsDir():
			e.kind = fs.ModeDir
		case info.IsLink():
			e.kind = fs.ModeSymlink
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// mountPoints lists the mount points of this process's mount table.
func mountPoints() ([]string, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("cannot read the mount table: %w", err)
	}
	defer f.Close()
	var list []string
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if fields := strings.Fields(lines.Text()); len(fields) >= 5 {
			list = append(list, unescape(fields[4]))
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("cannot read the mount table: %w", err)
	}
	return list, nil
}
