// SPDX-License-Identifier: MIT

package hold

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The test's own program is the holder, and is the service when it is told so.
const (
	roleVariable = "GLICK_TEST_ROLE"
	dirVariable  = "GLICK_TEST_DIR" // the holder's folder
	logVariable  = "GLICK_TEST_LOG" // what services say, a line each

	folderName   = "glick"
	mistakesName = "mistakes"
)

func TestMain(m *testing.M) {
	// By way of os.Exit the race detector would have each process sleep for a second.
	if len(os.Args) > 0 && os.Args[0] == Marker {
		if len(os.Args) == 3 && filepath.Base(os.Args[2]) == folderName {
			showMistakes(filepath.Dir(os.Args[2]))
		}
		if err := Main(os.Args); err != nil {
			fmt.Fprintln(os.Stderr, err)
			syscall.Exit(1)
		}
		syscall.Exit(0)
	}
	if role := os.Getenv(roleVariable); role != "" {
		if err := service(role); err != nil {
			say("error: %v", err)
			syscall.Exit(1)
		}
		syscall.Exit(0)
	}
	os.Exit(m.Run())
}

// showMistakes puts what a holder says when it panics, and the race detector, where [place] finds it.
func showMistakes(dir string) {
	fd, err := unix.Open(filepath.Join(dir, mistakesName), unix.O_WRONLY|unix.O_APPEND|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
	if err == nil {
		_ = unix.Dup3(fd, 2, 0)
		unix.Close(fd)
	}
}

func say(format string, args ...any) {
	f, err := os.OpenFile(os.Getenv(logVariable), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return
	}
	fmt.Fprintf(f, format+"\n", args...)
	f.Close()
}

func service(role string) error {
	say("start %d %d", os.Getpid(), time.Now().UnixMilli())
	if role == "crash" {
		return nil
	}
	c, err := Connect(os.Getenv(dirVariable), options(role, os.Getenv(dirVariable), os.Getenv(logVariable)))
	if err != nil {
		return err
	}
	items, err := c.Items()
	if err != nil {
		return err
	}
	names := []string{}
	for _, i := range items {
		names = append(names, fmt.Sprintf("%s:%d:%d:%t", i.Name, len(i.Data), len(i.Files), i.Live))
	}
	say("has %s", strings.Join(names, " "))
	if role == "first" {
		put := func(name string, data int, live bool, fds ...uintptr) {
			item := Item{Name: name, Data: bytes.Repeat([]byte("x"), data), Live: live}
			for _, fd := range fds {
				item.Files = append(item.Files, os.NewFile(fd, "inherited"))
			}
			err = errors.Join(err, c.Put(item))
		}
		put("empty", 0, false)
		put("dropped", 10, true, 3)
		put("replaced", 10, false, 3, 3, 3, 3)
		put("replaced", maxData, true, 3, 4)
		err = errors.Join(err, c.Drop("dropped", "never there"))
		if err != nil {
			return err
		}
	}
	if role == "last" {
		if err := c.Finish(); err != nil {
			return err
		}
		say("finished")
		return nil
	}
	env, _ := os.ReadFile("/proc/self/environ")
	cwd, _ := os.Getwd()
	null, _ := os.Readlink("/proc/self/fd/0")
	sid, _ := unix.Getsid(0)
	say("ready %d variables in %s with %s leads %t", bytes.Count(env, []byte{0}), cwd, null, sid == os.Getpid())
	<-c.Lost()
	say("lost")
	return nil
}

// options start the test's own program as a service with another role, at once.
func options(role, dir, log string) Options {
	exe, err := os.Executable()
	if err != nil {
		panic(err)
	}
	next := map[string]string{"first": "second", "second": "last"}[role]
	if next == "" {
		next = role
	}
	return Options{
		Command: []string{exe, "an argument"},
		Env:     []string{roleVariable + "=" + next, dirVariable + "=" + dir, logVariable + "=" + log},
	}
}

// place makes a folder for a holder, in which nothing may be left afterwards, and no holder.
func place(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), folderName)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if b, err := os.ReadFile(filepath.Join(filepath.Dir(dir), mistakesName)); err != nil || len(b) != 0 {
			t.Errorf("the holder: %s %v", b, err)
		}
		if !within(5*time.Second, func() bool { return len(holders(dir)) == 0 }) {
			t.Errorf("a holder is left over")
			for _, pid := range holders(dir) {
				_ = unix.Kill(pid, unix.SIGKILL)
			}
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
			t.Errorf("left over: %v, %v", left, err)
		}
	})
	return dir
}

// holders are the processes that hold in a folder.
func holders(dir string) []int {
	var list []int
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		line, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if string(line) == Marker+"\x00"+stageServe+"\x00"+dir+"\x00" {
			list = append(list, pid)
		}
	}
	return list
}

func holderOf(t *testing.T, dir string) int {
	t.Helper()
	list := holders(dir)
	if len(list) != 1 {
		t.Fatalf("holders: %v", list)
	}
	return list[0]
}

func within(limit time.Duration, ok func() bool) bool {
	for end := time.Now().Add(limit); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	if !within(10*time.Second, ok) {
		t.Fatalf("%s: not within ten seconds", what)
	}
}

