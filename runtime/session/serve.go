// SPDX-License-Identifier: MIT

package session

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"glick.org/glick/bundle"
	"glick.org/glick/runtime/bundlefs"
	"glick.org/glick/runtime/fuse"
	"glick.org/glick/runtime/fuse/mount"
	"glick.org/glick/runtime/premain"
)

const (
	lockName  = "lock"
	mountName = "fs"
	// Connections wait for nothing but us and a client that is just starting something: more of them are a mistake.
	maxConnections = 64
)

// service is a running session service.
type service struct {
	log     bundlefs.Logger
	started func(name string, i Instance)
	over    func(i Instance)
	plan    func(*bundle.Tree, Request) ([]byte, error)
	dir     string // $XDG_RUNTIME_DIR/glick
	mount   string // the file system in it
	files   *bundlefs.FS

	keeper     *keeper  // nil when nothing is to be kept
	keptDevice *os.File // of the file system, for the keeper
	linger     bool
	leave      func() // ends the service, for another one to take over

	mu        sync.Mutex
	numbers   map[string]numbering        // guarded by mu, by id
	instances map[string]*instance        // guarded by mu, by the name of the folder
	open      map[*bundlefs.Tree]*os.File // guarded by mu: bundles whose trees are in files
	resumed   []*bundlefs.Tree            // guarded by mu: see releaseResumed
	visits    map[*bundlefs.Tree]bool     // guarded by mu: trees that somebody looks into, other than instances
	installed map[string]string           // guarded by mu: names of trees by id
	bundles   map[string]string           // guarded by mu: files of installed bundles by the names of their trees
	ended     *sync.Cond                  // signals on mu that an instance has gone

	linking sync.Mutex
	linked  map[string]string // guarded by linking: targets of the links to bundles, by id
}

// numbering numbers the instances of an id. It begins again when there is none.
type numbering struct{ last, count int }

// instance is what the service knows of an instance; it is in service.instances as long as it lives.
type instance struct {
	Instance
	name string // of its folder
	live bool   // guarded by service.mu; false until its namespace is there
	tree *bundlefs.Tree
	key  bundlefs.Key

	place string // of the tree, below the mount
}

// Serve runs the session service until ctx ends: it mounts the file system, takes instances on the socket, and serves their
// files. It returns [ErrRunning] when another one serves this user already.
func Serve(ctx context.Context, o Options) error {
	dir, err := prepareDir()
	if err != nil {
		return err
	}
	lock, err := takeLock(ctx, dir, o.Replace)
	if err != nil {
		return err
	}
	defer lock.Close()

	s := &service{
		log: o.Log, started: o.Started, over: o.Ended, plan: o.Plan, dir: dir, mount: filepath.Join(dir, mountName),
		visits:    make(map[*bundlefs.Tree]bool),
		linked:    make(map[string]string),
		instances: make(map[string]*instance),
		numbers:   make(map[string]numbering),
		open:      make(map[*bundlefs.Tree]*os.File),
		linger:    o.Linger,
	}
	s.files = bundlefs.New(bundlefs.Options{
		Log: o.Log, Bundles: filepath.Join(s.mount, bundlesFolder), Find: s.findTree, Unvisited: s.unvisited,
	})
	s.ended = sync.NewCond(&s.mu)
	// Before anything is asked: a successor knows what its predecessor has shown.
	o.Installed.attach(s)
	defer o.Installed.attach(nil)
	server, err := s.begin(o.Succession)
	if err != nil {
		return err
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		if err := server.Serve(); err != nil {
			s.log.Error("the bundles' file system has ended", "error", err)
		}
	}()
	s.releaseResumed()
	// This process opens files of its own.
	err = server.Settle(s.mount)
	var listener *conn
	if err == nil {
		listener, err = listen(dir)
	}
	if err != nil {
		s.keeper.finish()
		_ = mount.Unmount(s.mount)
		<-served
		return err
	}
	if o.Ready != nil {
		o.Ready()
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		<-served
		cancel(errUnmounted)
	}()
	s.leave = func() { cancel(ErrReplaced) }
	if o.Linger {
		go func() {
			s.drain(0)
			cancel(errNotNeeded)
		}()
	}
	s.accept(ctx, listener)
	listener.close()

	reason := context.Cause(ctx)
	if errors.Is(reason, ErrReplaced) {
		if err := s.keeper.leave(nil); err == nil {
			return ErrReplaced
		}
	}
	if !errors.Is(reason, errUnmounted) && o.Succession != nil && s.busy() {
		// Whoever has asked this service to end has not asked for the end of the applications.
		err := s.keeper.leave(o.Succession.Last)
		if err == nil {
			return nil
		}
		s.log.Error("running applications lose their files when this service ends", "error", err)
	}

	// A new service may take over the folder at once. Taking our file system out of sight does not touch the instances that
	// still run: they have mounts of their own, and are served until they end.
	os.Remove(filepath.Join(dir, socketName))
	_ = mount.Unmount(s.mount) // what still uses it keeps it
	lock.Close()
	s.drain(o.Drain)
	s.keeper.finish()
	if s.keptDevice != nil {
		s.keptDevice.Close()
	}
	select {
	case <-served:
	case <-time.After(time.Second): // somebody's working folder is in there
	}
	if errors.Is(reason, errUnmounted) {
		return errUnmounted
	}
	return nil
}

