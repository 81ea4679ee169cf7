// SPDX-License-Identifier: MIT

package launch

import (
	"errors"
	"testing"
)

func TestLogPacket(t *testing.T) {
	for _, c := range []struct {
		severity int
		args     []any
		want     string
	}{
		{severityError, nil, "<11>glick[7]: it failed"},
		{severityWarning, []any{"path", "a b"}, `<12>glick[7]: it failed path="a b"`},
		{severityInfo, []any{"count", 3, "error", errors.New("no\nnews")}, `<14>glick[7]: it failed count="3" error="no\nnews"`},
		{severityError, []any{"path", "x\" error=\"\x1b[2J", "odd"}, `<11>glick[7]: it failed path="x\" error=\"\x1b[2J"`},
	} {
		if got := string(logPacket(7, c.severity, "it failed", c.args)); got != c.want {
			t.Errorf("%s\nwant %s", got, c.want)
		}
	}
}

// TestNoSystemLog: without a system log, messages are dropped and nothing else happens.
func TestNoSystemLog(t *testing.T) {
	systemLog{-1}.Error("nobody hears this", "path", "x")
}
