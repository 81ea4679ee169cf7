// SPDX-License-Identifier: MIT

package sessionbus

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/godbus/dbus/v5"

	"glick.org/glick/bundle"
	"glick.org/glick/runtime/session"
	"glick.org/glick/xdgexport/apps"
	"glick.org/glick/xdgexport/apps/trust"
)

// dict is a dictionary as it goes over the bus. What is not there, or is of another type, reads as the zero value.
type dict map[string]dbus.Variant

// put adds a value unless it says nothing.
func (d dict) put(key string, value any) {
	switch v := value.(type) {
	case string:
		if v == "" {
			return
		}
		value = text(v)
	case bool:
		if !v {
			return
		}
	}
	d[key] = dbus.MakeVariant(value)
}

func (d dict) text(key string) string { s, _ := d[key].Value().(string); return s }
func (d dict) flag(key string) bool   { b, _ := d[key].Value().(bool); return b }
func (d dict) number(key string) int64 {
	switch n := d[key].Value().(type) {
	case int64:
		return n
	case uint32:
		return int64(n)
	}
	return 0
}

// text makes a string one that the bus lets through: UTF-8, without zero bytes.
func text(s string) string {
	if utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 {
		return s
	}
	return strings.Map(func(r rune) rune {
		if r == 0 {
			return utf8.RuneError
		}
		return r
	}, s)
}

// EncodeApp is an application as a dictionary.
func EncodeApp(a apps.App) map[string]dbus.Variant {
	d := dict{
		"id": dbus.MakeVariant(text(a.ID)), "version": dbus.MakeVariant(text(a.Version)), "name": dbus.MakeVariant(text(a.Name)),
		"file": dbus.MakeVariant(text(a.File)), "size": dbus.MakeVariant(a.Size), "system": dbus.MakeVariant(a.System),
		"default": dbus.MakeVariant(a.Default), "autostart": dbus.MakeVariant(a.Autostart), "excepted": dbus.MakeVariant(a.Excepted), "state": dbus.MakeVariant(a.State.String()),
		"digest": dbus.MakeVariant(a.Digest.String()),
	}
	d.put("key", a.Key.Fingerprint)
	d.put("key-type", a.Key.Type)
	d.put("key-public", a.Key.Public)
	d.put("key-comment", a.Key.Comment)
	d.put("origin", a.Origin.URL)
	d.put("referrer", a.Origin.Referrer)
	d.put("damage", a.Damage)
	return d
}

func decodeApp(d dict) apps.App {
	a := apps.App{
		ID: d.text("id"), Version: d.text("version"), Name: d.text("name"), File: d.text("file"), Size: d.number("size"),
		System: d.flag("system"), Default: d.flag("default"), Autostart: d.flag("autostart"), Excepted: d.flag("excepted"), State: stateOf(d.text("state")), Damage: d.text("damage"),
		Key: trust.Key{
			Fingerprint: d.text("key"), Type: d.text("key-type"), Public: d.text("key-public"), Comment: d.text("key-comment"),
		},
		Origin: apps.Origin{URL: d.text("origin"), Referrer: d.text("referrer")},
	}
	if digest, err := hex.DecodeString(d.text("digest")); err == nil && len(digest) == len(a.Digest) {
		a.Digest = bundle.Digest(digest)
	}
	return a
}

func stateOf(name string) trust.State {
	for s := trust.Unknown; s <= trust.Damaged; s++ {
		if s.String() == name {
			return s
		}
	}
	return trust.Unknown
}

func encodeProblem(p apps.Problem) dict {
	d := dict{"file": dbus.MakeVariant(text(p.File)), "message": dbus.MakeVariant(text(p.Err.Error()))}
	name := nameOf(p.Err)
	if name == errorFailed && p.Incomplete() {
		name = errorPrefix + "Incomplete" // somebody is writing it
	}
	d.put("error", name)
	d.put("content", p.Content)
	d.put("incomplete", p.Incomplete())
	return d
}

func decodeProblem(d dict) apps.Problem {
	return apps.Problem{File: d.text("file"), Content: d.text("content"), Err: &failure{d.text("message"), byName(d.text("error"))}}
}

// EncodeInstance is a running bundle as a dictionary.
func EncodeInstance(i session.Instance) map[string]dbus.Variant {
	return dict{
		"id": dbus.MakeVariant(text(i.ID)), "version": dbus.MakeVariant(text(i.Version)), "file": dbus.MakeVariant(text(i.File)),
		"pid": dbus.MakeVariant(uint32(i.PID)), "started": dbus.MakeVariant(i.Started.UnixNano()), "prefix": dbus.MakeVariant(text(i.Prefix)),
	}
}

func decodeInstance(d dict) session.Instance {
	return session.Instance{
		ID: d.text("id"), Version: d.text("version"), File: d.text("file"), PID: int(d.number("pid")),
		Started: time.Unix(0, d.number("started")), Prefix: d.text("prefix"),
	}
}

// encodeInstall says how a client wants to install. The file may be another for the service, so it is told which one is meant.
func encodeInstall(o apps.InstallOptions, token string, device, inode uint64) dict {
	d := dict{
		// The caller has the desktop shown it itself, perhaps after more of them.
		optionSync: dbus.MakeVariant(false), optionToken: dbus.MakeVariant(token),
		optionDevice: dbus.MakeVariant(device), optionInode: dbus.MakeVariant(inode),
	}
	d.put(optionKeepBoth, o.KeepBoth)
	d.put(optionMove, o.Move)
	d.put(optionAccept, o.Accept)
	return d
}

// An application that was installed has these as well when the file that it was to be moved from is still there.
const (
	keyLeft      = "source-left"
	keyLeftError = "source-left-error"
)

// encodeLeft adds why a source is still there. what is how the message begins.
func encodeLeft(d dict, what string, err error) {
	why := strings.TrimPrefix(strings.TrimPrefix(err.Error(), what), apps.ErrSourceLeft.Error()+": ")
	d[keyLeft] = dbus.MakeVariant(text(why))
	if name := nameOf(err); name != errorFailed {
		d.put(keyLeftError, name)
	}
}

// decodeLeft is the error that encodeLeft has added, nil for none.
func decodeLeft(d dict, what string) error {
	why, ok := d[keyLeft].Value().(string)
	if !ok {
		return nil
	}
	if why == apps.ErrSourceLeft.Error() {
		return fmt.Errorf("%s%w", what, apps.ErrSourceLeft)
	}
	return fmt.Errorf("%s%w: %w", what, apps.ErrSourceLeft, &failure{why, byName(d.text(keyLeftError))})
}

var errOption = errors.New("an option is of another type than it must be")

// take reads an option. One that is not there leaves the value as it is; one of another type is errOption.
func take[T any](d dict, key string, to *T) error {
	v, ok := d[key]
	if !ok {
		return nil
	}
	value, ok := v.Value().(T)
	if !ok {
		return errOption
	}
	*to = value
	return nil
}
