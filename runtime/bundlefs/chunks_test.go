// SPDX-License-Identifier: MIT

package bundlefs

import (
	"testing"
	"time"

	"glick.org/glick/internal/sample"
	"glick.org/glick/runtime/fuse"
)

// TestCacheAtRest: chunks that nobody reads any more take no memory, and are read again when they are wanted.
func TestCacheAtRest(t *testing.T) {
	raw := read(t, sample.Build(t, t.TempDir(), "org.example.App", "1", sample.Tree{"bin/app": "content"}))
	f := New(Options{})
	tree, _, _ := f.Add(treeOf(t, raw), Key{1}, "a.bundle")
	n, _ := tree.content().Find("bin/app")
	id, _ := f.remember(tree, n, tree.content().Info(n))
	kept := func() int {
		f.cache.mu.Lock()
		defer f.cache.mu.Unlock()
		return len(f.cache.have) + f.cache.order.Len() + int(f.cache.bytes)
	}
	for range 2 {
		if data, errno := f.Read(&fuse.ReadRequest{Node: id, Size: 64}); string(data) != "content" || errno != 0 {
			t.Fatalf("%q, %v", data, errno)
		}
		if kept() == 0 {
			t.Fatal("nothing is kept for the next reader")
		}
		// As the timer does it: once for the use since it was set, once for the rest.
		f.cache.tire()
		if kept() == 0 {
			t.Error("dropped although it was just used")
		}
		f.cache.tire()
		if kept() != 0 {
			t.Error("still kept although nobody reads")
		}
	}
	// A reader that was interrupted gets its bytes all the same.
	interrupted := make(chan struct{})
	close(interrupted)
	if data, errno := f.Read(&fuse.ReadRequest{Node: id, Size: 64, Cancel: interrupted}); string(data) != "content" || errno != 0 {
		t.Errorf("%q, %v", data, errno)
	}
	for deadline := time.Now().Add(10 * rest); kept() != 0; time.Sleep(rest / 10) {
		if time.Now().After(deadline) {
			t.Fatal("it is kept for ever")
		}
	}
}
