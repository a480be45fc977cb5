package chaincode_test

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/api/connect"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/gatewaytest"
	"github.com/callseal/callseal/network"
	"github.com/callseal/callseal/network/networktest"
)

func TestMain(m *testing.M) { os.Exit(networktest.Finish(m.Run())) }

const pbx = "atlas-pbx-1"

// member finds an operator.
func member(b *testing.B, n *networktest.Network, name string) network.Member {
	b.Helper()
	for _, one := range n.Consortium().Members() {
		if one.Name == name {
			return one
		}
	}
	b.Fatalf("no member %s", name)
	return network.Member{}
}

// channel opens an operator's peer as its gateway.
func channel(b *testing.B, n *networktest.Network, name string) *fabric.Channel {
	b.Helper()
	one, org := member(b, n, name), n.Layout().Operator(name)
	identity := org.Identity("gateway")
	opened, err := fabric.Open(fabric.Config{
		MSP: one.MSP, Channel: n.Consortium().Channel, Chaincode: n.Consortium().Chaincode,
		Peers: []fabric.PeerConfig{{Address: one.Peer.Address, CAFile: org.TLSCAFile()}}, TLSCertFile: identity.TLSCertFile(), TLSKeyFile: identity.TLSKeyFile(),
		CertFile: identity.CertFile(), KeyFile: identity.KeyFile(),
	})
	require.NoError(b, err)
	b.Cleanup(func() { _ = opened.Close() })
	return opened
}

// dial reaches an operator's gateway as one of its identities.
func dial(b *testing.B, n *networktest.Network, name, identity string) *grpc.ClientConn {
	b.Helper()
	org := n.Layout().Operator(name)
	connection, err := connect.Dial(connect.Config{
		Address: member(b, n, name).Gateway.Address, CAFile: org.TLSCAFile(), CertFile: org.Identity(identity).CertFile(), KeyFile: org.Identity(identity).KeyFile(),
	})
	require.NoError(b, err)
	b.Cleanup(func() { _ = connection.Close() })
	return connection
}

// adapter signs as the adapter of Atlas's PBX.
func adapter(b *testing.B, n *networktest.Network) *gatewaytest.Adapter {
	b.Helper()
	files := n.Layout().Operator("Atlas").Identity(pbx)
	return gatewaytest.Load(b, "AtlasMSP", pbx, files.CertFile(), files.KeyFile())
}

var calls struct {
	sync.Mutex
	n int64
}

// legs are n answered calls as the adapter writes them, with all it learns from
// CDR and ARI, under Asterisk's own kind of ids, which sort by time.
func legs(b *testing.B, n int) []gatewaytest.Entry {
	b.Helper()
	calls.Lock()
	defer calls.Unlock()
	entries := make([]gatewaytest.Entry, n)
	for i := range entries {
		calls.n++
		entry := gatewaytest.Call(b)
		call := *entry.Record.Call
		id := fmt.Sprintf("%d.%d", call.Start.UnixMilli()/1000+calls.n, calls.n*2)
		call.Leg = ledger.LegID{LinkedID: id, UniqueID: id, Sequence: calls.n * 2}
		call.CallerRef, call.CalleeRef = gatewaytest.Random(b, 16), gatewaytest.Random(b, 16)
		call.Direction, call.Software = "internal", "Asterisk 22.10.1"
		at := func(d time.Duration) ledger.Time { return ledger.TimeOf(call.Start.Std().Add(d)) }
		call.Observed = &ledger.Observed{Start: at(7 * time.Millisecond), Answer: at(2_013 * time.Millisecond), End: at(30_009 * time.Millisecond)}
		entry.Record.Call = &call
		entries[i] = entry
	}
	return entries
}

// anchor sends one segment through the operator's gateway.
func anchor(b *testing.B, connection grpc.ClientConnInterface, segment *pb.SignedSegment) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	response, err := pb.NewAnchorServiceClient(connection).AnchorSegment(ctx, &pb.AnchorSegmentRequest{Segment: segment})
	require.NoError(b, err)
	require.Equal(b, pb.Outcome_OUTCOME_ANCHORED, response.GetReceipt().GetOutcome())
}
