// SPDX-License-Identifier: MIT

package fuse_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"glick.org/glick/runtime/fuse"
	"glick.org/glick/runtime/fuse/mount"
)

// childVariable says what a child process is to do instead of the tests.
const childVariable = "GLICK_TEST_CHILD"

func TestMain(m *testing.M) {
	if what := os.Getenv(childVariable); what != "" {
		if err := child(what); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func child(what string) error {
	kind, rest, _ := strings.Cut(what, " ")
	switch kind {
	case "serve": // on descriptor 3, and say the state
		files := newTestFS()
		files.pause = time.Millisecond
		server, err := fuse.New(3, files, nil)
		if err != nil {
			return err
		}
		fmt.Println(hex.EncodeToString(server.State()))
		return server.Serve()
	case "resume":
		state, err := hex.DecodeString(rest)
		if err != nil {
			return err
		}
		files := newTestFS()
		files.pause = time.Millisecond
		server, err := fuse.Resume(3, state, files, nil)
		if err != nil {
			return err
		}
		fmt.Println("resumed")
		return server.Serve()
	case "stuck": // serve, but answer no request that is not for the root
		files := newTestFS()
		files.stuck = true
		server, err := fuse.New(3, files, nil)
		if err != nil {
			return err
		}
		files.told = func(what string) { fmt.Println(what) }
		fmt.Println(hex.EncodeToString(server.State()))
		return server.Serve()
	case "self": // mount, and open a file of one's own server
		return serveSelf(rest)
	case "read":
		b, err := os.ReadFile(rest)
		fmt.Println(len(b), err)
		return nil
	}
	return errors.New("what?")
}

func serveSelf(dir string) error {
	fd, err := mount.Mount(dir, mount.Options{Name: "glicktest"})
	if err != nil {
		return err
	}
	defer mount.Unmount(dir)
	server, err := fuse.New(fd, newTestFS(), nil)
	if err != nil {
		return err
	}
	go server.Serve()
	if err := server.Settle(dir); err != nil {
		return err
	}
	for range 20 {
		if err := check(filepath.Join(dir, "small", "file7")); err != nil {
			return err
		}
	}
	return nil
}

func check(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err == nil && string(b) != "7\n" {
		err = fmt.Errorf("it is %q", b)
	}
	return err
}

// The nodes of testFS.
const (
	bigID   = 10
	smallID = 11
	linkID  = 12
	panicID = 13
	waitID  = 14
	fileID  = 1000 // and those after it
	files   = 3000 // in the folder small

	bigSize = 1 << 40
)

var rootNames = []struct {
	name string
	id   uint64
}{{"big", bigID}, {"link", linkID}, {"panic", panicID}, {"small", smallID}, {"wait", waitID}}

// testFS has a file that is too big for any cache, a folder with many files, a link, a file whose reading panics and one whose
// reading never ends.
type testFS struct {
	pause time.Duration
	stuck bool
	told  func(string) // of requests that are stuck

	server  *fuse.Server
	asked   chan struct{} // gets one for each reader of wait
	lookups atomic.Int64
	forgets atomic.Int64
	reading atomic.Int64
	most    atomic.Int64
	extra   atomic.Bool // there is also a name extra in the root
}

func newTestFS() *testFS { return &testFS{asked: make(chan struct{}, 1000)} }

var _ fuse.FileSystem = (*testFS)(nil)

func (f *testFS) Init(s *fuse.Server) { f.server = s }

// hang never returns when the file system is to be stuck.
func (f *testFS) hang(node uint64, what string) {
	if f.stuck && node != fuse.RootID {
		f.told(what)
		select {}
	}
}

func (f *testFS) Lookup(folder uint64, name string, e *fuse.Entry) syscall.Errno {
	f.lookups.Add(1)
	f.hang(folder, "lookup")
	*e = fuse.Entry{Valid: time.Hour, AttrValid: time.Hour}
	if folder == fuse.RootID {
		for _, n := range rootNames {
			if n.name == name {
				e.Node = n.id
			}
		}
		if name == "extra" && f.extra.Load() {
			e.Node = fileID
		}
	}
	if n, err := strconv.Atoi(strings.TrimPrefix(name, "file")); folder == smallID && err == nil && n < files {
		e.Node = fileID + uint64(n)
	}
	if e.Node == 0 {
		return 0
	}
	return f.attr(e.Node, &e.Attributes)
}

func (f *testFS) attr(node uint64, a *fuse.Attr) syscall.Errno {
	*a = fuse.Attr{Mode: syscall.S_IFREG | 0o444, Links: 1, UID: uint32(os.Getuid()), GID: uint32(os.Getgid()), Time: 86400}
	switch {
	case node == fuse.RootID, node == smallID:
		a.Mode = syscall.S_IFDIR | 0o555
	case node == linkID:
		a.Mode, a.Size = syscall.S_IFLNK|0o777, 10
	case node == bigID:
		a.Size = bigSize
	case node == panicID, node == waitID:
		a.Size = 1 << 20
	case node >= fileID && node < fileID+files:
		a.Size = uint64(len(content(node)))
	default:
		return syscall.ESTALE
	}
	return 0
}

func content(node uint64) string { return strconv.FormatUint(node-fileID, 10) + "\n" }

func (f *testFS) Forget(node, times uint64) { f.forgets.Add(1) }

func (f *testFS) GetAttr(node uint64, a *fuse.Attr) (time.Duration, syscall.Errno) {
	f.hang(node, "getattr")
	return time.Hour, f.attr(node, a)
}

func (f *testFS) Readlink(node uint64) (string, syscall.Errno) {
	f.hang(node, "readlink")
	return "small/file", 0
}

func (f *testFS) Read(r *fuse.ReadRequest) ([]byte, syscall.Errno) {
	now := f.reading.Add(1)
	defer f.reading.Add(-1)
	for most := f.most.Load(); now > most && !f.most.CompareAndSwap(most, now); {
		most = f.most.Load()
	}
	f.hang(r.Node, "read")
	if f.pause > 0 && rand.IntN(4) == 0 {
		time.Sleep(f.pause)
	}
	switch r.Node {
	case panicID:
		panic("the test wants it")
	case waitID:
		f.asked <- struct{}{}
		<-r.Cancel
		return nil, syscall.EINTR
	case bigID:
		b := r.Buffer()
		pattern(b, r.Offset)
		return b, 0
	}
	s := content(r.Node)
	if r.Offset >= int64(len(s)) {
		return nil, 0
	}
	return []byte(s[r.Offset:]), 0
}

// pattern is what the big file has at an offset: each eight bytes say where they are.
func pattern(b []byte, off int64) {
	for i := 0; i+8 <= len(b); i += 8 {
		binary.NativeEndian.PutUint64(b[i:], uint64(off+int64(i))*0x9E3779B97F4A7C15)
	}
}

func (f *testFS) ReadDir(folder uint64, l *fuse.DirList) syscall.Errno {
	f.hang(folder, "readdir")
	for {
		var name string
		var id uint64
		i := l.Offset
		switch {
		case folder == fuse.RootID && i < uint64(len(rootNames)):
			name, id = rootNames[i].name, rootNames[i].id
		case folder == smallID && i < files:
			name, id = "file"+strconv.FormatUint(i, 10), fileID+i
		default:
			return 0
		}
		e := fuse.Entry{Node: id, Valid: time.Hour, AttrValid: time.Hour}
		f.attr(id, &e.Attributes)
		if !l.Add(name, id, e.Attributes.Mode, &e) {
			return 0
		}
	}
}

func (f *testFS) StatFS(s *fuse.StatFS) syscall.Errno {
	*s = fuse.StatFS{BlockSize: 4096, NameLength: 255}
	return 0
}

// memory is a log that tests can look into.
type memory struct {
	mu    sync.Mutex
	lines []string // guarded by mu
}

func (m *memory) Warn(message string, args ...any) { m.Error(message, args...) }
func (m *memory) Error(message string, args ...any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lines = append(m.lines, fmt.Sprint(append([]any{message}, args...)...))
}

func (m *memory) all() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lines
}

// mountTest mounts on a folder of its own. Nothing is mounted there any more when the test has ended.
func mountTest(t *testing.T) (dir string, fd int) {
	t.Helper()
	dir = t.TempDir()
	fd, err := mount.Mount(dir, mount.Options{Name: "glicktest"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := mount.Unmount(dir); err != nil {
			t.Error(err)
		}
	})
	return dir, fd
}

// serveTest mounts and serves in this process; when the test ends, so has Serve.
func serveTest(t *testing.T, files *testFS) (dir string, server *fuse.Server, log *memory) {
	t.Helper()
	log = &memory{}
	var done chan error
	t.Cleanup(func() { // after the mount has gone
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(20 * time.Second):
			t.Error("Serve has not ended")
		}
	})
	dir, fd := mountTest(t)
	server, err := fuse.New(fd, files, log)
	if err != nil {
		t.Fatal(err)
	}
	done = make(chan error, 1)
	go func() { done <- server.Serve() }()
	if err := server.Settle(dir); err != nil {
		t.Fatal(err)
	}
	return dir, server, log
}

