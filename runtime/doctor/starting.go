// SPDX-License-Identifier: MIT

package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"glick.org/glick/bundle"
	"glick.org/glick/runtime/launch"
)

// Settings of the kernel that forbid namespaces.
const (
	maxNamespaces     = "user/max_user_namespaces"
	debianNamespaces  = "kernel/unprivileged_userns_clone" // Debian's and Arch's own
	appArmorRestricts = "kernel/apparmor_restrict_unprivileged_userns"
)

// settings is the folder of the kernel's settings. Tests have others.
var settings = "/proc/sys"

// setting is a value of the kernel's settings, "" when there is none of the name.
func setting(name string) string { return readLine(filepath.Join(settings, name)) }

// readLine is the content of a small file of the kernel's, without white space at its ends; "" when there is none.
func readLine(name string) string {
	f, err := os.Open(name)
	if err != nil {
		return ""
	}
	defer f.Close()
	b, _ := io.ReadAll(io.LimitReader(f, 64<<10))
	return strings.TrimSpace(string(b))
}

// checkKernel knows the versions of things that cannot be tried without harm.
func checkKernel(context.Context, *host) Check {
	release := readLine("/proc/sys/kernel/osrelease")
	major, minor, ok := parseRelease(release)
	switch {
	case !ok:
		return Check{State: Unknown, Detail: fmt.Sprintf("The kernel calls itself %q.", release), Used: "Nothing depends on it alone."}
	case major < 6 || major == 6 && minor < 9:
		return Check{State: Degraded, Detail: "This is Linux " + release + ", which cannot ask again what a FUSE server was asked (6.9 can).",
			Used: "When the session service ends by accident, applications that read at that moment may fail.", Mend: "Use Linux 6.9 or newer."}
	}
	return Check{State: OK, Detail: "This is Linux " + release + ".", Used: "A new session service can take over the files of running applications."}
}

func parseRelease(s string) (major, minor int, ok bool) {
	first, rest, _ := strings.Cut(s, ".")
	end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if end >= 0 {
		rest = rest[:end]
	}
	major, err := strconv.Atoi(first)
	minor, err2 := strconv.Atoi(rest)
	return major, minor, err == nil && err2 == nil
}

// containerKind names the kind of container that this process is in, "" for none. Each kind leaves a mark of its own.
func containerKind() string {
	if name := readLine("/run/systemd/container"); name != "" {
		return name
	}
	for _, mark := range []struct{ file, name string }{{"/.flatpak-info", "flatpak"}, {"/run/.containerenv", "podman"}, {"/.dockerenv", "docker"}} {
		if _, err := os.Lstat(mark.file); err == nil {
			return mark.name
		}
	}
	if os.Getenv("SNAP") != "" && os.Getenv("SNAP_NAME") != "" {
		return "snap"
	}
	return os.Getenv("container") // systemd-nspawn, lxc and others set it
}

// checkContainer comes after what a container may forbid.
func checkContainer(_ context.Context, h *host) Check {
	kind := containerKind()
	if kind == "" {
		return Check{State: OK, Detail: "This is no container, or it does not show.", Used: "Nothing is kept from Glick by one."}
	}
	for _, id := range []string{IDNamespaces, IDFuseDevice, IDFuseMount, IDOverlay} {
		if h.earlier(id).State == Missing {
			return Check{State: Degraded, Detail: "This is a container (" + kind + "), which may be why something is missing.",
				Used: "What it keeps from programs, it keeps from Glick.", Mend: "See what is missing above, or use Glick outside of it."}
		}
	}
	return Check{State: OK, Detail: "This is a container (" + kind + "), and lets Glick work.", Used: "Nothing is kept from Glick by it."}
}

func checkStub(ctx context.Context, _ *host) Check {
	const used = "Every bundle begins with it, and \"glick run\" and menu entries start bundles with it."
	const mend = "Install all of Glick again."
	path, err := launch.StubPath(launch.Arch())
	if err != nil {
		return Check{State: Missing, Detail: "The program that starts bundles is not installed.",
			Used: "Only bundle files that are executed by themselves can start.", Mend: mend, Err: err}
	}
	if err := unix.Access(path, unix.X_OK); err != nil {
		return Check{State: Missing, Detail: path + " cannot be executed.",
			Used: "Only bundle files that are executed by themselves can start.", Mend: mend, Err: err}
	}
	for _, arch := range []string{"x86_64", "aarch64"} {
		if _, err := launch.StubPath(arch); err != nil {
			return Check{State: Degraded, Detail: path + " is there, but not the one for " + arch + ".", Used: "Bundles for " + arch + " cannot be built here.",
				Mend: mend, Err: err}
		}
	}
	return Check{State: OK, Detail: path + " is there.", Used: used}
}

