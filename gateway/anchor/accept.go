package anchor

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/fault"
	"github.com/callseal/callseal/gateway/journal"
	"github.com/callseal/callseal/gateway/seal"
)

// maxGroup bounds the records that are sealed and journaled at once.
const maxGroup = 4 * ledger.MaxRecords

// arrival is a segment on its way into the journal.
type arrival struct {
	*item
	details []seal.Item
	bytes   int64 // of the acceptance's bound
	encoded []byte
}

// Following is a caller's interest in a segment.
type Following struct {
	pipeline *Pipeline
	item     *item
	follower *follower
}

// End ends it: nothing more is told.
func (f *Following) End() {
	f.pipeline.mu.Lock()
	defer f.pipeline.mu.Unlock()
	for i, each := range f.item.followers {
		if each == f.follower {
			f.item.followers = append(f.item.followers[:i:i], f.item.followers[i+1:]...)
			return
		}
	}
}

// Accept takes a segment and tells how far it comes, first whether it was taken:
// Accepted, once it is on disk, or Rejected. Segments are accepted in the order of
// the calls. One that was sent before is not taken again: what is known of it is
// told. It waits while more is being written than the configured bytes; the error
// is the context's.
func (p *Pipeline) Accept(ctx context.Context, s *Submission, tell Progress) (*Following, error) {
	header := &s.Signed.Segment
	spanned, accepting := tracer.Start(ctx, "anchor.accept")
	made := &item{
		identity: identity{name: journal.Name{PBX: header.PBX, Epoch: header.Epoch, FirstSeq: header.FirstSeq}, digest: sha256.Sum256(s.wire)},
		records:  len(s.Signed.Records), wireBytes: len(s.wire), durable: make(chan struct{}),
		payload: &payload{wire: s.wire}, acceptedAt: time.Now(), accepting: accepting, trace: remember(spanned),
	}
	following := &Following{pipeline: p, item: made, follower: &follower{tell: tell}}
	if p.follow(following) {
		return following, nil
	}
	coming := &arrival{item: made, details: s.items(), bytes: min(s.size(), int64(p.config.AcceptBytes))}
	if err := p.accepting.Acquire(ctx, coming.bytes); err != nil {
		accepting.End()
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.attach(following) {
		p.accepting.Release(coming.bytes)
		return following, nil
	}
	if problem := p.full(made); problem != nil {
		p.accepting.Release(coming.bytes)
		accepting.End()
		made.problem = problem
		tell(made.update(Rejected))
		p.metrics.rejected(problem)
		return following, nil
	}
	made.followers = []*follower{following.follower}
	p.known[made.identity] = made
	p.perPBX[header.PBX]++
	p.arrived = append(p.arrived, coming)
	select {
	case p.arrivals <- struct{}{}:
	default:
	}
	// It may be endorsed while it is on its way to the disk; it is not submitted
	// before it is there.
	p.queue(made)
	p.dispatch()
	return following, nil
}

// follow attaches to a segment that is under way.
func (p *Pipeline) follow(f *Following) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.attach(f)
}

func (p *Pipeline) attach(f *Following) bool {
	known := p.known[f.item.identity]
	if known == nil {
		return false
	}
	f.item.accepting.End()
	f.item = known
	known.catchUp(f.follower)
	if !known.state.Final() {
		known.followers = append(known.followers, f.follower)
	}
	return true
}

// full is why a segment is not taken, nil while there is room. The journal has
// bounds of its own, over all. What was taken before is never turned away.
func (p *Pipeline) full(one *item) *fault.Error {
	pbx := one.name.PBX
	if !p.open {
		return closing()
	}
	bound := min(p.config.MaxUnderWay, p.journal.MaxEntries())
	among := p.shares.among(pbx, time.Now())
	crowded := exceeded(p.perPBX[pbx], len(p.known), bound, among)
	if p.perPBX[pbx] < p.config.MaxPerPBX && len(p.known) < p.config.MaxUnderWay && !crowded {
		return nil
	}
	if entry, err := p.journal.Find(one.name); err == nil && entry.Digest == one.digest {
		return nil
	}
	if len(p.known) >= p.config.MaxUnderWay {
		return busy(p.drain.retryAfter(time.Now(), p.config.MaxUnderWay), "%d segments wait for the ledger, as many as the gateway may hold: send the segment again later", len(p.known))
	}
	if crowded {
		// Until half of them have had a turn: a lane that is empty by then waits in vain.
		return busy(p.drain.retryAfter(time.Now(), int(float64(among)/2/makeRoom)), "%d segments of this PBX wait for the ledger, its part of %d while %d PBXs send: send the segment again later", p.perPBX[pbx], bound, among)
	}
	return busy(p.drain.retryAfter(time.Now(), p.config.MaxPerPBX), "%d segments of this PBX wait for the ledger, as many as may: send the segment again later", p.perPBX[pbx])
}

// sealAll seals what arrives, all that has arrived at once, in order.
func (p *Pipeline) sealAll(ctx context.Context, sealed chan<- []*arrival) {
	for {
		group := p.takeArrived()
		if len(group) == 0 {
			select {
			case <-p.arrivals:
				continue
			default:
			}
			select {
			case <-ctx.Done():
				return
			case <-p.arrivals:
			}
			continue
		}
		if err := p.sealGroup(group); err != nil {
			p.log.Error("details cannot be sealed: the segments are not taken", "segments", len(group), "error", err)
			what := &fault.Error{Kind: fault.Unavailable, Stage: fault.StageAccept, RetryAfter: time.Second, Message: "the gateway's keyring cannot be written: send the segment again later", Err: err}
			for _, one := range group {
				p.reject(one, what)
			}
			continue
		}
		sealed <- group
	}
}

