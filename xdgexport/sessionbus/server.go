// SPDX-License-Identifier: MIT

package sessionbus

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/godbus/dbus/v5/introspect"

	"glick.org/glick/bundle"
	"glick.org/glick/runtime/session"
	"glick.org/glick/xdgexport/apps"
	"glick.org/glick/xdgexport/apps/trust"
)

const (
	// Most installations at once, of one caller and of all.
	maxCallerJobs = 4
	maxJobs       = 16
	// maxCalls is how many calls wait for their answers at most, of all callers.
	maxCalls = 512
	// progressTime is the time between two signals of progress.
	progressTime = 100 * time.Millisecond
	// maxKeep is how long an uninstalled file is kept at most.
	maxKeep = time.Hour
	// maxKept is how many of them are kept at once; the oldest goes first.
	maxKept = 64
)

// ErrTaken says that another service has the name.
var ErrTaken = errors.New("another session service has the name " + Name)

// ServerOptions tell what the service does besides what package apps does.
type ServerOptions struct {
	Version string
	// Sync makes the desktop match the bundle folders. It is called from several goroutines.
	Sync func(context.Context) error
	// Begin, when not nil, is told that a caller is about to add bundles to the folders. What it returns is called with what came of it, nil for
	// nothing, before the caller is answered.
	Begin func() (end func(*apps.App))
	// Instances, when not nil, is asked in the place of session.Instances.
	Instances func(context.Context) ([]session.Instance, error)
}

// Server is the service's side.
type Server struct {
	conn    *dbus.Conn
	ctx     context.Context // ends with the service
	o       ServerOptions
	takes   map[string]string // signatures of the methods' arguments
	callers *callers
	kept    kept

	jobsMu sync.Mutex
	jobs   map[job]context.CancelFunc // guarded by jobsMu
	count  map[string]int             // guarded by jobsMu: of jobs, by caller
	all    int                        // guarded by jobsMu: sum of them

	calls atomic.Int64 // that have not been answered

	foldersMu sync.Mutex
	told      []string // guarded by foldersMu: the bundle folders that are known to whoever listens
}

// job is an installation that can be cancelled.
type job struct{ caller, token string }

// Serve takes calls on the connection until ctx or the connection ends. The error is ErrTaken when another service does. The caller closes the
// connection.
func Serve(ctx context.Context, conn *dbus.Conn, o ServerOptions) (*Server, error) {
	s := &Server{
		conn: conn, ctx: ctx, o: o, takes: arguments(Description), callers: newCallers(conn),
		jobs: map[job]context.CancelFunc{}, count: map[string]int{},
	}
	if s.o.Begin == nil {
		s.o.Begin = func() func(*apps.App) { return func(*apps.App) {} }
	}
	if s.o.Instances == nil {
		s.o.Instances = session.Instances
	}
	s.kept.of = map[string]*keptFile{}
	s.told = apps.Folders()
	// Everything is in place before the name is: whoever waits for the name calls at once.
	for name, object := range map[string]any{
		Interface: &methods{s}, "org.freedesktop.DBus.Properties": &properties{s.o.Version},
		"org.freedesktop.DBus.Introspectable": introspect.Introspectable(introspection()),
	} {
		if err := conn.Export(object, Path, name); err != nil {
			return nil, err
		}
	}
	reply, err := conn.RequestName(Name, dbus.NameFlagDoNotQueue)
	if err != nil {
		return nil, fmt.Errorf("cannot take the name %s: %w", Name, err)
	}
	if reply != dbus.RequestNameReplyPrimaryOwner {
		return nil, ErrTaken
	}
	return s, nil
}

// Emit sends a signal to all who listen.
func (s *Server) Emit(signal string, values ...any) {
	_ = s.conn.Emit(Path, Interface+"."+signal, values...) // fails only when the bus is gone
}