func checkNamespaceLimits(context.Context, *host) Check {
	const used = "Applications cannot have a view of their own."
	if setting(maxNamespaces) == "0" {
		return Check{State: Missing, Detail: "The setting user.max_user_namespaces is 0.", Used: used,
			Mend: "As root: sysctl user.max_user_namespaces=10000"}
	}
	if setting(debianNamespaces) == "0" {
		return Check{State: Missing, Detail: "The setting kernel.unprivileged_userns_clone is 0.", Used: used,
			Mend: "As root: sysctl kernel.unprivileged_userns_clone=1"}
	}
	if _, err := os.Stat("/proc/self/ns/user"); err != nil {
		return Check{State: Missing, Detail: "This kernel has no user namespaces.", Used: used, Mend: "Use a kernel with CONFIG_USER_NS.", Err: err}
	}
	return Check{State: OK, Detail: "The kernel's settings allow user namespaces.", Used: "Applications can have a view of their own."}
}

// checkNamespaces makes the namespaces that an instance has.
func checkNamespaces(ctx context.Context, h *host) Check {
	stub, err := launch.StubPath(launch.Arch())
	if err != nil {
		return tryWithoutStub(ctx)
	}
	switch err := launch.Try(ctx, stub, launch.TryView); {
	case err == nil && !launch.NeedsUserNamespace():
		return Check{State: OK, Detail: "This process may mount as it is and needs no user namespace; a mount namespace works.",
			Used: "Each application has a view of its own, in which its files are at their prefix."}
	case err == nil:
		return Check{State: OK, Detail: "A user namespace with mounts of its own works.",
			Used: "Each application has a view of its own, in which its files are at their prefix."}
	case errors.Is(err, launch.ErrStub):
		return Check{State: Unknown, Detail: "It cannot be tried: " + err.Error() + ".", Used: "Nothing is known.", Mend: "Install all of Glick again.", Err: err}
	default:
		return Check{State: Missing, Detail: sentence(err), Used: "Applications get no view of their own: their files are at /proc/self/fd/1023.",
			Mend: mendNamespaces(err), Err: err}
	}
}

// tryWithoutStub makes a namespace in a child of this program, and a mount, without looking further.
func tryWithoutStub(ctx context.Context) Check {
	cmd := exec.CommandContext(ctx, "/proc/self/exe", "--version")
	cmd.Env = []string{}
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS}
	if launch.NeedsUserNamespace() {
		cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Geteuid(), HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getegid(), HostID: os.Getegid(), Size: 1}}
	}
	if err := cmd.Start(); err != nil {
		return Check{State: Missing, Detail: sentence(fmt.Errorf("a new user namespace cannot be made: %w", errnoOf(err))),
			Used: "Applications get no view of their own.", Mend: mendNamespaces(err), Err: err}
	}
	_ = cmd.Wait() // what it says does not matter
	return Check{State: OK, Detail: "A user namespace works.", Used: "Bundle files that are executed by themselves have a view of their own."}
}

func errnoOf(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}

// mendNamespaces is what can be done when the kernel refuses to make namespaces.
func mendNamespaces(err error) string {
	if hint := launch.Hint(err); hint != "" {
		return sentenceText(hint)
	}
	if !errors.Is(err, syscall.EPERM) && !errors.Is(err, syscall.EACCES) {
		return ""
	}
	switch kind := containerKind(); {
	case kind == "docker" || kind == "podman":
		return "Start the container with --security-opt seccomp=unconfined, or with a filter that allows unshare and mount."
	case kind != "":
		return "Let the container have user namespaces, or use Glick outside of it."
	case inChroot():
		return "A chroot cannot have user namespaces: enter it with pivot_root, or with bwrap or systemd-nspawn."
	case filtered():
		return "A system call filter is on: whatever has started this session would have to allow unshare and mount."
	}
	return "Ask the administrator which security module forbids it."
}

