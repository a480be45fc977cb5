package server

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/gateway/anchor"
	"github.com/callseal/callseal/gateway/fault"
)

// maxStreamed bounds the segments of one AnchorSegments stream: its answer
// carries a receipt for each.
const maxStreamed = 1000

type anchorService struct {
	pb.UnimplementedAnchorServiceServer
	writer
	pipeline *anchor.Pipeline
	msp      string
	window   int
	// stopping is closed when streams should end.
	stopping <-chan struct{}
}

// AnchorSegment implements callseal.v1.AnchorService.
func (s *anchorService) AnchorSegment(ctx context.Context, request *pb.AnchorSegmentRequest) (*pb.AnchorSegmentResponse, error) {
	receipt, err := s.anchor(ctx, request.GetSegment())
	if err != nil {
		return nil, err
	}
	return &pb.AnchorSegmentResponse{Receipt: receipt}, nil
}

// AnchorSegments implements callseal.v1.AnchorService. A gateway that stops answers
// with the receipts there are; a segment without one was not taken.
func (s *anchorService) AnchorSegments(stream grpc.ClientStreamingServer[pb.AnchorSegmentsRequest, pb.AnchorSegmentsResponse]) error {
	response := &pb.AnchorSegmentsResponse{}
	next := received(stream)
	for {
		var one reception
		select {
		case <-s.stopping:
			return stream.SendAndClose(response)
		case one = <-next:
		}
		if errors.Is(one.err, io.EOF) {
			return stream.SendAndClose(response)
		}
		if one.err != nil {
			return one.err
		}
		if len(response.Receipts) == maxStreamed {
			return fault.New(fault.TooLarge, "one stream takes %d segments: close it and open another", maxStreamed)
		}
		receipt, err := s.anchorBounded(stream.Context(), one.request.GetSegment())
		if err != nil {
			return err
		}
		response.Receipts = append(response.Receipts, receipt)
	}
}

// reception is what a stream's client sent, or how it ended.
type reception struct {
	request *pb.AnchorSegmentsRequest
	err     error
}

// received receives until the stream ends: by its client, or by its handler's return.
func received(stream grpc.ClientStreamingServer[pb.AnchorSegmentsRequest, pb.AnchorSegmentsResponse]) <-chan reception {
	next := make(chan reception)
	go func() {
		for {
			request, err := stream.Recv()
			select {
			case next <- reception{request, err}:
			case <-stream.Context().Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return next
}

// anchorBounded gives each segment of a stream its own deadline.
func (s *anchorService) anchorBounded(ctx context.Context, segment *pb.SignedSegment) (*pb.SegmentReceipt, error) {
	ctx, cancel := context.WithTimeout(ctx, defaultDeadline)
	defer cancel()
	return s.anchor(ctx, segment)
}

func (s *anchorService) anchor(ctx context.Context, segment *pb.SignedSegment) (*pb.SegmentReceipt, error) {
	submission, err := s.submission(ctx, segment)
	if err != nil {
		return nil, err
	}
	receipt, err := s.pipeline.Anchor(ctx, submission)
	if err != nil {
		return nil, err
	}
	return receiptMessage(receipt, len(submission.Signed.Records)), nil
}

// submission checks what a caller sent, and that it may send it.
func (s *anchorService) submission(ctx context.Context, segment *pb.SignedSegment) (*anchor.Submission, error) {
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
	return submission, authorizePBX(callerFrom(ctx), header.PBX)
}

// receiptMessage tells of a segment and of each of its records.
func receiptMessage(receipt *anchor.Receipt, records int) *pb.SegmentReceipt {
	message := &pb.SegmentReceipt{
		Epoch: receipt.Epoch, FirstSeq: receipt.FirstSeq, Outcome: outcomes[receipt.Outcome], Commit: commitMessage(receipt.Commit),
		Records: make([]*pb.RecordReceipt, records),
	}
	if !receipt.CommittedAt.IsZero() {
		message.CommittedAt = timestamppb.New(receipt.CommittedAt)
	}
	for i := range message.Records {
		seq := receipt.FirstSeq + int64(i)
		message.Records[i] = &pb.RecordReceipt{Seq: seq, Outcome: outcomes[receipt.Of(seq)]}
	}
	return message
}