// start starts a child and gives its first line.
func start(t *testing.T, what string, fd int) (*exec.Cmd, *lines) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), childVariable+"="+what)
	if fd >= 0 {
		copied, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			t.Fatal(err)
		}
		device := os.NewFile(uintptr(copied), "/dev/fuse")
		defer device.Close()
		cmd.ExtraFiles = []*os.File{device}
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kill(cmd) })
	return cmd, &lines{r: out}
}

// openBig opens the big file of a file system that another process serves. The kernel learns first that files need not be
// flushed: this process has the device as well, and when it is killed, nobody could answer.
func openBig(t *testing.T, dir string) int {
	t.Helper()
	fd := -1
	for range 2 {
		if fd >= 0 {
			unix.Close(fd)
		}
		var err error
		if fd, err = unix.Open(filepath.Join(dir, "big"), unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
			t.Fatal(err)
		}
	}
	return fd
}

func kill(cmd *exec.Cmd) {
	cmd.Process.Kill()
	cmd.Wait()
}

// lines reads a child's output line by line.
type lines struct {
	r    io.Reader
	have []byte
}

func (l *lines) next(t *testing.T) string {
	t.Helper()
	for {
		if line, rest, ok := bytes.Cut(l.have, []byte("\n")); ok {
			l.have = rest
			return string(line)
		}
		buf := make([]byte, 512)
		n, err := l.r.Read(buf)
		l.have = append(l.have, buf[:n]...)
		if err != nil {
			t.Fatalf("the child says no more: %v (%q)", err, l.have)
		}
	}
}

