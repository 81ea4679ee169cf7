// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// terminal opens a pseudo terminal. What is written to the second file can be read from the first.
func terminal(t *testing.T) (screen, tty *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no pseudo terminals here: %v", err)
	}
	t.Cleanup(func() { screen.Close() })
	fd := int(screen.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tty.Close() })
	if err := unix.IoctlSetWinsize(int(tty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80}); err != nil {
		t.Fatal(err)
	}
	return screen, tty
}

// TestProgress shows a bar on a terminal after a second, and nowhere else.
func TestProgress(t *testing.T) {
	screen, tty := terminal(t)
	seen := make(chan string)
	go func() {
		var all strings.Builder
		buf := make([]byte, 4096)
		for {
			n, err := screen.Read(buf)
			all.Write(buf[:n])
			if err != nil || strings.Contains(all.String(), "after") {
				seen <- all.String()
				return
			}
		}
	}()
	p := newProgress(tty, "Packing")
	p.update(1, 100)
	if p.bar != nil {
		t.Error("a bar is there at once")
	}
	p.start = time.Now().Add(-2 * progressDelay)
	p.update(50<<20, 100<<20)
	if p.bar == nil {
		t.Error("no bar")
	}
	time.Sleep(300 * time.Millisecond) // the bar is drawn a few times a second
	p.end()
	fmt.Fprintln(tty, "after")
	if text := <-seen; !strings.Contains(text, "Packing") || !strings.Contains(text, "50.0 MiB / 100.0 MiB") {
		t.Errorf("the terminal shows %q", text)
	}

	var file bytes.Buffer
	p = newProgress(&file, "Packing")
	p.start = time.Now().Add(-2 * progressDelay)
	p.update(50, 100)
	p.end()
	if file.Len() != 0 {
		t.Errorf("%q is written to what is no terminal", file.String())
	}
}
