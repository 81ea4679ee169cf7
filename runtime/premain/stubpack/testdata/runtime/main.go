// SPDX-License-Identifier: MIT

// This program's entry calls Go code that needs the Go runtime.
package main

func main() {}

var list []int

func before(n int) int { return list[n] }

var _ = before
