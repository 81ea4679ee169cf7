// SPDX-License-Identifier: MIT

package launch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// Arch is this computer's architecture by the name that bundles use.
func Arch() string {
	if runtime.GOARCH == "arm64" {
		return "aarch64"
	}
	return "x86_64"
}

// StubPath finds the stub program for an architecture ("x86_64" or "aarch64"): the code that every bundle begins with, and
// that also starts bundles given as an argument.
//
// It looks in $GLICK_STUB_DIR, then where an installed Glick keeps it (../libexec/glick beside the folder of the running
// program), then in the folder of the running program itself (a build tree). The error wraps fs.ErrNotExist.
func StubPath(arch string) (string, error) {
	if arch != "x86_64" && arch != "aarch64" {
		return "", fmt.Errorf("no stub exists for architecture %q", arch)
	}
	name := "stub-" + arch
	var places []string
	if dir := os.Getenv("GLICK_STUB_DIR"); dir != "" {
		places = append(places, filepath.Join(dir, name))
	}
	if self, err := os.Executable(); err == nil {
		if real, err := filepath.EvalSymlinks(self); err == nil {
			self = real
		}
		dir := filepath.Dir(self)
		places = append(places,
			filepath.Join(dir, "..", "libexec", "glick", name),
			filepath.Join(dir, name))
	}
	for _, place := range places {
		if info, err := os.Stat(place); err == nil && info.Mode().IsRegular() {
			return filepath.Abs(place)
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("cannot read the stub program %s: %w", place, err)
		}
	}
	return "", fmt.Errorf("cannot find the stub program %s, Glick is not completely installed: %w", name, fs.ErrNotExist)
}

// Argv is the command line that starts a bundle file: its first element is the program to execute. The program that runs
// in the end keeps the process, its id, its standard streams and its working directory.
//
// To start another program of the bundle than its main one, set GLICK_EXEC (see [ExecVariable]) to its path in the bundle.
func Argv(file string, args []string) ([]string, error) {
	stub, err := StubPath(Arch())
	if err != nil {
		return nil, err
	}
	return append([]string{stub, file}, args...), nil
}

// ExecVariable names the environment variable that chooses another program of a bundle; its value is a path in the bundle,
// relative to the prefix. The program does not see it.
const ExecVariable = "GLICK_EXEC"
