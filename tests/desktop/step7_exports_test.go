// SPDX-License-Identifier: MIT

//go:build desktop

package desktop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"glick.org/glick/internal/sample"
	"glick.org/glick/tests/desktop/desk"
)

const (
	showID      = "org.example.Exports"
	showType    = "application/x-glick-exports"
	showCommand = "glick-exports-demo"
)

// everything is the tree of an application that has one of each kind of what a bundle can show.
func everything(t *testing.T, version string) string {
	t.Helper()
	dir := t.TempDir()
	files := map[string]string{
		"share/applications/" + showID + ".desktop": "[Desktop Entry]\nType=Application\nName=Exports Zebra\nName[de]=Exporte Zebra\nComment=Shows " + version +
			"\nKeywords=stripes;\nExec=exportapp %U\nIcon=" + showID + "\nMimeType=" + showType + ";text/plain;x-scheme-handler/glickzebra;\n" +
			"Categories=Utility;\nDBusActivatable=true\nActions=new;\n\n[Desktop Action new]\nName=New Zebra\nName[de]=Neues Zebra\nExec=exportapp --new\n",
		"share/icons/hicolor/48x48/apps/" + showID + ".png":                   sample.Icon(48),
		"share/icons/hicolor/128x128/apps/" + showID + ".png":                 sample.Icon(128),
		"share/icons/hicolor/scalable/apps/" + showID + ".svg":                `<svg xmlns="http://www.w3.org/2000/svg" width="16" height="16"><rect width="9" height="9"/></svg>`,
		"share/icons/hicolor/symbolic/apps/" + showID + "-symbolic.svg":       `<svg xmlns="http://www.w3.org/2000/svg" width="16" height="16"><rect width="9" height="9"/></svg>`,
		"share/icons/hicolor/64x64/mimetypes/application-x-glick-exports.png": sample.Icon(64),
		"share/mime/packages/" + showID + ".xml": `<?xml version="1.0"?><mime-info xmlns="http://www.freedesktop.org/standards/shared-mime-info"><mime-type type="` +
			showType + `"><comment>Zebra</comment><comment xml:lang="de">Zebra-Datei</comment><glob pattern="*.glickzebra"/>` +
			`<magic><match type="string" value="ZEBRA" offset="0"/></magic></mime-type></mime-info>`,
		"share/dbus-1/services/" + showID + ".service": "[D-BUS Service]\nName=" + showID + "\nExec=/usr/bin/exportapp --gapplication-service\n",
		"share/metainfo/" + showID + ".metainfo.xml": `<?xml version="1.0" encoding="UTF-8"?>
<component type="desktop-application"><id>` + showID + `</id><name>Exports Zebra</name><summary>A sample of all exports</summary>
<metadata_license>CC0-1.0</metadata_license><project_license>MIT</project_license><developer_name>Example</developer_name>
<description><p>Shows all that applications can have, for the sake of tests.</p></description>
<launchable type="desktop-id">` + showID + `.desktop</launchable><url type="homepage">https://example.org/</url>
<content_rating type="oars-1.1"/><releases><release version="` + version + `" date="2026-01-01"/></releases></component>
`,
		"share/man/man1/" + showCommand + ".1":                     ".TH zebra 1\n.SH NAME\nzebra \\- sample\n",
		"share/bash-completion/completions/" + showCommand:         "complete -W 'black white' " + showCommand + "\n",
		"share/fish/vendor_completions.d/" + showCommand + ".fish": "complete -c " + showCommand + "\n",
	}
	if font, err := os.ReadFile("/usr/share/fonts/truetype/dejavu/DejaVuSansMono.ttf"); err == nil {
		files["share/fonts/zebra.ttf"] = string(font)
	}
	for name, content := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "bin/exportapp"), "./exportapp")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("cannot build the application: %v: %s", err, out)
	}
	if err := os.Link(filepath.Join(dir, "bin/exportapp"), filepath.Join(dir, "bin", showCommand)); err != nil {
		t.Fatal(err)
	}
	bundle := filepath.Join(t.TempDir(), "Exports.bundle")
	if out, err := exec.Command("glick", "build", "--id", showID, "--bundle-version", version, "--command", showCommand, dir, bundle).CombinedOutput(); err != nil {
		t.Fatalf("cannot make the bundle: %v: %s", err, out)
	}
	return bundle
}

