// SPDX-License-Identifier: MIT

// Command exportapp is an application that says how it was started, one line each time, in the file exports.log of the home
// folder. With --gapplication-service it is what D-Bus starts: it answers as an application should, and ends after a while.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
)

// idle is how long it waits for further calls.
const idle = 2 * time.Second

func main() {
	say := func(words ...string) {
		f, err := os.OpenFile(filepath.Join(os.Getenv("HOME"), "exports.log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		defer f.Close()
		fmt.Fprintln(f, strings.Join(words, " "))
	}
	if len(os.Args) != 2 || os.Args[1] != "--gapplication-service" {
		say(append([]string{filepath.Base(os.Args[0])}, os.Args[1:]...)...)
		return
	}
	if err := serve(say); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// application answers to org.freedesktop.Application (Desktop Entry Specification, "D-Bus activation").
type application struct {
	say    func(...string)
	called chan struct{}
}

func (a application) note(words ...string) *dbus.Error {
	a.say(words...)
	a.called <- struct{}{}
	return nil
}

func (a application) Activate(map[string]dbus.Variant) *dbus.Error { return a.note("Activate") }

func (a application) Open(uris []string, _ map[string]dbus.Variant) *dbus.Error {
	return a.note(append([]string{"Open"}, uris...)...)
}

func (a application) ActivateAction(name string, _ []dbus.Variant, _ map[string]dbus.Variant) *dbus.Error {
	return a.note("ActivateAction", name)
}

func serve(say func(...string)) error {
	conn, err := dbus.ConnectSessionBus()
	if err != nil {
		return err
	}
	defer conn.Close()
	id := os.Getenv("BUNDLE_ID")
	a := application{say, make(chan struct{}, 16)}
	if err := conn.Export(a, dbus.ObjectPath("/"+strings.ReplaceAll(id, ".", "/")), "org.freedesktop.Application"); err != nil {
		return err
	}
	if reply, err := conn.RequestName(id, dbus.NameFlagDoNotQueue); err != nil || reply != dbus.RequestNameReplyPrimaryOwner {
		return fmt.Errorf("cannot take the name %s: %d, %w", id, reply, err)
	}
	for {
		select {
		case <-a.called:
		case <-conn.Context().Done():
			return nil
		case <-time.After(idle):
			return nil
		}
	}
}
