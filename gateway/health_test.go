package gateway_test

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/google/renameio/v2"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/gatewaytest"
	"github.com/callseal/callseal/gateway/health"
	"github.com/callseal/callseal/network/msp"
)

const (
	serving    = healthpb.HealthCheckResponse_SERVING
	notServing = healthpb.HealthCheckResponse_NOT_SERVING
)

// statuses are what names of the health service are, or should be.
type statuses map[string]healthpb.HealthCheckResponse_ServingStatus

// awaitHealth polls Atlas's gateway until each name has its status.
func (w *world) awaitHealth(t *testing.T, wanted statuses) {
	t.Helper()
	client := healthpb.NewHealthClient(w.as(t, "Atlas", "auditor"))
	for name, status := range wanted {
		var last healthpb.HealthCheckResponse_ServingStatus
		require.Eventually(t, func() bool {
			answer, err := client.Check(within(t, patience), &healthpb.HealthCheckRequest{Service: name}, grpc.WaitForReady(true))
			last = answer.GetStatus()
			return err == nil && last == status
		}, patience, 50*time.Millisecond, "%q must become %s", name, status)
	}
}

// readyz reads the page that agrees with the health service.
func (w *world) readyz(t *testing.T) (int, health.Report) {
	t.Helper()
	answer, err := http.Get("http://" + w.member(t, "Atlas").Gateway.Metrics + "/readyz")
	require.NoError(t, err)
	defer func() { _ = answer.Body.Close() }()
	var report health.Report
	require.NoError(t, json.NewDecoder(answer.Body).Decode(&report))
	return answer.StatusCode, report
}

func (w *world) dependency(t *testing.T, name string) health.State {
	t.Helper()
	_, report := w.readyz(t)
	for _, one := range report.Dependencies {
		if one.Name == name {
			return one
		}
	}
	t.Fatalf("no dependency %s", name)
	return health.State{}
}

// Each thing that the gateway stands on is killed, and seen to go and to return.
// Accepting goes on through all of it.
func testHealth(t *testing.T, w *world) {
	all := statuses{}
	for _, name := range []string{"", "journal", "peer", "ledger", "orderer", "disk", "identity", "index", "audit", "credentials", "callseal.v1.AnchorService", "callseal.v1.SearchService", "callseal.v1.CallService", "callseal.v1.DeviceService", "callseal.v1.StatusService"} {
		all[name] = serving
	}
	w.awaitHealth(t, all)
	for _, c := range []struct {
		name    string
		nodes   []string
		away    []string
		stays   []string
		because map[string]string
	}{
		{"the own peer", []string{"atlas-peer"},
			[]string{"peer", "ledger", "index", "callseal.v1.SearchService", "callseal.v1.CallService", "callseal.v1.AboutService", "callseal.v1.DeviceService"}, []string{"", "journal", "callseal.v1.AnchorService"},
			map[string]string{"peer": "the peer cannot be reached"}},
		{"the own chaincode service", []string{"atlas-chaincode"},
			[]string{"ledger", "callseal.v1.CallService"}, []string{"", "peer", "orderer", "callseal.v1.AnchorService"},
			map[string]string{"ledger": "chaincode"}},
		{"the orderers' quorum", []string{"corvus-orderer", "meridian-orderer"},
			[]string{"orderer", "callseal.v1.DeviceService"}, []string{"", "peer", "ledger", "callseal.v1.AnchorService"},
			map[string]string{"orderer": "2 of 4 orderers can be reached, 3 are needed"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, node := range c.nodes {
				w.Kill(node)
			}
			wanted := statuses{}
			for _, name := range c.away {
				wanted[name] = notServing
			}
			w.awaitHealth(t, wanted)
			for name, says := range c.because {
				require.Contains(t, w.dependency(t, name).Reason, says)
			}
			clear(wanted)
			for _, name := range c.stays {
				wanted[name] = serving
			}
			w.awaitHealth(t, wanted)
			code, report := w.readyz(t)
			require.Equal(t, http.StatusOK, code, "it accepts")
			require.True(t, report.Serving)
			for _, node := range c.nodes {
				w.StartNode(node)
			}
			w.awaitHealth(t, all)
		})
	}
	t.Run("one orderer of four is not missed", func(t *testing.T) {
		w.Kill("meridian-orderer")
		time.Sleep(3 * time.Second)
		w.awaitHealth(t, statuses{"orderer": serving})
		w.StartNode("meridian-orderer")
	})
}

