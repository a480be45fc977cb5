package server_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/gatewaytest"
)

const (
	patience = time.Minute
	// sharedCall and agreedCall name calls that went over a trunk: of the first the two
	// operators tell differently.
	sharedCall, agreedCall = "5ca1ab1e5ca1ab1e5ca1ab1e5ca1ab1e", "0ddba1100ddba1100ddba1100ddba110"
	party                  = "abababababababababababababababab"
	subject                = "tel:+351210000001"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// lasted changes how long a call was billed.
func lasted(call *gatewaytest.Entry, billsec time.Duration) {
	changed := *call.Record.Call
	changed.BillsecMS = billsec.Milliseconds()
	changed.DurationMS = changed.BillsecMS + 2_000
	changed.End = ledger.TimeOf(changed.Start.Std().Add(billsec + 2*time.Second))
	call.Record.Call = &changed
}

// shared says of a call that it went over a trunk.
func shared(call *gatewaytest.Entry, ref string) {
	changed := *call.Record.Call
	changed.CallRef, changed.Direction = ref, "outbound"
	call.Record.Call = &changed
}

func (w *world) anchor(t *testing.T, operator string, entries ...gatewaytest.Entry) *pb.SegmentReceipt {
	t.Helper()
	answer, err := pb.NewAnchorServiceClient(w.as(t, operator, w.pbx(t, operator))).AnchorSegment(t.Context(), &pb.AnchorSegmentRequest{Segment: w.adapters[operator].Segment(t, entries)})
	require.NoError(t, err)
	require.Equal(t, pb.Outcome_OUTCOME_ANCHORED, answer.GetReceipt().GetOutcome())
	for _, record := range answer.GetReceipt().GetRecords() {
		require.Equal(t, pb.Outcome_OUTCOME_ANCHORED, record.GetOutcome())
	}
	valid(t, answer.GetReceipt().GetCommit())
	return answer.GetReceipt()
}

// testHistories anchors records of every kind for all three operators, and reads
// them back.
func testHistories(t *testing.T, w *world) {
	for _, operator := range []string{atlas, borealis, corvus} {
		member := w.member(t, operator)
		files := w.Layout().Operator(operator).Identity(member.PBXs[0])
		w.adapters[operator] = gatewaytest.Load(t, member.MSP, member.PBXs[0], files.CertFile(), files.KeyFile())
		said := &told{first: gatewaytest.Call(t), second: gatewaytest.Call(t)}
		if operator != corvus {
			shared(&said.first, sharedCall)
			shared(&said.second, agreedCall)
		}
		if operator == borealis {
			lasted(&said.first, 20*time.Second)
		}
		said.recording = gatewaytest.Recording(t, said.first.Record.Call.Leg, []byte("audio of "+operator))
		first, second := said.first.Record.Call.Leg, said.second.Record.Call.Leg
		entries := []gatewaytest.Entry{{Record: ledger.Record{Progress: &ledger.Progress{At: ledger.TimeOf(noon), LinkedID: first.LinkedID, State: ledger.ProgressAnswered, UniqueID: first.UniqueID}}}}
		if operator == borealis {
			entries = append(entries, gatewaytest.Entry{Record: ledger.Record{Disagreement: &ledger.Disagreement{
				At: ledger.TimeOf(noon), Differences: []ledger.ColumnDifference{{Column: "billsec", First: "20", Second: "2"}}, First: "csv", Leg: first, Second: "table",
			}}})
		}
		said.receipt = w.anchor(t, operator, append([]gatewaytest.Entry{gatewaytest.Opening(), said.first, said.recording, said.second,
			{Record: ledger.Record{Link: &ledger.Link{At: ledger.TimeOf(noon), From: first.LinkedID, Kind: ledger.LinkAttendedTransfer, To: second.LinkedID}}},
			{Record: ledger.Record{Omission: &ledger.Omission{At: ledger.TimeOf(noon), Leg: second, Reason: ledger.OmissionMissing}}},
			{Record: ledger.Record{Beat: &ledger.Beat{At: ledger.TimeOf(noon)}}}}, entries...)...)
		w.told[operator] = said
	}
	said, pbx := w.told[atlas], w.pbx(t, atlas)
	linkedID := said.first.Record.Call.Leg.LinkedID
	adapter := pb.NewAnchorServiceClient(w.as(t, atlas, pbx))
	calls, recordings, history := pb.NewCallServiceClient(w.as(t, atlas, auditor)), pb.NewRecordingServiceClient(w.as(t, atlas, auditor)), pb.NewLedgerServiceClient(w.as(t, atlas, auditor))

	// A clone of the adapter tells another history.
	clone := w.adapters[atlas].Twin()
	w.anchor(t, atlas, gatewaytest.Call(t))
	forked, err := adapter.AnchorSegment(t.Context(), &pb.AnchorSegmentRequest{Segment: clone.Segment(t, gatewaytest.Calls(t, 1))})
	require.NoError(t, err)
	require.Equal(t, pb.Outcome_OUTCOME_CONFLICT, forked.GetReceipt().GetOutcome())
	incidents, err := history.ListIncidents(t.Context(), &pb.ListIncidentsRequest{Pbx: pbx})
	require.NoError(t, err)
	require.Len(t, incidents.GetIncidents(), 1)

	chain, err := history.GetChain(t.Context(), &pb.GetChainRequest{Pbx: pbx})
	require.NoError(t, err)
	require.Equal(t, said.receipt.GetEpoch(), chain.GetEpoch())
	segment, err := history.GetSegment(t.Context(), &pb.GetSegmentRequest{Pbx: pbx, Epoch: said.receipt.GetEpoch(), FirstSeq: 1})
	require.NoError(t, err)
	require.True(t, proto.Equal(said.receipt.GetCommit(), segment.GetCommit()))
	open, err := pb.NewSearchServiceClient(w.as(t, atlas, auditor)).ListOpenCalls(t.Context(), &pb.ListOpenCallsRequest{Pbx: pbx})
	require.NoError(t, err)
	require.NotNil(t, open)
	omissions, err := calls.ListOmissions(t.Context(), &pb.ListOmissionsRequest{Pbx: pbx, Linkedid: said.second.Record.Call.Leg.LinkedID})
	require.NoError(t, err)
	require.Len(t, omissions.GetOmissions(), 1)
	progress, err := calls.ListProgress(t.Context(), &pb.ListProgressRequest{Pbx: pbx, Linkedid: linkedID})
	require.NoError(t, err)
	require.Len(t, progress.GetProgress(), 1)
	require.Equal(t, ledger.ProgressAnswered, progress.GetProgress()[0].GetState())
	require.Equal(t, said.first.Record.Call.Leg.UniqueID, progress.GetProgress()[0].GetUniqueid())
	one, err := pb.NewCallServiceClient(w.as(t, atlas, compliance)).GetCall(t.Context(), &pb.GetCallRequest{Pbx: pbx, Leg: leg(said.first), IncludeDetails: true})
	require.NoError(t, err)
	require.Contains(t, string(one.GetCall().GetDetailsJson()), gatewaytest.Caller)
	legs, err := calls.ListLegs(t.Context(), &pb.ListLegsRequest{Pbx: pbx, Linkedid: linkedID})
	require.NoError(t, err)
	require.Len(t, legs.GetCalls(), 1)
	listed, err := calls.ListCalls(t.Context(), &pb.ListCallsRequest{Pbx: pbx})
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(listed.GetCalls()), 2)
	recording, err := recordings.GetRecording(t.Context(), &pb.GetRecordingRequest{Pbx: pbx, Id: said.recording.Record.Recording.ID})
	require.NoError(t, err)
	require.Equal(t, said.recording.Record.Recording.SHA256, recording.GetRecording().GetSha256())
	ofConversation, err := recordings.ListRecordings(t.Context(), &pb.ListRecordingsRequest{Pbx: pbx, Linkedid: linkedID})
	require.NoError(t, err)
	require.Len(t, ofConversation.GetRecordings(), 1)
	found, err := recordings.FindRecordings(t.Context(), &pb.FindRecordingsRequest{Sha256: said.recording.Record.Recording.SHA256})
	require.NoError(t, err)
	require.Len(t, found.GetRecordings(), 1)
	state, err := calls.GetCallState(t.Context(), &pb.GetCallStateRequest{Pbx: pbx, Leg: leg(said.first)})
	require.NoError(t, err)
	require.Equal(t, ledger.StateAnchored, state.GetCustody().GetState())
}

