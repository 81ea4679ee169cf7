// SPDX-License-Identifier: MIT

package bundlefs

import (
	"container/list"
	"errors"
	"io"
	"runtime/debug"
	"sync"
	"time"

	"glick.org/glick/bundle"
	"glick.org/glick/runtime/fuse"
)

// readSource reads bytes of a file from one of the places where it is. The result may be part of the chunk cache: nobody may
// write to it.
//
// It goes on when the kernel says that the reader was interrupted: a page fault can wait, but not fail. EINTR would be SIGBUS for a program whose
// only fault is that it gets signals.
func (f *FS) readSource(r *fuse.ReadRequest, s source) ([]byte, error) {
	t := s.tree.content()
	info := t.Info(s.node)
	size, off := info.Size, r.Offset
	if off < 0 || off >= size {
		return nil, nil
	}
	want := min(int64(r.Size), size-off)
	done := int64(0)
	for done < want {
		c, at, err := t.ChunkAt(s.node, off+done)
		if err != nil {
			return nil, unexpected(err)
		}
		k, err := f.cache.get(t, c)
		if err != nil {
			return nil, unexpected(err)
		}
		data := k.data
		// A file is read in many requests, and proving that it is where its index says takes all of it: once for each time the chunk is unpacked.
		p := part{info.Digest, at - off - done, size}
		if _, proved := k.proved.Load(p); !proved {
			if err := t.CheckPart(s.node, data); err != nil {
				return nil, err
			}
			k.proved.Store(p, nil)
		}
		if at < 0 || at >= int64(len(data)) {
			return nil, bundle.ErrDamaged
		}
		data = data[at:]
		if done == 0 && int64(len(data)) >= want {
			return data[:want:want], nil
		}
		done += int64(copy(r.Buffer()[done:want], data))
	}
	return r.Buffer()[:want], nil
}

// unexpected makes the end of the bundle file an error: the file system never reads beyond what the index says.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return bundle.ErrTruncated
	}
	return err
}

// chunkKey is a chunk's content; chunks of different bundles with the same content are one.
type chunkKey struct {
	digest bundle.Digest
	size   uint32
}

// chunkCache keeps the uncompressed chunks that were used last. Several who want the same chunk wait for one reader.
type chunkCache struct {
	limit int64

	mu    sync.Mutex
	bytes int64               // guarded by mu
	have  map[chunkKey]*chunk // guarded by mu
	order *list.List          // guarded by mu: *chunk, the last used one first
	used  bool                // guarded by mu: since the timer was set
	timer *time.Timer         // guarded by mu; nil when nothing is kept
}

// rest is how long chunks are kept that nobody reads. What was read is in the kernel's page cache; at rest the service shall be small.
const rest = 2 * time.Second

// tire drops all chunks when none was used for a while.
func (c *chunkCache) tire() {
	c.mu.Lock()
	if c.used {
		c.used = false
		c.timer.Reset(rest)
		c.mu.Unlock()
		return
	}
	for e := c.order.Front(); e != nil; e = e.Next() {
		if k, ok := e.Value.(*chunk); ok {
			delete(c.have, k.key)
		}
	}
	c.order.Init()
	c.bytes, c.timer = 0, nil
	c.mu.Unlock()
	debug.FreeOSMemory()
}

type chunk struct {
	key   chunkKey
	place *list.Element // guarded by chunkCache.mu; nil while it is being read
	ready chan struct{} // closed when data and err are there
	data  []byte
	err   error

	proved sync.Map // of part: contents that were found to be in data
}

// part is where an index says that a content is in a chunk.
type part struct {
	digest     bundle.Digest
	skip, size int64
}

func newChunkCache(limit int64) *chunkCache {
	return &chunkCache{limit: limit, have: make(map[chunkKey]*chunk), order: list.New()}
}

// get returns a chunk, whose bytes nobody may change.
func (c *chunkCache) get(t *bundle.Tree, which bundle.Chunk) (*chunk, error) {
	if which.Stored == 0 {
		data, err := t.ReadChunk(which, nil) // zeros are made faster than kept
		return &chunk{data: data}, err
	}
	key := chunkKey{which.Digest, which.Raw}
	for {
		c.mu.Lock()
		k := c.have[key]
		if k == nil {
			k = &chunk{key: key, ready: make(chan struct{})}
			c.have[key] = k
			c.mu.Unlock()
			return c.fill(k, t, which)
		}
		if k.place != nil {
			c.order.MoveToFront(k.place)
			c.used = true
		}
		c.mu.Unlock()
		<-k.ready
		if k.err == nil {
			return k, nil
		}
		// Another bundle's copy was not readable. Ours may be: it has been taken out of the map, try with our own.
	}
}

func (c *chunkCache) fill(k *chunk, t *bundle.Tree, which bundle.Chunk) (*chunk, error) {
	// A panic must not leave the others waiting.
	k.err = bundle.ErrDamaged
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		defer close(k.ready)
		if k.err != nil {
			delete(c.have, k.key)
			return
		}
		k.place = c.order.PushFront(k)
		c.bytes += int64(len(k.data))
		if c.used = true; c.timer == nil {
			c.timer = time.AfterFunc(rest, c.tire)
		}
		for c.bytes > c.limit && c.order.Len() > 1 {
			oldest := c.order.Back()
			old := oldest.Value.(*chunk)
			c.order.Remove(oldest)
			delete(c.have, old.key)
			c.bytes -= int64(len(old.data))
		}
	}()
	k.data, k.err = t.ReadChunk(which, nil)
	return k, k.err
}
