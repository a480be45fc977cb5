package fabric

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/callseal/callseal/gateway/fault"
)

const (
	// transactTries bounds the tries of one transaction; the caller's deadline
	// bounds them sooner.
	transactTries = 8
	// settleEvery is how often a transaction of unknown outcome is asked for, and
	// settleFor how long: absence is never final, but it becomes unlikely.
	settleEvery = 250 * time.Millisecond
	settleFor   = 20 * time.Second
)

// Outcome is a transaction that is VALID.
type Outcome struct {
	Commit
	// Result is what the contract answered.
	Result []byte
}

// Transact has a transaction endorsed and ordered and waits until it is VALID.
// Faults that may pass are repeated: an endorser that lags behind, another
// transaction that came first. One whose outcome is unknown is asked for, and made
// anew only after it was found not to be VALID, so functions need not be
// repeatable; where that cannot be found out, the fault is of kind Unknown.
func (c *Channel) Transact(ctx context.Context, what Proposal) (Outcome, error) {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = 20*time.Millisecond, time.Second
	var last error
	outcome, err := backoff.Retry(ctx, func() (Outcome, error) {
		outcome, err := c.transactOnce(ctx, what)
		last = err
		if err != nil && (!fault.Of(err).Retryable() || fault.Of(err).Kind == fault.Unknown) {
			return outcome, backoff.Permanent(err)
		}
		return outcome, err
	}, backoff.WithBackOff(wait), backoff.WithMaxTries(transactTries))
	if err != nil && last != nil {
		return Outcome{}, last
	}
	return outcome, err
}

func (c *Channel) transactOnce(ctx context.Context, what Proposal) (Outcome, error) {
	endorsed, err := c.Endorse(ctx, what)
	if err != nil {
		return Outcome{}, c.UnlessLagging(ctx, what, err)
	}
	if err := what.tell(endorsed); err != nil {
		return Outcome{}, err
	}
	outcome := Outcome{Result: endorsed.Result()}
	if outcome.Commit, err = endorsed.Finish(ctx); err != nil {
		return Outcome{}, err
	}
	outcome.Endorsers, err = endorsed.Endorsers()
	return outcome, err
}

// tell calls the hooks before the transaction is sent.
func (p *Proposal) tell(endorsed *Endorsed) error {
	if p.Submitting != nil {
		if err := p.Submitting(endorsed.ID()); err != nil {
			return err
		}
	}
	if p.Keeping == nil {
		return nil
	}
	return p.Keeping(endorsed.Envelope())
}

// UnlessLagging tells a contract's refusal from an endorser that has not yet
// committed what the own peer has, and so refuses what was just made possible: the
// own peer, asked alone, would not. That passes with the next block.
func (c *Channel) UnlessLagging(ctx context.Context, what Proposal, refused error) error {
	switch fault.Of(refused).Kind {
	case fault.NotFound, fault.Exists, fault.State, fault.Denied:
	default:
		return refused
	}
	if _, err := c.evaluate(ctx, c.chaincode, what); err != nil {
		return refused
	}
	return &fault.Error{
		Kind: fault.Contended, Stage: fault.StageEndorse, TransactionID: fault.Of(refused).TransactionID,
		Message: "another operator's peer lags behind your own and refuses what yours does not: send the request again", Err: refused,
	}
}

// settle finds out what became of a transaction; unknown is the fault to answer
// where it cannot be found out.
func (c *Channel) settle(ctx context.Context, transactionID string, unknown error) (Commit, error) {
	commit, err := backoff.Retry(ctx, func() (Commit, error) { return c.Commit(ctx, transactionID) },
		backoff.WithBackOff(backoff.NewConstantBackOff(settleEvery)), backoff.WithMaxElapsedTime(settleFor))
	switch {
	case err != nil:
		// Not there, or the peer is away: it stays unknown.
		return Commit{}, errors.Join(unknown, err)
	case commit.Validation != valid:
		return Commit{}, invalidated(transactionID, commit.Validation)
	}
	return commit, nil
}

// valid is Fabric's code for a transaction that counts.
const valid = "VALID"
