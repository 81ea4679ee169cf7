// SPDX-License-Identifier: MIT

package apps

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/adrg/xdg"
	"golang.org/x/sys/unix"

	"glick.org/glick/xdgexport/apps/trust"
)

// faulty is a disk of which any call can fail.
type faulty struct {
	disk
	mu   sync.Mutex
	step func(op string) error
}

func (f *faulty) do(op string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.step(op)
}

func (f *faulty) mkdir(dir string, mode os.FileMode) error {
	if err := f.do("mkdir"); err != nil {
		return err
	}
	return f.disk.mkdir(dir, mode)
}

func (f *faulty) unnamed(dir string, mode os.FileMode) (*os.File, error) {
	if err := f.do("unnamed"); err != nil {
		return nil, err
	}
	return f.disk.unnamed(dir, mode)
}

func (f *faulty) create(path string, flags int, mode os.FileMode) (*os.File, error) {
	if err := f.do("create"); err != nil {
		return nil, err
	}
	return f.disk.create(path, flags, mode)
}

func (f *faulty) chmod(file *os.File, mode os.FileMode) error {
	if err := f.do("chmod"); err != nil {
		return err
	}
	return f.disk.chmod(file, mode)
}

func (f *faulty) clone(out, in *os.File) error {
	if err := f.do("clone"); err != nil {
		return err
	}
	return f.disk.clone(out, in)
}

func (f *faulty) reserve(file *os.File, size int64) error {
	if err := f.do("reserve"); err != nil {
		return err
	}
	return f.disk.reserve(file, size)
}

func (f *faulty) copyRange(out, in *os.File, off, n int64) (int64, error) {
	if err := f.do("copyRange"); err != nil {
		return 0, err
	}
	return f.disk.copyRange(out, in, off, n)
}

func (f *faulty) write(file *os.File, p []byte, off int64) (int, error) {
	if err := f.do("write"); err != nil {
		return 0, err
	}
	return f.disk.write(file, p, off)
}

func (f *faulty) truncate(file *os.File, size int64) error {
	if err := f.do("truncate"); err != nil {
		return err
	}
	return f.disk.truncate(file, size)
}

func (f *faulty) setxattr(file *os.File, name string, value []byte) error {
	if err := f.do("setxattr"); err != nil {
		return err
	}
	return f.disk.setxattr(file, name, value)
}

func (f *faulty) sync(file *os.File) error {
	if err := f.do("sync"); err != nil {
		return err
	}
	return f.disk.sync(file)
}

func (f *faulty) link(file *os.File, path string) error {
	if err := f.do("link"); err != nil {
		return err
	}
	return f.disk.link(file, path)
}

func (f *faulty) rename(from, to string) error {
	if err := f.do("rename"); err != nil {
		return err
	}
	return f.disk.rename(from, to)
}

func (f *faulty) renameNew(from, to string) error {
	if err := f.do("renameNew"); err != nil {
		return err
	}
	return f.disk.renameNew(from, to)
}

func (f *faulty) remove(path string) error {
	if err := f.do("remove"); err != nil {
		return err
	}
	return f.disk.remove(path)
}

// failing lets every call ask step first, until the test ends or stop is called.
func failing(t testing.TB, step func(op string) error) (stop func()) {
	old := onDisk
	onDisk = &faulty{disk: old, step: step}
	stop = func() { onDisk = old }
	t.Cleanup(stop)
	return stop
}

// scenario is one change among the applications, and the states that it may leave.
type scenario struct {
	name string
	// run makes the change, in a home where version 1 is installed as "old.bundle" when before says so. source is version 2.
	run    func(ctx context.Context, home, source string) error
	before bool
	moves  bool // the source may be gone afterwards
	gone   bool // afterwards there is no version
	// ops that a file system may lack, which makes the change take another way.
	without []string
}

