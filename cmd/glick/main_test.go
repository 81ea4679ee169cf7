// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"glick": main, "session-service": serveSession})
}

// stubText is a program that says how it was started, in the place of the real stub: these scripts are about files.
const stubText = `package main

import "os"

func main() {
	os.Stdout.WriteString("stub")
	for _, a := range os.Args[1:] {
		os.Stdout.WriteString(" " + a)
	}
	os.Stdout.WriteString("\n")
}
`

// TestScript runs the command line in testdata/script. In the scripts, $STUBS has a stub for both processors, and the commands are
//
//	png FILE SIZE          write a picture
//	status N glick ARG…    run glick and want that exit code
//	flip FILE TEXT         change a bit in the first place of the text in the file
//	truncate FILE N        cut a file to N bytes
//	appimage IMAGE FILE    put a squashfs image behind a program, as an AppImage of type 2 does
//	swap FILE OLD NEW      put the content of NEW where that of OLD is in the file; both have the same size
func TestScript(t *testing.T) {
	stubs := buildStubs(t)
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("STUBS", stubs)
			e.Setenv("GLICK_STUB_DIR", stubs)
			e.Setenv("HOME", filepath.Join(e.WorkDir, "home"))
			e.Setenv("XDG_RUNTIME_DIR", "")
			e.Setenv("LC_ALL", "C.UTF-8")
			return os.Mkdir(filepath.Join(e.WorkDir, "home"), 0o755)
		},
		Condition: func(name string) (bool, error) {
			if name == "root" {
				return os.Getuid() == 0, nil
			}
			return false, fmt.Errorf("unknown condition %q", name)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"png": writePNG, "status": wantStatus, "flip": flipBit, "truncate": truncate, "swap": swap, "appimage": appImage,
		},
	})
}

func buildStubs(t *testing.T) string {
	t.Helper()
	goCommand, err := exec.LookPath("go")
	if err != nil {
		t.Skip("no Go toolchain to build a stub with")
	}
	dir := t.TempDir()
	source := filepath.Join(dir, "stub.go")
	if err := os.WriteFile(source, []byte(stubText), 0o666); err != nil {
		t.Fatal(err)
	}
	for arch, goarch := range map[string]string{"x86_64": "amd64", "aarch64": "arm64"} {
		cmd := exec.Command(goCommand, "build", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(dir, "stub-"+arch), source)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+goarch, "GOFLAGS=", "GO111MODULE=off")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("cannot build the stub: %v\n%s", err, out)
		}
	}
	return dir
}

func writePNG(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: png FILE SIZE")
	}
	size, err := strconv.Atoi(args[1])
	ts.Check(err)
	p := image.NewNRGBA(image.Rect(0, 0, size, size))
	for i := range size {
		p.Set(i, i, color.NRGBA{R: 200, G: 30, B: 60, A: 255})
	}
	var out bytes.Buffer
	ts.Check(png.Encode(&out, p))
	file := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(filepath.Dir(file), 0o755))
	ts.Check(os.WriteFile(file, out.Bytes(), 0o644))
}

func wantStatus(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N PROGRAM ARG…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("status %d, want %d", got, want)
	}
}

func flipBit(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: flip FILE TEXT")
	}
	file := ts.MkAbs(args[0])
	data, err := os.ReadFile(file)
	ts.Check(err)
	at := bytes.Index(data, []byte(args[1]))
	if at < 0 {
		ts.Fatalf("%s is not in %s", args[1], args[0])
	}
	data[at] ^= 1
	ts.Check(os.WriteFile(file, data, 0o755))
}

func appImage(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: appimage IMAGE FILE")
	}
	stub, err := os.ReadFile(filepath.Join(ts.Getenv("STUBS"), "stub-x86_64"))
	ts.Check(err)
	copy(stub[8:], "AI\x02")
	image, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	// The image is looked for at the end of the section table, which Go's linker does not put last.
	le := binary.LittleEndian
	table := uint64(len(stub))
	headers := bytes.Clone(stub[le.Uint64(stub[40:]):][:uint64(le.Uint16(stub[60:]))*64])
	le.PutUint64(stub[40:], table)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), append(append(stub, headers...), image...), 0o755))
}

func swap(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: swap FILE OLD NEW")
	}
	data, was, is := []byte(ts.ReadFile(args[0])), []byte(ts.ReadFile(args[1])), []byte(ts.ReadFile(args[2]))
	if len(was) != len(is) || !bytes.Contains(data, was) {
		ts.Fatalf("%s (%d bytes) cannot take the place of %s (%d bytes) in %s", args[2], len(is), args[1], len(was), args[0])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), bytes.Replace(data, was, is, 1), 0o755))
}

func truncate(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: truncate FILE SIZE")
	}
	n, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	ts.Check(os.Truncate(ts.MkAbs(args[0]), n))
}
