package adapter

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/callseal/callseal/asterisk-adapter/journal"
	"github.com/callseal/callseal/chaincode/ledger"
)

const (
	// maxInFlight is how many segments are on their way into the gateway's journal at
	// once. A lone record never waits; when all are under way, what is ready gathers
	// into the next segment.
	maxInFlight = 4
	// maxUnsettled is how many are kept in memory until the gateway has said how they
	// end; the adapter's journal has the rest.
	maxUnsettled = 64
)

// maxSegmentBytes bounds what a segment takes on its way: 500 ordinary records are
// a seventh of it.
const maxSegmentBytes = 8 << 20

// closing is an entry to be closed, and what to do once it is in the journal.
type closing struct {
	journal.Entry
	done func()
	// unfit, if any, is called instead, by a goroutine of its own, where the ledger
	// would refuse the entry.
	unfit func()
}

// batch is what goes into one segment, or into the next: a leg and its recording.
type batch struct {
	entries []closing
	bytes   int
}

// closer closes what is ready into segments and sends them.
type closer struct {
	journal *journal.Journal
	signer  *journal.Signer
	uplink  *uplink
	opening opener
	log     *slog.Logger

	mu    sync.Mutex
	ready []batch
	wake  chan struct{}
}

// opener says how an epoch begins. It returns only once it knows, or with the
// context's end.
type opener func(context.Context) (*ledger.Opening, error)

func newCloser(book *journal.Journal, signer *journal.Signer, uplink *uplink, opening opener, log *slog.Logger) *closer {
	return &closer{journal: book, signer: signer, uplink: uplink, opening: opening, log: log, wake: make(chan struct{}, 1)}
}

