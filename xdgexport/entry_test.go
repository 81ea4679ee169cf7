// SPDX-License-Identifier: MIT

package xdgexport

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"glick.org/glick/bundle/keyfile"
	"glick.org/glick/internal/sample"
)

// rewrite shows what becomes of the main entry of a bundle.
func rewrite(t *testing.T, entry string, tree sample.Tree) (*keyfile.File, string, Wanted) {
	t.Helper()
	all := sample.App(id)
	for name, content := range tree {
		all[name] = content
	}
	// Under another name in the tree too, so that the bundle can be built whatever is in it.
	all["share/applications/"+id+".Test.desktop"] = entry
	w, err := Plan(shown(t, all), Options{DataHome: "/nowhere", Glick: "/usr/bin/glick"})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range w.Files {
		if f.Path == "applications/"+id+".Test.desktop" {
			out, err := keyfile.Parse(f.Content)
			if err != nil {
				t.Fatalf("what is shown is no key file: %v\n%s", err, f.Content)
			}
			return out, string(f.Content), w
		}
	}
	return nil, "", w
}

func TestEntryKeys(t *testing.T) {
	out, text, _ := rewrite(t, `# comment
[Desktop Entry]
Version=1.0
Type=Application
Name=Test
Name[de]=Prüfung
Exec=/usr/bin/app --name="a b" %d %F
TryExec=/usr/bin/app
Path=/tmp
Icon=/usr/share/pixmaps/x.png
Terminal=false
NoDisplay=perhaps
StartupNotify=true
DBusActivatable=true
MimeType=text/plain;application/vnd.glick.bundle;bad;text/plain;x-scheme-handler/sample;
Categories=Utility;
X-GNOME-Autostart-enabled=true
X-KDE-Library=/tmp/evil.so
X-AppImage-Version=1
URL=http://example.org
Actions=a;b;c;a;no/good;
Comment=A\nB
Keywords=x;y;

[Desktop Action a]
Name=A
Exec=app --a
Icon=document-new
OnlyShowIn=GNOME;

[Desktop Action b]
Name=B
Exec=/bin/sh -c "rm -rf ~"

[Desktop Action no/good]
Name=N
Exec=app

[X-Other Group]
Exec=evil
`, nil)
	if out == nil {
		t.Fatal("left out")
	}
	const want = `[Desktop Entry]
Type=Application
Version=1.0
Name=Test
Name[de]=Prüfung
Terminal=false
StartupNotify=true
Categories=Utility;
Keywords=x;y;
Exec=/usr/bin/glick run org.example.Sample -- "--name=a b" %F
TryExec=/usr/bin/glick
Icon=org.example.Sample
MimeType=text/plain;x-scheme-handler/sample;
Actions=a;
X-Glick-Id=org.example.Sample
[Desktop Action a]
Name=A
OnlyShowIn=GNOME;
Icon=document-new
Exec=/usr/bin/glick run org.example.Sample -- --a
`
	if text != want {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
}

// Nothing that an entry says may start anything but "glick run" of its own bundle.
func TestHostileEntries(t *testing.T) {
	const head = "[Desktop Entry]\nType=Application\nName=x\n"
	for name, entry := range map[string]string{
		"empty":             "",
		"no group":          "Name=x\nExec=app\n",
		"link":              "[Desktop Entry]\nType=Link\nName=x\nURL=file:///etc/passwd\n",
		"no name":           "[Desktop Entry]\nType=Application\nExec=app\n",
		"NUL":               head + "Exec=app\x00\n",
		"not UTF-8":         head + "Comment=\xff\xfe\nExec=app\n",
		"twice":             head + "Exec=app\nExec=evil\n",
		"two groups":        head + "Exec=app\n[Desktop Entry]\nExec=evil\n",
		"program elsewhere": head + "Exec=/bin/sh -c evil\n",
		"dots":              head + "Exec=/usr/bin/../../../../bin/sh\n",
		"relative dots":     head + "Exec=../../bin/sh\n",
		"open quote":        head + "Exec=\"app\n",
		"escaped newline":   head + "Exec=app\\nExec=evil\n",
		"no Exec":           head,
		"a folder":          head + "Exec=/usr/share\n",
		"link out":          head + "Exec=out\n",
		"a loop":            head + "Exec=loop\n",
		"deleted":           head + "Exec=app\nHidden=true\n",
		"huge Exec":         head + "Exec=app " + strings.Repeat("a", 10000) + "\n",
	} {
		out, text, _ := rewrite(t, entry, sample.Tree{"bin/out": "-> /bin/sh", "bin/loop": "-> loop"})
		if out != nil {
			t.Errorf("%s: shown as\n%s", name, text)
		}
	}
	for name, entry := range map[string]string{
		"escape in a name": head + "Comment=a\\nExec=evil\nExec=app\n",
		"shell":            head + "Exec=app $(evil) `evil` ; evil | evil > /tmp/x & \"$HOME\"\n",
		"carriage return":  head + "Comment=a\rExec=evil\r\nExec=app\r\n",
		"percent":          head + "Exec=app %% %z %\n",
		"options":          head + "Exec=app --exec=/bin/sh -- --exec /bin/sh\n",
		"icon path":        head + "Exec=app\nIcon=../../../../etc/passwd\n",
		"keys":             head + "Exec=app\nTryExec=/bin/sh\nX-Exec=evil\nExec[de]=evil\nIcon[de]=/etc/passwd\n",
		"class":            head + "Exec=app\nStartupWMClass=a\"b\n",
		"many actions":     head + "Exec=app\nActions=" + strings.Repeat("a;b;", 5000) + "\n",
	} {
		out, text, _ := rewrite(t, entry, nil)
		if out == nil {
			t.Errorf("%s: left out", name)
			continue
		}
		for _, g := range out.Groups() {
			for _, key := range g.Keys() {
				value := g.String(key)
				switch {
				case key == "Exec":
					words, err := splitExec(value)
					if err != nil || len(words) < 4 || words[0] != "/usr/bin/glick" || words[1] != "run" || words[2] != id || words[3] != "--" {
						t.Errorf("%s: starts %q (%v)", name, value, err)
					}
				case key == "TryExec":
					if value != "/usr/bin/glick" {
						t.Errorf("%s: tries %q", name, value)
					}
				case strings.Contains(value, "evil"), strings.Contains(value, "/etc"), strings.HasPrefix(key, "Exec["):
					t.Errorf("%s: %s=%s in\n%s", name, key, value, text)
				}
			}
		}
		if tool, err := exec.LookPath("desktop-file-validate"); err == nil {
			file := filepath.Join(t.TempDir(), "x.desktop")
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command(tool, file).CombinedOutput(); err != nil {
				t.Errorf("%s: %s\n%s", name, out, text)
			}
		}
	}
}

func TestEntryPrograms(t *testing.T) {
	tree := sample.Tree{"bin/other": "x", "bin/link": "-> other", "libexec/helper": "x", "bin/with space": "x", "bin/100%": "x"}
	for line, want := range map[string]string{
		"app":                      "run org.example.Sample --",
		"/usr/bin/app %u":          "run org.example.Sample -- %u",
		"/opt/bundle/bin/app":      "run org.example.Sample --",
		"other -x":                 "run org.example.Sample --exec bin/other -- -x",
		"link":                     "run org.example.Sample --exec bin/link --",
		`"/usr/bin/with space" %f`: `run org.example.Sample --exec "bin/with space" -- %f`,
		`/usr/bin/100%%`:           `run org.example.Sample --exec bin/100%% --`,
	} {
		out, _, w := rewrite(t, "[Desktop Entry]\nType=Application\nName=x\nExec="+line+"\n", tree)
		if got := out.Group(entryGroup).String("Exec"); got != "/usr/bin/glick "+want {
			t.Errorf("%s became %q\n%v", line, got, w.Left)
		}
	}
}

// A main entry that is started through a program of the host starts the bundle's own program instead.
func TestMainEntryThroughWrapper(t *testing.T) {
	tree := sample.App(id)
	tree["share/applications/"+id+".desktop"] = "[Desktop Entry]\nType=Application\nName=x\nExec=env A=b app --flag %U\n"
	w, err := Plan(shown(t, tree), Options{DataHome: "/nowhere", Glick: "/usr/bin/glick"})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(w.Files[0].Content), "\nExec=/usr/bin/glick run org.example.Sample -- %U\n") || len(w.Left) != 1 {
		t.Errorf("got\n%s\n%s", w.Files[0].Content, w)
	}
}