func TestFiles(t *testing.T) {
	files0 := newTestFS()
	dir, server, log := serveTest(t, files0)
	if server.FD() < 0 {
		t.Error("no descriptor")
	}
	for range 2 { // the second time from the kernel's memory
		names, err := os.ReadDir(dir)
		if err != nil || len(names) != len(rootNames) {
			t.Fatalf("%v, %v", names, err)
		}
		if target, err := os.Readlink(filepath.Join(dir, "link")); err != nil || target != "small/file" {
			t.Errorf("%q, %v", target, err)
		}
		list, err := os.ReadDir(filepath.Join(dir, "small"))
		if err != nil || len(list) != files {
			t.Fatalf("%d names, %v", len(list), err)
		}
		for _, e := range list[:100] {
			info, err := e.Info()
			if err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(filepath.Join(dir, "small", e.Name()))
			if want := strings.TrimPrefix(e.Name(), "file") + "\n"; err != nil || string(b) != want || info.Size() != int64(len(want)) {
				t.Fatalf("%s: %q, %v, size %d", e.Name(), b, err, info.Size())
			}
			if info.Mode() != 0o444 || info.ModTime().Unix() != 86400 {
				t.Fatalf("%s: %v", e.Name(), info)
			}
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "absent")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	before := files0.lookups.Load()
	if _, err := os.Stat(filepath.Join(dir, "absent")); !errors.Is(err, os.ErrNotExist) || files0.lookups.Load() != before {
		t.Errorf("the kernel asks again for what is absent: %v", err)
	}
	f, err := os.Open(filepath.Join(dir, "big"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got, want := make([]byte, 3<<20), make([]byte, 3<<20)
	const off = 5<<30 + 4096*3
	pattern(want, off)
	if n, err := f.ReadAt(got, off); err != nil || !bytes.Equal(got[:n], want) {
		t.Errorf("the big file has other bytes, %v", err)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil || st.Bsize != 4096 || st.Namelen != 255 || st.Bfree != 0 {
		t.Errorf("%+v, %v", st, err)
	}
	if _, err := unix.Getxattr(filepath.Join(dir, "big"), "user.x", nil); !errors.Is(err, unix.EOPNOTSUPP) {
		t.Errorf("extended attributes: %v", err)
	}
	if _, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS); !errors.Is(err, unix.ENOTTY) {
		t.Errorf("is a terminal: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "new"), nil, 0o600); !errors.Is(err, unix.EROFS) {
		t.Errorf("writing: %v", err)
	}
	if lines := log.all(); len(lines) != 0 {
		t.Error(lines)
	}
}

func TestPanicIsAnError(t *testing.T) {
	dir, _, log := serveTest(t, newTestFS())
	for range 3 {
		if _, err := os.ReadFile(filepath.Join(dir, "panic")); !errors.Is(err, unix.EIO) {
			t.Fatal(err)
		}
	}
	if err := check(filepath.Join(dir, "small", "file7")); err != nil {
		t.Error(err)
	}
	if lines := log.all(); len(lines) == 0 || !strings.Contains(lines[0], "the test wants it") {
		t.Errorf("%q", lines)
	}
}

// TestSlowRequests: many requests that take long do not hold up others, and end when nobody waits any more.
func TestSlowRequests(t *testing.T) {
	files := newTestFS()
	dir, _, _ := serveTest(t, files)
	const slow = 20
	var readers []*exec.Cmd
	for range slow {
		cmd, _ := start(t, "read "+filepath.Join(dir, "wait"), -1)
		readers = append(readers, cmd)
	}
	// Some of them may wait for the others' pages.
	select {
	case <-files.asked:
	case <-time.After(20 * time.Second):
		t.Fatal("nobody reads")
	}
	for i := range 200 {
		if _, err := os.Lstat(filepath.Join(dir, "absent"+strconv.Itoa(i))); !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	for _, cmd := range readers {
		cmd.Process.Kill()
	}
	for _, cmd := range readers {
		ended := make(chan struct{})
		go func() { cmd.Wait(); close(ended) }()
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			t.Fatal("a reader cannot be killed")
		}
	}
}

// TestManyAtOnce: workers are added as they are needed, up to a limit.
func TestManyAtOnce(t *testing.T) {
	files := newTestFS()
	files.pause = 20 * time.Millisecond
	dir, _, _ := serveTest(t, files)
	fd, err := unix.Open(filepath.Join(dir, "big"), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	var readers sync.WaitGroup
	for i := range 100 {
		readers.Go(func() {
			if err := verify(fd, int64(i)<<30); err != nil {
				t.Error(err)
			}
		})
	}
	readers.Wait()
	if most := files.most.Load(); most < 3 || most > 32 {
		t.Errorf("at most %d at once", most)
	}
}

// verify reads 64 KiB of the big file.
func verify(fd int, off int64) error {
	got, want := make([]byte, 64<<10), make([]byte, 64<<10)
	n, err := unix.Pread(fd, got, off)
	if err != nil {
		return fmt.Errorf("at %d: %w", off, err)
	}
	pattern(want, off)
	if n != len(got) || !bytes.Equal(got, want) {
		return fmt.Errorf("at %d: %d bytes, not what they must be", off, n)
	}
	return nil
}

func TestInvalidate(t *testing.T) {
	files := newTestFS()
	dir, server, _ := serveTest(t, files)
	extra := filepath.Join(dir, "extra")
	there := func() bool {
		_, err := os.Lstat(extra)
		return err == nil
	}
	if there() {
		t.Fatal("it is there already")
	}
	files.extra.Store(true)
	if there() {
		t.Fatal("the kernel has not kept that the name is absent")
	}
	if err := server.InvalidateEntry(fuse.RootID, "extra"); err != nil {
		t.Error(err)
	}
	if !there() {
		t.Error("the kernel has not asked again")
	}
	files.extra.Store(false)
	if !there() {
		t.Fatal("the kernel has not kept the name")
	}
	if err := server.InvalidateEntry(fuse.RootID, "extra"); err != nil {
		t.Error(err)
	}
	if there() {
		t.Error("the kernel has not asked again")
	}
	if err := server.InvalidateNode(fuse.RootID); err != nil {
		t.Error(err)
	}
	if err := server.InvalidateEntry(12345, "x"); !errors.Is(err, unix.ENOENT) {
		t.Errorf("a folder that nobody knows: %v", err)
	}
}

// TestUnmount: Serve ends, and so does what is still being worked on.
func TestUnmount(t *testing.T) {
	files := newTestFS()
	dir, fd := mountTest(t)
	server, err := fuse.New(fd, files, &memory{})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve() }()
	cmd, _ := start(t, "read "+filepath.Join(dir, "wait"), -1)
	<-files.asked
	if err := mount.Unmount(dir); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		t.Fatalf("it is still in use, but Serve has ended: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	kill(cmd)
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("Serve does not end")
	}
	if err := server.InvalidateNode(fuse.RootID); !errors.Is(err, unix.ENODEV) {
		t.Errorf("afterwards: %v", err)
	}
	if _, err := fuse.Resume(-1, server.State(), files, nil); err == nil {
		t.Error("resumed with no descriptor")
	}
	// The cleanup takes away what is mounted.
	if fd, err = mount.Mount(dir, mount.Options{Name: "glicktest"}); err != nil {
		t.Fatal(err)
	}
	unix.Close(fd)
}

// TestOwnFiles: a process can open files that it serves itself, even when only one thread runs Go code.
func TestOwnFiles(t *testing.T) {
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), childVariable+"=self "+dir, "GOMAXPROCS=1")
	timer := time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() })
	defer timer.Stop()
	if out, err := cmd.CombinedOutput(); err != nil {
		mount.Unmount(dir)
		t.Errorf("%v: %s", err, out)
	}
}