func connect(t *testing.T, dir string, o Options) *Client {
	t.Helper()
	c, err := Connect(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// die ends a client as a killed process would.
func (c *Client) die() {
	c.let.Store(true)
	c.end()
	<-c.done
}

func descriptorsOf(pid int) int {
	list, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	return len(list)
}

// noLeaks fails when this process has more descriptors or goroutines at the end.
func noLeaks(t *testing.T) {
	t.Helper()
	_, w, err := os.Pipe() // Go's poller is there, with its descriptors
	must(t, err)
	w.Close()
	runtime.GC()
	files, routines := descriptorsOf(os.Getpid()), runtime.NumGoroutine()
	t.Cleanup(func() {
		if !within(2*time.Second, func() bool { return runtime.NumGoroutine() <= routines }) {
			t.Errorf("%d goroutines, there were %d", runtime.NumGoroutine(), routines)
		}
		if !within(2*time.Second, func() bool { return descriptorsOf(os.Getpid()) <= files }) {
			t.Errorf("%d descriptors, there were %d", descriptorsOf(os.Getpid()), files)
		}
	})
}

func memfd(t *testing.T, content string) *os.File {
	t.Helper()
	fd, err := unix.MemfdCreate("test", unix.MFD_CLOEXEC)
	must(t, err)
	f := os.NewFile(uintptr(fd), "memfd")
	t.Cleanup(func() { f.Close() })
	_, err = f.WriteString(content)
	must(t, err)
	return f
}

// pipe gives an end to put and a function that says whether nobody has that any more.
func pipe(t *testing.T) (w *os.File, closed func() bool) {
	t.Helper()
	r, w, err := os.Pipe()
	must(t, err)
	t.Cleanup(func() { r.Close(); w.Close() })
	return w, func() bool {
		_ = r.SetReadDeadline(time.Now().Add(time.Millisecond))
		_, err := r.Read(make([]byte, 1))
		return errors.Is(err, io.EOF)
	}
}

func names(items []Item) []string {
	list := []string{}
	for i := range items {
		list = append(list, items[i].Name)
		items[i].Close()
	}
	return list
}

func expectNames(t *testing.T, c *Client, want ...string) {
	t.Helper()
	items, err := c.Items()
	if got := names(items); err != nil || !slices.Equal(got, want) {
		t.Errorf("%v (%v), want %v", got, err, want)
	}
}

type log string

func (l log) lines() []string {
	b, _ := os.ReadFile(string(l))
	return strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
}

// wait returns the nth line that begins so.
func (l log) wait(t *testing.T, begin string, n int) string {
	t.Helper()
	var found []string
	eventually(t, begin, func() bool {
		found = slices.DeleteFunc(l.lines(), func(s string) bool { return !strings.HasPrefix(s, begin) })
		return len(found) > n
	})
	return found[n]
}

// TestServiceIsKilledAndStartedAgain follows three services, the first of which the test kills, and so the second.
func TestServiceIsKilledAndStartedAgain(t *testing.T) {
	t.Parallel()
	dir := place(t)
	l := log(filepath.Join(t.TempDir(), "log"))
	w, closed := pipe(t)
	content := memfd(t, "content")
	o := options("first", dir, string(l))
	cmd := exec.Command(o.Command[0])
	cmd.Env = []string{roleVariable + "=first", dirVariable + "=" + dir, logVariable + "=" + string(l)}
	cmd.ExtraFiles = []*os.File{w, content}
	must(t, cmd.Start())
	w.Close()
	l.wait(t, "ready", 0)
	pid := holderOf(t, dir)
	must(t, cmd.Process.Kill())
	_ = cmd.Wait()

	if got := l.wait(t, "has", 1); got != "has empty:0:0:false replaced:65536:2:true" {
		t.Error(got)
	}
	if got := l.wait(t, "ready", 1); got != "ready 3 variables in / with /dev/null leads true" {
		t.Error(got)
	}
	if closed() {
		t.Error("the pipe is closed")
	}
	var second, at int
	_, err := fmt.Sscanf(l.wait(t, "start", 1), "start %d %d", &second, &at)
	must(t, err)
	line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", second))
	if string(line) != o.Command[0]+"\x00an argument\x00" {
		t.Errorf("%q", line)
	}
	if n := holderOf(t, dir); n != pid {
		t.Errorf("another holder: %d, was %d", n, pid)
	}
	must(t, unix.Kill(second, unix.SIGKILL))
	l.wait(t, "finished", 0)
	eventually(t, "everything is closed", closed)
	for _, s := range l.lines() {
		if strings.HasPrefix(s, "error") {
			t.Error(s)
		}
	}
}

func TestWhatIsHeldWorks(t *testing.T) {
	dir := place(t)
	noLeaks(t)
	c := connect(t, dir, Options{Grace: time.Minute})
	w, closed := pipe(t)
	content := memfd(t, "content")
	flags := func() int { n, _ := unix.FcntlInt(w.Fd(), unix.F_GETFL, 0); return n }
	must(t, unix.SetNonblock(int(w.Fd()), true))
	before := flags()
	must(t, c.Put(Item{Name: "a", Live: true, Data: []byte{0, 1, 2}, Files: []*os.File{w, content}}))
	must(t, c.Put(Item{Name: "b\xff\n", Data: nil}))
	if flags() != before {
		t.Error("the pipe's state has changed")
	}
	w.Close()
	c.die()

	c = connect(t, dir, Options{Grace: time.Minute})
	items, err := c.Items()
	must(t, err)
	if len(items) != 2 || items[0].Name != "a" || !items[0].Live || !bytes.Equal(items[0].Data, []byte{0, 1, 2}) || len(items[0].Files) != 2 ||
		items[1].Name != "b\xff\n" || items[1].Live || len(items[1].Data) != 0 || len(items[1].Files) != 0 {
		t.Fatalf("%+v", items)
	}
	b := make([]byte, 7)
	if _, err := items[0].Files[1].ReadAt(b, 0); err != nil || string(b) != "content" {
		t.Errorf("%q, %v", b, err)
	}
	for i := range items {
		items[i].Close()
	}
	if closed() {
		t.Error("the holder has closed the pipe")
	}
	// A smaller item takes the place of the large one.
	must(t, c.Put(Item{Name: "a", Data: []byte("new")}))
	eventually(t, "the pipe is closed", closed)
	items, err = c.Items()
	must(t, err)
	if len(items) != 2 || string(items[0].Data) != "new" || items[0].Live || len(items[0].Files) != 0 {
		t.Errorf("%+v", items)
	}
	must(t, c.Drop("b\xff\n", "a", ""))
	expectNames(t, c)
	must(t, c.Finish())
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("after the end: %v, %v", left, err)
	}
	select {
	case <-c.Lost():
		t.Error("the end was no loss")
	default:
	}
	if err := c.Put(Item{Name: "x"}); !errors.Is(err, ErrLost) {
		t.Errorf("after the end: %v", err)
	}
}

func TestTooLarge(t *testing.T) {
	dir := place(t)
	c := connect(t, dir, Options{})
	null, err := os.Open(os.DevNull)
	must(t, err)
	defer null.Close()
	for _, i := range []Item{
		{}, {Name: strings.Repeat("x", 201)}, {Name: "x", Data: make([]byte, 64<<10+1)}, {Name: "x", Files: []*os.File{null, null, null, null, null}},
	} {
		if err := c.Put(i); !errors.Is(err, unix.EMSGSIZE) {
			t.Errorf("%v", err)
		}
	}
	closed, err := os.Open(os.DevNull)
	must(t, err)
	closed.Close()
	if err := c.Put(Item{Name: "x", Files: []*os.File{null, closed}}); err == nil || errors.Is(err, ErrLost) {
		t.Errorf("a closed file: %v", err)
	}
	largest := Item{Name: strings.Repeat("x", 200), Data: make([]byte, 64<<10), Files: []*os.File{null, null, null, null}}
	must(t, c.Put(largest))
	expectNames(t, c, largest.Name)
	for _, o := range []Options{
		{Command: []string{"relative"}}, {Command: []string{"/a\x00b"}}, {Env: []string{strings.Repeat("x", 1<<17)}}, {Grace: -1}, {Grace: 2 * time.Hour},
	} {
		if _, err := Connect(dir, o); err == nil || errors.Is(err, ErrBusy) {
			t.Errorf("%.50v: %v", o, err)
		}
	}
	must(t, c.Finish())
}

func TestTooMuchData(t *testing.T) {
	h := &holder{items: make(map[string]*held)}
	put := func(n int) syscall.Errno {
		return h.put(&message{body: appendItem(nil, messagePut, 0, strconv.Itoa(n), make([]byte, maxData))[1:]})
	}
	n := 0
	errno := syscall.Errno(0)
	for errno == 0 && n < 2000 {
		n++
		errno = put(n)
	}
	if errno != unix.ENOSPC || n < 1000 || len(h.items) != n-1 {
		t.Errorf("after %d of %d: %v", n, len(h.items), errno)
	}
	if errno := put(1); errno != 0 {
		t.Errorf("instead of another: %v", errno)
	}
	h.remove("1")
	if errno := put(n); errno != 0 {
		t.Errorf("when there is room again: %v", errno)
	}
}

func TestPausesBetweenStarts(t *testing.T) {
	t.Parallel()
	dir := place(t)
	l := log(filepath.Join(t.TempDir(), "log"))
	c := connect(t, dir, options("crash", dir, string(l)))
	must(t, c.Put(Item{Name: "x", Live: true}))
	died := time.Now().UnixMilli()
	c.die()
	var times []int64
	for n := range 4 {
		var pid int
		var at int64
		_, err := fmt.Sscanf(l.wait(t, "start", n), "start %d %d", &pid, &at)
		must(t, err)
		times = append(times, at-died)
	}
	t.Log("started after ", times, " ms")
	// Only too early is a mistake: the machine may be slow. A start is told later than the holder knows it.
	for i, want := range []int64{0, 250, 750, 1750} {
		if times[i] < want-20 {
			t.Errorf("start %d after %d ms", i, times[i])
		}
	}
	c = connect(t, dir, options("crash", dir, string(l)))
	must(t, c.Finish())
	n := len(l.lines())
	time.Sleep(50 * time.Millisecond)
	if m := len(l.lines()); n != m || n > 5 {
		t.Errorf("started %d times, then %d", n, m)
	}
}

func TestPauses(t *testing.T) {
	var pauses []time.Duration
	for p, i := time.Duration(0), 0; i < 8; i++ {
		p = nextPause(p)
		pauses = append(pauses, p)
	}
	ms := time.Millisecond
	if want := []time.Duration{250 * ms, 500 * ms, 1000 * ms, 2000 * ms, 4000 * ms, 8000 * ms, 10000 * ms, 10000 * ms}; !slices.Equal(pauses, want) {
		t.Errorf("%v", pauses)
	}
	now := time.Now()
	for _, c := range []struct {
		name                string
		grace, pause, lived time.Duration
		left                bool
		want                time.Duration
	}{
		{"first", 0, 0, time.Second, false, 0},
		{"grace", 5 * time.Second, 0, time.Second, false, 5 * time.Second},
		{"again", 0, 2 * time.Second, 200 * time.Millisecond, false, 1800 * time.Millisecond},
		{"long life", 0, 10 * time.Second, time.Minute, false, 0},
		{"handed over", 0, 0, time.Second, true, 10 * time.Second},
		{"handed over with grace", time.Minute, 0, time.Second, true, time.Minute},
	} {
		h := &holder{order: order{grace: c.grace}, pause: c.pause, started: now.Add(-c.lived)}
		if got := h.nextDue(now, now.Add(-c.lived), c.left).Sub(now); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// TestProgramOfTheServiceIsReplaced gives the service's path to another program while the first runs.
func TestProgramOfTheServiceIsReplaced(t *testing.T) {
	t.Parallel()
	dir := place(t)
	work := t.TempDir()
	program, out := filepath.Join(work, "service"), log(filepath.Join(work, "log"))
	o := Options{Command: []string{program}}
	c := connect(t, dir, o)
	must(t, c.Put(Item{Name: "x", Live: true}))
	c.die() // it is not there at all: tried again later
	time.Sleep(50 * time.Millisecond)
	script := "#!/bin/sh\necho newer >>" + string(out) + "\nexec sleep 0.05\n"
	must(t, os.WriteFile(program+".new", []byte(script), 0o755))
	must(t, os.Rename(program+".new", program))
	out.wait(t, "newer", 0)
	must(t, connect(t, dir, o).Finish())
}

// TestNothingLive: the holder ends when nobody comes back and nobody needs that.
func TestNothingLive(t *testing.T) {
	t.Parallel()
	dir := place(t)
	l := log(filepath.Join(t.TempDir(), "log"))
	o := options("crash", dir, string(l))
	o.Grace = 50 * time.Millisecond
	c := connect(t, dir, o)
	w, closed := pipe(t)
	must(t, c.Put(Item{Name: "x", Files: []*os.File{w}}))
	must(t, c.Put(Item{Name: "y", Live: true}))
	must(t, c.Drop("y"))
	w.Close()
	if closed() {
		t.Error("the pipe is closed")
	}
	c.die()
	eventually(t, "the holder ends", func() bool { return len(holders(dir)) == 0 })
	eventually(t, "the pipe is closed", closed)
	if _, err := os.Stat(string(l)); err == nil {
		t.Error("a service was started")
	}
}

func TestHandOver(t *testing.T) {
	t.Parallel()
	dir := place(t)
	l := log(filepath.Join(t.TempDir(), "log"))
	o := options("crash", dir, string(l))
	c := connect(t, dir, o)
	must(t, c.Put(Item{Name: "x", Live: true}))
	must(t, c.Close())
	must(t, c.Close())
	time.Sleep(200 * time.Millisecond)
	c = connect(t, dir, o)
	expectNames(t, c, "x")
	must(t, c.Finish())
	if _, err := os.Stat(string(l)); err == nil {
		t.Error("the holder has started a service while another took over")
	}
}

func TestHolderIsKilled(t *testing.T) {
	dir := place(t)
	noLeaks(t)
	item := Item{Name: "x", Live: true, Data: []byte("data")}
	c := connect(t, dir, Options{})
	must(t, c.Put(item))
	must(t, unix.Kill(holderOf(t, dir), unix.SIGKILL))
	select {
	case <-c.Lost():
	case <-time.After(5 * time.Second):
		t.Fatal("nobody has noticed")
	}
	if err := c.Put(item); !errors.Is(err, ErrLost) {
		t.Error(err)
	}
	if _, err := c.Items(); !errors.Is(err, ErrLost) {
		t.Error(err)
	}
	if err := c.Finish(); !errors.Is(err, ErrLost) {
		t.Error(err)
	}
	must(t, c.Close())
	c = connect(t, dir, Options{})
	expectNames(t, c)
	must(t, c.Put(item))
	expectNames(t, c, "x")
	must(t, c.Finish())
}

func TestOneClientAtATime(t *testing.T) {
	dir := place(t)
	noLeaks(t)
	first := connect(t, dir, Options{})
	must(t, first.Put(Item{Name: "x"}))
	began := time.Now()
	if _, err := Connect(dir, Options{Wait: 100 * time.Millisecond}); !errors.Is(err, ErrBusy) {
		t.Errorf("a second client: %v", err)
	}
	if d := time.Since(began); d < 100*time.Millisecond || d > 5*time.Second {
		t.Errorf("after %s", d)
	}
	type result struct {
		c   *Client
		err error
	}
	second := make(chan result)
	go func() {
		c, err := Connect(dir, Options{})
		second <- result{c, err}
	}()
	time.Sleep(50 * time.Millisecond)
	first.die() // nothing is live and there is no grace, but somebody waits
	r := <-second
	must(t, r.err)
	expectNames(t, r.c, "x")
	must(t, r.c.Finish())
}

// TestBeginAtOnce has services start at the same time: they meet at one holder, one after the other.
func TestBeginAtOnce(t *testing.T) {
	t.Parallel()
	for range 5 {
		dir := place(t)
		const n = 4
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				c, err := Connect(dir, Options{Wait: time.Minute})
				if err == nil {
					err = errors.Join(c.Put(Item{Name: strconv.Itoa(i)}), c.Close())
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		c := connect(t, dir, Options{})
		expectNames(t, c, "0", "1", "2", "3")
		holderOf(t, dir)
		must(t, c.Finish())
	}
}

// TestComingAndGoing has services come while others finish: none may meet a holder that ends.
func TestComingAndGoing(t *testing.T) {
	t.Parallel()
	dir := place(t)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for range 5 {
				c, err := Connect(dir, Options{Wait: time.Minute})
				if err == nil {
					err = c.Put(Item{Name: "x"})
					err = errors.Join(err, c.Finish())
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestManyItems(t *testing.T) {
	dir := place(t)
	var limit unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	n := min(2000, (int(limit.Cur)-100)/2)
	if n < 2000 {
		t.Logf("only %d items: this process may not open more files", n)
	}
	noLeaks(t)
	c := connect(t, dir, Options{Grace: time.Minute})
	began := time.Now()
	for i := range n {
		f := memfd(t, strconv.Itoa(i))
		must(t, c.Put(Item{Name: fmt.Sprintf("item %4d", i), Live: i%2 == 0, Data: bytes.Repeat([]byte{byte(i)}, i%300), Files: []*os.File{f}}))
		f.Close()
	}
	t.Logf("%d puts in %s", n, time.Since(began))
	pid := holderOf(t, dir)
	c.die()
	c = connect(t, dir, Options{Grace: time.Minute})
	began = time.Now()
	items, err := c.Items()
	must(t, err)
	t.Logf("taken in %s; the holder: %s", time.Since(began), memory(pid))
	if len(items) != n {
		t.Fatalf("%d items", len(items))
	}
	for i, item := range items {
		b := make([]byte, 10)
		k, _ := item.Files[0].ReadAt(b, 0)
		if item.Name != fmt.Sprintf("item %4d", i) || item.Live != (i%2 == 0) || !bytes.Equal(item.Data, bytes.Repeat([]byte{byte(i)}, i%300)) ||
			len(item.Files) != 1 || string(b[:k]) != strconv.Itoa(i) {
			t.Fatalf("%d: %s, %q", i, item.Name, b)
		}
	}
	all := names(items)
	must(t, c.Drop(all[1:]...))
	expectNames(t, c, all[0])
	must(t, c.Finish())
}

func memory(pid int) string {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	var list []string
	for _, line := range strings.Split(string(b), "\n") {
		for _, want := range []string{"VmRSS", "RssAnon", "RssFile", "Threads"} {
			if strings.HasPrefix(line, want) {
				list = append(list, strings.Join(strings.Fields(line), " "))
			}
		}
	}
	return strings.Join(list, ", ")
}

func TestNoMoreFiles(t *testing.T) {
	dir := place(t)
	c := connect(t, dir, Options{Grace: time.Minute})
	w, closed := pipe(t)
	w2, closed2 := pipe(t)
	must(t, c.Put(Item{Name: "x", Data: []byte("old"), Files: []*os.File{w}}))
	w.Close()
	pid := holderOf(t, dir)
	var before unix.Rlimit
	must(t, unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &before))
	open := uint64(descriptorsOf(pid))
	// The kernel stops at the first descriptor, then at the third; then there is our own limit.
	for _, limit := range []uint64{open, open + 2, reserve + 2} {
		must(t, unix.Prlimit(pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: limit, Max: before.Max}, nil))
		if err := c.Put(Item{Name: "x", Data: []byte("new"), Files: []*os.File{w2, w2, w2, w2}}); !errors.Is(err, unix.EMFILE) {
			t.Errorf("limit %d: %v", limit, err)
		}
	}
	// A successor can come whatever is held.
	must(t, c.Put(Item{Name: "y", Files: []*os.File{w2}}))
	if err := c.Put(Item{Name: "z", Files: []*os.File{w2}}); !errors.Is(err, unix.EMFILE) {
		t.Error(err)
	}
	c.die()
	c = connect(t, dir, Options{})
	items, err := c.Items()
	must(t, err)
	if len(items) != 2 || string(items[0].Data) != "old" || len(items[0].Files) != 1 {
		t.Errorf("%+v", items)
	}
	names(items)
	w2.Close()
	must(t, c.Drop("y"))
	eventually(t, "what was refused is closed", closed2)
	if closed() {
		t.Error("the old item's file is closed")
	}
	must(t, unix.Prlimit(pid, unix.RLIMIT_NOFILE, &before, nil))
	must(t, c.Put(Item{Name: "x"}))
	must(t, c.Finish())
}

// call connects without the client's code.
func call(t *testing.T, dir string) *conn {
	t.Helper()
	folder, err := openFolder(dir)
	must(t, err)
	defer unix.Close(folder)
	c, err := dial(folder)
	must(t, err)
	c.deadline(10 * time.Second)
	return c
}

func TestHostileClients(t *testing.T) {
	dir := place(t)
	noLeaks(t)
	c := connect(t, dir, Options{Grace: time.Minute})
	must(t, c.Put(Item{Name: "x", Live: true}))
	pid := holderOf(t, dir)
	c.die()
	w, closed := pipe(t)
	fd := int(w.Fd())
	many := func(n int) []int { return slices.Repeat([]int{fd}, n) }
	plain, err := order{grace: time.Minute}.encode()
	must(t, err)
	hello := []byte{messageHello, 1}
	type packet struct {
		bytes  []byte
		fds    []int
		answer string // its letter and error number; empty when the connection ends
	}
	put := func(flags byte, name, data string) []byte {
		return appendItem(nil, messagePut, flags, name, []byte(data))
	}
	errno := func(e syscall.Errno) string { return string(encodeError(e)) }
	var open int
	for _, c := range []struct {
		name    string
		greets  bool
		packets []packet
	}{
		{"nothing", false, nil},
		{"garbage", false, []packet{{bytes.Repeat([]byte{0xff}, 9000), many(2), ""}}},
		{"no hello", false, []packet{{plain, nil, ""}}},
		{"short hello", false, []packet{{hello[:1], nil, ""}}},
		{"hello with descriptors", false, []packet{{hello, many(253), ""}}},
		{"put before orders", false, []packet{{hello, many(1), "H\x01"}, {put(0, "y", ""), many(1), ""}}},
		{"bad orders", false, []packet{{hello, nil, "H\x01"}, {[]byte("R\x00\x00\x00\x00\x01\x00\x00\x00relative\x00"), nil, ""}}},
		{"orders that end early", false, []packet{{hello, nil, "H\x01"}, {[]byte("R\x00\x00\x00\x00\x02\x00\x01\x00/a\x00b\x00c"), nil, ""}}},
		{"orders with many texts", false, []packet{{hello, nil, "H\x01"}, {[]byte("R\x00\x00\x00\x00\xff\xff\xff\xff/a\x00"), nil, ""}}},
		{"orders for ever", false, []packet{{hello, nil, "H\x01"}, {[]byte("R\xff\xff\xff\xff\x00\x00\x00\x00"), nil, ""}}},
		{"newer hello and orders", false, []packet{{append(hello, "more"...), nil, "H\x01"}, {append(bytes.Clone(plain), "more"...), nil, "K"}}},
		{"hello and gone", false, []packet{{hello, nil, "H\x01"}}},
		{"unknown", true, []packet{{[]byte("Z"), many(3), errno(unix.ENOSYS)}, {[]byte{0}, nil, errno(unix.ENOSYS)}}},
		{"too many descriptors", true, []packet{{put(0, "x", ""), many(5), errno(unix.EMSGSIZE)}, {put(0, "x", ""), many(253), errno(unix.EMSGSIZE)}}},
		{"too long", true, []packet{{put(0, "x", strings.Repeat("x", 100000)), many(4), errno(unix.EMSGSIZE)}}},
		{"too much data", true, []packet{{put(0, "x", strings.Repeat("x", maxData+1)), many(4), errno(unix.EINVAL)}}},
		{"no name", true, []packet{{[]byte("P"), many(1), errno(unix.EINVAL)}, {[]byte("P\x00"), many(1), errno(unix.EINVAL)}, {put(0, "", "x"), many(1), errno(unix.EINVAL)}}},
		{"name that ends early", true, []packet{{[]byte("P\x00\x05abcd"), many(1), errno(unix.EINVAL)}}},
		{"name too long", true, []packet{{put(0, strings.Repeat("n", 201), ""), many(1), errno(unix.EINVAL)}}},
		{"drop nonsense", true, []packet{{[]byte("D\x01x\x05abcd"), many(1), errno(unix.EINVAL)}, {[]byte("D\x01x\x00"), nil, errno(unix.EINVAL)}, {[]byte("D"), nil, "K"}}},
		{"finish too long", true, []packet{{append([]byte("F"), make([]byte, 100000)...), nil, errno(unix.EMSGSIZE)}}},
		{"finish with many descriptors", true, []packet{{[]byte("F"), many(253), errno(unix.EMSGSIZE)}}},
		{"descriptors for nothing", true, []packet{{[]byte("D\x01q"), many(4), "K"}, {[]byte("C"), many(4), ""}}},
		{"empty packet", true, []packet{{nil, nil, ""}}},
		{"unknown flags", true, []packet{{put(0xf2, "y", "d"), nil, "K"}, {[]byte("D\x01x"), nil, "K"}, {[]byte("L"), nil, "I\xf2\x01yd"}, {put(flagLive, "x", ""), nil, "K"}, {[]byte("D\x01y"), nil, "K"}}},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			d := call(t, dir)
			defer d.close()
			packets := c.packets
			if c.greets {
				packets = append([]packet{{hello, nil, "H\x01"}, {plain, nil, "K"}}, packets...)
			}
			buf := make([]byte, maxPacket)
			for i, p := range packets {
				must(t, d.send(p.bytes, p.fds...))
				m, err := d.receive(buf)
				for err == nil && m.kind == 'K' && strings.HasPrefix(p.answer, "K") && p.bytes[0] == messagePut && i > 0 && packets[i-1].bytes[0] == messageList {
					m, err = d.receive(buf) // the end of the list before
					break
				}
				m.close()
				got := ""
				if err == nil {
					got = string(m.kind) + string(m.body)
				} else if !errors.Is(err, io.EOF) && !errors.Is(err, unix.ECONNRESET) {
					t.Errorf("packet %d: %v", i, err)
				}
				if got != p.answer {
					t.Errorf("packet %d: answer %q, want %q", i, got, p.answer)
				}
			}
		})
		// Everything is as it was, once the connection has gone.
		if open == 0 {
			eventually(t, "the connection is closed", func() bool { open = descriptorsOf(pid); return open <= 10 })
		}
		if !within(5*time.Second, func() bool { return descriptorsOf(pid) <= open }) {
			t.Errorf("after %s: %d descriptors, there were %d", c.name, descriptorsOf(pid), open)
		}
	}
	w.Close()
	eventually(t, "nothing that was refused is open", closed)
	c = connect(t, dir, Options{})
	if holderOf(t, dir) != pid {
		t.Error("another holder")
	}
	expectNames(t, c, "x")
	must(t, c.Finish())
}

// TestSilentPeer has somebody connect who says nothing: he cannot keep the service out for long.
func TestSilentPeer(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits some seconds")
	}
	t.Parallel()
	dir := place(t)
	c := connect(t, dir, Options{Grace: time.Minute})
	must(t, c.Put(Item{Name: "x"}))
	c.die()
	d := call(t, dir)
	defer d.close()
	began := time.Now()
	c = connect(t, dir, Options{Wait: time.Minute})
	if d := time.Since(began); d > 3*helloPeriod {
		t.Errorf("after %s", d)
	}
	expectNames(t, c, "x")
	must(t, c.Finish())
}

// TestHostileHolder has something else listen in the holder's place.
func TestHostileHolder(t *testing.T) {
	r, w, err := os.Pipe()
	must(t, err)
	defer r.Close()
	defer w.Close()
	fd := int(w.Fd())
	null := slices.Repeat([]int{fd}, 253)
	type packet struct {
		bytes []byte
		fds   []int
	}
	greeting := []packet{{[]byte{messageHello, 9}, nil}, {[]byte{replyOK}, nil}}
	for name, packets := range map[string][]packet{
		"ends":              nil,
		"garbage":           {{[]byte("garbage"), null}},
		"short":             {{[]byte("H"), nil}},
		"refuses":           {{[]byte{messageHello, 9}, nil}, {encodeError(unix.EPERM), nil}},
		"strange refusal":   {{[]byte{messageHello, 9}, nil}, {[]byte("E"), nil}},
		"strange item":      append(greeting, packet{[]byte("I\x00\x09abc"), null[:4]}, packet{[]byte("K"), nil}),
		"many descriptors":  append(greeting, packet{[]byte("I\x00\x01a"), null}, packet{[]byte("K"), null}),
		"too long":          append(greeting, packet{append([]byte("I\x00\x01a"), make([]byte, 100000)...), null}, packet{[]byte("K"), nil}),
		"no such error":     append(greeting, packet{[]byte("E\xff\xff\xff\xff"), null}),
		"ends in the midst": append(greeting, packet{[]byte("I\x00\x01a"), null[:4]}),
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			noLeaks(t)
			dir := t.TempDir()
			must(t, os.Chmod(dir, 0o700))
			folder, err := openFolder(dir)
			must(t, err)
			defer unix.Close(folder)
			// Nobody else can start a holder meanwhile.
			lock, err := takeLock(folder)
			must(t, err)
			defer lock.Close()
			f, err := listen(folder)
			must(t, err)
			fd, err := unix.Dup(int(f.Fd()))
			must(t, err)
			unix.CloseOnExec(fd)
			f.Close()
			listener, err := newConn(fd)
			must(t, err)
			listener.deadline(10 * time.Second)
			served := make(chan error)
			go func() {
				err := listener.readable()
				var d *conn
				if err == nil {
					d, err = listener.accept()
				}
				listener.close()
				buf := make([]byte, maxPacket)
				for i := 0; err == nil && i < len(packets); i++ {
					if i < 3 {
						_, err = d.receive(buf)
					}
					if err == nil {
						err = d.send(packets[i].bytes, packets[i].fds...)
					}
				}
				if d != nil {
					d.close()
				}
				served <- err
			}()
			c, err := Connect(dir, Options{Wait: 100 * time.Millisecond})
			if err == nil {
				var items []Item
				if items, err = c.Items(); len(items) != 0 {
					t.Errorf("%v", items)
				}
				c.Close()
			}
			if err == nil {
				t.Error("it is believed")
			}
			t.Log(err)
			if err := <-served; err != nil && !errors.Is(err, unix.EPIPE) && !errors.Is(err, io.EOF) {
				t.Error(err)
			}
		})
	}
}

