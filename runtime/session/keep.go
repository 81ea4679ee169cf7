// SPDX-License-Identifier: MIT

package session

import (
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"glick.org/glick/runtime/bundlefs"
	"glick.org/glick/runtime/fuse"
	"glick.org/glick/runtime/hold"
)

// A service that was killed is succeeded by another one, which takes over from what a holder (see package hold) has kept:
//
//	mount            the descriptor of the file system, and what was agreed with the kernel
//	tree/KEY         the open file of a bundle in use, and its path
//	visit/KEY        the same of an installed bundle into which somebody looks
//	instance/NAME    the descriptor by which an instance's end is seen, and what is known of it
//
// The data of each begin with keptVersion. What a service does not understand, because it is older than the one before, it leaves alone.
const (
	keptMount    = "mount"
	keptTree     = "tree/"
	keptVisit    = "visit/"
	keptInstance = "instance/"
	keptVersion  = 1
)

// keeper gives a holder what a successor needs, and everything again when the holder has gone. A nil keeper keeps nothing.
type keeper struct {
	log  bundlefs.Logger
	dir  string
	opts hold.Options
	stop chan struct{}

	mu     sync.Mutex
	client *hold.Client         // guarded by mu; nil while there is none
	items  map[string]hold.Item // guarded by mu; their files are others'
}

// keep connects to the holder of the session in dir, and returns what a predecessor has left there; the caller closes the files.
func keep(dir string, o hold.Options, log bundlefs.Logger) (*keeper, []hold.Item, error) {
	k := &keeper{log: log, dir: dir, opts: o, stop: make(chan struct{}), items: make(map[string]hold.Item)}
	client, err := hold.Connect(dir, o)
	if err != nil {
		return nil, nil, err
	}
	left, err := client.Items()
	if err != nil {
		client.Close()
		return nil, nil, err
	}
	k.client = client
	go k.watch(client)
	return k, left, nil
}

// watch connects again when the holder has gone.
func (k *keeper) watch(client *hold.Client) {
	for {
		select {
		case <-k.stop:
			return
		case <-client.Lost():
		}
		k.log.Warn("the holder of open files has gone; starting another one")
		k.mu.Lock()
		client.Close()
		k.client = nil
		next, err := hold.Connect(k.dir, k.opts)
		if err == nil {
			client, k.client = next, next
			for _, item := range k.items {
				err = errors.Join(err, next.Put(item))
			}
		}
		k.mu.Unlock()
		if err != nil {
			k.log.Error("running applications would not survive the end of this service", "error", err)
		} else {
			k.log.Info("another holder has the open files")
		}
		if next == nil {
			select {
			case <-k.stop:
				return
			case <-time.After(time.Second): // then once more: the channel of the old client stays closed
			}
		}
	}
}

func (k *keeper) put(item hold.Item) {
	if k == nil {
		return
	}
	item.Data = append([]byte{keptVersion}, item.Data...)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.items[item.Name] = item
	if k.client == nil {
		return
	}
	if err := k.client.Put(item); err != nil && !errors.Is(err, hold.ErrLost) {
		k.log.Error("a running application would not survive the end of this service", "item", item.Name, "error", err)
	}
}

// putSoon is put that does not wait for the holder: the item gets there also if this process is killed at once.
func (k *keeper) putSoon(item hold.Item) {
	if k == nil {
		return
	}
	item.Data = append([]byte{keptVersion}, item.Data...)
	k.mu.Lock()
	k.items[item.Name] = item
	if k.client == nil {
		k.mu.Unlock()
		return
	}
	answer, err := k.client.PutSoon(item)
	go func() {
		defer k.mu.Unlock()
		if err == nil {
			err = answer()
		}
		if err != nil && !errors.Is(err, hold.ErrLost) {
			k.log.Error("a running application would not survive the end of this service", "item", item.Name, "error", err)
		}
	}()
}

func (k *keeper) drop(name string) {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.items, name)
	if k.client == nil {
		return
	}
	if err := k.client.Drop(name); err != nil && !errors.Is(err, hold.ErrLost) {
		k.log.Warn("cannot let go of what is no longer needed", "item", name, "error", err)
	}
}

// finish ends the holder: nothing is needed any more.
func (k *keeper) finish() {
	if k == nil {
		return
	}
	close(k.stop)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.client != nil {
		_ = k.client.Finish()
		k.client = nil
	}
}