// emitTo sends a signal to one.
func (s *Server) emitTo(receiver, signal string, values ...any) {
	s.conn.Send(&dbus.Message{Type: dbus.TypeSignal, Body: values, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldDestination: dbus.MakeVariant(receiver),
		dbus.FieldPath:        dbus.MakeVariant(dbus.ObjectPath(Path)),
		dbus.FieldInterface:   dbus.MakeVariant(Interface),
		dbus.FieldMember:      dbus.MakeVariant(signal),
		dbus.FieldSignature:   dbus.MakeVariant(dbus.SignatureOf(values...)),
	}}, nil)
}

// introspection is the description with the interfaces that every object has.
func introspection() string {
	return strings.Replace(Description, "</node>", introspect.IntrospectDataString+`
  <interface name="org.freedesktop.DBus.Properties">
    <method name="Get"><arg name="interface" direction="in" type="s"/><arg name="property" direction="in" type="s"/><arg name="value" direction="out" type="v"/></method>
    <method name="GetAll"><arg name="interface" direction="in" type="s"/><arg name="properties" direction="out" type="a{sv}"/></method>
    <method name="Set"><arg name="interface" direction="in" type="s"/><arg name="property" direction="in" type="s"/><arg name="value" direction="in" type="v"/></method>
    <signal name="PropertiesChanged"><arg name="interface" type="s"/><arg name="changed" type="a{sv}"/><arg name="invalidated" type="as"/></signal>
  </interface>
  <interface name="org.freedesktop.DBus.Peer">
    <method name="Ping"/>
    <method name="GetMachineId"><arg name="machine_uuid" direction="out" type="s"/></method>
  </interface>
</node>`, 1)
}

// arguments reads of each method what it takes.
func arguments(description string) map[string]string {
	var node introspect.Node
	takes := map[string]string{}
	if xml.Unmarshal([]byte(description), &node) != nil {
		return takes // a test makes sure that it can be read
	}
	for _, i := range node.Interfaces {
		for _, m := range i.Methods {
			takes[m.Name] = ""
			for _, a := range m.Args {
				if a.Direction == "in" {
					takes[m.Name] += a.Type
				}
			}
		}
	}
	return takes
}

// begin finds out who calls; end must be called when the call has been done. The library converts what can be converted, a number to a string even;
// nobody means that. It also starts a goroutine for each call, so that a caller must not have too many of them wait.
func (s *Server) begin(m dbus.Message) (caller string, end func(), failed *dbus.Error) {
	member, _ := m.Headers[dbus.FieldMember].Value().(string)
	signature, _ := m.Headers[dbus.FieldSignature].Value().(dbus.Signature)
	if takes := s.takes[member]; signature.String() != takes {
		return "", nil, invalid("%s takes %q, not %q", member, takes, signature.String())
	}
	caller, _ = m.Headers[dbus.FieldSender].Value().(string)
	if s.calls.Add(1) > maxCalls {
		s.calls.Add(-1)
		return "", nil, dbus.NewError(errorLimits, []any{"too many calls at the same time; wait for one to be answered"})
	}
	return caller, func() { s.calls.Add(-1) }, nil
}

// startJob makes the context of an installation, which ends when its caller leaves, or cancels it. end must be called.
func (s *Server) startJob(caller, token string) (ctx context.Context, end func(), failed *dbus.Error) {
	s.jobsMu.Lock()
	j := job{caller, token}
	switch {
	case s.jobs[j] != nil:
		failed = invalid("the token %q is that of another installation of yours", token)
	case s.count[caller] >= maxCallerJobs || s.all >= maxJobs:
		failed = dbus.NewError(errorLimits, []any{"too many installations at the same time; wait for one to end"})
	}
	if failed != nil {
		s.jobsMu.Unlock()
		return nil, nil, failed
	}
	ctx, cancel := context.WithCancel(s.ctx)
	s.count[caller]++
	s.all++
	if token != "" {
		s.jobs[j] = cancel
	}
	s.jobsMu.Unlock()
	leave := s.callers.watch(caller, cancel)
	return ctx, func() {
		leave()
		cancel()
		s.jobsMu.Lock()
		defer s.jobsMu.Unlock()
		if s.count[caller]--; s.count[caller] == 0 {
			delete(s.count, caller)
		}
		s.all--
		if token != "" {
			delete(s.jobs, j)
		}
	}, nil
}

