// SPDX-License-Identifier: MIT

package xdgexport

import (
	"regexp"
	"sync"
)

// pattern is a regular expression that is compiled when it is first used: all of them together take seven milliseconds, which
// every command would pay.
type pattern func() *regexp.Regexp

func newPattern(text string) pattern {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(text) })
}

func (p pattern) MatchString(s string) bool { return p().MatchString(s) }

func (p pattern) FindStringSubmatch(s string) []string { return p().FindStringSubmatch(s) }