// leave lets go of the holder, which keeps everything for the next service. With a command, the holder starts that at once.
func (k *keeper) leave(command []string) error {
	close(k.stop)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.client == nil {
		return errors.New("the holder of open files has gone")
	}
	_ = k.client.Close()
	k.client = nil
	if command == nil {
		return nil
	}
	o := k.opts
	o.Command, o.Grace = command, 0
	// To end without a word is what makes the holder act at once.
	_, err := hold.Connect(k.dir, o)
	return err
}

// kept sorts what a predecessor has left.
type kept struct {
	state     []byte // of the file system
	device    *os.File
	trees     map[bundlefs.Key]hold.Item
	visits    map[bundlefs.Key]hold.Item
	instances map[string]hold.Item
}

func sortKept(items []hold.Item) (kept, error) {
	k := kept{trees: make(map[bundlefs.Key]hold.Item), visits: make(map[bundlefs.Key]hold.Item), instances: make(map[string]hold.Item)}
	var errs []error
	for i := range items {
		item := items[i]
		if len(item.Data) == 0 || item.Data[0] != keptVersion || len(item.Files) != 1 {
			errs = append(errs, fmt.Errorf("what was kept as %q is not understood", item.Name))
			item.Close()
			continue
		}
		item.Data = item.Data[1:]
		if item.Name == keptMount {
			k.state, k.device = item.Data, item.Files[0]
		} else if text, ok := strings.CutPrefix(item.Name, keptTree); ok {
			k.trees[parseKey(text)] = item
		} else if text, ok := strings.CutPrefix(item.Name, keptVisit); ok {
			k.visits[parseKey(text)] = item
		} else if name, ok := strings.CutPrefix(item.Name, keptInstance); ok {
			k.instances[name] = item
		}
	}
	return k, errors.Join(errs...)
}

// parseKey reads a tree's key. One that makes no sense becomes a key that no tree has.
func parseKey(text string) (key bundlefs.Key) {
	if n, err := hex.Decode(key[:], []byte(text)); err != nil || n != len(key) {
		return bundlefs.Key{}
	}
	return key
}

func (k *kept) close() {
	if k.device != nil {
		k.device.Close()
	}
	for _, m := range k.trees {
		m.Close()
	}
	for _, m := range k.visits {
		m.Close()
	}
	for _, m := range k.instances {
		m.Close()
	}
}

// resume takes over from a service that has ended. Without a file system that can be taken over it returns nil.
func (s *service) resume(items []hold.Item) (*fuse.Server, error) {
	k, err := sortKept(items)
	if err != nil {
		s.log.Warn("not all can be taken over from the service before", "error", err)
	}
	defer func() { k.close() }()
	if k.device == nil {
		return nil, nil
	}
	if mounted, err := isMounted(s.mount); err != nil || !mounted {
		return nil, errors.Join(err, errors.New("the file system of the service before is no longer there"))
	}
	for key, item := range k.trees {
		own := item.Files[0]
		if err := s.resumeTree(key, own, string(item.Data)); err != nil {
			s.log.Error("a bundle cannot be taken over", "file", string(item.Data), "error", err)
			s.keeper.drop(item.Name)
			continue
		}
		delete(k.trees, key)
		s.keeper.put(item)
	}
	for key, item := range k.visits {
		if tree, _ := s.files.Use(key); tree != nil {
			s.noteVisit(tree)
		} else {
			s.keeper.drop(item.Name)
		}
	}
	for name, item := range k.instances {
		device := item.Files[0]
		if err := s.resumeInstance(name, device, item.Data); err != nil {
			s.log.Error("an instance cannot be taken over", "folder", name, "error", err)
			s.keeper.drop(item.Name)
			continue
		}
		delete(k.instances, name)
		s.keeper.put(item)
	}
	s.files.Resumed()
	s.linkBundles()
	fd, err := unix.FcntlInt(k.device.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	server, err := fuse.Resume(fd, k.state, s.files, s.log)
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	s.log.Info("took over from the service before", "instances", len(s.instances), "bundles", len(s.open))
	return server, nil
}

func (s *service) resumeTree(key bundlefs.Key, own *os.File, path string) error {
	b, found, err := openBundle(own)
	if err != nil {
		return err
	}
	if found != key {
		return errors.New("its content has changed")
	}
	parsed, err := b.Tree()
	if err != nil {
		return err
	}
	tree, _, _ := s.files.Add(parsed, key, path)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[tree] = own
	s.resumed = append(s.resumed, tree)
	return nil
}

func (s *service) resumeInstance(name string, device *os.File, data []byte) error {
	var key bundlefs.Key
	if len(data) < len(key) {
		return errors.New("what is known of it is incomplete")
	}
	copy(key[:], data)
	known, err := decodeInstance(string(data[len(key):]))
	if err != nil {
		return err
	}
	tree, place := s.files.Use(key)
	if tree == nil {
		return errors.New("its bundle is gone")
	}
	i := &instance{Instance: known, name: name, live: true, tree: tree, key: key, place: place}
	if err := s.files.AddLink(name, place); err != nil {
		return err
	}
	s.mu.Lock()
	s.instances[name] = i
	number := s.numbers[i.ID]
	number.count++
	if n, err := strconv.Atoi(strings.TrimPrefix(name, i.ID+"-")); err == nil {
		number.last = max(number.last, n)
	}
	s.numbers[i.ID] = number
	s.mu.Unlock()
	// The runtime's poller wants the file to say at once when there is nothing to read.
	fd, err := unix.FcntlInt(device.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		s.dropInstance(i)
		return os.NewSyscallError("fcntl", err)
	}
	go s.follow(i, os.NewFile(uintptr(fd), "/dev/fuse"))
	return nil
}

// releaseResumed ends the use of trees that was noted while they were taken over: from here on only instances and visits use them.
func (s *service) releaseResumed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.resumed {
		s.removeTree(t)
	}
	s.resumed = nil
}

