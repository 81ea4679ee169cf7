// SPDX-License-Identifier: MIT

package launch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"glick.org/glick/bundle"
	"glick.org/glick/runtime/premain"
	"glick.org/glick/runtime/session"
)

const (
	fuseDevice = "/dev/fuse"
	self       = "/proc/self/exe"
)

// What the first argument of the stub says when it is to serve the files of a bundle that has no session service.
const (
	spawnMarker = "glick:spawn"
	serveMarker = "glick:serve"
)

// variables are set for a bundle's processes; nothing else of the environment is changed.
const (
	idVariable      = "BUNDLE_ID"
	versionVariable = "BUNDLE_VERSION"
	fileVariable    = "BUNDLE_FILE"
	prefixVariable  = "BUNDLE_PREFIX"
)

// Main is the stub program. It starts the bundle that it is the beginning of; or, when it is only a stub, the bundle file
// that its first argument names. It returns only when that could not be done; the error is a *[StartError] then.
func Main() error {
	if len(os.Args) == 0 {
		return &StartError{Status: StatusFailed, Err: errors.New("it was executed without any arguments")}
	}
	switch os.Args[0] {
	case premain.FailedMarker:
		return explain(os.Args)
	case premain.PlanMarker:
		return &StartError{Status: StatusFailed, Err: errors.New("the plan for it cannot be read")}
	case spawnMarker:
		return spawnServer(os.Args)
	case serveMarker:
		return serve(os.Args)
	}
	return start(os.Args[1:])
}

func start(args []string) error {
	file, b, err := openBundle(self)
	if errors.Is(err, bundle.ErrNotBundle) {
		if len(args) == 0 {
			return &StartError{Status: StatusFailed, Err: errors.New("no bundle file is given; use \"glick run FILE\"")}
		}
		name := args[0]
		args = args[1:]
		if file, b, err = openBundle(name); err != nil {
			return &StartError{Status: StatusFailed, What: name, Err: err}
		}
	} else if err != nil {
		return &StartError{Status: StatusFailed, What: os.Args[0], Err: err}
	}
	name, err := os.Readlink(fdPath(int(file.Fd())))
	if err != nil {
		return &StartError{Status: StatusFailed, What: file.Name(), Err: err}
	}
	m := b.Manifest()
	if m.Arch != Arch() {
		return &StartError{Status: StatusNotRunnable, What: name,
			Err: fmt.Errorf("%w: it needs %s, this computer is %s", bundle.ErrArch, m.Arch, Arch())}
	}
	p, n, err := planBundle(file, b, name, args)
	defer n.release()
	if err != nil {
		var already *StartError
		if errors.As(err, &already) {
			return err
		}
		return &StartError{Status: StatusFailed, What: name, Err: err}
	}
	return &StartError{Status: StatusFailed, What: name, Err: p.Run(self)}
}

func openBundle(name string) (*os.File, *bundle.Bundle, error) {
	// A named pipe must not stop us.
	file, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		var pathErr *fs.PathError
		if errors.As(err, &pathErr) {
			err = pathErr.Err
		}
		return nil, nil, fmt.Errorf("it cannot be opened: %w", err)
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = bundle.ErrNotBundle
	}
	var b *bundle.Bundle
	if err == nil {
		b, err = bundle.Read(file, info.Size())
	}
	if err != nil {
		file.Close()
		return nil, nil, err
	}
	return file, b, nil
}

// program finds out which program of a bundle to execute, when name is the one that is wished for: its path at the prefix.
func program(m *bundle.Manifest, name string) (string, error) {
	if name == "" {
		name = m.Exec
	}
	// Also the full path is understood.
	if rest, ok := strings.CutPrefix(name, m.Prefix+"/"); ok {
		name = rest
	}
	clean := path.Clean("/" + name)
	if name == "" || clean == "/" || path.IsAbs(name) || strings.Contains("/"+name+"/", "/../") {
		return "", &StartError{Status: StatusNoProgram, What: m.ID, Err: fmt.Errorf("%q is not the path of a program in the bundle", name)}
	}
	return m.Prefix + clean, nil
}

