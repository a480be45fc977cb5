package audit

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/api/connect"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/mirror"
)

// viaGateway reads through a gateway.
type viaGateway struct {
	name       string
	calls      pb.CallServiceClient
	recordings pb.RecordingServiceClient
	ledger     pb.LedgerServiceClient
}

// ViaGateway reads through the gateway at the other end of the connection. The
// name is for people.
func ViaGateway(connection grpc.ClientConnInterface, name string) Ledger {
	return &viaGateway{
		name: name, calls: pb.NewCallServiceClient(connection),
		recordings: pb.NewRecordingServiceClient(connection), ledger: pb.NewLedgerServiceClient(connection),
	}
}

func (g *viaGateway) Source() string { return g.name }

func (g *viaGateway) Legs(ctx context.Context, msp, pbx, linkedID string) ([]*ledger.Record, error) {
	response, err := g.calls.ListLegs(ctx, &pb.ListLegsRequest{Msp: msp, Pbx: pbx, Linkedid: linkedID})
	if err != nil {
		return nil, fmt.Errorf("ask for the legs: %w", connect.Sentence(err))
	}
	var stored [][]byte
	for _, call := range response.GetCalls() {
		stored = append(stored, call.GetRecordJson())
	}
	return decodeAll(stored)
}

func (g *viaGateway) Recordings(ctx context.Context, msp, pbx, linkedID string) ([]*ledger.Record, error) {
	response, err := g.recordings.ListRecordings(ctx, &pb.ListRecordingsRequest{Msp: msp, Pbx: pbx, Linkedid: linkedID})
	if err != nil {
		return nil, fmt.Errorf("ask for the recordings: %w", connect.Sentence(err))
	}
	return decodeRecordings(response.GetRecordings())
}

func (g *viaGateway) RecordingsBySHA256(ctx context.Context, sha256 string) ([]*ledger.Record, error) {
	response, err := g.recordings.FindRecordings(ctx, &pb.FindRecordingsRequest{Sha256: sha256})
	if err != nil {
		return nil, fmt.Errorf("ask for the digest: %w", connect.Sentence(err))
	}
	return decodeRecordings(response.GetRecordings())
}

func (g *viaGateway) Corrections(ctx context.Context, msp, pbx, linkedID string) ([]ledger.AnchoredCorrection, error) {
	response, err := g.calls.GetConversation(ctx, &pb.GetConversationRequest{
		Msp: msp, Pbx: pbx, Linkedid: linkedID, Fields: &fieldmaskpb.FieldMask{Paths: []string{"corrections"}},
	})
	if err != nil {
		return nil, fmt.Errorf("ask for the corrections: %w", connect.Sentence(err))
	}
	var all []ledger.AnchoredCorrection
	for _, message := range response.GetConversation().GetCorrections() {
		var correction ledger.AnchoredCorrection
		if err := mirror.Value(message, &correction); err != nil {
			return nil, err
		}
		all = append(all, correction)
	}
	return correctionsOf(all, linkedID), nil
}

func (g *viaGateway) Endorsement(ctx context.Context, record *ledger.Record) (*Endorsement, error) {
	response, err := g.ledger.GetSegment(ctx, &pb.GetSegmentRequest{Msp: record.MSP, Pbx: record.PBX, Epoch: record.Epoch, FirstSeq: record.Segment})
	if err != nil {
		return nil, fmt.Errorf("ask for the segment: %w", connect.Sentence(err))
	}
	var segment ledger.AnchoredSegment
	if err := ledger.DecodeStrict(response.GetSegmentJson(), &segment); err != nil {
		return nil, err
	}
	commit := response.GetCommit()
	return &Endorsement{
		TransactionID: commit.GetTransactionId(), Block: commit.GetBlock(), Endorsers: commit.GetEndorsers(),
		Validation: commit.GetValidationCode(), AnchoredAt: segment.AnchoredAt, Signer: segment.Segment.Signer,
	}, nil
}

func decodeRecordings(recordings []*pb.Recording) ([]*ledger.Record, error) {
	var stored [][]byte
	for _, recording := range recordings {
		stored = append(stored, recording.GetRecordJson())
	}
	return decodeAll(stored)
}
