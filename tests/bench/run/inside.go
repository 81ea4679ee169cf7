// SPDX-License-Identifier: MIT

package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// insideName is the name of this program in bundles, where it is the one that reads.
const insideName = "bench-inside"

func inside(args []string) error {
	if len(args) < 2 {
		return errors.New("this is for the benchmark's own use")
	}
	switch args[0] {
	case "map":
		return mapFile(args[1])
	case "open":
		return openFiles(args[1])
	case "verify":
		return verifyFiles(args[1])
	case "overlay":
		return overlayAnd(args[1], args[2:])
	}
	return fmt.Errorf("%q is not understood", args[0])
}

// mapFile maps a file and touches all of it. For each line that it gets it says how many bytes its share of that memory is.
func mapFile(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	data, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	sum := byte(0)
	for i := 0; i < len(data); i += os.Getpagesize() {
		sum += data[i]
	}
	fmt.Println("mapped", sum)
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		smaps, err := os.ReadFile("/proc/self/smaps")
		if err != nil {
			return err
		}
		_, of, ok := strings.Cut(string(smaps), name+"\n")
		if !ok {
			return fmt.Errorf("%s is not in the list of mappings", name)
		}
		of, _, _ = strings.Cut(of, "VmFlags:")
		fmt.Println(sizes([]byte(of))["Pss"])
	}
	return nil
}

// openFiles opens all files of a list, reads a byte of each, says how many are open, and keeps them until its input ends.
func openFiles(list string) error {
	names, err := os.ReadFile(list)
	if err != nil {
		return err
	}
	var open []*os.File
	for line := range strings.Lines(string(names)) {
		f, err := os.Open(filepath.Join(filepath.Dir(list), strings.TrimSpace(line)))
		if err == nil {
			_, err = f.Read(make([]byte, 1))
		}
		if err != nil {
			fmt.Println("failed after", len(open), "files:", err)
			return nil
		}
		open = append(open, f)
	}
	fmt.Println(len(open))
	_, err = io.Copy(io.Discard, os.Stdin)
	runtime.KeepAlive(open)
	return err
}

// verified is what a verifying reader has seen.
type verified struct {
	Reads   int
	Bytes   int64
	Errors  int
	First   string  // error
	Longest float64 // seconds for one file
}

// giveUp is the number of errors after which a reader has seen enough.
const giveUp = 10

// verifyFiles reads the files of a list of digests in any order, again and again, until its input ends, and never from its page
// cache. Then it says what it has seen.
func verifyFiles(list string) error {
	text, err := os.ReadFile(list)
	if err != nil {
		return err
	}
	type file struct {
		name   string
		digest []byte
	}
	var files []file
	for line := range strings.Lines(string(text)) {
		digest, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		d, err := hex.DecodeString(digest)
		if err != nil {
			return err
		}
		files = append(files, file{filepath.Join(filepath.Dir(list), name), d})
	}
	stop := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(stop)
	}()
	fmt.Println("ready")
	var v verified
	buf := make([]byte, 128<<10)
	for v.Errors < giveUp {
		select {
		case <-stop:
			return json.NewEncoder(os.Stdout).Encode(v)
		default:
		}
		f := files[rand.IntN(len(files))]
		begin := time.Now()
		n, digest, err := digestUncached(f.name, buf)
		v.Longest = max(v.Longest, time.Since(begin).Seconds())
		v.Reads++
		v.Bytes += n
		if err == nil && !bytes.Equal(digest, f.digest) {
			err = fmt.Errorf("%s has wrong content", f.name)
		}
		if err != nil {
			v.Errors++
			if v.First == "" {
				v.First = err.Error()
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	return json.NewEncoder(os.Stdout).Encode(v)
}

// digestUncached reads a file after telling the kernel to forget what it has of it.
func digestUncached(name string, buf []byte) (int64, []byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, nil, err
	}
	defer f.Close()
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		return 0, nil, err
	}
	h := sha256.New()
	n, err := io.CopyBuffer(struct{ io.Writer }{h}, struct{ io.Reader }{f}, buf)
	return n, h.Sum(nil), err
}

// overlayAnd lays a tree over /usr, in the namespaces that it was started in, tells on descriptor 3 when it is ready, and becomes a
// program: what an installed program would be, without installing it.
func overlayAnd(tree string, argv []string) error {
	if len(argv) == 0 {
		return errors.New("a program is missing")
	}
	runtime.LockOSThread()
	if err := unix.Mount("overlay", "/usr", "overlay", unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, "userxattr,lowerdir="+tree+":/usr"); err != nil {
		return fmt.Errorf("cannot lay %s over /usr: %w", tree, err)
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl", err)
	}
	unix.CloseOnExec(readyFD)
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return err
	}
	if _, err := unix.Write(readyFD, []byte(strconv.FormatInt(now.Nano(), 10)+"\n")); err != nil {
		return err
	}
	return unix.Exec(argv[0], argv, os.Environ())
}

const readyFD = 3
