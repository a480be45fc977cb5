package gateway_test

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/gatewaytest"
)

func testHealthAndReflection(t *testing.T, w *world) {
	connection := w.as(t, "Atlas", "auditor")
	w.awaitHealth(t, map[string]healthpb.HealthCheckResponse_ServingStatus{"": serving, "callseal.v1.CallService": serving, "callseal.v1.LedgerService": serving})
	stream, err := reflectionpb.NewServerReflectionClient(connection).ServerReflectionInfo(within(t, patience))
	require.NoError(t, err)
	require.NoError(t, stream.Send(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}}))
	answer, err := stream.Recv()
	require.NoError(t, err)
	var names []string
	for _, service := range answer.GetListServicesResponse().GetService() {
		names = append(names, service.GetName())
	}
	for _, name := range []string{"AnchorService", "CallService", "RecordingService", "LedgerService"} {
		require.Contains(t, names, "callseal.v1."+name)
	}
	require.NoError(t, stream.CloseSend())
}

func testAnchoring(t *testing.T, w *world) {
	receipt := w.anchor(t, gatewaytest.Call(t))

	// A peer of another operator, asked without any gateway, confirms it.
	elsewhere := openChannel(t, w.channel(t, "Borealis", "auditor", "Borealis"))
	require.Eventually(t, func() bool {
		commit, err := elsewhere.Commit(within(t, patience), receipt.GetCommit().GetTransactionId())
		return err == nil && commit.Validation == "VALID" && commit.Block == receipt.GetCommit().GetBlock() &&
			slices.Equal(commit.Endorsers, receipt.GetCommit().GetEndorsers())
	}, patience, patience/600)

	w.anchor(t, gatewaytest.Calls(t, ledger.MaxRecords)...)

	stream, err := pb.NewAnchorServiceClient(w.as(t, "Atlas", atlasPBX)).AnchorSegments(within(t, patience))
	require.NoError(t, err)
	for n := range 5 {
		require.NoError(t, stream.Send(&pb.AnchorSegmentsRequest{Segment: w.adapter.Segment(t, gatewaytest.Calls(t, n+1))}))
	}
	response, err := stream.CloseAndRecv()
	require.NoError(t, err)
	require.Len(t, response.GetReceipts(), 5)
	for n, receipt := range response.GetReceipts() {
		requireAnchored(t, receipt, n+1)
	}
}

func (w *world) incidents(t *testing.T) []*pb.Incident {
	t.Helper()
	response, err := pb.NewLedgerServiceClient(w.as(t, "Atlas", "auditor")).ListIncidents(within(t, patience), &pb.ListIncidentsRequest{Pbx: atlasPBX})
	require.NoError(t, err)
	return response.GetIncidents()
}

func (w *world) call(t *testing.T, leg ledger.LegID) (*pb.Call, error) {
	t.Helper()
	response, err := pb.NewCallServiceClient(w.as(t, "Atlas", "auditor")).GetCall(within(t, patience), &pb.GetCallRequest{Pbx: atlasPBX, Leg: legMessage(leg)})
	return response.GetCall(), err
}

