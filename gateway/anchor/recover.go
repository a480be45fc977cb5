package anchor

import (
	"context"
	"fmt"
	"slices"

	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/fault"
	"github.com/callseal/callseal/gateway/journal"
)

// pageOf is how many entries of the journal are read at once.
const pageOf = 1000

// recover takes up what the journal holds: transactions that were under way when
// the gateway ended are resolved, and everything that waits goes on in order.
func (p *Pipeline) recover() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	transactions, err := p.journal.InFlight()
	if err != nil {
		return fmt.Errorf("read the journal: %w", err)
	}
	taken := map[int64]*item{}
	for i := range transactions {
		for _, number := range transactions[i].Numbers {
			entry, err := p.journal.Entry(number)
			if err != nil {
				return fmt.Errorf("read the journal: %w", err)
			}
			taken[number] = p.restore(entry)
		}
	}
	waiting := 0
	for _, pbx := range p.journal.Lanes() {
		var public []*item
		for after := int64(0); ; {
			entries, err := p.journal.Pending(pbx, after, pageOf)
			if err != nil {
				return fmt.Errorf("read the journal: %w", err)
			}
			if len(entries) == 0 {
				break
			}
			for i := range entries {
				after = entries[i].Number
				if taken[after] != nil {
					continue
				}
				waiting++
				one := p.restore(&entries[i])
				if one.state == Committed {
					p.unsettled(one)
				} else {
					public = append(public, one)
				}
			}
		}
		for _, one := range public {
			p.queue(one)
		}
	}
	slices.SortFunc(p.settling, func(a, b *item) int { return int(a.number - b.number) })
	for i := range transactions {
		if err := p.resumeTransaction(&transactions[i], taken); err != nil {
			return err
		}
	}
	if waiting+len(taken) > 0 {
		p.log.Info("segments of the journal go on", "waiting", waiting, "under_way", len(taken), "transactions", len(transactions))
	}
	return nil
}

// restore makes an item of a journal's entry.
func (p *Pipeline) restore(entry *journal.Entry) *item {
	one := &item{
		identity: identity{name: entry.Name, digest: entry.Digest}, records: entry.Records,
		wireBytes: entry.Bytes, // with its details: more than what travels
		number:    entry.Number, durable: make(chan struct{}), recovered: true, state: Accepted, acceptedAt: entry.AcceptedAt,
	}
	close(one.durable)
	if entry.State == journal.Committed {
		one.receipt = receiptOf(entry, false)
		one.state = Committed
	}
	if entry.Problem != nil {
		one.problem = entry.Problem.Fault()
	}
	p.known[one.identity] = one
	p.perPBX[one.name.PBX]++
	return one
}

// resumeEntry takes up an entry that was refused. The caller holds the lock.
func (p *Pipeline) resumeEntry(entry *journal.Entry) {
	if p.known[identity{name: entry.Name, digest: entry.Digest}] != nil || !entry.Pending() {
		return
	}
	one := p.restore(entry)
	if one.state == Committed {
		p.unsettled(one)
		return
	}
	p.queue(one)
}

// resumeTransaction finds out what became of a transaction that was under way.
func (p *Pipeline) resumeTransaction(under *journal.Transaction, taken map[int64]*item) error {
	transaction, err := p.ledger.Reopen(under.Envelope)
	if err != nil {
		return fmt.Errorf("transaction %s of the journal: %w", under.ID, err)
	}
	items := make([]*item, len(under.Numbers))
	for i, number := range under.Numbers {
		items[i] = taken[number]
	}
	if under.Stage == journal.Details {
		p.storing++
		p.running.Go(func() {
			defer func() {
				p.mu.Lock()
				defer p.mu.Unlock()
				p.storing--
				p.dispatch()
			}()
			p.resumeDetails(p.under, items, transaction)
		})
		return nil
	}
	b := p.lanes.hold(items)
	p.running.Go(func() { p.publish(p.under, b, transaction) })
	return nil
}

// resume says whether nothing is left to do for segments, because their
// transaction is VALID after all.
func (p *Pipeline) resume(ctx context.Context, items []*item, transaction Transaction) bool {
	outcomes, err := outcomesOf(transaction.Result(), items)
	if err != nil {
		p.log.Error("a transaction of the journal cannot be read", "transaction", transaction.ID(), "error", err)
		return true
	}
	expected := p.ledger.Expect(transaction.ID())
	defer expected.Release()
	commit, err := p.awaitAgain(ctx, transaction, expected)
	if err == nil {
		return p.published(ctx, transaction, commit, items, outcomes) == nil
	}
	p.log.Info("a transaction that was under way is not on the ledger: its segments are sent by another", "transaction", transaction.ID(), "segments", len(items), "error", err)
	_ = p.unresolve(ctx, transaction.ID(), items, err)
	return fault.Of(err).Kind == fault.Unknown
}

// resumeDetails is resume for details.
func (p *Pipeline) resumeDetails(ctx context.Context, items []*item, transaction Transaction) {
	expected := p.ledger.Expect(transaction.ID())
	defer expected.Release()
	_, err := p.awaitAgain(ctx, transaction, expected)
	if err == nil {
		p.settled(ctx, transaction.ID(), items)
		return
	}
	if err = p.unresolve(ctx, transaction.ID(), items, err); fault.Of(err).Kind != fault.Unknown {
		p.settleAll(ctx, items)
	}
}

// awaitAgain is await for a transaction that may stand on the ledger already.
func (p *Pipeline) awaitAgain(ctx context.Context, transaction Transaction, expected Expectation) (fabric.Commit, error) {
	if _, err := p.ledger.Commit(ctx, transaction.ID()); err != nil {
		return p.await(ctx, transaction, expected)
	}
	expected.LookUp()
	return expected.Await(ctx)
}
