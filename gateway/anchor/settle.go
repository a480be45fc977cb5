package anchor

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/journal"
)

// The details of segments that are committed are stored in transactions of their
// own, which the owner's peer alone endorses: first the public one, because the
// call is on the ledger when that is committed. Both at once would share the
// machine, and often not the block, and the call would wait.

// settleWithin bounds how long details wait for company while records are on their
// way: a transaction of one costs as much as one of a hundred, and the call is on the
// ledger already.
const settleWithin = time.Second

// unsettled hands segments on whose details are to be stored. The caller holds the
// lock.
func (p *Pipeline) unsettled(items ...*item) {
	if len(items) == 0 {
		return
	}
	if len(p.settling) == 0 {
		p.unsettledSince = time.Now()
		time.AfterFunc(settleWithin, p.dispatchNow)
	}
	p.settling = append(p.settling, items...)
}

// settleNow says whether details are to be stored now: when no record is on its way,
// when they fill a transaction, or when they have waited. The caller holds the lock.
func (p *Pipeline) settleNow() bool {
	if len(p.settling) == 0 {
		return false
	}
	if p.inFlight == 0 || time.Since(p.unsettledSince) >= settleWithin {
		return true
	}
	records := 0
	for _, one := range p.settling {
		if records += one.records; records >= ledger.MaxTransactionRecords {
			return true
		}
	}
	return false
}

// takeSettling takes what fits into one transaction. The caller holds the lock.
func (p *Pipeline) takeSettling() []*item {
	records, bytes, count := 0, 0, 0
	for _, one := range p.settling {
		// A payload that is not held has as many details as records, at most.
		size := 2 * one.wireBytes
		if one.payload != nil {
			size = one.payload.size() - len(one.payload.wire)
		}
		if count > 0 && (records+one.records > ledger.MaxTransactionRecords || bytes+size > maxWireBytes) {
			break
		}
		records, bytes, count = records+one.records, bytes+size, count+1
	}
	taken := slices.Clone(p.settling[:count])
	clear(p.settling[:count])
	if p.settling = p.settling[count:]; len(p.settling) == 0 {
		p.settling = nil
	}
	return taken
}

// storable are the sealed details of a segment whose records stand: those of a
// refused record are not those of the record that stands there.
func (p *Pipeline) storable(one *item, held *payload) [][]byte {
	conflicts := map[string]bool{}
	outcome := &one.receipt.SegmentOutcome
	if outcome.Outcome == ledger.OutcomeConflict || len(outcome.Exceptions) > 0 {
		signed, err := held.segment()
		if err != nil {
			p.log.Error("a segment of the journal cannot be read", "segment", one.name.String(), "error", err)
			return nil
		}
		for i := range signed.Records {
			if record := &signed.Records[i]; outcome.Of(record.Seq) == ledger.OutcomeConflict {
				conflicts[record.Key()] = true
			}
		}
	}
	var texts [][]byte
	for i := range held.sealed {
		if !conflicts[held.sealed[i].key] {
			texts = append(texts, held.sealed[i].wire)
		}
	}
	return texts
}

// settle stores the details of segments, as publish anchors their records.
func (p *Pipeline) settle(ctx context.Context, items []*item) {
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.storing--
		p.dispatch()
	}()
	p.settleAll(ctx, items)
}

func (p *Pipeline) settleAll(ctx context.Context, items []*item) {
	wait := retryWait()
	began := time.Now()
	for ctx.Err() == nil {
		err := p.settleOnce(ctx, items)
		if err == nil || ctx.Err() != nil {
			return
		}
		switch p.judge(ctx, p.storingOf(items), items, err, began) {
		case verdictSplit:
			p.metrics.split()
			p.settleAll(ctx, items[:len(items)/2])
			p.settleAll(ctx, items[len(items)/2:])
			return
		case verdictRefuse:
			p.refuse(ctx, items[0], err)
			return
		case verdictAgain, verdictAtOnce:
			p.hold(items, err)
			pause(ctx, wait.NextBackOff())
		}
	}
}

// storingOf is the proposal that stores the details of segments.
func (p *Pipeline) storingOf(items []*item) func() (fabric.Proposal, error) {
	return func() (fabric.Proposal, error) {
		var texts [][]byte
		for _, one := range items {
			held, err := p.payloadOf(one)
			if err != nil {
				return fabric.Proposal{}, err
			}
			texts = append(texts, p.storable(one, held)...)
		}
		return fabric.Proposal{
			Function: "details:Put", Transient: map[string][]byte{"details": array(texts)}, EndorsedBy: []string{p.ledger.MSP()},
		}, nil
	}
}

// settleOnce runs one transaction.
func (p *Pipeline) settleOnce(ctx context.Context, items []*item) error {
	span := p.span(ctx, "anchor.settle", items)
	defer span.End()
	endorsed, err := p.endorse(span.ctx, p.private, p.storingOf(items))
	if err != nil {
		return span.failed(err)
	}
	var result struct {
		Stored int `json:"stored"`
	}
	if err := json.Unmarshal(endorsed.Result(), &result); err != nil {
		return span.failed(fmt.Errorf("read the contract's answer: %w", err))
	}
	id := ""
	if result.Stored > 0 {
		if err := p.begin(ctx, journal.Details, endorsed, items); err != nil {
			return span.failed(err)
		}
		if _, err := p.carry(span.ctx, endorsed); err != nil {
			return span.failed(p.unresolve(ctx, endorsed.ID(), items, err))
		}
		id = endorsed.ID()
	}
	p.settled(ctx, id, items)
	return nil
}

// settled tells that nothing is left to do, and notes it.
func (p *Pipeline) settled(ctx context.Context, id string, items []*item) {
	outcomes := make([]journal.Outcome, len(items))
	p.mu.Lock()
	for i, one := range items {
		outcomes[i] = journal.Outcome{Number: one.number, State: journal.Settled}
		one.problem = nil
		one.reach(Settled)
	}
	p.mu.Unlock()
	p.resolve(ctx, id, outcomes)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left(items)
}

// settledLocked is for segments that the journal knows to be settled. The caller
// holds the lock.
func (p *Pipeline) settledLocked(items []*item) {
	for _, one := range items {
		one.reach(Settled)
	}
	p.left(items)
}

// left lets segments go. The caller holds the lock.
func (p *Pipeline) left(items []*item) {
	for _, one := range items {
		p.metrics.settled(one)
		p.forget(one)
	}
	p.drain.leave(time.Now(), len(items))
}
