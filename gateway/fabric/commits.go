package fabric

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"

	"github.com/callseal/callseal/gateway/fault"
)

// Commits tells what became of transactions, from one stream of filtered blocks
// of each own peer: whichever has a block first tells. Streams are opened anew
// from the first block not yet seen, so no transaction is missed.
//
// It runs from the first expectation until the channel is closed.
type Commits struct {
	channel *Channel
	log     *slog.Logger

	started sync.Once

	mu sync.Mutex
	// next is the number of the first block not yet seen; meaningful once known.
	next  uint64
	known bool
	// waiting are the expectations not yet met, by transaction.
	waiting map[string][]*Expectation
	// advanced is closed when next grows.
	advanced chan struct{}
	streams  map[*Peer]*streaming
}

func newCommits(channel *Channel, log *slog.Logger) *Commits {
	return &Commits{channel: channel, log: log, waiting: map[string][]*Expectation{}, advanced: make(chan struct{}), streams: map[*Peer]*streaming{}}
}

// streaming is a stream that is open.
type streaming struct {
	next   uint64 // the first block it has not delivered
	cancel context.CancelFunc
	// behind is since when its peer is known to have that block.
	behind time.Time
}

// Expectation waits for one transaction. Release it when it is no longer waited
// for.
type Expectation struct {
	commits *Commits
	id      string
	met     chan struct{}
	commit  Commit // once met
}

// Expect registers interest in a transaction, which must happen before it is
// submitted; for one that may have been submitted earlier, see Find.
func (c *Commits) Expect(transactionID string) *Expectation {
	c.run()
	expected := &Expectation{commits: c, id: transactionID, met: make(chan struct{})}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting[transactionID] = append(c.waiting[transactionID], expected)
	return expected
}

// Expected is how many expectations are neither met nor released.
func (c *Commits) Expected() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	count := 0
	for _, each := range c.waiting {
		count += len(each)
	}
	return count
}

// ID is the transaction's id.
func (e *Expectation) ID() string { return e.id }

// Await answers once the transaction stands in a block: with a fault, beside the
// commit, unless it is VALID. When the context ends first the fault is of kind
// Unknown, and it may be awaited again.
func (e *Expectation) Await(ctx context.Context) (Commit, error) {
	select {
	case <-e.met:
	default:
		select {
		case <-e.met:
		case <-ctx.Done():
			return Commit{}, classify(fault.StageCommit, e.id, ctx.Err())
		case <-e.commits.channel.ctx.Done():
			return Commit{}, classify(fault.StageCommit, e.id, errors.New("the channel was closed"))
		}
	}
	if e.commit.Validation != valid {
		return e.commit, invalidated(e.id, e.commit.Validation)
	}
	return e.commit, nil
}

// LookUp has the ledger asked for the transaction, in the background: it may have
// been committed before it was expected.
func (e *Expectation) LookUp() {
	e.commits.mu.Lock()
	defer e.commits.mu.Unlock()
	e.commits.lookUp([]string{e.id})
}

// Met is closed once the transaction stands in a block: Await answers at once.
func (e *Expectation) Met() <-chan struct{} { return e.met }

// Release ends the interest. It may be called more than once.
func (e *Expectation) Release() {
	c := e.commits
	c.mu.Lock()
	defer c.mu.Unlock()
	left := c.waiting[e.id]
	for i, each := range left {
		if each == e {
			left = append(left[:i:i], left[i+1:]...)
			break
		}
	}
	if len(left) == 0 {
		delete(c.waiting, e.id)
	} else {
		c.waiting[e.id] = left
	}
}

// Find looks a transaction up that may be on the ledger already: one that was in
// flight before a restart, say. A fault of kind NotFound says that it is not there
// yet, which is never final.
func (c *Commits) Find(ctx context.Context, transactionID string) (Commit, error) {
	return c.channel.Commit(ctx, transactionID)
}

// Next is the number of the first block not yet seen, and a channel that is closed
// when that has grown.
func (c *Commits) Next() (uint64, <-chan struct{}) {
	c.run()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.next, c.advanced
}

// run starts the streams, once.
func (c *Commits) run() {
	c.started.Do(func() {
		c.channel.watchAll()
		for _, peer := range c.channel.peers {
			c.channel.background(func(ctx context.Context) { c.follow(ctx, peer) })
		}
	})
}

