package server

import (
	"context"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/anchor"
	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/fault"
	"github.com/callseal/callseal/gateway/idempotency"
	"github.com/callseal/callseal/gateway/seal"
)

// AnchorLateSegment implements callseal.v1.AnchorService. The admin's signature
// stands in the public transaction; the details are sealed by the gateway as ever.
func (s *anchorService) AnchorLateSegment(ctx context.Context, request *pb.AnchorLateSegmentRequest) (*pb.AnchorLateSegmentResponse, error) {
	given := request.GetSegment()
	submission, err := anchor.NewSubmission(given.GetSegmentJson(), given.GetSignature(), given.GetRecordsJson(), given.GetDetailsJson())
	if err != nil {
		return nil, err
	}
	signed := &submission.Signed
	if signed.Segment.MSP != s.msp {
		return nil, fault.New(fault.Denied, "this is the gateway of %s, the segment belongs to %s: send it to that operator's gateway", s.msp, signed.Segment.MSP)
	}
	text, err := ledger.Canonical([]ledger.SignedSegment{*signed})
	if err != nil {
		return nil, err
	}
	channel, err := s.signer(ctx)
	if err != nil {
		return nil, err
	}
	outcome, err := idempotency.Transact(ctx, channel, fabric.Proposal{
		Function: "calls:AnchorLate", Args: []string{""}, Transient: map[string][]byte{"segments": text},
	})
	if err != nil {
		return nil, err
	}
	var result ledger.AnchorResult
	if err := ledger.DecodeStrict(outcome.Result, &result); err != nil {
		return nil, err
	}
	if len(result.Segments) != 1 {
		return nil, fault.New(fault.Internal, "the contract answered for %d segments, one was sent", len(result.Segments))
	}
	if err := s.sealLate(ctx, signed, given.GetDetailsJson(), &result.Segments[0]); err != nil {
		return nil, err
	}
	receipt := &pb.SegmentReceipt{
		Epoch: signed.Segment.Epoch, FirstSeq: signed.Segment.FirstSeq, Outcome: outcomes[result.Segments[0].Outcome], Commit: commitMessage(outcome.Commit),
	}
	for i := range signed.Records {
		seq := signed.Records[i].Seq
		receipt.Records = append(receipt.Records, &pb.RecordReceipt{Seq: seq, Outcome: outcomes[result.Segments[0].Of(seq)]})
	}
	return &pb.AnchorLateSegmentResponse{Receipt: receipt}, nil
}

// sealLate stores the details of what was not refused.
func (s *anchorService) sealLate(ctx context.Context, signed *ledger.SignedSegment, details [][]byte, outcome *ledger.SegmentOutcome) error {
	var items []seal.Item
	for i := range signed.Records {
		record := &signed.Records[i]
		if len(details[i]) > 0 && outcome.Of(record.Seq) != ledger.OutcomeConflict {
			items = append(items, seal.Item{Key: record.Key(), Details: details[i]})
		}
	}
	if len(items) == 0 {
		return nil
	}
	wire, err := idempotency.Note(ctx, "sealed", func() ([]byte, error) {
		sealed, err := s.keyring.Seal(items)
		if err != nil || len(sealed) == 0 {
			return nil, err
		}
		return ledger.Canonical(sealed)
	})
	if err != nil || len(wire) == 0 {
		return err
	}
	_, err = idempotency.Transact(ctx, s.channel, fabric.Proposal{
		Function: "details:Put", Transient: map[string][]byte{"details": wire}, EndorsedBy: []string{s.msp},
	})
	return err
}
