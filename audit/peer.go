package audit

import (
	"context"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/fabric"
)

// viaPeer asks a peer's state and blocks, without any gateway.
type viaPeer struct {
	name    string
	channel *fabric.Channel
}

// ViaPeer asks the peer behind the channel. The name is for people.
func ViaPeer(channel *fabric.Channel, name string) Ledger {
	return &viaPeer{name: name, channel: channel}
}

func (p *viaPeer) Source() string { return p.name }

func (p *viaPeer) Legs(ctx context.Context, msp, pbx, linkedID string) ([]*ledger.Record, error) {
	return p.list(ctx, "calls:ByLinkedID", msp, pbx, linkedID)
}

func (p *viaPeer) Recordings(ctx context.Context, msp, pbx, linkedID string) ([]*ledger.Record, error) {
	return p.list(ctx, "recordings:ByLinkedID", msp, pbx, linkedID)
}

func (p *viaPeer) RecordingsBySHA256(ctx context.Context, sha256 string) ([]*ledger.Record, error) {
	return p.list(ctx, "recordings:BySHA256", sha256)
}

func (p *viaPeer) Corrections(ctx context.Context, msp, pbx, linkedID string) ([]ledger.AnchoredCorrection, error) {
	result, err := p.channel.Evaluate(ctx, "calls:Conversation", msp, pbx, linkedID)
	if err != nil {
		return nil, fmt.Errorf("ask the peer: %w", err)
	}
	var found ledger.Conversation
	if err := ledger.DecodeStrict(result, &found); err != nil {
		return nil, err
	}
	return correctionsOf(found.Corrections, linkedID), nil
}

func (p *viaPeer) Endorsement(ctx context.Context, record *ledger.Record) (*Endorsement, error) {
	stored, err := p.channel.Evaluate(ctx, "calls:Segment", record.MSP, record.PBX, fmt.Sprint(record.Epoch), fmt.Sprint(record.Segment))
	if err != nil {
		return nil, fmt.Errorf("ask for the segment: %w", err)
	}
	var segment ledger.AnchoredSegment
	if err := ledger.DecodeStrict(stored, &segment); err != nil {
		return nil, err
	}
	commit, err := p.channel.Commit(ctx, segment.TxID)
	if err != nil {
		return nil, fmt.Errorf("ask for the transaction: %w", err)
	}
	return &Endorsement{
		TransactionID: commit.TransactionID, Block: commit.Block, Endorsers: commit.Endorsers,
		Validation: commit.Validation, AnchoredAt: segment.AnchoredAt, Signer: segment.Segment.Signer,
	}, nil
}

func (p *viaPeer) list(ctx context.Context, function string, args ...string) ([]*ledger.Record, error) {
	result, err := p.channel.Evaluate(ctx, function, args...)
	if err != nil {
		return nil, fmt.Errorf("ask the peer: %w", err)
	}
	var stored []jsontext.Value
	if err := json.Unmarshal(result, &stored); err != nil {
		return nil, fmt.Errorf("read the peer's answer: %w", err)
	}
	return decodeAll(stored)
}
