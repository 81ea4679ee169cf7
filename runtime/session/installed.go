// SPDX-License-Identifier: MIT

package session

import (
	"encoding/hex"
	"errors"
	"os"
	"path"
	"sync"
	"syscall"
	"time"

	"glick.org/glick/bundle"
	"glick.org/glick/runtime/bundlefs"
	"glick.org/glick/runtime/hold"
)

// Installed is what running applications can reach of the installed ones.
type Installed struct {
	// Bundles are the files of the bundles in use, by their ids.
	Bundles map[string]Bundle
	// Exports are links that appear in the files of all instances, by their slash paths relative to the prefix: to what the installed
	// bundles show to the desktop.
	Exports map[string]string
}

// Bundle is an installed bundle.
type Bundle struct {
	File   string
	Digest bundle.Digest
}

// Pool tells a service what is installed, before it runs and while it does. The zero value is ready.
type Pool struct {
	mu      sync.Mutex
	now     Installed
	service *service // nil while none runs
}

// Set replaces what is installed. Running instances see it at once. The maps belong to the pool from then on.
func (p *Pool) Set(i Installed) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = i
	if p.service != nil {
		p.service.setInstalled(i)
	}
}

// attach makes the pool that of a service; with nil, of none.
func (p *Pool) attach(s *service) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.service = s
	if s != nil {
		s.setInstalled(p.now)
	}
}

const bundlesFolder = "bundles"

// setInstalled shows what is installed in the file system.
func (s *service) setInstalled(i Installed) {
	files := make(map[string]string, len(i.Bundles))
	places := make(map[string]string, len(i.Bundles))
	for id, b := range i.Bundles {
		info, err := os.Stat(b.File)
		if err != nil {
			continue // it is just being taken away, and we will hear of it
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			key := bundlefs.KeyFrom(b.Digest, st.Dev, st.Ino).String()
			files[key], places[id] = b.File, key
		}
	}
	s.mu.Lock()
	s.installed, s.bundles = places, files
	var dismissed []*bundlefs.Tree
	for t := range s.visits {
		if files[t.Key().String()] == "" {
			dismissed = append(dismissed, t)
		}
	}
	s.mu.Unlock()
	s.files.SetGuests(i.Exports)
	for _, t := range dismissed {
		go s.dismiss(t)
	}
	s.linkBundles()
}

// linkBundles makes the links to the trees of all bundles that are installed or run.
func (s *service) linkBundles() {
	s.linking.Lock()
	defer s.linking.Unlock()
	want := map[string]string{}
	s.mu.Lock()
	for id, key := range s.installed {
		want[id] = path.Join("..", "trees", key)
	}
	for _, i := range s.instances {
		if want[i.ID] == "" {
			want[i.ID] = path.Join("..", i.place)
		}
	}
	s.mu.Unlock()
	for id, target := range s.linked {
		if want[id] != target {
			s.files.RemoveLink(path.Join(bundlesFolder, id))
			delete(s.linked, id)
		}
	}
	for id, target := range want {
		if s.linked[id] == "" && s.files.AddLink(path.Join(bundlesFolder, id), target) == nil {
			s.linked[id] = target
		}
	}
}

// linkInstance links to the tree of an instance that has started, where its id has no link yet.
func (s *service) linkInstance(i *instance) {
	s.linking.Lock()
	defer s.linking.Unlock()
	target := path.Join("..", i.place)
	if s.linked[i.ID] == "" && s.files.AddLink(path.Join(bundlesFolder, i.ID), target) == nil {
		s.linked[i.ID] = target
	}
}

// unlinkInstance has the links follow the end of an instance. Most are of installed bundles, whose links stay.
func (s *service) unlinkInstance(i *instance) {
	s.mu.Lock()
	_, installed := s.installed[i.ID]
	s.mu.Unlock()
	if !installed {
		s.linkBundles()
	}
}

// findTree opens an installed bundle that somebody wants to look into, by the name of its tree.
func (s *service) findTree(name string) {
	s.mu.Lock()
	file := s.bundles[name]
	s.mu.Unlock()
	if file == "" {
		return
	}
	if err := s.visitFile(file, name); err != nil {
		s.log.Warn("an installed bundle cannot be shown to running applications", "file", file, "error", err)
	}
}

func (s *service) visitFile(path, name string) error {
	own, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	b, key, err := openBundle(own)
	if err == nil && key.String() != name {
		err = errors.New("it has been replaced")
	}
	var parsed *bundle.Tree
	if err == nil {
		parsed, err = b.Tree()
	}
	if err != nil {
		own.Close()
		return err
	}
	s.visit(parsed, key, own, path)
	return nil
}

// visit shows a tree as long as somebody looks into it. It takes over the file.
func (s *service) visit(parsed *bundle.Tree, key bundlefs.Key, own *os.File, path string) {
	tree, _, added := s.files.Add(parsed, key, path)
	s.mu.Lock()
	if added {
		s.open[tree] = own
	}
	s.mu.Unlock()
	if added {
		s.keepTree(key, own, path)
	} else {
		own.Close()
	}
	s.noteVisit(tree)
}

// noteVisit makes one use of a tree that of those who look into it.
func (s *service) noteVisit(tree *bundlefs.Tree) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.visits[tree] {
		s.removeTree(tree)
		return
	}
	s.visits[tree] = true
	s.keeper.put(hold.Item{Name: visitItem(tree.Key()), Files: []*os.File{s.open[tree]}})
	go s.files.Visit(tree) // the kernel may have to be told of another one, which it cannot take while it waits for an answer
}

// dismiss lets go of a tree that is no longer installed, as soon as nobody has a file of it open.
func (s *service) dismiss(t *bundlefs.Tree) {
	const first, longest = 100 * time.Millisecond, time.Minute
	for pause := first; ; pause = min(2*pause, longest) {
		s.files.Dismiss(t)
		time.Sleep(pause)
		s.mu.Lock()
		done := !s.visits[t] || s.bundles[t.Key().String()] != ""
		s.mu.Unlock()
		if done {
			return
		}
	}
}

// unvisited ends the use of a tree into which nobody looks any more.
func (s *service) unvisited(tree *bundlefs.Tree) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.visits[tree] {
		delete(s.visits, tree)
		s.keeper.drop(visitItem(tree.Key()))
		s.removeTree(tree)
	}
}

func visitItem(key bundlefs.Key) string { return keptVisit + hex.EncodeToString(key[:]) }
