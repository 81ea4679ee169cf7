// SPDX-License-Identifier: MIT

package squashfs

import (
	"container/list"
	"sync"
)

// cache keeps values that were used last, up to a sum of their costs.
type cache[K comparable, V any] struct {
	limit int

	mu    sync.Mutex // guards all below
	used  int
	order *list.List // of *cached[K, V], the one used last in front
	byKey map[K]*list.Element
}

type cached[K comparable, V any] struct {
	key   K
	value V
	cost  int
}

// entryCost is about what an entry costs besides its value, in bytes: without it tiny values could be very many.
const entryCost = 192

func newCache[K comparable, V any](limit int) *cache[K, V] {
	return &cache[K, V]{limit: limit, order: list.New(), byKey: make(map[K]*list.Element)}
}

func (c *cache[K, V]) get(key K) (V, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.byKey[key]
	if !ok {
		var none V
		return none, false
	}
	c.order.MoveToFront(e)
	return e.Value.(*cached[K, V]).value, true
}

// put keeps a value of cost bytes. When another goroutine was faster, its value stays and is returned.
func (c *cache[K, V]) put(key K, value V, cost int) V {
	cost += entryCost
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.byKey[key]; ok {
		c.order.MoveToFront(e)
		return e.Value.(*cached[K, V]).value
	}
	if cost > c.limit {
		return value
	}
	c.used += cost
	c.byKey[key] = c.order.PushFront(&cached[K, V]{key, value, cost})
	for c.used > c.limit {
		e := c.order.Back()
		old := c.order.Remove(e).(*cached[K, V])
		delete(c.byKey, old.key)
		c.used -= old.cost
	}
	return value
}