func (s *Server) sync() { _ = s.o.Sync(s.ctx) } // the service's log has the reason

// methods are what others can call.
type methods struct{ s *Server }

func (m *methods) Install(message dbus.Message, file string, options map[string]dbus.Variant) (map[string]dbus.Variant, *dbus.Error) {
	s := m.s
	caller, done, failed := s.begin(message)
	if failed != nil {
		return nil, failed
	}
	defer done()
	if failed := checkPath(file); failed != nil {
		return nil, failed
	}
	var (
		o             apps.InstallOptions
		token         string
		sync          = true
		device, inode uint64
		d             = dict(options)
	)
	err := errors.Join(take(d, optionKeepBoth, &o.KeepBoth), take(d, optionMove, &o.Move), take(d, optionAccept, &o.Accept),
		take(d, optionToken, &token), take(d, optionSync, &sync), take(d, optionDevice, &device), take(d, optionInode, &inode))
	if err != nil || len(token) > maxToken {
		return nil, invalid("an option of Install is of the wrong type, or too long")
	}
	if device|inode != 0 && !isFile(file, device, inode) {
		return nil, encodeError(fmt.Errorf("%sit is another file here: %w", cannotInstall(file), fs.ErrNotExist))
	}
	ctx, end, failed := s.startJob(caller, token)
	if failed != nil {
		return nil, failed
	}
	defer end()
	if token != "" {
		o.Progress = seldom(func(done, total int64) { s.emitTo(caller, SignalProgress, token, uint64(done), uint64(total)) })
	}
	report := s.o.Begin()
	app, err := apps.Install(ctx, file, o)
	left := errors.Is(err, apps.ErrSourceLeft)
	if err != nil && !left {
		report(nil)
		return nil, encodeError(err)
	}
	report(&app)
	if sync {
		s.sync()
	}
	encoded := EncodeApp(app)
	if left {
		encodeLeft(encoded, cannotInstall(file), err)
	}
	return encoded, nil
}

// checkPath refuses what cannot be meant.
func checkPath(file string) *dbus.Error {
	if !filepath.IsAbs(file) || len(file) > maxPath {
		return invalid("the file must be named by its absolute path")
	}
	return nil
}