// place names a leg of an operator.
func (w *world) place(t *testing.T, operator string, entry gatewaytest.Entry) *pb.LegPlace {
	t.Helper()
	return &pb.LegPlace{Msp: w.member(t, operator).MSP, Pbx: w.pbx(t, operator), Leg: leg(entry)}
}

// reconciled is what an operator's auditor reads of a shared call, once its peer has
// both sides.
func (w *world) reconciled(t *testing.T, operator, ref string, sides int) *pb.Reconciliation {
	t.Helper()
	calls := pb.NewCallServiceClient(w.as(t, operator, auditor))
	var told *pb.Reconciliation
	require.Eventually(t, func() bool {
		answer, err := calls.ReconcileCall(t.Context(), &pb.ReconcileCallRequest{CallRef: ref})
		told = answer.GetReconciliation()
		return err == nil && len(told.GetSides()) == sides
	}, patience, 20*time.Millisecond)
	return told
}

func testDisputes(t *testing.T, w *world) {
	require.Equal(t, ledger.OutcomeAgree, w.reconciled(t, atlas, agreedCall, 2).GetOutcome())
	require.Equal(t, ledger.OutcomeNotComparable, w.reconciled(t, atlas, strings.Repeat("0", 32), 0).GetOutcome())
	for _, operator := range []string{atlas, borealis, corvus} {
		told := w.reconciled(t, operator, sharedCall, 2)
		require.Equal(t, ledger.OutcomeDiffer, told.GetOutcome())
		require.Len(t, told.GetComparisons(), 1)
		require.Len(t, told.GetComparisons()[0].GetDifferences(), 1)
		require.Equal(t, "billsec_ms", told.GetComparisons()[0].GetDifferences()[0].GetField())
		require.EqualValues(t, 8_000, told.GetComparisons()[0].GetDifferences()[0].GetByMs())
	}
	differing := &pb.RaiseDisputeRequest{A: w.place(t, borealis, w.told[borealis].first), B: w.place(t, atlas, w.told[atlas].first)}
	_, err := pb.NewCallServiceClient(w.as(t, corvus, auditor)).RaiseDispute(t.Context(), differing)
	refused(t, err, codes.PermissionDenied, "has no part in this call")
	calls := pb.NewCallServiceClient(w.as(t, atlas, auditor))
	_, err = calls.RaiseDispute(t.Context(), &pb.RaiseDisputeRequest{A: w.place(t, atlas, w.told[atlas].second), B: w.place(t, borealis, w.told[borealis].second)})
	refused(t, err, codes.FailedPrecondition, "there is nothing to dispute")

	raised, err := calls.RaiseDispute(t.Context(), differing)
	require.NoError(t, err)
	valid(t, raised.GetCommit())
	require.Equal(t, "AtlasMSP", raised.GetDispute().GetRaisedBy())
	require.Equal(t, sharedCall, raised.GetDispute().GetCallRef())
	require.Equal(t, raised.GetCommit().GetTransactionId(), raised.GetDispute().GetTxId())
	for _, operator := range []string{atlas, borealis} {
		require.Eventually(t, func() bool {
			listed, err := pb.NewCallServiceClient(w.as(t, operator, auditor)).ListDisputes(t.Context(), &pb.ListDisputesRequest{})
			return err == nil && len(listed.GetDisputes()) == 1 && proto.Equal(raised.GetDispute(), listed.GetDisputes()[0])
		}, patience, 20*time.Millisecond, "both operators see it")
	}
	unconcerned, err := pb.NewCallServiceClient(w.as(t, corvus, auditor)).ListDisputes(t.Context(), &pb.ListDisputesRequest{})
	require.NoError(t, err)
	require.Empty(t, unconcerned.GetDisputes())
}

