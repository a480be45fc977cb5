package server_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/gatewaytest"
	"github.com/callseal/callseal/gateway/mirror"
)

// followed waits until an operator's gateway has a commit in its index.
func (w *world) followed(t *testing.T, operator string, commit *pb.Commit) {
	t.Helper()
	index := pb.NewSearchServiceClient(w.as(t, operator, auditor))
	require.Eventually(t, func() bool {
		answer, err := index.GetIndex(t.Context(), &pb.GetIndexRequest{})
		return err == nil && answer.GetHeight() > commit.GetBlock()
	}, patience, 10*time.Millisecond)
}

func testDevices(t *testing.T, w *world) {
	devices, reader := pb.NewDeviceServiceClient(w.as(t, atlas, admin)), pb.NewDeviceServiceClient(w.as(t, atlas, auditor))
	const aor = "sip:600@pbx.atlas.example"
	made, err := devices.RegisterDevice(t.Context(), &pb.RegisterDeviceRequest{Kind: ledger.DevicePhone, Identity: &pb.DeviceIdentity{Aors: []string{aor}, Label: "Reception"}})
	require.NoError(t, err)
	valid(t, made.GetCommit())
	id := made.GetDevice().GetId()
	for n, change := range []func() (*pb.Commit, error){
		func() (*pb.Commit, error) {
			answer, err := devices.SuspendDevice(t.Context(), &pb.SuspendDeviceRequest{Id: id, Reason: ledger.DeviceReasonLost})
			return answer.GetCommit(), err
		},
		func() (*pb.Commit, error) {
			answer, err := devices.ReinstateDevice(t.Context(), &pb.ReinstateDeviceRequest{Id: id, Reason: "recovered"})
			return answer.GetCommit(), err
		},
		func() (*pb.Commit, error) {
			answer, err := devices.RotateDevice(t.Context(), &pb.RotateDeviceRequest{Id: id, Reason: "scheduled", Identity: &pb.DeviceIdentity{Aors: []string{aor}}})
			return answer.GetCommit(), err
		},
		func() (*pb.Commit, error) {
			answer, err := devices.EraseDevice(t.Context(), &pb.EraseDeviceRequest{Id: id, Version: 1, Reason: "subject_request"})
			return answer.GetCommit(), err
		},
	} {
		commit, err := change()
		require.NoError(t, err, "change %d", n)
		valid(t, commit)
	}
	checked, err := reader.CheckDevice(t.Context(), &pb.CheckDeviceRequest{Aor: aor})
	require.NoError(t, err)
	require.Equal(t, ledger.VerdictRegistered, checked.GetVerdict().GetVerdict())
	found, err := reader.FindDevices(t.Context(), &pb.FindDevicesRequest{Aor: aor})
	require.NoError(t, err)
	require.Len(t, found.GetDevices(), 1)
	revoked, err := devices.RevokeDevice(t.Context(), &pb.RevokeDeviceRequest{Id: id, Reason: "decommissioned"})
	require.NoError(t, err)
	now, err := reader.GetDevice(t.Context(), &pb.GetDeviceRequest{Id: id})
	require.NoError(t, err)
	require.True(t, proto.Equal(revoked.GetDevice(), now.GetDevice()))
	first, err := reader.GetDeviceVersion(t.Context(), &pb.GetDeviceVersionRequest{Id: id, Version: 1})
	require.NoError(t, err)
	require.True(t, proto.Equal(made.GetDevice(), first.GetDevice()))
	versions, err := reader.ListDeviceVersions(t.Context(), &pb.ListDeviceVersionsRequest{Id: id})
	require.NoError(t, err)
	require.Len(t, versions.GetDevices(), 5)
	listed, err := reader.ListDevices(t.Context(), &pb.ListDevicesRequest{})
	require.NoError(t, err)
	require.Len(t, listed.GetDevices(), 1)
}