// isFile says whether a path leads to the file that somebody else means.
func isFile(path string, device, inode uint64) bool {
	info, err := os.Stat(path)
	if err != nil {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && uint64(st.Dev) == device && st.Ino == inode //nolint:unconvert // Dev is uint32 on some processors
}

// seldom lets through ten calls a second, and always the last one.
func seldom(f func(done, total int64)) func(done, total int64) {
	var last time.Time
	return func(done, total int64) {
		if now := time.Now(); done >= total || now.Sub(last) >= progressTime {
			last = now
			f(done, total)
		}
	}
}

func (m *methods) Cancel(message dbus.Message, token string) *dbus.Error {
	caller, done, failed := m.s.begin(message)
	if failed != nil {
		return failed
	}
	defer done()
	m.s.jobsMu.Lock()
	cancel := m.s.jobs[job{caller, token}]
	m.s.jobsMu.Unlock()
	if cancel == nil {
		return encodeError(fmt.Errorf("no installation of yours has this token: %w", fs.ErrNotExist))
	}
	cancel()
	return nil
}

func (m *methods) Uninstall(message dbus.Message, what string, options map[string]dbus.Variant) (map[string]dbus.Variant, string, *dbus.Error) {
	s := m.s
	caller, done, failed := s.begin(message)
	if failed != nil {
		return nil, "", failed
	}
	defer done()
	var (
		sync = true
		keep uint32
		hold bool
		d    = dict(options)
	)
	if errors.Join(take(d, optionSync, &sync), take(d, optionKeep, &keep), take(d, optionHold, &hold)) != nil {
		return nil, "", invalid("an option of Uninstall is of the wrong type")
	}
	app, failed := find(what)
	if failed != nil {
		return nil, "", failed
	}
	var id string
	if keep == 0 {
		if err := apps.Remove(s.ctx, app.File); err != nil {
			return nil, "", encodeError(err)
		}
	} else {
		undo, err := apps.Uninstall(s.ctx, app.File)
		if err != nil {
			return nil, "", encodeError(err)
		}
		f := &keptFile{undo: undo, app: app}
		id = s.kept.add(f, min(time.Duration(keep)*time.Second, maxKeep))
		if hold {
			f.holdFor(s.callers.watch(caller, func() { s.kept.drop(id) }))
		}
	}
	if sync {
		s.sync()
	}
	return EncodeApp(app), id, nil
}

// find gives the application that is to be uninstalled: of an id the user's own version in use.
func find(what string) (apps.App, *dbus.Error) {
	list, _, err := apps.List()
	if err != nil {
		return apps.App{}, encodeError(err)
	}
	if strings.Contains(what, "/") {
		if failed := checkPath(what); failed != nil {
			return apps.App{}, failed
		}
		what = filepath.Clean(what)
		for _, a := range list {
			if a.File == what {
				return a, nil
			}
		}
		return apps.App{File: what, Name: filepath.Base(what)}, nil
	}
	if bundle.ValidID(what) != nil {
		return apps.App{}, invalid("that is neither an id nor an absolute path")
	}
	err = fmt.Errorf("no application %s is installed: %w", what, fs.ErrNotExist)
	for _, a := range list {
		switch {
		case a.ID != what:
		case !a.System:
			return a, nil
		default:
			err = fmt.Errorf("cannot uninstall %s: %w", what, apps.ErrNotOurs)
		}
	}
	return apps.App{}, encodeError(err)
}

func (m *methods) Restore(message dbus.Message, id string) *dbus.Error {
	_, done, failed := m.s.begin(message)
	if failed != nil {
		return failed
	}
	defer done()
	f := m.s.kept.take(id)
	if f == nil {
		return encodeError(fmt.Errorf("it is no longer kept: %w", fs.ErrNotExist))
	}
	defer f.letGo()
	report := m.s.o.Begin()
	if err := f.undo(); err != nil {
		report(nil)
		return encodeError(err)
	}
	report(&f.app)
	m.s.sync()
	return nil
}

func (m *methods) Discard(message dbus.Message, id string) *dbus.Error {
	_, done, failed := m.s.begin(message)
	if failed != nil {
		return failed
	}
	defer done()
	m.s.kept.drop(id)
	return nil
}

func (m *methods) List(message dbus.Message) ([]map[string]dbus.Variant, []map[string]dbus.Variant, *dbus.Error) {
	_, done, failed := m.s.begin(message)
	if failed != nil {
		return nil, nil, failed
	}
	defer done()
	list, problems, err := apps.List()
	if err != nil {
		return nil, nil, encodeError(err)
	}
	a := make([]map[string]dbus.Variant, 0, len(list))
	for _, app := range list {
		a = append(a, EncodeApp(app))
	}
	p := make([]map[string]dbus.Variant, 0, len(problems))
	for _, problem := range problems {
		p = append(p, encodeProblem(problem))
	}
	return a, p, nil
}

func (m *methods) Instances(message dbus.Message) ([]map[string]dbus.Variant, *dbus.Error) {
	_, done, failed := m.s.begin(message)
	if failed != nil {
		return nil, failed
	}
	defer done()
	ctx, cancel := context.WithTimeout(m.s.ctx, answerTime)
	defer cancel()
	list, err := m.s.o.Instances(ctx)
	if err != nil {
		return nil, encodeError(err)
	}
	out := make([]map[string]dbus.Variant, 0, len(list))
	for _, i := range list {
		out = append(out, EncodeInstance(i))
	}
	return out, nil
}

func (m *methods) SetDefault(message dbus.Message, id, version string) *dbus.Error {
	done, failed := m.beginDecision(message, id, version)
	if failed != nil {
		return failed
	}
	defer done()
	return m.decided(id, apps.SetDefault(id, version))
}

func (m *methods) SetAutostart(message dbus.Message, id string, on bool) *dbus.Error {
	done, failed := m.beginDecision(message, id, "")
	if failed != nil {
		return failed
	}
	defer done()
	return m.decided(id, apps.SetAutostart(id, on))
}

func (m *methods) Accept(message dbus.Message, id, what string, options map[string]dbus.Variant) *dbus.Error {
	done, failed := m.beginDecision(message, id, what)
	if failed != nil {
		return failed
	}
	defer done()
	key := trust.Key{Fingerprint: what}
	d := dict(options)
	if errors.Join(take(d, optionComment, &key.Comment), take(d, optionType, &key.Type), take(d, optionPublic, &key.Public)) != nil ||
		len(key.Comment)+len(key.Type)+len(key.Public) > maxText {
		return invalid("an option of Accept is of the wrong type, or too long")
	}
	if key == (trust.Key{Fingerprint: what}) {
		return m.decided(id, apps.Accept(id, what))
	}
	return m.decided(id, apps.AcceptKey(id, key))
}

func (m *methods) Forget(message dbus.Message, id string) *dbus.Error {
	done, failed := m.beginDecision(message, id, "")
	if failed != nil {
		return failed
	}
	defer done()
	return m.decided(id, apps.Forget(id))
}

// beginDecision is begin for what decides about an id.
func (m *methods) beginDecision(message dbus.Message, id, what string) (end func(), failed *dbus.Error) {
	if len(id) > maxText || len(what) > maxText {
		return nil, invalid("an argument is too long")
	}
	_, end, failed = m.s.begin(message)
	return end, failed
}

// decided answers when something was decided about an id, or err says why not.
func (m *methods) decided(id string, err error) *dbus.Error {
	switch {
	case err == nil:
	case bundle.ValidID(id) != nil:
		return invalid("%v", err)
	default:
		return encodeError(err)
	}
	m.s.sync()
	return nil
}

func (m *methods) Sync(message dbus.Message) *dbus.Error {
	_, done, failed := m.s.begin(message)
	if failed != nil {
		return failed
	}
	defer done()
	if err := m.s.o.Sync(m.s.ctx); err != nil {
		return encodeError(err)
	}
	return nil
}

// properties are org.freedesktop.DBus.Properties of the object.
type properties struct{ version string }

// GetAll also answers for an empty name, which means any interface.
func (p *properties) GetAll(name string) (map[string]dbus.Variant, *dbus.Error) {
	if name != Interface && name != "" {
		return map[string]dbus.Variant{}, nil // the standard interfaces have none
	}
	all := folderProperties()
	all["Version"], all["DataFolder"] = dbus.MakeVariant(p.version), dbus.MakeVariant(text(dataFolder()))
	return all, nil
}

func (p *properties) Get(name, property string) (dbus.Variant, *dbus.Error) {
	all, _ := p.GetAll(name)
	v, ok := all[property]
	if !ok {
		return dbus.Variant{}, dbus.NewError("org.freedesktop.DBus.Error.UnknownProperty", []any{"there is no such property"})
	}
	return v, nil
}

func (p *properties) Set(_, _ string, _ dbus.Variant) *dbus.Error {
	return dbus.NewError("org.freedesktop.DBus.Error.PropertyReadOnly", []any{"no property can be set"})
}