func testCorrections(t *testing.T, w *world) {
	calls, pbx, said := pb.NewCallServiceClient(w.as(t, atlas, compliance)), w.pbx(t, atlas), w.told[atlas]
	before, err := calls.GetCall(t.Context(), &pb.GetCallRequest{Pbx: pbx, Leg: leg(said.first)})
	require.NoError(t, err)
	corrected := &pb.CorrectCallRequest{Pbx: pbx, Leg: leg(said.first), Reason: ledger.CorrectAgreed, EvidenceDigest: digest("cd"), Changes: &pb.Changes{
		BillsecMs: proto.Int64(20_000), DurationMs: proto.Int64(22_000), End: timestamppb.New(before.GetCall().GetStart().AsTime().Add(22 * time.Second)),
	}}
	answer, err := calls.CorrectCall(t.Context(), corrected)
	require.NoError(t, err)
	valid(t, answer.GetCommit())
	require.EqualValues(t, 1, answer.GetCorrection().GetCorrection().GetN())
	require.Equal(t, "AtlasMSP", answer.GetCorrection().GetCorrection().GetMsp())

	// The record stays; the correction is beside it, and the two operators agree now.
	after, err := calls.GetCall(t.Context(), &pb.GetCallRequest{Pbx: pbx, Leg: leg(said.first)})
	require.NoError(t, err)
	require.True(t, proto.Equal(before, after))
	listed, err := calls.ListCorrections(t.Context(), &pb.ListCorrectionsRequest{Pbx: pbx, Leg: leg(said.first)})
	require.NoError(t, err)
	require.Len(t, listed.GetCorrections(), 1)
	require.True(t, proto.Equal(answer.GetCorrection(), listed.GetCorrections()[0]))
	require.Equal(t, ledger.OutcomeAgree, w.reconciled(t, atlas, sharedCall, 2).GetOutcome())

	// Whoever has not seen it cannot correct over it; nor can another role.
	stale := proto.CloneOf(corrected)
	stale.After = 2
	_, err = calls.CorrectCall(t.Context(), stale)
	refused(t, err, codes.FailedPrecondition, "the leg has 1 corrections, not 2")
	impossible := proto.CloneOf(corrected)
	impossible.Changes = &pb.Changes{End: timestamppb.New(before.GetCall().GetStart().AsTime().Add(-time.Hour))}
	_, err = calls.CorrectCall(t.Context(), impossible)
	require.Equal(t, codes.InvalidArgument, codeOf(err), "%v", err)
	_, err = pb.NewCallServiceClient(w.as(t, atlas, auditor)).CorrectCall(t.Context(), corrected)
	refused(t, err, codes.PermissionDenied, "")
}

