package server

import (
	"github.com/go-json-experiment/json/jsontext"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/fault"
)

// This file turns the ledger's types into messages.

func decodeRecord(canonical []byte) (*ledger.Record, error) {
	record := &ledger.Record{}
	if err := ledger.DecodeStrict(canonical, record); err != nil {
		return nil, &fault.Error{Kind: fault.Internal, Stage: fault.StageEvaluate, Message: "a record on the ledger cannot be read by this version", Err: err}
	}
	return record, nil
}

func timestamp(t ledger.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t.Std())
}

func placeMessage(record *ledger.Record) *pb.Place {
	return &pb.Place{Msp: record.MSP, Pbx: record.PBX, Epoch: record.Epoch, Seq: record.Seq, Segment: record.Segment}
}

func legMessage(leg ledger.LegID) *pb.LegId {
	return &pb.LegId{Linkedid: leg.LinkedID, Uniqueid: leg.UniqueID, Sequence: leg.Sequence}
}

func legID(message *pb.LegId) ledger.LegID {
	return ledger.LegID{LinkedID: message.GetLinkedid(), UniqueID: message.GetUniqueid(), Sequence: message.GetSequence()}
}

func callMessage(record *ledger.Record, canonical []byte) (*pb.Call, error) {
	call := record.Call
	if call == nil {
		return nil, fault.New(fault.Internal, "the record on the ledger is not a call")
	}
	message := &pb.Call{
		Place: placeMessage(record), Leg: legMessage(call.Leg),
		Start: timestamp(call.Start), Answer: timestamp(call.Answer), End: timestamp(call.End),
		DurationMs: call.DurationMS, BillsecMs: call.BillsecMS,
		Disposition: call.Disposition, HangupCause: call.HangupCause, Direction: call.Direction,
		Technology: call.Technology, RecordingDue: call.RecordingDue,
		CallerRef: call.CallerRef, CalleeRef: call.CalleeRef, DetailsDigest: call.DetailsDigest,
		Software: call.Software, RecordJson: canonical,
		Attestation: call.Attestation, Boot: call.Boot, CallRef: call.CallRef, ClockOffsetMs: call.ClockOffsetMS, Verdict: call.Verdict,
	}
	if call.Observed != nil {
		message.Observed = &pb.Observed{Start: timestamp(call.Observed.Start), Answer: timestamp(call.Observed.Answer), End: timestamp(call.Observed.End)}
	}
	return message, nil
}

func recordingMessage(record *ledger.Record, canonical []byte) (*pb.Recording, error) {
	recording := record.Recording
	if recording == nil {
		return nil, fault.New(fault.Internal, "the record on the ledger is not a recording")
	}
	message := &pb.Recording{
		Place: placeMessage(record), Id: recording.ID, Revision: recording.Revision, Leg: legMessage(recording.Leg),
		Sha256: recording.SHA256, Sha512: recording.SHA512, Bytes: recording.Bytes, MediaType: recording.MediaType,
		Method: recording.Method, ClosedAt: timestamp(recording.ClosedAt), DetailsDigest: recording.DetailsDigest,
		RecordJson: canonical, RetentionUntil: timestamp(recording.RetentionUntil), SegmentRoot: recording.SegmentRoot, VaultManifest: recording.VaultManifest,
	}
	for _, pause := range recording.Pauses {
		message.Pauses = append(message.Pauses, &pb.Pause{FromMs: pause.FromMS, Reason: pause.Reason, ToMs: pause.ToMS})
	}
	return message, nil
}

func linkMessage(record *ledger.Record, canonical []byte) (*pb.Link, error) {
	link := record.Link
	if link == nil {
		return nil, fault.New(fault.Internal, "the record on the ledger is not a link")
	}
	message := &pb.Link{Place: placeMessage(record), Kind: link.Kind, At: timestamp(link.At), From: link.From, To: link.To, RecordJson: canonical}
	if link.FromLeg != nil {
		message.FromLeg = legMessage(*link.FromLeg)
	}
	if link.ToLeg != nil {
		message.ToLeg = legMessage(*link.ToLeg)
	}
	return message, nil
}

func omissionMessage(record *ledger.Record, canonical []byte) (*pb.Omission, error) {
	omission := record.Omission
	if omission == nil {
		return nil, fault.New(fault.Internal, "the record on the ledger is not an omission")
	}
	return &pb.Omission{Place: placeMessage(record), Leg: legMessage(omission.Leg), At: timestamp(omission.At), Reason: omission.Reason, RecordJson: canonical}, nil
}

func progressMessage(record *ledger.Record, canonical []byte) (*pb.Progress, error) {
	progress := record.Progress
	if progress == nil {
		return nil, fault.New(fault.Internal, "the record on the ledger is not a call's progress")
	}
	return &pb.Progress{
		Place: placeMessage(record), Linkedid: progress.LinkedID, Uniqueid: progress.UniqueID, State: progress.State, At: timestamp(progress.At), RecordJson: canonical,
	}, nil
}

// recordMessages makes messages of records in canonical form.
func recordMessages[M any](stored []jsontext.Value, message func(*ledger.Record, []byte) (M, error)) ([]M, error) {
	var messages []M
	for _, canonical := range stored {
		record, err := decodeRecord(canonical)
		if err != nil {
			return nil, err
		}
		one, err := message(record, canonical)
		if err != nil {
			return nil, err
		}
		messages = append(messages, one)
	}
	return messages, nil
}

func commitMessage(commit fabric.Commit) *pb.Commit {
	return &pb.Commit{TransactionId: commit.TransactionID, Block: commit.Block, Endorsers: commit.Endorsers, ValidationCode: commit.Validation}
}

var outcomes = map[ledger.Outcome]pb.Outcome{
	ledger.OutcomeAnchored: pb.Outcome_OUTCOME_ANCHORED,
	ledger.OutcomeAlready:  pb.Outcome_OUTCOME_ALREADY_ANCHORED,
	ledger.OutcomeConflict: pb.Outcome_OUTCOME_CONFLICT,
}
