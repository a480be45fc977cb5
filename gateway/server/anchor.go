package server

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/gateway/anchor"
	"github.com/callseal/callseal/gateway/consent"
	"github.com/callseal/callseal/gateway/fault"
)

// maxStreamed bounds the segments of one AnchorSegments stream: its answer
// carries a receipt for each.
const maxStreamed = 1000

type anchorService struct {
	pb.UnimplementedAnchorServiceServer
	writer
	anchorer *anchor.Anchorer
	consents *consent.Watch // nil where nobody watches
	msp      string
}

// AnchorSegment implements callseal.v1.AnchorService.
func (s *anchorService) AnchorSegment(ctx context.Context, request *pb.AnchorSegmentRequest) (*pb.AnchorSegmentResponse, error) {
	receipt, err := s.anchor(ctx, request.GetSegment())
	if err != nil {
		return nil, err
	}
	return &pb.AnchorSegmentResponse{Receipt: receipt}, nil
}

// AnchorSegments implements callseal.v1.AnchorService.
func (s *anchorService) AnchorSegments(stream grpc.ClientStreamingServer[pb.AnchorSegmentsRequest, pb.AnchorSegmentsResponse]) error {
	response := &pb.AnchorSegmentsResponse{}
	for {
		request, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return stream.SendAndClose(response)
		}
		if err != nil {
			return err
		}
		if len(response.Receipts) == maxStreamed {
			return fault.New(fault.TooLarge, "one stream takes %d segments: close it and open another", maxStreamed)
		}
		receipt, err := s.anchorBounded(stream.Context(), request.GetSegment())
		if err != nil {
			return err
		}
		response.Receipts = append(response.Receipts, receipt)
	}
}

// anchorBounded gives each segment of a stream its own deadline.
func (s *anchorService) anchorBounded(ctx context.Context, segment *pb.SignedSegment) (*pb.SegmentReceipt, error) {
	ctx, cancel := context.WithTimeout(ctx, defaultDeadline)
	defer cancel()
	return s.anchor(ctx, segment)
}

func (s *anchorService) anchor(ctx context.Context, segment *pb.SignedSegment) (*pb.SegmentReceipt, error) {
	if segment == nil {
		return nil, fault.New(fault.Invalid, "the request carries no segment")
	}
	submission, err := anchor.NewSubmission(segment.GetSegmentJson(), segment.GetSignature(), segment.GetRecordsJson(), segment.GetDetailsJson())
	if err != nil {
		return nil, err
	}
	header := &submission.Signed.Segment
	if header.MSP != s.msp {
		return nil, fault.New(fault.Denied, "this is the gateway of %s, the segment belongs to %s: send it to that operator's gateway", s.msp, header.MSP)
	}
	if err := authorizePBX(callerFrom(ctx), header.PBX); err != nil {
		return nil, err
	}
	receipt, err := s.anchorer.Anchor(ctx, submission)
	if err != nil {
		return nil, err
	}
	if s.consents != nil {
		s.consents.Anchored(&submission.Signed)
	}
	message := &pb.SegmentReceipt{
		Epoch: receipt.Epoch, FirstSeq: receipt.FirstSeq, Outcome: outcomes[receipt.Outcome], Commit: commitMessage(receipt.Commit),
	}
	if !receipt.CommittedAt.IsZero() {
		message.CommittedAt = timestamppb.New(receipt.CommittedAt)
	}
	for i := range submission.Signed.Records {
		seq := submission.Signed.Records[i].Seq
		message.Records = append(message.Records, &pb.RecordReceipt{Seq: seq, Outcome: outcomes[receipt.Of(seq)]})
	}
	return message, nil
}