// TestStoppedHolder: a holder that does not answer is not waited for without end, and no second one is started.
func TestStoppedHolder(t *testing.T) {
	t.Parallel()
	dir := place(t)
	c := connect(t, dir, Options{Grace: time.Minute})
	pid := holderOf(t, dir)
	c.die()
	must(t, unix.Kill(pid, unix.SIGSTOP))
	_, err := Connect(dir, Options{Wait: 50 * time.Millisecond})
	must(t, unix.Kill(pid, unix.SIGCONT))
	if !errors.Is(err, ErrBusy) {
		t.Error(err)
	}
	if holderOf(t, dir) != pid {
		t.Error("another holder")
	}
	must(t, connect(t, dir, Options{}).Finish())
}

// TestHolderIsOnItsOwn looks at what the holder has of the service: nothing; and that it sleeps.
func TestHolderIsOnItsOwn(t *testing.T) {
	dir := place(t)
	// Somebody's descriptor that is inherited by oversight.
	r, w, err := os.Pipe()
	must(t, err)
	defer r.Close()
	stray, err := unix.FcntlInt(w.Fd(), unix.F_DUPFD, 40)
	must(t, err)
	w.Close()
	c := connect(t, dir, Options{})
	unix.Close(stray)
	_ = r.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the holder has a stray descriptor: %v", err)
	}
	pid := holderOf(t, dir)
	proc := fmt.Sprintf("/proc/%d/", pid)
	link := func(name string) string { s, _ := os.Readlink(proc + name); return s }
	for name, want := range map[string]string{"cwd": "/", "fd/0": os.DevNull, "fd/1": os.DevNull} {
		if got := link(name); got != want {
			t.Errorf("%s is %s", name, got)
		}
	}
	if b, err := os.ReadFile(proc + "environ"); err != nil || len(b) != 0 {
		t.Errorf("environment: %q, %v", b, err)
	}
	if b, err := os.ReadFile(proc + "comm"); err != nil || string(b) != "glick-holder\n" {
		t.Errorf("name: %q, %v", b, err)
	}
	if sid, err := unix.Getsid(pid); err != nil || sid != pid {
		t.Errorf("session %d, %v", sid, err)
	}
	var ppid int
	stat, _ := os.ReadFile(proc + "stat")
	_, rest, _ := strings.Cut(string(stat), ") ")
	if fields := strings.Fields(rest); len(fields) > 1 {
		ppid, err = strconv.Atoi(fields[1])
	}
	if err != nil || ppid == os.Getpid() {
		t.Errorf("its parent is %d, %v", ppid, err)
	}
	switches := func() string {
		var all []string
		tasks, _ := filepath.Glob(proc + "task/*/status")
		for _, name := range tasks {
			b, _ := os.ReadFile(name)
			_, n, _ := strings.Cut(string(b), "voluntary_ctxt_switches:")
			all = append(all, n)
		}
		return strings.Join(all, "\n")
	}
	// Go's runtime needs a moment to come to rest.
	eventually(t, "the holder sleeps", func() bool {
		before := switches()
		time.Sleep(300 * time.Millisecond)
		return before != "" && before == switches()
	})
	t.Log(memory(pid))
	must(t, c.Finish())
}