func TestForeignNamesAreLeftOut(t *testing.T) {
	tree := sample.App(id)
	const entry = "[Desktop Entry]\nType=Application\nName=x\nExec=app\n"
	tree["share/applications/org.gnome.Nautilus.desktop"] = entry
	tree["share/applications/"+id+"lication.desktop"] = entry
	tree["share/applications/mimeapps.list"] = "[Default Applications]\ntext/html=x.desktop\n"
	tree["share/icons/hicolor/48x48/apps/firefox.png"] = sample.Icon(48)
	tree["share/icons/hicolor/index.theme"] = "[Icon Theme]\n"
	tree["share/icons/hicolor/48x48/apps/"+id+"-bomb.png"] = sample.Icon(1025)
	tree["share/icons/hicolor/scalable/apps/"+id+"-bomb.svg"] = `<!DOCTYPE svg [<!ENTITY a "b">]><svg xmlns="http://www.w3.org/2000/svg"/>`
	tree["share/icons/hicolor/48x48/apps/"+id+"-out.png"] = "-> /usr/share/icons/hicolor/48x48/apps/x.png"
	tree["share/icons/hicolor/48x48/apps/"+id+"-up.png"] = "-> ../../../../../../../../etc/passwd"
	tree["share/dbus-1/services/x.service"] = "[D-BUS Service]\nName=org.freedesktop.Notifications\nExec=/usr/bin/app\n"
	tree["share/dbus-1/services/"+id+".Two.service"] = "[D-BUS Service]\nName=org.freedesktop.Notifications\nExec=/usr/bin/app\n"
	tree["share/dbus-1/services/"+id+".Sh.service"] = "[D-BUS Service]\nName=" + id + ".Sh\nExec=/bin/sh -c evil\n"
	tree["share/mime/packages/freedesktop.org.xml"] = "<mime-info/>"
	w, err := Plan(shown(t, tree), Options{DataHome: "/nowhere", Glick: glick})
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, f := range w.Files {
		paths = append(paths, f.Path)
	}
	if strings.Join(paths, " ") != strings.Join(sampleFiles, " ") {
		t.Errorf("planned\n%s", w)
	}
	if len(w.Left) != 9 {
		t.Errorf("%d things are said to be left out:\n%s", len(w.Left), w)
	}
}