// drop puts a bundle into ~/Apps as a file manager does, under the name that it is to have from the first moment.
func (s *session) drop(bundle string) {
	s.t.Helper()
	copyFile(s.t, bundle, filepath.Join(s.Home, "Apps/.arriving"))
	s.must(os.Rename(filepath.Join(s.Home, "Apps/.arriving"), filepath.Join(s.Home, "Apps/Exports.bundle")))
}

// ask gives what an expression is in GNOME Shell, in which app is the application and info what GIO knows of it.
func (s *session) ask(expression string) string {
	s.t.Helper()
	out, err := s.Eval("var app = imports.gi.Shell.AppSystem.get_default().lookup_app('" + showID + ".desktop'); var info = app ? app.get_app_info() : null; " + expression)
	s.must(err)
	return out
}

// started waits until the application says that it was started so, after something was done.
func (s *session) started(want string, do func()) {
	s.t.Helper()
	log := filepath.Join(s.Home, "exports.log")
	_ = os.Remove(log)
	do()
	var said []byte
	err := desk.Until(30*time.Second, "it is started", func() (bool, error) {
		said, _ = os.ReadFile(log)
		return strings.HasSuffix(string(said), "\n"), nil
	})
	if err != nil || string(said) != want+"\n" {
		s.t.Errorf("started with %q, want %q (%v)", said, want, err)
	}
}

// TestExports drops a bundle that has everything into ~/Apps and looks at it with the programs that read such things; what the
// user chooses for it stays when the file is replaced by a newer one; deleted, it leaves nothing.
func TestExports(t *testing.T) {
	first, second := everything(t, "1.0"), everything(t, "2.0")
	s := start(t, desk.GNOME)
	s.run("gdbus", "call", "--session", "--dest", "org.freedesktop.DBus", "--object-path", "/org/freedesktop/DBus",
		"--method", "org.freedesktop.DBus.StartServiceByName", "org.glick.Session", "0")
	s.until(patience, "glickd has made ~/Apps", func() bool {
		_, err := os.Stat(filepath.Join(s.Home, "Apps"))
		return err == nil
	})
	document, note := filepath.Join(s.Home, "a b.glickzebra"), filepath.Join(s.Home, "note.txt")
	s.must(os.WriteFile(document, []byte("ZEBRA"), 0o644))
	s.must(os.WriteFile(note, []byte("text"), 0o644))
	s.must(os.WriteFile(filepath.Join(s.Home, "ZEBRA"), []byte("ZEBRA"), 0o644)) // of no name that says what it is
	time.Sleep(2 * time.Second)                                                  // what the desktop writes when it is first used is there before the comparison
	before := snapshot(t, s.Home)

	s.drop(first)
	s.until(20*time.Second, "GNOME Shell knows the application", func() bool { return s.ask("app != null") == "true" })
	data := filepath.Join(s.Home, ".local/share")
	s.until(20*time.Second, "all is there", func() bool { // the command is the last folder to be written
		_, err := os.Stat(filepath.Join(data, "mime/mime.cache"))
		_, err2 := os.Stat(filepath.Join(s.Home, ".local/bin", showCommand))
		return err == nil && err2 == nil
	})
	s.inShell()
	s.readers(data, document)
	s.starts(document, note)
	s.choices(second, note)

	s.must(os.Remove(filepath.Join(s.Home, "Apps/Exports.bundle")))
	s.until(20*time.Second, "GNOME Shell has forgotten the application", func() bool { return s.ask("app == null") == "true" })
	_ = os.Remove(filepath.Join(s.Home, "exports.log"))
	s.until(20*time.Second, "it does not start with the session", func() bool {
		_, err := os.Stat(filepath.Join(s.Home, ".config/autostart"))
		return os.IsNotExist(err)
	})
	var left []string
	err := desk.Until(20*time.Second, "all is as before", func() (bool, error) {
		left = differences(before, snapshot(t, s.Home))
		return len(left) == 0, nil
	})
	if err != nil {
		t.Errorf("not as before: %q", left)
	}
	if out, err := s.Run("gdbus", "call", "--session", "--dest", showID, "--object-path", "/org/example/Exports", "--method", "org.freedesktop.Application.Activate", "@a{sv} {}"); err == nil {
		t.Errorf("the bus still starts it: %s", out)
	}
	if out := s.run("fc-list", ":", "file"); strings.Contains(out, "zebra.ttf") {
		t.Error("fontconfig still knows its font")
	}
	if out := s.run("gio", "info", "-a", "standard::content-type", document); strings.Contains(out, showType) {
		t.Error("its type is still known")
	}
}