var (
	errUnmounted = errors.New("the bundles' file system was unmounted by somebody else")
	errNotNeeded = errors.New("no instance runs any more")
)

// busy says whether instances run or are about to.
func (s *service) busy() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.instances) > 0
}

// prepareDir makes the service's folder, or makes sure that an existing one is only ours.
func prepareDir() (string, error) {
	dir, err := Dir()
	if err != nil {
		return "", err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return "", fmt.Errorf("cannot make the session's folder: %w", err)
	}
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", fmt.Errorf("cannot open the session's folder %s: %w", dir, err)
	}
	defer unix.Close(fd)
	return dir, checkFolder(fd, dir)
}

// takeLock takes the lock of the session's service. One that runs is asked to leave: it does when it only lingers, or when
// replace says that it must.
func takeLock(ctx context.Context, dir string, replace bool) (*os.File, error) {
	const patience, pause = 10 * time.Second, 5 * time.Millisecond
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot lock the session's folder: %w", err)
	}
	asked := false
	for limit := time.Now().Add(patience); ; {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			f.Close()
			return nil, fmt.Errorf("cannot lock the session's folder: %w", err)
		}
		if !asked {
			// When nobody listens, the other one has just been killed, or is just coming up.
			err := askToLeave(replace)
			if err != nil && !errors.Is(err, ErrNotRunning) {
				f.Close()
				return nil, ErrRunning
			}
			asked = err == nil
		}
		if ctx.Err() != nil || time.Now().After(limit) {
			f.Close()
			return nil, ErrRunning
		}
		time.Sleep(pause)
	}
}

// askToLeave asks the running service to leave everything to a successor.
func askToLeave(force bool) error {
	c, err := dial()
	if err != nil {
		return err
	}
	defer c.close()
	flag := "\x00"
	if force {
		flag = "\x01"
	}
	if err := c.send(messageLeave, string(rune(protocolVersion))+flag); err != nil {
		return fmt.Errorf("%w: %w", ErrNotRunning, err)
	}
	_, err = c.answer()
	return err
}

// Leave makes the running service leave everything to a successor, which is about to start. It may still run for a moment.
func Leave() error { return askToLeave(true) }

// mountFiles mounts the file system, after taking away what a killed service has left.
func (s *service) mountFiles() (*fuse.Server, error) {
	for range 16 {
		mounted, err := isMounted(s.mount)
		if err != nil {
			return nil, err
		}
		if !mounted {
			break
		}
		s.log.Info("taking away the file system of a service that has ended", "path", s.mount)
		if err := mount.Unmount(s.mount); err != nil {
			return nil, err
		}
	}
	if err := os.Mkdir(s.mount, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("cannot make the folder of the file system: %w", err)
	}
	// Root's daemons run as other users.
	fd, err := mount.Mount(s.mount, mount.Options{Name: "glick", AllowOther: os.Geteuid() == 0})
	if err != nil {
		return nil, fmt.Errorf("cannot show the bundles' files: %w", err)
	}
	server, err := fuse.New(fd, s.files, s.log)
	if err != nil {
		unix.Close(fd)
		_ = mount.Unmount(s.mount)
		return nil, err
	}
	return server, nil
}

