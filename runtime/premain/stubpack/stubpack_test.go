// SPDX-License-Identifier: MIT

package stubpack_test

import (
	"bytes"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"glick.org/glick/runtime/premain/stubpack"
)

// link links the stub, or a program like it, as the build does.
func link(t *testing.T, arch, pkg string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "linked")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-w -E _rt0_glick", "-o", out, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH="+arch)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	raw, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

const stub = "glick.org/glick/cmd/glick-stub"

// TestPack packs the stub for each architecture, and lets Go code run in what this machine can execute.
func TestPack(t *testing.T) {
	for _, arch := range []string{"amd64", "arm64"} {
		t.Run(arch, func(t *testing.T) {
			raw := link(t, arch, stub)
			packed, err := stubpack.Pack(raw)
			if err != nil {
				t.Fatal(err)
			}
			again, err := stubpack.Pack(raw)
			if err != nil || !bytes.Equal(packed, again) {
				t.Errorf("packed twice it differs (%v)", err)
			}
			t.Logf("%d bytes become %d", len(raw), len(packed))
			if len(packed) > len(raw)*6/10 {
				t.Error("that is not small")
			}
			file, err := elf.NewFile(bytes.NewReader(packed))
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range file.Progs {
				if p.Flags&(elf.PF_W|elf.PF_X) == elf.PF_W|elf.PF_X {
					t.Errorf("what is at %#x can be written and executed", p.Vaddr)
				}
			}
			runner := []string{}
			if arch != runtime.GOARCH {
				emulator, err := exec.LookPath(map[string]string{"amd64": "qemu-x86_64-static", "arm64": "qemu-aarch64-static"}[arch])
				if err != nil {
					t.Skip("packed, but not executed: there is no emulator for it")
				}
				runner = append(runner, emulator)
			}
			program := filepath.Join(t.TempDir(), "packed")
			if err := os.WriteFile(program, packed, 0o755); err != nil {
				t.Fatal(err)
			}
			argv := append(runner, program)
			out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
			if err == nil || !strings.Contains(string(out), "no bundle file is given") {
				t.Errorf("it says %q (%v)", out, err)
			}
		})
	}
}

// TestRefused: what cannot be packed is refused, with the reason.
func TestRefused(t *testing.T) {
	raw := link(t, runtime.GOARCH, stub)
	for name, test := range map[string]struct {
		raw  []byte
		want string
	}{
		"text":     {[]byte("#!/bin/sh\n"), "cannot pack"},
		"packed":   {func() []byte { p, _ := stubpack.Pack(raw); return p }(), "no symbols"},
		"entry":    {link(t, runtime.GOARCH, "glick.org/glick/runtime/premain/stubpack/testdata/runtime"), "needs runtime."},
		"shortest": {nil, "cannot pack"},
	} {
		if _, err := stubpack.Pack(test.raw); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
