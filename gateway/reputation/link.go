package reputation

import (
	"context"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/fabric"
)

// link is the way to the ledger.
type link interface {
	// Evaluate asks the calls' chaincode on the own peer.
	Evaluate(ctx context.Context, function string, args ...string) ([]byte, error)
	// Policy answers a policy document in force, a ledger.PolicyVersion.
	Policy(ctx context.Context, name string) ([]byte, error)
	// Endorse has opinions endorsed.
	Endorse(ctx context.Context, function string, writes []byte) (transaction, error)
	// Resume finds out what became of a transaction that an earlier run sent, or
	// was about to. A fault of stage commit that is not Unknown says that it is not
	// VALID and never will be.
	Resume(ctx context.Context, envelope []byte) (fabric.Outcome, error)
}

// transaction is one that is endorsed. Finishing it again sends it again, which
// counts once.
type transaction interface {
	ID() string
	// Envelope is what Resume takes.
	Envelope() []byte
	Finish(ctx context.Context) (fabric.Commit, error)
}

// channel is the link through Fabric.
type channel struct {
	*fabric.Channel
	governance *fabric.Channel
}

func (c channel) Policy(ctx context.Context, name string) ([]byte, error) {
	return c.governance.Evaluate(ctx, "governance:Current", name)
}

func (c channel) Endorse(ctx context.Context, function string, writes []byte) (transaction, error) {
	endorsed, err := c.Channel.Endorse(ctx, fabric.Proposal{
		Function: function, Args: []string{""}, Transient: map[string][]byte{"writes": writes},
	})
	if err != nil {
		return nil, err
	}
	return endorsed, nil
}

func newChannel(opened *fabric.Channel) channel {
	return channel{Channel: opened, governance: opened.In(ledger.GovernanceChaincode)}
}
