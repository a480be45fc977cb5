package fabric

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hyperledger/fabric-gateway/pkg/client"
	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/gateway"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/callseal/callseal/gateway/fault"
)

// Proposal is what to invoke.
type Proposal struct {
	// Function is "contract:Function".
	Function string
	Args     []string
	// Transient reaches the endorsers and no block.
	Transient map[string][]byte
	// EndorsedBy names the MSPs that must endorse; empty leaves the choice to
	// the endorsement policy. Transient data reaches no one else.
	EndorsedBy []string
	// Submitting, where set, is told by Transact of every transaction before it
	// is sent, so that it can be asked for after a crash. Its error prevents it.
	Submitting func(transactionID string) error
	// Keeping, where set, is as Submitting, and told the envelope, so that it can be
	// resumed.
	Keeping func(envelope []byte) error
}

func (p *Proposal) options() []client.ProposalOption {
	options := []client.ProposalOption{client.WithArguments(p.Args...)}
	if p.Transient != nil {
		options = append(options, client.WithTransient(p.Transient))
	}
	if len(p.EndorsedBy) > 0 {
		options = append(options, client.WithEndorsingOrganizations(p.EndorsedBy...))
	}
	return options
}

// Endorsed is a transaction that enough operators signed, not yet sent.
type Endorsed struct {
	channel *Channel
	id      string
	result  []byte
	// envelope is the signed transaction as it is kept and sent; payload and
	// signature are the parts of it.
	envelope, payload, signature []byte
	// sent says that it may have been sent before.
	sent atomic.Bool
}

// signed signs a transaction, once: however often it is sent, and after whichever
// restart, it is the same envelope.
func (c *Channel) signed(by *link, transactionID string, payload []byte) (*Endorsed, error) {
	digest := sha256.Sum256(payload)
	signature, err := by.signer.signDigest(digest[:])
	if err == nil {
		envelope := make([]byte, 0, len(payload)+len(signature)+2*(1+binary.MaxVarintLen32))
		envelope = protowire.AppendTag(envelope, toPayload.at, protowire.BytesType)
		envelope = protowire.AppendBytes(envelope, payload)
		envelope = protowire.AppendTag(envelope, toSignature.at, protowire.BytesType)
		envelope = protowire.AppendBytes(envelope, signature)
		var endorsed *Endorsed
		if endorsed, err = c.opened(envelope); err == nil && endorsed.id == transactionID {
			return endorsed, nil
		}
		if err == nil {
			err = fmt.Errorf("the peer answered with transaction %s", endorsed.id)
		}
	}
	return nil, &fault.Error{
		Kind: fault.Internal, Stage: fault.StageEndorse, TransactionID: transactionID,
		Message: "the endorsed transaction cannot be signed", Err: err,
	}
}

// Reopen makes of an envelope's bytes the transaction they were taken from.
func (c *Channel) Reopen(envelope []byte) (*Endorsed, error) {
	endorsed, err := c.opened(envelope)
	if err != nil {
		return nil, fmt.Errorf("read the transaction: %w", err)
	}
	if len(endorsed.signature) == 0 {
		return nil, errors.New("read the transaction: it is not signed")
	}
	endorsed.sent.Store(true)
	return endorsed, nil
}

func (c *Channel) opened(envelope []byte) (*Endorsed, error) {
	endorsed := &Endorsed{channel: c, envelope: envelope}
	var err error
	if endorsed.payload, err = follow(envelope, toPayload); err != nil {
		return nil, err
	}
	if endorsed.signature, err = follow(envelope, toSignature); err != nil {
		return nil, err
	}
	if endorsed.id, err = transactionIDOf(endorsed.payload); err != nil {
		return nil, err
	}
	if endorsed.id == "" {
		return nil, errors.New("it has no id")
	}
	answer, err := answerOf(endorsed.payload)
	endorsed.result = bytes.Clone(answer)
	return endorsed, err
}

// Envelope is the signed transaction as bytes, to be kept until its outcome is
// known: Reopen makes the same transaction of them after a restart.
func (e *Endorsed) Envelope() []byte { return e.envelope }

// ID is the transaction's id.
func (e *Endorsed) ID() string { return e.id }