func testTerms(t *testing.T, w *world) {
	recordings, pbx, said := pb.NewRecordingServiceClient(w.as(t, atlas, compliance)), w.pbx(t, atlas), w.told[atlas].recording.Record.Recording
	linkedID := said.Leg.LinkedID
	until := timestamppb.New(said.ClosedAt.Std().AddDate(2, 0, 0))
	for n, at := range []*timestamppb.Timestamp{until, timestamppb.New(until.AsTime().AddDate(0, 1, 0))} {
		answer, err := recordings.RetainRecording(t.Context(), &pb.RetainRecordingRequest{Pbx: pbx, Id: said.ID, Until: at})
		require.NoError(t, err)
		valid(t, answer.GetCommit())
		require.EqualValues(t, n+1, answer.GetRetention().GetN())
		state, err := recordings.GetRecordingState(t.Context(), &pb.GetRecordingStateRequest{Pbx: pbx, Id: said.ID})
		require.NoError(t, err)
		require.Equal(t, at.AsTime(), state.GetCustody().GetRetentionUntil().AsTime())
		listed, err := recordings.ListRetentions(t.Context(), &pb.ListRetentionsRequest{Pbx: pbx, Id: said.ID})
		require.NoError(t, err)
		require.Len(t, listed.GetRetentions(), n+1)
		require.True(t, proto.Equal(answer.GetRetention(), listed.GetRetentions()[n]))
	}
	_, err := recordings.RetainRecording(t.Context(), &pb.RetainRecordingRequest{Pbx: pbx, Id: said.ID, Until: timestamppb.New(noon.AddDate(90, 0, 0))})
	refused(t, err, codes.FailedPrecondition, "choose a time between")

	held, err := recordings.HoldConversation(t.Context(), &pb.HoldConversationRequest{Pbx: pbx, Linkedid: linkedID, CaseDigest: digest("cd"), Reason: ledger.HoldCourtOrder})
	require.NoError(t, err)
	valid(t, held.GetCommit())
	other, err := recordings.HoldConversation(t.Context(), &pb.HoldConversationRequest{Pbx: pbx, Linkedid: linkedID, CaseDigest: digest("ce"), Reason: ledger.HoldCourtOrder, After: held.GetHold().GetN()})
	require.NoError(t, err)
	released, err := recordings.ReleaseConversation(t.Context(), &pb.ReleaseConversationRequest{Pbx: pbx, Linkedid: linkedID, CaseDigest: digest("cd")})
	require.NoError(t, err)
	require.Len(t, released.GetHold().GetCases(), 1)
	listed, err := recordings.ListHolds(t.Context(), &pb.ListHoldsRequest{Pbx: pbx, Linkedid: linkedID})
	require.NoError(t, err)
	require.Len(t, listed.GetHolds(), 3)
	_, err = recordings.ReleaseConversation(t.Context(), &pb.ReleaseConversationRequest{Pbx: pbx, Linkedid: linkedID, CaseDigest: digest("ce"), After: other.GetHold().GetN()})
	require.Error(t, err, "another version came between")
	_, err = pb.NewErasureServiceClient(w.as(t, atlas, compliance)).Erase(t.Context(), &pb.EraseRequest{
		Record: &pb.RecordName{Pbx: pbx, Record: &pb.RecordName_Recording{Recording: &pb.RecordingName{Id: said.ID}}}, Reason: pb.ErasureReason_ERASURE_REASON_SUBJECT_REQUEST, EvidenceDigest: digest("cd"),
	})
	refused(t, err, codes.FailedPrecondition, "a legal hold")
}

