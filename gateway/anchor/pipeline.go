// Package anchor takes an adapter's signed segment to the ledger: the public
// records by a transaction that two operators endorse, the sealed details by one
// that the owner alone endorses. A segment is followed through one file a step:
//
//	submission.go   what can be checked without the ledger is
//	accept.go       its details are sealed, and it is in the journal, on disk
//	lane.go         it waits in its PBX's lane and shares a transaction with others
//	publish.go      that is endorsed, and ordered when its lane's turn has come
//	carry.go        sent until it is known what became of it
//	refusal.go      what the ledger refuses is isolated and set aside
//	settle.go       its details follow, and it is settled
//	recover.go      after a crash it goes on where it was
//
// Whatever was accepted reaches the ledger once, or stands in the outbox with the
// reason.
package anchor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/fault"
	"github.com/callseal/callseal/gateway/journal"
	"github.com/callseal/callseal/gateway/seal"
)

// Parts are what a pipeline stands on.
type Parts struct {
	Channel *fabric.Channel
	Journal *journal.Journal
	Keyring *seal.Keyring
	// Metrics may be nil.
	Metrics *Metrics
	Log     *slog.Logger
}

// Pipeline anchors segments of one operator. It is safe for concurrent use.
type Pipeline struct {
	config  Config
	ledger  Ledger
	journal *journal.Journal
	keyring *seal.Keyring
	metrics *Metrics
	log     *slog.Logger

	accepting *semaphore.Weighted // bytes
	arrivals  chan struct{}       // wakes the sealer
	// public and private shut while the network cannot endorse the one or the other
	// kind of transaction.
	public, private *gate

	// under is the context of what is under way; running waits for it.
	under    context.Context //nolint:containedctx // outlives every caller
	abandon  context.CancelFunc
	running  sync.WaitGroup
	mu       sync.Mutex
	open     bool
	known    map[identity]*item
	perPBX   map[string]int
	shares   *shares
	arrived  []*arrival
	lanes    *lanes
	ripe     *time.Timer // dispatches when what waits in the lanes has waited for long enough
	settling []*item     // COMMITTED, in order, waiting for their details
	inFlight int
	storing  int
	// unsettledSince is since when something in settling waits for company.
	unsettledSince time.Time
	held           int64
	drain          drain
}

// New makes a pipeline, which takes nothing before it runs.
func New(parts Parts, config Config) (*Pipeline, error) {
	if err := config.Check(); err != nil {
		return nil, err
	}
	return newPipeline(channel{parts.Channel}, parts, config), nil
}

func newPipeline(on Ledger, parts Parts, config Config) *Pipeline {
	if parts.Metrics == nil {
		parts.Metrics = NewMetrics(nil)
	}
	p := &Pipeline{
		config: config, ledger: on, journal: parts.Journal, keyring: parts.Keyring, metrics: parts.Metrics, log: parts.Log,
		accepting: semaphore.NewWeighted(int64(config.AcceptBytes)), arrivals: make(chan struct{}, 1),
		public: newGate(), private: newGate(),
		known: map[identity]*item{}, perPBX: map[string]int{}, shares: newShares(), lanes: newLanes(),
	}
	p.under, p.abandon = context.WithCancel(context.Background())
	p.ripe = time.AfterFunc(longest, p.dispatchNow)
	p.metrics.watch(p)
	return p
}

// Run takes segments, those of the journal first, until the context ends; then it
// begins nothing more and waits, for a bounded time, until what is under way is
// resolved.
func (p *Pipeline) Run(ctx context.Context) error {
	if err := p.recover(); err != nil {
		return err
	}
	sealed := make(chan []*arrival)
	var writing sync.WaitGroup
	writing.Go(func() { p.write(sealed) })
	p.mu.Lock()
	p.open = true
	p.dispatch()
	p.mu.Unlock()
	stop := context.AfterFunc(ctx, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.open = false
	})
	defer stop()
	// What has arrived is still taken; nothing more arrives.
	p.sealAll(ctx, sealed)
	close(sealed)
	writing.Wait()
	p.finish()
	return nil
}

// finish waits for what is under way.
func (p *Pipeline) finish() {
	done := make(chan struct{})
	go func() { p.running.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(p.config.DrainFor):
		p.log.Info("transactions are still under way: they are resolved at the next start", "waited", p.config.DrainFor)
	}
	p.abandon()
	<-done
}

// closing is the fault of a gateway that is being stopped.
func closing() *fault.Error {
	what := fault.New(fault.Unavailable, "the gateway is being stopped or is not ready yet: send the segment again")
	what.Stage, what.RetryAfter = fault.StageAccept, time.Second
	return what
}

// queue puts a segment at the end of its lane. The caller holds the lock.
func (p *Pipeline) queue(one *item) { p.lanes.add(one) }

// dispatchNow begins what may begin by now.
func (p *Pipeline) dispatchNow() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dispatch()
}

// dispatch begins what may begin. The caller holds the lock.
func (p *Pipeline) dispatch() {
	if !p.open {
		return
	}
	for p.inFlight < p.config.InFlight && p.lanes.ripe(p.inFlight, maxWireBytes) {
		next := p.lanes.take(maxWireBytes)
		if next == nil {
			break
		}
		p.inFlight++
		p.running.Go(func() { p.publish(p.under, next, nil) })
	}
	if p.lanes.waiting > 0 && p.inFlight < p.config.InFlight {
		if wait := p.lanes.ripens(); wait > 0 {
			p.ripe.Reset(wait)
		}
	}
	for p.storing < p.config.DetailsInFlight && p.settleNow() {
		next := p.takeSettling()
		p.storing++
		p.running.Go(func() { p.settle(p.under, next) })
	}
}

// forget lets an item go that nothing is left to do for. The caller holds the lock.
func (p *Pipeline) forget(one *item) {
	if p.known[one.identity] != one {
		return
	}
	delete(p.known, one.identity)
	if p.perPBX[one.name.PBX]--; p.perPBX[one.name.PBX] == 0 {
		delete(p.perPBX, one.name.PBX)
	}
	p.drop(one)
}

// drop forgets a payload that is in the journal. The caller holds the lock.
func (p *Pipeline) drop(one *item) {
	if one.payload != nil && one.held {
		p.held -= int64(one.payload.size())
	}
	one.payload, one.held = nil, false
}

// payloadOf is an item's payload, read from the journal where it is not held. One
// that has come to its end has none any more: it was sent again, and batched before
// the journal knew it.
func (p *Pipeline) payloadOf(one *item) (*payload, error) {
	p.mu.Lock()
	held, number, state := one.payload, one.number, one.state
	p.mu.Unlock()
	switch {
	case held != nil:
		return held, nil
	case state.Final():
		return nil, errDropped
	}
	text, err := p.journal.Payload(number)
	if err != nil {
		return nil, fmt.Errorf("read segment %s: %w", one.name, err)
	}
	return decodePayload(text)
}

// pause waits for a while, or until the context ends.
func pause(ctx context.Context, wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// errDropped says that a segment of a transaction was not taken after all.
var errDropped = errors.New("a segment was not taken after all")