func testReplays(t *testing.T, w *world) {
	call := gatewaytest.Call(t)
	twin := w.adapter.Twin()
	segment := w.adapter.Segment(t, []gatewaytest.Entry{call})
	first, err := w.send(t, segment)
	require.NoError(t, err)
	requireAnchored(t, first, 1)
	before := w.height(t)

	// The same segment again, as after a lost answer.
	again, err := w.send(t, segment)
	require.NoError(t, err)
	require.Equal(t, pb.Outcome_OUTCOME_ALREADY_ANCHORED, again.GetOutcome())
	require.Equal(t, pb.Outcome_OUTCOME_ALREADY_ANCHORED, again.GetRecords()[0].GetOutcome())
	require.Equal(t, first.GetCommit().GetTransactionId(), again.GetCommit().GetTransactionId())
	require.Equal(t, first.GetCommit().GetBlock(), again.GetCommit().GetBlock())
	require.Equal(t, first.GetCommit().GetEndorsers(), again.GetCommit().GetEndorsers())
	require.Nil(t, again.GetCommittedAt())
	require.Equal(t, before, w.height(t), "nothing is ordered again")
	require.Empty(t, w.incidents(t))

	// The same record in a later segment is told, and the segment stands.
	later, err := w.send(t, w.adapter.Segment(t, []gatewaytest.Entry{call, gatewaytest.Call(t)}))
	require.NoError(t, err)
	require.Equal(t, pb.Outcome_OUTCOME_ANCHORED, later.GetOutcome())
	require.Equal(t, pb.Outcome_OUTCOME_ALREADY_ANCHORED, later.GetRecords()[0].GetOutcome())
	require.Equal(t, pb.Outcome_OUTCOME_ANCHORED, later.GetRecords()[1].GetOutcome())

	// The same CDR with other content.
	stored, err := w.call(t, call.Record.Call.Leg)
	require.NoError(t, err)
	other := call
	changed := *call.Record.Call
	changed.BillsecMS--
	other.Record.Call = &changed
	for range 2 { // the second time says nothing new
		conflict, err := w.send(t, w.adapter.Segment(t, []gatewaytest.Entry{other}))
		require.NoError(t, err)
		require.Equal(t, pb.Outcome_OUTCOME_ANCHORED, conflict.GetOutcome(), "the segment's place in the history is taken")
		require.Equal(t, pb.Outcome_OUTCOME_CONFLICT, conflict.GetRecords()[0].GetOutcome())
	}
	incidents := w.incidents(t)
	require.Len(t, incidents, 1)
	require.Equal(t, ledger.IncidentReplay, incidents[0].GetKind())
	require.Equal(t, w.adapter.Fingerprint, incidents[0].GetSigner())
	require.NotEqual(t, incidents[0].GetStoredDigest(), incidents[0].GetOfferedDigest())
	unchanged, err := w.call(t, call.Record.Call.Leg)
	require.NoError(t, err)
	require.Equal(t, string(stored.GetRecordJson()), string(unchanged.GetRecordJson()))

	// A clone of the adapter tells another history.
	forked := gatewaytest.Call(t)
	receipt, err := w.send(t, twin.Segment(t, []gatewaytest.Entry{forked}))
	require.NoError(t, err)
	require.Equal(t, pb.Outcome_OUTCOME_CONFLICT, receipt.GetOutcome())
	require.Equal(t, pb.Outcome_OUTCOME_CONFLICT, receipt.GetRecords()[0].GetOutcome())
	_, err = w.call(t, forked.Record.Call.Leg)
	refused(t, err, codes.NotFound, "no operator has anchored this CDR leg")
	incidents = w.incidents(t)
	require.Len(t, incidents, 2)
	require.True(t, slices.ContainsFunc(incidents, func(i *pb.Incident) bool { return i.GetKind() == ledger.IncidentFork }))
}

func testConcurrent(t *testing.T, w *world) {
	const rivals = 4
	call := gatewaytest.Call(t)
	receipts, errs := make([]*pb.SegmentReceipt, rivals), make([]error, rivals)
	connection := w.as(t, "Atlas", atlasPBX)
	var sending sync.WaitGroup
	for i := range rivals {
		segment := w.adapter.Reborn(t).Segment(t, []gatewaytest.Entry{call})
		sending.Go(func() {
			response, err := pb.NewAnchorServiceClient(connection).AnchorSegment(t.Context(), &pb.AnchorSegmentRequest{Segment: segment})
			receipts[i], errs[i] = response.GetReceipt(), err
		})
	}
	sending.Wait()
	told := map[pb.Outcome]int{}
	for i := range rivals {
		require.NoError(t, errs[i])
		require.Equal(t, pb.Outcome_OUTCOME_ANCHORED, receipts[i].GetOutcome())
		told[receipts[i].GetRecords()[0].GetOutcome()]++
	}
	require.Equal(t, map[pb.Outcome]int{pb.Outcome_OUTCOME_ANCHORED: 1, pb.Outcome_OUTCOME_ALREADY_ANCHORED: rivals - 1}, told)
}

