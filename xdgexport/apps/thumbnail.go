// SPDX-License-Identifier: MIT

package apps

import (
	"crypto/md5" //nolint:gosec // the thumbnail specification names files so
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"

	"github.com/adrg/xdg"
)

// forgetFailedThumbnail lets the file manager try again. It remembers for ever that it could not make a picture of a
// file, which it may have tried while the file was still being copied (freedesktop.org thumbnail specification,
// "Permissions, fail").
func forgetFailedThumbnail(file string) {
	sum := md5.Sum([]byte(fileURI(file))) //nolint:gosec // as above
	failed, err := filepath.Glob(filepath.Join(xdg.CacheHome, "thumbnails", "fail", "*", hex.EncodeToString(sum[:])+".png"))
	if err != nil {
		return
	}
	for _, f := range failed {
		_ = os.Remove(f)
	}
}

// fileURI writes a path as GLib does, whose spelling is what the names of thumbnails are made of: net/url escapes more.
func fileURI(path string) string {
	const hexDigits = "0123456789ABCDEF"
	var b strings.Builder
	b.WriteString("file://")
	for _, c := range []byte(path) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-._~!$&'()*+,;=:@/", c) >= 0:
			b.WriteByte(c)
		default:
			b.Write([]byte{'%', hexDigits[c>>4], hexDigits[c&15]})
		}
	}
	return b.String()
}