func TestLongPath(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("long", 40), "glick")
	must(t, os.MkdirAll(dir, 0o700))
	c := connect(t, dir, Options{})
	must(t, c.Finish())
}

func TestStrangeFolders(t *testing.T) {
	for name, prepare := range map[string]func(dir string) error{
		"not there":      func(string) error { return nil },
		"open to others": func(dir string) error { return errors.Join(os.Mkdir(dir, 0o755), os.Chmod(dir, 0o755)) },
		"a link":         func(dir string) error { return os.Symlink(t.TempDir(), dir) },
		"a file":         func(dir string) error { return os.WriteFile(dir, nil, 0o600) },
		"a socket that cannot be removed": func(dir string) error {
			return errors.Join(os.Mkdir(dir, 0o700), os.Mkdir(filepath.Join(dir, socketName), 0o700))
		},
		"a lock that is a link": func(dir string) error {
			return errors.Join(os.Mkdir(dir, 0o700), os.Symlink("/dev/null", filepath.Join(dir, lockName)))
		},
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			noLeaks(t)
			dir := filepath.Join(t.TempDir(), "glick")
			must(t, prepare(dir))
			c, err := Connect(dir, Options{Wait: 50 * time.Millisecond})
			if err == nil {
				t.Error("it is accepted")
				c.Finish()
			}
			t.Log(err)
		})
	}
}

