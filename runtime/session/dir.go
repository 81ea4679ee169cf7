// SPDX-License-Identifier: MIT

package session

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Dir is the service's folder, $XDG_RUNTIME_DIR/glick. It need not exist. There is no other place: a predictable path that
// others can write to would let them stand in for the service.
func Dir() (string, error) {
	base := os.Getenv("XDG_RUNTIME_DIR")
	switch {
	case base == "":
		return "", errors.New("XDG_RUNTIME_DIR is not set")
	case !filepath.IsAbs(base):
		return "", fmt.Errorf("XDG_RUNTIME_DIR is not an absolute path: %q", base)
	}
	return filepath.Join(filepath.Clean(base), "glick"), nil
}
