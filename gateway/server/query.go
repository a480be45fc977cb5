package server

import (
	"context"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/fault"
	"github.com/callseal/callseal/gateway/seal"
)

// defaultPageSize is a page of calls when none is asked for.
const defaultPageSize = 50

// reader answers queries from the own peer's state.
type reader struct {
	channel *fabric.Channel
	keyring *seal.Keyring
}

// mspOr is the MSP asked for, or the own.
func (r *reader) mspOr(msp string) string {
	if msp == "" {
		return r.channel.MSP()
	}
	return msp
}

// list runs a query that answers a JSON array and hands on its elements.
func (r *reader) list(ctx context.Context, function string, args ...string) ([]jsontext.Value, error) {
	result, err := r.channel.Evaluate(ctx, function, args...)
	if err != nil {
		return nil, err
	}
	var elements []jsontext.Value
	if err := json.Unmarshal(result, &elements); err != nil {
		return nil, fmt.Errorf("read the contract's answer: %w", err)
	}
	return elements, nil
}

// details opens the sealed details of a record and checks that they are those
// the record binds.
func (r *reader) details(ctx context.Context, record *ledger.Record) ([]byte, error) {
	var stored []byte
	var err error
	if call := record.Call; call != nil {
		stored, err = r.channel.Evaluate(ctx, "details:GetCall", record.MSP, record.PBX, call.Leg.LinkedID, call.Leg.UniqueID, fmt.Sprint(call.Leg.Sequence))
	} else {
		stored, err = r.channel.Evaluate(ctx, "details:GetRecording", record.MSP, record.PBX, record.Recording.ID, fmt.Sprint(record.Recording.Revision))
	}
	if err != nil {
		return nil, err
	}
	var sealed ledger.Sealed
	if err := ledger.DecodeStrict(stored, &sealed); err != nil {
		return nil, fmt.Errorf("read the sealed details: %w", err)
	}
	details, err := r.keyring.Unseal(record.Key(), &sealed)
	if err != nil {
		return nil, &fault.Error{Kind: fault.NotFound, Stage: fault.StageEvaluate, Message: "the details cannot be opened", Err: err}
	}
	if ledger.Digest(details) != record.DetailsDigest() {
		return nil, fault.New(fault.Internal, "the stored details are not those the record binds: they were altered")
	}
	return details, nil
}

// call makes a message of a leg, with its details where asked.
func (r *reader) call(ctx context.Context, canonical []byte, withDetails bool) (*pb.Call, error) {
	record, err := decodeRecord(canonical)
	if err != nil {
		return nil, err
	}
	message, err := callMessage(record, canonical)
	if err != nil || !withDetails {
		return message, err
	}
	message.DetailsJson, err = r.details(ctx, record)
	return message, err
}

type callService struct {
	pb.UnimplementedCallServiceServer
	writer
}

// GetCall implements callseal.v1.CallService.
func (s *callService) GetCall(ctx context.Context, request *pb.GetCallRequest) (*pb.GetCallResponse, error) {
	msp := s.mspOr(request.GetMsp())
	if err := s.permit(ctx, msp, request.GetPbx(), request.GetIncludeDetails()); err != nil {
		return nil, err
	}
	leg := legID(request.GetLeg())
	if err := leg.Check(); err != nil {
		return nil, err
	}
	stored, err := s.channel.Evaluate(ctx, "calls:Get", msp, request.GetPbx(), leg.LinkedID, leg.UniqueID, fmt.Sprint(leg.Sequence))
	if err != nil {
		return nil, err
	}
	call, err := s.call(ctx, stored, request.GetIncludeDetails())
	if err != nil {
		return nil, err
	}
	return &pb.GetCallResponse{Call: call}, nil
}

// ListLegs implements callseal.v1.CallService.
func (s *callService) ListLegs(ctx context.Context, request *pb.ListLegsRequest) (*pb.ListLegsResponse, error) {
	msp := s.mspOr(request.GetMsp())
	if err := s.permit(ctx, msp, request.GetPbx(), request.GetIncludeDetails()); err != nil {
		return nil, err
	}
	if err := checkMask(request.GetFields(), &pb.Call{}); err != nil {
		return nil, err
	}
	stored, err := s.list(ctx, "calls:ByLinkedID", msp, request.GetPbx(), request.GetLinkedid())
	if err != nil {
		return nil, err
	}
	response := &pb.ListLegsResponse{}
	for _, canonical := range stored {
		call, err := s.call(ctx, canonical, request.GetIncludeDetails())
		if err != nil {
			return nil, err
		}
		response.Calls = append(response.Calls, call)
	}
	maskedRows(request.GetFields(), response.GetCalls())
	return response, nil
}

// ListCalls implements callseal.v1.CallService.
func (s *callService) ListCalls(ctx context.Context, request *pb.ListCallsRequest) (*pb.ListCallsResponse, error) {
	msp := s.mspOr(request.GetMsp())
	if err := s.permit(ctx, msp, request.GetPbx(), false); err != nil {
		return nil, err
	}
	if err := checkMask(request.GetFields(), &pb.Call{}); err != nil {
		return nil, err
	}
	size := request.GetPageSize()
	if size == 0 {
		size = defaultPageSize
	}
	result, err := s.channel.Evaluate(ctx, "calls:List", msp, request.GetPbx(), fmt.Sprint(size), request.GetPageToken())
	if err != nil {
		return nil, err
	}
	var page struct {
		Bookmark string           `json:"bookmark"`
		Records  []jsontext.Value `json:"records"`
	}
	if err := json.Unmarshal(result, &page); err != nil {
		return nil, fmt.Errorf("read the contract's answer: %w", err)
	}
	calls, err := recordMessages(page.Records, callMessage)
	if err != nil {
		return nil, err
	}
	maskedRows(request.GetFields(), calls)
	return &pb.ListCallsResponse{Calls: calls, NextPageToken: page.Bookmark}, nil
}

