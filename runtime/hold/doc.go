// SPDX-License-Identifier: MIT

// Package hold keeps a service's open files and a little data in a process of their own, the holder. The service may be
// killed at any moment, or replaced by a newer version: its successor gets them back, and what depends on them, a FUSE
// connection for instance, lives on meanwhile. When the service has died and nobody starts it again, the holder does.
//
// A service begins with [Connect], takes what is there with [Client.Items], and says what is to be kept with [Client.Put] and
// [Client.Drop]. It ends with [Client.Finish], or with [Client.Close] when a successor takes over; to be killed is much the
// same as the latter. Its program calls [Main] when it is executed with [Marker]. The holder looks at nothing that it holds.
//
// # Protocol
//
// Each message is one packet on a SOCK_SEQPACKET socket in the service's folder; it begins with a letter. Numbers are
// little-endian.
//
//	client → holder  'H' version(1)                                 first of all
//	holder → client  'H' version(1)
//	client → holder  'R' grace(4, ms) args(2) variables(2) texts     how to start the service again; each text ends with NUL
//	client → holder  'P' flags(1) size(1) name data [descriptors]    put an item
//	client → holder  'D' size(1) name size(1) name …                 drop items
//	client → holder  'L'                                             list: 'I' flags(1) size(1) name data [descriptors] for each, then 'K'
//	client → holder  'F'                                             finish
//	client → holder  'C'                                             the client lets go; never answered
//	holder → client  'K', or 'E' errno(4)                            to each of 'R', 'P', 'D', 'L', 'F'
//
// There is one client at a time. Others wait in the socket's queue, so that the next one is there at once when it has gone.
//
// # Versions
//
// The holder is of the version of the service that started it, which may be older than the one that talks to it, or newer. It
// is never replaced while something lives because of it. So, for ever:
//
//   - what is written above stays as it is: letters, their meaning, and the sizes that are allowed; these may only grow;
//   - neither side refuses the other for its version: the holder's says what may be asked of it, no more. A newer client does
//     without what an older holder does not know. To an unknown letter a holder answers ENOSYS, and closes the descriptors that
//     came with it;
//   - something new is a new letter, or comes after what is known of 'H' and 'R', where it is ignored by those who do not know it;
//   - the holder gives back an item's flags as they came. It understands [Item].Live, the lowest, and is to ignore the rest;
//   - an item's data are the service's own business, and so is their version.
package hold

import "errors"

// Marker is what the first argument says when a program is executed to be the holder.
const Marker = "glick:hold"

// ErrBusy says that another client was connected to the holder as long as there was time to wait, or that the holder did not
// answer in this time.
var ErrBusy = errors.New("another service has the holder of open files, or it does not answer")

// ErrLost says that the holder has gone, or answers no more. What it held is gone as far as it held it.
var ErrLost = errors.New("the holder of open files has gone")
