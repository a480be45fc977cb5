package fabric

import (
	"context"
	"sync"
)

// life is how long what runs in the background may run.
type life struct {
	ctx    context.Context //nolint:containedctx // ends with the channel
	cancel context.CancelFunc

	mu      sync.Mutex
	ended   bool
	running sync.WaitGroup
}

func newLife() *life {
	ctx, cancel := context.WithCancel(context.Background())
	return &life{ctx: ctx, cancel: cancel}
}

// background runs something until it ends by itself or its context does; false
// says that it is too late for that.
func (l *life) background(run func(context.Context)) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return false
	}
	l.running.Go(func() { run(l.ctx) })
	return true
}

// end ends everything and waits for it.
func (l *life) end() {
	l.mu.Lock()
	l.ended = true
	l.cancel()
	l.mu.Unlock()
	l.running.Wait()
}
