package anchor

import (
	"context"
	"time"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/fault"
	"github.com/callseal/callseal/gateway/journal"
)

// forked continues with a segment whose name the journal knows with other content:
// two histories. It is not taken, because the name is; but where the other one
// stands on the ledger, the ledger notes the fork, and the client is told.
func (p *Pipeline) forked(one *item, other journal.Entry) {
	p.mu.Lock()
	one.fork = true
	p.mu.Unlock()
	close(one.durable)
	p.running.Go(func() {
		ctx, cancel := context.WithTimeout(p.under, forkWait)
		defer cancel()
		receipt, err := p.noteFork(ctx, one)
		p.mu.Lock()
		defer p.mu.Unlock()
		if err != nil {
			one.problem = fault.Of(err)
			one.reach(Rejected)
			p.metrics.rejected(one.problem)
		} else {
			p.log.Error("a second segment claims a place in a PBX's history: an incident is on the ledger", "segment", one.name.String(), "other", other.Number)
			one.receipt = receipt
			one.reach(Committed)
			one.reach(Settled)
		}
		p.forget(one)
	})
}

// forkWait bounds the time to note a fork; the client sends it again.
const forkWait = 20 * time.Second

// noteFork has the ledger refuse a segment of another history.
func (p *Pipeline) noteFork(ctx context.Context, one *item) (*Receipt, error) {
	items := []*item{one}
	wait := retryWait()
	for {
		receipt, err := p.noteForkOnce(ctx, items)
		if err == nil || !fault.Of(err).Retryable() || ctx.Err() != nil {
			return receipt, err
		}
		pause(ctx, wait.NextBackOff())
	}
}

func (p *Pipeline) noteForkOnce(ctx context.Context, items []*item) (*Receipt, error) {
	endorsed, err := p.endorse(ctx, p.public, p.anchoring(items))
	if err != nil {
		return nil, err
	}
	outcomes, err := outcomesOf(endorsed.Result(), items)
	if err != nil {
		return nil, err
	}
	if outcomes[0].Outcome != ledger.OutcomeConflict {
		what := fault.New(fault.Exists, "other content was accepted as segment %s and is not on the ledger yet: the ledger judges this one after that", items[0].name)
		what.Stage = fault.StageAccept
		return nil, what
	}
	commit, err := p.carry(ctx, endorsed)
	if err != nil {
		return nil, err
	}
	if commit.Endorsers, err = endorsed.Endorsers(); err != nil {
		return nil, err
	}
	return &Receipt{SegmentOutcome: outcomes[0], Commit: commit, CommittedAt: time.Now()}, nil
}
