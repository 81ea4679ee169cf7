// SPDX-License-Identifier: MIT

// Command pack makes the linked stub small: "pack PROGRAM PACKED", see package stubpack. It is a step of the build.
package main

import (
	"errors"
	"fmt"
	"os"

	"glick.org/glick/runtime/premain/stubpack"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "pack:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return errors.New("usage: pack PROGRAM PACKED")
	}
	raw, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	packed, err := stubpack.Pack(raw)
	if err != nil {
		return err
	}
	return os.WriteFile(args[1], packed, 0o755)
}
