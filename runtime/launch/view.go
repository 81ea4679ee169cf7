// SPDX-License-Identifier: MIT

package launch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// view says what a process shall see.
type view struct {
	prefix string // absolute; where the tree shall appear
	tree   string // absolute path of a folder with the tree; "" when device is its file system
	device int    // number for a descriptor of /dev/fuse, or -1 for none
	socket int    // on which to send device, or -1
	cwd    string // absolute path of the working folder, "" when it has none

	// list returns what is in a folder of the tree, given by its path in it ("" for the root).
	list func(folder string) ([]entry, error)
}

// entry is something in a folder.
type entry struct {
	name string
	kind fs.FileMode // type bits
	link string      // target of a symbolic link
}

// maxEntries bounds how many entries of a folder are bound one by one into a new one.
const maxEntries = 2048

// systemFolders must stay what they are: a program without them cannot work.
var systemFolders = []string{"/", "/proc", "/sys", "/dev"}

// CheckPrefix says whether a tree can be shown at a path.
func CheckPrefix(prefix string) error {
	if !filepath.IsAbs(prefix) || filepath.Clean(prefix) != prefix || strings.ContainsRune(prefix, 0) {
		return fmt.Errorf("the prefix %q is not a clean absolute path", prefix)
	}
	for _, s := range systemFolders {
		if prefix == s || s != "/" && strings.HasPrefix(prefix, s+"/") {
			return fmt.Errorf("the prefix cannot be %s: that belongs to the system", prefix)
		}
	}
	return nil
}

// numbers reserves descriptor numbers for a plan: files stay open under them until the plan is executed, so that nothing
// else takes them.
type numbers struct {
	held  []int
	given []int // numbers that another process has reserved, for its own use
	fixed bool  // there are no others than those
}

func (n *numbers) reserve() (int, error) {
	if n.fixed {
		if len(n.given) == 0 {
			return -1, errors.New("the plan needs more descriptors than were reserved for it")
		}
		fd := n.given[0]
		n.given = n.given[1:]
		return fd, nil
	}
	fd, err := unix.Open("/", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("cannot reserve a descriptor: %w", err)
	}
	n.held = append(n.held, fd)
	return fd, nil
}

func (n *numbers) release() {
	for _, fd := range n.held {
		unix.Close(fd)
	}
	n.held = nil
}

func fdPath(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// namespaces plans a process's own mount table, in which it may mount.
func (p *Plan) namespaces() {
	// Who may mount anyway keeps all other rights as well: in a user namespace they would be gone.
	user := !mayMount()
	p.add(unshare{user})
	if user {
		uid, gid := os.Geteuid(), os.Getegid()
		p.add(
			writeFile{"/proc/self/setgroups", "deny"},
			writeFile{"/proc/self/uid_map", fmt.Sprintf("%d %d 1", uid, uid)},
			writeFile{"/proc/self/gid_map", fmt.Sprintf("%d %d 1", gid, gid)},
		)
	}
	// What is mounted on the host later shall be seen here; nothing that is mounted here shall be seen there.
	p.add(mount{target: "/", flags: unix.MS_REC | unix.MS_SLAVE})
}

// mayMount says whether the process has CAP_SYS_ADMIN.
func mayMount() bool {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&head, &data[0]); err != nil {
		return false
	}
	return data[0].Effective&(1<<unix.CAP_SYS_ADMIN) != 0
}

// show plans the mounts of a view.
func (p *Plan) show(v view, n *numbers) error {
	if err := CheckPrefix(v.prefix); err != nil {
		return err
	}
	p.namespaces()
	if v.prefix == "/usr" {
		return p.overlay(v, n)
	}
	covered, err := p.place(v.prefix, n)
	if err != nil {
		return err
	}
	p.mountTree(v)
	p.enterAgain(v.cwd, covered)
	return nil
}

// place plans that the prefix exists and can be mounted on. It returns the folder under which names may now mean other files.
func (p *Plan) place(prefix string, n *numbers) (covered string, err error) {
	info, err := os.Stat(prefix)
	switch {
	case err == nil && !info.IsDir():
		return "", fmt.Errorf("the prefix %s is not a folder on this computer", prefix)
	case err == nil:
		return p.private(filepath.Dir(prefix)), nil
	case !errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("cannot examine the prefix %s: %w", prefix, err)
	}
	ancestor := filepath.Dir(prefix)
	for {
		info, err := os.Stat(ancestor)
		if err == nil && !info.IsDir() {
			return "", fmt.Errorf("cannot make the prefix %s: %s is not a folder", prefix, ancestor)
		}
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("cannot examine %s: %w", ancestor, err)
		}
		ancestor = filepath.Dir(ancestor)
	}
	if ancestor == "/" {
		return "/", p.newRoot(prefix)
	}
	covered = p.private(filepath.Dir(ancestor))
	if covered == "" {
		covered = ancestor
	}
	return covered, p.copyFolder(ancestor, strings.TrimPrefix(prefix, ancestor+"/"), n)
}

// private plans that mounts on entries of a folder are no business of the host's: otherwise mounting and unmounting
// something on the prefix there would take our mount away here. It returns the folder, or "" when it is the root, which
// must stay connected to the host for later mounts to be seen.
func (p *Plan) private(dir string) string {
	if dir == "/" {
		return ""
	}
	p.add(
		mount{source: dir, target: dir, flags: unix.MS_BIND | unix.MS_REC},
		mount{target: dir, flags: unix.MS_PRIVATE},
	)
	return dir
}

