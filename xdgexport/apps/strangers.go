// SPDX-License-Identifier: MIT

package apps

import (
	"bufio"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// strangersWrite tells whether others than its owner and root can write to what is at path, of which st is known. Many distributions give each user a
// group and let it write to all that the user makes (umask 002); that group is nobody else. With an access control list the bits of the group say
// what the list allows at most, to whomever.
func strangersWrite(path string, st *unix.Stat_t) bool {
	switch {
	case st.Mode&0o002 != 0:
		return true
	case st.Mode&0o020 == 0:
		return false
	}
	_, err := unix.Lgetxattr(path, "system.posix_acl_access", nil)
	return err != unix.ENODATA && err != unix.ENOTSUP || !accounts.alone(st.Gid)
}

// accountFiles are where the users and groups of this computer are written down. Groups that are known elsewhere, for example from a server, are
// taken for groups of several users.
type accountFiles struct {
	passwd, group string

	mu    sync.Mutex
	read  [2]stamp // of the files when the answers were found
	known map[uint32]bool
}

var accounts = &accountFiles{passwd: "/etc/passwd", group: "/etc/group"}

// alone tells whether the user is the only one in a group.
func (a *accountFiles) alone(gid uint32) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	var now [2]stamp
	for i, file := range []string{a.passwd, a.group} {
		var st unix.Stat_t
		if unix.Stat(file, &st) != nil {
			return false
		}
		now[i] = stampOf(&st)
	}
	if a.known == nil || a.read != now {
		a.read, a.known = now, map[uint32]bool{}
	}
	answer, known := a.known[gid]
	if !known {
		answer = a.find(gid)
		a.known[gid] = answer
	}
	return answer
}

// find reads the files: passwd(5) and group(5).
func (a *accountFiles) find(gid uint32) bool {
	const (
		passwdUser, passwdID, passwdGroup = 0, 2, 3
		groupID, groupMembers             = 2, 3
	)
	name, others := "", false
	err := eachAccount(a.passwd, passwdGroup, func(fields []string) {
		if fields[passwdGroup] != strconv.FormatUint(uint64(gid), 10) {
			return
		}
		if fields[passwdID] == strconv.Itoa(os.Geteuid()) {
			name = fields[passwdUser]
		} else {
			others = true
		}
	})
	if err != nil || others || name == "" {
		return false
	}
	found := false
	err = eachAccount(a.group, groupMembers, func(fields []string) {
		if fields[groupID] != strconv.FormatUint(uint64(gid), 10) {
			return
		}
		found = true
		others = others || fields[groupMembers] != "" && fields[groupMembers] != name
	})
	return err == nil && found && !others
}

// eachAccount calls f with the fields of each line that has that many at least.
func eachAccount(file string, last int, f func(fields []string)) error {
	r, err := os.Open(file)
	if err != nil {
		return err
	}
	defer r.Close()
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if fields := strings.Split(lines.Text(), ":"); len(fields) > last {
			f(fields)
		}
	}
	return lines.Err()
}
