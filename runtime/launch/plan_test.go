// SPDX-License-Identifier: MIT

package launch

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	"glick.org/glick/runtime/premain"
)

func TestCheckPrefix(t *testing.T) {
	for prefix, ok := range map[string]bool{
		"/opt/bundle": true, "/usr": true, "/a": true, "/devices": true,
		"/": false, "": false, "opt": false, "/opt/../etc": false, "/opt/": false, "/proc": false, "/proc/x": false, "/dev/shm": false,
		"/sys/fs": false, "/a\x00b": false, "//a": false,
	} {
		if err := CheckPrefix(prefix); (err == nil) != ok {
			t.Errorf("%q: %v", prefix, err)
		}
	}
}

func TestPlanPrints(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(dir+"/bin", 0o755); err != nil {
		t.Fatal(err)
	}
	p, err := Shell(dir, "/usr", []string{"/bin/true", "a b"})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"mount none on / (rec,slave)\n", "open " + dir + " as ", "mount glick on /usr", // or on /usr/bin, where something is mounted in /usr
		" type overlay (ro,nosuid,nodev,userxattr,lowerdir=/proc/self/fd/",
		"execute /bin/true \"a b\"\n"} {
		if !strings.Contains(p.String(), want) {
			t.Errorf("the plan has no %q:\n%s", want, p)
		}
	}
	if _, err := Shell(dir, "/proc/x", []string{"true"}); err == nil {
		t.Error("a prefix in /proc is accepted")
	}
	if _, err := Shell(dir+"/none", "/opt/bundle", []string{"true"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a folder that is not there: %v", err)
	}
}

func TestUnescape(t *testing.T) {
	for in, want := range map[string]string{`/a\040b`: "/a b", `/a\\`: `/a\\`, `/a\134`: `/a\`, `\04`: `\04`, `\999`: `\999`} {
		if got := unescape(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestEveryOperationCanFail(t *testing.T) {
	// The sentence for a failure is never empty and names what was to be started.
	ops := []operation{unshare{true}, unshare{false}, writeFile{"/proc/self/uid_map", "0 0 1"}, mount{source: "/a", target: "/b"},
		openAs{fuseDevice, 0, 9}, openAs{"/x", 0, 9}, createFile{"/x"}, makeDir{"/x"}, makeLink{"a", "/b"}, pivot{"/a", "/a/b"}, unmount{"/a"}, removeDir{"/a"},
		examine{"/a"}, changeDir{"/a"}, closeOnExec{3}, handOver{3, 4}, await{3}, ignoreSignal{1}, blockSignals{0}, execute{"/p", []string{"p"}, nil}}
	for _, op := range ops {
		p := &Plan{ops: []operation{op}, context: []string{"/file", "/opt/bundle", "/opt/bundle/bin/p"}}
		image, err := p.encode()
		if err != nil {
			t.Fatal(err)
		}
		for errno := syscall.Errno(1); errno < 134; errno++ {
			f := failWith(t, image, errno)
			err := diagnose(f)
			if err.Status < 125 || err.Status > 127 || !strings.HasPrefix(err.Error(), "cannot start /file: ") {
				t.Errorf("%T, %v: %d %v", op, errno, err.Status, err)
			}
		}
	}
}

// failWith writes into an image what the executor writes when its first operation fails.
func failWith(t *testing.T, image []byte, errno syscall.Errno) *premain.Failure {
	t.Helper()
	image = bytes.Clone(image)
	image[6*8] = 1
	image[7*8] = byte(errno)
	f, err := premain.ReadFailure(bytes.NewReader(image))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestErrorsDoNotMoveTheCursor(t *testing.T) {
	err := &StartError{What: "a\x1b[2Jb\n", Err: errors.New("c\rd")}
	if got := err.Error(); strings.ContainsAny(got, "\x1b\n\r") {
		t.Errorf("%q", got)
	}
}
