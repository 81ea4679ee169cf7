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
	"glick.org/glick/runtime/launch"
	"glick.org/glick/xdgexport/apps"
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
	if len(look.Loaded.Installed) != 0 {
		t.Errorf("installed: %v", look.Loaded.Installed)
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
	undo, err := Install(ctx, one, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	want("install", "1")
	update, err := Install(ctx, two, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	want("update", "2")
	if err := update.Back(ctx); err != nil {
		t.Fatal(err)
	}
	want("undo of the update", "1")
	both, err := Install(ctx, two, true, nil)
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
	update, err = Install(ctx, one, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	update.Forget()
	replaced, err := Install(ctx, two, false, nil)
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
	if _, err := Install(cancelled, one, true, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled install ends with %v", err)
	}
	want("cancelled install", "2")
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
		describeFromMetainfo(&id, []byte(data), nil)
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