// Result is what the contract answered.
func (e *Endorsed) Result() []byte { return e.result }

// Endorsers are the MSPs that signed.
func (e *Endorsed) Endorsers() ([]string, error) { return endorsersOf(e.payload) }

// Submitted is a transaction that was sent to the orderers.
type Submitted struct {
	channel  *Channel
	expected *Expectation
}

// Submit sends the transaction to the orderers. A failure here means "unknown":
// the envelope may have been ordered. The same envelope is sent once more, which
// is safe, and what the orderers already processed counts as sent.
//
// What answers must be waited for or released.
func (e *Endorsed) Submit(ctx context.Context) (*Submitted, error) {
	expected := e.channel.commits.Expect(e.ID())
	if e.sent.Swap(true) {
		expected.LookUp()
	}
	if err := e.Send(ctx); err != nil {
		expected.Release()
		return nil, err
	}
	return &Submitted{channel: e.channel, expected: expected}, nil
}

// submitTries is how often an envelope is sent, at least.
const submitTries = 2

// Send is Submit for a caller that expects the commit itself.
func (e *Endorsed) Send(ctx context.Context) error {
	e.channel.start()
	order := e.channel.order()
	var attempts []attempt[struct{}]
	for i := range max(submitTries, len(order)) {
		at := order[i%len(order)]
		attempts = append(attempts, attempt[struct{}]{peer: at, run: func(ctx context.Context) (struct{}, error) {
			return struct{}{}, e.sendBy(ctx, at)
		}})
	}
	if _, err := race(ctx, attempts, func(error) bool { return true }); err != nil {
		return classify(fault.StageSubmit, e.ID(), err)
	}
	return nil
}

// sendBy has a peer send the envelope to the orderers.
func (e *Endorsed) sendBy(ctx context.Context, at *Peer) error {
	ctx, cancel := stage(ctx, e.channel.deadlines.Submit)
	defer cancel()
	began := time.Now()
	_, err := gateway.NewGatewayClient(at.link.Load().connection).Submit(ctx, &gateway.SubmitRequest{
		TransactionId: e.id, ChannelId: e.channel.name, PreparedTransaction: &common.Envelope{Payload: e.payload, Signature: e.signature},
	})
	if alreadyProcessed(err) {
		err = nil
	}
	at.metrics.done(at, fault.StageSubmit, time.Since(began), err)
	switch {
	case err == nil:
		at.answered()
		return nil
	case isAway(err):
		at.doubt()
	}
	return err //nolint:wrapcheck // classified by the caller
}

// Commit says where a transaction came to stand.
type Commit struct {
	TransactionID string
	Block         uint64
	// Endorsers are MSPs, in the order of the envelope; empty where not asked.
	Endorsers []string
	// Validation is Fabric's code, "VALID" for what counts.
	Validation string
}

// Wait waits until an own peer has committed the transaction and answers a fault
// unless it is VALID. It can be called once.
func (s *Submitted) Wait(ctx context.Context) (Commit, error) {
	defer s.Release()
	ctx, cancel := stage(ctx, s.channel.deadlines.Commit)
	defer cancel()
	return s.expected.Await(ctx)
}

// Release is for one that is not waited for.
func (s *Submitted) Release() { s.expected.Release() }

// alreadyProcessed recognises SmartBFT's answer to an envelope it has ordered
// before, which the peer's gateway reports as Unavailable.
func alreadyProcessed(err error) bool {
	return err != nil && mentions(err, "already processed", "already exists")
}

// mentions looks for words in an error and in its gRPC details.
func mentions(err error, words ...string) bool {
	text := strings.Join(append(endorsersSaid(err), err.Error()), " ")
	for _, word := range words {
		if strings.Contains(text, word) {
			return true
		}
	}
	return false
}

// statusCode is the gRPC code in err's chain.
func statusCode(err error) codes.Code {
	var carrier interface{ GRPCStatus() *status.Status }
	if errors.As(err, &carrier) {
		return carrier.GRPCStatus().Code()
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return codes.DeadlineExceeded
	case errors.Is(err, context.Canceled):
		return codes.Canceled
	}
	return codes.Unknown
}
