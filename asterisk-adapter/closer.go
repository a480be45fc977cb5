package adapter

import (
	"context"
	"log/slog"
	"sync"

	"github.com/callseal/callseal/asterisk-adapter/journal"
	"github.com/callseal/callseal/chaincode/ledger"
)

// maxInFlight is how many segments travel at once. A lone record never waits;
// when all are under way, what is ready gathers into the next segment.
const maxInFlight = 4

// closing is an entry to be closed, and what to do once it is in the journal.
type closing struct {
	journal.Entry
	done func()
}

// closer closes what is ready into segments and sends them.
type closer struct {
	journal *journal.Journal
	signer  *journal.Signer
	uplink  *uplink
	log     *slog.Logger

	mu    sync.Mutex
	ready []closing
	wake  chan struct{}
}

func newCloser(book *journal.Journal, signer *journal.Signer, uplink *uplink, log *slog.Logger) *closer {
	return &closer{journal: book, signer: signer, uplink: uplink, log: log, wake: make(chan struct{}, 1)}
}

// add takes entries that are ready. They stay together where they fit.
func (c *closer) add(entries ...closing) {
	accepted := entries[:0]
	for _, entry := range entries {
		// A record the ledger would refuse must not reach a segment: it would
		// take its neighbours with it.
		draft := ledger.Record{Call: entry.Call, Recording: entry.Recording, Epoch: 1, MSP: c.signer.MSP, PBX: c.signer.PBX, Segment: 1, Seq: 1, V: ledger.SchemaVersion}
		if err := draft.Check(); err != nil {
			c.log.Error("a record is not fit for the ledger and stays in the journal", "error", err, "leg", legOf(&entry.Entry).UniqueID)
			continue
		}
		accepted = append(accepted, entry)
	}
	c.mu.Lock()
	c.ready = append(c.ready, accepted...)
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// run closes and sends until the context ends.
func (c *closer) run(ctx context.Context) error {
	slots := make(chan struct{}, maxInFlight)
	var sending sync.WaitGroup
	defer sending.Wait()
	waiting, refused, err := c.journal.Outbox()
	if err != nil {
		return err
	}
	if len(refused) > 0 {
		c.log.Error("segments that the gateway refused are set aside in the journal", "count", len(refused), "first_seq", refused[0].Header.FirstSeq, "reason", refused[0].Refused)
	}
	send := func(segment *journal.Segment) error {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		sending.Go(func() {
			defer func() { <-slots }()
			c.uplink.deliver(ctx, segment)
		})
		return nil
	}
	for _, segment := range waiting {
		if err := send(segment); err != nil {
			return err
		}
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.wake:
		}
		for {
			// Take a slot first: what becomes ready meanwhile joins the segment.
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return ctx.Err()
			}
			segment, err := c.closeReady()
			if err != nil {
				return err
			}
			if segment == nil {
				<-slots
				break
			}
			sending.Go(func() {
				defer func() { <-slots }()
				c.uplink.deliver(ctx, segment)
			})
		}
	}
}

// closeReady closes what is ready, at most one segment; nil when nothing is.
func (c *closer) closeReady() (*journal.Segment, error) {
	c.mu.Lock()
	n := min(len(c.ready), ledger.MaxRecords)
	taken := c.ready[:n:n]
	c.ready = c.ready[n:]
	c.mu.Unlock()
	if n == 0 {
		return nil, nil //nolint:nilnil // nothing to close is not an error
	}
	entries := make([]journal.Entry, n)
	for i := range taken {
		entries[i] = taken[i].Entry
	}
	segment, err := c.journal.CloseSegment(c.signer, entries)
	if err != nil {
		return nil, err
	}
	c.log.Debug("segment closed", "first_seq", segment.Header.FirstSeq, "records", n)
	for i := range taken {
		if taken[i].done != nil {
			taken[i].done()
		}
	}
	return segment, nil
}

func legOf(entry *journal.Entry) ledger.LegID {
	if entry.Call != nil {
		return entry.Call.Leg
	}
	return entry.Recording.Leg
}
