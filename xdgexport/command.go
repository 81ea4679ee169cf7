// SPDX-License-Identifier: MIT

package xdgexport

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"glick.org/glick/xdgexport/apps"
)

const (
	maxCommands   = 64
	maxLauncher   = 8 << 10 // more than any launcher has, in bytes
	maxPage       = 2 << 20 // unpacked, in bytes
	maxCompletion = 256 << 10
)

var (
	commandName = newPattern(`^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$`)
	pageFolder  = newPattern(`^man[1-8]$`)
	pageLocale  = newPattern(`^[a-z]{2,3}([_.@][A-Za-z0-9_.@-]{1,20})?$`)
)

// keptCommands are names that have a meaning in shells, or that people type where it matters who answers, even where
// the host has no such program (yet).
var keptCommands = []string{
	"alias", "apt", "apt-get", "bash", "bg", "bind", "break", "builtin", "case", "cd", "command", "continue", "coproc", "dash", "declare", "dirs",
	"disown", "dnf", "do", "doas", "done", "echo", "elif", "else", "enable", "esac", "eval", "exec", "exit", "export", "false", "fc", "fg", "fi", "fish",
	"flatpak", "for", "function", "getopts", "glick", "glick-gui", "glick-thumbnailer", "glickd", "gpg", "gpg2", "hash", "help", "history", "if", "in",
	"jobs", "kill", "let", "local", "login", "logout", "mapfile", "pacman", "passwd", "pkexec", "popd", "printf", "pushd", "pwd", "read", "readarray",
	"readonly", "return", "rpm", "run0", "scp", "select", "set", "sftp", "sh", "shift", "shopt", "snap", "source", "ssh", "ssh-add", "ssh-agent", "su",
	"sudo", "sudoedit", "suspend", "systemctl", "test", "then", "time", "times", "trap", "true", "type", "typeset", "ulimit", "umask", "unalias",
	"unset", "until", "wait", "while", "yum", "zsh", "zypper",
}

// planCommands shows launchers for the programs that the manifest lists as commands.
func (p *planner) planCommands() {
	for i, name := range p.b.Manifest().Commands {
		origin := "bin/" + name
		if i >= maxCommands {
			p.leave(origin, "the bundle has too many commands")
			return
		}
		switch {
		case p.commands[name]:
			continue
		case !commandName.MatchString(name):
			p.leave(origin, "the name is not one for a command")
			continue
		case slices.Contains(keptCommands, strings.ToLower(name)):
			p.leave(origin, "the command is not for applications")
			continue
		case !p.tree.program(origin):
			p.leave(origin, "the program is not in the bundle")
			continue
		}
		switch other := p.ask(askCommand, name); other {
		case "":
		case sameApp: // it is there for all users, and starts the version of this user too
			continue
		default:
			p.leave(origin, "this computer has a command of that name, "+other)
			continue
		}
		if !p.claim("command " + name) {
			p.leave(origin, "the command belongs to "+p.s.owner["command "+name])
			continue
		}
		// Files for a command that is switched off are left out for that.
		if p.addMode("bin/"+name, origin, p.launcher(origin), maxLauncher, 0o755) || p.isOff(apps.ExportCommands) {
			p.commands[name] = true
		}
	}
}

// launcher is a shell script: the shortest program that every system has.
func (p *planner) launcher(program string) []byte {
	return fmt.Appendf(nil, "#!/bin/sh\n# %s=%s\nexec %s \"$@\"\n", mark, p.id, joinShell(p.start.plain(program, nil)))
}

// ofCommand gives the command that a file belongs to: its name up to one of the endings.
func (p *planner) ofCommand(name, prefix string, endings ...string) (string, bool) {
	rest, ok := strings.CutPrefix(name, prefix)
	if !ok {
		return "", false
	}
	for _, e := range endings {
		if stem, ok := strings.CutSuffix(rest, e); ok && p.commands[stem] {
			return stem, true
		}
	}
	return "", false
}

const notACommand = "it is not for one of the bundle's commands"

