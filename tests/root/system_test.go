// SPDX-License-Identifier: MIT

//go:build root

package root

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// systemScript is what happens to the computer's folders, on copies that nobody else sees. Its capabilities are those that
// glick-system-sync.service leaves, none, and the umask is a strict one.
const systemScript = `set -eu
mount --make-rprivate /
mount -t tmpfs none "$TOP"
mkdir "$TOP/upper" "$TOP/work"
mount -t tmpfs none /var/lib
mount -t tmpfs none /var/cache
mount -t overlay -o "lowerdir=/usr/local,upperdir=$TOP/upper,workdir=$TOP/work" none /usr/local
cp "$GLICK" "$TOP/glick" && install -m 755 "$TOP/glick" /usr/local/bin/glick
rm -rf /usr/local/lib/bundles
install -d /usr/local/lib/bundles
before=$(cd /usr/local && find . | sort | sha256sum)
as_user() { setpriv --reuid="$USER_ID" --regid="$USER_ID" --clear-groups "$@"; }
sync() { (umask 077; env XDG_DATA_HOME=/nowhere setpriv --bounding-set=-all --inh-caps=-all --no-new-privs /usr/local/bin/glick system-sync "$@"); }

sync
[ "$before" = "$(cd /usr/local && find . | sort | sha256sum)" ] || { echo "something came of nothing"; exit 1; }

install -m 644 "$BUNDLE" /usr/local/lib/bundles/shell.bundle
sync
for f in share/applications/org.example.Shell.desktop share/icons/hicolor/48x48/apps/org.example.Shell.png share/mime/packages/org.example.Shell.xml \
  share/mime/mime.cache share/applications/mimeinfo.cache bin/shell-of-all; do
  as_user test -r /usr/local/$f || { echo "the user cannot read $f"; ls -l /usr/local/$f; exit 1; }
done
as_user test -x /usr/local/bin/shell-of-all || { echo "the user cannot start the command"; exit 1; }
(cd "$TOP/upper" && find share bin/shell-of-all \( -perm /022 -o -type d ! -perm -005 -o -type f ! -perm -004 \) ! -type c ! -perm /1000 -newer "$TOP/glick") >"$TOP/wrong"
[ ! -s "$TOP/wrong" ] || { echo "wrong modes:"; cat "$TOP/wrong"; exit 1; }
as_user env XDG_DATA_HOME=/nowhere XDG_DATA_DIRS=/usr/local/share:/usr/share gio mime application/x-of-all | grep -q org.example.Shell.desktop || { echo "the user's programs do not know it"; exit 1; }

# One that others can write is nobody's to trust, and one that is gone leaves nothing.
chmod 666 /usr/local/lib/bundles/shell.bundle
sync 2>"$TOP/said" || true
grep -q 'others than root' "$TOP/said" || { cat "$TOP/said"; exit 1; }
[ "$before" = "$(cd /usr/local && find . ! -path ./lib/bundles/shell.bundle | sort | sha256sum)" ] || { echo "left behind:"; cd "$TOP/upper" && find . ; exit 1; }
chmod 644 /usr/local/lib/bundles/shell.bundle
sync
as_user test -r /usr/local/share/applications/org.example.Shell.desktop
rm /usr/local/lib/bundles/shell.bundle
sync
[ "$before" = "$(cd /usr/local && find . | sort | sha256sum)" ] || { echo "left behind:"; cd "$TOP/upper" && find . ; exit 1; }

# One by another maker waits until somebody trusts it.
install -m 644 "$SIGNED" /usr/local/lib/bundles/shell.bundle
sync
install -m 644 "$OTHER" /usr/local/lib/bundles/shell.bundle
sync 2>"$TOP/said"
grep -q 'use --accept org.example.Shell' "$TOP/said" || { cat "$TOP/said"; exit 1; }
[ ! -e /usr/local/share/applications/org.example.Shell.desktop ] || { echo "another maker's bundle is shown"; exit 1; }
sync --accept org.example.Shell | grep -q Accepted
as_user test -r /usr/local/share/applications/org.example.Shell.desktop || { echo "the accepted bundle is not shown"; exit 1; }
rm /usr/local/lib/bundles/shell.bundle
sync

# What is still being copied is waited for.
(cat "$OTHER"; sleep 1.5) >/usr/local/lib/bundles/slow.bundle &
sleep 0.2
sync
as_user test -r /usr/local/share/applications/org.example.Shell.desktop || { echo "it did not wait for a copy"; exit 1; }
wait
`

// TestSystemSync shows a bundle to all users and takes it away, in copies of the computer's folders.
func TestSystemSync(t *testing.T) {
	glick, err := exec.LookPath("glick")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for d := dir; d != "/tmp" && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	const id = "org.example.Shell"
	tree := filepath.Join(dir, "tree")
	for name, content := range map[string]string{
		"bin/shell-of-all":                      "#!/bin/sh\nexec sh\n",
		"share/applications/" + id + ".desktop": "[Desktop Entry]\nType=Application\nName=Shell\nExec=shell-of-all %U\nMimeType=application/x-of-all;\n",
		"share/mime/packages/" + id + ".xml": `<mime-info xmlns="http://www.freedesktop.org/standards/shared-mime-info">` +
			`<mime-type type="application/x-of-all"><comment>Sample</comment><glob pattern="*.of-all"/></mime-type></mime-info>`,
	} {
		p := filepath.Join(tree, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	icon, bundle, top := filepath.Join(dir, "icon.png"), filepath.Join(dir, "shell.bundle"), filepath.Join(dir, "top")
	if err := os.Mkdir(top, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range [][]string{
		{"convert", "-size", "48x48", "xc:red", icon},
		{glick, "build", "--icon", icon, "--command", "shell-of-all", tree, bundle},
		{"ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, "mine")},
		{"ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, "other")},
		{glick, "sign", "--key", filepath.Join(dir, "mine"), bundle, bundle + ".mine"},
		{glick, "sign", "--key", filepath.Join(dir, "other"), bundle, bundle + ".other"},
	} {
		if out, err := exec.Command(c[0], c[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", strings.Join(c, " "), err, out)
		}
	}
	cmd := exec.Command("sh", "-c", systemScript)
	cmd.Env = append(os.Environ(), "TOP="+top, "GLICK="+glick, "BUNDLE="+bundle, "SIGNED="+bundle+".mine", "OTHER="+bundle+".other", fmt.Sprint("USER_ID=", testUser(t).Uid))
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