func testPolicies(t *testing.T, w *world) {
	policies := pb.NewPolicyServiceClient(w.as(t, atlas, admin))
	document := &pb.Policy{Reconciliation: &pb.ReconciliationPolicy{DurationMs: 2_000, LateMs: 86_400_000, StartMs: 5_000}}
	proposed, err := policies.ProposePolicy(t.Context(), &pb.ProposePolicyRequest{Policy: document})
	require.NoError(t, err)
	name, version, what := ledger.PolicyReconciliation, proposed.GetBallot().GetBallot().GetVersion(), proposed.GetBallot().GetBallot().GetDigest()
	withdrawn, err := policies.WithdrawVote(t.Context(), &pb.WithdrawVoteRequest{Name: name, Version: version, Digest: what})
	require.NoError(t, err)
	valid(t, withdrawn.GetCommit())
	again, err := policies.ProposePolicy(t.Context(), &pb.ProposePolicyRequest{Policy: document})
	require.NoError(t, err)
	require.Equal(t, what, again.GetBallot().GetBallot().GetDigest())
	enacted := again.GetCommit()
	for _, operator := range []string{borealis, corvus} {
		standing, err := policies.ListPolicyVersions(t.Context(), &pb.ListPolicyVersionsRequest{Name: name})
		require.NoError(t, err)
		if len(standing.GetEnactments()) > 0 {
			break // enough have voted
		}
		w.followed(t, operator, enacted)
		voted, err := pb.NewPolicyServiceClient(w.as(t, operator, admin)).VotePolicy(t.Context(), &pb.VotePolicyRequest{Name: name, Version: version, Digest: what})
		require.NoError(t, err, operator)
		enacted = voted.GetCommit()
		w.followed(t, atlas, enacted)
	}
	inForce, err := policies.GetPolicy(t.Context(), &pb.GetPolicyRequest{Name: name})
	require.NoError(t, err)
	require.Equal(t, version, inForce.GetPolicy().GetVersion())
	require.EqualValues(t, 86_400_000, inForce.GetPolicy().GetPolicy().GetReconciliation().GetLateMs())
	one, err := policies.GetPolicyVersion(t.Context(), &pb.GetPolicyVersionRequest{Name: name, Version: version})
	require.NoError(t, err)
	require.Equal(t, enacted.GetTransactionId(), one.GetEnactment().GetTxId())
	_, err = policies.ListBallots(t.Context(), &pb.ListBallotsRequest{})
	require.NoError(t, err)
}

func testErasures(t *testing.T, w *world) {
	erasures, pbx := pb.NewErasureServiceClient(w.as(t, atlas, compliance)), w.pbx(t, atlas)
	name := &pb.RecordName{Pbx: pbx, Record: &pb.RecordName_Leg{Leg: leg(w.told[atlas].second)}}
	erased, err := erasures.Erase(t.Context(), &pb.EraseRequest{Record: name, Reason: pb.ErasureReason_ERASURE_REASON_SUBJECT_REQUEST, EvidenceDigest: digest("cd")})
	require.NoError(t, err)
	valid(t, erased.GetErasure().GetStatedBy())
	again, err := erasures.GetErasure(t.Context(), &pb.GetErasureRequest{Record: name})
	require.NoError(t, err)
	require.True(t, proto.Equal(erased.GetErasure(), again.GetErasure()))
}

// testOutbox has a segment refused, because nobody enrolled who signed it.
func testOutbox(t *testing.T, w *world) {
	pbx := w.pbx(t, corvus)
	stranger := gatewaytest.New(t, "CorvusMSP", pbx)
	_, err := pb.NewAnchorServiceClient(w.as(t, corvus, pbx)).AnchorSegment(t.Context(), &pb.AnchorSegmentRequest{Segment: stranger.Segment(t, gatewaytest.Calls(t, 1))})
	refused(t, err, codes.PermissionDenied, "")
	outbox := pb.NewOutboxServiceClient(w.as(t, corvus, admin))
	listed, err := outbox.ListEntries(t.Context(), &pb.ListEntriesRequest{State: pb.EntryState_ENTRY_STATE_REFUSED})
	require.NoError(t, err)
	require.Len(t, listed.GetEntries(), 1)
	number := listed.GetEntries()[0].GetNumber()
	one, err := outbox.GetEntry(t.Context(), &pb.GetEntryRequest{Number: number})
	require.NoError(t, err)
	require.Equal(t, "PERMISSION_DENIED", one.GetEntry().GetProblem().GetReason())
	_, err = outbox.ReplayEntries(t.Context(), &pb.ReplayEntriesRequest{Numbers: []int64{number}})
	require.NoError(t, err)
}

