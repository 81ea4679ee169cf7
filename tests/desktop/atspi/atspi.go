// SPDX-License-Identifier: MIT

// Package atspi looks at running programs the way a screen reader does, through the accessibility bus (AT-SPI 2).
// Tests that go this way press what a person presses, and notice when a control cannot be reached without a pointer.
package atspi

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
)

const (
	registry   = "org.a11y.atspi.Registry"
	rootPath   = "/org/a11y/atspi/accessible/root"
	accessible = "org.a11y.atspi.Accessible"
	action     = "org.a11y.atspi.Action"
	component  = "org.a11y.atspi.Component"
	textIface  = "org.a11y.atspi.Text"
	// A program that is busy answers late; one that does not answer at all must not stop the test for ever.
	callTimeout = 5 * time.Second
)

// Tree is the connection to a session's accessibility bus.
type Tree struct {
	conn *dbus.Conn
}

// Connect finds the accessibility bus of the session whose bus is given. The caller closes the Tree.
func Connect(session *dbus.Conn) (*Tree, error) {
	var address string
	if err := session.Object("org.a11y.Bus", "/org/a11y/bus").Call("org.a11y.Bus.GetAddress", 0).Store(&address); err != nil {
		return nil, fmt.Errorf("cannot find the accessibility bus: %w", err)
	}
	conn, err := dbus.Connect(address)
	if err != nil {
		return nil, fmt.Errorf("cannot connect to the accessibility bus: %w", err)
	}
	return &Tree{conn}, nil
}

// Close ends the connection.
func (t *Tree) Close() error { return t.conn.Close() }

// Node is one object that assistive technology sees: a program, window, button…
type Node struct {
	tree *Tree
	bus  string
	path dbus.ObjectPath
}

func (n Node) call(method string, args ...any) *dbus.Call {
	done := make(chan *dbus.Call, 1)
	n.tree.conn.Object(n.bus, n.path).Go(method, 0, done, args...)
	select {
	case c := <-done:
		return c
	case <-time.After(callTimeout):
		return &dbus.Call{Err: fmt.Errorf("no answer to %s within %v", method, callTimeout)}
	}
}

func (n Node) property(iface, name string) (dbus.Variant, error) {
	var v dbus.Variant
	err := n.call("org.freedesktop.DBus.Properties.Get", iface, name).Store(&v)
	return v, err
}

// Programs lists the programs that take part in accessibility.
func (t *Tree) Programs() ([]Node, error) {
	return Node{t, registry, rootPath}.Children()
}

// Children lists what is directly inside.
func (n Node) Children() ([]Node, error) {
	var refs []struct {
		Bus  string
		Path dbus.ObjectPath
	}
	if err := n.call(accessible + ".GetChildren").Store(&refs); err != nil {
		return nil, fmt.Errorf("cannot list the children of %s%s: %w", n.bus, n.path, err)
	}
	nodes := make([]Node, 0, len(refs))
	for _, r := range refs {
		nodes = append(nodes, Node{n.tree, r.Bus, r.Path})
	}
	return nodes, nil
}

// Name is the accessible name; empty when the object has none or is gone.
func (n Node) Name() string {
	v, err := n.property(accessible, "Name")
	if err != nil {
		return ""
	}
	s, _ := v.Value().(string)
	return s
}

// Role is the name of the role in English; push buttons of all versions of GTK are "button".
func (n Node) Role() string {
	var s string
	if n.call(accessible+".GetRoleName").Store(&s) != nil {
		return ""
	}
	if s == "push button" {
		return "button"
	}
	return s
}

// The states that tests ask for, by their number in AtspiStateType.
const (
	StateChecked   = 4
	StateEnabled   = 8
	StateFocused   = 12
	StateSensitive = 24
	StateShowing   = 25
	StateVisible   = 30
)

// Is tells whether the object is in a state.
func (n Node) Is(state int) bool {
	var words []uint32
	if n.call(accessible+".GetState").Store(&words) != nil || len(words) <= state/32 {
		return false
	}
	return words[state/32]&(1<<(state%32)) != 0
}

// Text is the content of a text object.
func (n Node) Text() (string, error) {
	var s string
	if err := n.call(textIface+".GetText", int32(0), int32(-1)).Store(&s); err != nil {
		return "", fmt.Errorf("cannot read the text of %q: %w", n.Name(), err)
	}
	return s, nil
}

// Press does the object's first action, what a button does when it is pressed.
func (n Node) Press() error {
	var ok bool
	if err := n.call(action+".DoAction", int32(0)).Store(&ok); err != nil {
		return fmt.Errorf("cannot press %q: %w", n.Name(), err)
	}
	if !ok {
		return fmt.Errorf("%q cannot be pressed", n.Name())
	}
	return nil
}

// Window is the window that the object is in; the object itself when it is in none.
func (n Node) Window() Node {
	const deepest = 60
	top := n
	for range deepest {
		v, err := top.property(accessible, "Parent")
		if err != nil {
			return top
		}
		var ref struct {
			Bus  string
			Path dbus.ObjectPath
		}
		if dbus.Store([]any{v.Value()}, &ref) != nil || ref.Path == rootPath || strings.HasSuffix(string(ref.Path), "/null") {
			return top
		}
		parent := Node{n.tree, ref.Bus, ref.Path}
		if role := parent.Role(); role == "application" || role == "" {
			return top
		}
		top = parent
	}
	return top
}