func testStatus(t *testing.T, w *world) {
	status, err := pb.NewStatusServiceClient(w.as(t, "Atlas", "auditor")).GetStatus(within(t, patience), &pb.GetStatusRequest{})
	require.NoError(t, err)
	require.Equal(t, "AtlasMSP", status.GetMsp())
	require.True(t, status.GetAccepting())
	require.NotEmpty(t, status.GetChaincodeVersion())
	require.Equal(t, w.height(t), status.GetLedger().GetPeer())
	require.Len(t, status.GetPeers(), 1)
	require.True(t, status.GetPeers()[0].GetReachable())
	require.Len(t, status.GetCertificates(), 3)
	for _, one := range status.GetCertificates() {
		require.True(t, one.GetNotAfter().AsTime().After(time.Now()))
	}
	_, err = pb.NewStatusServiceClient(w.as(t, "Atlas", atlasPBX)).GetStatus(within(t, patience), &pb.GetStatusRequest{})
	require.ErrorContains(t, err, "may not call")

	answer, err := http.Get("http://" + w.member(t, "Atlas").Gateway.Metrics + "/metrics")
	require.NoError(t, err)
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	for _, says := range []string{
		"callseal_gateway_build_info{", "go_goroutines", "process_resident_memory_bytes",
		`grpc_server_handled_total{grpc_code="OK",grpc_method="GetStatus",grpc_service="callseal.v1.StatusService",grpc_type="unary"}`,
		`callseal_gateway_health_serving{name="accept"} 1`, `callseal_gateway_health_orderers{which="needed"} 3`,
		`callseal_gateway_health_certificate_not_after_seconds{certificate="identity"}`,
	} {
		require.Contains(t, string(text), says)
	}
}

// An identity that has expired stops what it would sign for, and nothing else; the
// renewed one is taken up.
func testExpiredIdentity(t *testing.T, w *world) {
	files := w.Layout().Operator("Atlas").Identity("gateway")
	expired := w.issue(t, "Atlas", msp.Request{
		CommonName: "gateway", Unit: msp.UnitClient, Attributes: map[string]string{msp.AttributeRole: "gateway"},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour),
	})
	good, err := os.ReadFile(files.CertFile())
	require.NoError(t, err)
	bad, err := os.ReadFile(expired.CertFile)
	require.NoError(t, err)
	require.NoError(t, renameio.WriteFile(files.CertFile(), bad, 0o600))
	t.Cleanup(func() { require.NoError(t, renameio.WriteFile(files.CertFile(), good, 0o600)) })
	w.awaitHealth(t, statuses{"identity": notServing, "callseal.v1.DeviceService": notServing, "callseal.v1.PolicyService": notServing})
	require.Contains(t, w.dependency(t, "identity").Reason, "expired on")
	w.awaitHealth(t, statuses{"": serving, "callseal.v1.AnchorService": serving, "callseal.v1.SearchService": serving})
	require.NoError(t, renameio.WriteFile(files.CertFile(), good, 0o600))
	w.awaitHealth(t, statuses{"identity": serving, "callseal.v1.DeviceService": serving})
}

// A PostgreSQL that is stopped is told of though no block comes: what is served from
// it, and nothing else, is away. When it is back the index catches up by itself.
func testIndexAway(t *testing.T, w *world) {
	search := pb.NewSearchServiceClient(w.as(t, "Atlas", "auditor"))
	find := func(leg ledger.LegID) (int, error) {
		found, err := search.ListConversationLegs(within(t, patience), &pb.ListConversationLegsRequest{Pbx: atlasPBX, Linkedid: leg.LinkedID})
		return len(found.GetCalls()), err
	}
	w.postgres.Stop()
	w.awaitHealth(t, statuses{"index": notServing, "callseal.v1.SearchService": notServing, "callseal.v1.WatchService": notServing, "callseal.v1.ViewService": notServing})
	require.Contains(t, w.dependency(t, "index").Reason, "database does not answer")
	w.awaitHealth(t, statuses{"": serving, "callseal.v1.AnchorService": serving, "callseal.v1.CallService": serving, "callseal.v1.DeviceService": serving})
	call := gatewaytest.Call(t)
	_, err := find(call.Record.Call.Leg)
	info := refused(t, err, codes.Unavailable, "database does not answer")
	require.Equal(t, "true", info.GetMetadata()["retryable"])
	w.anchor(t, call) // accepted, committed and settled meanwhile
	w.postgres.Again()
	w.awaitHealth(t, statuses{"index": serving, "callseal.v1.SearchService": serving, "callseal.v1.WatchService": serving, "callseal.v1.ViewService": serving})
	require.Eventually(t, func() bool {
		legs, err := find(call.Record.Call.Leg)
		return err == nil && legs == 1
	}, patience, 20*time.Millisecond, "it catches up")
}
