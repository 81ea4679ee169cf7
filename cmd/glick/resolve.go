// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"glick.org/glick/bundle"
	"glick.org/glick/bundle/foreign"
	"glick.org/glick/xdgexport/apps"
)

// resolveFile returns the bundle file that a person means: a path, or the id of an installed application. A word without a slash that can
// be an id is one when an application of that id is installed.
func resolveFile(arg string) (string, error) {
	if strings.Contains(arg, "/") || bundle.ValidID(arg) != nil {
		return arg, nil
	}
	app, err := apps.Find(arg)
	if err != nil {
		// The file may be there and be damaged: what reads it says so better.
		if _, statErr := os.Stat(arg); statErr == nil {
			return arg, nil
		}
		return "", err
	}
	return app.File, nil
}

// openFile opens the file that a person means, whichever of the kinds that Glick can read it is. The caller closes the file, which the result
// reads from.
func openFile(arg string) (*bundle.Bundle, *os.File, error) {
	file, err := resolveFile(arg)
	if err != nil {
		return nil, nil, err
	}
	return open(file, func(r io.ReaderAt, size int64) (*bundle.Bundle, error) {
		b, err := bundle.ReadSlice(r, size)
		if errors.Is(err, bundle.ErrNotSlice) || errors.Is(err, bundle.ErrNotBundle) {
			return foreign.Read(r, size)
		}
		return b, err
	})
}

// openSlice opens the file of a slice.
func openSlice(file string) (*bundle.Bundle, *os.File, error) {
	return open(file, bundle.ReadSlice)
}

func open(file string, read func(io.ReaderAt, int64) (*bundle.Bundle, error)) (*bundle.Bundle, *os.File, error) {
	// A named pipe must not stop us.
	f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, cannotRead(file, err)
	}
	info, err := f.Stat()
	var b *bundle.Bundle
	switch {
	case err != nil:
	case info.IsDir():
		err = fmt.Errorf("it is a folder: %w", bundle.ErrNotBundle)
	case !info.Mode().IsRegular():
		err = fmt.Errorf("it is not a regular file: %w", bundle.ErrNotBundle)
	default:
		b, err = read(f, info.Size())
	}
	if err != nil {
		f.Close()
		return nil, nil, cannotRead(file, err)
	}
	return b, f, nil
}

// cannotRead says which file could not be read, once.
func cannotRead(file string, err error) error {
	var path *os.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	return fmt.Errorf("cannot read %s: %w", file, err)
}

// refuseForeign says why a file that Glick can read cannot be run or installed. Nil: it is a bundle, or what is wrong with it is for others to say.
// It looks at the first bytes only.
func refuseForeign(file string) error {
	f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	defer f.Close()
	head := make([]byte, bundle.HeadSize)
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil
	}
	name := foreign.Kind(head[:n])
	switch {
	case name != "":
		return fmt.Errorf("%s, which Glick can show and take apart, but not run: %w", formatNames[name], bundle.ErrNotBundle)
	case bundle.IsSlice(head[:n]):
		return fmt.Errorf("a slice, of which bundles are made: %w", bundle.ErrNotBundle)
	}
	return nil
}
