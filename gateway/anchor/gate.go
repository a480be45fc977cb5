package anchor

import (
	"context"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
)

const (
	// probeFirst and probeLongest are the shortest and the longest wait between two
	// tries while the network cannot be reached: what comes back is found within
	// about a second.
	probeFirst   = 25 * time.Millisecond
	probeLongest = 800 * time.Millisecond
)

// gate lets tries through as they come while the network can be reached. After one
// has failed it lets one at a time through, at growing intervals with jitter, until
// one succeeds: a thousand segments that wait for a peer cost it one question.
type gate struct {
	mu      sync.Mutex
	shut    bool
	probing bool
	next    time.Time
	wait    *backoff.ExponentialBackOff
	changed chan struct{} // closed and made anew when waiters should look again
}

func newGate() *gate {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = probeFirst, probeLongest
	return &gate{wait: wait, changed: make(chan struct{})}
}

// pass returns when a try may be made, or with the context's error. Every try that
// was let through ends with passed or failed.
func (g *gate) pass(ctx context.Context) error {
	for {
		g.mu.Lock()
		now := time.Now()
		if !g.shut {
			g.mu.Unlock()
			return ctx.Err()
		}
		if !g.probing && !now.Before(g.next) {
			g.probing = true
			g.mu.Unlock()
			return ctx.Err()
		}
		wait, changed := max(g.next.Sub(now), time.Millisecond), g.changed
		if g.probing {
			wait = probeLongest
		}
		g.mu.Unlock()
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-changed:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// passed says that the network answered, be it with a refusal.
func (g *gate) passed() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.shut {
		return
	}
	g.shut, g.probing = false, false
	g.wait.Reset()
	close(g.changed)
	g.changed = make(chan struct{})
}

// failed says that the network could not be reached.
func (g *gate) failed() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut && !g.probing {
		return // let through before the gate was shut
	}
	g.shut, g.probing = true, false
	g.next = time.Now().Add(g.wait.NextBackOff())
	close(g.changed)
	g.changed = make(chan struct{})
}

// isShut says whether the network could not be reached last.
func (g *gate) isShut() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.shut
}
