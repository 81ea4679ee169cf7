// SPDX-License-Identifier: MIT

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"glick.org/glick/internal/sample"
)

func TestFolders(t *testing.T) {
	const id = "org.example.Sample"
	for _, way := range []string{"no bus", "service"} {
		t.Run(way, func(t *testing.T) {
			home := newServiceHome(t, way != "no bus")
			if way == "service" {
				startService(t)
			}
			dir := filepath.Join(t.TempDir(), "more apps")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			file := sample.Build(t, dir, id, "1", sample.App(id))
			want := func(code int, out, errs string, args ...string) string {
				t.Helper()
				gotCode, gotOut, gotErrs := cli(t, args...)
				if gotCode != code || !regexp.MustCompile(out).MatchString(gotOut) || !strings.Contains(gotErrs, errs) || (gotErrs == "") != (errs == "") {
					t.Errorf("glick %q: %d %q %q", args, gotCode, gotOut, gotErrs)
				}
				return gotOut
			}
			want(0, `(?m)\AFOLDER +WHOSE +BUNDLES\n`+home+`/Apps +yours +not there\n/usr/local/lib/bundles +all users' +\S.*\n.*\n\z`, "", "folders")
			want(exitNotFound, `^$`, "cannot add the folder "+dir+"/none: no such file", "folders", "--add", dir+"/none")
			want(exitFailed, `^$`, "it is your home folder", "folders", "--add", home)
			want(exitNotFound, `^$`, "it was not added", "folders", "--remove", dir)
			want(exitUsage, `^$`, "name folders with --add", "folders", dir)
			want(0, `^Added `+dir+`, with 1 bundle\n$`, "", "folders", "--add", dir)
			want(exitFailed, `^$`, "already", "folders", "--add", dir)
			want(0, `(?m)^`+dir+` +yours, added +1$`, "", "folders")
			want(0, id, "", "list")
			entry := filepath.Join(home, ".local/share/applications", id+".desktop")
			if _, err := os.Stat(entry); err != nil {
				t.Error(err)
			}

			var all []folderFacts
			if err := json.Unmarshal([]byte(want(0, ``, "", "folders", "--json")), &all); err != nil || len(all) != 4 {
				t.Fatalf("%+v, %v", all, err)
			}
			if got := all[1]; got != (folderFacts{Folder: dir, Added: true, There: true, Bundles: 1}) || all[0].Added || !all[2].System {
				t.Errorf("%+v", all)
			}
			if err := os.Chmod(dir, 0o777); err != nil {
				t.Fatal(err)
			}
			want(0, `^$`, "can be written by others", "list")
			want(0, `not used: it can be written by others`, "", "folders")
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			want(0, `^Uninstalled Sample 1\n$`, "", "uninstall", id)
			if _, err := os.Stat(file); err == nil {
				t.Error("the file is still there")
			}
			if err := os.WriteFile(filepath.Join(dir, "broken.bundle"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			want(0, `^Uninstalled broken.bundle\n$`, "", "uninstall", filepath.Join(dir, "broken.bundle"))
			want(0, `^$`, "", "folders", "--remove", dir)
			want(0, `\A(.*\n){4}\z`, "", "folders")
		})
	}
}