func testQueries(t *testing.T, w *world) {
	leg := gatewaytest.Call(t)
	second := gatewaytest.Call(t)
	second.Record.Call.Leg.LinkedID = leg.Record.Call.Leg.LinkedID
	audio := []byte("RIFF " + gatewaytest.Random(t, 32))
	recording := gatewaytest.Recording(t, leg.Record.Call.Leg, audio)
	receipt := w.anchor(t, leg, second, recording)
	for _, operator := range []string{"Atlas", "Borealis"} {
		t.Run("from "+operator, func(t *testing.T) {
			connection := w.as(t, operator, "auditor")
			calls, recordings := pb.NewCallServiceClient(connection), pb.NewRecordingServiceClient(connection)
			var call *pb.Call
			require.Eventually(t, func() bool { // the other operator's peer commits when it does
				got, err := calls.GetCall(within(t, patience), &pb.GetCallRequest{Msp: "AtlasMSP", Pbx: atlasPBX, Leg: legMessage(leg.Record.Call.Leg)})
				call = got.GetCall()
				return err == nil
			}, patience, patience/600)
			require.Equal(t, leg.Record.Call.DetailsDigest, call.GetDetailsDigest())
			require.Equal(t, int64(28_000), call.GetBillsecMs())
			require.Equal(t, receipt.GetFirstSeq(), call.GetPlace().GetSegment())
			require.Empty(t, call.GetDetailsJson())
			var record ledger.Record
			require.NoError(t, ledger.DecodeStrict(call.GetRecordJson(), &record))
			require.NoError(t, record.Check())

			legs, err := calls.ListLegs(within(t, patience), &pb.ListLegsRequest{Msp: "AtlasMSP", Pbx: atlasPBX, Linkedid: leg.Record.Call.Leg.LinkedID})
			require.NoError(t, err)
			require.Len(t, legs.GetCalls(), 2)

			seen := map[string]bool{}
			token := ""
			for pages := 0; ; pages++ {
				page, err := calls.ListCalls(within(t, patience), &pb.ListCallsRequest{Msp: "AtlasMSP", Pbx: atlasPBX, PageSize: 200, PageToken: token})
				require.NoError(t, err)
				for _, call := range page.GetCalls() {
					id := call.GetLeg().String()
					require.False(t, seen[id], "no leg is listed twice")
					seen[id] = true
				}
				if token = page.GetNextPageToken(); token == "" {
					require.GreaterOrEqual(t, pages, 2)
					break
				}
			}
			require.Greater(t, len(seen), 500)
			_, err = calls.ListCalls(within(t, patience), &pb.ListCallsRequest{Msp: "AtlasMSP", Pbx: atlasPBX, PageSize: 1001})
			refused(t, err, codes.InvalidArgument, "page_size must be")

			want := recording.Record.Recording
			got, err := recordings.GetRecording(within(t, patience), &pb.GetRecordingRequest{Msp: "AtlasMSP", Pbx: atlasPBX, Id: want.ID})
			require.NoError(t, err)
			require.Equal(t, want.SHA512, got.GetRecording().GetSha512())
			listed, err := recordings.ListRecordings(within(t, patience), &pb.ListRecordingsRequest{Msp: "AtlasMSP", Pbx: atlasPBX, Linkedid: want.Leg.LinkedID})
			require.NoError(t, err)
			require.Len(t, listed.GetRecordings(), 1)
			found, err := recordings.FindRecordings(within(t, patience), &pb.FindRecordingsRequest{Sha256: want.SHA256})
			require.NoError(t, err)
			require.Len(t, found.GetRecordings(), 1)
			require.Equal(t, want.ID, found.GetRecordings()[0].GetId())
			found, err = recordings.FindRecordings(within(t, patience), &pb.FindRecordingsRequest{Sha256: strings.Repeat("0", 64)})
			require.NoError(t, err)
			require.Empty(t, found.GetRecordings())
			_, err = recordings.GetRecording(within(t, patience), &pb.GetRecordingRequest{Msp: "AtlasMSP", Pbx: atlasPBX, Id: want.ID, Revision: 2})
			refused(t, err, codes.NotFound, "recording")
			_, err = recordings.FindRecordings(within(t, patience), &pb.FindRecordingsRequest{})
			refused(t, err, codes.InvalidArgument, "sha256")

			segment, err := pb.NewLedgerServiceClient(connection).GetSegment(within(t, patience), &pb.GetSegmentRequest{
				Msp: "AtlasMSP", Pbx: atlasPBX, Epoch: receipt.GetEpoch(), FirstSeq: receipt.GetFirstSeq(),
			})
			require.NoError(t, err)
			require.Equal(t, receipt.GetCommit().GetTransactionId(), segment.GetCommit().GetTransactionId())
			require.Equal(t, "VALID", segment.GetCommit().GetValidationCode())
			require.Len(t, segment.GetCommit().GetEndorsers(), 2)
		})
	}
	_, err := pb.NewCallServiceClient(w.as(t, "Atlas", "auditor")).GetCall(within(t, patience), &pb.GetCallRequest{Msp: "NobodyMSP", Pbx: atlasPBX, Leg: legMessage(leg.Record.Call.Leg)})
	refused(t, err, codes.NotFound, "no operator has anchored this CDR leg")
	_, err = pb.NewCallServiceClient(w.as(t, "Atlas", "auditor")).GetCall(within(t, patience), &pb.GetCallRequest{}, grpc.WaitForReady(true))
	refused(t, err, codes.InvalidArgument, "leg is required")
}
