package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/anchor"
	"github.com/callseal/callseal/gateway/erasure"
	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/fault"
	"github.com/callseal/callseal/gateway/index"
	"github.com/callseal/callseal/gateway/journal"
	"github.com/callseal/callseal/gateway/limit"
	"github.com/callseal/callseal/gateway/seal"
	"github.com/callseal/callseal/gateway/trail"
	"github.com/callseal/callseal/gateway/view"
	"github.com/callseal/callseal/network/msp"
)

// newServer is a gateway's server whose peer is not there.
func newServer(t *testing.T) *Server {
	t.Helper()
	folder := t.TempDir()
	file := func(name string, content []byte) string {
		path := filepath.Join(folder, name)
		require.NoError(t, os.WriteFile(path, content, 0o600))
		return path
	}
	issuer, err := msp.NewIssuer("CA", "Atlas")
	require.NoError(t, err)
	pair, err := issuer.Issue(msp.Request{CommonName: "gateway", Hosts: []string{"127.0.0.1"}})
	require.NoError(t, err)
	authority, cert, key := file("ca.pem", issuer.Pair().CertPEM), file("cert.pem", pair.CertPEM), file("key.pem", pair.KeyPEM)
	config := DefaultConfig()
	config.CertFile, config.KeyFile, config.ClientCAFile = cert, key, authority
	return assemble(t, config, nil, slog.New(slog.DiscardHandler))
}

// assemble is a server of the configuration whose peer is not there.
func assemble(t testing.TB, config Config, audit *trail.Trail, log *slog.Logger) *Server {
	t.Helper()
	folder, err := os.MkdirTemp(t.TempDir(), "state")
	require.NoError(t, err)
	channel, err := fabric.Open(fabric.Config{
		MSP: "AtlasMSP", Channel: "calls", Chaincode: "callseal", Peers: []fabric.PeerConfig{{Address: "127.0.0.1:1", CAFile: config.ClientCAFile}},
		TLSCertFile: config.CertFile, TLSKeyFile: config.KeyFile, CertFile: config.CertFile, KeyFile: config.KeyFile,
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = channel.Close() })
	keyring, err := seal.Open(filepath.Join(folder, "keyring.db"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = keyring.Close() })
	erasures, err := erasure.OpenJournal(filepath.Join(folder, "erasures.db"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = erasures.Close() })
	kept := journal.DefaultConfig()
	kept.ReserveBytes, kept.MinFreeBytes = 1<<20, 1<<20
	accepted, err := journal.Open(filepath.Join(folder, "journal"), kept, log)
	require.NoError(t, err)
	t.Cleanup(func() { _ = accepted.Close() })
	pipeline, err := anchor.New(anchor.Parts{Channel: channel, Journal: accepted, Keyring: keyring, Log: log}, anchor.DefaultConfig())
	require.NoError(t, err)
	running, stop := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- pipeline.Run(running) }()
	t.Cleanup(func() { stop(); <-ran })
	indexed := index.DefaultConfig()
	indexed.SQLiteFile = filepath.Join(folder, "index.db")
	rows, err := index.Open(t.Context(), indexed, index.Subject{MSP: "AtlasMSP", Channel: "calls", Chaincode: "callseal"}, log, nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = rows.Close() })
	admission, err := view.NewAdmission(rows, "AtlasMSP")
	require.NoError(t, err)
	made, err := New(config, Parts{
		Channel: channel, Keyring: keyring, Eraser: erasure.New(channel, keyring, erasures, log), Trail: audit,
		Journal: accepted, Pipeline: pipeline, Window: 8, Index: rows, View: admission,
		Status: func(context.Context) (*pb.GetStatusResponse, error) { return &pb.GetStatusResponse{}, nil },
	}, log)
	require.NoError(t, err)
	return made
}