func TestIconsOfTheBundle(t *testing.T) {
	tree := sample.App(id)
	for name := range tree {
		if strings.Contains(name, "/icons/") {
			delete(tree, name)
		}
	}
	tree["share/applications/"+id+".desktop"] = "[Desktop Entry]\nType=Application\nName=x\nExec=app\nIcon=other\n"
	tree["share/icons/hicolor/48x48/apps/other.png"] = sample.Icon(48)
	w, err := Plan(shown(t, tree), Options{DataHome: "/nowhere", Glick: glick})
	if err != nil {
		t.Fatal(err)
	}
	s := w.String()
	if !strings.Contains(s, "icons/hicolor/48x48/apps/"+id+".png") || !strings.Contains(string(w.Files[0].Content), "\nIcon="+id+"\n") {
		t.Errorf("planned\n%s\n%s", s, w.Files[0].Content)
	}
}

func TestWMClass(t *testing.T) {
	for s, want := range map[string]bool{
		"Gimp-2.10": true, "Größe 7/8 (x)": true, "文字": true, strings.Repeat("a", 200): true,
		"": false, strings.Repeat("a", 201): false, "a\nb": false, "a=b": false, "\xff": false, "a\u202eb": false,
	} {
		if isWMClass(s) != want {
			t.Errorf("%q", s)
		}
	}
}
