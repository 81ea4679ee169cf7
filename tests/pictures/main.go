// SPDX-License-Identifier: MIT

// Command pictures makes example bundles, and the pictures of the windows that software centres show (data/screenshots), from real windows.
//
//	pictures -bundles DIR [-many N]   only make the bundles
//	pictures DIR                      make the pictures; the programs of this source must be installed
//
// It must be run as a user who may start desktop sessions, not as root.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "pictures:", err)
		os.Exit(1)
	}
}

func run() error {
	bundles := flag.String("bundles", "", "only make the bundles, in this `folder`")
	count := flag.Int("many", 0, "make `N` tiny applications instead of the examples")
	stubFile := flag.String("stub", "/usr/local/libexec/glick/stub-x86_64", "the `program` that bundles begin with")
	flag.Parse()
	stub, err := os.ReadFile(*stubFile)
	if err != nil {
		return fmt.Errorf("cannot read what bundles begin with: %w", err)
	}
	list := examples
	if *count > 0 {
		list = many(*count)
	}
	if *bundles != "" {
		return makeAll(*bundles, list, stub)
	}
	if flag.NArg() != 1 {
		return errors.New("say in which folder to put the pictures")
	}
	return pictures(flag.Arg(0), stub)
}

func makeAll(dir string, list []example, stub []byte) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, e := range list {
		if err := e.make(context.Background(), dir, stub); err != nil {
			return fmt.Errorf("cannot make %s: %w", e.name, err)
		}
	}
	return nil
}
