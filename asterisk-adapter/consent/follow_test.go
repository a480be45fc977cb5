package consent

import (
	"context"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/chaincode/ledger"
)

// chain is where the gateway's gRPC begins: what it sends, stream by stream.
type chain struct {
	pb.PolicyServiceClient
	mu      sync.Mutex
	asked   []*pb.WatchRequest
	streams [][]*pb.WatchResponse
	policy  *pb.PolicyVersion
}

func (c *chain) GetPolicy(context.Context, *pb.GetPolicyRequest, ...grpc.CallOption) (*pb.GetPolicyResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return &pb.GetPolicyResponse{Policy: c.policy}, nil
}

func (c *chain) Watch(ctx context.Context, request *pb.WatchRequest, _ ...grpc.CallOption) (grpc.ServerStreamingClient[pb.WatchResponse], error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = append(c.asked, request)
	if len(c.streams) == 0 {
		return &stream{ctx: ctx}, nil
	}
	next := c.streams[0]
	c.streams = c.streams[1:]
	return &stream{ctx: ctx, messages: next, ends: true}, nil
}

type stream struct {
	grpc.ServerStreamingClient[pb.WatchResponse]
	ctx      context.Context
	messages []*pb.WatchResponse
	ends     bool
}

func (s *stream) Recv() (*pb.WatchResponse, error) {
	if len(s.messages) > 0 {
		next := s.messages[0]
		s.messages = s.messages[1:]
		return next, nil
	}
	if s.ends {
		return nil, io.EOF
	}
	<-s.ctx.Done()
	return nil, status.FromContextError(s.ctx.Err()).Err()
}

func change(t *testing.T, block uint64, one Statement, purpose string) *pb.WatchResponse {
	t.Helper()
	consent := one.on()
	consent.At, consent.By, consent.MSP, consent.TxID, consent.V = one.GivenAt, ledger.RoleCompliance, "AtlasMSP", "tx", ledger.SchemaVersion
	consent.Statement.EvidenceDigest, consent.Statement.N, consent.Statement.PBX, consent.Statement.Purpose = one.Evidence, 1, "pbx1", purpose
	text, err := ledger.Canonical(&consent)
	require.NoError(t, err)
	return &pb.WatchResponse{Event: &pb.WatchResponse_Change{Change: &pb.Change{Cursor: &pb.ChangeCursor{Block: block, Position: 2}, Kind: ledger.TypeConsent, ValueJson: text}}}
}

// TestFollower follows what is stated elsewhere over a gateway that cuts it off.
func TestFollower(t *testing.T) {
	book := newBook(t)
	granted, denied, revoked := ledger.ConsentGranted, ledger.ConsentDenied, ledger.ConsentRevoked
	own := said("1.1", "1001", denied, 5)
	require.NoError(t, book.Conclude(nil, own))
	later := said("1.5", "1001", granted, 9) // after an objection that comes late
	require.NoError(t, book.Conclude(nil, later))
	to := &chain{
		policy: &pb.PolicyVersion{Name: "consent", Version: 3, V: 2, Policy: &pb.Policy{V: 2, Consent: &pb.ConsentPolicy{
			DefaultRule: ledger.RuleAllParty, OnePartyObjection: ledger.ObjectionIgnored, Jurisdictions: []*pb.JurisdictionRule{{Jurisdiction: "US", Rule: ledger.RuleOneParty}},
		}}},
	}
	abroad := said("1.3", "1001", revoked, 6)
	abroad.Jurisdiction = "US"
	to.streams = [][]*pb.WatchResponse{
		{
			{Event: &pb.WatchResponse_Heartbeat{Heartbeat: &pb.Heartbeat{Cursor: &pb.ChangeCursor{Block: 1}}}},
			change(t, 2, own, ledger.PurposeRecording),                             // its own word
			change(t, 3, said("1.2", "1001", granted, 6), ledger.PurposeRecording), // no objection
			change(t, 4, said("1.2", "1001", revoked, 7), ledger.PurposeRecording),
		},
		{
			change(t, 5, said("1.4", "1001", revoked, 7), ledger.PurposeAnalytics), // another purpose
			change(t, 6, abroad, ledger.PurposeRecording),                          // where it is not heeded
			{Event: &pb.WatchResponse_Change{Change: &pb.Change{Cursor: &pb.ChangeCursor{Block: 7}, ValueJson: []byte("{}x")}}},
			change(t, 8, said("1.5", "1001", denied, 8), ledger.PurposeRecording),
			change(t, 9, said("1.6", "1001", denied, 8), ledger.PurposeRecording),
		},
	}
	var mu sync.Mutex
	var objected []string
	follower := &Follower{Book: book, Watch: to, Policies: to, MSP: "AtlasMSP", PBX: "pbx1", Log: quiet, Objected: func(_ context.Context, linkedID string) {
		mu.Lock()
		defer mu.Unlock()
		objected = append(objected, linkedID)
	}}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- follower.Run(ctx) }()
	require.Eventually(t, func() bool {
		to.mu.Lock()
		defer to.mu.Unlock()
		return len(to.asked) == 3
	}, patience, time.Millisecond)
	mu.Lock()
	require.Equal(t, []string{"1.2", "1.6"}, objected)
	mu.Unlock()
	require.True(t, to.asked[0].GetFromNow())
	require.Equal(t, &pb.ChangeCursor{Block: 4, Position: 2}, to.asked[1].GetAfter())
	require.Equal(t, uint64(9), to.asked[2].GetAfter().GetBlock())
	policy, err := book.Policy()
	require.NoError(t, err)
	require.Equal(t, int64(3), policy.Version)
	require.Equal(t, ledger.RuleOneParty, policy.Policy.Consent.RuleOf("US-CA"))
	forbidden, err := book.Forbids("1.2")
	require.NoError(t, err)
	require.True(t, forbidden)
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)

	// A book that fails ends it.
	require.NoError(t, book.Close())
	require.ErrorIs(t, follower.Run(t.Context()), errBook)
}
