// SPDX-License-Identifier: MIT

// Command pack compares `glick build` with mksquashfs in size and time, on three trees made from Debian packages: a GTK application with
// its libraries, a Python application, and the data of a game. It needs apt-get, dpkg-deb and mksquashfs, and about 2 GB below --dir; it
// installs nothing. The trees are made once and used again.
//
// Both tools read the same tree from a warm cache and use all cores; their runs take turns, so that a busy machine slows both. What counts
// is the ratio of the medians.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// result is what is measured on one tree.
type result struct {
	Tree      string      `json:"tree"`
	What      string      `json:"what"`
	Files     int         `json:"files"`
	Bytes     int64       `json:"bytes"` // of the files
	Glick     measurement `json:"glick"`
	Squashfs  measurement `json:"squashfs"`
	SizeRatio float64     `json:"size_ratio"` // Glick / mksquashfs
	TimeRatio float64     `json:"time_ratio"` // of the median times
	CPURatio  float64     `json:"cpu_ratio"`
}

// measurement is what a tool did. Times are in seconds.
type measurement struct {
	Size int64  `json:"size"`
	Wall spread `json:"wall"`
	CPU  spread `json:"cpu"`
}

type spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

type report struct {
	Cores    int      `json:"cores"`
	Runs     int      `json:"runs"`
	Glick    string   `json:"glick"` // versions
	Squashfs string   `json:"squashfs"`
	Results  []result `json:"results"`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "pack:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out, notes io.Writer) error {
	f := flag.NewFlagSet("pack", flag.ContinueOnError)
	f.SetOutput(notes)
	glick := f.String("glick", "glick", "the `program` to measure")
	stub := f.String("stub", "", "stub `file` for it (default: the installed one)")
	dir := f.String("dir", "", "`folder` to work in")
	runs := f.Int("runs", 5, "measured `runs` of each tool on each tree, after one to warm up")
	only := f.String("trees", "", "`names` of trees with commas between (default: all)")
	jsonFile := f.String("json", "", "write the numbers to `file` too")
	if err := f.Parse(args); err != nil {
		return err
	}
	if *dir == "" || *runs < 1 || f.NArg() > 0 {
		f.Usage()
		return errors.New("--dir is needed, and at least one run")
	}
	root, err := filepath.Abs(*dir)
	if err != nil {
		return err
	}
	for _, tool := range []string{*glick, "apt-get", "dpkg-deb", "mksquashfs"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("cannot measure: %w", err)
		}
	}
	r := report{Cores: runtime.NumCPU(), Runs: *runs, Glick: version(ctx, *glick, "--version"), Squashfs: version(ctx, "mksquashfs", "-version")}
	for _, t := range trees {
		if *only != "" && !slices.Contains(strings.Split(*only, ","), t.name) {
			continue
		}
		fmt.Fprintf(notes, "%s: making the tree\n", t.name)
		folder, err := t.make(ctx, root)
		if err != nil {
			return fmt.Errorf("cannot make the tree %s: %w", t.name, err)
		}
		res, err := measure(ctx, t, folder, root, *glick, *stub, *runs, notes)
		if err != nil {
			return err
		}
		r.Results = append(r.Results, *res)
	}
	if len(r.Results) == 0 {
		return fmt.Errorf("no tree has one of the names %s", *only)
	}
	if *jsonFile != "" {
		data, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(*jsonFile, append(data, '\n'), 0o666); err != nil {
			return err
		}
	}
	return r.print(out)
}

// version returns the first line that a tool says about its version.
func version(ctx context.Context, name string, args ...string) string {
	out, _ := exec.CommandContext(ctx, name, args...).Output() // mksquashfs fails when asked
	line, _, _ := strings.Cut(string(out), "\n")
	return line
}

// measure packs the tree with both tools in turns.
func measure(ctx context.Context, t tree, folder, root, glick, stub string, runs int, notes io.Writer) (*result, error) {
	r := &result{Tree: t.name, What: t.what}
	var err error
	if r.Files, r.Bytes, err = count(folder); err != nil {
		return nil, err
	}
	bundle, image := filepath.Join(root, t.name+".bundle"), filepath.Join(root, t.name+".squashfs")
	build := []string{glick, "build", "--prefix", "/usr", "--id", t.id, "--exec", t.exec}
	if stub != "" {
		build = append(build, "--stub", stub)
	}
	tools := []*tool{
		{argv: append(build, folder, bundle), file: bundle, to: &r.Glick},
		{argv: []string{"mksquashfs", folder, image, "-comp", "zstd", "-noappend", "-all-root", "-no-progress"}, file: image, to: &r.Squashfs},
	}
	for i := range runs + 1 {
		for _, tool := range tools {
			if err := tool.run(ctx); err != nil {
				return nil, err
			}
			if i == 0 { // it warmed the caches
				tool.wall, tool.cpu = nil, nil
				continue
			}
			fmt.Fprintf(notes, "%s, run %d of %d: %s %.2f s\n", t.name, i, runs, filepath.Base(tool.argv[0]), tool.wall[i-1].Seconds())
		}
	}
	for _, tool := range tools {
		info, err := os.Stat(tool.file)
		if err != nil {
			return nil, err
		}
		*tool.to = measurement{Size: info.Size(), Wall: newSpread(tool.wall), CPU: newSpread(tool.cpu)}
		if err := os.Remove(tool.file); err != nil {
			return nil, err
		}
	}
	r.SizeRatio = float64(r.Glick.Size) / float64(r.Squashfs.Size)
	r.TimeRatio = r.Glick.Wall.Median / r.Squashfs.Wall.Median
	r.CPURatio = r.Glick.CPU.Median / r.Squashfs.CPU.Median
	return r, nil
}

// tool is a command that makes file, and how long it took each time.
type tool struct {
	argv      []string
	file      string
	to        *measurement
	wall, cpu []time.Duration
}

func (t *tool) run(ctx context.Context) error {
	// Both replace an existing file; without one, neither is slowed by the other's habit.
	if err := os.RemoveAll(t.file); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, t.argv[0], t.argv[1:]...)
	start := time.Now()
	out, err := cmd.CombinedOutput()
	took := time.Since(start)
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(t.argv, " "), err, out)
	}
	t.wall = append(t.wall, took)
	t.cpu = append(t.cpu, cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime())
	return nil
}

func newSpread(times []time.Duration) spread {
	s := slices.Sorted(slices.Values(times))
	n := len(s)
	return spread{Median: (s[(n-1)/2] + s[n/2]).Seconds() / 2, Min: s[0].Seconds(), Max: s[n-1].Seconds()}
}

func (s spread) String() string { return fmt.Sprintf("%.2f (%.2f–%.2f)", s.Median, s.Min, s.Max) }

func (r *report) print(out io.Writer) error {
	fmt.Fprintf(out, "%s against %s, %d cores, %d runs each: median (least–most)\n\n", r.Glick, r.Squashfs, r.Cores, r.Runs)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "tree\tfiles\tMB\tbundle MB\tsquashfs MB\tsize ×\tbundle s\tsquashfs s\ttime ×\tCPU ×")
	const mb = 1e6
	for _, t := range r.Results {
		fmt.Fprintf(w, "%s\t%d\t%.1f\t%.2f\t%.2f\t%.3f\t%s\t%s\t%.2f\t%.2f\n", t.Tree, t.Files, float64(t.Bytes)/mb, float64(t.Glick.Size)/mb,
			float64(t.Squashfs.Size)/mb, t.SizeRatio, t.Glick.Wall, t.Squashfs.Wall, t.TimeRatio, t.CPURatio)
	}
	return w.Flush()
}