func testStreams(t *testing.T, w *world) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	adapter := w.as(t, atlas, w.pbx(t, atlas))
	anchoring, err := pb.NewAnchorServiceClient(adapter).AnchorSegments(ctx)
	require.NoError(t, err)
	for n := range 3 {
		require.NoError(t, anchoring.Send(&pb.AnchorSegmentsRequest{Segment: w.adapters[atlas].Segment(t, gatewaytest.Calls(t, n+1))}))
	}
	receipts, err := anchoring.CloseAndRecv()
	require.NoError(t, err)
	require.Len(t, receipts.GetReceipts(), 3)

	delivery, err := pb.NewAnchorServiceClient(adapter).Deliver(ctx)
	require.NoError(t, err)
	require.NoError(t, delivery.Send(&pb.DeliverRequest{Segment: w.adapters[atlas].Segment(t, gatewaytest.Calls(t, 2))}))
	for _, wanted := range []pb.DeliveryState{pb.DeliveryState_DELIVERY_STATE_ACCEPTED, pb.DeliveryState_DELIVERY_STATE_COMMITTED, pb.DeliveryState_DELIVERY_STATE_SETTLED} {
		answer, err := delivery.Recv()
		require.NoError(t, err)
		require.Equal(t, wanted, answer.GetState())
	}
	require.NoError(t, delivery.CloseSend())

	view, err := pb.NewViewServiceClient(adapter).WatchAdmission(ctx, &pb.WatchAdmissionRequest{})
	require.NoError(t, err)
	begun, err := view.Recv()
	require.NoError(t, err)
	require.True(t, begun.GetStart().GetRestart())
	changes, err := pb.NewWatchServiceClient(w.as(t, atlas, auditor)).Watch(ctx, &pb.WatchRequest{Kinds: []string{"dispute"}})
	require.NoError(t, err)
	change, err := changes.Recv()
	require.NoError(t, err)
	var dispute ledger.Dispute
	require.NoError(t, ledger.DecodeStrict(change.GetChange().GetValueJson(), &dispute))
	require.Equal(t, sharedCall, dispute.CallRef)
}

