// SPDX-License-Identifier: MIT

// Command glick-thumbnailer makes the picture of a bundle for file managers; see data/glick.thumbnailer.
package main

import (
	"flag"
	"fmt"
	"os"

	"glick.org/glick/thumbnailer"
)

// version is set by the linker (-X main.version=…).
var version = "0.0.0-dev"

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "glick-thumbnailer: %v\n", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	f := flag.NewFlagSet("glick-thumbnailer", flag.ExitOnError)
	f.Usage = func() {
		fmt.Fprintf(f.Output(), "Usage: glick-thumbnailer [-s SIZE] BUNDLE PICTURE\n\nWrites the icon of a bundle as a PNG picture of SIZE×SIZE pixels at most.\n\n")
		f.PrintDefaults()
	}
	size := f.Int("s", 256, "size of the picture in pixels")
	showVersion := f.Bool("version", false, "print the version")
	_ = f.Parse(args) // it exits on errors
	if *showVersion {
		fmt.Println("glick-thumbnailer", version)
		return nil
	}
	if f.NArg() != 2 {
		f.Usage()
		os.Exit(2)
	}
	return thumbnailer.Run(f.Arg(0), f.Arg(1), *size)
}
