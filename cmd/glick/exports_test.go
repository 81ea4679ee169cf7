// SPDX-License-Identifier: MIT

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"glick.org/glick/internal/sample"
	"glick.org/glick/xdgexport/apps"
)

func TestExportsCommand(t *testing.T) {
	home := newHome(t)
	const id = "org.example.Sample"
	tree := sample.App(id)
	tree["bin/own"] = "#!/bin/sh\n"
	mustCLI(t, "install", sample.BuildCommands(t, t.TempDir(), id, "1", tree, "own"))
	there := func(want bool) {
		t.Helper()
		if _, err := os.Stat(filepath.Join(home, ".local/bin/own")); (err == nil) != want {
			t.Errorf("the command is there: %t", err == nil)
		}
		if _, err := os.Stat(filepath.Join(home, ".local/share/applications", id+".desktop")); err != nil {
			t.Error(err)
		}
		words := strings.Join(strings.Fields(mustCLI(t, "info", id)), " ")
		const why = "Left out: bin/own: switched off in the preferences (commands)"
		if strings.Contains(words, why) == want || strings.Contains(words, "Adds commands: own") != want {
			t.Errorf("info says %s", words)
		}
	}
	there(true)
	words := func() string { return strings.Join(strings.Fields(mustCLI(t, "exports")), " ") }
	if out := words(); !strings.HasPrefix(out, "KIND SHOWN WHAT ") || strings.Contains(out, " no ") || !strings.Contains(out, " commands yes commands for the terminal") {
		t.Errorf("%s", out)
	}
	if out := mustCLI(t, "exports", "--off", "commands", "--off", "fonts"); out != "" {
		t.Errorf("it says %s", out)
	}
	there(false)
	if out := words(); !strings.Contains(out, " commands no ") || !strings.Contains(out, " fonts no ") || !strings.Contains(out, " links yes ") {
		t.Errorf("%s", out)
	}
	var facts exportsFacts
	out := mustCLI(t, "exports", "--json", "--on", "commands")
	if err := json.Unmarshal([]byte(out), &facts); err != nil || len(facts.Kinds) != len(apps.Exports()) || facts.Excepted == nil || len(facts.Excepted) > 0 ||
		slices.ContainsFunc(facts.Kinds, func(f exportFacts) bool { return f.Shown == (f.Kind == apps.ExportFonts) || f.About == "" }) {
		t.Errorf("%v\n%s", err, out)
	}
	there(true)
	for _, args := range [][]string{{"--off", "x\x1b"}, {"--on", "fonts", "--off", "fonts"}, {"--except", id, "--no-except", id}, {"fonts"}, {"--off"}} {
		code, out, errs := cli(t, append([]string{"exports"}, args...)...)
		if code != exitUsage || out != "" || errs == "" || strings.Contains(errs, "\x1b") {
			t.Errorf("%q: %d %q %q", args, code, out, errs)
		}
	}
	// One application is an exception.
	mustCLI(t, "exports", "--off", "commands", "--except", id)
	there(true)
	if out := mustCLI(t, "info", id); !strings.Contains(out, "Excepted:") {
		t.Errorf("%s", out)
	}
	if out := mustCLI(t, "exports"); !strings.HasSuffix(out, "\nEverything is shown of "+id+"\n") {
		t.Errorf("%s", out)
	}
	out = mustCLI(t, "exports", "--json")
	if err := json.Unmarshal([]byte(out), &facts); err != nil || !slices.Equal(facts.Excepted, []string{id}) || len(facts.Kinds) != len(apps.Exports()) {
		t.Errorf("%v\n%s", err, out)
	}
	mustCLI(t, "exports", "--no-except", id)
	there(false)
	if code, _, errs := cli(t, "exports", "--except", "org.example.None"); code != exitNotFound || !strings.Contains(errs, "no application of that id") {
		t.Errorf("%d %q", code, errs)
	}
	if _, out, _ := cli(t, "__complete", "exports", "--off", ""); !strings.HasPrefix(out, "file-types\tkinds of files that applications open\n") {
		t.Errorf("completed by %q", out)
	}
}
