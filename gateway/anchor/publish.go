package anchor

import (
	"context"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/go-json-experiment/json"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/fault"
	"github.com/callseal/callseal/gateway/journal"
)

// staleAfter is how old an endorsement may become while the transaction before it
// is ordered: the transaction's time is the proposal's, and it should tell when the
// records were anchored.
const staleAfter = 10 * time.Second

// publish takes a batch onto the ledger, one transaction or, where the ledger
// refuses some of it, several. Resumed, where it is not nil, is the transaction
// that was under way when the gateway ended.
func (p *Pipeline) publish(ctx context.Context, b *batch, resumed Transaction) {
	defer func() {
		// A batch of which nothing was taken, or that was refused before its turn, is
		// done with early: those behind it wait for it alone, and must not pass the one
		// before it.
		_ = b.await(ctx)
		p.mu.Lock()
		defer p.mu.Unlock()
		if resumed == nil {
			p.inFlight--
		}
		p.lanes.finished(b)
		p.dispatch()
	}()
	p.metrics.batch(b)
	if resumed != nil && p.resume(ctx, b.items, resumed) {
		return
	}
	p.publishAll(ctx, b, b.items)
}

// publishAll goes on until every segment is committed or refused, or the pipeline
// ends.
func (p *Pipeline) publishAll(ctx context.Context, b *batch, items []*item) {
	wait := retryWait()
	began := time.Now()
	for ctx.Err() == nil {
		if items = p.wanted(items); len(items) == 0 {
			return
		}
		err := p.publishOnce(ctx, b, items)
		if err == nil || ctx.Err() != nil {
			return
		}
		switch p.judge(ctx, p.anchoring(items), items, err, began) {
		case verdictSplit:
			// One after the other: they may be of one lane.
			p.metrics.split()
			p.publishAll(ctx, b, items[:len(items)/2])
			p.publishAll(ctx, b, items[len(items)/2:])
			return
		case verdictRefuse:
			p.refuse(ctx, items[0], err)
			return
		case verdictAgain:
			p.hold(items, err)
			pause(ctx, wait.NextBackOff())
		case verdictAtOnce:
		}
	}
}

// retryWait grows from a block's time to a second, with jitter.
func retryWait() *backoff.ExponentialBackOff {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = 15*time.Millisecond, time.Second
	return wait
}

// wanted leaves out what was not taken after all.
func (p *Pipeline) wanted(items []*item) []*item {
	p.mu.Lock()
	defer p.mu.Unlock()
	var kept []*item
	for _, one := range items {
		if !one.fork && (one.state == 0 || one.state == Accepted) {
			kept = append(kept, one)
		}
	}
	return kept
}

// hold notes why segments wait.
func (p *Pipeline) hold(items []*item, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, one := range items {
		one.problem = fault.Of(err)
	}
}

// anchoring is the proposal for segments; nil where one cannot be read.
func (p *Pipeline) anchoring(items []*item) func() (fabric.Proposal, error) {
	return func() (fabric.Proposal, error) {
		texts := make([][]byte, len(items))
		for i, one := range items {
			held, err := p.payloadOf(one)
			if err != nil {
				return fabric.Proposal{}, err
			}
			texts[i] = held.wire
		}
		return fabric.Proposal{Function: "calls:Anchor", Args: []string{""}, Transient: map[string][]byte{"segments": array(texts)}}, nil
	}
}

// endorse has a proposal endorsed when the gate lets it.
func (p *Pipeline) endorse(ctx context.Context, through *gate, proposal func() (fabric.Proposal, error)) (Transaction, error) {
	if err := through.pass(ctx); err != nil {
		return nil, err
	}
	what, err := proposal()
	if err != nil {
		through.passed()
		return nil, err
	}
	began := time.Now()
	endorsed, err := p.ledger.Endorse(ctx, what)
	if err != nil {
		if kind := fault.Of(err).Kind; kind == fault.Unavailable || kind == fault.Busy {
			through.failed()
		} else {
			through.passed()
		}
		return nil, err
	}
	through.passed()
	p.metrics.stage(stageEndorse, time.Since(began))
	return endorsed, nil
}

