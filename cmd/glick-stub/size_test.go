// SPDX-License-Identifier: MIT

package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestSmall: the stub is a part of every bundle, so it must not get packages that are large and that it does not need.
func TestSmall(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	deps := strings.Fields(string(out))
	if !slices.Contains(deps, "glick.org/glick/runtime/launch") {
		t.Fatalf("this is not the stub's list: %q", deps)
	}
	for _, unwanted := range []string{"encoding/json", "log/slog", "net", "net/netip", "os/exec", "os/user", "regexp", "text/template", "image"} {
		if slices.Contains(deps, unwanted) {
			t.Errorf("it has package %s; \"go list -deps\" with -f '{{.ImportPath}}: {{.Imports}}' tells from where", unwanted)
		}
	}
}