// A service whose part the gateway lacks says so, in a sentence, and does not fail.
func TestWhatIsLackingSaysSo(t *testing.T) {
	h := newHouse(t)
	h.chain.lacking = (&Parts{}).lacks()
	for service := range h.chain.lacking {
		require.Contains(t, h.grpc.GetServiceInfo(), service)
	}
	admin, adapter := h.dial(h.issue(h.issuer, "admin")), h.dial(h.issue(h.issuer, "adapter"))
	_, err := pb.NewOutboxServiceClient(admin).ListEntries(t.Context(), &pb.ListEntriesRequest{})
	requireStatus(t, err, codes.FailedPrecondition, "it has no outbox")
	_, err = pb.NewStatusServiceClient(admin).GetStatus(t.Context(), &pb.GetStatusRequest{})
	requireStatus(t, err, codes.FailedPrecondition, "does not watch itself")
	_, err = pb.NewAnchorServiceClient(adapter).AnchorSegment(t.Context(), &pb.AnchorSegmentRequest{})
	requireStatus(t, err, codes.FailedPrecondition, "without a pipeline")
	stream, err := pb.NewViewServiceClient(adapter).WatchAdmission(t.Context(), &pb.WatchAdmissionRequest{})
	require.NoError(t, err)
	_, err = stream.Recv()
	requireStatus(t, err, codes.FailedPrecondition, "no index to stream")
	_, err = pb.NewErasureServiceClient(h.dial(h.issue(h.issuer, "compliance"))).Erase(t.Context(), goodErase())
	requireStatus(t, err, codes.FailedPrecondition, "runs no erasures")
}

// Every method that is served stands in the table of who may call what, and
// nothing else does.
func TestEveryMethodHasItsRoles(t *testing.T) {
	var served []string
	for service, info := range newServer(t).grpc.GetServiceInfo() {
		for _, method := range info.Methods {
			served = append(served, "/"+service+"/"+method.Name)
		}
	}
	for _, method := range served {
		require.Contains(t, allowed, method, "%s is served but nobody may call it: add its line to the table in authz.go", method)
	}
	for method, rule := range allowed {
		require.Contains(t, served, method, "%s is in the table in authz.go but no service has it", method)
		require.NotEmpty(t, rule.roles, method)
		require.Contains(t, limit.Classes, rule.class, method)
	}
}

func TestAuthorize(t *testing.T) {
	const anchor, read, health = "/callseal.v1.AnchorService/AnchorSegment", "/callseal.v1.CallService/GetCall", "/grpc.health.v1.Health/Check"
	for _, c := range []struct {
		role   ledger.Role
		method string
		may    bool
	}{
		{ledger.RoleAdapter, anchor, true},
		{ledger.RoleGateway, anchor, false},
		{ledger.RoleAuditor, anchor, false},
		{ledger.RoleCompliance, anchor, false},
		{ledger.RoleAdmin, anchor, false},
		{"", anchor, false},
		{ledger.RoleAuditor, read, true},
		{ledger.RoleCompliance, read, true},
		{ledger.RoleAdapter, read, true},
		{"visitor", read, false},
		{ledger.RoleAdapter, health, true},
		{"visitor", health, false},
		{ledger.RoleCompliance, "/callseal.v1.ErasureService/Erase", true},
		{ledger.RoleGateway, "/callseal.v1.ErasureService/Erase", false},
		{ledger.RoleAdmin, "/callseal.v1.ErasureService/Erase", false},
		{ledger.RoleAuditor, "/callseal.v1.ErasureService/GetErasure", true},
		{ledger.RoleAdmin, "/callseal.v1.CallService/Unheard", false},
	} {
		err := authorize(caller{role: c.role}, c.method)
		if c.may {
			require.NoError(t, err, "%s %s", c.role, c.method)
			continue
		}
		require.Equal(t, fault.Denied, fault.Of(err).Kind, "%s %s", c.role, c.method)
	}
}

func TestAuthorizePBXAndDetails(t *testing.T) {
	require.NoError(t, authorizePBX(caller{role: ledger.RoleAdapter, pbx: "pbx1"}, "pbx1"))
	require.NoError(t, authorizePBX(caller{role: ledger.RoleAuditor}, "pbx1"))
	require.ErrorContains(t, authorizePBX(caller{role: ledger.RoleAdapter, pbx: "pbx1"}, "pbx2"), "callseal.pbx")
	for _, role := range readers {
		own := authorizeDetails(caller{role: role}, "AtlasMSP", "AtlasMSP")
		if role == ledger.RoleCompliance {
			require.NoError(t, own)
		} else {
			require.Equal(t, fault.Denied, fault.Of(own).Kind, role)
		}
		require.ErrorContains(t, authorizeDetails(caller{role: role}, "AtlasMSP", "BorealisMSP"), "that operator's alone")
	}
}