var scenarios = []scenario{
	{name: "install", run: installing(InstallOptions{})},
	{name: "install by copying", run: installing(InstallOptions{}), without: []string{"unnamed", "clone", "copyRange"}},
	{name: "update", run: installing(InstallOptions{}), before: true},
	{name: "update by copying", run: installing(InstallOptions{}), before: true, without: []string{"unnamed", "clone", "copyRange"}},
	{name: "keep both", run: installing(InstallOptions{KeepBoth: true}), before: true},
	{name: "move", run: installing(InstallOptions{Move: true}), moves: true},
	{name: "update by moving", run: installing(InstallOptions{Move: true}), before: true, moves: true},
	{name: "uninstall", run: uninstalling(false), before: true, gone: true},
	{name: "uninstall and come back", run: uninstalling(true), before: true, gone: true},
}

func installing(o InstallOptions) func(context.Context, string, string) error {
	return func(ctx context.Context, _, source string) error {
		_, err := Install(ctx, source, o)
		return err
	}
}

func uninstalling(back bool) func(context.Context, string, string) error {
	return func(ctx context.Context, home, _ string) error {
		file := filepath.Join(home, "old.bundle")
		if !back {
			return Remove(ctx, file)
		}
		undo, err := Uninstall(ctx, file)
		if err != nil {
			return err
		}
		// What has failed once can be tried again.
		if undo() != nil {
			return undo()
		}
		return nil
	}
}

// smallSteps makes a copy many calls.
func smallSteps(t *testing.T) {
	old := copyStep
	copyStep = 8 << 10
	t.Cleanup(func() { copyStep = old })
}

// inMemory puts the test's folders where syncing costs nothing: what is tried is the order of calls, not the disk.
func inMemory(t *testing.T) {
	smallSteps(t)
	if unix.Access("/dev/shm", unix.W_OK) == nil {
		t.Setenv("TMPDIR", "/dev/shm")
	}
}

// stage is a home in which a scenario can run again and again.
type stage struct {
	scenario
	home, source string
	one, two     []byte // versions 1 and 2
}

