package fabric

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/peer"

	"github.com/callseal/callseal/gateway/fault"
)

// Peer is one of the operator's own.
type Peer struct {
	address string
	link    atomic.Pointer[link]
	log     *slog.Logger
	metrics *Metrics
	// height is the number of blocks the peer is known to have.
	height atomic.Uint64
	// heard is when it last answered, in nanoseconds since the clock's zero.
	heard atomic.Int64
	// pace is how long its answers to queries take.
	pace pace
	// ask wakes who looks after its health.
	ask chan struct{}

	mu sync.Mutex
	// fell is closed when the peer stops answering: calls under way there are
	// tried elsewhere.
	fell    chan struct{}
	healthy bool
	problem error
}

func newPeer(address string, opened *link, log *slog.Logger, metrics *Metrics) *Peer {
	p := &Peer{address: address, log: log, metrics: metrics, ask: make(chan struct{}, 1), fell: make(chan struct{}), healthy: true}
	p.link.Store(opened)
	return p
}

// Address is the peer's, host:port.
func (p *Peer) Address() string { return p.address }

// Health is what is known of a peer.
type Health struct {
	Address string
	// Healthy says that it answers; until it was asked for the first time it is
	// taken to.
	Healthy bool
	// Problem is why it does not.
	Problem error
	// Height is the number of blocks it is known to have.
	Height uint64
}

// Health is what is known of the peer now.
func (p *Peer) Health() Health {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Health{Address: p.address, Healthy: p.healthy, Problem: p.problem, Height: p.height.Load()}
}

// state says whether the peer answers, and what is closed when it no longer does.
func (p *Peer) state() (healthy bool, fell <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.healthy, p.fell
}

// clockZero is where the clock of heard begins.
var clockZero = time.Now()

// answered notes that the peer lives.
func (p *Peer) answered() { p.heard.Store(int64(time.Since(clockZero))) }

// heardSince says whether it has answered since a moment.
func (p *Peer) heardSince(moment time.Time) bool {
	return p.heard.Load() >= int64(moment.Sub(clockZero))
}

// has notes that the peer has so many blocks.
func (p *Peer) has(height uint64) {
	for known := p.height.Load(); known < height && !p.height.CompareAndSwap(known, height); known = p.height.Load() {
	}
}

// rose notes that the peer answers.
func (p *Peer) rose() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answered()
	if !p.healthy {
		p.healthy, p.problem, p.fell = true, nil, make(chan struct{})
		p.log.Info("the peer answers again", "peer", p.address, "height", p.height.Load())
	}
}

// fall notes that the peer does not answer.
func (p *Peer) fall(why error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.problem = why
	if p.healthy {
		p.healthy = false
		close(p.fell)
		p.log.Warn("the peer does not answer", "peer", p.address, "error", why)
	}
	// Nobody knows what it comes back with.
	p.height.Store(0)
}

// doubt has the peer's health looked at now.
func (p *Peer) doubt() {
	select {
	case p.ask <- struct{}{}:
	default:
	}
}

// process has the peer alone carry a signed proposal out.
func (p *Peer) process(ctx context.Context, signed *peer.SignedProposal) ([]byte, error) {
	began := time.Now()
	answer, err := peer.NewEndorserClient(p.link.Load().connection).ProcessProposal(ctx, signed)
	result, err := resultOf(answer, err)
	p.metrics.done(p, fault.StageEvaluate, time.Since(began), err)
	switch {
	case err == nil:
		p.answered()
		p.pace.took(time.Since(began))
	case isAway(err):
		p.doubt()
	case ctx.Err() == nil:
		p.answered()
	}
	return result, err
}

// close ends the connection.
func (p *Peer) close() error {
	if err := p.link.Load().close(); err != nil {
		return fmt.Errorf("close the connection to peer %s: %w", p.address, err)
	}
	return nil
}

// pace is a moving average of how long something takes.
type pace struct{ average atomic.Int64 }

func (p *pace) took(duration time.Duration) {
	const weight = 8
	before := p.average.Load()
	if before == 0 {
		p.average.Store(int64(duration))
		return
	}
	p.average.Store(before + (int64(duration)-before)/weight)
}

// slow is how long something takes that takes too long: many times the average,
// within bounds, so that a machine under load is not taken for a dead one.
func (p *pace) slow(atLeast, atMost time.Duration) time.Duration {
	const many = 8
	return min(max(time.Duration(p.average.Load())*many, atLeast), atMost)
}

const (
	// probeEvery is how often a peer that was not heard is asked.
	probeEvery = 200 * time.Millisecond
	// probeAtLeast and probeAtMost bound how long it may take to answer.
	probeAtLeast, probeAtMost = 300 * time.Millisecond, 700 * time.Millisecond
)

// watch looks after a peer's health until the context ends.
func (c *Channel) watch(ctx context.Context, p *Peer) {
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-next.C:
		case <-p.ask:
		}
		c.probe(ctx, p)
		next.Reset(probeEvery)
	}
}

// probe asks a peer for its height. One that is too slow and yet heard of in the
// meantime, by a block or an answer, is busy and not away.
func (c *Channel) probe(ctx context.Context, p *Peer) {
	began := time.Now()
	if healthy, _ := p.state(); !healthy {
		// It may be back: what asks now would otherwise wait for the next dial.
		p.link.Load().connection.ResetConnectBackoff()
	}
	asking, cancel := context.WithTimeout(ctx, p.pace.slow(probeAtLeast, probeAtMost))
	height, err := c.heightOf(asking, p)
	late := asking.Err() != nil
	cancel()
	switch {
	case ctx.Err() != nil:
	case err == nil:
		p.has(height)
		p.rose()
		c.commits.check(p, height)
	case late && p.heardSince(began):
	default:
		p.fall(err)
	}
}

// errNoPeer says that a channel was asked for no peer.
var errNoPeer = errors.New("no peer is configured: name at least one of the operator's own")
