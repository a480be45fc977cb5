package view_test

import (
	"context"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/api/connect"
	"github.com/callseal/callseal/asterisk-adapter/admission"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/chaincode/reputation"
	"github.com/callseal/callseal/network"
	"github.com/callseal/callseal/network/networktest"
)

func TestMain(m *testing.M) { os.Exit(networktest.Finish(m.Run())) }

const (
	patience = time.Minute
	caller   = "tel:+351210009999"
	quiet    = "tel:+351210008888"
	own      = "sip:600@pbx.atlas.example"
	foreign  = "sip:700@pbx.borealis.example"
)

type world struct {
	*networktest.Network
	adapter map[string]string // by operator
}

func (w *world) as(t *testing.T, operator, identity string) *grpc.ClientConn {
	t.Helper()
	var member network.Member
	for _, one := range w.Consortium().Members() {
		if one.Name == operator {
			member = one
		}
	}
	org := w.Layout().Operator(operator)
	connection, err := connect.Dial(connect.Config{
		Address: member.Gateway.Address, CAFile: org.TLSCAFile(), CertFile: org.Identity(identity).CertFile(), KeyFile: org.Identity(identity).KeyFile(),
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = connection.Close() })
	return connection
}

// report has an operator's gateway count evidence; the answer comes when it stands.
func (w *world) report(t *testing.T, operator, subject, kind string, count int64) {
	t.Helper()
	_, err := pb.NewReputationServiceClient(w.as(t, operator, w.adapter[operator])).Report(t.Context(), &pb.ReportRequest{
		Evidence: []*pb.Evidence{{Subject: subject, Kind: kind, Count: count, Attempts: count}},
	})
	require.NoError(t, err)
}

func (w *world) register(t *testing.T, operator, aor string) *pb.Device {
	t.Helper()
	registered, err := pb.NewDeviceServiceClient(w.as(t, operator, "admin")).RegisterDevice(t.Context(), &pb.RegisterDeviceRequest{
		Kind: ledger.DevicePhone, Identity: &pb.DeviceIdentity{Aors: []string{aor}},
	})
	require.NoError(t, err)
	return registered.GetDevice()
}

// An adapter's view answers from memory what the ledger answers, after a copy,
// after increments, after its gateway was killed, and says how old it is.
func TestAdaptersViewIsTheLedgers(t *testing.T) {
	w := &world{Network: networktest.Start(t, networktest.WithGateways()), adapter: map[string]string{}}
	for _, operator := range w.Consortium().Operators {
		w.adapter[operator.Name] = operator.PBXs[0]
	}
	negative := kindOf(t, ledger.SignNegative)

	// Before anybody watches: this comes with the copy.
	w.report(t, "Borealis", caller, negative, 20)
	registered := w.register(t, "Atlas", own)
	w.register(t, "Borealis", foreign)

	connection := w.as(t, "Atlas", w.adapter["Atlas"])
	view := admission.New()
	following, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		view.Run(following, pb.NewViewServiceClient(connection), slog.New(slog.DiscardHandler))
		close(ended)
	}()
	t.Cleanup(func() { stop(); <-ended })
	agrees := func(subject string, holders int64) {
		t.Helper()
		require.Eventually(t, func() bool {
			answer, err := pb.NewReputationServiceClient(connection).GetScore(t.Context(), &pb.GetScoreRequest{Subject: subject})
			if err != nil {
				return false // the gateway may be on its way back
			}
			var wanted ledger.Reputation
			require.NoError(t, ledger.DecodeStrict(answer.GetReputation().GetReputationJson(), &wanted))
			got, err := view.Reputation(subject, answer.GetReputation().GetAt().AsTime())
			return err == nil && wanted.Holders == holders && equal(t, wanted, got)
		}, patience, 50*time.Millisecond, "the view and the ledger must agree on %s", subject)
	}
	verdict := func(aor, wanted string) {
		t.Helper()
		require.Eventually(t, func() bool {
			judged, err := view.Device(aor, time.Now())
			return err == nil && judged.Verdict == wanted
		}, patience, 20*time.Millisecond, "%s must come to be %s", aor, wanted)
	}
	agrees(caller, 1)
	agrees(quiet, 0)
	verdict(own, ledger.VerdictRegistered)
	verdict(foreign, ledger.VerdictUnregistered) // another operator's word lets nobody pass here

	// Increments.
	w.report(t, "Corvus", caller, negative, 20)
	agrees(caller, 2)
	blocked, err := view.Reputation(caller, time.Now())
	require.NoError(t, err)
	require.True(t, blocked.Standing.Blocks(), "two operators agree")
	devices := pb.NewDeviceServiceClient(w.as(t, "Atlas", "admin"))
	_, err = devices.SuspendDevice(t.Context(), &pb.SuspendDeviceRequest{Id: registered.GetId(), After: registered.GetN(), Reason: ledger.DeviceReasonLost})
	require.NoError(t, err)
	verdict(own, ledger.VerdictSuspended)

	// The gateway dies; the view answers on, and goes on from where it was.
	before := view.Freshness()
	w.Kill("atlas-gateway")
	w.report(t, "Borealis", quiet, negative, 1)
	verdict(own, ledger.VerdictSuspended)
	w.StartNode("atlas-gateway")
	agrees(quiet, 1)
	require.Greater(t, view.Freshness().Height, before.Height)
	require.Zero(t, view.Freshness().Unreadable)

	// A cursor that means nothing begins anew; no role but the adapter's may watch.
	stream, err := pb.NewViewServiceClient(connection).WatchAdmission(t.Context(), &pb.WatchAdmissionRequest{Cursor: "00.1.2"})
	require.NoError(t, err)
	message, err := stream.Recv()
	require.NoError(t, err)
	require.True(t, message.GetStart().GetRestart())
	stream, err = pb.NewViewServiceClient(w.as(t, "Atlas", "auditor")).WatchAdmission(t.Context(), &pb.WatchAdmissionRequest{})
	require.NoError(t, err)
	_, err = stream.Recv()
	require.Equal(t, codes.PermissionDenied, status.Code(err))
}

// kindOf is a kind of evidence of the policy that holds at first.
func kindOf(t *testing.T, sign string) string {
	t.Helper()
	policy, err := ledger.DefaultPolicy(ledger.PolicyReputation)
	require.NoError(t, err)
	for _, kind := range policy.Policy.Reputation.Kinds {
		if kind.Sign == sign && kind.Weight >= reputation.One {
			return kind.Kind
		}
	}
	t.Fatalf("no kind of evidence is %s", sign)
	return ""
}

func equal(t *testing.T, a, b ledger.Reputation) bool {
	t.Helper()
	x, err := ledger.Canonical(&a)
	require.NoError(t, err)
	y, err := ledger.Canonical(&b)
	require.NoError(t, err)
	return string(x) == string(y)
}
