// SPDX-License-Identifier: MIT

package xdgexport

import (
	"regexp"
	"strings"

	"glick.org/glick/bundle/keyfile"
)

// busName is a well-known name as the D-Bus specification has it.
var busName = regexp.MustCompile(`^[A-Za-z_-][A-Za-z0-9_-]*(\.[A-Za-z_-][A-Za-z0-9_-]*)+$`)

const serviceGroup = "D-BUS Service"

// planServices shows D-Bus services under the bundle's own names. Only Name and Exec are taken over: User is for the
// system bus, and a SystemdService would be a unit that the bundle does not have outside.
func (p *planner) planServices() {
	p.each("share/dbus-1/services", ".service", func(_, origin string, data []byte) {
		f, err := keyfile.Parse(data)
		if err != nil {
			p.leave(origin, err.Error())
			return
		}
		g := f.Group(serviceGroup)
		name, line := g.String("Name"), g.String("Exec")
		if !allowedName(name, p.id) || !busName.MatchString(name) {
			p.leave(origin, notItsName)
			return
		}
		words, err := splitExec(line)
		if err != nil {
			p.leave(origin, err.Error())
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
