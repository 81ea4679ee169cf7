// SPDX-License-Identifier: MIT

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"glick.org/glick/internal/sample"
	"glick.org/glick/runtime/launch"
)

// TestInstancesSeeInstalled drops a bundle into ~/Apps while another one runs, which then sees what the desktop shows of it.
func TestInstancesSeeInstalled(t *testing.T) {
	stub, err := launch.StubPath(launch.Arch())
	if err != nil {
		t.Skip("there is no stub; set GLICK_STUB_DIR")
	}
	const id, other = "org.example.Looker", "org.example.Sample"
	tree := sample.App(id)
	tree["bin/app"] = "#!/bin/sh\nexec \"$@\"\n"
	file := sample.Build(t, t.TempDir(), id, "1", tree)
	h := newHome(t, false)
	h.start()
	look := func(script string) string {
		cmd := exec.Command(stub, file, "/bin/sh", "-c", script)
		cmd.Env = h.env
		out, err := cmd.CombinedOutput()
		if err != nil {
			return err.Error() + ": " + string(out)
		}
		return strings.TrimSpace(string(out))
	}
	h.eventually("the service serves", func() bool {
		return look(`echo $BUNDLE_PREFIX`) != "" && strings.Contains(look(`echo $BUNDLE_PREFIX`), "/glick/fs/")
	})
	if got := look(`ls /opt/bundle/share/applications`); got != id+".desktop" {
		t.Fatalf("before: %q", got)
	}
	h.copy(sample.Build(t, t.TempDir(), other, "2", sample.App(other)), filepath.Join(h.dir, "Apps", "Sample.bundle"))
	entry := "/opt/bundle/share/applications/" + other + ".desktop"
	h.eventually("the entry is seen", func() bool { return strings.Contains(look(`cat `+entry), "glick run") })
	if got := look(`head -c 4 /opt/bundle/.bundles/` + other + `/share/icons/hicolor/48x48/apps/` + other + `.png | tail -c 3`); got != "PNG" {
		t.Errorf("its files: %q", got)
	}
	if err := os.Remove(filepath.Join(h.dir, "Apps", "Sample.bundle")); err != nil {
		t.Fatal(err)
	}
	h.eventually("the entry has gone", func() bool {
		return look(`ls /opt/bundle/share/applications; ls /opt/bundle/.bundles/`) == id+".desktop\n"+id
	})
}
