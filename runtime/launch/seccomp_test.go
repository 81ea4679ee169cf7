// SPDX-License-Identifier: MIT

package launch_test

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"glick.org/glick/runtime/launch"
)

// filteredName is the name under which the test program executes another one behind a system call filter, as containers and hardened hosts have it.
const filteredName = "test-filtered"

// filtered executes a program for which mounts are refused, and new namespaces, if these are what is to be refused.
func filtered(what string, argv []string) error {
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	const (
		load   = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		equal  = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		answer = unix.BPF_RET | unix.BPF_K
	)
	refused := []uint32{unix.SYS_SETNS, unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_FSOPEN, unix.SYS_OPEN_TREE, unix.SYS_MOVE_MOUNT}
	if what == "namespaces" {
		refused = append(refused, unix.SYS_UNSHARE)
	}
	filter := []unix.SockFilter{{Code: load, K: 0}}
	for i, number := range refused {
		filter = append(filter, unix.SockFilter{Code: equal, Jt: uint8(len(refused) - i), K: number})
	}
	filter = append(filter, unix.SockFilter{Code: answer, K: unix.SECCOMP_RET_ALLOW}, unix.SockFilter{Code: answer, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)})
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0); err != nil {
		return fmt.Errorf("cannot filter system calls: %w", err)
	}
	return unix.Exec(argv[0], argv, os.Environ())
}

func TestSystemCallFilter(t *testing.T) {
	file := makeBundle(t, map[string]string{"share/text": "content"}, nil)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	test := func(t *testing.T, w way, what string) {
		home := folder(t)
		t.Cleanup(func() { exec.Command("chmod", "-R", "u+w", home).Run() })
		w.env = append(slices.Clone(w.env), "HOME="+home)
		for range 2 { // the second time everything is unpacked
			out, messages, status := finish(t, command(w, self, filteredName, what, file, "7", "a b"))
			if status != 7 || messages != "" {
				t.Fatalf("status %d: %q", status, messages)
			}
			s := decode(t, out)
			if want := []string{"/proc/self/fd/1023/bin/" + reporter, "7", "a b"}; !slices.Equal(s.Args, want) {
				t.Errorf("arguments %q, want %q", s.Args, want)
			}
		}
		w.env = slices.DeleteFunc(w.env, func(v string) bool { return strings.HasPrefix(v, "HOME=") || strings.HasPrefix(v, "XDG_RUNTIME_DIR=") })
		out, messages, status := finish(t, command(w, self, filteredName, what, file))
		if status != 125 || out != "" || !strings.Contains(messages, "no folder to unpack it into") {
			t.Errorf("without a place to unpack: status %d: %q", status, messages)
		}
	}
	// With mounts alone refused it is as where AppArmor takes the capabilities away that a new user namespace gives.
	for _, what := range []string{"namespaces", "mounts"} {
		t.Run(what+", self", func(t *testing.T) { test(t, way{name: "self"}, what) })
		t.Run(what+", service", func(t *testing.T) { test(t, service(t, launch.Answer), what) })
	}
}