func newStage(t testing.TB, s scenario, home string) *stage {
	key := newKey(t)
	read := func(version string) []byte {
		data, err := os.ReadFile(build(t, t.TempDir(), id, version, key))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	return &stage{scenario: s, home: home, source: filepath.Join(t.TempDir(), "new.bundle"), one: read("1"), two: read("2")}
}

// reset makes the home as it is before.
func (s *stage) reset(t *testing.T) {
	t.Helper()
	fresh()
	for _, dir := range []string{s.home, xdg.DataHome, xdg.CacheHome} {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(s.source, s.two, 0o755); err != nil {
		t.Fatal(err)
	}
	if s.before {
		if err := os.MkdirAll(s.home, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(s.home, "old.bundle"), s.one, 0o755); err != nil {
			t.Fatal(err)
		}
		list(t)
		fresh()
	}
}

// after looks at what is there after the next start.
func (s *stage) after(t *testing.T, what string, failed bool) {
	t.Helper()
	fresh()
	if n := Clean(); n != 0 {
		t.Errorf("%s: %d files are held", what, n)
	}
	all, problems, err := List()
	if err != nil || len(problems) > 0 {
		t.Errorf("%s: %v, %v", what, problems, err)
	}
	var versions []string
	for _, a := range all {
		versions = append(versions, a.Version)
		data, err := os.ReadFile(a.File)
		if err != nil || string(data) != string(map[string][]byte{"1": s.one, "2": s.two}[a.Version]) {
			t.Errorf("%s: version %s is not what it was: %v", what, a.Version, err)
		}
		if !a.State.Usable() || (a.State == trust.Unsigned) {
			t.Errorf("%s: version %s is %v", what, a.Version, a.State)
		}
	}
	var may [][]string
	if !s.before {
		may = append(may, nil)
	} else {
		may = append(may, []string{"1"})
	}
	switch {
	case s.gone:
		may = append(may, nil)
	case strings.HasPrefix(s.name, "keep"):
		may = append(may, []string{"2", "1"})
	default:
		may = append(may, []string{"2"})
	}
	if !slices.ContainsFunc(may, func(m []string) bool { return slices.Equal(m, versions) }) {
		t.Errorf("%s: there are the versions %q, want one of %q", what, versions, may)
	}
	for _, name := range names(t, s.home) {
		if strings.HasPrefix(name, ".") {
			t.Errorf("%s: %s is left", what, name)
		}
	}
	if len(names(t, s.home)) != len(all) {
		t.Errorf("%s: the folder holds %q", what, names(t, s.home))
	}
	data, err := os.ReadFile(s.source)
	switch {
	case err == nil && string(data) != string(s.two):
		t.Errorf("%s: the source is not what it was", what)
	case err != nil && (!s.moves || !slices.Contains(versions, "2")):
		t.Errorf("%s: the source is lost: %v", what, err)
	}
	if entries, err := os.ReadDir(filepath.Join(xdg.DataHome, "glick")); err == nil {
		for _, e := range entries {
			if e.Name() != filepath.Base(knownFile()) {
				t.Errorf("%s: %s is left beside the keys", what, e.Name())
			}
		}
	}
}

// lacking gives the error of a call that the file system lacks.
func (s *scenario) lacking(op string) error {
	if slices.Contains(s.without, op) {
		return unix.EOPNOTSUPP
	}
	return nil
}

// Every call that changes something fails, one after the other, and every way of failing leaves the state before or the state after.
func TestEveryCallFails(t *testing.T) {
	for _, errno := range []syscall.Errno{unix.ENOSPC, unix.EIO} {
		for _, sc := range scenarios {
			t.Run(fmt.Sprintf("%s/%s", sc.name, unix.ErrnoName(errno)), func(t *testing.T) {
				inMemory(t)
				s := newStage(t, sc, newHome(t))
				for n := 1; ; n++ {
					s.reset(t)
					calls, at := 0, ""
					stop := failing(t, func(op string) error {
						if err := s.lacking(op); err != nil {
							return err
						}
						if calls++; calls == n {
							at = op
							return errno
						}
						return nil
					})
					err := s.run(t.Context(), s.home, s.source)
					stop()
					if at == "" {
						if err != nil {
							t.Errorf("with nothing wrong: %v", err)
						}
						if n < 3 {
							t.Errorf("only %d calls", n)
						}
						return
					}
					what := fmt.Sprintf("call %d, %s", n, at)
					if err != nil && !errors.Is(err, errno) && !errors.Is(err, ErrSourceLeft) {
						t.Errorf("%s: %v", what, err)
					}
					s.after(t, what, err != nil)
				}
			})
		}
	}
}

// killEnv tells a child which scenario to run, and before which call to die.
const killEnv = "GLICK_TEST_KILL"

// runKilled is the child of TestKilledAtEveryCall.
func runKilled() bool {
	name, rest, ok := strings.Cut(os.Getenv(killEnv), "|")
	if !ok {
		return false
	}
	at, source, _ := strings.Cut(rest, "|")
	n, _ := strconv.Atoi(at)
	all := append(slices.Clip(scenarios), switching)
	i := slices.IndexFunc(all, func(s scenario) bool { return s.name == name })
	s := &all[i]
	systemFolders, copyStep = nil, 8<<10
	calls := 0
	onDisk = &faulty{disk: onDisk, step: func(op string) error {
		if err := s.lacking(op); err != nil {
			return err
		}
		if calls++; calls == n {
			_ = unix.Kill(os.Getpid(), unix.SIGKILL)
			select {}
		}
		return nil
	}}
	home, _ := Home()
	if err := s.run(context.Background(), home, source); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return true
}

// A process is killed before every call that changes something, and what is there at the next start is the state before or the state after.
func TestKilledAtEveryCall(t *testing.T) {
	if testing.Short() {
		t.Skip("a hundred processes")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, sc := range scenarios {
		t.Run(sc.name, func(t *testing.T) {
			inMemory(t)
			s := newStage(t, sc, newHome(t))
			for n := 1; ; n++ {
				s.reset(t)
				cmd := exec.Command(self)
				cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s|%d|%s", killEnv, sc.name, n, s.source))
				out, err := cmd.CombinedOutput()
				var exit *exec.ExitError
				if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == unix.SIGKILL {
					s.after(t, fmt.Sprintf("killed before call %d", n), true)
					continue
				}
				if err != nil {
					t.Errorf("not killed at call %d: %v: %s", n, err, out)
				}
				s.after(t, "not killed", false)
				if n < 3 {
					t.Errorf("only %d calls", n)
				}
				return
			}
		})
	}
}

// What ends early leaves nothing, wherever it ends.
func TestCancelledAnywhere(t *testing.T) {
	for _, sc := range scenarios {
		if sc.gone {
			continue
		}
		t.Run(sc.name, func(t *testing.T) {
			inMemory(t)
			s := newStage(t, sc, newHome(t))
			for n := 1; ; n++ {
				s.reset(t)
				ctx, cancel := context.WithCancel(t.Context())
				calls := 0
				stop := failing(t, func(op string) error {
					if err := s.lacking(op); err != nil {
						return err
					}
					if calls++; calls == n {
						cancel()
					}
					return nil
				})
				err := s.run(ctx, s.home, s.source)
				stop()
				cancel()
				if err != nil && !errors.Is(err, context.Canceled) {
					t.Errorf("call %d: %v", n, err)
				}
				s.after(t, fmt.Sprintf("cancelled at call %d", n), err != nil)
				if calls < n {
					return
				}
			}
		})
	}
}

// cloner is a disk that can clone files.
type cloner struct{ disk }

func (c cloner) clone(out, in *os.File) error {
	info, err := in.Stat()
	if err != nil {
		return err
	}
	data := make([]byte, info.Size())
	if _, err := in.ReadAt(data, 0); err != nil {
		return err
	}
	_, err = c.write(out, data, 0)
	return err
}

// Where files can be cloned nothing is copied; and everywhere the content is on the disk before it has its name.
func TestOrderOfCalls(t *testing.T) {
	for name, on := range map[string]disk{"copied": kernel{}, "cloned": cloner{kernel{}}} {
		t.Run(name, func(t *testing.T) {
			newHome(t)
			source := build(t, t.TempDir(), id, "1", nil)
			onDisk = on
			t.Cleanup(func() { onDisk = kernel{} })
			var ops []string
			stop := failing(t, func(op string) error {
				ops = append(ops, op)
				return nil
			})
			mustInstall(t, source, InstallOptions{})
			stop()
			at := func(op string) int { return slices.Index(ops, op) }
			if at("link") < 0 || at("sync") < 0 || at("sync") > at("link") || at("sync") < at("clone") || at("sync") < at("copyRange") {
				t.Errorf("the order is %v", ops)
			}
			if copied := at("copyRange") >= 0 || at("reserve") >= 0; copied != (name == "copied") {
				t.Errorf("the calls are %v", ops)
			}
		})
	}
}

// Between file systems a move is a copy, and the source goes last.
func TestMoveAcrossFileSystems(t *testing.T) {
	newHome(t)
	dir, err := os.MkdirTemp("/dev/shm", "glick-test")
	if err != nil {
		t.Skip("no other file system: ", err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	source := build(t, dir, id, "1", nil)
	app := mustInstall(t, source, InstallOptions{Move: true})
	if _, err := os.Stat(source); err == nil {
		t.Error("the source is still there")
	}
	if app.State != trust.Unsigned {
		t.Errorf("moved: %+v", app)
	}
	// A source that cannot be removed, and one that is a link, stay.
	second := build(t, dir, "org.example.Second", "1", nil)
	stop := failing(t, func(op string) error {
		if op == "remove" {
			return unix.EIO
		}
		return nil
	})
	got, err := Install(t.Context(), second, InstallOptions{Move: true})
	stop()
	if !errors.Is(err, ErrSourceLeft) || !errors.Is(err, unix.EIO) || got.File == "" {
		t.Errorf("installed %+v, %v", got, err)
	}
	if _, err := os.Stat(got.File); err != nil {
		t.Error(err)
	}
	link := filepath.Join(dir, "link")
	third := build(t, dir, "org.example.Third", "1", nil)
	if err := os.Symlink(third, link); err != nil {
		t.Fatal(err)
	}
	if _, err := Install(t.Context(), link, InstallOptions{Move: true}); !errors.Is(err, ErrSourceLeft) {
		t.Errorf("moved a link: %v", err)
	}
	for _, f := range []string{second, third, link} {
		if _, err := os.Stat(f); err != nil {
			t.Error(err)
		}
	}
}