// inChroot says whether the root folder is not where a mount is, which it is for all but a chroot. It may miss one.
func inChroot() bool {
	for line := range strings.Lines(readLine("/proc/self/mountinfo")) {
		if fields := strings.Fields(line); len(fields) > 4 && fields[4] == "/" {
			return false
		}
	}
	return true
}

// filtered says whether a seccomp filter is on this process, see proc_pid_status(5).
func filtered() bool {
	for line := range strings.Lines(readLine("/proc/self/status")) {
		if value, ok := strings.CutPrefix(line, "Seccomp:"); ok {
			return strings.TrimSpace(value) == "2"
		}
	}
	return false
}

// checkAppArmor tells apart the stub program, for which there may be a profile, and bundles, for which there is none.
func checkAppArmor(ctx context.Context, h *host) Check {
	if setting(appArmorRestricts) != "1" || !launch.NeedsUserNamespace() {
		return Check{State: OK, Detail: "AppArmor does not restrict user namespaces here.", Used: "No profile is needed."}
	}
	if !h.works(IDNamespaces) {
		return judgeAppArmor(false, nil)
	}
	return judgeAppArmor(true, tryAsBundle(ctx))
}

// judgeAppArmor says what it means, where AppArmor restricts namespaces, that the stub program can have them or not, and
// that a bundle can.
func judgeAppArmor(stub bool, asBundle error) Check {
	switch {
	case !stub:
		return Check{State: Missing, Detail: "AppArmor restricts user namespaces, and no profile allows them to Glick.",
			Used: "Applications get no view of their own.", Mend: mendAppArmor()}
	case errors.Is(asBundle, launch.ErrStub):
		return Check{State: Unknown, Detail: "AppArmor restricts user namespaces, but not for Glick's own program; bundles could not be tried.",
			Used: "\"glick run\" and menu entries start bundles.", Err: asBundle}
	case asBundle != nil:
		return Check{State: Degraded, Detail: "AppArmor allows user namespaces to Glick, but not to bundle files that are executed by themselves.",
			Used: "Only \"glick run\", the file manager and the menu start bundles with a view of their own.",
			Mend: "Start a bundle file with: glick run FILE", Err: asBundle}
	}
	return Check{State: OK, Detail: "AppArmor restricts user namespaces, but not Glick's.", Used: "No other profile is needed."}
}

// mendAppArmor depends on whether the profile is installed and only wants loading.
func mendAppArmor() string {
	const profile = "/etc/apparmor.d/glick"
	if _, err := os.Stat(profile); err == nil {
		return "As root: apparmor_parser -r " + profile
	}
	return "Install Glick's AppArmor profile as " + profile + ", and load it. For all programs at once, as root: sysctl kernel.apparmor_restrict_unprivileged_userns=0"
}

// tryAsBundle tries a view with a copy of the stub program, which no profile knows, as none knows a bundle.
func tryAsBundle(ctx context.Context) error {
	path, err := launch.StubPath(launch.Arch())
	if err != nil {
		return fmt.Errorf("%w: %w", launch.ErrStub, err)
	}
	stub, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("%w: %w", launch.ErrStub, err)
	}
	defer stub.Close()
	fd, err := unix.MemfdCreate("glick-stub", unix.MFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("%w: %w", launch.ErrStub, err)
	}
	file := os.NewFile(uintptr(fd), "stub")
	defer file.Close()
	if _, err := io.Copy(file, stub); err != nil {
		return fmt.Errorf("%w: %w", launch.ErrStub, err)
	}
	return launch.Try(ctx, fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), fd), launch.TryView)
}

func checkSeccomp(_ context.Context, h *host) Check {
	namespaces := h.earlier(IDNamespaces)
	switch {
	case !filtered():
		return Check{State: OK, Detail: "No system call filter is on this process.", Used: "Nothing is kept from Glick by one."}
	case namespaces.State == Missing && errors.Is(namespaces.Err, syscall.EPERM) && h.works(IDNamespaceLimits) && h.works(IDAppArmor):
		return Check{State: Missing, Detail: "A system call filter is on this process, and namespaces are refused although the settings allow them.",
			Used: "Applications get no view of their own.", Mend: mendNamespaces(namespaces.Err)}
	}
	return Check{State: OK, Detail: "A system call filter is on this process, and lets Glick work.", Used: "Nothing is kept from Glick by it."}
}

