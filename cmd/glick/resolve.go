// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"glick.org/glick/bundle"
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

// openBundle opens the bundle that a person means. The caller closes the file, which the bundle reads from.
func openBundle(arg string) (*bundle.Bundle, *os.File, error) {
	file, err := resolveFile(arg)
	if err != nil {
		return nil, nil, err
	}
	// A named pipe must not stop us.
	f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, cannotRead(file, err)
	}
	b, err := readBundle(f)
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

func readBundle(f *os.File) (*bundle.Bundle, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	switch {
	case info.IsDir():
		return nil, fmt.Errorf("it is a folder: %w", bundle.ErrNotBundle)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("it is not a regular file: %w", bundle.ErrNotBundle)
	}
	return bundle.Read(f, info.Size())
}
