package consent

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/chaincode/ledger"
)

// gateway is where the gateway's gRPC begins: it keeps what is declared.
type gateway struct {
	pb.ConsentServiceClient
	mu sync.Mutex
	// answer is asked before a statement is taken; lost says that it is taken and the
	// answer does not come.
	answer func(*pb.DeclareConsentRequest) error
	lost   int
	taken  []*pb.DeclareConsentRequest
	tried  int
}

func (g *gateway) ListConsents(_ context.Context, request *pb.ListConsentsRequest, _ ...grpc.CallOption) (*pb.ListConsentsResponse, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	response := &pb.ListConsentsResponse{}
	for _, one := range g.taken {
		if one.GetLinkedid() == request.GetLinkedid() {
			response.Consents = append(response.Consents, &pb.Consent{Statement: &pb.ConsentStatement{
				PartyRef: one.GetPartyRef(), Purpose: one.GetPurpose(), Status: one.GetStatus(), EvidenceDigest: one.GetEvidenceDigest(), GivenAt: one.GetGivenAt(),
			}})
		}
	}
	return response, nil
}

func (g *gateway) DeclareConsent(_ context.Context, request *pb.DeclareConsentRequest, _ ...grpc.CallOption) (*pb.DeclareConsentResponse, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.tried++
	if g.answer != nil {
		if err := g.answer(request); err != nil {
			return nil, err
		}
	}
	g.taken = append(g.taken, request)
	if g.lost > 0 {
		g.lost--
		return nil, status.Error(codes.Unavailable, "cut")
	}
	return &pb.DeclareConsentResponse{}, nil
}

func (g *gateway) statuses(linkedID string) (statuses []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, one := range g.taken {
		if one.GetLinkedid() == linkedID {
			statuses = append(statuses, one.GetStatus())
		}
	}
	return statuses
}

// deliver runs a delivery until the book is empty.
func deliver(t *testing.T, book *Book, to *gateway) (delivered, refused int) {
	t.Helper()
	var mu sync.Mutex
	count := func(n *int) func(*Statement) {
		return func(*Statement) { mu.Lock(); *n++; mu.Unlock() }
	}
	delivery := NewDelivery(Delivery{Book: book, Client: to, MSP: "AtlasMSP", PBX: "pbx1", Delivered: count(&delivered), Refused: count(&refused), Log: quiet})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- delivery.Run(ctx) }()
	require.Eventually(t, func() bool {
		waiting, _, err := book.Depth()
		delivery.Stir()
		return err == nil && waiting == 0
	}, patience, time.Millisecond)
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
	return delivered, refused
}

// TestDelivery has the gateway away, its answers lost, and the adapter begin again: each
// statement is taken once, those of a call in order.
func TestDelivery(t *testing.T) {
	path := filepath.Join(t.TempDir(), "consents.db")
	book := openBook(t, path)
	granted, denied, revoked := ledger.ConsentGranted, ledger.ConsentDenied, ledger.ConsentRevoked
	for i, linkedID := range []string{"1.1", "1.2", "1.3"} {
		require.NoError(t, book.Conclude(nil, said(linkedID, "1001", granted, i), said(linkedID, "1001", revoked, 10+i)))
	}
	away := 3
	to := &gateway{lost: 2, answer: func(*pb.DeclareConsentRequest) error {
		if away--; away >= 0 {
			return status.Error(codes.Unavailable, "away")
		}
		return nil
	}}
	delivered, refused := deliver(t, book, to)
	require.Equal(t, []int{6, 0}, []int{delivered, refused})
	for _, linkedID := range []string{"1.1", "1.2", "1.3"} {
		require.Equal(t, []string{granted, revoked}, to.statuses(linkedID))
	}
	require.Equal(t, "pbx1", to.taken[0].GetPbx())
	require.NotEmpty(t, to.taken[0].GetIdempotencyKey())

	// Taken, and killed before that was noted.
	waiting := said("1.4", "1001", denied, 20)
	require.NoError(t, book.Conclude(nil, waiting))
	to.answer = func(*pb.DeclareConsentRequest) error { return nil }
	one, err := book.Outbox(1)
	require.NoError(t, err)
	delivery := NewDelivery(Delivery{Book: book, Client: &killed{to}, Delivered: func(*Statement) {}, Refused: func(*Statement) {}, Log: quiet})
	require.Error(t, delivery.deliver(t.Context(), &one[0]))
	require.NoError(t, book.Close())
	book = openBook(t, path)
	tried := to.tried
	deliver(t, book, to)
	require.Equal(t, tried, to.tried, "the ledger has it already")
	require.Equal(t, []string{denied}, to.statuses("1.4"))

	// What the ledger refuses holds nothing up.
	require.NoError(t, book.Conclude(nil, said("1.5", "1001", granted, 30), said("1.5", "1001", revoked, 31)))
	to.answer = func(request *pb.DeclareConsentRequest) error {
		if request.GetStatus() == granted {
			return status.Error(codes.FailedPrecondition, "the party objected already")
		}
		return nil
	}
	delivered, refused = deliver(t, book, to)
	require.Equal(t, []int{1, 1}, []int{delivered, refused})
	_, aside, err := book.Depth()
	require.NoError(t, err)
	require.Equal(t, 1, aside)
}

// killed is a gateway whose answers are never noted.
type killed struct{ *gateway }

func (k *killed) DeclareConsent(ctx context.Context, request *pb.DeclareConsentRequest, options ...grpc.CallOption) (*pb.DeclareConsentResponse, error) {
	_, _ = k.gateway.DeclareConsent(ctx, request, options...)
	return nil, status.Error(codes.Unavailable, "killed")
}
