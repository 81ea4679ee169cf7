// SPDX-License-Identifier: MIT

// Command glickd is the session service: it serves the files of running bundles, watches the bundle folders, and keeps
// what the desktop shows of them up to date. It runs once in a session and needs no privileges.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"glick.org/glick/runtime/hold"
	"glick.org/glick/xdgexport/apps"
)

// version is set by the linker (-X main.version=…).
var version = "0.0.0-dev"

const usage = `Usage: glickd [--replace] [--help] [--version]

The session service of Glick: it serves the files of running bundles, watches
~/Apps, the folders that the user has added and those of the system, and keeps
menu entries, icons, file types and services of the installed bundles up to date.
It is started by the session, or by D-Bus when it is needed; a second one ends at
once.

  --replace  take over from the running one, after an update for example;
             running applications do not notice

When it is killed it starts again, and running applications go on. Asked to end
(SIGTERM), it leaves behind what they need, until the last one has ended.
`

func main() {
	if len(os.Args) > 0 && os.Args[0] == hold.Marker {
		if err := hold.Main(os.Args); err != nil {
			os.Exit(1)
		}
		return
	}
	f := flag.NewFlagSet("glickd", flag.ExitOnError)
	f.Usage = func() { fmt.Fprint(f.Output(), usage) }
	showVersion := f.Bool("version", false, "print the version")
	replace := f.Bool("replace", false, "take over from the running one")
	onlyLinger := f.Bool("linger", false, "serve only what still runs, and end then (glickd starts itself so)")
	onlyCheck := f.Bool("check", false, "compare the contents of large bundles to their digests, and end (glickd starts itself so)")
	_ = f.Parse(os.Args[1:]) // it exits on errors
	switch {
	case *showVersion:
		fmt.Println("glickd", version)
		return
	case f.NArg() > 0:
		f.Usage()
		os.Exit(2)
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt, syscall.SIGHUP)
	// After the first signal the next one ends glickd at once, whatever it is still waiting for.
	context.AfterFunc(ctx, stop)
	run := func() error { return serve(ctx, log, *replace) }
	if *onlyLinger {
		run = func() error { return linger(ctx, log) }
	}
	if *onlyCheck {
		run = func() error {
			damaged, err := apps.Check(ctx)
			if err == nil && damaged {
				stop()
				os.Exit(statusDamaged)
			}
			return err
		}
	}
	err := run()
	stop()
	switch {
	case errors.Is(err, errRunning):
		log.Info("another glickd serves this session already")
	case err != nil:
		log.Error("cannot go on", "error", err)
		os.Exit(1)
	}
}
