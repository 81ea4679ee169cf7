// SPDX-License-Identifier: MIT

package launch

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"glick.org/glick/runtime/premain"
)

// Plan is what a process does to become a program of a bundle. Making a plan changes nothing.
type Plan struct {
	ops     []operation
	context []string // what explains a failure, see failure.go
}

// operation is one step of a plan; its text completes the sentence "cannot …".
type operation interface {
	fmt.Stringer
	encode(m *premain.Image, note string)
}

// String prints the plan, one operation a line.
func (p *Plan) String() string {
	var b strings.Builder
	for _, op := range p.ops {
		fmt.Fprintln(&b, op)
	}
	return b.String()
}

func (p *Plan) add(ops ...operation) { p.ops = append(p.ops, ops...) }

// encode makes the image that package premain executes. Each note is the kind of operation, a zero byte, and its text.
func (p *Plan) encode() ([]byte, error) {
	var m premain.Image
	for _, op := range p.ops {
		op.encode(&m, strings.TrimPrefix(fmt.Sprintf("%T", op), "launch.")+"\x00"+op.String())
	}
	return m.Encode(p.context)
}

// Run executes the plan in this process, by way of a program that was linked with package premain's entry point (the stub;
// "/proc/self/exe" for the stub itself). It returns only when the plan could not even be begun.
func (p *Plan) Run(program string) error {
	image, err := p.encode()
	if err != nil {
		return fmt.Errorf("cannot start the program: %w", err)
	}
	fd, err := unix.MemfdCreate("glick-plan", 0)
	if err != nil {
		return fmt.Errorf("cannot make the plan: %w", os.NewSyscallError("memfd_create", err))
	}
	for rest := image; len(rest) > 0; {
		n, err := unix.Write(fd, rest)
		if err != nil {
			unix.Close(fd)
			return fmt.Errorf("cannot make the plan: %w", os.NewSyscallError("write", err))
		}
		rest = rest[n:]
	}
	err = syscall.Exec(program, []string{premain.PlanMarker, strconv.Itoa(fd)}, os.Environ())
	unix.Close(fd)
	return fmt.Errorf("cannot execute %s: %w", program, err)
}

// The operations. Paths are absolute, or /proc/self/fd/N for what an earlier operation has opened.

type unshare struct{ user bool }

func (o unshare) String() string {
	if o.user {
		return "enter a new user and mount namespace"
	}
	return "enter a new mount namespace"
}

func (o unshare) encode(m *premain.Image, note string) {
	flags := unix.CLONE_NEWNS
	if o.user {
		flags |= unix.CLONE_NEWUSER
	}
	m.Call(note, false, 0, unix.SYS_UNSHARE, flags)
}

// writeFile writes to a file of /proc.
type writeFile struct{ path, data string }

func (o writeFile) String() string { return fmt.Sprintf("write %q to %s", o.data, o.path) }

func (o writeFile) encode(m *premain.Image, note string) { m.WriteFile(note, o.path, o.data) }

type mount struct {
	source, target, fstype string
	flags                  uintptr
	data                   string
}

var mountFlagNames = []struct {
	flag uintptr
	name string
}{
	{unix.MS_RDONLY, "ro"}, {unix.MS_NOSUID, "nosuid"}, {unix.MS_NODEV, "nodev"}, {unix.MS_REMOUNT, "remount"}, {unix.MS_BIND, "bind"},
	{unix.MS_REC, "rec"}, {unix.MS_PRIVATE, "private"}, {unix.MS_SLAVE, "slave"},
}

func (o mount) String() string {
	var words []string
	for _, f := range mountFlagNames {
		if o.flags&f.flag != 0 {
			words = append(words, f.name)
		}
	}
	if o.data != "" {
		words = append(words, o.data)
	}
	source := o.source
	if source == "" {
		source = "none"
	}
	s := fmt.Sprintf("mount %s on %s", source, o.target)
	if o.fstype != "" {
		s += " type " + o.fstype
	}
	if len(words) > 0 {
		s += " (" + strings.Join(words, ",") + ")"
	}
	return s
}

func (o mount) encode(m *premain.Image, note string) {
	opt := func(s string) any {
		if s == "" {
			return 0
		}
		return s
	}
	m.Call(note, false, 0, unix.SYS_MOUNT, opt(o.source), o.target, opt(o.fstype), o.flags, opt(o.data))
}

// openAs opens a file under a descriptor number; the descriptor is closed when the program is executed.
type openAs struct {
	path  string
	flags int
	fd    int
}

func (o openAs) String() string { return fmt.Sprintf("open %s as %d", o.path, o.fd) }

func (o openAs) encode(m *premain.Image, note string) {
	m.Open(note, false, o.path, o.flags, 0, o.fd)
}

// createFile makes an empty file, to mount another one on.
type createFile struct{ path string }

func (o createFile) String() string { return "create " + o.path }

func (o createFile) encode(m *premain.Image, note string) {
	m.Open(note, false, o.path, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, 0o644, premain.NoFD)
}

type makeDir struct{ path string }

func (o makeDir) String() string { return "create folder " + o.path }

func (o makeDir) encode(m *premain.Image, note string) {
	m.Call(note, false, 0, unix.SYS_MKDIRAT, unix.AT_FDCWD, o.path, 0o755)
}

type makeLink struct{ target, path string }

func (o makeLink) String() string { return fmt.Sprintf("create link %s to %s", o.path, o.target) }