// testConversation reads all of a conversation, typed, and holds it against what the
// ledger has of it; and what masks leave of the long lists.
func testConversation(t *testing.T, w *world, calls pb.CallServiceClient) {
	t.Helper()
	pbx, said := w.pbx(t, atlas), w.told[atlas]
	linkedID := said.first.Record.Call.Leg.LinkedID
	answer, err := calls.GetConversation(t.Context(), &pb.GetConversationRequest{Pbx: pbx, Linkedid: linkedID})
	require.NoError(t, err)
	told := answer.GetConversation()
	stored, err := w.peer(t, atlas, auditor).Evaluate(t.Context(), "calls:Conversation", "AtlasMSP", pbx, linkedID)
	require.NoError(t, err)
	again := ledger.Conversation{
		Corrections: []ledger.AnchoredCorrection{{}}, Legs: make([]ledger.Record, 2), LinkedIDs: told.GetLinkedids(), Links: make([]ledger.Record, 1), MSP: told.GetMsp(),
		Omissions: make([]ledger.Record, 1), PBX: told.GetPbx(), Recordings: make([]ledger.Record, 1), V: ledger.SchemaVersion,
	}
	require.Len(t, told.GetCorrections(), 1)
	require.NoError(t, mirror.Value(told.GetCorrections()[0], &again.Corrections[0]))
	for of, texts := range map[*[]ledger.Record][][]byte{
		&again.Legs: {told.GetLegs()[0].GetRecordJson(), told.GetLegs()[1].GetRecordJson()}, &again.Links: {told.GetLinks()[0].GetRecordJson()},
		&again.Omissions: {told.GetOmissions()[0].GetRecordJson()}, &again.Recordings: {told.GetRecordings()[0].GetRecordJson()},
	} {
		for i, text := range texts {
			require.NoError(t, ledger.DecodeStrict(text, &(*of)[i]))
		}
	}
	require.Equal(t, string(stored), string(gatewaytest.JSON(t, &again)), "nothing is lost on the way")
	require.Equal(t, ledger.LinkAttendedTransfer, told.GetLinks()[0].GetKind())
	require.Equal(t, linkedID, told.GetLinks()[0].GetFrom())
	require.Equal(t, ledger.OmissionMissing, told.GetOmissions()[0].GetReason())
	require.Contains(t, []string{told.GetLegs()[0].GetCallRef(), told.GetLegs()[1].GetCallRef()}, sharedCall)

	only := func(paths ...string) *fieldmaskpb.FieldMask { return &fieldmaskpb.FieldMask{Paths: paths} }
	short, err := calls.GetConversation(t.Context(), &pb.GetConversationRequest{Pbx: pbx, Linkedid: linkedID, Fields: only("linkedids", "corrections")})
	require.NoError(t, err)
	require.True(t, proto.Equal(&pb.Conversation{Linkedids: told.GetLinkedids(), Corrections: told.GetCorrections()}, short.GetConversation()))
	legs, err := calls.ListLegs(t.Context(), &pb.ListLegsRequest{Pbx: pbx, Linkedid: linkedID, Fields: only("leg.uniqueid", "call_ref")})
	require.NoError(t, err)
	require.True(t, proto.Equal(&pb.Call{Leg: &pb.LegId{Uniqueid: said.first.Record.Call.Leg.UniqueID}, CallRef: sharedCall}, legs.GetCalls()[0]), "%v", legs)
	listed, err := calls.ListCalls(t.Context(), &pb.ListCallsRequest{Pbx: pbx, PageSize: 3, Fields: only("disposition")})
	require.NoError(t, err)
	require.Len(t, listed.GetCalls(), 3)
	for _, one := range listed.GetCalls() {
		require.True(t, proto.Equal(&pb.Call{Disposition: ledger.Answered}, one))
	}
	recordings := pb.NewRecordingServiceClient(w.as(t, atlas, auditor))
	found, err := recordings.FindRecordings(t.Context(), &pb.FindRecordingsRequest{Sha256: said.recording.Record.Recording.SHA256, Fields: only("id")})
	require.NoError(t, err)
	require.True(t, proto.Equal(&pb.Recording{Id: said.recording.Record.Recording.ID}, found.GetRecordings()[0]))
	adapters, err := pb.NewAdapterServiceClient(w.as(t, atlas, auditor)).ListAdapters(t.Context(), &pb.ListAdaptersRequest{Fields: only("pbx")})
	require.NoError(t, err)
	require.Empty(t, adapters.GetEnrolments()[0].GetCertificate())
	require.NotEmpty(t, adapters.GetEnrolments()[0].GetPbx())
	for _, wrong := range []func() error{
		func() error {
			_, err := calls.GetConversation(t.Context(), &pb.GetConversationRequest{Pbx: pbx, Linkedid: linkedID, Fields: only("colour")})
			return err
		},
		func() error {
			_, err := calls.ListCalls(t.Context(), &pb.ListCallsRequest{Pbx: pbx, Fields: only("colour")})
			return err
		},
		func() error {
			_, err := recordings.ListRecordings(t.Context(), &pb.ListRecordingsRequest{Pbx: pbx, Linkedid: linkedID, Fields: only("colour")})
			return err
		},
	} {
		refused(t, wrong(), codes.InvalidArgument, "fields names what a")
	}
}

