// SPDX-License-Identifier: MIT

// Command run measures what running bundles costs, against others that do the same work in the same minute: native programs,
// bubblewrap, squashfuse, flatpak, a plain file system. Each row has a target, and the report says whether it is met. Figures
// depend on the machine; ratios of runs that took turns depend on it little.
//
// It measures as an unprivileged user, with a home, a runtime folder and a session of its own. Started as root it does so
// as the test user, in a mount namespace that ends with it, and can then also drop caches and mount file systems; rows that
// need this are left out otherwise, and the report says so.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// settings are the command line, and what measuring needs to know besides.
type settings struct {
	Rows     []string
	Runs     int     // 0: as many as the row needs
	KillTime float64 // seconds for which the service is killed
	Glick    string  // folder with the programs
	Demo     string  // folder in which tests/demo/make-bundle has worked
	Dir      string  // in which the work folder is made
	User     string
	JSON     string
	SVG      string
	Work     string // the work folder
}

// row is a line of the report.
type row struct {
	name, what string
	run        func(*bench, context.Context, *result) error
}

var rows = []row{
	{"launch", "exec of a bundle file to main() of a tiny static program, service running", launchServed},
	{"mounts", "the same with 300 more mounts on the host", launchAmongMounts},
	{"alone", "the same without a service: the bundle serves itself", launchAlone},
	{"window", "a GTK application, warm, to its first window", windowWarm},
	{"cold", "the same from a compressed bundle, nothing in memory", windowCold},
	{"bundlewindow", "a double click on a bundle to the window that describes it, warm", bundleWindow},
	{"library", "the library window with 1,000 applications, warm", libraryWindow},
	{"files", "warm find, ls -lR and cat of 20,000 files", warmFiles},
	{"share", "page cache grown by a second bundle with the same library of 50 MB", sharedLibrary},
	{"rest", "the service at rest, 100 bundles installed and 20 running", atRest},
	{"many", "1,000 instances at once; 10,000 open files in one", manyInstances},
	{"kill", "the service killed every second under 20 verifying readers", killedService},
	{"end", "from the end of an instance to the release of what it held", instanceEnd},
}

func main() {
	// Children are told when the thread that has started them ends: it must be one that does not.
	runtime.LockOSThread()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	var err error
	switch filepath.Base(os.Args[0]) {
	case insideName:
		stop()
		err = inside(os.Args[1:])
	case measureName:
		err = measureAsUser(ctx, os.Args[1:])
	default:
		err = run(ctx, os.Args[1:])
	}
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "run-bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	s, err := parse(args)
	if err != nil {
		return err
	}
	if os.Geteuid() == 0 {
		return runAsRoot(ctx, s, args)
	}
	output, err := openOutput(s)
	if err != nil {
		return err
	}
	defer output.close()
	if s.Work, err = os.MkdirTemp(s.Dir, "glick-bench."); err != nil {
		return err
	}
	defer removeWork(s.Work)
	if err := prepare(s, -1); err != nil {
		return err
	}
	return measure(ctx, s, nil, output)
}

func parse(args []string) (*settings, error) {
	s := &settings{}
	f := flag.NewFlagSet("run-bench", flag.ContinueOnError)
	names := make([]string, len(rows))
	for i, r := range rows {
		names[i] = r.name
	}
	rowList := f.String("rows", "", "`names` of rows with commas between, of "+strings.Join(names, ",")+" (default: all)")
	f.IntVar(&s.Runs, "runs", 0, "measured `runs` of each contender (default: as many as the row needs)")
	killTime := f.Duration("kill-time", time.Minute, "`time` for which the service is killed every second")
	f.StringVar(&s.Glick, "glick", "build/cmd", "`folder` with glick, glickd and the stub")
	f.StringVar(&s.Demo, "demo", "build/demo", "`folder` in which tests/demo/make-bundle has worked")
	f.StringVar(&s.Dir, "dir", "/var/tmp", "`folder` to work in, on a disk; everything is taken away in the end (1 GB)")
	f.StringVar(&s.User, "user", "glicktest", "`name` of the unprivileged user, when started as root")
	f.StringVar(&s.JSON, "json", "", "write the numbers to `file` too")
	f.StringVar(&s.SVG, "svg", "", "draw the figures against their targets into `file`")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.NArg() > 0 || s.Runs < 0 || *killTime <= 0 {
		f.Usage()
		return nil, errors.New("the command line is not understood")
	}
	s.KillTime = killTime.Seconds()
	s.Rows = names
	if *rowList != "" {
		s.Rows = strings.Split(*rowList, ",")
		for _, n := range s.Rows {
			if !slices.Contains(names, n) {
				return nil, fmt.Errorf("there is no row %q; there are %s", n, strings.Join(names, ", "))
			}
		}
	}
	for _, p := range []*string{&s.Glick, &s.Demo, &s.Dir} {
		abs, err := filepath.Abs(*p)
		if err != nil {
			return nil, err
		}
		*p = abs
	}
	if strings.ContainsAny(s.Dir, ":,\\") {
		return nil, fmt.Errorf("the folder %s has a character that mount options cannot have; use another --dir", s.Dir)
	}
	return s, nil
}

// output are the files for the report. They are opened before anything is measured.
type output struct{ json, svg *os.File }

func openOutput(s *settings) (*output, error) {
	o := &output{}
	var err error
	if o.json, err = create(s.JSON); err != nil {
		return nil, err
	}
	if o.svg, err = create(s.SVG); err != nil {
		o.close()
		return nil, err
	}
	return o, nil
}

// create makes a file that belongs to whom its folder belongs to, because root also writes into the clones of others.
func create(name string) (*os.File, error) {
	if name == "" {
		return nil, nil
	}
	f, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	var dir unix.Stat_t
	if os.Geteuid() == 0 && unix.Stat(filepath.Dir(name), &dir) == nil {
		_ = f.Chown(int(dir.Uid), int(dir.Gid))
	}
	return f, nil
}

func (o *output) close() {
	o.json.Close() // nil is fine
	o.svg.Close()
}

// measure runs the rows and reports. What is measured belongs to this process and is gone when it returns.
func measure(ctx context.Context, s *settings, root *rootHelper, o *output) (err error) {
	b, err := newBench(s, root)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	rep := newReport(b)
	rep.head(os.Stdout)
	for _, r := range rows {
		if !slices.Contains(s.Rows, r.name) {
			continue
		}
		fmt.Fprintf(os.Stderr, "measuring %s: %s\n", r.name, r.what)
		res := &result{Row: r.name, What: r.what}
		begin := time.Now()
		res.finish(r.run(b, ctx, res))
		res.Seconds = time.Since(begin).Seconds()
		if err := b.endRow(); err != nil {
			res.note("cleaning up: %v", err)
		}
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
		rep.Rows = append(rep.Rows, res)
		res.print(os.Stdout)
	}
	rep.foot(os.Stdout)
	var failed []string
	for _, r := range rep.Rows {
		if r.Failed != "" {
			failed = append(failed, r.Row)
		}
	}
	if o.json != nil {
		data, err := json.MarshalIndent(rep, "", "  ")
		if err != nil {
			return err
		}
		if err := write(o.json, append(data, '\n')); err != nil {
			return err
		}
	}
	if o.svg != nil {
		var buf bytes.Buffer
		rep.draw(&buf)
		if err := write(o.svg, buf.Bytes()); err != nil {
			return err
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("could not be measured: %s", strings.Join(failed, ", "))
	}
	return nil
}

func write(f io.WriteCloser, data []byte) error {
	_, err := f.Write(data)
	return errors.Join(err, f.Close())
}