// checkPrefix looks at the folder that almost all bundles appear at.
func checkPrefix(context.Context, *host) Check {
	info, err := os.Stat(bundle.DefaultPrefix)
	switch {
	case err == nil && info.IsDir():
		return Check{State: OK, Detail: "The folder " + bundle.DefaultPrefix + " is there.", Used: "An application's files are mounted on it, for its own processes."}
	case err == nil:
		return Check{State: Missing, Detail: bundle.DefaultPrefix + " is not a folder.", Used: "Bundles with this prefix cannot be started.",
			Mend: "As root: move it away, and mkdir " + bundle.DefaultPrefix}
	}
	return Check{State: Degraded, Detail: "There is no folder " + bundle.DefaultPrefix + ".",
		Used: "Each start makes one, for the application only, which takes a little longer.", Mend: "As root: mkdir " + bundle.DefaultPrefix, Err: plain(err)}
}

func checkFuseDevice(context.Context, *host) Check {
	err := launch.CheckFuse()
	if err == nil {
		return Check{State: OK, Detail: "/dev/fuse can be opened.", Used: "Files are read from bundles when they are needed."}
	}
	mend := sentenceText(launch.Hint(err))
	switch containerKind() {
	case "docker", "podman":
		mend = "Start the container with --device /dev/fuse."
	case "flatpak", "snap":
		mend = "Use Glick outside of the sandbox."
	}
	return Check{State: Missing, Detail: sentence(err), Used: "The files of bundles are unpacked into a cache before they start.", Mend: mend, Err: err}
}

// checkFuseMount mounts as an instance does, and takes it down.
func checkFuseMount(ctx context.Context, h *host) Check {
	const instead = "The files of bundles are unpacked into a cache before they start."
	if !h.works(IDFuseDevice) {
		return Check{State: Missing, Detail: "It needs /dev/fuse.", Used: instead}
	}
	if s := h.earlier(IDNamespaces).State; s == Missing {
		return Check{State: Unknown, Detail: "It cannot be tried without namespaces.", Used: "Only fusermount3 can mount."}
	}
	stub, err := launch.StubPath(launch.Arch())
	if err != nil {
		return Check{State: Unknown, Detail: "It cannot be tried without the stub program.", Used: "Nothing is known.", Err: err}
	}
	switch err := launch.Try(ctx, stub, launch.TryFuse); {
	case err == nil:
		return Check{State: OK, Detail: "A FUSE file system can be mounted in a namespace.", Used: "A bundle can serve its own files, with nothing installed."}
	case errors.Is(err, launch.ErrStub):
		return Check{State: Unknown, Detail: "It cannot be tried: " + err.Error() + ".", Used: "Nothing is known.", Err: err}
	default:
		mend := launch.Hint(err)
		if kernel := h.earlier(IDKernel); mend == "" && kernel.State == Degraded {
			mend = "use Linux 4.18 or newer"
		}
		return Check{State: Missing, Detail: sentence(err), Used: instead, Mend: sentenceText(mend), Err: err}
	}
}

