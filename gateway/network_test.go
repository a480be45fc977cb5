package gateway_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/api/connect"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway"
	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/gatewaytest"
	"github.com/callseal/callseal/gateway/index/postgrestest"
	"github.com/callseal/callseal/gateway/setting"
	"github.com/callseal/callseal/network"
	"github.com/callseal/callseal/network/msp"
	"github.com/callseal/callseal/network/networktest"
)

func TestMain(m *testing.M) { os.Exit(networktest.Finish(m.Run())) }

const (
	atlasPBX = "atlas-pbx-1"
	patience = time.Minute
)

// TestOnARealNetwork runs everything that needs one on a single network of three
// operators. Atlas's gateway runs in this process, under its race detector; the
// others are programs of their own. What kills nodes comes last.
func TestOnARealNetwork(t *testing.T) {
	w := &world{Network: networktest.Start(t, networktest.WithGateways()), postgres: postgrestest.Start(t)}
	w.adopt(t)
	w.adapter = w.atlasAdapter(t)
	for _, part := range []struct {
		name string
		run  func(*testing.T, *world)
	}{
		{"health and reflection", testHealthAndReflection},
		{"anchoring", testAnchoring},
		{"replays", testReplays},
		{"concurrent anchors of one record", testConcurrent},
		{"queries", testQueries},
		{"details", testDetails},
		{"bad input", testBadInput},
		{"callers", testCallers},
		{"a chaincode service is away", testChaincodeAway},
		{"the own peer is away", testPeerAway},
		{"two operators are away", testTwoOperatorsAway},
		{"health tells the truth", testHealth},
		{"an expired identity", testExpiredIdentity},
		{"the index's database is away", testIndexAway},
		{"status", testStatus},
		{"traces", testTraces},
		{"nothing personal in clear", testNothingInClear},
	} {
		t.Run(part.name, func(t *testing.T) { part.run(t, w) })
	}
}

// world is the network with Atlas's gateway in this process.
type world struct {
	*networktest.Network
	adapter  *gatewaytest.Adapter
	postgres *postgrestest.Server // of Atlas's index
	log      lockedBuffer
	spans    receiver
}

type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) Bytes() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bytes.Clone(b.text.Bytes())
}

// adopt replaces Atlas's gateway by one in this process.
func (w *world) adopt(t *testing.T) {
	t.Helper()
	w.Stop("atlas-gateway")
	config, err := gateway.LoadConfig(w.Layout().Operator("Atlas").GatewayConfig())
	require.NoError(t, err)
	config.Index.Postgres.DSN = setting.Secret(w.postgres.Database())
	w.collect(t, config)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- gateway.Run(ctx, config, slog.New(slog.NewTextHandler(&w.log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	}()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
		if t.Failed() {
			t.Logf("the gateway's log:\n%s", w.log.Bytes())
		}
	})
	w.await(t, healthpb.HealthCheckResponse_SERVING)
}

func (w *world) atlasAdapter(t *testing.T) *gatewaytest.Adapter {
	t.Helper()
	files := w.Layout().Operator("Atlas").Identity(atlasPBX)
	return gatewaytest.Load(t, "AtlasMSP", atlasPBX, files.CertFile(), files.KeyFile())
}

func (w *world) member(t *testing.T, name string) network.Member {
	t.Helper()
	for _, member := range w.Consortium().Members() {
		if member.Name == name {
			return member
		}
	}
	t.Fatalf("no member %s", name)
	return network.Member{}
}

// access is how a member's identity reaches its own gateway.
func (w *world) access(t *testing.T, operator, identity string) connect.Config {
	t.Helper()
	org := w.Layout().Operator(operator)
	return connect.Config{
		Address: w.member(t, operator).Gateway.Address, CAFile: org.TLSCAFile(),
		CertFile: org.Identity(identity).CertFile(), KeyFile: org.Identity(identity).KeyFile(),
	}
}

func dial(t *testing.T, config connect.Config) *grpc.ClientConn {
	t.Helper()
	connection, err := connect.Dial(config)
	require.NoError(t, err)
	t.Cleanup(func() { _ = connection.Close() })
	return connection
}

func (w *world) as(t *testing.T, operator, identity string) *grpc.ClientConn {
	t.Helper()
	return dial(t, w.access(t, operator, identity))
}

// issue makes an identity of the operator and answers the access with it.
func (w *world) issue(t *testing.T, operator string, request msp.Request) connect.Config {
	t.Helper()
	org := w.Layout().Operator(operator)
	read := func(path string) []byte {
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		return content
	}
	issuer, err := msp.ParseIssuer(msp.Pair{CertPEM: read(org.EnrolmentCAFile()), KeyPEM: read(org.EnrolmentCAKeyFile())})
	require.NoError(t, err)
	pair, err := issuer.Issue(request)
	require.NoError(t, err)
	config := w.access(t, operator, "gateway")
	config.CertFile, config.KeyFile = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	require.NoError(t, os.WriteFile(config.CertFile, pair.CertPEM, 0o600))
	require.NoError(t, os.WriteFile(config.KeyFile, pair.KeyPEM, 0o600))
	return config
}

