// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// report is all that was measured.
type report struct {
	Date   string    `json:"date"`
	Kernel string    `json:"kernel"`
	Cores  int       `json:"cores"`
	Root   bool      `json:"root"` // root helped
	Prefix string    `json:"prefix"`
	Tools  []string  `json:"tools"` // versions
	Rows   []*result `json:"rows"`
}

func newReport(b *bench) *report {
	var name unix.Utsname
	_ = unix.Uname(&name)
	r := &report{
		Date: time.Now().UTC().Format(time.RFC3339), Kernel: unix.ByteSliceToString(name.Release[:]), Cores: runtime.NumCPU(), Root: b.root != nil,
		Prefix: b.prefix,
	}
	for _, t := range [][]string{{programOf(b.Work, "glick"), "--version"}, {"bwrap", "--version"}, {"squashfuse", "--help"}, {"flatpak", "--version"}} {
		out, err := exec.Command(t[0], t[1:]...).CombinedOutput()
		line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
		if err != nil && line == "" {
			continue
		}
		r.Tools = append(r.Tools, line)
	}
	return r
}

func (r *report) head(out io.Writer) {
	fmt.Fprintf(out, "%s, kernel %s, %d cores, uid %d; medians and 10–90 %% of the runs\n", strings.Join(r.Tools, ", "), r.Kernel, r.Cores, os.Getuid())
	if r.Prefix != "/opt/bundle" {
		fmt.Fprintf(out, "/opt/bundle is not there, so the small bundles have the prefix %s\n", r.Prefix)
	}
	fmt.Fprintln(out)
}

func (r *report) foot(out io.Writer) {
	met, bound, skip, fail := 0, 0, 0, 0
	for _, row := range r.Rows {
		for _, c := range row.Claims {
			if c.Bound {
				bound++
			}
			if c.Met {
				met++
			}
		}
		if row.Skipped != "" {
			skip++
		}
		if row.Failed != "" {
			fail++
		}
	}
	fmt.Fprintf(out, "%d of %d targets are met; %d rows skipped, %d could not be measured\n", met, bound, skip, fail)
}

// print writes a row as text.
func (r *result) print(out io.Writer) {
	fmt.Fprintf(out, "%s: %s\n", r.Row, r.What)
	for _, s := range r.Series {
		fmt.Fprintf(out, "  %-22s %s (%s–%s), %d runs\n", s.Name, amount(s.Median, s.Unit), amount(s.P10, s.Unit), amount(s.P90, s.Unit), len(s.Samples))
	}
	for _, c := range r.Claims {
		fmt.Fprintf(out, "  %-38s %s\n", c.What, c)
	}
	for _, n := range r.Notes {
		fmt.Fprintf(out, "  note: %s\n", n)
	}
	if r.Skipped != "" {
		fmt.Fprintf(out, "  SKIPPED: %s\n", r.Skipped)
	}
	if r.Failed != "" {
		fmt.Fprintf(out, "  NOT MEASURED: %s\n", r.Failed)
	}
	fmt.Fprintln(out)
}

func (c claim) String() string {
	s := amount(c.Value, c.Unit)
	if c.Low != c.High {
		s += fmt.Sprintf(" (%s–%s)", number(c.Low), number(c.High))
	}
	switch {
	case !c.Bound:
		return s + ", no target"
	case c.Met:
		return s + ", at most " + number(c.Limit) + ": met"
	}
	return s + ", at most " + number(c.Limit) + ": NOT MET"
}

// amount writes a figure with its unit; short times in a unit that suits them.
func amount(v float64, unit string) string {
	if unit == "s" && v < 1 {
		v, unit = v*1e3, "ms"
	}
	return strings.TrimSpace(number(v) + " " + unit)
}

// number writes three digits, or all before the point.
func number(v float64) string {
	switch a := max(v, -v); {
	case a == 0:
		return "0"
	case a < 1:
		return fmt.Sprintf("%.3f", v)
	case a < 10:
		return fmt.Sprintf("%.2f", v)
	case a < 100:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}
