// SPDX-License-Identifier: MIT

package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"glick.org/glick/internal/sample"
	"glick.org/glick/xdgexport/apps"
)

func TestLastUsed(t *testing.T) {
	const id = "org.example.Sample"
	newServiceHome(t, false)
	file := sample.Build(t, t.TempDir(), id, "1", sample.App(id))
	if code, _, errs := cli(t, "install", file); code != 0 {
		t.Fatal(errs)
	}
	facts := func(args ...string) (used time.Time) {
		t.Helper()
		_, out, errs := cli(t, args...)
		var list []struct {
			Used time.Time `json:"last-used"`
		}
		if !strings.HasPrefix(out, "[") {
			out = "[" + out + "]"
		}
		if err := json.Unmarshal([]byte(out), &list); err != nil || len(list) != 1 {
			t.Fatalf("%q: %q %q %v", args, out, errs, err)
		}
		return list[0].Used
	}
	if a, b := facts("list", "--json"), facts("info", "--json", id); !a.IsZero() || !b.IsZero() {
		t.Errorf("never used: %v, %v", a, b)
	}
	when := time.Date(2025, 7, 14, 12, 30, 1, 5000, time.UTC)
	if err := apps.NoteUse(id, when); err != nil {
		t.Fatal(err)
	}
	want := when.Truncate(time.Second)
	if a, b := facts("list", "--json"), facts("info", "--json", file); !a.Equal(want) || !b.Equal(want) {
		t.Errorf("used %v, %v, want %v", a, b, want)
	}
	if _, out, _ := cli(t, "info", id); !strings.Contains(out, "Last used:") {
		t.Errorf("info says %s", out)
	}
}
