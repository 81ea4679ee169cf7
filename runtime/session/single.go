// SPDX-License-Identifier: MIT

package session

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"glick.org/glick/bundle"
	"glick.org/glick/runtime/bundlefs"
	"glick.org/glick/runtime/fuse"
)

// ServeOne serves one bundle to one instance, without a session service. It talks over a connected packet socket, whose
// descriptor it takes over: it says whether the bundle can be served, then gets the descriptor of the file system that the
// instance has mounted in its namespace, and serves it until the namespace's last process has ended.
func ServeOne(file *os.File, path string, socket int, log bundlefs.Logger) error {
	c, err := newConn(socket)
	if err != nil {
		return err
	}
	defer c.close()
	tree, err := openTree(file)
	if err != nil {
		return errors.Join(err, c.send(replyError, err.Error()))
	}
	if err := c.send(replyOK, ""); err != nil {
		return err
	}
	c.deadline(handshakePeriod)
	kind, _, device, err := c.receive()
	if err != nil {
		return fmt.Errorf("the instance has ended early: %w", err)
	}
	if device == nil {
		return errors.New("the instance has not sent its file system")
	}
	defer device.Close()
	if err := checkFuse(device); kind != messageFuse || err != nil {
		return errors.Join(errors.New("the instance has not sent its file system"), err)
	}
	fd, err := unix.FcntlInt(device.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	device.Close()
	files := bundlefs.NewSingle(tree, path, bundlefs.Options{Log: log})
	server, err := fuse.New(fd, files, log)
	if err != nil {
		unix.Close(fd)
		return err
	}
	if err := c.send(replyServing, ""); err != nil {
		return err
	}
	c.close()
	return server.Serve()
}

// openBundle finds out what bundle is in an open file.
func openBundle(file *os.File) (*bundle.Bundle, bundlefs.Key, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, bundlefs.Key{}, fmt.Errorf("cannot examine the bundle: %w", err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.Mode().IsRegular() {
		return nil, bundlefs.Key{}, bundle.ErrNotBundle
	}
	b, err := bundle.Read(file, info.Size())
	if err != nil {
		return nil, bundlefs.Key{}, err
	}
	return b, bundlefs.KeyOf(b, st.Dev, st.Ino), nil
}

// openTree reads a bundle's tree from an open file.
func openTree(file *os.File) (*bundle.Tree, error) {
	b, _, err := openBundle(file)
	if err != nil {
		return nil, err
	}
	return b.Tree()
}

// checkFuse says whether a descriptor is one of /dev/fuse.
func checkFuse(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	const fuseMajor, fuseMinor = 10, 229
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || info.Mode()&os.ModeCharDevice == 0 || unix.Major(st.Rdev) != fuseMajor || unix.Minor(st.Rdev) != fuseMinor {
		return errors.New("the descriptor is not one of /dev/fuse")
	}
	return nil
}