// Extents is where the object is in its window, the shadow not counted, in logical pixels.
func (n Node) Extents() (x, y, w, h int, err error) {
	var r struct{ X, Y, W, H int32 }
	const window = uint32(1)
	if err := n.call(component+".GetExtents", window).Store(&r); err != nil {
		return 0, 0, 0, 0, fmt.Errorf("cannot find where %q is: %w", n.Name(), err)
	}
	return int(r.X), int(r.Y), int(r.W), int(r.H), nil
}

// PID is the process that the object belongs to.
func (n Node) PID() (int, error) {
	var pid uint32
	err := n.tree.conn.BusObject().Call("org.freedesktop.DBus.GetConnectionUnixProcessID", 0, n.bus).Store(&pid)
	return int(pid), err
}

// Walk visits the object and all below it, in order; visit returns false to leave out what is below.
func (n Node) Walk(visit func(n Node, depth int) bool) { n.walk(visit, 0) }

func (n Node) walk(visit func(n Node, depth int) bool, depth int) {
	const deepest = 60 // no program has more; a loop in its answers would
	if depth > deepest || !visit(n, depth) {
		return
	}
	children, err := n.Children()
	if err != nil {
		return
	}
	for _, c := range children {
		c.walk(visit, depth+1)
	}
}

// ErrNotFound is returned when nothing matches in time.
var ErrNotFound = errors.New("not found")

// Match chooses objects.
type Match struct {
	Role string // exact, or empty for any
	Name string // exact, or empty for any
	Part string // a part of the name, or empty for any
	Text string // a part of its text, or empty for any
}

func (m Match) String() string {
	return strings.TrimSpace(fmt.Sprintf("%s %q", m.Role, m.Name+m.Part+m.Text))
}

func (m Match) fits(n Node) bool {
	if m.Name != "" || m.Part != "" {
		name := n.Name()
		if m.Name != "" && name != m.Name || !strings.Contains(name, m.Part) {
			return false
		}
	}
	if m.Role != "" && n.Role() != m.Role {
		return false
	}
	if m.Text != "" {
		text, err := n.Text()
		return err == nil && strings.Contains(text, m.Text)
	}
	return true
}

// Find returns the first object at or below n that is visible and matches.
func (n Node) Find(m Match) (Node, bool) {
	var found Node
	var ok bool
	n.Walk(func(c Node, depth int) bool {
		switch {
		case ok || depth > 0 && !c.Is(StateVisible):
			return false
		case m.fits(c):
			found, ok = c, true
		}
		return !ok
	})
	return found, ok
}

// Find returns the first object of the running programs of that name, as they give it themselves, that matches.
func (t *Tree) Find(program string, m Match) (Node, bool) {
	programs, err := t.Programs()
	if err != nil {
		return Node{}, false
	}
	for _, p := range programs {
		if p.Name() != program {
			continue
		}
		if n, ok := p.Find(m); ok {
			return n, true
		}
	}
	return Node{}, false
}

// Wait finds an object of a program, waiting for both to appear.
func (t *Tree) Wait(program string, m Match, timeout time.Duration) (Node, error) {
	deadline := time.Now().Add(timeout)
	for {
		begin := time.Now()
		if n, ok := t.Find(program, m); ok {
			return n, nil
		}
		if time.Now().After(deadline) {
			return Node{}, fmt.Errorf("%s in %s: %w within %v; there is:\n%s", m, program, ErrNotFound, timeout, t.Dump())
		}
		// A program answers us in its main loop: leave it time for its own work, or it never gets to what we wait for.
		time.Sleep(min(max(200*time.Millisecond, 3*time.Since(begin)), 2*time.Second))
	}
}

// Press presses a button of a program, waiting for it to appear and to be enabled.
func (t *Tree) Press(program, name string, timeout time.Duration) error {
	deadline := time.Now().Add(timeout)
	for {
		n, err := t.Wait(program, Match{Role: "button", Name: name}, time.Until(deadline))
		if err != nil {
			return err
		}
		if n.Is(StateSensitive) {
			return n.Press()
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the button %q of %s was never enabled within %v", name, program, timeout)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// Dump prints what assistive technology sees, for messages of failed tests.
func (t *Tree) Dump() string {
	var b strings.Builder
	programs, err := t.Programs()
	if err != nil {
		return err.Error()
	}
	for _, p := range programs {
		b.WriteString(p.Dump())
	}
	return b.String()
}

// Dump prints the object and what is below it that has a name.
func (n Node) Dump() string {
	var b strings.Builder
	n.Walk(func(n Node, depth int) bool {
		const most = 30000
		if name := n.Name(); (name != "" || depth < 2) && b.Len() < most {
			fmt.Fprintf(&b, "%s%s %q\n", strings.Repeat(" ", depth), n.Role(), name)
		}
		return depth == 0 || n.Is(StateVisible)
	})
	return b.String()
}