// follow keeps a peer's stream open.
func (c *Commits) follow(ctx context.Context, peer *Peer) {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = 50*time.Millisecond, time.Second
	for ctx.Err() == nil {
		err := c.stream(ctx, peer, wait.Reset)
		if ctx.Err() != nil {
			return
		}
		if isAway(err) {
			peer.doubt()
		}
		c.channel.metrics.reconnects.WithLabelValues(peer.address).Inc()
		c.log.Debug("the stream of blocks broke", "peer", peer.address, "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(wait.NextBackOff()):
		}
	}
}

// stream reads a peer's blocks until it fails; established is called when the
// peer delivers.
func (c *Commits) stream(ctx context.Context, from *Peer, established func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	height, err := c.channel.heightOf(ctx, from)
	if err != nil {
		return err
	}
	start := c.startAt(height)
	opened, err := from.link.Load().deliverFiltered(ctx, start)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.streams[from] = &streaming{next: start, cancel: cancel}
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.streams, from)
	}()
	for {
		response, err := received(opened)
		if err != nil {
			return err
		}
		established()
		if err := c.see(from, response.GetFilteredBlock()); err != nil {
			return err
		}
	}
}

// streamPatience is how long a stream may owe a block that its peer has.
const streamPatience = 2 * time.Second

// check breaks a stream that does not deliver what its peer has.
func (c *Commits) check(from *Peer, height uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	open, found := c.streams[from]
	switch {
	case !found:
	case height <= open.next:
		open.behind = time.Time{}
	case open.behind.IsZero():
		open.behind = time.Now()
	case time.Since(open.behind) > streamPatience:
		open.cancel()
	}
}

// startAt is the block to ask a peer of a height for: the last one seen, or the
// peer's last where it has less. That comes at once, and shows that the stream
// stands.
func (c *Commits) startAt(height uint64) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known {
		height = min(height, c.next)
	}
	return max(height, 1) - 1
}

// see takes a block in and meets the expectations in it.
func (c *Commits) see(from *Peer, block *peer.FilteredBlock) error {
	number := block.GetNumber()
	from.has(number + 1)
	from.answered()
	c.mu.Lock()
	defer c.mu.Unlock()
	if open, found := c.streams[from]; found {
		open.next, open.behind = number+1, time.Time{}
	}
	switch {
	case !c.known:
		// What was expected before may stand in an earlier block.
		c.lookUp(c.expectedLocked())
	case number < c.next:
		return nil
	case number > c.next:
		return fmt.Errorf("block %d follows block %d", number, c.next-1)
	}
	c.next, c.known = number+1, true
	close(c.advanced)
	c.advanced = make(chan struct{})
	for _, transaction := range block.GetFilteredTransactions() {
		expected, found := c.waiting[transaction.GetTxid()]
		if !found {
			continue
		}
		if transaction.GetTxValidationCode() == peer.TxValidationCode_DUPLICATE_TXID {
			// Sent twice: what counts is the first, in an earlier block.
			c.lookUp([]string{transaction.GetTxid()})
			continue
		}
		delete(c.waiting, transaction.GetTxid())
		meet(expected, Commit{TransactionID: transaction.GetTxid(), Block: number, Validation: transaction.GetTxValidationCode().String()})
	}
	return nil
}

func meet(expected []*Expectation, commit Commit) {
	for _, each := range expected {
		each.commit = commit
		close(each.met)
	}
}

func (c *Commits) expectedLocked() []string {
	ids := make([]string, 0, len(c.waiting))
	for id := range c.waiting {
		ids = append(ids, id)
	}
	return ids
}

// lookUp asks for transactions that may stand in an earlier block, in the
// background. The lock is held.
func (c *Commits) lookUp(ids []string) {
	if len(ids) == 0 {
		return
	}
	c.channel.background(func(ctx context.Context) {
		for _, id := range ids {
			c.lookUpOne(ctx, id)
		}
	})
}

// lookUpOne tries until the ledger has answered, or nobody waits any more.
func (c *Commits) lookUpOne(ctx context.Context, id string) {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = 20*time.Millisecond, time.Second
	for ctx.Err() == nil {
		commit, err := c.Find(ctx, id)
		c.mu.Lock()
		expected, waited := c.waiting[id]
		if waited && err == nil {
			delete(c.waiting, id)
			meet(expected, commit)
		}
		c.mu.Unlock()
		if !waited || err == nil || fault.Of(err).Kind == fault.NotFound {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait.NextBackOff()):
		}
	}
}