func TestMainIsNotForPeople(t *testing.T) {
	exe, err := os.Executable()
	must(t, err)
	for _, args := range [][]string{{Marker}, {Marker, stageServe, "/"}, {Marker, stageSpawn, "/"}, {Marker, "x", "/"}} {
		cmd := &exec.Cmd{Path: exe, Args: args}
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "own use") {
			t.Errorf("%q, %v", out, err)
		}
	}
}

func TestOrders(t *testing.T) {
	for _, want := range []order{
		{time.Second, []string{"/bin/x", "", "y\n"}, []string{"A=b", ""}},
		{0, []string{}, []string{}},
	} {
		b, err := want.encode()
		must(t, err)
		if got, ok := decodeOrder(b[1:]); !ok || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, %t", got, ok)
		}
	}
}

func FuzzMessages(f *testing.F) {
	f.Add([]byte("P\x01\x01xdata"))
	f.Add([]byte("D\x01x\x02yz"))
	f.Add([]byte("R\x00\x00\x00\x00\x01\x00\x01\x00/a\x00b\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h := &holder{items: map[string]*held{"x": {}}}
		h.memory = h.items["x"].memory("x")
		if len(b) == 0 || b[0] == messageList {
			return
		}
		h.handle(nil, &message{kind: b[0], body: b[1:]})
		memory := 0
		for name, item := range h.items {
			memory += item.memory(name)
		}
		if memory != h.memory || h.files != 0 {
			t.Errorf("%d and %d, not %d", h.memory, h.files, memory)
		}
	})
}

