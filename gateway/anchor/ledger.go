package anchor

import (
	"context"

	"github.com/callseal/callseal/gateway/fabric"
)

// Ledger is the part of a channel that the pipeline needs.
type Ledger interface {
	// MSP is the operator.
	MSP() string
	Endorse(ctx context.Context, what fabric.Proposal) (Transaction, error)
	// Reopen makes an envelope that was kept the transaction it was.
	Reopen(envelope []byte) (Transaction, error)
	Evaluate(ctx context.Context, function string, args ...string) ([]byte, error)
	// Expect registers interest in a transaction before it is sent.
	Expect(transactionID string) Expectation
	// Commit looks up a transaction that is on the ledger.
	Commit(ctx context.Context, transactionID string) (fabric.Commit, error)
	// UnlessLagging tells a contract's refusal from an endorser that lags behind.
	UnlessLagging(ctx context.Context, what fabric.Proposal, refused error) error
}

// Transaction is one that is endorsed and signed.
type Transaction interface {
	ID() string
	// Result is what the contract answered.
	Result() []byte
	// Envelope is what is sent, however often.
	Envelope() []byte
	Endorsers() ([]string, error)
	// Send sends it to the orderers. An error says that it may have been.
	Send(ctx context.Context) error
}

// Expectation waits for a transaction.
type Expectation interface {
	// Await answers once it stands in a block, with a fault unless it is VALID; one
	// of kind Unknown when the context ends first.
	Await(ctx context.Context) (fabric.Commit, error)
	// LookUp has the ledger asked: it may have been committed before.
	LookUp()
	Release()
}

// channel is a channel as a Ledger.
type channel struct{ *fabric.Channel }

// Endorse implements Ledger.
func (c channel) Endorse(ctx context.Context, what fabric.Proposal) (Transaction, error) {
	endorsed, err := c.Channel.Endorse(ctx, what)
	if err != nil {
		return nil, err
	}
	return endorsed, nil
}

// Reopen implements Ledger.
func (c channel) Reopen(envelope []byte) (Transaction, error) {
	endorsed, err := c.Channel.Reopen(envelope)
	if err != nil {
		return nil, err
	}
	return endorsed, nil
}

// Expect implements Ledger.
func (c channel) Expect(transactionID string) Expectation {
	return c.Commits().Expect(transactionID)
}