func (o makeLink) encode(m *premain.Image, note string) {
	m.Call(note, false, 0, unix.SYS_SYMLINKAT, o.target, unix.AT_FDCWD, o.path)
}

// pivot makes a folder with a mounted file system the root; the old one is moved to another folder in it.
type pivot struct{ root, old string }

func (o pivot) String() string { return "make " + o.root + " the root folder" }

func (o pivot) encode(m *premain.Image, note string) {
	m.Call(note, false, 0, unix.SYS_PIVOT_ROOT, o.root, o.old)
}

// unmount lets go of a mount and of all below it.
type unmount struct{ path string }

func (o unmount) String() string { return "unmount " + o.path }

func (o unmount) encode(m *premain.Image, note string) {
	m.Call(note, false, 0, unix.SYS_UMOUNT2, o.path, unix.MNT_DETACH)
}

type removeDir struct{ path string }

func (o removeDir) String() string { return "remove folder " + o.path }

func (o removeDir) encode(m *premain.Image, note string) {
	m.Call(note, false, 0, unix.SYS_UNLINKAT, unix.AT_FDCWD, o.path, unix.AT_REMOVEDIR)
}

// examine asks for the attributes of a folder, so that the kernel knows them.
type examine struct{ path string }

func (o examine) String() string { return "examine " + o.path }

func (o examine) encode(m *premain.Image, note string) {
	m.Call(note, false, 0, unix.SYS_STATX, unix.AT_FDCWD, o.path, 0, unix.STATX_BASIC_STATS, m.Bytes(make([]byte, unsafe.Sizeof(unix.Statx_t{}))))
}

// changeDir enters a folder again by its name, now that something else may be there; when there is no such folder the
// process stays where it is.
type changeDir struct{ path string }

func (o changeDir) String() string { return "enter " + o.path + " if it is there" }

func (o changeDir) encode(m *premain.Image, note string) {
	m.Call(note, true, 0, unix.SYS_CHDIR, o.path)
}

// closeOnExec keeps a descriptor from the program.
type closeOnExec struct{ fd int }

func (o closeOnExec) String() string { return fmt.Sprintf("keep %d to ourselves", o.fd) }

func (o closeOnExec) encode(m *premain.Image, note string) {
	m.Call(note, false, 0, unix.SYS_FCNTL, o.fd, unix.F_SETFD, unix.FD_CLOEXEC)
}

// handOver sends a descriptor over a socket.
type handOver struct{ socket, fd int }

func (o handOver) String() string {
	return fmt.Sprintf("hand %d to the file service over %d", o.fd, o.socket)
}

func (o handOver) encode(m *premain.Image, note string) {
	payload := []byte{'F'}
	vector := m.Words(m.Bytes(payload), len(payload))
	rights := unix.UnixRights(o.fd)
	control := m.Bytes(rights)
	// struct msghdr: name, namelen, iov, iovlen, control, controllen, flags
	message := m.Words(0, 0, vector, 1, control, len(rights), 0)
	m.Call(note, false, 1, unix.SYS_SENDMSG, o.socket, message, unix.MSG_NOSIGNAL)
}

// await waits for the service's word that it serves.
type await struct{ socket int }

func (o await) String() string { return fmt.Sprintf("hear from the file service over %d", o.socket) }

func (o await) encode(m *premain.Image, note string) {
	m.Call(note, false, 1, unix.SYS_READ, o.socket, m.Bytes(make([]byte, 8)), 8)
}

// ignoreSignal restores a signal that the caller ignores and that the Go runtime has set to its default.
type ignoreSignal struct{ number int }

func (o ignoreSignal) String() string { return fmt.Sprintf("ignore signal %d", o.number) }

func (o ignoreSignal) encode(m *premain.Image, note string) {
	// struct sigaction: handler (SIG_IGN is 1), flags, restorer, mask
	m.Call(note, true, 0, unix.SYS_RT_SIGACTION, o.number, m.Words(1, 0, 0, 0), 0, 8)
}

// blockSignals restores the set of signals that the caller has blocked.
type blockSignals struct{ set uint64 }

func (o blockSignals) String() string { return fmt.Sprintf("block signals %#x", o.set) }

func (o blockSignals) encode(m *premain.Image, note string) {
	const setMask = 2
	m.Call(note, false, 0, unix.SYS_RT_SIGPROCMASK, setMask, m.Words(o.set), 0, 8)
}

// execute becomes the program.
type execute struct {
	path string
	argv []string
	env  []string
}

func (o execute) String() string { return "execute " + strings.Join(quoted(o.argv), " ") }

func (o execute) encode(m *premain.Image, note string) {
	m.Call(note, false, 0, unix.SYS_EXECVE, o.path, m.Strings(o.argv), m.Strings(o.env))
}

// become is execute for a process on the fast way, which has its own arguments and environment.
type become struct {
	path      string
	env, drop []string
}

func (o become) String() string { return "execute " + o.path + " with the caller's arguments" }

func (o become) encode(m *premain.Image, note string) { m.Program(note, o.path, o.env, o.drop) }

func quoted(words []string) []string {
	out := make([]string, len(words))
	for i, w := range words {
		if w == "" || strings.ContainsFunc(w, func(r rune) bool { return r <= ' ' || strings.ContainsRune(`'"\$&;|<>*?()[]#~`, r) }) {
			w = strconv.Quote(w)
		}
		out[i] = w
	}
	return out
}