// planBundle plans how this process becomes a program of a bundle. The numbers are to be held until the plan runs.
func planBundle(file *os.File, b *bundle.Bundle, name string, args []string) (*Plan, *numbers, error) {
	m := b.Manifest()
	p, n := new(Plan), new(numbers)
	if err := CheckPrefix(m.Prefix); err != nil {
		return nil, n, err
	}
	prog, err := program(m, os.Getenv(ExecVariable))
	if err != nil {
		return nil, n, err
	}
	v := view{prefix: m.Prefix, socket: -1, list: listBundle(b)}
	v.cwd, _ = os.Getwd()
	if v.device, err = n.reserve(); err != nil {
		return nil, n, err
	}
	if err := checkFuseDevice(); err != nil {
		p, err := planUnpacked(b, name, prog, args, n, err)
		return p, n, err
	}
	var seenFrom string
	lease, err := session.Begin(file, name)
	if errors.Is(err, session.ErrNotRunning) && session.Activate() == nil {
		lease, err = session.Begin(file, name)
	}
	switch {
	case err == nil:
		v.socket, v.tree, seenFrom = lease.FD, lease.Folder, lease.Folder
	case errors.Is(err, session.ErrNotRunning):
		if v.socket, err = startServer(file, name); err != nil {
			return nil, n, err
		}
		// While the program lives, others of the same user find its files through it.
		seenFrom = "/proc/" + strconv.Itoa(os.Getpid()) + "/root" + m.Prefix
	default:
		return nil, n, err
	}
	if _, err := unix.FcntlInt(uintptr(v.socket), unix.F_SETFD, 0); err != nil {
		return nil, n, os.NewSyscallError("fcntl", err)
	}
	p.add(closeOnExec{v.socket})
	if err := p.show(v, n); err != nil {
		return nil, n, err
	}
	p.finish(prog, append([]string{prog}, args...), environment(variables(m, name, seenFrom)))
	p.context = append([]string{name, m.Prefix, prog}, args...)
	return p, n, nil
}

// Answer makes the plan for a process that has asked the session service for one: it is the image that package premain expects.
// The service's own view of the file system is that of the process.
func Answer(t *bundle.Tree, r session.Request) ([]byte, error) {
	m := t.Bundle().Manifest()
	if m.Arch != Arch() {
		return nil, fmt.Errorf("%w: it needs %s, this computer is %s", bundle.ErrArch, m.Arch, Arch())
	}
	prog, err := program(m, r.Exec)
	if err != nil {
		return nil, err
	}
	p, n := new(Plan), &numbers{given: r.Numbers, fixed: true}
	v := view{
		prefix: m.Prefix, tree: r.Tree, socket: r.Socket, cwd: r.Dir,
		list: func(folder string) ([]entry, error) { return listTree(t, folder) },
	}
	if v.device, err = n.reserve(); err != nil {
		return nil, err
	}
	if err := p.show(v, n); err != nil {
		return nil, err
	}
	p.add(become{prog, variables(m, r.File, r.Folder), replacedVariables})
	p.context = []string{r.File, m.Prefix, prog}
	return p.encode()
}

// variables are what a bundle's processes are told. Its files are seen by others at seenFrom.
func variables(m *bundle.Manifest, file, seenFrom string) []string {
	return []string{
		idVariable + "=" + m.ID,
		versionVariable + "=" + m.Version,
		fileVariable + "=" + file,
		prefixVariable + "=" + seenFrom,
	}
}

// replacedVariables are those of the caller that a bundle's processes do not see.
var replacedVariables = []string{ExecVariable, idVariable, versionVariable, fileVariable, prefixVariable}

// WithoutBundle is an environment without what the processes of bundles are told: for programs outside of them.
func WithoutBundle(env []string) []string {
	var out []string
	for _, kv := range env {
		if name, _, _ := strings.Cut(kv, "="); !slices.Contains(replacedVariables, name) {
			out = append(out, kv)
		}
	}
	return out
}

// finish plans the execution of a program in the state in which the caller has left this process.
func (p *Plan) finish(prog string, argv, env []string) {
	if ignored, blocked, known := premain.Signals(); known {
		for number := 1; number <= 64; number++ {
			if ignored&(1<<(number-1)) != 0 {
				p.add(ignoreSignal{number})
			}
		}
		p.add(blockSignals{blocked})
	}
	p.add(execute{prog, argv, env})
}

// environment is the caller's, with our own variables instead of those that it had.
func environment(ours []string) []string {
	return append(WithoutBundle(os.Environ()), ours...)
}

// checkFuseDevice finds the usual obstacles while they can still be explained.
func checkFuseDevice() error {
	f, err := os.OpenFile(fuseDevice, os.O_RDWR, 0)
	if err != nil {
		return fuseError(err)
	}
	return f.Close()
}

