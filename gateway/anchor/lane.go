package anchor

import (
	"context"
	"time"

	"github.com/callseal/callseal/chaincode/ledger"
)

// maxAhead is how many transactions of one PBX may be under way: one that is being
// ordered, and one that is endorsed meanwhile and submitted only after the first
// was found VALID. So a PBX's segments reach the ledger in the order in which they
// were accepted, and the endorsers need not wait for the orderers.
const maxAhead = 2

// lanes hold the segments that wait for their public transaction: a lane a PBX,
// each in order of acceptance. They are guarded by the pipeline's lock.
type lanes struct {
	byPBX map[string]*lane
	// turn is the order in which lanes are asked: who gave something goes to the
	// end, so that a PBX that floods gets no more than its share.
	turn []*lane
	// waiting, records and bytes are the segments that wait, and what is in them.
	waiting, records, bytes int
	// since is since when some have.
	since time.Time
	// took is what a transaction takes, from its proposal to its commit, of late.
	took time.Duration
}

// lane is one PBX's.
type lane struct {
	pbx   string
	queue []*item
	// under are the transactions under way, and last tells when the latest of them
	// is done with.
	under int
	last  <-chan struct{}
}

func newLanes() *lanes { return &lanes{byPBX: map[string]*lane{}} }

// add puts a segment at the end of its lane.
func (l *lanes) add(one *item) {
	where := l.lane(one.name.PBX)
	where.queue = append(where.queue, one)
	if l.waiting == 0 {
		l.since = time.Now()
	}
	l.waiting, l.records, l.bytes = l.waiting+1, l.records+one.records, l.bytes+one.wireBytes+1
}

// shortest and longest bound how long segments wait for company while another
// transaction is under way.
const (
	shortest = 50 * time.Millisecond
	longest  = 250 * time.Millisecond
)

// company is how long segments wait for others to share a transaction with, beside one
// that is under way: half as long again as transactions take. Each costs every peer and
// orderer much the same whether it has one segment or a hundred: where the network is
// idle a short wait costs it nothing, and where it is busy, so that transactions take
// long, fewer and larger ones are what helps.
func (l *lanes) company() time.Duration { return min(max(l.took*3/2, shortest), longest) }

// committed learns what a transaction took.
func (l *lanes) committed(took time.Duration) { l.took = (3*l.took + took) / 4 }

// ripe says whether what waits should go, with so many transactions under way: a lone
// segment at once; beside others a full transaction, or what has waited for long enough.
func (l *lanes) ripe(inFlight, maxBytes int) bool {
	return l.waiting > 0 && (inFlight == 0 || l.records >= ledger.MaxTransactionRecords || l.bytes >= maxBytes || l.ripens() <= 0)
}

// ripens is in what time that which waits has waited for long enough.
func (l *lanes) ripens() time.Duration { return l.company() - time.Since(l.since) }

// take composes the next batch, nil when there is nothing that may go: whole
// segments, one of each lane in turn until the bounds are met. A segment that does
// not fit ends its lane's share, because those behind it must not pass it.
func (l *lanes) take(maxBytes int) *batch {
	next := &batch{done: make(chan struct{})}
	var open, gave, kept []*lane
	for _, one := range l.turn {
		if one.under < maxAhead && len(one.queue) > 0 {
			open = append(open, one)
		}
	}
	taken := map[*lane]int{}
	for len(open) > 0 {
		still := open[:0]
		for _, one := range open {
			if taken[one] == len(one.queue) || !next.fits(one.queue[taken[one]], maxBytes) {
				continue
			}
			next.add(one.queue[taken[one]])
			taken[one]++
			still = append(still, one)
		}
		open = still
	}
	if len(next.items) == 0 {
		return nil
	}
	for _, one := range l.turn {
		count := taken[one]
		if count == 0 {
			kept = append(kept, one)
			continue
		}
		gave = append(gave, one)
		clear(one.queue[:count])
		one.queue = one.queue[count:]
		if one.last != nil {
			next.after = append(next.after, one.last)
		}
		one.under++
		one.last = next.done
		next.lanes = append(next.lanes, one)
	}
	l.turn = append(kept, gave...)
	l.waiting, l.records, l.bytes = l.waiting-len(next.items), l.records-next.records, l.bytes-next.bytes
	return next
}

// finished lets the lanes of a batch go on.
func (l *lanes) finished(b *batch) {
	for _, one := range b.lanes {
		if one.under--; one.under == 0 {
			one.last = nil
			if len(one.queue) == 0 {
				l.forget(one)
			}
		}
	}
	close(b.done)
}

// forget removes an empty lane: PBXs come and go.
func (l *lanes) forget(gone *lane) {
	delete(l.byPBX, gone.pbx)
	kept := l.turn[:0]
	for _, one := range l.turn {
		if one != gone {
			kept = append(kept, one)
		}
	}
	clear(l.turn[len(kept):])
	l.turn = kept
}

// batch is the segments of one public transaction.
type batch struct {
	items   []*item
	records int
	bytes   int
	lanes   []*lane
	// after are the transactions that must be done with before this one is
	// submitted, and done tells the same of this one.
	after []<-chan struct{}
	done  chan struct{}
}

// fits says whether a segment has room; the first always has.
func (b *batch) fits(one *item, maxBytes int) bool {
	return len(b.items) == 0 || b.records+one.records <= ledger.MaxTransactionRecords && b.bytes+one.wireBytes+1 <= maxBytes
}

func (b *batch) add(one *item) {
	b.items = append(b.items, one)
	b.records += one.records
	b.bytes += one.wireBytes + 1
}

// await waits until the transactions before this one are done with.
func (b *batch) await(ctx context.Context) error {
	for _, done := range b.after {
		select {
		case <-done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// hold makes a batch of segments whose transaction is under way already.
func (l *lanes) hold(items []*item) *batch {
	held := &batch{done: make(chan struct{})}
	for _, one := range items {
		held.add(one)
		where := l.lane(one.name.PBX)
		if where.last != held.done {
			where.under++
			if where.last != nil {
				held.after = append(held.after, where.last)
			}
			where.last = held.done
			held.lanes = append(held.lanes, where)
		}
	}
	return held
}

// lane is a PBX's, made if it is not there.
func (l *lanes) lane(pbx string) *lane {
	where := l.byPBX[pbx]
	if where == nil {
		where = &lane{pbx: pbx}
		l.byPBX[pbx] = where
		l.turn = append(l.turn, where)
	}
	return where
}