// copyFolder plans an empty file system on a folder, with all that was in the folder, and the folder extra besides.
func (p *Plan) copyFolder(dir, extra string, n *numbers) error {
	entries, err := listAround(dir, extra)
	if err != nil {
		return err
	}
	fd, err := n.reserve()
	if err != nil {
		return err
	}
	// What is covered can then be reached by its descriptor.
	p.add(openAs{dir, unix.O_PATH | unix.O_DIRECTORY, fd}, emptyFolder(dir))
	p.bindBack(entries, fdPath(fd), dir)
	p.complete(dir, extra)
	return nil
}

// newRoot plans another root folder, because a folder is missing in the present one.
func (p *Plan) newRoot(prefix string) error {
	// Any folder will do to begin it on.
	const begin, old = "/tmp", "/.glick-old-root"
	if info, err := os.Stat(begin); err != nil || !info.IsDir() {
		return fmt.Errorf("the prefix %s is missing on this computer and cannot be prepared without %s; please create it", prefix, begin)
	}
	extra := strings.TrimPrefix(prefix, "/")
	entries, err := listAround("/", extra)
	if err != nil {
		return err
	}
	p.add(emptyFolder(begin), makeDir{begin + old}, pivot{begin, begin + old}, changeDir{"/"})
	p.bindBack(entries, old, "/")
	p.add(unmount{old}, removeDir{old})
	p.complete("/", extra)
	return nil
}

// listAround lists a folder in which another one is missing.
func listAround(dir, missing string) ([]entry, error) {
	entries, err := listFolder(dir)
	if err != nil {
		return nil, fmt.Errorf("the folder %s is missing in %s: %w", missing, dir, err)
	}
	if len(entries) > maxEntries {
		return nil, fmt.Errorf("the folder %s is missing in %s; please create it", missing, dir)
	}
	return entries, nil
}

// listFolder lists a folder of the host.
func listFolder(dir string) ([]entry, error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot read a folder: %w", err)
	}
	entries := make([]entry, len(files))
	for i, f := range files {
		entries[i] = entry{name: f.Name(), kind: f.Type()}
		if f.Type()&fs.ModeSymlink != 0 {
			if entries[i].link, err = os.Readlink(filepath.Join(dir, f.Name())); err != nil {
				return nil, fmt.Errorf("cannot read a link: %w", err)
			}
		}
	}
	return entries, nil
}

func emptyFolder(dir string) mount {
	return mount{"tmpfs", dir, "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=0755,size=1m"}
}

// bindBack plans that the entries of the folder that is at from then appear at there.
func (p *Plan) bindBack(entries []entry, from, there string) {
	for _, e := range entries {
		old, here := from+"/"+e.name, filepath.Join(there, e.name)
		switch {
		case e.kind&fs.ModeSymlink != 0:
			p.add(makeLink{e.link, here})
		case e.kind.IsDir():
			p.add(makeDir{here}, mount{source: old, target: here, flags: unix.MS_BIND | unix.MS_REC})
		default:
			p.add(createFile{here}, mount{source: old, target: here, flags: unix.MS_BIND})
		}
	}
}

// complete plans the missing folder, after which nobody may take the new file system for a place to keep files in.
func (p *Plan) complete(dir, extra string) {
	made := dir
	for part := range strings.SplitSeq(extra, "/") {
		made = filepath.Join(made, part)
		p.add(makeDir{made})
	}
	p.seal(dir)
}

// seal plans that nothing can be written to the file system of emptyFolder.
func (p *Plan) seal(dir string) {
	p.add(mount{target: dir, flags: unix.MS_REMOUNT | unix.MS_BIND | unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV})
}

// mountTree plans the tree on the prefix, which is there.
func (p *Plan) mountTree(v view) {
	if v.device >= 0 {
		p.fuse(v)
	}
	if v.tree != "" {
		p.add(mount{source: v.tree, target: v.prefix, flags: unix.MS_BIND | unix.MS_REC})
	}
	p.taken(v)
}

// fuse plans a FUSE mount on the prefix, whose descriptor somebody else gets: to serve it, or, when something else is
// mounted over it, to learn from it when this namespace has ended.
func (p *Plan) fuse(v view) {
	data := fmt.Sprintf("fd=%d,rootmode=40755,user_id=%d,group_id=%d", v.device, os.Geteuid(), os.Getegid())
	if os.Geteuid() == 0 {
		data += ",allow_other" // root's daemons run as other users
	}
	p.add(
		openAs{fuseDevice, unix.O_RDWR, v.device},
		mount{"glick", v.prefix, "fuse.glick", unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV, data},
		handOver{v.socket, v.device},
	)
	if v.tree == "" {
		// An overlay takes the mode of its root from what the kernel knows already.
		p.add(await{v.socket}, examine{v.prefix})
	}
}

// taken plans to wait until the service has taken over the descriptor of fuse. While it does so, the files are put in place.
func (p *Plan) taken(v view) {
	if v.device >= 0 && v.tree != "" {
		p.add(await{v.socket})
	}
}

// enterAgain plans that a working folder below dir is the one that has its name now.
func (p *Plan) enterAgain(cwd, dir string) {
	if cwd != "" && dir != "" && (cwd == dir || dir == "/" || strings.HasPrefix(cwd, dir+"/")) {
		p.add(changeDir{cwd})
	}
}

// unescape undoes the octal escapes of the mount table.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if v, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(v))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