func (p *Pipeline) takeArrived() []*arrival {
	p.mu.Lock()
	defer p.mu.Unlock()
	records, count := 0, 0
	for count < len(p.arrived) && (count == 0 || records+p.arrived[count].records <= maxGroup) {
		records += p.arrived[count].records
		count++
	}
	group := p.arrived[:count:count]
	if p.arrived = p.arrived[count:]; len(p.arrived) == 0 {
		p.arrived = nil
	}
	return group
}

// sealGroup seals the details of a group in one batch of the keyring.
func (p *Pipeline) sealGroup(group []*arrival) error {
	began := time.Now()
	var items []seal.Item
	for _, one := range group {
		items = append(items, one.details...)
	}
	var records []ledger.SealedRecord
	if len(items) > 0 {
		var err error
		if records, err = p.keyring.Seal(items); err != nil {
			return err
		}
	}
	for _, one := range group {
		// Those whose keys were destroyed are left out.
		count := 0
		for _, item := range one.details {
			if count < len(records) && records[count].Key == item.Key {
				count++
			}
		}
		made, err := newPayload(one.payload.wire, records[:count], one.trace)
		if err != nil {
			return err
		}
		records = records[count:]
		if one.encoded, err = made.encode(); err != nil {
			return err
		}
		one.details = nil
		p.mu.Lock()
		one.payload = made
		p.mu.Unlock()
	}
	p.metrics.stage(stageSeal, time.Since(began))
	return nil
}

// write has sealed groups on disk and tells so.
func (p *Pipeline) write(sealed <-chan []*arrival) {
	for group := range sealed {
		began := time.Now()
		accepts := make([]journal.Accept, len(group))
		for i, one := range group {
			accepts[i] = journal.Accept{Name: one.name, Digest: one.digest, Records: one.records, Payload: one.encoded}
		}
		results, err := p.journal.Append(p.under, accepts...)
		p.metrics.stage(stageJournal, time.Since(began))
		if err == nil {
			for i, one := range group {
				p.taken(one, &results[i])
			}
			continue
		}
		// One by one where all do not fit: a bound is no reason to turn away the rest.
		for _, one := range group {
			accept := journal.Accept{Name: one.name, Digest: one.digest, Records: one.records, Payload: one.encoded}
			alone, alsoFailed := results, err
			if len(group) > 1 {
				alone, alsoFailed = p.journal.Append(p.under, accept)
			}
			if alsoFailed != nil {
				p.reject(one, p.paced(alsoFailed))
				continue
			}
			p.taken(one, &alone[0])
		}
	}
}

// paced says when there will be room in a journal that is full.
func (p *Pipeline) paced(err error) *fault.Error {
	what := *fault.Of(err)
	what.Stage = fault.StageAccept
	if what.Kind == fault.Busy {
		p.mu.Lock()
		what.RetryAfter = max(what.RetryAfter, p.drain.retryAfter(time.Now(), len(p.known)))
		p.mu.Unlock()
	}
	return &what
}

// taken continues with a segment that is in the journal.
func (p *Pipeline) taken(one *arrival, result *journal.Accepted) {
	defer p.accepting.Release(one.bytes)
	if !result.Repeated {
		p.accepted(one.item, result.Entry.Number)
		return
	}
	var conflict *journal.ConflictError
	if errors.As(result.Err, &conflict) {
		p.forked(one.item, result.Entry)
		return
	}
	p.repeated(one.item, &result.Entry)
}

// accepted tells that a segment is on disk.
func (p *Pipeline) accepted(one *item, number int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	one.number = number
	one.reach(Accepted)
	if size := int64(one.payload.size()); p.held+size <= int64(p.config.HoldBytes) {
		one.held = true
		p.held += size
	}
	close(one.durable)
	p.metrics.accepted(one)
	if !one.held {
		one.payload = nil
	}
}

// repeated continues with a segment that the journal has known before.
func (p *Pipeline) repeated(one *item, entry *journal.Entry) {
	if entry.State == journal.Refused && entry.Problem != nil && waits(entry.Problem.Fault()) {
		// Whoever sends it again says that what was wrong may have been mended.
		if err := p.journal.Replay(p.under, entry.Number); err != nil {
			p.turnAway(one, p.paced(err))
			return
		}
		entry.State = journal.Queued
		if entry.Commit != nil {
			entry.State = journal.Committed
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	one.number = entry.Number
	switch entry.State {
	case journal.Queued:
		one.reach(Accepted)
	case journal.Committed:
		one.reach(Accepted)
		one.receipt = receiptOf(entry, true)
		one.reach(Committed)
		p.unsettled(one)
		p.dispatch()
	case journal.Settled:
		one.reach(Accepted)
		one.receipt = receiptOf(entry, true)
		one.reach(Committed)
		one.reach(Settled)
		p.forget(one)
	case journal.Refused:
		one.reach(Accepted)
		if entry.Commit != nil {
			one.receipt = receiptOf(entry, true)
		}
		one.problem = RefusedBefore(entry)
		one.reach(Refused)
		p.forget(one)
	}
	close(one.durable)
}

// reject tells that a segment was not taken.
func (p *Pipeline) reject(one *arrival, problem *fault.Error) {
	p.accepting.Release(one.bytes)
	p.turnAway(one.item, problem)
}

func (p *Pipeline) turnAway(one *item, problem *fault.Error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	one.problem = problem
	one.reach(Rejected)
	p.forget(one)
	close(one.durable)
	p.metrics.rejected(problem)
}