// inShell looks at the application in the running GNOME Shell.
func (s *session) inShell() {
	s.t.Helper()
	for expression, want := range map[string]string{
		"app.get_name()":                      `"Exports Zebra"`,
		"info.list_actions()":                 `["new"]`,
		"info.get_action_name('new')":         `"New Zebra"`,
		"info.get_boolean('DBusActivatable')": `true`,
		"info.should_show()":                  `true`,
		"imports.gi.Shell.AppSystem.search('stripes').flat().includes('" + showID + ".desktop')":      `true`,
		"imports.gi.Gio.AppInfo.get_default_for_type('" + showType + "', false).get_id()":             `"` + showID + `.desktop"`,
		"imports.gi.Gio.AppInfo.get_default_for_uri_scheme('glickzebra').get_id()":                    `"` + showID + `.desktop"`,
		"imports.gi.Gio.AppInfo.get_all().filter(a => a.get_id() == '" + showID + ".desktop').length": `1`,
		"imports.gi.Gio.content_type_get_description('" + showType + "')":                             `"Zebra"`,
	} {
		var got string
		err := desk.Until(10*time.Second, expression, func() (bool, error) { // GIO reads types and defaults anew some seconds later
			got = s.ask(expression)
			return got == want, nil
		})
		if err != nil {
			s.t.Errorf("in GNOME Shell %s is %s, want %s", expression, got, want)
		}
	}
	// In the grid of all applications, with its icon and not one in its place.
	s.until(20*time.Second, "it is in the grid", func() bool {
		return s.ask("Main.overview._overview.controls._appDisplay._orderedItems.some(i => i.id == '"+showID+".desktop')") == "true"
	})
	s.until(20*time.Second, "its icon is known", func() bool {
		const load = "imports.gi.St.TextureCache.get_default().load_gicon(null, imports.gi.Gio.ThemedIcon.new('%s'), 48, 1, 1) != null"
		return s.ask(fmt.Sprintf(load, showID)) == "true" && s.ask(fmt.Sprintf(load, showID+"-symbolic")) == "true" && s.ask(fmt.Sprintf(load, showID+".None")) == "false"
	})
}

// readers lets all programs that read what is shown look at it.
func (s *session) readers(data, document string) {
	s.t.Helper()
	has := func(out, want string) {
		s.t.Helper()
		if !strings.Contains(out, want) {
			s.t.Errorf("%q is not in %q", want, out)
		}
	}
	file := func(name string) string {
		s.t.Helper()
		text, err := os.ReadFile(filepath.Join(data, name))
		s.must(err)
		return string(text)
	}
	if out := s.run("desktop-file-validate", filepath.Join(data, "applications", showID+".desktop")); out != "" {
		s.t.Error(out)
	}
	if out, err := s.Run("appstreamcli", "validate", "--no-net", filepath.Join(data, "metainfo", showID+".metainfo.xml")); err != nil {
		s.t.Error(err, out)
	}
	has(file("applications/"+showID+".desktop"), "\nName[de]=Exporte Zebra\n")
	has(file("applications/"+showID+".desktop"), "\nName[de]=Neues Zebra\n")
	has(s.run("gio", "mime", showType), "Default application for “"+showType+"”: "+showID+".desktop")
	has(s.run("gio", "mime", "text/plain"), showID+".desktop")
	has(s.run("gio", "info", "-a", "standard::content-type,standard::icon", document), showType)
	has(s.run("gio", "info", "-a", "standard::icon", document), showID+"-application-x-glick-exports")
	has(s.run("xdg-mime", "query", "filetype", document), showType)
	has(s.run("xdg-mime", "query", "default", showType), showID+".desktop")
	has(file("mime/globs2"), ":"+showType+":*.glickzebra\n")
	has(file("mime/types"), showType+"\n")
	has(file("mime/icons"), showType+":"+showID+"-application-x-glick-exports\n")
	if strings.Contains(file("mime/magic"), showType) {
		s.t.Error("it takes files by their content")
	}
	if out := s.run("gio", "info", "-a", "standard::content-type", filepath.Join(s.Home, "ZEBRA")); strings.Contains(out, showType) {
		s.t.Error("a file is its by its content")
	}
	path := "PATH=" + filepath.Join(s.Home, ".local/bin") + ":/usr/local/bin:/usr/bin:/bin"
	has(s.run("env", path, "man", "-w", showCommand), filepath.Join(data, "man/man1", showCommand+".1"))
	has(s.run("fc-list", ":", "file"), filepath.Join(data, "fonts", showID, "zebra.ttf"))
	// The way that bash-completion goes, whether it is installed or not: a file of the command's name in the data folder.
	completion := filepath.Join(data, "bash-completion/completions", showCommand)
	has(s.run("bash", "-c", ". '"+completion+"' && complete -p "+showCommand), "black white")
	if _, err := os.Stat("/usr/share/bash-completion/bash_completion"); err == nil {
		has(s.run("bash", "-c", ". /usr/share/bash-completion/bash_completion; _completion_loader "+showCommand+"; complete -p "+showCommand), "black white")
	}
}

