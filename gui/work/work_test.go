// SPDX-License-Identifier: MIT

package work

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/adrg/xdg"
	"golang.org/x/sys/unix"

	"glick.org/glick/bundle"
	"glick.org/glick/gui/state"
	"glick.org/glick/internal/sample"
	"glick.org/glick/runtime/launch"
	"glick.org/glick/xdgexport/apps"
	"glick.org/glick/xdgexport/apps/trust"
)

// newHome gives the test a home of its own, without a session bus.
func newHome(t *testing.T) string {
	t.Helper()
	home := t.TempDir()
	t.Cleanup(xdg.Reload) // cleanups run last to first: after the environment is as it was
	t.Setenv("HOME", home)
	t.Setenv("XDG_DATA_HOME", filepath.Join(home, ".local/share"))
	t.Setenv("XDG_CACHE_HOME", filepath.Join(home, ".cache"))
	t.Setenv("XDG_RUNTIME_DIR", filepath.Join(home, "run"))
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path="+filepath.Join(home, "nobody"))
	xdg.Reload()
	return home
}

func icon(side int) []byte {
	img := image.NewNRGBA(image.Rect(0, 0, side, side))
	img.Set(0, 0, color.NRGBA{R: 255, A: 255})
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// makeBundle makes a bundle whose main program is this test's own, which is also what the bundle begins with.
func makeBundle(t *testing.T, file, version string) {
	t.Helper()
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, data := range map[string][]byte{
		"bin/meadow": []byte("#!/bin/sh\n"),
		"share/icons/hicolor/48x48/apps/org.example.Meadow.png":   icon(48),
		"share/icons/hicolor/256x256/apps/org.example.Meadow.png": icon(256),
		"share/data": bytes.Repeat([]byte(version), 5000),
		"share/applications/org.example.Meadow.desktop": []byte("[Desktop Entry]\nType=Application\nName=Meadow\nName[de]=Wiese\nComment=Notes\nExec=meadow\nIcon=org.example.Meadow\n"),
		"share/metainfo/org.example.Meadow.metainfo.xml": []byte(`<?xml version="1.0"?><component type="desktop-application"><id>org.example.Meadow</id>
<name>No</name><summary>Write notes</summary><summary xml:lang="de">Notizen schreiben</summary><project_license>MIT</project_license>
<developer id="x"><name>Ann</name></developer><releases><release version="9"><description><p>no summary</p></description></release></releases></component>`),
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_, err = bundle.Build(context.Background(), f, dir, bundle.BuildOptions{ID: "org.example.Meadow", Version: version, Exec: "bin/meadow",
		Arch: launch.Arch(), Stub: self})
	if err != nil {
		t.Fatal(err)
	}
}

func TestLoad(t *testing.T) {
	home := newHome(t)
	t.Setenv("LC_ALL", "de_AT.UTF-8")
	t.Setenv("LANGUAGE", "")
	file := filepath.Join(home, "Meadow.bundle")
	makeBundle(t, file, "2.4")
	if err := unix.Setxattr(file, "user.xdg.origin.url", []byte("https://example.org/x"), 0); err != nil {
		t.Logf("the file system keeps no origin: %v", err)
	}
	look, err := Load(file, 96)
	if err != nil {
		t.Fatal(err)
	}
	id := look.Loaded.Identity
	if id.ID != "org.example.Meadow" || id.Name != "Wiese" || id.Summary != "Notizen schreiben" || id.Developer != "Ann" || id.License != "MIT" || id.Version != "2.4" {
		t.Errorf("it reads %+v", id)
	}
	if id.Unpacked <= 0 || id.Size <= 0 || len(id.Digest) != 64 {
		t.Errorf("sizes and digest: %+v", id)
	}
	if look.Icon == nil || look.Icon.Bounds().Dx() != 96 {
		t.Errorf("icon: %v", look.Icon)
	}
	if installed, from := Relate(file, id); len(installed) != 0 || from.State != trust.Unsigned || from.Accepted {
		t.Errorf("installed: %v, trust: %+v", installed, from)
	}
	var last, total int64
	if err := Check(context.Background(), file, func(d, n int64) { last, total = d, n }); err != nil || last != total || total == 0 {
		t.Errorf("checking it: %v at %d of %d", err, last, total)
	}
}

func TestLoadRefuses(t *testing.T) {
	home := newHome(t)
	good := filepath.Join(home, "good")
	makeBundle(t, good, "1")
	data, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, data []byte) string {
		path := filepath.Join(home, name)
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	pipe := filepath.Join(home, "pipe")
	if err := unix.Mkfifo(pipe, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		file string
		want error
	}{
		{write("text", []byte("hello")), bundle.ErrNotBundle},
		{write("empty", nil), bundle.ErrNotBundle},
		{write("short", data[:len(data)/2]), bundle.ErrTruncated},
		{home, syscall.EISDIR},
		{pipe, bundle.ErrNotBundle},
		{filepath.Join(home, "nothing"), os.ErrNotExist},
	} {
		if _, err := Load(c.file, 96); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.file, err, c.want)
		}
	}
}