// TestRest: a file system that nobody uses takes no time.
func TestRest(t *testing.T) {
	dir, fd := mountTest(t)
	cmd, out := start(t, "serve", fd)
	unix.Close(fd)
	out.next(t)
	if _, err := os.ReadDir(filepath.Join(dir, "small")); err != nil {
		t.Fatal(err)
	}
	switches := func() (sum int) {
		threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", cmd.Process.Pid))
		for _, thread := range threads {
			status, _ := os.ReadFile(thread)
			for line := range strings.Lines(string(status)) {
				if name, value, _ := strings.Cut(line, ":"); strings.HasSuffix(name, "_ctxt_switches") {
					n, _ := strconv.Atoi(strings.TrimSpace(value))
					sum += n
				}
			}
		}
		return sum
	}
	// The runtime itself comes to rest only after a while.
	var woken int
	for range 10 {
		before := switches()
		time.Sleep(500 * time.Millisecond)
		if woken = switches() - before; before > 0 && woken == 0 {
			return
		}
	}
	t.Errorf("%d wake-ups in half a second", woken)
}

// TestTakeOverStuck kills a server that has taken requests of all kinds. The next one answers them.
func TestTakeOverStuck(t *testing.T) {
	dir, fd := mountTest(t)
	cmd, out := start(t, "stuck", fd)
	state, err := hex.DecodeString(out.next(t))
	if err != nil {
		t.Fatal(err)
	}
	big := openBig(t, dir)
	defer unix.Close(big)
	results := make(chan error)
	for _, do := range []func() error{
		func() error { return verify(big, 77<<30) },
		func() error {
			var st unix.Stat_t
			err := unix.Lstat(filepath.Join(dir, "small", "file7"), &st)
			if err == nil && st.Size != 2 {
				err = fmt.Errorf("size %d", st.Size)
			}
			return err
		},
		func() error {
			target := make([]byte, 100)
			n, err := unix.Readlink(filepath.Join(dir, "link"), target)
			if err == nil && string(target[:n]) != "small/file" {
				err = fmt.Errorf("%q", target[:n])
			}
			return err
		},
	} {
		go func() { results <- do() }()
	}
	for range 3 {
		t.Log("taken and not answered:", out.next(t))
	}
	kill(cmd)

	files := newTestFS()
	server, err := fuse.Resume(fd, state, files, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !server.Resumable() {
		unix.Close(fd) // wakes all with an error
		for range 3 {
			<-results
		}
		t.Skip("the kernel cannot deliver requests again")
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve() }()
	for range 3 {
		select {
		case err := <-results:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("a request is never answered")
		}
	}
	if !bytes.Equal(server.State(), state) {
		t.Error("another state than before")
	}
	// Who comes later does not notice either.
	if err := verify(big, 78<<30); err != nil {
		t.Error(err)
	}
	unix.Close(big)
	if err := mount.Unmount(dir); err != nil {
		t.Fatal(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	if fd, err = mount.Mount(dir, mount.Options{Name: "glicktest"}); err != nil {
		t.Fatal(err)
	}
	unix.Close(fd)
}

// TestTakeOverOldKernel: where requests are not delivered again, who waits for one can at least be killed.
func TestTakeOverOldKernel(t *testing.T) {
	dir, fd := mountTest(t)
	cmd, out := start(t, "stuck", fd)
	state, err := hex.DecodeString(out.next(t))
	if err != nil {
		t.Fatal(err)
	}
	reader, _ := start(t, "read "+filepath.Join(dir, "small", "file7"), -1)
	if got := out.next(t); got != "lookup" && got != "getattr" {
		t.Fatal(got)
	}
	kill(cmd)
	clear(state[12:]) // as if no flag had been agreed on
	server, err := fuse.Resume(fd, state, newTestFS(), nil)
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve()
	ended := make(chan struct{})
	go func() { kill(reader); close(ended) }()
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Error("it cannot be killed")
	}
}

// TestTakeOver kills servers again and again while readers check what they get.
func TestTakeOver(t *testing.T) {
	dir, fd := mountTest(t)
	cmd, out := start(t, "serve", fd)
	state := out.next(t)
	big := openBig(t, dir)
	defer unix.Close(big)
	var stop atomic.Bool
	var reads, lists atomic.Int64
	var readers sync.WaitGroup
	served := false
	defer func() {
		stop.Store(true)
		if !served {
			unix.Close(fd) // wakes them with an error
		}
		readers.Wait()
	}()
	for range 4 {
		readers.Go(func() {
			for !stop.Load() {
				if err := verify(big, rand.Int64N(bigSize>>16)<<16); err != nil {
					t.Error(err)
					return
				}
				reads.Add(1)
			}
		})
	}
	readers.Go(func() {
		for i := 0; !stop.Load(); i++ {
			var st unix.Stat_t
			if err := unix.Lstat(filepath.Join(dir, "small", "file"+strconv.Itoa(i%files)), &st); err != nil {
				t.Error(err)
				return
			}
			if err := unix.Lstat(filepath.Join(dir, "small", "none"+strconv.Itoa(i)), &st); !errors.Is(err, unix.ENOENT) {
				t.Error(err)
				return
			}
			lists.Add(1)
		}
	})
	raw, err := hex.DecodeString(state)
	if err != nil {
		t.Fatal(err)
	}
	rounds := 10
	if testing.Short() {
		rounds = 3
	}
	for round := range rounds {
		time.Sleep(time.Duration(20+rand.IntN(30)) * time.Millisecond)
		kill(cmd)
		if round == rounds-1 {
			break
		}
		before := reads.Load()
		cmd, out = start(t, "resume "+state, fd)
		if line := out.next(t); line != "resumed" {
			t.Fatal(line)
		}
		for deadline := time.Now().Add(20 * time.Second); reads.Load() < before+8; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("readers wait for ever")
			}
		}
	}
	// The last one is this process, which has kept the descriptor all the time.
	server, err := fuse.Resume(fd, raw, newTestFS(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if !server.Resumable() {
		t.Skip("the kernel cannot deliver requests again")
	}
	served = true
	go server.Serve()
	time.Sleep(100 * time.Millisecond)
	stop.Store(true)
	readers.Wait()
	t.Logf("%d reads and %d lookups over %d servers", reads.Load(), lists.Load(), rounds+1)
}
