package server

import (
	"context"
	"strconv"

	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/anchor"
	"github.com/callseal/callseal/gateway/fault"
	"github.com/callseal/callseal/gateway/journal"
)

// entriesPage is how many entries a page has where the request does not say.
const entriesPage = 50

// outboxService shows the journal, and replays what was refused.
type outboxService struct {
	pb.UnimplementedOutboxServiceServer
	journal  *journal.Journal
	pipeline *anchor.Pipeline
}

// entryStates are the messages' words for the journal's.
var entryStates = map[journal.State]pb.EntryState{
	journal.Queued: pb.EntryState_ENTRY_STATE_QUEUED, journal.Committed: pb.EntryState_ENTRY_STATE_COMMITTED,
	journal.Settled: pb.EntryState_ENTRY_STATE_SETTLED, journal.Refused: pb.EntryState_ENTRY_STATE_REFUSED,
}

// ListEntries implements callseal.v1.OutboxService.
func (s *outboxService) ListEntries(_ context.Context, request *pb.ListEntriesRequest) (*pb.ListEntriesResponse, error) {
	filter := journal.Filter{PBX: request.GetPbx()}
	for state, named := range entryStates {
		if named == request.GetState() {
			filter.State = state
		}
	}
	after := int64(0)
	if token := request.GetPageToken(); token != "" {
		var err error
		if after, err = strconv.ParseInt(token, 10, 64); err != nil {
			return nil, fault.New(fault.Invalid, "page_token is none that was answered: begin without one")
		}
	}
	size := int(request.GetPageSize())
	if size == 0 {
		size = entriesPage
	}
	entries, next, err := s.journal.List(filter, after, size)
	if err != nil {
		return nil, err
	}
	response := &pb.ListEntriesResponse{}
	for i := range entries {
		response.Entries = append(response.Entries, entryMessage(&entries[i]))
	}
	if next > 0 {
		response.NextPageToken = strconv.FormatInt(next, 10)
	}
	return response, nil
}

// GetEntry implements callseal.v1.OutboxService.
func (s *outboxService) GetEntry(_ context.Context, request *pb.GetEntryRequest) (*pb.GetEntryResponse, error) {
	entry, err := s.journal.Entry(request.GetNumber())
	if err != nil {
		return nil, err
	}
	response := &pb.GetEntryResponse{Entry: entryMessage(entry)}
	if entry.State == journal.Settled {
		return response, nil
	}
	payload, err := s.journal.Payload(entry.Number)
	if err != nil {
		if fault.Of(err).Kind == fault.NotFound {
			return response, nil // settled meanwhile
		}
		return nil, err
	}
	header, err := anchor.HeaderOf(payload)
	if err != nil {
		return nil, err
	}
	response.SegmentJson, err = ledger.Canonical(header)
	return response, err
}

// ReplayEntries implements callseal.v1.OutboxService.
func (s *outboxService) ReplayEntries(ctx context.Context, request *pb.ReplayEntriesRequest) (*pb.ReplayEntriesResponse, error) {
	if err := s.pipeline.Replay(ctx, request.GetNumbers()...); err != nil {
		return nil, err
	}
	response := &pb.ReplayEntriesResponse{}
	for _, number := range request.GetNumbers() {
		entry, err := s.journal.Entry(number)
		if err != nil {
			return nil, err
		}
		response.Entries = append(response.Entries, entryMessage(entry))
	}
	return response, nil
}

func entryMessage(entry *journal.Entry) *pb.OutboxEntry {
	message := &pb.OutboxEntry{
		Number: entry.Number, Pbx: entry.Name.PBX, Epoch: entry.Name.Epoch, FirstSeq: entry.Name.FirstSeq,
		Records: int32(entry.Records), Bytes: int64(entry.Bytes), AcceptedAt: timestamppb.New(entry.AcceptedAt), //nolint:gosec // at most 500
		State: entryStates[entry.State], Attempts: int32(min(entry.Attempts, 1<<30)), TransactionId: entry.Transaction, //nolint:gosec // bounded
	}
	if entry.Commit != nil {
		message.Commit = &pb.Commit{
			TransactionId: entry.Commit.TransactionID, Block: entry.Commit.Block, Endorsers: entry.Commit.Endorsers, ValidationCode: "VALID",
		}
	}
	switch {
	case entry.State == journal.Refused:
		message.Problem = problemMessage(anchor.RefusedBefore(entry))
	case entry.Problem != nil:
		message.Problem = problemMessage(entry.Problem.Fault())
	}
	return message
}