// TestDescriptorsAreCutOff: a process that can have only some of a message's descriptors has none of them.
func TestDescriptorsAreCutOff(t *testing.T) {
	noLeaks(t)
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	a, err := newConn(pair[0])
	must(t, err)
	defer a.close()
	b, err := newConn(pair[1])
	must(t, err)
	defer b.close()
	var before unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &before))
	fds := []int{}
	defer func() {
		must(t, unix.Prlimit(0, unix.RLIMIT_NOFILE, &before, nil))
		for _, fd := range fds {
			unix.Close(fd)
		}
	}()
	must(t, unix.Prlimit(0, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 100, Max: before.Max}, nil))
	fill := func() (n int) {
		for ; ; n++ {
			fd, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 0)
			if err != nil {
				return n
			}
			fds = append(fds, fd)
		}
	}
	fill()
	for _, room := range []int{0, 2, 4} {
		for range room {
			unix.Close(fds[len(fds)-1])
			fds = fds[:len(fds)-1]
		}
		must(t, a.send([]byte{messagePut}, 0, 0, 0, 0))
		m, err := b.receive(make([]byte, 10))
		must(t, err)
		if all := room == 4; (m.bad == 0) != all || (len(m.fds) == 4) != all || (!all && m.bad != unix.EMFILE) {
			t.Errorf("with room for %d: %d descriptors, %v", room, len(m.fds), m.bad)
		}
		m.close()
		if n := fill(); n != room {
			t.Errorf("room for %d afterwards, there was for %d", n, room)
		}
	}
}

// TestLockIsRemovedAndMadeAgain has many take the lock, each of whom removes its file.
func TestLockIsRemovedAndMadeAgain(t *testing.T) {
	noLeaks(t)
	folder, err := unix.Open(t.TempDir(), unix.O_PATH|unix.O_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(folder)
	var owners atomic.Int32
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for n := 0; n < 300; {
				lock, err := takeLock(folder)
				if errors.Is(err, errLocked) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				if owners.Add(1) != 1 {
					t.Error("two have the lock")
				}
				n++
				runtime.Gosched()
				owners.Add(-1)
				removeFiles(folder)
				lock.Close()
			}
		})
	}
	wg.Wait()
}
