// SPDX-License-Identifier: MIT

// Command glick-stub is the code at the beginning of every bundle: it starts the bundle that it is part of. Alone, it starts
// the bundle file that its first argument names, or prints its licence notices when executed as "glick:notices", its version
// when executed as "glick:version".
//
// It must be linked with -ldflags '-E _rt0_glick', see package premain.
package main

import (
	_ "embed"
	"errors"
	"fmt"
	"os"

	"glick.org/glick/runtime/launch"
)

// notices are what the licences of the stub's parts want to go with every copy, and so with every bundle.
//
//go:embed NOTICES.txt
var notices string

// version is set by the linker (-X main.version=…).
var version = "0.0.0-dev"

func main() {
	if len(os.Args) > 0 {
		switch os.Args[0] {
		case "glick:notices":
			fmt.Print(notices)
			return
		case "glick:version":
			fmt.Println("glick-stub", version)
			return
		}
	}
	err := launch.Main()
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, "glick:", err)
	status := launch.StatusFailed
	var start *launch.StartError
	if errors.As(err, &start) {
		status = start.Status
	}
	os.Exit(status)
}
