package anchor_test

import (
	"bytes"
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/api/connect"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/gatewaytest"
	"github.com/callseal/callseal/network/networktest"
)

const (
	accepted  = pb.DeliveryState_DELIVERY_STATE_ACCEPTED
	committed = pb.DeliveryState_DELIVERY_STATE_COMMITTED
	settled   = pb.DeliveryState_DELIVERY_STATE_SETTLED
	refused   = pb.DeliveryState_DELIVERY_STATE_REFUSED
)

// testMendedByAnAdmin sends through the gateway's program what the ledger refuses,
// because nobody enrolled the adapter, and mends it as an operator does: by the
// program callseal and the services behind it.
func testMendedByAnAdmin(t *testing.T, w *world) {
	one := w.stranger(t)
	adapters := pb.NewAdapterServiceClient(w.dial(t, "admin"))
	segments := []*pb.SignedSegment{one.Segment(t, gatewaytest.Calls(t, 2)), one.Segment(t, gatewaytest.Calls(t, 1))}
	for _, segment := range segments {
		states, last := w.sent(t, one, segment)
		require.Equal(t, []pb.DeliveryState{accepted, refused}, states)
		requireDenied(t, last.GetProblem(), "an admin enrols it")
	}
	aside := w.outbox(t, one)
	require.Len(t, aside, len(segments))
	for i, entry := range aside {
		requireDenied(t, entry.GetProblem(), "an admin enrols it")
		shown := &pb.GetEntryResponse{}
		w.callseal(t, shown, "gateway", "outbox", "show", fmt.Sprint(entry.GetNumber()), "--json")
		require.Equal(t, string(segments[i].GetSegmentJson()), string(shown.GetSegmentJson()), "what the adapter signed")
	}
	replay := func(entry *pb.OutboxEntry) {
		t.Helper()
		w.callseal(t, &pb.ReplayEntriesResponse{}, "gateway", "outbox", "replay", fmt.Sprint(entry.GetNumber()), "--json")
	}
	entry := func(number int64) *pb.OutboxEntry {
		t.Helper()
		shown := &pb.GetEntryResponse{}
		w.callseal(t, shown, "gateway", "outbox", "show", fmt.Sprint(number), "--json")
		return shown.GetEntry()
	}

	// Replayed before it is mended it is refused again.
	replay(aside[0])
	require.Eventually(t, func() bool {
		again := entry(aside[0].GetNumber())
		return again.GetState() == pb.EntryState_ENTRY_STATE_REFUSED && again.GetAttempts() > aside[0].GetAttempts()
	}, patience, 50*time.Millisecond)

	_, err := pb.NewAdapterServiceClient(w.dial(t, "auditor")).EnrolAdapter(within(t, patience), &pb.EnrolAdapterRequest{CertificatePem: string(one.pem)})
	require.ErrorContains(t, err, "may not call")
	enrolled, err := adapters.EnrolAdapter(within(t, patience), &pb.EnrolAdapterRequest{CertificatePem: string(one.pem)})
	require.NoError(t, err)
	require.Equal(t, one.PBX, enrolled.GetEnrolment().GetPbx())
	require.Equal(t, one.Fingerprint, enrolled.GetEnrolment().GetFingerprint())
	for i, aside := range aside {
		replay(aside)
		var stands *pb.OutboxEntry
		require.Eventually(t, func() bool {
			stands = entry(aside.GetNumber())
			return stands.GetState() == pb.EntryState_ENTRY_STATE_SETTLED
		}, patience, 50*time.Millisecond)
		// Its adapter, which was told that it was refused, asks again.
		states, last := w.sent(t, one, segments[i])
		require.Equal(t, []pb.DeliveryState{accepted, committed, settled}, states)
		require.Equal(t, stands.GetCommit().GetTransactionId(), last.GetReceipt().GetCommit().GetTransactionId())
		require.Equal(t, "VALID", last.GetReceipt().GetCommit().GetValidationCode())
		w.requireDetails(t, segments[i])
	}
	require.Empty(t, w.outbox(t, one))
	w.requireInOrder(t, segments...)

	revoked, err := adapters.RevokeAdapter(within(t, patience), &pb.RevokeAdapterRequest{Fingerprint: one.Fingerprint})
	require.NoError(t, err)
	require.True(t, revoked.GetEnrolment().GetRevokedAt().IsValid())
	late := one.Segment(t, gatewaytest.Calls(t, 1))
	states, last := w.sent(t, one, late)
	require.Equal(t, []pb.DeliveryState{accepted, refused}, states)
	requireDenied(t, last.GetProblem(), "revoked")
	var header ledger.Segment
	require.NoError(t, ledger.DecodeStrict(late.GetSegmentJson(), &header))
	standing, _ := w.standings(t)
	require.NotContains(t, standing, header.Key())
	// A certificate that was revoked stays so: the same key signs no more.
	_, err = adapters.EnrolAdapter(within(t, patience), &pb.EnrolAdapterRequest{CertificatePem: string(one.pem)})
	require.ErrorContains(t, err, "was revoked")
	w.requireInOrder(t, segments...)
}

func requireDenied(t *testing.T, problem *pb.Problem, says string) {
	t.Helper()
	require.EqualValues(t, codes.PermissionDenied, problem.GetCode())
	require.Contains(t, problem.GetMessage(), says)
	require.True(t, problem.GetRetryable(), "somebody can mend it")
	require.NotEmpty(t, problem.GetStage())
}

// dial reaches the gateway's program as one of the operator's identities.
func (w *world) dial(t *testing.T, identity string) *grpc.ClientConn {
	t.Helper()
	org := w.Layout().Operator("Atlas")
	connection, err := connect.Dial(connect.Config{
		Address: w.atlas(t).Gateway.Address, CAFile: org.TLSCAFile(),
		CertFile: org.Identity(identity).CertFile(), KeyFile: org.Identity(identity).KeyFile(),
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = connection.Close() })
	return connection
}

// sent sends one segment on a stream of its own and answers what was told of it.
func (w *world) sent(t *testing.T, one *pbx, segment *pb.SignedSegment) (states []pb.DeliveryState, last *pb.DeliverResponse) {
	t.Helper()
	stream := w.stream(t, within(t, patience), one)
	require.NoError(t, stream.Send(&pb.DeliverRequest{Segment: segment}))
	require.NoError(t, stream.CloseSend())
	for {
		response, err := stream.Recv()
		if len(states) > 0 && err != nil {
			require.ErrorContains(t, err, "EOF")
			return states, last
		}
		require.NoError(t, err)
		states, last = append(states, response.GetState()), response
	}
}

// outbox is what callseal says is set aside of a PBX.
func (w *world) outbox(t *testing.T, one *pbx) []*pb.OutboxEntry {
	t.Helper()
	listed := &pb.ListEntriesResponse{}
	w.callseal(t, listed, "gateway", "outbox", "list", "--in", "refused", "--pbx", one.PBX, "--json")
	return listed.GetEntries()
}

// callseal runs the program as people do and reads what it prints.
func (w *world) callseal(t *testing.T, into proto.Message, arguments ...string) {
	t.Helper()
	program := filepath.Join(networktest.Build(t, "callseal"), "callseal")
	var out, problems bytes.Buffer
	command := exec.CommandContext(within(t, patience), program, append(arguments, "--state", w.Layout().Root())...)
	command.Stdout, command.Stderr = &out, &problems
	require.NoError(t, command.Run(), "%v: %s", arguments, &problems)
	require.NoError(t, protojson.Unmarshal(out.Bytes(), into), "%s", &out)
}