// checkFusermount looks for the program that mounts for the session service, which is in no namespace of its own.
func checkFusermount(ctx context.Context, h *host) Check {
	const without = "The session service cannot serve the files; each bundle serves its own."
	if !launch.NeedsUserNamespace() {
		return Check{State: OK, Detail: "This process may mount as it is and does not need it.", Used: "The session service mounts by itself."}
	}
	var path string
	var err error
	for _, name := range []string{"fusermount3", "fusermount"} {
		if path, err = exec.LookPath(name); err == nil {
			break
		}
	}
	if err != nil {
		return Check{State: Missing, Detail: "There is no program fusermount3.", Used: without, Mend: "Install the package fuse3.", Err: err}
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	if err := mayRaise(path); err != nil {
		return Check{State: Missing, Detail: sentence(err), Used: without, Mend: mendRaise(err, path), Err: err}
	}
	if out, err := exec.CommandContext(ctx, path, "-V").Output(); err != nil {
		return Check{State: Missing, Detail: sentence(fmt.Errorf("%s does not work: %w", path, err)), Used: without, Mend: "Install the package fuse3 again.", Err: err}
	} else if version := firstLine(string(out)); version != "" {
		return Check{State: OK, Detail: path + " is there (" + version + ").", Used: "The session service mounts with it."}
	}
	return Check{State: OK, Detail: path + " is there.", Used: "The session service mounts with it."}
}

var (
	errNotSetuid   = errors.New("is not installed setuid root")
	errNoSetuid    = errors.New("is in a file system that is mounted nosuid")
	errNoPrivilege = errors.New("cannot become root, as this process may gain no privileges")
	errForeignRoot = errors.New("belongs to a root that is not the one of this namespace")
)

// mayRaise says whether a program that this process executes becomes root.
func mayRaise(path string) error {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return fmt.Errorf("%s cannot be examined: %w", path, err)
	}
	var fs unix.Statfs_t
	fsErr := unix.Statfs(path, &fs)
	// Of several obstacles the first is the one to look at.
	noNew, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	switch {
	case err == nil && noNew == 1:
		return fmt.Errorf("%s %w", path, errNoPrivilege)
	case strconv.FormatUint(uint64(st.Uid), 10) == readLine("/proc/sys/fs/overflowuid") && st.Mode&unix.S_ISUID != 0:
		return fmt.Errorf("%s %w", path, errForeignRoot)
	case fsErr == nil && fs.Flags&unix.ST_NOSUID != 0:
		return fmt.Errorf("%s %w", path, errNoSetuid)
	case st.Uid != 0 || st.Mode&unix.S_ISUID == 0:
		return fmt.Errorf("%s %w", path, errNotSetuid)
	}
	return nil
}

func mendRaise(err error, path string) string {
	switch {
	case errors.Is(err, errNotSetuid):
		return "As root: chown root " + path + " && chmod u+s " + path
	case errors.Is(err, errNoSetuid):
		return "Mount that file system without nosuid."
	case errors.Is(err, errNoPrivilege), errors.Is(err, errForeignRoot):
		return "Start the session outside of the sandbox that forbids it."
	}
	return ""
}

func checkOverlay(ctx context.Context, h *host) Check {
	const without = "Bundles with the prefix /usr cannot be started; others need no overlay."
	stub, err := launch.StubPath(launch.Arch())
	switch {
	case h.earlier(IDNamespaces).State == Missing:
		return Check{State: Missing, Detail: "It needs namespaces.", Used: without}
	case err != nil:
		return Check{State: Unknown, Detail: "It cannot be tried without the stub program.", Used: "Nothing is known.", Err: err}
	}
	switch err := launch.Try(ctx, stub, launch.TryOverlay); {
	case err == nil:
		return Check{State: OK, Detail: "One folder can be laid over another in a namespace.", Used: "Bundles with the prefix /usr can be started."}
	case errors.Is(err, launch.ErrStub):
		return Check{State: Unknown, Detail: "It cannot be tried: " + err.Error() + ".", Used: "Nothing is known.", Err: err}
	default:
		mend := launch.Hint(err)
		if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.EPERM) && olderThan(5, 11) {
			mend = "use Linux 5.11 or newer"
		}
		return Check{State: Missing, Detail: sentence(err), Used: without, Mend: sentenceText(mend), Err: err}
	}
}

func olderThan(major, minor int) bool {
	a, b, ok := parseRelease(readLine("/proc/sys/kernel/osrelease"))
	return ok && (a < major || a == major && b < minor)
}

// plain is an error without the path that the sentence around it has already.
func plain(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// sentence makes a sentence of an error.
func sentence(err error) string { return sentenceText(err.Error()) }

// sentenceText makes a sentence of a text that is none; paths and commands at its beginning stay as they are.
func sentenceText(s string) string {
	if s = strings.TrimSpace(s); s == "" {
		return ""
	}
	if first, _, _ := strings.Cut(s, " "); s[0] >= 'a' && s[0] <= 'z' && !strings.ContainsAny(first, "/._-") {
		s = strings.ToUpper(s[:1]) + s[1:]
	}
	return strings.TrimSuffix(s, ".") + "."
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return strings.TrimSpace(line)
}