func TestStatusOfEveryKind(t *testing.T) {
	for kind, code := range map[fault.Kind]codes.Code{
		fault.Invalid: codes.InvalidArgument, fault.TooLarge: codes.InvalidArgument, fault.NotFound: codes.NotFound,
		fault.Exists: codes.AlreadyExists, fault.Unauthenticated: codes.Unauthenticated, fault.Denied: codes.PermissionDenied,
		fault.Busy: codes.ResourceExhausted, fault.Unavailable: codes.Unavailable, fault.Unknown: codes.Unavailable,
		fault.Contended: codes.Aborted,
		fault.State:     codes.FailedPrecondition, fault.Internal: codes.Internal,
	} {
		t.Run(string(kind), func(t *testing.T) {
			require.Contains(t, statusCodes, kind)
			// The cause is a status itself, as the peer's are, and stays in the log.
			what := &fault.Error{
				Kind: kind, Message: "a sentence", Stage: fault.StageEndorse, TransactionID: "ab12", RetryAfter: time.Second,
				Err: status.Error(codes.DataLoss, "peer0.atlas said so"),
			}
			given := status.Convert(statusOf(fmt.Errorf("anchor segment 7: %w", what)))
			require.Equal(t, code, given.Code())
			require.Equal(t, "a sentence", given.Message())
			require.Len(t, given.Details(), 2)
			info, isInfo := given.Details()[0].(*errdetails.ErrorInfo)
			require.True(t, isInfo)
			require.Equal(t, string(kind), info.GetReason())
			require.Equal(t, "callseal", info.GetDomain())
			require.Equal(t, map[string]string{"stage": "endorse", "transaction_id": "ab12", "retryable": fmt.Sprint(what.Retryable())}, info.GetMetadata())
			retry, isRetry := given.Details()[1].(*errdetails.RetryInfo)
			require.True(t, isRetry)
			require.Equal(t, time.Second, retry.GetRetryDelay().AsDuration())
		})
	}
	require.Len(t, statusCodes, 12, "a new kind needs a line above")
}

func TestStatusOfOtherErrors(t *testing.T) {
	require.NoError(t, statusOf(nil))
	for name, c := range map[string]struct {
		err  error
		code codes.Code
		says string
	}{
		"a contract's":    {ledger.Errorf(ledger.CodeNotFound, "no such leg"), codes.NotFound, "no such leg"},
		"a status":        {status.Error(codes.ResourceExhausted, "message too large"), codes.ResourceExhausted, "message too large"},
		"caller is gone":  {fmt.Errorf("receive: %w", context.Canceled), codes.Canceled, "went away"},
		"time is over":    {fmt.Errorf("wait for a turn: %w", context.DeadlineExceeded), codes.DeadlineExceeded, "time was over"},
		"gone in a read":  {status.Error(codes.Canceled, "context canceled"), codes.Canceled, "went away"},
		"gone, unnoticed": {&fault.Error{Kind: fault.Internal, Message: "failed", Err: fmt.Errorf("ask: %w", context.Canceled)}, codes.Canceled, "went away"},
		"a slow peer":     {&fault.Error{Kind: fault.Unavailable, Message: "no answer", Err: context.DeadlineExceeded}, codes.Unavailable, "no answer"},
		"anything else":   {errors.New("open /secret/place"), codes.Internal, "the gateway failed"},
		"an unknown kind": {&fault.Error{Kind: "NEW", Message: "a sentence"}, codes.Internal, "a sentence"},
	} {
		t.Run(name, func(t *testing.T) {
			given := status.Convert(statusOf(c.err))
			require.Equal(t, c.code, given.Code())
			require.Contains(t, given.Message(), c.says)
			require.NotContains(t, given.Message(), "/secret")
		})
	}
}
