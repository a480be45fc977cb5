package fabric

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/gateway"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/callseal/callseal/gateway/fault"
)

const (
	// A query that takes longer is asked of another own peer too.
	queryAtLeast, queryAtMost = 300 * time.Millisecond, 1500 * time.Millisecond
)

// Evaluate asks an own peer. No other operator's is ever asked: what a query says
// may be the operator's own secret, and another's answer may be a lie.
func (c *Channel) Evaluate(ctx context.Context, function string, args ...string) ([]byte, error) {
	return c.evaluate(ctx, c.chaincode, Proposal{Function: function, Args: args})
}

func (c *Channel) evaluate(ctx context.Context, chaincode string, what Proposal) ([]byte, error) {
	c.start()
	ctx, cancel := stage(ctx, c.deadlines.Evaluate)
	defer cancel()
	order := c.order()
	asked, err := order[0].link.Load().proposal(chaincode, what)
	if err != nil {
		return nil, &fault.Error{Kind: fault.Internal, Stage: fault.StageEvaluate, Message: "the query cannot be built", Err: err}
	}
	attempts := make([]attempt[[]byte], len(order))
	for i, at := range order {
		attempts[i] = attempt[[]byte]{peer: at, slow: at.pace.slow(queryAtLeast, queryAtMost), run: func(ctx context.Context) ([]byte, error) {
			return at.process(ctx, asked.GetProposal())
		}}
	}
	result, err := race(ctx, attempts, func(err error) bool { return anotherMight(classify(fault.StageEvaluate, "", err)) })
	if err != nil {
		return nil, classify(fault.StageEvaluate, "", err)
	}
	return result, nil
}

// evaluateAt asks one peer.
func (c *Channel) evaluateAt(ctx context.Context, at *Peer, chaincode string, what Proposal) ([]byte, error) {
	asked, err := at.link.Load().proposal(chaincode, what)
	if err != nil {
		return nil, &fault.Error{Kind: fault.Internal, Stage: fault.StageEvaluate, Message: "the query cannot be built", Err: err}
	}
	result, err := at.process(ctx, asked.GetProposal())
	if err != nil {
		return nil, classify(fault.StageEvaluate, "", err)
	}
	return result, nil
}

// anotherMight says whether another peer might do what this one could not: not
// when the contract itself refused.
func anotherMight(problem *fault.Error) bool {
	return problem.Kind == fault.Unavailable || problem.Kind == fault.Busy || problem.Kind == fault.Internal
}

// proposal builds and signs what peers are asked.
func (l *link) proposal(chaincode string, what Proposal) (*gateway.ProposedTransaction, error) {
	built, err := l.network.GetContract(chaincode).NewProposal(what.Function, what.options()...)
	if err != nil {
		return nil, fmt.Errorf("build the proposal: %w", err)
	}
	serialized, err := built.Bytes()
	if err != nil {
		return nil, fmt.Errorf("build the proposal: %w", err)
	}
	proposed := &gateway.ProposedTransaction{}
	if err := proto.Unmarshal(serialized, proposed); err != nil {
		return nil, fmt.Errorf("build the proposal: %w", err)
	}
	proposed.Proposal.Signature, err = l.signer.signDigest(built.Digest())
	return proposed, err
}

// resultOf is what a contract answered through a peer. A refusal becomes the
// error that the peers' gateway makes of it.
func resultOf(answer *peer.ProposalResponse, err error) ([]byte, error) {
	if err != nil {
		return nil, err //nolint:wrapcheck // classified by the caller
	}
	if response := answer.GetResponse(); response.GetStatus() < http.StatusOK || response.GetStatus() >= http.StatusBadRequest {
		return nil, status.Errorf(codes.Unknown, "chaincode response %d, %s", response.GetStatus(), response.GetMessage())
	}
	payload, action := &peer.ProposalResponsePayload{}, &peer.ChaincodeAction{}
	if err := proto.Unmarshal(answer.GetPayload(), payload); err != nil {
		return nil, fmt.Errorf("read the peer's answer: %w", err)
	}
	if err := proto.Unmarshal(payload.GetExtension(), action); err != nil {
		return nil, fmt.Errorf("read the peer's answer: %w", err)
	}
	return action.GetResponse().GetPayload(), nil
}

// isAway says whether an error means that the peer was not reached.
func isAway(err error) bool { return statusCode(err) == codes.Unavailable }
