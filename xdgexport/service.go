// SPDX-License-Identifier: MIT

package xdgexport

import (
	"errors"
	"strings"

	"glick.org/glick/bundle/keyfile"
)

// busName is a well-known name as the D-Bus specification has it.
var busName = newPattern(`^[A-Za-z_-][A-Za-z0-9_-]*(\.[A-Za-z_-][A-Za-z0-9_-]*)+$`)

const serviceGroup = "D-BUS Service"

// parseService reads a D-Bus service file. Only Name and Exec are taken over: User is for the system bus, and a
// SystemdService would be a unit that the bundle does not have outside.
func parseService(data []byte, id string) (name string, words []string, err error) {
	f, err := keyfile.Parse(data)
	if err != nil {
		return "", nil, err
	}
	g := f.Group(serviceGroup)
	name = g.String("Name")
	if !allowedName(name, id) || !busName.MatchString(name) {
		return "", nil, errors.New("the D-Bus name is not the bundle's id and does not begin with it")
	}
	words, err = splitShell(g.String("Exec"))
	return name, words, err
}

// planServices shows D-Bus services under the bundle's own names.
func (p *planner) planServices() {
	p.each("share/dbus-1/services", ".service", maxEntry, func(_, origin string, data []byte) {
		name, words, err := parseService(data, p.id)
		if err != nil {
			p.leave(origin, err.Error())
			return
		}
		if why := p.mayUse(name); why != "" {
			p.leave(origin, why)
			return
		}
		// A service's Exec has no field codes: a percent sign is one. The words are not for a desktop entry here.
		program, ok := p.start.find(literal(words[0]))
		if !ok {
			p.leave(origin, "the program that it starts is not in the bundle")
			return
		}
		out := &keyfile.File{}
		o := out.Add(serviceGroup)
		o.Set("Name", name)
		o.Set("Exec", joinShell(p.start.plain(program, words[1:])))
		o.Set(mark, p.id)
		if p.add("dbus-1/services/"+name+".service", origin, out.Bytes()) {
			p.names[name] = true
		}
	})
}

// plain is start for command lines without field codes.
func (s starter) plain(program string, args []string) []string {
	cmd := s.start(program, nil)
	for i := range cmd {
		cmd[i] = strings.ReplaceAll(cmd[i], "%%", "%")
	}
	return append(cmd, args...)
}
