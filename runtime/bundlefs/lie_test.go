// SPDX-License-Identifier: MIT

package bundlefs

import (
	"bytes"
	"crypto/sha256"
	"io"
	"log/slog"
	"os"
	"syscall"
	"testing"

	"glick.org/glick/bundle"
	"glick.org/glick/internal/sample"
	"glick.org/glick/runtime/fuse"
)

// TestLyingBundle replays an attack: a bundle that was started first says that its file is another bundle's library. Equal
// files are one inode, so without checks the other application would be given the liar's bytes, or the liar's size.
func TestLyingBundle(t *testing.T) {
	const good, evil = "the library that everybody trusts", "a library that does something bad"
	honest := treeOf(t, read(t, sample.Build(t, t.TempDir(), "org.example.Honest", "1", sample.Tree{"bin/app": good})))
	raw := read(t, sample.Build(t, t.TempDir(), "org.example.Liar", "1", sample.Tree{"bin/app": evil}))
	liar := treeOf(t, claim(t, raw, evil, good))

	f := New(Options{Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	var ids [2]uint64
	for i, tree := range []*bundle.Tree{liar, honest} {
		added, _, _ := f.Add(tree, Key{byte(i)}, "x.bundle")
		n, ok := tree.Find("bin/app")
		if !ok {
			t.Fatal("no bin/app")
		}
		if ids[i], ok = f.remember(added, n, tree.Info(n)); !ok {
			t.Fatal("the honest bundle is refused")
		}
		got, errno := f.Read(&fuse.ReadRequest{Node: ids[i], Size: 4096})
		if i == 0 {
			if errno != syscall.EIO {
				t.Errorf("the liar's file is read: %v", errno)
			}
			continue
		}
		if errno != 0 {
			t.Fatalf("the honest bundle's file cannot be read: %v", errno)
		}
		if string(got) != good {
			t.Errorf("the honest bundle's file is %q", got)
		}
	}
	if ids[0] != ids[1] {
		t.Error("the two files are not one inode: the attack was not tried")
	}
}

// TestIdentityCoversSize: what the kernel is told of a shared inode must be the same from all bundles.
func TestIdentityCoversSize(t *testing.T) {
	tree := treeOf(t, read(t, sample.Build(t, t.TempDir(), "org.example.App", "1", sample.Tree{"bin/app": "x"})))
	n, _ := tree.Find("bin/app")
	info := tree.Info(n)
	longer := info
	longer.Size++
	w := newTree(tree, Key{}, "x.bundle")
	if w.identify(n, info).id() == w.identify(n, longer).id() {
		t.Error("two sizes are one inode")
	}
}

// claim makes a bundle say that the content of one of its files has another's digest, with all digests above it made right.
func claim(t *testing.T, raw []byte, content, as string) []byte {
	t.Helper()
	b := parse(t, raw)
	var index, manifest bundle.Section
	for _, s := range b.Sections() {
		switch s.Name {
		case ".glick.slice.0":
			index = s
		case ".glick.manifest":
			manifest = s
		}
	}
	part := raw[index.Offset:][:index.Size]
	before := bundle.Digest(sha256.Sum256(part))
	mine, theirs := sha256.Sum256([]byte(content)), sha256.Sum256([]byte(as))
	// The first one is in the table of contents; the chunk's own digest stays true.
	at := bytes.Index(part, mine[:])
	if at < 0 {
		t.Fatal("the content is not in the index")
	}
	copy(part[at:], theirs[:])
	after := bundle.Digest(sha256.Sum256(part))
	text := raw[manifest.Offset:][:manifest.Size]
	changed := bytes.ReplaceAll(text, []byte(before.String()), []byte(after.String()))
	end := bytes.Index(changed, []byte("[Manifest]\n"))
	if end < 0 || bytes.Equal(changed, text) {
		t.Fatal("the manifest has changed its form")
	}
	value := bytes.Index(changed[end:], []byte("Digest=")) + end + len("Digest=")
	own := bundle.Digest(sha256.Sum256(changed[:end]))
	copy(changed[value:], own.String())
	copy(text, changed)
	return raw
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func parse(t *testing.T, raw []byte) *bundle.Bundle {
	t.Helper()
	b, err := bundle.Read(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func treeOf(t *testing.T, raw []byte) *bundle.Tree {
	t.Helper()
	tree, err := parse(t, raw).Tree()
	if err != nil {
		t.Fatal(err)
	}
	return tree
}