// publishOnce runs one transaction.
func (p *Pipeline) publishOnce(ctx context.Context, b *batch, items []*item) error {
	span := p.span(ctx, "anchor.publish", items)
	defer span.End()
	began := time.Now()
	endorsed, err := p.endorse(span.ctx, p.public, p.anchoring(items))
	if err != nil {
		return span.failed(err)
	}
	outcomes, err := outcomesOf(endorsed.Result(), items)
	if err != nil {
		return span.failed(err)
	}
	if err := p.ready(ctx, b, items); err != nil {
		return err
	}
	if time.Since(began) > staleAfter {
		return errStale
	}
	if !anyChange(outcomes) {
		return p.publishedBefore(span.ctx, items, outcomes)
	}
	if err := p.begin(ctx, journal.Public, endorsed, items); err != nil {
		return span.failed(err)
	}
	commit, err := p.carry(span.ctx, endorsed)
	if err != nil {
		return span.failed(p.unresolve(ctx, endorsed.ID(), items, err))
	}
	span.committed(commit.TransactionID, commit.Block)
	p.mu.Lock()
	p.lanes.committed(time.Since(began))
	p.mu.Unlock()
	return p.published(span.ctx, endorsed, commit, items, outcomes)
}

// ready waits until the segments are on disk and the lanes' transactions before
// this one are done with.
func (p *Pipeline) ready(ctx context.Context, b *batch, items []*item) error {
	for _, one := range items {
		select {
		case <-one.durable:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := b.await(ctx); err != nil {
		return err
	}
	if len(p.wanted(items)) < len(items) {
		return errDropped
	}
	return nil
}

// begin writes a transaction down before it is sent.
func (p *Pipeline) begin(ctx context.Context, stage journal.Stage, transaction Transaction, items []*item) error {
	began := time.Now()
	numbers := make([]int64, len(items))
	for i, one := range items {
		numbers[i] = one.number
	}
	err := p.journal.Begin(ctx, journal.Transaction{ID: transaction.ID(), Stage: stage, Numbers: numbers, Envelope: transaction.Envelope()})
	if err != nil {
		return fmt.Errorf("note a transaction: %w", err)
	}
	p.metrics.stage(stageBegin, time.Since(began))
	return nil
}

// unresolve notes that a transaction is not VALID: its segments are free for
// another. A transaction whose outcome is not known stays.
func (p *Pipeline) unresolve(ctx context.Context, id string, items []*item, err error) error {
	if fault.Of(err).Kind == fault.Unknown || ctx.Err() != nil {
		return err
	}
	state := journal.Queued
	if items[0].state == Committed {
		state = journal.Committed
	}
	outcomes := make([]journal.Outcome, len(items))
	for i, one := range items {
		outcomes[i] = journal.Outcome{Number: one.number, State: state, Problem: journal.ProblemOf(err)}
	}
	p.resolve(ctx, id, outcomes)
	return err
}

// resolve moves entries of the journal until that is on disk. A journal that
// failed for good is found again by whoever starts the gateway again.
func (p *Pipeline) resolve(ctx context.Context, id string, outcomes []journal.Outcome) {
	wait := retryWait()
	for {
		began := time.Now()
		err := p.journal.Resolve(ctx, id, outcomes...)
		if err == nil {
			p.metrics.stage(stageResolve, time.Since(began))
			return
		}
		if ctx.Err() != nil || p.journal.Err() != nil {
			return
		}
		p.log.Error("the journal cannot note what became of a transaction", "transaction", id, "error", err)
		pause(ctx, wait.NextBackOff())
	}
}

// published continues with segments whose transaction is VALID. Their clients are
// told at once: the ledger has them.
func (p *Pipeline) published(ctx context.Context, transaction Transaction, commit fabric.Commit, items []*item, outcomes []ledger.SegmentOutcome) error {
	endorsers, err := transaction.Endorsers()
	if err != nil {
		p.log.Error("the endorsers of a transaction cannot be read", "transaction", commit.TransactionID, "error", err)
	}
	commit.Endorsers = endorsers
	var fresh, before []*item
	var freshOutcomes, beforeOutcomes []ledger.SegmentOutcome
	for i, one := range items {
		if outcomes[i].Outcome == ledger.OutcomeAlready {
			before, beforeOutcomes = append(before, one), append(beforeOutcomes, outcomes[i])
			continue
		}
		fresh, freshOutcomes = append(fresh, one), append(freshOutcomes, outcomes[i])
	}
	now := time.Now()
	p.mu.Lock()
	for i, one := range fresh {
		one.receipt = &Receipt{SegmentOutcome: freshOutcomes[i], Commit: commit, CommittedAt: now}
		p.reachCommitted(one)
	}
	p.mu.Unlock()
	p.committed(ctx, transaction.ID(), fresh)
	return p.publishedBefore(ctx, before, beforeOutcomes)
}

// publishedBefore continues with segments that stood on the ledger before.
func (p *Pipeline) publishedBefore(ctx context.Context, items []*item, outcomes []ledger.SegmentOutcome) error {
	if len(items) == 0 {
		return nil
	}
	wait := retryWait()
	for {
		earlier, err := p.earlier(ctx, items, outcomes)
		if err == nil {
			p.mu.Lock()
			for i, one := range items {
				one.receipt = earlier[i]
				p.reachCommitted(one)
			}
			p.mu.Unlock()
			p.committed(ctx, "", items)
			return nil
		}
		if ctx.Err() != nil {
			return err
		}
		p.hold(items, err)
		pause(ctx, wait.NextBackOff())
	}
}

// reachCommitted tells that a segment is committed. The caller holds the lock.
func (p *Pipeline) reachCommitted(one *item) {
	one.problem = nil
	one.reach(Committed)
	p.metrics.committed(one)
}

// committed notes that segments are committed, and hands them on. What has no
// details is settled with the same write.
func (p *Pipeline) committed(ctx context.Context, id string, items []*item) {
	outcomes := make([]journal.Outcome, len(items))
	var settled, left []*item
	for i, one := range items {
		outcomes[i] = journal.Outcome{Number: one.number, State: journal.Committed, Commit: commitOf(one.receipt), Receipt: encodeOutcome(&one.receipt.SegmentOutcome)}
		held, err := p.payloadOf(one)
		if err == nil && len(p.storable(one, held)) == 0 {
			outcomes[i].State = journal.Settled
			settled = append(settled, one)
			continue
		}
		if err != nil {
			p.log.Error("a segment's details cannot be read", "segment", one.name.String(), "error", err)
		}
		left = append(left, one)
	}
	p.resolve(ctx, id, outcomes)
	p.mu.Lock()
	p.unsettled(left...)
	p.settledLocked(settled)
	p.dispatch()
	p.mu.Unlock()
}

// outcomesOf reads what calls:Anchor answered for the segments sent.
func outcomesOf(result []byte, items []*item) ([]ledger.SegmentOutcome, error) {
	var answer ledger.AnchorResult
	if err := ledger.DecodeStrict(result, &answer); err != nil {
		return nil, err
	}
	if len(answer.Segments) != len(items) {
		return nil, fmt.Errorf("the contract answered for %d segments, %d were sent", len(answer.Segments), len(items))
	}
	for i, one := range items {
		if got := &answer.Segments[i]; got.Epoch != one.name.Epoch || got.FirstSeq != one.name.FirstSeq {
			return nil, fmt.Errorf("the contract answered for segment %d of epoch %d where %s was sent", got.FirstSeq, got.Epoch, one.name)
		}
	}
	return answer.Segments, nil
}

func anyChange(outcomes []ledger.SegmentOutcome) bool {
	for i := range outcomes {
		if changes(&outcomes[i]) {
			return true
		}
	}
	return false
}

// changes says whether a transaction writes anything of a segment: a mere replay
// does not and need not be ordered.
func changes(outcome *ledger.SegmentOutcome) bool {
	if outcome.Outcome != ledger.OutcomeAlready {
		return true
	}
	for _, record := range outcome.Exceptions {
		if record.Outcome != ledger.OutcomeAlready {
			return true
		}
	}
	return false
}

// earlier are the receipts of segments that were anchored before.
func (p *Pipeline) earlier(ctx context.Context, items []*item, outcomes []ledger.SegmentOutcome) ([]*Receipt, error) {
	receipts := make([]*Receipt, len(items))
	for i, one := range items {
		stored, err := p.ledger.Evaluate(ctx, "calls:Segment", p.ledger.MSP(), one.name.PBX, fmt.Sprint(one.name.Epoch), fmt.Sprint(one.name.FirstSeq))
		if err != nil {
			return nil, err
		}
		var anchored ledger.AnchoredSegment
		if err := ledger.DecodeStrict(stored, &anchored); err != nil {
			return nil, err
		}
		receipts[i] = &Receipt{SegmentOutcome: outcomes[i]}
		if receipts[i].Commit, err = p.ledger.Commit(ctx, anchored.TxID); err != nil {
			return nil, err
		}
	}
	return receipts, nil
}

// commitOf is where a receipt says that a segment stands, for the journal.
func commitOf(receipt *Receipt) *journal.Commit {
	return &journal.Commit{
		TransactionID: receipt.Commit.TransactionID, Block: receipt.Commit.Block, CommittedAt: receipt.CommittedAt, Endorsers: receipt.Commit.Endorsers,
	}
}

// encodeOutcome is a segment's outcome for the journal.
func encodeOutcome(outcome *ledger.SegmentOutcome) []byte {
	text, err := json.Marshal(outcome, json.Deterministic(true))
	if err != nil {
		// Numbers and short words cannot fail.
		panic(err)
	}
	return text
}

// receiptOf is the receipt that the journal holds of a segment; for one that is
// sent again it says that all of it stood there before.
func receiptOf(entry *journal.Entry, again bool) *Receipt {
	receipt := &Receipt{SegmentOutcome: ledger.SegmentOutcome{Epoch: entry.Name.Epoch, FirstSeq: entry.Name.FirstSeq, Outcome: ledger.OutcomeAnchored}}
	if entry.Receipt != nil {
		if err := json.Unmarshal(entry.Receipt, &receipt.SegmentOutcome); err != nil {
			receipt.Outcome = ledger.OutcomeAlready
		}
	}
	if entry.Commit != nil {
		receipt.CommittedAt = entry.Commit.CommittedAt
		receipt.Commit = fabric.Commit{
			TransactionID: entry.Commit.TransactionID, Block: entry.Commit.Block, Endorsers: entry.Commit.Endorsers, Validation: valid,
		}
	}
	if again {
		receipt.CommittedAt = time.Time{}
		receipt.SegmentOutcome = repeatedOutcome(receipt.SegmentOutcome)
	}
	return receipt
}

// repeatedOutcome is what the ledger would answer to the same again.
func repeatedOutcome(first ledger.SegmentOutcome) ledger.SegmentOutcome {
	if first.Outcome == ledger.OutcomeConflict {
		return first
	}
	again := ledger.SegmentOutcome{Epoch: first.Epoch, FirstSeq: first.FirstSeq, Outcome: ledger.OutcomeAlready}
	for _, record := range first.Exceptions {
		if record.Outcome == ledger.OutcomeConflict {
			again.Exceptions = append(again.Exceptions, record)
		}
	}
	return again
}

// valid is Fabric's code for a transaction that counts.
const valid = "VALID"

// errStale says that an endorsement is too old to be used.
var errStale = fault.New(fault.Contended, "the endorsement became too old while the transaction before it was ordered")
