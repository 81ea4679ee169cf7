// SPDX-License-Identifier: MIT

package launch

import (
	"fmt"
	"os/signal"
	"syscall"

	"glick.org/glick/runtime/premain"
)

// hangupIgnored is found out before anybody can ask for signals. Of all signals only these two stay ignored in a Go program
// that was started so (by nohup, for example); package premain knows the others where it is linked in.
var hangupIgnored, interruptIgnored = signal.Ignored(syscall.SIGHUP), signal.Ignored(syscall.SIGINT)

// Become executes a command line from [Argv] in place of this process, with the signals that this process found ignored
// still ignored. It returns only when that failed.
func Become(argv, env []string) error {
	if ignored, _, known := premain.Signals(); known {
		for n := syscall.Signal(1); n <= 64; n++ {
			if ignored&(1<<(n-1)) != 0 {
				signal.Ignore(n)
			}
		}
	}
	if hangupIgnored {
		signal.Ignore(syscall.SIGHUP)
	}
	if interruptIgnored {
		signal.Ignore(syscall.SIGINT)
	}
	if err := syscall.Exec(argv[0], argv, env); err != nil {
		return fmt.Errorf("cannot execute %s: %w", argv[0], err)
	}
	return nil
}
