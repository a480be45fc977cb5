package server

import (
	"context"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/fault"
	"github.com/callseal/callseal/gateway/index"
)

// searchService answers lists from the index.
type searchService struct {
	pb.UnimplementedSearchServiceServer
	msp   string
	index *index.Index // nil where the gateway has none
}

// ready answers a fault where there is no index to ask.
func (s *searchService) ready() error {
	if s.index == nil {
		return fault.New(fault.State, "this gateway has no index: ask for single records")
	}
	if trouble := s.index.Trouble(); trouble != nil && fault.Of(trouble).Kind == fault.State {
		return trouble
	}
	return nil
}

// confine narrows what an adapter asks for to its own PBX.
func confine(ctx context.Context, ownMSP string, msp, pbx *string) error {
	who := callerFrom(ctx)
	if who.role != ledger.RoleAdapter {
		return nil
	}
	if *pbx == "" {
		*pbx = who.pbx
	}
	if *msp == "" {
		*msp = ownMSP
	}
	if *msp != ownMSP {
		return fault.New(fault.Denied, "an adapter reads its own operator's PBX, which is of %s", ownMSP)
	}
	return authorizePBX(who, *pbx)
}

func pageOf(message *pb.PageRequest) index.Page {
	return index.Page{Size: int(message.GetPageSize()), Token: message.GetPageToken(), Ascending: message.GetAscending()}
}

func spanOf(message *pb.TimeSpan) index.Span {
	bound := func(at *timestamppb.Timestamp) ledger.Time {
		if at == nil {
			return ledger.Time{}
		}
		return ledger.TimeOf(at.AsTime())
	}
	return index.Span{From: bound(message.GetFrom()), To: bound(message.GetTo())}
}

// millis is a time of a row; nil for one that is not set or has no end.
func millis(ms int64) *timestamppb.Timestamp {
	if ms == 0 || ms >= ledger.MaxInteger {
		return nil
	}
	return timestamppb.New(time.UnixMilli(ms))
}

// onlyOf says whether a mask is there and names none of the fields.
func onlyOf(mask *fieldmaskpb.FieldMask, fields ...string) bool {
	for _, path := range mask.GetPaths() {
		for _, field := range fields {
			if path == field || strings.HasPrefix(field, path+".") || strings.HasPrefix(path, field+".") {
				return false
			}
		}
	}
	return len(mask.GetPaths()) > 0
}

// maskedRows leaves each row the fields that are wanted, below the first level too.
func maskedRows[T proto.Message](mask *fieldmaskpb.FieldMask, rows []T) {
	if len(mask.GetPaths()) == 0 {
		return
	}
	wanted := &fieldmaskpb.FieldMask{Paths: mask.GetPaths()}
	wanted.Normalize()
	for _, row := range rows {
		masked(wanted, row)
		below := map[string]*fieldmaskpb.FieldMask{}
		for _, path := range wanted.GetPaths() {
			if first, rest, deep := strings.Cut(path, "."); deep {
				if below[first] == nil {
					below[first] = &fieldmaskpb.FieldMask{}
				}
				below[first].Paths = append(below[first].Paths, rest)
			}
		}
		reflected := row.ProtoReflect()
		for first, rest := range below {
			field := reflected.Descriptor().Fields().ByTextName(first)
			if reflected.Has(field) {
				masked(rest, reflected.Get(field).Message().Interface())
			}
		}
	}
}

// SearchCalls implements callseal.v1.SearchService.
func (s *searchService) SearchCalls(ctx context.Context, request *pb.SearchCallsRequest) (*pb.SearchCallsResponse, error) {
	if err := s.ready(); err != nil {
		return nil, err
	}
	by := index.CallFilter{
		MSP: request.GetMsp(), PBX: request.GetPbx(), LinkedID: request.GetLinkedid(), PartyRef: request.GetPartyRef(), CallRef: request.GetCallRef(),
		Disposition: request.GetDisposition(), Direction: request.GetDirection(), Held: request.GetHeld(), Erased: request.GetErased(),
		Corrected: request.GetCorrected(), Start: spanOf(request.GetStart()), At: ledger.TimeOf(time.Now()),
	}
	if err := confine(ctx, s.msp, &by.MSP, &by.PBX); err != nil {
		return nil, err
	}
	if err := checkMask(request.GetFields(), &pb.FoundCall{}); err != nil {
		return nil, err
	}
	page := pageOf(request.GetPage())
	page.Values = !onlyOf(request.GetFields(), "call.record_json", "call.details_digest", "call.software", "call.observed", "call.attestation", "call.boot", "call.clock_offset_ms", "call.verdict")
	listed, err := s.index.Calls(ctx, by, page)
	if err != nil {
		return nil, err
	}
	response := &pb.SearchCallsResponse{NextPageToken: listed.Next, AsOfHeight: listed.Height}
	if response.Calls, err = foundCalls(listed.Rows, by.At); err != nil {
		return nil, err
	}
	maskedRows(request.GetFields(), response.GetCalls())
	return response, nil
}

