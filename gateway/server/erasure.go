package server

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/erasure"
	"github.com/callseal/callseal/gateway/fault"
)

type erasureService struct {
	pb.UnimplementedErasureServiceServer
	eraser *erasure.Eraser
}

// eraseReasons are the ledger's words for the messages'.
var eraseReasons = map[pb.ErasureReason]string{
	pb.ErasureReason_ERASURE_REASON_SUBJECT_REQUEST:   ledger.EraseSubjectRequest,
	pb.ErasureReason_ERASURE_REASON_RETENTION_EXPIRED: ledger.EraseRetentionExpired,
	pb.ErasureReason_ERASURE_REASON_COURT_ORDER:       ledger.EraseCourtOrder,
}

// Erase implements callseal.v1.ErasureService. The gateway signs the statement
// for the person who asks, whom it names by certificate.
func (s *erasureService) Erase(ctx context.Context, request *pb.EraseRequest) (*pb.EraseResponse, error) {
	reason, known := eraseReasons[request.GetReason()]
	if !known {
		return nil, fault.New(fault.Invalid, "the request names no reason: subject request, retention expired or court order")
	}
	asked := erasure.Request{
		Record: recordName(request.GetRecord()), EvidenceDigest: request.GetEvidenceDigest(), Reason: reason, RequestedBy: callerFrom(ctx).fingerprint,
	}
	if audio := request.GetAudio(); audio != nil {
		asked.Audio = &ledger.DestroyedKey{KeyCommitment: audio.GetKeyCommitment()}
	}
	progress, err := s.eraser.Erase(ctx, asked)
	if err != nil {
		return nil, err
	}
	message, err := erasureMessage(progress)
	return &pb.EraseResponse{Erasure: message}, err
}

// GetErasure implements callseal.v1.ErasureService.
func (s *erasureService) GetErasure(_ context.Context, request *pb.GetErasureRequest) (*pb.GetErasureResponse, error) {
	progress, err := s.eraser.Get(recordName(request.GetRecord()))
	if err != nil {
		return nil, err
	}
	message, err := erasureMessage(progress)
	return &pb.GetErasureResponse{Erasure: message}, err
}

func recordName(message *pb.RecordName) erasure.Record {
	record := erasure.Record{PBX: message.GetPbx()}
	if leg := message.GetLeg(); leg != nil {
		named := legID(leg)
		record.Call = &named
	}
	if recording := message.GetRecording(); recording != nil {
		record.Recording = &ledger.RecordingID{ID: recording.GetId(), Revision: recording.GetRevision()}
		if record.Recording.Revision == 0 {
			record.Recording.Revision = 1
		}
	}
	return record
}

func erasureMessage(progress *erasure.Progress) (*pb.Erasure, error) {
	asked := &progress.Request
	message := &pb.Erasure{Record: &pb.RecordName{Pbx: asked.PBX}, Pending: progress.Pending}
	if asked.Call != nil {
		message.Record.Record = &pb.RecordName_Leg{Leg: legMessage(*asked.Call)}
	} else {
		message.Record.Record = &pb.RecordName_Recording{Recording: &pb.RecordingName{Id: asked.Recording.ID, Revision: asked.Recording.Revision}}
	}
	if !progress.KeyDestroyedAt.IsZero() {
		message.KeyDestroyedAt = timestamppb.New(progress.KeyDestroyedAt)
	}
	if progress.Done() {
		message.PurgedAt = timestamppb.New(progress.PurgedAt)
	}
	if progress.Purged.TransactionID != "" {
		message.PurgedBy = commitMessage(progress.Purged)
		message.CompactionDueSince = message.PurgedAt
	}
	stated := asked.Reason
	if progress.Statement != nil {
		var err error
		if message.ErasureJson, err = ledger.Canonical(progress.Statement); err != nil {
			return nil, err
		}
		details := progress.Statement.Details
		stated = details.Reason
		message.StatedAt, message.KeyCommitment, message.SealedDigest = timestamp(details.At), details.KeyCommitment, details.SealedDigest
	}
	if progress.Stated.TransactionID != "" {
		message.StatedBy = commitMessage(progress.Stated)
	}
	for reason, word := range eraseReasons {
		if word == stated {
			message.Reason = reason
		}
	}
	return message, nil
}
