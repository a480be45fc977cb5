package server

import (
	"context"
	"strconv"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/idempotency"
	"github.com/callseal/callseal/gateway/mirror"
)

// writer answers requests that end in a transaction, signed for whoever asks.
type writer struct {
	reader
	signers Signers
}

// answer fills a message with what a function answers.
func (r *reader) answer(ctx context.Context, into proto.Message, function string, args ...string) error {
	result, err := r.channel.Evaluate(ctx, function, args...)
	if err != nil {
		return err
	}
	return mirror.Fill(result, into)
}

// answerEach is answer for a function that answers an array.
func answerEach[M any, P interface {
	*M
	proto.Message
}](ctx context.Context, channel *fabric.Channel, function string, args ...string) ([]P, error) {
	result, err := channel.Evaluate(ctx, function, args...)
	if err != nil {
		return nil, err
	}
	return mirror.Each[M, P](result)
}

// value reads what a function answers into a value of the ledger.
func value(ctx context.Context, channel *fabric.Channel, into any, function string, args ...string) error {
	result, err := channel.Evaluate(ctx, function, args...)
	if err != nil {
		return err
	}
	return ledger.DecodeStrict(result, into)
}

// write has a transaction signed for the caller and committed, and fills a message
// with what the contract answered.
func (w *writer) write(ctx context.Context, into proto.Message, function string, args ...string) (*pb.Commit, error) {
	return w.propose(ctx, into, fabric.Proposal{Function: function, Args: args})
}

// propose is write for any proposal; without a message the answer is left.
func (w *writer) propose(ctx context.Context, into proto.Message, what fabric.Proposal) (*pb.Commit, error) {
	channel, err := w.signer(ctx)
	if err != nil {
		return nil, err
	}
	return transactOn(ctx, channel, into, what)
}

func transactOn(ctx context.Context, channel *fabric.Channel, into proto.Message, what fabric.Proposal) (*pb.Commit, error) {
	outcome, err := idempotency.Transact(ctx, channel, what)
	if err != nil {
		return nil, err
	}
	if into != nil {
		err = mirror.Fill(outcome.Result, into)
	}
	return commitMessage(outcome.Commit), err
}

// canonical is a value as a contract takes it.
func canonical(checked interface{ Check() error }) (string, error) {
	if err := checked.Check(); err != nil {
		return "", err
	}
	text, err := ledger.Canonical(checked)
	return string(text), err
}

// timeOf is the ledger's time of a message's; not set for none.
func timeOf(at *timestamppb.Timestamp) ledger.Time {
	if at == nil {
		return ledger.Time{}
	}
	return ledger.TimeOf(at.AsTime())
}

// noted is a number that every run of a request shares, such as the version it
// follows.
func noted(ctx context.Context, name string, find func() (int64, error)) (int64, error) {
	text, err := idempotency.Note(ctx, name, func() ([]byte, error) {
		found, err := find()
		return strconv.AppendInt(nil, found, 10), err
	})
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(string(text), 10, 64)
}

// number writes a number as a contract takes it.
func number(n int64) string { return strconv.FormatInt(n, 10) }