func foundCalls(rows []index.Call, now ledger.Time) ([]*pb.FoundCall, error) {
	found := make([]*pb.FoundCall, len(rows))
	for i := range rows {
		row := &rows[i]
		found[i] = &pb.FoundCall{Corrections: row.Corrections, Erased: row.Erased, Held: row.HeldUntilMS > now.UnixMilli()}
		if found[i].GetHeld() {
			found[i].HeldUntil = millis(row.HeldUntilMS)
		}
		if row.Value == nil {
			found[i].Call = &pb.Call{
				Place: &pb.Place{Msp: row.MSP, Pbx: row.PBX, Epoch: row.Epoch, Seq: row.Seq, Segment: row.Segment}, Leg: legMessage(row.Leg),
				Start: millis(row.StartMS), Answer: millis(row.AnswerMS), End: millis(row.EndMS), DurationMs: row.DurationMS, BillsecMs: row.BillsecMS,
				Disposition: row.Disposition, HangupCause: row.HangupCause, Direction: row.Direction, Technology: row.Technology,
				RecordingDue: row.RecordingDue, CallerRef: row.CallerRef, CalleeRef: row.CalleeRef, CallRef: row.CallRef,
			}
			continue
		}
		record, err := decodeRecord(row.Value)
		if err != nil {
			return nil, err
		}
		if found[i].Call, err = callMessage(record, row.Value); err != nil {
			return nil, err
		}
	}
	return found, nil
}

var recordingStates = map[pb.RecordingState]index.RecordingState{
	pb.RecordingState_RECORDING_STATE_ANCHORED: index.Anchored, pb.RecordingState_RECORDING_STATE_GAP: index.Gap,
	pb.RecordingState_RECORDING_STATE_RETAINED: index.Retained, pb.RecordingState_RECORDING_STATE_HELD: index.Held,
	pb.RecordingState_RECORDING_STATE_ERASED: index.Erased,
}

// SearchRecordings implements callseal.v1.SearchService.
func (s *searchService) SearchRecordings(ctx context.Context, request *pb.SearchRecordingsRequest) (*pb.SearchRecordingsResponse, error) {
	if err := s.ready(); err != nil {
		return nil, err
	}
	by := index.RecordingFilter{
		MSP: request.GetMsp(), PBX: request.GetPbx(), LinkedID: request.GetLinkedid(), SHA256: request.GetSha256(),
		State: recordingStates[request.GetState()], Closed: spanOf(request.GetClosed()), At: ledger.TimeOf(time.Now()),
	}
	if err := confine(ctx, s.msp, &by.MSP, &by.PBX); err != nil {
		return nil, err
	}
	if err := checkMask(request.GetFields(), &pb.FoundRecording{}); err != nil {
		return nil, err
	}
	page := pageOf(request.GetPage())
	page.Values = !onlyOf(request.GetFields(), "recording.record_json", "recording.details_digest", "recording.sha512", "recording.place",
		"recording.pauses", "recording.retention_until", "recording.segment_root", "recording.vault_manifest")
	listed, err := s.index.Recordings(ctx, by, page)
	if err != nil {
		return nil, err
	}
	response := &pb.SearchRecordingsResponse{NextPageToken: listed.Next, AsOfHeight: listed.Height}
	for i := range listed.Rows {
		found, err := foundRecording(&listed.Rows[i], by.At)
		if err != nil {
			return nil, err
		}
		response.Recordings = append(response.Recordings, found)
	}
	maskedRows(request.GetFields(), response.GetRecordings())
	return response, nil
}

func foundRecording(row *index.Recording, now ledger.Time) (*pb.FoundRecording, error) {
	found := &pb.FoundRecording{DetailsErased: row.ErasedDetails, AudioErased: row.ErasedAudio, RetentionUntil: millis(row.UntilMS)}
	if row.HeldUntilMS > now.UnixMilli() {
		found.HeldUntil = millis(row.HeldUntilMS)
	}
	for _, is := range row.States(now) {
		for message, state := range recordingStates {
			if state == is {
				found.States = append(found.States, message)
			}
		}
	}
	if row.Value == nil {
		found.Recording = &pb.Recording{
			Id: row.ID, Revision: row.Revision, Leg: legMessage(row.Leg), Sha256: row.SHA256, Bytes: row.Bytes, MediaType: row.MediaType,
			Method: row.Method, ClosedAt: millis(row.ClosedMS),
		}
		return found, nil
	}
	record, err := decodeRecord(row.Value)
	if err != nil {
		return nil, err
	}
	found.Recording, err = recordingMessage(record, row.Value)
	return found, err
}

