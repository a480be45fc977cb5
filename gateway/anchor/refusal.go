package anchor

import (
	"context"
	"errors"
	"time"

	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/fault"
	"github.com/callseal/callseal/gateway/journal"
)

const (
	// brokenAfter is how long a lone segment may fail, in a way that says nothing of
	// the network, before it is set aside: what fails its neighbours passes sooner.
	brokenAfter = 2 * time.Minute
	// splitAfter is the same for segments that share a transaction, which are then
	// tried in halves.
	splitAfter = 5 * time.Second
	// mendedAfter is when a client should ask again for what waits for somebody.
	mendedAfter = 15 * time.Second
)

// verdict is what becomes of a transaction that did not come to stand.
type verdict int

const (
	// verdictAgain: once more, a little later.
	verdictAgain verdict = iota
	// verdictAtOnce: once more, now.
	verdictAtOnce
	// verdictSplit: in halves, to find the one that is refused.
	verdictSplit
	// verdictRefuse: this one is the one.
	verdictRefuse
)

// judge decides by the kind of the fault; since is when the first try began.
//
//   - The contract refuses: the batch is halved until the refused segment stands
//     alone, and that is set aside. First the own peer is asked alone, because an
//     endorser that lags behind refuses what was just made possible.
//   - Another transaction came first, endorsers saw different states, peers or
//     orderers cannot be reached or are busy: again, for as long as it takes.
//   - Nobody knows: again, then in halves, and what still fails alone after
//     minutes is set aside too, so that it holds nobody up.
func (p *Pipeline) judge(ctx context.Context, proposal func() (fabric.Proposal, error), items []*item, err error, since time.Time) verdict {
	if errors.Is(err, errDropped) || errors.Is(err, errStale) {
		return verdictAtOnce
	}
	what := fault.Of(err)
	p.metrics.retry(what)
	if what.Stage != fault.StageCommit && what.Contract && refuses(what) {
		if len(items) > 1 {
			return verdictSplit
		}
		asked, unread := proposal()
		if unread == nil {
			err = p.ledger.UnlessLagging(ctx, asked, err)
		}
		if fault.Of(err).Retryable() {
			return verdictAgain
		}
		return verdictRefuse
	}
	p.log.Info("a transaction has to be made again", "segments", len(items), "stage", string(what.Stage), "kind", string(what.Kind), "transaction", what.TransactionID, "error", err)
	if what.Retryable() || what.Kind == fault.Denied {
		return verdictAgain // also while the peers refuse the gateway's own identity
	}
	switch failing := time.Since(since); {
	case len(items) > 1 && failing > splitAfter:
		return verdictSplit
	case failing > brokenAfter:
		return verdictRefuse
	}
	return verdictAgain
}

// refuses says whether a contract's answer is a refusal of what it was given; one
// that failed itself may do better next time.
func refuses(what *fault.Error) bool {
	return !what.Retryable() && what.Kind != fault.Internal
}

// waits says whether a refusal may be mended, such as by enrolling the adapter or
// upgrading the chaincode: then the segment is taken up again by a replay, and by
// a client that sends it again. What is wrong with the segment itself stays so.
func waits(what *fault.Error) bool {
	return what.Kind != fault.Invalid && what.Kind != fault.TooLarge
}

// problemFor is the problem of a refusal as clients are told.
func problemFor(what *fault.Error) *fault.Error {
	told := *what
	if waits(what) {
		told.Mendable, told.RetryAfter = true, mendedAfter
	}
	return &told
}

// RefusedBefore is the problem of a segment that was refused earlier, as its client
// was told it.
func RefusedBefore(entry *journal.Entry) *fault.Error {
	if entry.Problem == nil {
		return fault.New(fault.Internal, "the segment was refused, and the journal does not say why")
	}
	return problemFor(entry.Problem.Fault())
}

// refuse sets a segment aside with the reason, in the journal, and tells so. Its
// neighbours and those behind it go on.
func (p *Pipeline) refuse(ctx context.Context, one *item, err error) {
	select {
	case <-one.durable:
	case <-ctx.Done():
		return
	}
	if len(p.wanted([]*item{one})) == 0 && one.receipt == nil {
		return // it was not taken after all
	}
	what := fault.Of(err)
	p.log.Error("a segment is refused and set aside in the outbox", "segment", one.name.String(), "number", one.number,
		"kind", string(what.Kind), "stage", string(what.Stage), "transaction", what.TransactionID, "reason", what.Message, "may_be_mended", waits(what))
	p.resolve(ctx, "", []journal.Outcome{{Number: one.number, State: journal.Refused, Problem: journal.ProblemOf(err)}})
	if ctx.Err() != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	one.problem = problemFor(what)
	one.reach(Refused)
	p.metrics.refused(what)
	p.drain.leave(time.Now(), 1)
	p.forget(one)
}

// Replay puts refused segments back where they were refused from. They go to the
// ends of their lanes: those that came after them have gone on.
func (p *Pipeline) Replay(ctx context.Context, numbers ...int64) error {
	if err := p.journal.Replay(ctx, numbers...); err != nil {
		return err
	}
	for _, number := range numbers {
		entry, err := p.journal.Entry(number)
		if err != nil {
			return err
		}
		p.mu.Lock()
		p.resumeEntry(entry)
		p.mu.Unlock()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dispatch()
	return nil
}
