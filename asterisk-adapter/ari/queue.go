package ari

import (
	"sync"

	"github.com/CyCoreSystems/ari/v6"
)

// notice is one thing to tell the consumer of.
type notice struct {
	// attempt is the connection that it is of.
	attempt int
	event   ari.Event
	listing *Listing
	lost    error
}

// queue never makes its writer wait. It is as long as what the consumer has
// not yet taken; a call makes about a hundred events.
type queue struct {
	mu     sync.Mutex
	more   *sync.Cond
	items  []notice
	closed bool
}

func newQueue() *queue {
	q := &queue{}
	q.more = sync.NewCond(&q.mu)
	return q
}

func (q *queue) push(n notice) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closed {
		q.items = append(q.items, n)
		q.more.Signal()
	}
}

// pop waits for an item; false means closed.
func (q *queue) pop() (notice, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.items) == 0 && !q.closed {
		q.more.Wait()
	}
	if q.closed {
		return notice{}, false
	}
	n := q.items[0]
	q.items[0] = notice{}
	q.items = q.items[1:]
	if len(q.items) == 0 {
		q.items = nil // so that a burst's memory is given back
	}
	return n, true
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.more.Broadcast()
}