// channel is the channel as a member's identity sees it through a peer.
func (w *world) channel(t *testing.T, operator, identity, peer string) fabric.Config {
	t.Helper()
	files := w.Layout().Operator(operator).Identity(identity)
	return fabric.Config{
		MSP: w.member(t, operator).MSP, Channel: w.Consortium().Channel, Chaincode: w.Consortium().Chaincode,
		Peers:       []fabric.PeerConfig{{Address: w.member(t, peer).Peer.Address, CAFile: w.Layout().Operator(peer).TLSCAFile()}},
		TLSCertFile: files.TLSCertFile(), TLSKeyFile: files.TLSKeyFile(), CertFile: files.CertFile(), KeyFile: files.KeyFile(),
	}
}

func openChannel(t *testing.T, config fabric.Config) *fabric.Channel {
	t.Helper()
	channel, err := fabric.Open(config)
	require.NoError(t, err)
	t.Cleanup(func() { _ = channel.Close() })
	return channel
}

func within(t *testing.T, bound time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	t.Cleanup(cancel)
	return ctx
}

// await polls Atlas's gateway for a health.
func (w *world) await(t *testing.T, wanted healthpb.HealthCheckResponse_ServingStatus) {
	t.Helper()
	client := healthpb.NewHealthClient(w.as(t, "Atlas", "auditor"))
	ctx := within(t, patience)
	for {
		answer, err := client.Check(ctx, &healthpb.HealthCheckRequest{Service: "callseal.v1.AnchorService"}, grpc.WaitForReady(true))
		require.NoError(t, err, "waiting for %s", wanted)
		if answer.GetStatus() == wanted {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// send anchors a segment through Atlas's gateway as its adapter.
func (w *world) send(t *testing.T, segment *pb.SignedSegment) (*pb.SegmentReceipt, error) {
	t.Helper()
	return sendAs(t, w.as(t, "Atlas", atlasPBX), segment)
}

func sendAs(t *testing.T, connection *grpc.ClientConn, segment *pb.SignedSegment) (*pb.SegmentReceipt, error) {
	t.Helper()
	response, err := pb.NewAnchorServiceClient(connection).AnchorSegment(within(t, patience), &pb.AnchorSegmentRequest{Segment: segment})
	return response.GetReceipt(), err
}

// anchor sends what must be anchored whole.
func (w *world) anchor(t *testing.T, entries ...gatewaytest.Entry) *pb.SegmentReceipt {
	t.Helper()
	receipt, err := w.send(t, w.adapter.Segment(t, entries))
	require.NoError(t, err)
	requireAnchored(t, receipt, len(entries))
	return receipt
}

func requireAnchored(t *testing.T, receipt *pb.SegmentReceipt, records int) {
	t.Helper()
	require.Equal(t, pb.Outcome_OUTCOME_ANCHORED, receipt.GetOutcome())
	require.Len(t, receipt.GetRecords(), records)
	for i, record := range receipt.GetRecords() {
		require.Equal(t, pb.Outcome_OUTCOME_ANCHORED, record.GetOutcome())
		require.Equal(t, receipt.GetFirstSeq()+int64(i), record.GetSeq())
	}
	require.Equal(t, "VALID", receipt.GetCommit().GetValidationCode())
	require.Len(t, receipt.GetCommit().GetEndorsers(), 2)
	require.NotEqual(t, receipt.GetCommit().GetEndorsers()[0], receipt.GetCommit().GetEndorsers()[1])
	require.True(t, receipt.GetCommittedAt().IsValid())
}

// refused checks an error's code and that it is a sentence, and answers its
// ErrorInfo.
func refused(t *testing.T, err error, code codes.Code, says string) *errdetails.ErrorInfo {
	t.Helper()
	given := status.Convert(err)
	require.Equal(t, code, given.Code(), "%v", err)
	require.Contains(t, given.Message(), says)
	require.NotContains(t, given.Message(), "\n")
	require.NotContains(t, given.Message(), "rpc error")
	for _, detail := range given.Details() {
		if info, is := detail.(*errdetails.ErrorInfo); is {
			return info
		}
	}
	t.Fatalf("no ErrorInfo in %v", err)
	return nil
}

func (w *world) height(t *testing.T) uint64 {
	t.Helper()
	height, err := openChannel(t, w.channel(t, "Atlas", "auditor", "Atlas")).Height(within(t, patience))
	require.NoError(t, err)
	return height
}

func legMessage(leg ledger.LegID) *pb.LegId {
	return &pb.LegId{Linkedid: leg.LinkedID, Uniqueid: leg.UniqueID, Sequence: leg.Sequence}
}