// startServer starts a process that serves a bundle's files to this instance only. It returns the socket to it.
//
// The server is no child of this process, because the program that this process becomes would be surprised by one; and it
// has nothing of its terminal and its files, so that nobody waits for it.
func startServer(file *os.File, name string) (int, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socketpair", err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "socket")
	defer theirs.Close()
	// A failure before anything was started must not leave the socket open.
	fail := func(err error) (int, error) {
		unix.Close(pair[0])
		return -1, err
	}
	if err := startDetached(spawnMarker, name, file, theirs); err != nil {
		return fail(err)
	}
	theirs.Close()
	limit := unix.NsecToTimeval(int64(20 * time.Second))
	if err := unix.SetsockoptTimeval(pair[0], unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit); err != nil {
		return fail(os.NewSyscallError("setsockopt", err))
	}
	buf := make([]byte, 4096)
	var size int
	for {
		if size, err = unix.Read(pair[0], buf); !errors.Is(err, unix.EINTR) {
			break
		}
	}
	switch {
	case err != nil:
		return fail(fmt.Errorf("its file service does not answer: %w", err))
	case size == 0:
		return fail(errors.New("its file service has ended early"))
	case buf[0] != 'K':
		return fail(errors.New(string(buf[1:size])))
	}
	return pair[0], nil
}

// startDetached executes this program again with another marker, and waits for it when it is the one that ends at once.
func startDetached(marker, name string, file, socket *os.File) error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("cannot start its file service: %w", err)
	}
	defer null.Close()
	process, err := os.StartProcess(self, []string{marker, name}, &os.ProcAttr{
		Dir: "/", Env: []string{}, Files: []*os.File{null, null, null, file, socket},
		Sys: &syscall.SysProcAttr{Setsid: marker == serveMarker},
	})
	if err != nil {
		return fmt.Errorf("cannot start its file service: %w", err)
	}
	if marker == serveMarker {
		return process.Release()
	}
	// When the caller ignores SIGCHLD there is nothing to wait for.
	if state, err := process.Wait(); err == nil && !state.Success() {
		return errors.New("cannot start its file service")
	}
	return nil
}

// The descriptors with which the file service of a single instance begins.
const (
	serverBundle = 3
	serverSocket = 4
)

func spawnServer(args []string) error {
	if len(args) != 2 {
		return &StartError{Status: StatusFailed, Err: errors.New("this is for Glick's own use")}
	}
	unix.CloseOnExec(serverBundle)
	unix.CloseOnExec(serverSocket)
	err := startDetached(serveMarker, args[1], os.NewFile(serverBundle, args[1]), os.NewFile(serverSocket, "socket"))
	if err != nil {
		return &StartError{Status: StatusFailed, What: args[1], Err: err}
	}
	return nil
}

func serve(args []string) error {
	if len(args) != 2 {
		return &StartError{Status: StatusFailed, Err: errors.New("this is for Glick's own use")}
	}
	unix.CloseOnExec(serverBundle)
	unix.CloseOnExec(serverSocket)
	if err := session.ServeOne(os.NewFile(serverBundle, args[1]), args[1], serverSocket, openSystemLog()); err != nil {
		return &StartError{Status: StatusFailed, What: args[1], Err: err}
	}
	return nil
}

// Shell plans a process in which a plain folder appears at a prefix, without a bundle: to build and to try against it. A
// command without a slash is looked for in PATH, and in the folder's own bin.
func Shell(dir, prefix string, argv []string) (*Plan, error) {
	if len(argv) == 0 {
		return nil, errors.New("there is no command to execute")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot find the folder: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot show the folder: %w", err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("cannot show %s: %w", dir, syscall.ENOTDIR)
	}
	p, n := new(Plan), new(numbers)
	v := view{prefix: prefix, tree: dir, device: -1, socket: -1, list: listPlain(dir)}
	v.cwd, _ = os.Getwd()
	if err := p.show(v, n); err != nil {
		n.release()
		return nil, err
	}
	prog := command(argv[0], dir, prefix, v.cwd)
	p.finish(prog, argv, environment([]string{prefixVariable + "=" + dir}))
	p.context = []string{prog, prefix, prog}
	return p, nil
}

// command finds a program as a shell does, for a process that sees the folder dir at the prefix.
func command(name, dir, prefix, cwd string) string {
	if strings.Contains(name, "/") {
		if filepath.IsAbs(name) {
			return name
		}
		return filepath.Join(cwd, name)
	}
	for _, folder := range append(filepath.SplitList(os.Getenv("PATH")), filepath.Join(prefix, "bin")) {
		if !filepath.IsAbs(folder) {
			continue
		}
		there := filepath.Join(folder, name)
		now := there
		if rest, ok := strings.CutPrefix(there, prefix+"/"); ok {
			now = filepath.Join(dir, rest)
		}
		if unix.Access(now, unix.X_OK) == nil {
			if info, err := os.Stat(now); err == nil && info.Mode().IsRegular() {
				return there
			}
		}
	}
	return filepath.Join(prefix, "bin", name)
}