// isMounted says whether there is a mount at a path, dead or alive. It does not touch the mount: one that nobody serves would
// never answer.
func isMounted(path string) (bool, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return false, fmt.Errorf("cannot read the mount table: %w", err)
	}
	defer f.Close()
	// See proc_pid_mountinfo(5): the fifth field is the mount point, with some characters in octal.
	want := strings.NewReplacer(`\`, `\134`, " ", `\040`, "\t", `\011`, "\n", `\012`).Replace(path)
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if fields := strings.Fields(lines.Text()); len(fields) > 4 && fields[4] == want {
			return true, nil
		}
	}
	if err := lines.Err(); err != nil {
		return false, fmt.Errorf("cannot read the mount table: %w", err)
	}
	return false, nil
}

func listen(dir string) (*conn, error) {
	path := filepath.Join(dir, socketName)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("cannot take away the old socket: %w", err)
	}
	folder, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot listen in %s: %w", dir, err)
	}
	defer unix.Close(folder)
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot listen: %w", os.NewSyscallError("socket", err))
	}
	err = unix.Bind(fd, &unix.SockaddrUnix{Name: "/proc/self/fd/" + strconv.Itoa(folder) + "/" + socketName})
	if err == nil {
		err = unix.Listen(fd, maxConnections)
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("cannot listen in %s: %w", dir, err)
	}
	return newConn(fd)
}

// accept takes connections until ctx ends, and returns when the last one is done.
func (s *service) accept(ctx context.Context, listener *conn) {
	stop := context.AfterFunc(ctx, listener.close)
	defer stop()
	var busy sync.WaitGroup
	defer busy.Wait()
	slots := make(chan struct{}, maxConnections)
	for {
		c, err := listener.take()
		if ctx.Err() != nil {
			if c != nil {
				c.close()
			}
			return
		}
		if err != nil {
			// Out of descriptors, for example. Others end, so it may get better.
			s.log.Error("cannot take a connection", "error", err)
			select {
			case <-ctx.Done():
				return
			case <-time.After(100 * time.Millisecond):
			}
			continue
		}
		slots <- struct{}{}
		busy.Go(func() {
			defer func() { <-slots }()
			err := s.handle(c)
			if errors.Is(err, errHandedOver) {
				return
			}
			c.close()
			if err != nil && !errors.Is(err, io.EOF) {
				s.log.Warn("a request to the session service failed", "error", err)
			}
		})
	}
}

func (c *conn) take() (*conn, error) {
	raw, err := c.file.SyscallConn()
	if err != nil {
		return nil, err
	}
	fd := -1
	var acceptErr error
	err = raw.Read(func(listening uintptr) bool {
		fd, _, acceptErr = unix.Accept4(int(listening), unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
		return acceptErr != unix.EAGAIN && acceptErr != unix.EINTR && acceptErr != unix.ECONNABORTED
	})
	if err == nil {
		err = os.NewSyscallError("accept", acceptErr)
	}
	if err != nil {
		return nil, err
	}
	return newConn(fd)
}

// handle answers one connection.
func (s *service) handle(c *conn) error {
	c.deadline(handshakePeriod)
	cred, err := c.peer()
	if err != nil {
		return err
	}
	if cred.Uid != uint32(os.Geteuid()) {
		return fmt.Errorf("user %d may not use this service", cred.Uid)
	}
	kind, body, files, err := c.receiveFiles(maxFiles)
	if err != nil {
		return err
	}
	var file *os.File
	for _, f := range files {
		defer f.Close()
	}
	if len(files) == 1 {
		file = files[0]
	}
	if kind == messagePlan && file != nil {
		return s.startFast(c, file, body, int(cred.Pid))
	}
	version, body := splitVersion(body)
	switch {
	case version != protocolVersion:
		return c.send(replyVersion, "")
	case kind == messageList:
		for _, i := range s.list() {
			if err := c.send(replyInstance, i.encode()); err != nil {
				return err
			}
		}
		return c.send(replyOK, "")
	case kind == messageLeave:
		if s.keeper == nil || !s.linger && !strings.HasPrefix(body, "\x01") {
			return c.send(replyError, ErrRunning.Error())
		}
		s.log.Info("another service takes over", "pid", cred.Pid)
		defer s.leave()
		return c.send(replyOK, "")
	case kind == messageOutside:
		return s.outside(c, files)
	case kind == messageStart && file != nil:
		return s.start(c, file, body, int(cred.Pid))
	}
	return c.send(replyError, "the session service does not understand the request")
}

// start serves a new instance.
func (s *service) start(c *conn, file *os.File, path string, pid int) error {
	i, err := s.addInstance(file, path, pid)
	if err != nil {
		return errors.Join(err, c.send(replyError, err.Error()))
	}
	return s.serve(c, i, replyOK, i.Prefix)
}

// startFast serves a new instance whose process wants to be told all that it has to do.
func (s *service) startFast(c *conn, file *os.File, body string, pid int) error {
	r, err := parseRequest(body)
	if err == nil && s.plan == nil {
		err = errors.New("no plans are made here")
	}
	if err == nil {
		err = samePlace(pid)
	}
	var i *instance
	if err == nil {
		i, err = s.addInstance(file, r.File, pid)
	}
	var image []byte
	if err == nil {
		r.Folder, r.Tree = i.Prefix, filepath.Join(s.mount, i.place)
		if image, err = s.plan(i.tree.Content(), r); err == nil && len(image) > premain.MaxReply-premain.ReplyHead {
			err = fmt.Errorf("the plan is too long: %w", syscall.EMSGSIZE)
		}
		if err != nil {
			s.dropInstance(i)
		}
	}
	if err != nil {
		// The plain way will find out, and tell the person, if something is wrong.
		s.log.Info("an instance cannot be started the fast way", "reason", err)
		return c.send(replyError, err.Error())
	}
	padding := string(make([]byte, premain.ReplyHead-1))
	return s.serve(c, i, replyPlan, padding+string(image))
}

// parseRequest reads the request of package premain; body begins behind the message's kind.
func parseRequest(body string) (Request, error) {
	const start = premain.RequestStrings - 1
	if len(body) < start || body[0] != premain.RequestVersion {
		return Request{}, errVersion
	}
	number := func(i int) int {
		return int(int32(binary.LittleEndian.Uint64([]byte(body[premain.RequestNumbers-1+8*i:][:8]))))
	}
	r := Request{Socket: number(0), Numbers: []int{number(1), number(2), number(3)}}
	if r.Socket < 0 || slices.Min(r.Numbers) < 0 {
		return Request{}, errVersion
	}
	parts := strings.Split(body[start:], "\x00")
	if len(parts) != 4 || parts[3] != "" {
		return Request{}, errVersion
	}
	r.Dir, r.File, r.Exec = parts[0], parts[1], parts[2]
	return r, nil
}

// viewpoint tells apart the places from which processes see files: mount namespace, user namespace, root folder.
type viewpoint [3]struct{ dev, ino uint64 }

// placeOf gives the place of a process by its folder in /proc.
func placeOf(process string) (p viewpoint, err error) {
	for i, what := range []string{"/ns/mnt", "/ns/user", "/root"} {
		var st unix.Stat_t
		if err := unix.Stat(process+what, &st); err != nil {
			return p, fmt.Errorf("cannot tell where the process is: %w", err)
		}
		p[i].dev, p[i].ino = st.Dev, st.Ino
	}
	return p, nil
}

// ownPlace is that of this process, which never changes.
var ownPlace = sync.OnceValues(func() (viewpoint, error) { return placeOf("/proc/self") })

// samePlace says whether a process sees the same files as this one.
func samePlace(pid int) error {
	own, err := ownPlace()
	if err != nil {
		return err
	}
	theirs, err := placeOf("/proc/" + strconv.Itoa(pid))
	if err == nil && theirs != own {
		err = errors.New("the process is not where the service is")
	}
	return err
}

// serve tells a client how its files are served, and serves them until its namespace has ended.
func (s *service) serve(c *conn, i *instance, kind byte, answer string) error {
	device, err := s.await(c, kind, answer)
	if err != nil {
		s.dropInstance(i)
		return err
	}
	s.mu.Lock()
	i.live = true
	i.Started = time.Now()
	s.mu.Unlock()
	// From here on a successor knows it.
	s.keepInstance(i, device)
	s.linkInstance(i)
	err = c.send(replyServing, "")
	s.log.Info("instance started", "id", i.ID, "pid", i.PID, "folder", i.name)
	if s.started != nil {
		s.started(i.name, i.Instance)
	}
	go s.follow(i, device)
	return err
}

// follow waits for an instance's end. It closes device.
func (s *service) follow(i *instance, device *os.File) {
	s.waitEnd(device)
	s.dropInstance(i)
	s.unlinkInstance(i)
	device.Close()
	s.log.Info("instance ended", "id", i.ID, "folder", i.name)
	if s.over != nil {
		s.over(i.Instance)
	}
}

// await tells the client its folder, and takes the descriptor by which the end of its namespace is seen.
func (s *service) await(c *conn, kind byte, answer string) (*os.File, error) {
	if err := c.send(kind, answer); err != nil {
		return nil, err
	}
	kind, _, device, err := c.receive()
	if err != nil {
		return nil, fmt.Errorf("the instance has ended early: %w", err)
	}
	if device == nil {
		return nil, errors.New("the instance has not sent its sign of life")
	}
	if err := checkFuse(device); kind != messageFuse || err != nil {
		device.Close()
		return nil, errors.Join(errors.New("the instance has not sent its sign of life"), err)
	}
	// The number is ours now; the runtime's poller wants the file to say at once when there is nothing to read.
	fd, err := unix.FcntlInt(device.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	device.Close()
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(fd), "/dev/fuse"), nil
}

// waitEnd returns when the last process of the namespace in which device is mounted has ended: reading then fails. Before,
// there is one request, the kernel's hello, which is never answered.
func (s *service) waitEnd(device *os.File) {
	buf := make([]byte, 16<<10) // the kernel refuses to read into less than 8 KiB
	for {
		if _, err := device.Read(buf); err != nil {
			return
		}
	}
}

// addInstance makes the folder of a new instance. The caller closes its file.
func (s *service) addInstance(file *os.File, path string, pid int) (*instance, error) {
	fd, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, fmt.Errorf("cannot keep the bundle open: %w", os.NewSyscallError("fcntl", err))
	}
	own := os.NewFile(uintptr(fd), path)
	i, kept, err := s.addOpen(own, path, pid)
	if !kept {
		own.Close()
	} else if err == nil {
		s.keepTree(i.key, own, path)
	}
	return i, err
}

// addOpen is addInstance for a file of our own; kept says that it is needed as long as the instance's tree.
func (s *service) addOpen(own *os.File, path string, pid int) (i *instance, kept bool, err error) {
	b, key, err := openBundle(own)
	if err != nil {
		return nil, false, err
	}
	m := b.Manifest()
	i = &instance{Instance: Instance{ID: m.ID, Version: m.Version, File: path, PID: pid, Started: time.Now()}, key: key}
	tree, place := s.files.Use(key)
	if tree == nil {
		// Reading the index takes its time, so it is done without the lock; another one may be quicker.
		parsed, err := b.Tree()
		if err != nil {
			return nil, false, err
		}
		tree, place, kept = s.files.Add(parsed, key, path)
	}
	i.tree, i.place = tree, place
	s.mu.Lock()
	defer s.mu.Unlock()
	if kept {
		s.open[tree] = own
	}
	number := s.numbers[m.ID]
	for {
		number.last++
		i.name = m.ID + "-" + strconv.Itoa(number.last)
		if s.instances[i.name] == nil {
			break
		}
	}
	i.Prefix = filepath.Join(s.mount, i.name)
	if err := s.files.AddLink(i.name, place); err != nil {
		s.removeTree(i.tree)
		return nil, true, err
	}
	number.count++
	s.numbers[m.ID] = number
	s.instances[i.name] = i
	return i, kept, nil
}

// removeTree ends one use of a tree. The caller holds mu.
func (s *service) removeTree(t *bundlefs.Tree) {
	if !s.files.Remove(t) {
		return
	}
	if own := s.open[t]; own != nil {
		s.keeper.drop(treeItem(t.Key()))
		own.Close()
	}
	delete(s.open, t)
}

func (s *service) dropInstance(i *instance) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.instances, i.name)
	if number := s.numbers[i.ID]; number.count > 1 {
		number.count--
		s.numbers[i.ID] = number
	} else {
		delete(s.numbers, i.ID)
	}
	if i.live {
		s.keeper.drop(keptInstance + i.name)
	}
	s.files.RemoveLink(i.name)
	s.removeTree(i.tree)
	s.ended.Broadcast()
}

func (s *service) list() []Instance {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []Instance{}
	for _, i := range s.instances {
		if i.live {
			list = append(list, i.Instance)
		}
	}
	sort.Slice(list, func(a, b int) bool { return list[a].Started.Before(list[b].Started) })
	return list
}

// drain waits for the instances to end; at most for limit, unless that is 0.
func (s *service) drain(limit time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.instances) == 0 {
		return
	}
	over := false
	if limit > 0 {
		timer := time.AfterFunc(limit, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			over = true
			s.ended.Broadcast()
		})
		defer timer.Stop()
	}
	s.log.Info("waiting for running instances to end", "instances", len(s.instances))
	for len(s.instances) > 0 && !over {
		s.ended.Wait()
	}
}
