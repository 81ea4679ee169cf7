// SPDX-License-Identifier: MIT

package xdgexport

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"glick.org/glick/internal/sample"
)

// A bundle is known by its content, whatever its name, and is nothing that a file manager would run.
func TestTypeOfBundles(t *testing.T) {
	for _, tool := range []string{"gio", "update-mime-database"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(tool + " is not installed")
		}
	}
	definition, err := os.ReadFile("../data/org.glick.Glick.mime.xml")
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	packages := filepath.Join(home, "mime", "packages")
	if err := os.MkdirAll(packages, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(packages, "org.glick.Glick.xml"), definition, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("XDG_DATA_HOME", home)
	if out, err := exec.Command("update-mime-database", filepath.Join(home, "mime")).CombinedOutput(); err != nil || len(out) > 0 {
		t.Fatalf("%v: %s", err, out)
	}
	file := sample.Build(t, t.TempDir(), id, "1", sample.App(id))
	for _, name := range []string{"x.bundle", "x", "Text Editor", "x.elf"} {
		name = filepath.Join(t.TempDir(), name)
		if err := os.Rename(file, name); err != nil {
			t.Fatal(err)
		}
		file = name
		cmd := exec.Command("gio", "info", "-a", "standard::content-type,standard::icon", name)
		cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "content-type: application/vnd.glick.bundle") || !strings.Contains(string(out), "icon: application-vnd.glick.bundle,") {
			t.Errorf("%s: %v: %s", filepath.Base(name), err, out)
		}
	}
	if subclasses, err := os.ReadFile(filepath.Join(home, "mime", "subclasses")); err == nil && strings.Contains(string(subclasses), ownType) {
		t.Errorf("it is a subclass: %s", subclasses)
	}
}
