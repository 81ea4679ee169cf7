// SPDX-License-Identifier: MIT

package launch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"glick.org/glick/runtime/premain"
)

// Trial is something that starting a bundle needs of a computer.
type Trial int

// The trials. Each includes the first.
const (
	TryView    Trial = iota // namespaces of the process's own, in which it may mount
	TryFuse                 // a FUSE file system mounted there
	TryOverlay              // one folder laid over another there
)

// Try finds out whether something that starting a bundle needs works here: a stub program does it in a child process, in
// the way in which a bundle would. Nothing of it stays. The error says what does not work; [Hint] may know a cure.
// It wraps [ErrStub] when the trial itself could not be made.
func Try(ctx context.Context, stub string, what Trial) error {
	p, err := planTrial(what)
	if err != nil {
		return err
	}
	image, err := p.encode()
	if err != nil {
		return err
	}
	fd, err := unix.MemfdCreate("glick-plan", unix.MFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStub, os.NewSyscallError("memfd_create", err))
	}
	file := os.NewFile(uintptr(fd), "plan")
	defer file.Close()
	if _, err := file.Write(image); err != nil {
		return fmt.Errorf("%w: %w", ErrStub, err)
	}
	runErr := runPlan(ctx, stub, file)
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", ErrStub, ctx.Err())
	}
	f, err := premain.ReadFailure(file)
	switch {
	case err == nil:
		return explainTrial(f)
	case runErr != nil:
		return fmt.Errorf("%w: %w", ErrStub, runErr)
	}
	// A program that ends well without having done anything is no stub.
	var done [1]byte
	if _, err := file.ReadAt(done[:], int64(len(image))); err != nil {
		return fmt.Errorf("%w: it is not one, or of another version", ErrStub)
	}
	return nil
}

// runPlan executes a plan in a child process, which has nothing of this one's files. The child is ended with ctx.
func runPlan(ctx context.Context, stub string, plan *os.File) error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	process, err := os.StartProcess(stub, []string{premain.PlanMarker, strconv.Itoa(trialFile)}, &os.ProcAttr{
		Dir: "/", Env: []string{}, Files: []*os.File{null, null, null, plan},
	})
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = process.Kill() })
	defer stop()
	state, err := process.Wait()
	if err == nil && !state.Success() {
		err = errors.New(state.String())
	}
	return err
}

// ErrStub says that a stub program could not be used to try something.
var ErrStub = errors.New("the stub program does not work")

// trialFile is the descriptor of the plan in a process that tries something.
const trialFile = 3

func planTrial(what Trial) (*Plan, error) {
	place := ""
	for _, dir := range []string{"/tmp", "/usr"} {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			place = dir
			break
		}
	}
	if place == "" {
		return nil, errors.New("there is neither a folder /tmp nor a folder /usr to try it on")
	}
	p := &Plan{context: []string{"", place, ""}}
	p.namespaces()
	p.add(emptyFolder(place))
	switch what {
	case TryFuse:
		const device = 10
		p.add(
			openAs{fuseDevice, unix.O_RDWR, device},
			mount{"glick", place, "fuse.glick", unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV,
				fmt.Sprintf("fd=%d,rootmode=40755,user_id=%d,group_id=%d", device, os.Geteuid(), os.Getegid())},
			unmount{place},
		)
	case TryOverlay:
		upper, lower, both := path.Join(place, "upper"), path.Join(place, "lower"), path.Join(place, "both")
		p.add(makeDir{upper}, makeDir{lower}, makeDir{both},
			mount{"glick", both, "overlay", unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV, "userxattr,lowerdir=" + upper + ":" + lower},
		)
	}
	p.add(report{trialFile}, leave{})
	return p, nil
}

func explainTrial(f *premain.Failure) error {
	kind, text, _ := strings.Cut(f.Note, "\x00")
	if kind == "mount" {
		return &hintedError{fmt.Errorf("cannot %s: %w", text, f.Errno), mountHint(f.Errno, text)}
	}
	return diagnose(f).Err
}

// report appends a byte to the file of the plan, to say that all before it is done.
type report struct{ fd int }

func (o report) String() string { return fmt.Sprintf("report to %d", o.fd) }

func (o report) encode(m *premain.Image, note string) {
	m.Call(note, false, 1, unix.SYS_WRITE, o.fd, m.Bytes([]byte{1}), 1)
}

// leave ends the process.
type leave struct{}

func (o leave) String() string { return "end" }

func (o leave) encode(m *premain.Image, note string) { m.Call(note, false, 0, unix.SYS_EXIT_GROUP, 0) }

// Hint is what a person can do about an error of this package; it may be empty.
func Hint(err error) string {
	var hinted *hintedError
	if errors.As(err, &hinted) {
		return hinted.hint
	}
	return ""
}

// CheckFuse says whether this process may use FUSE at all. [Hint] may know a cure.
func CheckFuse() error { return checkFuseDevice() }

// NeedsUserNamespace says whether this process needs a user namespace to have a view of its own: root does not.
func NeedsUserNamespace() bool { return !mayMount() }