func testConsents(t *testing.T, w *world) {
	consents, pbx, linkedID := pb.NewConsentServiceClient(w.as(t, atlas, compliance)), w.pbx(t, atlas), w.told[atlas].second.Record.Call.Leg.LinkedID
	stated, err := consents.DeclareConsent(t.Context(), &pb.DeclareConsentRequest{
		Pbx: pbx, Linkedid: linkedID, PartyRef: party, Purpose: ledger.PurposeRecording, Status: ledger.ConsentGranted, Method: ledger.MethodDTMF, Jurisdiction: "PT", EvidenceDigest: digest("cd"),
	})
	require.NoError(t, err)
	valid(t, stated.GetCommit())
	one, err := consents.GetConsent(t.Context(), &pb.GetConsentRequest{Pbx: pbx, Linkedid: linkedID, PartyRef: party, Purpose: ledger.PurposeRecording, N: 1})
	require.NoError(t, err)
	require.True(t, proto.Equal(stated.GetConsent(), one.GetConsent()))
	listed, err := consents.ListConsents(t.Context(), &pb.ListConsentsRequest{Pbx: pbx, Linkedid: linkedID})
	require.NoError(t, err)
	require.Len(t, listed.GetConsents(), 1)
	standing, err := consents.GetConsentStanding(t.Context(), &pb.GetConsentStandingRequest{Pbx: pbx, Linkedid: linkedID, Purpose: ledger.PurposeRecording, Parties: []string{party}})
	require.NoError(t, err)
	require.True(t, standing.GetDecision().GetAllowed())
}

