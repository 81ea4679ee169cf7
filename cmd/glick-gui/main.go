// SPDX-License-Identifier: MIT

// Command glick-gui shows bundles and the library of installed applications in windows.
package main

import (
	"os"

	"glick.org/glick/gui"
)

// version is set by the linker (-X main.version=…).
var version = "0.0.0-dev"

func main() {
	os.Exit(gui.Run(os.Args, version))
}
