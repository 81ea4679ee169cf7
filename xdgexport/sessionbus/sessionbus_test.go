// SPDX-License-Identifier: MIT

package sessionbus

import (
	"bufio"
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/adrg/xdg"
	"github.com/godbus/dbus/v5"
	"github.com/godbus/dbus/v5/introspect"

	"glick.org/glick/bundle"
	"glick.org/glick/internal/sample"
	"glick.org/glick/runtime/session"
	"glick.org/glick/xdgexport/apps"
	"glick.org/glick/xdgexport/apps/trust"
)

// The test's own program is a service when it is told so: another process, without building anything.
func TestMain(m *testing.M) {
	if os.Getenv("GLICK_TEST_SERVE") != "" {
		if err := serve(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// serve is a service until its standard input ends. It says on its standard output what it is asked for.
func serve() error {
	ctx, end := context.WithCancel(context.Background())
	defer end()
	conn, err := Connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = Serve(ctx, conn, ServerOptions{
		Version: "1.2",
		Sync: func(context.Context) error {
			fmt.Println("sync")
			if _, err := os.Stat(filepath.Join(xdg.DataHome, "sync-fails")); err == nil {
				return fmt.Errorf("cannot show it: %w", syscall.ENOSPC)
			}
			return nil
		},
		Begin: func() func(*apps.App) {
			fmt.Println("begin")
			return func(a *apps.App) { fmt.Println("end", a != nil) }
		},
	})
	if err != nil {
		return err
	}
	fmt.Println("serving")
	go func() {
		_, _ = os.Stdin.Read(make([]byte, 1))
		end()
	}()
	select {
	case <-ctx.Done():
	case <-conn.Context().Done():
	}
	return nil
}

// place is a home with a bus, and perhaps a service.
type place struct {
	t       *testing.T
	home    string
	address string
	conn    *dbus.Conn // of a stranger
	said    chan string
	service *exec.Cmd
}

// newPlace makes a home this process's own, with a bus.
func newPlace(t *testing.T) *place {
	t.Helper()
	p := &place{t: t, home: t.TempDir(), said: make(chan string, 1000)}
	runtimeDir := t.TempDir()
	if err := os.Chmod(runtimeDir, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(xdg.Reload) // cleanups run last to first: after the environment is as it was
	t.Setenv("HOME", p.home)
	t.Setenv("XDG_RUNTIME_DIR", runtimeDir)
	for _, name := range []string{"XDG_CACHE_HOME", "XDG_DATA_HOME"} {
		t.Setenv(name, "")
	}
	p.startBus(runtimeDir)
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", p.address)
	xdg.Reload()
	conn, err := dbus.Connect(p.address)
	if err != nil {
		t.Fatal(err)
	}
	p.conn = conn
	t.Cleanup(func() { conn.Close() })
	return p
}

func (p *place) startBus(runtimeDir string) {
	p.t.Helper()
	daemon, err := exec.LookPath("dbus-daemon")
	if err != nil {
		p.t.Skip("dbus-daemon is not installed")
	}
	self, err := os.Executable()
	if err != nil {
		p.t.Fatal(err)
	}
	services := p.t.TempDir()
	activated := fmt.Sprintf("[D-BUS Service]\nName=org.example.Unrelated\nExec=%s\n", self)
	if err := os.WriteFile(filepath.Join(services, "x.service"), []byte(activated), 0o644); err != nil {
		p.t.Fatal(err)
	}
	config := filepath.Join(runtimeDir, "bus.conf")
	err = os.WriteFile(config, []byte(`<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:path=`+runtimeDir+`/bus</listen><servicedir>`+services+`</servicedir>
<limit name="max_replies_per_connection">50000</limit>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>`), 0o600)
	if err != nil {
		p.t.Fatal(err)
	}
	cmd := exec.Command(daemon, "--nofork", "--print-address", "--config-file="+config)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		p.t.Fatal("the bus does not start: ", err)
	}
	p.address = strings.TrimSpace(address)
}

// serve starts a service until the test ends.
func (p *place) serve() {
	p.t.Helper()
	self, err := os.Executable()
	if err != nil {
		p.t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "GLICK_TEST_SERVE=1")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		p.t.Fatal(err)
	}
	p.service = cmd
	read := make(chan struct{})
	ready := make(chan struct{})
	go func() {
		defer close(read)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if lines.Text() == "serving" {
				close(ready)
				continue
			}
			select {
			case p.said <- lines.Text():
			default: // nobody asks
			}
		}
	}()
	p.t.Cleanup(func() {
		in.Close()
		<-read
		err := cmd.Wait()
		if stderr.Len() > 0 || p.t.Failed() {
			p.t.Errorf("the service: %v: %s", err, stderr.String())
		}
	})
	select {
	case <-ready:
	case <-read:
	case <-time.After(20 * time.Second):
	}
}

// asked tells what the service was asked for since the last time. Everything that was answered is in it.
func (p *place) asked() (all []string) {
	p.t.Helper()
	for {
		select {
		case s := <-p.said:
			all = append(all, s)
		case <-time.After(100 * time.Millisecond):
			return all
		}
	}
}

// wait waits until the service has said one of these.
func (p *place) wait(what ...string) string {
	p.t.Helper()
	limit := time.After(20 * time.Second)
	for {
		select {
		case s := <-p.said:
			if slices.Contains(what, s) {
				return s
			}
		case <-limit:
			p.t.Fatalf("the service did not say %q", what)
		}
	}
}

func (p *place) object() dbus.BusObject { return p.conn.Object(Name, Path) }

const id = "org.example.Sample"

func build(t *testing.T, version string) string {
	t.Helper()
	return sample.Build(t, t.TempDir(), id, version, sample.App(id))
}

func (p *place) installed() []string {
	p.t.Helper()
	entries, err := os.ReadDir(filepath.Join(p.home, "Apps"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		p.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// Whatever the client's side is asked, the answer is the same with a service and without, down to the words of the errors.
func TestSameWithAndWithoutService(t *testing.T) {
	type outcome struct{ what, err, is string }
	var outcomes [2][]outcome
	// Both ways look at the same files under the same names.
	sources := t.TempDir()
	first, second := sample.Build(t, sources, id, "1.0", sample.App(id)), sample.Build(t, sources, id, "2.0", sample.App(id))
	broken, short := filepath.Join(sources, "broken"), filepath.Join(sources, "short.bundle")
	if err := os.WriteFile(broken, []byte("no"), 0o600); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(first)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(short, data[:len(data)-100], 0o600); err != nil {
		t.Fatal(err)
	}
	for n, withService := range []bool{false, true} {
		t.Run(map[bool]string{false: "without", true: "with"}[withService], func(t *testing.T) {
			p := newPlace(t)
			if withService {
				p.serve()
			}
			note := func(what string, err error) {
				o := outcome{what: what}
				if err != nil {
					o.err = strings.NewReplacer(p.home, "HOME", os.Getenv("XDG_RUNTIME_DIR"), "RUN").Replace(err.Error())
				}
				o.is = nameOf(err)
				outcomes[n] = append(outcomes[n], o)
			}
			app := func(a apps.App) string { return strings.ReplaceAll(fmt.Sprintf("%+v", a), p.home, "HOME") }
			var last, sum int64
			a, err := Install(t.Context(), first, apps.InstallOptions{Progress: func(done, total int64) { last, sum = done, total }})
			note(app(a), err)
			if last != sum || sum != int64(len(data)) {
				t.Errorf("progress ended with %d of %d", last, sum)
			}
			b, err := Install(t.Context(), second, apps.InstallOptions{KeepBoth: true})
			note(app(b), err)
			// One that cannot be moved is there, and told.
			fixed := filepath.Join(sources, "fixed", "3.bundle")
			if err := errors.Join(os.MkdirAll(filepath.Dir(fixed), 0o755), os.WriteFile(fixed, data, 0o644), os.Chmod(filepath.Dir(fixed), 0o555)); err != nil {
				t.Fatal(err)
			}
			c, err := Install(t.Context(), fixed, apps.InstallOptions{Move: true})
			note("moved "+app(c), err)
			if !errors.Is(err, apps.ErrSourceLeft) || !errors.Is(err, fs.ErrPermission) {
				t.Errorf("moved: %v", err)
			}
			if err := os.Chmod(filepath.Dir(fixed), 0o755); err != nil {
				t.Fatal(err)
			}
			for _, file := range []string{broken, short, "/does/not/exist", sources, "/dev/null", ""} {
				a, err := Install(t.Context(), file, apps.InstallOptions{})
				note("bad "+app(a), err)
			}
			note("default", SetDefault(id, "1.0"))
			note("default", SetDefault(id, "7"))
			note("autostart", SetAutostart(id, true))
			note("autostart", SetAutostart("a.b.None", true))
			note("autostart", SetAutostart(id, false))
			note("exports", SetExports(map[apps.Export]bool{apps.ExportFonts: false, apps.ExportCommands: true}))
			note(fmt.Sprint(apps.SwitchedOff()), SetExports(map[apps.Export]bool{"nonsense": false}))
			note("exports", SetExports(nil))
			note("excepted", SetExcepted(id, true))
			note("excepted", SetExcepted("a.b.None", true))
			note("excepted", SetExcepted(id, false))
			note("accept", Accept(id, "SHA256:"+strings.Repeat("A", 43)))
			note("accept", Accept(id, a.Digest.String()))
			note("accept", Accept(id, "nonsense"))
			note("accept", AcceptKey(id, trust.Key{Fingerprint: "SHA256:" + strings.Repeat("A", 43), Comment: "Me"}))
			if err := os.WriteFile(filepath.Join(p.home, "Apps", "x.bundle"), []byte("no"), 0o600); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2100 * time.Millisecond) // it is not judged before
			list, problems, err := List()
			for _, a := range list {
				note(app(a), err)
			}
			for _, p := range problems {
				note(fmt.Sprint(p.Content, p.Incomplete()), p)
			}
			if len(list) != 2 || len(problems) != 1 {
				t.Errorf("%v %v", list, problems)
			}
			note("forget", Forget(id))
			note("remove", Remove(t.Context(), filepath.Join(p.home, "Apps", "x.bundle")))
			note("remove", Remove(t.Context(), filepath.Join(p.home, "Apps", "x.bundle")))
			note("remove", Remove(t.Context(), first))
			undo, err := Uninstall(t.Context(), b.File)
			note("uninstall", err)
			note(strings.Join(p.installed()[1:], " "), nil) // a hidden name has the number of a process in it
			note("undo", undo())
			note(strings.Join(p.installed(), " "), nil)
			_, err = Instances(t.Context())
			note("instances", err)
			note("sync", Sync(t.Context(), func() error { return nil }))
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_, err = Install(ctx, first, apps.InstallOptions{})
			note("cancelled", err)
			if asked := p.asked(); (len(asked) > 0) != withService {
				t.Errorf("the service was asked for %v", asked)
			}
		})
	}
	for n := range max(len(outcomes[0]), len(outcomes[1])) {
		if n >= len(outcomes[0]) || n >= len(outcomes[1]) || !reflect.DeepEqual(outcomes[0][n], outcomes[1][n]) {
			t.Errorf("%d differs:\n%+v\n%+v", n, outcomes[0][min(n, len(outcomes[0])-1)], outcomes[1][min(n, len(outcomes[1])-1)])
		}
	}
}

// Every field of an application, an instance and a problem goes over the bus.
func TestWire(t *testing.T) {
	var fill func(v reflect.Value, n *int)
	fill = func(v reflect.Value, n *int) {
		*n++
		switch v.Kind() {
		case reflect.String:
			v.SetString(fmt.Sprint("text ", *n))
		case reflect.Bool:
			v.SetBool(true)
		case reflect.Int, reflect.Int64:
			v.SetInt(int64(*n) % int64(trust.Damaged+1))
		case reflect.Uint8:
			v.SetUint(uint64(*n % 256))
		case reflect.Array:
			for i := range v.Len() {
				fill(v.Index(i), n)
			}
		case reflect.Struct:
			for i := range v.NumField() {
				fill(v.Field(i), n)
			}
		default:
			t.Fatalf("a field of kind %v: teach this test, and EncodeApp", v.Kind())
		}
	}
	var a apps.App
	n := 0
	fill(reflect.ValueOf(&a).Elem(), &n)
	if got := decodeApp(EncodeApp(a)); got != a {
		t.Errorf("%+v\n%+v", got, a)
	}
	if got := decodeApp(EncodeApp(apps.App{})); got != (apps.App{}) {
		t.Errorf("%+v", got)
	}
	i := session.Instance{ID: "a.b", Version: "1", File: "/x", PID: 12, Started: time.Unix(0, 1234567890123456789), Prefix: "/p"}
	if got := decodeInstance(EncodeInstance(i)); got != i {
		t.Errorf("%+v", got)
	}
	p := apps.Problem{File: "/a/\xff\x00", Err: fmt.Errorf("it is so: %w", bundle.ErrTruncated), Content: "c"}
	got := decodeProblem(encodeProblem(p))
	if got.File != "/a/\uFFFD\uFFFD" || !got.Incomplete() || !errors.Is(got, bundle.ErrTruncated) || got.Err.Error() != p.Err.Error() || got.Content != "c" {
		t.Errorf("%+v", got)
	}
	// What another one sends may be anything.
	hostile := dict{"id": dbus.MakeVariant(1), "size": dbus.MakeVariant("x"), "digest": dbus.MakeVariant("zz"), "system": dbus.MakeVariant("true")}
	if got := decodeApp(hostile); got != (apps.App{}) {
		t.Errorf("%+v", got)
	}
}

// Every error that has a name comes back as itself.
func TestErrors(t *testing.T) {
	for _, e := range errorNames {
		wrapped := fmt.Errorf("cannot do it: because of %w", e.err)
		sent := encodeError(wrapped)
		got, ours := decodeError(*sent, "cannot do it: ", "cannot do that: ")
		if !ours || !errors.Is(got, e.err) || got.Error() != "cannot do that: because of "+e.err.Error() || sent.Name != errorPrefix+e.name {
			t.Errorf("%s: %v, %v", e.name, got, sent)
		}
		if got, _ := decodeError(*sent, "", ""); got.Error() != wrapped.Error() {
			t.Errorf("%s: %v", e.name, got)
		}
	}
	for _, err := range []error{
		fmt.Errorf("cannot install /x: %w: %w", apps.ErrSourceLeft, syscall.EACCES), fmt.Errorf("cannot install /x: %w", apps.ErrSourceLeft),
		fmt.Errorf("cannot install /x: %w: %w", apps.ErrSourceLeft, errors.New("so it is")),
	} {
		d := dict{}
		encodeLeft(d, "cannot install /x: ", err)
		got := decodeLeft(d, "cannot install /x: ")
		if got.Error() != err.Error() || !errors.Is(got, apps.ErrSourceLeft) || errors.Is(got, fs.ErrPermission) != errors.Is(err, fs.ErrPermission) {
			t.Errorf("%v came as %v", err, got)
		}
	}
	if err := decodeLeft(dict{keyLeft: dbus.MakeVariant(1)}, ""); err != nil {
		t.Error(err)
	}
	if sent := encodeError(errors.New("x\x00\xff")); sent.Name != errorFailed || sent.Body[0] != "x\uFFFD\uFFFD" {
		t.Errorf("%v", sent)
	}
	for _, strange := range []dbus.Error{{Name: errorFailed}, {Name: errorPrefix + "Later", Body: []any{1, 2}}} {
		if got, ours := decodeError(strange, "", "w: "); !ours || got == nil {
			t.Errorf("%v: %v", strange, got)
		}
	}
	if _, ours := decodeError(dbus.Error{Name: "org.freedesktop.DBus.Error.ServiceUnknown"}, "", ""); ours {
		t.Error("an error of the bus counts as the service's")
	}
}

// The description says what the object has, and nothing else.
func TestDescription(t *testing.T) {
	var node introspect.Node
	if err := xml.Unmarshal([]byte(Description), &node); err != nil || len(node.Interfaces) != 1 || node.Interfaces[0].Name != Interface || node.Name != Path {
		t.Fatal(err, node)
	}
	described := map[string]string{}
	for _, m := range node.Interfaces[0].Methods {
		for _, a := range m.Args {
			described[m.Name] += a.Direction + " " + a.Type + " "
		}
		described[m.Name] += ""
	}
	made := map[string]string{}
	typ := reflect.TypeFor[*methods]()
	for i := range typ.NumMethod() {
		m := typ.Method(i)
		if m.Type.In(1) != reflect.TypeFor[dbus.Message]() {
			t.Errorf("%s does not look at who calls it", m.Name)
		}
		s := ""
		for k := 2; k < m.Type.NumIn(); k++ {
			s += "in " + dbus.SignatureOfType(m.Type.In(k)).String() + " "
		}
		for k := range m.Type.NumOut() - 1 {
			s += "out " + dbus.SignatureOfType(m.Type.Out(k)).String() + " "
		}
		made[m.Name] = s
	}
	if !reflect.DeepEqual(described, made) {
		t.Errorf("described %v\nmade %v", described, made)
	}
	properties, _ := (&properties{}).GetAll(Interface)
	for _, p := range node.Interfaces[0].Properties {
		if v, ok := properties[p.Name]; !ok || v.Signature().String() != p.Type || p.Access != "read" {
			t.Errorf("property %s: %v", p.Name, v)
		}
		delete(properties, p.Name)
	}
	if len(properties) > 0 {
		t.Errorf("not described: %v", properties)
	}
	signals := map[string]string{}
	for _, s := range node.Interfaces[0].Signals {
		signals[s.Name] = ""
		for _, a := range s.Args {
			signals[s.Name] += a.Type
		}
	}
	want := map[string]string{
		SignalProgress: "stt", SignalInstalled: "sa{sv}", SignalChangedApp: "sa{sv}", SignalUninstalled: "s", SignalStarted: "sua{sv}", SignalEnded: "su",
		SignalChanged: "",
	}
	if !reflect.DeepEqual(signals, want) {
		t.Errorf("signals %v, want %v", signals, want)
	}
	text, err := os.ReadFile("../../doc/session.md")
	if err != nil {
		t.Fatal(err)
	}
	for name := range described {
		if !strings.Contains(string(text), "`"+name+"(") {
			t.Errorf("doc/session.md does not say what %s does", name)
		}
	}
	for _, e := range errorNames {
		if !strings.Contains(string(text), "`"+e.name+"`") {
			t.Errorf("doc/session.md does not say what %s means", e.name)
		}
	}
	p := newPlace(t)
	p.serve()
	var answered string
	if err := p.object().Call("org.freedesktop.DBus.Introspectable.Introspect", 0).Store(&answered); err != nil {
		t.Fatal(err)
	}
	var live introspect.Node
	if err := xml.Unmarshal([]byte(answered), &live); err != nil || len(live.Interfaces) != 4 || !reflect.DeepEqual(live.Interfaces[0], node.Interfaces[0]) {
		t.Errorf("%v: %s", err, answered)
	}
	if gdbus, err := exec.LookPath("gdbus"); err == nil {
		out, err := exec.Command(gdbus, "introspect", "--session", "--dest", Name, "--object-path", Path).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "ApplicationInstalled") || !strings.Contains(string(out), "Version = '1.2'") {
			t.Errorf("%v: %s", err, out)
		}
		// Other libraries show people the message.
		out, _ = exec.Command(gdbus, "call", "--session", "--dest", Name, "--object-path", Path, "--method", Interface+".Uninstall", id, "{}").CombinedOutput()
		if !strings.Contains(string(out), errorPrefix+"NotFound: no application "+id+" is installed") {
			t.Errorf("%s", out)
		}
	}
}

func TestProperties(t *testing.T) {
	p := newPlace(t)
	p.serve()
	v, err := p.object().GetProperty(Interface + ".Version")
	if err != nil || v.Value() != "1.2" {
		t.Error(v, err)
	}
	if v, err := p.object().GetProperty(Interface + ".Folders"); err != nil || v.Value().([]string)[0] != filepath.Join(p.home, "Apps") {
		t.Error(v, err)
	}
	if _, err := p.object().GetProperty(Interface + ".Nonsense"); err == nil {
		t.Error("there is a property that is none")
	}
	if err := p.object().SetProperty(Interface+".Version", dbus.MakeVariant("2")); err == nil {
		t.Error("a property was set")
	}
}

// A service that looks into another home is not asked, and nor is one that is no service of ours.
func TestAnotherHome(t *testing.T) {
	p := newPlace(t)
	p.serve()
	here := t.TempDir()
	t.Setenv("HOME", here)
	xdg.Reload()
	if app, err := Install(t.Context(), build(t, "1"), apps.InstallOptions{}); err != nil || filepath.Dir(app.File) != filepath.Join(here, "Apps") {
		t.Error(app, err)
	}
	if list, _, err := List(); err != nil || len(list) != 1 {
		t.Error(list, err)
	}
	if asked := p.asked(); len(asked) > 0 || len(p.installed()) > 0 {
		t.Errorf("asked for %v, installed %v", asked, p.installed())
	}
}

// big is a bundle that takes a while to check.
func big(t *testing.T) string {
	t.Helper()
	tree := sample.App(id)
	noise := make([]byte, 48<<20)
	x := uint32(1)
	for i := range noise {
		x = x*1664525 + 1013904223
		noise[i] = byte(x >> 24)
	}
	tree["share/noise"] = string(noise)
	return sample.Build(t, t.TempDir(), id, "9", tree)
}

// clean says that nothing is installed, and no half file is there.
func (p *place) clean() {
	p.t.Helper()
	limit := time.Now().Add(10 * time.Second)
	for len(p.installed()) > 0 {
		if time.Now().After(limit) {
			p.t.Fatalf("left: %v", p.installed())
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// midway tries something in the middle of an installation until it was in the middle: on a busy machine the installation may be quicker.
func (p *place) midway(try func() (inTime bool)) {
	p.t.Helper()
	for range 20 {
		if try() {
			return
		}
		for _, name := range p.installed() {
			os.Remove(filepath.Join(p.home, "Apps", name))
		}
	}
	p.t.Error("every installation was quicker")
}

func TestCancel(t *testing.T) {
	p := newPlace(t)
	p.serve()
	src := big(t)
	t.Run("by the context", func(t *testing.T) {
		p.midway(func() bool {
			ctx, cancel := context.WithCancel(t.Context())
			_, err := Install(ctx, src, apps.InstallOptions{Progress: func(int64, int64) { cancel() }})
			if err != nil && (!errors.Is(err, context.Canceled) || !strings.HasPrefix(err.Error(), "cannot install "+src+": ")) {
				t.Error(err)
			}
			return err != nil
		})
		p.clean()
	})
	options := map[string]dbus.Variant{"token": dbus.MakeVariant("mine")}
	t.Run("by a call", func(t *testing.T) {
		stranger, err := dbus.Connect(p.address)
		if err != nil {
			t.Fatal(err)
		}
		defer stranger.Close()
		p.midway(func() bool {
			progress := make(chan *dbus.Signal, 1000)
			p.conn.Signal(progress)
			defer p.conn.RemoveSignal(progress)
			call := p.object().Go(Interface+".Install", 0, nil, src, options)
			s := <-progress
			if s.Name != Interface+".Progress" || s.Body[0] != "mine" {
				t.Errorf("%v", s)
			}
			// While it works: nobody else's token, not the same one twice, and other calls are answered.
			name := func(err error) string {
				var bus dbus.Error
				errors.As(err, &bus)
				return bus.Name
			}
			byStranger := name(stranger.Object(Name, Path).Call(Interface+".Cancel", 0, "mine").Err)
			list := stranger.Object(Name, Path).Call(Interface+".List", 0).Err
			second := p.object().Go(Interface+".Install", 0, nil, src, options)
			cancelled := p.object().Call(Interface+".Cancel", 0, "mine").Err
			ended := (<-call.Done).Err
			if ended == nil {
				<-second.Done
				return false
			}
			if byStranger != errorPrefix+"NotFound" || list != nil || cancelled != nil || name(ended) != errorPrefix+"Cancelled" {
				t.Errorf("a stranger's: %s, list: %v, cancel: %v, ended: %v", byStranger, list, cancelled, ended)
			}
			if again := name((<-second.Done).Err); again != errorInvalidArgs && again != errorPrefix+"Cancelled" {
				t.Errorf("a second one: %s", again)
			}
			return true
		})
		p.clean()
	})
	t.Run("by leaving", func(t *testing.T) {
		p.midway(func() bool {
			p.asked()
			leaver, err := dbus.Connect(p.address)
			if err != nil {
				t.Fatal(err)
			}
			progress := make(chan *dbus.Signal, 1000)
			leaver.Signal(progress)
			leaver.Object(Name, Path).Go(Interface+".Install", 0, nil, src, options)
			<-progress
			leaver.Close()
			return p.wait("end false", "end true") == "end false"
		})
		p.clean()
	})
	t.Run("by dying", func(t *testing.T) {
		// The service ends, and the client says so. What is there is whole, or not there.
		_, err := Install(t.Context(), src, apps.InstallOptions{Progress: func(int64, int64) { _ = p.service.Process.Kill() }})
		if err != nil && !errors.Is(err, errLost) {
			t.Error(err)
		}
	})
}

// One caller takes only so many places, and leaves some to others.
func TestLimits(t *testing.T) {
	p := newPlace(t)
	conn, err := Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	s, err := Serve(t.Context(), conn, ServerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var ends []func()
	start := func(caller string) bool {
		_, end, failed := s.startJob(caller, "")
		if failed == nil {
			ends = append(ends, end)
			return true
		}
		if failed.Name != errorLimits {
			t.Error(failed)
		}
		return false
	}
	first := p.conn.Names()[0]
	for n := range maxCallerJobs + 1 {
		if start(first) != (n < maxCallerJobs) {
			t.Errorf("place %d", n)
		}
	}
	for range maxJobs / maxCallerJobs {
		other, err := dbus.Connect(p.address)
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		for range maxCallerJobs {
			start(other.Names()[0])
		}
	}
	if len(ends) != maxJobs {
		t.Errorf("%d at once", len(ends))
	}
	for _, end := range ends {
		end()
	}
	if !start(first) || s.all != 1 || len(s.count) != 1 || len(s.callers.of) != 1 {
		t.Errorf("the places are not free again: %d, %v", s.all, s.count)
	}
	ends[len(ends)-1]()
	if s.all != 0 || len(s.count)+len(s.jobs)+len(s.callers.of) != 0 {
		t.Error("something is left")
	}
	// Who has left before anybody looked is found to have left.
	gone := make(chan bool, 1)
	s.callers.watch(":1.99999", func() { gone <- true })()
	select {
	case <-gone:
	case <-time.After(10 * time.Second):
		t.Error("a caller that is not there is taken for one that is")
	}
}

func TestUninstallKeepsForAWhile(t *testing.T) {
	p := newPlace(t)
	p.serve()
	app, err := Install(t.Context(), build(t, "1"), apps.InstallOptions{})
	if err != nil {
		t.Fatal(err)
	}
	name := []string{filepath.Base(app.File)}
	uninstall := func(conn *dbus.Conn, options map[string]dbus.Variant) (got dict, kept string) {
		t.Helper()
		var m map[string]dbus.Variant
		if err := conn.Object(Name, Path).Call(Interface+".Uninstall", 0, id, options).Store(&m, &kept); err != nil {
			t.Fatal(err)
		}
		return m, kept
	}
	restore := func(kept string, ok bool) {
		t.Helper()
		var bus dbus.Error
		err := p.object().Call(Interface+".Restore", 0, kept).Err
		if ok && err != nil || !ok && (!errors.As(err, &bus) || bus.Name != errorPrefix+"NotFound") {
			t.Errorf("brought back: %v", err)
		}
		if ok && !slices.Equal(p.installed(), name) {
			t.Errorf("installed %v", p.installed())
		}
	}
	minute := dbus.MakeVariant(uint32(60))
	got, kept := uninstall(p.conn, map[string]dbus.Variant{"keep": minute})
	if got.text("id") != id || kept == "" {
		t.Errorf("%v %q", got, kept)
	}
	p.asked()
	restore(kept, true)
	if asked := p.asked(); !slices.Equal(asked, []string{"begin", "end true", "sync"}) {
		t.Errorf("bringing back has asked for %v", asked)
	}
	restore(kept, false)

	// Whoever has asked for it with hold has left.
	leaver, err := dbus.Connect(p.address)
	if err != nil {
		t.Fatal(err)
	}
	_, kept = uninstall(leaver, map[string]dbus.Variant{"keep": minute, "hold": dbus.MakeVariant(true)})
	leaver.Close()
	limit := time.Now().Add(10 * time.Second)
	for {
		// The file is deleted when nobody can bring it back.
		apps.Clean()
		if len(p.installed()) == 0 {
			break
		}
		if time.Now().After(limit) {
			t.Fatalf("left: %v", p.installed())
		}
		time.Sleep(20 * time.Millisecond)
	}
	restore(kept, false)

	again := func() {
		t.Helper()
		if _, err := Install(t.Context(), build(t, "1"), apps.InstallOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	again()
	_, kept = uninstall(p.conn, map[string]dbus.Variant{"keep": minute})
	if err := p.object().Call(Interface+".Discard", 0, kept).Err; err != nil {
		t.Error(err)
	}
	restore(kept, false)
	again()
	_, kept = uninstall(p.conn, map[string]dbus.Variant{"keep": dbus.MakeVariant(uint32(1))})
	time.Sleep(1500 * time.Millisecond)
	restore(kept, false)
	again()
	if _, kept = uninstall(p.conn, map[string]dbus.Variant{}); kept != "" {
		t.Errorf("kept %q", kept)
	}
	var bus dbus.Error
	if err := p.object().Call(Interface+".Uninstall", 0, id, map[string]dbus.Variant{}).Err; !errors.As(err, &bus) || bus.Name != errorPrefix+"NotFound" {
		t.Error(err)
	}
}

// What a desktop's own call does, with the desktop shown it before it is answered.
func TestCallsSync(t *testing.T) {
	p := newPlace(t)
	p.serve()
	src := build(t, "1")
	var got map[string]dbus.Variant
	if err := p.object().Call(Interface+".Install", 0, src, map[string]dbus.Variant{}).Store(&got); err != nil || dict(got).text("id") != id {
		t.Fatal(got, err)
	}
	if asked := p.asked(); !slices.Equal(asked, []string{"begin", "end true", "sync"}) {
		t.Errorf("installing has asked for %v", asked)
	}
	if err := p.object().Call(Interface+".SetDefault", 0, id, "1").Err; err != nil || !slices.Equal(p.asked(), []string{"sync"}) {
		t.Error(err)
	}
	// That the desktop could not be shown something is said by Sync only, and can be told apart.
	if err := os.WriteFile(filepath.Join(xdg.DataHome, "sync-fails"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.object().Call(Interface+".SetDefault", 0, id, "").Err; err != nil {
		t.Error(err)
	}
	if err := Sync(t.Context(), func() error { return nil }); !errors.Is(err, syscall.ENOSPC) {
		t.Error(err)
	}
}

// Callers may be hostile. Whatever they send, the service answers the next one.
func TestHostileCallers(t *testing.T) {
	p := newPlace(t)
	p.serve()
	src := build(t, "1")
	none := map[string]dbus.Variant{}
	long := strings.Repeat("x", 1<<20)
	for _, c := range []struct {
		method string
		args   []any
	}{
		{"Install", []any{"relative", none}}, {"Install", []any{"", none}}, {"Install", []any{"/" + long, none}}, {"Install", []any{src}},
		{"Install", []any{src, none, 1}}, {"Install", []any{int32(7), none}}, {"Install", []any{src, map[string]string{"move": "true"}}},
		{"Install", []any{src, map[string]dbus.Variant{"move": dbus.MakeVariant("true")}}},
		{"Install", []any{src, map[string]dbus.Variant{"token": dbus.MakeVariant(long)}}},
		{"Install", []any{src, map[string]dbus.Variant{"device": dbus.MakeVariant(int32(-1))}}},
		{"Uninstall", []any{"no id", none}}, {"Uninstall", []any{"../x", none}}, {"Uninstall", []any{"", none}}, {"Uninstall", []any{long, none}},
		{"Uninstall", []any{id, map[string]dbus.Variant{"keep": dbus.MakeVariant(int32(-1))}}},
		{"SetDefault", []any{"../../x", "1"}}, {"SetDefault", []any{id, long}}, {"SetDefault", []any{id, byte(1)}}, {"SetDefault", nil}, {"SetAutostart", []any{"../x", true}}, {"SetAutostart", []any{id, "yes"}},
		{"Accept", []any{"", "SHA256:x", none}}, {"Accept", []any{id, long, none}}, {"Accept", []any{id, "x", map[string]dbus.Variant{"comment": dbus.MakeVariant(long)}}},
		{"Forget", []any{long}}, {"Sync", []any{"x"}}, {"List", []any{none}}, {"Instances", []any{1.5}}, {"Cancel", []any{uint64(1)}},
		{"Restore", []any{true}}, {"Exports", []any{"x"}}, {"SetExports", []any{none}}, {"SetExports", []any{map[string]bool{"fonts": false, "../x": true}}},
		{"SetExports", []any{map[string]bool{long: false}}}, {"SetExports", []any{"fonts"}}, {"SetExcepted", []any{"../x", true}}, {"SetExcepted", []any{long, false}}, {"SetExcepted", []any{id}},
	} {
		var bus dbus.Error
		err := p.object().Call(Interface+"."+c.method, 0, c.args...).Err
		if !errors.As(err, &bus) || bus.Name != errorInvalidArgs {
			t.Errorf("%s %.80v: %.200v", c.method, c.args, err)
		}
	}
	// Deep and wide things, by the standard's limits and beyond.
	for depth := 20; depth < 70; depth++ {
		v := dbus.MakeVariant("x")
		for range depth {
			v = dbus.MakeVariant(v)
		}
		call := p.conn.Object(Name, Path).Go(Interface+".Install", 0, nil, src, map[string]dbus.Variant{"unknown": v, "sync": dbus.MakeVariant("no")})
		select {
		case <-call.Done:
		case <-time.After(5 * time.Second):
			t.Fatalf("%d variants in each other are not answered", depth)
		}
		if !p.conn.Connected() {
			// The bus has thrown out who sends what no one may send.
			conn, err := dbus.Connect(p.address)
			if err != nil {
				t.Fatal(err)
			}
			p.conn = conn
			t.Cleanup(func() { conn.Close() })
		}
	}
	wide := map[string]dbus.Variant{}
	for i := range 100_000 {
		wide[fmt.Sprint(i)] = dbus.MakeVariant(i)
	}
	var got map[string]dbus.Variant
	if err := p.object().Call(Interface+".Install", 0, src, wide).Store(&got); err != nil {
		t.Errorf("options that nobody knows: %v", err)
	}
	// Descriptors are not taken at all.
	if file, err := os.Open("/dev/null"); err == nil {
		defer file.Close()
		if err := p.object().Call(Interface+".Restore", 0, dbus.UnixFD(file.Fd())).Err; err == nil {
			t.Error("a descriptor was taken")
		}
	}
	// Signals by which strangers say that a caller, or the service's name, has gone.
	for _, s := range []string{"org.freedesktop.DBus.NameOwnerChanged", "org.freedesktop.DBus.NameLost"} {
		if err := p.conn.Emit("/org/freedesktop/DBus", s, Name, ":1.0", ""); err != nil {
			t.Error(err)
		}
	}
	limit := time.Now().Add(5 * time.Second)
	for {
		var owner bool
		err := p.conn.BusObject().Call("org.freedesktop.DBus.NameHasOwner", 0, Name).Store(&owner)
		if err != nil || !owner {
			t.Fatal("the service has ended: ", owner, err)
		}
		if err = p.object().Call(Interface+".List", 0).Err; err == nil {
			break
		}
		if time.Now().After(limit) {
			t.Fatal(err)
		}
	}
}

// However many calls are sent without waiting for an answer, only so many wait, and the next caller is answered.
func TestFlood(t *testing.T) {
	p := newPlace(t)
	conn, err := Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	hold := make(chan struct{})
	s, err := Serve(t.Context(), conn, ServerOptions{Sync: func(context.Context) error { <-hold; return nil }})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan *dbus.Call, 2*maxCalls)
	for range 2 * maxCalls {
		p.object().Go(Interface+".Sync", 0, done)
	}
	for range maxCalls {
		var bus dbus.Error
		if err := (<-done).Err; !errors.As(err, &bus) || bus.Name != errorLimits {
			t.Fatal(err)
		}
	}
	close(hold)
	for range maxCalls {
		if err := (<-done).Err; err != nil {
			t.Fatal(err)
		}
	}
	if err := p.object().Call(Interface+".List", 0).Err; err != nil {
		t.Error(err)
	}
	limit := time.Now().Add(10 * time.Second)
	for s.calls.Load() != 0 && time.Now().Before(limit) {
		time.Sleep(time.Millisecond)
	}
	if n := s.calls.Load(); n != 0 {
		t.Errorf("%d calls are still counted", n)
	}
}

// A second service finds the name taken.
func TestOneService(t *testing.T) {
	p := newPlace(t)
	p.serve()
	conn, err := Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := Serve(t.Context(), conn, ServerOptions{}); !errors.Is(err, ErrTaken) {
		t.Error(err)
	}
}

func TestSocketOf(t *testing.T) {
	for address, want := range map[string]string{
		"unix:path=/run/user/1000/bus": "/run/user/1000/bus", "unix:path=/a%20b,guid=12": "/a b", "unix:abstract=/tmp/x,guid=1": "@/tmp/x",
		"unix:guid=1,path=/x": "/x",
	} {
		if got, ok := socketOf(address); !ok || got != want {
			t.Errorf("%s: %q", address, got)
		}
	}
	for _, address := range []string{"", "tcp:host=x", "unix:", "unix:tmpdir=/tmp", "unix:path=%zz"} {
		if got, ok := socketOf(address); ok {
			t.Errorf("%s: %q", address, got)
		}
	}
}

func TestWatch(t *testing.T) {
	p := newPlace(t)
	ctx, cancel := context.WithCancel(t.Context())
	changed := make(chan struct{}, 1000)
	ended := make(chan error, 1)
	go func() { ended <- Watch(ctx, func() { changed <- struct{}{} }) }()
	quiet := func() {
		for {
			select {
			case <-changed:
			case <-time.After(500 * time.Millisecond):
				return
			}
		}
	}
	told := func(what string) {
		t.Helper()
		select {
		case <-changed:
		case <-time.After(20 * time.Second):
			t.Fatal("not told: ", what)
		}
		quiet()
	}
	told("the beginning")
	src := build(t, "1")
	data, err := os.ReadFile(src)
	if err == nil {
		err = os.MkdirAll(filepath.Join(p.home, "Apps"), 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(p.home, "Apps", "x.bundle"), data, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	told("a file, without a service")
	conn, err := Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	s, err := Serve(t.Context(), conn, ServerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	told("a service")
	s.Emit(SignalChanged)
	told("what the service says")
	conn.Close()
	told("the end of the service")
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it does not end")
	}
}

// A folder is added and removed, by the service and without one, and whoever listens is told.
func TestFolders(t *testing.T) {
	for _, way := range []string{"service", "no service"} {
		t.Run(way, func(t *testing.T) {
			p := newPlace(t)
			signals := make(chan *dbus.Signal, 10)
			if way == "service" {
				p.serve()
				if err := p.conn.AddMatchSignal(dbus.WithMatchInterface("org.freedesktop.DBus.Properties"), dbus.WithMatchObjectPath(Path)); err != nil {
					t.Fatal(err)
				}
				p.conn.Signal(signals)
			}
			told := func(want ...string) {
				t.Helper()
				if way != "service" {
					return
				}
				select {
				case s := <-signals:
					changed, _ := s.Body[1].(map[string]dbus.Variant)
					if added, _ := changed["AddedFolders"].Value().([]string); s.Body[0] != Interface || !slices.Equal(added, want) {
						t.Errorf("told %v, want %q", s.Body, want)
					}
				case <-time.After(10 * time.Second):
					t.Errorf("was not told of %q", want)
				}
				v, err := p.object().GetProperty(Interface + ".AddedFolders")
				if got, _ := v.Value().([]string); err != nil || !slices.Equal(got, want) {
					t.Errorf("the property is %q, %v", got, err)
				}
			}
			dir := filepath.Join(t.TempDir(), "more")
			if _, err := AddFolder(dir); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("there is none: %v", err)
			}
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			link := dir + "-link"
			if err := os.Symlink(dir, link); err != nil {
				t.Fatal(err)
			}
			if got, err := AddFolder(link); err != nil || got != dir {
				t.Fatal(got, err)
			}
			told(dir)
			if way == "no service" {
				p.serve() // one that comes later knows it
			}
			if _, err := AddFolder(dir); !errors.Is(err, fs.ErrExist) || !strings.HasPrefix(err.Error(), "cannot add the folder "+dir+": ") {
				t.Errorf("twice: %v", err)
			}
			file := sample.Build(t, dir, id, "1", sample.App(id))
			if list, problems, err := List(); err != nil || len(list) != 1 || list[0].File != file || list[0].System || len(problems) > 0 {
				t.Errorf("%+v, %v, %v", list, problems, err)
			}
			for path, want := range map[string]error{"relative": nil, "/": apps.ErrUnsuitable, filepath.Join(dir, "\xff"): fs.ErrNotExist} {
				if _, err := AddFolder(path); err == nil || want != nil && !errors.Is(err, want) {
					t.Errorf("%q: %v", path, err)
				}
			}
			if err := os.Chmod(dir, 0o777); err != nil {
				t.Fatal(err)
			}
			if list, problems, err := List(); err != nil || len(list) != 0 || len(problems) != 1 || !errors.Is(problems[0], apps.ErrStrangers) ||
				!errors.Is(problems[0], fs.ErrPermission) {
				t.Errorf("for all: %+v, %v, %v", list, problems, err)
			}
			if err := RemoveFolder(link); err != nil {
				t.Error(err)
			}
			if way == "service" {
				told()
			}
			if err := RemoveFolder(dir); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("removed twice: %v", err)
			}
			if _, err := AddFolder(dir); !errors.Is(err, apps.ErrStrangers) {
				t.Errorf("for all: %v", err)
			}
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		})
	}
}