// connectKeeper connects to the holder, where there is to be one, and returns what is there.
func (s *service) connectKeeper(o *Succession) ([]hold.Item, error) {
	if o == nil {
		return nil, nil
	}
	keeper, items, err := keep(s.dir, hold.Options{Command: o.Command, Env: o.Env, Grace: o.Grace}, s.log)
	if err != nil {
		return nil, err
	}
	s.keeper = keeper
	return items, nil
}

// begin takes over the file system of the service before, or mounts a new one.
func (s *service) begin(o *Succession) (*fuse.Server, error) {
	items, err := s.connectKeeper(o)
	if err != nil {
		s.log.Warn("running applications would not survive the end of this service", "error", err)
	}
	server, err := s.resume(items)
	if err != nil {
		s.log.Error("cannot take over from the service before; applications that still run lose their files", "error", err)
		s.forgetResumed()
	}
	if server == nil {
		for _, item := range items {
			s.keeper.drop(item.Name)
		}
		if server, err = s.mountFiles(); err != nil {
			s.keeper.finish()
			return nil, err
		}
	}
	if err := s.keepMount(server); err != nil {
		s.log.Warn("running applications would not survive the end of this service", "error", err)
	}
	return server, nil
}

// forgetResumed undoes what resume has done before it failed.
func (s *service) forgetResumed() {
	s.mu.Lock()
	var all []*instance
	for _, i := range s.instances {
		all = append(all, i)
	}
	s.mu.Unlock()
	for _, i := range all {
		s.dropInstance(i)
	}
	s.mu.Lock()
	visits := slices.Collect(maps.Keys(s.visits))
	s.mu.Unlock()
	for _, t := range visits {
		s.unvisited(t)
	}
	s.releaseResumed()
}

func (s *service) keepMount(server *fuse.Server) error {
	if s.keeper == nil {
		return nil
	}
	fd, err := unix.FcntlInt(uintptr(server.FD()), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	s.keptDevice = os.NewFile(uintptr(fd), "/dev/fuse")
	// Live: a service that was killed comes back also when no instance runs, to watch over the rest.
	s.keeper.put(hold.Item{Name: keptMount, Live: !s.linger, Data: server.State(), Files: []*os.File{s.keptDevice}})
	return nil
}

// keepTree has the holder keep a bundle. An instance that uses it is kept after it, over the same connection.
func (s *service) keepTree(key bundlefs.Key, own *os.File, path string) {
	s.keeper.putSoon(hold.Item{Name: treeItem(key), Data: []byte(path), Files: []*os.File{own}})
}

func (s *service) keepInstance(i *instance, device *os.File) {
	s.keeper.putSoon(hold.Item{
		Name: keptInstance + i.name, Live: true, Data: append(i.key[:], i.encode()...), Files: []*os.File{device},
	})
}

func treeItem(key bundlefs.Key) string { return keptTree + hex.EncodeToString(key[:]) }