// testViolations has an operator report another's recording, whose own gateway is not
// there to do so.
func testViolations(t *testing.T, w *world) {
	w.Stop("corvus-gateway")
	said, pbx := w.told[corvus], w.pbx(t, corvus)
	call, recording := said.first.Record.Call, said.recording.Record.Recording
	objects := func(to gatewaytest.Entry, party string, at ledger.Time) {
		statement, err := ledger.Canonical(&ledger.ConsentStatement{
			EvidenceDigest: digest("cd"), GivenAt: at, Jurisdiction: "PT", LinkedID: to.Record.Call.Leg.LinkedID, Method: ledger.MethodVerbal, N: 1, PartyRef: party, PBX: pbx,
			Purpose: ledger.PurposeRecording, Status: ledger.ConsentDenied,
		})
		require.NoError(t, err)
		_, err = w.peer(t, corvus, compliance).Transact(t.Context(), fabric.Proposal{Function: "consents:Declare", Args: []string{string(statement)}})
		require.NoError(t, err)
	}
	const late = "efefefefefefefefefefefefefefefef"
	objects(said.first, party, call.Start)
	objects(said.first, late, ledger.TimeOf(recording.ClosedAt.Std().Add(time.Hour)))

	consents := pb.NewConsentServiceClient(w.as(t, borealis, auditor))
	require.Eventually(t, func() bool {
		due, err := consents.ListDueViolations(t.Context(), &pb.ListDueViolationsRequest{Msp: "CorvusMSP", Pbx: pbx, Linkedid: call.Leg.LinkedID})
		return err == nil && len(due.GetReports()) == 1 && due.GetReports()[0].GetPartyRef() == party
	}, patience, 20*time.Millisecond)
	report := &pb.ReportViolationRequest{Msp: "CorvusMSP", Pbx: pbx, Id: recording.ID, PartyRef: party, N: 1}
	_, err := pb.NewConsentServiceClient(w.as(t, borealis, admin)).ReportViolation(t.Context(), report)
	refused(t, err, codes.PermissionDenied, "")
	invented := proto.CloneOf(report)
	invented.PartyRef = late
	require.Eventually(t, func() bool { // once the peer has that objection too
		_, err = consents.ReportViolation(t.Context(), invented)
		return codeOf(err) != codes.NotFound
	}, patience, 20*time.Millisecond)
	refused(t, err, codes.FailedPrecondition, "")

	reported, err := consents.ReportViolation(t.Context(), report)
	require.NoError(t, err)
	valid(t, reported.GetCommit())
	require.Equal(t, "BorealisMSP", reported.GetViolation().GetByMsp())
	require.Equal(t, auditor, reported.GetViolation().GetBy())
	listed, err := consents.ListViolations(t.Context(), &pb.ListViolationsRequest{Msp: "CorvusMSP", Pbx: pbx})
	require.NoError(t, err)
	require.Len(t, listed.GetViolations(), 1)
	require.True(t, proto.Equal(reported.GetViolation(), listed.GetViolations()[0]))
	due, err := consents.ListDueViolations(t.Context(), &pb.ListDueViolationsRequest{Msp: "CorvusMSP", Pbx: pbx, Linkedid: call.Leg.LinkedID})
	require.NoError(t, err)
	require.Empty(t, due.GetReports())
	w.StartNode("corvus-gateway")
}

