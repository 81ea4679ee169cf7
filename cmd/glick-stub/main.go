// SPDX-License-Identifier: MIT

// Command glick-stub is the code at the beginning of every bundle: it starts the bundle that it is part of. Alone, it starts
// the bundle file that its first argument names.
//
// It must be linked with -ldflags '-E _rt0_glick', see package premain.
package main

import (
	"errors"
	"fmt"
	"os"

	"glick.org/glick/runtime/launch"
)

func main() {
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