func TestInstallAndUndo(t *testing.T) {
	home := newHome(t)
	ctx := context.Background()
	one, two := filepath.Join(home, "Meadow.bundle"), filepath.Join(home, "new", "Meadow.bundle")
	if err := os.Mkdir(filepath.Dir(two), 0o755); err != nil {
		t.Fatal(err)
	}
	makeBundle(t, one, "1")
	makeBundle(t, two, "2")
	versions := func() string {
		var vs []string
		for _, i := range InstalledOf("org.example.Meadow", "") {
			vs = append(vs, i.Version)
		}
		return strings.Join(vs, " ")
	}
	want := func(step, want string) {
		t.Helper()
		if got := versions(); got != want {
			t.Errorf("%s: installed is %q, want %q", step, got, want)
		}
	}
	undo, _, err := Install(ctx, one, apps.InstallOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want("install", "1")
	update, _, err := Install(ctx, two, apps.InstallOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want("update", "2")
	if err := update.Back(ctx); err != nil {
		t.Fatal(err)
	}
	want("undo of the update", "1")
	both, _, err := Install(ctx, two, apps.InstallOptions{KeepBoth: true})
	if err != nil {
		t.Fatal(err)
	}
	want("keep both", "2 1")
	if err := both.Back(ctx); err != nil {
		t.Fatal(err)
	}
	want("undo of keep both", "1")
	app, err := apps.Find("org.example.Meadow")
	if err != nil {
		t.Fatal(err)
	}
	gone, err := Uninstall(ctx, app.File)
	if err != nil {
		t.Fatal(err)
	}
	want("uninstall", "")
	if err := gone.Back(ctx); err != nil {
		t.Fatal(err)
	}
	want("undo of uninstall", "1")
	if err := undo.Back(ctx); err != nil {
		t.Fatal(err)
	}
	want("undo of install", "")
	update, _, err = Install(ctx, one, apps.InstallOptions{})
	if err != nil {
		t.Fatal(err)
	}
	update.Forget()
	replaced, _, err := Install(ctx, two, apps.InstallOptions{})
	if err != nil {
		t.Fatal(err)
	}
	replaced.Forget()
	entries, err := os.ReadDir(filepath.Join(home, "Apps"))
	if err != nil || len(entries) != 1 {
		t.Errorf("after all that the folder holds %v (%v)", entries, err)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if _, _, err := Install(cancelled, one, apps.InstallOptions{KeepBoth: true}); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled install ends with %v", err)
	}
	want("cancelled install", "2")
}

// TestMoveAndUndo: a moved file comes back to where it was, and never over something that has come there since.
// TestFolderOfAnother: that the folder may not be changed is another problem than that the file may not be read, and needs something else to be done.
func TestFolderOfAnother(t *testing.T) {
	home := newHome(t)
	file, folder := filepath.Join(home, "Meadow.bundle"), filepath.Join(home, "Apps")
	makeBundle(t, file, "1")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	undo, installed, err := Install(t.Context(), file, apps.InstallOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer undo.Forget()
	if err := os.Chmod(file, 0); err != nil {
		t.Fatal(err)
	}
	var ofFolder *state.FolderError
	if _, _, err := Install(t.Context(), file, apps.InstallOptions{}); !errors.Is(err, os.ErrPermission) || errors.As(err, &ofFolder) {
		t.Errorf("a file that may not be read: %v", err)
	}
	if err := errors.Join(os.Chmod(file, 0o644), os.Chmod(folder, 0o555)); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(folder, 0o755)
	makeBundle(t, file, "2")
	if _, _, err := Install(t.Context(), file, apps.InstallOptions{}); !errors.As(err, &ofFolder) || ofFolder.Folder != "~/Apps" {
		t.Errorf("a folder that may not be changed: %v", err)
	}
	if _, err := Uninstall(t.Context(), installed); !errors.As(err, &ofFolder) || !errors.Is(err, os.ErrPermission) {
		t.Errorf("uninstalling: %v", err)
	}
}

func TestMoveAndUndo(t *testing.T) {
	home := newHome(t)
	ctx := context.Background()
	file := filepath.Join(home, "Downloads", "Meadow.bundle")
	if err := os.Mkdir(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	makeBundle(t, file, "1")
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	same := func(path string) bool {
		data, err := os.ReadFile(path)
		return err == nil && bytes.Equal(data, want)
	}
	if look, err := Load(file, 96); err != nil || !look.Loaded.Identity.CanMove {
		t.Fatalf("it cannot be moved: %v", err)
	}
	undo, installed, err := Install(ctx, file, apps.InstallOptions{Move: true})
	if err != nil {
		t.Fatal(err)
	}
	if There(file) || !same(installed) {
		t.Errorf("after moving: source there %v, installed whole %v", There(file), same(installed))
	}
	if err := undo.Back(ctx); err != nil {
		t.Fatal(err)
	}
	if !same(file) || There(installed) {
		t.Errorf("after undoing: source whole %v, still installed %v", same(file), There(installed))
	}
	undo, installed, err = Install(ctx, file, apps.InstallOptions{Move: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("something else"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := undo.Back(ctx); err == nil || !same(installed) {
		t.Errorf("undoing over another file: %v; it is whole: %v", err, same(installed))
	}
	if data, _ := os.ReadFile(file); string(data) != "something else" {
		t.Error("the other file was replaced")
	}
	// Across file systems, as far as a test can have two: the copying half of it.
	elsewhere := filepath.Join(home, "elsewhere")
	if err := copyBack(ctx, installed, elsewhere); err != nil || !same(elsewhere) || There(installed) {
		t.Errorf("copying it back: %v", err)
	}
}

// TestRemember: a bundle that was accepted once is known as such.
func TestRemember(t *testing.T) {
	home := newHome(t)
	file := filepath.Join(home, "Meadow.bundle")
	makeBundle(t, file, "1")
	look, err := Load(file, 96)
	if err != nil {
		t.Fatal(err)
	}
	id := look.Loaded.Identity
	if err := Remember(id.ID, id.Digest); err != nil {
		t.Fatal(err)
	}
	if _, from := Relate(file, id); !from.Accepted || from.State != trust.Unsigned {
		t.Errorf("after accepting: %+v", from)
	}
}

func TestMetainfo(t *testing.T) {
	const text = `<?xml version="1.0"?><component><name>A</name><name xml:lang="de">B</name>
<developer_name>Ann</developer_name>
<description><p>One <em>two</em> three.</p><p xml:lang="de">Eins.</p><p xml:lang="fr">Un.</p><ul><li>four</li><li xml:lang="de">vier</li><li>five</li></ul><p>Last.</p></description>
<url type="homepage">https://example.org/</url><url type="bugtracker">javascript:alert(1)</url>
<screenshots><screenshot><caption>First</caption><caption xml:lang="de">Erstes</caption><image>https://example.org/pictures/one.png</image></screenshot>
<screenshot><image type="source">file:///opt/bundle/share/two.png</image></screenshot></screenshots>
<releases><release version="1"><description><p>not this</p></description></release></releases></component>`
	m := parseMetainfo([]byte(text), []string{"de_AT", "de"})
	var id state.Identity
	m.describe(&id)
	want := []state.Block{{Text: "Eins."}, {Item: true, Text: "vier"}, {Item: true, Text: "five"}, {Text: "Last."}}
	if id.Name != "B" || id.Developer != "Ann" || !reflect.DeepEqual(id.Description, want) || len(id.Links) != 2 {
		t.Errorf("it reads %+v", id)
	}
	if len(m.screenshots) != 2 || m.screenshots[0].caption.text != "Erstes" || m.screenshots[0].files[0] != "https://example.org/pictures/one.png" {
		t.Errorf("screenshots: %+v", m.screenshots)
	}
	if m := parseMetainfo([]byte(text), nil); len(m.blocks) != 4 || m.blocks[0].text.text != "One two three." {
		t.Errorf("in English: %+v", m.blocks)
	}
	const whole = `<component><description><p>one</p></description><description xml:lang="de"><p>eins</p><p>zwei</p></description></component>`
	if m := parseMetainfo([]byte(whole), []string{"de"}); len(m.blocks) != 2 || m.blocks[0].text.text != "eins" {
		t.Errorf("with a description for each language: %+v", m.blocks)
	}
}

func TestPictureNames(t *testing.T) {
	for _, c := range []struct {
		address string
		want    string
	}{
		{"file:///opt/bundle/share/a.png", "share/a.png"},
		{"/opt/bundle/share/a.png", "share/a.png"},
		{"share/a.png", "share/a.png"},
		{"https://example.org/x/a.png?y", "share/metainfo/screenshots/a.png"},
		{"file:///etc/passwd", ""},
		{"/etc/passwd", ""},
		{"https://example.org/", ""},
		{"data:image/png;base64,", ""},
		{"%zz", ""},
	} {
		got := ""
		if names := pictureNames(c.address, "/opt/bundle", "org.example.Meadow"); len(names) > 0 {
			got = names[0]
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.address, got, c.want)
		}
	}
}

// TestPictures has a screenshot in the bundle, one that is not there and one that is no picture.
func TestPictures(t *testing.T) {
	home := newHome(t)
	tree := sample.App("org.example.Meadow")
	tree["share/metainfo/org.example.Meadow.metainfo.xml"] = `<component type="desktop-application"><id>org.example.Meadow</id><screenshots>
<screenshot><image>https://example.org/gone.png</image></screenshot><screenshot><image>share/bad.png</image></screenshot>
<screenshot><caption>It</caption><image>https://example.org/one.png</image></screenshot></screenshots></component>`
	tree["share/metainfo/screenshots/one.png"] = sample.Icon(400)
	tree["share/bad.png"] = "\x89PNG\r\n\x1a\nno"
	var got []string
	Pictures(context.Background(), sample.Build(t, home, "org.example.Meadow", "1", tree), 300, func(p Picture) {
		got = append(got, fmt.Sprint(p.Caption, p.Image.Bounds().Size()))
	})
	if want := []string{"It(300,300)"}; !reflect.DeepEqual(got, want) {
		t.Errorf("pictures are %q, want %q", got, want)
	}
}

func TestAdds(t *testing.T) {
	home := newHome(t)
	bin := filepath.Join(home, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bin, "glick"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	a, err := adds(sample.Build(t, home, "org.example.Meadow", "1", sample.App("org.example.Meadow")))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(a.Entries, []string{"Sample"}) || !reflect.DeepEqual(a.Types, []string{"Sample"}) ||
		!reflect.DeepEqual(a.Services, []string{"org.example.Meadow"}) || len(a.Commands) != 0 {
		t.Errorf("it adds %+v", a)
	}
}

func TestProgram(t *testing.T) {
	f, err := os.Open("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p, err := readProgram(f)
	if err != nil {
		t.Fatal(err)
	}
	if p.loader == "" || len(p.needed) == 0 || p.version == "" {
		t.Errorf("the system's shell asks for %+v", p)
	}
	if lacks := p.lacks("/opt/bundle", nil, thisHost()); len(lacks) != 0 {
		t.Errorf("the system's shell lacks %+v", lacks)
	}
	none := host{has: func(string) bool { return false }}
	old := host{has: func(string) bool { return true }, library: func(string) bool { return false }, version: "2.1"}
	if lacks := p.lacks("/opt/bundle", nil, none); len(lacks) != 1 || lacks[0].Kind != state.LackLoader {
		t.Errorf("without its loader it lacks %+v", lacks)
	}
	lacks := p.lacks("/opt/bundle", nil, old)
	if len(lacks) != 2 || lacks[0].Kind != state.LackLibc || lacks[1].Kind != state.LackLibraries {
		t.Errorf("on an old system without libraries it lacks %+v", lacks)
	}
	if lacks := p.lacks("/opt/bundle", map[string]bool{"libc.so.6": true}, old); len(lacks) != 0 {
		t.Errorf("with a C library of its own it lacks %+v", lacks)
	}
}

// FuzzProgram: no file makes it panic or read for ever.
func FuzzProgram(f *testing.F) {
	if data, err := os.ReadFile("/bin/true"); err == nil {
		f.Add(data)
	}
	f.Add([]byte("\x7fELF\x02\x01"))
	f.Fuzz(func(_ *testing.T, data []byte) { _, _ = readProgram(bytes.NewReader(data)) })
}

func FuzzMetainfo(f *testing.F) {
	f.Add([]byte("<component><description><p>a</p></description></component>"))
	f.Fuzz(func(_ *testing.T, data []byte) {
		var id state.Identity
		parseMetainfo(data, []string{"de"}).describe(&id)
	})
}

func TestDecodeIcon(t *testing.T) {
	for _, c := range []struct {
		name string
		data []byte
		want int
	}{
		{"large", icon(256), 96},
		{"small", icon(48), 48},
		{"too large", icon(maxIcon + 1), 0},
		{"broken", icon(48)[:60], 0},
		{"nothing", nil, 0},
	} {
		got := 0
		if img := decodeIcon(c.data, 96); img != nil {
			got = img.Bounds().Dx()
		}
		if got != c.want {
			t.Errorf("%s: %d pixels, want %d", c.name, got, c.want)
		}
	}
}

func TestLanguages(t *testing.T) {
	for _, c := range []struct {
		all, language string
		want          []string
	}{
		{"", "", nil},
		{"C", "de", nil},
		{"de_AT.UTF-8", "", []string{"de_AT", "de"}},
		{"sr_RS.UTF-8@latin", "", []string{"sr_RS@latin", "sr@latin", "sr_RS", "sr"}},
		{"en_GB.UTF-8", "fr:de_CH", []string{"fr", "de_CH", "de", "en_GB", "en"}},
	} {
		t.Setenv("LC_ALL", c.all)
		t.Setenv("LC_MESSAGES", "")
		t.Setenv("LANG", "")
		t.Setenv("LANGUAGE", c.language)
		if got := Languages(); !reflect.DeepEqual(got, c.want) {
			t.Errorf("LC_ALL=%s LANGUAGE=%s: %q, want %q", c.all, c.language, got, c.want)
		}
	}
}

func TestHostileMetainfo(t *testing.T) {
	for _, data := range []string{
		"", "<", "<component>", strings.Repeat("<component>", 10000), "<component><summary>a</component>",
		"<component><summary>\xff\x00</summary></component>", "<?xml version='1.0' encoding='x'?><component><summary>a</summary></component>",
		"<!DOCTYPE x [<!ENTITY a 'b'>]><component><summary>&a;</summary></component>",
	} {
		var id state.Identity
		parseMetainfo([]byte(data), nil).describe(&id)
		describeFromDesktop(&id, []byte(data), nil)
	}
}

func TestStart(t *testing.T) {
	newHome(t)
	words, err := start([]string{"sh", "-c", "echo one >&2; echo two >&2; exit 3"}, nil, 5*time.Second)
	if !errors.Is(err, ErrEnded) || words != "one\ntwo\n" {
		t.Errorf("a program that fails at once: %q, %v", words, err)
	}
	if words, err := start([]string{"sh", "-c", "echo bye >&2"}, nil, 5*time.Second); err != nil || words != "" {
		t.Errorf("a program that ends well at once: %q, %v", words, err)
	}
	for signal, want := range map[string]error{"TERM": nil, "INT": nil, "HUP": nil, "SEGV": ErrEnded, "ABRT": ErrEnded, "KILL": ErrEnded} {
		if _, err := start([]string{"sh", "-c", "ulimit -c 0; kill -" + signal + " $$"}, nil, 5*time.Second); !errors.Is(err, want) {
			t.Errorf("ended by SIG%s: %v, want %v", signal, err, want)
		}
	}
	if _, err := start([]string{"/nothing"}, nil, time.Second); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a program that is not there: %v", err)
	}
}

// TestStartOutlives has a program write to its standard error after nobody watches it any more.
func TestStartOutlives(t *testing.T) {
	home := newHome(t)
	done := filepath.Join(home, "done")
	script := fmt.Sprintf("sleep 0.4; echo late >&2 && echo later >&2 && echo ok > %s", done)
	if _, err := start([]string{"sh", "-c", script}, nil, 100*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	runtime.GC() // nothing of this process may be needed for the pipe to live on
	for range 100 {
		if data, err := os.ReadFile(done); err == nil && len(data) > 0 {
			return
		}
		time.Sleep(30 * time.Millisecond)
	}
	t.Error("the program did not live on")
}