// planPages shows the manual pages of the commands, in all languages.
func (p *planner) planPages() {
	if len(p.commands) == 0 {
		return
	}
	folders := []string{""}
	for _, lang := range p.tree.folders("share/man") {
		if pageLocale.MatchString(lang) && len(folders) < maxPerKind {
			folders = append(folders, lang)
		}
	}
	n := 0
	for _, lang := range folders {
		for _, section := range p.tree.folders(path.Join("share/man", lang)) {
			if !pageFolder.MatchString(section) {
				continue
			}
			dir := path.Join("share/man", lang, section)
			for _, e := range p.tree.list(dir, func(string) bool { return true }) {
				if n++; n > maxPerKind*4 {
					p.leave(dir, "the bundle has too many of this kind")
					return
				}
				p.planPage(path.Join(lang, section), path.Join(dir, e.name), e)
			}
		}
	}
}

func (p *planner) planPage(folder, origin string, e entry) {
	ending := "." + folder[len(folder)-1:]
	stem, ok := p.ofCommand(e.name, "", ending, ending+".gz")
	if !ok {
		p.leave(origin, notACommand)
		return
	}
	place := path.Join(folder, stem+ending)
	if other := p.ask(askPage, place); other != "" {
		p.leave(origin, "this computer has that page, "+other)
		return
	}
	data, err := p.tree.read(e.node, maxPage)
	if err == nil && strings.HasSuffix(e.name, ".gz") {
		data, err = unzip(data, maxPage)
	}
	if err == nil {
		err = checkText(data)
	}
	if err != nil {
		p.leave(origin, err.Error())
		return
	}
	p.add(path.Join("man", place), origin, data)
}

// unzip unpacks at most most bytes.
func unzip(data []byte, most int64) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("it cannot be unpacked: %w", err)
	}
	out, err := io.ReadAll(io.LimitReader(z, most+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("it cannot be unpacked: %w", err)
	case int64(len(out)) > most:
		return nil, fmt.Errorf("it is too large (more than %d bytes unpacked)", most)
	}
	return out, nil
}

// checkText accepts text, which terminals and shells do not take for something else.
func checkText(data []byte) error {
	if !utf8.Valid(data) {
		return errors.New("it is not UTF-8 text")
	}
	for _, c := range data {
		if c < ' ' && c != '\n' && c != '\t' && c != '\r' && c != '\f' || c == 0x7f {
			return errors.New("it has control characters")
		}
	}
	return nil
}

// shell says where a shell's completions are: where in bundles, where outside, and how they are named.
type shell struct {
	from           []string
	to             string
	prefix, suffix string
	also           string // another suffix that bundles may use
}

var shells = []shell{
	{from: []string{"share/bash-completion/completions"}, to: "bash-completion/completions", also: ".bash"},
	{from: []string{"share/zsh/site-functions", "share/zsh/vendor-completions"}, to: "zsh/site-functions", prefix: "_"},
	{from: []string{"share/fish/vendor_completions.d", "share/fish/completions"}, to: "fish/vendor_completions.d", suffix: ".fish"},
}

// planCompletions shows the shells' completions for the commands. They are code, which the user's shell runs when one
// of these commands is completed, and only then.
func (p *planner) planCompletions() {
	if len(p.commands) == 0 {
		return
	}
	for _, sh := range shells {
		for _, dir := range sh.from {
			for i, e := range p.tree.list(dir, func(string) bool { return true }) {
				origin := path.Join(dir, e.name)
				if i >= maxPerKind {
					p.leave(dir, "the bundle has too many of this kind")
					break
				}
				endings := []string{sh.suffix}
				if sh.also != "" {
					endings = append(endings, sh.also)
				}
				stem, ok := p.ofCommand(e.name, sh.prefix, endings...)
				if !ok {
					p.leave(origin, notACommand)
					continue
				}
				data, err := p.tree.read(e.node, maxCompletion)
				if err == nil {
					err = checkText(data)
				}
				if err == nil && sh.prefix != "" {
					data, err = onlyFor(data, stem)
				}
				if err != nil {
					p.leave(origin, err.Error())
					continue
				}
				p.add(path.Join(sh.to, sh.prefix+stem+sh.suffix), origin, data)
			}
		}
	}
}

// onlyFor makes a completion function of zsh one for a single command. Its first line says what it is for, and could
// name any command (zshcompsys(1), "Autoloaded files").
func onlyFor(data []byte, command string) ([]byte, error) {
	first, rest, _ := strings.Cut(string(data), "\n")
	if word, _, _ := strings.Cut(first, " "); word != "#compdef" {
		return nil, errors.New("its first line is not #compdef with names")
	}
	return []byte("#compdef " + command + "\n" + rest), nil
}
