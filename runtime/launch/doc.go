// SPDX-License-Identifier: MIT

// Package launch starts bundles: it makes a process's private view of the file system, with the bundle's tree at its prefix,
// and turns the process into the bundle's program.
//
// It works in two steps. Go code finds out all that must be known (the bundle, the session service, what is at the prefix
// now) and writes it down as a [Plan], a list of printable operations. Package premain then executes the plan in the same
// process, before any Go runtime has started, because only a process of one thread can enter a user namespace and keep its
// process id. When an operation fails, the process becomes Go code again, which says what failed in one sentence.
package launch