func testAppeals(t *testing.T, w *world) {
	evidence, err := pb.NewReputationServiceClient(w.as(t, borealis, w.pbx(t, borealis))).Report(t.Context(), &pb.ReportRequest{
		Evidence: []*pb.Evidence{{Subject: subject, Kind: ledger.EvidenceAuthFailure, Count: 30, Attempts: 30}},
	})
	require.NoError(t, err)
	require.Len(t, evidence.GetReceipts(), 1)
	scores := pb.NewReputationServiceClient(w.as(t, borealis, auditor))
	before, err := scores.GetScore(t.Context(), &pb.GetScoreRequest{Subject: subject})
	require.NoError(t, err)
	opinions, err := scores.ListOpinions(t.Context(), &pb.ListOpinionsRequest{Subject: subject})
	require.NoError(t, err)
	require.Len(t, opinions.GetOpinions(), 1)

	appellant, judge := pb.NewGraceServiceClient(w.as(t, atlas, compliance)), pb.NewGraceServiceClient(w.as(t, borealis, compliance))
	appealed, err := appellant.AppealSubject(t.Context(), &pb.AppealSubjectRequest{Subject: subject, Against: "BorealisMSP", Reason: ledger.ReasonSpoofed, EvidenceDigest: digest("cd")})
	require.NoError(t, err)
	valid(t, appealed.GetCommit())
	require.Equal(t, ledger.AppealOpen, appealed.GetAppeal().GetState())
	decision := &pb.DecideAppealRequest{Subject: subject, Appellant: "AtlasMSP", Decision: ledger.AppealPardoned, DurationMs: time.Hour.Milliseconds()}
	_, err = appellant.DecideAppeal(t.Context(), decision)
	refused(t, err, codes.NotFound, "there is no such appeal against the operator")
	w.followed(t, borealis, appealed.GetCommit())
	decided, err := judge.DecideAppeal(t.Context(), decision)
	require.NoError(t, err)
	valid(t, decided.GetCommit())
	_, err = judge.DecideAppeal(t.Context(), decision)
	refused(t, err, codes.FailedPrecondition, "the appeal was decided at")
	listed, err := judge.ListAppeals(t.Context(), &pb.ListAppealsRequest{})
	require.NoError(t, err)
	require.Len(t, listed.GetAppeals(), 1)
	require.True(t, proto.Equal(decided.GetAppeal(), listed.GetAppeals()[0]))
	require.Equal(t, ledger.AppealPardoned, listed.GetAppeals()[0].GetState())
	after, err := scores.GetScore(t.Context(), &pb.GetScoreRequest{Subject: subject})
	require.NoError(t, err)
	require.Greater(t, after.GetReputation().GetScore(), before.GetReputation().GetScore(), "what was pardoned is not held against it")

	allowed, err := judge.AllowSubject(t.Context(), &pb.AllowSubjectRequest{Subject: subject, Reason: "partner"})
	require.NoError(t, err)
	valid(t, allowed.GetCommit())
	ended, err := judge.DisallowSubject(t.Context(), &pb.DisallowSubjectRequest{Subject: subject})
	require.NoError(t, err)
	require.NotNil(t, ended.GetAllowance().GetWithdrawnAt())
	pardoned, err := appellant.PardonSubject(t.Context(), &pb.PardonSubjectRequest{Subject: subject, DurationMs: time.Hour.Milliseconds(), Reason: ledger.ReasonRemedied})
	require.NoError(t, err)
	valid(t, pardoned.GetCommit())
}

