// SPDX-License-Identifier: MIT

package apps

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// useAccounts has these lines stand for what /etc/passwd and /etc/group say of the user and the user's group.
func useAccounts(t *testing.T, passwd, group string) {
	t.Helper()
	dir := t.TempDir()
	old := accounts
	t.Cleanup(func() { accounts = old })
	accounts = &accountFiles{passwd: filepath.Join(dir, "passwd"), group: filepath.Join(dir, "group")}
	mustDo(t, os.WriteFile(accounts.passwd, []byte(passwd), 0o600), os.WriteFile(accounts.group, []byte(group), 0o600))
}

func passwdLine(name string, uid, gid int) string {
	return fmt.Sprintf("%s:x:%d:%d::/:/bin/sh\n", name, uid, gid)
}

func aloneInGroup(t *testing.T) {
	useAccounts(t, passwdLine("me", os.Geteuid(), os.Getegid()), fmt.Sprintf("me:x:%d:\n", os.Getegid()))
}

func severalInGroup(t *testing.T) {
	useAccounts(t, passwdLine("me", os.Geteuid(), os.Getegid()), fmt.Sprintf("me:x:%d:me,other\n", os.Getegid()))
}

func TestAlone(t *testing.T) {
	uid, gid := os.Geteuid(), os.Getegid()
	me, other := passwdLine("me", uid, gid), passwdLine("other", uid+1, gid)
	group := func(members string) string { return fmt.Sprintf("root:x:0:\nme:x:%d:%s\n", gid, members) }
	for _, c := range []struct {
		name, passwd, group string
		want                bool
	}{
		{"alone", me, group(""), true},
		{"named as a member too", me, group("me"), true},
		{"a member more", me, group("me,other"), false},
		{"another member", me, group("other"), false},
		{"another user's group too", me + other, group(""), false},
		{"not the user's own", passwdLine("me", uid, gid+1), group(""), false},
		{"not known here", me, "root:x:0:\n", false},
		{"written twice", me, group("") + group("other"), false},
		{"nobody", "", group(""), false},
		{"rubbish", "::::\n\x00\n" + me, "::\n:::\n" + group(""), true},
	} {
		useAccounts(t, c.passwd, c.group)
		if got := accounts.alone(uint32(gid)); got != c.want {
			t.Errorf("%s: %t", c.name, got)
		}
	}
	aloneInGroup(t)
	if !accounts.alone(uint32(gid)) {
		t.Error("not alone")
	}
	mustDo(t, os.WriteFile(accounts.group+"2", []byte(group("other")), 0o600), os.Rename(accounts.group+"2", accounts.group))
	if accounts.alone(uint32(gid)) {
		t.Error("a change is not noticed")
	}
}

// A list can let others write, and then the bits of the group only look as if it were the group.
func TestStrangersByList(t *testing.T) {
	if _, err := exec.LookPath("setfacl"); err != nil {
		t.Skip("it needs setfacl")
	}
	aloneInGroup(t)
	dir := t.TempDir()
	mustDo(t, os.Chmod(dir, 0o775))
	stranger := func() bool {
		var st unix.Stat_t
		mustDo(t, unix.Lstat(dir, &st))
		return strangersWrite(dir, &st)
	}
	if stranger() {
		t.Error("the user's own group is taken for others")
	}
	if out, err := exec.Command("setfacl", "-m", "u:0:rwx", dir).CombinedOutput(); err != nil {
		t.Skipf("no access control lists here: %s", out)
	}
	if !stranger() {
		t.Error("a list is not noticed")
	}
}