// permit checks what the method table cannot: whose PBX, whose details.
func (r *reader) permit(ctx context.Context, msp, pbx string, withDetails bool) error {
	who := callerFrom(ctx)
	if err := authorizePBX(who, pbx); err != nil {
		return err
	}
	if withDetails {
		return authorizeDetails(who, r.channel.MSP(), msp)
	}
	return nil
}

type recordingService struct {
	pb.UnimplementedRecordingServiceServer
	writer
}

// GetRecording implements callseal.v1.RecordingService.
func (s *recordingService) GetRecording(ctx context.Context, request *pb.GetRecordingRequest) (*pb.GetRecordingResponse, error) {
	msp := s.mspOr(request.GetMsp())
	if err := s.permit(ctx, msp, request.GetPbx(), request.GetIncludeDetails()); err != nil {
		return nil, err
	}
	stored, err := s.channel.Evaluate(ctx, "recordings:Get", msp, request.GetPbx(), request.GetId(), fmt.Sprint(max(1, request.GetRevision())))
	if err != nil {
		return nil, err
	}
	record, err := decodeRecord(stored)
	if err != nil {
		return nil, err
	}
	message, err := recordingMessage(record, stored)
	if err != nil {
		return nil, err
	}
	if request.GetIncludeDetails() {
		if message.DetailsJson, err = s.details(ctx, record); err != nil {
			return nil, err
		}
	}
	return &pb.GetRecordingResponse{Recording: message}, nil
}

// ListRecordings implements callseal.v1.RecordingService.
func (s *recordingService) ListRecordings(ctx context.Context, request *pb.ListRecordingsRequest) (*pb.ListRecordingsResponse, error) {
	msp := s.mspOr(request.GetMsp())
	if err := s.permit(ctx, msp, request.GetPbx(), false); err != nil {
		return nil, err
	}
	found, err := s.recordings(ctx, request.GetFields(), "recordings:ByLinkedID", msp, request.GetPbx(), request.GetLinkedid())
	return &pb.ListRecordingsResponse{Recordings: found}, err
}

// FindRecordings implements callseal.v1.RecordingService.
func (s *recordingService) FindRecordings(ctx context.Context, request *pb.FindRecordingsRequest) (*pb.FindRecordingsResponse, error) {
	found, err := s.recordings(ctx, request.GetFields(), "recordings:BySHA256", request.GetSha256())
	return &pb.FindRecordingsResponse{Recordings: found}, err
}

func (s *recordingService) recordings(ctx context.Context, wanted *fieldmaskpb.FieldMask, function string, args ...string) ([]*pb.Recording, error) {
	if err := checkMask(wanted, &pb.Recording{}); err != nil {
		return nil, err
	}
	stored, err := s.list(ctx, function, args...)
	if err != nil {
		return nil, err
	}
	found, err := recordMessages(stored, recordingMessage)
	if err != nil {
		return nil, err
	}
	maskedRows(wanted, found)
	return found, nil
}

type ledgerService struct {
	pb.UnimplementedLedgerServiceServer
	reader
}

// GetSegment implements callseal.v1.LedgerService.
func (s *ledgerService) GetSegment(ctx context.Context, request *pb.GetSegmentRequest) (*pb.GetSegmentResponse, error) {
	msp := s.mspOr(request.GetMsp())
	if err := s.permit(ctx, msp, request.GetPbx(), false); err != nil {
		return nil, err
	}
	stored, err := s.channel.Evaluate(ctx, "calls:Segment", msp, request.GetPbx(), fmt.Sprint(request.GetEpoch()), fmt.Sprint(request.GetFirstSeq()))
	if err != nil {
		return nil, err
	}
	var anchored ledger.AnchoredSegment
	if err := ledger.DecodeStrict(stored, &anchored); err != nil {
		return nil, fmt.Errorf("read the segment: %w", err)
	}
	commit, err := s.channel.Commit(ctx, anchored.TxID)
	if err != nil {
		return nil, err
	}
	return &pb.GetSegmentResponse{SegmentJson: stored, Commit: commitMessage(commit), AnchoredAt: timestamp(anchored.AnchoredAt)}, nil
}

// ListIncidents implements callseal.v1.LedgerService.
func (s *ledgerService) ListIncidents(ctx context.Context, request *pb.ListIncidentsRequest) (*pb.ListIncidentsResponse, error) {
	msp := s.mspOr(request.GetMsp())
	if err := s.permit(ctx, msp, request.GetPbx(), false); err != nil {
		return nil, err
	}
	stored, err := s.list(ctx, "calls:Incidents", msp, request.GetPbx())
	if err != nil {
		return nil, err
	}
	response := &pb.ListIncidentsResponse{}
	for _, canonical := range stored {
		var incident ledger.Incident
		if err := ledger.DecodeStrict(canonical, &incident); err != nil {
			return nil, fmt.Errorf("read the incident: %w", err)
		}
		response.Incidents = append(response.Incidents, &pb.Incident{
			Kind: incident.Kind, At: timestamp(incident.At), StoredDigest: incident.StoredDigest,
			OfferedDigest: incident.OfferedDigest, Signer: incident.Signer, TransactionId: incident.TxID,
			Sources: incident.Sources, Key: incident.Key,
		})
	}
	return response, nil
}
