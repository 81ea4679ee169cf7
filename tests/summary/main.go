// SPDX-License-Identifier: MIT

// Command summary reads the output of `go test -json` from files, prints what failed and was skipped, and ends with a line that
// counts. It fails when a test failed, or when none ran.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// event is one line of test2json.
type event struct {
	Action, Package, Test, Output, FailedBuild, ImportPath string
}

type tally struct {
	passed, failed, skipped int
	parents                 map[string]bool             // tests that have subtests are not counted themselves
	output                  map[string]*strings.Builder // of the tests that have not passed yet
	results                 []event
}

func main() {
	t := tally{parents: map[string]bool{}, output: map[string]*strings.Builder{}}
	ok := true
	for _, name := range os.Args[1:] {
		f, err := os.Open(name)
		if err == nil {
			err = t.read(strings.TrimSuffix(filepath.Base(name), ".json"), f)
			f.Close()
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "summary: cannot read %s: %v\n", name, err)
			ok = false
		}
	}
	t.print(os.Stdout)
	if !ok || t.failed > 0 || t.passed == 0 {
		os.Exit(1)
	}
}

func (t *tally) read(run string, r io.Reader) error {
	scan := bufio.NewScanner(r)
	scan.Buffer(nil, 64<<20)
	for scan.Scan() {
		var e event
		if json.Unmarshal(scan.Bytes(), &e) != nil {
			continue // the go command itself said something; it is in the .err file too
		}
		if e.Package == "" {
			e.Package = e.ImportPath
		}
		e.Package = run + " " + e.Package
		t.add(e)
	}
	return scan.Err()
}

func (e event) key() string { return strings.TrimSpace(e.Package + " " + e.Test) }

func (t *tally) add(e event) {
	switch e.Action {
	case "output", "build-output":
		b := t.output[e.key()]
		if b == nil {
			b = &strings.Builder{}
			t.output[e.key()] = b
		}
		b.WriteString(e.Output)
	case "pass", "fail", "skip":
		if i := strings.LastIndexByte(e.Test, '/'); i >= 0 {
			t.parents[e.Package+" "+e.Test[:i]] = true
		}
		t.results = append(t.results, e)
	}
}

func (t *tally) print(w io.Writer) {
	failedIn := map[string]bool{}
	for _, e := range t.results {
		switch {
		case e.Test == "":
			// A package fails with its tests, or by itself: when it does not compile, or a test ends the process.
			if e.Action == "fail" && !failedIn[e.Package] {
				t.failed++
				t.show(w, "FAIL", e)
			}
		case t.parents[e.key()]:
			// Its parts are counted; it has failed by itself only when none of them has.
			if e.Action == "fail" && !t.partFailed(e) {
				failedIn[e.Package] = true
				t.failed++
				t.show(w, "FAIL", e)
			}
		case e.Action == "pass":
			t.passed++
		case e.Action == "skip":
			t.skipped++
			t.show(w, "SKIP", e)
		case e.Action == "fail":
			failedIn[e.Package] = true
			t.failed++
			t.show(w, "FAIL", e)
		}
	}
	fmt.Fprintf(w, "\n%d passed, %d failed, %d skipped\n", t.passed, t.failed, t.skipped)
}

func (t *tally) partFailed(e event) bool {
	for _, r := range t.results {
		if r.Action == "fail" && r.Package == e.Package && strings.HasPrefix(r.Test, e.Test+"/") {
			return true
		}
	}
	return false
}

func (t *tally) show(w io.Writer, what string, e event) {
	fmt.Fprintf(w, "%s %s\n", what, e.key())
	if b := t.output[e.key()]; b != nil {
		for line := range strings.Lines(b.String()) {
			if trimmed := strings.TrimSpace(line); trimmed != "" && !strings.HasPrefix(trimmed, "=== ") {
				fmt.Fprintf(w, "    %s\n", strings.TrimRight(line, "\n"))
			}
		}
	}
}
