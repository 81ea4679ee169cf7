// SPDX-License-Identifier: MIT

// Package bundlefs serves the trees of bundles as a FUSE file system.
//
// The content of bundles never changes, so the kernel may keep all that it was ever told: entries, attributes and links are
// valid for a year, names that do not exist as well, and open, opendir, flush and access are answered with ENOSYS once,
// which the kernel remembers. A warm application causes no requests at all.
//
// What is not content changes: the root's links, and what installed bundles export, which appears in the trees of all. Of each change the kernel is told.
//
// Node ids are a pure function of content: of digest and mode for files, of bundle and path for folders and links. Equal
// files of all bundles of a session therefore are one inode, with one copy in the page cache; and a service that starts
// again gives the same ids as its predecessor. Ids have 62 significant bits, and what would get another node's id is
// refused.
package bundlefs
