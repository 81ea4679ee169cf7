// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/adrg/xdg"
	"github.com/spf13/cobra"

	"glick.org/glick/runtime/doctor"
	"glick.org/glick/xdgexport"
	"glick.org/glick/xdgexport/apps"
)

func newDoctorCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Show what works on this computer, and how to mend the rest",
		Long: "doctor tries what Glick uses: namespaces, FUSE, the session service, the session\n" +
			"bus, the folders that the desktop looks into. The first sentence says in which way\n" +
			"bundles are started here:\n\n" +
			"    service     with namespaces and FUSE, served by the session service\n" +
			"    self        with namespaces and FUSE; each bundle serves its own files\n" +
			"    extract     with namespaces; the files are checked and unpacked into a cache\n" +
			"    fixed-path  without namespaces, the files at /proc/self/fd/1023\n" +
			"    none        not at all\n\n" +
			"Each line after it is one thing: ok, degraded (it works, but not as well as it\n" +
			"could), missing, or unknown; with what Glick does because of it, and how to mend it.\n" +
			"Nothing is changed, and what is made for a try is gone afterwards.\n\n" +
			"It ends with 0 when bundles can be started, with 1 when they cannot.",
		Args: wantArgs(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			home, err := apps.Home()
			if err != nil {
				home = "" // one of the checks says so
			}
			checks := doctor.Run(cmd.Context(), doctor.Options{
				Version: version, BusName: xdgexport.BusName, Apps: home,
				DataHome: xdg.DataHome, DataDirs: xdg.DataDirs, Cache: xdg.CacheHome,
			})
			if err := cmd.Context().Err(); err != nil {
				return fmt.Errorf("the checks were stopped: %w", err)
			}
			d := doctor.Decide(checks)
			out := cmd.OutOrStdout()
			if asJSON {
				err = printJSON(out, findingsOf(d, checks))
			} else {
				err = printFindings(out, d, checks, isTerminal(out) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb")
			}
			if err == nil && d.Way == doctor.WayNone {
				err = statusError{exitFailed, nil}
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// findings is the JSON of doctor.
type findings struct {
	Version  string    `json:"version"`
	Way      string    `json:"way"`
	CanStart bool      `json:"can-start"`
	Summary  string    `json:"summary"`
	Because  []string  `json:"because"` // ids of the checks that keep Glick from a better way
	Checks   []finding `json:"checks"`
}

type finding struct {
	ID     string `json:"id"`
	Title  string `json:"title"`
	State  string `json:"state"`
	Detail string `json:"detail"`
	Used   string `json:"used"`
	Mend   string `json:"mend,omitempty"`
	Error  string `json:"error,omitempty"`
}

func findingsOf(d doctor.Decision, checks []doctor.Check) findings {
	f := findings{
		Version: version, Way: string(d.Way), CanStart: d.Way != doctor.WayNone, Summary: d.Summary,
		Because: append([]string{}, d.Because...), Checks: make([]finding, 0, len(checks)),
	}
	for _, c := range checks {
		one := finding{ID: c.ID, Title: c.Title, State: string(c.State), Detail: c.Detail, Used: c.Used, Mend: c.Mend}
		if c.Err != nil {
			one.Error = c.Err.Error()
		}
		f.Checks = append(f.Checks, one)
	}
	return f
}

// The lines of doctor, in 80 columns: state, title, and what was found; below what is not ok, what that means.
const (
	stateWidth = 10
	titleWidth = 20
	lineWidth  = 80
)

// stateColors are for states that a person should see first.
var stateColors = map[doctor.State]string{doctor.OK: "32", doctor.Degraded: "33", doctor.Missing: "31", doctor.Unknown: "35"}

func printFindings(out io.Writer, d doctor.Decision, checks []doctor.Check, color bool) error {
	var b strings.Builder
	for _, line := range wrap(d.Summary, lineWidth) {
		fmt.Fprintln(&b, line)
	}
	fmt.Fprintln(&b)
	for _, c := range checks {
		mark := fmt.Sprintf("%-*s", stateWidth, c.State)
		if color {
			mark = "\x1b[" + stateColors[c.State] + "m" + mark + "\x1b[0m"
		}
		title := fmt.Sprintf("%-*s", titleWidth, c.Title)
		for _, line := range wrap(c.Detail, lineWidth-stateWidth-titleWidth) {
			fmt.Fprintf(&b, "%s%s%s\n", mark, title, line)
			mark, title = strings.Repeat(" ", stateWidth), strings.Repeat(" ", titleWidth)
		}
		if c.State == doctor.OK {
			continue
		}
		below := []string{"So: " + c.Used}
		if c.Mend != "" {
			below = append(below, "Mend: "+c.Mend)
		}
		for _, text := range below {
			for i, line := range wrap(text, lineWidth-stateWidth-2) {
				indent := stateWidth
				if i > 0 {
					indent += 2
				}
				fmt.Fprintf(&b, "%*s%s\n", indent, "", line)
			}
		}
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// wrap breaks a text of anybody's into lines of at most width characters, between words if it can.
func wrap(text string, width int) []string {
	var lines []string
	line, used := "", 0
	for _, word := range strings.Fields(printableLine(text)) {
		n := utf8.RuneCountInString(word)
		if used > 0 && used+1+n > width {
			lines, line, used = append(lines, line), "", 0
		}
		if used > 0 {
			line, used = line+" ", used+1
		}
		// A long path is not broken: it can be copied then.
		line, used = line+word, used+n
	}
	if used > 0 || lines == nil {
		lines = append(lines, line)
	}
	return lines
}