// testLateSegments anchors, in an admin's name, what an adapter closed before its
// certificate was revoked.
func testLateSegments(t *testing.T, w *world) {
	const pbx = "atlas-pbx-cut-off"
	certFile, keyFile := w.enrollee(t, atlas, pbx)
	certificate, err := os.ReadFile(certFile)
	require.NoError(t, err)
	adapters, late := pb.NewAdapterServiceClient(w.as(t, atlas, admin)), pb.NewAnchorServiceClient(w.as(t, atlas, admin))
	enrolled, err := adapters.EnrolAdapter(t.Context(), &pb.EnrolAdapterRequest{CertificatePem: string(certificate)})
	require.NoError(t, err)
	adapter := gatewaytest.Load(t, "AtlasMSP", pbx, certFile, keyFile)
	require.Equal(t, adapter.Fingerprint, enrolled.GetEnrolment().GetFingerprint())
	closedAt := func(at time.Time) func(*ledger.SignedSegment) {
		return func(signed *ledger.SignedSegment) { signed.Segment.ClosedAt = ledger.TimeOf(at) }
	}
	call := gatewaytest.Call(t)
	early := &pb.AnchorLateSegmentRequest{Segment: adapter.Segment(t, []gatewaytest.Entry{gatewaytest.Opening(), call}, closedAt(time.Now())), IdempotencyKey: "late"}
	_, err = late.AnchorLateSegment(t.Context(), &pb.AnchorLateSegmentRequest{Segment: early.GetSegment()})
	refused(t, err, codes.FailedPrecondition, "is good still")

	revoked, err := adapters.RevokeAdapter(t.Context(), &pb.RevokeAdapterRequest{Fingerprint: adapter.Fingerprint})
	require.NoError(t, err)
	valid(t, revoked.GetCommit())
	own := pb.NewAnchorServiceClient(w.with(t, atlas, certFile, keyFile))
	_, err = own.AnchorLateSegment(t.Context(), early)
	refused(t, err, codes.PermissionDenied, "")
	_, err = late.AnchorLateSegment(t.Context(), &pb.AnchorLateSegmentRequest{
		Segment: adapter.Twin().Segment(t, gatewaytest.Calls(t, 1), closedAt(revoked.GetEnrolment().GetRevokedAt().AsTime().Add(time.Millisecond))),
	})
	refused(t, err, codes.PermissionDenied, "was revoked")

	answer, err := late.AnchorLateSegment(t.Context(), early)
	require.NoError(t, err)
	require.Equal(t, pb.Outcome_OUTCOME_ANCHORED, answer.GetReceipt().GetOutcome())
	require.Len(t, answer.GetReceipt().GetRecords(), 2)
	valid(t, answer.GetReceipt().GetCommit())
	again, err := late.AnchorLateSegment(t.Context(), early)
	require.NoError(t, err)
	require.True(t, proto.Equal(answer, again), "the same key, the same answer")
	segment, err := pb.NewLedgerServiceClient(w.as(t, atlas, auditor)).GetSegment(t.Context(), &pb.GetSegmentRequest{Pbx: pbx, Epoch: answer.GetReceipt().GetEpoch(), FirstSeq: 1})
	require.NoError(t, err)
	var stored ledger.AnchoredSegment
	require.NoError(t, ledger.DecodeStrict(segment.GetSegmentJson(), &stored))
	require.True(t, stored.LateByAdmin)
	read, err := pb.NewCallServiceClient(w.as(t, atlas, compliance)).GetCall(t.Context(), &pb.GetCallRequest{Pbx: pbx, Leg: leg(call), IncludeDetails: true})
	require.NoError(t, err)
	require.JSONEq(t, string(gatewaytest.JSON(t, &call.Details)), string(read.GetCall().GetDetailsJson()), "its details were sealed and stored")

	one, err := adapters.GetAdapter(t.Context(), &pb.GetAdapterRequest{Fingerprint: adapter.Fingerprint})
	require.NoError(t, err)
	require.True(t, proto.Equal(revoked.GetEnrolment(), one.GetEnrolment()))
	all, err := adapters.ListAdapters(t.Context(), &pb.ListAdaptersRequest{})
	require.NoError(t, err)
	require.Greater(t, len(all.GetEnrolments()), 1)
}

func codeOf(err error) codes.Code { return status.Code(err) }
