// SPDX-License-Identifier: MIT

package desk

import (
	"fmt"
	"strconv"
	"time"
)

// A person's hand: programs tell a drag from a click, and a double click from two, by these.
const (
	betweenClicks = 90 * time.Millisecond
	dragStep      = 30 * time.Millisecond
)

func (s *Session) move(x, y int) error {
	if s.Kind == X11 {
		_, err := s.Run("xdotool", "mousemove", strconv.Itoa(x), strconv.Itoa(y))
		return err
	}
	return s.pointer(fmt.Sprintf("notify_absolute_motion(t, %d, %d)", x, y))
}

func (s *Session) button(down bool) error {
	if s.Kind == X11 {
		verb := "mouseup"
		if down {
			verb = "mousedown"
		}
		_, err := s.Run("xdotool", verb, "1")
		return err
	}
	state := "RELEASED"
	if down {
		state = "PRESSED"
	}
	return s.pointer(button(state))
}

func button(state string) string {
	return "notify_button(t, Clutter.BUTTON_PRIMARY, Clutter.ButtonState." + state + ")"
}

// pointer moves the virtual pointer that GNOME Shell makes for us at its first use. The calls follow each other by the given
// time, whatever the machine does meanwhile: GTK judges double clicks by the time that is written in them.
func (s *Session) pointer(calls ...string) error {
	script := `(() => { const {Clutter, GLib} = imports.gi;
		global._glickPointer ??= Clutter.get_default_backend().get_default_seat().create_virtual_device(Clutter.InputDeviceType.POINTER_DEVICE);
		let t = GLib.get_monotonic_time();`
	for _, call := range calls {
		script += fmt.Sprintf("global._glickPointer.%s; t += %d;\n", call, (betweenClicks / 2).Microseconds())
	}
	_, err := s.Eval(script + "return true; })()")
	return err
}

// Click clicks n times at a place on the screen.
func (s *Session) Click(x, y, n int) error {
	if err := s.move(x, y); err != nil {
		return err
	}
	time.Sleep(200 * time.Millisecond)
	// All at once: a busy machine would make two single clicks out of a double click.
	if s.Kind == X11 {
		_, err := s.Run("xdotool", "click", "--repeat", strconv.Itoa(n), "--delay", strconv.Itoa(int(betweenClicks.Milliseconds())), "1")
		return err
	}
	var calls []string
	for range n {
		calls = append(calls, button("PRESSED"), button("RELEASED"))
	}
	return s.pointer(calls...)
}

// Drag presses at one place, travels to the other as a hand does, and lets go there.
func (s *Session) Drag(x0, y0, x1, y1 int) error {
	if err := s.move(x0, y0); err != nil {
		return err
	}
	time.Sleep(300 * time.Millisecond)
	if err := s.button(true); err != nil {
		return err
	}
	time.Sleep(200 * time.Millisecond)
	const steps = 30
	for i := 1; i <= steps; i++ {
		if err := s.move(x0+(x1-x0)*i/steps, y0+(y1-y0)*i/steps); err != nil {
			return err
		}
		time.Sleep(dragStep)
	}
	// The target answers to the last movement over it before the button is let go.
	time.Sleep(300 * time.Millisecond)
	if err := s.move(x1+1, y1+1); err != nil {
		return err
	}
	time.Sleep(300 * time.Millisecond)
	return s.button(false)
}