// SearchSubjects implements callseal.v1.SearchService.
func (s *searchService) SearchSubjects(ctx context.Context, request *pb.SearchSubjectsRequest) (*pb.SearchSubjectsResponse, error) {
	if err := s.ready(); err != nil {
		return nil, err
	}
	if err := checkMask(request.GetFields(), &pb.FoundSubject{}); err != nil {
		return nil, err
	}
	by := index.SubjectFilter{Epoch: request.GetEpoch(), Type: request.GetType(), MinScore: request.GetMinScore(), MaxScore: request.GetMaxScore()}
	for word, message := range standings {
		if message == request.GetStanding() {
			by.Standing = word
		}
	}
	listed, err := s.index.Subjects(ctx, by, pageOf(request.GetPage()))
	if err != nil {
		return nil, err
	}
	response := &pb.SearchSubjectsResponse{NextPageToken: listed.Next, AsOfHeight: listed.Height}
	withNow := !onlyOf(request.GetFields(), "now")
	now := ledger.TimeOf(time.Now())
	for i := range listed.Rows {
		row := &listed.Rows[i]
		found := &pb.FoundSubject{Then: &pb.Reputation{
			Subject: row.Subject, Epoch: row.Epoch, Score: row.Score, Standing: standings[row.Standing], Blocks: row.Standing.Blocks(),
			At: millis(row.AtMS), Until: millis(row.UntilMS), Holders: row.Holders,
		}}
		if withNow {
			merged, _, err := s.index.Reputation(ctx, row.Epoch, row.Subject, now)
			if err != nil {
				return nil, err
			}
			text, err := ledger.Canonical(merged)
			if err != nil {
				return nil, err
			}
			found.Now = reputationMessage(merged, text)
		}
		response.Subjects = append(response.Subjects, found)
	}
	maskedRows(request.GetFields(), response.GetSubjects())
	return response, nil
}

// SearchEntries implements callseal.v1.SearchService.
func (s *searchService) SearchEntries(ctx context.Context, request *pb.SearchEntriesRequest) (*pb.SearchEntriesResponse, error) {
	if err := s.ready(); err != nil {
		return nil, err
	}
	if err := checkMask(request.GetFields(), &pb.Entry{}); err != nil {
		return nil, err
	}
	by := index.EntryFilter{
		MSP: request.GetMsp(), PBX: request.GetPbx(), Is: request.GetIs(), Status: request.GetStatus(), PartyRef: request.GetPartyRef(), Subject: request.GetSubject(),
		Against: request.GetAgainst(), AORRef: request.GetAorRef(), FingerprintRef: request.GetFingerprintRef(), Broken: request.GetBroken(), At: spanOf(request.GetAt()),
	}
	kind := index.Kind(request.GetKind())
	if index.OfPBX(kind) { // the rest belongs to no PBX, and every role may read it
		if err := confine(ctx, s.msp, &by.MSP, &by.PBX); err != nil {
			return nil, err
		}
	}
	listed, err := s.index.Entries(ctx, kind, by, pageOf(request.GetPage()))
	if err != nil {
		return nil, err
	}
	response := &pb.SearchEntriesResponse{NextPageToken: listed.Next, AsOfHeight: listed.Height}
	for i := range listed.Rows {
		row := &listed.Rows[i]
		response.Entries = append(response.Entries, &pb.Entry{
			Kind: string(row.Kind), Msp: row.MSP, Pbx: row.PBX, At: millis(row.AtMS), TransactionId: row.TransactionID, Cursor: cursorMessage(row.Cursor), ValueJson: row.Value,
		})
	}
	maskedRows(request.GetFields(), response.GetEntries())
	return response, nil
}

// ListConversationLegs implements callseal.v1.SearchService.
func (s *searchService) ListConversationLegs(ctx context.Context, request *pb.ListConversationLegsRequest) (*pb.ListConversationLegsResponse, error) {
	if err := s.ready(); err != nil {
		return nil, err
	}
	if err := checkMask(request.GetFields(), &pb.FoundCall{}); err != nil {
		return nil, err
	}
	msp, pbx := request.GetMsp(), request.GetPbx()
	if msp == "" {
		msp = s.msp
	}
	if err := confine(ctx, s.msp, &msp, &pbx); err != nil {
		return nil, err
	}
	legs, cut, height, err := s.index.Legs(ctx, msp, pbx, request.GetLinkedid())
	if err != nil {
		return nil, err
	}
	found, err := foundCalls(legs, ledger.TimeOf(time.Now()))
	maskedRows(request.GetFields(), found)
	return &pb.ListConversationLegsResponse{Calls: found, Cut: cut, AsOfHeight: height}, err
}

// GetIndex implements callseal.v1.SearchService.
func (s *searchService) GetIndex(context.Context, *pb.GetIndexRequest) (*pb.GetIndexResponse, error) {
	if s.index == nil {
		return nil, fault.New(fault.State, "this gateway has no index")
	}
	response := &pb.GetIndexResponse{Height: s.index.Height(), PeerHeight: s.index.PeerHeight()}
	if trouble := s.index.Trouble(); trouble != nil {
		response.Trouble = fault.Of(trouble).Message
	}
	return response, nil
}