// testLists asks the index for what was put on the ledger above.
func testLists(t *testing.T, w *world) {
	connection := w.as(t, atlas, auditor)
	search, pbx := pb.NewSearchServiceClient(connection), w.pbx(t, atlas)
	w.followed(t, atlas, w.anchor(t, atlas, gatewaytest.Call(t)).GetCommit())
	first := w.told[atlas].first.Record.Call.Leg
	for name, c := range map[string]struct {
		by    *pb.SearchCallsRequest
		first bool
	}{
		"corrected":      {&pb.SearchCallsRequest{Corrected: true}, true},
		"held":           {&pb.SearchCallsRequest{Held: true}, true},
		"erased":         {&pb.SearchCallsRequest{Erased: true}, false},
		"by their trunk": {&pb.SearchCallsRequest{CallRef: sharedCall, Msp: "AtlasMSP"}, true},
	} {
		found, err := search.SearchCalls(t.Context(), c.by)
		require.NoError(t, err, name)
		require.Len(t, found.GetCalls(), 1, name)
		require.Equal(t, c.first, found.GetCalls()[0].GetCall().GetLeg().GetLinkedid() == first.LinkedID, name)
	}
	for state, wanted := range map[pb.RecordingState]int{
		pb.RecordingState_RECORDING_STATE_UNSPECIFIED: 3, pb.RecordingState_RECORDING_STATE_RETAINED: 1, pb.RecordingState_RECORDING_STATE_HELD: 1,
	} {
		found, err := search.SearchRecordings(t.Context(), &pb.SearchRecordingsRequest{State: state})
		require.NoError(t, err)
		require.Len(t, found.GetRecordings(), wanted, "%s", state)
	}
	subjects, err := search.SearchSubjects(t.Context(), &pb.SearchSubjectsRequest{Type: "tel"})
	require.NoError(t, err)
	require.Len(t, subjects.GetSubjects(), 1)
	for kind, wanted := range map[string]int{
		"dispute": 1, "violation": 1, "appeal": 1, "incident": 2, "progress": 3, "disagreement": 1, "correction": 1, "hold": 1, "device": 1, "omission": 3, "opening": 4, "consent": 3, "erasure": 2, "opinion": 1,
	} {
		found, err := search.SearchEntries(t.Context(), &pb.SearchEntriesRequest{Kind: kind})
		require.NoError(t, err, kind)
		require.Len(t, found.GetEntries(), wanted, kind)
	}
	legs, err := search.ListConversationLegs(t.Context(), &pb.ListConversationLegsRequest{Msp: "AtlasMSP", Pbx: pbx, Linkedid: first.LinkedID})
	require.NoError(t, err)
	require.Len(t, legs.GetCalls(), 2, "the link joins them")

	history := pb.NewLedgerServiceClient(connection)
	walked, err := history.ListGaps(t.Context(), &pb.ListGapsRequest{Pbx: pbx})
	require.NoError(t, err)
	var gaps ledger.Gaps
	require.NoError(t, mirror.Value(walked.GetGaps(), &gaps))
	stored, err := w.peer(t, atlas, auditor).Evaluate(t.Context(), "calls:Gaps", "AtlasMSP", pbx, "0", "0", "500")
	require.NoError(t, err)
	require.Equal(t, string(stored), string(gatewaytest.JSON(t, &gaps)), "nothing is lost on the way")
	require.NotEmpty(t, gaps.Findings)
	testConversation(t, w, pb.NewCallServiceClient(connection))
	versions, err := pb.NewAboutServiceClient(connection).GetVersions(t.Context(), &pb.GetVersionsRequest{})
	require.NoError(t, err)
	require.NotEmpty(t, versions.GetCalls().GetChaincode())
	status, err := pb.NewStatusServiceClient(connection).GetStatus(t.Context(), &pb.GetStatusRequest{})
	require.NoError(t, err)
	require.NotEmpty(t, status.String())
}
