package server

import (
	"context"
	"strconv"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/chaincode/ledger"
)

// This file is the part of callseal.v1.RecordingService that says how long records
// are kept.

// recordingArgs name a recording to the contracts.
func recordingArgs(msp, pbx, id string, revision int64) []string {
	return []string{msp, pbx, id, number(max(1, revision))}
}

// GetRecordingState implements callseal.v1.RecordingService.
func (s *recordingService) GetRecordingState(ctx context.Context, request *pb.GetRecordingStateRequest) (*pb.GetRecordingStateResponse, error) {
	if err := s.permit(ctx, request.GetMsp(), request.GetPbx(), false); err != nil {
		return nil, err
	}
	response := &pb.GetRecordingStateResponse{Custody: &pb.Custody{}}
	return response, s.answer(ctx, response.Custody, "recordings:State", recordingArgs(s.mspOr(request.GetMsp()), request.GetPbx(), request.GetId(), request.GetRevision())...)
}

// HoldConversation implements callseal.v1.RecordingService.
func (s *recordingService) HoldConversation(ctx context.Context, request *pb.HoldConversationRequest) (*pb.HoldConversationResponse, error) {
	after, err := s.holdAfter(ctx, request.GetPbx(), request.GetLinkedid(), request.GetAfter())
	if err != nil {
		return nil, err
	}
	wire, err := canonical(&ledger.HoldRequest{After: after, CaseDigest: request.GetCaseDigest(), Reason: request.GetReason(), Until: timeOf(request.GetUntil())})
	if err != nil {
		return nil, err
	}
	response := &pb.HoldConversationResponse{Hold: &pb.Hold{}}
	response.Commit, err = s.write(ctx, response.Hold, "recordings:Hold", s.channel.MSP(), request.GetPbx(), request.GetLinkedid(), wire)
	return response, err
}

// ReleaseConversation implements callseal.v1.RecordingService.
func (s *recordingService) ReleaseConversation(ctx context.Context, request *pb.ReleaseConversationRequest) (*pb.ReleaseConversationResponse, error) {
	after, err := s.holdAfter(ctx, request.GetPbx(), request.GetLinkedid(), request.GetAfter())
	if err != nil {
		return nil, err
	}
	response := &pb.ReleaseConversationResponse{Hold: &pb.Hold{}}
	response.Commit, err = s.write(ctx, response.Hold, "recordings:Release", s.channel.MSP(), request.GetPbx(), request.GetLinkedid(),
		request.GetCaseDigest(), strconv.FormatInt(after, 10))
	return response, err
}

// holdAfter is the version a change of a hold follows, the last one unless it was
// named.
func (s *recordingService) holdAfter(ctx context.Context, pbx, linkedID string, named int64) (int64, error) {
	if _, err := s.signer(ctx); err != nil || named != 0 {
		return named, err
	}
	return noted(ctx, "after", func() (int64, error) {
		var versions []ledger.Hold
		err := value(ctx, s.channel, &versions, "recordings:Holds", s.channel.MSP(), pbx, linkedID)
		return int64(len(versions)), err
	})
}

// ListHolds implements callseal.v1.RecordingService.
func (s *recordingService) ListHolds(ctx context.Context, request *pb.ListHoldsRequest) (*pb.ListHoldsResponse, error) {
	if err := s.permit(ctx, request.GetMsp(), request.GetPbx(), false); err != nil {
		return nil, err
	}
	holds, err := answerEach[pb.Hold](ctx, s.channel, "recordings:Holds", s.mspOr(request.GetMsp()), request.GetPbx(), request.GetLinkedid())
	return &pb.ListHoldsResponse{Holds: holds}, err
}

// RetainRecording implements callseal.v1.RecordingService.
func (s *recordingService) RetainRecording(ctx context.Context, request *pb.RetainRecordingRequest) (*pb.RetainRecordingResponse, error) {
	response := &pb.RetainRecordingResponse{Retention: &pb.Retention{}}
	args := recordingArgs(s.channel.MSP(), request.GetPbx(), request.GetId(), request.GetRevision())
	var err error
	response.Commit, err = s.write(ctx, response.Retention, "recordings:Retain", append(args, timeOf(request.GetUntil()).String())...)
	return response, err
}

// ListRetentions implements callseal.v1.RecordingService.
func (s *recordingService) ListRetentions(ctx context.Context, request *pb.ListRetentionsRequest) (*pb.ListRetentionsResponse, error) {
	if err := s.permit(ctx, request.GetMsp(), request.GetPbx(), false); err != nil {
		return nil, err
	}
	terms, err := answerEach[pb.Retention](ctx, s.channel, "recordings:Retentions", recordingArgs(s.mspOr(request.GetMsp()), request.GetPbx(), request.GetId(), request.GetRevision())...)
	return &pb.ListRetentionsResponse{Retentions: terms}, err
}