// starts starts the application in all ways that there are.
func (s *session) starts(document, note string) {
	s.t.Helper()
	uri := "file://" + strings.ReplaceAll(document, " ", "%20")
	entry := filepath.Join(s.Home, ".local/share/applications", showID+".desktop")
	activate := func(method string, args ...string) {
		s.t.Helper()
		s.run("gdbus", append([]string{"call", "--session", "--dest", showID, "--object-path", "/org/example/Exports", "--method", "org.freedesktop.Application." + method}, args...)...)
	}
	s.started("Open "+uri, func() { s.run("gio", "open", document) })
	s.started("Open "+uri, func() { s.run("xdg-open", document) })
	s.started("Open glickzebra:stripes", func() { s.run("gio", "open", "glickzebra:stripes") })
	// An entry that is named by its file is not activated by D-Bus: its Exec is.
	s.started("exportapp "+document, func() { s.run("gio", "launch", entry, document) })
	s.started("Activate", func() { s.ask("app.activate(); true") })
	s.started("ActivateAction new", func() { s.ask("info.launch_action('new', null); true") })
	s.started("Activate", func() { activate("Activate", "@a{sv} {}") })
	s.started("ActivateAction new", func() { activate("ActivateAction", "new", "@av []", "@a{sv} {}") })
	s.started(showCommand+" a  b", func() { s.run(filepath.Join(s.Home, ".local/bin", showCommand), "a ", "b") })
	// The last instance of the service ends by itself.
	s.until(20*time.Second, "it has ended", func() bool {
		return !slices.ContainsFunc(s.Processes(), func(p string) bool { return strings.Contains(p, "exportapp") })
	})
}

// choices pins the application, makes it the default for text, and has it started with the session; all stays as it is when it
// is updated.
func (s *session) choices(second, note string) {
	s.t.Helper()
	s.run("gio", "mime", "text/plain", showID+".desktop")
	list := filepath.Join(s.Home, ".config/mimeapps.list")
	was, err := os.ReadFile(list)
	s.must(err)
	autostart := filepath.Join(s.Home, ".config/autostart", showID+".desktop")
	s.run("glick", "autostart", showID)
	if out := s.run("desktop-file-validate", autostart); out != "" {
		s.t.Error(out)
	}
	const favourites = "new imports.gi.Gio.Settings({schema_id: 'org.gnome.shell'}).get_strv('favorite-apps')"
	const dock = "imports.ui.appFavorites.getAppFavorites().getFavorites().map(a => a.get_id())"
	s.ask("imports.ui.appFavorites.getAppFavorites().addFavorite('" + showID + ".desktop'); true")
	pinned, docked := s.ask(favourites), s.ask(dock)
	if !strings.Contains(pinned, showID) || !strings.Contains(docked, showID) {
		s.t.Fatalf("it is not pinned: %s, %s", pinned, docked)
	}
	s.drop(second)
	s.until(20*time.Second, "GNOME Shell knows the new version", func() bool {
		return s.ask("info ? info.get_description() : ''") == `"Shows 2.0"`
	})
	time.Sleep(time.Second)
	if now := s.ask(favourites); now != pinned {
		s.t.Errorf("pinned are %s, were %s", now, pinned)
	}
	if now := s.ask(dock); now != docked {
		s.t.Errorf("in the dock are %s, were %s", now, docked)
	}
	if now, err := os.ReadFile(list); err != nil || string(now) != string(was) {
		s.t.Errorf("mimeapps.list is %q, was %q (%v)", now, was, err)
	}
	s.started("Open file://"+note, func() { s.run("gio", "open", note) })
	if _, err := os.Stat(autostart); err != nil {
		s.t.Errorf("it is no longer started with the session: %v", err)
	}
}