// add takes entries that are ready. They stay together.
func (c *closer) add(entries ...closing) {
	accepted := batch{}
	for i := range entries {
		// A record the ledger would refuse must not reach a segment: it would
		// take its neighbours with it.
		size, err := c.fit(&entries[i].Entry)
		if err != nil {
			c.log.Error("a record is not fit for the ledger and stays in the journal", "error", err, "uniqueid", legOf(&entries[i].Entry).UniqueID)
			if entries[i].unfit != nil {
				go entries[i].unfit()
			}
			continue
		}
		accepted.entries = append(accepted.entries, entries[i])
		accepted.bytes += size
	}
	if len(accepted.entries) == 0 {
		return
	}
	c.mu.Lock()
	c.ready = append(c.ready, accepted)
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// fit answers how many bytes an entry takes, or why the gateway would refuse it.
func (c *closer) fit(entry *journal.Entry) (int, error) {
	draft := entry.Record()
	draft.Epoch, draft.MSP, draft.PBX, draft.Segment, draft.Seq = c.journal.Epoch(), c.signer.MSP, c.signer.PBX, ledger.MaxInteger, ledger.MaxInteger
	if err := draft.Check(); err != nil {
		return 0, err
	}
	record, err := ledger.Canonical(&draft)
	if err != nil {
		return 0, err
	}
	if draft.DetailsDigest() == "" {
		return len(record), nil
	}
	if err := entry.Details.Check(); err != nil {
		return 0, err
	}
	details, err := ledger.Canonical(&entry.Details)
	if err != nil {
		return 0, err
	}
	switch {
	case len(record) > ledger.MaxRecordBytes:
		return 0, fmt.Errorf("the record has %d bytes, at most %d are allowed", len(record), ledger.MaxRecordBytes)
	case len(details) > ledger.MaxDetailsBytes:
		return 0, fmt.Errorf("the details have %d bytes, at most %d are allowed", len(details), ledger.MaxDetailsBytes)
	}
	return len(record) + len(details), nil
}

// places bounds what is sent.
type places struct{ travelling, unsettled chan struct{} }

// take waits for a place for one more segment.
func (p places) take(ctx context.Context) error {
	for _, place := range []chan struct{}{p.unsettled, p.travelling} {
		select {
		case place <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// giveBack gives back a place that was not used.
func (p places) giveBack() {
	<-p.travelling
	<-p.unsettled
}

// until gives a segment's places back as it goes its way.
func (p places) until(ctx context.Context, one *passage) {
	select {
	case <-one.taken:
	case <-ctx.Done():
	}
	<-p.travelling
	select {
	case <-one.ended:
	case <-ctx.Done():
	}
	<-p.unsettled
}

// run closes and sends until the context ends.
func (c *closer) run(ctx context.Context) error {
	free := places{make(chan struct{}, maxInFlight), make(chan struct{}, maxUnsettled)}
	var sending sync.WaitGroup
	defer sending.Wait()
	// Whatever ends this ends what is being sent.
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if err := c.begin(ctx); err != nil {
		return err
	}
	waiting, refused, err := c.journal.Outbox()
	if err != nil {
		return err
	}
	c.uplink.metrics.refused.Set(float64(len(refused)))
	if len(refused) > 0 {
		c.log.Error("segments that the gateway refused are set aside in the journal", "count", len(refused), "first_seq", refused[0].Header.FirstSeq, "reason", refused[0].Refused)
	}
	sending.Go(func() { c.uplink.run(ctx) })
	send := func(segment *journal.Segment) {
		one := c.uplink.send(segment)
		sending.Go(func() { free.until(ctx, one) })
	}
	for _, segment := range waiting {
		if err := free.take(ctx); err != nil {
			return err
		}
		send(segment)
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.wake:
		}
		for {
			// Take a place first: what becomes ready meanwhile joins the segment.
			if err := free.take(ctx); err != nil {
				return err
			}
			segment, err := c.closeReady()
			if err != nil {
				return err
			}
			if segment == nil {
				free.giveBack()
				break
			}
			send(segment)
		}
	}
}

// begin closes the opening of a new epoch into a segment of its own, which waits in
// the outbox. Until the ledger has said how the epoch before ended, nothing is
// closed: what comes meanwhile is in the journal.
func (c *closer) begin(ctx context.Context) error {
	opened, err := c.journal.Opened()
	if err != nil || opened {
		return err
	}
	opening, err := c.opening(ctx)
	if err != nil {
		return err
	}
	if _, err := c.journal.CloseSegment(c.signer, []journal.Entry{{Opening: opening}}); err != nil {
		return err
	}
	c.log.Info("a new epoch begins", "epoch", c.journal.Epoch(), "why", opening.Why, "prev_epoch", opening.PrevEpoch, "prev_seq", opening.PrevSeq)
	return nil
}

// closeReady closes what is ready, at most one segment; nil when nothing is.
func (c *closer) closeReady() (*journal.Segment, error) {
	taken := c.take()
	if len(taken) == 0 {
		return nil, nil //nolint:nilnil // nothing to close is not an error
	}
	entries := make([]journal.Entry, len(taken))
	for i := range taken {
		entries[i] = taken[i].Entry
	}
	segment, err := c.journal.CloseSegment(c.signer, entries)
	if err != nil {
		return nil, err
	}
	c.log.Debug("segment closed", "first_seq", segment.Header.FirstSeq, "records", len(taken))
	for i := range taken {
		if taken[i].done != nil {
			taken[i].done()
		}
	}
	return segment, nil
}

// take answers, in order, what fits into one segment.
func (c *closer) take() []closing {
	c.mu.Lock()
	defer c.mu.Unlock()
	var taken []closing
	bytes := 0
	for len(c.ready) > 0 {
		next := c.ready[0]
		if len(taken) > 0 && (len(taken)+len(next.entries) > ledger.MaxRecords || bytes+next.bytes > maxSegmentBytes) {
			break
		}
		taken = append(taken, next.entries...)
		bytes += next.bytes
		c.ready = c.ready[1:]
	}
	return taken
}

// waiting counts the entries that are ready.
func (c *closer) waiting() (count int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.ready {
		count += len(c.ready[i].entries)
	}
	return count
}

func legOf(entry *journal.Entry) ledger.LegID {
	record := entry.Record()
	return record.Leg()
}
