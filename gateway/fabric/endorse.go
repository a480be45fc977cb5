package fabric

import (
	"context"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/gateway"

	"github.com/callseal/callseal/gateway/fault"
)

// Endorse collects endorsements: those the proposal names, else of the own
// operator and a partner, else as the endorsement policy allows. Partners are
// enough for the configured chaincode only: governance wants every operator.
func (c *Channel) Endorse(ctx context.Context, what Proposal) (*Endorsed, error) {
	c.start()
	ctx, cancel := stage(ctx, c.deadlines.Endorse)
	defer cancel()
	order := c.order()
	var attempts []attempt[*Endorsed]
	if len(what.EndorsedBy) == 0 && c.chaincode == c.config.Chaincode {
		asked, again := c.partners.choose()
		for _, one := range again {
			c.tryAgain(order[0], one, what)
		}
		for i, with := range asked {
			attempts = append(attempts, c.endorseWith(order[i%len(order)], with, what))
		}
	}
	if len(attempts) == 0 {
		for _, at := range order {
			attempts = append(attempts, attempt[*Endorsed]{peer: at, run: func(ctx context.Context) (*Endorsed, error) { return c.endorseAt(ctx, at, what) }})
		}
	} else {
		at := order[len(attempts)%len(order)]
		attempts = append(attempts, attempt[*Endorsed]{peer: at, run: func(ctx context.Context) (*Endorsed, error) { return c.endorseAt(ctx, at, what) }})
	}
	return race(ctx, attempts, func(err error) bool { return choiceMatters(fault.Of(err)) })
}

// endorseWith has an own peer ask the own operator and a partner, and tells the
// partner's circuit how that went.
func (c *Channel) endorseWith(at *Peer, with *partner, what Proposal) attempt[*Endorsed] {
	what.EndorsedBy = []string{c.msp, with.msp}
	slow := with.pace.slow(endorseAtLeast, endorseAtMost)
	return attempt[*Endorsed]{peer: at, slow: slow, run: func(ctx context.Context) (*Endorsed, error) {
		began := time.Now()
		endorsed, err := c.endorseAt(ctx, at, what)
		took := time.Since(began)
		healthy, _ := at.state()
		switch {
		case err == nil:
			with.pace.took(took)
			with.charge(nil)
		case !healthy:
			// It is the own peer that does not answer.
		case ctx.Err() != nil:
			if took >= slow {
				with.charge(errSlow)
			}
		case blamed(fault.Of(err), c.msp):
			with.charge(err)
		}
		return endorsed, err
	}}
}

// tryAgain finds out, in the background and for nothing else, whether a partner
// that was left out endorses again.
func (c *Channel) tryAgain(at *Peer, with *partner, what Proposal) {
	done, err := with.circuit.Allow()
	if err != nil {
		return
	}
	what.EndorsedBy = []string{c.msp, with.msp}
	started := c.background(func(ctx context.Context) {
		ctx, cancel := stage(ctx, c.deadlines.Endorse)
		defer cancel()
		_, err := c.endorseAt(ctx, at, what)
		if err != nil && ctx.Err() == nil && !blamed(fault.Of(err), c.msp) {
			err = nil
		}
		done(err)
	})
	if !started {
		done(errSlow)
	}
}

// endorseAt has one own peer collect the endorsements.
func (c *Channel) endorseAt(ctx context.Context, at *Peer, what Proposal) (*Endorsed, error) {
	by := at.link.Load()
	proposed, err := by.proposal(c.chaincode, what)
	if err != nil {
		return nil, &fault.Error{Kind: fault.Internal, Stage: fault.StageEndorse, Message: "the proposal cannot be built", Err: err}
	}
	began := time.Now()
	answer, err := gateway.NewGatewayClient(by.connection).Endorse(ctx, &gateway.EndorseRequest{
		TransactionId: proposed.GetTransactionId(), ChannelId: c.name, ProposedTransaction: proposed.GetProposal(), EndorsingOrganizations: what.EndorsedBy,
	})
	at.metrics.done(at, fault.StageEndorse, time.Since(began), err)
	if err != nil {
		if isAway(err) {
			at.doubt()
		}
		return nil, classify(fault.StageEndorse, proposed.GetTransactionId(), err)
	}
	at.answered()
	return c.signed(by, proposed.GetTransactionId(), answer.GetPreparedTransaction().GetPayload())
}
