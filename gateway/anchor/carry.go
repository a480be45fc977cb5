package anchor

import (
	"context"
	"time"

	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/fault"
)

// A transaction that was sent stands in a block within tens of milliseconds; an
// ordering leader that dies delays it by about three seconds. Then the very same
// envelope is sent again, which counts once. It is never endorsed anew before it
// is known not to be VALID.
const (
	// sentWait is how long a transaction that the orderers took is waited for
	// before it is sent again.
	sentWait = 4 * time.Second
)

// carry sends a transaction that was written down, until it stands in a block, and
// answers a fault unless it is VALID there. A fault of kind Unknown says that the
// context ended first; one of kind Contended and stage submit, that the orderers
// refuse the envelope for good and the ledger has nothing of it.
func (p *Pipeline) carry(ctx context.Context, transaction Transaction) (fabric.Commit, error) {
	expected := p.ledger.Expect(transaction.ID())
	defer expected.Release()
	return p.await(ctx, transaction, expected)
}

func (p *Pipeline) await(ctx context.Context, transaction Transaction, expected Expectation) (fabric.Commit, error) {
	wait := retryWait()
	began := time.Now()
	for try := 0; ; try++ {
		patience := sentWait
		if err := transaction.Send(ctx); err != nil {
			// It may have been ordered all the same.
			patience = wait.NextBackOff()
			p.metrics.retry(fault.Of(err))
			p.log.Debug("a transaction may not have reached the orderers: it is sent again", "transaction", transaction.ID(), "try", try, "error", err)
			if try > 0 && p.refusedForGood(ctx, transaction.ID(), err) {
				return fabric.Commit{}, outdated(transaction.ID(), err)
			}
		} else if try == 0 {
			p.metrics.stage(stageSubmit, time.Since(began))
		}
		if try > 0 {
			expected.LookUp()
		}
		waiting, cancel := context.WithTimeout(ctx, patience)
		commit, err := expected.Await(waiting)
		if err != nil && fault.Of(err).Kind == fault.Unknown {
			<-waiting.Done() // at once where nobody can tell
		}
		cancel()
		if err == nil || fault.Of(err).Kind != fault.Unknown {
			p.metrics.stage(stageOrder, time.Since(began))
			p.metrics.ordered(commit.Validation)
			return commit, err
		}
		if ctx.Err() != nil {
			return commit, err
		}
	}
}

// refusedForGood says whether a transaction that was sent once already can be given
// up. Whoever is wrong about that loses nothing: should the orderers have taken it
// before, the ledger still takes its segments once, be it from this or from the
// transaction that is made in its place.
func (p *Pipeline) refusedForGood(ctx context.Context, id string, err error) bool {
	if !fabric.RefusesIdentity(err) {
		return false
	}
	_, absent := p.ledger.Commit(ctx, id)
	return absent != nil && fault.Of(absent).Kind == fault.NotFound
}

// outdated is the fault of an envelope that nobody orders any more.
func outdated(id string, err error) *fault.Error {
	return &fault.Error{
		Kind: fault.Contended, Stage: fault.StageSubmit, TransactionID: id, Err: err,
		Message: "the orderers refuse the identity that signed the transaction, which expired or was revoked on the way: it is made anew",
	}
}
